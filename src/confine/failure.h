// Level 3. Errors of confinement and launch, each with the remedy for its usual cause. Reads the host's switches only
// when something has already failed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "child.h"
#include "model.h"

namespace safe_exec {

[[nodiscard]] std::string step_name(Step step);

// The sysctls that allow not one namespace of a kind that the layers are made of.
[[nodiscard]] std::vector<std::string> namespaces_of_none();

// What makes every other message misleading: there is no /proc to look through. Asked only when something went wrong.
[[nodiscard]] std::optional<Error> missing_proc();
// Whether there is one that shows this process, by a link in it: that costs a tenth of a look behind the link, and is asked always.
[[nodiscard]] Expected<void> require_proc();

// The remedy for what the host lacks or refuses, where the error has none of its own.
void add_hint(Error& error);

// errno's text is appended to the message; a hint is found from step and errno.
[[nodiscard]] Error launch_error(ErrorCode code, std::string message, std::string step, int sys_errno);

}  // namespace safe_exec
