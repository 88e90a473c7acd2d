// Level 3. Which namespaces a launch asks for, and the identity maps of a user namespace.
#pragma once

#include <string>

#include "model.h"

namespace safe_exec {

struct Namespaces {
  bool user = false, pid = false, mount = false, ipc = false, uts = false, net = false;
  bool operator==(const Namespaces&) const = default;
  [[nodiscard]] bool any() const noexcept { return user || pid || mount || ipc || uts || net; }
};

// What the plan's layers ask for. A user namespace only where it is needed to get at the others, or required.
[[nodiscard]] Namespaces wanted_namespaces(const Plan& plan, bool privileged) noexcept;
// CLONE_NEW* flags of all of them, and of those that a process can make for itself (unshare(2)).
[[nodiscard]] unsigned long clone_flags(const Namespaces& namespaces) noexcept;
[[nodiscard]] unsigned long unshare_flags(const Namespaces& namespaces) noexcept;
// One line that maps an identity to itself: a caller is never root inside without being root outside.
[[nodiscard]] std::string identity_map(unsigned id);
[[nodiscard]] bool has_capability(unsigned capability) noexcept;  // in this process's effective set

}  // namespace safe_exec
