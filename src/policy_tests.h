// Level 1. A repository's own tests of a policy (*.policy.json): requests and what is to be decided. Read strictly,
// decided with the hermetic resolver of examples: no program, no file and no feature of the kernel is needed.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "examples.h"
#include "model.h"

namespace safe_exec {

struct PolicyTest {
  std::string name;
  Request request;                                     // argv, cwd, env
  std::string expect;                                  // "allow", "ask", "deny"
  std::optional<DenialCode> code;                      // with deny
  std::optional<std::vector<std::string>> canonical;   // with allow: the argv that would be executed
  std::string pointer;
  Location location;
};

struct PolicyTests {
  std::vector<FixtureEntry> fixture;  // beside the policy's own
  std::vector<PolicyTest> tests;
};

// Errors: request_invalid, with the place.
[[nodiscard]] Expected<PolicyTests> parse_policy_tests(std::string file, std::string text);

[[nodiscard]] Expected<std::vector<ExampleResult>> run_policy_tests(const Policy& policy, const PolicyTests& tests,
                                                                    const ExampleFilter& filter);

}  // namespace safe_exec
