// The probe's attempts that go through a whole range: every family, operation, flag and limit.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

namespace probe {
namespace {

char zeros[4096];

// Whether any call of a range passes; if none does, the last one's errno.
template <typename Call>
int any(long from, long to, Call call) {
  for (long i = from; i < to; ++i) {
    if (call(i) >= 0) return 0;
  }
  return errno;
}

int any_socket(unsigned long high) {
  for (const int type : {1, 2, 3, 4, 5, 10}) {
    if (any(0, 64, [&](long family) { return syscall(SYS_socket, static_cast<unsigned long>(family) | high, type, 0); }) == 0) return 0;
  }
  return errno;
}

int any_pair() {  // but the two kinds of Unix pair that reach nobody else
  int pair[2];
  for (const int type : {1, 2, 3, 4, 5}) {
    for (int family = 0; family < 64; ++family) {
      if (family == AF_UNIX && (type == SOCK_STREAM || type == SOCK_SEQPACKET)) continue;
      if (socketpair(family, type, 0, pair) == 0) return 0;
    }
  }
  return errno;
}

int connects_unix(const char* path) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  const size_t size = strlen(path);
  memcpy(to.sun_path, path, size);
  if (path[0] == '@') to.sun_path[0] = '\0';
  for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
    const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    if (connect(fd, reinterpret_cast<const sockaddr*>(&to), static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size)) == 0) return 0;
  }
  return errno;
}

int service(std::initializer_list<const char*> paths) {
  for (const char* const path : paths) {
    if (connects_unix(path) == 0) return 0;
  }
  return errno;
}

int any_device() {
  constexpr const char* kNames[] = {"tty0", "tty1", "ttyS0", "console", "pts/0", "vcs", "mem", "port", "kmsg", "kvm", "fuse", "cuse", "net/tun",
                                    "loop0", "loop-control", "vhost-net", "vhost-vsock", "vsock", "uinput", "input/event0", "input/mice", "dri/card0",
                                    "dri/renderD128", "snd/control", "rtc0", "hpet", "cpu_dma_latency", "watchdog", "userfaultfd", "mapper/control",
                                    "rfkill", "vga_arbiter", "autofs", "btrfs-control", "vfio/vfio", "hwrng", "nvram", "udmabuf", "dma_heap/system",
                                    "ram0", "dm-0", "sr0", "cpu/0/msr", "bus/usb/001/001", "mqueue/x", "shm/x", "log", "initctl"};
  int error = ENOENT;
  for (const char* const name : kNames) {
    const int one = open_for(std::string("/dev/") + name, O_RDONLY);
    if (one == 0) return 0;
    if (one != ENOENT) error = one;
  }
  return error;
}

// A hard limit that can be put up again was none.
int raises_a_limit() {
  for (int resource = 0; resource < RLIMIT_NLIMITS; ++resource) {
    rlimit now{};
    if (getrlimit(static_cast<__rlimit_resource>(resource), &now) < 0 || now.rlim_max == RLIM_INFINITY) continue;
    const rlimit more{now.rlim_max + 1, now.rlim_max + 1};
    rlimit then{};
    if (setrlimit(static_cast<__rlimit_resource>(resource), &more) < 0) continue;
    if (getrlimit(static_cast<__rlimit_resource>(resource), &then) < 0 || then.rlim_max > now.rlim_max) return 0;  // not only said so
  }
  return EPERM;
}

int any_identity() {
  const uid_t other = getuid() + 1;
  if (setuid(other) == 0 || setreuid(other, other) == 0 || setgid(other) == 0 || setregid(other, other) == 0) return 0;
  setfsuid(other);
  if (static_cast<uid_t>(setfsuid(getuid())) == other) return 0;
  setfsgid(other);
  return static_cast<gid_t>(setfsgid(getgid())) == other ? 0 : EPERM;
}

int any_capability() {
  for (unsigned bit = 0; bit <= CAP_LAST_CAP; ++bit) {  // capset(2) ignores what lies above
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0) == 0) return 0;
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2] = {};
    data[bit / 32] = {0, 1U << bit % 32, 1U << bit % 32};
    if (syscall(SYS_capset, &header, data) == 0) return 0;
  }
  return EPERM;
}

long threads(int wanted) {
  static char stacks[1024][256];
  for (int i = 0; i < wanted; ++i) {
    const auto entry = +[](void*) -> int { for (;;) pause(); };
    if (clone(entry, stacks[i] + sizeof stacks[i], CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, nullptr) < 0) return -1;
  }
  return 0;
}

const Attempt kSurface[] = {
    ATTEMPT("a socket of any family", return any_socket(0);),
    ATTEMPT("a socket of any family with a high half", return any_socket(1UL << 32);),
    ATTEMPT("a pair of any other family", return any_pair();),
    ATTEMPT("the system's message bus", return service({"/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket"});),
    ATTEMPT("the service manager", return service({"/run/systemd/private", "/run/systemd/notify", "/run/systemd/journal/socket", "/dev/log"});),
    ATTEMPT("the container engine", return service({"/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock"});),
    ATTEMPT("the display server", return service({"@/tmp/.X11-unix/X0", "/tmp/.X11-unix/X0", "/run/user/1000/wayland-0", "/run/user/0/wayland-0"});),
    ATTEMPT("any unshare flag", return any(0, 32, [](long bit) { return syscall(SYS_unshare, 1UL << bit); });),
    ATTEMPT("any namespace by clone", for (const unsigned long flag : {0x20000UL, 0x2000000UL, 0x4000000UL, 0x8000000UL, 0x10000000UL, 0x20000000UL, 0x40000000UL}) {
              const long pid = syscall(SYS_clone, flag | SIGCHLD, nullptr, nullptr, nullptr, nullptr); if (pid == 0) _exit(0); if (pid > 0) return 0; } return errno;),
    ATTEMPT("any namespace of pid 1", for (const char* kind : {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"}) {
              const int fd = open((std::string("/proc/1/ns/") + kind).c_str(), O_RDONLY); if (fd >= 0 && syscall(SYS_setns, fd, 0) == 0) return 0; } return errno;),
    ATTEMPT("any operation of keyctl", return any(0, 40, [](long operation) { return syscall(SYS_keyctl, operation, -3, 0, 0, 0); });),
    ATTEMPT("any command of bpf", return any(0, 40, [](long command) { return syscall(SYS_bpf, command, zeros, 128); });),
    ATTEMPT("any action of syslog", return any(2, 11, [](long action) { return action == 5 ? -1 : syscall(SYS_syslog, action, zeros, 16); });),
    ATTEMPT("any clock set", return any(0, 12, [](long clock) { timespec now{}; clock_gettime(static_cast<clockid_t>(clock), &now); return clock_settime(static_cast<clockid_t>(clock), &now); });),
    ATTEMPT("any operation of io_uring", return any(SYS_io_uring_setup, SYS_io_uring_setup + 3, [](long number) { return syscall(number, 1, zeros, 0, 0, nullptr, 0); });),
    ATTEMPT("any call of the mount API", constexpr int kCalls[] = {428, 429, 430, 431, 432, 433, 442, 457, 458, 467, 470}; for (const int number : kCalls) { if (syscall(number, AT_FDCWD, "/", 1, zeros, 32, 0) >= 0) return 0; } return errno;),
    ATTEMPT("any execution domain", return any(0, 32, [](long bit) { return bit == 3 || bit == 17 ? -1 : syscall(SYS_personality, 1UL << bit); });),
    ATTEMPT("any way to change its memory map", return any(1, 15, [](long option) { return prctl(PR_SET_MM, option, zeros, 0, 0); });),
    ATTEMPT("any other real-time policy", return any(1, 7, [](long policy) { uint32_t a[14] = {56, static_cast<uint32_t>(policy), 0, 0, 0, 1, 1000000, 0, 10000000, 0, 10000000, 0};
            return policy == SCHED_BATCH || policy == SCHED_IDLE || policy == 4 ? -1 : syscall(SYS_sched_setattr, 0, a, 0); });),
    ATTEMPT("real-time I/O", return error_of(syscall(SYS_ioprio_set, 1, 0, 1 << 13));),
    ATTEMPT("a core of its own", return error_of(prctl(62 /* PR_SCHED_CORE */, 1, 0, 0, 0));),
    ATTEMPT("wake the machine", timer_t t{}; if (timerfd_create(CLOCK_REALTIME_ALARM, 0) >= 0) return 0; return error_of(syscall(SYS_timer_create, CLOCK_BOOTTIME_ALARM, nullptr, &t));),
    ATTEMPT("load a kernel", return error_of(syscall(SYS_kexec_file_load, -1, -1, 0, "", 0)) == EPERM ? EPERM : 0;),
    ATTEMPT("quotas by descriptor", return error_of(syscall(443, open("/", O_PATH), 0x80000700, 0, zeros));),
    ATTEMPT("a console of its own", return error_of(ioctl(1, 0x541D /* TIOCCONS */));),
    ATTEMPT("a line discipline", int n = 21; return error_of(ioctl(0, 0x5423 /* TIOCSETD */, &n));),
    ATTEMPT("paste into a terminal with a high half", char c = 3; return error_of(syscall(SYS_ioctl, 0, 0x541CUL | 0xABCD00000000UL, &c));),
    ATTEMPT("any other device", return any_device();),
    ATTEMPT("any other user or group", return any_identity();),
    ATTEMPT("no supplementary group", return getgroups(0, nullptr) == 0 && getuid() != 0 ? EPERM : error_of(setgroups(0, nullptr));),
    ATTEMPT("any capability", return any_capability();),
    ATTEMPT("keep capabilities", return error_of(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));),
    ATTEMPT("any limit raised", return raises_a_limit();),
    ATTEMPT("a pipe of 16 MiB", int p[2]; if (pipe(p) < 0) return errno; return error_of(fcntl(p[0], F_SETPIPE_SZ, 1 << 24));),
    ATTEMPT("huge pages", void* at = mmap(nullptr, 1 << 21, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0); return at == MAP_FAILED ? errno : 0;),
    ATTEMPT("lock all memory", static char block[1 << 22]; memset(block, 1, sizeof block); return error_of(mlockall(MCL_CURRENT | MCL_FUTURE));),
    ATTEMPT("start a thousand threads", return error_of(threads(1000));),
#if defined(__x86_64__)
    ATTEMPT("any obsolete call", constexpr int kCalls[] = {156, 174, 177, 178, 180, 181, 182, 183, 184, 185, 212, 236}; for (const int number : kCalls) {
              if (syscall(number, zeros, zeros, zeros) >= 0) return 0; } return errno;),
#endif
};

}  // namespace

std::span<const Attempt> surface() { return kSurface; }

}  // namespace probe
