// Owns the counting of what examples exercise. Never decides whether an example holds.
#include "coverage.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "examples.h"
#include "grammar.h"
#include "language.h"

namespace safe_exec {
namespace {

using Key = std::pair<std::uint32_t, std::uint32_t>;

Key key_of(Place place) { return {place.source, place.node}; }

class CoverageRun {
 public:
  explicit CoverageRun(const Policy& policy) : policy_(policy), resolver_(make_fixture_resolver(policy)) {}

  Expected<Coverage> run() {
    Coverage coverage;
    for (const Command& command : policy_.commands) {
      used_.clear();
      counted_.clear();
      now_ = CommandCoverage{};
      now_.command = command.node.name;
      if (Expected<void> done = exercise(command, command.node); !done) return tl::unexpected(std::move(done.error()));
      count(command.node, command.node.name, true);
      coverage.total += now_.total;
      coverage.covered += now_.total - now_.missing.size();
      coverage.commands.push_back(std::move(now_));
    }
    return coverage;
  }

 private:
  Expected<void> exercise(const Command& command, const Node& node) {
    for (const auto* examples : {&node.examples.allow, &node.examples.ask}) {
      for (const Examples::Allow& example : *examples) {
        if (Expected<void> done = mark(command, example.argv); !done) return done;
      }
    }
    for (const Node& sub : node.subcommands) {
      if (Expected<void> done = exercise(command, sub); !done) return done;
    }
    return {};
  }

  Expected<void> mark(const Command& command, const std::vector<std::string>& argv) {
    Request request;
    request.argv = argv;
    Reading reading;
    EvaluateOptions options;
    options.assume_installed = true;
    options.reading = &reading;
    Expected<Decision> decision = evaluate(policy_, request, *resolver_, patterns_, options);
    if (!decision) return tl::unexpected(std::move(decision.error()));
    // A reading is made only of lines that are allowed or need approval.
    if (reading.levels.empty() || reading.levels.front().node != &command.node) return {};
    used_.insert(key_of(reading.levels.back().node->place));
    for (const GivenOption& given : reading.options) used_.insert(key_of(given.option->place));
    for (const Operand& operand : reading.operands) {
      if (operand.slot != nullptr && operand.argv_index >= 0) used_.insert(key_of(operand.slot->place));
    }
    return {};
  }

  // A wrapper's line is read as that of the command inside, so that nothing tells what of the wrapper itself was used.
  static bool is_wrapper(const Node& node) {
    if (!node.operands) return false;
    return std::any_of(node.operands->begin(), node.operands->end(), [](const Slot& slot) {
      return std::any_of(slot.types.begin(), slot.types.end(), [](const TypeRef& type) { return type->language == Language::command; });
    });
  }

  void count(const Node& node, const std::string& title, bool top) {
    if (node.decision == Verdict::deny || is_wrapper(node)) return;
    if (node.subcommands.empty() || node.subcommand_optional) item(top ? "command" : "subcommand", title, node.place, !top);
    for (const Option& option : node.options) {
      if (!option.always) item("option", title + " " + option.name, option.place, true);
    }
    if (node.operands) {
      for (const Slot& slot : *node.operands) {
        if (!slot.separator) item("operand", title + " " + slot.name, slot.place, false);
      }
    }
    for (const Node& sub : node.subcommands) count(sub, title + " " + sub.name, false);
  }

  void item(std::string_view kind, std::string name, Place place, bool of_key) {
    if (!counted_.insert(key_of(place)).second) return;
    ++now_.total;
    if (used_.contains(key_of(place))) return;
    CoverageItem missing{kind, std::move(name), policy_.pointer(place), {}};
    if (place.source < policy_.sources.size()) missing.location = policy_.locate(place, of_key);
    now_.missing.push_back(std::move(missing));
  }

  const Policy& policy_;
  std::unique_ptr<PathResolver> resolver_;
  PatternCache patterns_;
  std::set<Key> used_, counted_;
  CommandCoverage now_;
};

}  // namespace

std::size_t Coverage::percent() const { return total == 0 ? 100 : covered * 100 / total; }

Expected<Coverage> measure_coverage(const Policy& policy) { return CoverageRun(policy).run(); }

}  // namespace safe_exec
