// Level 1. What a policy allows, for agents and people: every key that matters to somebody who writes a command line.
#pragma once

#include <string>
#include <string_view>

#include "model.h"

namespace safe_exec {

// Everything. command: only this one; empty: all.
[[nodiscard]] std::string show_text(const Policy& policy, std::string_view command = "");
[[nodiscard]] std::string show_json(const Policy& policy, std::string_view command = "");

// Names and subcommands, in at most 2 KiB, and how to ask for more.
[[nodiscard]] std::string show_brief_text(const Policy& policy);
[[nodiscard]] std::string show_brief_json(const Policy& policy);

}  // namespace safe_exec
