// Level 1. `policy lint`: what of a policy grants more than it seems to. Looks at the policy alone; what only the host
// knows (who owns a program) is asked of the caller. Decides nothing: a finding may be meant, and then its node says so.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "findings.h"
#include "model.h"

namespace safe_exec {

// Why this command's program is not to be trusted here; nullopt: it is, or is not installed.
using Distrust = std::function<std::optional<std::string>(const Command&)>;

struct LintReport {
  std::vector<Finding> findings;
  std::vector<std::pair<Finding, std::string>> ignored;  // and the reason that the policy gives
};

[[nodiscard]] const std::vector<FindingRule>& lint_rules();

[[nodiscard]] Expected<LintReport> lint_policy(const Policy& policy, const Distrust& distrust);

[[nodiscard]] std::string lint_text(const LintReport& report);
[[nodiscard]] std::string lint_json(const LintReport& report, const Policy& policy);

}  // namespace safe_exec
