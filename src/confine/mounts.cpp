#include "confine/mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <memory>
#include <set>

#include "beneath.h"
#include "confine/failure.h"
#include "confine/landlock.h"
#include "inline_text.h"
#include "pattern.h"
#include "resolve.h"

namespace safe_exec {
namespace {

enum class Level : std::uint8_t { read, write };

constexpr std::int64_t kInodesPerMiB = 256;  // one a page: an empty file takes kernel memory that no size counts

struct Bind {
  std::string source;  // physical
  int fd = -1;
  bool directory = false;
  bool executed = false;
  bool data = false;  // an operand, or of a variable, and nothing else
  Level level = Level::read;
  UniqueFd own;  // when nobody else holds the descriptor
  bool held = false;  // for its own sake: a mount point cannot be renamed
  bool device = false;  // in a whole root, in which none can be opened
  bool passing = false;  // only held: MountOp::passing
};

struct Entry {
  MountOp::Kind kind = MountOp::directory;
  std::string text;  // symlink
};

// What stays readable in /proc beside the processes: what free(1), ps(1), top(1) and uptime(1) ask, and what programs
// size themselves by. The rest is the kernel's own affair and is covered.
constexpr Name kShown[] = {"cgroups", "cpuinfo", "diskstats", "filesystems", "loadavg", "meminfo", "mounts", "net", "self",
                           "stat", "swaps", "sys", "thread-self", "tty", "uptime", "version", "vmstat"};

struct Cover {
  std::string name;  // in /proc
  bool directory = false;
};

// Empty: /proc cannot be seen.
std::vector<Cover> covers_of_proc() {
  std::vector<Cover> covers;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir("/proc"), &::closedir);
  for (const dirent* entry = nullptr; dir && (entry = ::readdir(dir.get())) != nullptr;) {
    const std::string_view name = entry->d_name;
    const bool process = name.front() >= '0' && name.front() <= '9';
    if (process || name.front() == '.' || entry->d_type == DT_LNK) continue;
    if (std::ranges::find(kShown, name) != std::end(kShown)) continue;
    covers.push_back({std::string(name), entry->d_type == DT_DIR});
  }
  return covers;
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

class RootPlanner {
 public:
  RootPlanner(const Plan& plan, const RootOptions& options) : plan_(plan), options_(options) {}

  Expected<RootPlan> make() {
    collect();
    if (shows_proc_) plan_proc();
    if (root_.whole_root = binds_.contains("/"); root_.whole_root) binds_.erase("/");
    own_tmp_ = plan_.tmp == Tmp::private_dir && !binds_.contains("/tmp");  // a grant of /tmp itself stands above
    drop_covered();
    std::vector<std::string> places;
    for (const auto& [path, bind] : binds_) places.push_back(path);
    for (const auto& path : places) add_mount_point(path, binds_.at(path).directory);
    root_.own_tmp = own_tmp_;
    if (own_tmp_) ensure_directory("/tmp");
    if (own_proc_) ensure_directory("/proc");
    add_links();
    add_aliases();
    emit();
    if (error_ != 0) {
      return tl::unexpected(
          launch_error(ErrorCode::launch_failed, "a granted path cannot be examined", "mounts", error_));
    }
    return std::move(root_);
  }

 private:
  void add(const std::string& path, int fd, bool directory, Level level, bool executed = false, bool data = false) {
    Bind& bind = binds_[path];
    if (bind.fd < 0) {
      bind.data = data;
      bind.source = path;
      bind.fd = fd;
      bind.directory = directory;
    }
    bind.data &= data;
    any_directory_ |= directory;
    if (!landlock::is_read_only(plan_, path)) bind.level = std::max(bind.level, level);
    bind.executed |= executed;
  }

  void collect(const Grant& grant, const struct stat& program) {
    if (grant.access == PathAccess::replace && grant.parent) add(parent_of(grant.path), grant.parent.get(), true, Level::write);
    if (!grant.fd || !grant.exists) return;
    const bool no_content = grant.stat_only || (grant.access == PathAccess::stat);
    // Only Landlock keeps the content of a bind from the command, and not below a /tmp of its own, whose rule is for all beneath.
    if (no_content && (!options_.landlock || in_own_tmp(plan_, grant.path))) return;
    // A device is written through a read-only mount as well; only its file system is not.
    const bool writes = grant.access > PathAccess::read && grant.origin != Origin::device;
    const Level level = writes ? Level::write : Level::read;
    add(grant.path, grant.fd.get(), grant.directory, level, is_program(grant, program), grant.data || grant.origin == Origin::operand);
    if (!grant.given.empty() && grant.given != grant.path) aliases_.emplace_back(grant.given, grant.path);
  }

  void collect() {
    struct stat program {};
    const int exec_fd = plan_.binary.script ? plan_.binary.interpreter_fd.get() : plan_.binary.fd.get();
    if (exec_fd >= 0 && ::fstat(exec_fd, &program) < 0) error_ = errno;
    for (const Grant& grant : plan_.grants) collect(grant, program);
    for (const Covered& covered : plan_.covered) collect(covered.grant, program);
    if (!plan_.binary.path.empty() && !program_.empty()) {
      aliases_.emplace_back(plan_.binary.script ? plan_.binary.interpreter : plan_.binary.path, program_);
    }
    for (const std::string& path : plan_.apart) set_apart(path);
    hold_all();
    for (const auto& path : plan_.unix_sockets) add_socket(path);
    shows_proc_ = options_.fresh_proc || (plan_.proc == Proc::all && options_.landlock);
  }

  // A /proc that cannot be covered is not there.
  void plan_proc() {
    covers_ = covers_of_proc();
    open_null();
    shows_proc_ = !covers_.empty() && null_;
    own_proc_ = shows_proc_ && options_.fresh_proc;
    if (shows_proc_ && !own_proc_) add_opened("/proc", O_DIRECTORY, true);
  }

  void open_null() { null_ = UniqueFd(::open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC)); }

  bool is_program(const Grant& grant, const struct stat& program) {
    struct stat found {};
    if (!grant.executable || grant.directory || !program_.empty()) return false;
    if (::fstat(grant.fd.get(), &found) < 0) error_ = errno;
    if (found.st_ino != program.st_ino || found.st_dev != program.st_dev) return false;
    program_ = grant.path;
    return root_.binds_program = true;
  }

  void add_opened(const std::string& path, int flags, bool directory) {
    UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC | flags));
    if (!fd) return;  // absent: the command finds nothing there
    add(path, fd.get(), directory, Level::read);
    binds_.at(path).own = std::move(fd);
  }

  void hold(const std::string& path, bool data) {
    if (landlock::is_read_only(plan_, path)) return;
    UniqueFd fd = open_physical(path, O_PATH | O_DIRECTORY);
    if (!fd && errno == ENOENT) return;  // MountOp::passing
    if (!fd) return (void)(error_ = errno);
    add(path, fd.get(), true, Level::write, false, data);
    Bind& bind = binds_.at(path);
    bind.held = true;
    if (bind.fd == fd.get()) bind.own = std::move(fd);
  }

  // What leads to another comes first: whether it may be written follows from what is above.
  void hold_all() {
    for (const std::string& path : plan_.held) {
      const Bind* const above = cover(path);
      if (above != nullptr && above->level == Level::write) hold(path, above->data);
    }
  }

  void set_apart(const std::string& path) {
    struct stat found {};
    const Bind* const above = cover(path);
    if (above == nullptr || above->level != Level::write || binds_.contains(path)) return;
    if (::lstat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode)) hold(path, above->data);
  }

  // Its grant is of the inode that was found when the policy's path was resolved; by its name another may be met by now.
  void add_socket(const std::string& path) {
    struct stat found {};
    const auto grant = std::ranges::find_if(plan_.grants, [&](const Grant& one) { return one.stat_only && one.path == path; });
    if (grant == plan_.grants.end() || ::fstat(grant->fd.get(), &found) < 0 || !S_ISSOCK(found.st_mode)) return;
    add(path, grant->fd.get(), false, Level::read);
    if (!grant->given.empty() && grant->given != path) aliases_.emplace_back(grant->given, path);
  }

  // The bound directory that a path lies in; null: it lies in the new root's own tmpfs.
  const Bind* cover(const std::string& path) const {
    if (path == "/") return nullptr;
    const Bind* const root = root_.whole_root && !(own_tmp_ && path.starts_with("/tmp/")) ? &host_root_ : nullptr;
    if (!any_directory_) return root;
    for (std::string above = parent_of(path);; above = parent_of(above)) {
      const auto found = binds_.find(above);
      if (found != binds_.end() && found->second.directory) return &found->second;
      if (above == "/") return root;
    }
  }

  static bool is_device(int fd) {
    struct stat found {};
    return ::fstat(fd, &found) == 0 && S_ISCHR(found.st_mode);
  }

  void drop_covered() {
    for (auto it = binds_.begin(); it != binds_.end();) {
      const Bind* above = cover(it->first);
      Bind& bind = it->second;
      bind.device = above == &host_root_ && !bind.directory && is_device(bind.fd);  // the whole root shows none
      const bool granted = above == nullptr || bind.executed || bind.device || bind.level > above->level;
      bind.passing = !granted;
      it = granted || bind.held ? std::next(it) : binds_.erase(it);
    }
  }

  void ensure_directory(const std::string& path) {
    if (path == "/" || entries_.contains(path) || binds_.contains(path) || cover(path) != nullptr) return;
    ensure_directory(parent_of(path));
    entries_[path] = {};
  }

  void add_mount_point(const std::string& path, bool directory) {
    if (entries_.contains(path) || cover(path) != nullptr) return;
    ensure_directory(parent_of(path));
    entries_[path] = {directory ? MountOp::directory : MountOp::file, ""};
  }

  // What a name leads to in the new root, through the links that were planned so far.
  std::string resolve(const std::string& name) const {
    std::string done = "/", rest = name;
    for (int links = 0; !rest.empty() && links <= 40;) {  // 40: path_resolution(7)
      const auto start = rest.find_first_not_of('/');
      if (start == std::string::npos) break;
      const auto end = rest.find('/', start);
      const std::string component = rest.substr(start, end == std::string::npos ? end : end - start);
      rest = end == std::string::npos ? "" : rest.substr(end + 1);
      if (component == ".") continue;
      if (component == "..") {
        done = parent_of(done);
        continue;
      }
      const std::string next = (done == "/" ? "" : done) + "/" + component;
      const auto link = entries_.find(next);
      if (link == entries_.end() || link->second.kind != MountOp::symlink) {
        done = next;
        continue;
      }
      ++links;
      rest = link->second.text + (rest.empty() ? "" : "/" + rest);
      if (rest.front() == '/') done = "/";
    }
    return done;
  }

  void add_link(const std::string& name, const std::string& text) {
    if (name.size() < 2 || text.empty()) return;
    const std::string parent = resolve(parent_of(name));
    const std::string place = (parent == "/" ? "" : parent) + name.substr(name.rfind('/'));
    if (entries_.contains(place) || binds_.contains(place) || cover(place) != nullptr) return;
    ensure_directory(parent);
    entries_[place] = {MountOp::symlink, text};
  }

  void add_links() {
    for (const char* name : {"/bin", "/lib", "/lib64", "/sbin"}) {  // merged /usr
      std::array<char, 64> text{};
      const ssize_t size = ::readlink(name, text.data(), text.size() - 1);
      if (size > 0) add_link(name, text.data());
    }
    if (own_tmp_) add_link("/dev/shm", "/tmp");  // shm_open(3), sem_open(3): within the command, and within tmp_mib
    if (shows_proc_) {
      add_link("/dev/fd", "/proc/self/fd");
      for (const auto& [name, target] : {std::pair("/dev/stdin", "fd/0"), {"/dev/stdout", "fd/1"}, {"/dev/stderr", "fd/2"}}) add_link(name, target);
    }
    for (const Grant& grant : plan_.grants) {
      for (const Symlink& link : grant.links) add_link(link.path, link.target);
    }
  }

  // "a/../b" leads through a, which has to be there.
  void add_way(const std::string& name) {
    for (auto at = name.find("/.."); at != std::string::npos; at = name.find("/..", at + 1)) {
      const bool up = at + 3 == name.size() || name[at + 3] == '/';
      if (up && at > 0) ensure_directory(resolve(name.substr(0, at)));
    }
  }

  // A second name of a grant that no link leads to gets a bind of its own.
  void add_aliases() {
    for (const auto& [name, path] : aliases_) {
      add_way(name);
      const std::string place = resolve(name);
      const auto original = binds_.find(path);
      if (place == path || original == binds_.end() || binds_.contains(place) || entries_.contains(place)) continue;
      if (cover(place) != nullptr) continue;  // the link lies in a granted directory
      Bind bind{path, original->second.fd, original->second.directory, false, original->second.data, original->second.level, UniqueFd()};
      add_mount_point(place, bind.directory);
      binds_[place] = std::move(bind);
    }
  }

  const char* keep(std::string text) { return root_.strings.emplace_back(std::move(text)).c_str(); }
  const char* relative(const std::string& path) { return keep(path.substr(1)); }

  void emit_bind(const std::string& path, const Bind& bind) {
    struct stat found {};
    if (::fstat(bind.fd, &found) < 0) error_ = errno;
    MountOp op{};
    op.kind = MountOp::bind;
    op.target = relative(path);
    op.source = keep(bind.source);
    op.inode = found.st_ino;
    op.major = major(found.st_dev);
    op.minor = minor(found.st_dev);
    op.recursive = bind.directory;
    op.executed = bind.executed;
    op.passing = bind.passing;
    op.beneath = cover(path) != nullptr || in_own_tmp(plan_, path);
    const bool written = bind.level == Level::write;
    if (bind.device) op.attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
    else if (written) op.attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    else if (bind.directory) op.attributes = MOUNT_ATTR_NODEV;  // the rest is set for all of them at once
    // What can be written, what the requester names, and what a variable named is never mapped as code either.
    if ((written || bind.data) && !holds_code(path, written)) op.attributes |= MOUNT_ATTR_NOEXEC;
    root_.ops.push_back(op);
  }

  // Whether the plan has programs or libraries in a place, or other files that the policy grants and that may be some.
  bool holds_code(const std::string& path, bool written) const {
    const std::string below = path + "/";
    return std::ranges::any_of(plan_.grants, [&](const Grant& grant) {
      const bool granted = !written && grant.origin == Origin::policy && !grant.data && grant.access == PathAccess::read && !grant.stat_only;
      const bool code = grant.executable || grant.origin == Origin::runtime || granted;
      const bool all = grant.executable && grant.origin == Origin::policy && grant.directory && is_within(path, grant.path);
      return all || (code && (grant.path == path || grant.path.starts_with(below)));
    });
  }

  // Who executes what it writes elsewhere gains nothing by doing so in /tmp, where go test and many builds do.
  bool executes_written() const {
    const auto below_written = [&](const std::string& path) {
      const auto holds = [&](const Grant& grant) {
        return grant.origin == Origin::policy && grant.directory && grant.access > PathAccess::read && is_within(path, grant.path);
      };
      return std::ranges::any_of(plan_.grants, holds) ||
             std::ranges::any_of(plan_.covered, [&](const Covered& covered) { return holds(covered.grant); });
    };
    return std::ranges::any_of(plan_.grants, [&](const Grant& grant) {
      const bool written = below_written(grant.path) && !landlock::is_read_only(plan_, grant.path);
      return grant.executable && grant.origin == Origin::policy && written;
    });
  }

  void emit_tmp(MountOp::Kind kind) {
    if (!own_tmp_) return;
    MountOp op{};
    op.kind = kind;
    op.target = "tmp";
    op.source = keep(std::to_string(plan_.limits.tmp_mib) + "m");
    op.inodes = keep(std::to_string(plan_.limits.tmp_mib * kInodesPerMiB));  // 0 of either: not limited, tmpfs(5)
    op.executed = executes_written();
    std::uint64_t rights = landlock::kWriteTree;
    if (op.executed) rights |= landlock::kExecute;
    op.landlock = rights & options_.handled;
    op.beneath = root_.whole_root;
    root_.ops.push_back(op);
  }

  void emit_entries() {
    std::erase_if(entries_, [&](const auto& entry) { return entry.first == "/"; });
    if (own_tmp_ && entries_.erase("/tmp") > 0) {
      root_.ops.push_back(entry_op("/tmp", {}));
    }
    emit_tmp(MountOp::tmpfs);
    // Directories and files first, links last: nothing is ever created through a link.
    for (const bool links : {false, true}) {
      for (const auto& [path, entry] : entries_) {
        if ((entry.kind == MountOp::symlink) == links) root_.ops.push_back(entry_op(path, entry));
      }
    }
  }

  MountOp entry_op(const std::string& path, const Entry& entry) {
    MountOp op{};
    op.kind = entry.kind;
    op.target = relative(path);
    if (entry.kind == MountOp::symlink) op.source = keep(entry.text);
    return op;
  }

  void emit() {
    plan_cwd();
    emit_entries();
    for (const auto& [path, bind] : binds_) {
      if (bind.level == Level::read && !bind.device) emit_bind(path, bind);
    }
    MountOp read_only{};
    read_only.kind = MountOp::read_only;
    if (root_.whole_root) read_only.attributes = MOUNT_ATTR_NODEV;  // terminals, disks: what of /dev is granted is bound below
    root_.ops.push_back(read_only);
    emit_tmp(MountOp::writable);  // was made read-only with the rest
    for (const auto& [path, bind] : binds_) {
      if (bind.level != Level::read || bind.device) emit_bind(path, bind);
    }
    emit_read_only();
    if (own_proc_) {
      MountOp proc{};
      proc.kind = MountOp::proc;
      proc.target = "proc";
      proc.landlock = landlock::kReadTree & options_.handled;
      proc.beneath = root_.whole_root;
      root_.ops.push_back(proc);
    }
    if (shows_proc_) emit_covers();
    if (root_.whole_root && plan_.proc == Proc::none && !grants_in_proc()) emit_cover("proc", true);  // it is no part of what "/" grants
    emit_denied();
  }

  [[nodiscard]] bool grants_in_proc() const {
    return ::access("/proc", F_OK) != 0 || std::ranges::any_of(plan_.grants, [](const Grant& grant) {
      return grant.origin == Origin::policy && !grant.stat_only && is_within(grant.path, "/proc");  // nothing that a request names
    });
  }

  // Over the writable binds, each with the directories that lead to it: a mount point can be neither renamed nor removed,
  // and no link is made from one mount into another.
  void emit_read_only() {
    std::map<std::string, MountOp> ops;  // what leads to another first
    for (const auto& [place, bind] : binds_) {
      if (bind.level != Level::write || !bind.directory) continue;
      for (const ReadOnlyPath& kept : plan_.read_only) {
        if (!kept.path.starts_with(bind.source + "/")) continue;
        if (!kept.fd) {
          root_.creatable = kept.path;
          continue;
        }
        const std::string below = kept.path.substr(bind.source.size());
        for (std::size_t slash = below.find('/', 1); slash != std::string::npos; slash = below.find('/', slash + 1)) {
          const std::string way = below.substr(0, slash);
          const std::uint64_t within = landlock::is_read_only(plan_, bind.source + way) ? MOUNT_ATTR_RDONLY : 0;  // another one
          const UniqueFd fd = open_physical(bind.source + way, O_PATH | O_DIRECTORY);
          if (fd) ops.try_emplace(place + way, bind_above(bind, place, way, fd.get(), within));
          else error_ = errno;
        }
        ops[place + below] = bind_above(bind, place, below, kept.fd.get(), MOUNT_ATTR_RDONLY);
      }
    }
    for (const auto& [place, op] : ops) root_.ops.push_back(op);
  }

  MountOp bind_above(const Bind& bind, const std::string& place, const std::string& below, int fd, std::uint64_t read_only) {
    struct stat found {};
    if (::fstat(fd, &found) < 0) error_ = errno;
    MountOp op{};
    op.kind = MountOp::bind;
    op.target = relative(place + below);
    op.source = keep(bind.source + below);
    op.inode = found.st_ino;
    op.major = major(found.st_dev);
    op.minor = minor(found.st_dev);
    op.recursive = S_ISDIR(found.st_mode);
    op.beneath = true;
    op.attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | read_only;
    if (!holds_code(place, true)) op.attributes |= MOUNT_ATTR_NOEXEC;
    return op;
  }

  // An empty directory over a directory, a device that cannot be opened over a file. target: relative to the new root.
  void emit_cover(std::string target, bool directory, bool passing = false) {
    struct stat null {};
    if (!directory && ::fstat(null_.get(), &null) < 0) error_ = errno;
    MountOp op{};
    op.kind = directory ? MountOp::tmpfs : MountOp::bind;
    op.target = keep(std::move(target));
    op.source = directory ? "4k" : "/dev/null";
    op.inode = null.st_ino;
    op.major = major(null.st_dev);
    op.minor = minor(null.st_dev);
    op.attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    op.beneath = true;
    op.passing = passing;
    root_.ops.push_back(op);
  }

  void emit_covers() {
    for (const Cover& cover : covers_) emit_cover("proc/" + cover.name, cover.directory);
  }

  // Last: over every bind in which a match can be seen.
  void emit_denied() {
    std::map<std::string, bool> targets;
    const auto add = [&](const std::string& path, bool directory) {
      for (const auto& [place, bind] : binds_) {
        if (bind.directory && path.starts_with(bind.source + "/")) targets[place.substr(1) + path.substr(bind.source.size())] = directory;
      }
      const bool ours = is_within(path, "/proc") || path == "/dev" || (own_tmp_ && is_within(path, "/tmp"));
      if (cover(path) == &host_root_ && !ours) targets[path.substr(1)] = directory;
    };
    for (const Covered& covered : plan_.covered) {
      for (const Covered::Match& match : covered.matches) add(match.path, match.directory);
    }
    for (const Covered::Match& match : plan_.hidden) add(match.path, match.directory);
    if (std::ranges::any_of(targets, [](const auto& target) { return !target.second; })) open_null();
    for (const auto& [target, directory] : targets) emit_cover(target, directory, true);
  }

  void plan_cwd() {
    if (plan_.cwd.size() < 2) return;
    ensure_directory(plan_.cwd);
    root_.cwd = relative(plan_.cwd);
    struct stat found {};
    if (!binds_.contains(plan_.cwd) && cover(plan_.cwd) == nullptr) return;  // an empty directory
    if (!plan_.cwd_fd) return;
    if (::fstat(plan_.cwd_fd.get(), &found) < 0) error_ = errno;
    root_.cwd_inode = found.st_ino;
  }

  const Plan& plan_;
  const RootOptions& options_;
  RootPlan root_;
  std::map<std::string, Bind> binds_;
  bool any_directory_ = false;  // among them    // by place in the new root
  std::map<std::string, Entry> entries_;  // what is created in the new root's own tmpfs
  std::vector<std::pair<std::string, std::string>> aliases_;
  const Bind host_root_{"/", -1, true, false, false, Level::read, UniqueFd()};
  bool own_tmp_ = false;
  bool shows_proc_ = false, own_proc_ = false;
  std::vector<Cover> covers_;
  UniqueFd null_;
  std::string program_;  // physical path of what is executed
  int error_ = 0;
};

}  // namespace

bool may_be_whole_root(const Plan& plan) noexcept {
  return std::ranges::any_of(plan.grants, [](const Grant& grant) { return grant.path.find('/', 1) == std::string::npos; });
}

Expected<RootPlan> plan_root(const Plan& plan, const RootOptions& options) { return RootPlanner(plan, options).make(); }

}  // namespace safe_exec
