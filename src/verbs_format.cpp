// Owns policy fmt: which files it looks at, and how one is replaced. A file changes only with --write, and then whole.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>

#define JSON_NO_IO 1
#include <nlohmann/json.hpp>

#include "beneath.h"
#include "format.h"
#include "input.h"
#include "output.h"
#include "verbs.h"

namespace safe_exec {
namespace {

using Json = nlohmann::ordered_json;

Error failed(const std::string& file, int number) {
  Error error;
  error.code = ErrorCode::usage;
  error.step = "format";
  error.sys_errno = number;
  error.message = file + ": " + errno_text(number);
  return error;
}

// The file itself, or of a directory its policy.json and commands/NAME.json.
Expected<std::vector<std::string>> files_of(const std::string& name) {
  struct stat status{};
  if (name == "-" || ::stat(name.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return std::vector<std::string>{name};
  std::vector<std::string> files{name + "/policy.json"};
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir((name + "/commands").c_str()), &::closedir);
  if (!stream && errno != ENOENT) return tl::make_unexpected(failed(name + "/commands", errno));
  while (const dirent* const entry = stream ? ::readdir(stream.get()) : nullptr) {
    const std::string_view leaf = entry->d_name;
    if (leaf.ends_with(".json")) files.push_back(name + "/commands/" + std::string(leaf));
  }
  std::sort(files.begin() + 1, files.end());
  return files;
}

// A new file beside it takes its place, so that there is the old text or the new one and nothing between.
Expected<void> replace(const std::string& name, const std::string& text) {
  const std::unique_ptr<char, void (*)(void*)> target(::realpath(name.c_str(), nullptr), &std::free);
  struct stat status{};
  if (!target || ::stat(target.get(), &status) != 0) return tl::make_unexpected(failed(name, errno));
  if (!S_ISREG(status.st_mode)) return tl::make_unexpected(failed(name, EINVAL));
  std::string temporary = std::string(target.get()) + ".XXXXXX";
  const UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return tl::make_unexpected(failed(temporary, errno));
  const bool written = write_all(fd.get(), text) &&
                       (::fchown(fd.get(), status.st_uid, status.st_gid) == 0 || ::geteuid() == status.st_uid) &&
                       ::fchmod(fd.get(), status.st_mode & 07777U) == 0 && ::fsync(fd.get()) == 0 &&
                       ::rename(temporary.c_str(), target.get()) == 0;
  if (written) return {};
  const int number = errno;
  (void)::unlink(temporary.c_str());
  return tl::make_unexpected(failed(name, number));
}

}  // namespace

int policy_fmt_verb(const Invocation& in) {
  std::vector<std::string> files;
  for (const std::string& name : in.files) {
    auto found = files_of(name);
    if (!found) return fail(in, found.error());
    files.insert(files.end(), found->begin(), found->end());
  }
  std::string text;
  Json changed = Json::array();
  for (const std::string& file : files) {
    auto before = read_input(file, ErrorCode::usage, "policy");
    if (!before) return fail(in, before.error());
    const auto after = format_json(file, *before);
    if (!after) return fail(in, after.error());
    if (!in.check && !in.write) {
      text += *after;
      continue;
    }
    if (*after == *before) continue;
    changed.push_back(file);
    text += file + "\n";
    if (!in.write) continue;
    if (auto done = replace(file, *after); !done) return fail(in, done.error());
  }
  const int status = in.check && !changed.empty() ? 1 : 0;
  if (in.output == Output::json) {
    const Json json{{"schema", "safe-exec/policy-fmt/v1"}, {"files", files.size()}, {"changed", std::move(changed)}};
    text = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return write_answer(text) ? status : 2;
}

}  // namespace safe_exec
