// Level 3. The Landlock layer: the table of what each ABI can restrict, and the ruleset of a plan, made from the
// descriptors that were checked. Never opens a path of the plan again, and never leaves a right of the ABI in use
// unhandled (an unhandled right is allowed).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fd.h"
#include "model.h"

namespace safe_exec::landlock {

// linux/landlock.h of the build host may be older than the kernel it runs on, so the constants are our own.
enum FsRight : std::uint64_t {
  kExecute = 1U << 0, kWriteFile = 1U << 1, kReadFile = 1U << 2, kReadDir = 1U << 3, kRemoveDir = 1U << 4,
  kRemoveFile = 1U << 5, kMakeChar = 1U << 6, kMakeDir = 1U << 7, kMakeReg = 1U << 8, kMakeSock = 1U << 9,
  kMakeFifo = 1U << 10, kMakeBlock = 1U << 11, kMakeSym = 1U << 12, kRefer = 1U << 13, kTruncate = 1U << 14,
  kIoctlDev = 1U << 15,
};
enum NetRight : std::uint64_t { kBindTcp = 1U << 0, kConnectTcp = 1U << 1 };
enum Scope : std::uint64_t { kAbstractUnix = 1U << 0, kSignal = 1U << 1 };

inline constexpr int kNewestTested = 7;
inline constexpr int kScopes = 6;  // the first ABI that knows abstract Unix sockets and signals

// The attribute of landlock_create_ruleset(2) as far as ABI 7 knows it.
struct Handled {
  std::uint64_t fs = 0, net = 0, scoped = 0;
};
// network: by kind what is in reach of this launch; it is handled unless all of it is granted.
[[nodiscard]] Handled handled_by(int abi, Network::Kind network) noexcept;
[[nodiscard]] std::size_t attribute_size(int abi) noexcept;
[[nodiscard]] std::string missing_in(int abi);  // what the ABI lacks, for the result; empty: nothing

// What of the granted rights the kernel is known to bound badly; empty: nothing. fixed: errata_fixed().
[[nodiscard]] std::string unfixed_in(std::uint64_t granted, std::uint32_t fixed);

// Rights that a grant gives on its own inode; 0: none.
[[nodiscard]] std::uint64_t rights_of(const Grant& grant) noexcept;
// Whether a path is kept from being written whatever is granted.
[[nodiscard]] bool is_read_only(const Plan& plan, std::string_view path) noexcept;
// What replacing a file needs on its directory.
inline constexpr std::uint64_t kReplace = kMakeReg | kRemoveFile | kWriteFile | kReadFile | kTruncate;
inline constexpr std::uint64_t kReadTree = kReadFile | kReadDir;
inline constexpr std::uint64_t kWriteTree = kReadFile | kReadDir | kWriteFile | kTruncate | kRemoveDir | kRemoveFile |
                                            kMakeDir | kMakeReg | kMakeSym | kMakeFifo | kRefer;

// The kernel's ABI clamped to the newest tested one; 0 with errno when there is none (ENOSYS: not built,
// EOPNOTSUPP: not enabled at boot).
[[nodiscard]] int abi_in_use() noexcept;
// Why there is none. One system call where there is.
[[nodiscard]] std::optional<Error> missing();
// Bit N-1: erratum N is fixed (LANDLOCK_CREATE_RULESET_ERRATA, Linux 6.15 and stable kernels since); 0: none, or not told.
[[nodiscard]] std::uint32_t errata_fixed() noexcept;

struct Ruleset {
  UniqueFd fd;
  int abi = 0;
  std::string unfixed;             // what unfixed_in says of the rules
  std::vector<std::string> fixed;  // directories whose own entries nobody may create, remove or rename
};
// network: as handled_by() says; the ports are the plan's.
// around: write rights are given around the read-only paths, since no mount keeps them. Rules only add rights, so a
// directory that holds such a path keeps its right to be read, and what else is in it gets its rights one by one.
// covered: mounts cover what is denied in plan.covered, so these directories are granted as a whole.
// Error: sandbox_unavailable, step "landlock".
[[nodiscard]] Expected<Ruleset> make_ruleset(const Plan& plan, Network::Kind network, bool around, bool covered);

}  // namespace safe_exec::landlock
