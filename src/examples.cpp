// Owns the running of a policy's examples. Never executes anything and looks at nothing of the host.
#include "examples.h"

#include <utility>

namespace safe_exec {
namespace {

class ExampleRun {
 public:
  ExampleRun(const Policy& policy, const ExampleFilter& filter)
      : policy_(policy), filter_(filter), resolver_(make_fixture_resolver(policy)) {}

  Expected<std::vector<ExampleResult>> run() {
    for (const Command& command : policy_.commands) {
      if (Expected<void> done = visit(command.node); !done) return tl::unexpected(std::move(done.error()));
    }
    return std::move(results_);
  }

 private:
  Expected<void> visit(const Node& node) {
    for (const Examples::Allow& example : node.examples.allow) {
      if (Expected<void> done = decide(example.argv, "allow", example.place, ""); !done) return done;
    }
    for (const Examples::Allow& example : node.examples.ask) {
      if (Expected<void> done = decide(example.argv, "ask", example.place, ""); !done) return done;
    }
    for (const Examples::Deny& example : node.examples.deny) {
      if (Expected<void> done = decide(example.argv, code_name(example.code), example.place, ""); !done) return done;
    }
    for (const Hint& hint : node.hints) {
      if (hint.instead.empty()) continue;
      if (Expected<void> done = decide(hint.instead, "allow", hint.place, "/instead"); !done) return done;
    }
    for (const Node& sub : node.subcommands) {
      if (Expected<void> done = visit(sub); !done) return done;
    }
    return {};
  }

  Expected<void> decide(const std::vector<std::string>& argv, std::string_view expected, Place place,
                        std::string_view below) {
    if (!filter_.takes(argv, patterns_)) return {};
    Request request;
    request.argv = argv;
    EvaluateOptions options;
    options.assume_installed = true;
    Expected<Decision> decision = evaluate(policy_, request, *resolver_, patterns_, options);
    if (!decision) return tl::unexpected(std::move(decision.error()));
    ExampleResult result;
    result.pointer = policy_.pointer(place) + std::string(below);
    if (place.source < policy_.sources.size()) result.location = policy_.locate(place);
    result.argv = argv;
    result.expected = expected;
    result.found = "allow";
    if (const Denial* denial = std::get_if<Denial>(&*decision)) {
      const bool asks = denial->code == DenialCode::needs_approval;
      result.found = asks ? "ask" : std::string(code_name(denial->code));
      result.message = denial->message;
    } else {
      result.rebuilt = std::move(std::get<Plan>(*decision).argv);
    }
    // An example may name the code of an ask as well as the word.
    result.passed =
        result.found == expected || (result.found == "ask" && expected == code_name(DenialCode::needs_approval));
    results_.push_back(std::move(result));
    return {};
  }

  const Policy& policy_;
  const ExampleFilter& filter_;
  std::unique_ptr<PathResolver> resolver_;
  PatternCache patterns_;
  std::vector<ExampleResult> results_;
};

}  // namespace

std::string spaced(const std::vector<std::string>& argv) {
  std::string out;
  for (const std::string& word : argv) out += (out.empty() ? "" : " ") + word;
  return out;
}

bool ExampleFilter::takes(const std::vector<std::string>& argv, PatternCache& patterns) const {
  if (pattern.empty()) return true;
  return patterns.full_match("(?s:.*)(?:" + pattern + ")(?s:.*)", spaced(argv)) == PatternCache::Match::yes;
}

Expected<std::vector<ExampleResult>> run_examples(const Policy& policy, const ExampleFilter& filter) {
  return ExampleRun(policy, filter).run();
}

}  // namespace safe_exec
