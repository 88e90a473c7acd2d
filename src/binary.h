// Level 2. Which file a command's `path` is, and whether it is the one that the policy trusts: type, owners of every
// directory above, modes, setuid, file capabilities, digest, and for a #! file its interpreter. Never executes it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "evaluate.h"
#include "trust.h"

namespace safe_exec {

// exec: the command's sandbox.exec, expanded. as_named: the one of command.paths to take; empty: the first that exists.
[[nodiscard]] PathResult<Binary> identify_binary(const Command& command, std::string_view as_named,
                                                 const std::vector<std::string>& exec);

// One executable file: everything above except digest and #!.
[[nodiscard]] PathResult<Walked> check_executable(const std::string& path, Trust trust);

// That the file's #! line names; empty: there is none, or it cannot be read.
[[nodiscard]] std::string interpreter_of(const std::string& path);

}  // namespace safe_exec
