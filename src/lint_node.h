// Level 1. Private to the lint*.cpp files: one node as the rules see it, and the table of rules. A rule reports places; the
// walk (lint.cpp) decides what of that is ignored.
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "effective.h"
#include "lint.h"
#include "pattern.h"

namespace safe_exec {

// What is the same for every node of a policy.
struct LintFacts {
  const Policy& policy;
  const Distrust& distrust;
  PatternCache& patterns;
  std::vector<std::string> written;              // roots that some command may write, expanded
  std::set<std::pair<std::string, std::string>> uncovered;  // command, pointer: no example exercises it
  std::function<std::string(const Root&)> expand;  // empty: no value
};

struct LintNode {
  const LintFacts& facts;
  const Command& command;
  std::vector<const Node*> nodes;  // the command first
  Effective settings;
  std::function<void(Place, std::string)> report;

  [[nodiscard]] const Node& node() const { return *nodes.back(); }
  [[nodiscard]] bool top() const { return nodes.size() == 1; }
  // Whether a predicate holds of the command's name or of the name of one of its programs.
  [[nodiscard]] bool is_program(const std::function<bool(std::string_view)>& predicate) const;
  [[nodiscard]] bool emits_separator() const;
  [[nodiscard]] bool is_injected(std::string_view text) const;  // by inject or an option that is always emitted
};

struct LintCheck {
  FindingRule rule;
  void (*run)(const LintNode& node);
};

// lint_arguments.cpp: programs, their options and operands
[[nodiscard]] std::span<const LintCheck> argument_checks();
// lint_grants.cpp: what the sandbox, the environment and the paths give
[[nodiscard]] std::span<const LintCheck> grant_checks();

}  // namespace safe_exec
