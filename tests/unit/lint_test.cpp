// Unit tests of lint: each rule with a policy that it finds something in, and one that just does not; what is ignored.
#include "lint.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "matcher.h"

namespace safe_exec {
namespace {

LintReport lint(const Policy& policy, const std::string& distrust = "") {
  Expected<LintReport> report = lint_policy(policy, [&](const Command&) {
    return distrust.empty() ? std::nullopt : std::optional(distrust);
  });
  REQUIRE(report.has_value());
  return std::move(*report);
}

bool finds(const LintReport& report, const std::string& rule) {
  return std::any_of(report.findings.begin(), report.findings.end(), [&](const Finding& finding) { return finding.rule == rule; });
}

struct Case {
  std::string rule;
  std::string bad, good;  // members of "commands"
  std::string more = "";  // members of both policies
};

std::string command(const std::string& name, const std::string& members) {
  return "\"" + name + "\": {\"path\": \"/usr/bin/" + name + "\"" + (members.empty() ? "" : ", ") + members + "}";
}

const std::string kGuards = R"("inject": ["-c", "core.fsmonitor=", "-c", "core.hooksPath=/dev/null", "-c", "safe.bareRepository=explicit"],
  "env": {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"})";

std::vector<Case> cases() {
  const auto option = [](const std::string& name, const std::string& type) { return R"("options": {")" + name + R"(": {"value": )" + type + "}}"; };
  const auto operand = [](const std::string& type) { return R"("operands": [{"name": "x", "type": )" + type + "}]"; };
  const auto sandbox = [](const std::string& members) { return R"("sandbox": {)" + members + "}"; };
  const std::string text = R"({"text": [1, 9]})", out = R"({"path": "create", "within": ["${workspace}"]})", in = R"("ws")";
  return {
      {"interpreter-granted", command("python3.11", operand(in)), command("python3.11", R"("options": {"--version": {"terminal": true}})")},
      {"interpreter-granted", command("ld-linux-x86-64.so.2", operand(in)), command("ld", operand(in))},
      {"wrapper-granted", command("timeout", operand(text)), command("timeouts", operand(text))},
      {"gtfobins-function", command("tar", operand(text) + ", " + sandbox(R"("exec": ["/usr/bin/gzip"])")), command("tar", operand(text))},
      {"exec-option-listed", command("rg", option("--pre", text)), command("rg", option("--pre", R"({"enum": ["zcat"]})"))},
      {"exec-option-listed", command("tar", R"("options": {"--use": {"aliases": ["-I"], "value": "ws"}})"), command("ls", option("-I", text))},
      {"exec-option-listed", command("x", R"("options": {"--ext-diff": {}})"), command("x", R"("options": {"--pre": {}})")},
      {"write-option-listed", command("sort", option("-o", in)), command("sort", option("-o", out))},
      {"write-option-listed", command("x", option("--output", text)), command("ps", option("--output", text))},
      {"read-option-listed", command("wc", option("--files0-from", text)), command("wc", option("--files0-from", in))},
      {"operand-is-output", command("uniq", R"("operands": [{"name": "a", "type": "ws"}, {"name": "b", "type": "ws", "count": [0, 1]}])"),
       command("uniq", operand(in))},
      {"operand-is-output", command("cp", R"("operands": [{"name": "a", "type": "ws"}, {"name": "b", "type": "word"}])"),
       command("cp", R"("operands": [{"name": "a", "type": "ws"}, {"name": "b", "type": )" + out + "}]")},
      {"git-entry-without-guards", command("git", ""), command("git", kGuards)},
      {"git-entry-without-guards", command("git", kGuards + R"(, "subcommands": {"diff": {}})"),
       command("git", kGuards + R"(, "subcommands": {"diff": {"inject": ["--no-ext-diff", "--no-textconv"]}, "status": {}})")},
      {"docker-dangerous", command("docker", R"("subcommands": {"exec": {}})"), command("docker", R"("subcommands": {"ps": {}, "exec": {"decision": "deny"}})")},
      {"docker-dangerous", command("docker", option("--config", in)), command("docker", R"("subcommands": {"ps": {"options": {"-v": {}}}})")},
      {"regex-too-wide", command("x", operand(R"({"regex": ".*"})")), command("x", operand(R"({"regex": "[a-z -][a-z -]*"})"))},
      {"regex-too-wide", command("x", option("-x", R"({"list": {"of": {"regex": "[./a-z]+"}, "sep": ",", "max": 3}})")), command("x", option("-x", R"({"regex": "[a-z]+(/[a-z]+)*"})"))},
      {"text-without-separator", command("x", operand(text) + R"(, "end_of_options": false)"), command("x", operand(text))},
      {"dash-value-apart", command("x", R"("options": {"-e": {"value": {"text": [1, 9]}, "dash_value": true, "spelling": "separate"}})"),
       command("x", R"("options": {"-e": {"value": {"text": [1, 9]}, "dash_value": true}})")},
      {"path-under-writable", R"("x": {"path": "/srv/bin/x"}, )" + command("cp", operand(R"({"path": "create", "within": ["/srv"]})")),
       R"("x": {"path": "/srvbin/x"}, )" + command("cp", operand(R"({"path": "create", "within": ["/srv"]})"))},
      {"write-and-exec", command("x", sandbox(R"("exec": ["${workspace}/bin"])") + ", " + operand(out)), command("x", sandbox(R"("exec": ["/opt/bin"])") + ", " + operand(out))},
      {"binary-not-root-owned", R"("x": {"path": "/home/me/x"})", R"("x": {"path": "/homes/me/x"})"},
      {"binary-not-root-owned", command("x", R"("trust": "caller")"), command("x", R"("trust": "root")")},
      {"env-channel", command("x", R"("unsafe_env": ["PAGER"], "env": {"PAGER": {"caller": {"text": [1, 9]}}})"),
       command("x", R"("env": {"PAGER": "cat", "COLUMNS": {"caller": {"int": [1, 9]}}})")},
      {"no-examples", command("x", R"("examples": {"deny": [[["x", "y"], "too_many_operands"]]})"), command("x", R"("examples": {"allow": [["x"]]})")},
      {"no-deny-examples", command("x", R"("examples": {"allow": [["x"]]})"), command("x", R"("examples": {"deny": [[["x", "y"], "too_many_operands"]]})")},
      {"option-not-covered", command("x", R"("options": {"-a": {}}, "examples": {"allow": [["x"]]})"), command("x", R"("options": {"-a": {}}, "examples": {"allow": [["x", "-a"]]})")},
      {"no-description", command("x", ""), command("x", R"("description": "what it is for")")},
      {"wide-root", command("cat", operand(R"({"path": "read", "within": ["/etc"]})")), command("cat", operand(R"({"path": "read", "within": ["/etc/ssl/certs"]})"))},
      {"wide-root", command("cp", operand(R"({"path": "create", "within": ["/etc/ssl"]})")), command("ls", operand(R"({"path": "stat", "within": ["/"]})"))},
      {"wide-root", command("x", sandbox(R"("read": ["/proc"])")), command("x", sandbox(R"("read": ["/proc/cpuinfo"])"))},
      {"wide-root", command("x", sandbox(R"("write": ["/usr/lib/x"])")), command("x", sandbox(R"("write": ["/srv/usr"])"))},
      {"exec-self-or-shell", command("x", sandbox(R"("exec": ["self"])")), command("x", sandbox(R"("exec": [])"))},
      {"exec-self-or-shell", command("x", sandbox(R"("exec": ["/bin/sh"])")), command("x", sandbox(R"("exec": ["/usr/bin/gzip"])"))},
      {"exec-self-or-shell", command("x", sandbox(R"("exec": ["/usr/bin"])")), command("x", sandbox(R"("exec": ["/usr/bin/git-core"])"))},
      {"exec-beside-read", command("x", sandbox(R"("exec": ["/usr/lib/git-core"], "read": ["/usr"])")), command("x", sandbox(R"("exec": ["/usr/lib/git-core"], "read": ["/usr/share/git-core"])"))},
      {"exec-beside-read", command("x", sandbox(R"("exec": ["/opt/helper"], "read": ["/bin"])")), command("x", sandbox(R"("exec": ["/usr/bin"], "read": ["/usr"])"))},
      {"network-host", command("x", sandbox(R"("network": "host")")), command("x", sandbox(R"("network": {"connect_tcp": [443]})"))},
      {"network-with-read", command("x", sandbox(R"("network": {"connect_tcp": [443]})") + ", " + operand(in)), command("x", sandbox(R"("network": "none")") + ", " + operand(in))},
      {"network-with-read", command("x", sandbox(R"("network": "host")") + ", " + operand(in)), command("x", sandbox(R"("network": "loopback")") + ", " + operand(in))},
      {"unix-socket-control", command("x", sandbox(R"("unix_sockets": ["/run/docker.sock"])")), command("x", sandbox(R"("unix_sockets": ["/run/x.sock"])"))},
      {"unix-socket-beside-directory", command("x", sandbox(R"("unix_sockets": ["/run/x.sock"], "read": ["/srv"])")), command("x", sandbox(R"("unix_sockets": ["/run/x.sock"])"))},
      {"unix-socket-beside-directory", command("x", sandbox(R"("unix_sockets": ["/run/x.sock"])") + ", " + operand(in)),
       command("x", sandbox(R"("unix_sockets": ["/run/x.sock"])") + ", " + operand(R"({"path": "read", "kind": "file", "within": ["/srv"]})"))},
      {"repeatable-write", command("x", R"("repeatable": true, )" + operand(out)), command("x", R"("repeatable": true, )" + operand(in))},
      {"repeatable-write", command("x", operand(out) + R"(, "subcommands": {"s": {"repeatable": true}})"), command("x", operand(out) + R"(, "subcommands": {"s": {}})")},
      {"repeatable-write", command("x", R"("repeatable": true, "subcommands": {"s": {)" + operand(out) + "}}"),
       command("x", R"("repeatable": true, "subcommands": {"s": {"repeatable": false, )" + operand(out) + "}}")},
      {"proc-all", command("x", sandbox(R"("proc": "all")")), command("x", sandbox(R"("proc": "own")"))},
      {"layer-off", command("x", sandbox(R"("layers": {"seccomp": "off"})")), command("x", sandbox(R"("layers": {"ipc_namespace": "off"})"))},
      {"layer-reduced", command("x", sandbox(R"("layers": {"ipc_namespace": "off"})")), command("x", sandbox(R"("layers": {"ipc_namespace": "prefer"})"))},
      {"exec-by-path", command("x", R"("exec_by": "path")"), command("x", R"("exec_by": "fd")")},
      {"stale-ignore", command("x", R"("lint": {"ignore": {"proc-all": "r"}})"), command("x", sandbox(R"("proc": "all")") + R"(, "lint": {"ignore": {"proc-all": "r"}})")},
      {"stale-ignore", command("x", R"("lint": {"ignore": {"no-such-rule": "r"}})"), command("x", "")},
  };
}

}  // namespace

TEST_CASE("lint: each rule finds what it is for, and leaves alone what just is not") {
  std::set<std::string> tried;
  for (const Case& one : cases()) {
    INFO(one.rule);
    INFO(one.bad);
    INFO(one.good);
    tried.insert(one.rule);
    const LintReport bad = lint(matcher::with_commands(one.bad, one.more));
    CHECK(finds(bad, one.rule));
    CHECK_FALSE(finds(lint(matcher::with_commands(one.good, one.more)), one.rule));
    for (const Finding& finding : bad.findings) {
      CHECK(finding.location.line > 0);
      CHECK(finding.location.pointer.starts_with("/commands/"));
    }
  }
  for (const FindingRule& rule : lint_rules()) {
    INFO(std::string(rule.id));
    CHECK(tried.contains(std::string(rule.id)));
    CHECK_FALSE(rule.summary.empty());
    CHECK_FALSE(rule.help.empty());
  }
  CHECK(lint_rules().size() >= 18);
}

TEST_CASE("lint: a protected name is what keeps a command that reads and talks from being a finding") {
  const std::string both = command("x", R"("sandbox": {"network": {"connect_tcp": [443]}}, "operands": [{"name": "f", "type": "ws"}])");
  CHECK(finds(lint(matcher::with_commands(both)), "network-with-read"));
  CHECK_FALSE(finds(lint(matcher::with_commands(both, R"("defaults": {"deny_paths": ["**/.env"]},)")), "network-with-read"));
}

TEST_CASE("lint: what only the host knows about a program is told") {
  const Policy policy = matcher::with_commands(command("x", ""));
  CHECK_FALSE(finds(lint(policy), "binary-not-root-owned"));
  const LintReport report = lint(policy, "/usr/bin/x belongs to somebody");
  REQUIRE(finds(report, "binary-not-root-owned"));
}

TEST_CASE("lint: an ignored finding is told with its reason, at the node and below, and only there") {
  const std::string members = R"("lint": {"ignore": {"exec-option-listed": "the sandbox"}}, "subcommands": {
    "a": {"options": {"--pre": {"value": {"text": [1, 9]}}}}})";
  const LintReport report = lint(matcher::with_commands(command("x", members) + ", " + command("y", R"("options": {"--pre": {"value": {"text": [1, 9]}}})")));
  REQUIRE(std::count_if(report.ignored.begin(), report.ignored.end(), [](const auto& pair) { return pair.first.rule == "exec-option-listed"; }) == 1);
  CHECK(report.ignored[0].second == "the sandbox");
  const auto left = std::find_if(report.findings.begin(), report.findings.end(), [](const Finding& f) { return f.rule == "exec-option-listed"; });
  REQUIRE(left != report.findings.end());
  CHECK(left->location.pointer == "/commands/y/options/--pre");
  CHECK(left->severity == Severity::error);
}

TEST_CASE("lint: what the policy denies is no finding, and what nodes share is told once") {
  CHECK(lint(matcher::with_commands(command("python3", R"("decision": "deny", "operands": [{"name": "f", "type": "ws"}])"))).findings.empty());
  const Policy policy = matcher::with_commands(command("x", R"("subcommands": {"a": {"use": ["s"]}, "b": {"use": ["s"]}})"),
                                               R"("option_sets": {"s": {"--pre": {"value": {"text": [1, 9]}}}},)");
  const LintReport report = lint(policy);
  CHECK(std::count_if(report.findings.begin(), report.findings.end(), [](const Finding& f) { return f.rule == "exec-option-listed"; }) == 1);
}

}  // namespace safe_exec
