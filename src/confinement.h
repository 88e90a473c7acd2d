// Level 1. What a plan grants and which layers hold it, as check --explain shows it (CONTRACT.md section 4).
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "model.h"

namespace safe_exec {

// The object "confinement"; all text in it is escaped.
[[nodiscard]] nlohmann::ordered_json confinement_json(const Plan& plan);

}  // namespace safe_exec
