// Level 1. What `policy lint` and `policy test` have to say about places in files, in the forms that code reviews read:
// SARIF 2.1.0 and GitHub's annotations. Knows no rule itself.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model.h"

namespace safe_exec {

enum class Severity : std::uint8_t { note, warning, error };
[[nodiscard]] std::string_view severity_name(Severity severity) noexcept;

struct Finding {
  std::string rule;
  Severity severity = Severity::warning;
  std::string message;
  Location location;  // the pointer in it is that of the whole policy
};

struct FindingRule {
  std::string_view id;
  std::string_view summary;  // one sentence
  std::string_view help;     // the abuse, or what to do
  Severity severity = Severity::warning;
};

// base: the directory that file names are told relative to, when they lie beneath it.
[[nodiscard]] std::string sarif_text(const std::vector<FindingRule>& rules, const std::vector<Finding>& findings,
                                     std::string_view base);
[[nodiscard]] std::string github_text(const std::vector<Finding>& findings, std::string_view base);

// "policy.json" for "/repo/policy.json" and the base "/repo".
[[nodiscard]] std::string relative_name(std::string_view file, std::string_view base);

}  // namespace safe_exec
