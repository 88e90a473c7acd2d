// Level 5. Writing an answer: all of it, or a failure that the caller can answer with 125. Never waits for ever for a
// reader that does not read.
#pragma once

#include <string_view>

namespace safe_exec {

// False when fd is closed, its reader is gone, the device is full, or nothing could be written for ten seconds.
[[nodiscard]] bool write_all(int fd, std::string_view bytes);
// The answer, to standard output. Where that fails, a line on standard error says so.
[[nodiscard]] bool write_answer(std::string_view bytes);

}  // namespace safe_exec
