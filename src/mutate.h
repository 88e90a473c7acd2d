// Level 1. `policy test --generate`: every allowed example is respelt in the ways in which people and attackers respell
// command lines, and each mutant must be denied, be rebuilt into the identical argv, or differ only inside an operand or
// a value. Deterministic, bounded, hermetic: nothing is executed and no file is looked at.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "examples.h"
#include "grammar.h"
#include "model.h"

namespace safe_exec {

// Mutants made of one example; what would be beyond is not made, and counted.
inline constexpr std::size_t kMaxMutants = 600;
// Names that the fixture of mutants has in every root: links that leave it.
inline constexpr std::string_view kAbsoluteLink = "safe-exec-mutant-link";
inline constexpr std::string_view kClimbingLink = "safe-exec-mutant-up";

// What a mutation may do to the reading beyond the rule above.
struct Mutant {
  std::string_view how;  // "abbreviate", "swap", ...
  std::vector<std::string> argv;
  bool must_deny = false;       // nothing that it could mean is what the example means
  bool must_be_same = false;    // only another spelling: if it is allowed, then as the identical argv
  bool may_lose_options = false;  // it turns options into operands
  bool may_add_operands = false;
  int tail = -1;  // from this token on, every token must be an operand (behind an inserted "--")
};

// reading: what the example was read as; line: its rebuilt argv with what is injected marked; roots: absolute paths that
// its values may lie in. left_out: how many were beyond kMaxMutants.
[[nodiscard]] std::vector<Mutant> make_mutants(const std::vector<std::string>& argv, const Reading& reading,
                                               const CommandLine& line, const std::vector<std::string>& roots,
                                               std::size_t* left_out);

struct MutantFailure {
  std::string how;
  std::vector<std::string> example;  // argv
  std::vector<std::string> mutant;   // argv
  std::vector<std::string> before;   // canonical argv of the example
  std::vector<std::string> after;    // canonical argv of the mutant; empty: none was made
  std::string problem;
  std::string pointer;  // of the example
  Location location;
};

struct MutationReport {
  std::size_t examples = 0, mutants = 0, denied = 0, identical = 0, inside = 0, left_out = 0;
  std::vector<MutantFailure> failures;
};

// Examples that are not allowed are left to run_examples.
[[nodiscard]] Expected<MutationReport> mutate_examples(const Policy& policy, const ExampleFilter& filter);

}  // namespace safe_exec
