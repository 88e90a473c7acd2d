// Level 1. A denial while it is still being made: the key of the policy that decided, and the nodes whose hints may
// improve it. Turns into a Denial in one place, so that every denial names its rule, its line and its way out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model.h"

namespace safe_exec {

struct Refusal {
  Denial denial;                        // rule and location are filled in by finish_denial
  Place place;                          // the node or key that decided
  std::vector<const Node*> nodes = {};  // the command and the subcommands below it that were reached
};

// Entries of Denial::allowed (CONTRACT.md section 4).
inline constexpr std::size_t kMaxListed = 20;

// A requester's text as it may stand in a message: quoted, cut at 80 bytes, nothing in it that a terminal obeys.
[[nodiscard]] std::string shown(std::string_view token);

// "git diff": the names of the nodes, for messages.
[[nodiscard]] std::string title(const std::vector<const Node*>& nodes);

// The first kMaxListed of names, and the one of all that was probably meant: the shortest one that the typed text
// abbreviates, else the nearest by spelling. Only ever a suggestion.
void suggest_from(Denial& denial, std::string_view typed, const std::vector<std::string>& names);

// NAME=value, which a shell would take for a variable.
[[nodiscard]] bool is_assignment(std::string_view token);

// A word that only a shell would read: |, &&, ;, >, 2>&1, 2>/dev/null.
[[nodiscard]] bool is_operator(std::string_view token);

// Adds to the message, where a word up to the refused one is an operator of a shell (|, &&, 2>&1), that none reads it.
void note_shell(Denial& denial, const std::vector<std::string>& argv);

// Adds rule, location and what a hint of the policy says about the refused token. A token that holds a tab or a
// newline where a name was expected is control_character, whatever else it is.
[[nodiscard]] Denial finish_denial(const Policy& policy, Refusal refusal);

}  // namespace safe_exec
