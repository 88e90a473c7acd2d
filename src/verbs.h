// Level 5. One function a verb: what it prints and its exit status (CONTRACT.md section 2).
#pragma once

#include "narrower.h"
#include "options.h"

namespace safe_exec {

[[nodiscard]] int run_verb(const Invocation& in);
[[nodiscard]] int check_verb(const Invocation& in);
[[nodiscard]] int policy_validate_verb(const Invocation& in);
[[nodiscard]] int policy_test_verb(const Invocation& in);
[[nodiscard]] int policy_lint_verb(const Invocation& in);
[[nodiscard]] int policy_show_verb(const Invocation& in);
[[nodiscard]] int policy_schema_verb();
[[nodiscard]] int policy_diff_verb(const Invocation& in);
[[nodiscard]] int policy_suggest_verb(const Invocation& in);
[[nodiscard]] int policy_fmt_verb(const Invocation& in);
[[nodiscard]] int doctor_verb(const Invocation& in);

// What --narrower-than found, in the form that the verb and --output ask for; the verb's status for it.
[[nodiscard]] int refuse_wider(const Invocation& in, const std::vector<Widening>& wider);

// Prints an error in the form that the verb and --output ask for; the verb's status for it.
[[nodiscard]] int fail(const Invocation& in, const Error& error);

}  // namespace safe_exec
