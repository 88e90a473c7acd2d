// Level 1. A policy's text in its one layout: two spaces, what is short on one line of at most 120 columns, comments
// kept. Changes no value, no key and no order.
#pragma once

#include <string>
#include <string_view>

#include "model.h"

namespace safe_exec {

// Errors: policy_invalid, when it is not JSON; internal, when the layout would say something else than the text.
[[nodiscard]] Expected<std::string> format_json(std::string file, std::string text);

}  // namespace safe_exec
