// Level 3. The seccomp layer: a copy of the filter made at build time, with this launch's choices patched in. Never
// talks to libseccomp and never builds a filter at run time.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace safe_exec {

// Places in the filter that a launch fills in.
enum class Patch : std::uint8_t {
  metadata,      // k of a return: what calls that change metadata get
  names,         // k of a return: what reads of any path that Landlock does not mediate get
  others,        // k of a return: what changing another process gets
  execve,        // k of a return: what execve gets
  generated,     // k of a return: what making memory executable that was or can be written gets
  core,          // k of a return: what changing the limit of core dumps gets
  groups,        // k of a return: what joining a multicast group gets
  reaper,        // k of a test: the process group that nobody joins
  listen,        // k of a return: what naming a socket and waiting for others gets
  families,      // k of a test: bit set of socket families that are open
  tcp_families,  // k of a test: bit set of families that are open for TCP only
  magic_low, magic_high,  // k of two compares: the launcher's execveat
};
inline constexpr int kPatchCount = 13;

struct PatchPoint {
  Patch patch;
  std::uint16_t instruction;
};

struct SyscallRow {
  std::uint32_t number;
  std::string_view action;  // as in syscalls.txt
  std::string_view name;
};

// Generated from syscalls.txt.
[[nodiscard]] std::span<const sock_filter> filter_template() noexcept;
[[nodiscard]] std::span<const PatchPoint> filter_patches() noexcept;
[[nodiscard]] std::span<const SyscallRow> syscall_table() noexcept;  // read by tests; absent from the release binary
[[nodiscard]] std::string_view syscall_name(std::uint32_t number) noexcept;  // empty: unknown

struct FilterChoice {
  bool metadata = false;  // metadata calls pass
  bool names = false;     // extended attributes and inotify by path pass
  bool others = false;    // scheduling of other processes passes
  bool execve = false;    // further programs may be executed
  bool generated = false; // code may be generated
  bool listen = false;    // sockets may be bound and listened on
  bool core = false;      // the limit of core dumps may be changed; else it only looks so
  std::uint32_t reaper = 1;        // its pid; where it is not the first of a pid namespace, known after the fork
  std::uint32_t families = 0;      // bit per AF_* below 32
  std::uint32_t tcp_families = 0;
  std::uint64_t magic = 0;
};

[[nodiscard]] std::vector<sock_filter> make_filter(const FilterChoice& choice);

// What the filter answers to a call: SECCOMP_RET_*, with its data. What it does not understand of a filter is a kill.
[[nodiscard]] std::uint32_t filter_verdict(std::span<const sock_filter> filter, const seccomp_data& about) noexcept;

// What a second, small filter refuses because no other layer of this host does.
struct Fallback {
  bool signals = false;     // no pid namespace, no Landlock ABI 6: to anybody but the command itself and its process group
  bool truncation = false;  // no mount namespace, no Landlock ABI 3: of a file that may be read
};
// One more for commands that may write: nobody makes a file that runs as somebody else, on file systems of the host, where
// this sandbox's own nosuid does not hold. openat2(2) is unknown then: its mode cannot be seen.
[[nodiscard]] std::vector<sock_filter> make_mode_filter();
inline constexpr std::size_t kOwnPid = 24;  // the instruction that is given the command's pid after the fork
[[nodiscard]] std::vector<sock_filter> make_fallback_filter(const Fallback& fallback);

}  // namespace safe_exec
