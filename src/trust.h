// Level 2. Who owns what: the ownership walk of POLICY.md section 1, and the real PolicyFiles on top of it.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model.h"
#include "policy.h"

namespace safe_exec {

enum class Owners : std::uint8_t { root, root_or_caller };
enum class Contents : std::uint8_t { unread, read };  // read: a regular file is to be opened for reading as well

struct Walked {
  UniqueFd fd;           // O_PATH on the last component
  UniqueFd contents;     // the same, for reading, where asked for and possible
  struct stat status{};
  std::string path;      // physical
  std::vector<Symlink> links;  // those that were walked, in order
};

struct WalkFailure {
  int sys_errno = 0;         // 0: found, but not trusted
  std::string component;     // the path whose owner or mode is wrong, or that cannot be opened
  std::string problem;       // "is owned by uid 1000", "is writable by group", ...
};

// Opens every component from / without following links; each must be owned as owners says and be writable by
// its owner only (a POSIX ACL shows in the group bits: acl(5)), or be sticky with a next component owned by root
// or the caller. A symlink is a component with the same rule; its target is walked from there (at most 40).
// caller: the real uid; the overflow uid is nobody's.
[[nodiscard]] tl::expected<Walked, WalkFailure> walk_trusted(std::string_view absolute_path, Owners owners,
                                                             Contents contents = Contents::unread);

// The file of a walk, for reading. Empty: errno says why it cannot be read.
[[nodiscard]] UniqueFd take_contents(Walked& file) noexcept;

// walk_trusted for many files of few directories: each directory and link is opened and checked once. For the length
// of one launch, no longer: what it has checked it does not look at again.
class TrustedWalks {
 public:
  TrustedWalks();
  ~TrustedWalks();
  TrustedWalks(const TrustedWalks&) = delete;
  TrustedWalks& operator=(const TrustedWalks&) = delete;
  [[nodiscard]] tl::expected<Walked, WalkFailure> walk(std::string_view absolute_path, Owners owners,
                                                       Contents contents = Contents::unread);

 private:
  struct Seen;
  std::unique_ptr<Seen> seen_;
};

// The same walk for a directory that a policy names: anybody may own its components, but a symbolic link is passed
// only when it and everything before it are owned by root and writable by nobody else (POLICY.md section 4).
[[nodiscard]] tl::expected<Walked, WalkFailure> walk_root(std::string_view absolute_path);

// The rule for one file or directory alone: what is wrong with its owner or mode; empty when nothing is.
[[nodiscard]] std::string trust_problem(const struct stat& status, Owners owners);

// One sentence for people: "/a/b is owned by uid 1000", "/a/b: No such file or directory".
[[nodiscard]] std::string describe(const WalkFailure& failure);

// Reads at most json::kMaxBytes from files that walk_trusted accepts, and from the inode that was checked.
// owners: who may own them and the directories above.
[[nodiscard]] std::unique_ptr<PolicyFiles> make_policy_files(Owners owners = Owners::root_or_caller);

// Where run and check (requester_facing false) or serve, mcp and hook (true) find the policy: --policy, then
// the places of POLICY.md section 1. The first that exists, but what $SAFE_EXEC_POLICY names is asked for like --policy.
struct PolicyPlace {
  std::string path;
  std::vector<std::string> passed_over;  // places that go before it, at which nothing is
};
[[nodiscard]] Expected<PolicyPlace> find_policy(std::string_view option, bool requester_facing);

}  // namespace safe_exec
