// Level 1. Result, Decision and Plan to JSON with a fixed key order (CONTRACT.md section 4), and their exit status.
#pragma once

#include <string>
#include <string_view>

#include "model.h"

namespace safe_exec {

enum class Layout : std::uint8_t { compact, pretty };

// One object and a final newline.
[[nodiscard]] std::string result_json(const Result& result, Layout layout);
[[nodiscard]] int run_exit_status(const Result& result);

// The answer of `check`: {"schema":"safe-exec/check/v1","id","decision","allowed","denied","error","command",
// "clamped","policy"} and, with a trace, "trace" and "confinement".
[[nodiscard]] std::string check_json(const Result& result, const Trace* trace, Layout layout);
[[nodiscard]] std::string check_text(const Result& result, const Trace* trace);
[[nodiscard]] int check_exit_status(const Result& result);

// Text as it may stand in a report: what would break a line, hide or reorder text is written as an escape.
[[nodiscard]] std::string printable_text(std::string_view text);

// {"schema":"safe-exec/error/v1","error":{...}}, for verbs that have no result of their own.
[[nodiscard]] std::string error_json(const Error& error, Layout layout);
// "safe-exec: policy.json:3:14: ..." and the lines that help, for people.
[[nodiscard]] std::string error_text(const Error& error);

}  // namespace safe_exec
