// Level 5. What doctor has itself try inside the sandbox. Each attempt is harmless where it succeeds.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace safe_exec {

// argv[0] by which doctor starts itself inside: no option, so nothing that a requester says reaches it.
inline constexpr std::string_view kAttemptsName = "safe-exec-attempts";

// Tries everything and prints a line each: "open NAME" or "shut NAME". outsider: a process that must be out of reach.
[[nodiscard]] int try_attempts(int outsider);

// What was open of what try_attempts printed; what is not one answer an attempt counts as open too.
[[nodiscard]] std::vector<std::string> open_attempts(std::string_view printed);

}  // namespace safe_exec
