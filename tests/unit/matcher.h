// Shared by the tests of the matcher: a policy from JSON in memory, and one decision as a flat value.
#pragma once

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "evaluate.h"
#include "examples.h"
#include "policy.h"

namespace safe_exec::matcher {

// Of this many random cases one is tried: sanitized, each takes eight times as long, and the plain build tries all.
#ifdef __SANITIZE_ADDRESS__
inline constexpr int kOneOf = 4;
#else
inline constexpr int kOneOf = 1;
#endif

class MemoryFiles final : public PolicyFiles {
 public:
  explicit MemoryFiles(std::string text) : text_(std::move(text)) {}
  Expected<Found> find(std::string_view path) override { return Found{false, std::string(path)}; }
  Expected<std::string> read(std::string_view) override { return text_; }
  Expected<std::optional<std::string>> read_command(std::string_view, std::string_view) override {
    return std::optional<std::string>();
  }
  Expected<std::vector<std::string>> list_commands(std::string_view) override { return std::vector<std::string>(); }

 private:
  std::string text_;
};

inline Policy load(std::string text) {
  MemoryFiles files(std::move(text));
  LoadScope scope;
  scope.everything = true;
  Expected<Policy> policy = load_policy("/policy.json", files, scope);
  if (!policy) {
    const Error& error = policy.error();
    const std::string where = error.location ? error.location->pointer : "";
    FAIL("policy: ", error.message, " at ", where, " expected ", error.expected, " found ", error.found);
  }
  return std::move(*policy);
}

// A policy with these commands and the usual types; the workspace is where it starts.
inline Policy with_commands(const std::string& commands, const std::string& more = "") {
  return load(R"({"version": 1, "variables": {"workspace": {"type": "dir", "default": "${start_dir}"}},
    "types": {"ws": {"path": "read", "within": ["${workspace}"]}, "word": {"regex": "[a-z0-9]+"},
              "n": {"int": [0, 100]}},)" +
              more + R"("commands": {)" + commands + "}}");
}

struct Answer {
  std::string code;  // "allow", or the denial's
  std::vector<std::string> argv;
  Denial denial;
  Plan plan;
};

inline Answer decide(const Policy& policy, const Request& request, Trace* trace = nullptr,
                     PathResolver* resolver = nullptr) {
  const std::unique_ptr<PathResolver> hermetic = make_fixture_resolver(policy);
  PatternCache patterns;
  EvaluateOptions options;
  options.trace = trace;
  Expected<Decision> decision =
      evaluate(policy, request, resolver == nullptr ? *hermetic : *resolver, patterns, options);
  Answer answer;
  if (!decision) {
    answer.code = "error:" + std::string(code_name(decision.error().code));
    return answer;
  }
  if (Denial* denial = std::get_if<Denial>(&*decision)) {
    answer.code = std::string(code_name(denial->code));
    answer.denial = std::move(*denial);
    return answer;
  }
  answer.code = "allow";
  answer.plan = std::move(std::get<Plan>(*decision));
  answer.argv = answer.plan.argv;
  return answer;
}

inline Answer decide(const Policy& policy, std::vector<std::string> argv) {
  Request request;
  request.argv = std::move(argv);
  return decide(policy, request);
}

inline std::string joined(const std::vector<std::string>& argv) {
  std::string text;
  for (const std::string& token : argv) text += (text.empty() ? "" : " ") + ("[" + token + "]");
  return text;
}

}  // namespace safe_exec::matcher
