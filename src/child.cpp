// Level 4. The code after the fork: a fixed list of steps over a ChildPlan, raw system calls only. Must never
// allocate, throw, take a lock, call into libc or touch errno: the reaper shares the supervisor's memory while it lives,
// and so does the command until it executes.
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child_steps.h"
#include "child_trace.h"
#include "child_tree.h"
#include "clone3.h"
#include "created.h"
#include "scheduling.h"
#include "syscall.h"

namespace safe_exec {
namespace {

constexpr int kSetMdwe = 65, kRefuseExecGain = 1;  // PR_SET_MDWE (6.3); the build host's headers may be older
constexpr size_t kSignals = 64;
constexpr size_t kKernelSigset = 8;  // sizeof(sigset_t) in the kernel's ABI, rt_sigprocmask(2)

size_t length(const char* text) {
  size_t n = 0;
  while (text[n] != '\0') ++n;
  return n;
}

// From here on this process's death says nothing more.
void say(uint32_t& futex, Go go) {
  __atomic_store_n(&futex, static_cast<uint32_t>(go), __ATOMIC_RELEASE);
  call(SYS_futex, &futex, FUTEX_WAKE, 1);
  call(SYS_set_tid_address, nullptr);
}

// ---- namespaces

long write_file(const char* path, const char* text) {
  const long fd = call(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fd;
  const long result = call(SYS_write, fd, text, length(text));
  call(SYS_close, fd);
  return result;
}

void write_maps(const ChildPlan& plan) {
  // The files of a non-dumpable process belong to root (proc(5)), so the maps are written as a dumpable one.
  must(plan, call(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0), Step::uid_map);
  // setgroups first: without "deny" an unprivileged process may not write gid_map (user_namespaces(7)).
  must(plan, write_file("/proc/self/setgroups", "deny"), Step::uid_map);
  must(plan, write_file("/proc/self/uid_map", plan.uid_map), Step::uid_map);
  must(plan, write_file("/proc/self/gid_map", plan.gid_map), Step::uid_map);
}

// The one device of a new network namespace, which is down at first: netdevice(7).
void raise_loopback(const ChildPlan& plan) {
  const long fd = must(plan, call(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), Step::loopback);
  ifreq request{};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP;
  must(plan, call(SYS_ioctl, fd, SIOCSIFFLAGS, &request), Step::loopback);
  call(SYS_close, fd);
}

void make_namespaces(const ChildPlan& plan) {
  if (plan.uid_map != nullptr) write_maps(plan);
  // A dumpable reaper without capabilities could be opened or traced by the command.
  must(plan, call(SYS_prctl, PR_SET_DUMPABLE), Step::uid_map);
  if (plan.unshared != 0) must(plan, call(SYS_unshare, plan.unshared), Step::unshare);
  if (plan.loopback) raise_loopback(plan);
}

void limit_processes(const ChildPlan& plan) {
  const long result = write_file("/proc/sys/kernel/pid_max", plan.pid_max);
  if (result >= 0) return;
  if (plan.pid_max_required) fail(plan, result, Step::process_limit);
  Message message{};
  message.kind = Message::note;  // the launch goes on; the limits are reported as partial
  message.step = Step::process_limit;
  message.error = static_cast<int32_t>(-result);
  send(plan, message);
}

// ---- privileges, of the reaper and with it of the command

// Bounds what could be gained; what is there stays until the mounts are made.
void bound_privileges(const ChildPlan& plan) {
  for (unsigned long capability = 0; capability < 64; ++capability) {
    const long result = call(SYS_prctl, PR_CAPBSET_DROP, capability);
    if (result == -EINVAL && capability > CAP_BPF) break;  // above the kernel's last capability, prctl(2)
    must(plan, result, Step::capabilities);
  }
  const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                             SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                             SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  must(plan, call(SYS_prctl, PR_SET_SECUREBITS, bits, 0, 0, 0), Step::capabilities);
}

void drop_privileges(const ChildPlan& plan) {
  must(plan, call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), Step::capabilities);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  must(plan, call(SYS_capset, &header, none), Step::capabilities);
  __user_cap_data_struct left[2] = {};
  must(plan, call(SYS_capget, &header, left), Step::capabilities);
  for (const auto& word : left) {
    if ((word.effective | word.permitted | word.inheritable) != 0) fail(plan, -EPERM, Step::capabilities);
  }
}

// ---- the command

void reset_signals() {
  struct {  // the kernel's struct sigaction, not libc's
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)();
    uint64_t mask;
  } action{};  // SIG_DFL is 0
  for (size_t signal = 1; signal <= kSignals; ++signal) {
    call(SYS_rt_sigaction, signal, &action, nullptr, kKernelSigset);  // KILL and STOP refuse, and need no reset
  }
}

void set_signal_mask(const ChildPlan& plan, uint64_t mask) {
  must(plan, call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, nullptr, kKernelSigset), Step::signals);
}

void close_on_exec(const ChildPlan& plan) {
  if (plan.fd_ceiling == 0) {
    must(plan, call(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC), Step::descriptors);
    return;
  }
  for (unsigned fd = 3; fd <= plan.fd_ceiling; ++fd) call(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
}

void set_stdio(const ChildPlan& plan) {
  const long null = plan.own_null ? call(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC) : -1;
  must(plan, call(SYS_dup3, null >= 0 ? null : plan.in_fd, 0, 0), Step::stdio);
  must(plan, call(SYS_dup3, plan.out_fd, 1, 0), Step::stdio);
  must(plan, call(SYS_dup3, plan.err_fd, 2, 0), Step::stdio);
}

void no_new_privileges(const ChildPlan& plan) {
  must(plan, call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), Step::no_new_privs);
  if (call(SYS_prctl, PR_GET_NO_NEW_PRIVS) != 1) fail(plan, -EPERM, Step::no_new_privs);
}

// The kernel compiles the filter for as long as all mounts take, and is not interrupted: begun too soon, that would hold up the
// reaper on the same processor. So it waits until the supervisor has nothing more to do, and a pipe is what it waits at because
// its writer gives up the processor to the reader (a synchronous wake-up).
void await_turn(const ChildPlan& plan) {
  char turn;
  while (call(SYS_read, plan.turn_fd, &turn, sizeof turn) == -EINTR) {
  }
}

// At the caller's real-time priority nobody else would run, whoever ends it in time included.
void leave_real_time(const ChildPlan& plan) {
  const long policy = call(SYS_sched_getscheduler, 0) & ~long{SCHED_RESET_ON_FORK};
  if (policy != SCHED_FIFO && policy != SCHED_RR) return;
  const sched_param none{};
  must(plan, call(SYS_sched_setscheduler, 0, SCHED_OTHER, &none), Step::limits);
}

// What needs nothing of what is granted.
void begin_command(const ChildPlan& plan, Run& run) {
  run.step = Step::cgroup;  // before anything can be taken that counts
  if (run.join) must(plan, call(SYS_write, plan.cgroup_processes, "0", 1), run.step);
  run.step = Step::session;
  must(plan, call(SYS_setpgid, 0, 0), run.step);
  set_signal_mask(plan, 0);
  run.step = Step::limits;
  leave_real_time(plan);
  run.step = Step::capabilities;
  drop_privileges(plan);
  run.step = Step::no_new_privs;  // needed by the filter and the domain
  no_new_privileges(plan);
  run.step = Step::observe;  // the filter refuses ptrace(2)
  if (plan.observer != nullptr) must(plan, offer_to_be_observed(), run.step);
  // The kernel's own rule against generated code, where it knows it (6.3); the filter has the same one. The memory that is
  // shared until exec keeps it for good: a later command of this process may not generate code (launch.cpp refuses it).
  if (!plan.generated_code) call(SYS_prctl, kSetMdwe, kRefuseExecGain);
  run.step = Step::seccomp;  // it refuses most of what stands above
  if (plan.filter != nullptr) await_turn(plan);
  if (plan.fallback_filter != nullptr) {
    plan.fallback_filter->filter[plan.own_pid].k = static_cast<uint32_t>(call(SYS_getpid));
    must(plan, call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, plan.fallback_filter), run.step);
  }
  if (plan.mode_filter != nullptr) must(plan, call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, plan.mode_filter), run.step);
  if (plan.filter == nullptr) return;
  plan.filter->filter[plan.reaper_pid].k = static_cast<uint32_t>(call(SYS_getppid));
  must(plan, call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, plan.filter), run.step);
}

void run_command(void* argument) {
  Run& run = *static_cast<Run*>(argument);
  const ChildPlan& plan = *run.plan;
  begin_command(plan, run);
  await_change(plan, run.placed, kPreparing, run.step);
  if (run.placed == kAbandoned) quit(127);
  // Every call from here on passes the filter, also for the command itself.
  run.step = Step::stdio;
  set_stdio(plan);
  run.step = Step::limits;
  for (size_t i = 0; i < plan.limit_count; ++i) {
    must(plan, call(SYS_prlimit64, 0, plan.limits[i].resource, &plan.limits[i].soft, nullptr), run.step, i);
  }
  run.step = Step::descriptors;
  close_on_exec(plan);
  run.step = Step::landlock;  // after the mounts: rules are added for what is mounted
  if (plan.ruleset_fd >= 0) must(plan, call(SYS_landlock_restrict_self, plan.ruleset_fd, 0), run.step);
  run.step = Step::exec;
  const bool by_path = plan.exec_path != nullptr;
  fail(plan,
       call(SYS_execveat, by_path ? AT_FDCWD : run.exec_fd, by_path ? plan.exec_path : "", plan.argv, plan.envp,
            by_path ? 0 : AT_EMPTY_PATH, plan.exec_magic),
       Step::exec);
}

// ---- the end of the tree

// Sends the end of the command, or that it died before it executed anything.
void report_end(const Run& run, int status) {
  Message message{};
  message.kind = run.step == Step::exec ? Message::ended : Message::failed;
  message.step = run.step;
  message.error = run.step == Step::exec ? 0 : EINTR;
  message.status = status;
  message.overdue = run.overdue ? 1 : 0;
  rusage usage{};
  call(SYS_getrusage, RUSAGE_CHILDREN, &usage);
  message.cpu_user_us = usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec;
  message.cpu_system_us = usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec;
  message.max_rss_kib = usage.ru_maxrss;
  struct statfs tmp {};
  if (run.plan->private_tmp && call(SYS_statfs, "/tmp", &tmp) == 0) {
    const bool blocks = tmp.f_blocks > 0 && tmp.f_bavail == 0;  // of a tmpfs without a limit both are 0
    message.tmp_full = blocks || (tmp.f_files > 0 && tmp.f_ffree == 0) ? 1 : 0;
  }
  send(*run.plan, message);
}

void report_failure(const ChildPlan& plan, long error, Step step, size_t item = 0) {
  send(plan, {Message::failed, step, static_cast<int32_t>(-error), static_cast<uint32_t>(item), 0, 0, 0, 0, 0, 0});
}

// Reaps what has ended, and counts what was killed. Returns false when no child is left. Those that stop or end may never become
// fewer: whoever has a time to keep is let look at it now and then, and comes back at once (run.more).
bool reap(Run& run, long& command, int options, size_t* killed = nullptr) {
  constexpr int kStops = 64, kEnds = 4096;
  bool ended = false, left = true;
  int status_of_command = 0;
  run.more = false;
  run.unwaited = 0;
  for (int stops = 0, ends = 0; left && !run.more;) {
    int status = 0;
    const long pid = call(SYS_wait4, -1, &status, options | __WALL, nullptr);
    if (pid == -EINTR) continue;
    left = pid != -ECHILD;
    if (left && pid < 0) run.unwaited = pid;
    if (pid <= 0) break;
    if ((status & 0xFF) == 0x7F) {  // stopped: only who is traced is reported without WUNTRACED
      observe(*run.plan->observer, pid, status);
      run.more = ++stops == kStops;
      continue;
    }
    run.more = ++ends == kEnds;
    if (run.plan->observer != nullptr) observe_end(*run.plan->observer, pid, status);
    if (pid == command) {  // reported below, with what it did not wait for
      ended = true;
      status_of_command = status;
      command = 0;
    }
    if (killed != nullptr && (status & 0x7F) == SIGKILL) ++*killed;
    options |= WNOHANG;
  }
  if (ended) report_end(run, status_of_command);
  return left;
}

void remove_created(const ChildPlan& plan) {
  for (size_t i = 0; i < plan.created_count; ++i) plan.created[i].remove_untouched();
}

// What would stay behind a supervisor that was killed. Nothing more is reported: whoever may still ask the cgroup what was too
// much, or try again with the files that were created, lets the lifeline go when it has, or is dead.
void clear_up(const ChildPlan& plan) {
  if (plan.cgroup_fd <= 0 && plan.created_count == 0) return;
  call(SYS_close, plan.report_fd);
  pollfd watch{plan.lifeline_fd, 0, 0};
  while (call(SYS_ppoll, &watch, 1) == -EINTR) {
  }
  remove_created(plan);
  remove_cgroup(plan);
}

// As long as those that were killed are ending there is nobody to look for: until none did in so many turns. More while the
// command itself is ending, because what its children leave is its own until then. Orphans that end by themselves say that
// somebody makes them. most: turns in all, since they may kill one another. Returns false when no child is left.
bool reap_while_ending(Run& run, long& command, int turns, int most) {
  for (int all = 0, idle = 0;; ++all) {
    size_t killed = 0;
    if (!reap(run, command, WNOHANG, &killed)) return false;
    idle = killed > 0 ? 0 : idle + 1;
    if (idle > (command > 0 ? turns * 6 : turns) || all > most) return true;
    const timespec turn{0, all == 0 ? 500000 : 2000000};
    call(SYS_ppoll, nullptr, 0, &turn, nullptr, 0);
  }
}

// As a subreaper every orphan becomes a child of this process, so the walk is repeated until there is none: frozen first,
// so that few can run away from it. Once it meets only those that it killed before, it says so: a thousand take long to end.
// Not inlined: its memory is not for launches that have a pid namespace.
[[gnu::noinline]] void sweep(Run& run, long& command) {
  const ChildPlan& plan = *run.plan;
  kill_cgroup(plan);
  // Its process group in one go, which no fork outruns (fork(2) fails while SIGKILL is pending), and without /proc.
  const bool told = run.group > 1 && call(SYS_kill, -run.group, SIGKILL) == 0;
  constexpr int kTurns = 1, kFew = 2, kMost = 10;
  // A thousand end more slowly than they are looked through.
  if (told ? !reap(run, command, WNOHANG) : !reap_while_ending(run, command, 0, kFew)) return;
  Tree trees[2];
  Tree *now = &trees[0], *before = &trees[1];
  signal_tree(plan, *before, SIGKILL);  // enough for those that only left the group
  int blind = 0;  // so many passes that nobody could be waited for: those who are gone by then are not seen to be
  bool all = false, told_so = false;  // all: as far as the last pass saw, which one that got away may belie
  for (bool again = false; !again || reap_while_ending(run, command, kTurns, all ? kMost * 10 : kMost); again = true) {
    if (again) signal_tree(plan, *now, SIGSTOP);
    signal_tree(plan, *now, SIGKILL);
    all = is_part_of(*now, *before);
    if (all && !told_so) {
      Message message{};
      message.kind = Message::killed;
      send(plan, message);
      told_so = true;
    }
    Tree* const last = before;
    before = now;
    now = last;
    blind = run.unwaited != 0 ? blind + 1 : 0;
    if (blind > (all ? kMost : kMost * 100)) return;
  }
}

// Kills and reaps every descendant. As pid 1: all of the namespace.
void kill_tree(Run& run, long& command) {
  if (!run.plan->pid_namespace) return sweep(run, command);
  call(SYS_kill, -1, SIGKILL);
  constexpr int kTries = 10;  // the kernel waits for those that are left when this process ends
  for (int blind = 0; blind < kTries && reap(run, command, 0);) blind = run.unwaited != 0 ? blind + 1 : 0;
}

// ---- the reaper

bool supervisor_gone(const ChildPlan& plan) {
  pollfd watch{plan.lifeline_fd, POLLIN, 0};
  const timespec now{};
  return must(plan, call(SYS_ppoll, &watch, 1, &now), Step::parent_check) > 0;
}

void close_between(const ChildPlan& plan, unsigned first, unsigned last) {
  if (first > last) return;
  if (plan.fd_ceiling == 0) {
    call(SYS_close_range, first, last, 0);
    return;
  }
  for (unsigned fd = first; fd <= last && fd <= plan.fd_ceiling; ++fd) call(SYS_close, fd);
}

// Keeps report, lifeline, signal, /proc and cgroup descriptors and the directories of what was created, and closes
// everything else: above all the command's pipes, whose end of file the supervisor waits for.
void keep_only(const ChildPlan& plan, int signal_fd) {
  const int kept[] = {plan.report_fd, plan.lifeline_fd, signal_fd, plan.proc_fd, plan.cgroup_fd <= 0 ? -1 : plan.cgroup_fd};
  for (unsigned first = 0;;) {
    unsigned next = ~0U;  // the next that is kept; a missing one is beyond all as an unsigned number
    for (const int fd : kept) next = static_cast<unsigned>(fd) >= first && static_cast<unsigned>(fd) < next ? static_cast<unsigned>(fd) : next;
    for (size_t i = 0; i < plan.created_count; ++i) {
      const auto fd = static_cast<unsigned>(plan.created[i].parent);
      if (fd >= first && fd < next) next = fd;
    }
    if (next > 0) close_between(plan, first, next == ~0U ? next : next - 1);
    if (next == ~0U) return;
    first = next + 1;
  }
}

int64_t now_ms() {
  timespec now{};
  call(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Said before the tree is killed: its end would else be told as the command's own.
bool unwatched(const ChildPlan& plan, long error) {
  report_failure(plan, error, Step::watch);
  return true;
}

// Returns whether anything may be left of the tree. The supervisor keeps the time and says stop. But where a hundred run, the
// scheduler may keep it waiting for seconds: so this process, which hardly runs, ends the tree by itself a moment later. That it
// hardly runs, it looks only every so often where others end than the command: the orphans of a bomb.
bool wait_for_end(Run& run, long& command, int signal_fd) {
  constexpr int64_t kLateMs = 2, kPauseMs = 20;
  const ChildPlan& plan = *run.plan;
  const int64_t until = plan.wall_ms == INT64_MAX ? INT64_MAX : plan.wall_ms + kLateMs;
  pollfd watch[3] = {{plan.lifeline_fd, POLLIN, 0}, {signal_fd, POLLIN, 0}, {-1, POLLIN, 0}};  // the last: the command
  for (bool others = false;;) {
    const bool more = reap(run, command, WNOHANG);
    if (command == 0) return more;  // without a child there is no descendant: orphans become children of this process
    if (run.unwaited != 0) return unwatched(plan, run.unwaited);
    if (others && watch[2].fd < 0 && plan.observer == nullptr) watch[2].fd = static_cast<int>(call(SYS_pidfd_open, command, 0));
    const bool pausing = others && watch[2].fd >= 0;
    watch[1].fd = pausing ? -1 : signal_fd;
    int64_t wait = until == INT64_MAX ? INT64_MAX : until - now_ms();
    if (wait <= 0) return run.overdue = true;
    if (run.more) wait = 0;
    if (pausing && wait > kPauseMs) wait = kPauseMs;
    const timespec time{wait / 1000, wait % 1000 * 1000000};
    const long ready = call(SYS_ppoll, watch, 3, wait == INT64_MAX ? nullptr : &time);
    if (ready < 0 && ready != -EINTR) return unwatched(plan, ready);
    if (ready > 0 && watch[0].revents != 0) return true;  // the supervisor says stop, or is gone
    others = ready > 0 && watch[1].fd >= 0 && watch[1].revents != 0;
    char information[128];  // sizeof(struct signalfd_siginfo)
    if (others) call(SYS_read, signal_fd, information, sizeof information);
  }
}

// What needs no knowledge of what is granted, while the supervisor finds that out. Shares its table of descriptors: opens
// nothing that it does not close.
void begin_tree(const ChildPlan& plan) {
  // A session of its own: no controlling terminal to push input into (TIOCSTI). Not one of the command's alone: for each the
  // scheduler has a group (sched_autogroup_enabled, sched(7)), and Linux 6.18 lets one in which much is forked keep all others
  // waiting for seconds. Within the group this process has its turn in time.
  must(plan, call(SYS_setsid), Step::session);
  // Who sweeps, or has something to remove, sees by the lifeline that it is time.
  if (!plan.outlives) must(plan, call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), Step::parent_check);
  make_namespaces(plan);
  if (plan.drop_bounding) bound_privileges(plan);
}

// What could not be swept or waited for is not started.
void become_parent(const ChildPlan& plan) {
  if (!plan.pid_namespace) {
    must(plan, call(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1), Step::subreaper);
    must(plan, call(SYS_kill, call(SYS_getpid), 0), Step::subreaper);
  }
  const long children = call(SYS_wait4, -1, nullptr, WNOHANG);
  if (children < 0 && children != -ECHILD) fail(plan, children, Step::command_fork);
}

// It shares all with this process until it has executed. Into its cgroup at birth where clone3(2) may be called: joining one
// later costs an RCU grace period, some 10 ms.
long start_command(const ChildPlan& plan, Run& run) {
  constexpr Word kShared = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_CHILD_CLEARTID;
  if (plan.cgroup_fd > 0) {
    const long born = spawn_into(plan.cgroup_fd, kShared, plan.command_stack, run_command, &run, &run.sharing);
    if (born >= 0) return born;
    run.join = true;
  }
  return must(plan, spawn(kShared | SIGCHLD, plan.command_stack, run_command, &run, nullptr, &run.sharing), Step::command_fork);
}

void await_go(ChildPlan& plan) {
  await_change(plan, plan.go, kPreparing, Step::parent_check);
  if (plan.go == kAbandoned) {
    remove_created(plan);  // none, when the supervisor lives and says so itself
    give_up(plan);
  }
  call(SYS_close, plan.lifeline_writer);
  call(SYS_close, plan.turn_writer);
  if (!plan.pid_namespace) must(plan, call(SYS_faccessat, plan.proc_fd, "thread-self/children", R_OK), Step::subreaper);
  if (supervisor_gone(plan)) {  // or it was told to stop, and knows it
    remove_created(plan);
    give_up(plan);
  }
  if (plan.pid_max != nullptr) limit_processes(plan);
}

// Who sweeps must not wait for its turn behind a fork bomb.
void go_first() {
  const long policy = call(SYS_sched_getscheduler, 0);
  if (policy == SCHED_FIFO || policy == SCHED_RR) return;  // the caller's
  const sched_param first{1};
  if (call(SYS_sched_setscheduler, 0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first) == 0) return;
  const auto nice = static_cast<int32_t>(20 - call(SYS_getpriority, 0, 0));  // the call gives 40 to 1
  const SchedulerAttributes sooner = with_slice(kShortestSlice, nice);
  call(SYS_sched_setattr, 0, &sooner, 0);
}

// Makes root and working directory, which the command shares so far, while it confines itself.
void place_command(const ChildPlan& plan, Run& run) {
  run.exec_fd = plan.exec_fd;
  if (plan.mounts != nullptr) {
    if (!plan.early_root) make_root(plan, plan.whole_root);
    fill_root(plan, run);
  }
  enter_cwd(plan);
  // What a command makes is the caller's as if he had run it; only what others may write is never made.
  call(SYS_umask, run.mask | 022);
  call(SYS_unshare, CLONE_FS);  // from here on the command's alone; where it is refused, the reaper's too, who needs neither
  if (!plan.pid_namespace) go_first();
  drop_privileges(plan);
  say(run.placed, kGo);
  if (plan.pid_namespace) go_first();
}

}  // namespace

void quit(int status) noexcept {
  for (;;) call(SYS_exit_group, status);
}

void give_up(const ChildPlan& plan) noexcept {
  if (plan.command > 0 && plan.command != call(SYS_getpid)) {
    call(SYS_kill, plan.command, SIGKILL);
    call(SYS_wait4, plan.command, nullptr, __WALL, nullptr);
    if (plan.cgroup_fd > 0) call(SYS_unlinkat, plan.cgroup_fd, plan.cgroup_name, AT_REMOVEDIR);
  }
  quit(127);
}

void send(const ChildPlan& plan, const Message& message) noexcept {
  while (call(SYS_write, plan.report_fd, &message, sizeof message) == -EINTR) {
  }
}

void fail(const ChildPlan& plan, long error, Step step, size_t item) noexcept {
  report_failure(plan, error, step, item);
  give_up(plan);
}

void await_change(const ChildPlan& plan, const uint32_t& futex, uint32_t from, Step step) noexcept {
  while (__atomic_load_n(&futex, __ATOMIC_ACQUIRE) == from) {
    const long result = call(SYS_futex, &futex, FUTEX_WAIT, from, nullptr);  // not private: the kernel wakes it, too
    if (result < 0 && result != -EAGAIN && result != -EINTR) fail(plan, result, step);
  }
}

void run_reaper(void* given) noexcept {
  ChildPlan& plan = *static_cast<ChildPlan*>(given);
  // What the sandbox makes for itself the command can use, whatever the caller's mask is.
  const auto mask = static_cast<uint32_t>(call(SYS_umask, 022));
  Run run{&plan, -1, Step::command_fork, false, 0, kPreparing, 1, mask, false, false, 0};
  set_signal_mask(plan, ~uint64_t{0});  // a ^C of the terminal is not for us
  reset_signals();                // also the command's; with SIGCHLD ignored nothing could be waited for
  begin_tree(plan);
  become_parent(plan);
  call(SYS_set_tid_address, &run.placed);
  long command = start_command(plan, run);
  run.group = plan.command = command;
  if (plan.early_root) make_root(plan, false);
  const uint64_t child_signal = uint64_t{1} << (SIGCHLD - 1);
  await_go(plan);
  int signal_fd = static_cast<int>(must(
      plan, call(SYS_signalfd4, -1, &child_signal, kKernelSigset, O_CLOEXEC | O_NONBLOCK), Step::command_fork));
  place_command(plan, run);
  await_change(plan, run.sharing, 1, Step::command_fork);
  keep_only(plan, signal_fd);
  if (wait_for_end(run, command, signal_fd)) kill_tree(run, command);
  clear_up(plan);
  call(SYS_set_tid_address, &plan.uses_memory);
  quit(0);
}

long start_reaper(ChildPlan& plan, unsigned long namespaces, int* pidfd) noexcept {
  plan.go = kPreparing;
  plan.uses_memory = 1;
  call(SYS_set_tid_address, &plan.go);
  constexpr unsigned long kShared = CLONE_VM | CLONE_FILES | CLONE_PIDFD;
  const long pid = spawn(namespaces | kShared | SIGCHLD, plan.reaper_stack, run_reaper, &plan, pidfd, nullptr);
  if (pid < 0) call(SYS_set_tid_address, nullptr);
  else call(SYS_sched_yield);  // moved to a session it waits for a turn of its own: sooner begun, it has had that while we prepare
  return pid;
}

void let_go(ChildPlan& plan, Go go) noexcept { say(plan.go, go); }

}  // namespace safe_exec
