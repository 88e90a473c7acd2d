// Unit tests of mutate: which mutants are made, and that a policy which reads one as something else is found out.
#include "mutate.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "matcher.h"

namespace safe_exec {
namespace {

MutationReport report_of(const Policy& policy, const std::string& pattern = "") {
  Expected<MutationReport> report = mutate_examples(policy, {pattern});
  REQUIRE(report.has_value());
  for (const MutantFailure& failure : report->failures) {
    INFO(failure.how, " ", spaced(failure.mutant), " -> ", spaced(failure.after), ": ", failure.problem);
    CHECK(failure.location.line > 0);
    CHECK_FALSE(failure.problem.empty());
  }
  return std::move(*report);
}

const char* const kTool = R"("t": {"path": "/nowhere/t", "options": {"--all": {"aliases": ["-a"]}, "--lines": {"aliases": ["-n"],
  "value": "n"}, "-x": {}}, "operands": [{"name": "f", "type": "ws", "count": [0, 3]}],
  "examples": {"allow": [["t", "-a", "-x", "--lines=5", "src/a.c"], ["t", "-n", "7", "--", "b"]]}})";

std::vector<Mutant> mutants_of(const Policy& policy, const std::vector<std::string>& argv) {
  const auto resolver = make_fixture_resolver(policy);
  PatternCache patterns;
  Request request;
  request.argv = argv;
  Reading reading;
  EvaluateOptions options;
  options.reading = &reading;
  Expected<Decision> decision = evaluate(policy, request, *resolver, patterns, options);
  REQUIRE(decision.has_value());
  REQUIRE(std::holds_alternative<Plan>(*decision));
  const auto line = emit(reading, std::get<Plan>(*decision).argv.front());
  std::size_t left_out = 0;
  return make_mutants(argv, reading, *line, {"/workspace"}, &left_out);
}

bool made(const std::vector<Mutant>& mutants, const std::string& how, const std::vector<std::string>& argv) {
  return std::any_of(mutants.begin(), mutants.end(),
                     [&](const Mutant& mutant) { return mutant.how == how && mutant.argv == argv; });
}

}  // namespace

TEST_CASE("mutate: each way of respelling a line is tried") {
  const Policy policy = matcher::with_commands(kTool);
  const auto mutants = mutants_of(policy, {"t", "-a", "-x", "--lines=5", "src/a.c"});
  CHECK(made(mutants, "abbreviate", {"t", "-a", "-x", "--line=5", "src/a.c"}));
  CHECK(made(mutants, "abbreviate", {"t", "-a", "-x", "--l=5", "src/a.c"}));
  CHECK(made(mutants, "swap", {"t", "-a", "-x", "--lines", "5", "src/a.c"}));
  CHECK(made(mutants, "swap", {"t", "-a", "-x", "-n", "5", "src/a.c"}));
  CHECK(made(mutants, "swap", {"t", "-a", "-x", "-n=5", "src/a.c"}));
  CHECK(made(mutants, "glue", {"t", "-a", "-x", "-n5", "src/a.c"}));
  CHECK(made(mutants, "glue", {"t", "-a", "-x", "--lines5", "src/a.c"}));
  CHECK(made(mutants, "cluster", {"t", "-ax", "--lines=5", "src/a.c"}));
  CHECK(made(mutants, "move", {"t", "src/a.c", "-a", "-x", "--lines=5"}));
  CHECK(made(mutants, "insert --", {"t", "-a", "--", "-x", "--lines=5", "src/a.c"}));
  CHECK(made(mutants, "repeat", {"t", "-a", "-x", "--lines=5", "--lines=5", "src/a.c"}));
  CHECK(made(mutants, "escape", {"t", "-a", "-x", "--lines=5", "../src/a.c"}));
  CHECK(made(mutants, "escape", {"t", "-a", "-x", "--lines=5", "/workspace/safe-exec-mutant-link"}));
  CHECK(made(mutants, "escape", {"t", "-a", "-x", "--lines=5", "/workspace-evil/x"}));
  CHECK(made(mutants, "newline", {"t", "-a", "-x", "--lines=5", "src/a.c\nsrc/a.c"}));
  CHECK(made(mutants, "global", {"t", "-c", "safe.exec=mutant", "-a", "-x", "--lines=5", "src/a.c"}));
  CHECK(made(mutants, "global", {"t", "--config", "/nonexistent", "-a", "-x", "--lines=5", "src/a.c"}));
  CHECK(made(mutants, "global", {"t", "-C", "/", "-a", "-x", "--lines=5", "src/a.c"}));
  CHECK(made(mutants, "append", {"t", "-a", "-x", "--lines=5", "src/a.c", "--safe-exec-mutant"}));
  CHECK(made(mutants, "append", {"t", "-a", "-x", "--lines=5", "src/a.c", "--", "--safe-exec-mutant"}));
  CHECK(made(mutants, "rebuilt", {"/nowhere/t", "--all", "-x", "--lines=5", "--", "src/a.c"}));
  CHECK(made(mutants_of(policy, {"t", "-n", "7", "-ax", "b"}), "split", {"t", "-n", "7", "-a", "-x", "b"}));
  CHECK(made(mutants_of(policy, {"t", "-n", "7", "--", "b"}), "move", {"t", "--", "b", "-n", "7"}));
}

TEST_CASE("mutate: the same mutants every time, none twice, and no more than the bound") {
  const Policy policy = matcher::with_commands(kTool);
  const auto first = mutants_of(policy, {"t", "-a", "-x", "--lines=5", "src/a.c"});
  const auto second = mutants_of(policy, {"t", "-a", "-x", "--lines=5", "src/a.c"});
  REQUIRE(first.size() == second.size());
  CHECK(first.size() <= kMaxMutants);
  std::set<std::vector<std::string>> seen;
  for (std::size_t i = 0; i < first.size(); ++i) {
    CHECK(first[i].argv == second[i].argv);
    CHECK(seen.insert(first[i].argv).second);
  }
  std::string options;
  std::string argv = R"("t")";
  for (int i = 0; i < 60; ++i) {
    const std::string name = "--a-rather-long-name-" + std::to_string(i);
    options += (i == 0 ? "\"" : ", \"") + name + "\": {}";
    argv += ", \"" + name + "\"";
  }
  const Policy large = matcher::with_commands(R"("t": {"path": "/t", "options": {)" + options +
                                              R"(}, "examples": {"allow": [[)" + argv + "]]}}");
  const MutationReport report = report_of(large);
  CHECK(report.mutants == kMaxMutants);
  CHECK(report.left_out > 0);
}

TEST_CASE("mutate: a policy that reads as programs do has no failure, and each outcome is counted") {
  const MutationReport report = report_of(matcher::with_commands(kTool));
  CHECK(report.failures.empty());
  CHECK(report.examples == 2);
  CHECK(report.denied > 80);
  CHECK(report.identical > 5);
  CHECK(report.inside > 0);
  CHECK(report.mutants == report.denied + report.identical + report.inside);
}

TEST_CASE("mutate: an operand that may also be taken for another slot is found") {
  const Policy policy = matcher::with_commands(R"("t": {"path": "/t", "operands": [
    {"name": "rev", "type": {"regex": "[a-z]+"}, "count": [0, 1]}, {"name": "out", "type": {"path": "replace", "within": ["${workspace}"]}, "count": [0, 1]}],
    "examples": {"allow": [["t", "main"]]}})");
  const MutationReport report = report_of(policy);
  REQUIRE_FALSE(report.failures.empty());
  CHECK(report.failures[0].problem == "its operands fill other slots");
  CHECK(report.failures[0].before == std::vector<std::string>{"/t", "--", "main"});
  CHECK(report.failures[0].pointer == "/commands/t/examples/allow/0");
}

TEST_CASE("mutate: only examples that the pattern matches are taken") {
  const Policy policy = matcher::with_commands(kTool);
  CHECK(report_of(policy, "lines").examples == 1);
  CHECK(report_of(policy, "^t -n 7").examples == 1);
  CHECK(report_of(policy, "t").examples == 2);
  CHECK(report_of(policy, "nothing").examples == 0);
}

}  // namespace safe_exec
