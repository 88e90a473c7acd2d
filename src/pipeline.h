// Level 5. The whole program: request, policy, decision, confinement, outcome. Every verb that decides is this line,
// stopped at some point.
#pragma once

#include <vector>

#include "model.h"
#include "narrower.h"
#include "options.h"

namespace safe_exec {

enum class StopAfter : std::uint8_t { decision, outcome };

// Never fails: what went wrong stands in the Result. trace, when not null, is filled, and the plan is completed as
// far as that is possible without creating anything, so that it can be shown whole.
// wider: with --narrower-than, where the policy grants this command more than the base; then nothing is decided.
[[nodiscard]] Result answer(const Invocation& in, StopAfter stop, Trace* trace, std::vector<Widening>* wider = nullptr);

// anywhere: nothing is said about this host, so that what a variable stands for by default may be missing on it.
enum class Host : std::uint8_t { here, anywhere };

// Whether the error is not the policy's but that of the place in which it is looked at.
[[nodiscard]] bool is_elsewhere(const Error& error, Host host);

// For the policy verbs: the policy that the options name, loaded whole.
[[nodiscard]] Expected<Policy> load_whole(const Invocation& in, Host host);

// Every way in which that policy grants more than the one that --narrower-than names.
[[nodiscard]] Expected<std::vector<Widening>> widenings_over_base(const Invocation& in);

}  // namespace safe_exec
