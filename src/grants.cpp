// Owns the grants around deny_paths. Never follows a link while it walks, and never grants a directory that it has
// not seen to the end.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "beneath.h"
#include "pattern.h"
#include "resolve.h"

namespace safe_exec {

namespace {

constexpr int kMaxDepth = 200;                // each level holds a descriptor
constexpr std::size_t kMaxAround = 8192;      // grants made instead of directories
constexpr std::int64_t kEntriesPerClock = 64;

using Globs = std::vector<const std::string*>;

struct Child {
  std::string name;
  unsigned char type = DT_UNKNOWN;
  bool granted = true;       // as a whole, when the directory has to be split
  struct stat status {};     // directories that were walked
};

class DenyWalker {
 public:
  explicit DenyWalker(const Plan& plan)
      : plan_(plan), deadline_(std::chrono::steady_clock::now() + std::chrono::milliseconds(plan.deny_walk.ms)) {
    for (const std::string& glob : plan.deny_globs) globs_.push_back(&glob);
  }

  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] std::vector<Grant> take() { return std::move(around_); }
  [[nodiscard]] bool denies(const std::string& path) const { return matches(globs_, path); }

  enum class Seen : std::uint8_t { clean, split, closed, failed };  // closed: cannot be listed, but be gone through

  // Looks below a granted directory; when something below it is denied, grants around that are put in around_.
  [[nodiscard]] Seen look(const Grant& grant, int fd, const std::string& path) {
    grant_ = &grant;
    base_ = path.size();
    return visit(fd, path, relevant(globs_, path), 0);
  }

 private:
  static bool matches(const Globs& globs, const std::string& path) {
    return std::any_of(globs.begin(), globs.end(), [&path](const std::string* g) { return glob_matches(*g, path); });
  }

  static Globs relevant(const Globs& globs, const std::string& directory) {
    Globs left;
    std::copy_if(globs.begin(), globs.end(), std::back_inserter(left),
                 [&directory](const std::string* glob) { return glob_may_match_below(*glob, directory); });
    return left;
  }

  Seen fail(std::string problem) {
    problem_ = std::move(problem);
    return Seen::failed;
  }

  bool counted() {
    if (++entries_ > plan_.deny_walk.entries) {
      problem_ = "more than " + std::to_string(plan_.deny_walk.entries) + " entries below the granted directories";
    } else if (entries_ % kEntriesPerClock == 0 && std::chrono::steady_clock::now() > deadline_) {
      problem_ = "the walk took more than " + std::to_string(plan_.deny_walk.ms) + " ms";
    }
    return problem_.empty();
  }

  Seen list(int fd, const std::string& path, std::vector<Child>& children) {
    UniqueFd readable = reopen(fd, O_RDONLY | O_DIRECTORY);
    if (!readable && errno == EACCES) {
      // Nobody with our rights can reach below it when it cannot be searched either, unless its owner changes that.
      struct stat status {};
      const bool ours = ::fstat(fd, &status) != 0 || status.st_uid == ::geteuid();
      const bool searched = ::access(("/proc/self/fd/" + std::to_string(fd)).c_str(), X_OK) == 0;
      return ours || searched ? Seen::closed : Seen::clean;
    }
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(readable ? ::fdopendir(readable.get()) : nullptr, &::closedir);
    if (!stream) return fail(path + ": " + errno_text(errno));
    (void)readable.release();  // fdopendir(3): the stream owns it now
    errno = 0;
    while (const dirent* const entry = ::readdir(stream.get())) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (!counted()) return Seen::failed;
      children.push_back({std::string(name), entry->d_type, true, {}});
      errno = 0;
    }
    if (errno != 0) return fail(path + ": " + errno_text(errno));
    return Seen::split;
  }

  Seen visit(int fd, const std::string& path, const Globs& globs, int depth) {
    if (globs.empty()) return Seen::clean;
    if (depth > kMaxDepth) return fail("directories are nested too deeply below " + path);
    std::vector<Child> children;
    if (const Seen seen = list(fd, path, children); seen != Seen::split) return seen;
    bool clean = true;
    for (Child& child : children) {
      const std::string name = child_path(path, child.name);
      if (matches(globs, name)) {
        child.granted = false;
      } else if (child.type == DT_DIR || child.type == DT_UNKNOWN) {
        const Seen below = visit_child(fd, child, name, globs, depth);
        if (below == Seen::failed) return below;
        child.granted = below == Seen::clean;
      }
      clean = clean && child.granted;
    }
    return clean ? Seen::clean : split(fd, path, children);
  }

  Seen visit_child(int fd, Child& child, const std::string& path, const Globs& globs, int depth) {
    const UniqueFd opened(::openat(fd, child.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!opened || ::fstat(opened.get(), &child.status) != 0) {
      if (errno == ENOENT) return Seen::clean;  // gone since it was listed
      if (errno == EACCES) return Seen::closed;
      return fail(path + ": " + errno_text(errno));
    }
    if (!S_ISDIR(child.status.st_mode)) return Seen::clean;
    const std::vector<std::string>& left_out = plan_.deny_walk.leave_out;
    if (std::find(left_out.begin(), left_out.end(), child.name) != left_out.end()) return Seen::clean;
    return visit(opened.get(), path, relevant(globs, path), depth + 1);
  }

  // path itself gets its names only; what is clean in it is granted one by one.
  Seen split(int fd, const std::string& path, const std::vector<Child>& children) {
    Grant names = like(path);
    names.fd = UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (!names.fd) return fail(path + ": " + errno_text(errno));
    names.directory = true;
    names.executable = false;
    names.access = PathAccess::stat;
    if (path.size() == base_) names.links = grant_->links;
    for (const Child& child : children) {
      if (!child.granted) continue;
      const Seen granted = grant_child(fd, path, child, names);
      if (granted == Seen::failed) return granted;
    }
    around_.push_back(std::move(names));
    return Seen::split;
  }

  Seen grant_child(int fd, const std::string& path, const Child& child, Grant& names) {
    const std::string name = child_path(path, child.name);
    Grant grant = like(name);
    grant.fd = UniqueFd(::openat(fd, child.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat status {};
    if (!grant.fd || ::fstat(grant.fd.get(), &status) != 0) {
      return errno == ENOENT || errno == EACCES ? Seen::clean : fail(name + ": " + errno_text(errno));
    }
    if (S_ISLNK(status.st_mode)) {
      std::string text(static_cast<std::size_t>(status.st_size) + 1, '\0');
      const ssize_t size = ::readlinkat(grant.fd.get(), "", text.data(), text.size());
      if (size > 0 && static_cast<std::size_t>(size) < text.size()) {
        text.resize(static_cast<std::size_t>(size));
        names.links.push_back({name, std::move(text)});
      }
      return Seen::clean;
    }
    // Another directory than the one that was walked may hold anything.
    grant.directory = S_ISDIR(status.st_mode);
    if (grant.directory && !same_inode(status, child.status)) return Seen::clean;
    if (!grant.directory && !S_ISREG(status.st_mode)) return Seen::clean;
    if (around_.size() == kMaxAround) return fail("more than " + std::to_string(kMaxAround) + " grants around matches");
    around_.push_back(std::move(grant));
    return Seen::clean;
  }

  // A grant with the rights of the one that is replaced, for path at or below it.
  Grant like(const std::string& path) const {
    Grant grant;
    grant.path = path;
    if (!grant_->given.empty()) grant.given = grant_->given + path.substr(std::min(base_, path.size()));
    grant.executable = grant_->executable;
    grant.access = grant_->access;
    grant.origin = grant_->origin;
    return grant;
  }

  const Plan& plan_;
  std::chrono::steady_clock::time_point deadline_;
  Globs globs_;
  std::int64_t entries_ = 0;
  std::string problem_;
  std::vector<Grant> around_;
  const Grant* grant_ = nullptr;
  std::size_t base_ = 0;  // size of the path that look() was given
};

bool is_concerned(const Grant& grant) {
  return grant.exists && !grant.stat_only && (grant.origin == Origin::operand || grant.origin == Origin::policy);
}

// One grant, or what replaces it. False: the walk did not finish.
bool around(DenyWalker& walker, Grant& grant, std::vector<Grant>& result, std::string& problem) {
  if (!is_concerned(grant)) {
    result.push_back(std::move(grant));
    return true;
  }
  if (walker.denies(grant.path)) return true;  // sandbox.read and the like: what is denied is denied
  DenyWalker::Seen seen = DenyWalker::Seen::clean;
  if (grant.directory) {
    seen = walker.look(grant, grant.fd.get(), grant.path);
  } else if (grant.parent && grant.access == PathAccess::replace) {
    // The right to rename over a file is a right to its whole directory; there is no way around a match in it.
    const std::size_t slash = grant.path.rfind('/');
    seen = walker.look(grant, grant.parent.get(), slash == 0 ? "/" : grant.path.substr(0, slash));
    if (seen == DenyWalker::Seen::split || seen == DenyWalker::Seen::closed) {
      problem = grant.path + " cannot be replaced: paths that are denied lie beside it";
      return false;
    }
  }
  std::vector<Grant> made = walker.take();
  switch (seen) {
    case DenyWalker::Seen::clean: result.push_back(std::move(grant)); return true;
    case DenyWalker::Seen::split:
      // Parents first: a minimal root is built in this order.
      std::sort(made.begin(), made.end(), [](const Grant& a, const Grant& b) { return a.path < b.path; });
      std::move(made.begin(), made.end(), std::back_inserter(result));
      return true;
    case DenyWalker::Seen::closed: problem = grant.path + " cannot be listed"; return false;
    case DenyWalker::Seen::failed: problem = walker.problem(); return false;
  }
  return false;
}

}  // namespace

Expected<LayerStatus> grant_around_denied(Plan& plan) {
  const auto asked = plan.layers.find(Layer::deny_paths);
  const Requirement wanted = asked != plan.layers.end() ? asked->second : default_requirement(Layer::deny_paths);
  if (wanted == Requirement::off) return LayerStatus{Layer::deny_paths, LayerState::off, {}, 0};
  if (plan.deny_globs.empty()) return LayerStatus{Layer::deny_paths, LayerState::enforced, {}, 0};
  DenyWalker walker(plan);
  std::vector<Grant> kept = std::move(plan.grants);
  plan.grants.clear();
  std::string problem;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (around(walker, kept[i], plan.grants, problem)) continue;
    if (wanted == Requirement::require) {
      Error error;
      error.code = ErrorCode::sandbox_unavailable;
      error.message = "deny_paths cannot be enforced: " + problem;
      error.step = "deny_paths";
      error.hint = "raise deny_walk, leave directories out of it, or grant less";
      return tl::unexpected(std::move(error));
    }
    std::move(kept.begin() + static_cast<std::ptrdiff_t>(i), kept.end(), std::back_inserter(plan.grants));
    return LayerStatus{Layer::deny_paths, LayerState::not_enforced, std::move(problem), 0};
  }
  return LayerStatus{Layer::deny_paths, LayerState::enforced, {}, 0};
}

}  // namespace safe_exec
