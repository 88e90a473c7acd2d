// Level 1. The examples inside a policy (POLICY.md section 9), decided with a hermetic resolver: no host needed,
// nothing executed.
#pragma once

#include <string>
#include <vector>

#include "evaluate.h"
#include "model.h"

namespace safe_exec {

// Where the hermetic resolver starts: ${start_dir} in examples.
inline constexpr std::string_view kFixtureStartDir = "/workspace";

struct ExampleResult {
  std::string name;      // of a test in a file; an example has none
  std::string pointer;   // of the example
  Location location;
  std::vector<std::string> argv;
  std::string expected;  // "allow", "ask", or a denial code
  std::string found;     // the same, as decided
  std::string message;   // of the denial, when there was one
  std::vector<std::string> rebuilt;  // what would be executed, when it is allowed
  bool passed = false;
};

// Which examples are looked at: those of which "command argument..." contains a match of pattern (RE2). Empty: all.
// The pattern must be one that pattern_problem accepts.
struct ExampleFilter {
  std::string pattern;
  [[nodiscard]] bool takes(const std::vector<std::string>& argv, PatternCache& patterns) const;
};

// Every path beneath a root exists as a file, unless the policy's fixture says otherwise; the text of the last
// component "." and a path that ends in "/" or is a root itself are directories.
[[nodiscard]] std::unique_ptr<PathResolver> make_fixture_resolver(const Policy& policy);

// All examples of all loaded commands, and each `instead` (which must be allowed).
[[nodiscard]] Expected<std::vector<ExampleResult>> run_examples(const Policy& policy, const ExampleFilter& filter = {});

// An argv and what it is in messages: its words, a blank between them.
[[nodiscard]] std::string spaced(const std::vector<std::string>& argv);

}  // namespace safe_exec
