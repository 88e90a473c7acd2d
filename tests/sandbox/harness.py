"""What the end-to-end tests share: a temporary directory, policies written as Python values, and safe-exec run for real."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.getcwd()
BUILD = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else os.path.join(SOURCE, "build")
BINARY = os.path.join(BUILD, "safe-exec")


def cmake_cache(name):
    with open(os.path.join(BUILD, "CMakeCache.txt")) as f:
        for line in f:
            if line.startswith(name + ":"):
                return line.split("=", 1)[1].strip()
    return ""


SANITIZED = bool(cmake_cache("SAFE_EXEC_SANITIZE"))

RESULT_KEYS = ["schema", "id", "outcome", "success", "exit_code", "signal", "timed_out", "denied", "error", "command",
               "clamped", "duration_ms", "usage", "sandbox", "policy", "stdout_info", "stderr_info", "stdout", "stderr"]

# A shell whose script is one text argument: the quickest way to a misbehaving command. Test policies only.
SHELL = {"path": "/bin/dash", "options": {"-c": {"value": {"text": [0, 4000], "multiline": True}, "dash_value": True, "spelling": "separate"}},
         "end_of_options": False}


class SandboxTest(unittest.TestCase):
    def setUp(self):
        # /var/tmp rather than /tmp: some tests give the command a /tmp of its own.
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix="safe-exec-test-", dir="/var/tmp"))
        self.ws = os.path.join(self.dir, "ws")
        os.mkdir(self.ws)

    def tearDown(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb" if isinstance(text, bytes) else "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def policy(self, commands, name="policy.json", **members):
        value = {"version": 1, "name": "test", "commands": commands}
        value.update(members)
        return self.write(name, json.dumps(value))

    def popen(self, arguments, **options):
        options.setdefault("cwd", self.ws)
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        options.setdefault("env", {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "SECRET": "hunter2"})
        return subprocess.Popen([options.get("executable", BINARY)] + arguments, **options)

    def call(self, arguments, input=None, timeout=60, **options):
        if input is not None:
            options["stdin"] = subprocess.PIPE
        process = self.popen(arguments, **options)
        try:
            out, err = process.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.fail("safe-exec hung: %r" % (arguments,))
        return process.returncode, out, err

    def run_json(self, policy, argv, *options, **popen):
        """Exit status and the one JSON object of `run`."""
        status, out, err = self.call(["run", "--policy", policy, *options, "--", *argv], **popen)
        self.assertEqual(out.count(b"\n"), 1, (out, err))
        self.assertTrue(out.endswith(b"\n"), out)
        result = json.loads(out)
        self.assertEqual(list(result), RESULT_KEYS)
        return status, result

    def run_mounted(self, mount, policy, argv, *options):
        """The result where a line of the shell has mounted something, for this run alone. Root's to do."""
        before = ["--mount", "--propagation", "private", "sh", "-ec", mount + '; exec "$@"', "sh"]
        _, out, err = self.call([*before, BINARY, "run", "--policy", policy, *options, "--", *argv], executable="/usr/bin/unshare")
        self.assertEqual(out.count(b"\n"), 1, (out, err))
        return json.loads(out)

    def run_shell(self, script, *options, node=None, **popen):
        """A dash script under a policy that allows any script, with the node's keys changed as told."""
        command = dict(SHELL, **(node or {}))
        return self.run_json(self.policy({"dash": command}), ["dash", "-c", script], *options, **popen)


def main():
    sys.argv = sys.argv[:1]
    program = unittest.main(exit=False, verbosity=1)
    result = program.result
    if result.skipped:
        print("a skipped sandbox test is a failure:", result.skipped, file=sys.stderr)
    sys.exit(0 if result.wasSuccessful() and not result.skipped and result.testsRun else 1)
