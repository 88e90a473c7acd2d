// Owns the walk over a policy, what is ignored and why, and how findings are told. The rules are in lint_*.cpp.
#include "lint.h"

#include <algorithm>
#include <map>
#include <memory>

#define JSON_NO_IO 1
#include <nlohmann/json.hpp>

#include "coverage.h"
#include "examples.h"
#include "grammar.h"
#include "lint_node.h"
#include "policy.h"
#include "report.h"

namespace safe_exec {
namespace {

using Json = nlohmann::ordered_json;

constexpr FindingRule kStaleIgnore{"stale-ignore", "A finding is ignored that is not there, or a rule that does not exist.",
                                   "a reason that has outlived its finding hides the next one.", Severity::warning};

bool takes_writing(const Type& type) {
  return type.kind == Type::Kind::path && type.path.access != PathAccess::stat && type.path.access != PathAccess::read;
}

void collect_written(const Type& type, std::vector<Root>& out) {
  if (type.of) collect_written(*type.of, out);
  if (takes_writing(type)) out.insert(out.end(), type.path.within.begin(), type.path.within.end());
}

void collect_written(const Node& node, std::vector<Root>& out) {
  for (const Option& option : node.options) {
    for (const TypeRef& type : option.values) collect_written(*type, out);
  }
  if (node.operands) {
    for (const Slot& slot : *node.operands) {
      for (const TypeRef& type : slot.types) collect_written(*type, out);
    }
  }
  if (node.sandbox.write) out.insert(out.end(), node.sandbox.write->begin(), node.sandbox.write->end());
  for (const Node& sub : node.subcommands) collect_written(sub, out);
}

class LintRun {
 public:
  LintRun(const Policy& policy, const Distrust& distrust)
      : resolver_(make_fixture_resolver(policy)), facts_{policy, distrust, patterns_, {}, {}, {}} {
    facts_.expand = [this](const Root& root) { return resolver_->expand(root).value_or(std::string()); };
    std::vector<Root> written;
    for (const Command& command : policy.commands) {
      collect_written(command.node, written);
      if (command.defaults && command.defaults->sandbox.write) {
        written.insert(written.end(), command.defaults->sandbox.write->begin(), command.defaults->sandbox.write->end());
      }
    }
    for (const Root& root : written) {
      if (const std::string text = facts_.expand(root); !text.empty()) facts_.written.push_back(text);
    }
    std::sort(facts_.written.begin(), facts_.written.end());
    facts_.written.erase(std::unique(facts_.written.begin(), facts_.written.end()), facts_.written.end());
  }

  Expected<LintReport> run() {
    auto coverage = measure_coverage(facts_.policy);
    if (!coverage) return tl::unexpected(std::move(coverage.error()));
    for (const CommandCoverage& command : coverage->commands) {
      for (const CoverageItem& item : command.missing) facts_.uncovered.emplace(command.command, item.pointer);
    }
    for (const Command& command : facts_.policy.commands) {
      said_.clear();
      used_.clear();
      visit(command, {&command.node});
      tell_stale(command.node);
    }
    return std::move(report_);
  }

 private:
  void visit(const Command& command, const std::vector<const Node*>& nodes) {
    if (nodes.back()->decision == Verdict::deny) return;
    LintNode in{facts_, command, nodes, effective_settings(command, nodes), {}};
    for (const auto& checks : {argument_checks(), grant_checks()}) {
      for (const LintCheck& check : checks) {
        in.report = [&](Place place, std::string message) { take(check.rule, nodes, place, std::move(message)); };
        check.run(in);
      }
    }
    for (const Node& sub : nodes.back()->subcommands) {
      std::vector<const Node*> below = nodes;
      below.push_back(&sub);
      visit(command, below);
    }
  }

  void take(const FindingRule& rule, const std::vector<const Node*>& nodes, Place place, std::string message) {
    Finding finding{std::string(rule.id), rule.severity, title(nodes) + ": " + std::move(message), where(place)};
    // What several nodes share (an option set, a named type) is said once a command.
    if (!said_.emplace(finding.rule, finding.location.file + finding.location.pointer + finding.message.substr(title(nodes).size())).second) return;
    for (const Node* node : nodes) {
      for (const LintIgnore& ignore : node->lint_ignore) {
        if (ignore.rule != rule.id) continue;
        used_.insert(&ignore);
        report_.ignored.emplace_back(std::move(finding), ignore.reason);
        return;
      }
    }
    report_.findings.push_back(std::move(finding));
  }

  void tell_stale(const Node& node) {
    for (const LintIgnore& ignore : node.lint_ignore) {
      if (used_.contains(&ignore)) continue;
      const auto& rules = lint_rules();
      const bool known = std::any_of(rules.begin(), rules.end(), [&](const FindingRule& rule) { return rule.id == ignore.rule; });
      report_.findings.push_back({std::string(kStaleIgnore.id), kStaleIgnore.severity,
                                  node.name + ": " + (known ? ignore.rule + " finds nothing here" : "there is no rule " + ignore.rule), where(ignore.place)});
    }
    for (const Node& sub : node.subcommands) tell_stale(sub);
  }

  Location where(Place place) const {
    Location location;
    if (place.source < facts_.policy.sources.size()) location = facts_.policy.locate(place);
    location.pointer = facts_.policy.pointer(place);
    return location;
  }

  std::unique_ptr<PathResolver> resolver_;
  PatternCache patterns_;
  LintFacts facts_;
  std::set<std::pair<std::string, std::string>> said_;
  std::set<const LintIgnore*> used_;
  LintReport report_;
};

Json finding_json(const Finding& finding) {
  const auto& rules = lint_rules();
  const auto rule = std::find_if(rules.begin(), rules.end(), [&](const FindingRule& row) { return row.id == finding.rule; });
  return {{"rule", finding.rule},
          {"severity", severity_name(finding.severity)},
          {"message", finding.message},
          {"abuse", rule != rules.end() ? rule->help : ""},
          {"file", finding.location.file},
          {"line", finding.location.line},
          {"column", finding.location.column},
          {"pointer", finding.location.pointer}};
}

std::size_t count(const LintReport& report, Severity severity) {
  return static_cast<std::size_t>(std::count_if(report.findings.begin(), report.findings.end(),
                                                [&](const Finding& finding) { return finding.severity == severity; }));
}

}  // namespace

bool LintNode::is_program(const std::function<bool(std::string_view)>& predicate) const {
  if (predicate(command.node.name)) return true;
  return std::any_of(command.paths.begin(), command.paths.end(),
                     [&](const std::string& path) { return predicate(std::string_view(path).substr(path.rfind('/') + 1)); });
}

bool LintNode::emits_separator() const {
  std::optional<bool> set;
  SyntaxName syntax = SyntaxName::gnu;
  for (const Node* level : nodes) {
    if (level->end_of_options) set = level->end_of_options;
    if (level->syntax) syntax = *level->syntax;
  }
  return set.value_or(preset(syntax).end_of_options);
}

bool LintNode::is_injected(std::string_view text) const {
  for (const Node* level : nodes) {
    for (std::size_t i = 0; level->inject && i < level->inject->size(); ++i) {
      if ((*level->inject)[i].find(text) != std::string::npos) return true;
    }
    for (const Option& option : level->options) {
      if (option.always && option.name.find(text) != std::string::npos) return true;
    }
  }
  return false;
}

const std::vector<FindingRule>& lint_rules() {
  static const std::vector<FindingRule> kRules = [] {
    std::vector<FindingRule> rules;
    for (const auto& checks : {argument_checks(), grant_checks()}) {
      for (const LintCheck& check : checks) rules.push_back(check.rule);
    }
    rules.push_back(kStaleIgnore);
    return rules;
  }();
  return kRules;
}

Expected<LintReport> lint_policy(const Policy& policy, const Distrust& distrust) { return LintRun(policy, distrust).run(); }

std::string lint_text(const LintReport& report) {
  std::string out;
  std::map<std::string, bool> explained;
  for (const Finding& finding : report.findings) {
    const Location& where = finding.location;
    out += printable_text(where.file) + ":" + std::to_string(where.line) + ":" + std::to_string(where.column) + ": " +
           std::string(severity_name(finding.severity)) + ": " + finding.rule + ": " + printable_text(finding.message) + "\n";
    if (std::exchange(explained[finding.rule], true)) continue;
    for (const FindingRule& rule : lint_rules()) {
      if (rule.id == finding.rule) out += "    " + std::string(rule.summary) + "\n    as in: " + std::string(rule.help) + "\n";
    }
  }
  return out + std::to_string(count(report, Severity::error)) + " errors, " + std::to_string(count(report, Severity::warning)) +
         " warnings, " + std::to_string(count(report, Severity::note)) + " notes; " + std::to_string(report.ignored.size()) +
         " ignored by the policy\n";
}

std::string lint_json(const LintReport& report, const Policy& policy) {
  Json findings = Json::array();
  for (const Finding& finding : report.findings) findings.push_back(finding_json(finding));
  Json ignored = Json::array();
  for (const auto& [finding, reason] : report.ignored) {
    ignored.push_back(finding_json(finding));
    ignored.back()["reason"] = reason;
  }
  const Json json{{"schema", "safe-exec/policy-lint/v1"},
                  {"policy", {{"name", policy.name}, {"sha256", policy_digest(policy.sources)}}},
                  {"errors", count(report, Severity::error)},
                  {"warnings", count(report, Severity::warning)},
                  {"notes", count(report, Severity::note)},
                  {"findings", std::move(findings)},
                  {"ignored", std::move(ignored)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace safe_exec
