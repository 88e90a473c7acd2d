// Level 3. The minimal root: which directories, links, mount points and binds the new root gets, in which order. The
// list is complete before the fork; the child looks nothing up and creates nothing inside a granted place.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "child.h"
#include "model.h"

namespace safe_exec {

struct RootPlan {
  std::deque<std::string> strings;  // what the operations point to
  std::vector<MountOp> ops;
  bool whole_root = false;
  bool own_tmp = false;  // what is /tmp is the command's alone
  const char* cwd = "";
  std::uint64_t cwd_inode = 0;
  bool binds_program = false;  // one operation is marked executed
  std::string creatable;       // read-only by name, not there, and no mount can keep it from being made; empty: none
};

struct RootOptions {
  bool landlock = true;       // without it a name that gives no content is not bound at all
  bool fresh_proc = false;    // own pid namespace
  std::uint64_t handled = 0;  // Landlock rights of the ABI in use
};

// Whether the host's whole root may be what the command sees, so that the new root cannot be made before it is planned.
[[nodiscard]] bool may_be_whole_root(const Plan& plan) noexcept;
// Error: launch_failed when a granted descriptor cannot be examined.
[[nodiscard]] Expected<RootPlan> plan_root(const Plan& plan, const RootOptions& options);

}  // namespace safe_exec
