#include "language_find.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using safe_exec::begins_find_expression;
using safe_exec::DenialCode;
using safe_exec::LanguageProblem;
using safe_exec::read_find;

namespace {

using Words = std::vector<std::string>;

tl::expected<Words, LanguageProblem> read(const Words& words) {
  return read_find(words, [](std::string_view path) -> tl::expected<std::string, LanguageProblem> {
    if (path.starts_with("/")) return tl::unexpected(LanguageProblem{DenialCode::path_outside, "below ws", "", 0});
    return "./" + std::string(path);
  });
}

std::string joined(const Words& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// The rebuilt expression, or "" when it is refused. Read again, it is the same.
std::string rebuilt(const Words& words) {
  const auto once = read(words);
  if (!once) return "";
  const auto twice = read_find(
      *once, [](std::string_view path) -> tl::expected<std::string, LanguageProblem> { return std::string(path); });
  REQUIRE(twice);
  CHECK(joined(*twice) == joined(*once));
  return joined(*once);
}

// One test with one argument.
bool takes(const char* test, const char* argument) {
  return !rebuilt({test, argument}).empty();
}

}  // namespace

TEST_CASE("find: operators are rebuilt in one spelling, with \"and\" left out") {
  CHECK(rebuilt({"-name", "a", "-a", "-name", "b"}) == "-name a -name b");
  CHECK(rebuilt({"-name", "a", "-and", "-not", "-name", "b"}) == "-name a ! -name b");
  CHECK(rebuilt({"!", "!", "-true", ",", "-false", "-or", "-true"}) == "! ! -true , -false -o -true");
  CHECK(rebuilt({"(", "(", "-true", ")", "-o", "-false", ")"}) == "( ( -true ) -o -false )");
  CHECK(rebuilt({"-iwholename", "x", "-mount"}) == "-xdev -ipath x");
}

TEST_CASE("find: a global option moves to the front only where it stands beside a test") {
  CHECK(rebuilt({"-maxdepth", "1"}) == "-maxdepth 1");
  CHECK(rebuilt({"-name", "x", "-maxdepth", "1"}) == "-maxdepth 1 -name x");
  CHECK(rebuilt({"(", "-name", "x", "-maxdepth", "1", ")", "-maxdepth", "2"}) == "-maxdepth 1 -maxdepth 2 ( -name x )");
  CHECK(rebuilt({"-daystart", "-mtime", "1"}) == "-daystart -mtime 1");
  CHECK(rebuilt({"-true", "-daystart", "-o", "-true"}) == "-true -daystart -o -true");
  CHECK(rebuilt({"-daystart"}) == "-daystart");
  for (const Words& words :
       {Words{"-maxdepth", "1", "-o", "-name", "x"}, Words{"-name", "x", "-o", "-depth"},
        Words{"(", "-maxdepth", "1", ")"}, Words{"!", "-xdev"}, Words{"-true", ",", "-noleaf"}, Words{"!", "-daystart"},
        Words{"-daystart", "-o", "-true"}, Words{"(", "-regextype", "sed", ")"}}) {
    CAPTURE(joined(words));
    CHECK(rebuilt(words).empty());
  }
}

TEST_CASE("find: arguments are typed") {
  for (const char* size : {"1", "+10k", "-3M", "100c", "2G", "1b", "1w"}) CHECK(takes("-size", size));
  for (const char* size : {"", "k", "1K", "1kk", "1.5k", "++1", "1 k", "0x1"}) CHECK_FALSE(takes("-size", size));
  for (const char* time : {"1", "-7", "+0.5", "10.25"}) CHECK(takes("-mtime", time));
  for (const char* time : {".5", "1.", "1.2.3", "1d", "-", "--1"}) CHECK_FALSE(takes("-mtime", time));
  for (const char* types : {"f", "d,f", "f,l,s,p,c,b,d"}) CHECK(takes("-type", types));
  for (const char* types : {"", "x", "ff", "f,", ",f", "f,f", "f;d", "D"}) CHECK_FALSE(takes("-type", types));
  for (const char* mode : {"644", "-0644", "/222", "00644", "u+w", "-u=rw,g-x", "/a+x", "-u+rw-x", "o=u", "u+"}) {
    CAPTURE(mode);
    CHECK(takes("-perm", mode));
  }
  for (const char* mode : {"", "+644", "+x", "888", "77777", "u", "-", "u+w,", ",u+w", "u+q", "u=ug"}) {
    CAPTURE(mode);
    CHECK_FALSE(takes("-perm", mode));
  }
  for (const char* depth : {"0", "1", "999999"}) CHECK(takes("-maxdepth", depth));
  for (const char* depth : {"-1", "+1", "01", "1000000", "x"}) CHECK_FALSE(takes("-maxdepth", depth));
  for (const char* user : {"root", "1000", "_apt", "www-data"}) CHECK(takes("-user", user));
  for (const char* user : {"-root", "a b", "a/b", ""}) CHECK_FALSE(takes("-user", user));
  CHECK(takes("-regextype", "posix-extended"));
  CHECK_FALSE(takes("-regextype", "help"));
  CHECK(takes("-newermt", "2 days ago"));
  CHECK(takes("-newermt", "@1700000000"));
  CHECK_FALSE(takes("-newermt", "`id`"));
  CHECK_FALSE(takes("-newerXY", "a"));
  CHECK_FALSE(takes("-newertt", "a"));
  CHECK(rebuilt({"-neweram", "a"}) == "-neweram ./a");
  CHECK(rebuilt({"-samefile", "/etc/passwd"}).empty());
}

TEST_CASE("find: a format holds only what find knows") {
  for (const char* format :
       {"%p", "%-10s|%5.3f\\n", "%%", "%T@ %TY-%Tm-%Td %A+ %Bd", "\\a\\0101\\c", "%#m", "%y%Y", "a"}) {
    CAPTURE(format);
    CHECK(takes("-printf", format));
  }
  for (const char* format : {"%", "\\", "%q", "%T", "%Tq", "\\x", "%(", "%1$p", "%1234567p", "%{}", "%\n"}) {
    CAPTURE(format);
    CHECK_FALSE(takes("-printf", format));
  }
}

TEST_CASE("find: nothing that executes, deletes, writes or names directories is known") {
  for (const char* word :
       {"-exec",        "-execdir", "-ok",   "-okdir", "-delete",  "-fls",      "-fprint", "-fprint0", "-fprintf",
        "-files0-from", "-follow",  "-help", "--help", "-version", "--version", "-warn",   "-context", "-H",
        "-L",           "-P",       "-D",    "-O3",    "--",       "-newer-",   "-print1", "-Name",    "-name=x"}) {
    CAPTURE(word);
    const auto answer = read({"-name", "x", word, "y", ";"});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == DenialCode::option_not_allowed);
    CHECK(answer.error().index == 2);
  }
}

TEST_CASE("find: what is no whole expression is refused, at the word that shows it") {
  const auto fails_at = [](const Words& words, std::size_t index) {
    const auto answer = read(words);
    CAPTURE(joined(words));
    REQUIRE_FALSE(answer);
    CHECK(answer.error().index == index);
  };
  fails_at({"-name"}, 0);
  fails_at({"-true", "-o"}, 1);
  fails_at({"-true", "-a"}, 1);
  fails_at({"-o", "-true"}, 0);
  fails_at({"(", "-true"}, 0);
  fails_at({"-true", ")"}, 1);
  fails_at({"(", ")"}, 1);
  fails_at({"-true", "x"}, 1);
  fails_at({"-true", ",", ",", "-true"}, 2);
  Words deep(40, "(");
  deep.push_back("-true");
  deep.insert(deep.end(), 40, ")");
  CHECK_FALSE(read(deep));
  Words wide;
  for (int i = 0; i < 5000; ++i) wide.push_back("!");
  wide.push_back("-true");
  CHECK(read(wide));
  CHECK(read({})->empty());
}

TEST_CASE("find: an expression begins where find thinks so") {
  for (const char* word : {"-name", "-x", "--", "(", ")", "!", ","}) CHECK(begins_find_expression(word));
  for (const char* word : {"", "-", "a", "(x", "!x", ",x", "./-x"}) CHECK_FALSE(begins_find_expression(word));
}
