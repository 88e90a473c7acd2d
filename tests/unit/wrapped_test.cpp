#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "language.h"
#include "matcher.h"

namespace safe_exec {
namespace {

Policy wrappers() {
  return matcher::with_commands(
      R"("timeout": {"path": "/usr/bin/timeout", "syntax": "posix", "timeout_ms": 5,
                     "operands": [{"name": "duration", "type": {"text": [1, 30]}, "as": "timeout"},
                                  {"name": "command", "type": {"language": "command", "rest": true}}]},
         "env": {"path": "/usr/bin/env", "syntax": "posix", "options": {"-C": {"value": {"path": "stat", "kind": "dir", "within": ["${workspace}"]}, "chdir": true}},
                 "operands": [{"name": "variable", "type": {"regex": "[^=]*=.*"}, "as": "env", "count": [0, 9]},
                              {"name": "command", "type": {"language": "command", "rest": true}}]},
         "cat": {"path": "/bin/cat", "timeout_ms": 20000, "stdin": "text", "env": {"LANG": {"caller": {"regex": "[A-Z]+"}}, "FIXED": "1"},
                 "operands": [{"name": "file", "type": "ws"}]})",
      R"("fixture": ["sub/"],)");
}

}  // namespace

TEST_CASE("wrapper: the plan is that of the command inside, with the smaller time") {
  const Policy policy = wrappers();
  const matcher::Answer answer = matcher::decide(policy, {"timeout", "10", "cat", "a"});
  REQUIRE(answer.code == "allow");
  CHECK(answer.plan.command == "cat");
  CHECK(answer.plan.rule == "/commands/cat");
  CHECK(answer.plan.binary.path == "/bin/cat");
  CHECK(answer.plan.timeout_ms == 10000);
  CHECK(answer.plan.clamped.empty());
  CHECK(matcher::decide(policy, {"timeout", "0.5", "cat", "a"}).plan.timeout_ms == 500);
  CHECK(matcher::decide(policy, {"timeout", "0.0001", "cat", "a"}).plan.timeout_ms == 1);
  CHECK(matcher::decide(policy, {"timeout", "0", "cat", "a"}).plan.timeout_ms == 20000);
  CHECK(matcher::decide(policy, {"timeout", "5", "timeout", "10", "cat", "a"}).plan.timeout_ms == 5000);
  CHECK(matcher::decide(policy, {"timeout", "10", "timeout", "5", "cat", "a"}).plan.timeout_ms == 5000);
  const matcher::Answer longer = matcher::decide(policy, {"timeout", "1h", "cat", "a"});
  CHECK(longer.plan.timeout_ms == 20000);
  CHECK(longer.plan.clamped.at("timeout_ms") == std::pair<std::int64_t, std::int64_t>(3600000, 20000));
}

TEST_CASE("wrapper: a variable is the caller's, under the rules of the command inside, and the last one counts") {
  const Policy policy = wrappers();
  Request request;
  request.argv = {"env", "LANG=A", "LANG=B", "env", "LANG=C", "cat", "a"};
  request.env = {{"LANG", "X"}};
  const matcher::Answer answer = matcher::decide(policy, request);
  REQUIRE(answer.code == "allow");
  CHECK(answer.plan.env == std::vector<std::string>{"LANG=C", "FIXED=1"});
  for (const char* variable : {"FIXED=2", "LD_PRELOAD=x", "PATH=x", "LANG=a", "OTHER=x"}) {
    CAPTURE(variable);
    CHECK(matcher::decide(policy, {"env", variable, "cat", "a"}).code == "env_not_allowed");
  }
  CHECK(matcher::decide(policy, {"env", "FIXED=1", "cat", "a"}).plan.env == std::vector<std::string>{"FIXED=1"});
  for (const char* variable : {"=x", "1A=x", "a b=x", "\xc3\xa9=x", "A-B=x"}) {
    CAPTURE(variable);
    CHECK(matcher::decide(policy, {"env", variable, "cat", "a"}).code == "operand_invalid");
  }
}

TEST_CASE("wrapper: stdin, cwd and the trace belong to the command inside") {
  const Policy policy = wrappers();
  Request request;
  request.argv = {"env", "-C", "sub", "cat", "a"};
  request.stdin_source.kind = StdinSource::Kind::text;
  request.stdin_source.text = "x";
  Trace trace;
  const matcher::Answer answer = matcher::decide(policy, request, &trace);
  REQUIRE(answer.code == "allow");
  CHECK(answer.plan.cwd == std::string(kFixtureStartDir) + "/sub");
  CHECK(answer.plan.stdin_plan.text == "x");
  int operand = -1;
  for (const TraceStep& step : trace) {
    if (step.rule == "/commands/cat/operands/0") operand = step.argv_index;
  }
  CHECK(operand == 4);
  const matcher::Answer denied = matcher::decide(policy, {"timeout", "10", "cat", "/etc/passwd"});
  CHECK(denied.code == "path_outside");
  CHECK(denied.denial.argv_index == 3);
  CHECK(denied.denial.rule == "/commands/cat/operands/0");
}

TEST_CASE("wrapper: the names of the commands inside are told, so that they can be loaded and compared") {
  const Policy policy = wrappers();
  const auto inside = [&](std::vector<std::string> argv) {
    Request request;
    request.argv = std::move(argv);
    const auto resolver = make_fixture_resolver(policy);
    PatternCache patterns;
    std::vector<std::string> wrapped;
    EvaluateOptions options;
    options.wrapped = &wrapped;
    CHECK(evaluate(policy, request, *resolver, patterns, options));
    return matcher::joined(wrapped);
  };
  CHECK(inside({"timeout", "10", "ls", "-l"}) == "[ls]");
  CHECK(inside({"timeout", "10", "env", "/bin/ls"}) == "[env] [ls]");
  CHECK(inside({"timeout", "10", "cat", "ls"}) == "[cat]");
  CHECK(inside({"ls"}).empty());
  CHECK(inside({"cat", "a"}).empty());
}

TEST_CASE("by_path: a program is the first operand of the command that the policy names") {
  const std::string commands = R"("program": {"path": "/usr/bin/env", "syntax": "raw",
      "operands": [{"name": "program", "type": {"path": "read", "kind": "file", "missing": false, "within": ["${workspace}"], "match": ".*/.*"}},
                   {"name": "argument", "type": {"text": [0, 9]}, "count": [0, 9]}]},
    "env": {"path": "/usr/bin/env"}, "cat": {"path": "/bin/cat"},
    "timeout": {"path": "/usr/bin/timeout", "syntax": "posix", "operands": [{"name": "duration", "type": {"text": [1, 30]}, "as": "timeout"},
                {"name": "command", "type": {"language": "command", "rest": true}}]})";
  const Policy policy = matcher::with_commands(commands, R"("by_path": "program", "fixture": ["gone/"],)");
  using Words = std::vector<std::string>;
  const auto argv = [&](Words words) { return matcher::decide(policy, std::move(words)).plan.argv; };
  CHECK(argv({"./build/app", "-x", "--", "y"}) == Words{"/usr/bin/env", "./build/app", "-x", "--", "y"});
  CHECK(argv({"build/app"}) == Words{"/usr/bin/env", "build/app"});
  CHECK(argv({"./bin/cat"}) == Words{"/usr/bin/env", "./bin/cat"});
  CHECK(argv({".venv/bin/cat"}) == Words{"/usr/bin/env", ".venv/bin/cat"});
  CHECK(argv({"program", "./cat"}) == Words{"/usr/bin/env", "./cat"});
  CHECK(argv({"timeout", "5", "./app"}) == Words{"/usr/bin/env", "./app"});
  CHECK(argv({"/bin/cat"}) == Words{"/bin/cat", "--"});
  CHECK(argv({"/usr/bin/env"}) == Words{"/usr/bin/env", "--"});
  CHECK(matcher::decide(policy, {"timeout", "5", "./app"}).plan.timeout_ms == 5000);
  const auto denied = [&](Words words) {
    const matcher::Answer answer = matcher::decide(policy, std::move(words));
    return answer.code + " " + std::to_string(answer.denial.argv_index);
  };
  for (const char* elsewhere : {"/tmp/cat", "./cat", "././/cat", "../cat", "x/../cat", "./x/../cat", "bin/cat/"}) {
    CAPTURE(elsewhere);
    CHECK(denied({elsewhere}) == "command_not_allowed 0");
  }
  for (const char* nothing : {"/tmp/app", "../app", "./gone", "./gone/"}) {
    CAPTURE(nothing);
    CHECK(denied({nothing, "x"}) == "command_not_allowed 0");
  }
  CHECK(denied({"./app", "x", "too long, this"}) == "argument_too_long 2");
  CHECK(denied({"timeout", "5", "./app", "too long, this"}) == "argument_too_long 3");
  CHECK(denied({"app"}) == "command_not_allowed 0");
  CHECK(denied({"./"}) == "command_not_allowed 0");
  Request request;
  request.argv = {"./app"};
  request.env = {{"LANG", "C"}};
  CHECK(matcher::decide(policy, request).code == "env_not_allowed");  // about no token
  const Policy without = matcher::with_commands(commands.substr(0, commands.rfind(R"("env": {)")) + R"("cat": {"path": "/bin/cat"})");
  CHECK(matcher::decide(without, Words{"./build/app"}).code == "command_not_allowed");
  CHECK(matcher::decide(without, Words{"./cat"}).code == "command_not_allowed");
}

TEST_CASE("duration: as timeout has it, in milliseconds, rounded up") {
  for (const auto& [text, expected] :
       std::vector<std::pair<const char*, std::int64_t>>{{"0", 0},
                                                         {"10", 10000},
                                                         {"1s", 1000},
                                                         {"1.5m", 90000},
                                                         {"2h", 7200000},
                                                         {"1d", 86400000},
                                                         {"0.0001", 1},
                                                         {"0.25s", 250},
                                                         {"1.0001", 1001},
                                                         {"999999999d", 999999999LL * 86400000}}) {
    CAPTURE(text);
    CHECK(read_duration(text) == expected);
  }
  for (const char* text : {"", "s", ".", ".5", "1.", "-1", "+1", "1e3", "0x10", "1ms", "1 ", " 1", "1.2.3",
                           "1234567890", "inf", "1S", "1.1234567890"}) {
    CAPTURE(text);
    CHECK_FALSE(read_duration(text));
  }
}

}  // namespace safe_exec
