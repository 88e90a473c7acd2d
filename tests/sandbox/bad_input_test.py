"""Input meant to break it: every case is a named error or a denial; nothing was started; no crash, no hang."""
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import time

from harness import BINARY, SANITIZED, SandboxTest, main

ECHO = {"echo": {"path": "/usr/bin/echo", "end_of_options": False,
                 "operands": [{"name": "t", "type": {"text": [0, 131072]}, "count": [0, 10000]}]}}


class Arguments(SandboxTest):
    def test_no_command(self):
        policy = self.policy(ECHO)
        for arguments in (["run"], ["run", "--"], ["run", "--policy", policy], ["run", "--policy", policy, "--"], ["run", "echo"],
                          ["run", "--nope", "--", "echo"], ["run", "--timeout", "0", "--", "echo"], ["run", "--timeout", "nan", "--", "echo"],
                          ["run", "--output", "text", "--", "echo"], ["run", "--pol", policy, "--", "echo"], ["run", "--explain", "--", "echo"],
                          ["run", "--policy", policy, "--policy", policy, "--", "echo"], ["run", "--env", "X", "--", "echo"],
                          ["run", "--request", "-", "--", "echo"], ["run", "--request", "-", "--cwd", "/"]):
            status, out, _ = self.call(arguments)
            self.assertEqual(status, 125, arguments)
            self.assertEqual(json.loads(out)["error"]["code"], "usage", arguments)
        for arguments in ([], ["nope"], ["policy"], ["policy", "nope"], ["doctor", "x"], ["check", "--nope", "--", "x"]):
            status, out, err = self.call(arguments)
            self.assertEqual(status, 2, arguments)
            self.assertIn(b"usage", out + err)

    def test_everything_behind_the_separator_is_the_commands(self):
        policy = self.policy({"echo": {"path": "/usr/bin/echo", "end_of_options": False, "options": {"-n": {}},
                                       "operands": [{"name": "t", "type": {"text": [0, 99]}, "count": [0, 9]}]}})
        status, result = self.run_json(policy, ["echo", "--policy=/x"])
        self.assertEqual((status, result["denied"]["code"]), (126, "option_not_allowed"))

    def test_ten_thousand_arguments(self):
        policy = self.policy(ECHO)
        status, result = self.run_json(policy, ["echo"] + ["x"] * 9999)
        self.assertEqual((status, result["stdout_info"]["bytes"]), (0, 2 * 9999), result["error"])
        status, result = self.run_json(policy, ["echo"] + ["x"] * 10000)
        self.assertEqual((status, result["denied"]["code"]), (126, "too_many_arguments"))

    def test_a_128_kib_argument(self):
        policy = self.policy(ECHO)
        status, result = self.run_json(policy, ["echo", "x" * 131000])
        self.assertEqual((status, result["stdout_info"]["bytes"]), (0, 131001), result["error"])
        request = json.dumps({"argv": ["echo", "x" * 131072]}).encode()
        status, out, _ = self.call(["run", "--policy", policy, "--request", "-"], input=request)
        self.assertEqual((status, json.loads(out)["denied"]["code"]), (126, "argument_too_long"))

    def test_a_hostile_regular_expression_answers(self):
        policy = self.policy({"echo": {"path": "/usr/bin/echo", "operands": [{"name": "t", "type": {"regex": "(a+)+$", "max_len": 4096}}]}})
        status, result = self.run_json(policy, ["echo", "a" * 4000 + "!"])
        self.assertEqual((status, result["denied"]["code"]), (126, "operand_invalid"))
        status, result = self.run_json(policy, ["echo", "a" * 130000 + "!"])
        self.assertEqual(status, 126)

    def test_control_characters_and_broken_text(self):
        policy = self.policy(ECHO)
        for token, code in ((b"a\nb", "control_character"), (b"a\tb", "control_character"), (b"\x1b[31m", "control_character"),
                            ("a\u202eb".encode(), "control_character"), (b"\xff", "operand_invalid"), (b"\xc0\xaf", "operand_invalid"),
                            (b"\xed\xa0\x80", "operand_invalid"), ("\ufffe".encode(), "operand_invalid")):
            status, result = self.run_json(policy, [b"echo", token])
            self.assertEqual((status, result["denied"]["code"]), (126, code), token)
            self.assertNotIn("\x1b", json.dumps(result["denied"], ensure_ascii=False))

    def test_a_value_that_is_too_long_to_be_shown_is_shown_as_cut(self):
        policy = self.policy({"true": {"path": "/usr/bin/true"}})
        for token in ("-" + "x" * 3000, "x" * 3000):
            denied = self.run_json(policy, ["true", token])[1]["denied"]
            self.assertTrue(denied["value"].endswith("..."), denied)
            self.assertLess(len(denied["value"]), 1000)

    def test_shell_syntax_is_only_text(self):
        policy = self.policy({"echo": {"path": "/usr/bin/echo", "operands": [{"name": "t", "type": {"regex": "[a-z./-]+"}, "count": [0, 3]}]}})
        for token in ("$(id)", "`id`", "a;id", "a|id", "a&&id", ">x", "*", "~"):
            status, result = self.run_json(policy, ["echo", token])
            self.assertEqual((status, result["denied"]["code"]), (126, "operand_invalid"), token)


class PolicyFiles(SandboxTest):
    def refused(self, path, code=None, **options):
        status, out, _ = self.call(["run", "--policy", path, "--", "echo", "x"], **options)
        error = json.loads(out)["error"]
        self.assertEqual(status, 125, path)
        self.assertIn(error["code"], ("policy_invalid", "policy_untrusted") if code is None else (code,), error)
        return error

    def test_things_that_are_no_policy(self):
        os.mkfifo(os.path.join(self.dir, "fifo"))
        self.refused(os.path.join(self.dir, "fifo"))
        self.refused("/dev/null")
        self.refused("/dev/zero")
        self.refused(os.path.join(self.dir, "missing"))
        self.refused(self.ws)  # a directory without policy.json
        self.refused(self.write("empty", ""))
        self.refused(self.write("array", "[]"))
        self.refused(self.write("bom", b"\xef\xbb\xbf{}"))
        self.refused(self.write("nul", b'{"version":1}\0'))
        self.refused(self.write("utf8", b'{"version":1,"name":"\xff"}'))
        self.refused(self.write("deep", "[" * 33 + "]" * 33))
        self.refused(self.write("large", b" " * ((8 << 20) + 1)))
        self.refused(self.write("duplicate", '{"version":1,"version":1}'))

    def test_places_are_named(self):
        error = self.refused(self.write("typo", '{\n "version": 1,\n "commands": {"echo": {"path": "/usr/bin/echo", "optoins": {}}}\n}'))
        self.assertEqual((error["location"]["line"], error["location"]["pointer"]), (3, "/commands/echo/optoins"))
        self.assertEqual(error["nearest"], "options")

    def test_a_policy_that_others_may_write_is_untrusted(self):
        policy = self.policy(ECHO)
        os.chmod(policy, 0o666)
        self.refused(policy, "policy_untrusted")
        os.chmod(policy, 0o644)
        self.assertEqual(self.run_json(policy, ["echo", "x"])[0], 0)
        os.chmod(self.dir, 0o777)
        self.refused(policy, "policy_untrusted")
        os.chmod(self.dir, 0o755)

    def test_an_unreadable_policy_or_one_of_another_user(self):
        policy = self.policy(ECHO)
        os.chmod(policy, 0)
        if os.getuid() == 0:
            os.chmod(policy, 0o644)
            os.chown(policy, 12345, 12345)
            self.refused(policy, "policy_untrusted")
        else:
            self.refused(policy)

    def test_a_policy_that_a_command_may_write_is_untrusted(self):
        path = os.path.join(self.dir, "policy.json")
        self.refused(self.policy({"echo": dict(ECHO["echo"], sandbox={"write": [self.dir]})}), "policy_untrusted")
        self.assertTrue(os.path.exists(path))

    def test_no_policy_at_all(self):
        status, out, _ = self.call(["run", "--", "echo"])
        self.assertEqual(status, 125)
        self.assertIn(json.loads(out)["error"]["code"], ("policy_invalid", "usage"))


class Surroundings(SandboxTest):
    def test_closed_descriptors(self):
        policy = self.policy(ECHO)
        for closed, expected in (((0,), 0), ((2,), 0), ((0, 2), 0), ((1,), 125), ((0, 1, 2), 125)):
            marker = os.path.join(self.dir, "out")
            with open(marker, "wb") as out:
                pid = os.fork()
                if pid == 0:
                    os.dup2(out.fileno(), 1)
                    for fd in closed:
                        os.close(fd)
                    os.execv(BINARY, [BINARY, "run", "--policy", policy, "--", "echo", "x"])
                _, status = os.waitpid(pid, 0)
            self.assertEqual(os.waitstatus_to_exitcode(status), expected, closed)
            if expected == 0:
                with open(marker) as out:
                    self.assertEqual(json.load(out)["stdout"], "x\n")

    def test_a_full_device(self):
        with open("/dev/full", "wb") as full:
            for output in ("json", "raw"):
                status, _, err = self.call(["run", "--policy", self.policy(ECHO), "--output", output, "--", "echo", "x"], stdout=full)
                self.assertEqual((status, err), (125, b"safe-exec: the answer could not be written: No space left on device\n"))

    def test_a_reader_that_is_gone(self):
        read_end, write_end = os.pipe()
        os.close(read_end)
        status, _, err = self.call(["run", "--policy", self.policy(ECHO), "--", "echo", "x"], stdout=write_end)
        os.close(write_end)
        self.assertEqual((status, err), (125, b"safe-exec: the answer could not be written: Broken pipe\n"))

    def test_a_full_pipe_that_nobody_reads(self):
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        try:
            while True:
                os.write(write_end, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(write_end, True)
        status, _, _ = self.call(["run", "--policy", self.policy(ECHO), "--", "echo", "x"], stdout=write_end, timeout=60)
        self.assertEqual(status, 125)
        os.close(read_end)
        os.close(write_end)

    def limited(self, limit, value):
        policy = self.policy(ECHO)
        status, out, err = self.call(["run", "--policy", policy, "--", "echo", "x"],
                                     preexec_fn=lambda: resource.setrlimit(limit, (value, value)))
        return status, out, err

    def test_too_few_descriptors(self):
        # A sanitizer's build is linked dynamically: below this its loader ends before main.
        for value in range(12 if SANITIZED else 3, 24):
            status, out, err = self.limited(resource.RLIMIT_NOFILE, value)
            result = json.loads(out)
            if status != 0:
                self.assertEqual(status, 125, result)
                self.assertIn(result["error"]["code"], ("policy_invalid", "policy_untrusted", "launch_failed", "sandbox_unavailable", "internal"), value)
                self.assertTrue(result["error"]["step"], result)
                self.assertIn("ulimit -n", result["error"]["hint"], result)

    def test_fork_fails(self):
        def as_a_user_without_processes():
            if os.getuid() == 0:  # RLIMIT_NPROC counts for nothing when root asks
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        os.chmod(self.dir, 0o755)
        status, out, _ = self.call(["run", "--policy", self.policy(ECHO), "--", "echo", "x"], preexec_fn=as_a_user_without_processes)
        self.assertEqual(status, 125)
        self.assertIn(json.loads(out)["error"]["code"], ("sandbox_unavailable", "launch_failed"))

    def test_too_little_memory(self):
        if SANITIZED:  # the sanitizer's own shadow does not fit: nothing of safe-exec would run
            return
        for megabytes in (1, 2, 4, 6, 8, 12):
            status, out, _ = self.limited(resource.RLIMIT_AS, megabytes << 20)
            # Too little even for the kernel to map the program is the shell's -11/-9; everything later is answered.
            self.assertIn(status, (0, 125, 126, -signal.SIGSEGV, -signal.SIGKILL), out)
            if status in (0, 125, 126):
                json.loads(out)

    def test_a_setuid_safe_exec_refuses(self):
        if os.getuid() != 0:
            return  # an ordinary user cannot give a file away, so the case does not exist
        if SANITIZED:
            return  # its run-time refuses a set-user-ID start by itself, before main
        copy = os.path.join(self.dir, "safe-exec")
        shutil.copy(BINARY, copy)
        os.chown(copy, 12345, 12345)
        os.chmod(copy, 0o755 | stat.S_ISUID)
        done = subprocess.run([copy, "run", "--policy", self.policy(ECHO), "--", "echo", "x"], capture_output=True)
        self.assertEqual(done.returncode, 125)
        self.assertNotIn(b'"exited"', done.stdout)

    def test_stopped_while_starting(self):
        policy = self.policy(ECHO)
        for delay in range(0, 12):
            process = self.popen(["run", "--policy", policy, "--", "echo", "x"])
            time.sleep(delay / 4000)
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=20)
            # Before main runs the signal's default action ends it; afterwards there is an answer.
            self.assertIn(process.returncode, (-signal.SIGTERM, 0, 128 + signal.SIGTERM))


if __name__ == "__main__":
    main()
