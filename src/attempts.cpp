#include "attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <iterator>

#include "fd.h"
#include "output.h"

namespace safe_exec {
namespace {

bool opens(const char* path, int flags) { return static_cast<bool>(UniqueFd(::open(path, flags | O_CLOEXEC | O_NONBLOCK, 0600))); }
bool makes(int fd) { return static_cast<bool>(UniqueFd(fd)); }
bool makes(long fd) { return makes(static_cast<int>(fd)); }

// For calls that are given nothing they could act on: they pass when they get as far as finding that out.
bool passes(long result) { return result >= 0 || (errno != EPERM && errno != EACCES && errno != ENOSYS); }

bool starts_a_shell() {
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl("/bin/sh", "sh", "-c", "exit 0", nullptr);
    ::_exit(1);
  }
  int status = 1;
  return child > 0 && ::waitpid(child, &status, 0) == child && status == 0;
}

bool has_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return true;
  return (data[0].permitted | data[1].permitted | data[0].effective | data[1].effective) != 0;
}

bool has_descriptors() {
  for (int fd = 3; fd < 1024; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) return true;
  }
  return false;
}

// Whatever setrlimit(2) says: it may only look as if it were done.
bool dumps_core() {
  constexpr rlimit kAll{RLIM_INFINITY, RLIM_INFINITY};
  (void)::setrlimit(RLIMIT_CORE, &kAll);
  rlimit limit{};
  return ::getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_max > 1;
}

// In a process namespace of its own the number may be this process's, or its parent's.
bool signals(int outsider) { return outsider != ::getpid() && outsider != ::getppid() && ::kill(outsider, 0) == 0; }

bool sets_the_clock() {
  const timespec never{0, -1};
  return passes(::syscall(SYS_clock_settime, CLOCK_REALTIME, &never));  // libc would judge the time itself
}

struct Attempt {
  std::string_view name;
  bool (*succeeds)(int outsider);
};

constexpr char kNothing[128] = {};
constexpr const char* kNowhere = "/nonexistent/safe-exec";

constexpr Attempt kAttempts[] = {
    {"read /etc/passwd", [](int) { return opens("/etc/passwd", O_RDONLY); }},
    {"read the environment of process 1", [](int) { return opens("/proc/1/environ", O_RDONLY); }},
    {"list /home", [](int) { return opens("/home", O_RDONLY | O_DIRECTORY); }},
    {"write to /tmp", [](int) { return opens("/tmp", O_WRONLY | O_TMPFILE); }},
    {"write to /dev/shm", [](int) { return opens("/dev/shm", O_WRONLY | O_TMPFILE); }},
    {"change a mode", [](int) { return passes(::chmod(kNowhere, 0)); }},
    {"execute a shell", [](int) { return starts_a_shell(); }},
    {"an Internet socket", [](int) { return makes(::socket(AF_INET, SOCK_STREAM, 0)); }},
    {"a Unix socket", [](int) { return makes(::socket(AF_UNIX, SOCK_STREAM, 0)); }},
    {"a netlink socket", [](int) { return makes(::socket(AF_NETLINK, SOCK_RAW, 0)); }},
    {"mount", [](int) { return passes(::mount("none", kNowhere, "tmpfs", 0, nullptr)); }},
    {"trace another process", [](int outsider) { return passes(::ptrace(PTRACE_SEIZE, outsider, nullptr, nullptr)); }},
    {"signal another process", [](int outsider) { return signals(outsider); }},
    {"read a keyring", [](int) { return passes(::syscall(SYS_keyctl, 0, -3, 0)); }},
    {"io_uring", [](int) { return passes(::syscall(SYS_io_uring_setup, 1, kNothing)); }},
    {"BPF", [](int) { return passes(::syscall(SYS_bpf, 0, kNothing, sizeof kNothing)); }},
    {"userfaultfd", [](int) { return makes(::syscall(SYS_userfaultfd, 1)); }},
    {"shared memory of System V", [](int) { return passes(::syscall(SYS_shmget, -1, 0, 0)); }},
    {"set the clock", [](int) { return sets_the_clock(); }},
    {"gain privileges by executing", [](int) { return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1; }},
    {"use a capability", [](int) { return has_capabilities(); }},
    {"use a descriptor of the caller", [](int) { return has_descriptors(); }},
    {"dump core", [](int) { return dumps_core(); }},
    {"a user namespace", [](int) { return ::unshare(CLONE_NEWUSER) == 0; }},  // last: it changes who asks
};

}  // namespace

int try_attempts(int outsider) {
  std::string text;
  for (const Attempt& attempt : kAttempts) {
    errno = 0;
    text += (attempt.succeeds(outsider) ? "open " : "shut ") + std::string(attempt.name) + '\n';
  }
  return write_all(STDOUT_FILENO, text) ? 0 : 1;
}

std::vector<std::string> open_attempts(std::string_view printed) {
  std::vector<std::string> open;
  std::size_t answered = 0;
  for (std::size_t end = 0; (end = printed.find('\n')) != std::string_view::npos; printed.remove_prefix(end + 1), ++answered) {
    const std::string_view line = printed.substr(0, end);
    if (line.substr(0, 5) != "shut ") open.emplace_back(line.substr(line.substr(0, 5) == "open " ? 5 : 0));
  }
  if (answered != std::size(kAttempts)) open.emplace_back("not every attempt was made");
  return open;
}

}  // namespace safe_exec
