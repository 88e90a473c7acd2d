// Level 1. What an author should look at twice before a policy allows it: programs, subcommands and options that run
// other programs, or write, or reach out. A help for people; nothing is decided by it.
#pragma once

#include <string_view>

namespace safe_exec {

// Why; empty: nothing is known against it.
[[nodiscard]] std::string_view program_danger(std::string_view program) noexcept;
[[nodiscard]] std::string_view subcommand_danger(std::string_view subcommand) noexcept;
[[nodiscard]] std::string_view option_danger(std::string_view program, std::string_view option) noexcept;

// Programs whose first word is a subcommand.
[[nodiscard]] bool has_subcommands(std::string_view program) noexcept;

}  // namespace safe_exec
