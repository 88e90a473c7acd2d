#include "confine/census.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>

namespace safe_exec {
namespace {

constexpr std::size_t kMaxMembers = 4096;
constexpr int kMaxKills = 8;        // after so many the tree goes as a whole
constexpr std::int64_t kBomb = 10;  // so many times the limit is no child that errs: the tree goes at once

// What is read from a file of /proc in one piece; empty when the process is gone.
std::string_view read_at(int proc, const std::string& name, std::array<char, 4096>& buffer) {
  const UniqueFd fd(::openat(proc, name.c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t size = fd ? ::read(fd.get(), buffer.data(), buffer.size() - 1) : 0;
  buffer[static_cast<std::size_t>(std::max<ssize_t>(size, 0))] = '\0';
  return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

// "Name:   123 kB" of smaps_rollup; 0 when it is not there.
std::int64_t field(std::string_view text, std::string_view name) {
  const auto at = text.find(name);
  return at == std::string_view::npos ? 0 : ::strtoll(text.data() + at + name.size(), nullptr, 10);
}

// Of one of its threads; the first is the process itself.
std::string name_of(pid_t pid, pid_t thread) {
  const std::string name = std::to_string(pid);
  return thread == pid ? name : name + "/task/" + std::to_string(thread);
}

std::int64_t pages_kib(std::int64_t pages) { return pages * (::sysconf(_SC_PAGESIZE) / 1024); }

}  // namespace

bool Census::possible() { return ::access("/proc/thread-self/children", R_OK) == 0; }

Census::Census(pid_t root, const Bounds& bounds)
    : root_(root), bounds_(bounds) {}

void Census::read_children(const std::string& path, std::size_t parent) {
  const UniqueFd fd(::openat(proc_.get(), path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> buffer;
  pid_t pid = 0;
  for (ssize_t size = 0; fd && (size = ::read(fd.get(), buffer.data(), buffer.size())) > 0;) {
    for (const char c : std::string_view(buffer.data(), static_cast<std::size_t>(size))) {
      if (c >= '0' && c <= '9') {
        pid = pid * 10 + (c - '0');
      } else if (pid > 0) {
        if (members_.size() < kMaxMembers) members_.push_back({.pid = pid, .parent = parent});
        pid = 0;
      }
    }
  }
}

// Children of every thread; a thread more in the parent's count for each.
void Census::add_children_of(pid_t pid, std::size_t parent) {
  const std::string task = std::to_string(pid) + "/task";
  const int fd = ::openat(proc_.get(), task.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(fd < 0 ? nullptr : ::fdopendir(fd), ::closedir);
  while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    if (pid != root_) ++members_[parent].tasks;
    const bool top = pid == root_;
    const std::size_t first = members_.size();
    read_children(task + "/" + entry->d_name + "/children", parent);
    for (std::size_t i = first; top && i < members_.size(); ++i) members_[i].parent = i;
  }
}

bool Census::read_memory_of(pid_t thread, Member& member) const {
  std::array<char, 4096> buffer;
  const std::string_view text = read_at(proc_.get(), name_of(member.pid, thread) + "/statm", buffer);
  if (text.empty() || text[0] == '0') return false;
  char* at = buffer.data();
  for (std::int64_t* value : {&member.size, &member.resident, &member.shared}) *value = ::strtoll(at, &at, 10);
  member.thread = thread;
  // A page of them tells of 512 pages, touched or not for writing: read only where that could be much.
  const bool sparse = pages_kib(member.size) / 512 > bounds_.memory_kib / 16;
  member.tables_kib = sparse ? field(read_at(proc_.get(), name_of(member.pid, thread) + "/status", buffer), "VmPTE:") : 0;
  return true;
}

// A first thread that has ended has no memory any more; that of the process is told by any other.
void Census::read_memory(Member& member) const {
  constexpr int kTries = 3;  // they may end, each when it has started the next
  for (int i = 0; i < kTries && !read_memory_of(member.pid, member); ++i) {
    const std::string task = std::to_string(member.pid) + "/task";
    const int fd = ::openat(proc_.get(), task.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(fd < 0 ? nullptr : ::fdopendir(fd), ::closedir);
    bool more = false;
    while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
      const auto thread = static_cast<pid_t>(::strtol(entry->d_name, nullptr, 10));
      if (thread <= 0 || thread == member.pid) continue;
      if (read_memory_of(thread, member)) return;
      more = true;
    }
    if (!more) return;  // all of it has ended
  }
}

bool Census::is_bomb(std::size_t tasks) const {
  return bounds_.kill_processes && bounds_.processes > 0 && tasks > static_cast<std::size_t>(bounds_.processes * kBomb);
}

void Census::walk() {
  members_.clear();
  add_children_of(root_, 0);
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (is_bomb(members_.size())) {  // who reads of them all while they double comes too late
      for (; i < members_.size(); ++i) members_[i].tasks = 1;
      break;
    }
    if (late()) break;
    add_children_of(members_[i].pid, i);
    if (bounds_.memory_kib > 0) read_memory(members_[i]);
  }
  if (looks_ == 0 && !members_.empty()) command_ = members_[0].pid;
  for (Member& member : members_) member.below = member.tasks;
  for (std::size_t i = members_.size(); i-- > 0;) {
    if (members_[i].parent != i) members_[members_[i].parent].below += members_[i].below;
  }
}

pid_t Census::parent_of(pid_t pid) const {
  std::array<char, 4096> buffer;
  const std::string_view text = read_at(proc_.get(), std::to_string(pid) + "/stat", buffer);
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
  const pid_t pid = members_[index].pid;
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
    if (dying[i]) kill_descendant(members_[i].pid);
  }
  return false;
}

// Anonymous and shared memory, a share of what is shared; what a file backs can be had back at any time.
std::int64_t Census::exact_memory(Member member) const {
  constexpr int kTries = 3;  // the thread may end
  std::array<char, 4096> buffer;
  for (int i = 0; i < kTries && member.thread != 0; ++i) {
    errno = 0;
    const std::string_view text = read_at(proc_.get(), name_of(member.pid, member.thread) + "/smaps_rollup", buffer);
    if (!text.empty()) return field(text, "Pss_Anon:") + field(text, "Pss_Shmem:") + field(text, "SwapPss:");
    if (errno != ENOENT && errno != ESRCH) break;
    member = {.pid = member.pid};
    read_memory(member);
  }
  return pages_kib(member.resident - member.shared);  // what all may read; nothing when it ended meanwhile
}

// A process that forks is waited for, and among hundreds that try to its turn comes late.
bool Census::late() const {
  timespec now{};
  (void)::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000 >= until_ms_;
}

// A child of vfork(2) has its parent's memory until it executes.
bool Census::shares_memory(const Member& one, const Member& other) const {
  return one.size == other.size && ::syscall(SYS_kcmp, one.thread, other.thread, KCMP_VM, 0, 0) == 0;
}

std::int64_t Census::own_memory(const Member& member) { return pages_kib(member.resident - member.shared) + member.tables_kib; }

// What a single process has is told by its own counters, without a walk through its memory.
bool Census::is_one_over_memory() {
  const auto most = std::ranges::max_element(members_, {}, own_memory);
  if (most == members_.end() || bounds_.memory_kib <= 0 || own_memory(*most) <= bounds_.memory_kib) return false;
  for (Member& member : members_) member.memory_kib = 0;
  near_limit_ = true;
  memory_kib_ = most->memory_kib = own_memory(*most);
  return true;
}

bool Census::is_over_memory() {
  std::int64_t anonymous = 0;
  std::int64_t resident = 0;
  for (const Member& member : members_) {
    anonymous += own_memory(member);
    resident += pages_kib(member.resident) + member.tables_kib;
  }
  memory_kib_ = anonymous;
  near_limit_ = bounds_.memory_kib > 0 && resident > bounds_.memory_kib;
  if (!near_limit_) return false;
  std::int64_t exact = 0;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (late()) return false;
    Member& member = members_[i];
    const bool same = member.parent != i && shares_memory(member, members_[member.parent]);
    member.memory_kib = same ? 0 : exact_memory(member) + member.tables_kib;
    exact += member.memory_kib;
  }
  memory_kib_ = exact;
  return memory_kib_ > bounds_.memory_kib;
}

// What ends between two readings leaves its share to the next: then only what a second look finds as well is too much.
bool Census::is_surely_over_memory() {
  if (is_one_over_memory()) return true;
  if (!is_over_memory()) return false;
  std::vector<Member> counted = members_;
  walk();
  const bool all_live = std::ranges::all_of(counted, [this](const Member& member) {
    return member.size == 0 || std::ranges::any_of(members_, [&](const Member& now) { return now.pid == member.pid && now.size > 0; });
  });
  if (!all_live) return is_over_memory();
  members_ = std::move(counted);
  return true;
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

// An exact count of memory waits for each process that forks, whose turn may never come behind those of a bomb. So where nothing
// else stops one, there is none while processes become more; but not for ever, since they may come and go.
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
  if (!proc_) return false;
  const std::int64_t before = tasks_;
  walk();
  ++looks_;
  if (bound_processes()) return true;
  return may_wait(before) && bound_memory();
}

}  // namespace safe_exec
