// Owns reading to the end, and no further than 8 MiB. No owner rule: what is read here grants nothing.
#include "input.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "beneath.h"
#include "supervise.h"

namespace safe_exec {

namespace {

// Until fd can be read. Whoever waits for a request must end when told to, and the signals for that are blocked
// (prepare_process). The one that came, which stays pending; 0: none.
int await_input(int fd) {
  sigset_t stop, blocked;
  sigemptyset(&stop);
  (void)::sigprocmask(SIG_BLOCK, nullptr, &blocked);
  for (const int number : kStopSignals) {
    if (sigismember(&blocked, number) == 1) sigaddset(&stop, number);
  }
  const UniqueFd signals(::signalfd(-1, &stop, SFD_CLOEXEC));  // without one (EMFILE) it is negative, and not looked at
  pollfd both[] = {{fd, POLLIN, 0}, {signals.get(), POLLIN, 0}};
  while (::poll(both, 2, -1) < 0 && errno == EINTR) {
  }
  if (both[1].revents == 0) return 0;
  (void)::sigpending(&blocked);
  for (const int number : kStopSignals) {
    if (sigismember(&blocked, number) == 1) return number;
  }
  return SIGTERM;
}

}  // namespace

Expected<std::string> read_input(const std::string& name, ErrorCode code, const std::string& what) {
  const auto fail = [&](int error, const std::string& why) {
    Error out;
    out.code = code;
    out.step = what;
    out.sys_errno = error;
    out.message = "the " + what + " " + name + " " + why + (error == 0 ? "" : ": " + errno_text(error));
    return tl::make_unexpected(std::move(out));
  };
  UniqueFd opened;
  if (name != "-") {
    opened.reset(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));  // a FIFO waits for nobody
    if (!opened) return fail(errno, "cannot be opened");
  }
  const int fd = name == "-" ? STDIN_FILENO : opened.get();
  std::string text;
  std::size_t used = 0;
  for (;;) {
    if (const int number = await_input(fd); number != 0) {
      auto stopped = fail(0, std::string("was awaited when SIG") + ::sigabbrev_np(number) + " told safe-exec to stop");
      stopped.value().signal = number;
      return stopped;
    }
    text.resize(used + 65536);
    const ssize_t got = ::read(fd, text.data() + used, text.size() - used);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return fail(errno, "cannot be read");
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
    if (used > json::kMaxBytes) return fail(0, "is larger than 8 MiB");
  }
  text.resize(used);
  return text;
}

}  // namespace safe_exec
