// Level 1. One SQL statement that only reads, as SQLite has it: a strict subset, with a closed list of functions.
#pragma once

#include <string>
#include <string_view>

#include "language.h"

namespace safe_exec {

// SELECT, VALUES, WITH ... SELECT, EXPLAIN of these, and the PRAGMAs that only tell. No comments, no parameters.
[[nodiscard]] tl::expected<std::string, LanguageProblem> read_sql(std::string_view statement);

}  // namespace safe_exec
