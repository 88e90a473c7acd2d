"""/proc and /dev: what each mode shows, on top of what the probe finds shut."""
import os
import stat
import subprocess

import outer
from harness import SHELL, SandboxTest, main
from probe_test import NAMESPACES

SECRET = {"PATH": "/usr/bin:/bin", "TOKEN": "hunter2-of-a-neighbour"}
PRINT = "while read -r line; do echo \"$line\"; done"


class Proc(SandboxTest):
    def shell(self, script, **sandbox):
        return self.run_shell(script, node={"sandbox": sandbox})[1]

    def neighbour(self):
        process = subprocess.Popen(["/usr/bin/sleep", "60"], env=SECRET, stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process.pid

    def test_none_is_empty(self):
        result = self.shell("for f in /proc/* /dev/fd /dev/stdin; do test -e $f && echo $f; done; : < /proc/self/status")
        self.assertEqual(result["stdout"], "", result)

    def test_own_shows_what_programs_size_themselves_by(self):
        script = "; ".join("read -r word rest < /proc/%s && echo %s $word" % (name, name) for name in
                           ("meminfo", "uptime", "loadavg", "stat", "cpuinfo", "version", "self/status", "self/maps", "sys/kernel/osrelease"))
        for proc in ("own", "all"):
            result = self.shell(script, proc=proc)
            self.assertEqual([line.split()[0] for line in result["stdout"].splitlines()],
                             ["meminfo", "uptime", "loadavg", "stat", "cpuinfo", "version", "self/status", "self/maps", "sys/kernel/osrelease"], result)

    def test_own_shows_own_processes_only_and_not_the_reaper(self):
        self.neighbour()
        result = self.shell("for d in /proc/[0-9]*; do read -r line < $d/stat && echo $line; done; test -e /proc/1 && echo reaper", proc="own")
        self.assertRegex(result["stdout"], r"\A2 \(dash\) .*\n\Z", result)

    def test_all_shows_a_neighbour_but_not_its_environment_memory_or_descriptors(self):
        pid = self.neighbour()
        result = self.shell("cd /proc/%d && read -r line < stat && echo $line; for f in environ maps mem auxv fd/0 fdinfo/0 root/etc/passwd exe; do ( : < $f ) && echo $f; done;"
                            " for f in io syscall stack personality; do ( read -r line < $f ) && echo $f; done; ( cd cwd ) && echo cwd;"
                            " %s < environ" % (pid, PRINT), proc="all")
        self.assertRegex(result["stdout"], r"\A%d \(sleep\) .*\n\Z" % pid, result)
        self.assertNotIn("hunter2", result["stdout"] + result["stderr"])

    def test_where_a_layer_that_it_needs_is_missing_there_is_none_and_the_result_says_so(self):
        no_processes = {"layers": {"pid_namespace": "off"}}
        script = "read -r line < /proc/self/stat && echo $line"
        for proc, host, more, layer in (("own", "landlock", {}, "mount_namespace"), ("own", "docker", {}, "mount_namespace"),
                                        ("all", "no-landlock", {}, "landlock"), ("own", None, no_processes, "pid_namespace"),
                                        ("own", None, {"layers": {"mount_namespace": "off"}}, "mount_namespace"), ("all", None, {"layers": {"landlock": "off"}}, "landlock")):
            with self.subTest(proc=proc, host=host, more=more):
                node = {"sandbox": dict(more, proc=proc), "repeatable": True}
                before = outer.HOSTS[host] if host else None
                result = self.run_shell(script, "--diagnose", node=node, preexec_fn=before)[1]
                self.assertEqual((result["stdout"], result["exit_code"]), ("", 2), result)
                said = 'proc "%s" needs' % proc
                self.assertIn(said, result["sandbox"]["layers"][layer]["detail"])
                self.assertEqual(said in str(result["sandbox"]["degraded"]), host is not None, result)
                blocked = [one for one in result["sandbox"]["blocked"] if one["path"] == "/proc/self/stat"]
                self.assertTrue(all(one["layer"] == layer and said in one["hint"] for one in blocked), blocked)
        for proc, host in (("all", "landlock"), ("all", "docker"), ("own", "no-landlock")):
            result = self.run_shell(script, node={"sandbox": {"proc": proc}}, preexec_fn=outer.HOSTS[host])[1]
            self.assertTrue(result["success"] and "(dash)" in result["stdout"], (proc, host, result))
            self.assertNotIn("proc \"", " ".join(one["reason"].split("; ", 1)[-1] for one in result["sandbox"]["degraded"]))

    def test_nothing_in_it_can_be_written_or_uncovered(self):
        for proc in ("own", "all"):
            script = "for f in self/oom_score_adj self/coredump_filter self/comm sys/kernel/hostname sysrq-trigger self/mem; do ( : > /proc/$f ) 2>/dev/null && echo wrote $f; done;" \
                     "for f in kcore kallsyms cmdline modules keys sysrq-trigger config.gz iomem timer_list; do ( : < /proc/$f ) 2>/dev/null && echo read $f; done;" \
                     "for f in /proc/bus/* /proc/irq/* /proc/fs/* /proc/sysvipc/*; do test -e $f && echo found $f; done; echo end"
            self.assertEqual(self.shell(script, proc=proc)["stdout"], "end\n")
            self.assertEqual(self.shell(script, proc=proc, layers={"landlock": "off"})["stdout"], "end\n")

    def test_a_pipe_can_be_named_when_proc_is_there(self):
        node = {"sandbox": {"proc": "own"}}
        result = self.run_shell("echo through > /dev/stdout; echo words | ( read -r w < /dev/fd/0; echo $w )", node=node)[1]
        self.assertEqual(result["stdout"], "through\nwords\n", result)


class Mounts(SandboxTest):
    def test_what_is_mounted_is_no_way_to_devices_other_users_or_programs(self):
        inner = os.path.join(self.ws, "d", "m")
        os.makedirs(inner)
        for access in ("write", "read"):
            policy = self.policy({"dash": dict(SHELL, sandbox={access: ["${start_dir}/d"], "proc": "own"})})
            argv = ["dash", "-c", PRINT + " < /proc/self/mountinfo"]
            if os.getuid() == 0:
                result = self.run_mounted("mount -t tmpfs -o exec,suid,dev tmpfs " + inner, policy, argv)
            else:
                result = self.run_json(policy, argv)[1]
            options = {line.split()[4]: set(line.split()[5].split(",")) for line in result["stdout"].splitlines()}
            for place in [os.path.dirname(inner)] + ([inner] if os.getuid() == 0 else []):
                self.assertLessEqual({"nosuid", "nodev", "noexec"} | ({"ro"} if access == "read" else set()), options[place], result)


class Devices(SandboxTest):
    def test_there_are_five_devices_of_the_right_kind_and_no_terminal(self):
        node = dict(SHELL, path="/usr/bin/perl", options={"-e": {"value": {"text": [1, 999]}, "spelling": "separate"}})
        script = ("opendir(D, '/dev'); for (sort grep { !/^[.]/ } readdir D) { my @s = stat qq(/dev/$_); printf(qq(%s %d,%d %o\\n), $_, $s[6] >> 8, $s[6] & 255, $s[2] & 0170000) }"
                  "for (qw(tty ptmx console mem kmsg)) { print qq(open $_\\n) if open(F, '<', qq(/dev/$_)) }"
                  "open(F, '>', '/dev/full') and print(F 'x' x 9999) and close(F) and print qq(full took it\\n);"
                  "open(F, '<', '/dev/zero'); read(F, $b, 4); print length($b), ord($b), qq(\\n); open(F, '<', '/dev/urandom'); print read(F, $b, 4), qq(\\n)")
        _, result = self.run_json(self.policy({"perl": node}), ["perl", "-e", script])
        device = "%o" % stat.S_IFCHR
        # The directory's own file system may be listed only where Landlock is off; the names are tried in any case.
        for line in ("4" + "0", "4"):
            self.assertIn(line, result["stdout"].splitlines(), result)
        for word in ("open ", "full took"):
            self.assertNotIn(word, result["stdout"])
        node["sandbox"] = {"layers": {"landlock": "off"}}
        _, result = self.run_json(self.policy({"perl": node}), ["perl", "-e", script])
        self.assertEqual(result["stdout"].splitlines()[:5], ["%s 1,%d %s" % (name, minor, device) for name, minor in
                                                            (("full", 7), ("null", 3), ("random", 8), ("urandom", 9), ("zero", 5))], result)
        self.assertNotIn("open ", result["stdout"])

    def test_what_only_has_the_name_of_a_device_is_not_granted(self):
        if os.getuid() != 0:
            return
        secret = self.write("secret", "hunter2\n", 0o666)
        for layers in ({}, NAMESPACES, {"landlock": "off"}):
            policy = self.policy({"dash": dict(SHELL, sandbox={"layers": layers})})
            result = self.run_mounted("mount --bind %s /dev/zero" % secret, policy, ["dash", "-c", "read x < /dev/zero && echo $x; echo evil > /dev/zero"])
            with open(secret) as f:
                self.assertEqual((result["stdout"], f.read()), ("", "hunter2\n"), (layers, result))

    def test_no_device_is_changed(self):
        before = [os.stat("/dev/" + name).st_mode for name in ("null", "zero")]
        node = {"sandbox": {"exec": ["/usr/bin/chmod", "/usr/bin/rm"]}}
        self.run_shell("chmod 600 /dev/null /dev/zero; rm -f /dev/null", node=node)
        self.assertEqual([os.stat("/dev/" + name).st_mode for name in ("null", "zero")], before)


if __name__ == "__main__":
    main()
