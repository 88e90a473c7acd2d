"""The hosts that people really have: what safe-exec gives on each, that the probe finds nothing open there, and that doctor
says the same. As root these are made for root and for an ordinary user; an ordinary user makes those that need no more."""
import json
import os
import subprocess
import sys
import unittest

import world
from harness import BINARY, SANITIZED, SOURCE, main
from probe_test import NOTHING_TO_KEEP, OTHER, PROBE, UNCOUNTED, UNMEDIATED

ROOT = os.getuid() == 0
OUTER = os.path.join(SOURCE, "tests", "sandbox", "outer.py")
DOCKER_CAPABILITIES = ("chown dac_override fsetid fowner mknod net_raw setgid setuid setfcap setpcap net_bind_service sys_chroot kill "
                       "audit_write").split()
# Docker's own masks of /proc.
MASKS = """mount -t tmpfs -o ro tmpfs /proc/acpi; for f in kcore keys timer_list; do mount --bind /dev/null /proc/$f; done
for d in bus fs irq sys sysrq-trigger; do [ ! -e /proc/$d ] || { mount --bind /proc/$d /proc/$d && mount -o remount,bind,ro /proc/$d; }; done
"""
MOUNTED = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
CONTAINER = ["unshare", "-mpiuf", "--propagation", "private", "--kill-child", "--mount-proc", "sh", "-c"]
NO_NAMESPACES = ("user_namespace", "pid_namespace", "mount_namespace", "ipc_namespace", "uts_namespace")
# In a container the victim is one of its processes.
VICTIM = 'sleep 300 >&- & exec "$@" "victim=$!"'


def as_user(uid):
    return ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, "--clear-groups"] if ROOT and uid else []


class Presets(unittest.TestCase):
    def on(self, host, uid, after=(), words=(), first=()):
        """The result of the probe's run and what doctor says, on a host that `host` makes; uid and then `after` come last."""
        made = world.World(PROBE, uid if ROOT and uid else None)
        self.addCleanup(made.close)
        become = as_user(uid) if not first else []
        own_victim = bool(host) and host[-1].endswith(VICTIM)
        at = [word for word in made.words() if not (own_victim and word.startswith("victim="))]
        answers = []
        for command in (["run", "--policy", made.policy(), "--", "probe"] + at, ["doctor", "--output", "json"]):
            script = [host[-1].replace(' "victim=$!"', "")] if own_victim and command[0] == "doctor" else list(host[-1:])
            argv = list(first) + list(host[:-1]) + script + (["sh"] if host and host[-2:-1] == ["-c"] else []) + list(words) + become + list(after) + [BINARY]
            done = subprocess.run(argv + command, cwd=made.ws, env=world.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, start_new_session=True, timeout=120)
            self.assertTrue(done.stdout, done.stderr)
            answers.append(json.loads(done.stdout))
        return answers

    def holds(self, host, lost, after=(), words=(), uids=(0, OTHER), known=frozenset()):
        """Nothing is open, the lost layers and no others are named, and doctor agrees and names who is in the way."""
        for uid in uids if ROOT else (os.getuid(),):
            with self.subTest(uid=uid):
                result, doctor = self.on(host, uid, after, words)
                self.assertIn(result["outcome"]["type"], world.ENDINGS, result["error"] or result["denied"])
                attempts = world.attempts_of(result["stdout"])
                self.assertGreaterEqual(len(attempts), 119)
                allowed = known | (UNCOUNTED if uid == 0 and "pid_namespace" in lost else set())
                allowed |= UNMEDIATED if "mount_namespace" in lost else set()
                allowed |= NOTHING_TO_KEEP if "user_namespace" in lost else set()
                self.assertEqual({name for name, (is_open, _) in attempts.items() if is_open} - allowed, set())
                missing = {name for name, layer in result["sandbox"]["layers"].items() if layer["status"] == "not_enforced"}
                self.assertEqual(missing, set(lost))
                self.assertLessEqual(missing, {one["layer"] for one in result["sandbox"]["degraded"]})
                self.assertEqual((doctor["healthy"], doctor["open"]), (True, []), doctor) if not SANITIZED else None
                self.assertEqual({name for name, layer in doctor["layers"].items() if layer["status"] == "not_enforced"}, set(lost))
                self.assertLessEqual(missing, {one["layer"] for one in doctor["in_the_way"]})
                for one in doctor["in_the_way"]:
                    self.assertTrue(one["who"] and one["remedy"], one)

    def refused(self, host, step, hint, after=(), words=(), uids=(0, OTHER)):
        """Nothing is started, the error says at which step and what to do, and doctor is unhealthy for the same reason."""
        for uid in uids if ROOT else (os.getuid(),):
            with self.subTest(uid=uid):
                result, doctor = self.on(host, uid, after, words)
                self.assertEqual((result["outcome"]["type"], result["error"]["step"]), ("failed", step), result)
                self.assertIn(hint, result["error"]["hint"])
                self.assertFalse(doctor["healthy"], doctor)
                if not SANITIZED:  # doctor's probe does not start there, so that it needs less to say that it is not healthy
                    self.assertIn(hint, doctor["error"]["hint"])

    def test_docker_with_its_default_profile(self):
        python = [sys.executable, OUTER, "docker"]
        if not ROOT:
            self.holds(python, NO_NAMESPACES)
            return
        keep = "-all,+" + ",+".join(DOCKER_CAPABILITIES)
        drop = ["setpriv", "--bounding-set", keep, "--inh-caps", keep]
        self.holds(CONTAINER + [MASKS + VICTIM], NO_NAMESPACES, words=python + drop)

    def test_ubuntu_24_04_with_restricted_user_namespaces(self):
        tracer = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", "/proc/self/setgroups", "-e", "trace=openat", "-e", "inject=openat:error=EACCES"]
        self.holds([sys.executable, OUTER, "ubuntu"], NO_NAMESPACES, after=tracer, uids=(OTHER,))

    def test_inside_a_landlock_domain(self):
        self.holds([sys.executable, OUTER, "landlock"], ("mount_namespace",))

    def test_inside_sixteen_landlock_domains(self):
        self.refused([sys.executable, OUTER, "landlock-16"], "landlock", "16 Landlock domains")

    def test_without_landlock(self):
        self.holds([sys.executable, OUTER, "no-landlock"], ("landlock",))

    def test_with_neither_landlock_nor_namespaces(self):
        self.refused([sys.executable, OUTER, "nothing"], "landlock", "lsm=")

    def test_with_no_new_privs_set(self):
        self.holds(["setpriv", "--no-new-privs"], ())

    def test_inside_bubblewrap(self):
        bubblewrap = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
        if ROOT:
            self.holds(bubblewrap, (), uids=(0,))
        # Started by an ordinary user: root's files belong to the overflow uid there, and so may everybody's.
        result, doctor = self.on(bubblewrap, OTHER, first=as_user(OTHER) or ["env"])
        self.assertEqual(result["error"]["code"], "policy_untrusted", result)
        self.assertIn("start safe-exec outside", result["error"]["message"])
        self.assertEqual((doctor["healthy"], doctor["open"]), (False, []), doctor)
        self.assertEqual((doctor["error"] or {}).get("code"), "policy_untrusted", doctor) if not SANITIZED else None

    def test_with_few_descriptors(self):
        self.refused(["prlimit", "--nofile=20:20"], "runtime", "ulimit -n")
        self.refused(["prlimit", "--nofile=10:10"], "resolve", "ulimit -n")

    if ROOT:  # for both users
        def test_without_proc(self):
            hidden = MOUNTED + ['mount -t tmpfs tmpfs /proc && exec "$@"']
            self.refused(hidden, "proc", "mount a proc file system")
            # A policy that asks for little, and a decision alone.
            bench = ["--policy", os.path.join(SOURCE, "tests/bench/true.json")]
            for uid in (0, OTHER):
                for words in (["run", *bench, "--", "true"], ["check", *bench, "--", "true"], ["policy", "validate", *bench]):
                    with self.subTest(uid=uid, words=words):
                        done = subprocess.run(hidden + ["sh"] + as_user(uid) + [BINARY] + words + ["--output", "json"][:2 * (words[0] == "policy")],
                                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60)
                        self.assertEqual((json.loads(done.stdout)["error"] or {}).get("step"), "proc", done.stdout)

        def test_without_devices(self):
            self.holds(MOUNTED + ['mount -t tmpfs tmpfs /dev && exec "$@"'], ())

        def test_with_a_read_only_root(self):
            self.holds(MOUNTED + ['mount -o remount,bind,ro / && exec "$@"'], ())


if __name__ == "__main__":
    main()
