#include "confine/census.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <utility>

#include "clock.h"
#include "confine/namespaces.h"

namespace safe_exec {
namespace {

constexpr std::size_t kMaxMembers = 4096;
constexpr int kMaxKills = 8;        // after so many the tree goes as a whole
constexpr std::int64_t kBomb = 10;  // so many times the limit is no child that errs: the tree goes at once

constexpr std::int64_t kPatienceMs = 10;  // for an exact count; then the caller's turn, to relay output for example

// hidepid= of proc(5), by the table of mounts, which may hold what others say as well: then it counts.
bool is_proc_mounted_to_hide() {
  const std::unique_ptr<FILE, int (*)(FILE*)> table(::setmntent("/proc/self/mounts", "re"), ::endmntent);
  if (!table) return true;
  mntent entry{};
  std::array<char, 8192> buffer;
  while (::getmntent_r(table.get(), &entry, buffer.data(), static_cast<int>(buffer.size())) != nullptr) {
    if (::strcmp(entry.mnt_type, "proc") == 0 && ::strcmp(entry.mnt_dir, "/proc") == 0 && ::hasmntopt(&entry, "hidepid") != nullptr) return true;
  }
  return false;
}

// The reaper is not dumpable, so it is hidden from whoever may not trace everybody. So is pid 1, unless it is the caller's own.
bool hides_processes() {
  if (::access("/proc/1/task/1/children", F_OK) != 0) return true;
  struct stat first {};
  return !has_capability(CAP_SYS_PTRACE) && (::stat("/proc/1", &first) != 0 || first.st_uid == ::geteuid()) && is_proc_mounted_to_hide();
}

}  // namespace

bool proc_is_own() {
  std::array<char, 16> name{};
  const ssize_t size = ::readlink("/proc/self", name.data(), name.size() - 1);
  return size > 0 && ::strtol(name.data(), nullptr, 10) == ::getpid();
}

bool Census::possible() { return proc_is_own() && !hides_processes(); }

Census::Census(pid_t root, const Bounds& bounds, UniqueFd proc)
    : root_(root), bounds_(bounds), proc_(std::move(proc)) {}

// What ended meanwhile is not there. All else (no descriptors left, say) means that the tree is larger than it looks.
UniqueFd Census::open_below(const std::string& path, int flags) {
  UniqueFd fd(::openat(proc_.get(), path.c_str(), O_RDONLY | O_CLOEXEC | flags));
  if (!fd && errno != ENOENT && errno != ESRCH) unseen_ = errno;
  return fd;
}

void Census::read_children(const std::string& path, std::size_t parent) {
  const UniqueFd fd = open_below(path, 0);
  std::array<char, 4096> buffer;
  pid_t pid = 0;
  for (ssize_t size = 0; fd && (size = ::read(fd.get(), buffer.data(), buffer.size())) > 0;) {
    for (const char c : std::string_view(buffer.data(), static_cast<std::size_t>(size))) {
      if (c >= '0' && c <= '9') {
        pid = pid * 10 + (c - '0');
      } else if (pid > 0) {
        if (members_.size() < kMaxMembers) members_.push_back({.memory = {.pid = pid}, .parent = parent});
        else unseen_ = E2BIG;
        pid = 0;
      }
    }
  }
}

// Children of every thread; a thread more in the parent's count for each.
void Census::add_children_of(pid_t pid, std::size_t parent) {
  const std::string task = std::to_string(pid) + "/task";
  UniqueFd fd = open_below(task, O_DIRECTORY);
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(fd ? ::fdopendir(fd.get()) : nullptr, ::closedir);
  if (directory) (void)fd.release();  // fdopendir(3): the stream owns it now
  else if (fd) unseen_ = errno;
  while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    if (pid != root_) ++members_[parent].tasks;
    const bool top = pid == root_;
    const std::size_t first = members_.size();
    read_children(task + "/" + entry->d_name + "/children", parent);
    for (std::size_t i = first; top && i < members_.size(); ++i) members_[i].parent = i;
  }
}

bool Census::is_bomb(std::size_t tasks) const {
  return bounds_.kill_processes && bounds_.processes > 0 && tasks > static_cast<std::size_t>(bounds_.processes * kBomb);
}

void Census::walk() {
  members_.clear();
  add_children_of(root_, 0);
  std::int64_t size_kib = 0;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (is_bomb(members_.size())) {  // who reads of them all while they double comes too late
      for (; i < members_.size(); ++i) members_[i].tasks = 1;
      break;
    }
    if (late()) break;
    add_children_of(members_[i].pid(), i);
    if (bounds_.memory_kib <= 0) continue;
    read_memory(proc_.get(), members_[i].memory);
    size_kib += members_[i].memory.size_kib();
  }
  // Page tables take the longest to be asked for. A page far from all others, read or written, needs one at each level but the top.
  constexpr std::int64_t kLevels = 3, kMuch = 8;  // 4 of 5, but where a process uses more than 128 TiB
  if (bounds_.memory_kib > 0 && size_kib * kLevels > bounds_.memory_kib / kMuch) {
    for (Member& member : members_) {
      if (!late()) read_tables(proc_.get(), member.memory);
    }
  }
  if (looks_ == 0 && !members_.empty()) command_ = members_[0].pid();
  for (Member& member : members_) member.below = member.tasks;
  for (std::size_t i = members_.size(); i-- > 0;) {
    if (members_[i].parent != i) members_[members_[i].parent].below += members_[i].below;
  }
}

pid_t Census::parent_of(pid_t pid) const {
  std::array<char, 4096> buffer;
  const std::string_view text = read_whole(proc_.get(), std::to_string(pid) + "/stat", buffer);
  const auto name_end = text.rfind(')');  // "pid (name) state ppid": the name may hold anything
  return name_end == std::string_view::npos ? 0 : static_cast<pid_t>(::strtol(text.data() + name_end + 3, nullptr, 10));
}

// A number may belong to another process by now, when processes come and go by the thousand: asked again once it is held.
void Census::kill_descendant(pid_t pid) const {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process && errno == ESRCH) return;
  pid_t above = pid;
  while (above > 1 && above != root_) above = parent_of(above);
  if (above != root_) return;
  if (process) (void)::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
  else (void)::kill(pid, SIGKILL);  // no pidfds here
}

bool Census::kill_one(std::size_t index, const char* resource) {
  over_limit_ = resource;
  const pid_t pid = members_[index].pid();
  if (pid == command_ || ++kills_ > kMaxKills) return true;
  kill_descendant(pid);
  return false;
}

// The process that starts them is the one from which on no single child stands for more than half of all.
bool Census::bound_processes() {
  std::int64_t tasks = 0;
  for (const Member& member : members_) tasks += member.tasks;
  tasks_ = tasks;
  most_processes_ = std::max(most_processes_, tasks);
  if (!bounds_.kill_processes || bounds_.processes <= 0 || tasks <= bounds_.processes) return false;
  std::size_t culprit = members_.size();
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const bool next = members_[i].parent == i ? culprit == members_.size() : members_[i].parent == culprit;
    if (next && members_[i].below * 2 > tasks) culprit = i;
  }
  if (culprit == members_.size() || is_bomb(static_cast<std::size_t>(tasks))) {  // first: orphans of its own making
    over_limit_ = "processes";
    return true;
  }
  if (kill_one(culprit, "processes")) return true;
  std::vector<bool> dying(members_.size());
  dying[culprit] = true;
  for (std::size_t i = culprit + 1; i < members_.size(); ++i) {
    dying[i] = dying[members_[i].parent];
    if (dying[i]) kill_descendant(members_[i].pid());
  }
  return false;
}

bool Census::late() const { return monotonic_ms() >= until_ms_; }

// A child of vfork(2) has its parent's memory until it executes.
bool Census::shares_memory(const Member& one, const Member& other) const {
  const ProcessMemory& its = one.memory;
  return its.size == other.memory.size && ::syscall(SYS_kcmp, its.thread, other.memory.thread, KCMP_VM, 0, 0) == 0;
}

// What a single process has is told by its own counters, without a walk through its memory.
bool Census::is_one_over_memory() {
  const auto most = std::ranges::max_element(members_, {}, [](const Member& member) { return member.memory.unshared_kib(); });
  if (most == members_.end() || bounds_.memory_kib <= 0 || most->memory.unshared_kib() <= bounds_.memory_kib) return false;
  for (Member& member : members_) member.memory_kib = 0;
  near_limit_ = true;
  over_before_ = false;
  memory_kib_ = most->memory_kib = most->memory.unshared_kib();
  return true;
}

// Whether the exact count is at hand; then it is in members_, who may be those of an earlier look.
bool Census::count_exactly() {
  if (!count_) {
    std::vector<ProcessMemory> apart;
    for (const Member& member : members_) {
      const Member& parent = members_[member.parent];
      apart.push_back(&parent != &member && shares_memory(member, parent) ? ProcessMemory{} : member.memory);
    }
    counted_ = members_;
    count_.emplace(proc_.get(), std::move(apart));
  }
  if (!count_->done_by(std::min(until_ms_, monotonic_ms() + kPatienceMs))) return false;
  members_ = std::move(counted_);
  for (std::size_t i = 0; i < members_.size(); ++i) members_[i].memory_kib = count_->kib()[i];
  count_.reset();
  return true;
}

// Where the exact count is not to be had, as if nothing were shared: enough to say what is too much, not what is within.
Census::Verdict Census::judge_uncounted() {
  if (!count_->stuck()) return Verdict::unknown;
  for (Member& member : members_) {
    const std::int64_t shared = shmem_kib(proc_.get(), member.memory);
    member.memory_kib += shared;
    memory_kib_ += shared;
  }
  return memory_kib_ > bounds_.memory_kib ? Verdict::over : Verdict::unknown;
}

Census::Verdict Census::judge_memory() {
  memory_kib_ = 0;
  std::int64_t resident = 0;
  for (Member& member : members_) {
    memory_kib_ += member.memory_kib = member.memory.unshared_kib();
    resident += member.memory.resident_kib();
  }
  near_limit_ = bounds_.memory_kib > 0 && resident > bounds_.memory_kib;
  if (!near_limit_) {
    count_.reset();  // of how it was then
    return Verdict::within;
  }
  if (!count_exactly()) return judge_uncounted();
  memory_kib_ = 0;
  for (const Member& member : members_) memory_kib_ += member.memory_kib;
  return memory_kib_ > bounds_.memory_kib ? Verdict::over : Verdict::within;
}

// What ends between two readings leaves its share to the next: then only what a second count finds as well is too much.
bool Census::is_surely_over_memory() {
  if (is_one_over_memory()) return true;
  for (;;) {
    const Verdict verdict = judge_memory();
    if (verdict == Verdict::unknown) return false;
    const bool before = std::exchange(over_before_, false);
    if (verdict == Verdict::within || before) return verdict == Verdict::over;
    std::vector<Member> counted = members_;
    walk();
    const bool all_live = std::ranges::all_of(counted, [this](const Member& member) {
      return member.memory.size == 0 ||
             std::ranges::any_of(members_, [&](const Member& now) { return now.pid() == member.pid() && now.memory.size > 0; });
    });
    if (all_live) {
      members_ = std::move(counted);
      return true;
    }
    over_before_ = true;
  }
}

// Those that have most go, until the rest is within the limit.
bool Census::bound_memory() {
  if (!is_surely_over_memory()) return false;
  std::vector<std::size_t> order(members_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater(), [this](std::size_t i) { return members_[i].memory_kib; });
  std::int64_t left = memory_kib_;
  for (const std::size_t i : order) {
    if (left <= bounds_.memory_kib) break;
    if (kill_one(i, "memory")) return true;
    left -= members_[i].memory_kib;
  }
  return false;
}

// To count memory takes time that a bomb uses. So where nothing else stops one, none is counted while processes become more; but
// not for ever, since they may come and go.
bool Census::may_wait(std::int64_t before) {
  constexpr int kCalm = 2, kRestless = 16;  // looks
  if (!bounds_.kill_processes || bounds_.processes <= 0) return true;
  calm_ = tasks_ <= before && tasks_ <= bounds_.processes ? calm_ + 1 : 0;
  restless_ = calm_ >= kCalm ? 0 : restless_ + 1;
  return restless_ == 0 || restless_ > kRestless;
}

bool Census::look(std::int64_t until_ms) {
  until_ms_ = until_ms;
  if (!proc_) proc_ = UniqueFd(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!proc_) {
    unseen_ = errno;
    return false;
  }
  const std::int64_t before = tasks_;
  walk();
  ++looks_;
  if (bound_processes()) return true;
  return may_wait(before) && bound_memory();
}

}  // namespace safe_exec
