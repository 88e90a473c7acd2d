#include "output.h"

#include <cerrno>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

namespace safe_exec {

bool write_all(int fd, std::string_view bytes) {
  constexpr int kStallMs = 10000;
  // pipe(7): when poll says writable, PIPE_BUF (4096) bytes go in without blocking; more could block for ever even
  // though poll was asked.
  constexpr std::size_t kChunk = 4096;
  while (!bytes.empty()) {
    pollfd wait{fd, POLLOUT, 0};
    const int ready = ::poll(&wait, 1, kStallMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0 || (wait.revents & (POLLERR | POLLNVAL)) != 0) return false;
    const ssize_t put = ::write(fd, bytes.data(), std::min(bytes.size(), kChunk));
    if (put < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (put <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

}  // namespace safe_exec
