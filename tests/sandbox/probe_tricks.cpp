// The probe's attempts that go around: by descriptors, by /proc, by second views of memory, by calls that do what another
// one is refused.
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/memfd.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

namespace probe {
namespace {

std::string of_victim(const World& w, const char* name) { return "/proc/" + std::to_string(w.victim) + "/" + name; }

int follows(const std::string& link) {
  char text[256];
  return error_of(readlink(link.c_str(), text, sizeof text));
}

// Any of several paths.
int any_open(std::initializer_list<const char*> paths, int flags) {
  int error = ENOENT;
  for (const char* const path : paths) {
    const int one = open_for(path, flags);
    if (one == 0 && (flags & O_CREAT) != 0) unlink(path);
    if (one == 0) return 0;
    if (one != ENOENT) error = one;
  }
  return error;
}

int above_the_root(const std::string& name) {
  for (int i = 0; i < 64; ++i) {
    if (chdir("..") < 0) return errno;
  }
  return reads(name);
}

// Runs what stands at an address, which has to be a "ret".
int call(void* at) {
  reinterpret_cast<void (*)()>(at)();
  return 0;
}

int code_at(void* at) {
  if (at == MAP_FAILED) return errno;
  put_code(at);
  return mprotect(at, 4096, PROT_READ | PROT_EXEC) < 0 ? errno : call(at);
}

void* writable(int flags) { return mmap(nullptr, 4096, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0); }

int second_view() {  // mremap(2) with an old size of 0 maps shared pages once more
  void* const first = writable(MAP_SHARED);
  if (first == MAP_FAILED) return errno;
  void* const second = mremap(first, 0, 4096, MREMAP_MAYMOVE);
  if (second == MAP_FAILED) return errno;
  put_code(first);
  return mprotect(second, 4096, PROT_READ | PROT_EXEC) < 0 ? errno : call(second);
}

int second_writable_view() {  // the other way round: the first is executable from the beginning
  void* const first = mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (first == MAP_FAILED) return errno;
  void* const second = mremap(first, 0, 4096, MREMAP_MAYMOVE);
  if (second == MAP_FAILED || mprotect(second, 4096, PROT_READ | PROT_WRITE) < 0) return errno;
  put_code(second);
  return call(first);
}

int shared_zeroes() {
  const int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
  void* const code = mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
  return code == MAP_FAILED ? errno : 0;
}

int shared_segment() {
  const int id = shmget(IPC_PRIVATE, 4096, 0700);
  if (id < 0) return errno;
  void* const at = shmat(id, nullptr, SHM_EXEC);
  const int error = errno;
  shmctl(id, IPC_RMID, nullptr);
  if (at == reinterpret_cast<void*>(-1)) return error;
  put_code(at);
  return call(at);
}

// A function that is there to be changed.
__attribute__((noinline, aligned(4096))) int changed_code() {
  __asm__ volatile("");
  return EPERM;
}

int change_own_code() {
  const int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
  if (fd < 0) return errno;
  if (pwrite(fd, kReturnZero.data(), kReturnZero.size(), reinterpret_cast<off_t>(&changed_code)) < 0) return errno;
  return changed_code();
}

int executes_fd(int fd, std::initializer_list<const char*> words) {
  std::vector<const char*> argv(words);
  argv.push_back(nullptr);
  return fd < 0 ? errno : error_of(syscall(SYS_execveat, fd, "", argv.data(), &argv.back(), AT_EMPTY_PATH, 0));
}

int copy_in_tmp() {
  const char* const name = "/tmp/safe-exec-probe-copy";
  const int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
  if (to < 0) return errno;
  sendfile(to, from, nullptr, 1 << 24);
  close(to);
  const pid_t pid = fork();
  if (pid == 0) _exit(executes(name, {"copy"}));
  int status = 0;
  waitpid(pid, &status, 0);
  unlink(name);
  return WEXITSTATUS(status);
}

int piped(const World& w) {
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) < 0 || write(pipe_ends[1], "x", 1) != 1) return errno;
  return error_of(splice(pipe_ends[0], nullptr, granted_fd(w), nullptr, 1, 0));
}

int by_aio(const World& w) {
  aio_context_t context = 0;
  char byte = 'x';
  if (syscall(SYS_io_setup, 1, &context) < 0) return errno;
  iocb request{};
  request.aio_lio_opcode = IOCB_CMD_PWRITE;
  request.aio_fildes = static_cast<unsigned>(granted_fd(w));
  request.aio_buf = reinterpret_cast<uint64_t>(&byte);
  request.aio_nbytes = 1;
  iocb* list[] = {&request};
  return error_of(syscall(SYS_io_submit, context, 1, list));
}

int binds(int type, const std::string& name) {
  int pair[2];
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0) return errno;
  memcpy(at.sun_path, name.data(), name.size());
  if (name[0] == '@') at.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  return error_of(bind(pair[0], reinterpret_cast<const sockaddr*>(&at), size));
}

// Sets the owner of a socket's signals by ioctl, which fcntl(2) also does.
int owned_socket(const World& w) {
  int pair[2], owner = w.victim;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return errno;
  if (ioctl(pair[0], 0x8901 /* FIOSETOWN */, &owner) < 0) return errno;
  if (fcntl(pair[0], F_SETFL, O_ASYNC) < 0 || write(pair[1], "x", 1) != 1) return errno;
  return error_of(kill(w.victim, 0));
}

int timer_at(const World& w) {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGURG;
  event._sigev_un._tid = w.victim;
  timer_t timer{};
  return error_of(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer));
}

const Attempt kTricks[] = {
    // other processes and the host, by /proc
    ATTEMPT("see the victim in /proc", return error_of(access(of_victim(w, "").c_str(), F_OK));),
    ATTEMPT("read the victim's maps", return reads(of_victim(w, "maps"));),
    ATTEMPT("read the victim's auxiliary vector", return reads(of_victim(w, "auxv"));),
    ATTEMPT("read the victim's stack", return reads(of_victim(w, "stack"));),
    ATTEMPT("read the victim's system call", return reads(of_victim(w, "syscall"));),
    ATTEMPT("read the victim's I/O counters", return reads(of_victim(w, "io"));),
    ATTEMPT("read the victim's mounts", return reads(of_victim(w, "mountinfo"));),
    ATTEMPT("list the victim's descriptors", return lists(of_victim(w, "fd"));),
    ATTEMPT("list the victim's mapped files", return lists(of_victim(w, "map_files"));),
    ATTEMPT("open a descriptor of the victim", return open_for(of_victim(w, "fd/0"), O_RDONLY);),
    ATTEMPT("follow the victim's program", return follows(of_victim(w, "exe"));),
    ATTEMPT("follow the victim's directory", return follows(of_victim(w, "cwd"));),
    ATTEMPT("follow the victim's root", return reads(of_victim(w, "root") + w.secret);),
    ATTEMPT("find the victim's namespaces", return follows(of_victim(w, "ns/mnt"));),
    ATTEMPT("read the victim's memory by its thread", return open_for(of_victim(w, "task/") + std::to_string(w.victim) + "/mem", O_RDONLY);),
    ATTEMPT("adjust the victim's OOM score", return open_for(of_victim(w, "oom_score_adj"), O_WRONLY);),
    ATTEMPT("write the victim's core filter", return open_for(of_victim(w, "coredump_filter"), O_WRONLY);),
    ATTEMPT("read the reaper's environment", return reads("/proc/" + std::to_string(w.reaper) + "/environ");),
    ATTEMPT("read the reaper's maps", return reads("/proc/" + std::to_string(w.reaper) + "/maps");),
    ATTEMPT("open the reaper's memory", return open_for("/proc/" + std::to_string(w.reaper) + "/mem", O_RDONLY);),
    ATTEMPT("list the reaper's descriptors", return lists("/proc/" + std::to_string(w.reaper) + "/fd");),
    ATTEMPT("open the reaper's program", return open_for("/proc/" + std::to_string(w.reaper) + "/exe", O_RDONLY);),
    ATTEMPT("read the maps of pid 1", return reads("/proc/1/maps");),
    ATTEMPT("open the memory of pid 1", return open_for("/proc/1/mem", O_RDONLY);),
    ATTEMPT("read the network's sockets", return reads("/proc/net/tcp");),
    ATTEMPT("read the kernel's symbols", return reads("/proc/kallsyms");),
    ATTEMPT("read the kernel's memory", return any_open({"/proc/kcore", "/proc/kpageflags", "/dev/kmem"}, O_RDONLY);),
    ATTEMPT("read the list of keys", return reads("/proc/keys");),
    ATTEMPT("write a kernel parameter", return any_open({"/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches", "/proc/sys/kernel/modprobe",
                                                         "/proc/sys/fs/binfmt_misc/register"}, O_WRONLY);),
    ATTEMPT("write to /sys", return any_open({"/sys/kernel/uevent_helper", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/power/state"}, O_WRONLY);),
    ATTEMPT("move to another cgroup", return any_open({"/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs", "/sys/fs/cgroup/pids/tasks"}, O_WRONLY);),
    ATTEMPT("list /sys", return lists("/sys");),
    ATTEMPT("list debugfs or tracefs", return lists("/sys/kernel/debug") == 0 ? 0 : lists("/sys/kernel/tracing");),
    // out of the root
    ATTEMPT("leave the root by dots", return above_the_root("etc/shadow");),
    ATTEMPT("reach a secret by dots", return above_the_root(w.secret.substr(1));),
    ATTEMPT("learn that a secret exists", struct stat s{}; return error_of(stat(w.secret.c_str(), &s));),
    ATTEMPT("open a secret as a path and read it", const int fd = open(w.secret.c_str(), O_PATH | O_CLOEXEC); return fd < 0 ? errno : reads("/proc/self/fd/" + std::to_string(fd));),
    ATTEMPT("watch a directory of others by dnotify", const int fd = open(w.outside.c_str(), O_RDONLY | O_DIRECTORY); return fd < 0 ? errno : error_of(fcntl(fd, F_NOTIFY, DN_CREATE));),
    ATTEMPT("mount anything", for (const char* type : {"proc", "sysfs", "devpts", "overlay", "cgroup2", "bpf", "mqueue", "ramfs", "debugfs"}) {
              if (syscall(SYS_mount, "none", w.granted_dir.c_str(), type, 0, nullptr) == 0 || syscall(SYS_fsopen, type, 0) >= 0) return 0; } return errno;),
    // writing, around open(2)
    ATTEMPT("create in the working directory", return open_for("new", O_WRONLY | O_CREAT);),
    ATTEMPT("create anywhere", const int e = any_open({"/safe-exec-probe", "/var/tmp/safe-exec-probe", "/run/safe-exec-probe", "/root/safe-exec-probe", "/home/safe-exec-probe", "/dev/safe-exec-probe",
                                               "/etc/safe-exec-probe", "/usr/safe-exec-probe", "/proc/safe-exec-probe"}, O_WRONLY | O_CREAT | O_EXCL); return e;),
    ATTEMPT("write to /etc/passwd", return open_for("/etc/passwd", O_WRONLY);),
    ATTEMPT("write its own program", return open_for(w.self, O_WRONLY);),
    ATTEMPT("write its own program by /proc/self/exe", return open_for("/proc/self/exe", O_WRONLY);),
    ATTEMPT("give a descriptor a second name", return error_of(linkat(granted_fd(w), "", AT_FDCWD, (w.ws + "/second").c_str(), AT_EMPTY_PATH));),
    ATTEMPT("make a socket by mknod", return error_of(mknod((w.ws + "/sock").c_str(), S_IFSOCK | 0600, 0));),
    ATTEMPT("make a block device", return error_of(mknod((w.ws + "/block").c_str(), S_IFBLK | 0600, 0x100));),
    ATTEMPT("bind a socket in the workspace", return binds(SOCK_STREAM, w.ws + "/bound");),
    ATTEMPT("take an abstract name", return binds(SOCK_STREAM, "@safe-exec-probe");),
    ATTEMPT("make a whiteout", return error_of(syscall(SYS_renameat2, AT_FDCWD, w.granted.c_str(), AT_FDCWD, (w.ws + "/white").c_str(), 4));),
    ATTEMPT("splice into the operand", return piped(w);),
    ATTEMPT("send into the operand", return error_of(sendfile(granted_fd(w), open(w.granted.c_str(), O_RDONLY), nullptr, 1));),
    ATTEMPT("write the operand by AIO", return by_aio(w);),
    ATTEMPT("clone into the operand", return error_of(ioctl(granted_fd(w), FICLONE, open(w.granted.c_str(), O_RDONLY)));),
    ATTEMPT("chmod by descriptor and empty path", return error_of(syscall(452, granted_fd(w), "", 0777, AT_EMPTY_PATH));),
    ATTEMPT("chmod by /proc/self/fd", return error_of(chmod(("/proc/self/fd/" + std::to_string(granted_fd(w))).c_str(), 0777));),
    ATTEMPT("chmod a device", return error_of(chmod("/dev/null", 0666));),
    ATTEMPT("chown by descriptor and empty path", return error_of(fchownat(granted_fd(w), "", getuid(), getgid(), AT_EMPTY_PATH));),
    ATTEMPT("set times by descriptor and empty path", return error_of(syscall(SYS_utimensat, granted_fd(w), "", nullptr, AT_EMPTY_PATH));),
    ATTEMPT("set times of the secret", return error_of(utimensat(AT_FDCWD, w.secret.c_str(), nullptr, 0));),
    ATTEMPT("remove an attribute by descriptor", return error_of(syscall(SYS_fremovexattr, granted_fd(w), "user.probe")) == EPERM ? EPERM : 0;),
    ATTEMPT("set an access list", return error_of(syscall(SYS_setxattr, w.granted.c_str(), "system.posix_acl_access", "", 0, 0));),
    CALL("removexattrat", 466, AT_FDCWD, w.secret.c_str(), 0, "user.secret"),
    ATTEMPT("file_setattr", uint64_t a[4] = {}; return error_of(syscall(469, AT_FDCWD, w.granted.c_str(), a, sizeof a, 0));),
    ATTEMPT("collapse a range of the operand", return error_of(fallocate(granted_fd(w), 0x08, 0, 4096));),
    // executing, around execve(2)
    ATTEMPT("execute a shell by descriptor", return executes_fd(open("/bin/sh", O_PATH | O_CLOEXEC), {"sh", "-c", "exit 0"});),
    ATTEMPT("execute the loader by descriptor", return executes_fd(open(kLoader, O_PATH | O_CLOEXEC), {"ld.so", "/usr/bin/true"});),
    ATTEMPT("execute itself by descriptor", return executes_fd(open(w.self.c_str(), O_PATH | O_CLOEXEC), {"probe"});),
    ATTEMPT("execute a copy in /tmp", return copy_in_tmp();),
#ifdef SYS_uselib
    ATTEMPT("load a library by uselib", return error_of(syscall(SYS_uselib, "/bin/sh"));),
#endif
    ATTEMPT("map the operand as code", void* at = mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, granted_fd(w), 0); return at == MAP_FAILED ? errno : 0;),
    ATTEMPT("make shared memory executable", return code_at(writable(MAP_SHARED));),
    ATTEMPT("make a second view of shared memory executable", return second_view();),
    ATTEMPT("make a second view of executable memory writable", return second_writable_view();),
    ATTEMPT("map shared zeroes as code", return shared_zeroes();),
    ATTEMPT("make the stack executable", alignas(4096) char page[8192]; return code_at(reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(page) + 4095) & ~4095UL));),
    ATTEMPT("make the heap executable", void* at = sbrk(8192); return at == reinterpret_cast<void*>(-1) ? errno : code_at(reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(at) + 4095) & ~4095UL));),
    ATTEMPT("make memory executable by key", void* at = writable(MAP_PRIVATE); return error_of(syscall(SYS_pkey_mprotect, at, 4096, PROT_READ | PROT_EXEC, -1));),
    ATTEMPT("make memory executable with a high half", void* at = writable(MAP_PRIVATE); return error_of(syscall(SYS_mprotect, at, 4096, PROT_EXEC | (1UL << 32)));),
    ATTEMPT("attach executable shared memory", return shared_segment();),
    ATTEMPT("change its own code by /proc/self/mem", return change_own_code();),
    ATTEMPT("make its own code writable", void* at = reinterpret_cast<void*>(&changed_code); return error_of(mprotect(at, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));),
    CALL("an executable memory file", SYS_memfd_create, "probe", 0x10 /* MFD_EXEC */),
    CALL("a memory file that stays", SYS_memfd_create, "probe", MFD_ALLOW_SEALING | 0x8 /* MFD_NOEXEC_SEAL */),
    ATTEMPT("let memory be executable again", return error_of(syscall(SYS_prctl, 65, 0, 0, 0, 0)) == 0 && syscall(SYS_prctl, 66, 0, 0, 0, 0) == 0 ? 0 : EPERM;),
    // signals, around kill(2)
    ATTEMPT("have a socket signal the victim", return owned_socket(w);),
    ATTEMPT("have a timer signal the victim", return timer_at(w);),
    ATTEMPT("stop everybody's group", return error_of(setpgid(w.victim, 0));),
    ATTEMPT("read the victim's lock list", void* head = nullptr; size_t size = 0; return error_of(syscall(SYS_get_robust_list, w.victim, &head, &size));),
    ATTEMPT("release the victim's memory", return error_of(syscall(448, syscall(SYS_pidfd_open, w.victim, 0), 0));),
    ATTEMPT("renice its parent", return w.reaper <= 0 ? ESRCH : error_of(syscall(SYS_setpriority, 0, w.reaper, 19));),
};

}  // namespace

std::span<const Attempt> tricks() { return kTricks; }

}  // namespace probe
