// Owns the ownership walk. Never follows a link by itself, never opens for reading what it has not checked, never decides
// what a file is for.
#include "trust.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <map>
#include <memory>
#include <utility>

#include "beneath.h"

namespace safe_exec {

namespace {

constexpr uid_t kOverflowUid = 65534;  // user_namespaces(7): whom unmapped owners appear as; nobody's

enum class Demand : std::uint8_t { every_component, before_links };

std::string owner_problem(const struct stat& status, Owners owners) {
  if (status.st_uid == 0) return {};
  const bool callers = status.st_uid == ::getuid() && status.st_uid != kOverflowUid;
  if (callers && owners == Owners::root_or_caller) return {};
  std::string problem = "is owned by uid " + std::to_string(status.st_uid);
  if (status.st_uid == kOverflowUid) {
    problem += ": nobody, or all whom a user namespace does not map, root too; there, start safe-exec outside, or map root";
  }
  return problem;
}

// sticky_ok: the next component is owned by root or the caller, which owner_problem sees to when it gets there.
std::string mode_problem(const struct stat& status, bool sticky_ok) {
  if (S_ISLNK(status.st_mode)) return {};  // symlink(7): a link's mode means nothing
  // acl(5): with an ACL the group bits are its mask, so an ACL that lets others write shows here.
  const mode_t writable = status.st_mode & (S_IWGRP | S_IWOTH);
  if (writable == 0 || (sticky_ok && S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX) != 0)) return {};
  return (writable & S_IWOTH) != 0 ? "is writable by others" : "is writable by its group";
}

struct Component {
  UniqueFd fd;
  struct stat status {};
  std::string path;    // physical
  std::string target;  // of a link
};
using Components = std::map<std::string, std::shared_ptr<Component>>;  // directories and links, by path

class Walk {
 public:
  // seen: what earlier walks opened; may be null.
  Walk(Owners owners, Demand demand, Contents contents, Components* seen)
      : owners_(owners), demand_(demand), contents_(contents), seen_(seen) {}

  tl::expected<Walked, WalkFailure> to(std::string_view path) {
    if (path.empty() || path.front() != '/' || path.find('\0') != std::string_view::npos) {
      return tl::unexpected(WalkFailure{EINVAL, std::string(path), {}});
    }
    push(path);
    if (!step("/")) return tl::unexpected(std::move(failure_));
    while (!pending_.empty()) {
      const std::string name = std::move(pending_.back());
      pending_.pop_back();
      if (name == "..") {
        if (stack_.size() > 1) stack_.pop_back();
      } else if (!step(name)) {
        return tl::unexpected(std::move(failure_));
      }
    }
    Component& last = *stack_.back();
    const bool shared = stack_.back().use_count() > 1;
    UniqueFd fd = shared ? UniqueFd(::fcntl(last.fd.get(), F_DUPFD_CLOEXEC, 3)) : std::move(last.fd);
    if (!fd) return tl::unexpected(WalkFailure{errno, last.path, {}});
    Walked walked{std::move(fd), {}, last.status, last.path, std::move(links_)};
    if (demand_ == Demand::every_component) {
      std::string problem = mode_problem(walked.status, false);
      if (!problem.empty()) return tl::unexpected(WalkFailure{0, std::move(walked.path), std::move(problem)});
    }
    if (contents_ == Contents::read && S_ISREG(walked.status.st_mode)) {
      const char* const name = walked.path.c_str() + walked.path.rfind('/') + 1;
      walked.contents = open_same(stack_[stack_.size() - 2]->fd.get(), name, walked.status);
    }
    return walked;
  }

 private:
  void push(std::string_view path) {
    const std::vector<std::string_view> parts = components_of(path);
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) pending_.emplace_back(*part);
  }

  bool fail(int number, std::string path, std::string problem = {}) {
    failure_ = {number, std::move(path), std::move(problem)};
    return false;
  }

  // Opens one component; null: failure_ says why.
  std::shared_ptr<Component> open(const std::string& name) {
    const bool top = stack_.empty();
    std::string path = top ? name : child_path(stack_.back()->path, name);
    if (seen_ != nullptr) {
      const auto known = seen_->find(path);
      if (known != seen_->end()) return known->second;
    }
    const int directory = top ? AT_FDCWD : stack_.back()->fd.get();
    auto next = std::make_shared<Component>();
    next->path = std::move(path);
    next->fd = UniqueFd(::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!next->fd || ::fstat(next->fd.get(), &next->status) != 0) {
      (void)fail(errno, next->path);
      return nullptr;
    }
    if (S_ISLNK(next->status.st_mode)) {
      std::array<char, PATH_MAX> text{};
      const ssize_t size = ::readlinkat(next->fd.get(), "", text.data(), text.size());
      if (size <= 0) {
        (void)fail(size < 0 ? errno : ENOENT, next->path);
        return nullptr;
      }
      next->target.assign(text.data(), static_cast<std::size_t>(size));
    }
    if (seen_ != nullptr && (S_ISLNK(next->status.st_mode) || S_ISDIR(next->status.st_mode))) {
      seen_->emplace(next->path, next);
    }
    return next;
  }

  bool step(const std::string& name) {
    std::shared_ptr<Component> next = open(name);
    if (next == nullptr) return false;
    const bool link = S_ISLNK(next->status.st_mode);
    std::string problem = owner_problem(next->status, owners_);
    if (problem.empty()) problem = mode_problem(next->status, true);
    if (!problem.empty()) {
      if (demand_ == Demand::every_component || link) return fail(0, next->path, std::move(problem));
      if (blemish_.problem.empty()) blemish_ = {0, next->path, std::move(problem)};
    }
    if (link) return follow(*next);
    stack_.push_back(std::move(next));
    return true;
  }

  bool follow(const Component& link) {
    if (!blemish_.problem.empty()) {
      failure_ = std::move(blemish_);
      return false;
    }
    if (links_.size() == static_cast<std::size_t>(kMaxLinks)) return fail(ELOOP, link.path);
    links_.push_back({link.path, link.target});
    if (link.target.front() == '/') stack_.erase(stack_.begin() + 1, stack_.end());
    push(link.target);
    return true;
  }

  Owners owners_;
  Demand demand_;
  Contents contents_;
  Components* seen_;
  std::vector<std::shared_ptr<Component>> stack_;  // the physical components so far, "/" first
  std::vector<std::string> pending_;  // what is still to be walked, the next one last
  std::vector<Symlink> links_;
  WalkFailure blemish_;  // before_links: the first component that a link may not follow
  WalkFailure failure_;
};

}  // namespace

tl::expected<Walked, WalkFailure> walk_trusted(std::string_view absolute_path, Owners owners, Contents contents) {
  return Walk(owners, Demand::every_component, contents, nullptr).to(absolute_path);
}

UniqueFd take_contents(Walked& file) noexcept {
  return file.contents ? std::move(file.contents) : reopen(file.fd.get(), O_RDONLY);
}

tl::expected<Walked, WalkFailure> walk_root(std::string_view absolute_path) {
  return Walk(Owners::root, Demand::before_links, Contents::unread, nullptr).to(absolute_path);
}

struct TrustedWalks::Seen {
  Components components;
};

TrustedWalks::TrustedWalks() : seen_(std::make_unique<Seen>()) {}
TrustedWalks::~TrustedWalks() = default;

tl::expected<Walked, WalkFailure> TrustedWalks::walk(std::string_view absolute_path, Owners owners, Contents contents) {
  return Walk(owners, Demand::every_component, contents, &seen_->components).to(absolute_path);
}

std::string trust_problem(const struct stat& status, Owners owners) {
  std::string problem = owner_problem(status, owners);
  return problem.empty() ? mode_problem(status, false) : problem;
}

std::string describe(const WalkFailure& failure) {
  if (failure.sys_errno != 0) return failure.component + ": " + errno_text(failure.sys_errno);
  return failure.component + ' ' + failure.problem;
}

}  // namespace safe_exec
