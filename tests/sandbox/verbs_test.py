"""check, policy and doctor, as their users see them."""
import json
import os
import signal
import subprocess
import time

from harness import BINARY, SANITIZED, SOURCE, SandboxTest, main

LS = {"ls": {"path": "/bin/ls", "description": "list files", "options": {"-l": {}, "-a": {}, "--color": {"value": {"enum": ["never", "auto"]}}},
             "operands": [{"name": "path", "type": {"path": "read", "within": ["${start_dir}"]}, "count": [0, 3]}],
             "hints": {"-R": {"reason": "the tree is large", "instead": ["ls", "-l"]}},
             "examples": {"allow": [["ls", "-la"]], "deny": [[["ls", "-R"], "option_not_allowed"]]}}}


class Check(SandboxTest):
    def check(self, policy, argv, *options):
        status, out, _ = self.call(["check", "--policy", policy, *options, "--", *argv])
        return status, json.loads(out)

    def test_decisions_and_statuses(self):
        policy = self.policy(LS)
        status, answer = self.check(policy, ["ls", "-la"])
        self.assertEqual((status, answer["decision"], answer["allowed"]), (0, "allow", True))
        self.assertEqual(answer["command"]["argv"], ["/bin/ls", "-l", "-a", "--"])
        status, answer = self.check(policy, ["ls", "-R"])
        self.assertEqual((status, answer["decision"]), (1, "deny"))
        denied = answer["denied"]
        self.assertEqual((denied["code"], denied["argv_index"], denied["value"]), ("option_not_allowed", 1, "-R"))
        self.assertEqual((denied["reason"], denied["instead"]), ("the tree is large", ["ls", "-l"]))
        self.assertTrue(denied["location"]["line"] > 0 and denied["location"]["pointer"].startswith("/commands/ls"))
        policy = self.policy({"ls": dict(LS["ls"], decision="ask", examples={})})
        self.assertEqual(self.check(policy, ["ls"])[0], 3)
        status, result = self.run_json(policy, ["ls"])
        self.assertEqual((status, result["outcome"]["type"], result["denied"]["code"]), (126, "needs_approval", "needs_approval"))
        policy = self.policy({"ls": dict(LS["ls"], decision="deny", examples={})})
        self.assertEqual(self.check(policy, ["ls"])[1]["denied"]["code"], "rule_denies")
        self.assertEqual(self.check(self.write("bad", "{"), ["ls"])[0], 2)

    def test_a_pattern_that_does_not_compile_is_the_policys_error(self):
        policy = self.policy({"echo": {"path": "/usr/bin/echo", "operands": [{"name": "t", "type": {"regex": "(a"}}]}})
        status, answer = self.check(policy, ["echo", "a"])
        self.assertEqual((status, answer["error"]["code"]), (2, "policy_invalid"))
        self.assertEqual(answer["error"]["location"]["pointer"], "/commands/echo/operands/0/type/regex")

    def test_explain_shows_the_trace_and_the_whole_plan(self):
        self.write("ws/f", "x")
        status, answer = self.check(self.policy(LS), ["ls", "-l", "f"], "--explain")
        self.assertEqual(status, 0)
        self.assertTrue(any(step["rule"].startswith("/commands/ls") for step in answer["trace"]))
        grants = {grant["path"]: grant for grant in answer["confinement"]["grants"]}
        self.assertEqual(grants[os.path.join(self.ws, "f")]["origin"], "operand")
        self.assertTrue(any("libc.so" in path for path in grants))
        self.assertTrue(answer["confinement"]["one_exec"])

    def test_explain_grants_are_what_a_probe_inside_observes(self):
        self.write("ws/f", "x\n")
        self.write("ws/g", "y\n")
        node = {"path": "/bin/dash", "end_of_options": False, "options": {"-c": {"value": {"text": [0, 9999], "multiline": True}, "spelling": "separate"}},
                "operands": [{"name": "path", "type": {"path": "read", "within": ["${start_dir}"]}, "count": [0, 3]}]}
        policy = self.policy({"dash": node})
        _, answer = self.check(policy, ["dash", "-c", "x", "f"], "--explain")
        granted = {grant["path"] for grant in answer["confinement"]["grants"] if grant["kind"] == "file" and grant["access"] != "stat"}
        candidates = sorted(granted | {os.path.join(self.ws, "g"), "/etc/passwd", "/etc/hostname", "/usr/bin/ls", policy})
        script = "for f in %s; do ( exec < $f ) 2>/dev/null && echo $f; done" % " ".join(candidates)
        _, result = self.run_json(policy, ["dash", "-c", script, "f"])
        self.assertEqual(set(result["stdout"].split()), granted, result)

    def test_check_creates_nothing_and_needs_no_binary_when_told_so(self):
        policy = self.policy({"tool": {"path": "/usr/bin/no-such-tool", "options": {"--out": {"value": {"path": "create", "within": ["${start_dir}"]}}}}})
        self.assertEqual(self.check(policy, ["tool", "--out", "new"])[1]["denied"]["code"], "binary_not_found")
        status, answer = self.check(policy, ["tool", "--out", "new"], "--assume-installed", "--explain")
        self.assertEqual((status, answer["command"]["argv"]), (0, ["/usr/bin/no-such-tool", "--out=new", "--"]), answer)
        self.assertEqual(os.listdir(self.ws), [])

    def test_a_start_that_no_root_can_be_is_told_with_the_remedy(self):
        self.policy(LS)
        status, out, _ = self.call(["check", "--policy", "policy.json", "--", "ls", "ws"], cwd=self.dir)
        message = json.loads(out)["denied"]["message"]
        self.assertEqual(status, 1)
        self.assertIn(f"may not stand for {self.dir}, which holds the policy; start safe-exec in a directory below it", message)
        self.assertIn('a variable with the default "${start_dir}/NAME"', message)
        for default, hint in (("${start_dir}", "start safe-exec in another directory"), ("${start_dir}/no", f"started in {self.dir}")):
            self.policy({"true": {"path": "/usr/bin/true"}}, variables={"here": {"type": "dir", "default": default}})
            status, out, _ = self.call(["check", "--policy", "policy.json", "--", "true"], cwd=self.dir)
            error = json.loads(out)["error"]
            self.assertEqual((status, error["code"], error["location"]["pointer"]), (2, "policy_invalid", "/variables/here"))
            self.assertIn(hint, error["hint"])

    def test_a_policy_can_be_looked_at_where_it_lies(self):
        variable = {"type": "dir", "default": "${start_dir}", "settable": True, "within": ["/tmp"]}
        self.policy({"true": {"path": "/usr/bin/true", "cwd": ["${here}"]}}, variables={"here": variable})
        for verb in ("validate", "test", "lint", "show"):
            status, out, err = self.call(["policy", verb, "policy.json"], cwd=self.dir)
            self.assertNotIn(b"may not stand for", out + err, verb)
        elsewhere = self.policy({"true": {"path": "/usr/bin/true", "cwd": ["${data}"]}}, variables={"data": {"type": "dir", "default": "/srv/no/such"}})
        for verb, expected in (("test", 0), ("lint", 1), ("validate", 2)):
            status, out, err = self.call(["policy", verb, elsewhere])
            self.assertEqual(status, expected, (verb, out, err))
        wrong = self.policy({"true": {"path": "/usr/bin/true"}}, variables={"data": {"type": "dir", "default": "/usr/bin/true"}})
        for verb in ("test", "lint", "validate"):
            status, out, err = self.call(["policy", verb, wrong])
            self.assertEqual((status, b"is not a directory" in out + err), (2, True), (verb, out, err))
        self.policy({"true": {"path": "/usr/bin/true", "cwd": ["${here}"]}}, variables={"here": variable})
        status, out, _ = self.call(["run", "--policy", "policy.json", "--", "true"], cwd=self.dir)
        self.assertEqual((status, json.loads(out)["error"]["hint"]), (125, "start safe-exec in another directory, or name one: --var here=DIR"))

    def test_text_output(self):
        status, out, _ = self.call(["check", "--policy", self.policy(LS), "--output", "text", "--explain", "--", "ls", "-R"])
        self.assertEqual(status, 1)
        self.assertIn(b"option_not_allowed", out)
        self.assertIn(b"the tree is large", out)

    def test_the_text_trace_ends_with_a_caret_under_what_decided(self):
        policy = self.write("policy.json", json.dumps({"version": 1, "name": "n", "commands": LS}, indent=1))
        for argv, status, pointer in ((["ls", "-R"], 1, "/commands/ls"), (["ls", "--color", "x"], 1, "/commands/ls/options/--color"), (["ls"], 0, "/commands/ls")):
            code, out, _ = self.call(["check", "--policy", policy, "--output", "text", "--explain", "--", *argv])
            text = out.decode().split("confinement: ")[0]
            self.assertEqual(code, status)
            place, line, caret = text.splitlines()[-3:]
            number, column = (int(part) for part in place.split(" ")[2].rsplit(":", 2)[1:])
            self.assertEqual(place, f"decided at {policy}:{number}:{column} {pointer}")
            with open(policy) as f:
                source = f.read().splitlines()[number - 1]
            self.assertEqual(line, f"{number:4} | {source}")
            self.assertEqual(caret, "     | " + " " * (column - 1) + "^")


class Policy(SandboxTest):
    def test_validate_and_test(self):
        good = self.policy(LS)
        for verb in ("validate", "test"):
            status, out, err = self.call(["policy", verb, good])
            self.assertEqual((status, err), (0, b""), out)
            status, out, _ = self.call(["policy", verb, "--output", "json", "--policy", good])
            self.assertEqual((status, json.loads(out)["failed"]), (0, 0))
        wrong = dict(LS["ls"], examples={"allow": [["ls", "-R"]], "deny": [[["ls"], "option_not_allowed"]]})
        bad = self.policy({"ls": wrong})
        for verb in ("validate", "test"):
            status, out, _ = self.call(["policy", verb, bad])
            self.assertEqual(status, 1)
            self.assertEqual(out.count(b"FAIL"), 2, out)
        self.assertEqual(self.call(["policy", "validate", self.write("x", "{}")])[0], 2)

    def test_what_only_decides_is_ended_by_a_signal(self):
        policy = os.path.join(SOURCE, "policy/workspace")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
            with subprocess.Popen([BINARY, "policy", "test", "--generate", policy], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                ticks = 0
                while ticks < 10 and process.poll() is None:  # of the processor, most of them after it has begun to decide
                    time.sleep(0.02)
                    with open("/proc/%d/stat" % process.pid) as f:
                        ticks = int(f.read().rsplit(") ", 1)[1].split()[11])
                process.send_signal(number)
                self.assertEqual(process.wait(60), -number)

    def test_show(self):
        status, out, _ = self.call(["policy", "show", "--full", self.policy(LS)])
        self.assertEqual(status, 0)
        self.assertIn(b"list files", out)
        self.assertIn(b"--color", out)
        status, out, _ = self.call(["policy", "show", "--full", "--output", "json", self.policy(LS)])
        self.assertEqual(json.loads(out)["commands"][0]["name"], "ls")

    def test_schema(self):
        status, out, _ = self.call(["policy", "schema"])
        with open(os.path.join(SOURCE, "policy/schema/policy.v1.json"), "rb") as f:
            self.assertEqual((status, out), (0, f.read()))

    def test_the_directory_form_reads_one_command(self):
        self.write("p/policy.json", json.dumps({"version": 1, "name": "d"}))
        self.write("p/commands/echo.json", json.dumps({"path": "/usr/bin/echo"}))
        self.write("p/commands/broken.json", "{")
        policy = os.path.join(self.dir, "p")
        status, result = self.run_json(policy, ["echo"])
        self.assertEqual((status, result["command"]["rule"]), (0, "/commands/echo"))
        denied = self.run_json(policy, ["echo", "-x"])[1]["denied"]
        self.assertTrue(denied["rule"].startswith("/commands/echo"), denied)
        self.assertEqual((os.path.basename(denied["location"]["file"]), denied["location"]["pointer"]), ("echo.json", ""), denied)
        self.assertEqual(self.run_json(policy, ["broken"])[1]["error"]["code"], "policy_invalid")
        self.assertEqual(self.run_json(policy, ["../policy"])[1]["denied"]["code"], "command_not_allowed")
        self.assertEqual(self.call(["policy", "validate", policy])[0], 2)

    def test_the_shipped_policies_are_valid_and_their_examples_hold(self):
        shipped = os.path.join(SOURCE, "policy")
        names = [n for n in os.listdir(shipped) if os.path.exists(os.path.join(shipped, n, "policy.json"))]
        self.assertIn("livos", names)
        for name in ["livos"] if SANITIZED else names:  # policy_test_test.py has the others
            status, out, err = self.call(["policy", "test", os.path.join(shipped, name)])
            self.assertEqual(status, 0, (out, err))


class Doctor(SandboxTest):
    def test_doctor_launches_and_reports_every_layer(self):
        status, out, _ = self.call(["doctor", "--output", "json"])
        answer = json.loads(out)
        self.assertEqual(answer["layers"]["seccomp"]["status"], "enforced")
        self.assertGreaterEqual(len(answer["layers"]), 14)
        # doctor's probe is safe-exec itself, and a sanitizer's run-time does not start within the default grants.
        healthy = not SANITIZED
        self.assertEqual((status, answer["healthy"]), (0 if healthy else 1, healthy), answer)
        self.assertEqual(answer["open"] == [], healthy)
        status, out, _ = self.call(["doctor"])
        self.assertEqual(status, 0 if healthy else 1)
        self.assertIn(b"healthy", out)

    def test_the_attempts_of_doctor_find_what_is_open(self):
        with subprocess.Popen(["/usr/bin/sleep", "30"]) as outsider:
            done = subprocess.run(["safe-exec-attempts", str(outsider.pid)], executable=BINARY, stdout=subprocess.PIPE)
            outsider.kill()
        found = {line.split(" ", 1)[1]: line.split(" ", 1)[0] for line in done.stdout.decode().splitlines()}
        for name in ("read /etc/passwd", "write to /tmp", "change a mode", "execute a shell", "an Internet socket", "a Unix socket",
                     "signal another process", "gain privileges by executing", "shared memory of System V"):
            self.assertEqual(found[name], "open", name)
        self.assertGreater(len(found), 20)

    def test_version_and_help(self):
        self.assertEqual(self.call(["--version"])[0], 0)
        json.loads(self.call(["--version", "--output", "json"])[1])
        for arguments in (["--help"], ["run", "--help"], ["check", "--help"], ["policy", "test", "--help"], ["doctor", "--help"]):
            status, out, _ = self.call(arguments)
            self.assertEqual(status, 0)
            self.assertIn(b"safe-exec", out)


if __name__ == "__main__":
    main()
