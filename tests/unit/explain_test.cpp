// Unit tests of explain: the trace for people, and the caret under the place that decided.
#include "explain.h"

#include <string>

#include "matcher.h"
#include "utf8.h"

namespace safe_exec {
namespace {

Result with_source(const std::string& text) {
  Result result;
  auto document = json::parse("/p.json", text, json::Comments::allow);
  REQUIRE(document.has_value());
  result.policy_sources.push_back(*document);
  return result;
}

Location at(std::uint32_t line, std::uint32_t column) { return {"/p.json", line, column, ""}; }

}  // namespace

TEST_CASE("explain: the caret stands under the column") {
  const Result result = with_source("{\n  \"a\": 1,\n\t\"b\": [2]\n}");
  CHECK(excerpt(result, at(2, 8)) == "   2 |   \"a\": 1,\n     |        ^\n");
  CHECK(excerpt(result, at(3, 7)) == "   3 |  \"b\": [2]\n     |       ^\n");
  CHECK(excerpt(result, at(1, 1)) == "   1 | {\n     | ^\n");
}

TEST_CASE("explain: a character of several bytes is one column wide, and a line feed of the other kind is none") {
  const Result result = with_source("{\"\xC3\xA4\xC3\xB6\": \"x\"}\r\n");
  CHECK(excerpt(result, at(1, 10)) == "   1 | {\"\xC3\xA4\xC3\xB6\": \"x\"}\n     |        ^\n");
}

TEST_CASE("explain: a long line is cut around the place, never inside a character") {
  std::string text = "[";
  for (int i = 0; i < 400; ++i) text += "\"\xC3\xA4\",";
  text += "1]";
  const Result result = with_source(text);
  for (std::uint32_t column = 1; column <= text.size() + 5; ++column) {
    const std::string shown = excerpt(result, at(1, column));
    const std::size_t end = shown.find('\n');
    REQUIRE(end != std::string::npos);
    CHECK(end < 140);
    bool lossy = false;
    // The column may itself stand inside a character only when a caller made it up.
    if (column < text.size() && (static_cast<unsigned char>(text[column - 1]) & 0xC0U) != 0x80U) {
      (void)to_utf8(shown, &lossy);
      CHECK_FALSE(lossy);
    }
  }
}

TEST_CASE("explain: a place that is in none of the sources has no excerpt") {
  const Result result = with_source("{}");
  CHECK(excerpt(result, {"/other.json", 1, 1, ""}).empty());
  CHECK(excerpt(result, at(0, 0)).empty());
  CHECK(excerpt(result, at(9, 1)) == "   9 | \n     | ^\n");
}

TEST_CASE("explain: the trace says what was looked at, what was found and where, and ends with what decided") {
  const Policy policy = matcher::with_commands("\n\"t\": {\"path\": \"/t\",\n  \"options\": {\"--lines\": {\"value\": \"n\"}}}");
  Request request;
  request.argv = {"t", "--lines", "x"};
  Trace trace;
  const matcher::Answer answer = matcher::decide(policy, request, &trace);
  Result result;
  result.denied = answer.denial;
  result.policy_sources = policy.sources;
  const std::string text = trace_text(result, trace);
  CHECK(text.find("  + argv[0] expected a command of the policy, found t\n      /commands/t  /policy.json:") != std::string::npos);
  CHECK(text.find("  - argv[2] expected an integer from 0 to 100, found ") != std::string::npos);
  CHECK(text.find("decided at /policy.json:5:26 /commands/t/options/--lines\n") != std::string::npos);
  CHECK(text.ends_with("   5 |   \"options\": {\"--lines\": {\"value\": \"n\"}}}}}\n     |                          ^\n"));

  request.argv = {"t"};
  Trace allowed;
  const matcher::Answer answered = matcher::decide(policy, request, &allowed);
  REQUIRE(answered.code == "allow");
  result.denied.reset();
  CHECK(trace_text(result, allowed).find("decided at /policy.json:4:6 /commands/t\n   4 | \"t\": {") != std::string::npos);
}

}  // namespace safe_exec
