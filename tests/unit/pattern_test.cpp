#include "pattern.h"

#include <doctest/doctest.h>
#include <re2/re2.h>

#include <random>
#include <string>
#include <string_view>

using safe_exec::glob_matches;
using safe_exec::glob_may_match_below;
using safe_exec::pattern_problem;
using safe_exec::PatternCache;
using safe_exec::split_repeats;
using Match = safe_exec::PatternCache::Match;

namespace {

Match match(std::string_view pattern, std::string_view text) {
  return PatternCache().full_match(pattern, text);
}

template <std::size_t N>
std::string pick(std::mt19937& random, const char* const (&choices)[N]) {
  return choices[random() % N];
}

// Patterns in and around the part that is matched without the engine.
std::string random_pattern(std::mt19937& random) {
  constexpr const char* kSets[] = {
      "a",     "b",     "[ab]",    "[a-c]",   "[^a]", ".",   "\\.",     "-",           "[a-]",  "[-a]",
      "[]a]",  "(a)",   "a|b",     "\\d",     "é",    "[é]", "[a-b-c]", "[\\-a]",      "[b-a]", "[--a]",
      "{",     "}",     "]",       "^",       "$",    "\\",  "\\x61",   "[[:alpha:]]", "[a",    "[A-Za-z0-9._]",
      "[\\w]", "(?i)a", "\\Qa\\E", "[a\\]b]", "\\A",  "\\b", "[+--]",   "_",           "\\_",   " "};
  constexpr const char* kRepeats[] = {"",      "",       "",       "*",        "+",  "?",     "{2}",
                                      "{0,3}", "{1,}",   "{0}",    "*?",       "**", "{3,1}", "{,2}",
                                      "{1,2",  "{1}{2}", "{01,2}", "{0,1001}", "??", "+{2}"};
  std::string pattern;
  for (std::size_t i = random() % 5; i > 0; --i) pattern += pick(random, kSets) + pick(random, kRepeats);
  return pattern;
}

std::string random_text(std::mt19937& random) {
  constexpr const char* kPieces[] = {"a", "a",  "b", "c",    "-", ".", "é", "]",
                                     "A", "\n", "{", "\xff", "_", " ", "+", "1"};
  std::string text;
  for (std::size_t i = random() % 9; i > 0; --i) text += pick(random, kPieces);
  return text;
}

// Groups, alternatives and repetitions on both sides of what split_repeats leaves whole; some RE2 refuses.
std::string random_nested(std::mt19937& random, int depth) {
  constexpr const char* kSets[] = {"a", "b", "[ab]", "[a-c-]", "\\.", "\\-", " ", "(?i)a", "[^b]", "."};
  constexpr const char* kRepeats[] = {"",       "",      "*",   "+",      "?",       "{0,11}", "{11}",  "{3,25}",
                                      "{9,12}", "{12,}", "{0}", "{0,20}", "{20,21}", "{2,3}",  "{10,}", "{10}"};
  constexpr const char* kGroups[] = {"(", "(?:"};
  constexpr const char* kGroupRepeats[] = {"", "", "?", "*", "{0,2}", "{1,3}", "{2}", "+", "{1,2}?"};
  std::string pattern;
  for (std::size_t i = 1 + random() % 3; i > 0; --i) {
    if (depth > 0 && random() % 3 == 0) {
      pattern += pick(random, kGroups) + random_nested(random, depth - 1) + ")" + pick(random, kGroupRepeats);
    } else {
      const std::size_t plain = random() % 16 == 0 ? 10 : 7;  // the last three are not read by the splitter
      pattern += std::string(kSets[random() % plain]) + pick(random, kRepeats);
    }
    if (random() % 6 == 0) pattern += "|";
  }
  return pattern;
}

// Runs, so that a count just below, at and above a bound comes up.
std::string random_runs(std::mt19937& random) {
  constexpr const char* kPieces[] = {"a", "a", "a", "b", "ab", "c", ".", "-", " ", "A"};
  std::string text;
  for (std::size_t i = random() % 4; i > 0; --i) {
    const std::string piece = pick(random, kPieces);
    for (std::size_t n = random() % 30; n > 0; --n) text += piece;
  }
  return text;
}

}  // namespace

TEST_CASE("pattern: a pattern must match the whole text") {
  CHECK(match("[a-z]+", "abc") == Match::yes);
  CHECK(match("[a-z]+", "abc1") == Match::no);
  CHECK(match("[a-z]+", "1abc") == Match::no);
  CHECK(match("ls", "ls; touch x") == Match::no);
  CHECK(match("a|b", "ab") == Match::no);
  CHECK(match("a$", "a\n") == Match::no);
  CHECK(match("(?m)a$", "a\nb") == Match::no);
  CHECK(match("", "") == Match::yes);
  CHECK(match("", "a") == Match::no);
  CHECK(match(".", "é") == Match::yes);  // characters, not bytes
  CHECK(match(".", "\xff") == Match::no);
}

TEST_CASE("pattern: a text of 128 KiB does not make a nested repetition backtrack") {
  const std::string all_a(128U << 10U, 'a');
  CHECK(match("(a+)+$", all_a) == Match::yes);
  CHECK(match("(a+)+$", all_a + "!") == Match::no);
  CHECK(match("(a|aa)*(a|aa)*b", all_a) == Match::no);
  CHECK(match("a*a*a*a*b", all_a) == Match::no);
  CHECK(match("a*a*a*a*", all_a) == Match::yes);
}

TEST_CASE("pattern: what the engine refuses is a problem, and never matches") {
  for (const char* bad : {"(a", "a**", "[b-a]", "a{1001}", "\\1", "(?=a)", "(?<!a)b", "a{3,1}"}) {
    CAPTURE(bad);
    CHECK_FALSE(pattern_problem(bad).empty());
    CHECK(match(bad, "a") == Match::invalid);
  }
  for (const char* good : {"", "a", "[a-z]{0,127}", "(a+)+$", "[A-Za-z0-9_-]+\\.log", "[^/]*"}) {
    CAPTURE(good);
    CHECK(pattern_problem(good).empty());
  }
  CHECK(pattern_problem("((((\\pL{1,100}){1,100}){1,100}){1,100})").find("large") ==
        std::string::npos);  // RE2: bad repeat
  CHECK_FALSE(pattern_problem("((((\\pL{1,100}){1,100}){1,100}){1,100})").empty());
}

TEST_CASE("pattern: a program and a text that are both huge meet the limit instead of taking minutes") {
  const std::string text(1U << 20U, 'x');
  CHECK(match("(\\pL{1,100}|\\pN){1,3}", text) == Match::limit);
  CHECK(match("(\\pL{1,100}|\\pN){1,3}", "x") == Match::yes);
}

TEST_CASE("pattern: sequences matched directly agree with the engine on random patterns and texts") {
  std::mt19937 random(20240607);  // fixed: a failure must be repeatable
  re2::RE2::Options options;
  options.set_log_errors(false);
  int compiled = 0, matched = 0;
  for (int i = 0; i < 4000; ++i) {
    const std::string pattern = random_pattern(random);
    const re2::RE2 engine(pattern, options);
    PatternCache cache;
    CAPTURE(pattern);
    REQUIRE(pattern_problem(pattern).empty() == engine.ok());
    if (!engine.ok()) continue;
    ++compiled;
    for (int j = 0; j < 12; ++j) {
      const std::string text = random_text(random);
      CAPTURE(text);
      const bool expected = re2::RE2::FullMatch(text, engine);
      matched += expected ? 1 : 0;
      REQUIRE(cache.full_match(pattern, text) == (expected ? Match::yes : Match::no));
    }
  }
  CHECK(compiled > 1000);
  CHECK(matched > 500);
}

TEST_CASE("pattern: bounds of a direct repetition are exact") {
  CHECK(match("[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", std::string(128, 'a')) == Match::yes);
  CHECK(match("[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", std::string(129, 'a')) == Match::no);
  CHECK(match("a{2,3}a{2}", "aaa") == Match::no);
  CHECK(match("a{2,3}a{2}", "aaaa") == Match::yes);
  CHECK(match("a{2,3}a{2}", "aaaaaa") == Match::no);
  CHECK(match("[ab]*a{3}", "abaaa") == Match::yes);
  CHECK(match("[ab]*a{3}", "abaab") == Match::no);
}

TEST_CASE("pattern: nested repetition above the engine's bound is matched exactly") {
  const std::string part = "[A-Za-z0-9_][A-Za-z0-9._~^@{}-]{0,127}";
  const std::string rev = part + "(/" + part + "){0,8}";
  re2::RE2::Options quiet;
  quiet.set_log_errors(false);
  REQUIRE(re2::RE2(rev, quiet).error_code() == re2::RE2::ErrorRepeatSize);  // else this test shows nothing
  CHECK(pattern_problem(rev).empty());
  const std::string longest(128, 'a');
  std::string nine = longest;
  for (int i = 0; i < 8; ++i) nine += "/" + longest;
  for (const std::string& text : {std::string("main"), std::string("HEAD~3"), std::string("origin/main"),
                                  std::string("v1.0^{}"), std::string("HEAD@{1}"), longest, nine}) {
    CAPTURE(text);
    CHECK(match(rev, text) == Match::yes);
  }
  for (const std::string& text : {std::string(), std::string("-x"), std::string("a//b"), std::string("a/"),
                                  std::string("/a"), std::string("a/-b"), std::string("a b"), std::string("a:b"),
                                  longest + "a", nine + "a", nine + "/a", "a/" + longest + "a"}) {
    CAPTURE(text);
    CHECK(match(rev, text) == Match::no);
  }
  CHECK(match("(a{1000}b){1,2}", std::string(1000, 'a') + "b") == Match::yes);
  CHECK(match("(a{1000}b){1,2}", std::string(999, 'a') + "b") == Match::no);
  CHECK(match("(a{600,}b){2}", std::string(600, 'a') + "b" + std::string(900, 'a') + "b") == Match::yes);
  CHECK(match("(a{600,}b){2}", std::string(600, 'a') + "b" + std::string(599, 'a') + "b") == Match::no);
}

TEST_CASE("pattern: a repetition is split into an equal one, and what is not read with certainty stays") {
  CHECK(split_repeats("X{0,25}") == "(?:X{0,10}X{0,10}X{0,5})");
  CHECK(split_repeats("[ab]{13,25}") == "(?:[ab]{10,10}[ab]{3,10}[ab]{0,5})");
  CHECK(split_repeats("(\\.{12,}|b){0,80}") == "((?:\\.{10,10}\\.{2,})|b){0,80}");
  for (const char* same : {"", "a{10}b*c+", "(?i)a{20}", "a{20}?", "a{20}{2}", "\\pL{20}", "\\Qa{20}\\E", "[^a]{20}",
                           "a{0,1001}", "(*a{20})", "(?P<n>a{20})", "a{20}\\", "a{020}", "é{20}"}) {
    CAPTURE(same);
    CHECK(split_repeats(same) == same);
  }
  const std::string huge = "[" + std::string(4096, 'a') + "]{20}";
  CHECK(split_repeats(huge) == huge);
}

TEST_CASE("pattern: what splitting cannot help keeps the engine's words for the pattern as written") {
  re2::RE2::Options quiet;
  quiet.set_log_errors(false);
  for (const char* bad : {"(a{0,1001}b){2}", "((a{20}b){40}c){40}", "(\\pL{0,127}/){0,9}", "(a{20}{2}|b){60}"}) {
    CAPTURE(bad);
    const re2::RE2 engine(bad, quiet);
    REQUIRE_FALSE(engine.ok());
    CHECK(pattern_problem(bad) == engine.error());
    CHECK(match(bad, "a") == Match::invalid);
  }
}

TEST_CASE("pattern: a split pattern agrees with the one it came from on random patterns and texts") {
  std::mt19937 random(20240608);
  re2::RE2::Options quiet;
  quiet.set_log_errors(false);
  int changed = 0, matched = 0, missed = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::string pattern = random_nested(random, 2);
    const std::string split = split_repeats(pattern);
    const re2::RE2 engine(pattern, quiet), other(split, quiet);
    CAPTURE(pattern);
    CAPTURE(split);
    if (!engine.ok()) continue;
    REQUIRE(other.ok());
    if (split == pattern) continue;
    ++changed;
    for (int j = 0; j < 20; ++j) {
      const std::string text = random_runs(random);
      CAPTURE(text);
      const bool expected = re2::RE2::FullMatch(text, engine);
      ++(expected ? matched : missed);
      REQUIRE(re2::RE2::FullMatch(text, other) == expected);
    }
  }
  CHECK(changed > 1000);
  CHECK(matched > 500);
  CHECK(missed > 500);
}

TEST_CASE("glob: names match at any depth, ASCII case-insensitively") {
  CHECK(glob_matches("**/.env", "/w/.env"));
  CHECK(glob_matches("**/.env", "/.env"));
  CHECK(glob_matches("**/.env", "/w/a/b/.ENV"));
  CHECK(glob_matches(".env", "/w/a/.env"));
  CHECK_FALSE(glob_matches("**/.env", "/w/.envrc"));
  CHECK_FALSE(glob_matches("**/.env", "/w/x.env"));
  CHECK(glob_matches("**/.env.*", "/w/.env.local"));
  CHECK(glob_matches("**/*.pem", "/w/Key.PEM"));
  CHECK_FALSE(glob_matches("**/*.pem", "/w/key.pem.txt"));
}

TEST_CASE("glob: X/** matches X, and what lies below a match matches") {
  CHECK(glob_matches("**/.ssh/**", "/home/u/.ssh"));
  CHECK(glob_matches("**/.ssh/**", "/home/u/.ssh/id_rsa"));
  CHECK(glob_matches("**/.ssh/**", "/home/u/.ssh/a/b"));
  CHECK(glob_matches("/root", "/root/x/y"));
  CHECK(glob_matches("/root/**", "/root"));
  CHECK(glob_matches("**/.env", "/w/.env/inside"));
  CHECK(glob_matches("/a/*/c", "/a/b/c/d"));
}

TEST_CASE("glob: an anchored glob takes whole components and never a sibling's prefix") {
  CHECK_FALSE(glob_matches("/root", "/rootkit"));
  CHECK_FALSE(glob_matches("/root", "/w/root"));
  CHECK_FALSE(glob_matches("/root/**", "/"));
  CHECK_FALSE(glob_matches("/opt/livos/**", "/opt/livos-evil/x"));
  CHECK_FALSE(glob_matches("/a/*", "/a"));
  CHECK_FALSE(glob_matches("/a/*/c", "/a/b/x/c"));
  CHECK(glob_matches("/a/**/c", "/a/c"));
  CHECK(glob_matches("/a/**/c", "/a/b/x/c"));
  CHECK(glob_matches("/", "/anything"));
  CHECK(glob_matches("/a//./b/", "/a/b"));
}

TEST_CASE("glob: brackets and backslashes are themselves, a question mark is one character") {
  CHECK(glob_matches("/w/[id]", "/w/[id]"));
  CHECK_FALSE(glob_matches("/w/[id]", "/w/i"));
  CHECK(glob_matches("/w/a\\*", "/w/a\\b"));
  CHECK_FALSE(glob_matches("/w/a\\*", "/w/a*"));
  CHECK(glob_matches("/w/?", "/w/é"));
  CHECK_FALSE(glob_matches("/w/??", "/w/é"));
  CHECK_FALSE(glob_matches("/w/*??", "/w/\xe2\x82\xac"));  // one euro sign
  CHECK(glob_matches("/w/?", "/w/\xff"));
  CHECK(glob_matches("/w/a*b*c", "/w/aXXbYYc"));
  CHECK_FALSE(glob_matches("/w/a*b*c", "/w/aXXbYY"));
  CHECK_FALSE(glob_matches("/w/*", "/w"));
}

TEST_CASE("glob: many stars stay polynomial") {
  std::string glob, path;
  for (int i = 0; i < 30; ++i) glob += "**/a*a*a*a*b/";
  for (int i = 0; i < 200; ++i) path += "/" + std::string(100, 'a');
  CHECK_FALSE(glob_matches(glob, path));
  CHECK(glob_matches("**/**/**/**/x", path + "/x"));
}

TEST_CASE("glob: a directory above a possible match is told from one that has none below") {
  CHECK(glob_may_match_below("/w/secret", "/w"));
  CHECK(glob_may_match_below("/w/secret", "/"));
  CHECK(glob_may_match_below("/w/secret/**", "/w/secret"));
  CHECK(glob_may_match_below("/w/*/key", "/w/a"));
  CHECK_FALSE(glob_may_match_below("/w/secret", "/w/src"));
  CHECK_FALSE(glob_may_match_below("/w/secret", "/w2"));
  CHECK_FALSE(glob_may_match_below("/w/*/key", "/w/a/b"));
  CHECK(glob_may_match_below("**/.env", "/anything/at/all"));
  CHECK(glob_may_match_below("/a/**/.env", "/a/b/c"));
  CHECK_FALSE(glob_may_match_below("/a/**/.env", "/b"));
}
