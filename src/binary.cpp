// Owns the identity of binaries. Never executes one, never looks at a second file by the same name.
#include "binary.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "beneath.h"
#include "digest.h"

namespace safe_exec {

namespace {

constexpr std::size_t kShebangBytes = 256;  // execve(2): BINPRM_BUF_SIZE

tl::unexpected<PathFailure> refuse(DenialCode code, std::string message, std::string expected = {}) {
  return tl::make_unexpected(PathFailure{code, std::move(message), std::move(expected), 0});
}

tl::unexpected<PathFailure> untrusted(std::string message) {
  return refuse(DenialCode::binary_untrusted, std::move(message));
}

// File capabilities; true also when nobody can say. Of a file that cannot be read the magic link is followed to the checked
// inode: an O_PATH descriptor itself has no fgetxattr(2).
bool may_have_capabilities(const Walked& file) {
  constexpr const char* kName = "security.capability";
  const ssize_t size = file.contents ? ::fgetxattr(file.contents.get(), kName, nullptr, 0)
                                     : ::getxattr(("/proc/self/fd/" + std::to_string(file.fd.get())).c_str(), kName, nullptr, 0);
  return size >= 0 || (errno != ENODATA && errno != ENOTSUP);
}

bool executable_by_us(int fd) {  // faccessat2(2), Linux 5.8; effective ids, as execve asks
  return ::syscall(SYS_faccessat2, fd, "", X_OK, AT_EMPTY_PATH | AT_EACCESS) == 0;
}

std::string file_problem(const Walked& file) {
  const mode_t mode = file.status.st_mode;
  if (!S_ISREG(mode)) return "is not a regular file";
  if ((mode & (S_ISUID | S_ISGID)) != 0) return "is setuid or setgid";
  if ((mode & (S_IXUSR | S_IXGRP | S_IXOTH)) == 0 || !executable_by_us(file.fd.get())) return "is not executable";
  if (may_have_capabilities(file)) return "has file capabilities";
  return {};
}

// The bytes of the checked inode; nullopt: they cannot be read.
std::optional<std::string> digest_of(int readable) {
  Sha256 digest;
  std::vector<char> buffer(1U << 17);
  for (std::uint64_t offset = 0;;) {
    const std::int64_t got = read_at(readable, buffer.data(), buffer.size(), offset);
    if (got < 0) return std::nullopt;
    digest.add({buffer.data(), static_cast<std::size_t>(got)});
    if (static_cast<std::size_t>(got) < buffer.size()) return digest.hex();
    offset += static_cast<std::uint64_t>(got);
  }
}

struct Shebang {
  std::string interpreter;
  std::string argument;  // all that follows, as one, as the kernel passes it
};

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// head: the first bytes of the file. nullopt: not a line that a kernel would run whole.
std::optional<Shebang> parse_shebang(std::string_view head) {
  const std::size_t end = head.find('\n');
  // A file may end without a newline; a line that the kernel's buffer would cut is refused.
  if (end == std::string_view::npos && head.size() >= kShebangBytes - 1) return std::nullopt;
  const std::string_view line = trimmed(head.substr(2, end == std::string_view::npos ? end : end - 2));
  if (line.find('\0') != std::string_view::npos) return std::nullopt;
  const std::size_t gap = line.find_first_of(" \t");
  Shebang shebang{std::string(line.substr(0, gap)), {}};
  if (gap != std::string_view::npos) shebang.argument = trimmed(line.substr(gap));
  if (shebang.interpreter.empty() || shebang.interpreter.front() != '/') return std::nullopt;
  return shebang;
}

std::string_view last_component(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string physical_of(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  return (fd ? path_of(fd.get()) : std::nullopt).value_or(std::string());
}

// Which entry of exec the line means. The argument is emptied when it was env's and named the program.
PathResult<std::string> listed_interpreter(const std::string& script, Shebang& shebang,
                                           const std::vector<std::string>& exec) {
  if (shebang.interpreter == "/usr/bin/env" || shebang.interpreter == "/bin/env") {
    const std::string name = std::exchange(shebang.argument, {});
    if (name.empty() || name.front() == '-' || name.find_first_of("/= \t") != std::string::npos) {
      return untrusted(script + ": its first line is more than \"" + shebang.interpreter + " NAME\"");
    }
    for (const std::string& entry : exec) {  // the first that exists, as with a command's path
      if (last_component(entry) == name && !physical_of(entry).empty()) return entry;
    }
    return refuse(DenialCode::binary_untrusted,
                  script + " runs " + name + ": list where " + name + " is in the command's sandbox.exec",
                  "an entry of sandbox.exec that exists and ends in /" + name);
  }
  const std::string physical = physical_of(shebang.interpreter);
  for (const std::string& entry : exec) {
    if (entry == shebang.interpreter || (!physical.empty() && physical_of(entry) == physical)) return entry;
  }
  return refuse(DenialCode::binary_untrusted,
                script + " runs " + shebang.interpreter + ": list it in the command's sandbox.exec",
                shebang.interpreter + " in sandbox.exec");
}

PathResult<void> add_interpreter(Binary& binary, std::string_view head, Trust trust,
                                 const std::vector<std::string>& exec) {
  std::optional<Shebang> shebang = parse_shebang(head);
  if (!shebang) return untrusted(binary.path + ": its #! line names no absolute path, or is too long");
  auto entry = listed_interpreter(binary.path, *shebang, exec);
  if (!entry) return tl::unexpected(std::move(entry.error()));
  auto checked = check_executable(*entry, trust);
  if (!checked) return tl::unexpected(std::move(checked.error()));
  std::array<char, 4> magic{};
  UniqueFd readable = take_contents(*checked);
  if (!readable || read_at(readable.get(), magic.data(), magic.size(), 0) != 4 ||
      std::string_view(magic.data(), magic.size()) != "\177ELF") {
    return untrusted(*entry + " interprets " + binary.path + " and is not an ELF program");
  }
  binary.script = true;
  binary.interpreter = *std::move(entry);
  binary.interpreter_fd = std::move(checked->fd);
  binary.physical = std::move(checked->path);
  binary.links = std::move(checked->links);
  binary.readable = std::move(readable);
  if (!shebang->argument.empty()) binary.interpreter_args.push_back(std::move(shebang->argument));
  return {};
}

}  // namespace

std::string interpreter_of(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  std::array<char, kShebangBytes> head{};
  const std::int64_t size = fd ? read_at(fd.get(), head.data(), head.size(), 0) : 0;
  const std::string_view text(head.data(), static_cast<std::size_t>(std::max<std::int64_t>(size, 0)));
  const std::optional<Shebang> shebang = text.starts_with("#!") ? parse_shebang(text) : std::nullopt;
  return shebang ? shebang->interpreter : std::string();
}

PathResult<Walked> check_executable(const std::string& path, Trust trust) {
  auto walked = walk_trusted(path, trust == Trust::root ? Owners::root : Owners::root_or_caller, Contents::read);
  if (!walked) {
    const int number = walked.error().sys_errno;
    const bool absent = number == ENOENT || number == ENOTDIR;
    auto failure =
        refuse(absent ? DenialCode::binary_not_found : DenialCode::binary_untrusted, describe(walked.error()),
               trust == Trust::root ? "a path that only root can change" : "a path that only root or you can change");
    failure.value().sys_errno = number;
    return failure;
  }
  errno = 0;
  const std::string problem = file_problem(*walked);
  if (!problem.empty()) {
    auto failure = untrusted(path + ' ' + problem);
    failure.value().sys_errno = errno;  // of the call that could not say; 0: it is so
    return failure;
  }
  return *std::move(walked);
}

PathResult<Binary> identify_binary(const Command& command, std::string_view as_named,
                                   const std::vector<std::string>& exec) {
  const auto found = std::find_if(command.paths.begin(), command.paths.end(), [as_named](const std::string& path) {
    return as_named.empty() ? may_exist(path) : path == as_named;
  });
  if (found == command.paths.end()) {
    std::string all;
    for (const std::string& path : command.paths) all += (all.empty() ? "" : ", ") + path;
    return refuse(DenialCode::binary_not_found, "not installed: " + all, all);
  }
  auto checked = check_executable(*found, command.trust);
  if (!checked) return tl::unexpected(std::move(checked.error()));
  UniqueFd readable = take_contents(*checked);
  std::array<char, kShebangBytes> head{};
  const std::int64_t got = readable ? read_at(readable.get(), head.data(), head.size(), 0) : -1;
  if (got < 0) {
    const int number = errno;
    auto failure = untrusted(*found + " cannot be read: " + errno_text(number));
    failure.value().sys_errno = number;
    return failure;
  }
  if (!command.sha256.empty()) {
    const std::optional<std::string> digest = digest_of(readable.get());
    if (!digest || std::find(command.sha256.begin(), command.sha256.end(), *digest) == command.sha256.end()) {
      return refuse(DenialCode::binary_changed, *found + " is not one of the files that the policy pins by sha256",
                    "the pinned file");
    }
  }
  Binary binary;
  binary.path = *found;
  binary.trusted = command.trust == Trust::root;
  binary.fd = std::move(checked->fd);
  const std::string_view start(head.data(), static_cast<std::size_t>(got));
  if (start.substr(0, 2) == "#!") {
    auto added = add_interpreter(binary, start, command.trust, exec);
    if (!added) return tl::unexpected(std::move(added.error()));
    return binary;
  }
  if (start.substr(0, 4) != "\177ELF") return untrusted(*found + " is neither an ELF program nor a script that names its interpreter");
  binary.physical = std::move(checked->path);
  binary.links = std::move(checked->links);
  binary.readable = std::move(readable);
  return binary;
}

}  // namespace safe_exec
