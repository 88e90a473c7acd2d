// Level 1. Whether one token is a value of a type, and its canonical text. Paths are composed here (lists,
// unions) but decided by the caller, which has the resolver.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model.h"
#include "pattern.h"

namespace safe_exec {

struct ValueFailure {
  DenialCode code = DenialCode::operand_invalid;  // operand_invalid, control_character, pattern_limit, path_*
  std::string expected;                           // "an integer from 0 to 100", "one of v1, v2", ...
  std::vector<std::string> allowed;               // for enumerations
  std::string suggestion;                         // nearest choice
  std::string protecting = {};                    // path_denied: the glob of deny_paths
};

using ValueResult = tl::expected<std::string, ValueFailure>;  // canonical text

// Decides a path element of a value: returns the text to emit, or why not.
using PathDecider = std::function<ValueResult(const Type&, std::string_view token)>;

// What every token must satisfy before anything reads it (POLICY.md 3.0): valid UTF-8, no noncharacter, no
// control or bidirectional-formatting character. allow_lines lets tab and newline through.
[[nodiscard]] tl::expected<void, DenialCode> check_text(std::string_view token, bool allow_lines);

[[nodiscard]] ValueResult match_value(const Type& type, std::string_view token, PatternCache& patterns,
                                      const PathDecider& decide_path);

// All words that remain of a line, for a type with `rest`: the words to emit, or why not and which word.
struct WordsFailure {
  ValueFailure failure;
  std::size_t index = 0;
};
[[nodiscard]] tl::expected<std::vector<std::string>, WordsFailure> match_words(const Type& type,
                                                                               std::span<const std::string> words,
                                                                               PatternCache& patterns,
                                                                               const PathDecider& decide_path);

// "a file below /opt", "an integer from 1 to 10", ... for messages and `policy show`.
[[nodiscard]] std::string describe(const Type& type);

// Whether some value of the type may hold tab or newline (text with multiline).
[[nodiscard]] bool allows_lines(const Type& type);

// Whether a caller may never set this variable unless unsafe_env lists it (POLICY.md section 7).
[[nodiscard]] bool is_channel_variable(std::string_view name);
// A caller's TZ, LANG, LC_*, LANGUAGE: never begins with '/' or ':', holds no "..".
[[nodiscard]] bool is_safe_locale_value(std::string_view name, std::string_view value);

}  // namespace safe_exec
