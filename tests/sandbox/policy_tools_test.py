"""policy suggest, fmt and show, as their users see them."""
import copy
import json
import os

from harness import SOURCE, SandboxTest, main

WS = {"path": "read", "within": ["${start_dir}"]}
POLICY = {
    "ls": {"path": "/bin/ls", "options": {"-l": {}, "--color": {"value": {"enum": ["never"]}}},
           "operands": [{"name": "path", "type": WS, "count": [0, 1]}]},
    "git": {"path": "/usr/bin/git", "syntax": "git", "hints": {"push": {"reason": "no publishing"}},
            "subcommands": {"log": {"options": {"-n": {"value": "few"}}}}}}
TYPES = {"few": {"int": [0, 10]}}


def apply(policy, patch):
    """The "add" of RFC 6902."""
    policy = copy.deepcopy(policy)
    for change in patch:
        assert change["op"] == "add"
        way = [part.replace("~1", "/").replace("~0", "~") for part in change["path"].split("/")[1:]]
        target = policy
        for part in way[:-1]:
            target = target[int(part)] if isinstance(target, list) else target.setdefault(part, {})
        if isinstance(target, list):
            target.insert(len(target) if way[-1] == "-" else int(way[-1]), change["value"])
        else:
            target[way[-1]] = change["value"]
    return policy


class Suggest(SandboxTest):
    def suggest(self, lines, *options):
        self.policy(POLICY, types=TYPES)
        text = lines if isinstance(lines, str) else "".join(json.dumps(line) + "\n" for line in lines)
        status, out, err = self.call(["policy", "suggest", "--policy", os.path.join(self.dir, "policy.json"), "--output", "json", *options, "-"],
                                     input=text.encode())
        self.assertEqual((status, err), (0, b""), out)
        return json.loads(out)

    def test_what_is_proposed_allows_the_lines_and_is_a_policy(self):
        lines = [["ls", "-la", "a", "b"], ["ls", "--color=auto"], ["ls", "--color", "always", "--sort=time"], ["git", "log", "-n", "50"],
                 ["git", "log", "--oneline", "--since", "yesterday", "-n5"], ["git", "status", "-s"], ["wc", "-l", "src/main.c", "README.md"],
                 ["wc", "-lw", "src/main.c"], ["du", "-sh", "."], ["grep", "-rn", "foo", "src", "--include=*.c"],
                 ["kubectl", "get", "pods", "-n", "web"], ["head", "-n20", "f.txt"], ["ls", "-l"]]
        answer = self.suggest(lines)
        self.assertEqual(answer["lines"], {"read": len(lines), "allowed": 1, "gained": len(lines) - 1}, answer["left"])
        self.assertEqual(len(answer["notes"]), len(answer["patch"]))
        with open(os.path.join(self.dir, "policy.json")) as f:
            policy = json.load(f)
        with open(os.path.join(self.dir, "policy.json")) as f:
            self.assertEqual(json.load(f), policy)
        grown = self.write("grown.json", json.dumps(apply(policy, answer["patch"])))
        status, out, err = self.call(["policy", "validate", grown])
        self.assertEqual(status, 0, (out, err))
        os.makedirs(os.path.join(self.ws, "src"))
        for line in lines:
            status, out, _ = self.call(["check", "--assume-installed", "--policy", grown, "--", *line])
            self.assertEqual(status, 0, (line, out))
        # Smallest: nothing else got in.
        for line in (["ls", "-R"], ["ls", "a", "b", "c"], ["git", "log", "-n51"], ["git", "log", "--since=today"], ["git", "diff"], ["wc", "-c", "f"]):
            status, out, _ = self.call(["check", "--assume-installed", "--policy", grown, "--", *line])
            self.assertEqual(status, 1, (line, out))

    def test_paths_point_to_where_the_policy_says_it(self):
        paths = [change["path"] for change in self.suggest([["ls", "-a", "x", "y"], ["git", "log", "-n", "50"], ["ls", "--color=auto"]])["patch"]]
        self.assertEqual(paths, ["/commands/ls/options/-a", "/commands/ls/operands/0/count", "/types/few/int", "/commands/ls/options/--color/value/enum/-"])

    def test_what_looks_dangerous_is_named_and_not_proposed(self):
        lines = [["git", "-c", "core.pager=id", "log"], ["git", "log", "--output=x"], ["bash", "-c", "id"], ["python3.11", "x.py"], ["env", "ls"],
                 ["rm", "-rf", "/"], ["/usr/bin/perl", "-e", "1"], ["docker", "run", "x"], ["cargo", "build"], ["fd", "--exec", "id"], ["awk", "{}"],
                 ["ssh", "host"], ["find", ".", "-delete"], ["sort", "-o", "f", "g"]]
        answer = self.suggest(lines)
        self.assertEqual([entry["argv"] for entry in answer["dangerous"]], lines, answer)
        self.assertEqual((answer["patch"], answer["left"]), ([], []))

    def test_what_is_there_for_its_version_alone_is_told_no_program(self):
        question = {"operands": [], "options": {"--version": {}}}
        commands = {"make": dict(question, path="/usr/bin/make"), "npm": {"path": "/usr/bin/npm", "subcommands": {"run": dict(question)}}}
        lines = [["make", "x"], ["npm", "run", "build"]]
        status, out, _ = self.call(["policy", "suggest", "--policy", self.policy(commands, name="versions.json"), "--output", "json", "-"], input=json.dumps(lines).encode())
        answer = json.loads(out)
        self.assertEqual((status, [entry["argv"] for entry in answer["dangerous"]], answer["patch"]), (0, lines, []), answer)

    def test_what_is_not_a_matter_of_additions_is_left_with_the_denial(self):
        answer = self.suggest([["git", "push"], ["cat", "/etc/passwd"], ["ls", "../x"], ["/opt/ls"], ["ls", "a\u0001"], ["a b"]])
        codes = [entry["code"] for entry in answer["left"]]
        self.assertEqual(codes, ["subcommand_not_allowed", "path_outside", "path_outside", "command_not_allowed", "control_character", "command_not_allowed"])
        self.assertEqual(answer["patch"], [])
        self.assertIn("no publishing", answer["left"][0]["reason"])

    def test_the_forms_that_are_read(self):
        for text in ('[["ls", "-a"], ["ls", "-a"]]', '["ls", "-a"]', '{"argv": ["ls", "-a"]}', '{"ts": 1.5, "x": null, "request": {"argv": ["ls", "-a"]}}\n\n{"event": "end"}\n',
                     '{"argv": ["/bin/ls", "-l", "-a", "--"], "request": {"argv": ["ls", "-a"]}}'):
            answer = self.suggest(text)
            self.assertEqual((answer["lines"]["read"], answer["patch"]), (1, [{"op": "add", "path": "/commands/ls/options/-a", "value": {}}]), text)
        self.assertEqual(self.suggest("")["lines"]["read"], 0)
        policy = self.policy(POLICY, types=TYPES)
        for text in ("ls -l\n", '["ls"]\n["ls", 1]\n', '"ls"', "1", '["ls"]\n[]\n', '[["ls"], 1]', "[" * 100000):
            status, out, _ = self.call(["policy", "suggest", "--policy", policy, "--output", "json", "-"], input=text.encode())
            self.assertEqual((status, json.loads(out)["error"]["code"]), (2, "usage"), text[:40])
        for arguments in ([], ["a", "b"], [os.path.join(self.dir, "none")], [self.dir]):
            self.assertEqual(self.call(["policy", "suggest", "--policy", policy, *arguments])[0], 2)

    def test_hostile_lines_end(self):
        lines = [["ls"] + ["-%s" % chr(97 + i % 26) * 3 for i in range(300)], ["ls"] + ["x%d" % i for i in range(300)], ["new"] + ["--o%d=v" % i for i in range(300)],
                 ["ls", "x" * 100000], [""], ["/"], ["ls", ""], ["ls", "-"], ["ls", "--"], ["ls", "-="], ["ls", "--="]]
        answer = self.suggest(lines)
        self.assertEqual(answer["lines"]["read"], len(lines))

    def test_text(self):
        policy = self.policy(POLICY, types=TYPES)
        status, out, _ = self.call(["policy", "suggest", "--policy", policy, "-"], input=b'["ls", "-a"]\n["sh", "-c", "\\u001b[31m"]\n["git", "push"]\n["bash", "-c", "id"]\n')
        self.assertEqual(status, 0)
        for part in (b"add /commands/ls/options/-a", b"DANGEROUS, not proposed: bash -c id", b"left: sh -c ?[31m", b"left: git push", b"4 lines: "):
            self.assertIn(part, out)


UGLY = '''// head
/* two
   lines */
{"version":1, // one
 "name" : /* odd */ "x\\u0041\\/" /* after */ , // more
 "variables":{},

 /* before */ "commands":{"a":{"path":"/bin/a","options":{"-x":{"value":{"int":[0,9]}},  "--y":{}}, // tail
 "operands":[{"name":"n","type":{"enum":["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","bbbbbbbbbbbbbbbbbbbbbbbbbbbbb","cccccccccccccccccccccccccc","ddddddddd"]}} // in
 // last
 ]}},
 "fixture":[ /* only */ ]} // end
// foot
'''
PRETTY = '''// head
/* two
   lines */
{
  "version": 1, // one
  /* odd */
  "name": "x\\u0041\\/", /* after */ // more
  "variables": {},

  /* before */
  "commands": {
    "a": {
      "path": "/bin/a",
      "options": {"-x": {"value": {"int": [0, 9]}}, "--y": {}}, // tail
      "operands": [
        {
          "name": "n",
          "type": {
            "enum": [
              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "cccccccccccccccccccccccccc",
              "ddddddddd"
            ]
          }
        } // in
        // last
      ]
    }
  },
  "fixture": [
    /* only */
  ]
}
// end
// foot
'''


class Format(SandboxTest):
    def fmt(self, *arguments, input=None):
        return self.call(["policy", "fmt", *arguments], input=input)

    def test_one_layout_that_keeps_comments_and_does_not_change_again(self):
        file = self.write("ugly.json", UGLY)
        status, out, err = self.fmt(file)
        self.assertEqual((status, out.decode(), err), (0, PRETTY, b""))
        with open(file) as f:
            self.assertEqual(f.read(), UGLY)
        self.assertEqual(self.fmt("-", input=PRETTY.encode())[1].decode(), PRETTY)
        self.assertEqual(self.fmt("-", input=UGLY.replace("\n", "\r\n").encode())[1].decode(), PRETTY)

    def test_check_and_write(self):
        ugly, pretty = self.write("ugly.json", UGLY, 0o640), self.write("pretty.json", PRETTY)
        self.assertEqual(self.fmt("--check", pretty)[:2], (0, b""))
        self.assertEqual(self.fmt("--check", ugly, pretty)[:2], (1, ugly.encode() + b"\n"))
        link = os.path.join(self.dir, "link.json")
        os.symlink("ugly.json", link)
        status, out, _ = self.fmt("--write", "--output", "json", link, pretty)
        self.assertEqual((status, json.loads(out)), (0, {"schema": "safe-exec/policy-fmt/v1", "files": 2, "changed": [link]}))
        with open(ugly) as f:
            self.assertEqual(f.read(), PRETTY)
        self.assertTrue(os.path.islink(link))
        self.assertEqual(os.stat(ugly).st_mode & 0o777, 0o640)
        self.assertEqual(sorted(os.listdir(self.dir)), ["link.json", "pretty.json", "ugly.json", "ws"])

    def test_every_shape_survives(self):
        texts = ["{}", "[]", "1", '"a"', "// c\n{}", "{/*c*/}", "{ // c\n}", "[1/*a*/,/*b*/2//c\n,//d\n3]", '{"a"/*1*/:/*2*/[/*3*/]/*4*/}', '{"a":1 // x\n // y\n , // z\n"b":2}',
                 '["//no","/*no*/","a\\"/*b"]', '{"a":[[],{},[[]]]}', "[true,false,-1]", '{"\u00e9": "\u00e9\u00e9"}', "\n\n{}\n\n/*x*/\n", '{"a":1,\n\n\n"b":2}',
                 '{"a":"%s","b":[%s]}' % ("x" * 200, ",".join('"%d"' % i for i in range(99))), "[" * 32 + "]" * 32]
        for text in texts:
            status, out, err = self.fmt("-", input=text.encode())
            self.assertEqual((status, err), (0, b""), text)
            self.assertEqual(self.fmt("-", input=out)[1], out, text)
            self.assertLessEqual(max(len(line) for line in out.decode().split("\n") if "xxx" not in line), 120)

    def test_what_is_no_json_is_refused_and_left_alone(self):
        bad = self.write("bad.json", '{"a": 1,}')
        status, out, _ = self.fmt("--write", "--output", "json", bad)
        self.assertEqual((status, json.loads(out)["error"]["location"]["line"]), (2, 1))
        with open(bad) as f:
            self.assertEqual(f.read(), '{"a": 1,}')
        for arguments in ([], ["--check", "--write", bad], [bad, bad], ["--write", "-"], [os.path.join(self.dir, "none")], ["--policy", bad], ["/dev/null"]):
            self.assertEqual(self.fmt(*arguments)[0], 2, arguments)

    def test_the_shipped_policies_have_this_layout(self):
        shipped = os.path.join(SOURCE, "policy")
        names = [os.path.join(shipped, name) for name in os.listdir(shipped) if os.path.exists(os.path.join(shipped, name, "policy.json"))]
        self.assertEqual(self.fmt("--check", *names)[:2], (0, b""))


class Show(SandboxTest):
    def show(self, *arguments):
        status, out, err = self.call(["policy", "show", *arguments])
        self.assertEqual((status, err), (0, b""), out)
        return out.decode()

    def test_the_short_form_names_commands_and_subcommands(self):
        commands = {"ls": {"path": "/bin/ls", "options": {"-l": {}}}, "sh": {"path": "/bin/sh", "decision": "deny"}, "mv": {"path": "/bin/mv", "decision": "ask"},
                    "git": {"path": "/bin/git", "subcommands": {"log": {}, "push": {"decision": "deny"}, "add": {"decision": "ask"}}}}
        policy = self.policy(commands, description="d")
        self.assertEqual(self.show(policy), "policy test: d\nDetails of a command: safe-exec policy show --command NAME; of all: --full. ?: needs approval.\n\n"
                                            "ls mv? \n\ngit: log add?\n")
        by_path = self.policy({"run": {"path": "/usr/bin/env", "operands": [{"name": "p", "type": {"text": [1, 9]}}]}}, "by_path.json", by_path="run")
        self.assertIn("\nBy its path (./build/app): run.\n\nrun \n", self.show(by_path))
        answer = json.loads(self.show("--output", "json", policy))
        self.assertEqual((answer["commands"], answer["subcommands"], answer["more_commands"]), (["ls", "mv?", "git"], {"git": ["log", "add?"]}, 0))
        self.assertIn("[-l]", self.show("--command", "ls", policy))
        self.assertNotIn("git", self.show("--command", "ls", policy))
        self.assertEqual([c["name"] for c in json.loads(self.show("--command", "git", "--output", "json", policy))["commands"]], ["git"])
        self.assertEqual(len(json.loads(self.show("--full", "--output", "json", policy))["commands"]), 4)
        for arguments in (["--command", "lss"], ["--command", ""], ["--command", "ls", "--full"]):
            self.assertEqual(self.call(["policy", "show", *arguments, policy])[0], 2)
        self.assertIn(b"did you mean ls?", self.call(["policy", "show", "--command", "lss", policy])[2])

    def test_the_short_form_is_short_for_any_policy(self):
        sub = {"sub%d" % i: {} for i in range(30)}
        for count, length in ((10, 60), (60, 8), (150, 8), (3000, 60)):
            commands = {("c%d" % i).ljust(length, "x"): dict({"path": "/bin/%d" % i}, **({"subcommands": sub} if i % 3 == 0 else {})) for i in range(count)}
            policy = self.policy(commands, description="\u00e9" * 5000)
            for output in ("text", "json"):
                out = self.show("--output", output, policy)
                self.assertLessEqual(len(out.encode()), 2048, (count, output))
                self.assertIn("c0", out)

    def test_the_whole_shipped_library_is_shown_in_2_kib(self):
        shipped = os.path.join(SOURCE, "policy")
        for name in os.listdir(shipped):
            if not os.path.exists(os.path.join(shipped, name, "policy.json")):
                continue
            out = self.show(os.path.join(shipped, name))
            self.assertLessEqual(len(out.encode()), 2048, name)
            self.assertNotIn("more: --full", out)


if __name__ == "__main__":
    main()
