// Level 3. A cgroup of the command's own (cgroups(7), version 2) where a subtree is delegated to the caller: there the kernel
// limits memory and processes of the whole tree. Never moves a process of the caller's, never touches what systemd manages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fd.h"

namespace safe_exec {

struct CgroupLimits {  // 0: not limited
  std::int64_t memory_bytes = 0;
  std::int64_t processes = 0;  // threads count
};

struct CgroupEvents {
  std::int64_t killed = 0;   // processes, for reaching its limit of memory
  std::int64_t refused = 0;  // attempts to start one more
};

struct CgroupHost {  // a test has its own
  const char* root = "/sys/fs/cgroup";
  const char* self = "/proc/self/cgroup";
};

class Cgroup {
 public:
  // nullopt: none is delegated, or it cannot be used; nothing is left then.
  [[nodiscard]] static std::optional<Cgroup> make(const CgroupLimits& limits, const CgroupHost& host = {});
  Cgroup(Cgroup&&) = default;
  Cgroup& operator=(Cgroup&& other) noexcept;
  ~Cgroup();  // removes it, unless a process is left in it

  [[nodiscard]] int directory() const noexcept { return directory_.get(); }
  [[nodiscard]] int processes() const noexcept { return processes_.get(); }  // cgroup.procs: who writes 0 joins
  [[nodiscard]] const std::string& name() const noexcept { return name_; }   // as seen from itself: "../safe-exec-1f"
  [[nodiscard]] bool kills() const noexcept { return kills_; }  // all at once: cgroup.kill (Linux 5.14)
  [[nodiscard]] CgroupEvents events() const;

 private:
  Cgroup(UniqueFd directory, std::string name) noexcept;
  [[nodiscard]] bool limit(const CgroupLimits& limits);

  UniqueFd directory_;  // locked: who can lock it finds that its owner is dead
  UniqueFd processes_;
  std::string name_;
  bool kills_ = false;
};

// Where children may be made, given the text of /proc/self/cgroup: the parent of the caller's own cgroup. Controllers are
// not to be had below one that holds processes (but the root). Empty: nowhere.
[[nodiscard]] std::string delegated_parent(std::string_view text);

}  // namespace safe_exec
