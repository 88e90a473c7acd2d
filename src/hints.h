// Level 4. Owns what is said of a refusal: what programs do without, what in the policy would grant what, which limit an error may
// come from, and what the words of a command tell. Decides nothing of which layer refused a call.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "launch.h"
#include "model.h"

namespace safe_exec {

// One refused call, as far as it can be known.
struct Observed {
  std::string call;
  std::string path;  // absolute where that can be known
  int family = 0;    // of socket(2)
  bool executes = false, writes = false, is_socket = false;
  bool names = false;  // makes, moves or removes a name: a matter of its directory
  bool another = false;  // and there is a second path, which is not known
  bool special = false;  // makes a device or a socket
  bool looks = false;    // at what Landlock does not mediate, where only modes decide
  unsigned asks = 0;     // of that: the bits that access(2) asks for
  [[nodiscard]] bool is_known() const { return path.starts_with('/'); }
};

// What programs look for and mostly do without.
[[nodiscard]] bool is_done_without(const Observed& seen);

[[nodiscard]] bool is_granted(const Plan& plan, std::string_view path, PathAccess least = PathAccess::stat);

// On this host, without a sandbox.
[[nodiscard]] bool is_absent(const std::string& path);

// Where a process sees what is its own: that it is absent for us says nothing.
[[nodiscard]] bool is_of_proc(std::string_view path);

// The directory that a name lies in.
[[nodiscard]] std::string parent_of(const std::string& path);

// Through the links on the way, of which the host has no others; what is not there keeps its name.
[[nodiscard]] std::string physical(const std::string& path);

// What the policy would have to let be written, or read: of a name that is made, moved or removed its directory.
[[nodiscard]] std::string place_of(const Observed& seen);

// What in the policy would grant it.
[[nodiscard]] std::string key_for(const Plan& plan, const Launch& launch, const Observed& seen);

// Why a call is refused though the policy grants it.
struct Cause {
  Layer layer;
  std::string hint;
};

// A /tmp or a /proc that the policy grants, and that cannot be had on this host.
[[nodiscard]] std::optional<Cause> lost_grant(const Plan& plan, const Launch& launch, const Observed& seen);

// A directory in which nothing can be created, removed or renamed, for what else lies in it; empty: whichever there is, the working
// directory before others.
[[nodiscard]] std::optional<Cause> cause_of_fixed(const Plan& plan, const Launch& launch, const std::string& directory);

// A device of this host that no mount of the command's opens, whatever is granted.
[[nodiscard]] bool is_shut_device(const Launch& launch, const Observed& seen);

// The path of read_only that keeps it, or a name on the way to it; empty: none.
[[nodiscard]] std::string kept_by(const Plan& plan, const Observed& seen);

// Where the policy names it, and nothing was there when the run began; empty: it does not.
[[nodiscard]] std::string hint_of_missing(const Plan& plan, const Observed& seen);

[[nodiscard]] std::string hint_of_filter(const Plan& plan, const Launch& launch, const Observed& seen);

// Of what Landlock refuses, that which is no file; empty: it is not that.
[[nodiscard]] std::string hint_of_domain(const Plan& plan, const Launch& launch, const Observed& seen, int error);

// Which limit an error may come from, or a signal (-SIGXCPU) that ended a process below the command; empty: none that is in force.
[[nodiscard]] std::string_view limit_behind(const Plan& plan, int error);

// Whether it names this file: not as a part of a longer name.
[[nodiscard]] bool names_file(const std::string& text, std::string_view file);
[[nodiscard]] bool names_file(const Captured& captured, std::string_view file);

[[nodiscard]] bool contains(const Captured& captured, std::string_view words);

// Whether it complains of what lies at this path in words of its own, as of a time zone's name or a user without a name.
[[nodiscard]] bool tells_of(const Captured& captured, std::string_view path);

// Whether it complains of this error, or of this signal (-SIGXCPU).
[[nodiscard]] bool says(const Captured& captured, int error);

}  // namespace safe_exec
