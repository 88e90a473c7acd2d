"""What safe-exec does with its own descriptors: enough for its grants, none too many for the command, and a reader that may go."""
import json
import os
import resource
import signal
import time

from harness import BINARY, SandboxTest, SHELL, main


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
            node = dict(SHELL, sandbox={"layers": {"limits": said}}, limits={"memory_mib": 256}, timeout_ms=3000)
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
