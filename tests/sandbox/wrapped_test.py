"""Wrappers, with a policy that is a directory: the command behind one is loaded, decided and run; the wrapper is not."""
import json
import os

from harness import SandboxTest, main

COMMAND = {"name": "command", "type": {"language": "command", "rest": True}}
FILES = {
    "timeout": {"path": "/usr/bin/timeout", "syntax": "posix", "operands": [{"name": "duration", "type": {"regex": "[0-9.]+"}, "as": "timeout"}, COMMAND]},
    "env": {"path": "/usr/bin/no-such-env", "syntax": "posix",
            "operands": [{"name": "variable", "type": {"regex": "[A-Z]+=.*"}, "as": "env", "count": [0, 5]}, COMMAND]},
    "printenv": {"path": "/usr/bin/printenv", "operands": [{"name": "variable", "type": {"regex": "[A-Z]+"}}], "env": {"GREETING": {"caller": {"text": [0, 9]}}}},
    "sleep": {"path": "/usr/bin/sleep", "operands": [{"name": "seconds", "type": {"int": [0, 60]}}], "end_of_options": False},
}


class Wrapped(SandboxTest):
    def setUp(self):
        super().setUp()
        self.write("policy/policy.json", json.dumps({"version": 1, "name": "wrapped"}))
        for name, value in FILES.items():
            self.write("policy/commands/%s.json" % name, json.dumps(value))
        self.write("policy/commands/broken.json", "{")  # never read unless it is asked for
        self.rules = os.path.join(self.dir, "policy")

    def run_line(self, *argv):
        return self.run_json(self.rules, list(argv))[1]

    def test_a_variable_reaches_the_command_though_the_wrapper_is_not_even_there(self):
        result = self.run_line("env", "GREETING=hello", "timeout", "10", "printenv", "GREETING")
        self.assertEqual((result["stdout"], result["success"]), ("hello\n", True), result)
        self.assertEqual(result["command"]["name"], "printenv")
        self.assertEqual(result["command"]["rule"], "/commands/printenv")
        self.assertEqual(result["command"]["argv"], ["/usr/bin/printenv", "--", "GREETING"])

    def test_the_time_is_the_shorter_one(self):
        result = self.run_line("timeout", "0.3", "sleep", "20")
        self.assertEqual(result["outcome"], {"type": "timed_out", "limit": "wall", "limit_ms": 300}, result)
        self.assertLess(result["duration_ms"], 5000)

    def test_what_is_not_allowed_is_not_allowed_behind_a_wrapper(self):
        result = self.run_line("timeout", "5", "id")
        self.assertEqual((result["denied"]["code"], result["denied"]["argv_index"]), ("command_not_allowed", 2), result)
        result = self.run_line("timeout", "5", "sleep", "-5")
        self.assertEqual((result["denied"]["code"], result["denied"]["argv_index"]), ("option_not_allowed", 3), result)
        result = self.run_line("timeout", "5", "../broken")
        self.assertEqual(result["error"]["code"], "policy_invalid", result)
        result = self.run_line("timeout", "5", "..")
        self.assertEqual(result["denied"]["code"], "command_not_allowed", result)

    def test_a_file_that_cannot_be_loaded_is_an_error_and_no_denial(self):
        status, result = self.run_json(self.rules, ["timeout", "5", "broken"])
        self.assertEqual((status, result["error"]["code"]), (125, "policy_invalid"), result)

    def test_what_is_inside_is_compared_with_the_base_too(self):
        wide = dict(FILES, sleep=dict(FILES["sleep"], operands=[{"name": "seconds", "type": {"int": [0, 99]}}]))
        base = self.policy(FILES, "base.json")
        for policy, status in ((self.rules, 0), (base, 0), (self.policy(wide, "wide.json"), 1)):
            found, out, _ = self.call(["check", "--policy", policy, "--narrower-than", base, "--", "env", "timeout", "5", "sleep", "1"])
            self.assertEqual(found, status, out)

    def test_explain_shows_both(self):
        status, out, _ = self.call(["check", "--policy", self.rules, "--explain", "--", "timeout", "5", "sleep", "1"])
        answer = json.loads(out)
        self.assertEqual(status, 0, answer)
        rules = json.dumps(answer)
        self.assertIn("/commands/timeout", rules)
        self.assertIn("/commands/sleep", rules)


if __name__ == "__main__":
    main()
