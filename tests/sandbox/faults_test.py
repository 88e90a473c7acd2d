"""A call that fails while a command is launched or watched: nothing is lost, held for kept, or told otherwise than it was."""
import errno
import json
import os
import threading
import time

import outer
from harness import SANITIZED, SHELL, SandboxTest, main
from probe_test import NAMESPACES

REFUSING = {name: {name: errno.EPERM} for name in ("unshare", "mount", "landlock_restrict_self", "chroot")}
REFUSING["ubuntu"] = outer.UBUNTU


def name_of(pid):
    try:
        with open("/proc/%d/comm" % pid) as f:
            return f.read().strip()
    except OSError:
        return ""


def state_of(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


class Input(SandboxTest):
    DATA = "".join("%06d\n" % i for i in range(300000 // 7)).encode()

    def cat(self, stdin):
        return self.policy({"cat": {"path": "/usr/bin/cat", "stdin": stdin, "operands": [], "stdout_bytes": 1 << 20}})

    def check(self, data, status, result):
        self.assertEqual((status, result["outcome"]["type"], len(result["stdout"])), (0, "exited", len(data)), result["error"])
        self.assertTrue(result["stdout"].encode() == data)  # a difference of that size is shown by nothing in time

    def test_a_file_is_whole_after_an_attempt_that_failed(self):
        self.write("ws/in.txt", self.DATA)
        policy = self.cat({"path": "read", "within": ["${start_dir}"]})
        for name, refusals in REFUSING.items():
            with self.subTest(name=name):
                self.check(self.DATA, *self.run_json(policy, ["cat"], "--stdin", "in.txt", "--max-stdout", "400000", preexec_fn=lambda: outer.refuse(refusals)))

    def test_a_pipe_is_whole_after_an_attempt_that_failed(self):
        policy = self.cat("text")
        for name, refusals in REFUSING.items():
            for size in (len(self.DATA), 30000, 100):  # what a writer has to give at a time
                with self.subTest(name=name, size=size):
                    data = self.DATA if size > 100 else self.DATA[:3000]
                    here, there = os.pipe()
                    writer = threading.Thread(target=self.feed, args=(there, data, size))
                    writer.start()
                    try:
                        status, result = self.run_json(policy, ["cat"], "--stdin", "-", "--max-stdout", "400000", stdin=here,
                                                       preexec_fn=lambda: outer.refuse(refusals))
                    finally:
                        os.close(here)
                        writer.join(60)
                    self.check(data, status, result)

    def feed(self, there, data, size):
        with os.fdopen(there, "wb", 0) as f:
            try:
                for at in range(0, len(data), size):
                    f.write(data[at:at + size])
                    if size < len(data):
                        time.sleep(0.002)
            except BrokenPipeError:
                pass

    def test_what_cannot_be_written_to_the_command_is_an_error(self):
        text = "x" * 4321
        refusals = {("write", 2, len(text), False): errno.EIO}
        self.write("ws/in.txt", text)
        for stdin, source in (("text", "-"), ({"path": "read", "within": ["${start_dir}"]}, "in.txt")):
            status, result = self.run_json(self.cat(stdin), ["cat"], "--stdin", source, input=text.encode(), preexec_fn=lambda: outer.refuse(refusals))
            self.assertEqual((status, result["outcome"]["type"]), (125, "failed"), result)
            self.assertEqual((result["error"]["code"], result["error"]["step"], result["error"]["errno"]), ("launch_failed", "stdin", errno.EIO), result)
            self.assertIn("cannot be written", result["error"]["message"])


class Told(SandboxTest):
    def test_output_that_cannot_be_read_is_an_error(self):
        for script in ("echo x", "echo x >&2"):
            status, result = self.run_shell(script, preexec_fn=lambda: outer.refuse({"read of a block": errno.EIO}))
            self.assertEqual((status, result["outcome"]["type"]), (125, "failed"), result)
            self.assertEqual((result["error"]["code"], result["error"]["step"], result["error"]["errno"]), ("launch_failed", "output", errno.EIO), result)

    def test_landlock_is_told_of_only_where_it_is_in_force(self):
        enforced = []
        for failing in range(1, 8):
            calls = []

            def decide(name, pid, arguments):
                calls.append(name)
                return errno.ENOSYS if name == "landlock_create_ruleset" and calls.count(name) == failing else 0
            with self.subTest(failing=failing), outer.Asked(("landlock_create_ruleset", "landlock_restrict_self"), decide) as host:
                _, result = self.run_shell("echo x", preexec_fn=host.enter)
                if failing > 1 and result["error"]:  # of a host that is asked again
                    self.assertEqual((result["error"]["code"], result["stdout"]), ("sandbox_unavailable", ""), result)
                    continue
                self.assertEqual((result["error"], result["stdout"]), (None, "x\n"), result)
                told = result["sandbox"]["layers"]["landlock"]["status"] == "enforced"
                self.assertEqual(told, "landlock_restrict_self" in calls, (calls, result["sandbox"]))
                enforced.append(told)
        self.assertIn(True, enforced)


class Found(SandboxTest):
    def test_what_cannot_be_looked_at_is_not_told_as_not_there(self):
        self.write("ws/f", "text\n")
        slot = {"name": "f", "type": {"path": "read", "within": ["${start_dir}"]}}
        policy = self.policy({"cat": {"path": "/usr/bin/cat", "operands": [slot]}})
        failing, looks, steps = 0, 0, set()
        while failing <= looks:
            failing += 1
            looks = 0

            def decide(*_):
                nonlocal looks
                looks += 1
                return errno.EIO if looks == failing else 0
            with self.subTest(failing=failing), outer.Asked({"fstat", "newfstatat", "fstatat"} & set(outer.NUMBERS), decide) as host:
                _, out, err = self.call(["run", "--policy", policy, "--", "cat", "f"], preexec_fn=host.enter)
                if SANITIZED and b"shared libraries" in err:  # which it has only then
                    continue
                result = json.loads(out)
                self.assertNotEqual((result["denied"] or {}).get("code"), "path_not_found", result)
                steps.add((result["error"] or {}).get("step"))
        self.assertLessEqual({None, "resolve"}, steps)


class Ended(SandboxTest):
    def test_a_command_that_cannot_be_watched_was_started_and_is_told_as_a_failure(self):
        for layers in ({}, NAMESPACES):
            status, result = self.run_shell("sleep 1000", node={"sandbox": {"layers": layers, "exec": ["/usr/bin"]}},
                                            preexec_fn=lambda: outer.refuse({"wait of the reaper": errno.EPERM}))
            error = result["error"] or {}
            self.assertEqual((status, result["outcome"]["type"], error.get("code"), error.get("step"), error.get("errno")),
                             (125, "failed", "launch_failed", "watch", errno.EPERM), result)
            self.assertIn("was started", error["message"])

    def test_a_command_that_cannot_be_waited_for_is_told_as_a_failure(self):
        marker = os.path.join(self.ws, "begun")
        script = "echo > begun; (: &); while :; do :; done"  # the orphan makes the reaper look; no earlier look can see the end
        for layers in ({}, NAMESPACES):
            def decide(_, pid, __):
                return errno.EPERM if name_of(pid) == "safe-exec" and os.path.exists(marker) else 0
            with outer.Asked(("wait4",), decide) as host:
                _, result = self.run_shell(script, node={"sandbox": {"write": ["${start_dir}"], "layers": layers}}, preexec_fn=host.enter)
            os.unlink(marker)
            self.assertEqual((result["outcome"]["type"], (result["error"] or {}).get("step")), ("failed", "watch"), result)

    def test_the_sweep_goes_on_though_it_cannot_wait(self):
        script = "for i in 1 2 3; do setsid sh -c 'echo $$ > pid.$0; exec sleep 1000' $i & done; for i in 1 2 3; do while ! test -s pid.$i; do :; done; done"
        node = {"sandbox": {"write": ["${start_dir}"], "exec": ["/usr/bin"], "layers": NAMESPACES}}
        for fails in (1, 1 << 30):
            failed = 0

            def decide(_, pid, __):
                nonlocal failed
                if name_of(pid) != "safe-exec" or failed == fails:
                    return 0
                with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
                    names = {name_of(int(one)) for one in f.read().split()}
                if "dash" in names or not names & {"sleep", "sh"}:  # the command is not yet waited for
                    return 0
                failed += 1
                return errno.EPERM
            with self.subTest(fails=fails), outer.Asked(("wait4",), decide) as host:
                _, result = self.run_shell(script, node=node, preexec_fn=host.enter)
                self.assertEqual((result["outcome"]["type"], result["exit_code"]), ("exited", 0), result)
                self.assertGreater(failed, 0)
                for i in "123":
                    name = os.path.join(self.ws, "pid." + i)
                    with open(name) as f:
                        pid = int(f.read())
                    os.unlink(name)
                    deadline = time.monotonic() + 20
                    while state_of(pid) not in "ZX" and time.monotonic() < deadline:
                        time.sleep(0.02)
                    self.assertIn(state_of(pid), "ZX")


class Kept(SandboxTest):
    def test_a_link_that_cannot_be_read_is_not_held_for_none(self):
        node = {"path": "/usr/bin/dash", "sandbox": {"write": ["${start_dir}"], "read_only": ["${start_dir}/.git"]}}
        self.write("ws/real/config", "mine\n")
        os.symlink("real", os.path.join(self.ws, ".git"))
        for error, layers in ((errno.EACCES, {}), (errno.EACCES, NAMESPACES), (errno.EIO, {})):
            node["sandbox"]["layers"] = layers
            failing, looks, steps = 0, 0, set()
            while failing <= looks:
                failing += 1  # the first to fail, then the second, until there are no more
                looks = 0

                def decide(*_):
                    nonlocal looks
                    looks += 1
                    return error if looks == failing else 0
                with self.subTest(error=error, layers=layers, failing=failing), outer.Asked(("readlinkat",), decide) as host:
                    _, result = self.run_shell("echo made > real/config; echo made > real/new; echo end", node=node, preexec_fn=host.enter)
                    with open(os.path.join(self.ws, "real/config")) as f:
                        self.assertEqual((f.read(), os.listdir(os.path.join(self.ws, "real"))), ("mine\n", ["config"]), result)
                    steps.add(result["error"]["step"] if result["error"] else result["stdout"])
            self.assertIn("end\n", steps)  # none failed
            if error == errno.EIO:
                self.assertIn("resolve", steps)


if __name__ == "__main__":
    main()
