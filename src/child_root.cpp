// Level 4. Runs after the fork, as child.cpp does and under its rules. Owns the mounts: the new root and what is in it.
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <sched.h>

#include "child_steps.h"
#include "syscall.h"

namespace safe_exec {
namespace {

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

// Opens a name in the new root, which is the working directory, without following any symlink, so that nothing in a
// granted place can redirect it.
long open_beneath(const char* target, uint64_t flags) {
  open_how how{};
  how.flags = flags | O_PATH | O_CLOEXEC | O_NOFOLLOW;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return call(SYS_openat2, AT_FDCWD, target, &how, sizeof how);
}

long attach(long tree, const MountOp& op) {
  if (!op.beneath) return call(SYS_move_mount, tree, "", AT_FDCWD, op.target, MOVE_MOUNT_F_EMPTY_PATH);
  const long target = open_beneath(op.target, 0);
  if (target < 0) return target;
  const long result =
      call(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  call(SYS_close, target);
  return result;
}

// Whether it is no failure that what was found is gone, or another is in its place.
bool has_passed(const MountOp& op, long result) { return op.passing && (result == -ENOENT || result == -ESTALE); }

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
void bind(const ChildPlan& plan, Run& run, const MountOp& op, size_t item) {
  const long tree = call(SYS_open_tree, AT_FDCWD, op.source,
                         OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | static_cast<unsigned>(op.recursive ? AT_RECURSIVE : 0));
  long result = tree < 0 ? tree : same_inode(tree, op.inode, op.major, op.minor);
  // A directory lies over itself; what a file is covered with has to be there.
  const bool gone = op.recursive && has_passed(op, result);
  if (!gone) {
    must(plan, result, Step::mount_bind, item);
    if (op.attributes != 0) must(plan, set_attributes(tree, op.attributes, 0, op.recursive), Step::mount_bind, item);
    result = attach(tree, op);
    if (!has_passed(op, result)) must(plan, result, Step::mount_bind, item);
  }
  if (op.executed) run.exec_fd = static_cast<int>(tree);
  else if (tree >= 0) call(SYS_close, tree);
}

// A file system of this launch's own: the rule for it can only be made now that it exists.
void add_rule(const ChildPlan& plan, long fd, uint64_t rights, Step step, size_t item) {
  if (plan.ruleset_fd < 0 || rights == 0) return;
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights;
  rule.parent_fd = static_cast<int>(fd);
  must(plan, call(SYS_landlock_add_rule, plan.ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0), step, item);
}

void mount_fresh(const ChildPlan& plan, const MountOp& op, size_t item) {
  const bool tmp = op.kind == MountOp::tmpfs;
  const Step step = tmp ? Step::mount_tmp : Step::mount_proc;
  const unsigned attributes =
      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (tmp && op.executed ? 0U : MOUNT_ATTR_NOEXEC) |
      (tmp ? static_cast<unsigned>(op.attributes) : MOUNT_ATTR_RDONLY);
  const long tree =
      must(plan, new_filesystem(tmp ? "tmpfs" : "proc", tmp ? op.source : nullptr, op.inodes, attributes), step, item);
  if (tmp && op.attributes == 0) must(plan, call(SYS_fchmodat, tree, ".", 01777), step, item);
  const long result = attach(tree, op);
  if (!has_passed(op, result)) must(plan, result, step, item);
  add_rule(plan, tree, op.landlock, step, item);
  call(SYS_close, tree);
}

void run_mount(const ChildPlan& plan, Run& run, size_t item) {
  const MountOp& op = plan.mounts[item];
  switch (op.kind) {
    case MountOp::directory:
      must(plan, call(SYS_mkdirat, AT_FDCWD, op.target, 0755), Step::mount_entry, item);
      break;
    case MountOp::file:
      must(plan, call(SYS_mknodat, AT_FDCWD, op.target, S_IFREG | 0444, 0), Step::mount_entry, item);
      break;
    case MountOp::symlink:
      must(plan, call(SYS_symlinkat, op.source, AT_FDCWD, op.target), Step::mount_entry, item);
      break;
    case MountOp::bind:
      bind(plan, run, op, item);
      break;
    case MountOp::read_only:
      must(plan, set_attributes(AT_FDCWD, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | op.attributes, 0, true), Step::mount_read_only, item);
      break;
    case MountOp::writable: {
      const long fd = must(plan, open_beneath(op.target, 0), Step::mount_tmp, item);
      must(plan, set_attributes(fd, 0, MOUNT_ATTR_RDONLY, false), Step::mount_tmp, item);
      call(SYS_close, fd);
      break;
    }
    case MountOp::tmpfs:
    case MountOp::proc:
      mount_fresh(plan, op, item);
      break;
  }
}

}  // namespace

void make_root(const ChildPlan& plan, bool whole_root) noexcept {
  must(plan, call(SYS_mount, nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), Step::mount_root);
  const long root = must(
      plan,
      whole_root ? call(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)
                 : new_filesystem("tmpfs", "16m", nullptr, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV),
      Step::mount_root);
  // Attached over "/": needs no directory of the host, and absolute names still start in the old root until the chroot below.
  must(plan, call(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH), Step::mount_root);
  must(plan, call(SYS_fchdir, root), Step::mount_root);
  call(SYS_close, root);
}

void fill_root(const ChildPlan& plan, Run& run) noexcept {
  for (size_t i = 0; i < plan.mount_count; ++i) run_mount(plan, run, i);
  // The new root covers the old one, and chroot(2) puts "/" and its ".." into it. Detaching the old root as well
  // (pivot_root(2), umount2(2)) costs an RCU grace period on every launch and takes away nothing that could be reached:
  // uncovering it needs capabilities, which are dropped next, for good, or a descriptor of it, and none is kept.
  must(plan, call(SYS_chroot, "."), Step::mount_enter);
}

void enter_cwd(const ChildPlan& plan) noexcept {
  if (plan.mounts == nullptr) {
    must(plan, call(SYS_fchdir, plan.cwd_fd), Step::cwd);
    return;
  }
  must(plan, call(SYS_chdir, "/"), Step::cwd);
  if (plan.cwd[0] == '\0') return;
  const long fd = must(plan, open_beneath(plan.cwd, O_DIRECTORY), Step::cwd);
  if (plan.cwd_inode != 0) {
    struct statx found {};
    must(plan, call(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_INO, &found), Step::cwd);
    if (found.stx_ino != plan.cwd_inode) fail(plan, -ESTALE, Step::cwd);
  }
  must(plan, call(SYS_fchdir, fd), Step::cwd);
  call(SYS_close, fd);
}

}  // namespace safe_exec
