// Owns the loading of what a policy is held against, and what roots stand for on this host. Whatever cannot be found
// out is an error, never a pass.
#include "ceiling.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "beneath.h"
#include "resolve.h"

namespace safe_exec {
namespace {

// As configured and as the kernel resolves it: both must lie within the other policy's roots, so that neither a link
// that is there nor one that is made later leads out of them.
NameRoot resolved_roots(PathResolver& resolver) {
  return [&resolver](const Root& root, RootUse use) {
    RootNames names;
    const std::optional<std::string> text = resolver.expand(root);
    if (!text) return names;  // a variable without a value: it stands for nothing
    names.paths.push_back(*text);
    if (use == RootUse::glob) return names;
    const std::optional<Grant> grant = resolver.policy_path(root, PathAccess::stat, false);
    if (grant && grant->path != *text) names.paths.push_back(grant->path);
    return names;
  };
}

}  // namespace

Expected<std::vector<Widening>> widenings_over(const Policy& policy, PathResolver& resolver, const std::string& base,
                                               Owners owners, const LoadScope& scope) {
  const std::unique_ptr<PolicyFiles> files = make_policy_files(owners);
  auto loaded = load_policy(base, *files, scope);
  if (!loaded) return tl::make_unexpected(std::move(loaded.error()));
  auto theirs = make_system_resolver(*loaded, {});
  if (!theirs) return tl::make_unexpected(std::move(theirs.error()));
  if (auto safe = check_policy_not_writable(*loaded, **theirs); !safe) return tl::make_unexpected(safe.error());
  const Compared ours{policy, resolved_roots(resolver)}, base_side{*loaded, resolved_roots(**theirs)};
  // Only what the request asks for. What is no name of a command is denied, or the first operand of another (by_path).
  std::vector<std::string> asked = scope.wrapped;
  if (scope.everything || !scope.command.empty()) asked.insert(asked.begin(), scope.command);
  std::vector<Widening> found;
  for (const std::string& name : asked) std::ranges::move(find_widenings(ours, base_side, name), std::back_inserter(found));
  if (auto broken = resolver.broken()) return tl::make_unexpected(*std::move(broken));
  if (auto broken = (*theirs)->broken()) return tl::make_unexpected(*std::move(broken));
  return found;
}

Expected<void> check_ceiling(const Policy& policy, PathResolver& resolver, const LoadScope& scope,
                             const std::string& file) {
  if (!may_exist(file)) return {};
  auto found = widenings_over(policy, resolver, file, Owners::root, scope);
  if (!found) {
    Error error = std::move(found.error());
    error.message = "the ceiling: " + error.message;
    error.step = "ceiling";
    return tl::make_unexpected(std::move(error));
  }
  if (found->empty()) return {};
  const Widening& first = found->front();
  Error error;
  error.code = ErrorCode::policy_untrusted;
  error.step = "ceiling";
  error.message = "the policy grants more than " + file + " lets any policy grant: " + first.reason;
  if (found->size() > 1) error.message += " (and " + std::to_string(found->size() - 1) + " more)";
  error.location = first.location;
  error.hint = "safe-exec policy diff " + file + " POLICY lists what is wider";
  return tl::make_unexpected(std::move(error));
}

}  // namespace safe_exec
