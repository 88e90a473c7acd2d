// Owns those system calls. Never decides, never blocks on what it opens.
#include "beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>

namespace safe_exec {

namespace {

constexpr int kMaxRetries = 64;
constexpr std::size_t kMaxPasswd = 16U << 20;

// The text of the link name beneath directory (name "": of directory itself). nullopt: not a link, or too long.
std::optional<std::string> link_text(int directory, const char* name) {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t size = ::readlinkat(directory, name, buffer.data(), buffer.size());
  if (size <= 0 || static_cast<std::size_t>(size) >= buffer.size()) return std::nullopt;
  return std::string(buffer.data(), static_cast<std::size_t>(size));
}

std::string proc_name(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

}  // namespace

std::vector<std::string_view> components_of(std::string_view path) {
  std::vector<std::string_view> components;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view component = path.substr(0, slash);
    if (!component.empty() && component != ".") components.push_back(component);
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return components;
}

std::string join_components(const std::vector<std::string_view>& components, std::size_t from) {
  std::string joined;
  for (std::size_t i = from; i < components.size(); ++i) {
    if (!joined.empty()) joined += '/';
    joined += components[i];
  }
  return joined.empty() ? "." : joined;
}

std::string child_path(std::string_view directory, std::string_view name) {
  std::string path(directory == "/" ? std::string_view() : directory);
  path += '/';
  path += name;
  return path;
}

UniqueFd open_beneath(int directory, const std::string& path, std::uint64_t flags, std::uint64_t resolve) noexcept {
  struct open_how how {};
  how.flags = flags | O_CLOEXEC;
  how.resolve = resolve;
  for (int attempt = 0;; ++attempt) {
    const long fd = ::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if ((errno != EAGAIN && errno != EINTR) || attempt == kMaxRetries) return UniqueFd();
  }
}

UniqueFd open_physical(const std::string& path, std::uint64_t flags) noexcept {
  return open_beneath(AT_FDCWD, path, flags, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

std::optional<std::string> path_of(int fd) {
  struct stat opened {};
  if (::fstat(fd, &opened) != 0) return std::nullopt;
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::optional<std::string> name = link_text(AT_FDCWD, proc_name(fd).c_str());
    if (!name || name->front() != '/') return std::nullopt;
    // proc(5): a deleted file's name ends in " (deleted)", which may also be a real file's name; so look.
    struct stat named {};
    if (::lstat(name->c_str(), &named) == 0 && same_inode(opened, named)) return name;
  }
  return std::nullopt;
}

Here open_here() {
  Here here;
  std::array<char, PATH_MAX> name{};
  struct stat named {};
  here.fd = UniqueFd(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!here.fd || ::fstat(here.fd.get(), &here.status) != 0 || ::syscall(SYS_getcwd, name.data(), name.size()) <= 0) {
    here.error = errno;
    return here;
  }
  // The name may be of another root ("(unreachable)") or of a directory that is gone; so look.
  if (name[0] != '/') return here;
  if (::lstat(name.data(), &named) != 0) here.error = errno;
  else if (same_inode(here.status, named)) here.path = name.data();
  return here;
}

std::vector<Symlink> links_on(std::string_view absolute_path) {
  std::vector<Symlink> links;
  std::vector<std::string> pending;
  const auto push = [&pending](std::string_view path) {
    const std::vector<std::string_view> parts = components_of(path);
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) pending.emplace_back(*part);
  };
  push(absolute_path);
  std::string here = "/";
  while (!pending.empty()) {
    const std::string name = std::move(pending.back());
    pending.pop_back();
    if (name == "..") {
      const std::size_t slash = here.rfind('/');
      here.resize(slash == 0 ? 1 : slash);
      continue;
    }
    std::string next = child_path(here, name);
    const std::optional<std::string> text = link_text(AT_FDCWD, next.c_str());
    if (!text) {
      here = std::move(next);
      continue;
    }
    if (links.size() == static_cast<std::size_t>(kMaxLinks)) return {};
    if (text->front() == '/') here = "/";
    push(*text);
    links.push_back({std::move(next), *text});
  }
  return links;
}

UniqueFd reopen(int path_fd, int flags) noexcept {
  // openat(2) has no way to open a descriptor's own inode; the magic link does (proc(5), /proc/pid/fd).
  char name[40] = "/proc/self/fd/";
  char* const digits = name + std::strlen(name);
  *std::to_chars(digits, name + sizeof name - 1, path_fd).ptr = '\0';
  return UniqueFd(::open(name, flags | O_CLOEXEC | O_NOCTTY));
}

UniqueFd open_same(int directory, const char* name, const struct stat& status) noexcept {
  struct stat opened {};
  // O_NONBLOCK: a FIFO that has come in its place would not be waited for; it means nothing to a regular file.
  UniqueFd fd(::openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  return fd && ::fstat(fd.get(), &opened) == 0 && same_inode(opened, status) ? std::move(fd) : UniqueFd();
}

std::int64_t read_at(int fd, void* buffer, std::size_t size, std::uint64_t offset) noexcept {
  if (offset > static_cast<std::uint64_t>(INT64_MAX) - size) {
    errno = EOVERFLOW;
    return -1;
  }
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::pread(fd, static_cast<char*>(buffer) + done, size - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return static_cast<std::int64_t>(done);
}

std::optional<std::string> read_whole(int fd, std::size_t limit) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return std::nullopt;
  std::string text;
  // One byte more than the size says: the end is seen in the same call, and so is growth.
  std::size_t step = status.st_size > 0 ? static_cast<std::size_t>(status.st_size) + 1 : 4096;
  for (;;) {
    if (step > limit + 1 - text.size()) step = limit + 1 - text.size();
    const std::size_t before = text.size();
    text.resize(before + step);
    const std::int64_t got = read_at(fd, text.data() + before, step, before);
    if (got < 0) return std::nullopt;
    text.resize(before + static_cast<std::size_t>(got));
    if (text.size() > limit) {
      errno = EFBIG;
      return std::nullopt;
    }
    if (static_cast<std::size_t>(got) < step) return text;
    step = 1U << 16;
  }
}

bool may_exist(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

bool same_inode(const struct stat& a, const struct stat& b) noexcept {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

std::string errno_text(int number) {
  const char* const text = ::strerrordesc_np(number);  // glibc 2.32; the GNU C library's own table, no locale
  return text != nullptr ? text : "error " + std::to_string(number);
}

std::string passwd_home() {
  const UniqueFd fd(::open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd) return {};
  const std::optional<std::string> text = read_whole(fd.get(), kMaxPasswd);
  if (!text) return {};
  const std::string uid = std::to_string(::getuid());
  std::string_view rest = *text;
  while (!rest.empty()) {  // passwd(5): name:password:uid:gid:gecos:home:shell
    const std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    std::array<std::string_view, 6> fields;
    for (std::string_view& field : fields) {
      const std::size_t colon = line.find(':');
      field = line.substr(0, colon);
      line.remove_prefix(colon == std::string_view::npos ? line.size() : colon + 1);
    }
    if (fields[2] == uid) return std::string(fields[5].substr(0, 1) == "/" ? fields[5] : std::string_view());
  }
  return {};
}

}  // namespace safe_exec
