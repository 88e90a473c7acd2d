// Level 1. Scripts of sed(1) that only print: a strict subset of what GNU sed reads, rebuilt with ";" between commands
// and a new line behind those that may name a label, so that nothing depends on where sed lets a label end.
#pragma once

#include <string>
#include <string_view>

#include "language.h"

namespace safe_exec {

// Commands { } = d D g G h H l n N p P q Q s x y z : b t T and comments. Never w W r R e F i a c, never s///w or s///e.
[[nodiscard]] tl::expected<std::string, LanguageProblem> read_sed(std::string_view script);

}  // namespace safe_exec
