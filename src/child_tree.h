// Level 4. The descendants of the reaper where no pid namespace holds them together. After the fork: system calls only.
#pragma once

#include <stddef.h>

#include "child.h"

namespace safe_exec {

inline constexpr size_t kMaxTree = 4096;  // more are met in the next pass

struct Tree {
  int pids[kMaxTree];
  size_t count;
  bool whole;  // no process was met whose children could not be read
};

// Sends a signal to every descendant of this process that plan.proc_fd, a descriptor of /proc, shows. Returns how many.
size_t signal_tree(const ChildPlan& plan, Tree& tree, int signal) noexcept;
// Whether all of a tree were in another. After two passes with SIGKILL nobody is left then who could fork: fork(2) fails while
// it is pending.
bool is_part_of(const Tree& tree, const Tree& other) noexcept;

// All in the launch's cgroup at once, and those that are being forked: cgroups(7). Before Linux 5.14 the sweep alone has to do.
void kill_cgroup(const ChildPlan& plan) noexcept;
// Waits a moment for those that are on their way out of it.
void remove_cgroup(const ChildPlan& plan) noexcept;

}  // namespace safe_exec
