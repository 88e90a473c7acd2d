#include "confine/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "confine/failure.h"

namespace safe_exec::landlock {
namespace {

constexpr unsigned kVersionFlag = 1;  // LANDLOCK_CREATE_RULESET_VERSION
constexpr int kPathBeneath = 1;       // LANDLOCK_RULE_PATH_BENEATH
constexpr int kNetPort = 2;           // LANDLOCK_RULE_NET_PORT

// What each ABI added (landlock(7), and Documentation/userspace-api/landlock.rst for the kernel versions).
struct Added {
  int abi;
  std::uint64_t fs, net, scoped;
  const char* name;  // of what is not restricted without it
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
    if (error_ != 0 || fd < 0 || rights == 0) return;
    const PathRule rule{rights, fd};
    if (::syscall(SYS_landlock_add_rule, fd_, kPathBeneath, &rule, 0) < 0) error_ = errno;
  }
  void allow_port(std::int64_t port) {
    const PortRule rule{kConnectTcp, static_cast<std::uint64_t>(port)};
    if (error_ == 0 && ::syscall(SYS_landlock_add_rule, fd_, kNetPort, &rule, 0) < 0) error_ = errno;
  }
  [[nodiscard]] int error() const { return error_; }

 private:
  int fd_;
  std::uint64_t handled_;
  int error_ = 0;
};

Error failed(int error, const char* message) {
  return launch_error(ErrorCode::sandbox_unavailable, message, "landlock", error);
}

void add_grants(Builder& builder, const Plan& plan) {
  for (const Grant& grant : plan.grants) {
    builder.allow(grant.fd.get(), rights_of(grant));
    if (grant.access == PathAccess::replace) builder.allow(grant.parent.get(), kReplace);
  }
  const Binary& binary = plan.binary;
  builder.allow(binary.fd.get(), binary.script ? kReadFile : kReadFile | kExecute);
  if (binary.script) builder.allow(binary.interpreter_fd.get(), kReadFile | kExecute);
  if (plan.proc == Proc::all) {
    const UniqueFd proc(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    builder.allow(proc.get(), kReadTree);
  }
}

}  // namespace

Handled handled_by(int abi, const Network& network) noexcept {
  Handled handled;
  for (const Added& added : kAdded) {
    if (added.abi > abi) break;
    handled.fs |= added.fs;
    handled.net |= added.net;
    handled.scoped |= added.scoped;
  }
  if (network.kind == Network::Kind::host) handled.net = 0;
  return handled;
}

std::size_t attribute_size(int abi) noexcept { return abi < 4 ? 8 : abi < 6 ? 16 : 24; }  // larger is E2BIG

std::string missing_in(int abi) {
  std::string text;
  for (const Added& added : kAdded) {
    if (added.abi <= abi || added.abi == 2 || *added.name == '\0') continue;
    text += text.empty() ? "not restricted at this ABI: " : ", ";
    text += added.name;
  }
  return text;
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

Expected<Ruleset> make_ruleset(const Plan& plan) {
  Ruleset ruleset;
  ruleset.abi = abi_in_use();
  if (ruleset.abi == 0) {
    return tl::unexpected(failed(errno, errno == EOPNOTSUPP ? "Landlock is not enabled in this kernel's boot parameters"
                                                            : "this kernel offers no Landlock"));
  }
  const Handled handled = handled_by(ruleset.abi, plan.network);
  const long fd = ::syscall(SYS_landlock_create_ruleset, &handled, attribute_size(ruleset.abi), 0);
  if (fd < 0) return tl::unexpected(failed(errno, "a Landlock ruleset cannot be made"));
  ruleset.fd = UniqueFd(static_cast<int>(fd));
  Builder builder(ruleset.fd.get(), handled.fs);
  add_grants(builder, plan);
  if (plan.network.kind == Network::Kind::connect_tcp && handled.net != 0) {
    for (const std::int64_t port : plan.network.ports) builder.allow_port(port);
  }
  if (builder.error() != 0) return tl::unexpected(failed(builder.error(), "a Landlock rule cannot be added"));
  return ruleset;
}

}  // namespace safe_exec::landlock
