// Level 1. Filters of jq(1): a strict subset of its grammar, with a closed list of functions, rebuilt token by token.
#pragma once

#include <string>
#include <string_view>

#include "language.h"

namespace safe_exec {

// Never env, $ENV, input, inputs, input_filename, modules (import, include, a::b), and nothing that tells of the host.
[[nodiscard]] tl::expected<std::string, LanguageProblem> read_jq(std::string_view filter);

}  // namespace safe_exec
