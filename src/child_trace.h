// Level 4. Observes a command's refused system calls for a diagnosis. After the fork: system calls only.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace safe_exec {

inline constexpr size_t kObservedText = 1024;  // what is longer is cut
inline constexpr char kUnknownDirectory[] = "?";

// One refused call.
struct RefusedCall {
  enum Kind : uint32_t { error = 1, killed = 2 };  // killed: by the filter, with SIGSYS
  uint32_t kind;
  uint32_t number;
  uint32_t architecture;  // AUDIT_ARCH_*
  int32_t error_number;
  uint64_t instruction;
  uint64_t arguments[6];
  char text[kObservedText];  // the path or the socket address it was about; empty: none, or it could not be read
  // From where a relative path goes. Of a descriptor: absolute, or empty: it cannot be known. Else the working directory: empty, the
  // one that the command began with; relative, below that; kUnknownDirectory.
  char directory[kObservedText];
};

// Which argument of a call is the directory from which its relative path goes; -1: it goes from the working directory.
[[nodiscard]] int directory_argument(uint32_t number) noexcept;

struct TracedTask {
  long pid;  // 0: free
  char directory[kObservedText];  // as RefusedCall's
  RefusedCall call;
};
inline constexpr size_t kTracedTasks = 64;  // what more there are is let run unseen
inline constexpr size_t kMaxRefused = 512;  // the last ones are kept

// In the memory that the reaper shares with the supervisor, so that no call is lost for want of a reader.
struct Observer {
  bool started;    // the command has executed
  bool alone;      // this process has a working directory of its own
  TracedTask tasks[kTracedTasks];
  uint64_t count;  // of all refused calls; the last of them lie at their number modulo kMaxRefused
  RefusedCall refused[kMaxRefused];
};

// In the command, before the filter is loaded. The negative error of ptrace(2), or 0.
[[nodiscard]] long offer_to_be_observed() noexcept;

// In the reaper: looks at one that wait4(2) says is stopped, and lets it go on.
void observe(Observer& observer, long pid, int status) noexcept;
// And at one that has ended.
void observe_end(Observer& observer, long pid, int status) noexcept;

}  // namespace safe_exec
