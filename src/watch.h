// Level 4. Watches one started launch until its tree is gone: relays and captures the streams, enforces the wall clock,
// takes the signals by which safe-exec is told to stop. Never waits without a bound.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "child.h"
#include "child_trace.h"
#include "launch.h"
#include "model.h"

namespace safe_exec {

struct Watched {
  std::optional<Message> failed;  // a set-up step: then no command was started; or Step::watch: one was, and is killed
  std::optional<Message> ended;   // the command's end
  std::vector<Message> notes;
  std::vector<RefusedCall> refused;  // of an observed command, the last ones
  bool timed_out = false;
  std::string over_limit;         // the tree, or a process of it, was killed because it had too much of this
  bool stopped_over_limit = false;  // the whole tree was
  int uncounted = 0;              // errno: the tree could not be counted always, or not all of it
  bool counted = false;           // at least once; then:
  std::int64_t memory_kib = 0;    // anonymous, of the tree, at the last look
  std::int64_t most_processes = 0;
  bool by_kernel = false;         // memory and processes were limited by a cgroup, which tells what was too much
  int cancelled = 0;              // signal
  bool ending = false;            // all of the tree is killed, but not yet gone: the time for the answer was over
  bool lingering = false;         // the tree could not be reaped in time (uninterruptible sleep)
  std::int64_t duration_ms = 0;
  Captured out, err;
};

// Error: launch_failed or internal when descriptors cannot be had, a stream cannot be read or written, or a report is
// malformed.
// taken: what earlier attempts have read of standard input, which this command is given first; and, when this one fails as
// well, what it has read, for the next.
// leave_end: once the command has ended and its output is complete, the rest of the tree is left to the reaper, which
// goes last and takes its pid namespace along; the caller waits for it (await_end). So it is when the tree is not gone soon
// after its time limit.
[[nodiscard]] Expected<Watched> watch(const Plan& plan, Launch& launch, bool leave_end, std::string& taken);

}  // namespace safe_exec
