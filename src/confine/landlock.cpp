#include "confine/landlock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "confine/failure.h"
#include "inline_text.h"
#include "pattern.h"

namespace safe_exec::landlock {
namespace {

constexpr unsigned kVersionFlag = 1;  // LANDLOCK_CREATE_RULESET_VERSION
constexpr unsigned kErrataFlag = 2;   // LANDLOCK_CREATE_RULESET_ERRATA
constexpr int kPathBeneath = 1;       // LANDLOCK_RULE_PATH_BENEATH
constexpr int kNetPort = 2;           // LANDLOCK_RULE_NET_PORT

// What each ABI added (landlock(7), and Documentation/userspace-api/landlock.rst for the kernel versions).
struct Added {
  int abi;
  std::uint64_t fs, net, scoped;
  InlineText<39> name;  // of what is not restricted without it
};
constexpr Added kAdded[] = {
    {1, (1U << 13) - 1, 0, 0, "files"},                                      // 5.13
    {2, kRefer, 0, 0, "rename across directories"},                          // 5.19; without it always refused
    {3, kTruncate, 0, 0, "truncation"},                                      // 6.2
    {4, 0, kBindTcp | kConnectTcp, 0, "TCP ports"},                          // 6.7
    {5, kIoctlDev, 0, 0, "device ioctls"},                                   // 6.10
    {6, 0, 0, kAbstractUnix | kSignal, "signals and abstract Unix sockets"}, // 6.12
    {7, 0, 0, 0, ""},                                                        // 6.15: audit flags only
};

constexpr std::uint64_t kFileRights = kExecute | kWriteFile | kReadFile | kTruncate | kIoctlDev;

#pragma pack(push, 1)
struct PathRule {  // struct landlock_path_beneath_attr is packed
  std::uint64_t allowed;
  std::int32_t fd;
};
#pragma pack(pop)
struct PortRule {
  std::uint64_t allowed, port;
};

class Builder {
 public:
  Builder(int fd, std::uint64_t handled) : fd_(fd), handled_(handled) {}

  void allow(int fd, std::uint64_t rights) {
    rights &= handled_;
    granted_ |= rights;
    if (error_ != 0 || fd < 0 || rights == 0) return;
    const PathRule rule{rights, fd};
    if (::syscall(SYS_landlock_add_rule, fd_, kPathBeneath, &rule, 0) < 0) error_ = errno;
  }
  [[nodiscard]] std::uint64_t granted() const { return granted_; }
  void allow_port(std::int64_t port) {
    const PortRule rule{kConnectTcp, static_cast<std::uint64_t>(port)};
    if (error_ == 0 && ::syscall(SYS_landlock_add_rule, fd_, kNetPort, &rule, 0) < 0) error_ = errno;
  }
  [[nodiscard]] int error() const { return error_; }

 private:
  int fd_;
  std::uint64_t handled_, granted_ = 0;
  int error_ = 0;
};

Error failed(int error, const char* message) {
  return launch_error(ErrorCode::sandbox_unavailable, message, "landlock", error);
}

bool holds_read_only(const Plan& plan, const std::string& directory) {
  return std::ranges::any_of(plan.read_only, [&](const ReadOnlyPath& kept) { return is_within(kept.path, directory); });
}

// The write rights of a directory, given to what lies in it beside the read-only paths.
class Around {
 public:
  Around(Builder& builder, const Plan& plan, std::vector<std::string>& fixed) : builder_(builder), plan_(plan), fixed_(fixed) {}

  // 0, or errno.
  int give(int directory, const std::string& path, std::uint64_t rights) {
    builder_.allow(directory, rights & (kReadTree | kExecute));
    const int fd = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const std::unique_ptr<DIR, int (*)(DIR*)> opened(fd < 0 ? nullptr : ::fdopendir(fd), &::closedir);
    if (!opened) return errno;
    fixed_.push_back(path);
    for (;;) {
      errno = 0;
      const dirent* const entry = ::readdir(opened.get());
      if (entry == nullptr) return errno;
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (++given_ > kMaxAround) return E2BIG;
      if (const int error = give_child(fd, entry->d_name, (path == "/" ? "/" : path + "/") + entry->d_name, rights); error != 0) return error;
    }
  }

 private:
  static constexpr int kMaxAround = 8192;

  int give_child(int directory, const char* name, const std::string& path, std::uint64_t rights) {
    const UniqueFd child(::openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat status {};
    if (!child || ::fstat(child.get(), &status) < 0) return errno == ENOENT ? 0 : errno;
    if (S_ISLNK(status.st_mode) || is_kept(path, status)) return 0;
    if (!S_ISDIR(status.st_mode)) builder_.allow(child.get(), rights & kFileRights);
    else if (holds_read_only(plan_, path)) return give(child.get(), path, rights);
    else builder_.allow(child.get(), rights);
    return 0;
  }

  // By name, and by inode: it may have been renamed since, or have two names.
  bool is_kept(const std::string& path, const struct stat& status) const {
    return std::ranges::any_of(plan_.read_only, [&](const ReadOnlyPath& kept) {
      struct stat found {};
      if (kept.path == path) return true;
      return kept.fd && ::fstat(kept.fd.get(), &found) == 0 && found.st_ino == status.st_ino && found.st_dev == status.st_dev;
    });
  }

  Builder& builder_;
  const Plan& plan_;
  std::vector<std::string>& fixed_;
  int given_ = 0;
};

// 0, or errno.
int add_grant(Builder& builder, const Plan& plan, const Grant& grant, Around* around) {
  const std::uint64_t rights = rights_of(grant);
  if (grant.access <= PathAccess::read || grant.origin == Origin::device) {
    builder.allow(grant.fd.get(), rights);
    return 0;
  }
  const bool kept = is_read_only(plan, grant.path);
  const bool holds = around != nullptr && holds_read_only(plan, grant.path);
  if (kept) builder.allow(grant.fd.get(), rights & (kReadTree | kExecute));
  else if (!holds || !grant.directory || !grant.fd) builder.allow(grant.fd.get(), rights);
  else if (const int error = around->give(grant.fd.get(), grant.path, rights); error != 0) return error;
  if (grant.access != PathAccess::replace || !grant.parent) return 0;
  // Renaming over a file is a right to its whole directory.
  const std::string parent = grant.path.substr(0, std::max<std::size_t>(grant.path.rfind('/'), 1));
  if (is_read_only(plan, parent) || (around != nullptr && holds_read_only(plan, parent))) return EROFS;
  builder.allow(grant.parent.get(), kReplace);
  return 0;
}

struct Ways {
  bool around, covered;
};

// 0, or errno.
int add_grants(Builder& builder, const Plan& plan, Ways ways, std::vector<std::string>& fixed) {
  Around giver(builder, plan, fixed);
  Around* const around = ways.around ? &giver : nullptr;
  for (const Grant& grant : plan.grants) {
    if (const int error = add_grant(builder, plan, grant, around); error != 0) return error;
  }
  for (const Covered& covered : plan.covered) {
    if (!ways.covered) break;
    if (covered.grant.access <= PathAccess::read) continue;  // around it, and covered for where somebody moves it
    if (const int error = add_grant(builder, plan, covered.grant, around); error != 0) return error;
  }
  const Binary& binary = plan.binary;
  builder.allow(binary.fd.get(), binary.script ? kReadFile : kReadFile | kExecute);
  if (binary.script) builder.allow(binary.interpreter_fd.get(), kReadFile | kExecute);
  if (plan.proc == Proc::all) {
    const UniqueFd proc(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    builder.allow(proc.get(), kReadTree);
  }
  return 0;
}

}  // namespace

bool is_read_only(const Plan& plan, std::string_view path) noexcept {
  return std::ranges::any_of(plan.read_only, [&](const ReadOnlyPath& kept) { return is_within(path, kept.path); });
}

Handled handled_by(int abi, Network::Kind network) noexcept {
  Handled handled;
  for (const Added& added : kAdded) {
    if (added.abi > abi) break;
    handled.fs |= added.fs;
    handled.net |= added.net;
    handled.scoped |= added.scoped;
  }
  if (network == Network::Kind::host || network == Network::Kind::loopback) handled.net = 0;
  return handled;
}

std::size_t attribute_size(int abi) noexcept { return abi < 4 ? 8 : abi < 6 ? 16 : 24; }  // larger is E2BIG

std::string missing_in(int abi) {
  std::string text;
  for (const Added& added : kAdded) {
    if (added.abi <= abi || added.abi == 2 || added.name.empty()) continue;
    text += text.empty() ? "not restricted at this ABI: " : ", ";
    text += added.name;
  }
  return text;
}

// Errata 1 and 2 refuse more than they should (sockets beside TCP, signals between threads); 3 refuses less.
std::string unfixed_in(std::uint64_t granted, std::uint32_t fixed) {
  constexpr std::uint32_t kDisconnected = 1U << 2;
  if ((granted & kRefer) == 0 || (fixed & kDisconnected) != 0) return {};
  return "erratum 3 is not fixed: files can be renamed into a directory that somebody outside moves out of its mount";
}

std::uint64_t rights_of(const Grant& grant) noexcept {
  if (grant.stat_only || !grant.exists) return 0;
  std::uint64_t rights = grant.executable ? std::uint64_t{kExecute} : 0;
  if (grant.origin == Origin::device) return kReadFile | kWriteFile;
  switch (grant.access) {
    case PathAccess::stat: rights |= grant.directory ? std::uint64_t{kReadDir} : 0; break;
    case PathAccess::read: rights |= grant.directory ? kReadTree : std::uint64_t{kReadFile}; break;
    case PathAccess::write:
    case PathAccess::create:
    case PathAccess::replace: rights |= grant.directory ? kWriteTree : kReadFile | kWriteFile | kTruncate; break;
  }
  return grant.directory ? rights : rights & kFileRights;  // a directory's right on a file is EINVAL
}

int abi_in_use() noexcept {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kVersionFlag);
  return version < 0 ? 0 : static_cast<int>(std::min<long>(version, kNewestTested));
}

std::uint32_t errata_fixed() noexcept {
  const long fixed = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kErrataFlag);
  return fixed < 0 ? 0 : static_cast<std::uint32_t>(fixed);
}

std::optional<Error> missing() {
  if (abi_in_use() > 0) return std::nullopt;
  if (errno == EOPNOTSUPP) return failed(errno, "Landlock is not enabled in this kernel's boot parameters");
  return failed(errno, errno == ENOSYS ? "this kernel offers no Landlock, or an outer filter hides it" : "Landlock's system calls are refused");
}

Expected<Ruleset> make_ruleset(const Plan& plan, Network::Kind network, bool around, bool covered) {
  Ruleset ruleset;
  if (auto error = missing()) return tl::unexpected(std::move(*error));
  ruleset.abi = abi_in_use();
  const Handled handled = handled_by(ruleset.abi, network);
  const long fd = ::syscall(SYS_landlock_create_ruleset, &handled, attribute_size(ruleset.abi), 0);
  if (fd < 0) return tl::unexpected(failed(errno, "a Landlock ruleset cannot be made"));
  ruleset.fd = UniqueFd(static_cast<int>(fd));
  Builder builder(ruleset.fd.get(), handled.fs);
  if (const int error = add_grants(builder, plan, {around, covered}, ruleset.fixed); error != 0) {
    Error unkept = launch_error(ErrorCode::sandbox_unavailable, "what may be written cannot be granted around sandbox.read_only", "read_only", error);
    unkept.hint = error == EROFS ? "a file beside what is read_only is replaced only where there is a mount namespace: write it in place, or allow namespaces here"
                                 : "allow mount namespaces here, or keep less";
    return tl::unexpected(std::move(unkept));
  }
  if (network == Network::Kind::connect_tcp && handled.net != 0) {
    for (const std::int64_t port : plan.network.ports) builder.allow_port(port);
  }
  if (builder.error() != 0) return tl::unexpected(failed(builder.error(), "a Landlock rule cannot be added"));
  if ((builder.granted() & kRefer) != 0) ruleset.unfixed = unfixed_in(builder.granted(), errata_fixed());
  return ruleset;
}

}  // namespace safe_exec::landlock
