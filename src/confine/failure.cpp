#include "confine/failure.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "fd.h"

namespace safe_exec {
namespace {

// First byte of a sysctl; 0 when it is not there.
char switch_at(const char* path) {
  const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  char value = 0;
  if (!fd || ::read(fd.get(), &value, 1) != 1) return 0;
  return value;
}

std::string namespace_hint(int error) {
  if (error == ENOSPC) {
    if (const std::vector<std::string> none = namespaces_of_none(); !none.empty()) return "sysctl " + none.front() + " is 0: raise it";
    return "namespaces are used up, or nested too deeply: raise the sysctls user.max_user_namespaces and user.max_*_namespaces";
  }
  if (switch_at("/proc/sys/kernel/unprivileged_userns_clone") == '0') {
    return "set sysctl kernel.unprivileged_userns_clone=1";
  }
  if (switch_at("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == '1') {
    return "AppArmor restricts user namespaces: install an AppArmor profile with 'userns,' for safe-exec, or set sysctl "
           "kernel.apparmor_restrict_unprivileged_userns=0";
  }
  return "the container or an outer sandbox refuses namespaces or mounts: allow them there";
}

// Of the calls by which a path is looked up: the one that is refused whatever it is asked.
std::string refused_lookup() {
  const auto refused = [](long result) { return result < 0 && (errno == ENOSYS || errno == EPERM); };
  const open_how how{O_PATH | O_CLOEXEC, 0, RESOLVE_NO_MAGICLINKS};
  const UniqueFd root(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how)));
  if (refused(root.get())) return "openat2(2)";
  if (refused(::syscall(SYS_faccessat2, AT_FDCWD, "/", F_OK, AT_EACCESS))) return "faccessat2(2)";
  const UniqueFd opened(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened && refused(::fgetxattr(opened.get(), "security.capability", nullptr, 0))) return "fgetxattr(2)";
  return "a system call that is needed";
}

std::string hint_for(std::string_view step, int error) {
  if (error == EMFILE || error == ENFILE) return "too many open files: raise the limit (ulimit -n)";
  if (error == ENOMEM) return "out of memory: raise its limit (ulimit -v, memory.max)";
  if (error == EAGAIN) return "the limit of processes is reached (ulimit -u, pids.max)";
  if (step == "landlock") {
    if (error == EOPNOTSUPP) return "add landlock to the lsm= list of the kernel command line";
    if (error == ENOSYS) return "Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK, or a container profile that lets "
                                "landlock_create_ruleset through";
    if (error == E2BIG) return "16 Landlock domains are stacked already";
    return "an outer sandbox or the container's profile refuses the landlock system calls";
  }
  if (step == "fork" || step == "uid_map" || step == "unshare" || step.starts_with("mount_")) return namespace_hint(error);
  if (step == "subreaper") return "without a pid namespace processes are found by /proc, which has to be that of this pid namespace and show children";
  if (step == "seccomp") return "the kernel or the container lets no seccomp filter be installed";
  if (step == "exec" && error == ENOENT) return "the program's interpreter is not among its grants";
  if (step == "exec" && error == ENOSYS) return "execveat(2) is needed and refused: let the container's profile pass it";
  if (step == "resolve" && (error == ENOSYS || error == EPERM)) return "an outer sandbox, the container's profile or a kernel before Linux 5.8 refuses " + refused_lookup();
  if (error == ENOSYS || error == EPERM) return "an outer sandbox or the container's profile refuses a system call that is needed";
  return "";
}

Error no_proc(const char* message, int sys_errno) {
  Error error = launch_error(ErrorCode::sandbox_unavailable, message, "proc", sys_errno);
  error.hint = "mount a proc file system at /proc: by it a file that was checked is opened again, not another";
  return error;
}

}  // namespace

std::vector<std::string> namespaces_of_none() {
  std::vector<std::string> none;
  for (const char* const name : {"user", "pid", "mnt", "ipc", "uts"}) {
    const std::string limit = std::string("max_") + name + "_namespaces";
    if (switch_at(("/proc/sys/user/" + limit).c_str()) == '0') none.push_back("user." + limit);
  }
  return none;
}

Expected<void> require_proc() {
  char number[16];
  if (::readlink("/proc/self", number, sizeof number) > 0) return {};
  return tl::unexpected(no_proc("/proc/self cannot be read", errno));
}

std::optional<Error> missing_proc() {
  const UniqueFd fd(::open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (fd || (errno != ENOENT && errno != ENOTDIR && errno != EACCES)) return std::nullopt;
  return no_proc("/proc/self/fd cannot be reached", errno);
}

void add_hint(Error& error) {
  if (error.hint.empty() && error.sys_errno != 0) error.hint = hint_for(error.step, error.sys_errno);
}

std::string step_name(Step step) {
  switch (step) {
    case Step::fork: return "fork";
    case Step::signals: return "signals";
    case Step::parent_check: return "parent_check";
    case Step::uid_map: return "uid_map";
    case Step::unshare: return "unshare";
    case Step::loopback: return "loopback";
    case Step::process_limit: return "process_limit";
    case Step::mount_root: return "mount_root";
    case Step::mount_entry: return "mount_entry";
    case Step::mount_bind: return "mount_bind";
    case Step::mount_read_only: return "mount_read_only";
    case Step::mount_tmp: return "mount_tmp";
    case Step::mount_proc: return "mount_proc";
    case Step::mount_enter: return "mount_enter";
    case Step::capabilities: return "capabilities";
    case Step::subreaper: return "subreaper";
    case Step::command_fork: return "command_fork";
    case Step::cgroup: return "cgroup";
    case Step::session: return "session";
    case Step::stdio: return "stdio";
    case Step::cwd: return "cwd";
    case Step::limits: return "limits";
    case Step::no_new_privs: return "no_new_privs";
    case Step::observe: return "observe";
    case Step::landlock: return "landlock";
    case Step::descriptors: return "descriptors";
    case Step::seccomp: return "seccomp";
    case Step::exec: return "exec";
    case Step::watch: return "watch";
  }
  return "unknown";
}

Error launch_error(ErrorCode code, std::string message, std::string step, int sys_errno) {
  Error error;
  error.code = code;
  error.message = std::move(message);
  if (sys_errno != 0) {
    std::array<char, 128> text{};
    error.message += std::string(": ") + ::strerror_r(sys_errno, text.data(), text.size());
  }
  error.hint = hint_for(step, sys_errno);
  error.step = std::move(step);
  error.sys_errno = sys_errno;
  return error;
}

}  // namespace safe_exec
