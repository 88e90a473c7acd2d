"""Commands that take all there is: each ends in the outcome that names what it took, soon, with nothing left behind."""
import os
import time
import unittest

from harness import BINARY, SandboxTest, SHELL, main
from probe_test import NAMESPACES, become_ordinary

PERL = ["/usr/bin/perl"]
SLACK_MS = 1500  # a loaded machine with sanitizers; a quiet one needs less than 100


def descendants(marker):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % name, "rb") as f:
                if marker.encode() in f.read() and int(name) != os.getpid():
                    found.append(name)
        except OSError:
            pass
    return found


class Bombs(SandboxTest):
    modes = ({}, NAMESPACES)

    def bomb(self, program, argv, limits, layers, timeout_ms=20000, sandbox=None, **popen):
        node = dict(SHELL, path=program, limits=limits, timeout_ms=timeout_ms,
                    operands=[{"name": "x", "type": {"text": [0, 4000]}, "count": [0, 9]}], sandbox=dict(sandbox or {}, layers=layers))
        node["options"] = dict(SHELL["options"], **{"-e": {"value": {"text": [0, 4000]}, "spelling": "separate"}})
        name = os.path.basename(program)
        return self.run_json(self.policy({name: node}), [name] + argv, **popen)

    def popen(self, arguments, **options):
        """Within a process namespace that is small and ends with the test: what gets away from safe-exec does not get far."""
        if os.getuid() == 0 and "preexec_fn" not in options:
            script = 'echo 3000 > /proc/sys/kernel/pid_max; "$0" "$@"; status=$?; ls -d /proc/[0-9]* > left; exit $status'
            arguments = ["-mpf", "--kill-child", "--mount-proc", "sh", "-c", script, BINARY] + arguments
            return super().popen(arguments, executable="/usr/bin/unshare", **options)
        return super().popen(arguments, **options)

    def nothing_left(self, marker):
        if os.path.exists(os.path.join(self.ws, "left")):
            with open(os.path.join(self.ws, "left")) as f:
                self.assertLessEqual(len(f.read().split()), 2)  # the shell and ls
        self.assertEqual(descendants(marker), [])

    def outcome(self, *arguments, **named):
        status, result = self.bomb(*arguments, **named)
        return status, result["outcome"], result

    def test_memory_taken_bit_by_bit_or_doubled_ends_in_limit_exceeded(self):
        for layers in self.modes:
            for script in ("push @a, 'x' x 100000 while 1", "$a = 'x' x 1000; $a .= $a while 1"):
                with self.subTest(script=script, layers=bool(layers)):
                    status, outcome, result = self.outcome("/usr/bin/perl", ["-e", script], {"memory_mib": 256}, layers)
                    self.assertEqual((status, outcome), (124, {"type": "limit_exceeded", "resource": "memory"}), result)

    def test_memory_of_the_whole_tree_counts(self):
        script = "for (1 .. 8) { fork or do { $x = 'x' x 60000000; sleep 3; exit } } while (wait > 0) { $bad ||= $? } exit($bad ? 1 : 0)"
        for layers in self.modes:
            status, outcome, result = self.outcome("/usr/bin/perl", ["-e", script], {"memory_mib": 256}, layers)
            self.assertEqual((status, outcome), (124, {"type": "limit_exceeded", "resource": "memory"}), result)
            self.assertLess(result["duration_ms"], 5000 + SLACK_MS)

    def test_many_small_processes_are_as_much_as_a_large_one(self):
        script = "for (1 .. 40) { fork or do { $x = 'x' x 20000000; sleep 9; exit } } 1 while wait > 0; print qq(fine)"
        for layers in self.modes:
            status, outcome, result = self.outcome("/usr/bin/perl", ["-e", script], {"memory_mib": 256}, layers)
            self.assertEqual((status, outcome), (124, {"type": "limit_exceeded", "resource": "memory"}), result)
            self.assertLess(result["duration_ms"], 5000 + SLACK_MS)

    def test_page_tables_count(self):
        script = "import mmap; m = mmap.mmap(-1, 1 << 39, flags=0x4022)\nfor i in range(0, 1 << 39, 1 << 21): m[i]\nimport time; time.sleep(3)"
        for layers in self.modes:
            status, outcome, result = self.outcome("/usr/bin/python3", ["-c", script], {"memory_mib": 256, "data_mib": 0}, layers,
                                                   sandbox={"read": ["/usr"]})
            self.assertEqual((status, outcome), (124, {"type": "limit_exceeded", "resource": "memory"}), result)

    def test_page_tables_count_however_little_lies_in_them(self):
        """A page each at addresses far apart: nothing is resident but zeroes, and each needs two pages of tables."""
        one = ("import ctypes, time; c = ctypes.CDLL(None); c.mmap.restype = c.mmap.argtypes = None; c.mmap.restype = ctypes.c_void_p\n"
               "c.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]\n"
               "for i in range(40000): ctypes.string_at(c.mmap((1 << 40) + (i << 30), 4096, 1, 0x100022, -1, 0), 1)\ntime.sleep(9)")
        script = "import os\nfor i in range(%d): os.fork() or (exec(%r), os._exit(0))\nwhile True: os.wait()"
        for layers in self.modes:
            for processes in (1, 4):
                status, outcome, result = self.outcome("/usr/bin/python3", ["-c", script % (processes, one)], {"memory_mib": 256}, layers, sandbox={"read": ["/usr"]})
                killed = [blocked for blocked in result["sandbox"]["blocked"] if "limits.memory_mib" in blocked["hint"]]
                self.assertTrue(outcome == {"type": "limit_exceeded", "resource": "memory"} or killed, result)
                self.assertLess(result["duration_ms"], 9000, result)

    def test_memory_of_the_kernels_that_is_counted_nowhere_is_not_to_be_had(self):
        script = ("import ctypes; c = ctypes.CDLL(None, use_errno=True)\n"
                  "print(c.syscall(444, None, 0, 1), ctypes.get_errno())\nprint(c.prctl(78, 1, 1 << 20, 0), ctypes.get_errno())\n"
                  "print(c.mmap(None, 2 << 20, 3, 0x40022, -1, 0), ctypes.get_errno())")
        for layers in self.modes:
            _, result = self.bomb("/usr/bin/python3", ["-c", script], {}, layers, sandbox={"read": ["/usr"]})
            # landlock_create_ruleset: ENOSYS; prctl(PR_FUTEX_HASH), mmap(MAP_HUGETLB): EPERM
            self.assertEqual(result["stdout"], "-1 38\n-1 1\n-1 1\n", result)

    def test_memory_shared_by_forked_processes_counts_once(self):
        script = "$x = 'x' x 60000000; for (1 .. 8) { fork or do { sleep 1; exit } } sleep 1; print qq(fine)"
        for layers in self.modes:
            status, result = self.bomb("/usr/bin/perl", ["-e", script], {"memory_mib": 256}, layers)
            self.assertEqual((status, result["stdout"]), (0, "fine"), result)

    def test_what_is_reserved_counts_for_data_alone_and_what_is_used_for_memory(self):
        reserve = "import mmap; m = mmap.mmap(-1, 1 << 40, flags=0x4022); "  # MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        use = "a = bytearray(%d << 20); a[::4096] = b'x' * len(a[::4096]); import time; time.sleep(.2); print('fine')"
        for layers in self.modes:
            for limits, script, fine in (({"memory_mib": 256, "data_mib": 0}, reserve + use % 64, True), ({"memory_mib": 256}, reserve, False),
                                         ({"memory_mib": 256, "data_mib": 128}, use % 150, False), ({"memory_mib": 256, "data_mib": 128}, use % 64, True)):
                with self.subTest(limits=limits, script=script, layers=bool(layers)):
                    status, result = self.bomb("/usr/bin/python3", ["-c", script], limits, layers, sandbox={"read": ["/usr"]})
                    self.assertEqual((status == 0, result["stdout"]), (fine, "fine\n" * fine), result)
            status, outcome, result = self.outcome("/usr/bin/python3", ["-c", reserve + use % 600], {"memory_mib": 256, "data_mib": 0}, layers,
                                                   sandbox={"read": ["/usr"]})
            self.assertEqual((status, outcome), (124, {"type": "limit_exceeded", "resource": "memory"}), result)

    def test_a_child_that_takes_the_memory_goes_alone(self):
        script = "/usr/bin/perl -e 'push @a, qq(x) x 100000 while 1'; echo went on"
        for layers in self.modes:
            status, result = self.bomb("/bin/dash", ["-c", script], {"memory_mib": 256}, layers, sandbox={"exec": PERL, "read": ["/usr"]})
            self.assertEqual((status, result["stdout"]), (0, "went on\n"), result)
            self.assertEqual([(one["layer"], one["observed"]) for one in result["sandbox"]["blocked"]], [("limits", True)], result)
            self.assertIn("limits.memory_mib", result["sandbox"]["blocked"][0]["hint"])
            status, outcome, result = self.outcome("/bin/dash", ["-c", script + "; exit 3"], {"memory_mib": 256}, layers,
                                                   sandbox={"exec": PERL, "read": ["/usr"]})
            self.assertEqual((status, outcome), (124, {"type": "limit_exceeded", "resource": "memory"}), result)

    def test_pages_of_a_file_are_no_memory_that_was_taken(self):
        with open(os.path.join(self.ws, "large"), "wb") as f:
            f.truncate(280 << 20)
        script = ("import mmap, sys, time; f = open('large', 'rb'); m = mmap.mmap(f.fileno(), 0, prot=1)\n"
                  "sum(m[i] for i in range(0, len(m), 4096)); time.sleep(.5); sys.exit(3)")
        for layers in self.modes:
            _, outcome, result = self.outcome("/usr/bin/python3", ["-c", script], {"memory_mib": 256}, layers, sandbox={"read": ["/usr", self.ws]})
            self.assertEqual(outcome, {"type": "exited", "exit_code": 3}, result)

    def test_threads_are_counted_like_processes(self):
        script = "import threading, time\nfor i in range(400): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\ntime.sleep(3); print('all')"
        for layers in self.modes:
            status, result = self.bomb("/usr/bin/python3", ["-c", script], {"processes": 50, "data_mib": 0}, layers, sandbox={"read": ["/usr"]})
            self.assertNotIn("all", result["stdout"], result)
            self.assertTrue(result["outcome"] == {"type": "limit_exceeded", "resource": "processes"} or "can't start new thread" in result["stderr"], result)

    def test_processor_time_is_over_though_its_signal_is_ignored(self):
        _, outcome, result = self.outcome("/usr/bin/perl", ["-e", "$SIG{XCPU} = 'IGNORE'; 1 while 1"], {"cpu_s": 1}, {})
        self.assertEqual(outcome, {"type": "timed_out", "limit": "cpu", "limit_ms": 1000}, result)

    def test_a_failure_with_memory_to_spare_stays_the_commands_own(self):
        for layers in self.modes:
            _, outcome, result = self.outcome("/usr/bin/perl", ["-e", "$x = 'x' x 20000000; exit 3"], {"memory_mib": 256}, layers)
            self.assertEqual(outcome, {"type": "exited", "exit_code": 3}, result)

    def test_the_only_process_there_may_be_is_not_too_many(self):
        for layers in self.modes:
            _, outcome, result = self.outcome("/usr/bin/perl", ["-e", "select undef, undef, undef, .1; exit 3"], {"processes": 1}, layers)
            self.assertEqual(outcome, {"type": "exited", "exit_code": 3}, result)

    def test_a_fork_bomb_leaves_nothing(self):
        marker = "bomb-%d" % os.getpid()
        bombs = (": %s; b() { b | b & }; b; while :; do :; done", ": %s; b() { b & b; }; b", ": %s; while :; do ( while :; do :; done ) & done")
        for layers in self.modes:
            for bomb in bombs:
                with self.subTest(bomb=bomb, layers=bool(layers)):
                    _, outcome, result = self.outcome("/bin/dash", ["-c", bomb % marker], {"processes": 50}, layers, timeout_ms=1500)
                    self.check_bomb(outcome, result)
                    self.assertLess(result["duration_ms"], 1500 + SLACK_MS)
                    self.nothing_left(marker)

    def test_a_fork_bomb_that_is_near_its_memory_ends(self):
        """To count memory exactly takes a lock that each of them holds while it forks, for half a minute among hundreds."""
        script = "$x = 'x' x 6000000; while (1) { fork }"
        for layers in ({}, NAMESPACES):
            _, outcome, result = self.outcome("/usr/bin/perl", ["-e", script], {"processes": 20, "memory_mib": 128}, layers, timeout_ms=2000)
            self.assertIn(outcome["type"], ("limit_exceeded", "timed_out"), result)  # where fork(2) is refused it goes on trying
            self.assertLess(result["duration_ms"], 2000 + SLACK_MS)

    def test_a_file_that_may_not_grow_further_is_named_where_the_signal_is_ignored(self):
        script = "$SIG{XFSZ} = 'IGNORE'; open(F, '>', 'new') or die; $! = 0; while (1) { syswrite(F, 'x' x 65536) or die $! }"
        for layers in self.modes:
            _, _, result = self.outcome("/usr/bin/perl", ["-e", script], {"file_mib": 1}, layers, sandbox={"write": [self.ws]})
            self.assertEqual([(one["layer"], one["errno"]) for one in result["sandbox"]["blocked"]], [("limits", "EFBIG")], result)

    def check_bomb(self, outcome, result):
        """Refused by the kernel it may give up before it was ever counted: then it ends as itself."""
        own = outcome["type"] == "exited" and outcome["exit_code"] in (2, 4) and result["duration_ms"] < 500
        refused = own and result["sandbox"]["layers"]["limits"].get("detail", "").find("not refused") < 0
        self.assertTrue(refused or outcome in ({"type": "limit_exceeded", "resource": "processes"},
                                               {"type": "timed_out", "limit": "wall", "limit_ms": 1500}), result)

    def test_a_thousand_processes_are_not_to_be_had(self):
        script = "$n = 0; while ($n < 1000) { defined($p = fork) or last; $p or do { sleep 30; exit }; ++$n } print $n; exit($n < 1000 ? 4 : 0)"
        for layers in self.modes + ({"user_namespace": "require"},):
            status, outcome, result = self.outcome("/usr/bin/perl", ["-e", script], {"processes": 50}, layers)
            self.check_bomb(outcome, result)
            self.assertLess(int(result["stdout"] or 0), 1000)

    def test_a_child_that_starts_too_many_goes_alone_or_is_refused(self):
        script = "/usr/bin/perl -e '$n = 0; while ($n < 1000) { defined($p = fork) or last; $p or do { sleep 30; exit }; ++$n } sleep 1; exit($n < 1000)' || echo stopped"
        for layers in self.modes:
            status, result = self.bomb("/bin/dash", ["-c", script], {"processes": 50}, layers, sandbox={"exec": PERL, "read": ["/usr"]})
            self.assertEqual((status, result["stdout"]), (0, "stopped\n"), result)

    def test_what_fills_a_disk(self):
        out = os.path.join(self.ws, "out")
        for layers in self.modes:
            sandbox = {"write": [self.ws]}
            _, outcome, result = self.outcome("/usr/bin/head", ["-c", "3000000", "/dev/zero"], {"file_mib": 1}, layers, sandbox=sandbox)
            self.assertEqual(outcome, {"type": "exited", "exit_code": 0}, result)  # a pipe is no file
            _, outcome, result = self.outcome("/usr/bin/dd", ["if=/dev/zero", "of=" + out, "bs=64k"], {"file_mib": 1}, layers, sandbox=sandbox)
            self.assertEqual(outcome, {"type": "limit_exceeded", "resource": "file_size"}, result)
            self.assertEqual(os.path.getsize(out), 1 << 20)
            os.unlink(out)

    def test_what_is_allocated_behind_the_end_of_a_file_counts(self):
        for layers in self.modes:
            node = {"path": "/usr/bin/fallocate", "limits": {"file_mib": 1}, "sandbox": {"layers": layers},
                    "options": {"-n": {}, "-l": {"value": {"text": [1, 20]}, "spelling": "separate"}},
                    "operands": [{"name": "out", "type": {"path": "create", "within": ["${start_dir}"]}}]}
            for options, said, outcome in ((["-n"], "unsupported", {"type": "exited", "exit_code": 1}),
                                           ([], "", {"type": "limit_exceeded", "resource": "file_size"})):
                _, result = self.run_json(self.policy({"fallocate": node}), ["fallocate"] + options + ["-l", "8388608", "out"])
                self.assertEqual((result["outcome"], said in result["stderr"]), (outcome, True), result)
                if os.path.exists(os.path.join(self.ws, "out")):
                    self.assertLess(os.stat(os.path.join(self.ws, "out")).st_blocks, 2050)
                    os.unlink(os.path.join(self.ws, "out"))
            _, result = self.run_json(self.policy({"fallocate": node}), ["fallocate", "-l", "65536", "out"])
            self.assertTrue(result["success"], result)
            os.unlink(os.path.join(self.ws, "out"))

    def test_a_file_does_not_grow_by_what_is_inserted(self):
        script = ("import ctypes, os; libc = ctypes.CDLL(None, use_errno=True); fd = os.open('out', os.O_RDWR); os.write(fd, b'x' * 524288)\n"
                  "insert = lambda: libc.fallocate(fd, 32, ctypes.c_long(0), ctypes.c_long(4096))\n"
                  "while insert() == 0 and os.fstat(fd).st_size < 8 << 20: pass\nprint(os.strerror(ctypes.get_errno()), os.fstat(fd).st_size)")
        for layers in self.modes:
            self.write("ws/out", "", 0o666)
            node = {"path": "/usr/bin/python3", "limits": {"file_mib": 1}, "options": {"-c": {"value": {"text": [0, 4000], "multiline": True}, "spelling": "separate"}},
                    "sandbox": {"layers": layers, "read": ["/usr"], "write": [self.ws]}}
            _, result = self.run_json(self.policy({"python3": node}), ["python3", "-c", script])
            self.assertEqual(result["stdout"], "Operation not supported 524288\n", result)

    def test_a_program_that_ignores_the_signal_of_a_full_file_is_told_from_others_by_the_file(self):
        for layers in self.modes:
            self.write("ws/out", "", 0o666)
            script = "$SIG{XFSZ} = 'IGNORE'; open(F, '>', $ARGV[0]); $z = 'x' x 65536; while (syswrite F, $z) {} exit 5"
            node = {"path": "/usr/bin/perl", "limits": {"file_mib": 1}, "sandbox": {"layers": layers},
                    "options": {"-e": {"value": {"text": [0, 4000]}, "spelling": "separate"}}, "end_of_options": False,
                    "operands": [{"name": "out", "type": {"path": "write", "within": ["${start_dir}"]}}]}
            _, result = self.run_json(self.policy({"perl": node}), ["perl", "-e", script, "out"])
            self.assertEqual(result["outcome"], {"type": "limit_exceeded", "resource": "file_size"}, result)
            os.utime(os.path.join(self.ws, "out"), (1000, 1000))  # as full, but not by this command
            _, result = self.run_json(self.policy({"perl": node}), ["perl", "-e", "exit 5", "out"])
            self.assertEqual(result["outcome"], {"type": "exited", "exit_code": 5}, result)
            self.write("ws/.env", "")  # so that files are granted one by one
            os.utime(os.path.join(self.ws, "out"))  # just now, and no operand
            node.update(operands=[], sandbox={"layers": layers, "write": [self.ws]})
            _, result = self.run_json(self.policy({"perl": node}, defaults={"deny_paths": ["**/.env"]}), ["perl", "-e", "exit 5"])
            self.assertEqual(result["outcome"], {"type": "exited", "exit_code": 5}, result)

    def test_what_fills_the_private_tmp(self):
        limits = {"tmp_mib": 2}
        sandbox = {"tmp": "private", "exec": ["/usr/bin/dd"], "read": ["/usr"]}
        _, outcome, result = self.outcome("/usr/bin/dd", ["if=/dev/zero", "of=/tmp/x", "bs=64k"], limits, {}, sandbox=sandbox)
        self.assertEqual(outcome, {"type": "limit_exceeded", "resource": "tmp"}, result)
        self.assertIn("2097152 bytes", result["stderr"])
        names = "i=0; while : > /tmp/$i; do i=$((i+1)); done 2>/dev/null; echo $i; exit 1"
        _, outcome, result = self.outcome("/bin/dash", ["-c", names], limits, {}, sandbox=sandbox)
        self.assertEqual(outcome, {"type": "limit_exceeded", "resource": "tmp"}, result)
        self.assertLess(int(result["stdout"] or 0), 513, result)
        _, outcome, result = self.outcome("/bin/dash", ["-c", "echo x > /tmp/y; exit 1"], limits, {}, sandbox=sandbox)
        self.assertEqual(outcome, {"type": "exited", "exit_code": 1}, result)

    def test_a_tmp_without_a_limit_is_never_full(self):
        sandbox = {"tmp": "private", "read": ["/usr"]}
        _, outcome, result = self.outcome("/bin/dash", ["-c", "echo x > /tmp/y; exit 3"], {"tmp_mib": 0}, {}, sandbox=sandbox)
        self.assertEqual(outcome, {"type": "exited", "exit_code": 3}, result)

    def test_a_signal_that_somebody_sent_is_no_limit(self):
        for limits in ({"cpu_s": 30, "file_mib": 0}, {"cpu_s": 0, "file_mib": 0}):
            for name in ("XCPU", "XFSZ"):
                _, outcome, result = self.outcome("/bin/dash", ["-c", "kill -%s $$" % name], limits, {})
                self.assertEqual(outcome["type"], "signaled", result)

    def test_usage_is_also_of_those_that_the_command_did_not_wait_for(self):
        burn = "pipe R, W; fork or do { close R; 1 while (times)[0] < 0.6; exit }; close W; <R>; select undef, undef, undef, .3"
        _, outcome, result = self.outcome("/usr/bin/perl", ["-e", burn], {}, {})
        self.assertEqual(outcome, {"type": "exited", "exit_code": 0}, result)
        self.assertGreater(result["usage"]["cpu_user_ms"] + result["usage"]["cpu_system_ms"], 400, result)

    def test_output_spinning_sleeping_and_descriptors(self):
        spin, flood, sleeper = "while :; do :; done", "while :; do echo flood; done", "trap '' TERM; while :; do read x; done"
        for layers in self.modes:
            for script in (flood, spin, sleeper):
                _, outcome, result = self.outcome("/bin/dash", ["-c", script], {}, layers, timeout_ms=400)
                self.assertEqual(outcome, {"type": "timed_out", "limit": "wall", "limit_ms": 400}, result)
                self.assertLess(result["duration_ms"], 400 + SLACK_MS)
            _, outcome, result = self.outcome("/bin/dash", ["-c", spin], {"cpu_s": 1}, layers)
            self.assertEqual(outcome, {"type": "timed_out", "limit": "cpu", "limit_ms": 1000}, result)
            script = "while (open($f[$n], '<', '/dev/null')) { ++$n } print $n; exit 7"
            _, outcome, result = self.outcome("/usr/bin/perl", ["-e", script], {"open_files": 40}, layers)
            self.assertEqual((outcome, result["stdout"]), ({"type": "exited", "exit_code": 7}, "37"), result)

    def test_what_is_required_is_not_had_in_part(self):
        for layer in ("limits", "tree_kill"):
            for said in ("require", "prefer"):
                node = {"sandbox": {"layers": dict(NAMESPACES, **{layer: said})}}
                status, result = self.run_shell("echo ran", node=node)
                if said == "prefer":
                    self.assertEqual((status, result["stdout"], result["sandbox"]["layers"][layer]["status"]), (0, "ran\n", "partial"), result)
                    continue
                self.assertEqual((status, result["error"]["code"], result["outcome"]["type"]), (125, "sandbox_unavailable", "failed"), result)
                self.assertIn(layer + " is required", result["error"]["message"])
                self.assertIn("pid namespace", result["error"]["hint"])
            status, result = self.run_shell("echo ran", node={"sandbox": {"layers": {layer: "require"}}})
            self.assertEqual((status, result["stdout"], result["sandbox"]["layers"][layer]["status"]), (0, "ran\n", "enforced"), result)


class OrdinaryBombs(Bombs):
    """The same for an ordinary user, whom the kernel bounds otherwise."""

    def setUp(self):
        super().setUp()
        for name in (self.dir, self.ws):
            os.chmod(name, 0o777)

    def policy(self, commands, name="policy.json", **members):
        path = super().policy(commands, name, **members)
        os.chmod(self.dir, 0o755)
        return path

    def popen(self, arguments, **options):
        return super().popen(arguments, preexec_fn=become_ordinary, **options)


if os.getuid() != 0:
    del OrdinaryBombs  # it would be Bombs again

if __name__ == "__main__":
    main()
