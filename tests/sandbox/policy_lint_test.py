"""policy lint: the forms of its answer, its exit status, and the shipped policies, which say why what it finds stands."""
import json
import os
import re
import subprocess
import unittest

from harness import BINARY, SOURCE, SandboxTest, main

GOLDEN = os.path.join(SOURCE, "tests/sandbox/golden")

POLICY = """{
  "version": 1, "name": "lint",
  "commands": {
    "sort": {
      "path": "/usr/bin/sort",
      "options": {"-o": {"value": {"regex": ".*"}}},
      "sandbox": {"proc": "all", "exec": ["/bin/sh"]},
      "lint": {"ignore": {"exec-self-or-shell": "for the <test> & \\"golden\\" file"}},
      "examples": {"allow": [["sort", "-o", "x"]]}
    }
  }
}
"""


class PolicyLint(SandboxTest):
    def lint(self, *options, policy=POLICY):
        path = self.write("policy.json", policy)
        status, out, err = self.call(["policy", "lint", *options, path], cwd=self.dir)
        return status, out.decode(), err.decode()

    def golden(self, output):
        status, out, err = self.lint("--output", output)
        self.assertEqual((status, err), (1, ""), out)
        told = re.sub(r"[0-9a-f]{64}", "SHA256", out.replace(self.dir, "DIR"))
        with open(os.path.join(GOLDEN, "policy_lint." + output)) as f:
            self.assertEqual(told, f.read())
        return out

    def test_text(self):
        self.assertIn("write-option-listed", self.golden("text"))

    def test_json(self):
        answer = json.loads(self.golden("json"))
        self.assertEqual((answer["errors"], answer["warnings"], answer["notes"]), (1, 2, 2))
        self.assertEqual(answer["ignored"][0]["reason"], 'for the <test> & "golden" file')
        for finding in answer["findings"]:
            self.assertTrue(finding["abuse"] and finding["line"] and finding["pointer"].startswith("/commands/sort"))

    def test_sarif(self):
        run, = json.loads(self.golden("sarif"))["runs"]
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        self.assertGreaterEqual(len(rules), 18)
        for result in run["results"]:
            self.assertEqual(rules[result["ruleIndex"]], result["ruleId"])

    def test_github(self):
        for line in self.golden("github").splitlines():
            self.assertRegex(line, r"^::(error|warning|notice) file=policy\.json,line=\d+,col=\d+,title=[^,:]+::[^\n]+$")

    def test_the_fail_level_decides_the_status(self):
        note = json.dumps({"version": 1, "name": "n", "commands": {"true": {
            "path": "/usr/bin/true", "sandbox": {"proc": "all"},
            "examples": {"allow": [["true"]], "deny": [[["true", "x"], "too_many_operands"]]}}}})
        self.assertEqual(self.lint(policy=note)[0], 0)
        self.assertEqual(self.lint("--fail-level", "note", policy=note)[0], 1)
        warning = note.replace('"proc": "all"', '"network": "host"')
        self.assertEqual(self.lint(policy=warning)[0], 1)
        self.assertEqual(self.lint("--fail-level=error", policy=warning)[0], 0)
        self.assertEqual(self.lint("--fail-level=error")[0], 1)
        self.assertEqual(self.lint("--fail-level=none")[0], 2)
        self.assertEqual(self.lint("--output=tap")[0], 2)
        self.assertEqual(self.lint(policy="{")[0], 2)

    def test_a_program_that_somebody_else_may_replace_is_found(self):
        tool = self.write("bin/tool", "x", 0o777)
        policy = json.dumps({"version": 1, "name": "n", "commands": {"tool": {"path": tool}, "absent": {"path": "/usr/bin/no-such-program"}}})
        found = json.loads(self.lint("--output", "json", policy=policy)[1])["findings"]
        owners = [f for f in found if f["rule"] == "binary-not-root-owned" and "lies in" not in f["message"]]
        self.assertEqual([f["pointer"] for f in owners], ["/commands/tool"])
        self.assertIn(self.dir, owners[0]["message"])  # itself, or the first directory above it that is not root's


class Shipped(unittest.TestCase):
    def test_the_shipped_policies_lint_clean(self):
        shipped = os.path.join(SOURCE, "policy")
        names = [n for n in os.listdir(shipped) if os.path.exists(os.path.join(shipped, n, "policy.json"))]
        self.assertIn("livos", names)
        for name in names:
            done = subprocess.run([BINARY, "policy", "lint", os.path.join(shipped, name)], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout[:20000] + done.stderr)


if __name__ == "__main__":
    main()
