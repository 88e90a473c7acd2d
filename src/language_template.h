// Level 1. Templates of Go's text/template, as docker and kubectl take them for output: a strict subset, rebuilt.
#pragma once

#include <string>
#include <string_view>

#include "language.h"

namespace safe_exec {

// Text and {{ actions }}: fields, variables, pipelines, if, with, range, and a closed list of functions. Never call,
// template, define, block, js, env.
[[nodiscard]] tl::expected<std::string, LanguageProblem> read_template(std::string_view text);

}  // namespace safe_exec
