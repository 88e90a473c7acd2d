// Level 1. (Policy, Request, PathResolver&) -> Decision: the one matcher. Sees no system header.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model.h"
#include "pattern.h"

namespace safe_exec {

struct PathFailure {
  DenialCode code = DenialCode::path_outside;  // path_outside, path_not_found, path_wrong_kind, binary_*
  std::string message;
  std::string expected;
  int sys_errno = 0;  // 0: the answer is about the path, not about a call that failed
};
template <class T>
using PathResult = tl::expected<T, PathFailure>;

// The file system as evaluation sees it: the real one (resolve.h) or a hermetic one (fixture.h).
// A relative path is taken from the directory last entered (start_dir before that).
class PathResolver {
 public:
  virtual ~PathResolver() = default;

  // Opens the command's binary (the first of paths that exists; as_named, when not empty, picks that one) and
  // checks type, owner, mode, directories above, setuid, file capabilities, digest, and for a #! file that its
  // interpreter is in exec and just as trusted. assume_installed: fills in the path and looks at nothing.
  [[nodiscard]] virtual PathResult<Binary> binary(const Command& command, std::string_view as_named,
                                                  const std::vector<Root>& exec, bool assume_installed) = 0;

  // Makes a directory the one that relative paths start from. Failure code: cwd_not_allowed, path_not_found,
  // path_wrong_kind. An absent text means start_dir itself, which is always allowed to be the cwd.
  struct Directory {
    std::string path;  // physical
    UniqueFd fd;       // O_PATH; empty in hermetic resolvers
  };
  [[nodiscard]] virtual PathResult<Directory> enter(std::optional<std::string_view> text,
                                                    const std::vector<Root>& within) = 0;

  // An operand (POLICY.md section 4): containment, kind, links, special files. A missing file that the type
  // lets be missing is a Grant with exists = false. deny_paths is not looked at here (see below).
  [[nodiscard]] virtual PathResult<Grant> path(std::string_view text, const PathType& type) = 0;

  // git's rule: does this token name something that exists beneath one of these roots?
  [[nodiscard]] virtual bool names_existing(std::string_view text, const std::vector<Root>& within) = 0;

  // sandbox.read, write, exec, unix_sockets: the policy's own paths. nullopt when there is no such thing
  // (a missing root matches nothing).
  [[nodiscard]] virtual std::optional<Grant> policy_path(const Root& root, PathAccess access, bool executable) = 0;

  // Whether nothing was there for the last policy_path(); else what is there is nothing to grant.
  [[nodiscard]] virtual bool was_absent() const { return false; }
  // What is wrong with the program or the directory of programs that it did not grant, for people; empty: not that.
  [[nodiscard]] virtual std::string distrusted() const { return {}; }

  // The text of a root with its variable expanded; nullopt when the variable has no value here.
  [[nodiscard]] virtual std::optional<std::string> expand(const Root& root) = 0;

  // sandbox.read_only: every name that has to stay as it is for this, the links on the way first.
  [[nodiscard]] virtual std::vector<ReadOnlyPath> read_only(const Root& root) {
    std::vector<ReadOnlyPath> named;
    if (std::optional<std::string> text = expand(root)) named.push_back({*std::move(text), UniqueFd()});
    return named;
  }

  // Whether a program that looks for kept's name in directory and upwards, as git does for .git, takes another one than kept.
  [[nodiscard]] virtual bool finds_another(const std::string& /*directory*/, const std::string& /*kept*/) { return false; }

  // Where commands may write. Of a caller who is root all that a command makes there would be trusted, for it is root's: from then on
  // no program there is, but by Trust::caller, and a path of the policy that leaves such a place, or a variable's, by a link in it is a
  // failure that broken() tells. others: the policy has commands that were not read and may write elsewhere, too; no program beside the
  // system's says more than its name then.
  virtual void distrust(std::vector<std::string> /*places*/, bool /*others*/) {}

  // When the host could not answer (EMFILE, ENFILE, ENOMEM, EIO): then no denial of this decision is a verdict.
  [[nodiscard]] virtual std::optional<Error> broken() const { return std::nullopt; }

  // safe-exec's own standard input may be granted ("-"): only the real resolver says so.
  [[nodiscard]] virtual PathResult<UniqueFd> open_stdin_file(const Grant& checked) = 0;
};

struct Reading;  // grammar.h

struct EvaluateOptions {
  bool assume_installed = false;
  Trace* trace = nullptr;      // borrowed; filled when not null
  Reading* reading = nullptr;  // borrowed; what an accepted line was read as, with its slots (also where the policy asks)
  // Borrowed; gets the name of every command behind a wrapper, whether the policy, as far as it was loaded, holds it or not.
  std::vector<std::string>* wrapped = nullptr;
};

// Errors are policy_invalid (a pattern that does not compile, found only now). A path that cannot be resolved
// is a Denial. After evaluation the plan's grants hold operands and policy paths; runtime.h adds the rest.
[[nodiscard]] Expected<Decision> evaluate(const Policy& policy, const Request& request, PathResolver& resolver,
                                          PatternCache& patterns, const EvaluateOptions& options);

}  // namespace safe_exec
