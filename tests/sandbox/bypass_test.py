"""Bypasses of other sandboxes that need a test of their own here (tests/attacks/ledger.json has them all)."""
import ctypes
import hashlib
import json
import os
import signal
import time

from harness import BINARY, SHELL, SandboxTest, main
from probe_test import NAMESPACES, OTHER

PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
LIBC = ctypes.CDLL(None, use_errno=True)


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def as_ordinary():
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(OTHER, OTHER, OTHER)
        os.setresuid(OTHER, OTHER, OTHER)


def children_of(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(child) for child in f.read().split()]


class Bypass(SandboxTest):
    def test_the_working_directory_is_the_checked_one(self):
        """CVE-2024-21626: a working directory outside by a leaked descriptor."""
        os.makedirs(os.path.join(self.ws, "gone"))
        policy = self.policy({"dash": SHELL})
        script = "pwd -P; read x < ../../secret && echo OUT; true"
        self.write("secret", "hunter2\n")
        for layers in ({}, NAMESPACES):
            _, result = self.run_shell(script, node={"sandbox": {"layers": layers}})
            self.assertEqual(result["stdout"], os.path.realpath(self.ws) + "\n", result)

        def in_a_removed_directory():
            os.chdir("gone")
            os.rmdir(os.path.join(self.ws, "gone"))
        status, out, _ = self.call(["run", "--policy", policy, "--", "dash", "-c", "echo started"], preexec_fn=in_a_removed_directory)
        self.assertEqual((status, json.loads(out)["error"]["code"]), (125, "usage"))

    def test_no_program_of_the_launch_can_be_overwritten(self):
        """CVE-2019-5736: the launcher's own binary by /proc/PID/exe."""
        before = digest(BINARY)
        script = "for p in self 1 2 $PPID; do (echo x >> /proc/$p/exe) && echo WROTE; done 2>/dev/null; (: < /proc/$PPID/exe) && echo READ; true"
        for layers in ({}, NAMESPACES):
            for proc in ("none", "own"):
                _, result = self.run_shell(script, node={"sandbox": {"layers": layers, "proc": proc}})
                self.assertEqual(result["outcome"]["type"], "exited", result)
                self.assertEqual(result["stdout"], "", result)
        self.assertEqual(digest(BINARY), before)

    def test_the_launcher_cannot_be_traced_by_its_own_user(self):
        """CVE-2026-41163: a set-up process that is dumpable."""
        os.chmod(self.dir, 0o755)
        marker = self.policy({"dash": dict(SHELL, sandbox={"exec": ["/usr/bin/sleep"]})})
        process = self.popen(["run", "--policy", marker, "--", "dash", "-c", "sleep 30"], preexec_fn=as_ordinary)
        try:
            deadline = time.monotonic() + 10
            while not (children_of(process.pid) and children_of(children_of(process.pid)[0])) and time.monotonic() < deadline:
                time.sleep(0.01)
            reaper = children_of(process.pid)[0]
            attacker = os.fork()
            if attacker == 0:
                as_ordinary()
                reached = 0
                for pid in (process.pid, reaper):
                    if LIBC.ptrace(PTRACE_SEIZE, pid, None, None) == 0:
                        LIBC.ptrace(PTRACE_DETACH, pid, None, None)
                        reached += 1
                    try:
                        os.close(os.open("/proc/%d/mem" % pid, os.O_RDONLY))
                        reached += 1
                    except OSError:
                        pass
                os._exit(reached)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(attacker, 0)[1]), 0)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)

    def test_nothing_joins_a_running_sandbox(self):
        """CVE-2022-31214 and others of firejail --join."""
        for verb in ("join", "attach", "enter", "exec", "shell"):
            status, out, err = self.call([verb, "1"])
            self.assertEqual(status, 2, verb)
            self.assertIn(b"usage", out + err)
        for option in ("--join", "--attach", "--pid"):
            self.assertEqual(self.call(["run", option, "1", "--", "true"])[0], 125)

    def test_a_command_dies_by_its_own_signal_and_its_orphans_are_reaped(self):
        """A command that is process 1 ignores its own SIGABRT and reaps nobody."""
        for layers in ({}, NAMESPACES):
            node = {"sandbox": {"layers": layers, "exec": ["/usr/bin/sleep"]}}
            if not layers:
                node["limits"] = {"processes": 60}
            _, result = self.run_shell("kill -ABRT $$", node=node)
            self.assertEqual(result["outcome"].get("signal"), "SIGABRT", result)
            # Each ends as an orphan: unreaped, 500 would not fit into the limit, with its 300 to spare.
            script = "i=0; while [ $i -lt 500 ]; do ( : & ) ; i=$((i+1)); [ $((i % 25)) = 0 ] && sleep 0.1; done; echo done"
            _, result = self.run_shell(script, node=node)
            self.assertEqual((result["stdout"], result["stderr"]), ("done\n", ""), result)


if __name__ == "__main__":
    main()
