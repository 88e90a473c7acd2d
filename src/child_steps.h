// Level 4. What the code after the fork has in common: how a step ends that fails, and how the two processes wait for each
// other. System calls only.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "child.h"

namespace safe_exec {

// What the reaper and the command, which share memory until exec, tell each other.
struct Run {
  const ChildPlan* plan;
  int exec_fd;
  Step step;        // the command's current step
  bool join;        // the command was not born in its cgroup
  long group;       // the command's process group
  uint32_t placed;  // a Go, by the reaper: root and working directory are the command's
  uint32_t sharing; // not 0 until the command has executed or is gone (CLONE_CHILD_CLEARTID)
  uint32_t mask;    // the caller's, umask(2)
  bool overdue;     // the reaper ended the tree by itself, at its time limit
  bool more;        // there may be more to reap at once
  long unwaited;    // by which error the last wait4(2) could not say what there is; 0: it did
};

[[noreturn]] void quit(int status) noexcept;
// Ends this process; a reaper takes the command along that waits for it.
[[noreturn]] void give_up(const ChildPlan& plan) noexcept;
void send(const ChildPlan& plan, const Message& message) noexcept;
// Tells the supervisor which step failed, and ends this process. error: negative, as system calls give it.
[[noreturn]] void fail(const ChildPlan& plan, long error, Step step, size_t item = 0) noexcept;
inline long must(const ChildPlan& plan, long result, Step step, size_t item = 0) noexcept {
  if (result < 0) fail(plan, result, step, item);
  return result;
}

// Waits until a futex word is no longer what it was.
void await_change(const ChildPlan& plan, const uint32_t& futex, uint32_t from, Step step) noexcept;

// Makes the new root the working directory, so that no descriptor of it has to be kept.
void make_root(const ChildPlan& plan, bool whole_root) noexcept;
// Makes what the plan grants visible in it, and enters it.
void fill_root(const ChildPlan& plan, Run& run) noexcept;
void enter_cwd(const ChildPlan& plan) noexcept;

}  // namespace safe_exec
