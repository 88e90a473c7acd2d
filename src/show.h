// Level 1. What a policy allows, for agents and people: every key that matters to somebody who writes a command line.
#pragma once

#include <string>

#include "model.h"

namespace safe_exec {

[[nodiscard]] std::string show_text(const Policy& policy);
[[nodiscard]] std::string show_json(const Policy& policy);

}  // namespace safe_exec
