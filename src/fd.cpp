#include "fd.h"

#include <unistd.h>

namespace safe_exec {

void UniqueFd::reset(int fd) noexcept {
  const int old = std::exchange(fd_, fd);
  if (old >= 0 && old != fd) (void)::close(old);  // close(2): on Linux the descriptor is gone even on EINTR
}

}  // namespace safe_exec
