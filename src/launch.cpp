#include "launch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include "clock.h"
#include "confine/census.h"
#include "confine/failure.h"
#include "confine/seccomp.h"
#include "resolve.h"

namespace safe_exec {
namespace {

constexpr int kGetMdwe = 66;  // PR_GET_MDWE; the build host's headers may be older
constexpr std::size_t kReaperStack = 128 * 1024;  // the sweep's list of processes is 32 KiB; two pages of 64 KiB on some hosts
constexpr std::size_t kCommandStack = 64 * 1024;
constexpr std::size_t kTable = std::size_t{2} << 20;  // what one table of pages of 4 KiB maps

Expected<void> failed(const char* message, const char* step) {
  return tl::unexpected(launch_error(ErrorCode::launch_failed, message, step, errno));
}

bool open_pipe(Pipe& pipe) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return false;
  pipe.read = UniqueFd(ends[0]);
  pipe.write = UniqueFd(ends[1]);
  return true;
}

void set_nonblocking(const UniqueFd& fd) { (void)::fcntl(fd.get(), F_SETFL, O_NONBLOCK); }

bool is_directory(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
}

// Its standard input is the command's by a pipe: a descriptor of the file would be one of the host's mount, through which it could be
// written or changed whatever the command's own root and rules say. Where there is no input that holds for /dev/null as well, which
// is the new root's then.
Expected<void> open_streams(const Plan& plan, Launch& launch) {
  if (plan.stdin_plan.kind == StdinPlan::Kind::inherit && is_directory(STDIN_FILENO)) {  // a mistake; closed or for writing only is empty
    errno = EISDIR;
    return failed("standard input cannot be read", "stdin");
  }
  if (!open_pipe(launch.out) || !open_pipe(launch.err)) return failed("no pipe", "pipes");
  switch (plan.stdin_plan.kind) {
    case StdinPlan::Kind::none:
      launch.child.own_null = launch.wanted.namespaces.mount;
      if (!launch.child.own_null) launch.input = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (launch.input) break;
      [[fallthrough]];  // no /dev/null here, or perhaps there: a pipe without a writer is as empty
    case StdinPlan::Kind::text:
    case StdinPlan::Kind::inherit:
    case StdinPlan::Kind::file:
      if (!open_pipe(launch.in)) return failed("no pipe", "pipes");
      set_nonblocking(launch.in.write);
      if (plan.stdin_plan.kind == StdinPlan::Kind::none) launch.in.write.reset();
      break;
  }
  for (Pipe* pipe : {&launch.out, &launch.err}) set_nonblocking(pipe->read);
  launch.child.in_fd = launch.in.read ? launch.in.read.get() : launch.input.get();
  launch.child.out_fd = launch.out.write.get();
  launch.child.err_fd = launch.err.write.get();
  return {};
}

Expected<void> open_reports(Launch& launch) {
  if (!open_pipe(launch.report) || !open_pipe(launch.lifeline) || !open_pipe(launch.turn)) return failed("no pipe", "pipes");
  set_nonblocking(launch.report.read);
  launch.child.report_fd = launch.report.write.get();
  launch.child.lifeline_fd = launch.lifeline.read.get();
  launch.child.lifeline_writer = launch.lifeline.write.get();
  launch.child.turn_fd = launch.turn.read.get();
  launch.child.turn_writer = launch.turn.write.get();
  return {};
}

void observe_command(Launch& launch) {
  launch.observer = std::make_unique<Observer>();
  launch.child.observer = launch.observer.get();
}

void set_program(const Plan& plan, Launch& launch) {
  const Binary& binary = plan.binary;
  launch.child.exec_fd = binary.script ? binary.interpreter_fd.get() : binary.fd.get();
  if (plan.exec_by == ExecBy::path) {
    // The rule is on the inode that was checked, so another file under this name meets EACCES.
    launch.child.exec_path = (binary.script ? binary.interpreter : binary.path).c_str();
  }
  auto from = plan.argv.begin();
  if (binary.script) {
    launch.argv.push_back(binary.interpreter.c_str());
    for (const auto& word : binary.interpreter_args) launch.argv.push_back(word.c_str());
    launch.argv.push_back(binary.path.c_str());
    if (from != plan.argv.end()) ++from;
  }
  for (; from != plan.argv.end(); ++from) launch.argv.push_back(from->c_str());
  launch.argv.push_back(nullptr);
  for (const auto& variable : plan.env) launch.envp.push_back(variable.c_str());
  launch.envp.push_back(nullptr);
  launch.child.argv = launch.argv.data();
  launch.child.envp = launch.envp.data();
}

bool writes(const Plan& plan) {
  return plan.tmp != Tmp::none || std::ranges::any_of(plan.grants, [](const Grant& grant) {
           return grant.access > PathAccess::read && grant.origin != Origin::device;
         });
}

bool creates(const Plan& plan) {
  return std::ranges::any_of(plan.grants, [](const Grant& grant) { return grant.access == PathAccess::create; });
}

// A mount keeps what is there; a name that is not there only Landlock can keep, at a price that a policy has to ask for.
bool writes_around(const Plan& plan, const Wanted& wanted) {
  const bool absent = std::ranges::any_of(plan.read_only, [](const ReadOnlyPath& kept) { return !kept.fd; });
  return !wanted.namespaces.mount || (absent && plan.demanded.contains(Layer::mount_namespace));
}

// A loopback of its own there is only in a namespace: the host's is never given in its place.
Network::Kind network_of(const Plan& plan, const Wanted& wanted) {
  const bool own = plan.network.kind == Network::Kind::loopback;
  return own && !wanted.namespaces.net ? Network::Kind::none : plan.network.kind;
}

// Before the ruleset is made, which is this one's.
int abi_of(const Launch& launch) { return launch.wanted.landlock ? landlock::abi_in_use() : 0; }

// What a missing layer would have bounded is withheld, never let through.
FilterChoice choose_filter(const Plan& plan, Launch& launch) {
  FilterChoice choice;
  const bool minimal_root = launch.wanted.namespaces.mount;
  choice.execve = !plan.one_exec;
  choice.generated = plan.syscalls == Syscalls::jit;
  choice.metadata = writes(plan) && minimal_root;
  choice.names = minimal_root;
  choice.others = launch.wanted.namespaces.pid;
  choice.core = launch.told_of_crashes != '|';
  if (writes(plan) && !minimal_root) {
    launch.withheld.push_back({Layer::mount_namespace, "chmod, chown, utimes and xattr calls are refused"});
    if (!choice.generated) launch.withheld.push_back({Layer::mount_namespace, "what is written to files can be mapped as code"});
  }
  const std::uint32_t internet = (1U << AF_INET) | (1U << AF_INET6);
  switch (network_of(plan, launch.wanted)) {
    case Network::Kind::none:
      if (plan.network.kind == Network::Kind::none) break;
      launch.unreached = "sockets are refused: without a network namespace the loopback would be the host's";
      break;
    case Network::Kind::loopback:
    case Network::Kind::host:
      choice.listen = true;
      choice.families |= internet | (1U << AF_NETLINK);
      break;
    case Network::Kind::connect_tcp:
      if (abi_of(launch) >= 4) choice.tcp_families = internet;
      else launch.unreached = "TCP is refused: ports cannot be restricted without Landlock ABI 4";
      break;
  }
  if (!plan.unix_sockets.empty()) {
    const bool abstract = !launch.wanted.namespaces.net && abi_of(launch) < landlock::kScopes;
    if (minimal_root && !abstract) choice.families |= 1U << AF_UNIX;
    else if (minimal_root) launch.unreached += std::string(launch.unreached.empty() ? "" : "; ") + kNoUnixSockets;
    else launch.withheld.push_back({Layer::mount_namespace, kNoBoundSockets});
  }
  return choice;
}

void withhold_places(const Plan& plan, Launch& launch) {
  if (plan.tmp == Tmp::private_dir && !launch.wanted.namespaces.mount) launch.withheld.push_back({Layer::mount_namespace, kNoTmp});
  if (auto proc = withheld_proc(plan, launch.wanted)) launch.withheld.push_back(*std::move(proc));
}

Expected<void> set_filter(const Plan& plan, Launch& launch) {
  if (!launch.wanted.seccomp) return {};
  FilterChoice choice = choose_filter(plan, launch);
  if (::getrandom(&choice.magic, sizeof choice.magic, 0) != sizeof choice.magic) {
    return failed("no random bytes", "random");
  }
  launch.filter = make_filter(choice);
  launch.program = {static_cast<unsigned short>(launch.filter.size()), launch.filter.data()};
  launch.child.filter = &launch.program;
  launch.child.exec_magic = choice.magic;
  launch.child.reaper_pid = std::ranges::find(filter_patches(), Patch::reaper, &PatchPoint::patch)->instruction;
  if (writes(plan)) {
    launch.mode_filter = make_mode_filter();
    launch.mode_program = {static_cast<unsigned short>(launch.mode_filter.size()), launch.mode_filter.data()};
    launch.child.mode_filter = &launch.mode_program;
  }
  const Namespaces& namespaces = launch.wanted.namespaces;
  launch.fallback = {!namespaces.pid && abi_of(launch) < landlock::kScopes, !namespaces.mount && abi_of(launch) < 3};
  if (!launch.fallback.signals && !launch.fallback.truncation) return {};
  launch.fallback_filter = make_fallback_filter(launch.fallback);
  launch.fallback_program = {static_cast<unsigned short>(launch.fallback_filter.size()), launch.fallback_filter.data()};
  launch.child.fallback_filter = &launch.fallback_program;
  launch.child.own_pid = kOwnPid;
  return {};
}

std::optional<unsigned> highest_descriptor() {
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir("/proc/self/fd"), &::closedir);
  if (!open) return std::nullopt;
  unsigned highest = 0;
  for (;;) {
    errno = 0;
    const dirent* const entry = ::readdir(open.get());
    if (entry == nullptr) return errno == 0 ? std::optional(highest) : std::nullopt;
    highest = std::max(highest, static_cast<unsigned>(std::strtoul(entry->d_name, nullptr, 10)));  // of . and .. it is 0
  }
}

// The reaper keeps the table of descriptors, which held all that it needs; this process goes on with a copy. Returns the
// highest descriptor that may be open where close_range(2) is missing, for kernels and sandboxes without it; else 0.
Expected<unsigned> take_own_descriptors() {
  constexpr unsigned kUnshare = 1U << 1, kCloexec = 1U << 2;  // CLOSE_RANGE_* of linux/close_range.h
  if (::syscall(SYS_close_range, ~0U, ~0U, kUnshare | kCloexec) == 0) return 0;
  if (::unshare(CLONE_FILES) < 0) return tl::unexpected(failed("no table of descriptors of its own", "descriptors").error());
  // By what is open: one may lie above the limit, which was lowered after it had been opened.
  constexpr unsigned kMost = 1U << 20, kOpenedLater = 64;
  const std::optional<unsigned> highest = highest_descriptor();
  if (!highest || *highest > kMost) {
    if (highest) errno = E2BIG;
    return tl::unexpected(failed("not all descriptors can be closed one by one", "descriptors").error());
  }
  return *highest + kOpenedLater;
}

void set_identity(Launch& launch) {
  const Namespaces& namespaces = launch.wanted.namespaces;
  ChildPlan& child = launch.child;
  if (namespaces.user) {
    launch.uid_map = identity_map(::geteuid());
    launch.gid_map = identity_map(::getegid());
    child.uid_map = launch.uid_map.c_str();
    child.gid_map = launch.gid_map.c_str();
  }
  child.pid_namespace = namespaces.pid;
  child.loopback = namespaces.net;
  child.drop_bounding = namespaces.user || has_capability(CAP_SETPCAP);
}

void set_cgroup(const Plan& plan, Launch& launch) {
  if (!launch.wanted.limits || !launch.wanted.cgroup) return;
  launch.limits.cgroup = make_cgroup(plan, launch.wanted.namespaces);
  const auto& cgroup = launch.limits.cgroup;
  if (!cgroup) return;
  launch.cgroup_name = cgroup->name();
  launch.child.cgroup_fd = cgroup->directory();
  launch.child.cgroup_processes = cgroup->processes();
  launch.child.cgroup_name = launch.cgroup_name.c_str();
}

Expected<void> start_reaper_of(Launch& launch) {
  if (::poll(nullptr, 0, 0) < 0) {  // so it is not started
    return tl::unexpected(launch_error(ErrorCode::sandbox_unavailable, "the command could not be watched", "poll", errno));
  }
  const unsigned long all = clone_flags(launch.wanted.namespaces);
  launch.child.unshared = launch.wanted.unshare ? unshare_flags(launch.wanted.namespaces) : 0;
  int pidfd = -1;
  const long pid = start_reaper(launch.child, all & ~launch.child.unshared, &pidfd);
  if (pid < 0) {
    const int error = static_cast<int>(-pid);
    const bool exhausted = error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE;
    return tl::unexpected(launch_error(exhausted ? ErrorCode::launch_failed : ErrorCode::sandbox_unavailable,
                                       "the sandbox process cannot be started", step_name(Step::fork), error));
  }
  launch.pid = static_cast<pid_t>(pid);
  launch.running = launch.waiting = true;
  launch.pidfd = UniqueFd(pidfd);
  return {};
}

Expected<void> set_root(const Plan& plan, const RootOptions& options, Launch& launch) {
  auto root = plan_root(plan, options);
  if (!root) return tl::unexpected(std::move(root.error()));
  launch.root = std::move(*root);
  ChildPlan& child = launch.child;
  child.mounts = launch.root.ops.data();
  child.mount_count = launch.root.ops.size();
  child.whole_root = launch.root.whole_root;
  child.private_tmp = launch.root.own_tmp;
  child.cwd = launch.root.cwd;
  child.cwd_inode = launch.root.cwd_inode;
  return {};
}

// Whoever is killed from here on leaves them to the reaper, and before it they have no name.
Expected<void> set_created(const Plan& plan, Launch& launch) {
  launch.created_names.reserve(plan.grants.size());  // names and list stay where they are
  launch.created.reserve(plan.grants.size());
  for (const Grant& grant : plan.grants) {
    if (!grant.made) continue;
    const CreatedFile& file = launch.created.emplace_back(describe_created(grant, launch.created_names.emplace_back(grant.leaf)));
    launch.child.created = launch.created.data();
    launch.child.created_count = launch.created.size();
    if (const auto named = give_name(grant, file); !named) return named;
  }
  return {};
}

void set_limits(const Plan& plan, Launch& launch) {
  const Namespaces& namespaces = launch.wanted.namespaces;
  launch.limits = launch.wanted.limits ? plan_limits(plan.limits, namespaces, std::move(launch.limits.cgroup), launch.told_of_crashes) : plan_descriptors(0);
  ChildPlan& child = launch.child;
  child.limits = launch.limits.limits.data();
  child.limit_count = launch.limits.limits.size();
  if (!launch.limits.pid_max.empty()) child.pid_max = launch.limits.pid_max.c_str();
  child.pid_max_required = plan.demanded.contains(Layer::limits);
  if (!namespaces.pid) launch.proc = UniqueFd(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  child.proc_fd = launch.proc.get();
}

// Ends a reaper that was never let go: it has started nothing.
void abandon(Launch& launch) noexcept {
  launch.child.created_count = 0;  // who made them removes them, or tries again
  let_go(launch.child, kAbandoned);
  launch.waiting = false;
  constexpr int kPatienceMs = 2000;
  pollfd gone{launch.pidfd.get(), POLLIN, 0};
  while (::poll(&gone, 1, kPatienceMs) < 0 && errno == EINTR) {
  }
  siginfo_t information{};
  const int waited = ::waitid(P_PIDFD, static_cast<id_t>(launch.pidfd.get()), &information, WEXITED | WNOHANG);
  launch.running = waited == 0 && information.si_pid == 0;
}

void set_slice(std::uint64_t slice) {
  const SchedulerAttributes wanted = with_slice(slice, ::getpriority(PRIO_PROCESS, 0));
  (void)::syscall(SYS_sched_setattr, 0, &wanted, 0U);
}

// In uninterruptible sleep a reaper may outlast every patience; then what it uses is left to it.
void free_launch(Launch* launch) noexcept {
  if (launch->waiting) abandon(*launch);
  launch->first.reset();
  if (!launch->running) delete launch;
}

}  // namespace

bool Stacks::make() noexcept {
  // A wish: where the place is taken, the kernel finds another, and only the table is shared.
  const auto here = reinterpret_cast<std::uintptr_t>(&free_launch);
  void* const wish = reinterpret_cast<void*>(here / kTable * kTable - 32 * kTable + kTable / 2);
  void* const lower = ::mmap(wish, kReaperStack + kCommandStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (lower == MAP_FAILED) return false;
  lower_ = static_cast<char*>(lower);
  return true;
}

void Stacks::release() noexcept {
  if (lower_ != nullptr) (void)::munmap(std::exchange(lower_, nullptr), kReaperStack + kCommandStack);
}

char* Stacks::reaper() const noexcept { return lower_ + kReaperStack; }
char* Stacks::command() const noexcept { return lower_ + kReaperStack + kCommandStack; }

FirstTurn::FirstTurn() : before_(::sched_getscheduler(0)) {
  const sched_param first{1};
  if (before_ != SCHED_OTHER || ::sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first) == 0) return;
  set_slice(kShortestSlice);
}

FirstTurn::~FirstTurn() {
  if (before_ != SCHED_OTHER) return;
  const sched_param none{0};  // by the call that set it, which may be all that an outer sandbox allows
  if (::sched_setscheduler(0, SCHED_OTHER, &none) != 0) {  // only root takes back that children begin as others do
    (void)::sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &none);
  }
  set_slice(0);
}

// What is the command's own is mounted, and is of its process namespace. Of the host's, Landlock keeps the environment and memory of
// others from being read (ptrace(2)).
std::optional<Withheld> withheld_proc(const Plan& plan, const Wanted& wanted) {
  const auto without = [](Layer layer, const char* what) { return Withheld{layer, std::string(what) + ": there is none, and no /proc"}; };
  if (plan.proc == Proc::own && !wanted.namespaces.mount) return without(Layer::mount_namespace, "proc \"own\" needs a mount namespace");
  if (plan.proc == Proc::own && !wanted.namespaces.pid) return without(Layer::pid_namespace, "proc \"own\" needs a process namespace");
  if (plan.proc == Proc::all && !wanted.landlock) return without(Layer::landlock, "proc \"all\" needs Landlock");
  return std::nullopt;
}

Expected<std::shared_ptr<Launch>> begin_launch(const Plan& plan, const Wanted& wanted) {
  // Inherited from whoever started safe-exec, or from an earlier launch: execve(2) passes it on, and nothing takes it back.
  if (plan.syscalls == Syscalls::jit && ::prctl(kGetMdwe, 0, 0, 0, 0) > 0) {
    errno = EPERM;
    return tl::unexpected(failed("this process can start no program that generates code (PR_SET_MDWE, prctl(2))", "seccomp").error());
  }
  std::shared_ptr<Launch> launch(new Launch, free_launch);
  launch->wanted = wanted;
  if (!launch->stacks.make()) return tl::unexpected(failed("no memory for the stacks of the sandbox's processes", "stacks").error());
  ChildPlan& child = launch->child;
  child.reaper_stack = launch->stacks.reaper();
  child.command_stack = launch->stacks.command();
  child.early_root = wanted.namespaces.mount && !may_be_whole_root(plan);
  set_identity(*launch);
  set_cgroup(plan, *launch);
  child.generated_code = plan.syscalls == Syscalls::jit;
  child.outlives = !wanted.namespaces.pid || child.cgroup_fd > 0 || creates(plan);
  if (const auto done = open_reports(*launch); !done) return tl::unexpected(done.error());
  if (plan.observed) observe_command(*launch);
  launch->told_of_crashes = told_of_crashes();
  withhold_places(plan, *launch);
  if (const auto done = set_filter(plan, *launch); !done) return tl::unexpected(done.error());
  if (const auto done = start_reaper_of(*launch); !done) return tl::unexpected(done.error());
  return launch;
}

Expected<void> prepare_launch(const Plan& plan, Launch& launch) {
  const Wanted& wanted = launch.wanted;
  if (!wanted.namespaces.pid && !proc_is_own()) {
    return tl::unexpected(launch_error(ErrorCode::sandbox_unavailable, "what the command leaves could not be found", step_name(Step::subreaper), 0));
  }
  ChildPlan& child = launch.child;
  child.ruleset_fd = -1;
  child.cwd_fd = plan.cwd_fd.get();
  if (const auto done = set_created(plan, launch); !done) return done;
  RootOptions options{.landlock = wanted.landlock, .fresh_proc = plan.proc == Proc::own && wanted.namespaces.pid};
  if (wanted.landlock) {
    auto ruleset = landlock::make_ruleset(plan, network_of(plan, wanted), writes_around(plan, wanted), wanted.namespaces.mount);
    if (!ruleset) return tl::unexpected(std::move(ruleset.error()));
    launch.ruleset = std::move(*ruleset);
    child.ruleset_fd = launch.ruleset.fd.get();
    options.handled = landlock::handled_by(launch.ruleset.abi, network_of(plan, wanted)).fs;
  }
  if (const auto done = open_streams(plan, launch); !done) return done;
  set_program(plan, launch);
  if (wanted.namespaces.mount) {
    if (const auto done = set_root(plan, options, launch); !done) return done;
  }
  set_limits(plan, launch);
  return {};
}

Expected<void> release_launch(const Plan& plan, Launch& launch) {
  const auto ceiling = take_own_descriptors();
  if (!ceiling) return tl::unexpected(ceiling.error());
  launch.child.fd_ceiling = *ceiling;
  launch.released_ms = monotonic_ms();
  launch.child.wall_ms = plan.timeout_ms > 0 ? launch.released_ms + std::min<std::int64_t>(plan.timeout_ms, INT32_MAX) : INT64_MAX;
  let_go(launch.child, kGo);
  launch.waiting = false;
  for (Pipe* pipe : {&launch.out, &launch.err, &launch.report}) pipe->write.reset();
  launch.in.read.reset();
  launch.lifeline.read.reset();
  launch.input.reset();
  launch.turn.read.reset();
  (void)!::write(launch.turn.write.get(), "", 1);  // fails when the reaper is gone, as the report will say
  launch.turn.write.reset();
  return {};
}

}  // namespace safe_exec
