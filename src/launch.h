// Level 4. One attempt to launch a plan with a given set of layers: everything the child needs is made here, before
// the fork. Decides nothing about falling back; supervise does.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "child.h"
#include "child_trace.h"
#include "confine/landlock.h"
#include "confine/limits.h"
#include "confine/mounts.h"
#include "confine/namespaces.h"
#include "confine/seccomp.h"
#include "fd.h"
#include "model.h"

namespace safe_exec {

struct Wanted {
  Namespaces namespaces;
  bool landlock = true, seccomp = true, limits = true;
};

struct Pipe {
  UniqueFd read, write;
};

struct Launch {
  Wanted wanted;
  landlock::Ruleset ruleset;
  RootPlan root;
  LimitPlan limits;
  Pipe out, err, in, report, lifeline, observed;
  UniqueFd input, proc;  // the command's stdin where it is no pipe; /proc for the sweep
  std::vector<sock_filter> filter;
  sock_fprog program{};
  Fallback fallback;
  std::vector<sock_filter> fallback_filter;
  sock_fprog fallback_program{};
  std::vector<const char*> argv, envp;
  std::string uid_map, gid_map;
  std::unique_ptr<char[]> stacks;
  std::unique_ptr<Observer> observer;
  ChildPlan child{};
  std::vector<std::string> weaker;  // what of the plan is withheld because a layer is missing
  pid_t pid = -1;
  UniqueFd pidfd;
  bool running = false;  // the reaper uses all this
};

// Frees a launch, unless its reaper is still there: in uninterruptible sleep it may outlast every patience.
void free_launch(Launch* launch) noexcept;

// Errors: sandbox_unavailable (Landlock), launch_failed (descriptors, memory).
[[nodiscard]] Expected<std::unique_ptr<Launch>> prepare_launch(const Plan& plan, const Wanted& wanted);
// Starts the reaper, which uses what launch holds until it is gone: launch has to outlive it. Afterwards the child's ends
// of the pipes are closed here. Errors: sandbox_unavailable (namespaces refused),
// launch_failed (no more processes or memory).
[[nodiscard]] Expected<void> start_launch(Launch& launch);

}  // namespace safe_exec
