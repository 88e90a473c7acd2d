// Level 3. What the code after the fork is given and what it reports. Plain data only: every pointer, array and
// descriptor is made before the fork. Includes C and kernel headers only.
#pragma once

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

namespace safe_exec {

// The steps in the order in which they run. First the reaper's, then the command's.
enum class Step : uint32_t {
  fork, signals, parent_check, uid_map, unshare, loopback, process_limit, mount_root, mount_entry, mount_bind, mount_read_only, mount_tmp,
  mount_proc, mount_enter, cwd, capabilities, subreaper, command_fork,
  cgroup, session, stdio, limits, no_new_privs, observe, descriptors, seccomp, landlock, exec,
  watch,  // the reaper's again: the command has been started, and is killed
};

// What a report says, one write(2) of this size each (atomic: below PIPE_BUF, pipe(7)).
struct Message {
  enum Kind : uint32_t { failed = 1, note = 2, ended = 3, killed = 4 };  // killed: all of the tree, as far as it is left
  uint32_t kind;
  Step step;       // failed, note
  int32_t error;   // failed, note: errno
  uint32_t item;   // failed: index of the mount operation
  int32_t status;  // ended: as wait4(2) gives it
  uint32_t tmp_full;  // ended: nothing was left of the private /tmp
  uint32_t overdue;   // ended: killed with all of the tree, since nobody had said so when its time was over
  int64_t cpu_user_us, cpu_system_us, max_rss_kib;  // ended
};

// One operation on the new root. target is relative to it and free of symlinks.
struct MountOp {
  enum Kind : uint32_t { directory, file, symlink, bind, read_only, tmpfs, writable, proc };
  Kind kind;
  const char* target;
  const char* source;     // bind: physical path; symlink: its text; tmpfs: its size option
  const char* inodes;     // tmpfs: how many there may be
  uint64_t inode;         // bind: the inode that was checked; another one under that name is ESTALE
  uint32_t major, minor;
  uint64_t attributes;    // bind, tmpfs: MOUNT_ATTR_* set before it is attached
  uint64_t landlock;      // tmpfs, proc: rights of the rule that is added for it
  bool recursive;         // bind
  bool beneath;           // target lies in another bind: no symlink may be met on the way
  bool executed;          // bind: the program; tmpfs: what is written there may be
  bool passing;           // that it is gone is no failure: no command takes away what is denied, or what leads to it
};

struct Limit {
  int resource;
  uint64_t soft, hard;  // the layout of struct rlimit64 from here on
};

// What one process tells another by a futex word in the memory that they share. The kernel says the last for a process
// that dies before it has said anything: it writes 0 at the address of set_tid_address(2), and wakes who waits there.
enum Go : uint32_t { kAbandoned = 0, kPreparing = 1, kGo = 2 };

struct ChildPlan {
  // Read from the start, while the rest is still being prepared.
  uint32_t go;              // a Go, by the supervisor
  int report_fd;
  int turn_fd, turn_writer;  // when there is something to read, or nobody who would write, the filter is loaded
  const char* uid_map;      // null: no user namespace
  const char* gid_map;
  unsigned long unshared;   // CLONE_NEW* flags of the namespaces that the reaper makes itself
  bool loopback;            // in a network namespace: its loopback is to be brought up
  bool early_root;          // the new root can be made before it is known what it holds
  bool pid_namespace;
  int cgroup_fd;            // its directory; 0: no cgroup
  int cgroup_processes;     // its cgroup.procs
  const char* cgroup_name;  // from its directory
  bool outlives;            // the supervisor: there is something to do when that one was killed
  bool generated_code;      // memory that was written may be executed
  const sock_fprog* filter;           // null: no seccomp
  const sock_fprog* mode_filter;      // null: the command writes nothing
  const sock_fprog* fallback_filter;  // null: the other layers leave nothing to it
  size_t own_pid;           // its instruction that is given the command's pid
  size_t reaper_pid;        // that of filter that is given the reaper's
  struct Observer* observer;  // null: nobody looks at the command's calls
  void* reaper_stack;       // their upper ends, aligned to 16
  void* command_stack;      // until exec
  bool drop_bounding;       // CAP_SETPCAP is at hand
  // Read after go.
  const char* const* argv;
  const char* const* envp;
  const char* exec_path;  // execute by this name; null: by exec_fd
  int exec_fd;
  uint64_t exec_magic;  // sixth argument of execveat by which the filter knows the launcher
  int in_fd, out_fd, err_fd, cwd_fd;
  bool own_null;  // no input: the new root's /dev/null, where it has one, instead of in_fd
  int lifeline_fd, lifeline_writer, proc_fd;
  int ruleset_fd;       // -1: no Landlock
  const char* pid_max;  // null: not written
  bool pid_max_required;  // else the launch goes on without, and says so
  const MountOp* mounts;  // null: no mount namespace
  size_t mount_count;
  bool whole_root;        // the new root is the host's, read-only
  const char* cwd;        // in the new root, relative
  uint64_t cwd_inode;     // 0: an empty directory of the new root
  const Limit* limits;
  size_t limit_count;
  const struct CreatedFile* created;  // removed when nothing is left of the tree, unless they were written
  size_t created_count;
  bool private_tmp;       // the new root's /tmp is a file system of its own
  unsigned fd_ceiling;    // 0: close_range(2) works
  int64_t wall_ms;        // CLOCK_MONOTONIC: the tree's time is over; INT64_MAX: it never is
  // The reaper's own notes.
  long command;          // its pid, once there is one
  uint32_t uses_memory;  // 0: not this process's any more; the kernel says it, where the reaper comes to its end by itself
};

// Starts the reaper: pid 1 of the new pid namespace, or a child subreaper. It starts the command, reports its end and
// sees to it that nothing outlives it. It shares this process's memory (no copy to make, none to take down), so all that
// plan points to, the stacks too, has to stay until the reaper is gone. It shares the table of descriptors as well, until
// the caller takes a copy for itself, which it must before it lets the reaper go on. namespaces: CLONE_NEW* flags. Returns
// its pid, or the negative error of clone(2), which container profiles allow where they refuse clone3(2).
[[nodiscard]] long start_reaper(ChildPlan& plan, unsigned long namespaces, int* pidfd) noexcept;
// The reaper has made its namespaces and waits for the rest of the plan: kGo, or kAbandoned, which ends it.
void let_go(ChildPlan& plan, Go go) noexcept;

}  // namespace safe_exec
