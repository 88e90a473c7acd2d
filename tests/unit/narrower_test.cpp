#include "narrower.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "matcher.h"

using namespace safe_exec;

namespace {

std::vector<Widening> compare(const Policy& candidate, const Policy& base, std::string_view command = "") {
  return find_widenings({candidate, written_roots(candidate, base, true)}, {base, written_roots(base, candidate, false)},
                        command);
}

std::string whole(const std::string& command, const std::string& more = "") {
  return R"({"version": 1, )" + more + R"("commands": {"c": )" + command + "}}";
}

std::string node(const std::string& members) {
  return R"({"path": "/bin/c")" + (members.empty() ? "" : ", " + members) + "}";
}

struct Row {
  std::string candidate, base;
  std::string pointer;  // "-": no wider
  std::string reason;
};

void check_rows(const std::vector<Row>& rows, bool policies = false) {
  for (const Row& row : rows) {
    INFO(row.candidate, "  against  ", row.base);
    const Policy candidate = matcher::load(policies ? row.candidate : whole(node(row.candidate)));
    const Policy base = matcher::load(policies ? row.base : whole(node(row.base)));
    const std::vector<Widening> found = compare(candidate, base);
    CHECK(compare(base, base).empty());
    CHECK(compare(candidate, candidate).empty());
    if (row.pointer == "-") {
      const std::string told = found.empty() ? "" : found[0].pointer + ": " + found[0].reason;
      CHECK(told == "");
      continue;
    }
    REQUIRE_FALSE(found.empty());
    CHECK(found[0].pointer == row.pointer);
    CHECK_MESSAGE(found[0].reason.find(row.reason) != std::string::npos, found[0].reason);
    CHECK(found[0].location.has_value());
  }
}

Row value(const std::string& candidate, const std::string& base, const std::string& reason) {
  return {R"("options": {"--x": {"value": )" + candidate + "}}", R"("options": {"--x": {"value": )" + base + "}}",
          reason.empty() ? "-" : "/commands/c/options/--x", reason};
}

}  // namespace

TEST_CASE("narrower: commands are found by name, and their identity is compared") {
  const std::string b = R"({"version": 1, "commands": {"b": {"path": "/bin/b"}}})";
  CHECK(compare(matcher::load(R"({"version": 1})"), matcher::load(b)).empty());
  const std::vector<Widening> found = compare(matcher::load(whole(node(""))), matcher::load(b));
  REQUIRE(found.size() == 1);
  CHECK(found[0].pointer == "/commands/c");
  CHECK(compare(matcher::load(whole(node(""))), matcher::load(b), "b").empty());
  CHECK(compare(matcher::load(whole(node(R"("decision": "deny")"))), matcher::load(b)).empty());
  const std::string digest(64, 'a'), other(64, 'b');
  const auto pin = [](const std::string& hex) { return R"("sha256": ")" + hex + '"'; };
  check_rows({{pin(digest), "", "-", ""},
              {"", pin(digest), "/commands/c", "pins c"},
              {pin(other), pin(digest), "/commands/c/sha256", "pins c"},
              {R"("trust": "caller")", "", "/commands/c/trust", "only root's"},
              {"", R"("trust": "caller")", "-", ""},
              {R"("exec_by": "path")", "", "/commands/c/exec_by", "exec_by"}});
  check_rows({{whole(R"({"path": ["/bin/d", "/bin/c"]})"), whole(R"({"path": "/bin/c"})"), "/commands/c/path", "/bin/d"},
              {whole(R"({"path": "/bin/c"})"), whole(R"({"path": ["/bin/d", "/bin/c"]})"), "-", ""}},
             true);
  const std::string by_path = R"({"version": 1, "by_path": "c", "commands": {"c": {"path": "/bin/c"}}})";
  check_rows({{by_path, whole(R"({"path": "/bin/c"})"), "/by_path", "by_path is c"},
              {by_path, by_path, "-", ""},
              {by_path, R"({"version": 1, "by_path": "c", "commands": {"c": {"path": "/bin/c"}, "d": {"path": "/bin/d"}}})", "/by_path", "./d may be"},
              {whole(R"({"path": "/bin/c"})"), by_path, "-", ""}},
             true);
}

TEST_CASE("narrower: values are compared by inclusion, patterns as text") {
  check_rows({
      value(R"({"int": [1, 5]})", R"({"int": [0, 9]})", ""),
      value(R"({"int": [0, 10]})", R"({"int": [0, 9]})", "an integer from 0 to 10"),
      value(R"({"port": true})", R"({"int": [1, 65535]})", ""),
      value(R"({"int": [0, 80]})", R"({"port": true})", "not within"),
      value(R"({"enum": ["a"]})", R"({"enum": ["a", "b"]})", ""),
      value(R"({"enum": ["a", "c"]})", R"({"enum": ["a", "b"]})", "\"c\" is not within"),
      value(R"({"literal": "5"})", R"({"int": [0, 9]})", ""),
      value(R"({"literal": "ab"})", R"({"regex": "[a-z]+"})", ""),
      value(R"({"literal": "Ab"})", R"({"regex": "[a-z]+"})", "\"Ab\""),
      value(R"({"regex": "[a-z]+", "max_len": 3})", R"({"regex": "[a-z]+"})", ""),
      value(R"({"regex": "[a-z]+"})", R"({"regex": "[a-z]+", "max_len": 3})", "not within"),
      value(R"({"regex": "[a-b]+"})", R"({"regex": "[a-z]+"})", "not within"),
      value(R"({"regex": "[a-b]+", "max_len": 9})", R"({"text": [1, 9]})", ""),
      value(R"({"text": [1, 5]})", R"({"text": [0, 9]})", ""),
      value(R"({"text": [0, 10]})", R"({"text": [0, 9]})", "not within"),
      value(R"({"text": [1, 5], "multiline": true})", R"({"text": [0, 9]})", "not within"),
      value(R"({"list": {"of": {"int": [1, 2]}, "max": 2}})", R"({"list": {"of": {"int": [0, 9]}}})", ""),
      value(R"({"list": {"of": {"int": [1, 2]}, "sep": ":"}})", R"({"list": {"of": {"int": [0, 9]}}})", "not within"),
      value(R"({"list": {"of": {"int": [1, 20]}}})", R"({"list": {"of": {"int": [0, 9]}}})", "not within"),
      value(R"({"language": "git-rev"})", R"({"regex": ".*"})", "not within"),
      value(R"({"host": true})", R"({"host": true})", ""),
      value(R"({"host": true})", R"({"port": true})", "not within"),
      value(R"({"url": {"schemes": ["https"], "hosts": ["a.org", "*.b.org"]}})",
            R"({"url": {"schemes": ["https", "http"], "hosts": ["a.org", "*.org"]}})", ""),
      value(R"({"url": {"schemes": ["https"], "hosts": ["*.org"]}})",
            R"({"url": {"schemes": ["https"], "hosts": ["*.b.org"]}})", "not within"),
      value(R"({"url": {"schemes": ["https"], "hosts": ["a.org"]}})",
            R"({"url": {"schemes": ["https"], "hosts": ["a.org"], "ports": [8443]}})", "not within"),
      value(R"({"url": {"schemes": ["ftp"], "hosts": ["a.org"]}})",
            R"({"url": {"schemes": ["https"], "hosts": ["a.org"]}})", "not within"),
  });
}

TEST_CASE("narrower: paths are compared by access, kind and root") {
  check_rows({
      value(R"({"path": "read", "within": ["/w/s"]})", R"({"path": "read", "within": ["/w"]})", ""),
      value(R"({"path": "read", "within": ["/w2"]})", R"({"path": "read", "within": ["/w"]})", "/w2 does not lie below /w"),
      value(R"({"path": "read", "within": ["/w", "/v"]})", R"({"path": "read", "within": ["/w"]})", "/v does not lie"),
      value(R"({"path": "stat", "within": ["/w"]})", R"({"path": "read", "within": ["/w"]})", ""),
      value(R"({"path": "read", "within": ["/w"]})", R"({"path": "stat", "within": ["/w"]})", "not within"),
      value(R"({"path": "create", "within": ["/w"]})", R"({"path": "write", "within": ["/w"]})", "not within"),
      value(R"({"path": "read", "kind": "file", "within": ["/w"]})", R"({"path": "read", "within": ["/w"]})", ""),
      value(R"({"path": "read", "within": ["/w"]})", R"({"path": "read", "kind": "dir", "within": ["/w"]})", "not within"),
      value(R"({"path": "read", "within": ["/w"]})", R"({"path": "read", "missing": false, "within": ["/w"]})", "missing"),
      value(R"({"path": "read", "within": ["/w"]})", R"({"path": "read", "match": "a+", "within": ["/w"]})", "not within"),
      value(R"({"path": "read", "match": "a+", "within": ["/w"]})", R"({"path": "read", "within": ["/w"]})", ""),
      value(R"({"path": "read", "within": ["/w"]})", R"({"regex": ".*"})", "not within"),
      value(R"({"language": "pathspec", "within": ["/w/a"]})", R"({"language": "pathspec", "within": ["/w"]})", ""),
      value(R"({"language": "pathspec", "within": ["/"]})", R"({"language": "pathspec", "within": ["/w"]})", "does not lie"),
      value(R"({"path": "read", "within": ["/w"]})", R"({"path": "read", "within": ["/"]})", ""),
  });
}

TEST_CASE("narrower: a variable that both define alike stands for itself, another for what it may be") {
  const auto with = [](const std::string& variables, const std::string& root) {
    return whole(node(R"("cwd": ["/"], "options": {"--x": {"value": {"path": "read", "within": [")" + root + R"("]}}})"),
                 R"("variables": {)" + variables + "}, ");
  };
  const std::string home = R"("w": {"type": "dir", "default": "/home/a"})";
  const std::string settable = R"("w": {"type": "dir", "default": "/home/a", "settable": true, "within": ["/home"]})";
  const std::string wider = R"("w": {"type": "dir", "default": "/home/a", "settable": true, "within": ["/"]})";
  const std::string start = R"("w": {"type": "dir", "default": "${start_dir}"}, "v": {"type": "dir", "default": "${w}/v"})";
  const std::string at = "/commands/c/options/--x";
  check_rows({{with(settable, "${w}/sub"), with(settable, "${w}"), "-", ""},
              {with(home, "${w}"), with(settable, "${w}"), "-", ""},
              {with(settable, "${w}"), with(home, "${w}"), at, "does not lie below ${w}"},
              {with(wider, "${w}"), with(settable, "${w}"), at, "does not lie below ${w}"},
              {with(settable, "${w}"), with("", "/home"), "-", ""},
              {with(wider, "${w}"), with("", "/home"), at, "does not lie below /home"},
              {with("", "/home/a/b"), with(settable, "${w}"), "-", ""},
              {with("", "/home/b"), with(settable, "${w}"), at, "does not lie below ${w}"},
              {with(start, "${v}"), with("", "${start_dir}"), "-", ""},
              {with(start, "${v}"), with("", "${start_dir}/u"), at, "does not lie below"}},
             true);
}

TEST_CASE("narrower: variables that name one another many times over end, as wider") {
  std::string variables, names = R"("v0": {"type": "dir", "settable": true, "within": ["/a"]})";
  for (int i = 1; i < 60; ++i) {
    const std::string before = std::to_string(i - 1);
    names += R"(, "v)" + std::to_string(i) + R"(": {"type": "dir", "settable": true, "within": ["${v)" + before +
             R"(}/a", "${v)" + before + R"(}/b"]})";
  }
  const std::string read = R"("options": {"--x": {"value": {"path": "read", "within": ["${v59}"]}}})";
  const Policy deep = matcher::load(whole(node(read), R"("variables": {)" + names + "}, "));
  CHECK(compare(deep, deep).empty());
  const std::string plain = R"("options": {"--x": {"value": {"path": "read", "within": ["/a"]}}})";
  CHECK_FALSE(compare(deep, matcher::load(whole(node(plain)))).empty());
}

TEST_CASE("narrower: every key of an option takes part") {
  const auto option = [](const std::string& own, const std::string& base, const std::string& reason) {
    return Row{R"("options": {"--x": {)" + own + "}}", R"("options": {"--x": {)" + base + "}}",
               reason.empty() ? "-" : "/commands/c/options/--x", reason};
  };
  const std::string n = R"("value": {"int": [0, 9]})";
  const std::string at = "/commands/c";
  check_rows({
      {R"("options": {"--y": {}})", R"("options": {"--x": {}})", "/commands/c/options/--y", "does not list it"},
      {"", R"("options": {"--x": {}})", "-", ""},
      {"", R"("options": {"--x": {"always": true}})", at, "always gives --x"},
      {R"("options": {"--x": {}})", R"("options": {"--x": {"always": true}})", at, "always gives --x"},
      {R"("options": {"--x": {"always": true}})", R"("options": {"--x": {}})", "-", ""},
      {"", R"("options": {"--x": {"required": true}})", at, "demands --x"},
      {R"("options": {"--x": {"always": true}})", R"("options": {"--x": {"required": true}})", "-", ""},
      option(R"("aliases": ["-x"])", R"("aliases": ["-x", "-y"])", ""),
      option(R"("aliases": ["-x"])", "", "no alias -x"),
      option(n, "", "another number of values"),
      option("", n, "another number of values"),
      option(n + R"(, "max": 3)", n + R"(, "max": 2)", "up to 3 times"),
      option(n + R"(, "max": 1)", n + R"(, "max": 2)", ""),
      option(n + R"(, "optional": true)", n, "in another way"),
      option(n + R"(, "spelling": "separate")", n, "in another way"),
      option(R"("terminal": true)", "", "\"terminal\""),
      option("", R"("terminal": true)", "\"terminal\""),
      option(R"("value": {"text": [1, 9]}, "dash_value": true)", R"("value": {"text": [1, 9]})", "begin with -"),
      option(R"("max": 2)", "", "up to 2 times"),
      option("", R"("max": 2)", ""),
      option(R"("value": {"path": "read", "within": ["/a"]}, "dash": true)", R"("value": {"path": "read", "within": ["/a"]})", "standard input"),
      option(R"("value": {"path": "read", "within": ["/a"]})", R"("value": {"path": "read", "within": ["/a"]}, "dash": true)", ""),
      option(n + R"(, "numeric": true)", n, "as a number"),
      option(R"("persistent": true)", "", "persistent"),
      option("", R"("persistent": true)", ""),
      option(R"("value": {"path": "read", "kind": "dir", "within": ["/w"]}, "chdir": true)",
             R"("value": {"path": "read", "kind": "dir", "within": ["/w"]})", "\"chdir\""),
  });
}

TEST_CASE("narrower: subcommands, decisions, syntax and injected tokens") {
  const auto subs = [](const std::string& text) { return R"("subcommands": {)" + text + "}"; };
  const std::string at = "/commands/c";
  check_rows({
      {subs(R"("a": {})"), subs(R"("a": {}, "b": {})"), "-", ""},
      {subs(R"("a": {}, "b": {})"), subs(R"("a": {})"), at + "/subcommands/b", "does not list c b"},
      {subs(R"("a": {}, "b": {"decision": "deny"})"), subs(R"("a": {})"), "-", ""},
      {subs(R"("a": {"aliases": ["x"]})"), subs(R"("a": {})"), at + "/subcommands/a/aliases", "no alias x"},
      {subs(R"("a": {})") + R"(, "subcommand": "optional")", subs(R"("a": {})"), at + "/subcommand", "without a subcommand"},
      {subs(R"("a": {})"), subs(R"("a": {})") + R"(, "subcommand": "optional")", "-", ""},
      {"", subs(R"("a": {})"), at, "without a subcommand"},
      {subs(R"("a": {})"), subs(R"("a": {"decision": "ask"})"), at + "/subcommands/a", "asks about c a"},
      {subs(R"("a": {})"), subs(R"("a": {})") + R"(, "decision": "deny")", at, "denies c"},
      {subs(R"("a": {})") + R"(, "decision": "ask")", subs(R"("a": {"decision": "ask"})"), "-", ""},
      {R"("syntax": "posix")", "", at + "/syntax", "another syntax"},
      {R"("permute": false)", R"("syntax": "posix")", "-", ""},
      {R"("syntax": "git")", "", at + "/syntax", "another syntax"},
      {R"("inject": ["a"])", "", at + "/inject", "injects something else"},
      {"", R"("inject": ["a"])", at, "injects something else"},
      {R"("subcommand": "optional", "subcommands": {"a": {}}, "operands": [{"name": "w", "type": {"regex": "[a-z]"}}])",
       R"("subcommand": "optional", "subcommands": {"a": {}, "b": {}}, "operands": [{"name": "w", "type": {"regex": "[a-z]"}}])",
       at + "/operands", "an operand may be b"},
  });
}

TEST_CASE("narrower: operands that could shift count as wider") {
  const auto slots = [](const std::string& text) { return R"("operands": [)" + text + "]"; };
  const auto slot = [](const std::string& name, const std::string& type, const std::string& more = "") {
    return R"({"name": ")" + name + R"(", "type": )" + type + (more.empty() ? "" : ", " + more) + "}";
  };
  const std::string word = R"({"regex": "[a-z]+"})", number = R"({"int": [0, 9]})", path = R"({"path": "read", "within": ["/w"]})";
  const std::string few = R"("count": [0, 2])", many = R"("count": [0, 5])", at = "/commands/c/operands";
  check_rows({
      {slots(slot("w", word, few)), slots(slot("w", word, many)), "-", ""},
      {slots(slot("w", word, many)), slots(slot("w", word, few)), at + "/0", "from 0 to 5 of them"},
      {slots(slot("w", word, few)), slots(slot("w", word)), at + "/0", "from 0 to 2 of them"},
      {slots(slot("w", word)), "", at + "/0", "takes no operand w"},
      {"", slots(slot("w", word, few)), "-", ""},
      {"", slots(slot("w", word)), "/commands/c", "always has an operand w"},
      {"", slots(slot("w", word, R"("count": [0, 1], "default": "a")")), "/commands/c", "always has an operand"},
      {slots(slot("w", word, R"("count": [0, 1], "default": "a", "implied": true)")), slots(slot("w", word, R"("count": [0, 1], "default": "a")")),
       at + "/0", "\"implied\" is not the same"},
      {slots(slot("w", word) + "," + slot("n", number, few)), slots(slot("w", word) + "," + slot("n", number, many)), "-", ""},
      {slots(slot("n", number, few) + "," + slot("p", path, few)), slots(slot("n", R"({"int": [0, 99]})", few) + "," + slot("p", path, few)),
       at + "/0", "would take more"},
      {slots(slot("n", number) + "," + slot("p", path, few)), slots(slot("n", R"({"int": [0, 99]})") + "," + slot("p", path, few)), "-", ""},
      {slots(R"("--",)" + slot("p", path, few)), slots(slot("w", word, few) + R"(, "--",)" + slot("p", path, many)), "-", ""},
      {slots(slot("p", path, few)), slots(slot("w", word, few) + R"(, "--",)" + slot("p", path, many)), "-", ""},
      {slots(slot("p", path, few)), slots(slot("w", word, few) + "," + slot("p", path, many)), at + "/0", "not within"},
      {slots(R"("--",)" + slot("p", path, few)), slots(slot("p", path, many)), "/commands/c/operands", "no \"--\""},
      {slots(slot("p", "[" + word + "," + path + "]")), slots(slot("p", "[" + number + "," + path + "]")), at + "/0", "not within"},
      {slots(slot("p", path)), slots(slot("p", "[" + word + "," + path + "]")), at + "/0", "not within"},
      {slots(slot("p", number)), slots(slot("p", "[" + word + "," + number + "]")), "-", ""},
      {slots(slot("w", path, few + R"(, "dash": true)")) + R"(, "stdin": "text")", slots(slot("w", path, few)) + R"(, "stdin": "text")", at + "/0", "standard input"},
      {R"("options": {"-a": {}},)" + slots(slot("w", word, R"("excludes": ["-a"])")), R"("options": {"-a": {}, "-b": {}},)" + slots(slot("w", word, R"("excludes": ["-a", "-b"])")), "-", ""},
      {R"("options": {"-a": {}, "-b": {}},)" + slots(slot("w", word, R"("excludes": ["-a"])")), R"("options": {"-a": {}, "-b": {}},)" + slots(slot("w", word, R"("excludes": ["-a", "-b"])")), at + "/0", "excludes"},
      {R"("max_args": 9)", R"("max_args": 5)", "/commands/c/max_args", "at most 5"},
      {"", R"("max_args": 5)", "/commands/c", "at most 5"},
  });
}

TEST_CASE("narrower: settings and confinement, by the place where they are written") {
  const auto pair = [](const std::string& own, const std::string& base, const std::string& pointer, const std::string& reason) {
    return Row{own, base, reason.empty() ? "-" : "/commands/c" + pointer, reason};
  };
  const auto box = [&](const std::string& own, const std::string& base, const std::string& reason) {
    const std::string key = own.substr(1, own.find('"', 1) - 1);
    return pair(R"("sandbox": {)" + own + "}", base.empty() ? "" : R"("sandbox": {)" + base + "}", reason.empty() ? "" : "/sandbox/" + key, reason);
  };
  check_rows({
      pair(R"("timeout_ms": 30001)", "", "/timeout_ms", "30001"),
      pair(R"("timeout_ms": 1)", "", "", ""),
      pair(R"("stdout_bytes": 50001)", "", "/stdout_bytes", "50001"),
      pair(R"("stderr_bytes": 10001)", "", "/stderr_bytes", "10001"),
      pair(R"("limits": {"memory_mib": 0})", "", "/limits/memory_mib", "no limit"),
      pair("", R"("limits": {"memory_mib": 0})", "", ""),
      pair(R"("limits": {"data_mib": 0})", "", "/limits/data_mib", "no limit"),
      pair(R"("limits": {"data_mib": 1025})", "", "/limits/data_mib", "1025"),
      pair(R"("limits": {"data_mib": 1024})", "", "", ""),
      pair("", R"("limits": {"data_mib": 1023})", "", "1024"),
      pair(R"("limits": {"cpu_s": 31})", "", "/limits/cpu_s", "31"),
      pair(R"("limits": {"processes": 101})", "", "/limits/processes", "101"),
      pair(R"("limits": {"file_mib": 65})", "", "/limits/file_mib", "65"),
      pair(R"("limits": {"open_files": 257})", "", "/limits/open_files", "257"),
      pair(R"("env": {"A": "1"})", R"("env": {"A": "1"})", "", ""),
      pair(R"("env": {"A": "1"})", "", "/env/A", "does not set A"),
      pair("", R"("env": {"A": "1"})", "", "the base sets A"),
      pair(R"("env": {"A": "2"})", R"("env": {"A": "1"})", "/env/A", "another value"),
      pair(R"("env": {"A": "2"})", R"("env": {"A": {"caller": {"int": [0, 9]}}})", "", ""),
      pair(R"("env": {"A": {"caller": {"int": [0, 9]}}})", R"("env": {"A": "2"})", "/env/A", "the caller's to set"),
      pair(R"("env": {"A": {"caller": {"int": [0, 10]}}})", R"("env": {"A": {"caller": {"int": [0, 9]}}})", "/env/A", "not within"),
      pair("", R"("env": {"A": {"caller": {"int": [0, 9]}}})", "", ""),
      pair("", R"("env": {"A": {"caller": {"int": [0, 9]}, "default": "1"}})", "", "the base sets A"),
      pair(R"("env": {"A": {"caller": {"int": [0, 9]}}})", R"("env": {"A": {"caller": {"int": [0, 9]}, "default": "1"}})", "/env/A", "a default"),
      pair(R"("env": {"A": {"caller": {"int": [0, 9]}, "default": "2"}})", R"("env": {"A": {"caller": {"int": [0, 9]}, "default": "1"}})", "", ""),
      pair(R"("env": {"A": {"caller": {"int": [0, 9]}, "default": "x"}})", R"("env": {"A": {"caller": {"int": [0, 9]}, "default": "x"}})", "", ""),
      pair(R"("env": {"A": {"caller": {"int": [0, 9]}, "default": "x"}})", R"("env": {"A": {"caller": {"int": [0, 9]}, "default": "1"}})", "/env/A", "A: "),
      pair(R"("env": {"A": {"caller": {"int": [0, 9]}, "default": "x"}})", R"("env": {"A": {"caller": {"int": [0, 9]}}})", "/env/A", "A: "),
      pair(R"("env": {"A": "1"})", R"("env": {"A": {"caller": {"int": [0, 9]}, "default": "1"}})", "", ""),
      pair(R"("stdin": "text")", "", "/stdin", "no such standard input"),
      pair("", R"("stdin": "text")", "", ""),
      pair(R"("stdin": {"path": "read", "within": ["/v"]})", R"("stdin": {"path": "read", "within": ["/w"]})", "/stdin", "/v does not"),
      pair(R"("cwd": ["/w"])", "", "/cwd", "/w does not lie below ${start_dir}"),
      pair(R"("cwd": ["${start_dir}/a"])", "", "", ""),
      box(R"("read": ["/a/b"])", R"("read": ["/a"])", ""),
      box(R"("read": ["/a/b"])", "", "anything that the base names"),
      box(R"("write": ["/a"])", R"("write": ["/a/b"])", "/a does not lie"),
      pair("", R"("sandbox": {"read_only": ["/a"]})", "", "the base keeps /a from being written"),
      box(R"("read_only": ["/a/b"])", R"("read_only": ["/a"])", "the base keeps /a"),
      box(R"("read_only": ["/a", "/c"])", R"("read_only": ["/a/b"])", ""),
      box(R"("read_only": ["${start_dir}/x"])", R"("read_only": ["${start_dir}/x"])", ""),
      box(R"("read_only": ["/a"])", "", ""),
      box(R"("exec": ["/usr/bin/a"])", R"("exec": [])", "/usr/bin/a"),
      box(R"("exec": ["self"])", R"("exec": [])", "self"),
      box(R"("unix_sockets": ["/run/a"])", "", "/run/a"),
      box(R"("network": "host")", R"("network": {"connect_tcp": [80]})", "reaches less"),
      box(R"("network": {"connect_tcp": [80]})", R"("network": {"connect_tcp": [80, 443]})", ""),
      box(R"("network": {"connect_tcp": [81]})", R"("network": {"connect_tcp": [80, 443]})", "reaches less"),
      box(R"("network": {"connect_tcp": [81]})", R"("network": "host")", ""),
      box(R"("network": "loopback")", R"("network": "loopback")", ""),
      box(R"("network": "loopback")", R"("network": "host")", ""),
      box(R"("network": "none")", R"("network": "loopback")", ""),
      box(R"("network": "loopback")", R"("network": "none")", "reaches less"),
      box(R"("network": "loopback")", R"("network": {"connect_tcp": [81]})", "reaches less"),
      box(R"("network": {"connect_tcp": [81]})", R"("network": "loopback")", "reaches less"),
      box(R"("network": "host")", R"("network": "loopback")", "reaches less"),
      pair(R"("limits": {"tmp_mib": 65})", "", "/limits/tmp_mib", "65"),
      box(R"("syscalls": "jit")", "", "syscalls"),
      box(R"("bundles": ["tls"])", R"("bundles": ["dns"])", "bundles"),
      box(R"("bundles": ["tls"])", R"("bundles": ["dns", "tls"])", ""),
      pair("", R"("sandbox": {"layers": {"limits": "require"}})", "", "the whole of limits"),
      box(R"("proc": "own")", "", "proc"),
      box(R"("proc": "own")", R"("proc": "all")", ""),
      box(R"("tmp": "private")", "", "tmp"),
      box(R"("layers": {"seccomp": "prefer"})", "", "seccomp"),
      box(R"("layers": {"landlock": "require"})", "", ""),
  });
}

TEST_CASE("narrower: defaults and deny_paths are pointed at where they stand") {
  const auto with = [](const std::string& defaults) { return whole(node(""), R"("defaults": {)" + defaults + "}, "); };
  const auto globs = [&](const std::string& list) { return with(R"("deny_paths": [)" + list + "]"); };
  check_rows({{with(R"("timeout_ms": 40000)"), with(""), "/defaults/timeout_ms", "c: timeout_ms is 40000"},
              {with(R"("sandbox": {"tmp": "private"})"), with(""), "/defaults/sandbox/tmp", "tmp"},
              {whole(node(R"("sandbox": {"read_only": []})")),
               whole(node(R"("sandbox": {"read_only": []})"), R"("defaults": {"sandbox": {"read_only": ["/a"]}}, )"), "/commands/c/sandbox/read_only",
               "the base keeps /a from being written"},
              {whole(node(R"("sandbox": {"read_only": ["/a"]})")),
               whole(node(R"("sandbox": {"read_only": []})"), R"("defaults": {"sandbox": {"read_only": ["/a"]}}, )"), "-", ""},
              {globs(R"("**/.env")"), globs(R"("**/.env", "/x")"), "/defaults/deny_paths", "the base denies /x"},
              {with(""), globs(R"("/x")"), "/defaults", "the base denies /x"},
              {globs(R"("/x", "/y")"), globs(R"("/x")"), "-", ""},
              {globs(R"("/X")"), globs(R"("/x/**")"), "-", ""},
              {globs(R"("/x")"), globs(R"("/x/y/*.pem")"), "-", ""},
              {globs(R"("**/*.pem")"), globs(R"("/x/y/*.pem")"), "-", ""},
              {globs(R"("/x/y/*.pem")"), globs(R"("**/*.pem")"), "/defaults/deny_paths", "denies **/*.pem"},
              {globs(R"("**/pem")"), globs(R"("/x/apem")"), "/defaults/deny_paths", "denies /x/apem"},
              {with(R"("deny_walk": {"entries": 10})"), with(""), "/defaults/deny_walk", "looks at less"},
              {with(R"("deny_walk": {"leave_out": ["a"]})"), with(""), "/defaults/deny_walk", "looks at less"},
              {with(""), with(R"("deny_walk": {"leave_out": ["a"]})"), "-", ""}},
             true);
}

TEST_CASE("narrower: what is inherited is told once") {
  const std::string subs = R"("subcommands": {"a": {}, "b": {"subcommands": {"d": {}}}})";
  const std::vector<Widening> found =
      compare(matcher::load(whole(node(R"("timeout_ms": 99999, )" + subs))), matcher::load(whole(node(subs))));
  REQUIRE(found.size() == 1);
  CHECK(found[0].pointer == "/commands/c/timeout_ms");
}

namespace {

// Small policies at random: few names, few types, so that two of them often meet.
class Maker {
 public:
  explicit Maker(unsigned seed) : random_(seed) {}

  unsigned below(unsigned limit) { return static_cast<unsigned>(random_() % limit); }
  bool chance(unsigned percent) { return below(100) < percent; }
  template <class T>
  const T& one_of(const std::vector<T>& list) {
    return list[below(static_cast<unsigned>(list.size()))];
  }

  std::string type() {
    static const std::vector<std::string> kTypes{
        R"({"int": [0, 9]})", R"({"int": [1, 5]})", R"({"enum": ["a", "b"]})", R"({"enum": ["a", "7"]})", R"({"literal": "a"})",
        R"({"regex": "[a-z]+"})", R"({"regex": "[a-z0-9./-]+"})", R"({"text": [1, 9]})", R"({"text": [0, 2]})",
        R"({"path": "read", "within": ["/workspace"]})", R"({"path": "read", "within": ["/workspace/d"]})",
        R"({"path": "stat", "within": ["/workspace"]})", R"({"list": {"of": {"int": [0, 9]}}})"};
    return one_of(kTypes);
  }
  std::string option() {
    std::string text;
    const auto add = [&](const std::string& member) { text += (text.empty() ? "" : ", ") + member; };
    if (chance(60)) add(R"("value": )" + type());
    const bool value = !text.empty();
    if (value && chance(25)) add(R"("optional": true)");
    if (value && chance(25)) add(R"("spelling": "separate")");
    if (value && chance(20)) add(R"("max": 2)");
    if (chance(10)) add(R"("required": true)");
    if (chance(10)) add(R"("terminal": true)");
    if (chance(15)) add(R"("persistent": true)");
    if (!value && chance(10)) add(R"("always": true)");
    return "{" + text + "}";
  }
  std::string options() {
    std::string text;
    for (const char* name : {"-x", "--ex", "-y"}) {
      if (chance(50)) text += (text.empty() ? "" : ", ") + ('"' + std::string(name) + "\": " + option());
    }
    return "{" + text + "}";
  }
  std::string operands() {
    std::string text;
    const unsigned count = below(3), separator = chance(30) ? below(3) : 9;
    for (unsigned i = 0; i <= count; ++i) {
      if (i == separator) text += (text.empty() ? "" : ", ") + std::string(R"("--")");
      if (i == count) break;
      const unsigned least = below(2), most = least + below(3) + (least == 0 ? 1 : 0);
      text += std::string(text.empty() ? "" : ", ") + R"({"name": "s)" + std::to_string(i) + R"(", "type": )" +
              (chance(25) ? "[" + type() + ", " + type() + "]" : type()) + R"(, "count": [)" + std::to_string(least) + ", " +
              std::to_string(most) + "]" + (least == 0 && chance(10) ? R"(, "default": "a")" : "") + "}";
    }
    return "[" + text + "]";
  }
  std::vector<std::string> members(bool top) {
    std::vector<std::string> out{R"("options": )" + options(), R"("operands": )" + operands()};
    if (chance(20)) out.push_back(R"("syntax": ")" + one_of<std::string>({"gnu", "posix", "git", "pflag", "find"}) + '"');
    if (chance(15)) out.push_back(R"("end_of_options": false)");
    if (top && chance(40)) {
      std::string subs;
      for (const char* name : {"a", "go"}) {
        if (chance(60)) subs += (subs.empty() ? "" : ", ") + ('"' + std::string(name) + "\": " + object(members(false)));
      }
      if (!subs.empty()) out.push_back(R"("subcommands": {)" + subs + "}");
      if (!subs.empty() && chance(60)) out.push_back(R"("subcommand": "optional")");
    }
    return out;
  }
  static std::string object(const std::vector<std::string>& members) {
    std::string text;
    for (const std::string& member : members) text += (text.empty() ? "" : ", ") + member;
    return "{" + text + "}";
  }
  std::vector<std::string> line() {
    static const std::vector<std::string> kTokens{"-x", "-y", "-xy", "--ex", "--ex=a", "--ex=7", "-x7", "-xa", "a", "b", "7", "go",
                                                  "d/f", "/workspace/f", "--", "1,2", "", "-", "/etc/passwd"};
    std::vector<std::string> line{"c"};
    for (unsigned i = below(6); i > 0; --i) line.push_back(one_of(kTokens));
    return line;
  }

 private:
  std::mt19937 random_;
};

std::optional<Policy> try_load(std::string text) {
  matcher::MemoryFiles files(std::move(text));
  Expected<Policy> policy = load_policy("/policy.json", files, {true, ""});
  return policy ? std::optional<Policy>(std::move(*policy)) : std::nullopt;
}

bool grants_within(const Plan& own, const Plan& base) {
  return std::all_of(own.grants.begin(), own.grants.end(), [&](const Grant& grant) {
    return std::any_of(base.grants.begin(), base.grants.end(), [&](const Grant& other) {
      return other.path == grant.path && (other.access == grant.access || grant.access == PathAccess::stat);
    });
  });
}

}  // namespace

TEST_CASE("narrower: what is proved holds for each line: the base runs what the candidate would run, with its grants") {
  Maker make(4);
  int proved = 0, lines = 0;
  for (int round = 0; round < 12000 / matcher::kOneOf; ++round) {
    std::vector<std::string> members = make.members(true), changed = members;
    members.insert(members.begin(), R"("path": "/bin/c")");
    changed.insert(changed.begin(), members[0]);
    // The candidate differs in one member or two, or in one piece of text of the base.
    const std::vector<std::string> others = make.members(true);
    for (std::size_t i = 1; i < changed.size(); ++i) {
      for (const std::string& other : others) {
        const std::string key = changed[i].substr(0, changed[i].find(':'));
        if (make.chance(50) && other.starts_with(key)) changed[i] = other;
      }
    }
    if (make.chance(20)) changed.pop_back();
    if (changed == members) continue;
    const std::optional<Policy> base = try_load(whole(Maker::object(members)));
    const std::optional<Policy> candidate = try_load(whole(Maker::object(changed)));
    if (!base || !candidate || !compare(*candidate, *base).empty()) continue;
    ++proved;
    for (int i = 0; i < 60; ++i) {
      const std::vector<std::string> line = make.line();
      const matcher::Answer own = matcher::decide(*candidate, line);
      if (own.code != "allow") continue;
      ++lines;
      // A default that was filled in may be read as another slot's token the second time: then by the line as it was.
      matcher::Answer other = matcher::decide(*base, own.argv);
      if (other.argv != own.argv) other = matcher::decide(*base, line);
      const bool holds = other.code == "allow" && other.argv == own.argv && grants_within(own.plan, other.plan);
      REQUIRE_MESSAGE(holds, Maker::object(changed), "  in  ", Maker::object(members), ": ", matcher::joined(own.argv), " ",
                      other.code, " ", matcher::joined(other.argv));
    }
  }
  CHECK(proved > 300 / matcher::kOneOf);
  CHECK(lines > 1000 / matcher::kOneOf);
  MESSAGE(proved, " pairs proved, ", lines, " lines");
}
