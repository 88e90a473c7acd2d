#include "language_sed.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

using safe_exec::read_sed;

namespace {

// The rebuilt script with "|" for a new line, or "" when it is refused. Read again, it is the same.
std::string rebuilt(std::string_view script) {
  const auto once = read_sed(script);
  if (!once) {
    CHECK_FALSE(once.error().expected.empty());
    return "";
  }
  const auto twice = read_sed(*once);
  REQUIRE(twice);
  CHECK(*twice == *once);
  std::string shown;
  for (const char c : *once) shown += c == '\n' ? "|" : std::string(1, c);
  return shown;
}

}  // namespace

TEST_CASE("sed-print: a script is rebuilt in one spelling") {
  const std::pair<const char*, const char*> kScripts[]{
      {"p", "p"},
      {"1,200p", "1,200p"},
      {"10,20 p;20q", "10,20p;20q"},
      {"$=", "$="},
      {"$!N;P;D", "$!N;P;D"},
      {"0~3p", "0~3p"},
      {"1~2d", "1~2d"},
      {"/a/,/b/ ! { p ; d }", "/a/,/b/!{p;d;}"},
      {"/a/I,+3p", "/a/I,+3p"},
      {"2,~4p", "2,~4p"},
      {"0,/x/p", "0,/x/p"},
      {"\\,a/b,Ip", "\\,a/b,Ip"},
      {"/\\//p", "/\\//p"},
      {"s/a/b/", "s/a/b/"},
      {"s/a/b/gpi3", "s/a/b/gpI3"},
      {"s!/usr!/opt!g;s,x,y,", "s!/usr!/opt!g;s,x,y,"},
      {"s/\\(a\\)\\x1b[0-9;]*m/\\1\\n&\\U/m", "s/\\(a\\)\\x1b[0-9;]*m/\\1\\n&\\U/M"},
      {"s/a/b/ ; s/c/d/ # and so on", "s/a/b/;s/c/d/"},
      {"# nothing\np", "p"},
      {"y/abc/xyz/;y,a\\,\\n,123,", "y/abc/xyz/;y,a\\,\\n,123,"},
      {":a;N;$!ba;s/\\n/ /g", ":a|N;$!ba|s/\\n/ /g"},
      {"/x/{b};:end\ntend;T end", "/x/{b|};:end|tend|Tend"},
      {"q5", "q5"},
      {"$ q 0", "$q0"},
      {"l 80", "l80"},
      {"{;p;}", "{p;}"},
      {"h;H;g;G;x;z;n;d", "h;H;g;G;x;z;n;d"},
      {"s/é/è/", "s/é/è/"},
  };
  for (const auto& [script, expected] : kScripts) {
    CAPTURE(script);
    CHECK(rebuilt(script) == expected);
  }
}

TEST_CASE("sed-print: brackets hide a delimiter where every version of sed sees their end at one place") {
  CHECK(rebuilt("/[/]/p") == "/[/]/p");
  CHECK(rebuilt("s/[/]/x/") == "s/[/]/x/");
  CHECK(rebuilt("s/[^/]*$//") == "s/[^/]*$//");
  CHECK(rebuilt("s,[a,b],x,g") == "s,[a,b],x,g");
  CHECK(rebuilt("\\,[,],d") == "\\,[,],d");
  CHECK(rebuilt("s/[\\/]/x/") == "s/[\\/]/x/");
  CHECK(rebuilt("s/[][]/x/").empty());
  CHECK(rebuilt("s/[]]/x/") == "s/[]]/x/");
  CHECK(rebuilt("s/[[]/x/") == "s/[[]/x/");
  CHECK(rebuilt("s/[[:alpha:]_]/x/") == "s/[[:alpha:]_]/x/");
  CHECK(rebuilt("s/[]/]/x/").empty());
  CHECK(rebuilt("s/[[/]/x/").empty());
  CHECK(rebuilt("s/[[:alpha:]/]/x/").empty());
  CHECK(rebuilt("s/[[:a/b:]]/x/").empty());
  CHECK(rebuilt("s/[[:alpha]/x/").empty());
  CHECK(rebuilt("s/[\\]/x/").empty());
  CHECK(rebuilt("s/[\\n/]/x/").empty());
  CHECK(rebuilt("s/[a/x/").empty());
  CHECK(rebuilt("s/[a\n]/x/").empty());
  CHECK(rebuilt("s/[/]/;s/w evil/x/").empty());  // sed 4.9 reads the flag w here
  CHECK(rebuilt("/[/]/w evil/p").empty());
  CHECK(rebuilt("y/[/]/") == "y/[/]/");  // y has no brackets
  CHECK(rebuilt("s/a/[/") == "s/a/[/");
  CHECK(rebuilt("s|a\\|b|c|").empty());  // versions differ in what an escaped special delimiter means
  CHECK(rebuilt("s+a\\+b+c+").empty());
  CHECK(rebuilt("s.a.b.").empty());
  CHECK(rebuilt("s\\a\\b\\").empty());
  CHECK(rebuilt("sxaxbx").empty());
  CHECK(rebuilt("s a b ").empty());
}

TEST_CASE("sed-print: the text of a, i and c is the rest of the line, and nothing else") {
  const std::vector<std::pair<std::string, std::string>> kScripts{
      {"a x", "ax"},
      {"1i hello; w evil", "1ihello; w evil"},
      {"/x/,/y/c  new", "/x/,/y/cnew"},
      {"$a\\  two blanks", "$a\\  two blanks"},
      {"i\\x", "i\\x"},
      {"a\\\nclassic\np", "a\\|classic|p"},
      {"a one\\\ntwo\nd", "aone\\|two|d"},
      {"a one\\\\\nd", "aone\\\\|d"},
      {"/x/{a foo\n};p", "/x/{afoo|};p"},
      {"a x\nw", ""},
      {"a x\nw evil", ""},
      {"a", ""},
      {"a  ", ""},
      {"a\np", ""},
      {"a\\", ""},
      {"a\\\n", ""},
      {"a x\\", ""},
      {"a x\\\ny\\", ""},
      {"/x/{a foo}", ""},
  };
  for (const auto& [script, expected] : kScripts) {
    CAPTURE(script);
    CHECK(rebuilt(script) == expected);
  }
}

TEST_CASE("sed-print: nothing that executes, reads or writes a file, whatever stands in front of it or glued to it") {
  for (const char* script : {"w /Users/victim/.zshenv",
                             "1,1w/Users/victim/.zshenv",
                             "r/Users/victim/.aws/credentials",
                             "R f",
                             "W f",
                             "e",
                             "e id",
                             "1e id",
                             "s/test/touch \\/tmp\\/pwned/e",
                             "s/a/b/w f",
                             "s/a/b/gw f",
                             "s/a/b/pe",
                             "s/a/b/ge",
                             "s/a/b/Me",
                             "s/a/b/3w/dev/stdout",
                             "s/a/b/mw x",
                             "p;w x",
                             "p\nw x",
                             "{p;w x\n}",
                             "$!{e\n}",
                             "/x/w f",
                             "/x/Iw f",
                             "/x/Ie",
                             "\\,x,w f",
                             "0,/x/w f",
                             "1!w f",
                             "1!e",
                             ":a\nw f",
                             "b\nw f",
                             "y/a/b/w f",
                             "pw f",
                             "p w f",
                             "=e",
                             "q5w",
                             "F",
                             "v",
                             "L",
                             "#n",
                             "#n\np",
                             "p # x\nw f",
                             "s/a/b/#\nw f",
                             "}w f",
                             "{}w f",
                             "nw f"}) {
    CAPTURE(script);
    CHECK(rebuilt(script).empty());
  }
}

TEST_CASE("sed-print: what sed itself refuses or reads in two ways is refused") {
  for (const char* script :
       {"",          " ",           ";",          "# only",    "#",         "1",           "1,",
        ",2p",       "1,,2p",       "1!!p",       "1! !p",     "0p",        "0,5p",        "0~0p",
        "00p",       "01p",         "0!p",        "1,2q",      "1:a",       "1}",          "}",
        "{",         "{p",          "p}",         "p p",       "{p}p",      "s/a/b",       "s/a",
        "s/a/b/gg",  "s/a/b/pp",    "s/a/b/iI",   "s/a/b/0",   "s/a/b/2 3", "s/a/b/22g2",  "s/a/b/x",
        "s/a\nb/c/", "s/a/\\\nb/",  "s/a/b\n/",   "s/\\ca/b/", "s/a/\\cb/", "s/\\d065/b/", "s/\\o101/b/",
        "s/\\x4/b/", "s/a/\\q/",    "/a",         "/a/",       "/a/II p",   "\\",          "\\x",
        "y/a/bc/",   "y/a/b/g",     "y/a\\q/bc/", "y/ä/bc/",   "ba",        "b a;:b",      ":a;:a",
        ":",         ":a }",        "1~p",        "1,+p",      "1,~p",      "1~2~3p",      "q1234",
        "l1234",     "1234567890p", "p\rp",       "\xc2\xa0p"}) {
    CAPTURE(script);
    CHECK(rebuilt(script).empty());
  }
  std::string deep(40, '{');
  deep += "p" + std::string(40, '}');
  CHECK(rebuilt(deep).empty());
  CHECK(rebuilt("s/a/" + std::string(20000, 'b') + "/").empty());
}
