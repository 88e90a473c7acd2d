// Unit tests of examples: what is run, what fails, and what the hermetic file system holds.
#include "examples.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "matcher.h"

namespace safe_exec {
namespace {

std::vector<ExampleResult> results_of(const Policy& policy) {
  Expected<std::vector<ExampleResult>> results = run_examples(policy);
  REQUIRE(results.has_value());
  return std::move(*results);
}

}  // namespace

TEST_CASE("examples: allow, ask and deny at every node, and each instead, are decided") {
  const Policy policy = matcher::with_commands(R"("c": {"path": "/nowhere/c", "hints": {"rm": {"reason": "no",
    "instead": ["c", "ls"]}}, "subcommands": {"ls": {"operands": [], "examples": {"allow": [["c", "ls"]],
    "deny": [[["c", "ls", "x"], "too_many_operands"]]}}, "up": {"decision": "ask", "examples": {"ask": [["c", "up"]]}}},
    "examples": {"deny": [[["c", "rm"], "subcommand_not_allowed"]]}})");
  const std::vector<ExampleResult> results = results_of(policy);
  REQUIRE(results.size() == 5);
  for (const ExampleResult& result : results) {
    CAPTURE(result.pointer);
    CAPTURE(result.found);
    CHECK(result.passed);
    CHECK(result.location.line > 0);
  }
  CHECK(results[0].pointer == "/commands/c/examples/deny/0");
  CHECK(results[1].pointer == "/commands/c/hints/rm/instead");
}

TEST_CASE("examples: a wrong expectation, a wrong code and a denied instead fail, with the reason") {
  const Policy policy = matcher::with_commands(R"("c": {"path": "/b/c", "options": {"-a": {}}, "hints": {"-x": {
    "reason": "no", "instead": ["c", "-y"]}}, "examples": {"allow": [["c", "-x"]], "ask": [["c", "-a"]],
    "deny": [[["c", "-a"], "option_not_allowed"], [["c", "-x"], "path_outside"]]}})");
  const std::vector<ExampleResult> results = results_of(policy);
  REQUIRE(results.size() == 5);
  for (const ExampleResult& result : results) CHECK_FALSE(result.passed);
  CHECK(results[0].found == "option_not_allowed");
  CHECK(results[0].message.find("no") != std::string::npos);
  CHECK(results[1].found == "allow");
}

TEST_CASE("examples: those of the policy that POLICY.md shows hold") {
  std::ifstream stream(std::string(TESTS_DIR) + "/loader/example.json");
  const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  const Policy policy = matcher::load(nlohmann::ordered_json::parse(text).at(0).at("policy").dump());
  const std::vector<ExampleResult> results = results_of(policy);
  REQUIRE(results.size() == 5);  // two allowed, two denied, the hint's instead
  for (const ExampleResult& result : results) {
    CAPTURE(result.pointer);
    CAPTURE(result.message);
    CHECK(result.passed);
  }
}

TEST_CASE("examples: variables have their defaults, or a place of their own") {
  const Policy policy = matcher::load(R"({"version": 1, "variables": {
    "workspace": {"type": "dir", "default": "${start_dir}/deep"}, "data": {"type": "dir", "settable": true,
    "within": ["/"]}, "logs": {"type": "dir", "default": "/var/log/x"}}, "commands": {}})");
  const auto resolver = make_fixture_resolver(policy);
  CHECK(resolver->expand({"start_dir", "", {}}) == "/workspace");
  CHECK(resolver->expand({"workspace", "", {}}) == "/workspace/deep");
  CHECK(resolver->expand({"workspace", "a/b", {}}) == "/workspace/deep/a/b");
  CHECK(resolver->expand({"data", "", {}}) == "/data");
  CHECK(resolver->expand({"logs", "f", {}}) == "/var/log/x/f");
  CHECK(resolver->expand({"", "/etc", {}}) == "/etc");
  CHECK_FALSE(resolver->expand({"unknown", "", {}}).has_value());
}

TEST_CASE("examples: only what the fixture lists is a path where a token could also be a revision") {
  const Policy policy = matcher::with_commands("", R"("fixture": ["src/a.c", "docs/"],)");
  const auto resolver = make_fixture_resolver(policy);
  const std::vector<Root> roots{{"workspace", "", {}}};
  CHECK(resolver->names_existing("src/a.c", roots));
  CHECK(resolver->names_existing("src", roots));
  CHECK(resolver->names_existing("docs", roots));
  CHECK_FALSE(resolver->names_existing("main", roots));
  CHECK_FALSE(resolver->names_existing("/etc", roots));
}

}  // namespace safe_exec
