// Level 1. JSON to Request (CONTRACT.md section 3): strict, every error with its place.
#pragma once

#include <string>

#include "model.h"

namespace safe_exec {

// file is only for messages ("request", "-", a path).
[[nodiscard]] Expected<Request> parse_request(std::string file, std::string text);

}  // namespace safe_exec
