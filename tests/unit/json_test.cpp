// Holds json.h to RFC 8259 and to what POLICY.md section 2 refuses beyond it.
#include "json.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <utility>

namespace safe_exec {
namespace {

auto read(std::string text, json::Comments comments = json::Comments::allow) {
  return json::parse("f.json", std::move(text), comments);
}

struct Refusal {
  std::string message;
  std::uint32_t line = 0, column = 0;
  std::string pointer;
};

Refusal refusal(std::string text, json::Comments comments = json::Comments::allow) {
  const auto result = read(std::move(text), comments);
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().where.file == "f.json");
  return {result.error().message, result.error().where.line, result.error().where.column, result.error().where.pointer};
}

bool refused(std::string text, std::string_view fragment) {
  const std::string message = refusal(std::move(text)).message;
  INFO(message);
  return message.find(fragment) != std::string::npos;
}

TEST_CASE("json: values keep their kind, value and place") {
  const auto document = read("{\"a\": [1, true, \"x\"],\n  // c\n  \"b\" /* \"q\": */ : {\"c/~\": -7}}");
  REQUIRE(document.has_value());
  const json::Document& d = **document;
  const json::Node* a = d.find(d.root(), "a");
  REQUIRE(a != nullptr);
  CHECK(a->kind == json::Kind::array);
  CHECK(a->child_count == 3);
  const json::Node* one = d.first_child(*a);
  CHECK(one->integer == 1);
  CHECK(d.next(*one)->boolean);
  const json::Node* x = d.next(*d.next(*one));
  CHECK(x->text == "x");
  CHECK(d.next(*x) == nullptr);
  CHECK(d.pointer(d.id(*x)) == "/a/2");
  const json::Node* b = d.find(d.root(), "b");
  const json::Node* c = d.find(*b, "c/~");
  REQUIRE(c != nullptr);
  CHECK(c->integer == -7);
  const Location value = d.locate(d.id(*c));
  CHECK(value.line == 3);
  CHECK(value.column == 28);
  CHECK(value.pointer == "/b/c~1~0");
  CHECK(d.locate(d.id(*c), true).column == 21);
  CHECK(d.locate(d.id(*b), true).column == 3);
  CHECK(d.locate(0, true).column == 1);
  CHECK(d.find(*a, "x") == nullptr);
}

TEST_CASE("json: a string that needs no unescaping is a view into the text") {
  const auto document = read(R"(["plain", "a\u00e9\n\ud83d\ude00"])");
  REQUIRE(document.has_value());
  const json::Document& d = **document;
  const json::Node* plain = d.first_child(d.root());
  CHECK(plain->text.data() > d.text().data());
  CHECK(plain->text.data() < d.text().data() + d.text().size());
  CHECK(d.next(*plain)->text == "a\xC3\xA9\n\xF0\x9F\x98\x80");
}

TEST_CASE("json: positions are right after escapes, numbers and comments") {
  const auto document = read(R"({"a\"b": "\\", "n":12,"m": 3 ,/*,:*/"t":true,"z":[]})");
  REQUIRE(document.has_value());
  const json::Document& d = **document;
  for (const char* key : {"n", "m", "t", "z"}) {
    const json::Node* node = d.find(d.root(), key);
    REQUIRE(node != nullptr);
    CHECK(d.text().substr(node->key_offset, 3) == "\"" + std::string(key) + "\"");
  }
  CHECK(d.text()[d.find(d.root(), "m")->offset] == '3');
  CHECK(d.text()[d.find(d.root(), "z")->offset] == '[');
}

TEST_CASE("json: what is not RFC 8259 is refused") {
  for (const char* text : {"",     " ",   "{",    "[1,]", "{\"a\":1,}", "{'a':1}",       "{a:1}",    "[1 2]",
                           "01",   "+1",  ".5",   "nul",  "True",       "\"\t\"",        "\"\\x\"",  "\"",
                           "[1]]", "1 1", "/* x", "NaN",  "Infinity",   "[\"a\" \"b\"]", "\"\\u12\""}) {
    INFO(text);
    CHECK_FALSE(read(text).has_value());
  }
}

TEST_CASE("json: what nlohmann would accept and policies must not hold is refused") {
  CHECK(refused("\xEF\xBB\xBF{}", "byte order mark"));
  CHECK(refused(std::string("{}\0", 3), "NUL byte"));
  CHECK(refused(std::string("{}\0garbage", 10), "NUL byte"));
  CHECK(refused(std::string("[\"a\0b\"]", 7), "NUL byte"));
  CHECK(refused("[\"\\u0000\"]", "\\u0000"));
  CHECK(refused("{\"\\u0000\": 1}", "\\u0000"));
  CHECK(refused("// \xFF\n{}", "not valid UTF-8"));
  CHECK(refused("[\"\xC0\xAF\"]", "not valid UTF-8"));
  CHECK(refused("[\"\xED\xA0\x80\"]", "not valid UTF-8"));
  CHECK(refused("[null]", "null is not allowed"));
  CHECK(refused("[\"\\ud800\"]", "surrogate"));
  CHECK(refused("[\"\\udc00\"]", "surrogate"));
  CHECK(refused("[\"\\ud800\\u0041\"]", "surrogate"));
  CHECK(refused("[1.0]", "fractions and exponents"));
  CHECK(refused("[1e2]", "fractions and exponents"));
  CHECK(refused("[1E999]", "integer"));
  CHECK(refused("[-0]", "negative zero"));
  CHECK(refused("[9007199254740993]", "too large"));
  CHECK(refused("[-9007199254740993]", "too large"));
  CHECK(refused("[99999999999999999999]", "too large"));
  CHECK(read("[9007199254740992, -9007199254740992, 0]").has_value());
}

TEST_CASE("json: duplicate keys are compared after unescaping, in small and large objects") {
  CHECK(refused(R"({"a": 1, "\u0061": 2})", "stands twice"));
  const Refusal where = refusal("{\"o\": {\n\"a\": 1, \"a\": 2}}");
  CHECK(where.line == 2);
  CHECK(where.column == 9);
  CHECK(where.pointer == "/o");
  std::string large = "{";
  for (int i = 0; i < 40; ++i) large += "\"k" + std::to_string(i) + "\": 0,";
  CHECK(refused(large + "\"k3\": 1}", "stands twice"));
  CHECK(refused(large + "\"k39\": 1}", "stands twice"));
  CHECK(read(large + "\"k40\": 1}").has_value());
  CHECK(read(R"({"a": {"a": 1}, "b": {"a": 1}})").has_value());
}

TEST_CASE("json: nesting ends at 32 levels and size at 8 MiB") {
  CHECK(read(std::string(32, '[') + std::string(32, ']')).has_value());
  CHECK(refused(std::string(33, '[') + std::string(33, ']'), "too deep"));
  CHECK(refused(std::string(1 << 20, '['), "too deep"));
  std::string big(json::kMaxBytes, ' ');
  big[0] = '1';
  CHECK(read(big).has_value());
  CHECK(refused(big + " ", "too large"));
}

TEST_CASE("json: comments are accepted only where they are allowed") {
  CHECK(read("/* a */ {} // b").has_value());
  CHECK_FALSE(read("/* a */ {}", json::Comments::refuse).has_value());
  CHECK_FALSE(read("{} // b", json::Comments::refuse).has_value());
  CHECK_FALSE(read("{} # b").has_value());
}

TEST_CASE("json: a syntax error says where, what was expected and what was found") {
  const auto result = read("{\"a\": 1,\n \"b\" 2}");
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().where.line == 2);
  CHECK(result.error().where.column == 6);
  CHECK(result.error().expected == "':'");
  CHECK(result.error().found == "number literal");
  CHECK(refusal("[\"abc").line == 1);
  CHECK(refusal("{\"a\": [1, x]}").pointer == "/a");
}

TEST_CASE("json: 100,000 keys in one object are read in well under a second") {
  std::string text = "{";
  for (int i = 0; i < 100000; ++i) text += "\"key" + std::to_string(i) + "\": 0,";
  text += "\"end\": 0}";
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(read(std::move(text)).has_value());
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(3));  // unoptimized and sanitized builds too
}

}  // namespace
}  // namespace safe_exec
