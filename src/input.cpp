// Owns reading to the end, and no further than 8 MiB. No owner rule: what is read here grants nothing.
#include "input.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "beneath.h"

namespace safe_exec {

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
    opened.reset(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!opened) return fail(errno, "cannot be opened");
  }
  const int fd = name == "-" ? STDIN_FILENO : opened.get();
  std::string text;
  std::size_t used = 0;
  for (;;) {
    text.resize(used + 65536);
    const ssize_t got = ::read(fd, text.data() + used, text.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(errno, "cannot be read");
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
    if (used > json::kMaxBytes) return fail(0, "is larger than 8 MiB");
  }
  text.resize(used);
  return text;
}

}  // namespace safe_exec
