"""What safe-exec does with its own descriptors: enough for its grants, none too many for the command, and a reader that may go."""
import errno
import json
import os
import resource
import signal
import time

import outer
from harness import BINARY, SANITIZED, SandboxTest, SHELL, main
from probe_test import NAMESPACES


def few():
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def running(marker):
    found = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/cmdline" % name, "rb") as f:
                    found += marker.encode() in f.read()
            except OSError:
                pass
    return found


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(one) for one in f.read().split()]


def stopped_below(pid):
    """The reaper of safe-exec pid, and its command once that has stopped itself (a caller of SCHED_IDLE may wait long)."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for reaper in children(pid):
            for command in children(reaper):
                with open("/proc/%d/stat" % command) as f:
                    if f.read().rpartition(")")[2].split()[0] == "T":
                        return reaper, command
        time.sleep(0.02)
    raise AssertionError("no command of %d stopped itself" % pid)


class Supervisor(SandboxTest):
    def test_processor_time_that_the_caller_is_left_with_himself_is_told_as_that(self):
        for cpu_s in (0, 9):
            policy = self.policy({"dash": dict(SHELL, limits={"cpu_s": cpu_s})})
            status, out, err = self.call(["-c", 'ulimit -t 2; exec "$0" "$@"', BINARY, "run", "--policy", policy, "--", "dash", "-c", "while :; do :; done"], executable="/bin/dash")
            self.assertEqual(json.loads(out)["outcome"], {"type": "timed_out", "limit": "cpu", "limit_ms": 1000}, (out, err))

    def test_the_soft_limit_of_descriptors_does_not_bound_the_grants(self):
        self.write("ws/.env", "SECRET=1\n")
        for i in range(600):
            self.write("ws/f%d" % i, "plain\n")
        node = dict(SHELL, sandbox={"read": ["${start_dir}"]})
        policy = self.policy({"dash": node}, defaults={"deny_paths": ["**/.env"]})
        script = "ulimit -Sn; ulimit -Hn; for f in f0 f599 .env; do read line < $f && echo $line; done"
        _, result = self.run_json(policy, ["dash", "-c", script], preexec_fn=few)
        self.assertEqual(result["stdout"].split(), ["256", "256", "plain", "plain"], result)

    def test_the_command_does_not_inherit_the_raised_limit(self):
        _, result = self.run_shell("ulimit -Sn", node={"sandbox": {"layers": {"limits": "off"}}}, preexec_fn=few)
        self.assertLessEqual(int(result["stdout"]), 1024, result)

    def test_the_command_is_scheduled_as_the_caller_but_never_in_real_time_and_who_sweeps_no_later(self):
        real_time = [(os.SCHED_FIFO, 20), (os.SCHED_RR, 20)] if os.getuid() == 0 else []  # refused to ordinary users
        node = dict(SHELL, sandbox={"layers": {"pid_namespace": "off"}}, timeout_ms=60000)
        policy = self.policy({"dash": node})
        for kind, priority in [(os.SCHED_OTHER, 0), (os.SCHED_BATCH, 0), (os.SCHED_IDLE, 0)] + real_time:
            before = lambda: os.sched_setscheduler(0, kind, os.sched_param(priority))
            process = self.popen(["run", "--policy", policy, "--", "dash", "-c", "kill -STOP $$"], preexec_fn=before)
            reaper, command = stopped_below(process.pid)
            expected = (os.SCHED_OTHER, 0) if priority > 0 else (kind, 0)
            self.assertEqual((os.sched_getscheduler(command), os.sched_getparam(command).sched_priority), expected)
            self.assertGreaterEqual(os.sched_getparam(reaper).sched_priority, priority)
            os.kill(command, signal.SIGCONT)
            self.assertIn(b'"exited"', process.communicate(timeout=60)[0])

    def test_neither_the_command_nor_who_sweeps_has_a_capability_or_a_session_of_others(self):
        for layers in ({}, NAMESPACES):
            policy = self.policy({"dash": dict(SHELL, sandbox={"layers": layers})})
            process = self.popen(["run", "--policy", policy, "--", "dash", "-c", "kill -STOP $$"])
            reaper, command = stopped_below(process.pid)
            names = ["Inh", "Prm", "Eff", "Amb"]
            if not layers or os.getuid() == 0:  # what bounds a user's programs takes a capability to lower
                names.append("Bnd")
            sets = {}
            for pid in (reaper, command):
                with open("/proc/%d/status" % pid) as f:
                    sets[pid] = {line for line in f.read().splitlines() if line[:3] == "Cap" and line[3:6] in names}
            sessions = (os.getsid(reaper), os.getsid(command))
            os.kill(command, signal.SIGCONT)
            process.communicate(timeout=60)
            none = {"Cap%s:\t%016x" % (name, 0) for name in names}
            self.assertEqual(sets, {reaper: none, command: none})
            self.assertEqual(sessions, (reaper, reaper))

    def test_the_time_limit_holds_though_the_supervisor_has_no_turn(self):
        for layers in ({}, {"pid_namespace": "off"}):
            policy = self.policy({"dash": dict(SHELL, sandbox={"layers": layers}, timeout_ms=4000)})
            process = self.popen(["run", "--policy", policy, "--", "dash", "-c", "kill -STOP $$"])
            _, command = stopped_below(process.pid)
            os.kill(process.pid, signal.SIGSTOP)
            deadline = time.monotonic() + 60
            while os.path.exists("/proc/%d" % command) and time.monotonic() < deadline:
                time.sleep(0.02)
            gone = not os.path.exists("/proc/%d" % command)
            os.kill(process.pid, signal.SIGCONT)
            out, _ = process.communicate(timeout=60)
            self.assertTrue(gone, out)
            self.assertEqual(json.loads(out)["outcome"], {"type": "timed_out", "limit": "wall", "limit_ms": 4000})

    def test_a_tree_that_can_no_longer_be_counted_is_told_as_that_or_ended(self):
        for said, expected in (("prefer", '"partial"'), ("require", "the tree could not be counted")):
            node = dict(SHELL, sandbox={"layers": {"limits": said}}, limits={"memory_mib": 256}, timeout_ms=3000 if said == "prefer" else 30000)
            begun = time.monotonic()
            process = self.popen(["run", "--policy", self.policy({"dash": node}), "--", "dash", "-c", "kill -STOP $$"])
            stopped_below(process.pid)
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (9, 9))  # poll(2) wants nine; of those below one is free
            out = process.communicate(timeout=60)[0].decode()
            result = json.loads(out)
            self.assertIn(expected, out)
            if said == "prefer":
                status = result["sandbox"]["layers"]["limits"]
                self.assertIn("not always counted", status["detail"])
                self.assertEqual((status["status"], result["outcome"]["type"]), ("partial", "timed_out"))
            else:
                self.assertEqual((process.returncode, result["error"]["code"]), (125, "launch_failed"))
                self.assertLess(time.monotonic() - begun, 15)  # at once

    def test_memory_that_nobody_counts_is_limited_for_each_process(self):
        node = {"limits": {"memory_mib": 64, "data_mib": 0}}
        _, result = self.run_shell("ulimit -d", node=node, preexec_fn=lambda: outer.refuse({"access": errno.EPERM}))
        self.assertEqual(result["stdout"], "65536\n", result)

    def test_a_terminal_that_nobody_reads_is_given_up(self):
        policy = self.policy({"dash": dict(SHELL, stdout_bytes=1 << 20)})
        waiting = []
        for size in (50000, 150001, 200002):
            master, slave = os.openpty()
            self.addCleanup(os.close, master)
            waiting.append(self.popen(["run", "--policy", policy, "--", "dash", "-c", "printf %%0%dd 0" % size], stdout=slave))
            os.close(slave)
        for process in waiting:
            self.assertEqual(process.wait(40), 125)
            process.stderr.close()

    def test_a_terminal_is_told_all_that_is_read(self):
        policy = self.policy({"dash": dict(SHELL, stdout_bytes=1 << 20)})
        master, slave = os.openpty()
        process = self.popen(["run", "--policy", policy, "--output", "pretty", "--", "dash", "-c", "printf %0150000d 0"], stdout=slave)
        os.close(slave)
        told = b""
        try:
            while more := os.read(master, 1000):
                told += more
        except OSError:  # EIO: nobody has it open any more
            pass
        os.close(master)
        self.assertEqual((process.wait(40), len(json.loads(told)["stdout"])), (0, 150000))
        process.stderr.close()

    def test_an_answer_that_is_larger_than_the_callers_files_may_be_is_one_that_cannot_be_written(self):
        with open(os.path.join(self.dir, "answer"), "wb") as f:
            status, _, _ = self.call(["run", "--policy", self.policy({"dash": SHELL}), "--", "dash", "-c", "echo x"], stdout=f,
                                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY)))
        self.assertEqual(status, 125)

    def test_a_closed_standard_input_is_empty_whatever_the_soft_limit(self):
        def closed():
            os.close(0)
            resource.setrlimit(resource.RLIMIT_NOFILE, (64 if SANITIZED else 0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))  # a sanitizer is loaded
        policy = self.policy({"dash": dict(SHELL, stdin="text")})
        status, out, _ = self.call(["run", "--policy", policy, "--stdin", "-", "--", "dash", "-c", "while read x; do echo $x; done"], preexec_fn=closed)
        self.assertEqual((status, json.loads(out)["stdout"]), (0, ""), out)

    def test_a_descriptor_above_the_limit_is_closed_without_close_range_too(self):
        def high():
            top = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1
            os.dup2(os.open(self.dir, os.O_RDONLY), min(top, 100000), inheritable=True)
            resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
            outer.refuse({"close_range": errno.EPERM})
        script = "for i in /proc/self/fd/*; do echo ${i##*/}; done"
        _, result = self.run_shell(script, node={"sandbox": {"proc": "own"}}, preexec_fn=high, close_fds=False)
        self.assertLessEqual({int(one) for one in result["stdout"].split()}, set(range(10)), result)  # of those it opens itself

    def test_a_reader_that_goes_away_ends_the_run(self):
        marker = "reader-gone-%d" % os.getpid()
        process = self.popen(["run", "--policy", self.policy({"dash": SHELL}), "--", "dash", "-c", ": %s; while :; do read x < /dev/zero; done" % marker])
        deadline = time.monotonic() + 20
        while not running("/bin/dash\0-c\0: " + marker) and time.monotonic() < deadline:  # the command, as rebuilt
            time.sleep(0.02)
        self.assertEqual(running("/bin/dash\0-c\0: " + marker), 1)
        process.stdout.close()
        self.assertEqual(process.wait(20), 125)  # of a command that would never end
        self.assertEqual(running(marker), 0)
        process.stderr.close()


if __name__ == "__main__":
    main()
