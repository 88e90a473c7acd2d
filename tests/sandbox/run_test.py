"""run, as its users see it: outcomes, exit statuses, output, limits, cancelling, stdin."""
import base64
import errno
import json
import os
import resource
import signal
import stat
import subprocess
import time

from harness import BINARY, SandboxTest, RESULT_KEYS, SANITIZED, SHELL, main


def survivors(marker):
    """Processes whose command line holds marker."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                if marker.encode() in f.read():
                    found.append(int(pid))
        except OSError:
            pass
    return [pid for pid in found if pid != os.getpid()]


def wait_until(predicate, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if predicate():
            return True
        time.sleep(0.02)
    return predicate()


class Outcomes(SandboxTest):
    def test_exit_codes_are_the_commands_own_up_to_122(self):
        for code, status in ((0, 0), (1, 1), (122, 122), (123, 123), (124, 123), (255, 123)):
            got, result = self.run_shell("exit %d" % code)
            self.assertEqual(got, status)
            self.assertEqual(result["outcome"], {"type": "exited", "exit_code": code})
            self.assertEqual(result["exit_code"], code)
            self.assertEqual(result["success"], code == 0)
            self.assertIsNone(result["denied"])
            self.assertIsNone(result["error"])

    def test_exit_ok_makes_other_codes_a_success(self):
        status, result = self.run_shell("exit 1", node={"exit_ok": [0, 1]})
        self.assertEqual((status, result["success"]), (1, True))

    def test_a_signal_is_an_outcome_of_its_own(self):
        status, result = self.run_shell("kill -ABRT $$")
        self.assertEqual(status, 128 + signal.SIGABRT)
        self.assertEqual(result["outcome"], {"type": "signaled", "signal": "SIGABRT", "number": 6, "core_dumped": False})
        self.assertEqual(result["signal"], "SIGABRT")

    def test_the_result_names_command_rule_policy_and_usage(self):
        status, result = self.run_shell("echo hello; echo world >&2", "--id", "r-1")
        self.assertEqual(status, 0)
        self.assertEqual((result["stdout"], result["stderr"]), ("hello\n", "world\n"))
        self.assertEqual(result["schema"], "safe-exec/result/v1")
        self.assertEqual(result["id"], "r-1")
        self.assertEqual(result["command"]["name"], "dash")
        self.assertEqual(result["command"]["rule"], "/commands/dash")
        self.assertEqual(result["command"]["argv"][0], "/bin/dash")
        self.assertEqual(result["command"]["cwd"], self.ws)
        self.assertEqual(len(result["policy"]["sha256"]), 64)
        self.assertGreater(result["usage"]["max_rss_kib"], 0)
        self.assertEqual(result["stdout_info"], {"bytes": 6, "returned": 6, "truncated": False, "omitted": 0,
                                                 "encoding": "utf8", "lossy": False})

    def test_required_layers_are_enforced_or_named_as_degraded(self):
        _, result = self.run_shell("exit 0")
        layers = result["sandbox"]["layers"]
        for layer in ("no_new_privs", "capabilities", "seccomp", "descriptors", "environment"):
            self.assertEqual(layers[layer]["status"], "enforced", layers)
        for name, layer in layers.items():
            degraded = [d for d in result["sandbox"]["degraded"] if d["layer"] == name]
            self.assertEqual(bool(degraded), layer["status"] in ("partial", "not_enforced"), layers)
            self.assertTrue(all(d["reason"] for d in degraded), degraded)

    def test_the_umask_is_the_callers_and_keeps_others_from_writing(self):
        for mask, expected in ((0o022, "0022\n"), (0o027, "0027\n"), (0o077, "0077\n"), (0, "0022\n"), (0o002, "0022\n"),
                               (0o177, "0177\n"), (0o777, "0777\n")):
            self.assertEqual(self.run_shell("umask", preexec_fn=lambda: os.umask(mask))[1]["stdout"], expected, oct(mask))

    def test_nor_is_a_file_that_is_made_for_it_ever_writable_by_others(self):
        slot = {"name": "f", "type": {"path": "create", "within": ["${start_dir}"]}}
        policy = self.policy({"dash": dict(SHELL, operands=[slot])})
        for mask, expected in ((0, 0o644), (0o077, 0o600)):
            name = "new%o" % mask
            self.run_json(policy, ["dash", "-c", "echo x > %s" % name, name], preexec_fn=lambda: os.umask(mask))
            self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.ws, name)).st_mode), expected)

    def test_a_request_of_many_links_takes_no_layer_away(self):
        chains, length = 1100, 5
        for i in range(chains):
            self.write("ws/%d_%d" % (i, length), "x")
            for j in range(length):
                os.symlink("./" * 90 + "%d_%d" % (i, j + 1), os.path.join(self.ws, "%d_%d" % (i, j)))
        slot = {"name": "f", "type": {"path": "read", "within": ["${start_dir}"]}, "count": [0, 2000]}
        policy = self.policy({"true": {"path": "/usr/bin/true", "operands": [slot]}})
        for many, ran in ((400, True), (chains, False)):
            _, result = self.run_json(policy, ["true"] + ["%d_0" % i for i in range(many)])
            if ran:
                self.assertEqual(result["sandbox"]["layers"]["mount_namespace"]["status"], "enforced", result)
            else:
                self.assertEqual((result["outcome"]["type"], result["error"]["step"], result["error"]["errno"]), ("failed", "mount_entry", errno.ENOSPC), result)
                self.assertIn("ask for fewer", result["error"]["hint"])

    def test_standard_input_that_is_a_directory_is_an_error_and_where_nothing_is_to_be_read_it_is_empty(self):
        node = {"stdin": "text", "sandbox": {"exec": ["/usr/bin/cat"]}}
        for flags, path, expected in ((os.O_RDONLY, self.dir, 125), (os.O_WRONLY, "/dev/null", 0)):
            fd = os.open(path, flags)
            self.addCleanup(os.close, fd)
            status, result = self.run_shell("cat", "--stdin", "-", node=node, stdin=fd)
            self.assertEqual(status, expected, result)
            if expected != 0:
                self.assertEqual((result["error"]["code"], result["error"]["step"]), ("launch_failed", "stdin"), result)
            self.assertEqual(self.run_shell("cat", node=node, stdin=fd)[0], 0)  # who was not to be given it does not look at it

    def test_the_time_limit_holds_for_a_caller_in_real_time(self):
        if os.getuid() != 0:
            return  # who may not have it passes none on
        realtime = lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))  # noqa: E731
        policy = self.policy({"python3": {"path": "/usr/bin/python3", "end_of_options": False, "sandbox": {"read": ["/usr"]},
                                          "options": {"-c": {"value": {"text": [0, 99]}, "spelling": "separate"}}}})
        _, result = self.run_json(policy, ["python3", "-c", "while True: pass"], "--timeout", "300ms", preexec_fn=realtime)
        self.assertEqual(result["outcome"]["type"], "timed_out", result)
        self.assertLess(result["duration_ms"], 300 + 1500)

    def test_output_is_cut_between_characters(self):
        perl = {"path": "/usr/bin/perl", "options": {"-e": {"value": {"text": [0, 99]}, "spelling": "separate"}}, "end_of_options": False}
        policy = self.policy({"perl": perl}, defaults={"stdout_bytes": 1000})
        for shift in range(10):
            script = r"print q(x) x %d, qq(\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80) x 1000" % shift
            result = self.run_json(policy, ["perl", "-e", script])[1]
            info = result["stdout_info"]
            self.assertEqual((info["truncated"], info["lossy"], info["returned"] + info["omitted"]), (True, False, 9000 + shift), result)
            self.assertNotIn("\uFFFD", result["stdout"])

    def test_raw_output_gives_the_exact_exit_code(self):
        policy = self.policy({"dash": {"path": "/bin/dash", "options": {"-c": {"value": {"text": [0, 99]}, "spelling": "separate"}},
                                       "end_of_options": False}})
        status, out, err = self.call(["run", "--policy", policy, "--output", "raw", "--", "dash", "-c", "echo o; echo e >&2; exit 200"])
        self.assertEqual((status, out, err), (200, b"o\n", b"e\n"))
        status, out, err = self.call(["run", "--policy", policy, "--output", "raw", "--max-stdout", "40", "--", "dash", "-c", "printf %0100d 1"])
        self.assertEqual((status, err), (0, b"safe-exec: 60 bytes of standard output were omitted (--max-stdout)\n"))
        self.assertIn(b"60 bytes omitted", out)
        status, out, err = self.call(["run", "--policy", policy, "--output", "raw", "--", "nope"])
        self.assertEqual((status, out), (126, b""))
        self.assertEqual(json.loads(err)["denied"]["code"], "command_not_allowed")
        self.assertEqual(err.count(b"\n"), 1)


class Limits(SandboxTest):
    def test_wall_clock(self):
        started = time.monotonic()
        status, result = self.run_shell("while :; do :; done", "--timeout", "300ms")
        self.assertEqual(status, 124)
        self.assertEqual(result["outcome"], {"type": "timed_out", "limit": "wall", "limit_ms": 300})
        self.assertTrue(result["timed_out"])
        self.assertLess(time.monotonic() - started, 20)

    def test_cpu_time(self):
        status, result = self.run_shell("while :; do :; done", node={"limits": {"cpu_s": 1}, "timeout_ms": 50000})
        self.assertEqual(status, 124, result)
        self.assertEqual(result["outcome"], {"type": "timed_out", "limit": "cpu", "limit_ms": 1000})

    def test_what_was_written_before_a_timeout_is_kept(self):
        status, result = self.run_shell("echo before; while :; do :; done", "--timeout", "500ms")
        self.assertEqual((status, result["stdout"]), (124, "before\n"))

    def test_a_descendant_that_keeps_the_pipes_does_not_delay_the_answer(self):
        marker = "30.%d" % os.getpid()
        started = time.monotonic()
        status, result = self.run_shell("sleep %s & echo done" % marker, node={"sandbox": {"exec": ["/usr/bin/sleep"]}})
        self.assertEqual((status, result["stdout"]), (0, "done\n"), result)
        self.assertLess(time.monotonic() - started, 15)
        self.assertTrue(wait_until(lambda: not survivors(marker)))

    def test_nothing_survives_a_timeout_not_even_a_new_session(self):
        marker = "31.%d" % os.getpid()
        node = {"sandbox": {"exec": ["/usr/bin/sleep", "/usr/bin/setsid"]}}
        status, result = self.run_shell("setsid sleep %s & setsid setsid sleep %s & sleep %s" % ((marker,) * 3), "--timeout", "500ms", node=node)
        self.assertEqual(status, 124, result)
        self.assertTrue(wait_until(lambda: not survivors(marker)))

    def test_nothing_survives_the_death_of_safe_exec_itself(self):
        marker = "32.%d" % os.getpid()
        policy = self.policy({"sleep": {"path": "/usr/bin/sleep", "operands": [{"name": "n", "type": {"text": [1, 20]}}]}})
        for _ in range(5):
            process = self.popen(["run", "--policy", policy, "--", "sleep", marker])
            self.assertTrue(wait_until(lambda: survivors("/usr/bin/sleep\0--\0" + marker)))
            process.kill()
            process.communicate()
            self.assertTrue(wait_until(lambda: not survivors(marker)))

    def test_requests_may_lower_a_limit_and_are_told_when_one_was_clamped(self):
        status, result = self.run_shell("echo x", "--timeout", "1h", "--max-stdout", "100000000", node={"timeout_ms": 5000})
        self.assertEqual(status, 0)
        self.assertEqual(result["clamped"]["timeout_ms"], {"asked": 3600000, "used": 5000})
        self.assertEqual(result["clamped"]["max_stdout_bytes"]["asked"], 100000000)

    def test_file_size(self):
        node = {"limits": {"file_mib": 1}, "sandbox": {"write": [self.ws], "exec": ["/usr/bin/head"]}}
        status, result = self.run_shell("head -c 3000000 /dev/zero > big", node=node)
        self.assertLessEqual(os.path.getsize(os.path.join(self.ws, "big")), 1 << 20)
        self.assertNotEqual(status, 0, result)

    def test_what_no_layer_counts_is_limited_always(self):
        _, result = self.run_shell("while read -r line; do echo $line; done < /proc/self/limits", node={"sandbox": {"proc": "own"}})
        for line in ("Max locked memory 65536 65536 bytes", "Max msgqueue size 0 0 bytes", "Max nice priority 0 0",
                     "Max realtime priority 0 0", "Max pending signals 4096 4096 signals"):
            self.assertIn(line, result["stdout"].splitlines(), result)

    def test_open_files(self):
        status, result = self.run_shell("ulimit -n", node={"limits": {"open_files": 17}})
        self.assertEqual(result["stdout"], "17\n")


class Cancelling(SandboxTest):
    def test_a_signal_to_safe_exec_kills_the_tree_and_is_answered(self):
        marker = "33.%d" % os.getpid()
        policy = self.policy({"sleep": {"path": "/usr/bin/sleep", "operands": [{"name": "n", "type": {"text": [1, 20]}}]}})
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2):
            # What is ignored, as nohup(1) has SIGHUP, does not cancel.
            process = self.popen(["run", "--policy", policy, "--", "sleep", marker], preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
            # Rebuilt, the line is the command's and not safe-exec's, which takes no signal before it has started.
            self.assertTrue(wait_until(lambda: survivors("/usr/bin/sleep\0--\0" + marker)))
            process.send_signal(number)
            out, _ = process.communicate(timeout=20)
            self.assertEqual(process.returncode, 128 + number)
            self.assertEqual(json.loads(out)["outcome"]["type"], "cancelled")
            self.assertTrue(wait_until(lambda: not survivors(marker)))

    def test_what_is_ignored_does_not_cancel(self):
        policy = self.policy({"dash": dict(SHELL, sandbox={"exec": ["/usr/bin/sleep"]})})
        marker = "lived-%d" % os.getpid()
        process = self.popen(["run", "--policy", policy, "--", "dash", "-c", ": %s; sleep 1; echo on" % marker],
                             preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        self.assertTrue(wait_until(lambda: survivors("/bin/dash\0-c\0: " + marker)))
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(timeout=20)
        self.assertEqual((process.returncode, json.loads(out)["stdout"]), (0, "on\n"), out)


class Output(SandboxTest):
    def test_head_and_tail_are_kept_with_exact_counts(self):
        status, result = self.run_shell("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done", "--max-stdout", "1000")
        info = result["stdout_info"]
        total = sum(len("line %d\n" % i) for i in range(3000))
        self.assertEqual(info["bytes"], total)
        self.assertEqual(info["returned"] + info["omitted"], total)
        self.assertEqual(info["returned"], 1000)
        self.assertTrue(result["stdout"].startswith("line 0\n"))
        self.assertTrue(result["stdout"].endswith("line 2999\n"))
        self.assertIn("\n[safe-exec: %d bytes omitted]\n" % info["omitted"], result["stdout"])
        head = result["stdout"].index("\n[safe-exec:")
        self.assertEqual(head, 400)

    def test_a_gibibyte_is_counted_at_flat_memory(self):
        node = {"sandbox": {"exec": ["/usr/bin/head"]}, "timeout_ms": 60000, "limits": {"cpu_s": 60}}
        process = self.popen(["run", "--policy", self.policy({"dash": dict(path="/bin/dash", options={"-c": {"value": {"text": [0, 99]}, "spelling": "separate"}},
                                                                          end_of_options=False, **node)}),
                              "--", "dash", "-c", "head -c 1073741824 /dev/zero; echo the last line"])
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        process.stderr.close()
        result = json.loads(out)
        self.assertEqual(result["outcome"]["type"], "exited", result["error"])
        self.assertEqual(result["stdout_info"]["bytes"], (1 << 30) + len("the last line\n"))
        self.assertTrue(result["stdout"].endswith("the last line\n"))
        if not SANITIZED:  # shadow memory is not what is measured here
            before_exec = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # counts for the child of this process as well
            self.assertLess(usage.ru_maxrss, max(before_exec + 1024, 16 << 10))

    def test_characters_are_not_cut_in_two(self):
        _, result = self.run_shell("i=0; while [ $i -lt 500 ]; do printf 'äöü€'; i=$((i+1)); done", "--max-stdout", "101")
        self.assertFalse(result["stdout_info"]["lossy"])
        self.assertNotIn("\ufffd", result["stdout"])
        info = result["stdout_info"]
        self.assertEqual(info["returned"] + info["omitted"], info["bytes"])

    def test_invalid_utf8_is_replaced_and_said(self):
        _, result = self.run_shell("printf 'a\\377b'")
        self.assertEqual(result["stdout"], "a\ufffdb")
        self.assertTrue(result["stdout_info"]["lossy"])

    def test_base64_on_request(self):
        _, result = self.run_shell("printf 'a\\377b'", "--encoding", "base64")
        self.assertEqual(base64.b64decode(result["stdout"]), b"a\xffb")
        self.assertEqual(result["stdout_info"]["encoding"], "base64")


class Stdin(SandboxTest):
    def cat(self, stdin):
        return self.policy({"cat": {"path": "/usr/bin/cat", "stdin": stdin, "operands": []}})

    def test_none_is_empty(self):
        status, result = self.run_json(self.cat("none"), ["cat"], input=b"ignored")
        self.assertEqual((status, result["stdout"]), (0, ""))
        status, result = self.run_json(self.cat("none"), ["cat"], "--stdin", "-", input=b"ignored")
        self.assertEqual((status, result["denied"]["code"]), (126, "stdin_not_allowed"))

    def test_safe_execs_own_is_relayed(self):
        data = os.urandom(300000).hex().encode()
        status, result = self.run_json(self.cat("text"), ["cat"], "--stdin", "-", "--max-stdout", "50000", input=data)
        self.assertEqual((status, result["stdout_info"]["bytes"]), (0, len(data)))

    def test_text_of_a_request(self):
        request = {"argv": ["cat"], "stdin": "from the request\n"}
        status, out, _ = self.call(["run", "--policy", self.cat("text"), "--request", "-"], input=json.dumps(request).encode())
        self.assertEqual((status, json.loads(out)["stdout"]), (0, "from the request\n"))

    def test_a_file_is_a_path_operand(self):
        self.write("ws/in.txt", "file\n")
        self.write("secret.txt", "no\n")
        policy = self.policy({"cat": {"path": "/usr/bin/cat", "operands": [],
                                      "stdin": {"path": "read", "within": ["${start_dir}"]}}})
        status, result = self.run_json(policy, ["cat"], "--stdin", "in.txt")
        self.assertEqual((status, result["stdout"]), (0, "file\n"), result)
        status, result = self.run_json(policy, ["cat"], "--stdin", "../secret.txt")
        self.assertEqual((status, result["denied"]["code"]), (126, "path_outside"))
        status, result = self.run_json(policy, ["cat"], "--stdin", ".")
        self.assertEqual((status, result["denied"]["code"]), (126, "path_wrong_kind"))
        self.assertNotIn("directory", result["denied"]["expected"])

    def test_a_command_that_does_not_read_does_not_hang(self):
        policy = self.policy({"true": {"path": "/usr/bin/true", "stdin": "text", "operands": []}})
        status, result = self.run_json(policy, ["true"], "--stdin", "-", input=b"x" * 1000000)
        self.assertEqual(status, 0, result)


class Requests(SandboxTest):
    def test_a_request_from_a_file(self):
        policy = self.policy({"echo": {"path": "/usr/bin/echo", "operands": [{"name": "t", "type": {"text": [0, 9]}, "count": [0, 3]}],
                                       "end_of_options": False}})
        request = self.write("request.json", json.dumps({"schema": "safe-exec/request/v1", "id": "q", "argv": ["echo", "a"], "timeout_ms": 5000}))
        status, out, _ = self.call(["run", "--policy", policy, "--request", request])
        result = json.loads(out)
        self.assertEqual((status, result["id"], result["stdout"]), (0, "q", "a\n"))
        for id in ("a\tb", "a\\x09b", "a\nb\u202e", "é\x7f"):  # an answer is found again by it
            request = self.write("request.json", json.dumps({"id": id, "argv": ["echo", "é\\x09"]}))
            result = json.loads(self.call(["run", "--policy", policy, "--request", request])[1])
            self.assertEqual((result["id"], result["command"]["argv"][1:]), (id, ["é\\x09"]), result)

    def test_it_ends_when_told_to_while_it_waits_for_a_request(self):
        policy = self.policy({"true": {"path": "/usr/bin/true"}})
        fifo = os.path.join(self.dir, "fifo")
        os.mkfifo(fifo)
        for source, number in (("-", signal.SIGTERM), (fifo, signal.SIGTERM), ("-", signal.SIGINT), ("-", signal.SIGHUP), ("-", signal.SIGQUIT)):
            process = subprocess.Popen([BINARY, "run", "--policy", policy, "--request", source], cwd=self.ws, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            time.sleep(0.5)
            process.send_signal(number)
            self.assertEqual(process.wait(10), 128 + number)
            self.assertIn(number.name, json.loads(process.stdout.read())["error"]["message"])
            process.stdin.close()
            process.stdout.close()

    def test_a_request_through_a_fifo_and_from_a_slow_writer(self):
        policy = self.policy({"true": {"path": "/usr/bin/true"}})
        fifo = os.path.join(self.dir, "fifo")
        os.mkfifo(fifo)
        process = subprocess.Popen([BINARY, "run", "--policy", policy, "--request", fifo], cwd=self.ws, stdout=subprocess.PIPE)
        time.sleep(0.3)
        with open(fifo, "wb", buffering=0) as f:
            for piece in (b'{"argv":', b'["true"]', b"}"):
                f.write(piece)
                time.sleep(0.1)
        self.assertEqual((process.wait(10), json.loads(process.stdout.read())["success"]), (0, True))
        process.stdout.close()

    def test_broken_requests_are_request_invalid(self):
        policy = self.policy({"true": {"path": "/usr/bin/true"}})
        for text in (b"", b"{", b"[]", b'{"argv":"true"}', b'{"argv":[]}', b'{"argv":["true"],"argv":["true"]}',
                     b'{"argv":["true"],"nope":1}', b'{"argv":["tr\\u0000ue"]}', b'{"argv":["true"],"stdin":"a","stdin_base64":"YQ=="}',
                     b'{"argv":["true"],"timeout_ms":-1}', b'{"argv":["true"]} x', b'\xff', b'{"argv":["true"],"timeout_ms":1.5}',
                     b"[" * 100000, b'{"argv":["true"],"meta":{"a":"' + b"x" * 5000 + b'"}}', b" " * ((8 << 20) + 1)):
            status, out, _ = self.call(["run", "--policy", policy, "--request", "-"], input=text)
            result = json.loads(out)
            self.assertEqual(list(result), RESULT_KEYS)
            self.assertEqual((status, result["error"]["code"]), (125, "request_invalid"), text[:60])


if __name__ == "__main__":
    main()
