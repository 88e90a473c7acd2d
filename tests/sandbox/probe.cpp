// A hostile command: one static program, one forked child an attempt, one line of JSON each. An attempt is open only
// when it really did its harm. It looks no further than the directory, the process and the sockets that it is told of,
// so that it may be run with nothing around it in a throw-away namespace.
//
// usage: probe GRANTED GRANTED_DIR KEY=VALUE...   keys: secret outside ws victim tcp udp unix abstract
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vector>

namespace probe {

int error_of(long result) { return result < 0 ? errno : 0; }

int open_for(const std::string& path, int flags) { return error_of(open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK, 0600)); }

int reads(const std::string& path) {
  char byte = 0;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return errno;
  const ssize_t size = read(fd, &byte, 1);
  return size > 0 ? 0 : size == 0 ? ENODATA : errno;
}

int lists(const std::string& path, const std::string& name) {
  char buffer[4096];
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  const long size = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
  if (size > 0 && !name.empty() && memmem(buffer, static_cast<size_t>(size), name.data(), name.size()) == nullptr) return ENOENT;
  return size > 48 ? 0 : size < 0 ? errno : ENODATA;  // "." and ".." alone take 48 bytes
}

int executes(const char* path, std::vector<const char*> argv) {
  argv.push_back(nullptr);
  const char* const envp[] = {nullptr};
  execve(path, const_cast<char* const*>(argv.data()), const_cast<char* const*>(envp));
  return errno;
}

namespace {

}  // namespace

int granted_fd(const World& w) { return open(w.granted.c_str(), O_RDONLY | O_CLOEXEC); }

namespace {

std::string self_fd(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

const Attempt kReading[] = {
    ATTEMPT("read a secret beside the workspace", return reads(w.secret);),
    ATTEMPT("read a secret by ..", return reads("../" + w.secret.substr(w.secret.rfind('/') + 1));),
    ATTEMPT("read a sibling of the operand", return reads(w.ws + "/sibling");),
    ATTEMPT("read /etc/passwd", return reads("/etc/passwd");),
    ATTEMPT("read /etc/shadow", return reads("/etc/shadow");),
    ATTEMPT("read /etc/machine-id", return reads("/etc/machine-id");),
    ATTEMPT("list the workspace", return lists(w.ws, "sibling");),
    ATTEMPT("list /etc", return lists("/etc");),
    ATTEMPT("list /home", return lists("/home");),
    ATTEMPT("list /var/log", return lists("/var/log");),
    ATTEMPT("read /proc/self/mountinfo", return reads("/proc/self/mountinfo");),
    ATTEMPT("read /proc/cmdline", return reads("/proc/cmdline");),
    ATTEMPT("read /proc/1/environ", return reads("/proc/1/environ");),
    ATTEMPT("read the victim's environment", return reads("/proc/" + std::to_string(w.victim) + "/environ");),
    ATTEMPT("read the victim's command line", return reads("/proc/" + std::to_string(w.victim) + "/cmdline");),
    ATTEMPT("read the victim's memory", return open_for("/proc/" + std::to_string(w.victim) + "/mem", O_RDWR);),
    ATTEMPT("read a secret by /proc/self/root", return reads("/proc/self/root" + w.secret);),
    ATTEMPT("read a secret by /proc/1/root", return reads("/proc/1/root" + w.secret);),
    ATTEMPT("read a secret by /proc/self/cwd", return reads("/proc/self/cwd/../" + w.secret.substr(w.secret.rfind('/') + 1));),
    ATTEMPT("read the extended attribute of a secret", char b[64]; return error_of(syscall(SYS_getxattr, w.secret.c_str(), "user.secret", b, sizeof b));),
    ATTEMPT("read /sys", return reads("/sys/kernel/notes");),
    ATTEMPT("read a denied file in a granted directory", return reads(w.granted_dir + "/.env");),
    ATTEMPT("read below a denied directory", return reads(w.granted_dir + "/sub/.ssh/id");),
    ATTEMPT("read a denied file by descriptor and dots", const int fd = open((w.granted_dir + "/sub").c_str(), O_PATH | O_DIRECTORY);
            return fd < 0 ? errno : error_of(openat(fd, "../.env", O_RDONLY));),
    ATTEMPT("read the caller's environment", return getenv("SECRET") != nullptr ? 0 : ENOENT;),
    ATTEMPT("use a descriptor of the caller", for (int fd = 3; fd < 2048; ++fd) { if (fcntl(fd, F_GETFD) >= 0) return 0; } return EBADF;),
    ATTEMPT("watch a directory of others", const int fd = inotify_init1(IN_CLOEXEC); return fd < 0 ? errno : error_of(inotify_add_watch(fd, w.outside.c_str(), IN_ALL_EVENTS));),
    ATTEMPT("read by handle", uint32_t h[34] = {128}; int mount = 0;  // struct file_handle
            return error_of(syscall(SYS_name_to_handle_at, AT_FDCWD, w.secret.c_str(), h, &mount, 0));),
    ATTEMPT("open by handle", uint32_t h[34] = {8, 1};
            return error_of(syscall(SYS_open_by_handle_at, open("/", O_RDONLY), h, O_RDONLY));),
    ATTEMPT("read the kernel's log", char b[256]; return error_of(syscall(SYS_syslog, 3, b, sizeof b));),
};

const Attempt kWriting[] = {
    ATTEMPT("write the secret", return open_for(w.secret, O_WRONLY);),
    ATTEMPT("create in the workspace", return open_for(w.ws + "/new", O_WRONLY | O_CREAT);),
    ATTEMPT("create an unnamed file", return open_for(w.ws, O_WRONLY | O_TMPFILE);),
    ATTEMPT("create beside the workspace", return open_for(w.outside + "/new", O_WRONLY | O_CREAT);),
    ATTEMPT("create in /tmp", const int e = open_for("/tmp/safe-exec-probe", O_WRONLY | O_CREAT); unlink("/tmp/safe-exec-probe"); return e;),
    ATTEMPT("create in /dev/shm", const int e = open_for("/dev/shm/safe-exec-probe", O_WRONLY | O_CREAT); unlink("/dev/shm/safe-exec-probe"); return e;),
    ATTEMPT("create in the granted directory", return open_for(w.granted_dir + "/new", O_WRONLY | O_CREAT);),
    ATTEMPT("make a directory", return error_of(mkdir((w.ws + "/dir").c_str(), 0700));),
    ATTEMPT("make a symbolic link", return error_of(symlink("/etc", (w.ws + "/link").c_str()));),
    ATTEMPT("make a hard link", return error_of(link(w.secret.c_str(), (w.ws + "/hard").c_str()));),
    ATTEMPT("make a hard link of the operand", return error_of(link(w.granted.c_str(), (w.granted_dir + "/hard").c_str()));),
    ATTEMPT("make a FIFO", return error_of(mknod((w.ws + "/fifo").c_str(), S_IFIFO | 0600, 0));),
    ATTEMPT("make a device", return error_of(mknod((w.ws + "/device").c_str(), S_IFCHR | 0600, 0x101));),
    ATTEMPT("rename the operand", const std::string to = w.granted + ".moved"; const int e = error_of(rename(w.granted.c_str(), to.c_str()));
            rename(to.c_str(), w.granted.c_str()); return e;),
    ATTEMPT("remove a sibling", return error_of(unlink((w.ws + "/expendable").c_str()));),
    ATTEMPT("remove a directory", return error_of(rmdir((w.ws + "/empty").c_str()));),
    ATTEMPT("exchange two files", return error_of(syscall(SYS_renameat2, AT_FDCWD, w.granted.c_str(), AT_FDCWD, (w.ws + "/sibling").c_str(), 2));),
    ATTEMPT("write the operand", return open_for(w.granted, O_WRONLY);),
    ATTEMPT("append to the operand", return open_for(w.granted, O_WRONLY | O_APPEND);),
    ATTEMPT("truncate the operand at open", return open_for(w.granted, O_RDONLY | O_TRUNC);),
    ATTEMPT("truncate the operand", return error_of(syscall(SYS_truncate, w.granted.c_str(), 1));),
    ATTEMPT("truncate the secret", return error_of(syscall(SYS_truncate, w.secret.c_str(), 100));),
    ATTEMPT("shrink the operand by descriptor", return error_of(ftruncate(granted_fd(w), 1));),
    ATTEMPT("punch a hole into the operand", return error_of(fallocate(granted_fd(w), 3, 0, 4096));),
    ATTEMPT("reopen the operand for writing by /proc/self/fd", return open_for(self_fd(granted_fd(w)), O_WRONLY);),
    ATTEMPT("reopen the operand for writing by /dev/fd", return open_for("/dev/fd/" + std::to_string(granted_fd(w)), O_WRONLY);),
    ATTEMPT("map the operand for shared writing", return mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, granted_fd(w), 0) == MAP_FAILED ? errno : 0;),
    ATTEMPT("make a mapping of the operand writable", void* at = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, granted_fd(w), 0);
            return at == MAP_FAILED ? errno : error_of(mprotect(at, 4096, PROT_WRITE));),
    ATTEMPT("copy into the operand", return error_of(syscall(SYS_copy_file_range, granted_fd(w), nullptr, granted_fd(w), nullptr, 1, 0));),
    ATTEMPT("chmod", return error_of(chmod(w.granted.c_str(), 0777));),
    ATTEMPT("fchmod", return error_of(fchmod(granted_fd(w), 0777));),
    CALL("fchmodat2", 452, AT_FDCWD, w.granted.c_str(), 0777, 0),
    ATTEMPT("chmod the secret", return error_of(chmod(w.secret.c_str(), 0777));),
    ATTEMPT("chown", return error_of(chown(w.granted.c_str(), getuid(), getgid()));),
    ATTEMPT("fchown", return error_of(fchown(granted_fd(w), getuid(), getgid()));),
    ATTEMPT("lchown", return error_of(lchown(w.secret.c_str(), getuid(), getgid()));),
    ATTEMPT("utimensat", return error_of(utimensat(AT_FDCWD, w.granted.c_str(), nullptr, 0));),
    ATTEMPT("futimens", return error_of(futimens(granted_fd(w), nullptr));),
#ifdef SYS_utime
    CALL("utime", SYS_utime, w.secret.c_str(), nullptr),
#endif
    CALL("setxattr", SYS_setxattr, w.granted.c_str(), "user.probe", "x", 1, 0),
    CALL("fsetxattr", SYS_fsetxattr, granted_fd(w), "user.probe", "x", 1, 0),
    CALL("removexattr", SYS_removexattr, w.secret.c_str(), "user.secret"),
    ATTEMPT("setxattrat", struct { uint64_t value; uint32_t size, flags; } a{reinterpret_cast<uint64_t>("x"), 1, 0};
            return error_of(syscall(463, AT_FDCWD, w.granted.c_str(), 0, "user.probe", &a, sizeof a));),
    ATTEMPT("set inode flags", int flags = FS_NODUMP_FL; return error_of(ioctl(granted_fd(w), FS_IOC_SETFLAGS, &flags));),
    ATTEMPT("set inode attributes", fsxattr a{}; const int fd = granted_fd(w); if (ioctl(fd, FS_IOC_FSGETXATTR, &a) < 0) return errno;
            return error_of(ioctl(fd, FS_IOC_FSSETXATTR, &a));),
    ATTEMPT("set the inode's version", long version = 7; return error_of(ioctl(granted_fd(w), FS_IOC_SETVERSION, &version));),
    ATTEMPT("set a lease on the operand", return error_of(fcntl(granted_fd(w), F_SETLEASE, F_RDLCK));),
    ATTEMPT("set inode flags with a high half", int flags = FS_NODUMP_FL;
            return error_of(syscall(SYS_ioctl, granted_fd(w), FS_IOC_SETFLAGS | (1UL << 32), &flags));),
};

}  // namespace

void put_code(void* at) {
  memcpy(at, kReturnZero.data(), kReturnZero.size());
  __builtin___clear_cache(static_cast<char*>(at), static_cast<char*>(at) + kReturnZero.size());
}

namespace {

int maps_code(int first, int then) {
  auto* const at = static_cast<unsigned char*>(mmap(nullptr, 4096, first, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (at == MAP_FAILED) return errno;
  put_code(at);
  if (then != first && mprotect(at, 4096, then) < 0) return errno;
  reinterpret_cast<void (*)()>(at)();
  return 0;
}

int memory_file(const char* text, size_t size) {
  const int fd = static_cast<int>(syscall(SYS_memfd_create, "probe", 0));
  return fd < 0 || write(fd, text, size) != static_cast<ssize_t>(size) ? -1 : fd;
}

int memory_program() {
  static char bytes[1 << 21];
  const int from = open("/usr/bin/true", O_RDONLY);
  const ssize_t size = from < 0 ? -1 : read(from, bytes, sizeof bytes);
  return size > 0 ? memory_file(bytes, static_cast<size_t>(size)) : memory_file("\177ELF", 4);
}

const Attempt kExecuting[] = {
    ATTEMPT("execute a shell", return executes("/bin/sh", {"sh", "-c", "exit 0"});),
    ATTEMPT("execute another program", return executes("/usr/bin/true", {"true"});),
    ATTEMPT("execute through the loader", return executes(kLoader, {"ld.so", "/usr/bin/true"});),
    ATTEMPT("execute itself", return executes(w.self.c_str(), {"probe", "--nothing"});),
    ATTEMPT("execute itself by /proc/self/exe", return executes("/proc/self/exe", {"probe", "--nothing"});),
    ATTEMPT("execute a set-user-ID program", return executes("/bin/su", {"su", "--version"});),
    ATTEMPT("execute a script in memory", const int fd = memory_file("#!/bin/sh\nexit 0\n", 17); return fd < 0 ? errno : executes(self_fd(fd).c_str(), {"x"});),
    ATTEMPT("execute a memory file by /proc", const int fd = memory_program(); return fd < 0 ? errno : executes(self_fd(fd).c_str(), {"true"});),
    ATTEMPT("execute a memory file by descriptor", const char* const argv[] = {"true", nullptr}; const int fd = memory_program();
            return fd < 0 ? errno : error_of(syscall(SYS_execveat, fd, "", argv, argv + 1, AT_EMPTY_PATH));),
    ATTEMPT("execveat with its sixth argument guessed", const char* const argv[] = {"sh", "-c", "exit 0", nullptr};
            return error_of(syscall(SYS_execveat, AT_FDCWD, "/bin/sh", argv, argv + 3, 0, 0));),
    ATTEMPT("execute the operand", return executes(w.granted.c_str(), {"granted"});),
    ATTEMPT("execute by vfork", const pid_t pid = vfork(); if (pid == 0) { execl("/bin/sh", "sh", "-c", "exit 0", nullptr); _exit(1); }
            int status = 0; waitpid(pid, &status, 0); return status == 0 ? 0 : EPERM;),
    ATTEMPT("map writable and executable memory", return maps_code(PROT_READ | PROT_WRITE | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC);),
    ATTEMPT("make written memory executable", return maps_code(PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC);),
    ATTEMPT("map a memory file executable", const int fd = memory_file(kReturnZero.data(), kReturnZero.size()); if (fd < 0) return errno;
            void* at = mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0); if (at == MAP_FAILED) return errno;
            reinterpret_cast<void (*)()>(at)(); return 0;),
    ATTEMPT("readable means executable", if (personality(READ_IMPLIES_EXEC) < 0) return errno; return (personality(0xFFFFFFFF) & READ_IMPLIES_EXEC) != 0 ? 0 : EPERM;),
    ATTEMPT("switch address randomization off", return error_of(personality(ADDR_NO_RANDOMIZE));),
#if defined(__x86_64__)
    ATTEMPT("a 32-bit system call", long r = 20; __asm__ volatile("int $0x80" : "+a"(r) : : "memory"); return r > 0 ? 0 : static_cast<int>(-r);),
    CALL("an x32 system call", 0x40000000 | SYS_getpid),
#endif
};

const Attempt kLimits[] = {
    ATTEMPT("fork a thousand processes", int n = 0; pid_t pid = 0; std::vector<pid_t> pids;
            while (n < 1000 && (pid = fork()) >= 0) { if (pid == 0) { pause(); _exit(0); } pids.push_back(pid); ++n; }
            const int e = errno; for (const pid_t one : pids) { kill(one, SIGKILL); waitpid(one, nullptr, 0); } return n >= 1000 ? 0 : e;),
    ATTEMPT("take four gibibytes", return mmap(nullptr, 4UL << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED ? errno : 0;),
    ATTEMPT("move the break by four gibibytes", return sbrk(4L << 30) == reinterpret_cast<void*>(-1) ? errno : 0;),
    ATTEMPT("open four thousand descriptors", for (int i = 0; i < 4096; ++i) { if (dup(0) < 0) return errno; } return 0;),
    ATTEMPT("write 256 MiB to a memory file", static char block[1 << 20]; const int fd = memory_file("x", 1); if (fd < 0) return errno;
            for (int i = 0; i < 256; ++i) { if (write(fd, block, sizeof block) < 0) return errno; } return 0;),
    ATTEMPT("fill the disk", static char block[1 << 20]; const int fd = open((w.outside + "/filler").c_str(), O_WRONLY | O_CREAT, 0600); if (fd < 0) return errno;
            for (int i = 0; i < 128; ++i) { if (write(fd, block, sizeof block) < 0) return errno; } unlink((w.outside + "/filler").c_str()); return 0;),
    ATTEMPT("lock 16 MiB of memory", void* at = mmap(nullptr, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            return at == MAP_FAILED ? errno : error_of(mlock(at, 16 << 20));),
    ATTEMPT("ask for core dumps", rlimit l{RLIM_INFINITY, RLIM_INFINITY}; if (setrlimit(RLIMIT_CORE, &l) < 0) return errno;
            getrlimit(RLIMIT_CORE, &l); return l.rlim_cur > 1 ? 0 : EPERM;),
    ATTEMPT("have a crash told to the host's core handler", const pid_t pid = fork();
            if (pid == 0) { const rlimit none{}; setrlimit(RLIMIT_CORE, &none); signal(SIGABRT, SIG_DFL); abort(); }
            int status = 0; waitpid(pid, &status, 0); return WIFSIGNALED(status) && WCOREDUMP(status) ? 0 : EPERM;),
    ATTEMPT("take ten thousand timers", timer_t t{}; for (int i = 0; i < 10000; ++i) { if (timer_create(CLOCK_MONOTONIC, nullptr, &t) < 0) return errno; } return 0;),
    ATTEMPT("raise the limit of processes", const rlimit l{1000000, 1000000}; return error_of(setrlimit(RLIMIT_NPROC, &l));),
    ATTEMPT("real-time scheduling", const sched_param p{1}; return error_of(sched_setscheduler(0, SCHED_FIFO, &p));),
    ATTEMPT("a negative nice value", errno = 0; return nice(-5) == -1 && errno != 0 ? errno : 0;),
};

}  // namespace

std::span<const Attempt> reading() { return kReading; }
std::span<const Attempt> writing() { return kWriting; }
std::span<const Attempt> executing() { return kExecuting; }
std::span<const Attempt> limits() { return kLimits; }

namespace {

// "open", or what stopped it.
bool judge(int status, std::string& detail) {
  if (WIFSIGNALED(status)) {
    detail = std::string("SIG") + sigabbrev_np(WTERMSIG(status));
    return false;
  }
  const int code = WEXITSTATUS(status);
  const char* const name = strerrorname_np(code);
  detail = code == 0 ? "" : name != nullptr ? name : std::to_string(code);
  return code == 0;
}

void run(const Attempt& attempt, const World& world) {
  fflush(stdout);
  pid_t pid = -1;  // the limit may be met by processes of the same user that are just ending
  for (int tries = 0; tries < 100 && (pid = fork()) < 0; ++tries) usleep(20000);
  if (pid == 0) {
    alarm(5);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int fd : {1, 2}) {
      if (null >= 0) dup2(null, fd);
    }
    close(null);
    _exit(attempt.run(world));
  }
  int status = 0;
  std::string detail;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) {
    printf("{\"attempt\": \"%s\", \"open\": null, \"detail\": \"not tried\"}\n", attempt.name);
    return;
  }
  const bool open = judge(status, detail);
  printf("{\"attempt\": \"%s\", \"open\": %s, \"detail\": \"%s\"}\n", attempt.name, open ? "true" : "false", detail.c_str());
  while (waitpid(-1, nullptr, WNOHANG) > 0) {}
}

void take(World& world, const std::string& word) {
  const auto equals = word.find('=');
  const std::string key = word.substr(0, equals), value = equals == std::string::npos ? "" : word.substr(equals + 1);
  if (key == "secret") world.secret = value;
  if (key == "outside") world.outside = value;
  if (key == "ws") world.ws = value;
  if (key == "self") world.self = value;
  if (key == "unix") world.unix_path = value;
  if (key == "abstract") world.abstract = value;
  if (key == "victim") world.victim = atoi(value.c_str());
  if (key == "tcp") world.tcp = atoi(value.c_str());
  if (key == "udp") world.udp = atoi(value.c_str());
}

}  // namespace
}  // namespace probe

int main(int argc, char** argv) {
  if (argc < 3) return 0;  // executed by itself
  probe::World world{argv[1], argv[2]};
  for (int i = 3; i < argc; ++i) probe::take(world, argv[i]);
  world.reaper = getppid();
  // Bombs last: where processes are counted and not refused, they end the whole tree.
  const auto is_bomb = [](const probe::Attempt& attempt) { return std::string_view(attempt.name).find("a thousand") != std::string_view::npos; };
  for (const bool bombs : {false, true}) {
    for (const auto& group : {probe::reading(), probe::writing(), probe::executing(), probe::kernel(), probe::processes(),
                              probe::network(), probe::tricks(), probe::surface(), probe::limits()}) {
      for (const probe::Attempt& attempt : group) {
        if (is_bomb(attempt) == bombs) probe::run(attempt, world);
      }
    }
  }
  return 0;
}
