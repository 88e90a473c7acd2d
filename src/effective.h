// Level 1. What is in force for one node: built-in defaults, the file's defaults, then every node from the command
// down (POLICY.md section 2: key by key; env, limits and sandbox member by member; arrays replace).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "model.h"

namespace safe_exec {

// Points into the Policy; lives no longer than it.
struct Effective {
  std::vector<const EnvRule*> env;  // one a name, in the order in which names first appear
  const std::vector<std::string>* unsafe_env = nullptr;
  StdinRule stdin_rule;
  const std::vector<Root>* cwd = nullptr;  // null: the default of POLICY.md section 4
  std::optional<std::int64_t> max_args;
  std::int64_t timeout_ms = 30000, stdout_bytes = 50000, stderr_bytes = 10000;
  EffectiveLimits limits;
  const std::vector<Root>*read = nullptr, *write = nullptr, *read_only = nullptr, *exec = nullptr, *unix_sockets = nullptr;
  const std::vector<Root>* kept = nullptr;  // read_only of the defaults, which no nearer one lifts for what a request names
  bool exec_self = false;
  Network network;
  Proc proc = Proc::none;
  Tmp tmp = Tmp::none;
  Syscalls syscalls = Syscalls::standard;
  const std::vector<Bundle>* bundles = nullptr;
  std::map<Layer, Requirement> layers;  // every layer
  std::set<Layer> demanded;             // those that the policy itself requires
  std::vector<int> exit_ok{0};
  bool repeatable = false;
};

// nodes: the command first.
[[nodiscard]] Effective effective_settings(const Command& command, const std::vector<const Node*>& nodes);

// How far a command's granted directories are looked through: as its own file says, and never less than the one that was
// asked for does, where it says anything.
[[nodiscard]] DenyWalk deny_walk_of(const Policy& policy, const Command& command);

}  // namespace safe_exec
