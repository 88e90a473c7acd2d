// Owns how policy files are found and read: regular files that the ownership walk accepts, read from the descriptor
// that was checked. Never reads anything from the working directory on its own and never opens a FIFO or a device.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <utility>

#include "beneath.h"
#include "trust.h"

namespace safe_exec {

namespace {

constexpr std::size_t kMaxCommandFiles = 20000;
constexpr std::string_view kSuffix = ".json";
constexpr const char* kEtcPolicy = "/etc/safe-exec/policy.json";

Error failed(ErrorCode code, std::string message, int number = 0, std::string hint = {}) {
  Error error;
  error.code = code;
  error.message = std::move(message);
  error.step = "policy";
  error.sys_errno = number;
  error.hint = std::move(hint);
  return error;
}

Error walk_error(const WalkFailure& failure, Owners owners) {
  if (failure.sys_errno != 0) return failed(ErrorCode::policy_invalid, describe(failure), failure.sys_errno);
  const std::string whose = owners == Owners::root ? "root" : "root or by the caller";
  return failed(ErrorCode::policy_untrusted, describe(failure), 0,
                "a policy and every directory above it must be owned by " + whose +
                    ", and be writable by their owner only");
}

std::string_view type_text(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISLNK(mode)) return "a symbolic link";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

// A file that was already checked for who may write it.
Expected<std::string> read_checked(Walked& file, const std::string& name) {
  if (!S_ISREG(file.status.st_mode)) {
    return tl::unexpected(failed(ErrorCode::policy_invalid,
                                 name + " is " + std::string(type_text(file.status.st_mode)) + ", not a regular file"));
  }
  const UniqueFd fd = take_contents(file);
  std::optional<std::string> text;
  if (fd) text = read_whole(fd.get(), json::kMaxBytes);
  if (text) return *std::move(text);
  const int number = errno;
  if (number == EFBIG) return tl::unexpected(failed(ErrorCode::policy_invalid, name + " is larger than 8 MiB", EFBIG));
  return tl::unexpected(failed(ErrorCode::policy_invalid, name + ": " + errno_text(number), number));
}

class RealPolicyFiles final : public PolicyFiles {
 public:
  explicit RealPolicyFiles(Owners owners) : owners_(owners) {}

  Expected<Found> find(std::string_view path) override {
    auto walked = walks_.walk(path, owners_);
    if (!walked) return tl::unexpected(walk_error(walked.error(), owners_));
    return Found{S_ISDIR(walked->status.st_mode), std::move(walked->path)};
  }

  Expected<std::string> read(std::string_view path) override {
    auto walked = walks_.walk(path, owners_, Contents::read);
    if (!walked) return tl::unexpected(walk_error(walked.error(), owners_));
    return read_checked(*walked, std::string(path));
  }

  Expected<std::optional<std::string>> read_command(std::string_view directory, std::string_view name) override {
    if (name.empty() || name.find_first_of(std::string_view("/\0", 2)) != std::string_view::npos) return std::nullopt;
    const std::string commands = child_path(directory, "commands");
    const auto above = commands_directory(directory);
    if (!above) return tl::unexpected(above.error());
    if (!*above) return std::nullopt;
    std::string leaf(name);
    leaf += kSuffix;
    auto file = beneath(above->get(), leaf, child_path(commands, leaf));
    if (!file) return tl::unexpected(file.error());
    if (!file->fd) return std::nullopt;
    auto text = read_checked(*file, child_path(commands, leaf));
    if (!text) return tl::unexpected(std::move(text.error()));
    return *std::move(text);
  }

  Expected<std::vector<std::string>> list_commands(std::string_view directory) override {
    std::vector<std::string> names;
    const auto above = commands_directory(directory);
    if (!above) return tl::unexpected(above.error());
    if (!*above) return names;
    const std::string commands = child_path(directory, "commands");
    UniqueFd fd = reopen(above->get(), O_RDONLY | O_DIRECTORY);
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(fd ? ::fdopendir(fd.get()) : nullptr, &::closedir);
    if (!stream) return tl::unexpected(failed(ErrorCode::policy_invalid, commands + ": " + errno_text(errno), errno));
    (void)fd.release();  // fdopendir(3): the stream owns it now
    errno = 0;
    while (const dirent* const entry = ::readdir(stream.get())) {
      const std::string_view name = entry->d_name;
      if (name.size() <= kSuffix.size() || name.substr(name.size() - kSuffix.size()) != kSuffix) continue;
      if (names.size() == kMaxCommandFiles) {
        return tl::unexpected(failed(ErrorCode::policy_invalid, commands + " holds more than " +
                                                                    std::to_string(kMaxCommandFiles) + " commands"));
      }
      names.emplace_back(name.substr(0, name.size() - kSuffix.size()));
      errno = 0;
    }
    if (errno != 0) return tl::unexpected(failed(ErrorCode::policy_invalid, commands + ": " + errno_text(errno), errno));
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  // O_PATH on directory/commands; empty when there is none.
  Expected<UniqueFd> commands_directory(std::string_view directory) {
    struct stat status {};  // whose directory may be one that others add to, as /tmp
    if (::lstat(child_path(directory, "commands").c_str(), &status) != 0 && errno == ENOENT) return UniqueFd();
    const auto walked = walks_.walk(directory, owners_);
    if (!walked) return tl::unexpected(walk_error(walked.error(), owners_));
    auto commands = beneath(walked->fd.get(), "commands", child_path(directory, "commands"));
    if (!commands) return tl::unexpected(std::move(commands.error()));
    if (commands->fd && !S_ISDIR(commands->status.st_mode)) {
      return tl::unexpected(failed(ErrorCode::policy_invalid, child_path(directory, "commands") + " is not a directory",
                                   ENOTDIR));
    }
    return std::move(commands->fd);
  }

  // One component beneath a checked directory, under the walk's rule but without links; empty when there is none.
  Expected<Walked> beneath(int directory, const std::string& component, const std::string& name) const {
    Walked found;
    found.fd = UniqueFd(::openat(directory, component.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!found.fd && errno == ENOENT) return found;
    if (!found.fd || ::fstat(found.fd.get(), &found.status) != 0) {
      return tl::unexpected(failed(ErrorCode::policy_invalid, name + ": " + errno_text(errno), errno));
    }
    if (S_ISLNK(found.status.st_mode)) return tl::unexpected(failed(ErrorCode::policy_untrusted, name + " is a symbolic link", ELOOP));
    const std::string problem = trust_problem(found.status, owners_);
    if (!problem.empty()) return tl::unexpected(walk_error({0, name, problem}, owners_));
    if (S_ISREG(found.status.st_mode)) found.contents = open_same(directory, component.c_str(), found.status);
    return found;
  }

  Owners owners_;
  TrustedWalks walks_;  // one policy's files share their directories
};

// The value of an environment variable when it is an absolute path, with suffix; else empty.
std::string from_environment(const char* name, std::string_view suffix) {
  const char* const value = std::getenv(name);
  if (value == nullptr || value[0] != '/') return {};
  return std::string(value) + std::string(suffix);
}

}  // namespace

std::unique_ptr<PolicyFiles> make_policy_files(Owners owners) {
  return std::make_unique<RealPolicyFiles>(owners);
}

Expected<PolicyPlace> find_policy(std::string_view option, bool requester_facing) {
  if (!option.empty()) {
    if (option.front() == '/') return PolicyPlace{std::string(option), {}};
    const std::string path = open_here().path;
    if (path.empty()) return tl::unexpected(failed(ErrorCode::policy_invalid, "the working directory has no name", ENOENT));
    return PolicyPlace{child_path(path, option), {}};
  }
  if (std::string named = from_environment("SAFE_EXEC_POLICY", ""); !requester_facing && !named.empty()) return PolicyPlace{std::move(named), {}};
  std::vector<std::string> places;
  places.push_back(from_environment("CREDENTIALS_DIRECTORY", "/safe-exec.policy"));
  if (!requester_facing) {
    std::string user = from_environment("XDG_CONFIG_HOME", "/safe-exec/policy.json");
    if (user.empty()) {
      const std::string home = passwd_home();
      if (!home.empty()) user = home + "/.config/safe-exec/policy.json";
    }
    places.push_back(std::move(user));
  }
  places.emplace_back(kEtcPolicy);
  std::erase(places, "");
  std::string looked;
  for (auto place = places.begin(); place != places.end(); ++place) {
    if (may_exist(*place)) return PolicyPlace{*place, {places.begin(), place}};
    looked += (looked.empty() ? "" : ", ") + *place;
  }
  return tl::unexpected(failed(ErrorCode::policy_invalid, "there is no policy; looked for " + looked, ENOENT,
                               "name one with --policy FILE; nothing is taken from the working directory by itself"));
}

}  // namespace safe_exec
