"""Policies meant to break it: large, circular, ambiguous. Each is refused with its place, or does what it says, in time."""
import json
import os
import shutil
import struct
import time

from harness import SANITIZED, SHELL, SandboxTest, main

SLOW = 10 if SANITIZED else 1


class Sizes(SandboxTest):
    def timed(self, seconds, arguments, input=None):
        start = time.monotonic()
        status, out, err = self.call(arguments, input=input)
        spent = time.monotonic() - start
        self.assertLess(spent, seconds * SLOW, arguments[:2])
        return status, out, err

    def check(self, policy, argv, seconds):
        request = json.dumps({"argv": argv}).encode()
        status, out, _ = self.timed(seconds, ["check", "--assume-installed", "--policy", policy, "--request", "-"], input=request)
        return status, json.loads(out)

    def test_ten_thousand_commands(self):
        policy = self.policy({"c%d" % i: {"path": "/opt/bin/c%d" % i} for i in range(10000)})
        self.assertEqual(self.timed(5, ["policy", "validate", policy])[0], 0)
        self.assertEqual(self.check(policy, ["c9999"], 3)[0], 0)
        self.assertEqual(self.check(policy, ["c10000"], 3)[1]["denied"]["code"], "command_not_allowed")
        for verb in (["show"], ["show", "--full"], ["fmt", "--check"]):
            self.assertIn(self.timed(5, ["policy", *verb, policy])[0], (0, 1))
        self.assertEqual(self.timed(10, ["policy", "diff", policy, policy])[:2], (0, b"both grant the same\n"))

    def test_ten_thousand_commands_in_a_directory_cost_what_one_costs(self):
        self.write("p/policy.json", json.dumps({"version": 1, "name": "d"}))
        os.mkdir(os.path.join(self.dir, "p/commands"))
        for i in range(10000):
            with open(os.path.join(self.dir, "p/commands/c%d.json" % i), "w") as f:
                f.write('{"path": "/opt/bin/c%d"}' % i)
        policy = os.path.join(self.dir, "p")
        self.assertEqual(self.check(policy, ["c9999"], 1)[0], 0)
        self.assertEqual(self.timed(10, ["policy", "validate", policy])[0], 0)

    def test_twenty_thousand_options_and_ten_thousand_tokens(self):
        policy = self.policy({"c": {"path": "/opt/bin/c", "options": {"--o%d" % i: {"aliases": ["--p%d" % i]} for i in range(20000)}}})
        self.assertEqual(self.timed(5, ["policy", "validate", policy])[0], 0)
        # Compared one by one this took 11 s.
        status, answer = self.check(policy, ["c"] + ["--p%d" % i for i in range(10001, 20000)], 4)
        self.assertEqual((status, len(answer["command"]["argv"])), (0, 9999 + 2))
        self.assertEqual(self.check(policy, ["c", "--o20000"], 3)[1]["denied"]["code"], "option_not_allowed")
        self.assertEqual(self.timed(10, ["policy", "diff", policy, policy])[0], 0)

    def test_many_values_letters_and_required_options(self):
        options = {"-" + chr(97 + i): {} for i in range(25)}
        options["-z"] = {"value": {"int": [0, 99999]}, "max": 10000, "numeric": True}
        options.update({"--r%d" % i: {"required": True} for i in range(4000)})
        policy = self.policy({"c": {"path": "/opt/bin/c", "options": options}})
        required = ["--r%d" % i for i in range(4000)]
        self.assertEqual(self.check(policy, ["c"] + required + ["-%d" % i for i in range(5999)], 4)[0], 0)
        self.assertEqual(self.check(policy, ["c"] + required + ["-" + "abcdefghijklmnopqrstuvwxy" * 4000] * 19, 6)[0], 0)

    def test_a_pattern_of_1_mib(self):
        policy = self.policy({"c": {"path": "/opt/bin/c", "operands": [{"name": "x", "type": {"regex": "a" * (1 << 20)}}]}})
        for arguments in (["policy", "validate", "--output", "json", policy], ["check", "--policy", policy, "--", "c", "a"]):
            status, out, _ = self.timed(3, arguments)
            error = json.loads(out)["error"]
            self.assertEqual((status, error["code"], error["location"]["pointer"]), (2, "policy_invalid", "/commands/c/operands/0/type/regex"))
            self.assertLess(len(out), 2000)

    def test_patterns_outside_of_the_engines_language(self):
        for pattern in ("(?=a)b", "(?!a)b", "(?<=a)b", "(a)\\1", "a++", "(?>a)", "\\Z", "[[:foo:]]", "\\pX", "(a{1000}){1000}", "a{2,1}", "["):
            policy = self.policy({"c": {"path": "/opt/bin/c", "operands": [{"name": "x", "type": {"regex": pattern}}]}})
            status, out, _ = self.timed(3, ["policy", "validate", "--output", "json", policy])
            error = json.loads(out)["error"]
            self.assertEqual((status, error["code"], error["location"]["pointer"]), (2, "policy_invalid", "/commands/c/operands/0/type/regex"), pattern)
            status, out, _ = self.call(["check", "--assume-installed", "--policy", policy, "--", "c", "b"])
            self.assertEqual((status, json.loads(out)["error"]["code"]), (2, "policy_invalid"), pattern)


class Circles(SandboxTest):
    def refused(self, policy, pointer, fragment):
        status, out, _ = self.call(["policy", "validate", "--output", "json", policy])
        error = json.loads(out)["error"]
        self.assertEqual((status, error["code"], error["location"]["pointer"]), (2, "policy_invalid", pointer), error)
        self.assertIn(fragment, error["message"])

    def test_includes(self):
        a = self.policy({}, "a.json", include=["b.json"])
        self.policy({}, "b.json", include=["c.json"])
        self.policy({}, "c.json", include=["./a.json"])
        self.refused(a, "/include/0", "includes itself")
        self.refused(self.policy({}, "self.json", include=["self.json"]), "/include/0", "includes itself")
        self.write("d/policy.json", json.dumps({"version": 1, "include": ["."]}))
        self.refused(os.path.join(self.dir, "d"), "/include/0", "includes itself")
        os.symlink("a.json", os.path.join(self.dir, "link.json"))
        self.policy({}, "c.json", include=["link.json"])
        status, out, _ = self.call(["policy", "validate", "--output", "json", a])
        self.assertEqual((status, json.loads(out)["error"]["code"]), (2, "policy_invalid"))

    def test_commands_that_could_be_added_to_an_included_policy(self):
        os.mkdir(os.path.join(self.dir, "base"))
        os.mkdir(os.path.join(self.dir, "base", "commands"))
        os.mkdir(os.path.join(self.dir, "base", "data"))
        self.policy({}, "base/policy.json")
        for below, expected in (("data", 0), ("commands", 2)):
            cp = {"path": "/bin/cp", "operands": [{"name": "to", "type": {"path": "create", "within": [os.path.join(self.dir, "base", below)]}}]}
            policy = self.policy({"cp": cp}, "main.json", include=["base"])
            status, out, _ = self.call(["check", "--policy", policy, "--", "cp", "x"])
            self.assertEqual(json.loads(out)["error"]["code"] if expected else None, "policy_untrusted" if expected else None, out)

    def test_types_and_variables(self):
        self.refused(self.policy({}, types={"a": {"list": {"of": "b"}}, "b": {"list": {"of": "a"}}}), "/types/b", "contains itself")
        variables = {"a": {"type": "dir", "default": "${b}"}, "b": {"type": "dir", "default": "${a}/x"}}
        self.refused(self.policy({}, variables=variables), "/variables/a", "leads back to itself")


class Variables(SandboxTest):
    def ask(self, default, *options, within=None, cwd=None):
        variable = {"type": "dir", "default": default, "settable": True, "within": within or [self.dir]}
        policy = self.policy({"ls": {"path": "/bin/ls", "operands": [{"name": "p", "type": {"path": "read", "within": ["${v}"]}, "count": [0, 1]}]}},
                             variables={"v": variable})
        status, out, _ = self.call(["check", "--policy", policy, *options, "--", "ls", "."], cwd=cwd or self.ws)
        return status, json.loads(out)

    def test_what_stands_for_everything(self):
        # Written out by the policy, / is its author's word; by way of a variable or the command line it is refused.
        self.assertEqual(self.ask("/")[0], 0)
        status, answer = self.ask("${start_dir}", cwd="/")
        self.assertEqual((status, answer["error"]["code"], answer["error"]["location"]["pointer"]), (2, "policy_invalid", "/variables/v"))
        for value in ("/", "//", "/.", "/usr/..", "../../../../../../.."):
            status, answer = self.ask(self.ws, "--var", "v=" + value, within=["/"])
            self.assertEqual((status, answer["error"]["code"]), (2, "policy_invalid"), value)
            self.assertIn("may not stand for /", answer["error"]["message"])
        self.assertEqual(self.ask(self.ws, "--var", "v=" + self.dir, within=["/"])[1]["error"]["code"], "policy_invalid")  # holds the policy

    def test_nothing(self):
        status, answer = self.ask(self.ws, "--var", "v=")
        self.assertEqual((status, answer["error"]["code"]), (2, "usage"))
        for default in ("", "${start_dir", "${}", "${v}", "."):
            self.assertEqual(self.ask(default)[1]["error"]["code"], "policy_invalid", default)
        for value in (self.dir + "/none", self.write("file", "")):
            self.assertEqual(self.ask(self.ws, "--var", "v=" + value)[1]["error"]["code"], "usage", value)
            self.assertEqual(self.ask(value)[1]["error"]["location"]["pointer"], "/variables/v", value)

    def test_a_link(self):
        os.symlink("/etc", os.path.join(self.dir, "etc"))
        os.symlink(self.ws, os.path.join(self.dir, "ws2"))
        # As the whole way is root's here, the link is passed, and what counts is where it leads; else it is refused.
        status, answer = self.ask(self.ws, "--var", "v=" + self.dir + "/etc")
        self.assertEqual((status, answer["error"]["code"] in ("usage", "policy_invalid")), (2, True), answer)
        status, answer = self.ask(self.ws, "--var", "v=" + self.dir + "/ws2")
        self.assertEqual(status, 0 if os.getuid() == 0 else 2, answer)
        if os.getuid() == 0:
            os.lchown(os.path.join(self.dir, "ws2"), 12345, 12345)
            status, answer = self.ask(self.ws, "--var", "v=" + self.dir + "/ws2")
            self.assertEqual((status, answer["error"]["code"]), (2, "usage"))

    def test_a_link_that_a_command_made_leads_no_path_of_the_policy_elsewhere(self):
        secret = self.write("out/secret", "hunter2")
        os.mkdir(os.path.join(self.ws, "conf"))
        conf = self.ws + "/conf"
        roots = ["/bin", "/usr", "/lib", "/lib64"]
        shell = dict(SHELL, cwd=[self.ws])
        writer = dict(shell, sandbox={"write": [self.ws], "exec": roots, "read": roots})
        for grants in ({"read": [conf]}, {"write": [conf]}, {"exec": [conf]}):
            with self.subTest(grants=grants):
                policy = self.policy({"dash": writer, "sh": dict(shell, sandbox=grants)})
                self.assertEqual(self.run_json(policy, ["dash", "-c", "cd / && rmdir %s && ln -s %s/out %s" % (conf, self.dir, conf)])[1]["exit_code"], 0)
                for name in ("sh", "dash"):
                    argv = [name, "-c", "read -r x < %s/secret; echo $x; echo > %s/secret; chmod 0 %s/secret" % (conf, conf, conf)]
                    status, result = self.run_json(policy, argv)
                    self.assertNotIn("hunter2", result["stdout"])
                    if os.getuid() == 0 and name == "sh":
                        self.assertEqual((status, result["error"]["code"]), (125, "policy_untrusted"), result)
                        self.assertIn(conf + " is a link that leads out of " + self.ws, result["error"]["message"])
                with open(secret) as f:
                    self.assertEqual((f.read(), os.stat(secret).st_mode & 0o777), ("hunter2", 0o644))
                # One that stays where the command may write gives nothing, and is followed where root made it.
                os.remove(conf)
                os.mkdir(self.ws + "/real")
                os.symlink("real", conf)
                self.assertEqual(self.run_json(policy, ["sh", "-c", "exit 7"])[1]["exit_code"], 7)
                os.remove(conf)
                os.rmdir(self.ws + "/real")
                os.mkdir(conf)

    def test_a_program_that_a_command_could_have_made_is_the_callers_own(self):
        program = self.write("ws/tool", "", 0o755)
        shutil.copyfile("/bin/echo", program)
        writer = dict(SHELL, sandbox={"write": [self.ws]})
        for trust in ("root", "caller"):
            tool = {"path": program, "trust": trust}
            shell = dict(SHELL, trust=trust, sandbox={"exec": [program]})
            trusted = trust == "caller"
            policy = self.policy({"tool": tool, "dash": writer, "sh": shell})
            _, result = self.run_json(policy, ["tool"])
            self.assertEqual((result["denied"] or {}).get("code"), None if trusted else "binary_untrusted", result)
            if os.getuid() == 0 and not trusted:
                self.assertIn("lies in %s, where a command may write" % self.ws, result["denied"]["message"])
            self.assertEqual(self.run_json(policy, ["sh", "-c", program + " made"])[1]["stdout"], "made\n" if trusted else "")
            # Nor by a link of root's that leads there, nor as the interpreter of a script of root's.
            link, script = os.path.join(self.dir, "tool"), self.write("script", "#!%s\n" % program, 0o755)
            if not os.path.islink(link):
                os.symlink(program, link)
            for path, sandbox in ((link, {}), (script, {"exec": [program]})):
                _, result = self.run_json(self.policy({"tool": dict(tool, path=path, sandbox=sandbox), "dash": writer}), ["tool"])
                self.assertEqual((result["denied"] or {}).get("code"), None if trusted else "binary_untrusted", result)
            # Root's, where no command writes.
            _, result = self.run_json(self.policy({"tool": tool, "sh": shell}), ["tool"])
            self.assertEqual((result["denied"] or {}).get("code"), None if trusted or os.getuid() == 0 else "binary_untrusted", result)

    def test_what_another_file_of_the_policy_lets_be_written_is_believed_no_more(self):
        """Only the command that is asked for is read: where the others may write is not known."""
        secret = self.write("secret", "hunter2\n", 0o600)
        os.makedirs(self.dir + "/p/commands")
        os.mkdir(self.dir + "/build")
        program = self.dir + "/build/tool"
        self.policy({}, "p/policy.json", defaults={"deny_paths": [secret]})
        for name, sandbox in (("dash", {"write": [self.dir + "/build"]}), ("sh", {"exec": [self.dir + "/build"]})):
            self.write("p/commands/%s.json" % name, json.dumps(dict(SHELL, sandbox=sandbox)))
        # The smallest program of this machine whose loader is that file: an ELF header and one PT_INTERP behind it, elf(5).
        with open("/usr/bin/true", "rb") as f:
            start = f.read(20)
        text = secret.encode() + b"\0"
        made = start + struct.pack("<IQQQIHHHHHH", 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0)
        made += struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(text), len(text), 1) + text + bytes(200)
        script = "printf '%s' > %s" % ("".join("\\%03o" % byte for byte in made), program)
        _, result = self.run_json(self.dir + "/p", ["dash", "-c", script])
        self.assertEqual(result["exit_code"], 0, result)
        os.chmod(program, 0o755)
        _, result = self.run_json(self.dir + "/p", ["sh", "-c", "read x < %s && echo $x; echo end" % secret])
        self.assertEqual(result["stdout"], "end\n", result)

    def test_a_within_that_is_not_there_holds_nothing(self):
        status, answer = self.ask(self.ws, "--var", "v=" + self.ws, within=[self.dir + "/none"])
        self.assertEqual((status, answer["error"]["code"]), (2, "usage"))
        self.assertIn("not where the policy lets it be", answer["error"]["message"])
        policy = self.policy({"ls": {"path": "/bin/ls", "operands": [{"name": "p", "type": {"path": "read", "within": [self.dir + "/none"]}, "count": [0, 1]}]}})
        for path, code in ((".", "path_outside"), (self.dir + "/none", "path_outside"), (self.dir + "/none/x", "path_outside")):
            status, out, _ = self.call(["check", "--policy", policy, "--", "ls", path])
            self.assertEqual((status, json.loads(out)["denied"]["code"]), (1, code), path)


class Names(SandboxTest):
    NFC, NFD = "\u00e9t\u00e9", "e\u0301te\u0301"

    def check(self, policy, *argv):
        status, out, _ = self.call(["check", "--assume-installed", "--policy", policy, "--", *argv])
        answer = json.loads(out)
        return answer["denied"]["code"] if status == 1 else answer["command"]["argv"] if status == 0 else answer["error"]

    def test_case_and_unicode_form_make_different_names(self):
        node = {"path": "/opt/bin/c", "options": {"-v": {}, "--all": {}}, "subcommands": {self.NFC: {}, "go": {"operands": [{"name": "w", "type": {"enum": [self.NFC]}, "count": [0, 1]}]}}}
        policy = self.policy({"c": node})
        self.assertEqual(self.check(policy, "c", self.NFC), ["/opt/bin/c", self.NFC, "--"])
        self.assertEqual(self.check(policy, "c", "go", self.NFC), ["/opt/bin/c", "go", "--", self.NFC])
        for argv, code in ((["C", "go"], "command_not_allowed"), (["c", "Go"], "subcommand_not_allowed"), (["c", self.NFD], "subcommand_not_allowed"),
                           (["c", "-V", "go"], "option_not_allowed"), (["c", "--All", "go"], "option_not_allowed"), (["c", "--al", "go"], "option_not_allowed"),
                           (["c", "go", self.NFD], "operand_invalid"), (["c", "\uff47\uff4f"], "subcommand_not_allowed"), (["/opt/bin/C", "go"], "command_not_allowed")):
            self.assertEqual(self.check(policy, *argv), code, argv)

    def test_two_names_that_differ_only_so_are_two_rules(self):
        policy = self.policy({"c": {"path": "/opt/bin/c", "options": {"-x": {}}}, "C": {"path": "/opt/bin/C", "options": {"-X": {}}}})
        self.assertEqual(self.check(policy, "c", "-x"), ["/opt/bin/c", "-x", "--"])
        self.assertEqual(self.check(policy, "C", "-x"), "option_not_allowed")
        policy = self.policy({"c": {"path": "/opt/bin/c", "subcommands": {self.NFC: {"options": {"-x": {}}}, self.NFD: {"decision": "deny"}}}})
        self.assertEqual(self.check(policy, "c", self.NFC, "-x"), ["/opt/bin/c", self.NFC, "-x", "--"])
        self.assertEqual(self.check(policy, "c", self.NFD), "rule_denies")

    def test_names_that_only_look_alike_are_refused_where_names_are_ascii(self):
        for commands, pointer in (({"\u0441at": {"path": "/bin/cat"}}, "/commands/\u0441at"), ({"c": {"path": "/opt/bin/c", "options": {"--\u0430ll": {}}}}, "/commands/c/options/--\u0430ll")):
            status, out, _ = self.call(["policy", "validate", "--output", "json", self.policy(commands)])
            error = json.loads(out)["error"]
            self.assertEqual((status, error["code"], error["location"]["pointer"]), (2, "policy_invalid", pointer), error)

    def test_two_entries_for_one_path_or_name(self):
        for text, pointer in (('{"version":1,"commands":{"a":{"path":"/bin/a"},"b":{"path":["/bin/b","/bin/a"]}}}', "/commands/b/path"),
                              ('{"version":1,"commands":{"a":{"path":"/bin/a"},"\\u0061":{"path":"/bin/b"}}}', "/commands")):
            status, out, _ = self.call(["policy", "validate", "--output", "json", self.write("p.json", text)])
            error = json.loads(out)["error"]
            self.assertEqual((status, error["code"], error["location"]["pointer"]), (2, "policy_invalid", pointer), error)

    def test_an_inject_that_smuggles_an_option(self):
        for inject in (["--all"], ["--all=x"], ["-v"], ["-vx"], ["--no-all"], ["--"]):
            policy = self.policy({"c": {"path": "/opt/bin/c", "options": {"-v": {"value": {"int": [0, 9]}}, "--all": {"aliases": ["-a"]}}, "inject": inject}})
            for verb in (["policy", "validate", "--output", "json", policy], ["check", "--policy", policy, "--", "c"]):
                status, out, _ = self.call(verb)
                error = json.loads(out)["error"]
                self.assertEqual((status, error["code"], error["location"]["pointer"]), (2, "policy_invalid", "/commands/c/inject/0"), (inject, error))


if __name__ == "__main__":
    main()
