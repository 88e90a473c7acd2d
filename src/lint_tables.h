// Level 1. What lint knows about programs: names, and what their options do. Data only; one row each, to be extended.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "inline_text.h"

namespace safe_exec {

// Programs that run code which stands in their arguments, files or input.
[[nodiscard]] bool is_interpreter(std::string_view program);
// Programs that run the command which their arguments name.
[[nodiscard]] bool is_wrapper(std::string_view program);
// Programs for which GTFOBins lists a function that executes, writes or loads code.
[[nodiscard]] bool is_gtfobin(std::string_view program);

enum class OptionDanger : std::uint8_t { executes, writes, reads };
struct DangerousOption {
  Name program;  // empty: of any program
  Name option;
  OptionDanger danger;
  bool flag;  // dangerous even where it takes no value
};
[[nodiscard]] std::span<const DangerousOption> dangerous_options();
// Programs whose --output names a format or columns.
[[nodiscard]] bool output_is_a_format(std::string_view program);

// The operand that a program writes to: its index among the slots, -1 for the last.
struct OutputOperand {
  Name program;
  int slot;
};
[[nodiscard]] std::span<const OutputOperand> output_operands();

// Options and subcommands with which a client of a container or cluster leaves what it was given.
[[nodiscard]] bool is_container_client(std::string_view program);
[[nodiscard]] bool is_container_escape(std::string_view word);

// Sockets behind which something with more rights obeys.
[[nodiscard]] bool is_control_socket(std::string_view path);

}  // namespace safe_exec
