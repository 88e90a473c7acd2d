// Level 1. What of a policy its examples exercise: every option, operand slot and runnable node, by command.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "model.h"

namespace safe_exec {

struct CoverageItem {
  std::string_view kind;  // "option", "operand", "subcommand", "command"
  std::string name;       // "git diff --stat"
  std::string pointer;
  Location location;
};

struct CommandCoverage {
  std::string command;
  std::size_t total = 0;
  std::vector<CoverageItem> missing;
};

struct Coverage {
  std::size_t total = 0, covered = 0;
  std::vector<CommandCoverage> commands;
  [[nodiscard]] std::size_t percent() const;  // rounded down; 100 when there is nothing to cover
};

// By the examples that must be allowed or must ask. Nodes that the policy denies, and options that it always adds, count
// for nothing; an option set counts once a command.
[[nodiscard]] Expected<Coverage> measure_coverage(const Policy& policy);

}  // namespace safe_exec
