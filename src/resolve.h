// Level 2. The real PathResolver: openat2(2) beneath opened roots, identity of binaries, descriptors that were
// checked; and what has to happen to a Plan's grants on this host before it can be confined.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "evaluate.h"
#include "model.h"

namespace safe_exec {

// Errors: usage (a --var that the policy does not let be set, or outside its within), policy_invalid (a variable
// that is /, or an ancestor of the caller's home, of the policy or of a system directory; no such directory).
[[nodiscard]] Expected<std::unique_ptr<PathResolver>> make_system_resolver(
    const Policy& policy, const std::map<std::string, std::string>& variables);

// policy_untrusted when a command may write to the policy or to a directory above it, or has led one of its paths elsewhere;
// paths that are opened later are looked at then (PathResolver::distrust).
[[nodiscard]] Expected<void> check_policy_not_writable(const Policy& policy, PathResolver& resolver);

// deny_paths inside granted directories: replaces such a grant by grants around the matches. The state is
// enforced, or not_enforced with the reason when the walk did not finish; the error is sandbox_unavailable when
// the plan requires the layer and it did not.
[[nodiscard]] Expected<LayerStatus> grant_around_denied(Plan& plan);
// Directories that the policy lets be written and that hold what is denied: where no mount covers that, nothing in them can be
// created, removed or renamed. After grant_around_denied().
[[nodiscard]] std::set<std::string> fixed_by_denied(const Plan& plan);
// Of a plan that grants Unix sockets: adds those that granted directories hold beside them to what is hidden, and says in
// sockets_in_reach why there may be more. After grant_around_denied().
void hide_other_sockets(Plan& plan);
// Whether a path lies below a /tmp of the command's own. Landlock looks for rules from a file up to the root, through mounts:
// that /tmp, which may be written whole, lets all be read that is mounted below it, whatever is granted. Covers are mounts, and hold.
[[nodiscard]] bool in_own_tmp(const Plan& plan, std::string_view path) noexcept;

struct CreatedFile;

// Files that create operands name and that do not exist yet: made now, so that there is an inode to grant; the
// launch gives them their names. Destruction removes those that were left untouched (still empty and never written).
class CreatedFiles {
 public:
  CreatedFiles();
  ~CreatedFiles();
  CreatedFiles(CreatedFiles&&) noexcept;
  CreatedFiles& operator=(CreatedFiles&&) noexcept;
  [[nodiscard]] static Expected<CreatedFiles> make(Plan& plan);

 private:
  struct Entry;
  bool take_again(Grant& grant) const;
  std::vector<Entry> entries_;
};
// One of them, and the name that it gets once whoever would have to remove it knows of it; at once where there are no files
// without a name. leaf: outlives what is returned. Error: launch_failed, also for a name that was taken meanwhile.
[[nodiscard]] CreatedFile describe_created(const Grant& grant, const std::string& leaf);
[[nodiscard]] Expected<void> give_name(const Grant& grant, const CreatedFile& file);

}  // namespace safe_exec
