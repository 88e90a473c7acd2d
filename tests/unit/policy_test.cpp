// Holds policy.h to POLICY.md section 2: the cases of tests/loader (whose agreement with the schema agree.py
// checks), then what only files, positions and the decoded Policy show.
#include "effective.h"
#include "policy.h"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#ifndef TESTS_DIR
#define TESTS_DIR "tests"
#endif

namespace safe_exec {
namespace {

// Files in memory; a path that is missing is refused like a real one.
class MemoryFiles : public PolicyFiles {
 public:
  explicit MemoryFiles(const std::map<std::string, std::string>& files) {
    for (const auto& [path, text] : files) files_[normal(path)] = text;
  }

  Expected<Found> find(std::string_view path) override {
    std::string physical = normal(path);
    const std::string prefix = physical == "/" ? physical : physical + "/";
    const auto below = files_.lower_bound(prefix);
    return Found{below != files_.end() && below->first.starts_with(prefix), std::move(physical)};
  }
  Expected<std::string> read(std::string_view path) override {
    reads.emplace_back(path);
    const auto found = files_.find(normal(path));
    if (found == files_.end())
      return tl::unexpected(Error{ErrorCode::policy_invalid, "no such file", "", 2, "", {}, "", "", ""});
    return found->second;
  }
  Expected<std::optional<std::string>> read_command(std::string_view directory, std::string_view name) override {
    const auto found = files_.find(normal(std::string(directory) + "/commands/" + std::string(name) + ".json"));
    if (found == files_.end()) return std::optional<std::string>();
    reads.push_back(found->first);
    return std::optional<std::string>(found->second);
  }
  Expected<std::vector<std::string>> list_commands(std::string_view directory) override {
    std::vector<std::string> names;
    const std::string prefix = normal(std::string(directory) + "/commands/");
    for (const auto& [path, text] : files_) {
      if (path.starts_with(prefix)) names.push_back(path.substr(prefix.size(), path.size() - prefix.size() - 5));
    }
    return names;
  }

  std::vector<std::string> reads;

 private:
  static std::string normal(std::string_view path) { return std::filesystem::path(path).lexically_normal(); }

  std::map<std::string, std::string> files_;
};

const LoadScope kEverything{true, ""};

Expected<Policy> load(const std::map<std::string, std::string>& files, const LoadScope& scope = kEverything,
                      const std::string& path = "/p/policy.json") {
  MemoryFiles memory(files);
  return load_policy(path, memory, scope);
}

Expected<Policy> load_text(const std::string& text) {
  return load({{"/p/policy.json", text}});
}

bool has(std::string_view text, std::string_view fragment) {
  return text.find(fragment) != std::string_view::npos;
}

void check_case(const nlohmann::ordered_json& test) {
  const Expected<Policy> policy =
      load_text(test.contains("text") ? test["text"].get<std::string>() : test["policy"].dump());
  if (test["expect"] == "ok") {
    const std::string problem = policy ? "" : policy.error().message;
    CHECK(problem == "");
    return;
  }
  REQUIRE_FALSE(policy.has_value());
  const Error& error = policy.error();
  const nlohmann::ordered_json& expect = test["expect"];
  INFO(error.message);
  CHECK(error.code == ErrorCode::policy_invalid);
  CHECK(has(error.message, expect["message"].get<std::string>()));
  REQUIRE(error.location.has_value());
  CHECK(error.location->file == "/p/policy.json");
  CHECK(error.location->line >= 1);
  CHECK(error.location->column >= 1);
  CHECK_FALSE(error.found.empty());
  if (expect.contains("pointer")) CHECK(error.location->pointer == expect["pointer"].get<std::string>());
  if (expect.contains("nearest")) CHECK(error.nearest == expect["nearest"].get<std::string>());
  if (expect.contains("expected")) CHECK(has(error.expected, expect["expected"].get<std::string>()));
}

TEST_CASE("policy: every case of tests/loader loads or is refused as it says") {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(TESTS_DIR) + "/loader")) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream stream(entry.path());
    const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    for (const auto& test : nlohmann::ordered_json::parse(text)) {
      INFO(entry.path().filename().string() << ": " << test["name"].get<std::string>());
      check_case(test);
      ++count;
    }
  }
  CHECK(count >= 120);
}

TEST_CASE("policy: an error has its line and column, at the key when the key is wrong") {
  const Expected<Policy> policy = load_text("{\"version\": 1,\n  \"comands\": {}}");
  REQUIRE_FALSE(policy.has_value());
  CHECK(policy.error().location->line == 2);
  CHECK(policy.error().location->column == 3);
  CHECK(policy.error().nearest == "commands");
  CHECK(has(policy.error().expected, "option_sets"));
}

TEST_CASE("policy: the example of POLICY.md is decoded") {
  const Expected<Policy> policy = load_text(R"({ "version": 1, "name": "demo", "description": "d",
    "variables": {"workspace": {"type": "dir", "default": "${start_dir}", "settable": true, "within": ["/home", "/srv"]}},
    "defaults": {"timeout_ms": 30000, "stdin": "none", "env": {"PATH": "/bin"}, "limits": {"cpu_s": 30},
                 "deny_paths": ["**/.ssh/**", "${workspace}/x/*"], "deny_walk": {"ms": 9, "leave_out": ["node_modules"]}},
    "types": {"ws": {"path": "read", "within": ["${workspace}", "${workspace}/a/b", "/opt"]}, "n": {"int": [0, 100]}},
    "option_sets": {"diff": {"--stat": {}, "--unified": {"aliases": ["-U"], "value": "n"}}},
    "commands": {"git": {"path": "/usr/bin/git", "syntax": "git", "inject": ["--literal-pathspecs"],
      "options": {"-C": {"value": "ws", "chdir": true}, "--version": {"terminal": true}},
      "hints": {"push": {"reason": "not here", "instead": ["git", "diff"]}},
      "sandbox": {"read": ["${workspace}"], "exec": ["self"], "network": {"connect_tcp": [80, 443]}, "layers": {"landlock": "require"}},
      "subcommands": {
        "push": {"decision": "deny"},
        "diff": {"use": ["diff"], "options": {"--cached": {"aliases": ["--staged"]}}, "exit_ok": [0, 1],
          "operands": [{"name": "rev", "type": ["n", {"language": "git-rev"}], "count": [0, 2], "replaced_by": ["--staged"]}, "--",
                       {"name": "path", "type": "ws", "default": "."}]}},
      "examples": {"deny": [[["git", "push"], "rule_denies"]]}}},
    "fixture": ["/a/", "/l -> /a", "/f"]})");
  REQUIRE(policy.has_value());
  CHECK(policy->name == "demo");
  CHECK(policy->file == "/p/policy.json");
  CHECK(policy_digest(policy->sources).size() == 64);
  REQUIRE(policy->variables.size() == 1);
  CHECK(policy->variables[0].default_value == "${start_dir}");
  REQUIRE(policy->deny_paths.size() == 2);
  CHECK(policy->deny_paths[1].variable == "workspace");
  CHECK(policy->deny_paths[1].path == "x/*");
  REQUIRE(policy->deny_walk.has_value());
  CHECK(policy->deny_walk->ms == 9);
  CHECK(policy->deny_walk->entries == 50000);
  REQUIRE(policy->fixture.size() == 3);
  CHECK(policy->fixture[0].directory);
  CHECK(policy->fixture[0].path == "/a");
  CHECK(policy->fixture[1].link_target == "/a");
  const Command* git = policy->find("git");
  REQUIRE(git != nullptr);
  CHECK(git->defaults->timeout_ms == 30000);
  CHECK(git->node.sandbox.exec_self);
  CHECK(git->node.sandbox.exec->empty());
  CHECK(git->node.sandbox.network->ports == std::vector<std::int64_t>{80, 443});
  CHECK(git->node.sandbox.layers.at(Layer::landlock) == Requirement::require);
  CHECK_FALSE(git->node.sandbox.write.has_value());
  CHECK(git->node.examples.deny.at(0).code == DenialCode::rule_denies);
  REQUIRE(git->node.subcommands.size() == 2);
  CHECK(git->node.subcommands[0].reason == "not here");
  CHECK(policy->pointer(git->node.subcommands[0].place) == "/commands/git/subcommands/push");
  const Node& diff = git->node.subcommands[1];
  REQUIRE(diff.options.size() == 3);
  const TypeRef& number = diff.options[1].values.at(0);
  CHECK(number->kind == Type::Kind::integer);
  CHECK(number->name == "n");
  CHECK(number == diff.operands->at(0).types[0]);  // one type, however often it is named
  CHECK(diff.operands->at(0).max == 2);
  CHECK(diff.operands->at(0).replaced_by == std::vector<std::string>{"--cached"});
  CHECK(diff.operands->at(1).separator);
  CHECK(diff.operands->at(2).defaults == std::vector<std::string>{"."});
  const PathType& ws = diff.operands->at(2).types[0]->path;
  CHECK(ws.missing);
  CHECK(ws.within[0].path == "");
  CHECK(ws.within[1].path == "a/b");
  CHECK(ws.within[2].variable == "");
}

TEST_CASE("policy: kind and missing default to what the access needs") {
  const Expected<Policy> policy = load_text(R"({"version": 1, "commands": {"x": {"path": "/bin/x", "operands": [
    {"name": "a", "type": {"missing": false, "within": ["/"], "path": "stat"}}, {"name": "b", "type": {"path": "read", "within": ["/"]}},
    {"name": "c", "type": {"within": ["/"], "kind": "dir", "path": "write"}}, {"name": "d", "type": {"path": "create", "within": ["/"]}}]}}})");
  REQUIRE(policy.has_value());
  const std::vector<Slot>& slots = *policy->find("x")->node.operands;
  CHECK_FALSE(slots[0].types[0]->path.missing);
  CHECK(slots[1].types[0]->path.kind == PathKind::any);
  CHECK(slots[1].types[0]->path.missing);
  CHECK(slots[2].types[0]->path.kind == PathKind::dir);
  CHECK_FALSE(slots[2].types[0]->path.missing);
  CHECK(slots[3].types[0]->path.kind == PathKind::file);
}

TEST_CASE("policy: a pattern is compiled only when everything is loaded") {
  const std::string text = R"({"version": 1, "types": {"t": {"regex": "a("}}})";
  CHECK(load({{"/p/policy.json", text}}, {false, "x"}).has_value());
  CHECK_FALSE(load({{"/p/policy.json", text}}, kEverything).has_value());
}

TEST_CASE("policy: examples are read only when everything is loaded") {
  const std::string text = R"({"version": 1, "commands": {"a": {"path": "/bin/x", "examples": {"allow": [7]}}}})";
  CHECK(load({{"/p/policy.json", text}}, {false, "a"}).has_value());
  CHECK_FALSE(load({{"/p/policy.json", text}}, kEverything).has_value());
}

TEST_CASE("policy: one path for two commands is seen only when everything is loaded") {
  const std::string text = R"({"version": 1, "commands": {"a": {"path": "/bin/x"}, "b": {"path": "/bin/x"}}})";
  CHECK(load({{"/p/policy.json", text}}, {false, "a"}).has_value());
  CHECK_FALSE(load({{"/p/policy.json", text}}, kEverything).has_value());
}

TEST_CASE("policy: a directory loads only the command that is asked for") {
  const std::map<std::string, std::string> files{
      {"/p/policy.json", R"({"version": 1, "types": {"n": {"int": [0, 1]}}, "defaults": {"timeout_ms": 7},
                             "commands": {"c": {"path": "/bin/c"}}})"},
      {"/p/commands/a.json", R"({"$schema": "x", "path": "/bin/a", "operands": [{"name": "n", "type": "n"}]})"},
      {"/p/commands/b.json", "not JSON"}};
  MemoryFiles memory(files);
  const Expected<Policy> one = load_policy("/p", memory, {false, "a"});
  REQUIRE(one.has_value());
  CHECK(memory.reads == std::vector<std::string>{"/p/policy.json", "/p/commands/a.json"});
  REQUIRE(one->commands.size() == 2);
  REQUIRE(one->find("a") != nullptr);
  CHECK(one->find("a")->defaults->timeout_ms == 7);
  CHECK(one->pointer(one->find("a")->node.place) == "/commands/a");
  CHECK(one->locate(one->find("a")->node.place).pointer.empty());
  CHECK(one->locate(one->find("a")->node.place).file == "/p/commands/a.json");
  CHECK(one->file == "/p/policy.json");
  const Expected<Policy> none = load(files, {false, "zzz"}, "/p");
  REQUIRE(none.has_value());
  CHECK(none->commands.size() == 1);
  CHECK(policy_digest(none->sources) != policy_digest(one->sources));
  MemoryFiles hostile(files);
  CHECK(load_policy("/p", hostile, {false, "../../etc/x"}).has_value());
  CHECK(hostile.reads == std::vector<std::string>{"/p/policy.json"});
  const Expected<Policy> all = load(files, kEverything, "/p");
  REQUIRE_FALSE(all.has_value());
  CHECK(all.error().location->file == "/p/commands/b.json");
}

TEST_CASE("policy: a command in policy.json and in commands/ is an error, and so is a file that names none") {
  const Expected<Policy> twice = load({{"/p/policy.json", R"({"version": 1, "commands": {"a": {"path": "/bin/a"}}})"},
                                       {"/p/commands/a.json", R"({"path": "/bin/a"})"}},
                                      {false, "a"}, "/p");
  REQUIRE_FALSE(twice.has_value());
  CHECK(has(twice.error().message, "defined twice, first at /p/policy.json:1"));
  const Expected<Policy> named =
      load({{"/p/policy.json", R"({"version": 1})"}, {"/p/commands/-a.json", "{}"}}, kEverything, "/p");
  REQUIRE_FALSE(named.has_value());
  CHECK(has(named.error().message, "not the name of a command"));
}

TEST_CASE("policy: what a file lets one process reserve is twice its memory, also for what it includes") {
  for (const auto& [limits, expected] : std::vector<std::pair<std::string, std::optional<std::int64_t>>>{
           {R"({"memory_mib": 100})", 200}, {R"({"memory_mib": 100, "data_mib": 0})", 0}, {R"({"cpu_s": 1})", 0}, {R"({"memory_mib": 0})", 0}}) {
    CAPTURE(limits);
    const Expected<Policy> policy =
        load({{"/p/policy.json", R"({"version": 1, "include": ["base.json"], "defaults": {"limits": )" + limits + "}}"},
              {"/p/base.json", R"({"version": 1, "defaults": {"limits": {"memory_mib": 4096, "data_mib": 0}}, "commands": {"u": {"path": "/bin/u"}}})"}});
    REQUIRE(policy.has_value());
    CHECK(policy->find("u")->defaults->limits.data_mib == expected);
  }
}

TEST_CASE("policy: includes join names, commands keep their own defaults, limits take the smaller") {
  const Expected<Policy> policy =
      load({{"/p/policy.json", R"({"version": 1, "name": "top", "include": ["sub/base.json", "/q"],
        "defaults": {"timeout_ms": 5000, "stdout_bytes": 10, "limits": {"cpu_s": 100, "memory_mib": 64, "data_mib": 2000, "open_files": 9}, "deny_paths": ["/a"]},
        "commands": {"t": {"path": "/bin/t", "operands": [{"name": "n", "type": "n"}]}}})"},
            {"/p/sub/base.json",
             R"({"version": 1, "name": "base", "include": ["../deep.json"], "types": {"n": {"int": [0, 1]}},
        "variables": {"v": {"type": "dir", "default": "/w"}},
        "defaults": {"timeout_ms": 9000, "limits": {"cpu_s": 20, "memory_mib": 0, "data_mib": 0}, "env": {"A": "base"}, "deny_paths": ["${v}/b"],
                     "deny_walk": {"ms": 1}},
        "commands": {"u": {"path": "/bin/u"}}})"},
            {"/p/sub/../deep.json", R"({"version": 1, "commands": {"d": {"path": "/bin/d"}}})"},
            {"/q/policy.json", R"({"version": 1})"},
            {"/q/commands/w.json", R"({"path": "/bin/w"})"}});
  REQUIRE(policy.has_value());
  CHECK(policy->name == "top");
  CHECK(policy->commands.size() == 4);
  CHECK(policy->deny_paths.size() == 2);
  CHECK_FALSE(policy->deny_walk.has_value());
  CHECK(deny_walk_of(*policy, *policy->find("u")).ms == 1);
  CHECK(deny_walk_of(*policy, *policy->find("t")).ms == 200);
  const Defaults& base = *policy->find("u")->defaults;
  CHECK(base.env.at(0).value == "base");
  CHECK(base.timeout_ms == 5000);
  CHECK(base.stdout_bytes == 10);
  CHECK(base.limits.cpu_s == 20);
  CHECK(base.limits.memory_mib == 64);  // 0 is no limit
  CHECK(base.limits.data_mib == 2000);
  CHECK(base.limits.open_files == 9);   // smaller than the built-in 256
  CHECK_FALSE(base.limits.processes.has_value());
  CHECK(policy->find("t")->defaults->limits.cpu_s == 100);
  const Defaults& deep = *policy->find("d")->defaults;
  CHECK(deep.limits.cpu_s == 20);  // through both
  CHECK_FALSE(deep.limits.data_mib.has_value());  // 2000 is more than twice the built-in memory
  CHECK(deep.timeout_ms == 5000);
  CHECK(deep.env.empty());
  CHECK(policy->find("w") != nullptr);
}

TEST_CASE("policy: an included file cannot look at less than the including one asks") {
  const auto walk = [](const std::string& own, const std::string& included, const char* command) {
    const Expected<Policy> policy =
        load({{"/p/policy.json", R"({"version": 1, "include": ["/q"], "defaults": {)" + own + R"(}, "commands": {"t": {"path": "/bin/t"}}})"},
              {"/q/policy.json", R"({"version": 1, "defaults": {)" + included + R"(}, "commands": {"u": {"path": "/bin/u"}}})"}});
    REQUIRE(policy.has_value());
    const DenyWalk found = deny_walk_of(*policy, *policy->find(command));
    std::string text = std::to_string(found.entries) + " " + std::to_string(found.ms);
    for (const std::string& place : found.leave_out) text += " " + place;
    return text;
  };
  const std::string asked = R"("deny_walk": {"entries": 7, "ms": 900, "leave_out": ["a", "/usr"]})";
  const std::string other = R"("deny_walk": {"entries": 9, "ms": 5, "leave_out": ["b", "a"]})";
  CHECK(walk(asked, other, "t") == "7 900 a /usr");
  CHECK(walk(asked, other, "u") == "9 900 a");
  CHECK(walk(asked, "", "u") == "7 900 a /usr");
  CHECK(walk("", other, "u") == "9 5 b a");
  CHECK(walk("", other, "t") == "50000 200");
}

TEST_CASE("policy: limits never grow by an include, whatever the includer says") {
  const Expected<Policy> policy = load(
      {{"/p/policy.json",
        R"({"version": 1, "include": ["b.json"], "defaults": {"timeout_ms": 900000, "limits": {"cpu_s": 9000, "processes": 0}}})"},
       {"/p/b.json", R"({"version": 1, "commands": {"x": {"path": "/bin/x"}}})"}});
  REQUIRE(policy.has_value());
  const Defaults& defaults = *policy->find("x")->defaults;
  CHECK_FALSE(defaults.limits.cpu_s.has_value());
  CHECK_FALSE(defaults.limits.processes.has_value());
  CHECK_FALSE(defaults.timeout_ms.has_value());
}

TEST_CASE("policy: the same name twice is an error unless the includer overrides it") {
  const std::string base = R"({"version": 1, "types": {"n": {"int": [0, 1]}}, "option_sets": {"s": {"-b": {}}},
                               "commands": {"x": {"path": "/bin/x", "use": ["s"], "operands": [{"name": "n", "type": "n"}]}}})";
  const auto with = [&](const std::string& top) { return load({{"/p/policy.json", top}, {"/p/b.json", base}}); };
  const Expected<Policy> clash = with(R"({"version": 1, "include": ["b.json"], "types": {"n": {"int": [0, 9]}}})");
  REQUIRE_FALSE(clash.has_value());
  CHECK(has(clash.error().message, "the type \"n\" is defined twice, first at /p/b.json:1"));
  CHECK(clash.error().location->pointer == "/types/n");
  const Expected<Policy> type =
      with(R"({"version": 1, "include": ["b.json"], "override": ["n", "s"], "types": {"n": {"int": [0, 9]}},
                                        "option_sets": {"s": {"-a": {}}}})");
  REQUIRE(type.has_value());
  CHECK(type->find("x")->node.operands->at(0).types[0]->high == 9);
  CHECK(type->find("x")->node.options.at(0).name == "-a");
  const Expected<Policy> command =
      with(R"({"version": 1, "include": ["b.json"], "override": ["x"], "commands": {"x": {"path": "/bin/y"}}})");
  REQUIRE(command.has_value());
  REQUIRE(command->commands.size() == 1);
  CHECK(command->commands[0].paths[0] == "/bin/y");
  const Expected<Policy> idle = with(R"({"version": 1, "include": ["b.json"], "override": ["y"]})");
  REQUIRE_FALSE(idle.has_value());
  CHECK(idle.error().location->pointer == "/override/0");
  CHECK(has(idle.error().message, "unknown overridden name"));
  // By its file a directory's policy is the same; what is included may not count unnoticed where there is nothing in its place.
  const std::string top = R"({"version": 1, "include": ["b.json"], "override": ["x"]})";
  const auto with_file = [&](const char* asked, const char* path) {
    return load({{"/p/policy.json", top}, {"/p/b.json", base}, {"/p/commands/x.json", R"({"path": "/bin/y"})"}}, {false, asked}, path);
  };
  for (const char* path : {"/p", "/p/policy.json"}) {
    const Expected<Policy> whole = with_file("x", path);
    REQUIRE(whole.has_value());
    CHECK(whole->find("x")->paths[0] == "/bin/y");
    CHECK(with_file("other", path).has_value());
  }
  const std::map<std::string, std::string> files{{"/p/site.json", top}, {"/p/b.json", base}};
  const Expected<Policy> alone = load(files, {false, "x"}, "/p/site.json");
  REQUIRE_FALSE(alone.has_value());
  CHECK(has(alone.error().message, "the overridden \"x\" has nothing in its place"));
  CHECK(alone.error().location->pointer == "/override/0");
  CHECK_FALSE(load(files, {false, "w", {"x"}}, "/p/site.json").has_value());
  CHECK(load(files, {false, "other"}, "/p/site.json").has_value());  // which may have a file of its own
  // Nor may what an included file puts in the place of another's.
  const std::string site = R"({"version": 1, "include": ["policy.json"], "override": ["x"]})";
  const std::map<std::string, std::string> levels{{"/p/site.json", site}, {"/p/policy.json", top}, {"/p/b.json", base}, {"/p/commands/x.json", R"({"path": "/bin/y"})"}};
  CHECK_FALSE(load(levels, {false, "x"}, "/p/site.json").has_value());
  CHECK_FALSE(load(levels, kEverything, "/p/site.json").has_value());
  // Each of two may have its own, and the one that includes both says which counts: the last.
  const std::string both = R"({"version": 1, "include": ["one.json", "two.json"], "override": ["x"]})";
  const auto one_of = [](const char* path) { return R"({"version": 1, "include": ["b.json"], "override": ["x"], "commands": {"x": {"path": ")" + std::string(path) + R"("}}})"; };
  const Expected<Policy> last = load({{"/p/policy.json", both}, {"/p/one.json", one_of("/bin/1")}, {"/p/two.json", one_of("/bin/2")}, {"/p/b.json", base}});
  REQUIRE(last.has_value());
  CHECK(last->find("x")->paths[0] == "/bin/2");
  // What is no command is always known.
  for (const char* name : {"n", "s"}) {
    const std::string wrong = R"({"version": 1, "include": ["b.json"], "override": [")" + std::string(name) + R"("]})";
    CHECK_FALSE(load({{"/p/site.json", wrong}, {"/p/b.json", base}}, {false, "x"}, "/p/site.json").has_value());
    CHECK_FALSE(load({{"/p/policy.json", wrong}, {"/p/b.json", base}}, {false, "x"}).has_value());
  }
  const std::string named = R"({"version": 1, "include": ["b.json"], "override": ["n"]})";
  CHECK(load({{"/p/policy.json", named}, {"/p/b.json", base}, {"/p/commands/n.json", R"({"path": "/bin/n"})"}}, {false, "x"}).has_value());
}

TEST_CASE("policy: one file is one, by whatever path it is included") {
  const std::map<std::string, std::string> files{
      {"/p/main/policy.json", R"({"version": 1, "include": ["../site", "../base/policy.json"]})"},
      {"/p/site/policy.json", R"({"version": 1, "include": ["../base"]})"},
      {"/p/base/policy.json", R"({"version": 1, "types": {"n": {"int": [0, 1]}}})"},
      {"/p/base/commands/x.json", R"({"path": "/bin/x"})"}};
  const Expected<Policy> policy = load(files, kEverything, "/p/main");
  REQUIRE(policy.has_value());
  CHECK(policy->find("x") != nullptr);
  const Expected<Policy> top = load({{"/policy.json", R"({"version": 1})"}, {"/commands/x.json", R"({"path": "/bin/x"})"}}, kEverything, "/policy.json");
  REQUIRE(top.has_value());
  CHECK(top->find("x") != nullptr);
  std::map<std::string, std::string> circle = files;
  circle["/p/base/policy.json"] = R"({"version": 1, "include": ["../main/../main/policy.json"]})";
  const Expected<Policy> itself = load(circle, kEverything, "/p/main");
  REQUIRE_FALSE(itself.has_value());
  CHECK(has(itself.error().message, "this file includes itself"));
}

TEST_CASE("policy: two included files that define one name need an override of the includer") {
  const std::string top = R"({"version": 1, "include": ["a.json", "b.json"])";
  const std::string one = R"({"version": 1, "variables": {"v": {"type": "dir", "default": "/a"}}})";
  CHECK_FALSE(load({{"/p/policy.json", top + "}"}, {"/p/a.json", one}, {"/p/b.json", one}}).has_value());
  const Expected<Policy> overridden =
      load({{"/p/policy.json", top + R"(, "override": ["v"]})"}, {"/p/a.json", one}, {"/p/b.json", one}});
  REQUIRE(overridden.has_value());
  CHECK(overridden->variables.size() == 1);
  // One of the two cannot put itself in the place of the other; what includes both from further above can.
  const std::string two = R"({"version": 1, "override": ["v"], "variables": {"v": {"type": "dir", "default": "/b"}}})";
  CHECK_FALSE(load({{"/p/policy.json", top + "}"}, {"/p/a.json", one}, {"/p/b.json", two}}).has_value());
  const std::string middle = R"({"version": 1, "include": ["a.json", "b.json"]})";
  CHECK(load({{"/p/policy.json", R"({"version": 1, "include": ["m.json"], "override": ["v"]})"},
              {"/p/m.json", middle},
              {"/p/a.json", one},
              {"/p/b.json", one}})
            .has_value());
}

TEST_CASE("policy: a file that is included from two places is read once") {
  const std::string leaf = R"({"version": 1, "commands": {"x": {"path": "/bin/x"}}})";
  const Expected<Policy> policy =
      load({{"/p/policy.json", R"({"version": 1, "include": ["a.json", "./b.json", "a.json"]})"},
            {"/p/a.json", R"({"version": 1, "include": ["c.json"]})"},
            {"/p/b.json", R"({"version": 1, "include": [".//c.json"]})"},
            {"/p/c.json", leaf}});
  REQUIRE(policy.has_value());
  CHECK(policy->sources.size() == 4);
}

TEST_CASE("policy: cycles, depth beyond 8 and files that are missing are errors of the including line") {
  const Expected<Policy> self = load_text(R"({"version": 1, "include": ["policy.json"]})");
  REQUIRE_FALSE(self.has_value());
  CHECK(has(self.error().message, "includes itself"));
  const Expected<Policy> pair = load({{"/p/policy.json", R"({"version": 1, "include": ["a.json"]})"},
                                      {"/p/a.json", R"({"version": 1, "include": ["./policy.json"]})"}});
  REQUIRE_FALSE(pair.has_value());
  CHECK(pair.error().location->file == "/p/a.json");
  CHECK(pair.error().location->pointer == "/include/0");
  for (const int depth : {8, 9}) {
    std::map<std::string, std::string> files{{"/p/policy.json", R"({"version": 1, "include": ["1.json"]})"}};
    for (int i = 1; i < depth; ++i) {
      files["/p/" + std::to_string(i) + ".json"] =
          R"({"version": 1, "include": [")" + std::to_string(i + 1) + ".json\"]}";
    }
    files["/p/" + std::to_string(depth) + ".json"] = R"({"version": 1})";
    CHECK(load(files).has_value() == (depth == 8));
  }
  const Expected<Policy> missing = load_text("{\"version\": 1,\n\"include\": [\"no.json\"]}");
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().sys_errno == 2);
  CHECK(missing.error().location->line == 2);
  CHECK_FALSE(load({}).has_value());
  const Expected<Policy> bad =
      load({{"/p/policy.json", R"({"version": 1, "include": ["a.json"]})"}, {"/p/a.json", "{\n]"}});
  REQUIRE_FALSE(bad.has_value());
  CHECK(bad.error().location->file == "/p/a.json");
  CHECK(bad.error().location->line == 2);
}

TEST_CASE("policy: the digest is over all bytes in the order of reading") {
  const Expected<Policy> empty = load_text(R"({"version":1})");
  REQUIRE(empty.has_value());
  CHECK(policy_digest(empty->sources) == "2430f1a2ad2982d0067885488a4c89e21ad1d7c83b115ba8f1b20acc88dfaea8");
  CHECK(policy_digest(load_text(R"({"version":1} )")->sources) != policy_digest(empty->sources));
}

TEST_CASE("policy: names of commands are checked byte by byte") {
  for (const char* good : {"a", "_", "9", "git", "x86_64-linux-gnu-g++", "a.b+c-d_e"}) CHECK(is_command_name(good));
  for (const char* bad : {"", "-a", ".a", "+a", "a/b", "a b", "..", "a\n", "\xC3\xA9"})
    CHECK_FALSE(is_command_name(bad));
  CHECK(is_command_name(std::string(64, 'a')));
  CHECK_FALSE(is_command_name(std::string(65, 'a')));
  CHECK_FALSE(is_command_name(std::string_view("a\0", 2)));
}

void check_fast(const std::string& text) {
  const auto start = std::chrono::steady_clock::now();
  const Expected<Policy> policy = load_text(text);
  const std::string problem = policy ? "" : policy.error().message;
  CHECK(problem == "");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(3));  // unoptimized and sanitized builds too
}

TEST_CASE("policy: 10,000 commands, options, types or variables load without quadratic work") {
  std::string commands, options, types, variables, uses;
  for (int i = 0; i < 10000; ++i) {
    const std::string n = std::to_string(i);
    const std::string comma = i == 0 ? "" : ",";
    commands += comma + "\"c" + n + "\": {\"path\": \"/bin/c" + n +
                "\", \"operands\": [{\"name\": \"a\", \"type\": \"t" + n + "\"}]}";
    options += comma + "\"--o" + n + "\": {\"persistent\": true}";
    types += comma + "\"t" + n + "\": {\"int\": [0, 1]}";
    variables += comma + "\"v" + n + "\": {\"type\": \"dir\", \"default\": \"${v" + std::to_string(i + 1) + "}\"}";
    uses += comma + "\"--o" + n + "\"";
  }
  check_fast("{\"version\": 1, \"types\": {" + types + "}, \"commands\": {" + commands + "}}");
  check_fast("{\"version\": 1, \"commands\": {\"x\": {\"path\": \"/bin/x\", \"options\": {" + options +
             "}, \"operands\": [{\"name\": \"a\", \"type\": {\"host\": true}, \"requires\": [" + uses + "]}]}}}");
  check_fast("{\"version\": 1, \"variables\": {" + variables +
             ", \"v10000\": {\"type\": \"dir\", \"default\": \"/w\"}}}");
}

}  // namespace
}  // namespace safe_exec
