// Level 0. "Did you mean": the nearest of some names, for every place where a person or an agent typed one.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace safe_exec {

// The candidate at the smallest edit distance, when that is small enough to be a likely slip (at most a third
// of the length, at most 3); else empty.
[[nodiscard]] std::string nearest_name(std::string_view typed, std::span<const std::string> candidates);
[[nodiscard]] std::string nearest_name(std::string_view typed, std::span<const std::string_view> candidates);

}  // namespace safe_exec
