// Owns the grants around deny_paths. Never follows a link while it walks, and never grants a directory that it has
// not seen to the end.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "beneath.h"
#include "pattern.h"
#include "resolve.h"
#include "walk.h"

namespace safe_exec {

namespace {

constexpr std::size_t kMaxAround = 8192;  // grants made instead of directories

// A glob, and what the last component of a path must look like before the whole is worth comparing: below a directory
// that does not match, only a name that its last component (before a final "**") fits can be the first to match.
struct Glob {
  const std::string* text;
  std::string prefix, suffix;   // lower case
  bool everywhere;              // not anchored: may match below any directory
};
using Globs = std::vector<const Glob*>;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

Glob prepare(const std::string& text) {
  Glob glob{&text, {}, {}, text.empty() || text.front() != '/' || text.compare(0, 3, "/**") == 0};
  std::vector<std::string_view> parts = components_of(text);
  while (!parts.empty() && parts.back() == "**") parts.pop_back();
  if (parts.empty()) return glob;
  std::string last(parts.back());
  std::transform(last.begin(), last.end(), last.begin(), &lower);
  const std::size_t first_wild = last.find_first_of("*?");
  glob.prefix = last.substr(0, first_wild);
  glob.suffix = last.substr(first_wild == std::string::npos ? 0 : last.find_last_of("*?") + 1);
  return glob;
}

bool may_be(const Glob& glob, std::string_view name) {
  if (name.size() < glob.prefix.size() || name.size() < glob.suffix.size()) return false;
  const auto same = [](char expected, char found) { return expected == lower(found); };
  return std::equal(glob.prefix.begin(), glob.prefix.end(), name.begin(), same) &&
         std::equal(glob.suffix.begin(), glob.suffix.end(),
                    name.end() - static_cast<std::ptrdiff_t>(glob.suffix.size()), same);
}

struct Child {
  std::string name;
  unsigned char type = DT_UNKNOWN;
  bool granted = true;       // as a whole, when the directory has to be split
  struct stat status {};     // directories that were walked
};

class DenyWalker {
 public:
  explicit DenyWalker(const Plan& plan) : plan_(plan), budget_(plan.deny_walk) {
    for (const std::string& glob : plan.deny_globs) prepared_.push_back(prepare(glob));
    for (const Glob& glob : prepared_) globs_.push_back(&glob);
    for (const std::string& place : plan.deny_walk.leave_out) {
      if (place.front() == '/' && !holds_data(place)) places_.push_back(place);
    }
  }

  [[nodiscard]] const std::string& problem() const { return budget_.spent() ? budget_.problem() : problem_; }
  // Where the command itself may have made it so, it must not gain by it. Empty: not so; else what can be done.
  [[nodiscard]] std::string_view refused() const {
    return refused_ ? "let its owner list it (chmod u+r)" : crowded_ ? "remove some, or grant less" : std::string_view();
  }
  // Where nothing was looked for, for people.
  [[nodiscard]] std::string unseen() const {
    std::string text;
    for (const std::string& place : unseen_) text += (text.empty() ? "not looked for in " : ", ") + place;
    return text;
  }
  // By its place: only what the policy itself grants for reading, never what a request names.
  [[nodiscard]] bool leaves_out(const Grant& grant) {
    if (grant.origin != Origin::policy || grant.access > PathAccess::read) return false;
    const auto place = std::ranges::find_if(places_, [&](const std::string& each) { return is_within(grant.path, each); });
    if (place != places_.end()) unseen_.insert(*place);
    return place != places_.end();
  }
  [[nodiscard]] std::vector<Grant> take() { return std::move(around_); }
  // What was found in the directory that was split; empty: it cannot be covered.
  [[nodiscard]] std::vector<Covered::Match> take_matches() {
    if (!coverable_ || ::access("/dev/null", F_OK) != 0) return {};
    return std::move(matches_);
  }
  [[nodiscard]] std::vector<Covered::Match> take_hidden() { return std::move(hidden_); }
  // The directories that lead to these, where they may be written.
  [[nodiscard]] std::set<std::string> take_held() { return std::move(held_); }
  [[nodiscard]] bool denies(const std::string& path) const {
    return std::any_of(globs_.begin(), globs_.end(), [&path](const Glob* g) { return glob_matches(*g->text, path); });
  }

  // closed: cannot be listed, but be gone through. withheld: nor is it granted, since who makes it so must not gain by it.
  enum class Seen : std::uint8_t { clean, split, closed, withheld, failed };

  // Too much for what is denied to stay so, and a command can make it so.
  Seen crowd(std::string problem) {
    crowded_ = true;
    problem_ = std::move(problem);
    return Seen::failed;
  }

  // Looks below a granted directory; when something below it is denied, grants around that are put in around_.
  [[nodiscard]] Seen look(const Grant& grant, int fd, const std::string& path) {
    grant_ = &grant;
    base_ = path.size();
    matches_.clear();
    around_.clear();
    hidden_.clear();
    held_.clear();
    refused_ = crowded_ = false;
    problem_.clear();
    coverable_ = true;
    const Globs below = relevant(globs_, path);
    if (below.empty() || clean_.contains(path)) return Seen::clean;
    const UniqueFd readable = reopen(fd, O_RDONLY | O_DIRECTORY);
    if (!readable && errno != EACCES) return fail_at(path);
    if (!readable) {
      const Seen unreadable = unlisted(fd);
      refused_ = unreadable == Seen::withheld;
      return unreadable;
    }
    const Seen seen = visit(readable.get(), path, below, 0);
    if (seen == Seen::clean) clean_.insert(path);
    return seen;
  }

 private:
  // Whether it is more than a part of the system: the requester's files lie in it.
  [[nodiscard]] bool holds_data(const std::string& place) const {
    return is_within(plan_.cwd, place) || std::ranges::any_of(plan_.grants, [&](const Grant& grant) {
      const bool named = grant.directory && (grant.data || grant.origin == Origin::operand);
      return (named || grant.access > PathAccess::read) && is_within(grant.path, place);
    });
  }

  static bool matches(const Globs& globs, const std::string& directory, const std::string& name) {
    return std::any_of(globs.begin(), globs.end(), [&](const Glob* glob) {
      return may_be(*glob, name) && glob_matches(*glob->text, child_path(directory, name));
    });
  }

  static Globs relevant(const Globs& globs, const std::string& directory) {
    Globs left;
    std::copy_if(globs.begin(), globs.end(), std::back_inserter(left), [&directory](const Glob* glob) {
      return glob->everywhere || glob_may_match_below(*glob->text, directory);
    });
    return left;
  }

  Seen fail(std::string problem) {
    problem_ = std::move(problem);
    return Seen::failed;
  }

  Seen fail_at(const std::string& path) {
    std::string problem = path + ": " + errno_text(errno);
    return errno == EMFILE ? crowd(std::move(problem)) : fail(std::move(problem));
  }

  // By errno: gone, or something else, since it was listed. The network of a process that has ended is EINVAL.
  static bool is_gone(const std::string& path) {
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || ((errno == EINVAL || errno == ESRCH) && is_within(path, "/proc"));
  }

  // An open directory's entries.
  bool list(int fd, const std::string& path, std::vector<Child>& children) {
    for (;;) {
      const ssize_t size = ::getdents64(fd, buffer_.data(), buffer_.size());
      if (size == 0) return true;
      if (size < 0 && is_gone(path)) return true;  // removed since it was opened: nothing is in it, nor ever will be
      if (size < 0) return (void)fail_at(path), false;
      for (ssize_t at = 0; at < size;) {
        const auto* const entry = reinterpret_cast<const dirent64*>(buffer_.data() + at);
        at += entry->d_reclen;
        const std::string_view name = entry->d_name;
        if (name == "." || name == "..") continue;
        if (!budget_.take_entry()) return false;
        children.push_back({std::string(name), entry->d_type, true, {}});
      }
    }
  }

  // A directory that cannot be listed: names in it can be guessed, unless nobody with our rights can search it either. One of our
  // own may have been made so by the command, to be passed over.
  static Seen unlisted(int fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0 || status.st_uid == ::geteuid()) return Seen::withheld;
    return ::access(("/proc/self/fd/" + std::to_string(fd)).c_str(), X_OK) == 0 ? Seen::closed : Seen::clean;
  }

  // fd: readable.
  Seen visit(int fd, const std::string& path, const Globs& globs, int depth) {
    if (too_deep(path, depth)) return Seen::withheld;
    std::vector<Child> children;
    if (!list(fd, path, children)) return Seen::failed;
    bool clean = true;
    for (Child& child : children) {
      struct stat status {};
      if (child.type == DT_UNKNOWN && ::fstatat(fd, child.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) child.type = IFTODT(status.st_mode);
      if (matches(globs, path, child.name)) {
        child.granted = false;
        if (!to_cover(path, child, child.type == DT_DIR)) return Seen::failed;
      } else if (child.type == DT_DIR || child.type == DT_UNKNOWN) {
        const Seen below = visit_child(fd, child, child_path(path, child.name), globs, depth);
        if (below == Seen::failed) return below;
        coverable_ = coverable_ && below != Seen::closed;
        if (below == Seen::withheld && !to_cover(path, child, true)) return Seen::failed;
        child.granted = below == Seen::clean;
      }
      clean = clean && child.granted;
      if (path == "/" && child.name == "proc") child.granted = false;  // no part of what "/" grants around something
    }
    return clean ? Seen::clean : split(fd, path, children);
  }

  // False: what is too much to be covered could be connected to, or what lies in it.
  bool to_cover(const std::string& path, const Child& child, bool directory) {
    const std::string place = child_path(path, child.name);
    const bool shut = directory || child.type == DT_SOCK;  // Landlock refuses to open all else
    if (shut && hidden_.size() < kMaxCovers) {
      hidden_.push_back({place, directory});
    } else if (shut && !plan_.unix_sockets.empty()) {
      return (void)crowd("more than " + std::to_string(kMaxCovers) + " sockets and directories in one grant are denied"), false;
    }
    const bool plain = child.type == DT_REG || child.type == DT_FIFO || shut;  // nothing is mounted on a link
    if (coverable_ && grant_->access > PathAccess::read) add_ways(std::string_view(place).substr(0, base_), place, held_);
    coverable_ = coverable_ && plain && matches_.size() < kMaxCovers && held_.size() <= kMaxHeld;
    if (coverable_) matches_.push_back({place, directory});
    return true;
  }

  Seen visit_child(int fd, Child& child, const std::string& path, const Globs& globs, int depth) {
    const char* const name = child.name.c_str();
    const UniqueFd opened(::openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!opened) {
      if (is_gone(path)) return Seen::clean;  // grant_child looks again
      if (errno != EACCES) return fail_at(path);
      const UniqueFd closed(::openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (!closed || ::fstat(closed.get(), &child.status) != 0) return Seen::closed;
      return unlisted(closed.get());
    }
    if (::fstat(opened.get(), &child.status) != 0) return fail_at(path);
    if (std::ranges::find(plan_.deny_walk.leave_out, child.name) != plan_.deny_walk.leave_out.end()) {
      unseen_.insert(child.name);
      return Seen::clean;
    }
    const Globs below = relevant(globs, path);
    return below.empty() ? Seen::clean : visit(opened.get(), path, below, depth + 1);
  }

  // path itself gets its names only; what is clean in it is granted one by one.
  Seen split(int fd, const std::string& path, const std::vector<Child>& children) {
    Grant names = like(path);
    names.fd = reopen(fd, O_PATH | O_DIRECTORY);
    if (!names.fd) return fail_at(path);
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
      return errno == ENOENT || errno == EACCES ? Seen::clean : fail_at(name);
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
    if (around_.size() == kMaxAround) return crowd("more than " + std::to_string(kMaxAround) + " files and directories lie beside what is denied");
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
    grant.data = grant_->data;
    grant.trusted = grant_->trusted;
    grant.split = true;
    return grant;
  }

  const Plan& plan_;
  WalkBudget budget_;  // all that is left when it is spent remains unseen
  std::vector<Glob> prepared_;
  Globs globs_;
  std::vector<char> buffer_ = std::vector<char>(1U << 15);  // one directory at a time is being listed
  std::string problem_;
  bool refused_ = false;  // the last one is our own and cannot be listed
  bool crowded_ = false;  // the last one has more than can be kept apart
  std::vector<Grant> around_;
  std::vector<Covered::Match> matches_;
  std::vector<Covered::Match> hidden_;
  std::set<std::string> held_;
  std::vector<std::string> places_;  // absolute ones that are left out
  std::set<std::string> unseen_;
  std::set<std::string> clean_;  // granted more than once, to be read, written and executed
  bool coverable_ = false;
  const Grant* grant_ = nullptr;
  std::size_t base_ = 0;  // size of the path that look() was given
};

// The right to rename over something is one to its whole directory, whether it is there yet or not.
bool opens_parent(const Grant& grant) { return grant.access == PathAccess::replace && grant.parent; }

bool is_concerned(const Grant& grant) {
  const bool granted = grant.origin == Origin::operand || grant.origin == Origin::policy;
  return granted && !grant.stat_only && (grant.exists || opens_parent(grant));
}

bool around(DenyWalker& walker, Grant& grant, Plan& plan, std::string& problem);

bool written_in_place(DenyWalker& walker, const Grant& grant, Plan& plan, std::string& problem) {
  Grant in_place;
  in_place.path = grant.path;
  in_place.given = grant.given;
  in_place.directory = grant.directory;
  in_place.fd = UniqueFd(::fcntl(grant.fd.get(), F_DUPFD_CLOEXEC, 3));
  in_place.executable = grant.executable;
  in_place.access = PathAccess::write;
  in_place.origin = grant.origin;
  in_place.data = grant.data;
  in_place.links = grant.links;
  if (!in_place.fd) {
    problem = grant.path + ": " + errno_text(errno);
    return false;
  }
  return around(walker, in_place, plan, problem);
}

void cover(Grant& grant, std::vector<Covered::Match> matches, std::set<std::string> held, Plan& plan) {
  plan.covered.push_back({std::move(grant), std::move(matches)});
  plan.held.merge(held);
}

// Where nothing can be covered, what is there is written in place, and what is not there cannot be made.
bool replaced_under_covers(DenyWalker& walker, Grant& grant, Plan& plan, std::string& problem) {
  (void)walker.take();
  auto matches = walker.take_matches();
  auto held = walker.take_held();
  if (grant.exists && !written_in_place(walker, grant, plan, problem)) return false;
  if (!matches.empty()) {
    cover(grant, std::move(matches), std::move(held), plan);
  } else if (!grant.exists) {
    (void)walker.crowd(problem = grant.path + " cannot be made: paths that are denied lie beside it and cannot be covered");
    return false;
  }
  return true;
}

// One grant, or what replaces it. False: the walk did not finish.
bool around(DenyWalker& walker, Grant& grant, Plan& plan, std::string& problem) {
  std::vector<Grant>& result = plan.grants;
  if (!is_concerned(grant)) {
    // Of a directory that is only named, too, sockets are in reach.
    if (grant.stat_only && grant.directory && grant.fd && !plan.unix_sockets.empty()) {
      const DenyWalker::Seen seen = walker.look(grant, grant.fd.get(), grant.path);
      if (seen != DenyWalker::Seen::clean && seen != DenyWalker::Seen::split) {
        problem = seen == DenyWalker::Seen::failed ? walker.problem() : grant.path + " cannot be listed";
        return false;
      }
      std::ranges::move(walker.take_hidden(), std::back_inserter(plan.hidden));
    }
    result.push_back(std::move(grant));
    return true;
  }
  if (walker.denies(grant.path)) return true;  // sandbox.read and the like: what is denied is denied
  if (walker.leaves_out(grant)) {
    result.push_back(std::move(grant));
    return true;
  }
  DenyWalker::Seen seen = DenyWalker::Seen::clean;
  if (opens_parent(grant)) {
    const std::size_t slash = grant.path.rfind('/');
    seen = walker.look(grant, grant.parent.get(), slash == 0 ? "/" : grant.path.substr(0, slash));
    if (seen == DenyWalker::Seen::split) return replaced_under_covers(walker, grant, plan, problem);
  }
  // Also where its directory has been looked through, for there it may have been left out by its name.
  if (grant.directory && seen == DenyWalker::Seen::clean) seen = walker.look(grant, grant.fd.get(), grant.path);
  std::vector<Grant> made = walker.take();
  switch (seen) {
    case DenyWalker::Seen::clean: result.push_back(std::move(grant)); return true;
    case DenyWalker::Seen::split: {
      auto matches = walker.take_matches();
      if (matches.empty() && in_own_tmp(plan, grant.path)) {
        (void)walker.crowd(problem = grant.path + " lies in the private /tmp, and what is denied in it cannot be covered");
        return false;
      }
      // Parents first: a minimal root is built in this order.
      std::sort(made.begin(), made.end(), [](const Grant& a, const Grant& b) { return a.path < b.path; });
      std::move(made.begin(), made.end(), std::back_inserter(result));
      if (matches.empty()) {
        std::ranges::move(walker.take_hidden(), std::back_inserter(plan.hidden));
      } else {
        cover(grant, std::move(matches), walker.take_held(), plan);
      }
      return true;
    }
    case DenyWalker::Seen::withheld:
    case DenyWalker::Seen::closed: problem = grant.path + " cannot be listed"; return false;
    case DenyWalker::Seen::failed: problem = walker.problem(); return false;
  }
  return false;
}

}  // namespace

bool in_own_tmp(const Plan& plan, std::string_view path) noexcept {
  return plan.tmp == Tmp::private_dir && path.starts_with("/tmp/");
}

std::set<std::string> fixed_by_denied(const Plan& plan) {
  std::set<std::string> fixed, written;  // written: directories in which a part is granted to be written
  const auto parent = [](const std::string& path) { return path.substr(0, std::max<std::size_t>(path.rfind('/'), 1)); };
  for (const Grant& grant : plan.grants) {
    if (grant.split && grant.access > PathAccess::read) written.insert(parent(grant.path));
  }
  const auto covered = [&](const std::string& path) {
    return std::ranges::any_of(plan.covered, [&](const Covered& one) { return one.grant.directory && one.grant.access > PathAccess::read && is_within(path, one.grant.path); });
  };
  // Those below first: parents stand before what lies in them.
  for (auto grant = plan.grants.rbegin(); grant != plan.grants.rend(); ++grant) {
    const bool names_only = grant->split && grant->directory && grant->access == PathAccess::stat;
    if (!names_only || (!written.contains(grant->path) && !covered(grant->path))) continue;
    fixed.insert(grant->path);
    written.insert(parent(grant->path));
  }
  for (const Covered& one : plan.covered) {
    if (!one.grant.directory) fixed.insert(parent(one.grant.path));  // a file that is written in place instead
  }
  return fixed;
}

Expected<LayerStatus> grant_around_denied(Plan& plan) {
  const auto asked = plan.layers.find(Layer::deny_paths);
  const Requirement wanted = asked != plan.layers.end() ? asked->second : default_requirement(Layer::deny_paths);
  if (wanted == Requirement::off) return LayerStatus{Layer::deny_paths, LayerState::off, {}, 0};
  if (plan.deny_globs.empty()) return LayerStatus{Layer::deny_paths, LayerState::enforced, {}, 0};
  DenyWalker walker(plan);
  std::vector<Grant> kept = std::move(plan.grants);
  // What may be written first: it is the requester's own, smaller than the system's directories, and holds the secrets.
  std::ranges::stable_partition(kept, [](const Grant& grant) { return grant.access > PathAccess::read; });
  plan.grants.clear();
  std::string first_problem;
  for (Grant& grant : kept) {
    std::string problem;
    if (around(walker, grant, plan, problem)) continue;
    const std::string_view remedy = walker.refused();
    if (wanted == Requirement::require || !remedy.empty()) {
      Error error;
      error.code = ErrorCode::sandbox_unavailable;
      error.message = "deny_paths cannot be enforced: " + problem;
      error.step = "deny_paths";
      error.hint = remedy.empty() ? "raise deny_walk, leave directories out of it, or grant less" : std::string(remedy);
      return tl::unexpected(std::move(error));
    }
    plan.grants.push_back(std::move(grant));  // the others are looked through all the same
    if (first_problem.empty()) first_problem = std::move(problem);
  }
  if (!first_problem.empty()) return LayerStatus{Layer::deny_paths, LayerState::not_enforced, std::move(first_problem), 0};
  return LayerStatus{Layer::deny_paths, LayerState::enforced, walker.unseen(), 0};
}

}  // namespace safe_exec
