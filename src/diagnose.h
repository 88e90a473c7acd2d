// Level 4. Says what the confinement refused a command that failed: concluded from what the command said, or seen by a
// second run that is observed and confined as the first was.
#pragma once

#include <string>
#include <vector>

#include "child_trace.h"
#include "launch.h"
#include "model.h"

namespace safe_exec {

// From the ending and the last words of standard error. Empty for a success, and where nothing points to a refusal.
[[nodiscard]] std::vector<Blocked> conclude_blocked(const Plan& plan, const Launch& launch, const Outcome& outcome);

// From observed calls: which layer each was refused by, the likeliest causes of a failure first, at most 20. said: what the command
// wrote to standard error. without: is given what was refused too, and is in no program's way as a rule; for people.
[[nodiscard]] std::vector<Blocked> explain_refused(const Plan& plan, const Launch& launch, const std::vector<RefusedCall>& refused,
                                                   const Captured& said, std::string& without);

// Runs the plan again, observed, where the policy lets it be repeated, and puts what was refused into outcome, with a
// line about the second run. The first run's outcome stays the answer.
void diagnose(Plan& plan, const std::vector<LayerStatus>& already, Outcome& outcome);

}  // namespace safe_exec
