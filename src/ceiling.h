// Level 2. A policy held against another one on this host: the administrator's ceiling, or a base that the operator
// names. Roots are compared as the kernel resolves them now.
#pragma once

#include <string>
#include <vector>

#include "evaluate.h"
#include "narrower.h"
#include "policy.h"
#include "trust.h"

namespace safe_exec {

inline constexpr const char* kCeiling = "/etc/safe-exec/ceiling.json";

// Every way in which the policy grants more than the one at base, which is loaded with its own variables and only as
// far as scope says. Errors: the base's own, as load_policy's; owners: who may own its files.
[[nodiscard]] Expected<std::vector<Widening>> widenings_over(const Policy& policy, PathResolver& resolver,
                                                             const std::string& base, Owners owners,
                                                             const LoadScope& scope);

// policy_untrusted, with the place of the first widening, when there is a ceiling and the policy grants more. Nothing
// is read when there is none.
[[nodiscard]] Expected<void> check_ceiling(const Policy& policy, PathResolver& resolver, const LoadScope& scope,
                                           const std::string& file = kCeiling);

}  // namespace safe_exec
