#include "output.h"

#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <string>

#include "beneath.h"
#include "clock.h"
#include "fd.h"

namespace safe_exec {
namespace {

// pipe(7): when poll says writable, PIPE_BUF (4096) bytes go in without blocking; more could block for ever even though poll was
// asked. Of a terminal it says so of one byte. There it is written to by a description of its own, which blocks nobody.
UniqueFd own_terminal(int fd) {
  if (::isatty(fd) == 0) return {};
  return UniqueFd(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

}  // namespace

bool write_all(int fd, std::string_view bytes) {
  constexpr std::int64_t kStallMs = 10000;
  constexpr int kPauseMs = 10;
  constexpr std::size_t kChunk = 4096;
  const UniqueFd terminal = own_terminal(fd);
  if (terminal) fd = terminal.get();
  std::int64_t until = monotonic_ms() + kStallMs;
  while (!bytes.empty()) {
    pollfd wait{fd, POLLOUT, 0};
    const std::int64_t left = until - monotonic_ms();
    const int ready = left <= 0 ? 0 : ::poll(&wait, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) errno = ETIMEDOUT;
    if ((wait.revents & (POLLERR | POLLNVAL)) != 0) errno = EPIPE;
    if (ready == 0 || (wait.revents & (POLLERR | POLLNVAL)) != 0) return false;
    const ssize_t put = ::write(fd, bytes.data(), std::min(bytes.size(), kChunk));
    if (put < 0 && errno == EAGAIN) (void)::poll(nullptr, 0, kPauseMs);  // room for less than a newline takes
    if (put < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (put <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(put));
    until = monotonic_ms() + kStallMs;
  }
  return true;
}

bool write_answer(std::string_view bytes) {
  if (write_all(STDOUT_FILENO, bytes)) return true;
  const std::string line = "safe-exec: the answer could not be written: " + errno_text(errno) + "\n";
  pollfd wait{STDERR_FILENO, POLLOUT, 0};  // perhaps the same pipe, which nobody reads
  if (::poll(&wait, 1, 0) == 1) (void)!::write(STDERR_FILENO, line.data(), line.size());
  return false;
}

}  // namespace safe_exec
