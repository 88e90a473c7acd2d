"""Trees that do not want to end: when safe-exec is killed, times out or is cheated, nothing of them is left. As root all of
it happens inside a small process namespace of the test's own."""
import errno
import json
import os
import random
import signal
import sys
import time

import outer
from harness import SANITIZED, SandboxTest, SHELL, main
from probe_test import NAMESPACES, become_ordinary

# Doubly forked, in sessions of their own, deaf, stopped, holding the pipes, with files in /tmp and in memory.
STUBBORN = """trap '' TERM INT HUP; n=MARK; echo > /tmp/stray
for i in 1 2 3; do ( trap '' TERM; ( while :; do sleep 5; done ) & ) & done
/usr/bin/setsid /bin/dash -c ": $n; trap '' TERM; while :; do sleep 5; done" &
/bin/dash -c ": $n; kill -STOP \\$\\$; sleep 50" &
while :; do sleep 5; done"""
BOMB = ": MARK; b() { b & b; }; b & while :; do b & b; done"
SCATTERING_BOMB = ": MARK; while :; do /usr/bin/setsid /bin/dash -c ': MARK; while :; do /usr/bin/setsid /usr/bin/sleep 9 & done' & done"
# Each of them leaves orphans that end by themselves: whoever reaps is never idle.
ORPHANS = ": MARK; for i in 1 2 3 4 5 6; do /usr/bin/setsid /bin/dash -c ': MARK; while :; do ( : & ); done' & done; while :; do sleep 5; done"
EXEC = ["/usr/bin/sleep", "/usr/bin/setsid", "/usr/bin/dash"]
RUNS = 100 if SANITIZED else 500  # sanitizers start slowly; the 500 are for the program that users have
SLACK_MS = 1500  # a loaded machine; a quiet one needs less than 50


def contain():
    """Starts the test again as the first process of a namespace in which there is no room for a bomb."""
    if os.getuid() == 0 and os.getpid() != 1:
        os.execv("/usr/bin/unshare", ["unshare", "-mpf", "--kill-child", "--mount-proc", sys.executable, "-B"] + sys.argv)
    if os.getpid() == 1:
        with open("/proc/sys/kernel/pid_max", "w") as f:
            f.write("4000")


def survivors(marker):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % name, "rb") as f:
                if marker.encode() in f.read():
                    found.append(int(name))
        except OSError:
            pass
    return found


def host_objects():
    """What a run could leave behind beside processes: mounts, System V objects, POSIX shared memory, temporary files."""
    texts = []
    for name in ("/proc/self/mountinfo", "/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg"):
        with open(name) as f:
            texts.append([line.split()[:2] for line in f])
    return texts + [sorted(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else [], os.path.exists("/tmp/stray")]


class Death(SandboxTest):
    def setUp(self):
        super().setUp()
        os.chmod(self.dir, 0o755)
        self.marker = "stubborn-%d" % os.getpid()

    def test_nobody_joins_the_process_group_of_the_reaper(self):
        """Signals to the own group would reach it then, and a lower priority."""
        script = ("import os, signal, sys, time\n"
                  "if os.fork() == 0:\n    os.setsid()\n    os.fork() and os._exit(0)\n    os.execv('/usr/bin/sleep', ['MARK', '77'])\n"
                  "time.sleep(0.2)\n"
                  "for reaper in {os.getsid(0), os.getppid()}:\n"
                  "    for pid in (0, os.getpid()):\n"
                  "        try: os.setpgid(pid, reaper)\n"
                  "        except PermissionError: print('refused')\n"
                  "child = os.fork() or time.sleep(5)\nos.setpgid(child, child)\n"  # as shells do
                  "sys.stdout.flush()\nos.kill(0, signal.SIGKILL)\n")
        node = dict(SHELL, path="/usr/bin/python3", timeout_ms=9000)
        for layers in ({}, NAMESPACES, {"landlock": "off", "pid_namespace": "off"}):
            with self.subTest(layers=layers):
                node["sandbox"] = {"read": ["/usr"], "exec": EXEC, "layers": layers}
                _, result = self.run_json(self.policy({"python3": node}), ["python3", "-c", script.replace("MARK", self.marker)])
                self.assertEqual((result["outcome"]["type"], result["signal"]), ("signaled", "SIGKILL"), result)
                self.assertEqual(set(result["stdout"].split()), {"refused"}, result)
                self.assertTrue(self.eventually(lambda: survivors(self.marker) == []))

    def eventually(self, true, seconds=5):
        deadline = time.monotonic() + seconds
        while not (held := true()) and time.monotonic() < deadline:
            time.sleep(0.005)
        return held

    def gone(self, seconds=5):
        left = not self.eventually(lambda: survivors(self.marker) == [], seconds)
        while os.getpid() == 1 and self.reap_orphan():
            pass
        return not left

    def reap_orphan(self):
        try:
            return os.waitpid(-1, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return False

    def start(self, script, layers, before, timeout_ms=60000):
        processes = 200 if script == STUBBORN else 40  # without a namespace, of all that the user runs; a bomb takes what it gets
        node = dict(SHELL, sandbox={"exec": EXEC, "tmp": "private", "layers": layers}, timeout_ms=timeout_ms, limits={"processes": processes})
        policy = self.policy({"dash": node})
        return self.popen(["run", "--policy", policy, "--", "dash", "-c", script.replace("MARK", self.marker)], preexec_fn=before)

    def test_a_time_limit_is_kept_where_no_pidfd_can_be_used(self):
        for layers in ({}, NAMESPACES):
            for error in (errno.ENOSYS, errno.EPERM):
                before = lambda: outer.refuse({"pidfd_send_signal": error, "waitid": error})
                process = self.start(STUBBORN, layers, before, timeout_ms=300)
                result = json.loads(process.communicate(timeout=60)[0])
                self.assertEqual(result["outcome"]["type"], "timed_out", result)
                self.assertLess(result["duration_ms"], 300 + SLACK_MS)
                self.assertTrue(self.gone())

    def test_a_sweep_that_does_not_end_is_told_as_that(self):
        process = self.start(STUBBORN, NAMESPACES, None, timeout_ms=500)
        time.sleep(0.3)
        with open("/proc/%d/task/%d/children" % (process.pid, process.pid)) as f:
            reaper = int(f.read())
        os.kill(reaper, signal.SIGSTOP)
        result = json.loads(process.communicate(timeout=20)[0])
        self.assertLess(result["duration_ms"], 500 + 2080 + SLACK_MS)
        self.assertEqual(result["outcome"]["type"], "timed_out")
        status = result["sandbox"]["layers"]["tree_kill"]
        self.assertEqual((status["status"], "some may still run" in status["detail"]), ("partial", True), status)
        os.kill(reaper, signal.SIGCONT)
        self.assertTrue(self.gone())  # it goes on without a supervisor

    def kill_at_random_moments(self, layers):
        before = host_objects()
        modes = [(script, who) for script in (STUBBORN, BOMB, SCATTERING_BOMB) for who in {os.getuid() == 0, False}]
        moments = random.Random(4711)
        for script, as_root in modes:
            who = None if as_root else become_ordinary
            met, window = 0, 5.0  # seconds; the first run measures how long the tree needs to stand on this machine
            for i in range(RUNS // 2 // len(modes) + 1):
                started = time.monotonic()
                process = self.start(script, layers, who)
                if i == 0:
                    while len(survivors(self.marker)) <= 3 and time.monotonic() < started + window:
                        time.sleep(0.002)
                    window = min(1.0, max(0.03, 2 * (time.monotonic() - started)))
                else:
                    time.sleep(window * moments.random())
                met += len(survivors(self.marker)) > 2  # more than safe-exec and its reaper
                process.kill()
                self.assertTrue(self.gone(), (script, as_root, i, survivors(self.marker)[:9]))
                process.communicate()
            if script == STUBBORN:  # a bomb may have been ended by its limit before the moment came
                self.assertGreater(met, i // 10)
        self.assertEqual(host_objects(), before)
        self.assertEqual(os.listdir(self.ws), [])

    def test_no_output_file_stays_that_nobody_wrote(self):
        """The command is slow to write what safe-exec has created for it, and safe-exec is killed."""
        moments = random.Random(4712)
        os.chmod(self.ws, 0o777)
        for layers in ({}, NAMESPACES):
            for who in {become_ordinary, None if os.getuid() == 0 else become_ordinary}:
                node = dict(SHELL, sandbox={"layers": layers, "exec": EXEC}, operands=[{"name": "f", "type": {"path": "create", "within": ["${start_dir}"]}}])
                policy = self.policy({"dash": node})
                for i in range(RUNS // 10):
                    process = self.popen(["run", "--policy", policy, "--", "dash", "-c", "sleep 9", "new"], preexec_fn=who)
                    if i % 2 == 0:  # the file is there for certain; else at any moment, mostly before
                        self.assertTrue(self.eventually(lambda: os.listdir(self.ws) != []))
                    time.sleep(0.02 * moments.random())
                    process.kill()
                    self.assertTrue(self.eventually(lambda: os.listdir(self.ws) == []), (layers, who, i))
                    process.communicate()

    def test_no_survivor_of_a_kill_at_any_moment(self):
        self.kill_at_random_moments({})

    def test_no_survivor_without_a_pid_namespace(self):
        self.kill_at_random_moments(NAMESPACES)

    def test_a_bomb_that_scatters_is_gone_at_the_timeout(self):
        for layers in ({}, NAMESPACES):
            for script in (STUBBORN, BOMB, SCATTERING_BOMB, ORPHANS):
                process = self.start(script, layers, None, timeout_ms=300)
                result = json.loads(process.communicate(timeout=60)[0])
                self.assertIn(result["outcome"]["type"], ("timed_out", "limit_exceeded", "exited"), result)
                self.assertLess(result["duration_ms"], 300 + 2 * SLACK_MS)
                self.assertTrue(self.gone(0.5), survivors(self.marker)[:9])


class Crowd(SandboxTest):
    def run_perl(self, script, layers, timeout_ms=60000, **popen):
        node = {"path": "/usr/bin/perl", "timeout_ms": timeout_ms, "limits": {"processes": 2000, "memory_mib": 4096}, "end_of_options": False,
                "options": {"-e": {"value": {"text": [0, 4000]}, "spelling": "separate"}}, "sandbox": {"layers": layers}}
        os.chmod(self.dir, 0o755)
        return self.run_json(self.policy({"perl": node}), ["perl", "-e", script], **popen)

    def test_a_thousand_processes_end_with_the_timeout(self):
        marker = "crowd-%d" % os.getpid()
        script = "$0 = '%s'; for (1 .. 1000) { $p = fork; $p or do { $SIG{TERM} = 'IGNORE'; sleep 90; exit } } print 'all'; $| = 1; print ' there'; sleep 90" % marker
        for layers in ({}, NAMESPACES):
            for before in {None, become_ordinary}:
                _, result = self.run_perl(script, layers, 6000, preexec_fn=before)
                self.assertEqual(result["outcome"], {"type": "timed_out", "limit": "wall", "limit_ms": 6000}, result)
                self.assertEqual(result["stdout"], "all there")
                self.assertLess(result["duration_ms"], 6000 + SLACK_MS)
                self.assertEqual(survivors(marker), [])  # safe-exec has ended by now, which may have answered earlier
                late = "all were killed" in result["sandbox"]["layers"]["tree_kill"].get("detail", "")
                self.assertTrue(late or result["usage"], result)

    def test_a_thousand_orphans_are_reaped_while_the_command_runs(self):
        """Beyond the limit of processes, were they not. It is counted with what else the user runs, and who reaps has to get its turn."""
        script = "for (1 .. 1000) { defined($p = fork) or die; $p or do { fork or exit; exit }; waitpid $p, 0 } print 'all'; exit 3"
        for layers in ({}, NAMESPACES):
            for before in {None, become_ordinary}:
                node = {"path": "/usr/bin/perl", "limits": {"processes": 500}, "end_of_options": False, "sandbox": {"layers": layers},
                        "options": {"-e": {"value": {"text": [0, 4000]}, "spelling": "separate"}}}
                os.chmod(self.dir, 0o755)
                _, result = self.run_json(self.policy({"perl": node}), ["perl", "-e", script], preexec_fn=before)
                self.assertEqual((result["outcome"], result["stdout"]), ({"type": "exited", "exit_code": 3}, "all"), result)

    def test_a_signal_that_the_command_sends_itself_ends_it(self):
        """The first process of a namespace would ignore it (pid_namespaces(7)); the command is not the first."""
        for number in (signal.SIGABRT, signal.SIGTERM, signal.SIGSEGV, signal.SIGKILL):
            for layers in ({}, NAMESPACES):
                status, result = self.run_perl("kill %d, $$; sleep 9" % number, layers)
                self.assertEqual((status, result["outcome"]["type"], result["signal"]), (128 + number, "signaled", number.name), result)


if __name__ == "__main__":
    contain()
    main()
