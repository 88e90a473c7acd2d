// Level 4. Runs after the fork, as child.cpp does and under its rules. Owns the observation of a command by ptrace(2), whose
// parent and tracer the reaper is: same user, same namespaces, no capability, so the command has no less around it than
// without. Never changes a call, its arguments or its result.
#include "child_trace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <sched.h>
#include <signal.h>

#include "syscall.h"

namespace safe_exec {
namespace {

constexpr int kSyscallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD
// ptrace(2): every child and thread is observed too, and none outlives its observer.
constexpr unsigned long kOptions = 1 | 2 | 4 | 8 | 16 | 0x100000;  // SYSGOOD FORK VFORK CLONE EXEC EXITKILL
constexpr int kFork = 1, kClone = 3;                               // PTRACE_EVENT_FORK, VFORK between them, CLONE

bool makes_process(uint32_t number) {
#ifdef SYS_fork
  if (number == SYS_fork || number == SYS_vfork) return true;
#endif
  return number == SYS_clone || number == SYS_clone3;
}

bool sets_owner(uint32_t number) {
  switch (number) {
#ifdef SYS_chown
    case SYS_chown:
    case SYS_lchown:
#endif
    case SYS_fchown:
    case SYS_fchownat:
    case SYS_setuid:
    case SYS_setgid:
    case SYS_setreuid:
    case SYS_setregid:
    case SYS_setresuid:
    case SYS_setresgid: return true;
    default: return false;
  }
}

bool is_refusal(long error, uint32_t number) {
  switch (error) {
    case EINVAL: return sets_owner(number);  // an id that the user namespace does not map
    case EAGAIN: return makes_process(number);
    case ENOMEM: return makes_process(number) || number == SYS_mmap || number == SYS_mremap;
    case EMFILE:
    case EFBIG:
    case ENETUNREACH:
    case EACCES:
    case EPERM:
    case EROFS:
    case EBUSY:   // what is mounted over cannot be renamed or removed
    case EXDEV:   // nor anything from one mount to another
    case ENOENT:  // in a minimal root what is not granted is not there
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT: return true;
    default: return false;
  }
}

struct TextArgument {
  uint32_t number;
  int argument;
};

// Which argument holds a path (or, of connect and bind, an address).
constexpr TextArgument kTextArguments[] = {
#ifdef SYS_open
    {SYS_open, 0}, {SYS_creat, 0}, {SYS_stat, 0}, {SYS_lstat, 0}, {SYS_access, 0}, {SYS_chmod, 0}, {SYS_chown, 0},
    {SYS_lchown, 0}, {SYS_mkdir, 0}, {SYS_mknod, 0}, {SYS_rmdir, 0}, {SYS_unlink, 0}, {SYS_rename, 0}, {SYS_link, 0},
    {SYS_readlink, 0}, {SYS_utime, 0}, {SYS_utimes, 0}, {SYS_symlink, 1}, {SYS_futimesat, 1},
#endif
    {SYS_newfstatat, 1}, {SYS_truncate, 0}, {SYS_chdir, 0}, {SYS_chroot, 0}, {SYS_statfs, 0}, {SYS_execve, 0}, {SYS_getxattr, 0},
    {SYS_lgetxattr, 0}, {SYS_setxattr, 0}, {SYS_lsetxattr, 0}, {SYS_listxattr, 0}, {SYS_removexattr, 0},
    {SYS_openat, 1}, {SYS_openat2, 1}, {SYS_mkdirat, 1}, {SYS_mknodat, 1}, {SYS_fchownat, 1}, {SYS_fchmodat, 1},
    {SYS_unlinkat, 1}, {SYS_renameat, 1}, {SYS_renameat2, 1}, {SYS_linkat, 1}, {SYS_readlinkat, 1}, {SYS_faccessat, 1},
    {SYS_faccessat2, 1}, {SYS_utimensat, 1}, {SYS_statx, 1}, {SYS_execveat, 1}, {SYS_inotify_add_watch, 1},
    {SYS_connect, 1}, {SYS_bind, 1}, {SYS_symlinkat, 2},
};

}  // namespace

int directory_argument(uint32_t number) noexcept {
  switch (number) {
    case SYS_symlinkat: return 1;
    case SYS_openat:
    case SYS_openat2:
    case SYS_mkdirat:
    case SYS_mknodat:
    case SYS_fchownat:
    case SYS_fchmodat:
    case SYS_unlinkat:
    case SYS_renameat:
    case SYS_renameat2:
    case SYS_linkat:
    case SYS_readlinkat:
    case SYS_faccessat:
    case SYS_faccessat2:
    case SYS_utimensat:
    case SYS_statx:
    case SYS_newfstatat:
    case SYS_execveat: return 0;
    default: return -1;
  }
}

namespace {

long trace(long request, long pid, unsigned long address = 0, const void* data = nullptr) {
  return call(SYS_ptrace, request, pid, address, data);
}

// A word at a time stops where the memory does. Text ends at its NUL; an address has none in front of its path.
void read_text(long pid, uint64_t address, RefusedCall& refused) {
  const bool is_text = refused.number != SYS_connect && refused.number != SYS_bind;
  for (size_t at = 0; at + sizeof(long) <= sizeof refused.text; at += sizeof(long)) {
    long read = 0;
    if (trace(PTRACE_PEEKDATA, pid, address + at, &read) < 0) return;
    for (size_t i = 0; i < sizeof read; ++i) {
      const char byte = static_cast<char>(static_cast<unsigned long>(read) >> (8 * i));
      refused.text[at + i] = byte;
      if (is_text && byte == '\0') return;
    }
  }
  refused.text[sizeof refused.text - 1] = '\0';
}

void copy_text(char (&to)[kObservedText], const char (&from)[kObservedText]) {
  for (size_t i = 0; i < kObservedText; ++i) to[i] = from[i];
}

void keep(Observer& observer, const RefusedCall& refused) {
  RefusedCall& kept = observer.refused[observer.count % kMaxRefused];
  kept.kind = refused.kind;
  kept.number = refused.number;
  kept.architecture = refused.architecture;
  kept.error_number = refused.error_number;
  kept.instruction = refused.instruction;
  for (size_t i = 0; i < 6; ++i) kept.arguments[i] = refused.arguments[i];
  copy_text(kept.text, refused.text);
  copy_text(kept.directory, refused.directory);
  __atomic_store_n(&observer.count, observer.count + 1, __ATOMIC_RELEASE);
}

// The directory behind a descriptor of its, by the name that it has below the root that both share. There may be no /proc here:
// the kernel says the name of a working directory. false: it has none, or this kernel (before 5.6) hands none out.
bool read_directory(const Observer& observer, long pid, int descriptor, char (&out)[kObservedText]) {
  out[0] = '\0';
  if (!observer.alone) return false;
  long process = call(SYS_pidfd_open, pid, O_EXCL);  // PIDFD_THREAD, of 6.9
  if (process < 0) process = call(SYS_pidfd_open, pid, 0);
  const long directory = process < 0 ? process : call(SYS_pidfd_getfd, process, descriptor, 0);
  const bool named = directory >= 0 && call(SYS_fchdir, directory) == 0 && call(SYS_getcwd, out, sizeof out) > 0;
  call(SYS_close, directory);
  call(SYS_close, process);
  if (!named || out[0] != '/') out[0] = '\0';  // "(unreachable)" is below another root
  return out[0] == '/';
}

// chdir(2) went well.
void enter(TracedTask& task, const char (&text)[kObservedText]) {
  size_t at = 0;
  if (text[0] != '/') {
    while (at + 1 < kObservedText && task.directory[at] != '\0') ++at;
    if (at > 0) task.directory[at++] = '/';
  }
  for (size_t i = 0; at < kObservedText; ++at, ++i) {
    task.directory[at] = text[i];
    if (text[i] == '\0') return;
  }
  task.directory[0] = kUnknownDirectory[0];
  task.directory[1] = '\0';
}

TracedTask* task_of(Observer& observer, long pid) {
  TracedTask* unused = nullptr;
  for (TracedTask& task : observer.tasks) {
    if (task.pid == pid) return &task;
    if (task.pid == 0 && unused == nullptr) unused = &task;
  }
  if (unused != nullptr) {
    unused->pid = pid;
    unused->directory[0] = '\0';
  }
  return unused;
}

void inherit_directory(Observer& observer, long parent) {
  unsigned long child = 0;
  if (trace(PTRACE_GETEVENTMSG, parent, 0, &child) < 0) return;
  TracedTask* const made = task_of(observer, static_cast<long>(child));
  const TracedTask* const maker = task_of(observer, parent);
  if (made != nullptr && maker != nullptr) copy_text(made->directory, maker->directory);
}

void look_at_call(Observer& observer, long pid) {
  TracedTask* const task = task_of(observer, pid);
  if (task == nullptr) return;
  ptrace_syscall_info info{};
  if (trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0) return;
  RefusedCall& refused = task->call;
  if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
    refused.kind = RefusedCall::error;
    refused.number = static_cast<uint32_t>(info.entry.nr);
    refused.architecture = info.arch;
    refused.instruction = info.instruction_pointer;
    for (size_t i = 0; i < 6; ++i) refused.arguments[i] = info.entry.args[i];
    refused.text[0] = '\0';
    return;
  }
  if (info.op != PTRACE_SYSCALL_INFO_EXIT) return;
  if (info.exit.is_error == 0) {
    if (refused.number == SYS_chdir) {
      read_text(pid, refused.arguments[0], refused);
      enter(*task, refused.text);
    } else if (refused.number == SYS_fchdir && !read_directory(observer, pid, static_cast<int>(refused.arguments[0]), task->directory)) {
      task->directory[0] = kUnknownDirectory[0];
      task->directory[1] = '\0';
    }
    return;
  }
  if (!is_refusal(-info.exit.rval, refused.number)) return;
  refused.error_number = static_cast<int32_t>(-info.exit.rval);
  for (const TextArgument& text : kTextArguments) {
    if (text.number == refused.number) read_text(pid, refused.arguments[text.argument], refused);
  }
  const int at = directory_argument(refused.number);
  const int directory = at < 0 ? AT_FDCWD : static_cast<int>(refused.arguments[at]);
  if (directory == AT_FDCWD) copy_text(refused.directory, task->directory);
  else if (refused.text[0] != '/') read_directory(observer, pid, directory, refused.directory);
  keep(observer, refused);
}

bool stops_jobs(int signal) {
  return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

}  // namespace

long offer_to_be_observed() noexcept { return trace(PTRACE_TRACEME, 0); }

void observe(Observer& observer, long pid, int status) noexcept {
  const int signal = (status >> 8) & 0xFF;
  const bool is_event = (status >> 16) != 0;
  unsigned long deliver = 0;
  if (signal == kSyscallStop) {
    look_at_call(observer, pid);
  } else if (!observer.started && signal == SIGTRAP) {  // the command has executed
    observer.started = true;
    observer.alone = call(SYS_unshare, CLONE_FS) == 0;  // start_command shares it
    trace(PTRACE_SETOPTIONS, pid, 0, reinterpret_cast<const void*>(kOptions));
  } else if (!is_event && stops_jobs(signal)) {
    // A new task begins with a SIGSTOP of the observer's own. Nobody is there to continue one that stops itself.
  } else if (is_event) {
    const int event = status >> 16;
    if (event >= kFork && event <= kClone) inherit_directory(observer, pid);
  } else {
    deliver = static_cast<unsigned long>(signal);
  }
  trace(PTRACE_SYSCALL, pid, 0, reinterpret_cast<const void*>(deliver));
}

void observe_end(Observer& observer, long pid, int status) noexcept {
  for (TracedTask& task : observer.tasks) {
    if (task.pid != pid) continue;
    task.pid = 0;
    if ((status & 0x7F) != SIGSYS) return;
    task.call.kind = RefusedCall::killed;
    keep(observer, task.call);
    return;
  }
}

}  // namespace safe_exec
