"""The probe's hostile attempts: with the default grants none may be open, whoever calls and whatever the host refuses, but
those that are listed here with the reason why they are no harm."""
import errno
import os
import unittest

import outer
import world
from harness import BINARY, BUILD, main

PROBE = os.path.join(BUILD, "tests", "probe")
NAMESPACES = {layer: "off" for layer in ("user_namespace", "pid_namespace", "mount_namespace", "ipc_namespace", "uts_namespace")}
# Code of its own in memory of its own: what just-in-time compilers do, and the profile "jit" is for. It gains nothing that the
# filter does not refuse.
GENERATED_CODE = {"map writable and executable memory", "make written memory executable", "map a memory file executable",
                  "a memory file that stays", "an executable memory file", "let memory be executable again",
                  "make a second view of shared memory executable", "make a second view of executable memory writable",
                  "map shared zeroes as code", "make its own code writable", "make memory executable by key",
                  "make shared memory executable", "make the heap executable", "make the stack executable"}
# Landlock mediates neither stat(2) nor mmap(2), and a filter sees no paths: without a mount namespace names can be guessed
# (never contents), and a file that may be read may be mapped as code.
UNMEDIATED = {"learn that a secret exists", "see the victim in /proc", "map the operand as code"}
# Where there is no capability to lock the flag with, there is none to keep either.
NOTHING_TO_KEEP = {"keep capabilities"}
# Without a pid namespace nothing counts root's processes (getrlimit(2)); the layer "limits" says so.
UNCOUNTED = {"fork a thousand processes", "start a thousand threads"}
# No network namespace is made: the filter refuses sockets at a tenth of its cost. So the host's sockets are listed there.
OWN_PROC = {"read the network's sockets", "read /proc/self/mountinfo"}
# What ps(1) and top(1) are granted /proc for. Of a descriptor only its number is seen.
LISTED_PROCESSES = {"see the victim in /proc", "read the victim's command line", "read the victim's mounts", "list the victim's descriptors",
                    "list the reaper's descriptors"} | OWN_PROC
# Without a mount namespace nothing covers the kernel's part of /proc. Addresses in it are zero without capabilities.
UNCOVERED = {"read /proc/cmdline", "read the kernel's symbols", "read the list of keys", "read the kernel's memory"}
ROOT = os.getuid() == 0
OTHER = 12345  # an ordinary user, where root calls


def become_ordinary():
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(OTHER, OTHER, OTHER)
        os.setresuid(OTHER, OTHER, OTHER)


class Probe(unittest.TestCase):
    def make(self, owner=None):
        made = world.World(PROBE, owner)
        self.addCleanup(made.close)
        return made

    def check(self, known, before=None, user=None, **sandbox):
        """user: an ordinary one, where root calls."""
        made = self.make(user)
        attempts, result = world.in_safe_exec(BINARY, made, before or (become_ordinary if user else None), **sandbox)
        self.assertGreaterEqual(len(attempts), 380, result)
        found = {name for name, (is_open, _) in attempts.items() if is_open}
        self.assertEqual(found - known, set())
        return found, result

    def each_user(self, check):
        for user in [None] + ([OTHER] if ROOT else []):
            with self.subTest(user=user or "the caller"):
                check(user)

    def without_namespaces(self, user):
        return UNMEDIATED | (UNCOUNTED if ROOT and not user else NOTHING_TO_KEEP)

    def test_nothing_is_open_in_the_full_mode(self):
        self.each_user(lambda user: self.check(set(), user=user))

    def test_nothing_is_open_without_namespaces(self):
        def check(user):
            found, result = self.check(self.without_namespaces(user), user=user, layers=NAMESPACES)
            self.assertLessEqual(UNMEDIATED, found)
            if ROOT and not user:
                self.assertEqual(result["sandbox"]["layers"]["limits"]["status"], "partial")
        self.each_user(check)

    def test_nothing_is_open_where_namespaces_are_refused(self):
        self.check(self.without_namespaces(None), lambda: outer.refuse(outer.NO_NAMESPACES))

    def test_nothing_is_open_without_landlock(self):
        self.each_user(lambda user: self.check(set(), user=user, layers={"landlock": "off"}))

    def test_code_is_generated_in_the_profile_jit_only_and_the_result_says_so(self):
        found, result = self.check(GENERATED_CODE, syscalls="jit")
        self.assertEqual(found, GENERATED_CODE)
        self.assertEqual(result["sandbox"]["layers"]["seccomp"], {"status": "enforced", "detail": "jit: generated code is allowed"})
        self.assertEqual(result["sandbox"]["degraded"], [])

    def test_no_code_is_generated_where_the_kernel_has_no_rule_against_it(self):
        for error in (errno.EINVAL, errno.EPERM):
            self.check(set(), lambda: outer.refuse({"mdwe": error}))

    def test_proc_own_shows_the_commands_processes_and_nothing_more(self):
        self.each_user(lambda user: self.check(OWN_PROC, user=user, proc="own"))

    def test_proc_own_is_not_there_without_a_pid_namespace(self):
        found, _ = self.check(self.without_namespaces(None), layers=NAMESPACES, proc="own")
        self.assertEqual(found & OWN_PROC, set())

    def test_proc_all_shows_names_and_no_contents_of_other_processes(self):
        self.each_user(lambda user: self.check(LISTED_PROCESSES, user=user, proc="all"))
        self.each_user(lambda user: self.check(LISTED_PROCESSES | UNCOVERED | self.without_namespaces(user), user=user, proc="all", layers=NAMESPACES))

    def test_nothing_is_open_where_nothing_else_bounds_signals(self):
        known = (UNCOUNTED | {"see the victim in /proc"}) if ROOT else NOTHING_TO_KEEP
        _, result = self.check(known, layers={"landlock": "off", "pid_namespace": "off"})
        self.assertIn("signals to other processes are refused", result["sandbox"]["layers"]["pid_namespace"]["detail"])

    def test_the_probe_finds_what_is_open(self):
        attempts = world.in_throw_away_namespaces(self.make(OTHER if os.getuid() == 0 else None), become_ordinary)
        found = {name for name, (is_open, _) in attempts.items() if is_open}
        for name in ("read a secret beside the workspace", "chmod", "execute a shell", "unshare user", "connect by TCP", "signal the victim",
                     "a Unix datagram by path from a pair", "set a lease on the operand", "watch a directory of others", "map writable and executable memory"):
            self.assertIn(name, found)
        self.assertGreater(len(attempts), 380)  # none of them ends the probe
        self.assertGreater(len(found), 200)


if __name__ == "__main__":
    main()
