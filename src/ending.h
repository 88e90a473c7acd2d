// Level 4. What a command's end is told as: its own, or that of a limit.
#pragma once

#include "confine/limits.h"
#include "model.h"

namespace safe_exec {

struct Watched;

// watched: of a command that was started, and that ended, was told to stop, or had too much. limited: the layer limits holds, so
// that a failure may come of a limit that was reached.
[[nodiscard]] Ending ending_of(const Plan& plan, const LimitPlan& limits, const Watched& watched, bool limited);

}  // namespace safe_exec
