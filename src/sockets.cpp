// Owns the search for Unix sockets in granted directories, beside those that the policy grants: no layer tells one from another, so
// that the others are covered. Never follows a link, and opens nothing but directories.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "beneath.h"
#include "resolve.h"
#include "walk.h"

namespace safe_exec {
namespace {

constexpr std::size_t kMaxMountinfo = std::size_t{4} << 20;

struct CloseDirectory {
  void operator()(DIR* directory) const { (void)::closedir(directory); }
};

// A field of proc_pid_mountinfo(5), in which space, tab, newline and backslash are written as \ooo.
std::string unescaped(std::string_view field) {
  std::string text;
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\\' && i + 3 < field.size()) {
      text += static_cast<char>((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 + (field[i + 3] - '0'));
      i += 3;
    } else {
      text += field[i];
    }
  }
  return text;
}

class SocketSearch {
 public:
  explicit SocketSearch(Plan& plan) : plan_(plan), budget_(plan.deny_walk) {
    for (const Grant& grant : plan.grants) {
      struct stat found {};
      const bool granted = std::ranges::find(plan.unix_sockets, grant.path) != plan.unix_sockets.end();
      if (granted && grant.fd && ::fstat(grant.fd.get(), &found) == 0) granted_.emplace(found.st_dev, found.st_ino);
    }
    for (const Covered::Match& match : plan.hidden) hidden_.insert(match.path);
    for (const Covered& covered : plan.covered) {
      for (const Covered::Match& match : covered.matches) hidden_.insert(match.path);
    }
  }

  // What a grant lets be reached by a name below it. A replaced file's directory is granted with it.
  void look(const Grant& grant) {
    const bool asked = grant.origin == Origin::operand || grant.origin == Origin::policy;
    if (!asked) return;
    if (grant.directory && grant.fd) look(grant, grant.fd.get(), grant.path);
    if (grant.access == PathAccess::replace && grant.parent) {
      look(grant, grant.parent.get(), grant.path.substr(0, std::max<std::size_t>(grant.path.rfind('/'), 1)));
    }
  }

  // A socket that is mounted over a file, as containers are given one, is a file to who lists its directory.
  void look_at_mounts() {
    const UniqueFd file(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
    const std::optional<std::string> text = file ? read_whole(file.get(), kMaxMountinfo) : std::nullopt;
    if (!text) return missed("/proc/self/mountinfo: " + errno_text(errno));
    for (std::string_view rest = *text; !rest.empty();) {
      std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(line.size() + 1, rest.size()));
      for (int field = 1; field < 5; ++field) line.remove_prefix(std::min(line.find(' '), line.size() - 1) + 1);
      const std::string place = unescaped(line.substr(0, line.find(' ')));
      struct stat found {};
      const auto above = std::ranges::find_if(in_reach_, [&](const std::string& path) { return is_within(place, path); });
      if (above == in_reach_.end() || ::lstat(place.c_str(), &found) != 0 || !S_ISSOCK(found.st_mode)) continue;
      granted_at_ = *above;
      meet(place, found);
    }
  }

  // Why there may be others in reach; empty: there are none.
  [[nodiscard]] std::string take_problem() {
    if (problem_.empty()) problem_ = budget_.problem();
    if (problem_.empty() && !unseen_.empty()) problem_ = "not looked for in " + unseen_;
    return std::move(problem_);
  }
  [[nodiscard]] bool anywhere() const { return !in_reach_.empty(); }

 private:
  void missed(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
  }

  void leave_out(const std::string& place) {
    if (unseen_.find(place) == std::string::npos) unseen_ += (unseen_.empty() ? "" : ", ") + place;
  }

  void cover(std::string path, bool directory) {
    if (!hidden_.insert(path).second) return;
    if (++covers_ > kMaxCovers) return missed("more than " + std::to_string(kMaxCovers) + " of them");
    if (plan_.held.size() < kMaxHeld) add_ways(granted_at_, path, plan_.held);
    plan_.hidden.push_back({std::move(path), directory});
  }

  void meet(const std::string& path, const struct stat& found) {
    if (!granted_.contains({found.st_dev, found.st_ino})) cover(path, false);
  }

  void look(const Grant& grant, int fd, const std::string& path) {
    in_reach_.push_back(path);
    if (grant.origin == Origin::policy && grant.access <= PathAccess::read) {  // as the walk around deny_paths does
      if (is_within(path, "/usr")) return;  // large, and what is there does not change (hier(7)): a socket is made where it may be written
      for (const std::string& place : plan_.deny_walk.leave_out) {
        if (place.front() == '/' && is_within(path, place)) return leave_out(place);
      }
    }
    if (std::ranges::any_of(walked_, [&](const std::string& above) { return walks_to(above, path); })) return;
    if (budget_.spent()) return;  // told; what is mounted is looked for all the same
    walked_.push_back(path);
    granted_at_ = path;
    UniqueFd readable = reopen(fd, O_RDONLY | O_DIRECTORY);
    if (!readable) return missed(path + ": " + errno_text(errno));
    walk(std::move(readable), path, 0);
  }

  [[nodiscard]] bool left_out(std::string_view name) const {
    return std::ranges::find(plan_.deny_walk.leave_out, name) != plan_.deny_walk.leave_out.end();
  }

  [[nodiscard]] bool walks_to(const std::string& above, const std::string& path) const {
    if (!is_within(path, above)) return false;
    const std::vector<std::string_view> names = components_of(std::string_view(path).substr(above.size()));
    return std::ranges::none_of(names, [this](std::string_view name) { return left_out(name); });
  }

  void walk(UniqueFd readable, const std::string& path, int depth) {
    const std::unique_ptr<DIR, CloseDirectory> directory(::fdopendir(readable.get()));
    if (!directory) return missed(path + ": " + errno_text(errno));
    const int fd = readable.release();  // fdopendir(3): the stream owns it now
    for (;;) {
      errno = 0;
      const dirent* const entry = ::readdir(directory.get());
      if (entry == nullptr) {
        if (errno != 0 && errno != ENOENT) missed(path + ": " + errno_text(errno));  // ENOENT: removed since it was opened
        return;
      }
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (!budget_.take_entry()) return;
      if (entry->d_type == DT_SOCK || entry->d_type == DT_UNKNOWN) {
        struct stat found {};
        const bool there = ::fstatat(fd, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0;
        if (there && S_ISSOCK(found.st_mode)) meet(child_path(path, name), found);
      }
      if (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) descend(fd, name, child_path(path, name), depth + 1);
    }
  }

  void descend(int fd, const std::string& name, const std::string& path, int depth) {
    if (hidden_.contains(path)) return;
    if (left_out(name)) return leave_out(name);
    if (path == "/proc") return;  // no part of what "/" grants
    if (too_deep(path, depth)) return cover(path, true);
    UniqueFd opened(::openat(fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (opened) return walk(std::move(opened), path, depth);
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return;  // gone, or no directory
    if (errno != EACCES) return missed(path + ": " + errno_text(errno));
    struct stat found {};
    // Of a directory of the caller's own that cannot be listed the command may have made it so.
    if (::fstatat(fd, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0 || found.st_uid == ::geteuid()) return cover(path, true);
    if (::faccessat(fd, name.c_str(), X_OK, AT_EACCESS) == 0) missed(path + " cannot be listed");
  }

  Plan& plan_;
  WalkBudget budget_;
  std::set<std::pair<dev_t, ino_t>> granted_;
  std::set<std::string> hidden_;  // what is covered already
  std::string granted_at_;        // the directory that is looked through
  std::vector<std::string> in_reach_, walked_;
  std::string problem_, unseen_;
  std::size_t covers_ = 0;
};

}  // namespace

void hide_other_sockets(Plan& plan) {
  if (plan.unix_sockets.empty()) return;
  SocketSearch search(plan);
  for (const Covered& covered : plan.covered) search.look(covered.grant);  // in these lie most of the others
  for (const Grant& grant : plan.grants) search.look(grant);
  if (search.anywhere()) search.look_at_mounts();
  plan.sockets_in_reach = search.take_problem();
}

}  // namespace safe_exec
