"""safe-exec on hosts that refuse what it is made of: either the command runs, nothing is open to it and the loss is named, or
it is not started and the error has a name, a step and a hint. Never less, never a hang."""
import errno
import json
import os
import subprocess
import unittest

import outer
import world
from harness import BINARY, main
from probe_test import NAMESPACES, NOTHING_TO_KEEP, PROBE, ROOT, UNCOUNTED, UNMEDIATED

MOUNTS = ("mount", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "mount_setattr", "chroot")
# What is lost where a call is refused; None: the command is not started, and the step that says so.
LOST = {"namespaces": set(NAMESPACES), "landlock_create_ruleset": {"landlock"}, "landlock_add_rule": {"landlock"},
        "landlock_restrict_self": {"landlock"}, "unshare": set(), "clone3": set(), "setns": set(), "close_range": set(),
        "pidfd_open": set(), "pidfd_send_signal": set()}
LOST.update({name: {"mount_namespace"} for name in MOUNTS})
REFUSED = {"seccomp": "seccomp", "no_new_privs": "no_new_privs", "execveat": "exec", "prctl": "parent_check", "openat2": "resolve", "faccessat2": "resolve", "fgetxattr": "resolve", "wait4": "command_fork",
           "ppoll": "parent_check", "poll": "poll"}


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
                    known = set(UNMEDIATED) if "mount_namespace" in lost else set()
                    if name == "namespaces":
                        known |= UNCOUNTED if ROOT else NOTHING_TO_KEEP
                    self.assertEqual(found - known, set())
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
                    self.assertIn(name + "(2)" if step == "resolve" else "", result["error"]["hint"] or self.fail(result))
                    self.assertEqual(result["error"]["code"], "sandbox_unavailable")
                    doctor = subprocess.run([BINARY, "doctor"], stdout=subprocess.PIPE, preexec_fn=lambda: outer.refuse({name: error}), timeout=60,
                                            env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))  # who looks for leaks waits for a thread by wait4
                    self.assertEqual(doctor.returncode, 1, (name, doctor.stdout))
                    self.assertIn(name + "(2)" if step == "resolve" else "", doctor.stdout.decode())

    def test_a_call_that_only_says_that_it_was_done_is_not_believed(self):
        if not ROOT:  # has nothing to lose, and cannot be kept from what a filter takes
            return
        for name, step in (("capset", "capabilities"), ("no_new_privs", "no_new_privs")):
            with self.subTest(name=name):
                attempts, result = world.in_safe_exec(BINARY, self.world, lambda: outer.refuse({name: 0}))
                self.assertEqual((attempts, result["error"] and result["error"]["step"]), ({}, step), result["sandbox"])
                self.assertEqual(result["error"]["code"], "sandbox_unavailable")

    def test_what_could_not_be_ended_is_not_started(self):
        for name, layers, step in (("subreaper", NAMESPACES, "subreaper"), ("kill", NAMESPACES, "subreaper"), ("faccessat", NAMESPACES, "subreaper"),
                                   ("death signal", {}, "parent_check")):
            with self.subTest(name=name):
                attempts, result = world.in_safe_exec(BINARY, self.world, lambda: outer.refuse({name: errno.EPERM}), layers=layers)
                self.assertEqual((attempts, result["error"] and result["error"]["step"]), ({}, step), result["sandbox"])
                self.assertEqual(result["error"]["code"], "sandbox_unavailable")

    def test_what_a_kernel_does_not_mend_is_said(self):
        _, result = world.in_safe_exec(BINARY, self.world, lambda: outer.refuse({"errata": errno.EOPNOTSUPP}), write=["${start_dir}"])
        self.assertIn("erratum 3 is not fixed", result["sandbox"]["layers"]["landlock"].get("detail", ""), result["sandbox"])

    def test_what_may_be_a_fault_of_the_moment_takes_no_layer_away(self):
        refusals = {("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"): (errno.ENOMEM, errno.EMFILE, errno.ENFILE),
                    ("open_tree", "mkdirat", "symlinkat", "mknodat", "fsconfig"): (errno.ENOMEM, errno.EMFILE),
                    ("open_tree", "mkdirat", "symlinkat", "mknodat"): (errno.EACCES, errno.EINVAL, errno.EBUSY, errno.ENOSPC)}
        for names, errors in refusals.items():
            for name in names:
                for error in errors:
                    with self.subTest(name=name, error=errno.errorcode[error]):
                        attempts, result = world.in_safe_exec(BINARY, self.world, lambda: outer.refuse({name: error}))
                        self.assertEqual((list(attempts), result["outcome"]["type"]), ([], "failed"), result["sandbox"] or result["error"])
                        self.assertEqual(result["error"]["errno"], error, result)

    def test_a_missing_landlock_is_known_before_anything_is_started(self):
        log = os.path.join(self.world.dir, "calls")
        argv = ["strace", "-qq", "-o", log, "-e", "trace=clone,clone3", BINARY, "run", "--policy", self.world.policy(), "--", "probe"]
        for refusals in ({}, {"landlock_create_ruleset": errno.ENOSYS}):
            subprocess.run(argv + self.world.words(), cwd=self.world.ws, env=world.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           preexec_fn=lambda: outer.refuse(refusals), timeout=60)
            with open(log) as f:
                started = [line for line in f if "CLONE_PIDFD" in line and "CLONE_VM" in line]
            self.assertEqual(len(started), 1, (refusals, started))

    def test_neither_landlock_nor_mounts_is_refused_and_doctor_agrees(self):
        refusals = {"landlock_create_ruleset": errno.ENOSYS, "mount": errno.EPERM}
        attempts, result = world.in_safe_exec(BINARY, self.world, lambda: outer.refuse(refusals))
        self.assertEqual((attempts, result["error"]["code"]), ({}, "sandbox_unavailable"))
        doctor = subprocess.run([BINARY, "doctor", "--output", "json"], stdout=subprocess.PIPE, preexec_fn=lambda: outer.refuse(refusals))
        self.assertEqual((doctor.returncode, json.loads(doctor.stdout)["healthy"]), (1, False))

    def test_doctor_shows_what_is_left_where_the_default_is_refused(self):
        for output in ("json", "text"):
            doctor = subprocess.run([BINARY, "doctor", "--output", output], stdout=subprocess.PIPE, text=True,
                                    preexec_fn=lambda: outer.refuse({"seccomp": errno.ENOSYS}))
            self.assertEqual(doctor.returncode, 1, doctor.stdout)
            if output == "json":
                said = json.loads(doctor.stdout)
                self.assertEqual((said["healthy"], said["error"]["step"]), (False, "seccomp"), said)
                lost = [name for name, layer in said["layers"].items() if layer["status"] == "not_enforced"]
                self.assertEqual(lost, ["seccomp"], said)
                self.assertTrue(said["open"], said)
            else:
                self.assertRegex(doctor.stdout, r"(?s)sandbox_unavailable.*what would be left.*seccomp  .*not_enforced.*unhealthy")

    def write_new(self, refusals):
        """Two files that are made for the command, which writes both."""
        policy = os.path.join(self.world.dir, "create.json")
        slot = {"name": "f", "type": {"path": "create", "within": ["${start_dir}"]}, "count": [1, 3]}
        with open(policy, "w") as f:
            json.dump({"version": 1, "name": "create", "commands": {"tee": {"path": "/usr/bin/tee", "operands": [slot], "stdin": "text"}}}, f)
        request = json.dumps({"argv": ["tee", "new", "./new", "other"], "stdin": "text"}).encode()
        run = subprocess.run([BINARY, "run", "--policy", policy, "--request", "-"], cwd=self.world.ws, env=world.environment(), input=request,
                             stdout=subprocess.PIPE, preexec_fn=lambda: outer.refuse(refusals), timeout=60)
        self.assertEqual(json.loads(run.stdout)["outcome"], {"type": "exited", "exit_code": 0}, run.stdout)
        for name in ("new", "other"):
            path = os.path.join(self.world.ws, name)
            with open(path) as f:
                self.assertEqual(f.read(), "text", refusals)
            os.unlink(path)

    def test_an_output_file_is_made_by_its_name_where_that_is_the_only_way(self):
        for refusals in ({}, {"linkat": errno.ENOSYS}, {"linkat": errno.EPERM}):
            self.write_new(refusals)

    def test_an_output_file_stays_for_the_next_attempt_to_start(self):
        for name in ("mount", "move_mount", "landlock_restrict_self", "landlock_add_rule"):
            self.write_new({name: errno.EPERM})

    def doctor(self, before):
        done = subprocess.run([*before, BINARY, "doctor", "--output", "json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60)
        return json.loads(done.stdout)

    def test_doctor_names_the_kind_of_namespace_of_which_there_may_be_none(self):
        if not ROOT:  # in a user namespace of an ordinary user root's files are nobody's
            return
        for kind, layer in (("pid", "pid_namespace"), ("mnt", "mount_namespace"), ("ipc", "ipc_namespace"), ("uts", "uts_namespace")):
            sysctl = "max_%s_namespaces" % kind
            doctor = self.doctor(["unshare", "--user", "--map-root-user", "sh", "-c", "echo 0 > /proc/sys/user/%s && exec \"$@\"" % sysctl, "sh"])
            found = {one["who"] for one in doctor["in_the_way"] if one["layer"] == layer}
            self.assertEqual(found, {"sysctl user.%s is 0" % sysctl}, doctor)

    def test_doctor_says_how_proc_is_to_show_processes(self):
        if not ROOT:
            return
        hidden = "umount -l /proc && mount -t proc -o hidepid=2 proc /proc && exec setpriv --reuid 12345 --regid 12345 --clear-groups \"$@\""
        doctor = self.doctor(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", hidden, "sh"])
        remedies = [one["remedy"] for one in doctor["in_the_way"] if one["layer"] == "limits"]
        self.assertEqual(["hidepid" in remedy and "user namespaces" not in remedy for remedy in remedies], [True], doctor)

    def run_true(self, before, layers, refusals=None):
        """The result of true(1) under the limits that are default, after other words of the command line."""
        policy = os.path.join(self.world.dir, "true.json")
        with open(policy, "w") as f:
            json.dump({"version": 1, "name": "true", "commands": {"true": {"path": "/usr/bin/true", "sandbox": {"layers": layers},
                                                                           "limits": {"memory_mib": 64}}}}, f)
        done = subprocess.run(before + [BINARY, "run", "--policy", policy, "--", "true"], cwd=self.world.ws, env=world.environment(),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=lambda: outer.refuse(refusals or {}), timeout=60)
        return json.loads(done.stdout)

    def test_where_proc_does_not_show_the_tree_nothing_is_counted_and_the_result_says_so(self):
        hide = "umount -l /proc && mount -t proc -o hidepid=%s proc /proc && exec setpriv --reuid 12345 --regid 12345 --clear-groups \"$@\""
        situations = [([], {"access": errno.EPERM})]
        if ROOT:
            situations += [(["unshare", "--mount", "sh", "-c", hide % mode, "sh"], {}) for mode in ("1", "2", "4")]
            situations.append((["unshare", "--pid", "--fork"], {}))  # its /proc is that of the namespace above
        for before, refusals in situations:
            with self.subTest(before=before, refusals=refusals):
                result = self.run_true(before, {}, refusals)
                self.assertEqual(result["outcome"], {"type": "exited", "exit_code": 0}, result)
                self.assertEqual([one["layer"] for one in result["sandbox"]["degraded"]], ["limits"], result)
                self.assertIn("not for all together", result["sandbox"]["degraded"][0]["reason"])
                result = self.run_true(before, {"limits": "require"}, refusals)
                self.assertEqual(result["error"]["code"], "sandbox_unavailable", result)
        result = self.run_true([], {"limits": "require"})
        self.assertTrue(result["success"] or "cgroup" in result["error"]["hint"], result)

    def test_processes_that_cannot_be_limited_are_told_or_refused(self):
        if not ROOT:  # whom the kernel counts by himself
            return
        fixed = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec \"$@\""
        before = ["unshare", "--mount", "--propagation", "private", "sh", "-c", fixed, "sh"]
        result = self.run_true(before, {})
        self.assertEqual((result["success"], result["sandbox"]["layers"]["limits"]["status"]), (True, "partial"), result)
        result = self.run_true(before, {"limits": "require"})
        self.assertEqual((result["error"] or {}).get("code"), "sandbox_unavailable", result)

    def test_a_namespace_that_is_required_and_cannot_be_had_without_another_is_an_error(self):
        ordinary = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"] if ROOT else []
        result = self.run_true(ordinary, {"user_namespace": "off", "pid_namespace": "require"})
        self.assertEqual((result["error"] or {}).get("code"), "sandbox_unavailable", result)
        self.assertIn("pid_namespace is required", result["error"]["message"])
        self.assertIn("user namespace, which the policy switches off", result["error"]["message"])

    def test_the_layer_that_the_policy_requires_is_named_where_the_host_refuses_it(self):
        for layer in NAMESPACES if not ROOT else [name for name in NAMESPACES if name != "user_namespace"]:
            with self.subTest(layer=layer):
                error = self.run_true([], {layer: "require"}, outer.NO_NAMESPACES)["error"] or {}
                self.assertIn(layer + " is required by the policy", error.get("message", ""))
                self.assertIn("prefer", error["hint"])
                self.assertNotIn("Landlock", error["hint"])
        error = self.run_true([], {"landlock": "require"}, {"landlock_create_ruleset": errno.ENOSYS})["error"] or {}
        self.assertIn("landlock is required by the policy", error.get("message", ""))

    def test_a_layer_that_the_policy_switches_off_is_named_where_the_other_is_missing(self):
        for layer, refusals in (("landlock", outer.NO_NAMESPACES), ("mount_namespace", {"landlock_create_ruleset": errno.ENOSYS})):
            error = self.run_true([], {layer: "off"}, refusals)["error"] or {}
            self.assertIn("the policy switches %s off" % layer, error.get("message", ""))
            self.assertIn("let the policy not switch " + layer, error["hint"])

    def test_who_would_be_swept_by_another_namespace_s_numbers_is_not_started(self):
        if ROOT:
            result = self.run_true(["unshare", "--pid", "--fork"], {name: "off" for name in NAMESPACES})
            self.assertEqual((result["error"]["code"], result["error"]["step"]), ("sandbox_unavailable", "subreaper"), result)
            self.assertIn("/proc", result["error"]["hint"])

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
        self.assertLessEqual({name for name, (is_open, _) in attempts.items() if is_open}, UNMEDIATED | UNCOUNTED)


if __name__ == "__main__":
    main()
