// Level 3. Errors of confinement and launch, each with the remedy for its usual cause. Reads the host's switches only
// when something has already failed.
#pragma once

#include <string>

#include "child.h"
#include "model.h"

namespace safe_exec {

[[nodiscard]] std::string step_name(Step step);

// errno's text is appended to the message; a hint is found from step and errno.
[[nodiscard]] Error launch_error(ErrorCode code, std::string message, std::string step, int sys_errno);

}  // namespace safe_exec
