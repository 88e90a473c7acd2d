// Level 3. Resource limits of the command: rlimits, and where these count for nothing a cgroup, or a process limit of the
// pid namespace's own.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "child.h"
#include "confine/cgroup.h"
#include "confine/namespaces.h"
#include "model.h"

namespace safe_exec {

struct LimitPlan {
  std::vector<Limit> limits;
  std::string pid_max;  // written to the pid namespace's kernel.pid_max; empty: not
  std::string detail;   // how this host limits otherwise than the plan says
  std::int64_t cpu_s = 0;  // as it holds; 0: not limited
  bool partial = false; // less than the plan says
  bool counted = false;           // the tree's memory and processes can be counted while it runs
  bool unbound_processes = false; // the kernel refuses none
  std::optional<Cgroup> cgroup;   // limits memory and processes of the whole tree
};

// Who is told when the command crashes: the first byte of kernel.core_pattern. '|': a handler, unless the limit of core dumps is 1
// (core(5)); '@': a socket (Linux 6.16), whatever the limit. What cannot be read counts as a handler.
[[nodiscard]] char told_of_crashes();

// The limit of descriptors alone, which is set even where no other is: 0 for none of the policy's.
[[nodiscard]] LimitPlan plan_descriptors(std::int64_t open_files);
// What to say where the kernel refuses no process.
[[nodiscard]] std::string unbound_processes(const LimitPlan& plan);
// The cgroup that the command is to be born in; nullopt: there is none. It is looked for only where without it something
// would hold in part, or the policy demands the limits: making one costs more than the rest of a start.
[[nodiscard]] std::optional<Cgroup> make_cgroup(const Plan& plan, const Namespaces& namespaces);
// told: told_of_crashes().
[[nodiscard]] LimitPlan plan_limits(const EffectiveLimits& asked, const Namespaces& namespaces, std::optional<Cgroup> cgroup, char told);

}  // namespace safe_exec
