"""The probe's hostile attempts: with the default grants none may be open, whoever calls and whatever the host refuses, but
those that are listed here as known to be."""
import os
import unittest

import outer
import world
from harness import BINARY, BUILD, main

PROBE = os.path.join(BUILD, "tests", "probe")
NAMESPACES = {layer: "off" for layer in ("user_namespace", "pid_namespace", "mount_namespace", "ipc_namespace", "uts_namespace")}
# Code of its own in memory of its own: what just-in-time compilers do. It gains nothing that the filter does not refuse.
GENERATED_CODE = {"map writable and executable memory", "make written memory executable", "map a memory file executable"}
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

    def check(self, known, before=None, **sandbox):
        attempts, result = world.in_safe_exec(BINARY, self.make(), before, **sandbox)
        self.assertGreaterEqual(len(attempts), 119, result)
        self.assertEqual({name for name, (is_open, _) in attempts.items() if is_open}, known)
        return result

    def test_nothing_is_open_in_the_full_mode(self):
        self.check(GENERATED_CODE)

    def test_nothing_is_open_without_namespaces(self):
        result = self.check(GENERATED_CODE, layers=NAMESPACES)
        if os.getuid() == 0:  # whom RLIMIT_NPROC does not bind
            self.assertEqual(result["sandbox"]["layers"]["limits"]["status"], "partial")

    def test_nothing_is_open_where_namespaces_are_refused(self):
        self.check(GENERATED_CODE, lambda: outer.refuse(outer.NO_NAMESPACES))

    def test_nothing_is_open_without_landlock(self):
        self.check(GENERATED_CODE, layers={"landlock": "off"})

    def test_the_probe_finds_what_is_open(self):
        attempts = world.in_throw_away_namespaces(self.make(OTHER if os.getuid() == 0 else None), become_ordinary)
        found = {name for name, (is_open, _) in attempts.items() if is_open}
        for name in ("read a secret beside the workspace", "chmod", "execute a shell", "unshare user", "connect by TCP", "signal the victim",
                     "a Unix datagram by path from a pair", "set a lease on the operand", "watch a directory of others", "map writable and executable memory"):
            self.assertIn(name, found)
        self.assertGreater(len(found), 100)


if __name__ == "__main__":
    main()
