// Owns UTF-8 decoding (RFC 3629). Never looks at what the text means.
#include "utf8.h"

#include <algorithm>
#include <cstring>

namespace safe_exec {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

std::uint32_t byte_at(std::string_view text, std::size_t i) noexcept {
  return static_cast<unsigned char>(text[i]);
}

bool is_continuation(std::uint32_t byte) noexcept {
  return (byte & 0xC0U) == 0x80U;
}

// The second byte's range depends on the first (RFC 3629 section 4): no overlong forms, no surrogates, nothing
// above 10FFFF.
bool second_byte_fits(std::uint32_t first, std::uint32_t second) noexcept {
  switch (first) {
    case 0xE0:
      return second >= 0xA0 && second <= 0xBF;
    case 0xED:
      return second >= 0x80 && second <= 0x9F;
    case 0xF0:
      return second >= 0x90 && second <= 0xBF;
    case 0xF4:
      return second >= 0x80 && second <= 0x8F;
    default:
      return is_continuation(second);
  }
}

std::size_t sequence_length(std::uint32_t first) noexcept {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return 2;
  if (first >= 0xE0 && first <= 0xEF) return 3;
  if (first >= 0xF0 && first <= 0xF4) return 4;
  return 0;
}

// How many bytes at the start of text form a valid beginning of a character (Unicode 3.9, "maximal subpart").
std::size_t valid_bytes(std::string_view text, std::size_t length) noexcept {
  std::size_t n = 1;
  while (n < length && n < text.size()) {
    const bool fits = n == 1 ? second_byte_fits(byte_at(text, 0), byte_at(text, 1)) : is_continuation(byte_at(text, n));
    if (!fits) break;
    ++n;
  }
  return n;
}

std::size_t ascii_prefix(std::string_view text) noexcept {
  std::size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + i, 8);
    if ((word & 0x8080808080808080U) != 0) break;
  }
  while (i < text.size() && byte_at(text, i) < 0x80) ++i;
  return i;
}

}  // namespace

Utf8Char decode_utf8(std::string_view text) noexcept {
  if (text.empty()) return {};
  const std::uint32_t first = byte_at(text, 0);
  const std::size_t length = sequence_length(first);
  if (length == 0 || valid_bytes(text, length) != length) return {};
  if (length == 1) return {first, 1};
  std::uint32_t code = first & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) code = (code << 6U) | (byte_at(text, i) & 0x3FU);
  return {code, length};
}

bool is_utf8(std::string_view text) noexcept {
  while (true) {
    text.remove_prefix(ascii_prefix(text));
    if (text.empty()) return true;
    const Utf8Char character = decode_utf8(text);
    if (character.length == 0) return false;
    text.remove_prefix(character.length);
  }
}

std::string to_utf8(std::string_view bytes, bool* lossy) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const std::size_t ascii = ascii_prefix(bytes);
    out.append(bytes.substr(0, ascii));
    bytes.remove_prefix(ascii);
    if (bytes.empty()) break;
    std::size_t length = decode_utf8(bytes).length;
    if (length != 0) {
      out.append(bytes.substr(0, length));
    } else {
      const std::size_t wanted = sequence_length(byte_at(bytes, 0));
      length = wanted == 0 ? 1 : valid_bytes(bytes, wanted);
      out.append(kReplacement);
      if (lossy != nullptr) *lossy = true;
    }
    bytes.remove_prefix(length);
  }
  return out;
}

std::string_view utf8_prefix(std::string_view bytes, std::size_t limit) noexcept {
  if (bytes.size() <= limit) return bytes;
  // A character that the cut would split begins at most three bytes before it.
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, limit); ++back) {
    const std::size_t start = limit - back;
    if (is_continuation(byte_at(bytes, start))) continue;
    if (decode_utf8(bytes.substr(start)).length > back) return bytes.substr(0, start);
    break;
  }
  return bytes.substr(0, limit);
}

std::string_view utf8_suffix(std::string_view bytes, std::size_t limit) noexcept {
  if (bytes.size() <= limit) return bytes;
  const std::size_t cut = bytes.size() - limit;
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, cut); ++back) {
    const std::size_t start = cut - back;
    if (is_continuation(byte_at(bytes, start))) continue;
    const std::size_t length = decode_utf8(bytes.substr(start)).length;
    if (length > back) return bytes.substr(start + length);
    break;
  }
  return bytes.substr(cut);
}

std::string_view utf8_whole_end(std::string_view cut) noexcept {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, cut.size()); ++back) {
    const std::size_t start = cut.size() - back;
    if (is_continuation(byte_at(cut, start))) continue;
    const std::size_t wanted = sequence_length(byte_at(cut, start));
    return wanted > back && valid_bytes(cut.substr(start), wanted) == back ? cut.substr(0, start) : cut;
  }
  return cut;
}

std::string_view utf8_whole_begin(std::string_view cut) noexcept {
  std::size_t part = 0;
  while (part < std::min<std::size_t>(4, cut.size()) && is_continuation(byte_at(cut, part))) ++part;
  return part <= 3 ? cut.substr(part) : cut;  // of more no character is the end
}

}  // namespace safe_exec
