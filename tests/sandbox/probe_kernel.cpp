// The probe's attempts on the kernel, on other processes and on the network.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

namespace probe {
namespace {

constexpr char kZero[256] = {};
char scratch[8];  // at the same place in every process of the probe
constexpr unsigned long kHigh = 1UL << 32;  // a half that the kernel drops

int clones(unsigned long flags) {
  const long pid = syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) _exit(0);
  return error_of(pid);
}

int clones3(uint64_t flags) {
  uint64_t arguments[11] = {flags, 0, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, 0};
  const long pid = syscall(SYS_clone3, arguments, sizeof arguments);
  if (pid == 0) _exit(0);
  return error_of(pid);
}

int enters(const World& w, const char* kind) {
  const std::string path = "/proc/" + std::to_string(w.victim) + "/ns/" + kind;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  return fd < 0 ? errno : error_of(syscall(SYS_setns, fd, 0));
}

int pidfd_of(const World& w) { return static_cast<int>(syscall(SYS_pidfd_open, w.victim, 0)); }

const Attempt kKernel[] = {
    CALL("unshare user", SYS_unshare, CLONE_NEWUSER),
    CALL("unshare mount", SYS_unshare, CLONE_NEWNS),
    CALL("unshare pid", SYS_unshare, CLONE_NEWPID),
    CALL("unshare net", SYS_unshare, CLONE_NEWNET),
    CALL("unshare ipc", SYS_unshare, CLONE_NEWIPC),
    CALL("unshare uts", SYS_unshare, CLONE_NEWUTS),
    CALL("unshare cgroup", SYS_unshare, CLONE_NEWCGROUP),
    CALL("unshare time", SYS_unshare, 0x80),
    CALL("unshare user and all", SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET),
    ATTEMPT("clone a user namespace", return clones(CLONE_NEWUSER);),
    ATTEMPT("clone a user namespace with a high half", return clones(CLONE_NEWUSER | kHigh);),
    ATTEMPT("clone a user and a mount namespace", return clones(CLONE_NEWUSER | CLONE_NEWNS);),
    ATTEMPT("clone3 a user namespace", return clones3(CLONE_NEWUSER);),
    ATTEMPT("clone3 into another cgroup", return clones3(0x200000000ULL);),
    ATTEMPT("enter the victim's user namespace", return enters(w, "user");),
    ATTEMPT("enter the victim's mount namespace", return enters(w, "mnt");),
    ATTEMPT("enter namespaces by pidfd", return error_of(syscall(SYS_setns, pidfd_of(w), CLONE_NEWNS));),
    ATTEMPT("mount tmpfs", return error_of(mount("none", w.ws.c_str(), "tmpfs", 0, nullptr));),
    ATTEMPT("bind mount", return error_of(mount("/", w.ws.c_str(), nullptr, MS_BIND | MS_REC, nullptr));),
    ATTEMPT("remount / writable", return error_of(mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND, nullptr));),
    ATTEMPT("unmount /", return error_of(umount2("/", MNT_DETACH));),
    ATTEMPT("unmount the operand", return error_of(umount2(w.granted.c_str(), MNT_DETACH));),
    CALL("pivot_root", SYS_pivot_root, ".", "."),
    CALL("chroot", SYS_chroot, "."),
    CALL("open_tree", SYS_open_tree, AT_FDCWD, "/", 1),
    CALL("move_mount", SYS_move_mount, AT_FDCWD, "/", AT_FDCWD, ".", 0),
    CALL("fsopen", SYS_fsopen, "tmpfs", 0),
    CALL("fspick", SYS_fspick, AT_FDCWD, "/", 0),
    CALL("mount_setattr", SYS_mount_setattr, AT_FDCWD, "/", 0, kZero, 32),
    ATTEMPT("statmount", uint64_t request[3] = {24, 1, 1}; char out[512]; return error_of(syscall(457, request, out, sizeof out, 0));),
    ATTEMPT("listmount", uint64_t request[3] = {24, ~0ULL, 0}; uint64_t out[64]; return error_of(syscall(458, request, out, 64, 0));),
    ATTEMPT("io_uring", char p[120] = {}; return error_of(syscall(SYS_io_uring_setup, 1, p));),
    ATTEMPT("take the host's contexts of asynchronous I/O", unsigned long c = 0; return error_of(syscall(SYS_io_setup, 1, &c));),
    ATTEMPT("keep memory in a pipe", int p[2]; iovec v{scratch, 1}; return pipe(p) < 0 ? errno : error_of(vmsplice(p[1], &v, 1, 0));),
    ATTEMPT("bpf map", uint32_t a[32] = {1, 4, 4, 1}; return error_of(syscall(SYS_bpf, 0, a, sizeof a));),
    ATTEMPT("perf_event_open", uint32_t a[28] = {1, 112}; return error_of(syscall(SYS_perf_event_open, a, 0, -1, -1, 0));),
    CALL("userfaultfd", SYS_userfaultfd, 1),
    CALL("add_key", SYS_add_key, "user", "probe", "x", 1, -2),
    CALL("request_key", SYS_request_key, "user", "probe", nullptr, -2),
    CALL("keyctl join session", SYS_keyctl, 1, nullptr, 0, 0, 0),
    CALL("keyctl read session", SYS_keyctl, 0, -3, 0, 0, 0),
    CALL("memfd_secret", SYS_memfd_secret, 0),
    ATTEMPT("seccomp listener", struct { unsigned short n; void* f; } p{1, nullptr}; struct { uint16_t c; uint8_t t, f; uint32_t k; } r{6, 0, 0, 0x7FFF0000};
            p.f = &r; return error_of(syscall(SYS_seccomp, 1, 8, &p));),
    CALL("fanotify", SYS_fanotify_init, 0x200, 0),
    CALL("quotactl", SYS_quotactl, 0x80000700, "/", 0, kZero),
    CALL("swapon", SYS_swapon, "/nonexistent", 0),
    CALL("swapoff", SYS_swapoff, "/nonexistent"),
    CALL("acct", SYS_acct, "/nonexistent"),
    CALL("reboot", SYS_reboot, 0xfee1dead, 672274793, 0, nullptr),
    CALL("kexec_load", SYS_kexec_load, 0, 0, nullptr, 0),
    CALL("init_module", SYS_init_module, kZero, 0, ""),
    CALL("finit_module", SYS_finit_module, 0, "", 0),
    CALL("delete_module", SYS_delete_module, "nonexistent", 0),
    ATTEMPT("clock_settime", timespec t{}; clock_gettime(CLOCK_REALTIME, &t); return error_of(clock_settime(CLOCK_REALTIME, &t));),
    ATTEMPT("settimeofday", const struct timezone zone{0, 0}; return error_of(syscall(SYS_settimeofday, nullptr, &zone));),
    ATTEMPT("adjtimex", timex t{}; t.modes = ADJ_TICK; t.tick = 10000; return error_of(adjtimex(&t));),
    ATTEMPT("clock_adjtime", timex t{}; t.modes = ADJ_TICK; t.tick = 10000; return error_of(clock_adjtime(CLOCK_REALTIME, &t));),
    CALL("sethostname", SYS_sethostname, "probe", 5),
    CALL("setdomainname", SYS_setdomainname, "probe", 5),
    CALL("vhangup", SYS_vhangup),
#ifdef SYS_ioperm
    CALL("ioperm", SYS_ioperm, 0x80, 1, 1),
    CALL("iopl", SYS_iopl, 3),
    ATTEMPT("modify_ldt", uint32_t d[4] = {0, 0, 0xFFFFF, 0x51}; return error_of(syscall(SYS_modify_ldt, 1, d, sizeof d));),
#endif
    CALL("a system call of the future", 1000),
    ATTEMPT("TIOCSTI", char c = 'x'; return error_of(ioctl(0, TIOCSTI, &c));),
    ATTEMPT("TIOCSTI with a high half", char c = 'x'; return error_of(syscall(SYS_ioctl, 0, TIOCSTI | kHigh, &c));),
    ATTEMPT("TIOCLINUX", char c = 2; return error_of(ioctl(0, 0x541C, &c));),
    ATTEMPT("open a terminal", return open_for("/dev/tty", O_RDWR);),
    ATTEMPT("open /dev/ptmx", return open_for("/dev/ptmx", O_RDWR);),
    ATTEMPT("open /dev/kmsg", return open_for("/dev/kmsg", O_RDONLY);),
    ATTEMPT("open /dev/mem", return open_for("/dev/mem", O_RDONLY);),
    ATTEMPT("open /dev/kvm", return open_for("/dev/kvm", O_RDWR);),
    ATTEMPT("open /dev/fuse", return open_for("/dev/fuse", O_RDWR);),
    ATTEMPT("open /dev/net/tun", return open_for("/dev/net/tun", O_RDWR);),
    ATTEMPT("open /dev/loop-control", return open_for("/dev/loop-control", O_RDWR);),
    ATTEMPT("open a disk", for (const char* name : {"/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/xvda"}) { if (open_for(name, O_RDONLY) == 0) return 0; } return ENOENT;),
    ATTEMPT("write the core pattern", return open_for("/proc/sys/kernel/core_pattern", O_WRONLY);),
    ATTEMPT("write sysrq", return open_for("/proc/sysrq-trigger", O_WRONLY);),
    ATTEMPT("write its own oom_score_adj", return open_for("/proc/self/oom_score_adj", O_WRONLY);),
    ATTEMPT("write its own uid_map", return open_for("/proc/self/uid_map", O_WRONLY);),
    ATTEMPT("make a cgroup", for (const char* at : {"/sys/fs/cgroup/probe", "/sys/fs/cgroup/unified/probe"}) { if (mkdir(at, 0700) == 0) { rmdir(at); return 0; } } return errno;),
    ATTEMPT("become another user", const uid_t u = getuid() + 1; return error_of(setresuid(u, u, u));),
    ATTEMPT("become root", return getuid() == 0 ? EPERM : error_of(setuid(0));),
    ATTEMPT("become another group", const gid_t g = getgid() + 1; return error_of(setresgid(g, g, g));),
    ATTEMPT("set supplementary groups", const gid_t g = 0; return error_of(setgroups(1, &g));),
    ATTEMPT("regain capabilities", __user_cap_header_struct h{_LINUX_CAPABILITY_VERSION_3, 0}; __user_cap_data_struct d[2] = {{1U << 21, 1U << 21, 0}, {0, 0, 0}};
            return error_of(syscall(SYS_capset, &h, d));),
    ATTEMPT("raise an ambient capability", return error_of(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0));),
    ATTEMPT("change securebits", return error_of(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_NOROOT));),
    ATTEMPT("take no_new_privs back", return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 ? 0 : error_of(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));),
    ATTEMPT("change its memory map", return error_of(prctl(PR_SET_MM, PR_SET_MM_BRK, 0, 0, 0));),
};

template <typename Act>
int on_group(const World& w, Act act) {  // of the victim, which leads one
  return w.victim <= 0 ? ESRCH : error_of(act(w.victim));
}

const Attempt kProcesses[] = {
    ATTEMPT("trace the victim", return error_of(syscall(SYS_ptrace, 0x4206, w.victim, 0, 0));),
    ATTEMPT("trace its parent", return error_of(syscall(SYS_ptrace, 0x4206, getppid(), 0, 0));),
    ATTEMPT("read the victim's memory by system call", char b[8]; const iovec l{b, 8}; const iovec r{reinterpret_cast<void*>(0x400000), 8};
            return error_of(process_vm_readv(w.victim, &l, 1, &r, 1, 0));),
    ATTEMPT("write its parent's memory", const iovec r{scratch, 8};
            return error_of(process_vm_writev(getppid(), &r, 1, &r, 1, 0));),
    ATTEMPT("take a descriptor of the victim", return error_of(syscall(SYS_pidfd_getfd, pidfd_of(w), 0, 0));),
    ATTEMPT("take a descriptor of its parent", return error_of(syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, getppid(), 0), 0, 0));),
    CALL("compare with the victim", SYS_kcmp, w.victim, getpid(), 1, 0, 0),
    ATTEMPT("advise the victim's memory", const iovec r{reinterpret_cast<void*>(0x400000), 4096}; return error_of(syscall(SYS_process_madvise, pidfd_of(w), &r, 1, 20, 0));),
    CALL("move the victim's pages", SYS_move_pages, w.victim, 0, nullptr, nullptr, nullptr, 0),
    CALL("migrate the victim's pages", SYS_migrate_pages, w.victim, 0, nullptr, nullptr),
    ATTEMPT("signal the victim", return error_of(kill(w.victim, SIGURG));),
    ATTEMPT("signal the victim's thread", return error_of(syscall(SYS_tgkill, w.victim, w.victim, SIGURG));),
    ATTEMPT("signal the victim by pidfd", return error_of(syscall(SYS_pidfd_send_signal, pidfd_of(w), SIGURG, nullptr, 0));),
    ATTEMPT("queue a signal to the victim", siginfo_t i{}; i.si_signo = SIGURG; i.si_code = SI_QUEUE; return error_of(syscall(SYS_rt_sigqueueinfo, w.victim, SIGURG, &i));),
    ATTEMPT("signal the victim's group", return on_group(w, [](int group) { return kill(-group, SIGURG); });),
    ATTEMPT("signal everybody", const int before = kill(w.victim, 0); kill(-1, SIGURG); return before == 0 ? 0 : EPERM;),
    ATTEMPT("have the kernel signal the victim", int p[2]; if (pipe2(p, O_CLOEXEC) < 0) return errno; fcntl(p[0], F_SETSIG, SIGURG);
            if (fcntl(p[0], F_SETOWN, w.victim) < 0) return errno; fcntl(p[0], F_SETFL, O_ASYNC); if (write(p[1], "x", 1) != 1) return errno;
            return error_of(kill(w.victim, 0));),
    ATTEMPT("kill the reaper", if (w.reaper <= 0) return ESRCH; if (kill(w.reaper, SIGKILL) < 0) return errno; usleep(50000); return kill(w.reaper, 0) == 0 ? EPERM : 0;),
    ATTEMPT("signal the reaper", if (w.reaper <= 0) return ESRCH; if (w.reaper == 1) { kill(1, SIGSTOP); return EPERM; } return error_of(kill(w.reaper, SIGCONT));),
    ATTEMPT("renice the victim", return error_of(setpriority(PRIO_PROCESS, static_cast<id_t>(w.victim), 1));),
    ATTEMPT("renice the victim's group", return on_group(w, [](int group) { return setpriority(PRIO_PGRP, static_cast<id_t>(group), 1); });),
    ATTEMPT("change the victim's scheduling", const sched_param p{0}; return error_of(sched_setscheduler(w.victim, SCHED_BATCH, &p));),
    ATTEMPT("change the victim's scheduling attributes", uint32_t a[14] = {56, SCHED_BATCH}; return error_of(syscall(SYS_sched_setattr, w.victim, a, 0));),
    ATTEMPT("pin the victim to a processor", cpu_set_t set; CPU_ZERO(&set); CPU_SET(0, &set); return error_of(sched_setaffinity(w.victim, sizeof set, &set));),
    CALL("change the victim's I/O priority", SYS_ioprio_set, 1, w.victim, 2 << 13 | 7),
    CALL("change the I/O priority of the victim's group", SYS_ioprio_set, 2, w.victim, 2 << 13 | 7),
    ATTEMPT("limit the victim", const rlimit l{0, RLIM_INFINITY}; return error_of(syscall(SYS_prlimit64, w.victim, RLIMIT_CORE, &l, nullptr));),
    ATTEMPT("read the victim's limits", rlimit l{}; return error_of(syscall(SYS_prlimit64, w.victim, RLIMIT_CORE, nullptr, &l));),
    ATTEMPT("share the victim's core cookie", return error_of(prctl(62, 3, w.victim, 0, 0));),
    ATTEMPT("shared memory", const int id = shmget(IPC_PRIVATE, 4096, 0600); return id < 0 ? errno : error_of(shmctl(id, IPC_RMID, nullptr));),
    ATTEMPT("semaphores", const int id = semget(IPC_PRIVATE, 1, 0600); return id < 0 ? errno : error_of(semctl(id, 0, IPC_RMID));),
    ATTEMPT("message queues", const int id = msgget(IPC_PRIVATE, 0600); return id < 0 ? errno : error_of(msgctl(id, IPC_RMID, nullptr));),
    ATTEMPT("POSIX message queues", const long fd = syscall(SYS_mq_open, "safe-exec-probe", O_CREAT | O_RDWR, 0600, nullptr);
            if (fd < 0) return errno; syscall(SYS_mq_unlink, "safe-exec-probe"); return 0;),
};

int socket_of(int family, int type, int protocol) { return error_of(socket(family, type | SOCK_CLOEXEC, protocol)); }

int connects_tcp(const World& w, int protocol) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, protocol);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(w.tcp));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return fd < 0 ? errno : error_of(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to));
}

// fd to a path, or to an abstract name when it begins with '@'.
int to_unix(int fd, const std::string& name, bool datagram) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  if (fd < 0) return errno;
  if (name.empty() || name.size() >= sizeof to.sun_path) return EINVAL;
  memcpy(to.sun_path, name.data(), name.size());
  if (name[0] == '@') to.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  const auto* const address = reinterpret_cast<const sockaddr*>(&to);
  return error_of(datagram ? sendto(fd, "x", 1, MSG_DONTWAIT, address, size) : connect(fd, address, size));
}

int unix_socket(int type) { return socket(AF_UNIX, type | SOCK_CLOEXEC, 0); }

int half_of_pair(int type) {  // socketpair(2) makes Unix sockets too, and a datagram one reaches any name
  int pair[2];
  return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0 ? -1 : pair[0];
}

const Attempt kNetwork[] = {
    ATTEMPT("connect by TCP", return connects_tcp(w, 0);),
    ATTEMPT("connect by MPTCP", return connects_tcp(w, 262);),
    ATTEMPT("connect by TCP, family with a high half", return error_of(syscall(SYS_socket, AF_INET | kHigh, SOCK_STREAM, 0));),
    ATTEMPT("listen on TCP", const int fd = socket(AF_INET, SOCK_STREAM, 0); return fd < 0 ? errno : error_of(listen(fd, 1));),
    ATTEMPT("send by UDP", const int fd = socket(AF_INET, SOCK_DGRAM, 0); if (fd < 0) return errno; sockaddr_in to{}; to.sin_family = AF_INET;
            to.sin_port = htons(static_cast<uint16_t>(w.udp)); to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            return error_of(sendto(fd, "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to));),
    ATTEMPT("IPv6", return socket_of(AF_INET6, SOCK_STREAM, 0);),
    ATTEMPT("ping", return socket_of(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);),
    ATTEMPT("a raw socket", return socket_of(AF_INET, SOCK_RAW, IPPROTO_ICMP);),
    ATTEMPT("SCTP", return socket_of(AF_INET, SOCK_STREAM, 132);),
    ATTEMPT("AF_PACKET", return socket_of(AF_PACKET, SOCK_RAW, 0x300);),
    ATTEMPT("AF_NETLINK route", return socket_of(AF_NETLINK, SOCK_RAW, 0);),
    ATTEMPT("AF_NETLINK generic", return socket_of(AF_NETLINK, SOCK_RAW, 16);),
    ATTEMPT("AF_NETLINK uevent", return socket_of(AF_NETLINK, SOCK_DGRAM, 15);),
    ATTEMPT("AF_ALG", return socket_of(AF_ALG, SOCK_SEQPACKET, 0);),
    ATTEMPT("AF_VSOCK", return socket_of(AF_VSOCK, SOCK_STREAM, 0);),
    ATTEMPT("AF_BLUETOOTH", return socket_of(AF_BLUETOOTH, SOCK_RAW, 1);),
    ATTEMPT("AF_CAN", return socket_of(AF_CAN, SOCK_RAW, 1);),
    ATTEMPT("AF_KEY", return socket_of(AF_KEY, SOCK_RAW, 2);),
    ATTEMPT("AF_XDP", return socket_of(44, SOCK_RAW, 0);),
    ATTEMPT("AF_TIPC", return socket_of(30, SOCK_STREAM, 0);),
    ATTEMPT("AF_QIPCRTR", return socket_of(42, SOCK_DGRAM, 0);),
    ATTEMPT("a Unix socket by path", return to_unix(unix_socket(SOCK_STREAM), w.unix_path, false);),
    ATTEMPT("a Unix socket by abstract name", return to_unix(unix_socket(SOCK_STREAM), "@" + w.abstract, false);),
    ATTEMPT("a Unix datagram by path", return to_unix(unix_socket(SOCK_DGRAM), w.unix_path + ".dgram", true);),
    ATTEMPT("a Unix datagram by path from a pair", return to_unix(half_of_pair(SOCK_DGRAM), w.unix_path + ".dgram", true);),
    ATTEMPT("a Unix datagram by path from a raw pair", return to_unix(half_of_pair(SOCK_RAW), w.unix_path + ".dgram", true);),
    ATTEMPT("a Unix datagram by abstract name from a pair", return to_unix(half_of_pair(SOCK_DGRAM), "@" + w.abstract + ".dgram", true);),
    ATTEMPT("a Unix stream from a pair", return to_unix(half_of_pair(SOCK_STREAM), w.unix_path, false);),
    ATTEMPT("listen on an abstract name", const int fd = unix_socket(SOCK_STREAM); if (fd < 0) return errno; sockaddr_un at{}; at.sun_family = AF_UNIX;
            return error_of(bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at.sun_family));),
    ATTEMPT("a pair outside of Unix", int pair[2]; return error_of(socketpair(AF_TIPC, SOCK_STREAM, 0, pair));),
};

}  // namespace

std::span<const Attempt> kernel() { return kKernel; }
std::span<const Attempt> processes() { return kProcesses; }
std::span<const Attempt> network() { return kNetwork; }

}  // namespace probe
