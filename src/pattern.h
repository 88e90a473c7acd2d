// Level 1. Regular expressions (RE2) and path globs. The only file that knows the regex engine. Linear time,
// full match only, bounded memory; a pattern is compiled when it is first needed, not when a policy is loaded.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "model.h"

namespace safe_exec {

class PatternCache {
 public:
  PatternCache();
  ~PatternCache();
  PatternCache(const PatternCache&) = delete;
  PatternCache& operator=(const PatternCache&) = delete;

  enum class Match : std::uint8_t { yes, no, limit, invalid };  // limit: the engine's memory bound was met
  [[nodiscard]] Match full_match(std::string_view pattern, std::string_view text);
  // The first pattern that did not compile; empty: none so far.
  [[nodiscard]] const std::string& invalid() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Empty when the pattern is inside RE2's language and bounds; else why not.
[[nodiscard]] std::string pattern_problem(std::string_view pattern);

// The same language written with shorter repetitions of a character or class: X{0,25} as
// (?:X{0,10}X{0,10}X{0,5}). RE2 bounds the product of nested maxima by 1000 although X{0,127}(/X{0,127}){0,8} is
// small enough for its memory bound; what it refuses for that is tried once more in this form. A pattern that is
// not read here with certainty is returned as it is.
[[nodiscard]] std::string split_repeats(std::string_view pattern);

// Whether an absolute path, without "." and "..", is the directory or lies below it.
[[nodiscard]] bool is_within(std::string_view path, std::string_view directory) noexcept;

// Globs of deny_paths on an absolute physical path: '*' and '?' within a component, '**' any number of
// components, ASCII case-insensitive; "X/**" matches X too; what lies below a match matches.
// A glob that does not begin with '/' is anchored nowhere ("**/.env").
[[nodiscard]] bool glob_matches(std::string_view glob, std::string_view path);
// Whether something strictly below directory could match (so that a grant of it has to be made around matches).
[[nodiscard]] bool glob_may_match_below(std::string_view glob, std::string_view directory);

}  // namespace safe_exec
