// Level 2. The few system calls by which everything here reaches files: openat2(2) beneath a descriptor, the name
// that the kernel gives a descriptor, reading from it. Decides nothing; never follows a link that its caller did
// not ask for.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model.h"

namespace safe_exec {

inline constexpr int kMaxLinks = 40;  // as the kernel's own bound, path_resolution(7)

// The components of a path; empty ones and "." dropped, ".." kept.
[[nodiscard]] std::vector<std::string_view> components_of(std::string_view path);

// Components joined with '/', with no slash in front; "." when there are none.
[[nodiscard]] std::string join_components(const std::vector<std::string_view>& components, std::size_t from);

// directory + "/" + name, for an absolute directory.
[[nodiscard]] std::string child_path(std::string_view directory, std::string_view name);

// openat2(2) with O_CLOEXEC. A rename that races with the resolution gives EAGAIN: tried again a few times, then an
// error as any other. On failure the descriptor is empty and errno is set.
[[nodiscard]] UniqueFd open_beneath(int directory, const std::string& path, std::uint64_t flags,
                                    std::uint64_t resolve) noexcept;

// By an absolute name that has no links on its way, as path_of gives it; what has become a link since is ELOOP.
[[nodiscard]] UniqueFd open_physical(const std::string& path, std::uint64_t flags) noexcept;

// The absolute name of an open file. nullopt when it has none (deleted, outside of the root, no /proc) or when the
// name does not lead back to the same inode.
[[nodiscard]] std::optional<std::string> path_of(int fd);

// The working directory, opened, and its name: getcwd(2) is a tenth of a look into /proc. Empty when it has none.
struct Here {
  UniqueFd fd;
  struct stat status {};
  std::string path;
  int error = 0;  // errno of the call that failed, where one did
};
[[nodiscard]] Here open_here();

// The symbolic links met when absolute_path is resolved now. For rebuilding names only, never for a decision.
[[nodiscard]] std::vector<Symlink> links_on(std::string_view absolute_path);

// A descriptor of the same inode, opened anew with flags (O_CLOEXEC added). Only for regular files and directories:
// nothing else may be opened without blocking or side effects.
[[nodiscard]] UniqueFd reopen(int path_fd, int flags) noexcept;

// The regular file of this status, opened for reading by its name in a directory in which only who is trusted can put another
// in its place; empty when another has the name by now, or it may not be read. A third of what reopen() costs: for that one the kernel
// makes a directory of this process in /proc.
[[nodiscard]] UniqueFd open_same(int directory, const char* name, const struct stat& status) noexcept;

// Up to size bytes at offset; fewer at the end of the file. -1: errno says why.
[[nodiscard]] std::int64_t read_at(int fd, void* buffer, std::size_t size, std::uint64_t offset) noexcept;

// The whole file, when it has at most limit bytes; nullopt and errno (EFBIG) otherwise.
[[nodiscard]] std::optional<std::string> read_whole(int fd, std::size_t limit);

// Whether something, a link included, has this name; what cannot be looked at counts as there.
[[nodiscard]] bool may_exist(const std::string& path);

[[nodiscard]] bool same_inode(const struct stat& a, const struct stat& b) noexcept;

// strerror without its static buffer.
[[nodiscard]] std::string errno_text(int number);

// The home of the real uid in /etc/passwd, read by hand (a static binary has no NSS); empty when there is none.
[[nodiscard]] std::string passwd_home();

}  // namespace safe_exec
