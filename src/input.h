// Level 5. Reading what the command line names: a file or standard input, whole and bounded.
#pragma once

#include <string>

#include "model.h"

namespace safe_exec {

// name: "-" is standard input. what: "the request", for the message. At most 8 MiB.
[[nodiscard]] Expected<std::string> read_input(const std::string& name, ErrorCode code, const std::string& what);

}  // namespace safe_exec
