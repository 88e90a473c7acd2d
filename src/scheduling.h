// Level 3. How a process is on time among a thousand that run, or end, all at once. Plain data, also for code after the fork.
#pragma once

#include <sched.h>
#include <stdint.h>

namespace safe_exec {

struct SchedulerAttributes {  // struct sched_attr of sched_setattr(2), whose header has another sched_param than libc's
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t slice, deadline, period;  // ns
};

// The kernel takes first whose slice ends first, and since Linux 6.12 lets everybody have a shorter one of his own: 0.1 ms is the
// least, 0 as everybody's. SCHED_BATCH becomes SCHED_OTHER by it; to SCHED_IDLE it is refused.
inline SchedulerAttributes with_slice(uint64_t slice, int32_t nice) {
  return {sizeof(SchedulerAttributes), SCHED_OTHER, 0, nice, 0, slice, 0, 0};
}

inline constexpr uint64_t kShortestSlice = 100000;

}  // namespace safe_exec
