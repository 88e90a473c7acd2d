"""Every system call that a run makes, found by tracing one, is refused in turn: always with ENOSYS and EPERM by an outer filter,
and once, at its second use, by a tracer. Each time the command is confined by what is left and the loss is named, or it is
not started and the error has a step and a hint. Never less, never a denial, never a hang."""
import errno
import json
import os
import re
import subprocess
import tempfile
import unittest

import outer
import world
from harness import BINARY, SANITIZED, main
from probe_test import GENERATED_CODE, NAMESPACES, NOTHING_TO_KEEP, PROBE, UNCOUNTED, UNMEDIATED

# Without these no program starts or says anything, the command and the probe's own children no more than safe-exec.
OF_EVERY_PROGRAM = {"arch_prctl", "brk", "clone", "close", "dup2", "execve", "exit_group", "fcntl", "mmap", "mprotect", "munmap", "newfstatat",
                    "openat", "read", "wait4", "write"}
# What the probe takes for open when it is lied to itself, and what root may when it is not known to be root.
OF_THE_PROBE = {"close": {"use a descriptor of the caller"}, "getuid": {"become root", "become another user", "any other user or group"} | UNCOUNTED}
DENIED_PATHS = {"read a denied file in a granted directory", "read below a denied directory", "read a denied file by descriptor and dots"}
OWN_NETWORK = {"AF_NETLINK route", "IPv6", "a socket of any family", "a socket of any family with a high half",
               "connect by TCP, family with a high half", "listen on TCP", "send by UDP", "take an abstract name"}
ALWAYS_HOLD = {"no_new_privs", "capabilities", "seccomp", "descriptors", "environment"}
DIED_EARLY = {125, 127, -6, -11}  # the status alone says it: nothing can be written, or libc gave up before main


def command_line(made, **sandbox):
    return [BINARY, "run", "--policy", made.policy(**sandbox), "--", "probe"] + made.words()


class Matrix(unittest.TestCase):
    def setUp(self):
        self.world = world.World(PROBE)
        self.addCleanup(self.world.close)

    def call(self, argv, before=None):
        done = subprocess.run(argv, cwd=self.world.ws, env=world.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, start_new_session=True, timeout=90, preexec_fn=before)
        return done.returncode, done.stdout

    def traced(self, **sandbox):
        """{call: how often} of safe-exec, its reaper and its command until that runs."""
        with tempfile.NamedTemporaryFile() as log:
            self.call(["strace", "-f", "-qq", "-o", log.name] + command_line(self.world, **sandbox) + ["--"])
            calls = re.findall(r"^\d+ +(\w+)\(", log.read().decode("utf-8", "replace").split("execveat(")[0] + "\n1 execveat(\n1 getrusage(", re.M)
        found = {name: calls.count(name) for name in calls if name != "execve" and name in outer.NUMBERS}
        self.assertGreater(len(found), 40)
        return found

    def check(self, status, out, name, network="none"):
        """What was lost, None when nothing was started."""
        if not out:
            self.assertIn(status, DIED_EARLY)
            self.assertIn(name, OF_EVERY_PROGRAM)
            return None
        result = json.loads(out)
        if result["outcome"]["type"] == "failed":
            error = result["error"]
            self.assertTrue(error["step"] and error["hint"], error)
            self.assertNotEqual(error["code"], "internal" if name not in OF_EVERY_PROGRAM else "", error)
            return None
        self.assertIn(result["outcome"]["type"], ("exited", "signaled", "limit_exceeded"), result)  # the probe bombs
        layers = {layer: one["status"] for layer, one in result["sandbox"]["layers"].items()}
        self.assertEqual({layer for layer in ALWAYS_HOLD if layers[layer] != "enforced"}, set())
        self.assertIn("enforced", (layers["landlock"], layers["mount_namespace"]))
        for one in result["sandbox"]["degraded"]:
            self.assertTrue(one["reason"], one)
        lines = [json.loads(line) for line in result["stdout"].splitlines()]
        known = OF_THE_PROBE.get(name, set()) | (UNCOUNTED if layers["limits"] != "enforced" else set())
        known |= UNMEDIATED if layers["mount_namespace"] != "enforced" else set()
        known |= NOTHING_TO_KEEP if layers["user_namespace"] != "enforced" else set()
        known |= GENERATED_CODE if "code can be generated" in result["sandbox"]["layers"]["seccomp"].get("detail", "") else set()
        known |= OWN_NETWORK if network == "loopback" and "sockets are refused" not in result["sandbox"]["layers"]["seccomp"].get("detail", "") else set()
        known |= DENIED_PATHS if layers["deny_paths"] != "enforced" else set()
        self.assertLessEqual({one["attempt"] for one in lines if one["open"]}, known)
        if name not in OF_EVERY_PROGRAM:
            self.assertGreaterEqual(len(lines), 119, result)
        return {one["layer"] for one in result["sandbox"]["degraded"]}

    def refuse_each(self, errors, **sandbox):
        names = set(self.traced(**sandbox)) | set(outer.BY_ARGUMENT) | {"pidfd_open", "pidfd_send_signal", "setns", "unshare", "clone3", "pivot_root"}
        started = 0
        for name in sorted(names):
            for error in errors:
                with self.subTest(name=name, error=errno.errorcode[error], **sandbox):
                    lost = self.check(*self.call(command_line(self.world, **sandbox), lambda: outer.refuse({name: error})), name, sandbox.get("network"))
                    started += lost is not None
                    if name in ("namespaces", "mount", "landlock_restrict_self") and not sandbox:
                        self.assertTrue(lost)
        self.assertGreater(started, 20)

    def test_each_call_is_refused(self):
        self.refuse_each((errno.ENOSYS, errno.EPERM))

    def test_each_call_is_refused_without_namespaces(self):
        self.refuse_each((errno.EPERM,), layers=NAMESPACES)

    def test_each_call_is_refused_with_a_loopback(self):
        self.refuse_each((errno.EPERM,), network="loopback")

    def test_each_call_fails_once(self):
        for name, count in sorted(self.traced().items()):
            # Traced, a reaper can be stopped by its command; where Landlock fails nothing else hinders that.
            if count < 2 or name in OF_EVERY_PROGRAM or name.startswith("landlock_") or SANITIZED:
                continue
            with self.subTest(name=name):
                tracer = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=" + name,
                          "-e", "inject=%s:error=EPERM:when=2" % name]
                self.check(*self.call(tracer + command_line(self.world)), name)


if __name__ == "__main__":
    main()
