// Level 2. The directories that a policy names, opened once: variables, start_dir and every `within`, `sandbox` and
// `cwd` root. Decides which of them exist; never what may be done there.
#pragma once

#include <sys/stat.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model.h"

namespace safe_exec {

struct OpenedRoot {
  std::string configured;  // as the policy or the operator wrote it, expanded
  std::string physical;
  UniqueFd fd;             // O_PATH
  struct stat status {};
  std::vector<Symlink> links;
  std::string problem;     // not empty: it matches nothing, and why
  int sys_errno = 0;       // of the call that failed, when that is the problem
};

class Roots {
 public:
  // Errors as make_system_resolver's.
  [[nodiscard]] static Expected<Roots> make(const Policy& policy, const std::map<std::string, std::string>& variables);

  // Opened on first use; what is not there is looked for again the next time. Never null; see problem.
  [[nodiscard]] const OpenedRoot& open(const Root& root);

  // Variables stand for their physical path, so that deny_paths compare with what the kernel resolved.
  [[nodiscard]] std::optional<std::string> expand(const Root& root) const;

  [[nodiscard]] const OpenedRoot& start_dir() const { return start_dir_; }

  // As PathResolver::distrust; what was opened before is looked at, too.
  void distrust_links_in(std::vector<std::string> places);
  [[nodiscard]] const std::optional<Error>& distrusted() const { return distrusted_; }

 private:
  Expected<void> open_start_dir();
  Expected<void> define(const Policy& policy, const Variable& variable, const std::string* given);
  [[nodiscard]] Expected<std::string> default_text(const Policy& policy, const Variable& variable) const;
  [[nodiscard]] const OpenedRoot* variable(std::string_view name) const;
  [[nodiscard]] OpenedRoot open_fresh(const Root& root) const;
  void look_at_links(const OpenedRoot& root);
  [[nodiscard]] std::string too_wide(const std::string& physical) const;  // empty: it is not

  OpenedRoot start_dir_;
  void guard();

  bool guarding_ = false;
  std::string policy_, home_;         // physical paths once guard() was asked; empty: there is none
  std::vector<std::string> guarded_{"/usr", "/etc", "/var", "/proc", "/sys", "/dev"};  // and these two
  std::map<std::string, OpenedRoot, std::less<>> variables_;
  std::map<std::string, OpenedRoot> opened_;  // by "variable:path"
  OpenedRoot absent_;
  std::vector<std::string> distrusted_places_;
  std::optional<Error> distrusted_;
};

}  // namespace safe_exec
