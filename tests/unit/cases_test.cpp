// Runs tests/cases/*.json: a policy, requests, and for each the argv that must come out or the code that must be
// given. Each allowed line is also read a second time, from its emitted form.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "matcher.h"

namespace safe_exec {
namespace {

using Json = nlohmann::ordered_json;

Request request_of(const Json& test) {
  Request request;
  request.argv = test.at("argv").get<std::vector<std::string>>();
  if (test.contains("cwd")) request.cwd = test.at("cwd").get<std::string>();
  if (test.contains("env")) {
    for (const auto& [name, value] : test.at("env").items()) request.env.emplace_back(name, value.get<std::string>());
  }
  if (test.contains("stdin")) {
    request.stdin_source.kind = StdinSource::Kind::text;
    request.stdin_source.text = test.at("stdin").get<std::string>();
  }
  return request;
}

// The tokens that the grammar put there: the emitted line without what the policy injects, which no caller may give.
std::vector<std::string> without(const std::vector<std::string>& argv, const Json& injected) {
  std::vector<std::string> rest;
  std::vector<std::string> drop = injected.get<std::vector<std::string>>();
  std::size_t next = 0;
  for (const std::string& token : argv) {
    if (next < drop.size() && token == drop[next]) {
      ++next;
    } else {
      rest.push_back(token);
    }
  }
  return rest;
}

void run_case(const Policy& policy, const Json& test) {
  const std::string line = test.at("argv").dump();
  CAPTURE(line);
  const matcher::Answer answer = matcher::decide(policy, request_of(test));
  CAPTURE(answer.denial.message);
  if (test.contains("deny")) {
    CHECK(answer.code == test.at("deny").get<std::string>());
    if (test.contains("index")) CHECK(answer.denial.argv_index == test.at("index").get<int>());
    if (test.contains("suggestion")) CHECK(answer.denial.suggestion == test.at("suggestion").get<std::string>());
    if (test.contains("reason")) CHECK(answer.denial.reason == test.at("reason").get<std::string>());
    return;
  }
  REQUIRE(answer.code == "allow");
  const std::vector<std::string> expected = test.at("allow").get<std::vector<std::string>>();
  CHECK(matcher::joined(answer.argv) == matcher::joined(expected));
  Request again = request_of(test);
  again.argv = without(answer.argv, test.value("injected", Json::array()));
  again.cwd = answer.plan.cwd;
  if (again.cwd == std::string(kFixtureStartDir)) again.cwd.reset();
  const matcher::Answer second = matcher::decide(policy, again);
  CHECK(second.code == "allow");
  CHECK(matcher::joined(second.argv) == matcher::joined(answer.argv));
}

}  // namespace

TEST_CASE("cases: every request of tests/cases gets the argv or the code that stands beside it") {
  std::size_t files = 0, cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(TESTS_DIR "/cases")) {
    if (entry.path().extension() != ".json") continue;
    ++files;
    const std::string file = entry.path().filename().string();
    CAPTURE(file);
    std::ifstream in(entry.path());
    const Json json = Json::parse(std::string(std::istreambuf_iterator<char>(in), {}), nullptr, true, true);
    const Policy policy = matcher::load(json.at("policy").dump());
    for (const Json& test : json.at("cases")) {
      ++cases;
      Json copy = test;
      if (!copy.contains("injected") && json.contains("injected")) copy["injected"] = json.at("injected");
      run_case(policy, copy);
    }
  }
  CHECK(files >= 8);
  CHECK(cases >= 200);
}

}  // namespace safe_exec
