// Owns the verb `policy lint`: what the host knows about programs, and from which severity on it fails.
#include <unistd.h>

#include <algorithm>

#include "beneath.h"
#include "effective.h"
#include "lint.h"
#include "output.h"
#include "pipeline.h"
#include "resolve.h"
#include "verbs.h"

namespace safe_exec {
namespace {

// A program that is not installed here is no finding: policies are written elsewhere.
std::optional<std::string> distrusted(PathResolver& resolver, const Command& command) {
  static const std::vector<Root> kNothing;
  const Effective settings = effective_settings(command, {&command.node});
  const PathResult<Binary> binary = resolver.binary(command, "", settings.exec == nullptr ? kNothing : *settings.exec, false);
  if (binary || binary.error().code != DenialCode::binary_untrusted) return std::nullopt;
  return binary.error().message;
}

Severity fail_level(const Invocation& in) {
  if (in.fail_level == "error") return Severity::error;
  return in.fail_level == "note" ? Severity::note : Severity::warning;
}

std::string spelled(const LintReport& report, const Policy& policy, Output output) {
  switch (output) {
    case Output::json: return lint_json(report, policy);
    case Output::sarif: return sarif_text(lint_rules(), report.findings, open_here().path);
    case Output::github: return github_text(report.findings, open_here().path);
    case Output::text:
    case Output::pretty:
    case Output::raw:
    case Output::tap:
    case Output::junit: break;
  }
  return lint_text(report);
}

}  // namespace

int policy_lint_verb(const Invocation& in) {
  auto policy = load_whole(in, Host::anywhere);
  if (!policy) return fail(in, policy.error());
  auto resolver = make_system_resolver(*policy, in.variables);
  Policy programs;  // whose programs are asked for where a variable has no value
  if (!resolver && is_elsewhere(resolver.error(), Host::anywhere)) {
    programs.file = policy->file;
    resolver = make_system_resolver(programs, {});
  }
  if (!resolver) return fail(in, resolver.error());
  const auto report = lint_policy(*policy, [&](const Command& command) { return distrusted(**resolver, command); });
  if (!report) return fail(in, report.error());
  if (!write_answer(spelled(*report, *policy, in.output))) return 2;
  const Severity level = fail_level(in);
  const bool failed = std::any_of(report->findings.begin(), report->findings.end(),
                                  [&](const Finding& finding) { return finding.severity >= level; });
  return failed ? 1 : 0;
}

}  // namespace safe_exec
