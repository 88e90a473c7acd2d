#include "confine/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "inline_text.h"

namespace safe_exec {
namespace {

constexpr std::string_view kPrefix = "safe-exec-";
constexpr int kTries = 3;  // another safe-exec may take a new one for a dead one's
// What systemd manages: beside a unit only systemd makes cgroups, but within a delegated unit everybody (its
// CGROUP_DELEGATION, "two key design rules").
constexpr Name kUnits[] = {".service", ".scope", ".slice", ".socket", ".mount", ".swap"};

// A small file in one piece; empty when it cannot be read.
std::string read_file(int directory, const char* name) {
  const UniqueFd fd(::openat(directory, name, O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> buffer;
  const ssize_t size = fd ? ::read(fd.get(), buffer.data(), buffer.size()) : -1;
  return size > 0 ? std::string(buffer.data(), static_cast<std::size_t>(size)) : std::string();
}

bool write_file(int directory, const char* name, std::string_view text) {
  const UniqueFd fd(::openat(directory, name, O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// "name 12" of a file of counters; 0 when it is not there.
std::int64_t counter(const std::string& text, const std::string& name) {
  const auto at = ("\n" + text).find("\n" + name + " ");
  return at == std::string::npos ? 0 : ::strtoll(text.c_str() + at + name.size() + 1, nullptr, 10);
}

bool has_word(std::string text, const std::string& word) {
  std::ranges::replace(text, '\n', ' ');
  return (" " + text + " ").find(" " + word + " ") != std::string::npos;
}

// Both controllers, for the children of parent. Enabled here where that may be done: EBUSY where it holds processes.
bool controls(int parent) {
  const std::string enabled = read_file(parent, "cgroup.subtree_control");
  if (has_word(enabled, "memory") && has_word(enabled, "pids")) return true;
  return write_file(parent, "cgroup.subtree_control", "+memory +pids");
}

// Locked until the last copy of the descriptor is closed; of a high number, out of the way of those that the reaper gives
// to what it keeps. Empty: it is gone, or another process has it.
UniqueFd open_locked(int parent, const char* name) {
  const UniqueFd low(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!low || ::flock(low.get(), LOCK_EX | LOCK_NB) < 0) return {};
  return UniqueFd(::fcntl(low.get(), F_DUPFD_CLOEXEC, 16));
}

// Empty ones whose safe-exec and reaper were both killed. Those in use are locked, or not empty.
void remove_stale(int parent) {
  const int fd = ::openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(fd < 0 ? nullptr : ::fdopendir(fd), ::closedir);
  while (const dirent* entry = entries ? ::readdir(entries.get()) : nullptr) {
    if (!std::string_view(entry->d_name).starts_with(kPrefix)) continue;
    if (const UniqueFd dead = open_locked(parent, entry->d_name)) (void)::unlinkat(parent, entry->d_name, AT_REMOVEDIR);
  }
}

std::string random_name() {
  std::uint64_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != sizeof number) return {};
  std::string name(kPrefix);
  for (int shift = 60; shift >= 0; shift -= 4) name += "0123456789abcdef"[(number >> shift) & 15];
  return name;
}

UniqueFd open_parent(const CgroupHost& host) {
  struct statfs system {};
  // With version 1 at this place (also beside version 2) its controllers belong to that.
  if (host.root == CgroupHost().root && (::statfs(host.root, &system) != 0 || system.f_type != CGROUP2_SUPER_MAGIC)) return {};
  const std::string parent = delegated_parent(read_file(AT_FDCWD, host.self));
  if (parent.empty()) return {};
  UniqueFd fd(::open((host.root + parent).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  // Who joins needs to be allowed to write there: it is the common ancestor of where it is and where it goes.
  if (fd && ::faccessat(fd.get(), "cgroup.procs", W_OK, AT_EACCESS) != 0) return {};
  return fd;
}

}  // namespace

std::string delegated_parent(std::string_view text) {
  const std::size_t at = text.starts_with("0::/") ? 0 : text.find("\n0::/");
  if (at == std::string_view::npos) return {};
  std::string_view own = text.substr(text.find('/', at));
  own = own.substr(0, own.find('\n'));
  // Outside of what can be seen from here, removed, or cut off.
  if (own.starts_with("/..") || own.ends_with(" (deleted)") || own.size() > 3000) return {};
  if (std::ranges::any_of(kUnits, [&](std::string_view suffix) { return own.ends_with(suffix); })) return {};
  return std::string(own.substr(0, std::max<std::size_t>(own.rfind('/'), 1)));
}

Cgroup::Cgroup(UniqueFd directory, std::string name) noexcept : directory_(std::move(directory)), name_(std::move(name)) {}

Cgroup& Cgroup::operator=(Cgroup&& other) noexcept {  // what this was goes with the other
  std::swap(directory_, other.directory_);
  std::swap(processes_, other.processes_);
  std::swap(name_, other.name_);
  std::swap(kills_, other.kills_);
  return *this;
}

bool Cgroup::limit(const CgroupLimits& limits) {
  processes_ = UniqueFd(::openat(directory(), "cgroup.procs", O_WRONLY | O_CLOEXEC));
  if (!processes_) return false;
  kills_ = ::faccessat(directory(), "cgroup.kill", W_OK, AT_EACCESS) == 0;
  if (limits.processes > 0 && !write_file(directory(), "pids.max", std::to_string(limits.processes))) return false;
  if (limits.memory_bytes <= 0) return true;
  // Without memory.oom.group: the kernel kills the process that has most, as the census does, and not the whole tree.
  return write_file(directory(), "memory.max", std::to_string(limits.memory_bytes)) &&
         (write_file(directory(), "memory.swap.max", "0") || errno == ENOENT);  // not there: the kernel swaps nothing
}

std::optional<Cgroup> Cgroup::make(const CgroupLimits& limits, const CgroupHost& host) {
  const UniqueFd parent = open_parent(host);
  if (!parent || !controls(parent.get())) return std::nullopt;
  remove_stale(parent.get());
  for (int i = 0; i < kTries; ++i) {
    const std::string name = random_name();
    if (name.empty() || ::mkdirat(parent.get(), name.c_str(), 0755) != 0) return std::nullopt;
    Cgroup cgroup(open_locked(parent.get(), name.c_str()), "../" + name);
    if (cgroup.directory_ && cgroup.limit(limits)) return cgroup;
    if (!cgroup.directory_) (void)::unlinkat(parent.get(), name.c_str(), AT_REMOVEDIR);
  }
  return std::nullopt;
}

Cgroup::~Cgroup() {
  if (!directory_) return;
  // A process that was waited for may still be on its way out of it.
  for (int i = 0; i < 20 && ::unlinkat(directory(), name_.c_str(), AT_REMOVEDIR) != 0 && errno == EBUSY; ++i) {
    const timespec turn{0, 1000000};
    (void)::nanosleep(&turn, nullptr);
  }
}

CgroupEvents Cgroup::events() const {
  const std::string memory = read_file(directory(), "memory.events");
  // What the host or a cgroup above has none left of kills too, and is no limit of ours.
  const bool own = counter(memory, "oom") > 0;
  return {own ? counter(memory, "oom_kill") : 0, counter(read_file(directory(), "pids.events"), "max")};
}

}  // namespace safe_exec
