// Runs tests/attacks/cases.json: known bypasses of tools of this kind, as requests against policies that allow the useful
// part of each program, so that each is refused for its own reason; and, beside them, what has to stay possible.
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "matcher.h"

namespace safe_exec {
namespace {

using Json = nlohmann::ordered_json;

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

Request request_of(const Json& attack) {
  Request request;
  request.argv = attack.at("argv").get<std::vector<std::string>>();
  if (attack.contains("cwd")) request.cwd = attack.at("cwd").get<std::string>();
  if (attack.contains("env")) {
    for (const auto& [name, value] : attack.at("env").items()) request.env.emplace_back(name, value.get<std::string>());
  }
  return request;
}

}  // namespace

TEST_CASE("attacks: every case of the ledger is refused for its own reason, and its harmless twin is not") {
  const Json cases = Json::parse(read_file(TESTS_DIR "/attacks/cases.json")).at("cases");
  std::map<std::string, Policy> policies;
  std::size_t refused = 0, allowed = 0;
  for (const Json& attack : cases) {
    const std::string id = attack.at("id").get<std::string>();
    CAPTURE(id);
    const std::string file = attack.at("policy").get<std::string>();
    if (!policies.contains(file)) policies.emplace(file, matcher::load(read_file(TESTS_DIR "/attacks/" + file)));
    const matcher::Answer answer = matcher::decide(policies.at(file), request_of(attack));
    CAPTURE(answer.denial.message);
    CHECK(answer.code == attack.at("expect").get<std::string>());
    ++(answer.code == "allow" ? allowed : refused);
    if (attack.contains("emits")) {
      CHECK(matcher::joined(answer.argv) == matcher::joined(attack.at("emits").get<std::vector<std::string>>()));
    }
  }
  CHECK(refused >= 100);
  CHECK(allowed >= 20);
}

}  // namespace safe_exec
