// Owns the real PathResolver: text to a checked descriptor beneath a root. Never folds "..", never opens anything
// for reading except the request's stdin file, never says whether something outside of the roots exists.
#include "resolve.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <utility>

#include "beneath.h"
#include "binary.h"
#include "pattern.h"
#include "roots.h"
#include "trust.h"

namespace safe_exec {

namespace {

constexpr std::uint64_t kBeneath = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;

tl::unexpected<PathFailure> refuse(DenialCode code, std::string message, std::string expected = {}) {
  return tl::make_unexpected(PathFailure{code, std::move(message), std::move(expected), 0});
}

bool escapes(int number) { return number == EXDEV || number == ELOOP; }

// A name that lies beneath a root by its text alone.
struct Candidate {
  const OpenedRoot* root = nullptr;
  std::vector<std::string_view> rest;  // ".." among them, never more than what comes before
};

// The components after the root's own; nullopt when they are not beneath it.
std::optional<std::vector<std::string_view>> below(const std::vector<std::string_view>& name, std::string_view root) {
  const std::vector<std::string_view> prefix = components_of(root);
  if (name.size() < prefix.size() || !std::equal(prefix.begin(), prefix.end(), name.begin())) return std::nullopt;
  std::vector<std::string_view> rest(name.begin() + static_cast<std::ptrdiff_t>(prefix.size()), name.end());
  std::int64_t depth = 0;
  for (const std::string_view component : rest) {
    depth += component == ".." ? -1 : 1;
    if (depth < 0) return std::nullopt;
  }
  return rest;
}

UniqueFd open_candidate(const Candidate& candidate, std::uint64_t flags) {
  if (candidate.rest.empty()) return UniqueFd(::fcntl(candidate.root->fd.get(), F_DUPFD_CLOEXEC, 3));
  return open_beneath(candidate.root->fd.get(), join_components(candidate.rest, 0), flags, kBeneath);
}

// Where something is not: the deepest existing directory's name, and what follows it.
std::string missing_path(const Candidate& candidate) {
  const auto open_first = [&candidate](std::size_t count) {
    const auto end = candidate.rest.begin() + static_cast<std::ptrdiff_t>(count);
    return open_candidate({candidate.root, {candidate.rest.begin(), end}}, O_PATH | O_DIRECTORY);
  };
  // What resolves does so at each of its beginnings too, so the longest of them is found by halving.
  std::size_t there = 0;
  std::size_t missing = candidate.rest.size();
  while (there + 1 < missing) {
    const std::size_t middle = there + (missing - there) / 2;
    (open_first(middle) ? there : missing) = middle;
  }
  const UniqueFd fd = missing == 0 ? UniqueFd() : open_first(there);
  const std::optional<std::string> path = fd ? path_of(fd.get()) : std::nullopt;
  if (path) return child_path(*path, join_components(candidate.rest, there));
  return child_path(candidate.root->physical, join_components(candidate.rest, 0));
}

std::string_view kind_text(PathKind kind) {
  switch (kind) {
    case PathKind::file: return "a regular file";
    case PathKind::dir: return "a directory";
    case PathKind::any: return "a regular file or a directory";
  }
  return "";
}

bool changes(PathAccess access) {
  switch (access) {
    case PathAccess::stat:
    case PathAccess::read: return false;
    case PathAccess::write:
    case PathAccess::create:
    case PathAccess::replace: return true;
  }
  return true;
}

std::string real_path(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), ::free);
  return real ? real.get() : "";
}

// Whether directory + name is kept by a link or by what it says, as a linked worktree's .git does ("gitdir: /w/.git/worktrees/x").
// What else lies in kept may have been moved there: git does that with the repositories of submodules.
bool leads_to(const std::string& directory, const std::string& name, mode_t mode, const std::string& kept) {
  const std::string real = real_path(kept);
  if (real.empty() || S_ISDIR(mode)) return false;
  if (S_ISLNK(mode)) return real_path(directory + name) == real;
  constexpr std::string_view kSays = "gitdir: ";
  const UniqueFd fd(::open((directory + name).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  std::string text(4096, '\0');  // PATH_MAX
  const ssize_t size = fd ? ::read(fd.get(), text.data(), text.size()) : -1;
  text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  if (!text.starts_with(kSays) || text.size() == 4096) return false;
  text.resize(text.find_last_not_of("\r\n") + 1);
  text.erase(0, kSays.size());
  const std::string named = real_path(text.starts_with('/') ? text : directory + "/" + text);
  return named == real || named.starts_with(real + "/worktrees/");
}

class SystemResolver final : public PathResolver {
 public:
  explicit SystemResolver(Roots roots) : roots_(std::move(roots)), current_(roots_.start_dir().physical) {}

  PathResult<Binary> binary(const Command& command, std::string_view as_named, const std::vector<Root>& exec,
                            bool assume_installed) override;
  PathResult<Directory> enter(std::optional<std::string_view> text, const std::vector<Root>& within) override;
  PathResult<Grant> path(std::string_view text, const PathType& type) override;
  bool names_existing(std::string_view text, const std::vector<Root>& within) override;
  std::optional<Grant> policy_path(const Root& root, PathAccess access, bool executable) override;
  bool was_absent() const override { return absent_; }
  std::string distrusted() const override { return distrusted_; }
  std::optional<std::string> expand(const Root& root) override { return roots_.expand(root); }
  void distrust(std::vector<std::string> places, bool others) override {
    if (::geteuid() == 0) writable_ = places;
    others_ = others && ::geteuid() == 0;
    roots_.distrust_links_in(std::move(places));
  }
  std::vector<ReadOnlyPath> read_only(const Root& root) override;
  bool finds_another(const std::string& directory, const std::string& kept) override;
  PathResult<UniqueFd> open_stdin_file(const Grant& checked) override;
  std::optional<Error> broken() const override;

 private:
  struct Named {
    std::string name;  // absolute, "." and empty components dropped, ".." kept
    std::vector<Candidate> candidates;  // views into name
  };

  [[nodiscard]] std::string absolute(std::string_view text) const;
  [[nodiscard]] std::vector<Candidate> candidates(const std::string& name, const std::vector<Root>& within);
  [[nodiscard]] std::string described(const std::vector<Root>& within);
  PathResult<Grant> beneath(const Candidate& candidate, const std::string& name, bool trailing, const PathType& type);
  PathResult<Grant> existing(const Candidate& candidate, UniqueFd fd, const PathType& type);
  PathResult<Grant> absent(const Candidate& candidate, int number, bool trailing, const PathType& type);
  PathResult<void> add_parent(const Candidate& candidate, Grant& grant);
  bool take_program(const OpenedRoot& opened, Grant& grant);

  // Remembers that a call failed for want of something of the host's, and not because of what is there.
  void note(int number) {
    constexpr int kOfTheHost[] = {EMFILE, ENFILE, ENOMEM, EIO, ENOSYS, EPERM};
    if (std::ranges::find(kOfTheHost, number) != std::end(kOfTheHost)) exhausted_ = number;
  }

  // Where a command could have made the program; null: nowhere, or who made it does not count.
  [[nodiscard]] const std::string* made_in(const std::string& program) const {
    const auto place = std::ranges::find_if(writable_, [&](const std::string& each) { return is_within(program, each); });
    return trust_ == Trust::caller || place == writable_.end() ? nullptr : &*place;
  }

  // Whether only root can have put it there, by no command.
  [[nodiscard]] bool is_roots(const std::string& program) const {
    constexpr std::string_view kSystem[] = {"/usr", "/bin", "/sbin", "/lib", "/lib64"};
    const auto holds = [&](std::string_view place) { return is_within(program, place); };
    return trust_ == Trust::root && made_in(program) == nullptr && (!others_ || std::ranges::any_of(kSystem, holds));
  }

  Roots roots_;
  std::vector<std::string> writable_;
  bool others_ = false;         // what other commands may write is not known
  int exhausted_ = 0;           // errno
  bool absent_ = false;
  std::string distrusted_;
  std::string current_;         // physical path of the directory last entered
  Trust trust_ = Trust::root;   // of the command last identified; programs in its exec list meet the same rule
};

PathResult<Binary> SystemResolver::binary(const Command& command, std::string_view as_named,
                                          const std::vector<Root>& exec, bool assume_installed) {
  trust_ = command.trust;
  if (assume_installed) {
    Binary binary;
    binary.path = !as_named.empty() ? std::string(as_named) : command.paths.empty() ? "" : command.paths.front();
    return binary;
  }
  std::vector<std::string> programs;
  for (const Root& root : exec) {
    if (std::optional<std::string> text = expand(root)) programs.push_back(*std::move(text));
  }
  PathResult<Binary> identified = identify_binary(command, as_named, programs);
  if (!identified) note(identified.error().sys_errno);
  if (!identified) return identified;
  if (writable_.empty() && !others_) return identified;  // nothing is asked of /proc then, which costs a hundredth of a launch
  for (const std::string& file : {identified->path, identified->physical, path_of(identified->fd.get()).value_or("")}) {
    if (const std::string* const place = made_in(file)) {
      return refuse(DenialCode::binary_untrusted, file + " lies in " + *place + ", where a command may write",
                    "a program that lies elsewhere, or \"trust\": \"caller\"");
    }
  }
  identified->trusted = identified->trusted && is_roots(identified->physical);
  return identified;
}

std::optional<Error> SystemResolver::broken() const {
  if (roots_.distrusted()) return roots_.distrusted();
  if (exhausted_ == 0) return std::nullopt;
  Error error;
  const bool refused = exhausted_ == ENOSYS || exhausted_ == EPERM;  // openat2(2), faccessat2(2), fgetxattr(2)
  error.code = refused ? ErrorCode::sandbox_unavailable : ErrorCode::launch_failed;
  error.message = "the host could not answer: " + errno_text(exhausted_);
  error.step = "resolve";
  error.sys_errno = exhausted_;
  return error;
}

std::string SystemResolver::absolute(std::string_view text) const {
  const std::string joined = text.substr(0, 1) == "/" ? std::string(text) : child_path(current_, text);
  const std::vector<std::string_view> components = components_of(joined);
  return components.empty() ? "/" : '/' + join_components(components, 0);
}

std::vector<Candidate> SystemResolver::candidates(const std::string& name, const std::vector<Root>& within) {
  std::vector<Candidate> found;
  const std::vector<std::string_view> components = components_of(name);
  for (const Root& root : within) {
    const OpenedRoot& opened = roots_.open(root);
    note(opened.sys_errno);
    if (!opened.problem.empty()) continue;
    auto rest = below(components, opened.configured);
    if (!rest) rest = below(components, opened.physical);
    if (rest) found.push_back({&opened, *std::move(rest)});
  }
  return found;
}

// A root of the host that is not there is no news; one of a variable is the operator's mistake.
std::string SystemResolver::described(const std::vector<Root>& within) {
  constexpr std::size_t kMaxRoots = 8;
  std::string text;
  std::size_t listed = 0, more = 0;
  for (const Root& root : within) {
    const OpenedRoot& opened = roots_.open(root);
    const bool news = opened.problem.empty() || !root.variable.empty() || within.size() == 1;
    if (!news || ++listed > kMaxRoots) {
      more += news ? 1 : 0;
      continue;
    }
    text += (text.empty() ? "a path below " : " or ") + opened.configured;
    if (!opened.problem.empty()) text += " (not usable: " + opened.problem + ')';
  }
  if (more > 0) text += " or " + std::to_string(more) + " more";
  return text.empty() ? "no path" : text;
}

PathResult<Grant> SystemResolver::path(std::string_view text, const PathType& type) {
  if (text.empty()) return refuse(DenialCode::path_not_found, "the empty string is no path", "a path");
  if (text.find('\0') != std::string_view::npos) return refuse(DenialCode::path_not_found, "a path holds no NUL");
  const std::string name = absolute(text);
  PathResult<Grant> result = refuse(DenialCode::path_outside, "the path is outside of where this command may go");
  for (const Candidate& candidate : candidates(name, type.within)) {
    result = beneath(candidate, name, text.back() == '/', type);
    if (result || result.error().code != DenialCode::path_outside) break;  // a link may stay inside of another root
  }
  if (!result) {
    if (result.error().code == DenialCode::path_outside) result.error().expected = described(type.within);
    return result;
  }
  if (changes(type.access)) {
    for (const Root& root : type.within) {
      if (roots_.open(root).physical == result->path) {
        return refuse(DenialCode::path_wrong_kind, "a root itself is never written", "a path below it");
      }
    }
  }
  if (name != result->path) {
    result->given = name;
    result->links = links_on(name);
  }
  return result;
}

PathResult<Grant> SystemResolver::beneath(const Candidate& candidate, const std::string& name, bool trailing,
                                          const PathType& type) {
  UniqueFd fd = open_candidate(candidate, O_PATH);
  if (fd) return existing(candidate, std::move(fd), type);
  const int number = errno;
  note(number);
  if (escapes(number)) return refuse(DenialCode::path_outside, "the path leads outside through a symbolic link");
  if (number == ENOENT || number == ENOTDIR) return absent(candidate, number, trailing, type);
  return refuse(DenialCode::path_not_found, name + ": " + errno_text(number));
}

PathResult<Grant> SystemResolver::existing(const Candidate& candidate, UniqueFd fd, const PathType& type) {
  Grant grant;
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) {
    note(errno);
    return refuse(DenialCode::path_not_found, errno_text(errno));
  }
  errno = 0;
  std::optional<std::string> path = path_of(fd.get());
  if (!path) note(errno);
  // Without a name nothing could be compared with deny_paths; a name elsewhere means that it was moved just now.
  if (!path) return refuse(DenialCode::path_not_found, "the file changed while it was looked at");
  if (!is_within(*path, candidate.root->physical)) {
    return refuse(DenialCode::path_outside, "the path was moved outside while it was looked at");
  }
  const bool file = S_ISREG(status.st_mode);
  const bool wanted = file ? type.kind != PathKind::dir : S_ISDIR(status.st_mode) && type.kind != PathKind::file;
  if (!wanted) {
    return refuse(DenialCode::path_wrong_kind, *path + " is not " + std::string(kind_text(type.kind)),
                  std::string(kind_text(type.kind)));
  }
  if (type.access == PathAccess::create && file) {
    return refuse(DenialCode::path_wrong_kind, *path + " exists already, so it is not created", "a name not yet taken");
  }
  if (changes(type.access) && file && status.st_nlink > 1) {
    return refuse(DenialCode::path_wrong_kind, *path + " has other names (hard links), so it is not written",
                  "a file with one name");
  }
  grant.path = *std::move(path);
  grant.directory = !file;
  grant.stat_only = type.access == PathAccess::stat;
  grant.access = type.access;
  grant.fd = std::move(fd);
  if (type.access == PathAccess::replace) {
    if (auto added = add_parent(candidate, grant); !added) return tl::unexpected(std::move(added.error()));
  }
  return grant;
}

// replace: the directory in which the new file is renamed over the old one.
PathResult<void> SystemResolver::add_parent(const Candidate& candidate, Grant& grant) {
  if (candidate.rest.empty()) return refuse(DenialCode::path_wrong_kind, "a root itself is never written");
  Candidate above = candidate;
  grant.leaf = std::string(above.rest.back());
  above.rest.pop_back();
  grant.parent = open_candidate(above, O_PATH | O_DIRECTORY);
  struct stat named {}, checked {};
  if (grant.leaf == ".." || !grant.parent || ::fstat(grant.fd.get(), &checked) != 0 ||
      ::fstatat(grant.parent.get(), grant.leaf.c_str(), &named, AT_SYMLINK_NOFOLLOW) != 0 ||
      !same_inode(named, checked)) {
    return refuse(DenialCode::path_wrong_kind, grant.path + " is reached through a link, so it cannot be replaced",
                  "the file by its own name");
  }
  return {};
}

PathResult<Grant> SystemResolver::absent(const Candidate& candidate, int number, bool trailing, const PathType& type) {
  Grant grant;
  grant.exists = false;
  grant.access = type.access;
  grant.stat_only = type.access == PathAccess::stat;
  grant.path = missing_path(candidate);
  const auto missing = [&](int why) {
    const bool makes = type.access == PathAccess::create || type.access == PathAccess::replace || type.missing;
    return refuse(DenialCode::path_not_found, grant.path + ": " + errno_text(why),
                  makes ? "a name in an existing directory" : "an existing path");
  };
  if (type.access != PathAccess::create && type.access != PathAccess::replace) {
    if (!type.missing) return missing(number);
    return grant;
  }
  if (candidate.rest.empty() || candidate.rest.back() == "..") return missing(number);
  if (trailing || type.kind == PathKind::dir) {
    return refuse(DenialCode::path_wrong_kind, grant.path + " is no file that can be made", "a file's name");
  }
  Candidate above = candidate;
  grant.leaf = std::string(above.rest.back());
  above.rest.pop_back();
  grant.parent = open_candidate(above, O_PATH | O_DIRECTORY);
  if (!grant.parent) {
    note(errno);
    if (escapes(errno)) return refuse(DenialCode::path_outside, "the path leads outside through a symbolic link");
    return missing(errno);
  }
  struct stat status {};
  if (::fstatat(grant.parent.get(), grant.leaf.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
    return refuse(DenialCode::path_wrong_kind, grant.path + " is a link that leads nowhere", "a file's name");
  }
  note(errno);
  if (errno != ENOENT) return missing(errno);
  const std::optional<std::string> parent = path_of(grant.parent.get());
  if (!parent) return missing(ENOENT);
  if (!is_within(*parent, candidate.root->physical)) {
    return refuse(DenialCode::path_outside, "the path was moved outside while it was looked at");
  }
  grant.path = child_path(*parent, grant.leaf);
  return grant;
}

PathResult<PathResolver::Directory> SystemResolver::enter(std::optional<std::string_view> text,
                                                          const std::vector<Root>& within) {
  Directory directory;
  if (!text) {
    directory = {roots_.start_dir().physical, UniqueFd(::fcntl(roots_.start_dir().fd.get(), F_DUPFD_CLOEXEC, 3))};
    if (!directory.fd) {
      note(errno);
      return refuse(DenialCode::cwd_not_allowed, errno_text(errno));
    }
  } else {
    PathType type;
    type.access = PathAccess::stat;
    type.kind = PathKind::dir;
    type.within = within;
    type.missing = false;
    auto grant = path(*text, type);
    if (!grant) {
      if (grant.error().code == DenialCode::path_outside) grant.error().code = DenialCode::cwd_not_allowed;
      return tl::unexpected(std::move(grant.error()));
    }
    directory = {std::move(grant->path), std::move(grant->fd)};
  }
  current_ = directory.path;
  return directory;
}

bool SystemResolver::names_existing(std::string_view text, const std::vector<Root>& within) {
  if (text.empty() || text.find('\0') != std::string_view::npos) return false;
  const std::string name = absolute(text);
  // As git asks (lstat): a link counts, wherever it leads.
  for (const Candidate& candidate : candidates(name, within)) {
    if (open_candidate(candidate, O_PATH | O_NOFOLLOW)) return true;
  }
  return false;
}

// As the command's own program.
bool SystemResolver::take_program(const OpenedRoot& opened, Grant& grant) {
  auto checked = check_executable(opened.physical, trust_);
  if (!checked) {
    note(checked.error().sys_errno);
    distrusted_ = checked.error().message;
    if (!checked.error().expected.empty()) distrusted_ += "; expected is " + checked.error().expected;
    return false;
  }
  if (const std::string* const place = made_in(checked->path)) {
    distrusted_ = checked->path + " lies in " + *place + ", where a command may write";
    return false;
  }
  if (!same_inode(checked->status, opened.status)) return false;
  grant.fd = std::move(checked->fd);
  grant.trusted = is_roots(checked->path);
  return true;
}

std::optional<Grant> SystemResolver::policy_path(const Root& root, PathAccess access, bool executable) {
  const OpenedRoot& opened = roots_.open(root);
  note(opened.sys_errno);
  distrusted_.clear();
  absent_ = opened.sys_errno == ENOENT || opened.sys_errno == ENOTDIR;
  if (!opened.problem.empty()) return std::nullopt;
  const mode_t mode = opened.status.st_mode;
  const bool stat_only = access == PathAccess::stat;
  // connect(2) asks for write permission on a socket; a device only where the policy writes its whole name; a FIFO
  // never.
  const bool special = (S_ISSOCK(mode) && access != PathAccess::read) || (S_ISCHR(mode) && root.variable.empty());
  if (!S_ISREG(mode) && !S_ISDIR(mode) && !(special && !executable)) return std::nullopt;
  Grant grant;
  if (executable && S_ISDIR(mode) && root.variable.empty()) {  // who starts it chooses what a variable stands for
    const bool roots_own = walk_trusted(opened.physical, Owners::root).has_value();
    if (const auto walked = roots_own ? tl::expected<Walked, WalkFailure>() : walk_trusted(opened.physical, Owners::root_or_caller); !walked) {
      distrusted_ = describe(walked.error());
      return std::nullopt;
    }
    grant.trusted = roots_own && is_roots(opened.physical);
  }
  if (executable && S_ISREG(mode)) {
    if (!take_program(opened, grant)) return std::nullopt;
  } else {
    grant.fd = UniqueFd(::fcntl(opened.fd.get(), F_DUPFD_CLOEXEC, 3));
    if (!grant.fd) note(errno);
  }
  if (!grant.fd) return std::nullopt;
  grant.path = opened.physical;
  if (opened.configured != opened.physical) {
    grant.given = opened.configured;
    grant.links = opened.links;
  }
  grant.directory = S_ISDIR(mode);
  grant.executable = executable;
  grant.stat_only = stat_only;
  grant.access = access;
  grant.origin = Origin::policy;
  return grant;
}

// Name by name, as the kernel goes: a link is kept as well as what it leads to, for whoever replaces it replaces that.
std::vector<ReadOnlyPath> SystemResolver::read_only(const Root& root) {
  std::vector<ReadOnlyPath> kept;
  const std::optional<std::string> text = roots_.expand(root);
  if (!text) return kept;
  std::vector<std::string> left;  // the next one last
  const auto follow = [&left](const std::string& path) {
    const std::vector<std::string_view> parts = components_of(path);
    left.insert(left.end(), parts.rbegin(), parts.rend());
  };
  follow(*text);
  std::string at = "/";
  const auto open_top = [this] {
    UniqueFd top(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!top) exhausted_ = errno;  // it is there
    return top;
  };
  UniqueFd fd = open_top();
  for (int links = 0; fd && !left.empty();) {
    const std::string name = std::move(left.back());
    left.pop_back();
    std::string path = name == ".." ? at.substr(0, std::max<std::size_t>(at.rfind('/'), 1)) : child_path(at, name);
    std::string target(4096, '\0');  // PATH_MAX
    UniqueFd next(::openat(fd.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    const ssize_t size = next ? ::readlinkat(next.get(), "", target.data(), target.size()) : -1;
    const int number = size < 0 ? errno : 0;
    note(number);
    // A link, nothing there, or no link, which readlinkat(2) calls ENOENT as well, or EINVAL.
    constexpr int kKnown[] = {0, ENOENT, ENOTDIR, ENAMETOOLONG, EINVAL};
    if (std::ranges::find(kKnown, number) == std::end(kKnown)) {  // a command may have closed it: kept as a whole, so that none opens it again
      kept.push_back({std::move(at), std::move(fd)});
      return kept;
    }
    if (size > 0) {
      target.resize(static_cast<std::size_t>(size));
      kept.push_back({std::move(path), std::move(next)});
      if (++links > kMaxLinks) break;
      follow(target);
      if (target.front() != '/') continue;
      path = "/";
      next = open_top();
    }
    at = std::move(path);
    fd = std::move(next);
  }
  for (; !left.empty(); left.pop_back()) {  // nothing is there
    at = child_path(at, left.back());
    fd.reset();
  }
  kept.push_back({std::move(at), std::move(fd)});
  return kept;
}

// The nearest one counts, whatever is wrong with it. Before 2.38 git also takes a directory for a repository that holds what
// .git does.
bool SystemResolver::finds_another(const std::string& directory, const std::string& kept) {
  const std::size_t slash = kept.rfind('/');
  const std::string top = kept.substr(0, slash) + "/";
  const std::string name = kept.substr(slash);
  for (std::string at = directory; at.starts_with(top); at.resize(at.rfind('/'))) {
    struct stat found {};
    if (::lstat((at + name).c_str(), &found) == 0) return !leads_to(at, name, found.st_mode, kept);
    if (errno != ENOENT && errno != ENOTDIR) return true;
    if (::access((at + "/HEAD").c_str(), F_OK) == 0 && ::access((at + "/objects").c_str(), F_OK) == 0) return true;
  }
  return false;
}

PathResult<UniqueFd> SystemResolver::open_stdin_file(const Grant& checked) {
  struct stat before {}, after {};
  if (!checked.exists || !checked.fd || ::fstat(checked.fd.get(), &before) != 0) {
    return refuse(DenialCode::path_not_found, checked.path + ": " + errno_text(ENOENT), "an existing file");
  }
  if (!S_ISREG(before.st_mode)) {
    return refuse(DenialCode::path_wrong_kind, checked.path + " is not a regular file", "a regular file");
  }
  UniqueFd fd = reopen(checked.fd.get(), O_RDONLY);
  if (!fd || ::fstat(fd.get(), &after) != 0) {
    note(errno);
    return refuse(DenialCode::path_not_found, checked.path + ": " + errno_text(errno), "a readable file");
  }
  if (!same_inode(before, after)) return refuse(DenialCode::path_not_found, checked.path + " changed");
  return fd;
}

}  // namespace

Expected<std::unique_ptr<PathResolver>> make_system_resolver(const Policy& policy,
                                                             const std::map<std::string, std::string>& variables) {
  auto roots = Roots::make(policy, variables);
  if (!roots) return tl::unexpected(std::move(roots.error()));
  return std::make_unique<SystemResolver>(*std::move(roots));
}

}  // namespace safe_exec
