#include "language_jq.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>

using safe_exec::read_jq;

namespace {

// The rebuilt filter, or "" when it is refused. Read again, it is the same.
std::string rebuilt(std::string_view filter) {
  const auto once = read_jq(filter);
  if (!once) {
    CHECK_FALSE(once.error().expected.empty());
    return "";
  }
  const auto twice = read_jq(*once);
  REQUIRE(twice);
  CHECK(*twice == *once);
  return *once;
}

}  // namespace

TEST_CASE("jq: a filter is rebuilt token by token") {
  const std::pair<const char*, const char*> kFilters[]{
      {".", "."},
      {"..", ".."},
      {".foo.bar", ".foo.bar"},
      {" .foo\n| .bar ", ".foo | .bar"},
      {".[0]", ".[0]"},
      {".a[].b?", ".a[].b?"},
      {".[2:4],.[:-1],.[1:]", ".[2: 4], .[: - 1], .[1:]"},
      {".\"a b\"", ". \"a b\""},
      {".a[\"b\"]", ".a[\"b\"]"},
      {".a.[\"b\"]", ".a[\"b\"]"},
      {"map(select(.a>1))", "map(select(.a > 1))"},
      {"[.[]|{name,id:.x.id,\"k\":1}]", "[.[] | { name, id: .x.id, \"k\": 1 }]"},
      {"{(.a|tostring):.b}", "{ (.a | tostring): .b }"},
      {"{$x, if: 1}", "{ $x, if: 1 }"},
      {"if .a then 1 elif .b then 2 else 3 end", "if .a then 1 elif .b then 2 else 3 end"},
      {".[] as [$a,{b:$c}] | $a", ".[] as [$a, { b: $c }] | $a"},
      {". as [$a] ?// $a|$a", ". as [$a] ?// $a | $a"},
      {"reduce .[] as $x (0;.+$x)", "reduce .[] as $x (0; . + $x)"},
      {"foreach .[] as $x (0;.+$x;[$x,.])", "foreach .[] as $x (0; . + $x; [$x, .])"},
      {"try error(\"x\") catch .", "try error(\"x\") catch ."},
      {"label $out|break $out", "label $out | break $out"},
      {"def f(g;$x): g+$x; f(.a;2)", "def f(g; $x): g + $x; f(.a; 2)"},
      {"\"a\\(.b + \"c\\(1)\")d\"", "\"a\\(.b + \"c\\(1)\")d\""},
      {"@csv \"x\\(.a)\",@sh", "@csv \"x\\(.a)\", @sh"},
      {".a//\"x\"", ".a // \"x\""},
      {".a|=.+1", ".a |= . + 1"},
      {"-1,5-1", " - 1, 5 - 1"},
      {"1 .a", "1 .a"},
      {"# a comment\n.a # and another", ".a"},
      {"$__loc__.file", "$__loc__.file"},
      {".env,.input,{env:1}", ".env, .input, { env: 1 }"},
      {"to_entries[]|\"\\(.key)=\\(.value)\"", "to_entries[] | \"\\(.key)=\\(.value)\""},
      {"\"\\u00e9\\n\"", "\"\\u00e9\\n\""},
      {"1.5e3 , .5", "1.5e3, .5"},
  };
  for (const auto& [filter, expected] : kFilters) {
    CAPTURE(filter);
    CHECK(rebuilt(filter) == expected);
  }
}

TEST_CASE("jq: nothing that tells of the host or reads another file") {
  for (const char* filter : {"env",
                             "env.HOME",
                             "$ENV",
                             "$ENV.PATH",
                             ".a|env",
                             "[env]",
                             "{a:env}",
                             "\"\\(env)\"",
                             "\"\\(\"\\($ENV)\")\"",
                             "{$ENV}",
                             "$__prog_args",
                             "input",
                             "inputs",
                             "[inputs]",
                             "first(inputs)",
                             "input_filename",
                             "include \"a\"; .",
                             "import \"a\" as a; .",
                             "import \"a\" as $a; .",
                             "a::b",
                             "$a::b",
                             "@a::b",
                             "modulemeta",
                             "get_search_list",
                             "get_jq_origin",
                             "get_prog_origin",
                             "def env: 1; env",
                             "def f(env): env; f(1)",
                             "def f($env): 1; f(1)",
                             "def input: 1; .",
                             ". as $ENV|$ENV",
                             ". as {$ENV}|.",
                             "_plus(1;2)",
                             "$_x",
                             "env|.",
                             "e\tnv",
                             "try env",
                             "-env",
                             "if env then 1 else 2 end",
                             "reduce env as $x (0;1)",
                             ".[env]",
                             ".[env:]",
                             ".a[env]?",
                             "@json \"\\(env)\"",
                             "{(env):1}",
                             "{\"\\(env)\":1}",
                             "# a \\\nenv",
                             "$E\nNV",
                             "# x\nenv",
                             "getpath([\"a\"];env)"}) {
    CAPTURE(filter);
    CHECK(rebuilt(filter).empty());
  }
}

TEST_CASE("jq: what is not known or not whole is refused") {
  for (const char* filter : {"",
                             " ",
                             "#",
                             ".[",
                             ".]",
                             "(",
                             "()",
                             ". foo",
                             ".a .",
                             ".a . b",
                             "..a",
                             "...",
                             "..5",
                             "1..2",
                             ".e5",
                             ".a.e5",
                             "1e",
                             "1a",
                             "foo",
                             "foo(1)",
                             "def f: 1;",
                             "def f 1; .",
                             "def f(): 1; .",
                             "def f: 1; f(1)",
                             "f|def f: 1; .",
                             "(def f: 1; f)|f",
                             "def f(g): 1; g",
                             ".a |",
                             "| .a",
                             ".a ,",
                             ".a as x | .",
                             ".a as $x",
                             "1 == 2 == 3",
                             ".a = .b = 1",
                             "1 < 2 > 3",
                             "{a:1 + 2}",
                             "{1:2}",
                             "{a b}",
                             "{a,}",
                             "{if}",
                             "{@text}",
                             "{a:}",
                             "{$__loc__}",
                             "[1",
                             "if . then 1",
                             "if . else 1 end",
                             "reduce . as $x (0)",
                             "reduce .a ($x)",
                             "label out | 1",
                             "break",
                             "@foo",
                             "@ json",
                             "\"a",
                             "\"\\(1\"",
                             "\"\\q\"",
                             "\"\\u12\"",
                             "\"\\(1;2)\"",
                             "'a'",
                             "`a`",
                             "a;b",
                             ".a?//1",
                             "!",
                             "!.a",
                             "$",
                             "@",
                             "&",
                             ".a && .b",
                             "~",
                             "^",
                             "%",
                             "\\",
                             "\"a\" \"b\" ",
                             "1 2",
                             ".a\r",
                             "then",
                             "end",
                             "?",
                             "?//"}) {
    CAPTURE(filter);
    CHECK(rebuilt(filter).empty());
  }
  CHECK(rebuilt(std::string(100, '(') + "." + std::string(100, ')')).empty());
  CHECK(rebuilt(std::string(100, '[') + "." + std::string(100, ']')).empty());
  CHECK(rebuilt("\"" + std::string(20000, 'a') + "\"").empty());
  std::string strings = ".";
  for (int i = 0; i < 100; ++i) strings = "\"\\(" + strings + ")\"";
  CHECK(rebuilt(strings).empty());
  std::string negations(4000, '-');
  CHECK_FALSE(rebuilt(negations + "1").empty());
}

TEST_CASE("jq: a name is known where it is defined, with its number of arguments") {
  CHECK_FALSE(rebuilt("def f: def g: 3; g; f").empty());
  CHECK_FALSE(rebuilt("def f($n): if $n == 0 then n else f($n - 1) end; f(3)").empty());
  CHECK(rebuilt("def f: def g: 3; g; g").empty());
  CHECK(rebuilt("[def g: 3; g], g").empty());
  const auto answer = read_jq(".a | asci_downcase");
  REQUIRE_FALSE(answer);
  CHECK(answer.error().suggestion == "ascii_downcase");
}
