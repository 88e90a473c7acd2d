"""safe-exec on hosts that refuse what it is made of: either the command runs, nothing is open to it and the loss is named, or
it is not started and the error has a name, a step and a hint. Never less, never a hang."""
import errno
import json
import os
import signal
import subprocess
import time
import unittest

import outer
import world
from harness import BINARY, SHELL, SandboxTest, main
from probe_test import GENERATED_CODE, NAMESPACES, PROBE

MOUNTS = ("mount", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "mount_setattr", "chroot")
# What is lost where a call is refused; None: the command is not started, and the step that says so.
LOST = {"namespaces": set(NAMESPACES), "landlock_create_ruleset": {"landlock"}, "landlock_add_rule": {"landlock"},
        "landlock_restrict_self": {"landlock"}, "unshare": set(), "clone3": set(), "setns": set(), "close_range": set(),
        "pidfd_open": set(), "pidfd_send_signal": set()}
LOST.update({name: {"mount_namespace"} for name in MOUNTS})
REFUSED = {"seccomp": "seccomp", "no_new_privs": "no_new_privs", "execveat": "exec", "prctl": "parent_check"}


class Refused(unittest.TestCase):
    def setUp(self):
        self.world = world.World(PROBE)
        self.addCleanup(self.world.close)

    def test_what_is_left_confines_fully_and_the_loss_is_named(self):
        for name, lost in LOST.items():
            for error in (errno.ENOSYS, errno.EPERM):
                with self.subTest(name=name, error=errno.errorcode[error]):
                    attempts, result = world.in_safe_exec(BINARY, self.world, lambda: outer.refuse({name: error}))
                    found = {attempt for attempt, (is_open, _) in attempts.items() if is_open}
                    self.assertLessEqual(found, GENERATED_CODE)
                    self.assertGreaterEqual(len(attempts), 119, result["error"])
                    degraded = {one["layer"] for one in result["sandbox"]["degraded"]} - {"limits", "tree_kill"}
                    self.assertLessEqual(degraded, lost)
                    self.assertGreaterEqual(degraded, lost - ({"user_namespace"} if os.getuid() == 0 else set()))

    def test_what_cannot_be_done_without_is_an_error_with_step_and_hint(self):
        for name, step in REFUSED.items():
            for error in (errno.ENOSYS, errno.EPERM):
                with self.subTest(name=name, error=errno.errorcode[error]):
                    attempts, result = world.in_safe_exec(BINARY, self.world, lambda: outer.refuse({name: error}))
                    self.assertEqual((attempts, result["outcome"]["type"], result["error"]["step"]), ({}, "failed", step))
                    self.assertEqual(result["error"]["errno"], error)
                    self.assertTrue(result["error"]["hint"])

    def test_neither_landlock_nor_mounts_is_refused_and_doctor_agrees(self):
        refusals = {"landlock_create_ruleset": errno.ENOSYS, "mount": errno.EPERM}
        attempts, result = world.in_safe_exec(BINARY, self.world, lambda: outer.refuse(refusals))
        self.assertEqual((attempts, result["error"]["code"]), ({}, "sandbox_unavailable"))
        doctor = subprocess.run([BINARY, "doctor", "--output", "json"], stdout=subprocess.PIPE, preexec_fn=lambda: outer.refuse(refusals))
        self.assertEqual((doctor.returncode, json.loads(doctor.stdout)["healthy"]), (1, False))

    def test_inside_bubblewrap(self):
        argv = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--", BINARY, "run",
                "--policy", self.world.policy(), "--", "probe"] + self.world.words()
        done = subprocess.run(argv, cwd=self.world.ws, env=world.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60)
        result = json.loads(done.stdout)
        if os.getuid() != 0:  # root's files belong to the overflow uid there, whom nobody trusts (user_namespaces(7))
            self.assertEqual(result["error"]["code"], "policy_untrusted", result)
            return
        self.assertEqual(result["outcome"]["type"], "exited", result)
        attempts = world.attempts_of(result["stdout"])
        self.assertLessEqual({name for name, (is_open, _) in attempts.items() if is_open}, GENERATED_CODE)


STUBBORN = """trap '' TERM INT HUP; n=%s
for i in 1 2 3; do ( trap '' TERM; ( while :; do sleep 5; done ) & ) & done
/usr/bin/setsid /bin/dash -c ": $n; trap '' TERM; while :; do sleep 5; done" &
/bin/dash -c ": $n; kill -STOP \\$\\$; sleep 50" &
while :; do sleep 5; done"""


def survivors(marker):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % name, "rb") as f:
                text = f.read()
            if marker.encode() in text:
                found.append(name)
        except OSError:
            pass
    return found


class Death(SandboxTest):
    def kill_at_random_moments(self, times, layers):
        marker = "stubborn-%d" % os.getpid()
        node = dict(SHELL, sandbox={"exec": ["/usr/bin/sleep", "/usr/bin/setsid", "/usr/bin/dash"], "layers": layers})
        policy = self.policy({"dash": node})
        with open("/proc/self/mountinfo") as f:
            mounts = f.read()
        met = 0  # runs that had more than safe-exec itself to kill
        window = 20.0  # seconds; the first run measures how long the tree needs to stand on this machine
        for i in range(times + 1):
            started = time.monotonic()
            process = self.popen(["run", "--policy", policy, "--", "dash", "-c", STUBBORN % marker], stdout=subprocess.DEVNULL)
            if i == 0:
                while len(survivors(marker)) <= 2 and time.monotonic() < started + window:
                    time.sleep(0.002)
                window = max(0.04, 3 * (time.monotonic() - started))
            else:
                time.sleep(window * (i * 7 % 40) / 40)
            met += len(survivors(marker)) > 2
            process.send_signal(signal.SIGKILL)
            process.communicate()
        self.assertGreater(met, times // 10)
        deadline = time.monotonic() + 2
        while survivors(marker) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(survivors(marker), [])
        with open("/proc/self/mountinfo") as f:
            self.assertEqual(f.read(), mounts)
        self.assertEqual(os.listdir(self.ws), [])

    def test_no_survivor_of_a_kill_at_any_moment(self):
        self.kill_at_random_moments(100, {})

    def test_no_survivor_without_a_pid_namespace(self):
        self.kill_at_random_moments(100, NAMESPACES)


if __name__ == "__main__":
    main()
