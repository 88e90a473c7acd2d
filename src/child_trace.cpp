// Level 4. Runs after the fork, as child.cpp does and under its rules. Owns the observation of a command by ptrace(2), whose
// parent and tracer the reaper is: same user, same namespaces, no capability, so the command has no less around it than
// without. Never changes a call, its arguments or its result.
#include "child_trace.h"

#include <errno.h>
#include <linux/ptrace.h>
#include <signal.h>

#include "syscall.h"

namespace safe_exec {
namespace {

constexpr int kSyscallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD
// ptrace(2): every child and thread is observed too, and none outlives its observer.
constexpr unsigned long kOptions = 1 | 2 | 4 | 8 | 16 | 0x100000;  // SYSGOOD FORK VFORK CLONE EXEC EXITKILL

bool is_refusal(long error) {
  switch (error) {
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

TracedTask* task_of(Observer& observer, long pid) {
  TracedTask* unused = nullptr;
  for (TracedTask& task : observer.tasks) {
    if (task.pid == pid) return &task;
    if (task.pid == 0 && unused == nullptr) unused = &task;
  }
  if (unused != nullptr) unused->pid = pid;
  return unused;
}

void tell(Observer& observer, const RefusedCall& refused) {
  if (observer.told >= kMaxRefused) return;
  ++observer.told;
  call(SYS_write, observer.fd, &refused, sizeof refused);  // a full pipe costs what does not fit
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
  if (info.op != PTRACE_SYSCALL_INFO_EXIT || info.exit.is_error == 0 || !is_refusal(-info.exit.rval)) return;
  refused.error_number = static_cast<int32_t>(-info.exit.rval);
  for (const TextArgument& text : kTextArguments) {
    if (text.number == refused.number) read_text(pid, refused.arguments[text.argument], refused);
  }
  tell(observer, refused);
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
    trace(PTRACE_SETOPTIONS, pid, 0, reinterpret_cast<const void*>(kOptions));
  } else if (!is_event && stops_jobs(signal)) {
    // A new task begins with a SIGSTOP of the observer's own. Nobody is there to continue one that stops itself.
  } else if (!is_event) {
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
    tell(observer, task.call);
    return;
  }
}

}  // namespace safe_exec
