// Level 1. The expression of find(1): tests, operators and actions that only print. A strict subset of what GNU find
// reads, rebuilt so that global options stand first and every operator but "and" is written.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "language.h"

namespace safe_exec {

// Decides a path that a test looks at (-newer FILE), and gives the text to emit.
using FindPath = std::function<tl::expected<std::string, LanguageProblem>(std::string_view path)>;

[[nodiscard]] tl::expected<std::vector<std::string>, LanguageProblem> read_find(std::span<const std::string> words,
                                                                                const FindPath& decide_path);

// find(1)'s own rule for where the directories end: "-" and more, or one of ( ) ! ,
[[nodiscard]] bool begins_find_expression(std::string_view word);

}  // namespace safe_exec
