// Level 3. The one clock that time limits are kept by.
#pragma once

#include <time.h>

#include <cstdint>

namespace safe_exec {

inline std::int64_t monotonic_ms() {
  timespec now{};
  (void)::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

}  // namespace safe_exec
