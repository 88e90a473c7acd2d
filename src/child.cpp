// Level 4. The only code after the fork: a fixed list of steps over a ChildPlan, raw system calls only. Must never
// allocate, throw, take a lock, call into libc or touch errno: the reaper shares the supervisor's memory while it lives,
// and so does the command until it executes.
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <linux/seccomp.h>
#include <linux/stat.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child_trace.h"
#include "child_tree.h"
#include "syscall.h"

namespace safe_exec {
namespace {

// What the reaper and the command, which share memory until exec, tell each other.
struct Run {
  const ChildPlan* plan;
  int exec_fd;
  Step step;  // the command's current step
  long group; // the command's process group
};

constexpr int kSetMdwe = 65, kRefuseExecGain = 1;  // PR_SET_MDWE (6.3); the build host's headers may be older
constexpr size_t kSignals = 64;
constexpr size_t kKernelSigset = 8;  // sizeof(sigset_t) in the kernel's ABI, rt_sigprocmask(2)

[[noreturn]] void quit(int status) {
  for (;;) call(SYS_exit_group, status);
}

void send(const ChildPlan& plan, const Message& message) {
  while (call(SYS_write, plan.report_fd, &message, sizeof message) == -EINTR) {
  }
}

// error: negative, as system calls give it.
[[noreturn]] void fail(const ChildPlan& plan, long error, Step step, size_t item = 0) {
  Message message{};
  message.kind = Message::failed;
  message.step = step;
  message.error = static_cast<int32_t>(-error);
  message.item = static_cast<uint32_t>(item);
  send(plan, message);
  quit(127);
}

long must(const ChildPlan& plan, long result, Step step, size_t item = 0) {
  if (result < 0) fail(plan, result, step, item);
  return result;
}

size_t length(const char* text) {
  size_t n = 0;
  while (text[n] != '\0') ++n;
  return n;
}

// ---- user namespace

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

// ---- mounts

long new_filesystem(const char* type, const char* size, const char* inodes, unsigned attributes) {
  const long context = call(SYS_fsopen, type, FSOPEN_CLOEXEC);
  if (context < 0) return context;
  long result = 0;
  if (size != nullptr) {
    result = call(SYS_fsconfig, context, FSCONFIG_SET_STRING, "size", size, 0);
    if (result == 0) result = call(SYS_fsconfig, context, FSCONFIG_SET_STRING, "mode", "755", 0);
    if (result == 0 && inodes != nullptr) {
      result = call(SYS_fsconfig, context, FSCONFIG_SET_STRING, "nr_inodes", inodes, 0);
    }
  } else {  // /proc: without this process, which is the sandbox's own; before 5.8 it is seen
    call(SYS_fsconfig, context, FSCONFIG_SET_STRING, "hidepid", "ptraceable", 0);
  }
  if (result == 0) result = call(SYS_fsconfig, context, FSCONFIG_CMD_CREATE);
  if (result == 0) result = call(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
  call(SYS_close, context);
  return result;
}

// Opens a name in the new root without following any symlink, so that nothing in a granted place can redirect it.
long open_beneath(long root, const char* target, uint64_t flags) {
  open_how how{};
  how.flags = flags | O_PATH | O_CLOEXEC | O_NOFOLLOW;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return call(SYS_openat2, root, target, &how, sizeof how);
}

long attach(long tree, long root, const MountOp& op) {
  if (!op.beneath) return call(SYS_move_mount, tree, "", root, op.target, MOVE_MOUNT_F_EMPTY_PATH);
  const long target = open_beneath(root, op.target, 0);
  if (target < 0) return target;
  const long result =
      call(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  call(SYS_close, target);
  return result;
}

// 0, or the negative error: ESTALE when it is another one.
long same_inode(long fd, uint64_t inode, uint32_t major, uint32_t minor) {
  struct statx found {};
  const long result = call(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_INO, &found);
  if (result < 0) return result;
  return found.stx_ino == inode && found.stx_dev_major == major && found.stx_dev_minor == minor ? 0 : -ESTALE;
}

long set_attributes(long fd, uint64_t set, uint64_t clear, bool recursive) {
  mount_attr attributes{};
  attributes.attr_set = set;
  attributes.attr_clr = clear;
  return call(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attributes,
                 sizeof attributes);
}

// A descriptor that was opened in the parent's mount namespace cannot be cloned in this one (open_tree(2): EINVAL),
// so the checked inode is found again by its physical name and compared.
void bind(const ChildPlan& plan, Run& run, long root, const MountOp& op, size_t item) {
  const long tree = must(plan,
                         call(SYS_open_tree, AT_FDCWD, op.source,
                                 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW |
                                     static_cast<unsigned>(op.recursive ? AT_RECURSIVE : 0)),
                         Step::mount_bind, item);
  must(plan, same_inode(tree, op.inode, op.major, op.minor), Step::mount_bind, item);
  if (op.attributes != 0) must(plan, set_attributes(tree, op.attributes, 0, op.recursive), Step::mount_bind, item);
  must(plan, attach(tree, root, op), Step::mount_bind, item);
  if (op.executed) run.exec_fd = static_cast<int>(tree);
  else call(SYS_close, tree);
}

// A file system of this launch's own: the rule for it can only be made now that it exists.
void add_rule(const ChildPlan& plan, long fd, uint64_t rights, Step step, size_t item) {
  if (plan.ruleset_fd < 0 || rights == 0) return;
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights;
  rule.parent_fd = static_cast<int>(fd);
  must(plan, call(SYS_landlock_add_rule, plan.ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0), step, item);
}

void mount_fresh(const ChildPlan& plan, long root, const MountOp& op, size_t item) {
  const bool tmp = op.kind == MountOp::tmpfs;
  const Step step = tmp ? Step::mount_tmp : Step::mount_proc;
  const unsigned attributes =
      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | (tmp ? static_cast<unsigned>(op.attributes) : MOUNT_ATTR_RDONLY);
  const long tree =
      must(plan, new_filesystem(tmp ? "tmpfs" : "proc", tmp ? op.source : nullptr, op.inodes, attributes), step, item);
  if (tmp && op.attributes == 0) must(plan, call(SYS_fchmodat, tree, ".", 01777), step, item);
  must(plan, attach(tree, root, op), step, item);
  add_rule(plan, tree, op.landlock, step, item);
  call(SYS_close, tree);
}

void run_mount(const ChildPlan& plan, Run& run, long root, size_t item) {
  const MountOp& op = plan.mounts[item];
  switch (op.kind) {
    case MountOp::directory:
      must(plan, call(SYS_mkdirat, root, op.target, 0755), Step::mount_entry, item);
      break;
    case MountOp::file:
      must(plan, call(SYS_mknodat, root, op.target, S_IFREG | 0444, 0), Step::mount_entry, item);
      break;
    case MountOp::symlink:
      must(plan, call(SYS_symlinkat, op.source, root, op.target), Step::mount_entry, item);
      break;
    case MountOp::bind:
      bind(plan, run, root, op, item);
      break;
    case MountOp::read_only:
      must(plan, set_attributes(root, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, true),
           Step::mount_read_only, item);
      break;
    case MountOp::writable: {
      const long fd = must(plan, open_beneath(root, op.target, 0), Step::mount_tmp, item);
      must(plan, set_attributes(fd, 0, MOUNT_ATTR_RDONLY, false), Step::mount_tmp, item);
      call(SYS_close, fd);
      break;
    }
    case MountOp::tmpfs:
    case MountOp::proc:
      mount_fresh(plan, root, op, item);
      break;
  }
}

void build_root(const ChildPlan& plan, Run& run) {
  must(plan, call(SYS_mount, nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), Step::mount_root);
  const long root = must(
      plan,
      plan.whole_root ? call(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)
                      : new_filesystem("tmpfs", "4m", nullptr, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV),
      Step::mount_root);
  // Attached over "/": needs no directory of the host, and absolute names still start in the old root until the chroot below.
  must(plan, call(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH), Step::mount_root);
  for (size_t i = 0; i < plan.mount_count; ++i) run_mount(plan, run, root, i);
  // The new root covers the old one, and chroot(2) puts "/" and its ".." into it. Detaching the old root as well
  // (pivot_root(2), umount2(2)) costs an RCU grace period on every launch and takes away nothing that could be reached:
  // uncovering it needs capabilities, which are dropped next, for good, or a descriptor of it, and none is kept.
  must(plan, call(SYS_fchdir, root), Step::mount_enter);
  must(plan, call(SYS_chroot, "."), Step::mount_enter);
  call(SYS_close, root);
}

void enter_cwd(const ChildPlan& plan) {
  if (plan.mounts == nullptr) {
    must(plan, call(SYS_fchdir, plan.cwd_fd), Step::cwd);
    return;
  }
  must(plan, call(SYS_chdir, "/"), Step::cwd);
  if (plan.cwd[0] == '\0') return;
  const long fd = must(plan, open_beneath(AT_FDCWD, plan.cwd, O_DIRECTORY), Step::cwd);
  if (plan.cwd_inode != 0) {
    struct statx found {};
    must(plan, call(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_INO, &found), Step::cwd);
    if (found.stx_ino != plan.cwd_inode) fail(plan, -ESTALE, Step::cwd);
  }
  must(plan, call(SYS_fchdir, fd), Step::cwd);
  call(SYS_close, fd);
}

// ---- privileges, of the reaper and with it of the command

void drop_privileges(const ChildPlan& plan) {
  if (plan.drop_bounding) {
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
  must(plan, call(SYS_dup3, plan.in_fd, 0, 0), Step::stdio);
  must(plan, call(SYS_dup3, plan.out_fd, 1, 0), Step::stdio);
  must(plan, call(SYS_dup3, plan.err_fd, 2, 0), Step::stdio);
}

void no_new_privileges(const ChildPlan& plan) {
  must(plan, call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), Step::no_new_privs);
  if (call(SYS_prctl, PR_GET_NO_NEW_PRIVS) != 1) fail(plan, -EPERM, Step::no_new_privs);
}

void run_command(void* argument) {
  Run& run = *static_cast<Run*>(argument);
  const ChildPlan& plan = *run.plan;
  run.step = Step::session;  // a session of its own: no controlling terminal to push input into (TIOCSTI)
  must(plan, call(SYS_setsid), run.step);
  set_signal_mask(plan, 0);
  run.step = Step::stdio;
  set_stdio(plan);
  run.step = Step::cwd;
  enter_cwd(plan);
  call(SYS_umask, 077);
  run.step = Step::limits;
  for (size_t i = 0; i < plan.limit_count; ++i) {
    must(plan, call(SYS_prlimit64, 0, plan.limits[i].resource, &plan.limits[i].soft, nullptr), run.step, i);
  }
  run.step = Step::no_new_privs;  // needed by the two layers that follow
  no_new_privileges(plan);
  run.step = Step::observe;  // the filter refuses ptrace(2)
  if (plan.observer != nullptr) must(plan, offer_to_be_observed(), run.step);
  run.step = Step::landlock;  // after the mounts: a domain forbids them
  if (plan.ruleset_fd >= 0) must(plan, call(SYS_landlock_restrict_self, plan.ruleset_fd, 0), run.step);
  run.step = Step::descriptors;
  close_on_exec(plan);
  // The kernel's own rule against generated code, where it knows it (6.3); the filter has the same one. The memory that is
  // shared until exec keeps it for good: a later command of this process may not generate code (launch.cpp refuses it).
  if (!plan.generated_code) call(SYS_prctl, kSetMdwe, kRefuseExecGain);
  run.step = Step::seccomp;  // last: it refuses most of what stands above
  if (plan.fallback_filter != nullptr) {
    plan.fallback_filter->filter[plan.own_pid].k = static_cast<uint32_t>(call(SYS_getpid));
    must(plan, call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, plan.fallback_filter), run.step);
  }
  if (plan.filter != nullptr) must(plan, call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, plan.filter), run.step);
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
  rusage usage{};
  call(SYS_getrusage, RUSAGE_CHILDREN, &usage);
  message.cpu_user_us = usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec;
  message.cpu_system_us = usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec;
  message.max_rss_kib = usage.ru_maxrss;
  struct statfs tmp {};
  if (run.plan->private_tmp && call(SYS_statfs, "/tmp", &tmp) == 0) {
    message.tmp_full = tmp.f_bavail == 0 || tmp.f_ffree == 0 ? 1 : 0;
  }
  send(*run.plan, message);
}

// Reaps what has ended, and counts it. Returns false when no child is left.
bool reap(const Run& run, long& command, int options, size_t* count = nullptr) {
  for (;;) {
    int status = 0;
    const long pid = call(SYS_wait4, -1, &status, options | __WALL, nullptr);
    if (pid < 0) {
      if (pid == -EINTR) continue;
      return false;
    }
    if (pid == 0) return true;
    if ((status & 0xFF) == 0x7F) {  // stopped: only who is traced is reported without WUNTRACED
      observe(*run.plan->observer, pid, status);
      continue;
    }
    if (run.plan->observer != nullptr) observe_end(*run.plan->observer, pid, status);
    if (pid == command) {
      report_end(run, status);
      command = 0;
    }
    if (count != nullptr) ++*count;
    options |= WNOHANG;
  }
}

// As a subreaper every orphan becomes a child of this process, so the walk is repeated until there is none: frozen first,
// so that few can run away from it. Not inlined: its memory is not for launches that have a pid namespace.
[[gnu::noinline]] void sweep(const Run& run, long& command) {
  const ChildPlan& plan = *run.plan;
  // Its process group in one go, which no fork outruns (fork(2) fails while SIGKILL is pending), and without /proc.
  if (run.group > 1) call(SYS_kill, -run.group, SIGKILL);
  Tree tree;
  while (reap(run, command, WNOHANG)) {
    signal_tree(plan, tree, SIGSTOP);
    signal_tree(plan, tree, SIGKILL);
    for (size_t reaped = 1; reaped > 0;) {  // as long as they are ending there is nobody to look for
      const timespec turn{0, 500000};
      call(SYS_ppoll, nullptr, 0, &turn, nullptr, 0);
      reaped = 0;
      if (!reap(run, command, WNOHANG, &reaped)) return;
    }
  }
}

// Kills and reaps every descendant. As pid 1: all of the namespace.
void kill_tree(const Run& run, long& command) {
  if (!run.plan->pid_namespace) return sweep(run, command);
  call(SYS_kill, -1, SIGKILL);
  while (reap(run, command, 0)) {
  }
}

// ---- the reaper

bool supervisor_gone(const ChildPlan& plan) {
  pollfd watch{plan.lifeline_fd, POLLIN, 0};
  const timespec now{};
  return must(plan, call(SYS_ppoll, &watch, 1, &now), Step::parent_check) > 0;
}

// Keeps report, lifeline, signal, /proc and observation descriptors as 0 to 4 and closes everything else: above all the
// command's pipes, whose end of file the supervisor waits for. The last two may be missing.
void keep_only(ChildPlan& plan, int& signal_fd) {
  int* const kept[] = {&plan.report_fd, &plan.lifeline_fd, &signal_fd, &plan.proc_fd,
                       plan.observer == nullptr ? nullptr : &plan.observer->fd};
  unsigned first = 0;
  for (int* const fd : kept) {
    if (fd == nullptr || *fd < 0) continue;
    if (*fd != static_cast<int>(first)) call(SYS_dup3, *fd, first, O_CLOEXEC);
    *fd = static_cast<int>(first++);
  }
  if (plan.fd_ceiling == 0) {
    call(SYS_close_range, first, ~0U, 0);
    return;
  }
  for (unsigned fd = first; fd <= plan.fd_ceiling; ++fd) call(SYS_close, fd);
}

// Returns whether anything may be left of the tree.
bool wait_for_end(const Run& run, long& command, int signal_fd) {
  pollfd watch[2] = {{run.plan->lifeline_fd, POLLIN, 0}, {signal_fd, POLLIN, 0}};
  for (;;) {
    const bool more = reap(run, command, WNOHANG);
    if (command == 0) return more;  // without a child there is no descendant: orphans become children of this process
    const long ready = call(SYS_ppoll, watch, 2);
    if (ready < 0 && ready != -EINTR) return true;
    if (watch[0].revents != 0) return true;  // the supervisor says stop, or is gone
    char information[128];              // sizeof(struct signalfd_siginfo)
    if (watch[1].revents != 0) call(SYS_read, signal_fd, information, sizeof information);
  }
}

// Up to here the same for the whole sandbox; what follows is the command's own.
void confine_tree(const ChildPlan& plan, Run& run) {
  call(SYS_close, plan.lifeline_writer);
  if (plan.pid_namespace) {
    must(plan, call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), Step::parent_check);
  }
  if (supervisor_gone(plan)) quit(127);  // it died before the death signal was set
  if (plan.uid_map != nullptr) write_maps(plan);
  // A dumpable reaper without capabilities could be opened or traced by the command.
  must(plan, call(SYS_prctl, PR_SET_DUMPABLE), Step::uid_map);
  if (plan.pid_max != nullptr) limit_processes(plan);
  if (plan.mounts != nullptr) build_root(plan, run);
  if (!plan.pid_namespace) {  // who sweeps must not wait for its turn behind a fork bomb; refused to ordinary users
    const sched_param first{1};
    call(SYS_sched_setscheduler, 0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first);
  }
  drop_privileges(plan);
  // What could not be swept or waited for is not started.
  if (!plan.pid_namespace) {
    must(plan, call(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1), Step::subreaper);
    must(plan, call(SYS_kill, call(SYS_getpid), 0), Step::subreaper);
    must(plan, call(SYS_faccessat, plan.proc_fd, "thread-self/children", R_OK), Step::subreaper);
  }
  const long children = call(SYS_wait4, -1, nullptr, WNOHANG);
  if (children < 0 && children != -ECHILD) fail(plan, children, Step::command_fork);
}

}  // namespace

void run_reaper(void* given) noexcept {
  ChildPlan plan = *static_cast<const ChildPlan*>(given);
  Run run{&plan, plan.exec_fd, Step::command_fork, 0};
  set_signal_mask(plan, ~uint64_t{0});  // a ^C of the terminal is not for us
  reset_signals();                // also the command's; with SIGCHLD ignored nothing could be waited for
  confine_tree(plan, run);
  const uint64_t child_signal = uint64_t{1} << (SIGCHLD - 1);
  int signal_fd = static_cast<int>(must(
      plan, call(SYS_signalfd4, -1, &child_signal, kKernelSigset, O_CLOEXEC | O_NONBLOCK), Step::command_fork));
  // As vfork(2), on a stack of its own: this process sleeps until the command has executed or is gone.
  long command = must(plan, spawn(CLONE_VM | CLONE_VFORK | SIGCHLD, plan.command_stack, run_command, &run, nullptr),
                      Step::command_fork);
  run.group = command;
  keep_only(plan, signal_fd);
  if (wait_for_end(run, command, signal_fd)) kill_tree(run, command);
  quit(0);
}

long start_reaper(ChildPlan& plan, unsigned long namespaces, int* pidfd) noexcept {
  return spawn(namespaces | CLONE_VM | CLONE_PIDFD | SIGCHLD, plan.reaper_stack, run_reaper, &plan, pidfd);
}

}  // namespace safe_exec
