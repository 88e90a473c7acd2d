// Level 1. The trace of a decision for people: each rule that was looked at, and the line of the policy that decided with
// a caret under the place.
#pragma once

#include <string>

#include "model.h"

namespace safe_exec {

[[nodiscard]] std::string trace_text(const Result& result, const Trace& trace);

// The line of one of the result's sources, and below it a caret under the column; empty when it is none of them. A long
// line is cut around the place.
[[nodiscard]] std::string excerpt(const Result& result, const Location& where);

}  // namespace safe_exec
