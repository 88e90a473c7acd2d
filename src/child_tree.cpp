// Level 4. Runs after the fork, as child.cpp does and under its rules. Owns the walk over /proc by which a reaper without a
// pid namespace finds its descendants, and the end of their cgroup.
#include "child_tree.h"

#include <errno.h>
#include <fcntl.h>

#include "syscall.h"

namespace safe_exec {
namespace {

void append_number(char* text, size_t& at, long number) {
  char digits[20];
  size_t n = 0;
  do {
    digits[n++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number > 0);
  while (n > 0) text[at++] = digits[--n];
}

void append(char* text, size_t& at, const char* more) {
  while (*more != '\0') text[at++] = *more++;
}

// Adds the pids of a space-separated list, /proc/PID/task/TID/children of proc(5).
void add_children(const ChildPlan& plan, const char* path, Tree& tree) {
  const long fd = call(SYS_openat, plan.proc_fd, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) {
    tree.whole &= fd == -ENOENT || fd == -ESRCH;  // that thread has ended
    return;
  }
  char buffer[1024];
  long number = 0;
  long n = 0;
  while ((n = call(SYS_read, fd, buffer, sizeof buffer)) > 0) {
    for (long i = 0; i < n; ++i) {
      if (buffer[i] >= '0' && buffer[i] <= '9') {
        number = number * 10 + (buffer[i] - '0');
      } else if (number > 0) {
        if (tree.count < kMaxTree) tree.pids[tree.count++] = static_cast<int>(number);
        number = 0;
      }
    }
  }
  tree.whole &= n == 0;
  call(SYS_close, fd);
}

struct DirEntry {  // struct linux_dirent64 of getdents64(2), which no header declares
  uint64_t inode;
  int64_t offset;
  unsigned short size;
  unsigned char type;
  char name[1];
};

// Children of every thread of a process; pid 0: of this one.
void add_children_of(const ChildPlan& plan, long pid, Tree& tree) {
  char path[96];
  size_t at = 0;
  if (pid == 0) append(path, at, "self");
  else append_number(path, at, pid);
  append(path, at, "/task");
  path[at] = '\0';
  const long dir = call(SYS_openat, plan.proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (dir < 0) {  // gone, and then it had no children any more; or there is no descriptor left, or /proc hides it (hidepid)
    tree.whole &= pid > 0 && call(SYS_kill, pid, 0) == -ESRCH;
    return;
  }
  alignas(DirEntry) char buffer[2048];
  long n = 0;
  while ((n = call(SYS_getdents64, dir, buffer, sizeof buffer)) > 0) {
    for (long i = 0; i < n;) {
      const auto* entry = reinterpret_cast<const DirEntry*>(buffer + i);
      i += entry->size;
      if (entry->name[0] < '0' || entry->name[0] > '9') continue;
      size_t end = at;
      path[end++] = '/';
      append(path, end, entry->name);
      append(path, end, "/children");
      path[end] = '\0';
      add_children(plan, path, tree);
    }
  }
  tree.whole &= n == 0 || n == -ENOENT || n == -ESRCH;  // it ended meanwhile
  call(SYS_close, dir);
}

}  // namespace

size_t signal_tree(const ChildPlan& plan, Tree& tree, int signal) noexcept {
  tree.count = 0;
  tree.whole = true;
  add_children_of(plan, 0, tree);
  for (size_t i = 0; i < tree.count; ++i) {
    call(SYS_kill, tree.pids[i], signal);
    add_children_of(plan, tree.pids[i], tree);
  }
  return tree.count;
}

bool is_part_of(const Tree& tree, const Tree& other) noexcept {
  if (!tree.whole || tree.count >= kMaxTree) return false;  // there may be more
  size_t at = 0;  // in much the same order
  for (size_t i = 0; i < tree.count; ++i) {
    size_t looked = 0;
    while (looked < other.count && other.pids[at] != tree.pids[i]) {
      at = at + 1 < other.count ? at + 1 : 0;
      ++looked;
    }
    if (looked == other.count) return false;
  }
  return true;
}

void kill_cgroup(const ChildPlan& plan) noexcept {
  if (plan.cgroup_fd <= 0) return;
  const long fd = call(SYS_openat, plan.cgroup_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  call(SYS_write, fd, "1", 1);
  call(SYS_close, fd);
}

void remove_cgroup(const ChildPlan& plan) noexcept {
  if (plan.cgroup_fd <= 0) return;
  // A process that was waited for may still be on its way out of it.
  for (int i = 0; i < 100 && call(SYS_unlinkat, plan.cgroup_fd, plan.cgroup_name, AT_REMOVEDIR) == -EBUSY; ++i) {
    const timespec turn{0, 2000000};
    call(SYS_ppoll, nullptr, 0, &turn, nullptr, 0);
  }
}

}  // namespace safe_exec
