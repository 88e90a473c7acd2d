"""git in a real repository whose own configuration is hostile: nothing of it executes."""
import os
import subprocess

from harness import SOURCE, SandboxTest, main

GIT = {
    "path": "/usr/bin/git", "syntax": "git",
    "inject": ["-c", "core.fsmonitor=", "-c", "core.hooksPath=/dev/null", "-c", "safe.bareRepository=explicit", "-c", "safe.directory=*",
               "--literal-pathspecs"],
    "options": {"--no-pager": {"always": True}, "--version": {"terminal": True}},
    "env": {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_OPTIONAL_LOCKS": "0"},
    "sandbox": {"read": ["${start_dir}"]},
    "subcommands": {
        "status": {"options": {"--short": {"aliases": ["-s"]}},
                   "operands": ["--", {"name": "path", "type": {"language": "pathspec", "within": ["${start_dir}"]}, "count": [0, 9]}]},
        "log": {"inject": ["--no-ext-diff", "--no-textconv"],
                "options": {"--oneline": {}, "--patch": {"aliases": ["-p"]}, "--max-count": {"aliases": ["-n"], "numeric": True, "value": {"int": [0, 1000]}}},
                "operands": [{"name": "rev", "type": {"language": "git-rev"}, "count": [0, 1]}, "--"]},
        "diff": {"inject": ["--no-ext-diff", "--no-textconv"], "options": {"--stat": {}, "--cached": {"aliases": ["--staged"]}},
                 "operands": [{"name": "rev", "type": {"language": "git-rev"}, "count": [0, 2]}, "--",
                              {"name": "path", "type": {"language": "pathspec", "within": ["${start_dir}"]}, "count": [0, 9]}]},
    },
}


class HostileRepository(SandboxTest):
    def setUp(self):
        super().setUp()
        self.proof = os.path.join(self.dir, "proof")
        os.mkdir(self.proof)
        self.git("init", "-q")
        self.write("ws/a.txt", "one\n")
        self.write("ws/.gitattributes", "*.txt diff=evil filter=evil\n")
        self.git("add", "-A")
        self.git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "first")
        self.write("ws/a.txt", "one\ntwo\n")

    def git(self, *arguments):
        subprocess.run(["git", *arguments], cwd=self.ws, check=True, capture_output=True,
                       env={"PATH": "/usr/bin:/bin", "HOME": self.dir, "GIT_CONFIG_NOSYSTEM": "1"})

    def make_hostile(self):
        def touch(name):
            return "touch %s/%s; cat" % (self.proof, name)
        for key, name in (("core.fsmonitor", "fsmonitor"), ("diff.external", "external"), ("diff.evil.textconv", "textconv"),
                          ("diff.evil.command", "diff-command"), ("core.pager", "pager"), ("core.editor", "editor"),
                          ("gpg.program", "gpg"), ("core.sshCommand", "ssh"), ("credential.helper", "credential")):
            self.git("config", key, touch(name))
        self.git("config", "alias.status", "!touch %s/alias" % self.proof)
        self.git("config", "log.showSignature", "true")
        for hook in ("post-index-change", "fsmonitor-watchman", "pre-commit", "post-checkout"):
            self.write("ws/.git/hooks/" + hook, "#!/bin/sh\ntouch %s/hook\n" % self.proof, 0o755)

    COMMANDS = (["git", "status"], ["git", "status", "-s"], ["git", "log", "--oneline"], ["git", "log", "-p", "-5"], ["git", "log", "-n", "3"],
                ["git", "diff"], ["git", "diff", "--stat", "HEAD"], ["git", "diff", "--", "a.txt"], ["git", "diff", "--cached"])

    def test_the_guards_hold_even_where_every_program_may_be_executed(self):
        # Here the sandbox would let all of it run and leave its mark; the rebuilt argv must not ask for it.
        node = dict(GIT, sandbox={"read": ["${start_dir}"], "write": [self.proof], "exec": ["/bin/dash", "/bin/sh", "/usr/bin/touch", "/usr/bin/cat", "/usr/bin/git"]})
        policy = self.policy({"git": node})
        self.make_hostile()
        for argv in self.COMMANDS:
            status, result = self.run_json(policy, argv)
            self.assertEqual(status, 0, (argv, result))
        self.assertEqual(os.listdir(self.proof), [])

    def test_the_output_is_what_git_says_of_the_repository(self):
        policy = self.policy({"git": GIT})
        self.make_hostile()
        self.assertIn("a.txt", self.run_json(policy, ["git", "status", "-s"])[1]["stdout"])
        self.assertIn("first", self.run_json(policy, ["git", "log", "--oneline"])[1]["stdout"])
        self.assertIn("+two", self.run_json(policy, ["git", "diff"])[1]["stdout"])

    def test_the_sandbox_holds_where_no_guard_can(self):
        # A clean filter runs under --no-ext-diff and --no-textconv alike; here it meets the one-exec filter.
        self.git("config", "filter.evil.clean", "touch %s/clean; cat" % self.proof)
        policy = self.policy({"git": dict(GIT, sandbox={"read": ["${start_dir}"], "write": [self.proof]})})
        self.run_json(policy, ["git", "diff"])
        self.run_json(policy, ["git", "status"])
        self.assertEqual(os.listdir(self.proof), [])

    def test_what_is_denied_is_denied_in_the_history_of_another_name(self):
        """A pathspec is a name, whatever is there now: here a link to what may be read."""
        self.write("ws/.env", "hunter2\n")
        self.git("add", "-f", ".env")
        self.git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "second")
        os.unlink(os.path.join(self.ws, ".env"))
        os.symlink("a.txt", os.path.join(self.ws, ".env"))
        for words in (["log", "-p"], ["log"], ["show", "HEAD"], ["diff", "HEAD"]):
            _, result = self.run_json(os.path.join(SOURCE, "policy/readonly"), ["git", *words, "--", ".env"])
            self.assertEqual(result["denied"] and result["denied"]["code"], "path_denied", (words, result))

    def test_what_the_policy_does_not_name_is_denied(self):
        policy = self.policy({"git": GIT})
        for argv, code in ((["git", "-c", "core.fsmonitor=id", "status"], "option_not_allowed"),
                           (["git", "--config-env=core.fsmonitor=X", "status"], "option_not_allowed"),
                           (["git", "push"], "subcommand_not_allowed"),
                           (["git"], "subcommand_missing"),
                           (["git", "diff", "--output=/tmp/x"], "option_not_allowed"),
                           (["git", "diff", "--no-index", "--", "a.txt", "/etc/passwd"], "option_not_allowed"),
                           (["git", "diff", "--outp=x"], "option_not_allowed"),
                           (["git", "diff", "--", "../secret"], "path_outside"),
                           (["git", "diff", "--", ":(exclude)a.txt"], "operand_invalid")):
            status, result = self.run_json(policy, argv)
            self.assertEqual((status, result["denied"] and result["denied"]["code"]), (126, code), argv)


if __name__ == "__main__":
    main()
