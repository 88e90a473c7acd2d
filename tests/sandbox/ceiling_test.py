"""policy diff, --narrower-than and /etc/safe-exec/ceiling.json. Each ceiling stands in a mount namespace of its own."""
import json
import os
import subprocess

from harness import BINARY, SandboxTest, main

WORKSPACE = {"path": "read", "within": ["${start_dir}"]}


def ls(**members):
    return {"ls": dict({"path": "/bin/ls", "options": {"-l": {}}, "operands": [{"name": "p", "type": WORKSPACE, "count": [0, 3]}]}, **members)}


ECHO = {"echo": {"path": "/usr/bin/echo", "operands": [{"name": "t", "type": {"text": [0, 99]}, "count": [0, 9]}]}}
WIDER = dict(ls(options={"-l": {}, "-a": {}}, timeout_ms=40000))


class Diff(SandboxTest):
    def diff(self, old, new, *options):
        old, new = self.policy(old, "old.json"), self.policy(new, "new.json")
        status, out, _ = self.call(["policy", "diff", *options, old, new])
        return status, out

    def test_both_directions(self):
        status, out = self.diff(ls(), ls())
        self.assertEqual((status, out), (0, b"both grant the same\n"))
        status, out = self.diff(WIDER, ls())
        self.assertEqual(status, 0)
        self.assertIn(b"- " + os.path.join(self.dir, "old.json").encode() + b":1:", out)
        self.assertIn(b"no more than the old one", out)
        status, out = self.diff(ls(), WIDER, "--output", "json")
        answer = json.loads(out)
        self.assertEqual((status, answer["narrower"], answer["granted_less"]), (1, False, []))
        self.assertEqual([more["pointer"] for more in answer["granted_more"]],
                         ["/commands/ls/options/-a", "/commands/ls/timeout_ms"])
        for more in answer["granted_more"]:
            self.assertTrue(more["file"].endswith("new.json") and more["line"] and more["column"] and more["reason"], more)

    def test_usage_and_broken_policies(self):
        good = self.policy(ls())
        for arguments in ([], [good], [good, good, good], ["--policy", good, good]):
            self.assertEqual(self.call(["policy", "diff", *arguments])[0], 2, arguments)
        status, out, _ = self.call(["policy", "diff", "--output", "json", good, self.write("bad.json", "{")])
        self.assertEqual((status, json.loads(out)["error"]["code"]), (2, "policy_invalid"))


class NarrowerThan(SandboxTest):
    def test_validate(self):
        base, wide = self.policy(ls(), "base.json"), self.policy(WIDER, "wide.json")
        self.assertEqual(self.call(["policy", "validate", "--narrower-than", base, base])[0], 0)
        self.assertEqual(self.call(["policy", "validate", "--narrower-than", wide, base])[0], 0)
        status, out, _ = self.call(["policy", "validate", "--narrower-than", base, wide])
        self.assertEqual((status, out.count(b"wider: ")), (1, 2), out)
        self.assertIn(b"/commands/ls/options/-a", out)
        status, out, _ = self.call(["policy", "validate", "--output", "json", "--narrower-than", base, wide])
        self.assertEqual((status, len(json.loads(out)["granted_more"])), (1, 2))
        for bad in ("", os.path.join(self.dir, "none.json")):
            self.assertEqual(self.call(["policy", "validate", "--narrower-than", bad, base])[0], 2)

    def test_check_looks_at_the_one_command(self):
        base, mixed = self.policy(ls(), "base.json"), self.policy(dict(ls(), **ECHO), "mixed.json")
        def check(*argv):
            status, out, _ = self.call(["check", "--policy", mixed, "--narrower-than", base, "--", *argv])
            return status, json.loads(out)
        self.assertEqual(check("ls", "-l")[0], 0)
        status, answer = check("echo", "x")
        self.assertEqual((status, answer["schema"], answer["granted_more"][0]["pointer"]),
                         (1, "safe-exec/policy-diff/v1", "/commands/echo"))
        self.assertEqual(check("nothing")[1]["denied"]["code"], "command_not_allowed")
        self.assertEqual(check("../x")[1]["denied"]["code"], "command_not_allowed")

    def test_roots_are_compared_as_the_kernel_resolves_them(self):
        os.makedirs(os.path.join(self.dir, "in/sub"))
        os.makedirs(os.path.join(self.dir, "out"))
        os.symlink(os.path.join(self.dir, "out"), os.path.join(self.dir, "in/link"))
        def policy(name, root):
            return self.policy(ls(operands=[{"name": "p", "type": {"path": "read", "within": [root]}, "count": [0, 3]}]), name)
        base = policy("base.json", self.dir + "/in")
        for root, expected in (("in", 0), ("in/sub", 0), ("in/none", 0), ("out", 1), ("in/link", 1 if os.getuid() == 0 else 0)):
            candidate = policy("candidate.json", os.path.join(self.dir, root))
            status, out, _ = self.call(["policy", "validate", "--narrower-than", base, candidate])
            self.assertEqual(status, expected, (root, out))
        # As written, without a host, a link is a name like any other.
        self.assertEqual(self.call(["policy", "diff", base, candidate])[0], 0)


class Ceiling(SandboxTest):
    """As root, because only root's ceilings count; an ordinary user has no host in which to put one."""

    def under(self, ceiling, arguments, prepare="true"):
        text = ceiling if isinstance(ceiling, str) else json.dumps(ceiling)
        self.write("ceiling.json", text)
        script = ("set -e; mkdir $1/etc; cp -a /etc/passwd /etc/group /etc/ld.so.cache $1/etc/ 2>/dev/null || :; mount -t tmpfs -o mode=755 tmpfs /etc; "
                  "cp -a $1/etc/. /etc/; mkdir /etc/safe-exec; chmod 755 /etc /etc/safe-exec; cp $1/ceiling.json /etc/safe-exec/; chmod 644 /etc/safe-exec/ceiling.json; "
                  "D=$1; B=$2; shift 2; " + prepare + "; rm -r $D/etc; exec $B \"$@\"")
        done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", self.dir, BINARY, *arguments], capture_output=True, timeout=60,
                              cwd=self.ws, stdin=subprocess.DEVNULL, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        self.assertTrue(done.stdout or done.stderr, done)
        return done.returncode, done.stdout, done.stderr

    def run_under(self, ceiling, policy, argv, prepare="true"):
        status, out, err = self.under(ceiling, ["run", "--policy", policy, "--", *argv], prepare)
        self.assertTrue(out, err)
        return status, json.loads(out)

    @staticmethod
    def ceiling(commands, **members):
        return dict({"version": 1, "name": "ceiling", "commands": commands}, **members)

    def refused(self, answer, code="policy_untrusted"):
        self.assertEqual((answer["error"]["code"], answer["error"]["step"]), (code, "ceiling"), answer)
        return answer["error"]

    def test_what_lies_below_runs_and_what_does_not_is_refused_with_its_place(self):
        if os.getuid() != 0:
            return
        status, result = self.run_under(self.ceiling(WIDER), self.policy(ls()), ["ls", "-l", "."])
        self.assertEqual((status, result["outcome"]["type"]), (0, "exited"), result)
        wide = self.policy(WIDER)
        status, result = self.run_under(self.ceiling(ls()), wide, ["ls", "-l", "."])
        self.assertEqual(status, 125)
        error = self.refused(result)
        self.assertEqual((error["location"]["file"], error["location"]["pointer"]), (wide, "/commands/ls/options/-a"))
        self.assertIn("(and 1 more)", error["message"])
        for verb in (["check", "--policy", wide, "--", "ls"], ["policy", "validate", "--output", "json", wide],
                     ["policy", "test", "--output", "json", wide], ["policy", "show", "--output", "json", wide]):
            status, out, _ = self.under(self.ceiling(ls()), verb)
            self.assertEqual(status, 2, out)
            self.refused(json.loads(out))

    def test_a_request_is_held_against_its_own_command(self):
        if os.getuid() != 0:
            return
        mixed = self.policy(dict(ls(), **ECHO))
        self.assertEqual(self.run_under(self.ceiling(ls()), mixed, ["ls", "."])[0], 0)
        status, result = self.run_under(self.ceiling(ls()), mixed, ["echo", "x"])
        self.assertEqual((status, self.refused(result)["location"]["pointer"]), (125, "/commands/echo"))
        self.assertEqual(self.run_under(self.ceiling(ls()), mixed, ["cat"])[1]["denied"]["code"], "command_not_allowed")
        self.assertEqual(self.under(self.ceiling(ls()), ["policy", "validate", mixed])[0], 2)

    def test_a_program_by_its_path_is_held_against_what_takes_it(self):
        if os.getuid() != 0:
            return
        run = {"path": "/usr/bin/env", "syntax": "raw", "operands": [{"name": "p", "type": {"path": "read", "within": [self.ws]}}],
               "sandbox": {"exec": [self.ws, "/bin", "/usr/bin"], "read": ["/lib", "/usr"]}}
        policy = self.policy({"run": run, **ls()}, by_path="run")
        for name in ("app", "-x"):  # a name of a command, and none
            self.write("ws/" + name, "#!/bin/sh\necho ran\n")
            os.chmod(os.path.join(self.ws, name), 0o755)
            self.assertEqual(self.run_under(self.ceiling({"run": run, **ls()}, by_path="run"), policy, ["./" + name])[1]["stdout"], "ran\n")
            for ceiling in (self.ceiling({"run": run}), self.ceiling(ls()), self.ceiling({"run": dict(run, timeout_ms=1)}, by_path="run")):
                self.refused(self.run_under(ceiling, policy, ["./" + name])[1])
        self.assertEqual(self.run_under(self.ceiling(ls()), policy, ["ls", "."])[0], 0)

    def test_variables_and_deny_paths_are_compared_after_expansion(self):
        if os.getuid() != 0:
            return
        variables = {"w": {"type": "dir", "default": self.ws, "settable": True, "within": [self.dir]}}
        def read(root):
            return ls(operands=[{"name": "p", "type": {"path": "read", "within": [root]}, "count": [0, 3]}])
        policy = self.policy(read("${w}"), variables=variables)
        os.mkdir(os.path.join(self.dir, "other"))
        below = self.ceiling(read(self.ws))
        self.assertEqual(self.run_under(below, policy, ["ls", "."])[0], 0)
        status, out, _ = self.under(below, ["run", "--policy", policy, "--var", "w=" + self.dir + "/other", "--", "ls"])
        self.assertIn("does not lie below", self.refused(json.loads(out))["message"])
        below["defaults"] = {"deny_paths": ["**/.env"]}
        self.assertIn("the base denies **/.env", self.refused(self.run_under(below, policy, ["ls", "."])[1])["message"])

    def test_a_ceiling_may_include_a_directory_and_only_one_command_of_it_is_read(self):
        if os.getuid() != 0:
            return
        prepare = ("mkdir -p /etc/safe-exec/lib/commands; echo '{\"version\":1}' > /etc/safe-exec/lib/policy.json; "
                   "cp $D/ls.json /etc/safe-exec/lib/commands/ls.json; echo '{' > /etc/safe-exec/lib/commands/broken.json")
        self.write("ls.json", json.dumps(ls()["ls"]))
        ceiling = {"version": 1, "include": ["lib"]}
        self.assertEqual(self.run_under(ceiling, self.policy(ls()), ["ls", "."], prepare)[0], 0)
        self.refused(self.run_under(ceiling, self.policy(WIDER), ["ls", "."], prepare)[1])
        self.refused(self.run_under(ceiling, self.policy(ECHO), ["echo", "x"], prepare)[1])
        status, out, _ = self.under(ceiling, ["policy", "show", "--output", "json", self.policy(ls())], prepare)
        self.refused(json.loads(out), "policy_invalid")

    def test_a_ceiling_that_is_broken_or_not_roots_refuses_everything(self):
        if os.getuid() != 0:
            return
        policy = self.policy(ls())
        place = "/etc/safe-exec/ceiling.json"
        for text, code, prepare in (("{", "policy_invalid", "true"), ("{}", "policy_invalid", "true"), ("", "policy_invalid", "true"),
                                    (json.dumps(self.ceiling(ls())), "policy_untrusted", "chown 12345 " + place),
                                    (json.dumps(self.ceiling(ls())), "policy_untrusted", "chmod 666 " + place),
                                    (json.dumps(self.ceiling(ls())), "policy_untrusted", "chmod 777 /etc/safe-exec"),
                                    (json.dumps(self.ceiling(ls())), "policy_invalid", "rm %s; ln -s nowhere %s" % (place, place)),
                                    (json.dumps(self.ceiling(ls())), "policy_invalid", "rm %s; mkfifo %s" % (place, place)),
                                    (json.dumps(self.ceiling(ls(sandbox={"write": ["/etc"]}))), "policy_untrusted", "true")):
            status, result = self.run_under(text, policy, ["ls", "."], prepare)
            self.assertEqual(status, 125, (text, prepare))
            self.assertTrue(self.refused(result, code)["message"].startswith("the ceiling: "), result["error"])

    def test_the_callers_own_ceiling_is_nobodys(self):
        if os.getuid() != 0:
            return
        # The caller's files are good enough for a policy, and not for a ceiling.
        os.chmod(self.dir, 0o755)
        os.chown(self.policy(ls()), 12345, 12345)
        prepare = "chown -R 12345:12345 /etc/safe-exec; exec setpriv --reuid 12345 --regid 12345 --clear-groups $B \"$@\""
        status, result = self.run_under(self.ceiling(WIDER), os.path.join(self.dir, "policy.json"), ["ls", "."], prepare)
        self.assertEqual(status, 125)
        self.refused(result)


if __name__ == "__main__":
    main()
