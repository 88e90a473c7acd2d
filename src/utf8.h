// Level 0. UTF-8: validation, and turning arbitrary bytes into valid text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace safe_exec {

// Decodes the character at text[0]. length is 0 when the bytes are not valid UTF-8 (overlong forms, surrogates
// and values above 10FFFF included).
struct Utf8Char { std::uint32_t code = 0; std::size_t length = 0; };
[[nodiscard]] Utf8Char decode_utf8(std::string_view text) noexcept;
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;
// Every maximal invalid sequence becomes U+FFFD; lossy (when given) is set if there was one.
[[nodiscard]] std::string to_utf8(std::string_view bytes, bool* lossy);
// The longest prefix (suffix) of bytes, at most limit long, that does not cut a valid character in two.
[[nodiscard]] std::string_view utf8_prefix(std::string_view bytes, std::size_t limit) noexcept;
[[nodiscard]] std::string_view utf8_suffix(std::string_view bytes, std::size_t limit) noexcept;

// A text that was cut off behind (before) it, without the part of a character that the cut left there.
[[nodiscard]] std::string_view utf8_whole_end(std::string_view cut) noexcept;
[[nodiscard]] std::string_view utf8_whole_begin(std::string_view cut) noexcept;

}  // namespace safe_exec
