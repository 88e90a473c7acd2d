// Unit tests of the decision: every denial code that evaluation gives, once produced and once not; what comes beside
// argv; what is granted; and mutants of allowed lines, none of which may gain anything.
#include "evaluate.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "matcher.h"

namespace safe_exec {
namespace {

using matcher::Answer;
using matcher::decide;
using matcher::with_commands;
using Words = std::vector<std::string>;

const char* const kTool = R"("tool": {"path": ["/opt/tool", "/usr/bin/tool"], "max_args": 30, "stdin": "text",
  "options": {"--num": {"aliases": ["-n"], "value": "n"}, "--must": {"required": true}, "--flag": {"aliases": ["-f"]},
              "--from": {"value": "ws"}},
  "operands": [{"name": "w", "type": "word", "count": [1, 3]}],
  "env": {"FIXED": "1", "LANG": {"caller": {"regex": "[A-Za-z0-9._:/-]*"}}, "LEVEL": {"caller": "n"}},
  "timeout_ms": 5000, "stdout_bytes": 1000, "exit_ok": [0, 3]})";

Request tool(Words more = {}) {
  Request request;
  request.argv = {"tool", "--must", "a"};
  request.argv.insert(request.argv.end(), more.begin(), more.end());
  return request;
}

// The real resolver's answers about binaries and files that only it can give.
class Scripted final : public PathResolver {
 public:
  explicit Scripted(const Policy& policy) : below_(make_fixture_resolver(policy)) {}
  PathResult<Binary> binary(const Command& command, std::string_view as_named, const std::vector<Root>& exec,
                            bool assume_installed) override {
    ++asked_for_binary;
    if (binary_code) return tl::unexpected(PathFailure{*binary_code, "no such program", "the program", 0});
    return below_->binary(command, as_named, exec, assume_installed);
  }
  PathResult<Directory> enter(std::optional<std::string_view> text, const std::vector<Root>& within) override {
    ++touched;
    return below_->enter(text, within);
  }
  PathResult<Grant> path(std::string_view text, const PathType& type) override {
    ++touched;
    if (path_code) return tl::unexpected(PathFailure{*path_code, "", "", 0});
    PathResult<Grant> grant = below_->path(text, type);
    if (grant && absent) grant->exists = false;
    if (grant && !physical.empty()) grant->path = physical;
    return grant;
  }
  bool names_existing(std::string_view text, const std::vector<Root>& within) override {
    return below_->names_existing(text, within);
  }
  std::optional<Grant> policy_path(const Root& root, PathAccess access, bool executable) override {
    ++touched;
    return below_->policy_path(root, access, executable);
  }
  std::optional<std::string> expand(const Root& root) override { return below_->expand(root); }
  PathResult<UniqueFd> open_stdin_file(const Grant& checked) override { return below_->open_stdin_file(checked); }

  std::optional<DenialCode> binary_code, path_code;
  std::string physical;
  bool absent = false;
  int asked_for_binary = 0, touched = 0;

 private:
  std::unique_ptr<PathResolver> below_;
};

}  // namespace

TEST_CASE("evaluate: every code of the grammar is given for its own mistake") {
  const Policy policy = with_commands(std::string(kTool) + R"(, "no": {"path": "/b/no", "decision": "deny",
    "hints": {"no": {"reason": "because"}}}, "maybe": {"path": "/b/maybe", "decision": "ask"},
    "deep": {"path": "/b/deep", "subcommands": {"in": {"permute": false, "options": {"-x": {}},
      "operands": [{"name": "w", "type": "word"}]}}})");
  const std::vector<std::pair<Words, std::string>> cases{
      {{"tool", "--must", "a"}, "allow"},
      {{"deep", "in", "-x", "a"}, "allow"},
      {{}, "command_not_allowed"},
      {{"tol", "--must", "a"}, "command_not_allowed"},
      {{"deep", "out"}, "subcommand_not_allowed"},
      {{"deep"}, "subcommand_missing"},
      {{"tool", "--must", "--evil", "a"}, "option_not_allowed"},
      {{"tool", "--must", "-n", "101", "a"}, "option_value_invalid"},
      {{"tool", "--must", "a", "-n"}, "option_value_missing"},
      {{"tool", "--must", "-n1", "-n2", "a"}, "option_repeated"},
      {{"tool", "a"}, "option_missing"},
      {{"deep", "in", "a", "-x"}, "option_after_operand"},
      {{"tool", "--must", "A"}, "operand_invalid"},
      {{"tool", "--must", "a", "b", "c", "d"}, "too_many_operands"},
      {{"tool", "--must"}, "too_few_operands"},
      {{"tool", "--must", "a\x1b[2J"}, "control_character"},
      {{"tool", "--must", "--from=/etc/passwd", "a"}, "path_outside"},
      {{"no"}, "rule_denies"},
      {{"no", "--anything"}, "rule_denies"},
      {{"maybe"}, "needs_approval"},
      {{"maybe", "x"}, "too_many_operands"},
  };
  for (const auto& [argv, code] : cases) {
    const std::string line = matcher::joined(argv);
    CAPTURE(line);
    const Answer answer = decide(policy, argv);
    CHECK(answer.code == code);
    CHECK((code == "allow") == answer.denial.message.empty());
  }
  CHECK(decide(policy, Words{"no"}).denial.reason == "because");
}

TEST_CASE("evaluate: a denial says what is allowed, where the rule stands and what was probably meant") {
  const Policy policy = with_commands(kTool);
  const Denial denial = decide(policy, {"tool", "--must", "--nun", "5", "a"}).denial;
  CHECK(denial.argv_index == 2);
  CHECK(denial.value == "--nun");
  CHECK(denial.suggestion == "--num");
  CHECK(denial.rule == "/commands/tool");
  CHECK(denial.location.has_value());
  CHECK(std::find(denial.allowed.begin(), denial.allowed.end(), "--num") != denial.allowed.end());
  CHECK(denial.message.find("--num") != std::string::npos);
  const Denial value = decide(policy, {"tool", "--must", "--num=x", "a"}).denial;
  CHECK(value.rule == "/commands/tool/options/--num");
  CHECK(value.expected == "an integer from 0 to 100");
  // A terminal obeys nothing of what stands in a message.
  const Denial hostile = decide(policy, {"tool", "--must", "\xff\x1b]0;x"}).denial;
  CHECK(hostile.code == DenialCode::operand_invalid);
  for (const Words& argv : std::vector<Words>{{"\x1b[2J"}, {"tool", "--must", "\u202e"}, {"tool", "a\nb"}}) {
    const std::string message = decide(policy, argv).denial.message;
    CHECK(message.find('\x1b') == std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
    CHECK(message.find("\u202e") == std::string::npos);
  }
}

TEST_CASE("evaluate: a denial of words that only a shell would read says that they are read by no shell") {
  const Policy policy = with_commands(kTool);
  const auto says = [&policy](const Words& argv, std::string_view text) {
    const Denial denial = decide(policy, argv).denial;
    return denial.message.find(text) != std::string::npos;
  };
  CHECK(says({"tool", "--must", "a", "|", "wc", "-l"}, "no shell reads the words: \"|\""));
  CHECK(says({"tool", "--must", "a", "2>&1", "--x"}, "no shell"));
  CHECK(says({"tool", "--must", "a", "2>/dev/null", "--x"}, "no shell"));
  CHECK(says({"tool", "--must", "a", "&&", "--x"}, "no shell"));
  CHECK(!says({"tool", "--must", "a", "--x", "|"}, "no shell"));  // behind what was refused
  CHECK(!says({"tool", "--must", "<a>", "5", ">b", "--x"}, "no shell"));
  CHECK(says({"A_1=b", "tool"}, "the request's env"));
  CHECK(!says({"1a=b"}, "the request's env"));
  CHECK(says({"./tool"}, "called by its name") == false);  // known, elsewhere
  CHECK(says({"./other"}, "called by its name"));
}

TEST_CASE("evaluate: an abbreviation is suggested and never accepted") {
  const Policy policy = with_commands(R"("c": {"path": "/b/c", "options": {"--stat": {}, "--statistics": {}}})");
  const Answer answer = decide(policy, {"c", "--sta"});
  CHECK(answer.code == "option_not_allowed");
  CHECK(answer.denial.suggestion == "--stat");
  CHECK(decide(policy, {"c", "--stat"}).code == "allow");
}

TEST_CASE("evaluate: sizes are bounded before anything else is read") {
  const Policy policy = with_commands(R"("e": {"path": "/b/e", "max_args": 10000, "operands": [{"name": "t",
    "type": {"text": [0, 131072]}, "count": [0, 10000]}]}, "p": {"path": "/b/p", "options": {"--value-of": {
    "value": {"text": [0, 131072]}}}, "operands": [{"name": "r", "type": {"regex": "(a+)+"}, "count": [0, 2]}]},
    "few": {"path": "/b/few", "max_args": 2, "operands": [{"name": "t", "type": "word", "count": [0, 9]}]})");
  CHECK(decide(policy, Words(10000, "e")).code == "allow");
  CHECK(decide(policy, Words(10001, "e")).code == "too_many_arguments");
  CHECK(decide(policy, {"few", "a", "b"}).code == "allow");
  CHECK(decide(policy, {"few", "a", "b", "c"}).code == "too_many_arguments");
  CHECK(decide(policy, {"e", std::string(131071, 'x')}).code == "allow");
  CHECK(decide(policy, {"e", std::string(131072, 'x')}).code == "argument_too_long");
  CHECK(decide(policy, Words{std::string(131072, 'x')}).code == "argument_too_long");
  Words wide(17, std::string(130000, 'x'));
  wide.front() = "e";
  CHECK(decide(policy, wide).code == "allow");
  wide.push_back(wide.back());
  CHECK(decide(policy, wide).code == "argument_too_long");
  // The rebuilt token is longer than the two that were given.
  CHECK(decide(policy, {"p", "--value-of", std::string(131061, 'x')}).code == "argument_too_long");
  CHECK(decide(policy, {"p", "--value-of", std::string(131060, 'x')}).code == "allow");
  CHECK(decide(policy, {"p", std::string(131071, 'a')}).code == "argument_too_long");  // the pattern's own max_len
}

TEST_CASE("evaluate: a pattern that cannot be tried within bounds denies") {
  const Policy policy = with_commands(
      R"("c": {"path": "/b/c", "operands": [{"name": "r", "type": {"regex": "(ab|cd|ef){0,900}", "max_len": 131072}}]})");
  CHECK(decide(policy, {"c", "abcd"}).code == "allow");
  CHECK(decide(policy, {"c", std::string(130000, 'a')}).code == "pattern_limit");
}

TEST_CASE("evaluate: an operand before a terminal option is refused, and does not go unchecked") {
  const Policy policy = with_commands(
      R"("c": {"path": "/b/c", "options": {"--version": {"terminal": true}}, "operands": [{"name": "f", "type": "ws", "count": [0, 2]}]})");
  CHECK(decide(policy, {"c", "--version"}).code == "allow");
  const Answer answer = decide(policy, {"c", "/etc/passwd", "--version"});
  CHECK(answer.code == "too_many_operands");
  CHECK(answer.denial.argv_index == 1);
}

TEST_CASE("evaluate: a pattern that does not compile is the policy's error, not a verdict") {
  Policy policy = with_commands(R"("c": {"path": "/b/c", "operands": [{"name": "r", "type": "word"}]})");
  CHECK(decide(policy, {"c", "a"}).code == "allow");
  auto broken = std::make_shared<Type>();
  broken->kind = Type::Kind::regex;
  broken->text = "(";
  (*policy.commands[0].node.operands)[0].types = {broken};
  CHECK(decide(policy, {"c", "a"}).code == "error:policy_invalid");
}

TEST_CASE("evaluate: identity and existence are asked last, and only of lines that are allowed otherwise") {
  const Policy policy = with_commands(std::string(kTool) + R"(, "maybe": {"path": "/b/maybe", "decision": "ask"})");
  for (const DenialCode code :
       {DenialCode::binary_not_found, DenialCode::binary_untrusted, DenialCode::binary_changed}) {
    Scripted resolver(policy);
    resolver.binary_code = code;
    CHECK(decide(policy, tool(), nullptr, &resolver).code == code_name(code));
    CHECK(resolver.asked_for_binary == 1);
    CHECK(decide(policy, tool({"--evil"}), nullptr, &resolver).code == "option_not_allowed");
    Request ask;
    ask.argv = {"maybe"};
    CHECK(decide(policy, ask, nullptr, &resolver).code == "needs_approval");
    CHECK(resolver.asked_for_binary == 1);
  }
  Scripted untouched(policy);
  CHECK(decide(policy, tool({"--evil"}), nullptr, &untouched).code == "option_not_allowed");
  CHECK(untouched.touched == 0);
  CHECK(decide(policy, tool(), nullptr, &untouched).code == "allow");
}

TEST_CASE("evaluate: the name of a protected file is denied before its absence, an outside one before both") {
  const Policy policy =
      with_commands(R"("cat": {"path": "/b/cat", "operands": [{"name": "f", "type": "ws", "count": [1, 3]}]})",
                    R"("defaults": {"deny_paths": ["**/.env", "/workspace/secret/**"]},)");
  Scripted resolver(policy);
  Request request;
  const auto code = [&](const std::string& path) {
    request.argv = {"cat", path};
    return decide(policy, request, nullptr, &resolver).code;
  };
  CHECK(code("a") == "allow");
  CHECK(code(".env") == "path_denied");
  CHECK(code("/etc/.env") == "path_outside");
  for (const DenialCode answer : {DenialCode::path_not_found, DenialCode::path_wrong_kind}) {
    resolver.path_code = answer;
    CHECK(code("a") == code_name(answer));
    CHECK(code(".env") == "path_denied");
  }
  resolver.path_code.reset();
  resolver.physical = "/workspace/secret/x";  // through a link whose own name says nothing
  CHECK(code("harmless") == "path_denied");
}

TEST_CASE("evaluate: a path operand is granted as its type says, an absent one to read is not") {
  const Policy policy = with_commands(R"("c": {"path": "/b/c", "operands": [
    {"name": "s", "type": {"path": "stat", "within": ["${workspace}"]}}, {"name": "r", "type": "ws"},
    {"name": "k", "type": {"path": "create", "within": ["${workspace}"]}}]})");
  Scripted resolver(policy);
  Request request;
  request.argv = {"c", "a", "b", "d"};
  Answer answer = decide(policy, request, nullptr, &resolver);
  REQUIRE(answer.plan.grants.size() == 3);
  CHECK(answer.plan.grants[0].stat_only);
  CHECK(answer.plan.grants[0].path == "/workspace/a");
  CHECK_FALSE(answer.plan.grants[1].stat_only);
  CHECK(answer.plan.grants[1].access == PathAccess::read);
  CHECK(answer.plan.grants[2].access == PathAccess::create);
  CHECK_FALSE(answer.plan.grants[2].exists);
  resolver.absent = true;
  answer = decide(policy, request, nullptr, &resolver);
  CHECK(answer.code == "allow");
  REQUIRE(answer.plan.grants.size() == 1);
  CHECK(answer.plan.grants[0].access == PathAccess::create);
}

TEST_CASE("evaluate: of a list whose second path is refused nothing is granted") {
  const Policy policy = with_commands(R"("c": {"path": "/b/c", "operands": [{"name": "l", "type": [
    {"list": {"of": "ws", "sep": ",", "max": 3}}, {"text": [1, 40]}]}]})");
  CHECK(decide(policy, {"c", "a,b"}).plan.grants.size() == 2);
  const Answer answer = decide(policy, {"c", "a,/etc/passwd"});
  CHECK(answer.code == "allow");  // as a text
  CHECK(answer.plan.grants.empty());
}

TEST_CASE("evaluate: the environment is the policy's; callers set only what a rule takes, and no value is repeated") {
  const Policy policy = with_commands(kTool, R"("defaults": {"env": {"PATH": "/usr/bin", "FIXED": "0"}},)");
  Request request = tool();
  CHECK(decide(policy, request).plan.env == Words{"PATH=/usr/bin", "FIXED=1"});
  request.env = {{"LANG", "C.UTF-8"}, {"LEVEL", "7"}};
  CHECK(decide(policy, request).plan.env == Words{"PATH=/usr/bin", "FIXED=1", "LANG=C.UTF-8", "LEVEL=7"});
  const std::vector<std::pair<std::string, std::string>> refused{
      {"FIXED", "topsecret"},  {"PATH", "topsecret"},   {"LD_PRELOAD", "topsecret"}, {"lang", "topsecret"},
      {"", "topsecret"},       {"LEVEL", "topsecret"},  {"LANG", "/topsecret"},      {"LANG", "a..topsecret"},
      {"LANG", "topsecret\n"}, {"LANG=x", "topsecret"}, {"GIT_DIR", "topsecret"}};
  for (const auto& pair : refused) {
    request.env = {pair};
    CAPTURE(pair.first);
    const Answer answer = decide(policy, request);
    CHECK(answer.code == "env_not_allowed");
    CHECK(answer.denial.value.empty());
    CHECK(answer.denial.message.find("topsecret") == std::string::npos);
  }
  request.env = {{"FIXED", "1"}, {"PATH", "/usr/bin"}};  // what it has anyway
  CHECK(decide(policy, request).plan.env == Words{"PATH=/usr/bin", "FIXED=1"});
  request.env = {{"FIXED", "1"}, {"FIXED", "1"}};
  CHECK(decide(policy, request).code == "env_not_allowed");
  request.env = {{"LEVEL", "1"}, {"LEVEL", "2"}};
  CHECK(decide(policy, request).code == "env_not_allowed");
  request.env = {{"LANG", std::string(131072, 'a')}};
  CHECK(decide(policy, request).code == "argument_too_long");
}

TEST_CASE("evaluate: a variable of the caller's has its default until the caller sets it") {
  const Policy policy = with_commands(R"("c": {"path": "/b/c"}, "d": {"path": "/b/d", "env": {"LC_ALL": {"caller": {"enum": ["C"]}}}})",
                                      R"("defaults": {"env": {"LC_ALL": {"caller": {"enum": ["C", "POSIX"]}, "default": "C.UTF-8"}}},)");
  Request request;
  request.argv = {"c"};
  CHECK(decide(policy, request).plan.env == Words{"LC_ALL=C.UTF-8"});
  request.env = {{"LC_ALL", "POSIX"}};
  CHECK(decide(policy, request).plan.env == Words{"LC_ALL=POSIX"});
  request.env = {{"LC_ALL", "C.UTF-8"}};
  CHECK(decide(policy, request).code == "env_not_allowed");
  request = Request();
  request.argv = {"d"};
  CHECK(decide(policy, request).plan.env.empty());
}

TEST_CASE("evaluate: an empty unsafe_env takes back what was listed above") {
  const Policy policy = with_commands(
      R"("a": {"path": "/b/a"}, "b": {"path": "/b/b", "unsafe_env": []},
         "c": {"path": "/b/c", "subcommands": {"x": {"unsafe_env": []}, "y": {}}})",
      R"("defaults": {"unsafe_env": ["PAGER"], "env": {"PAGER": {"caller": "word"}}},)");
  const auto code = [&](Words argv) {
    Request request;
    request.argv = std::move(argv);
    request.env = {{"PAGER", "less"}};
    return decide(policy, request).code;
  };
  CHECK(code({"a"}) == "allow");
  CHECK(code({"b"}) == "env_not_allowed");
  CHECK(code({"c", "x"}) == "env_not_allowed");
  CHECK(code({"c", "y"}) == "allow");
}

TEST_CASE("evaluate: standard input is what the rule says and nothing else") {
  const Policy policy = with_commands(std::string(kTool) + R"(, "none": {"path": "/b/n"}, "file": {"path": "/b/f",
    "stdin": {"path": "read", "kind": "file", "within": ["${workspace}"]}})");
  const auto code = [&](const std::string& name, StdinSource::Kind kind, const std::string& text) {
    Request request = tool();
    if (name != "tool") request.argv = {name};
    request.stdin_source = {kind, text};
    return decide(policy, request).code;
  };
  CHECK(code("tool", StdinSource::Kind::text, "x") == "allow");
  CHECK(code("tool", StdinSource::Kind::inherit, "") == "allow");
  CHECK(code("tool", StdinSource::Kind::file, "a") == "stdin_not_allowed");
  CHECK(code("none", StdinSource::Kind::none, "") == "allow");
  CHECK(code("none", StdinSource::Kind::text, "") == "stdin_not_allowed");
  CHECK(code("none", StdinSource::Kind::inherit, "") == "stdin_not_allowed");
  CHECK(code("file", StdinSource::Kind::text, "x") == "stdin_not_allowed");
  CHECK(code("file", StdinSource::Kind::file, "a") == "allow");
  CHECK(code("file", StdinSource::Kind::file, "/etc/passwd") == "path_outside");
  CHECK(code("file", StdinSource::Kind::file, ".") == "path_wrong_kind");
  CHECK(code("file", StdinSource::Kind::file, "") == "stdin_not_allowed");
  Scripted resolver(policy);
  resolver.absent = true;
  Request request;
  request.argv = {"file"};
  request.stdin_source = {StdinSource::Kind::file, "a"};
  CHECK(decide(policy, request, nullptr, &resolver).code == "path_not_found");
  resolver.absent = false;
  const Answer answer = decide(policy, request, nullptr, &resolver);
  CHECK(answer.plan.stdin_plan.kind == StdinPlan::Kind::file);
  CHECK(answer.plan.grants.empty());  // the descriptor is enough
}

TEST_CASE("evaluate: a dash means standard input only in a slot that says so, when there may be one") {
  const Policy policy = with_commands(R"("a": {"path": "/b/a", "stdin": "text", "operands": [{"name": "f", "type": "ws",
    "dash": true}]}, "b": {"path": "/b/b", "operands": [{"name": "f", "type": "ws", "dash": true}]},
    "c": {"path": "/b/c", "stdin": "text", "operands": [{"name": "f", "type": "ws"}]},
    "d": {"path": "/b/d", "stdin": "text", "end_of_options": false, "operands": [{"name": "f", "type": "ws",
    "dash": true}]})");
  CHECK(decide(policy, {"a", "-"}).argv == Words{"/b/a", "--", "-"});
  CHECK(decide(policy, {"b", "-"}).argv == Words{"/b/b", "--", "./-"});
  CHECK(decide(policy, {"c", "-"}).argv == Words{"/b/c", "--", "./-"});
  CHECK(decide(policy, {"d", "-"}).argv == Words{"/b/d", "-"});
}

TEST_CASE("evaluate: a dash means standard input only for an option that says so, when there may be one") {
  const Policy policy = with_commands(R"("a": {"path": "/b/a", "stdin": "text", "options": {"--file": {"aliases": ["-f"],
    "value": "ws", "dash": true}}}, "b": {"path": "/b/b", "options": {"-f": {"value": "ws", "dash": true}}},
    "c": {"path": "/b/c", "stdin": "text", "options": {"-f": {"value": "ws"}}}, "d": {"path": "/b/d", "stdin": "text",
    "options": {"-f": {"value": "ws", "dash": true, "spelling": "separate"}}})");
  CHECK(decide(policy, {"a", "-f", "-"}).argv == Words{"/b/a", "--file=-", "--"});
  CHECK(decide(policy, {"a", "--file=-"}).argv == Words{"/b/a", "--file=-", "--"});
  CHECK(decide(policy, {"a", "-f-"}).argv == Words{"/b/a", "--file=-", "--"});
  CHECK(decide(policy, {"b", "-f", "-"}).argv == Words{"/b/b", "-f./-", "--"});
  CHECK(decide(policy, {"d", "-f", "-"}).argv == Words{"/b/d", "-f", "-", "--"});
  CHECK(decide(policy, {"c", "-f", "-"}).code == "option_value_invalid");
  CHECK(decide(policy, {"a", "-f", "-x"}).code == "option_value_invalid");
  CHECK(decide(policy, {"a", "-f", "--"}).code == "option_value_invalid");
}

TEST_CASE("evaluate: a flag is written as often as it counts") {
  const Policy policy = with_commands(R"("a": {"path": "/b/a", "options": {"--more": {"aliases": ["-m"], "max": 2}, "-x": {}}})");
  CHECK(decide(policy, {"a", "-mm"}).argv == Words{"/b/a", "--more", "--more", "--"});
  CHECK(decide(policy, {"a", "-m", "-x", "--more", "-x"}).argv == Words{"/b/a", "--more", "-x", "--more", "--"});
  CHECK(decide(policy, {"a", "-mmmm"}).argv == Words{"/b/a", "--more", "--more", "--"});
}

TEST_CASE("evaluate: a request lowers limits and never raises them") {
  const Policy policy = with_commands(kTool);
  Request request = tool();
  CHECK(decide(policy, request).plan.timeout_ms == 5000);
  request.timeout_ms = 100;
  request.max_stdout_bytes = 2000;
  request.max_stderr_bytes = 0;
  const Answer answer = decide(policy, request);
  CHECK(answer.plan.timeout_ms == 100);
  CHECK(answer.plan.stdout_bytes == 1000);
  CHECK(answer.plan.stderr_bytes == 0);
  CHECK(answer.plan.clamped ==
        std::map<std::string, std::pair<std::int64_t, std::int64_t>>{{"max_stdout_bytes", {2000, 1000}}});
  CHECK(answer.plan.exit_ok == std::vector<int>{0, 3});
  request.timeout_ms = 0;
  CHECK(decide(policy, request).code == "error:request_invalid");
  request.timeout_ms = 100;
  request.max_stderr_bytes = -1;
  CHECK(decide(policy, request).code == "error:request_invalid");
}

TEST_CASE("evaluate: settings come down key by key, the sandbox member by member") {
  const Policy policy = with_commands(R"("t": {"path": "/b/t", "limits": {"cpu_s": 5}, "sandbox": {"read": ["/srv"],
    "network": "host", "layers": {"landlock": "require"}}, "env": {"A": "1", "B": "1"}, "subcommands": {"s": {
    "limits": {"open_files": 9, "tmp_mib": 3}, "sandbox": {"read": ["${workspace}"], "exec": ["/bin/x"], "proc": "own", "syscalls": "jit", "bundles": ["dns"],
    "unix_sockets": ["/run/s"]}, "env": {"B": "2"}}}})",
                                      R"("defaults": {"limits": {"cpu_s": 7, "processes": 3}, "sandbox": {
    "tmp": "private", "read_only": ["/srv/x"], "bundles": ["tls", "tz"], "layers": {"pid_namespace": "off"}}},)");
  const Plan plan = decide(policy, {"t", "s"}).plan;
  CHECK(plan.limits.cpu_s == 5);
  CHECK(plan.limits.processes == 3);
  CHECK(plan.limits.open_files == 9);
  CHECK(plan.limits.tmp_mib == 3);
  CHECK(plan.limits.memory_mib == 512);
  CHECK(plan.demanded == std::set<Layer>{Layer::landlock});
  CHECK(plan.env == Words{"A=1", "B=2"});
  CHECK(plan.network.kind == Network::Kind::host);
  CHECK(plan.proc == Proc::own);
  CHECK(plan.tmp == Tmp::private_dir);
  CHECK(plan.syscalls == Syscalls::jit);
  CHECK(plan.bundles == std::vector{Bundle::dns});
  CHECK_FALSE(plan.one_exec);
  CHECK(plan.layers.size() == static_cast<std::size_t>(kLayerCount));
  CHECK(plan.layers.at(Layer::landlock) == Requirement::require);
  CHECK(plan.layers.at(Layer::pid_namespace) == Requirement::off);
  CHECK(plan.layers.at(Layer::seccomp) == Requirement::require);
  REQUIRE(plan.grants.size() == 3);
  CHECK(plan.grants[0].path == "/workspace");
  CHECK(plan.grants[1].executable);
  CHECK(plan.unix_sockets == Words{"/run/s"});
  REQUIRE(plan.read_only.size() == 1);
  CHECK(plan.read_only[0].path == "/srv/x");
  CHECK(plan.rule == "/commands/t/subcommands/s");
  CHECK(plan.command == "t");
  CHECK(decide(with_commands(kTool), {"tool", "--must", "a"}).plan.one_exec);
}

TEST_CASE("evaluate: the trace names each rule that was looked at, and costs nothing when nobody asks") {
  const Policy policy = with_commands(kTool);
  Trace trace;
  CHECK(decide(policy, tool({"-n5"}), &trace).code == "allow");
  std::set<std::string> rules;
  for (const TraceStep& step : trace) {
    rules.insert(step.rule);
    CHECK(step.accepted);
  }
  for (const char* rule : {"/commands/tool", "/commands/tool/options/--num", "/commands/tool/operands/0"}) {
    CAPTURE(rule);
    CHECK(rules.count(rule) == 1);
  }
  trace.clear();
  CHECK(decide(policy, tool({"-n500"}), &trace).code == "option_value_invalid");
  REQUIRE(!trace.empty());
  CHECK_FALSE(trace.back().accepted);
  CHECK(trace.back().rule == "/commands/tool/options/--num");
}

TEST_CASE("evaluate: one resolver serves many requests, each from where safe-exec was started") {
  const Policy policy =
      with_commands(R"("c": {"path": "/b/c", "operands": [{"name": "f", "type": "ws"}]})", R"("fixture": ["sub/"],)");
  const auto resolver = make_fixture_resolver(policy);
  Request request;
  request.argv = {"c", "../x"};
  request.cwd = "sub";
  CHECK(decide(policy, request, nullptr, resolver.get()).plan.cwd == "/workspace/sub");
  request.cwd.reset();
  CHECK(decide(policy, request, nullptr, resolver.get()).code == "path_outside");
}

namespace {

// What a mutant may differ in: texts of operands. Everything before them is compared.
Words without_operands(const Words& argv) {
  return Words(argv.begin(), std::find(argv.begin(), argv.end(), "--"));
}

std::vector<Words> mutants_of(const Words& line) {
  std::vector<Words> all;
  for (std::size_t i = 1; i <= line.size(); ++i) {
    for (const char* token : {"--", "--evil", "-z", "-c", "--output=x", "-oX", "--no-flag", "-", "..", "/etc/passwd"}) {
      Words mutant = line;
      mutant.insert(mutant.begin() + static_cast<std::ptrdiff_t>(i), token);
      all.push_back(mutant);
    }
    if (i == line.size()) break;
    const std::string& token = line[i];
    const auto replace = [&](Words with) {
      Words mutant(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(i));
      mutant.insert(mutant.end(), with.begin(), with.end());
      mutant.insert(mutant.end(), line.begin() + static_cast<std::ptrdiff_t>(i) + 1, line.end());
      all.push_back(std::move(mutant));
    };
    if (token.starts_with("--")) {
      const std::size_t equals = token.find('=');
      for (std::size_t cut = 3; cut < std::min(equals, token.size()); ++cut) {  // abbreviated
        replace({token.substr(0, cut) + (equals == std::string::npos ? "" : token.substr(equals))});
      }
      if (equals != std::string::npos) replace({token.substr(0, equals), token.substr(equals + 1)});
      replace({token + "=x"});
    } else if (token.starts_with("-")) {
      replace({token + "z"});
      replace({"-z" + token.substr(1)});
      if (token.size() > 2) replace({token.substr(0, 2), token.substr(2)});
      if (token.size() > 2) replace({token.substr(0, 2), "-" + token.substr(2)});
    }
    replace({token, token});
    replace({"-" + token});
    replace({"./" + token});
    replace({"../" + token});
    replace({token + "/../../../etc/passwd"});
    Words moved = line;  // behind everything else
    std::rotate(moved.begin() + static_cast<std::ptrdiff_t>(i), moved.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                moved.end());
    all.push_back(std::move(moved));
  }
  return all;
}

}  // namespace

TEST_CASE("evaluate: a mutant of an allowed line gains no option and reaches nothing outside") {
  const Policy policy = with_commands(R"("g": {"path": "/b/g", "syntax": "git", "inject": ["--guard"],
    "options": {"--pager": {"always": true}, "-C": {"value": {"path": "stat", "kind": "dir", "within":
    ["${workspace}"]}, "chdir": true}}, "subcommands": {"log": {"inject": ["--no-ext"], "options": {
    "--max-count": {"aliases": ["-n"], "value": "n", "numeric": true}, "--oneline": {}, "--flag": {"aliases": ["-f"]},
    "--unified": {"aliases": ["-U"], "value": "n"}}, "operands": [{"name": "rev", "type": "word", "count": [0, 1]},
    "--", {"name": "p", "type": {"language": "pathspec", "within": ["${workspace}"]}, "count": [0, 3]}]},
    "show": {"operands": []}}},
    "s": {"path": "/b/s", "options": {"--key": {"aliases": ["-k"], "value": {"regex": "[0-9]+"}}, "--rev": {"aliases":
    ["-r"]}, "-u": {}}, "operands": [{"name": "f", "type": "ws", "count": [1, 3]}]})");
  std::size_t denied = 0, same = 0, other = 0;
  for (const Words& line : std::vector<Words>{{"g", "log", "-n", "5", "--oneline", "main", "--", "a"},
                                              {"g", "-C", "./", "log", "-5", "-f", "a", "--", "b"},
                                              {"g", "log", "--unified=3", "--max-count=7", "a"},
                                              {"s", "-ruk1", "a", "b"},
                                              {"s", "--key=2", "--rev", "--", "-x"}}) {
    const Answer original = decide(policy, line);
    const std::string from = matcher::joined(line);
    CAPTURE(from);
    REQUIRE(original.code == "allow");
    const Words options = without_operands(original.argv);
    std::set<std::string> known(options.begin(), options.end());
    for (const Words& mutant : mutants_of(line)) {
      const std::string given = matcher::joined(mutant);
      CAPTURE(given);
      const Answer answer = decide(policy, mutant);
      REQUIRE(!answer.code.starts_with("error"));
      if (answer.code != "allow") {
        ++denied;
        continue;
      }
      (answer.argv == original.argv ? same : other) += 1;
      // No token before "--" that was not there, save the operands that stand there (a revision is a bare word).
      for (const std::string& token : without_operands(answer.argv)) {
        CHECK(
            (known.count(token) == 1 || token.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") == token.npos));
      }
      for (const Grant& grant : answer.plan.grants) {
        CHECK((grant.path == "/workspace" || grant.path.starts_with("/workspace/")));
      }
    }
  }
  CHECK(denied > 300);
  CHECK(same >= 20);
  CHECK(other > 20);
}

}  // namespace safe_exec
