// Owns the rule that every mutant of an allowed example must keep. Never executes anything and looks at nothing of the
// host.
#include "mutate.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "pattern.h"
#include "value.h"

namespace safe_exec {
namespace {

// One line as evaluation saw it. plan: when it is allowed.
struct Seen {
  std::optional<Plan> plan;
  std::string code;  // of the denial
  Reading reading;
};

void collect_roots(const Type& type, std::vector<Root>& out) {
  out.insert(out.end(), type.path.within.begin(), type.path.within.end());
  if (type.of) collect_roots(*type.of, out);
}

// The roots of every type that stands at a node of the reading.
std::vector<Root> roots_of(const Reading& reading) {
  std::vector<Root> out;
  for (const Level& level : reading.levels) {
    for (const Option& option : level.node->options) {
      for (const TypeRef& type : option.values) collect_roots(*type, out);
    }
    if (!level.node->operands) continue;
    for (const Slot& slot : *level.node->operands) {
      for (const TypeRef& type : slot.types) collect_roots(*type, out);
    }
  }
  return out;
}

void collect_policy_roots(const Node& node, std::vector<Root>& out) {
  Reading reading;
  reading.levels.push_back({&node, {}});
  const std::vector<Root> own = roots_of(reading);
  out.insert(out.end(), own.begin(), own.end());
  for (const Node& sub : node.subcommands) collect_policy_roots(sub, out);
}

// Links that leave every root, beside what the policy's own fixture has.
void add_links(Policy& policy) {
  std::vector<Root> roots;
  for (const Command& command : policy.commands) collect_policy_roots(command.node, roots);
  const std::unique_ptr<PathResolver> resolver = make_fixture_resolver(policy);
  std::vector<std::string> places{std::string(kFixtureStartDir)};
  for (const Root& root : roots) {
    if (const std::optional<std::string> text = resolver->expand(root)) places.push_back(*text);
  }
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  for (const std::string& place : places) {
    policy.fixture.push_back({place + "/" + std::string(kAbsoluteLink), "/etc/passwd", false, {}});
    policy.fixture.push_back({place + "/" + std::string(kClimbingLink), "../../../../../../../../../etc", false, {}});
  }
}

bool takes_rest(const Reading& reading) {
  const Node& leaf = *reading.levels.back().node;
  if (!leaf.operands) return false;
  // Of raw words none is read here, so there is nothing that a mutant could make of them.
  if (reading.levels.back().syntax.name == SyntaxName::raw) return true;
  return std::any_of(leaf.operands->begin(), leaf.operands->end(), [](const Slot& slot) {
    return std::any_of(slot.types.begin(), slot.types.end(), [](const TypeRef& type) { return type->rest; });
  });
}

std::string_view command_name(std::string_view word) {
  return word.substr(word.rfind('/') + 1);
}

bool has_option(const Reading& reading, const Option* option) {
  return std::any_of(reading.options.begin(), reading.options.end(),
                     [&](const GivenOption& given) { return given.option == option; });
}

class MutationRun {
 public:
  MutationRun(const Policy& policy, const ExampleFilter& filter) : policy_(policy), filter_(filter) {
    plain_ = make_fixture_resolver(policy_);
    add_links(policy_);
    linked_ = make_fixture_resolver(policy_);
  }

  Expected<MutationReport> run() {
    for (const Command& command : policy_.commands) {
      if (Expected<void> done = visit(command.node); !done) return tl::unexpected(std::move(done.error()));
    }
    return std::move(report_);
  }

 private:
  Expected<void> visit(const Node& node) {
    for (const Examples::Allow& example : node.examples.allow) {
      if (!filter_.takes(example.argv, patterns_)) continue;
      if (Expected<void> done = mutate(example); !done) return done;
    }
    for (const Node& sub : node.subcommands) {
      if (Expected<void> done = visit(sub); !done) return done;
    }
    return {};
  }

  Expected<Seen> see(const std::vector<std::string>& argv) {
    Request request;
    request.argv = argv;
    Seen seen;
    EvaluateOptions options;
    options.assume_installed = true;
    options.reading = &seen.reading;
    Expected<Decision> decision = evaluate(policy_, request, *resolver_, patterns_, options);
    if (!decision) return tl::unexpected(std::move(decision.error()));
    if (const Denial* denial = std::get_if<Denial>(&*decision)) {
      seen.code = code_name(denial->code);
    } else {
      seen.plan = std::move(std::get<Plan>(*decision));
    }
    return seen;
  }

  Expected<void> mutate(const Examples::Allow& example) {
    resolver_ = linked_.get();
    Expected<Seen> before = see(example.argv);
    // A link makes a directory of what it lies in; an example for which that is wrong is mutated without them.
    if (before && !before->plan) {
      resolver_ = plain_.get();
      before = see(example.argv);
    }
    if (!before) return tl::unexpected(std::move(before.error()));
    if (!before->plan) return {};
    // A wrapper's line was read as that of the command inside, whose own examples are mutated.
    if (before->plan->command != command_name(example.argv.front())) return {};
    ++report_.examples;
    std::vector<std::string> roots;
    for (const Root& root : roots_of(before->reading)) {
      const std::optional<std::string> text = resolver_->expand(root);
      if (text && std::find(roots.begin(), roots.end(), *text) == roots.end()) roots.push_back(*text);
    }
    tl::expected<CommandLine, Refusal> line = emit(before->reading, before->plan->argv.front());
    // A wrapper's line is another command's: it is not this reading that was rebuilt.
    if (!line || line->argv != before->plan->argv) line = CommandLine{};
    for (const Mutant& mutant : make_mutants(example.argv, before->reading, *line, roots, &report_.left_out)) {
      judge(example, *before, mutant, roots);
    }
    return {};
  }

  void judge(const Examples::Allow& example, const Seen& before, const Mutant& mutant,
             const std::vector<std::string>& roots) {
    ++report_.mutants;
    Expected<Seen> after = see(mutant.argv);
    if (!after) return fail(example, before, mutant, {}, "the policy cannot decide it: " + after.error().message);
    if (!after->plan) {
      ++report_.denied;
      return;
    }
    if (after->plan->argv == before.plan->argv && !mutant.must_deny) {
      ++report_.identical;
      return;
    }
    std::string problem = compare(before, *after, mutant, roots);
    if (problem.empty()) ++report_.inside;
    else fail(example, before, mutant, after->plan->argv, std::move(problem));
  }

  // Empty: the mutant differs only inside an operand or a value.
  std::string compare(const Seen& before, const Seen& after, const Mutant& mutant, const std::vector<std::string>& roots) {
    if (after.plan->command != before.plan->command || after.reading.nodes() != before.reading.nodes()) {
      return "it is allowed as another command: " + title(after.reading.nodes());
    }
    const bool rest = takes_rest(after.reading);
    if (mutant.must_deny && !rest) return "it is allowed, and nothing that it could mean was";
    if (mutant.must_be_same) return "what was rebuilt is rebuilt into something else";
    for (const GivenOption& given : after.reading.options) {
      if (!has_option(before.reading, given.option)) return "it gains the option " + given.option->name;
    }
    for (const GivenOption& given : before.reading.options) {
      if (mutant.may_lose_options || rest || has_option(after.reading, given.option)) continue;
      return "it loses the option " + given.option->name;
    }
    if (std::string problem = compare_operands(before.reading, after.reading, mutant, rest); !problem.empty()) return problem;
    if (std::string problem = check_lines(after.reading); !problem.empty()) return problem;
    return check_grants(*after.plan, roots);
  }

  std::string compare_operands(const Reading& before, const Reading& after, const Mutant& mutant, bool rest) {
    if (mutant.tail >= 0) {
      for (int i = mutant.tail; i < static_cast<int>(mutant.argv.size()); ++i) {
        const bool operand = std::any_of(after.operands.begin(), after.operands.end(),
                                         [i](const Operand& given) { return given.argv_index == i; });
        if (!operand) return "behind -- the token " + shown(mutant.argv[static_cast<std::size_t>(i)]) + " is no operand";
      }
    }
    if (mutant.may_add_operands || mutant.may_lose_options || rest) return {};
    const auto given = [](const Reading& reading) {
      std::vector<const Slot*> slots;
      for (const Operand& operand : reading.operands) {
        if (operand.argv_index >= 0) slots.push_back(operand.slot);
      }
      return slots;
    };
    const std::vector<const Slot*> were = given(before);
    const std::vector<const Slot*> are = given(after);
    // Without a free "--", what the slots before it refuse falls to those behind it (POLICY.md section 3, rule 7).
    const bool falls = has_separator(*after.levels.back().node) && !after.separator && were.size() == are.size();
    if (were == are || falls) return {};
    return were.size() == are.size() ? "its operands fill other slots" : "it has " + std::to_string(are.size()) +
           " operands instead of " + std::to_string(were.size());
  }

  // A line break stands only where the type says so.
  std::string check_lines(const Reading& reading) {
    const auto has_line = [](std::string_view text) { return text.find_first_of("\n\t") != std::string_view::npos; };
    for (const GivenOption& given : reading.options) {
      for (std::size_t i = 0; i < given.values.size(); ++i) {
        const Type& type = *given.option->values[std::min(i, given.option->values.size() - 1)];
        if (has_line(given.values[i]) && !allows_lines(type)) return "a line break in the value of " + given.option->name;
      }
    }
    for (const Operand& operand : reading.operands) {
      if (operand.slot == nullptr || !has_line(operand.text)) continue;
      const auto& types = operand.slot->types;
      if (std::none_of(types.begin(), types.end(), [](const TypeRef& type) { return allows_lines(*type) || type->rest; })) {
        return "a line break in " + operand.slot->name;
      }
    }
    return {};
  }

  static std::string check_grants(const Plan& plan, const std::vector<std::string>& roots) {
    for (const Grant& grant : plan.grants) {
      if (grant.origin != Origin::operand) continue;
      const bool inside = std::any_of(roots.begin(), roots.end(), [&](const std::string& root) { return is_within(grant.path, root); });
      if (!inside) return "it grants " + shown(grant.path) + ", which lies beneath no root of its types";
    }
    return {};
  }

  void fail(const Examples::Allow& example, const Seen& before, const Mutant& mutant, std::vector<std::string> after,
            std::string problem) {
    MutantFailure failure;
    failure.how = mutant.how;
    failure.example = example.argv;
    failure.mutant = mutant.argv;
    failure.before = before.plan->argv;
    failure.after = std::move(after);
    failure.problem = std::move(problem);
    failure.pointer = policy_.pointer(example.place);
    if (example.place.source < policy_.sources.size()) failure.location = policy_.locate(example.place);
    report_.failures.push_back(std::move(failure));
  }

  Policy policy_;  // with a fixture of its own
  const ExampleFilter& filter_;
  std::unique_ptr<PathResolver> plain_, linked_;
  PathResolver* resolver_ = nullptr;  // the one in use
  PatternCache patterns_;
  MutationReport report_;
};

}  // namespace

Expected<MutationReport> mutate_examples(const Policy& policy, const ExampleFilter& filter) {
  return MutationRun(policy, filter).run();
}

}  // namespace safe_exec
