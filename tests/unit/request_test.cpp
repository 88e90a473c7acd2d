// Holds request.h to CONTRACT.md section 3.
#include "request.h"

#include <doctest/doctest.h>

#include <string>

namespace safe_exec {
namespace {

Error refusal(const std::string& text) {
  const Expected<Request> request = parse_request("request", text);
  REQUIRE_FALSE(request.has_value());
  CHECK(request.error().code == ErrorCode::request_invalid);
  REQUIRE(request.error().location.has_value());
  CHECK(request.error().location->file == "request");
  CHECK(request.error().location->line >= 1);
  CHECK(request.error().location->column >= 1);
  return request.error();
}

bool refused(const std::string& text, std::string_view fragment, std::string_view pointer) {
  const Error error = refusal(text);
  INFO(text);
  INFO(error.message);
  CHECK(error.location->pointer == pointer);
  return error.message.find(fragment) != std::string::npos;
}

std::string with(const std::string& member) {
  return R"({"argv": ["x"], )" + member + "}";
}

TEST_CASE("request: every key is read") {
  const Expected<Request> request = parse_request("request", R"({"schema":"safe-exec/request/v1","id":"r1",
    "argv":["git","log",""],"cwd":"/w","env":{"LANG":"C.UTF-8","A":""},"stdin":"text ${x}","timeout_ms":1,
    "max_stdout_bytes":2,"max_stderr_bytes":3,"encoding":"base64","meta":{"agent":"a"}})");
  REQUIRE(request.has_value());
  CHECK(request->id == "r1");
  CHECK(request->argv == std::vector<std::string>{"git", "log", ""});
  CHECK(request->cwd == "/w");
  REQUIRE(request->env.size() == 2);
  CHECK(request->env[0] == std::pair<std::string, std::string>("LANG", "C.UTF-8"));
  CHECK(request->stdin_source.kind == StdinSource::Kind::text);
  CHECK(request->stdin_source.text == "text ${x}");
  CHECK(request->timeout_ms == 1);
  CHECK(request->max_stdout_bytes == 2);
  CHECK(request->max_stderr_bytes == 3);
  CHECK(request->encoding == Encoding::base64);
  CHECK(request->meta.size() == 1);
}

TEST_CASE("request: argv alone is enough, and leaves everything else unset") {
  const Expected<Request> request = parse_request("request", R"({"argv": ["ls"]})");
  REQUIRE(request.has_value());
  CHECK(request->id.empty());
  CHECK_FALSE(request->cwd.has_value());
  CHECK_FALSE(request->timeout_ms.has_value());
  CHECK(request->stdin_source.kind == StdinSource::Kind::none);
  CHECK(request->encoding == Encoding::utf8);
}

TEST_CASE("request: argv is a non-empty array of strings, and a string gets a hint") {
  CHECK(refused("{}", "argv is missing", ""));
  CHECK(refused(R"({"argv": []})", "too short", "/argv"));
  CHECK(refused(R"({"argv": "git log"})", "must be an array", "/argv"));
  CHECK(refused(R"({"argv": ["a", 1]})", "must be a string", "/argv/1"));
  CHECK(refused(R"({"argv": {"a": "b"}})", "must be an array", "/argv"));
  CHECK(refused("[]", "must be an object", ""));
}

TEST_CASE("request: unknown keys are refused with the nearest name") {
  const Error error = refusal(with(R"("timeout": 1)"));
  CHECK(error.location->pointer == "/timeout");
  CHECK(refusal(with(R"("timeoutms": 1)")).nearest == "timeout_ms");
  CHECK(refused(with(R"("policy": "/tmp/p")"), "unknown key", "/policy"));
  CHECK(refused(with(R"("variables": {})"), "unknown key", "/variables"));
  CHECK(refused(R"({"argv": ["x"], "argv": ["y"]})", "stands twice", ""));
}

TEST_CASE("request: schema, encoding and cwd have to be known ones") {
  CHECK(refused(with(R"("schema": "safe-exec/request/v2")"), "not known", "/schema"));
  CHECK(refused(with(R"("encoding": "latin1")"), "unknown value", "/encoding"));
  CHECK(refused(with(R"("cwd": "")"), "must not be empty", "/cwd"));
  CHECK(refused(with(R"("id": 7)"), "must be a string", "/id"));
}

TEST_CASE("request: limits are positive integers") {
  for (const std::string key : {"timeout_ms", "max_stdout_bytes", "max_stderr_bytes"}) {
    CHECK(refused(with("\"" + key + "\": 0"), "out of range", "/" + key));
    CHECK(refused(with("\"" + key + "\": -5"), "out of range", "/" + key));
    CHECK(refused(with("\"" + key + "\": \"9\""), "must be an integer", "/" + key));
    CHECK(refused(with("\"" + key + "\": 1.5"), "fractions", ""));
  }
}

TEST_CASE("request: environment names and values are strings without NUL and '='") {
  CHECK(refused(with(R"("env": {"A=B": "c"})"), "name of a variable", "/env/A=B"));
  CHECK(refused(with(R"("env": {"": "c"})"), "name of a variable", "/env/"));
  CHECK(refused(with(R"("env": {"A": 1})"), "must be a string", "/env/A"));
  CHECK(refused(with(R"("env": {"A": "\u0000"})"), "\\u0000", "/env"));
  CHECK(refused(with(R"("env": ["A=b"])"), "must be an object", "/env"));
}

TEST_CASE("request: stdin is text or base64, never both") {
  const Expected<Request> bytes = parse_request("request", with(R"("stdin_base64": "AP/+")"));
  REQUIRE(bytes.has_value());
  CHECK(bytes->stdin_source.text == std::string("\0\xFF\xFE", 3));
  CHECK(parse_request("request", with(R"("stdin_base64": "")"))->stdin_source.text.empty());
  CHECK(parse_request("request", with(R"("stdin_base64": "YQ==")"))->stdin_source.text == "a");
  CHECK(parse_request("request", with(R"("stdin_base64": "YWI=")"))->stdin_source.text == "ab");
  for (const char* bad :
       {"YQ", "YQ=", "YQ===", "Y===", "====", "YR==", "YWJ=", "Y Q=", "YQ==YQ==", "YQ-_", "YWI=\\n"}) {
    CHECK(refused(with(R"("stdin_base64": ")" + std::string(bad) + "\""), "not base64", "/stdin_base64"));
  }
  CHECK(refused(with(R"("stdin": "", "stdin_base64": "")"), "exclude each other", "/stdin_base64"));
  CHECK(refused(with(R"("stdin_base64": "", "stdin": "")"), "exclude each other", "/stdin"));
  CHECK(refused(with(R"("stdin": true)"), "must be a string", "/stdin"));
}

TEST_CASE("request: meta is at most 4 KiB of strings") {
  CHECK(parse_request("request", with(R"("meta": {"k": ")" + std::string(4095, 'a') + "\"}")).has_value());
  CHECK(refused(with(R"("meta": {"k": ")" + std::string(4096, 'a') + "\"}"), "too large", "/meta"));
  CHECK(refused(with(R"("meta": {"k": 1})"), "must be a string", "/meta/k"));
}

TEST_CASE("request: NUL, comments, depth and size are refused as text") {
  CHECK(refused(R"({"argv": ["a\u0000b"]})", "\\u0000", "/argv"));
  CHECK(refused(std::string("{\"argv\": [\"a\0b\"]}", 17), "NUL byte", ""));
  CHECK(refused("{\"argv\": [\"\xFF\"]}", "not valid UTF-8", ""));
  CHECK_FALSE(parse_request("request", "/* a */ {\"argv\": [\"x\"]}").has_value());
  CHECK(refusal(with("\"meta\": " + std::string(40, '[') + std::string(40, ']'))).message.find("too deep") !=
        std::string::npos);
  CHECK(refused(std::string(json::kMaxBytes + 1, ' '), "too large", ""));
}

}  // namespace
}  // namespace safe_exec
