// Level 1. What `policy test` found, in the forms that people and machines read. Never decides anything.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coverage.h"
#include "examples.h"
#include "model.h"
#include "mutate.h"

namespace safe_exec {

struct TestReport {
  std::string policy_name, policy_sha256;
  std::size_t commands = 0;
  std::vector<ExampleResult> examples;
  std::vector<ExampleResult> tests;  // of test files
  std::optional<MutationReport> mutants;
  std::optional<Coverage> coverage;
  std::optional<std::int64_t> threshold;  // per cent
  std::string base;                       // directory that file names are told relative to, in sarif and github

  [[nodiscard]] std::size_t failures() const;  // examples, tests and mutants that failed
  [[nodiscard]] bool below_threshold() const;
  [[nodiscard]] bool passed() const { return failures() == 0 && !below_threshold(); }
};

[[nodiscard]] std::string test_text(const TestReport& report);
[[nodiscard]] std::string test_json(const TestReport& report);
[[nodiscard]] std::string test_tap(const TestReport& report);     // TAP version 14
[[nodiscard]] std::string test_junit(const TestReport& report);   // passing names included
[[nodiscard]] std::string test_sarif(const TestReport& report);   // failures; what no example exercises as notes
[[nodiscard]] std::string test_github(const TestReport& report);  // the same

}  // namespace safe_exec
