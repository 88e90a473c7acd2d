#include "confine/seccomp.h"

#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>

#include "bpf.h"

using namespace safe_exec;

namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kNative = AUDIT_ARCH_X86_64;
#else
constexpr std::uint32_t kNative = AUDIT_ARCH_AARCH64;
#endif
constexpr std::uint32_t kRefused = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t kUnknown = SECCOMP_RET_ERRNO | ENOSYS;
constexpr std::uint32_t kUnsupported = SECCOMP_RET_ERRNO | EOPNOTSUPP;
constexpr std::uint64_t kHigh = 0xDEADBEEF00000000;  // a half that the kernel drops
using Arguments = std::array<std::uint64_t, 6>;

std::uint32_t ask(const std::vector<sock_filter>& filter, long number, const Arguments& arguments = {},
                  std::uint32_t arch = kNative) {
  seccomp_data data{};
  data.nr = static_cast<int>(number);
  data.arch = arch;
  for (std::size_t i = 0; i < arguments.size(); ++i) data.args[i] = arguments[i];
  const auto verdict = test::evaluate(filter, data);
  REQUIRE(verdict.has_value());
  REQUIRE(filter_verdict(filter, data) == *verdict);  // what the diagnosis reads of the filter
  return *verdict;
}

std::uint32_t low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }

// The rules of syscalls.txt and DESIGN, written down a second time.
std::uint32_t socket_verdict(const FilterChoice& choice, const Arguments& a) {
  const std::uint32_t family = low(a[0]);
  if (family >= 32) return kRefused;
  const std::uint32_t bit = 1U << family;
  if ((choice.families & bit) != 0 && family == AF_NETLINK) return low(a[2]) == 0 ? SECCOMP_RET_ALLOW : kRefused;
  if ((choice.families & bit) != 0 && (family == AF_INET || family == AF_INET6)) {
    constexpr std::uint32_t kProtocols[] = {0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6, 262 /* MPTCP */};
    const std::uint32_t type = low(a[1]) & 0xF;
    const bool known = std::find(std::begin(kProtocols), std::end(kProtocols), low(a[2])) != std::end(kProtocols);
    return known && type <= SOCK_DGRAM ? SECCOMP_RET_ALLOW : kRefused;
  }
  if ((choice.families & bit) != 0) return SECCOMP_RET_ALLOW;
  const bool tcp = (low(a[1]) & 0xF) == SOCK_STREAM && (low(a[2]) == 0 || low(a[2]) == 6);
  return (choice.tcp_families & bit) != 0 && tcp ? SECCOMP_RET_ALLOW : kRefused;
}

std::uint32_t expected(const FilterChoice& choice, const std::string& action, const Arguments& a) {
  const auto unless = [](bool refused) { return refused ? kRefused : std::uint32_t{SECCOMP_RET_ALLOW}; };
  const std::uint32_t metadata = unless(!choice.metadata);
  if (action == "allow") return SECCOMP_RET_ALLOW;
  if (action == "deny") return kRefused;
  if (action == "enosys") return kUnknown;
  if (action == "metadata") return metadata;
  if (action == "names") return choice.names ? std::uint32_t{SECCOMP_RET_ALLOW} : kUnsupported;
  if (action == "own") return unless(low(a[0]) == 1 || (low(a[0]) != 0 && !choice.others));
  if (action == "own_kind") return unless(low(a[0]) >= 2 || low(a[1]) == 1 || (low(a[1]) != 0 && !choice.others));
  if (action == "fcntl") return unless(low(a[1]) == F_SETLEASE || low(a[1]) == 1040);
  if (action == "execve") return unless(!choice.execve);
  if (action == "generated") return unless(!choice.generated);
  if (action == "mmap") {
    const bool changes = (low(a[2]) & PROT_WRITE) != 0 || (low(a[3]) & MAP_SHARED) != 0;
    return unless((low(a[3]) & MAP_HUGETLB) != 0 || ((low(a[2]) & PROT_EXEC) != 0 && changes && !choice.generated));
  }
  if (action == "memfd_create") return unless((low(a[1]) & MFD_HUGETLB) != 0 || !choice.generated);
  if (action == "mprotect") return unless((low(a[2]) & PROT_EXEC) != 0 && !choice.generated);
  if (action == "execveat") return unless(a[5] != choice.magic);
  if (action == "clone") return unless((low(a[0]) & 0x7E020000) != 0);
  if (action == "prctl") return unless(low(a[0]) == 35 || low(a[0]) == 62 || low(a[0]) == 78);
  if (action == "setpgid") return unless(low(a[1]) == choice.reaper);
  if (action == "futex") {
    const std::uint32_t command = low(a[1]) & 0x7F;
    return unless((low(a[1]) & FUTEX_PRIVATE_FLAG) == 0 && (command == FUTEX_REQUEUE || command == FUTEX_CMP_REQUEUE || command == FUTEX_CMP_REQUEUE_PI));
  }
  if (action == "listen") return unless(!choice.listen);
  const std::uint32_t core = choice.core ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO;
  if (action == "prlimit64") return low(a[0]) != 0 ? kRefused : low(a[1]) == RLIMIT_CORE && a[2] != 0 ? core : std::uint32_t{SECCOMP_RET_ALLOW};
  if (action == "setrlimit") return low(a[0]) == RLIMIT_CORE ? core : std::uint32_t{SECCOMP_RET_ALLOW};
  if (action == "fallocate") {
    const bool uncounted = (low(a[1]) & 3) == FALLOC_FL_KEEP_SIZE || (low(a[1]) & FALLOC_FL_INSERT_RANGE) != 0;
    return uncounted ? kUnsupported : std::uint32_t{SECCOMP_RET_ALLOW};
  }
  if (action == "seccomp") return unless((low(a[1]) & 8) != 0);
  if (action == "sendto") return unless((low(a[3]) & MSG_FASTOPEN) != 0);
  if (action == "sendmsg") return unless((low(a[2]) & MSG_FASTOPEN) != 0);
  if (action == "setsockopt") {
    const std::set<std::uint32_t> shared{42, 43, 44, 45, 46, 47, 48};  // MCAST_JOIN_GROUP to MCAST_MSFILTER
    const bool ip = low(a[1]) == IPPROTO_IP && (shared.contains(low(a[2])) || (low(a[2]) >= IP_ADD_MEMBERSHIP && low(a[2]) <= IP_MSFILTER));
    const bool ipv6 = low(a[1]) == IPPROTO_IPV6 && (shared.contains(low(a[2])) || std::set<std::uint32_t>{20, 21, 27, 28}.contains(low(a[2])));
    if (ip || ipv6) return unless((choice.families & (1U << AF_INET)) == 0);
    return unless(low(a[1]) == IPPROTO_TCP && low(a[2]) == 31);
  }
  if (action == "socketpair") {
    const std::uint32_t type = low(a[1]) & 0xF;
    return unless(low(a[0]) != AF_UNIX || (type != SOCK_STREAM && type != SOCK_SEQPACKET));
  }
  if (action == "socket") return socket_verdict(choice, a);
  if (action == "personality") return unless(!std::set<std::uint32_t>{0, 8, 0x20000, 0x20008, 0xFFFFFFFF}.contains(low(a[0])));
  if (action == "ioctl") {
    if (std::set<std::uint32_t>{0x5412, 0x541C, 0x5423, 0x541D}.contains(low(a[1]))) return kRefused;
    const bool reads = std::set<std::uint32_t>{FS_IOC_GETFLAGS, FS_IOC_GETVERSION, FS_IOC_FIEMAP, FS_IOC_FSGETXATTR, FICLONE,
                                               FICLONERANGE, FIDEDUPERANGE}.contains(low(a[1]));
    const bool of_files = std::set<std::uint32_t>{'f', 'v', 'X', 0x94}.contains(low(a[1]) >> 8 & 0xFF);
    // FS_IOC_FSSETXATTR, FS_IOC_ENABLE_VERITY
    if (std::set<std::uint32_t>{0x401C5820, FS_IOC_SETFLAGS, FS_IOC_SETVERSION, 0x40806685}.contains(low(a[1]))) return metadata;
    return unless(of_files && !reads);
  }
  FAIL("unknown action " << action);
  return 0;
}

std::vector<FilterChoice> choices() {
  std::vector<FilterChoice> all;
  const std::uint32_t inet = (1U << AF_INET) | (1U << AF_INET6);
  for (const bool metadata : {false, true}) {
    for (const bool execve : {false, true}) {
      for (const std::uint32_t families : {0U, inet | (1U << AF_NETLINK), 1U << AF_UNIX}) {
        for (const std::uint32_t tcp : {0U, inet}) {
          all.push_back({metadata, !metadata, execve, !execve, metadata != execve, families != 0, families == 0, families != 0 ? 1U : 40U, families, tcp, 0x0123456789ABCDEF});
        }
      }
    }
  }
  return all;
}

// Values at which some check decides, each also with its dropped half set, and random ones.
std::vector<std::uint64_t> samples() {
  std::vector<std::uint64_t> values;
  for (const std::uint64_t value :
       {0ULL, 1ULL, 2ULL, 3ULL, 4ULL, 5ULL, 6ULL, 7ULL, 8ULL, 0x01000007ULL, 10ULL, 12ULL, 16ULL, 17ULL, 20ULL, 21ULL, 27ULL, 28ULL, 29ULL, 30ULL, 31ULL, 32ULL, 33ULL, 34ULL, 35ULL, 38ULL, 40ULL, 41ULL, 42ULL, 45ULL, 48ULL, 49ULL, 78ULL, 131ULL, 260ULL, 268ULL, 0x40000ULL, 0x40022ULL, 0x50009417ULL, 0x40406618ULL, 58ULL, 62ULL, 132ULL, 136ULL, 262ULL,
        0x5412ULL, 0x541CULL, 0x541DULL, 0x5423ULL, 0x5401ULL, 0x40305828ULL, 0x4030582AULL, 0x40305829ULL, 0x40305839ULL, 0x40086602ULL, 0x401C5820ULL, 0x40087602ULL, 0x40806685ULL, 0x5000940EULL, 0x80086601ULL, 0x80087601ULL,
        0xC020660BULL, 0x801C581FULL, 0x40049409ULL, 0x4020940DULL, 0xC0189436ULL, 1024ULL, 1040ULL, 0x20000ULL, 0x20008ULL,
        0x10000000ULL, 0x20000000ULL, 0x40000000ULL, 0x02000000ULL, 0x04000000ULL, 0x08000000ULL, 0x00010F00ULL, 0x80801ULL,
        0xFFFFFFFFULL, 0x0123456789ABCDEFULL, 0x89ABCDEFULL, 0x0123456700000000ULL}) {
    values.push_back(value);
    values.push_back(value | kHigh);
  }
  std::mt19937_64 random(1);
  for (int i = 0; i < 20; ++i) values.push_back(random());
  return values;
}

// What passes whatever is granted and with whatever arguments is all that is not named here.
constexpr std::string_view kNeverAllowed[] = {
    "_sysctl", "acct", "add_key", "adjtimex", "afs_syscall", "bpf", "chroot", "clock_adjtime", "clock_settime", "clone3",
    "create_module", "delete_module", "epoll_ctl_old", "epoll_wait_old", "fanotify_init", "fanotify_mark", "finit_module",
    "fsconfig", "fsmount", "fsopen", "fspick", "futex_requeue", "get_kernel_syms", "get_thread_area", "getpmsg", "init_module",
    "io_cancel", "io_destroy", "io_getevents", "io_setup", "io_submit", "io_uring_enter", "io_uring_register", "io_uring_setup",
    "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load", "keyctl", "landlock_add_rule", "landlock_create_ruleset",
    "listmount", "listns", "lookup_dcookie", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr", "memfd_secret",
    "migrate_pages", "modify_ldt", "mount", "mount_setattr", "move_mount", "move_pages", "mq_getsetattr", "mq_notify", "mq_open",
    "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "name_to_handle_at", "nfsservctl",
    "open_by_handle_at", "open_tree", "open_tree_attr", "perf_event_open", "pidfd_getfd", "pivot_root", "process_madvise",
    "process_mrelease", "process_vm_readv", "process_vm_writev", "ptrace", "putpmsg", "query_module", "quotactl", "quotactl_fd",
    "reboot", "request_key", "security", "semctl", "semget", "semop", "semtimedop", "setdomainname", "sethostname", "setns",
    "settimeofday", "shmat", "shmctl", "shmdt", "shmget", "statmount", "swapoff", "swapon", "sysfs", "syslog", "tuxcall",
    "umount2", "unshare", "uprobe", "uretprobe", "uselib", "userfaultfd", "ustat", "vhangup", "vmsplice", "vserver"};
constexpr std::string_view kJudged[] = {
    "accept", "accept4", "bind", "chmod", "chown", "clone", "execve", "execveat", "fallocate", "fchmod", "fchmodat", "fchmodat2",
    "fchown", "fchownat", "fcntl", "file_getattr", "file_setattr", "fremovexattr", "fsetxattr", "futex", "futimesat", "getxattr",
    "getxattrat", "inotify_add_watch", "ioctl", "ioprio_set", "lchown", "lgetxattr", "listen", "listxattr", "listxattrat",
    "llistxattr", "lremovexattr", "lsetxattr", "memfd_create", "mmap", "mprotect", "personality", "pkey_mprotect", "prctl",
    "prlimit64", "removexattr", "removexattrat", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler",
    "seccomp", "sendmmsg", "sendmsg", "sendto", "setpgid", "setpriority", "setrlimit", "setsockopt", "setxattr", "setxattrat",
    "socket", "socketpair", "truncate", "utime", "utimensat", "utimes"};

}  // namespace

TEST_CASE("seccomp: what does not plainly pass is listed, call by call") {
  const auto is_in = [](const auto& names, std::string_view name) { return std::ranges::find(names, name) != std::end(names); };
  const auto filter = make_filter({});
  for (const SyscallRow& row : syscall_table()) {
    CAPTURE(row.name);
    const bool never = row.action == "deny" || row.action == "enosys";
    CHECK(is_in(kNeverAllowed, row.name) == never);
    CHECK(is_in(kJudged, row.name) == (!never && row.action != "allow"));
    if (is_in(kNeverAllowed, row.name)) CHECK(ask(filter, row.number) != SECCOMP_RET_ALLOW);
  }
#if defined(__x86_64__)  // others have fewer
  const auto known = [](std::string_view name) { return std::ranges::find(syscall_table(), name, &SyscallRow::name) != syscall_table().end(); };
  CHECK(std::ranges::all_of(kNeverAllowed, known));
  CHECK(std::ranges::all_of(kJudged, known));
#endif
}

TEST_CASE("seccomp: the filter agrees with the table for every number, argument and choice") {
  const auto values = samples();
  std::map<std::uint32_t, std::string> table;
  for (const auto& row : syscall_table()) table[row.number] = row.action;
  REQUIRE(table.size() > 320);
  std::mt19937_64 random(2);
  for (const FilterChoice& choice : choices()) {
    const auto filter = make_filter(choice);
    for (std::uint32_t number = 0; number < 1024; ++number) {
      const auto row = table.find(number);
      const std::string action = row == table.end() ? "enosys" : row->second;
      const bool plain = action == "allow" || action == "deny" || action == "enosys" || action == "metadata" || action == "execve";
      for (std::size_t i = 0; i < (plain ? 2 : 400); ++i) {
        Arguments a{};
        for (auto& argument : a) argument = values[random() % values.size()];
        const std::uint32_t got = ask(filter, number, a), want = expected(choice, action, a);
        if (got == want) continue;
        CAPTURE(number);
        CAPTURE(a[0]);
        CAPTURE(a[1]);
        CAPTURE(a[2]);
        CAPTURE(a[5]);
        CHECK(got == want);
      }
    }
  }
}

TEST_CASE("seccomp: each decisive value decides with its upper half set as without") {
  const auto filter = make_filter({});
  for (const std::uint64_t upper : {std::uint64_t{0}, std::uint64_t{1} << 32, kHigh}) {
    CHECK(ask(filter, SYS_ioctl, {0, 0x5412 | upper}) == kRefused);
    CHECK(ask(filter, SYS_ioctl, {0, 0x541C | upper}) == kRefused);
    CHECK(ask(filter, SYS_ioctl, {0, 0x5401 | upper}) == SECCOMP_RET_ALLOW);
    CHECK(ask(filter, SYS_clone, {0x10000000 | upper}) == kRefused);
    CHECK(ask(filter, SYS_clone, {0x3D0F00 | upper}) == SECCOMP_RET_ALLOW);  // pthread_create
    CHECK(ask(filter, SYS_prctl, {35 | upper}) == kRefused);
    CHECK(ask(filter, SYS_personality, {0x0040000 | upper}) == kRefused);
    for (const int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, 38 /* ALG */, 40 /* VSOCK */, 44 /* XDP */}) {
      CHECK(ask(filter, SYS_socket, {static_cast<std::uint64_t>(family) | upper, SOCK_STREAM, 0}) == kRefused);
    }
  }
}

TEST_CASE("seccomp: nothing that was or can be written becomes executable, unless code may be generated") {
  for (const bool generated : {false, true}) {
    FilterChoice choice;
    choice.generated = generated;
    const auto filter = make_filter(choice);
    const std::uint32_t code = generated ? std::uint32_t{SECCOMP_RET_ALLOW} : kRefused;
    for (const std::uint64_t upper : {std::uint64_t{0}, std::uint64_t{1} << 32, kHigh}) {
      CHECK(ask(filter, SYS_mmap, {0, 4096, (PROT_WRITE | PROT_EXEC) | upper}) == code);
      CHECK(ask(filter, SYS_mmap, {0, 4096, (PROT_READ | PROT_WRITE | PROT_EXEC) | upper}) == code);
      CHECK(ask(filter, SYS_mmap, {0, 4096, (PROT_READ | PROT_EXEC) | upper, MAP_PRIVATE}) == SECCOMP_RET_ALLOW);  // the loader's
      for (const std::uint64_t flags : std::initializer_list<std::uint64_t>{MAP_SHARED, MAP_SHARED | MAP_ANONYMOUS, MAP_SHARED_VALIDATE}) {
        CHECK(ask(filter, SYS_mmap, {0, 4096, PROT_EXEC | upper, flags | upper}) == code);
        CHECK(ask(filter, SYS_mmap, {0, 4096, (PROT_READ | PROT_WRITE) | upper, flags}) == SECCOMP_RET_ALLOW);
      }
      CHECK(ask(filter, SYS_mmap, {0, 4096, (PROT_READ | PROT_WRITE) | upper}) == SECCOMP_RET_ALLOW);
      for (const long number : {long{SYS_mprotect}, long{SYS_pkey_mprotect}}) {
        CHECK(ask(filter, number, {0, 4096, PROT_EXEC | upper}) == code);
        CHECK(ask(filter, number, {0, 4096, (PROT_READ | PROT_EXEC) | upper}) == code);
        CHECK(ask(filter, number, {0, 4096, (PROT_READ | PROT_WRITE) | upper}) == SECCOMP_RET_ALLOW);
      }
    }
    CHECK(ask(filter, SYS_memfd_create) == code);
    CHECK(ask(filter, SYS_shmat) == kRefused);  // SHM_EXEC
    CHECK(ask(filter, SYS_personality, {0x0400000}) == kRefused);  // READ_IMPLIES_EXEC
  }
}

TEST_CASE("seccomp: TCP only means neither UDP nor MPTCP nor raw") {
  FilterChoice choice;
  choice.tcp_families = (1U << AF_INET) | (1U << AF_INET6);
  const auto filter = make_filter(choice);
  CHECK(ask(filter, SYS_socket, {AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 6}) == SECCOMP_RET_ALLOW);
  CHECK(ask(filter, SYS_socket, {AF_INET6, SOCK_STREAM, 0}) == SECCOMP_RET_ALLOW);
  CHECK(ask(filter, SYS_socket, {AF_INET, SOCK_DGRAM, 0}) == kRefused);
  CHECK(ask(filter, SYS_socket, {AF_INET, SOCK_RAW, 6}) == kRefused);
  CHECK(ask(filter, SYS_socket, {AF_INET, SOCK_STREAM, 262}) == kRefused);
  CHECK(ask(filter, SYS_socket, {AF_UNIX, SOCK_STREAM, 0}) == kRefused);
}

TEST_CASE("seccomp: nothing is told to the network by joining a group, but where it is open") {
  for (const bool open : {false, true}) {
    FilterChoice choice;
    choice.tcp_families = (1U << AF_INET) | (1U << AF_INET6);
    choice.families = open ? choice.tcp_families : 0;
    const auto filter = make_filter(choice);
    const std::uint32_t joins = open ? std::uint32_t{SECCOMP_RET_ALLOW} : kRefused;
    for (std::uint64_t option = 35; option <= 48; ++option) {  // IP_ADD_MEMBERSHIP to MCAST_MSFILTER
      CHECK(ask(filter, SYS_setsockopt, {3, IPPROTO_IP, option}) == joins);
      CHECK(ask(filter, SYS_setsockopt, {3, IPPROTO_IP | kHigh, option | kHigh}) == joins);
    }
    for (const std::uint64_t option : {20ULL, 21ULL, 27ULL, 28ULL, 42ULL, 43ULL, 44ULL, 45ULL, 46ULL, 47ULL, 48ULL}) {
      CHECK(ask(filter, SYS_setsockopt, {3, IPPROTO_IPV6, option}) == joins);
      CHECK(ask(filter, SYS_setsockopt, {3, IPPROTO_IPV6 | kHigh, option | kHigh}) == joins);
    }
    for (const std::uint64_t option : {std::uint64_t{IP_TTL}, std::uint64_t{IP_TOS}, std::uint64_t{IP_MULTICAST_IF}}) CHECK(ask(filter, SYS_setsockopt, {3, IPPROTO_IP, option}) == SECCOMP_RET_ALLOW);
    CHECK(ask(filter, SYS_setsockopt, {3, IPPROTO_IPV6, IPV6_V6ONLY}) == SECCOMP_RET_ALLOW);
    CHECK(ask(filter, SYS_setsockopt, {3, SOL_SOCKET, 42}) == SECCOMP_RET_ALLOW);
  }
}

TEST_CASE("seccomp: no command of a file system makes a snapshot, whatever is granted") {
  for (const FilterChoice& choice : choices()) {
    const auto filter = make_filter(choice);
    // BTRFS_IOC_SNAP_CREATE, SNAP_CREATE_V2, SUBVOL_CREATE, FS_IOC_REMOVE_ENCRYPTION_KEY, EXT4_IOC_MOVE_EXT
    for (const std::uint64_t command : {0x50009401ULL, 0x50009417ULL, 0x5000940EULL, 0xC0406618ULL, 0xC028660FULL}) CHECK(ask(filter, SYS_ioctl, {3, command}) == kRefused);
  }
}

TEST_CASE("seccomp: an open network has no protocol for which the kernel would load a module") {
  FilterChoice choice;
  choice.families = (1U << AF_INET) | (1U << AF_INET6) | (1U << AF_NETLINK);
  const auto filter = make_filter(choice);
  for (const std::uint64_t family : {std::uint64_t{AF_INET}, std::uint64_t{AF_INET6}}) {
    CHECK(ask(filter, SYS_socket, {family, SOCK_STREAM | SOCK_CLOEXEC, 0}) == SECCOMP_RET_ALLOW);
    CHECK(ask(filter, SYS_socket, {family, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDP}) == SECCOMP_RET_ALLOW);
    CHECK(ask(filter, SYS_socket, {family, SOCK_SEQPACKET, 0}) == kRefused);               // SCTP
    CHECK(ask(filter, SYS_socket, {family, SOCK_STREAM, IPPROTO_SCTP}) == kRefused);
    CHECK(ask(filter, SYS_socket, {family, 6 /* SOCK_DCCP */, 0}) == kRefused);
    CHECK(ask(filter, SYS_socket, {family, SOCK_DGRAM, IPPROTO_UDPLITE}) == kRefused);
    CHECK(ask(filter, SYS_socket, {family, SOCK_RAW, IPPROTO_TCP}) == kRefused);
  }
}

TEST_CASE("seccomp: sending does not connect, whatever is granted") {
  for (const FilterChoice& choice : choices()) {
    const auto filter = make_filter(choice);
    for (const std::uint64_t upper : {std::uint64_t{0}, kHigh}) {
      CHECK(ask(filter, SYS_sendto, {3, 0, 1, MSG_FASTOPEN | upper}) == kRefused);
      CHECK(ask(filter, SYS_sendmmsg, {3, 0, 1, MSG_FASTOPEN | MSG_NOSIGNAL | upper}) == kRefused);
      CHECK(ask(filter, SYS_sendmsg, {3, 0, MSG_FASTOPEN | upper, 0}) == kRefused);
      CHECK(ask(filter, SYS_sendto, {3, 0, 1, MSG_NOSIGNAL | upper}) == SECCOMP_RET_ALLOW);
      CHECK(ask(filter, SYS_sendmsg, {3, 0, MSG_NOSIGNAL | upper, MSG_FASTOPEN}) == SECCOMP_RET_ALLOW);
    }
  }
}

TEST_CASE("seccomp: only the launcher's own execveat passes, and both halves of its magic count") {
  FilterChoice choice;
  choice.magic = 0x1122334455667788;
  const auto filter = make_filter(choice);
  CHECK(ask(filter, SYS_execveat, {0, 0, 0, 0, 0, choice.magic}) == SECCOMP_RET_ALLOW);
  CHECK(ask(filter, SYS_execveat, {0, 0, 0, 0, 0, choice.magic ^ 1}) == kRefused);
  CHECK(ask(filter, SYS_execveat, {0, 0, 0, 0, 0, choice.magic ^ (std::uint64_t{1} << 63)}) == kRefused);
  CHECK(ask(filter, SYS_execveat, {0, 0, 0, 0, 0, 0}) == kRefused);
  CHECK(ask(filter, SYS_execve) == kRefused);
}

TEST_CASE("seccomp: where nothing else bounds signals they reach the command itself and its group only") {
  constexpr std::uint64_t kSelf = 4711;
  auto filter = make_fallback_filter({true, false});
  filter[kOwnPid].k = kSelf;
  for (const long number : {SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo}) {
    for (const std::uint64_t pid : {std::uint64_t{0}, kSelf}) {
      CHECK(ask(filter, number, {pid}) == SECCOMP_RET_ALLOW);
      CHECK(ask(filter, number, {pid | kHigh}) == SECCOMP_RET_ALLOW);
    }
    for (const std::uint64_t pid : {std::uint64_t{1}, kSelf + 1, std::uint64_t{0xFFFFFFFF}, std::uint64_t{0} - kSelf, 1 | kHigh}) {
      CHECK(ask(filter, number, {pid, kSelf}) == kRefused);
    }
  }
  CHECK(ask(filter, SYS_pidfd_send_signal, {0}) == kRefused);
  for (const std::uint64_t command : {std::uint64_t{F_SETOWN}, std::uint64_t{F_SETOWN_EX}}) CHECK(ask(filter, SYS_fcntl, {0, command | kHigh, kSelf}) == kRefused);
  for (const std::uint64_t command : {0x8901ULL, 0x8902ULL}) CHECK(ask(filter, SYS_ioctl, {0, command | kHigh, kSelf}) == kRefused);
  CHECK(ask(filter, SYS_fcntl, {0, F_GETFD}) == SECCOMP_RET_ALLOW);
  CHECK(ask(filter, SYS_ioctl, {0, 0x5401}) == SECCOMP_RET_ALLOW);
  CHECK(ask(filter, SYS_openat, {8, F_SETOWN, O_TRUNC}) == SECCOMP_RET_ALLOW);
  CHECK(ask(filter, SYS_openat2) == SECCOMP_RET_ALLOW);
}

TEST_CASE("seccomp: where nothing else bounds truncation a file that is opened for reading keeps its content") {
  const auto filter = make_fallback_filter({false, true});
  for (const std::uint64_t more : {std::uint64_t{0}, std::uint64_t{O_CLOEXEC}, std::uint64_t{O_CREAT}, kHigh}) {
    for (const std::uint64_t access : {std::uint64_t{O_RDONLY}, std::uint64_t{O_ACCMODE}}) {
      CHECK(ask(filter, SYS_openat, {0, 0, O_TRUNC | access | more}) == kRefused);
      CHECK(ask(filter, SYS_openat, {0, 0, access | more}) == SECCOMP_RET_ALLOW);
#if defined(SYS_open)
      CHECK(ask(filter, SYS_open, {0, O_TRUNC | access | more}) == kRefused);
      CHECK(ask(filter, SYS_open, {0, access | more}) == SECCOMP_RET_ALLOW);
#endif
    }
    for (const std::uint64_t access : {std::uint64_t{O_WRONLY}, std::uint64_t{O_RDWR}}) {
      CHECK(ask(filter, SYS_openat, {0, 0, O_TRUNC | access | more}) == SECCOMP_RET_ALLOW);
    }
  }
  CHECK(ask(filter, SYS_openat2) == kUnknown);
  for (const long number : {SYS_kill, SYS_pidfd_send_signal, SYS_read}) CHECK(ask(filter, number, {1}) == SECCOMP_RET_ALLOW);
  CHECK(ask(filter, SYS_fcntl, {0, F_SETOWN}) == SECCOMP_RET_ALLOW);
}

TEST_CASE("seccomp: who may write makes no set-user-ID or set-group-ID file, by no call") {
  const auto filter = make_mode_filter();
  struct Call {
    long number;
    std::size_t mode;
  };
  std::vector<Call> always{{SYS_mkdirat, 2}, {SYS_mknodat, 2}, {SYS_fchmod, 1}, {SYS_fchmodat, 2}, {452, 2}};
#if defined(SYS_open)
  for (const long number : {SYS_creat, SYS_mkdir, SYS_mknod, SYS_chmod}) always.push_back({number, 1});
#endif
  for (const std::uint64_t bits : {std::uint64_t{S_ISUID}, std::uint64_t{S_ISGID}, std::uint64_t{S_ISUID | S_ISGID}}) {
    for (const auto& [number, mode] : always) {
      std::array<std::uint64_t, 6> arguments{~std::uint64_t{07777}, 0, 0, 0, ~std::uint64_t{0}, 0};
      arguments[mode] = 0755 | kHigh;
      CHECK(ask(filter, number, arguments) == SECCOMP_RET_ALLOW);
      arguments[mode] = 0755 | bits | kHigh;
      CHECK(ask(filter, number, arguments) == kRefused);
    }
    for (const std::uint64_t makes : {std::uint64_t{O_CREAT}, std::uint64_t{O_CREAT | O_EXCL | O_WRONLY}, std::uint64_t{O_TMPFILE | O_RDWR}}) {
      CHECK(ask(filter, SYS_openat, {0, 0, makes | kHigh, bits | 0644}) == kRefused);
      CHECK(ask(filter, SYS_openat, {bits, bits, makes, 0644 | kHigh}) == SECCOMP_RET_ALLOW);
#if defined(SYS_open)
      CHECK(ask(filter, SYS_open, {0, makes | kHigh, bits | 0644}) == kRefused);
      CHECK(ask(filter, SYS_open, {bits, makes, 0644 | kHigh}) == SECCOMP_RET_ALLOW);
#endif
    }
    for (const std::uint64_t only : {std::uint64_t{O_RDONLY}, std::uint64_t{O_DIRECTORY}, std::uint64_t{O_WRONLY | O_TRUNC}}) {
      CHECK(ask(filter, SYS_openat, {0, 0, only, bits}) == SECCOMP_RET_ALLOW);  // the kernel looks at no mode then
    }
  }
  CHECK(ask(filter, SYS_openat2) == kUnknown);
  for (const long number : {SYS_read, SYS_mmap, SYS_execveat}) CHECK(ask(filter, number, {07777, 07777, 07777, 07777}) == SECCOMP_RET_ALLOW);
}

TEST_CASE("seccomp: a foreign architecture and x32 are killed") {
  const auto filter = make_filter({});
  for (const std::uint32_t arch : {std::uint32_t{AUDIT_ARCH_I386}, std::uint32_t{AUDIT_ARCH_ARM}, std::uint32_t{0}, ~kNative}) {
    CHECK(ask(filter, SYS_getpid, {}, arch) == SECCOMP_RET_KILL_PROCESS);
  }
  for (const long number : {0x40000000L, 0x40000000L | SYS_execve, 0x7FFFFFFFL, -1L, -100L}) {
    CHECK(ask(filter, number) == SECCOMP_RET_KILL_PROCESS);
  }
  for (const long number : {1024L, 5000L, 0x3FFFFFFFL}) CHECK(ask(filter, number) == kUnknown);
}

TEST_CASE("seccomp: the dangerous are refused and the needed pass, whatever the choice") {
  constexpr long refused[] = {
      SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd, SYS_kcmp, SYS_userfaultfd, SYS_io_uring_setup,
      SYS_io_uring_enter, SYS_io_uring_register, SYS_bpf, SYS_perf_event_open, SYS_keyctl, SYS_add_key, SYS_request_key,
      SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns, SYS_fsopen, SYS_fsmount, SYS_fsconfig,
      SYS_move_mount, SYS_open_tree, SYS_mount_setattr, SYS_memfd_secret, SYS_open_by_handle_at, SYS_quotactl, SYS_swapon,
      SYS_swapoff, SYS_reboot, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_clock_settime,
      SYS_settimeofday, SYS_adjtimex, SYS_shmget, SYS_shmat, SYS_semget, SYS_msgget, SYS_mq_open, SYS_acct, SYS_syslog,
      SYS_sethostname, SYS_setdomainname, SYS_vhangup, SYS_lookup_dcookie, SYS_fanotify_init, SYS_vmsplice,
      SYS_io_setup, SYS_io_submit};
  constexpr long needed[] = {SYS_read, SYS_write, SYS_openat, SYS_mmap, SYS_mprotect, SYS_brk, SYS_exit_group, SYS_futex,
                             SYS_rt_sigaction, SYS_rt_sigreturn, SYS_set_robust_list, SYS_set_tid_address, SYS_rseq,
                             SYS_getrandom, SYS_statx, SYS_newfstatat, SYS_wait4, SYS_pipe2};
  for (const FilterChoice& choice : choices()) {
    const auto filter = make_filter(choice);
    for (const long number : refused) CHECK(ask(filter, number) == kRefused);
    for (const long number : needed) CHECK(ask(filter, number) == SECCOMP_RET_ALLOW);
    CHECK(ask(filter, SYS_clone3) == kUnknown);
    CHECK(ask(filter, SYS_prlimit64, {0, 7}) == SECCOMP_RET_ALLOW);
    CHECK(ask(filter, SYS_prlimit64, {1, 7}) == kRefused);
    CHECK(ask(filter, SYS_socketpair, {AF_UNIX, SOCK_STREAM, 0}) == SECCOMP_RET_ALLOW);
  }
}

TEST_CASE("seccomp: the filter is small enough to load quickly, and every patch has its place") {
  CHECK(filter_template().size() <= 312);
  std::set<Patch> seen;  // some at two places
  for (const auto& point : filter_patches()) {
    CHECK(point.instruction < filter_template().size());
    seen.insert(point.patch);
  }
  CHECK(seen.size() == kPatchCount);
}
