"""What the result says of a command that its confinement got in the way of: without and with a second, observed run."""
import json
import os
import socket
import time
import unittest

import outer
from harness import SHELL, SandboxTest, main
from supervisor_test import running

HELPERS = ["/usr/bin/cat", "/usr/bin/chmod", "/usr/bin/touch", "/usr/bin/setsid", "/usr/bin/sleep"]
NO_NAMESPACES = {layer: "off" for layer in ("user_namespace", "pid_namespace", "mount_namespace", "ipc_namespace", "uts_namespace")}


class Diagnose(SandboxTest):
    def setUp(self):
        super().setUp()
        os.chmod(self.dir, 0o755)
        self.file = self.write("ws/file", "text\n")
        self.secret = self.write("secret", "hunter2\n")

    def run_it(self, script, *options, repeatable=True, layers=None, **sandbox):
        node = {"repeatable": repeatable, "sandbox": dict({"exec": HELPERS, "read": [self.ws], "layers": layers or {}}, **sandbox)}
        return self.run_shell(script, *options, node=node)[1]

    def blocked(self, script, **named):
        result = self.run_it(script, "--diagnose", **named)
        self.assertFalse(result["success"], result)
        self.assertEqual(result["sandbox"]["diagnosis"].split(";")[0], "seen in a second run", result)
        for one in result["sandbox"]["blocked"]:
            self.assertEqual(list(one), ["layer", "call", "path", "errno", "observed", "hint"])
            self.assertIs(one["observed"], True)
            self.assertTrue(one["hint"], one)
        return [(one["layer"], one["call"], one["path"], one["errno"]) for one in result["sandbox"]["blocked"]]

    def test_each_layer_is_named_with_the_call_and_the_path(self):
        self.assertIn(("mount_namespace", "openat", self.secret, "ENOENT"), self.blocked("cat " + self.secret))
        self.assertIn(("mount_namespace", "openat", self.file, "EROFS"), self.blocked("echo x > " + self.file))
        self.assertIn(("seccomp", "fchmodat", self.file, "EPERM"), self.blocked("chmod 777 " + self.file))
        self.assertIn(("mount_namespace", "execve", "/usr/bin/id", "ENOENT"), self.blocked("/usr/bin/id"))

    def test_landlock_is_named_where_it_alone_is_there(self):
        self.assertIn(("landlock", "openat", self.secret, "EACCES"), self.blocked("cat " + self.secret, layers=NO_NAMESPACES))
        self.assertIn(("landlock", "openat", self.file, "EACCES"), self.blocked("echo x > " + self.file, layers=NO_NAMESPACES))
        self.assertIn(("landlock", "execve", "/usr/bin/id", "EACCES"), self.blocked("/usr/bin/id", layers=NO_NAMESPACES))

    def test_landlock_is_named_for_what_is_no_file(self):
        self.assertIn(("landlock", "kill", None, "EPERM"), self.blocked("kill -0 %d" % os.getpid(), layers=NO_NAMESPACES))
        script = "use Socket; socket(S, AF_INET, SOCK_STREAM, 0); connect(S, pack_sockaddr_in(9, INADDR_LOOPBACK)) or exit 1"
        node = {"path": "/usr/bin/perl", "repeatable": True, "end_of_options": False, "options": SHELL["options"] | {"-e": {"value": {"text": [0, 900]}, "spelling": "separate"}},
                "sandbox": {"network": {"connect_tcp": [80]}, "read": ["/usr/lib", "/usr/share/perl", "/usr/share/perl5", "/etc/perl"]}}
        _, result = self.run_json(self.policy({"perl": node}), ["perl", "-e", script], "--diagnose")
        refused = [one for one in result["sandbox"]["blocked"] if one["call"] == "connect"]
        self.assertEqual([(one["layer"], one["errno"], "connect_tcp" in one["hint"]) for one in refused], [("landlock", "EACCES", True)], result)

    def test_a_cover_is_named_where_one_lies_over_what_is_denied(self):
        for name in (".env", "sub/.ssh/id"):
            os.chmod(self.write("ws/" + name, "hunter2\n"), 0)
        os.symlink("sub", os.path.join(self.ws, "link"))
        node = dict(SHELL, repeatable=True, sandbox={"exec": HELPERS + ["/usr/bin/mv", "/usr/bin/rm"], "write": [self.ws]})
        policy = self.policy({"dash": node}, defaults={"deny_paths": ["**/.env", "**/.ssh/**"]})
        for script, call, path, error in (("cat .env", "openat", ".env", "EACCES"), ("cat link/../.env", "openat", ".env", "EACCES"),
                                          ("cat link/.ssh/id", "openat", "link/.ssh/id", "ENOENT"), ("echo > sub/.ssh/new", "openat", "sub/.ssh/new", "EROFS"),
                                          ("rm -f .env", "unlinkat", ".env", "EBUSY"), ("cat absent", "openat", "absent", None)):
            _, result = self.run_json(policy, ["dash", "-c", script], "--diagnose")
            found = [one for one in result["sandbox"]["blocked"] if one["path"] == os.path.join(self.ws, path)]
            named = [(one["layer"], one["call"], one["errno"]) for one in found]
            self.assertEqual(named, [("deny_paths", call, error)] if error else [], (script, result))

    def test_what_is_kept_where_it_is_has_a_cause(self):
        self.write("ws/sub/.env", "x\n")
        node = dict(SHELL, sandbox={"exec": ["/usr/bin/mv"], "write": [self.ws]})
        policy = self.policy({"dash": node}, defaults={"deny_paths": ["**/.env"]})
        _, result = self.run_json(policy, ["dash", "-c", "mv sub other"])
        self.assertEqual([(one["layer"], one["errno"], "deny_paths" in one["hint"]) for one in result["sandbox"]["blocked"]], [("mount_namespace", "EBUSY", True)], result)

    def test_a_relative_path_is_named_from_where_it_goes(self):
        deep, kept = self.write("ws/sub/deep/.env", "x\n"), self.write("ws/sub/kept", "x\n")
        for layers, error in (({}, "EACCES"), (NO_NAMESPACES, "EACCES")):
            node = dict(SHELL, repeatable=True, sandbox={"exec": ["/usr/bin/grep", "/usr/bin/find", "/usr/bin/rm", "/usr/bin/cat"], "read": [self.ws], "layers": layers})
            policy = self.policy({"dash": node}, defaults={"deny_paths": ["**/.env"]})
            write = "EROFS" if layers == {} else "EACCES"
            for script, call, path, errno in (("grep -r x .", "openat", deep, error), ("cd sub && grep -r x deep", "openat", deep, error),
                                              ("cd sub; cd deep; cat .env", "openat", deep, error), ("cd sub/deep; (cd ..; cat deep/.env)", "openat", deep, error),
                                              ("cd /; cd %s/sub; cat deep/.env" % self.ws, "openat", deep, error),
                                              ("cd sub/deep; cat ../../sub/deep/.env", "openat", deep, error),
                                              ("find . -name kept -delete", "unlinkat", kept, write), ("rm -rf sub", "unlinkat", kept, write),
                                              ("cd sub/deep && rm ../kept", "unlinkat", kept, write),
                                              ("find . -name .env -execdir cat {} +", "openat", deep, error), ("cd sub/deep; : > ../new", "openat", self.ws + "/sub/new", write)):
                with self.subTest(script=script, layers=layers):
                    _, result = self.run_json(policy, ["dash", "-c", script], "--diagnose")
                    found = [(one["call"], one["path"], one["errno"]) for one in result["sandbox"]["blocked"]]
                    self.assertIn((call, path, errno), found)
                    self.assertNotIn(None, [one["path"] if one["call"] == call else "" for one in result["sandbox"]["blocked"]])

    def diagnosed(self, path, argv, *options, node=None, defaults=None, **sandbox):
        command = {"path": path, "syntax": "raw", "repeatable": True, "sandbox": sandbox,
                   "operands": [{"name": "a", "type": {"text": [0, 4000], "multiline": True}, "count": [0, 20]}], **(node or {})}
        name = os.path.basename(path)
        return self.run_json(self.policy({name: command}, defaults=defaults or {}), [name] + argv, "--diagnose", *options)[1]

    def test_what_fails_by_itself_is_blamed_on_nothing(self):
        os.mkdir(self.ws + "/sub")
        for path, argv, sandbox in (("/usr/bin/perl", ["-e", "die 1"], {}), ("/usr/bin/grep", ["zz", "file"], {"read": [self.ws]}), ("/usr/bin/ls", ["nope"], {"read": [self.ws]}),
                                    ("/usr/bin/mkdir", ["sub"], {"write": [self.ws]}), ("/usr/bin/find", ["nope"], {"read": [self.ws]}), ("/usr/bin/bash", ["-c", "exit 3"], {}),
                                    ("/usr/bin/python3", ["-c", "raise SystemExit(3)"], {"read": ["/usr/lib"]}), ("/usr/bin/cp", ["nope", "x"], {"write": [self.ws]}),
                                    ("/usr/bin/id", ["nosuch"], {"bundles": ["nss"]}), ("/usr/bin/xargs", ["-a", "file", "/usr/bin/false"], {"read": [self.ws], "exec": ["/usr/bin/false"]})):
            result = self.diagnosed(path, argv, **sandbox)
            self.assertEqual((result["success"], result["sandbox"]["blocked"]), (False, []), (argv, result))
            self.assertIn("the second run failed too, and the confinement refused it nothing", result["sandbox"]["diagnosis"])
        result = self.diagnosed("/usr/bin/perl", ["-e", "die 1"])
        self.assertIn("nothing but what programs mostly do without: /proc/self/exe", result["sandbox"]["diagnosis"])

    def test_the_hint_names_what_in_the_policy_does_it(self):
        self.write("ws/.env", "x\n")
        self.write("ws/kept/a", "x\n")
        script = self.write("ws/script", "#!/usr/bin/perl\nprint 1\n", 0o755)
        read, write = {"read": [self.ws]}, {"write": [self.ws], "read_only": [self.ws + "/kept"]}
        dash, cat, layers = "/usr/bin/dash", "/usr/bin/cat", {"layers": NO_NAMESPACES}
        for path, argv, sandbox, layer, hint in (
                (cat, [".env"], read, "deny_paths", "deny_paths of the policy matches it"),
                (dash, ["-c", "echo > kept/new"], write, "mount_namespace", "read_only of the policy keeps %s/kept" % self.ws),
                (dash, ["-c", "echo > kept/a"], dict(write, **layers), "landlock", "read_only of the policy keeps %s/kept" % self.ws),
                ("/usr/bin/mkdir", ["n"], read, "mount_namespace", "(sandbox.write, of its directory %s)" % self.ws),
                ("/usr/bin/mktemp", [], {}, "mount_namespace", "(sandbox.tmp \"private\" gives a /tmp)"),
                ("/usr/bin/ps", [], {}, "mount_namespace", "(sandbox.proc gives a /proc)"),
                ("/usr/bin/bash", ["-c", "cat <(echo)"], {"exec": [cat]}, "mount_namespace", "(sandbox.proc gives a /proc)"),
                (dash, ["-c", script], {"exec": [script], "read": [self.ws]}, "mount_namespace", "its interpreter /usr/bin/perl"),
                ("/usr/bin/perl", ["-e", "socket(S, 1, 1, 0) or die 'socket: Operation not permitted'"], {}, "seccomp", "(sandbox.unix_sockets)"),
                ("/usr/bin/perl", ["-e", "socket(S, 17, 3, 0) or die $!"], {}, "seccomp", "sockets of this family"),
                ("/usr/bin/bash", ["-c", "echo > /dev/tcp/192.0.2.1/53"], {"network": "loopback"}, "network", "only its loopback")):
            result = self.diagnosed(path, argv, node={"trust": "caller"}, defaults={"deny_paths": ["**/.env"]}, **sandbox)
            found = [(one["layer"], one["hint"]) for one in result["sandbox"]["blocked"]]
            self.assertTrue([one for one in found if one[0] == layer and hint in one[1]], (argv, hint, found, result["sandbox"]["diagnosis"], result["stderr"]))

    def test_the_hint_names_the_key_that_grants_no_more_than_it_needs(self):
        dash, cat = "/usr/bin/dash", "/usr/bin/cat"
        for argv, sandbox, path, hint in ((["-c", "echo > /dev/shm/safe-exec-test"], {}, "/dev/shm/safe-exec-test", 'sandbox.tmp "private" gives a /dev/shm'),
                                          (["-c", "id"], {"exec": [cat]}, "/usr/bin/id", "(sandbox.exec)"),
                                          (["-c", "[ -x /usr/bin/id ]"], {"exec": [cat]}, "/usr/bin/id", "(sandbox.exec)"),
                                          (["-c", "[ -w %s ]" % self.file], {"read": [self.ws]}, self.file, "(sandbox.write)"),
                                          (["-c", "[ -w %s ]" % self.file], {"exec": [cat]}, self.file, "(sandbox.write)"),
                                          (["-c", "echo > $NO_HOME/a"], {}, "/a", "(nothing is made in / itself"),
                                          (["-c", "cat /etc/passwd"], {"exec": [cat]}, "/etc/passwd", '(sandbox.bundles "nss")'),
                                          (["-c", "cat /etc/nsswitch.conf"], {"exec": [cat]}, "/etc/nsswitch.conf", '(sandbox.bundles "nss" or "dns")'),
                                          (["-c", "cat /etc/hosts"], {"exec": [cat]}, "/etc/hosts", '(sandbox.bundles "dns")'),
                                          (["-c", "cat /etc/ssl/openssl.cnf"], {"exec": [cat]}, "/etc/ssl/openssl.cnf", '(sandbox.bundles "tls")'),
                                          (["-c", "cat /usr/share/zoneinfo/UTC"], {"exec": [cat]}, "/usr/share/zoneinfo/UTC", '(sandbox.bundles "tz")'),
                                          (["-c", "cat /etc/hosts"], {"exec": [cat], "layers": NO_NAMESPACES}, "/etc/hosts", '(sandbox.bundles "dns")'),
                                          (["-c", "echo > /etc/hosts"], {"bundles": ["dns"]}, "/etc/hosts", "(sandbox.write)")):
            if os.getuid() != 0 and "layers" not in sandbox and argv[1].endswith("> /etc/hosts"):
                continue  # its own mode refuses it
            with self.subTest(argv=argv):
                result = self.diagnosed(dash, argv, **sandbox)
                found = [one["hint"] for one in result["sandbox"]["blocked"] if one["path"] == path]
                self.assertEqual([hint in one for one in found], [True] * max(len(found), 1), (found, result))
        result = self.diagnosed(dash, ["-c", "echo > /dev/shm/safe-exec-test && cat /tmp/safe-exec-test"], exec=[cat], tmp="private")
        self.assertTrue(result["success"], result)

    def test_raw_output_tells_it_on_standard_error(self):
        node = dict(SHELL, repeatable=True, sandbox={"exec": ["/usr/bin/cat", "/usr/bin/sleep"]})
        policy = self.policy({"dash": node})
        command = ["run", "--policy", policy, "--output", "raw", "--diagnose", "--timeout", "300ms", "--", "dash", "-c"]
        status, out, err = self.call(command + ["echo o; cat %s; printf end >&2; exit 7" % self.secret])
        lines = err.decode().splitlines()
        self.assertEqual((status, out), (7, b"o\n"), err)
        self.assertEqual((lines[-3], lines[-1]), ("end", "safe-exec: diagnosis: seen in a second run"), err)
        self.assertTrue(lines[-2].startswith("safe-exec: blocked: mount_namespace openat %s ENOENT: not granted" % self.secret), err)
        status, out, err = self.call(command + ["sleep 9"])
        self.assertEqual((status, err.splitlines()[0]), (124, b"safe-exec: timed_out: wall, 300 ms"), err)
        _, _, err = self.call(["run", "--policy", policy, "--output", "raw", "--", "dash", "-c", "echo x: Permission denied >&2; exit 1"])
        self.assertEqual([line.split(b": the policy")[0] for line in err.splitlines()], [b"x: Permission denied", b"safe-exec: blocked: landlock EACCES"], err)
        self.assertEqual(self.call(["run", "--policy", policy, "--output", "raw", "--", "dash", "-c", "printf x >&2; exit 1"]), (1, b"", b"x"))
        full = self.policy({"dash": dict(SHELL, limits={"file_mib": 1}, sandbox={"write": [self.ws], "exec": ["/usr/bin/perl"]})})
        _, _, err = self.call(["run", "--policy", full, "--output", "raw", "--", "dash", "-c", "exec perl -e 'open F, q(>big); print F q(x) x 3e6'"])
        self.assertEqual(err, b"safe-exec: limit_exceeded: file_size\n")

    def test_a_denial_names_the_pattern_that_protects_the_path(self):
        self.write("ws/key.pem", "x\n")
        self.write("ws/.ssh/id", "x\n")
        os.symlink("key.pem", os.path.join(self.ws, "link"))
        files = {"name": "f", "type": {"path": "read", "within": ["${start_dir}"]}, "count": [0, 9]}
        node = {"path": "/usr/bin/cat", "operands": [files], "cwd": ["${start_dir}"], "stdin": {"path": "read", "within": ["${start_dir}"]}}
        policy = self.policy({"cat": node}, defaults={"deny_paths": ["**/*.key", "**/*.pem", "**/.ssh/**"]})
        for argv, options, glob in ((["key.pem"], (), "**/*.pem"), (["absent.pem"], (), "**/*.pem"), (["link"], (), "**/*.pem"), ([".ssh/id"], (), "**/.ssh/**"),
                                    ([], ("--stdin", "key.pem"), "**/*.pem"), ([], ("--cwd", self.ws + "/.ssh"), "**/.ssh/**")):
            denied = self.run_json(policy, ["cat"] + argv, *options)[1]["denied"]
            self.assertEqual((denied["code"], "is protected by deny_paths (%s)" % glob in denied["message"]), ("path_denied", True), denied)

    def test_what_programs_do_without_is_told_beside_what_was_refused(self):
        result = self.diagnosed("/usr/bin/perl", ["-e", "open(F, '%s') or die $!" % self.secret])
        self.assertIn(self.secret, [one["path"] for one in result["sandbox"]["blocked"]])
        self.assertEqual(result["sandbox"]["diagnosis"], "seen in a second run; beside it what programs mostly do without: /proc/self/exe")
        python, read = "/usr/bin/python3", {"read": ["/usr/lib"]}
        for path, argv, sandbox, missed, bundle in ((python, ["-c", "import zoneinfo; zoneinfo.ZoneInfo('Europe/Berlin')"], read, "/usr/share/zoneinfo/Europe/Berlin", "tz"),
                                                    (python, ["-c", "import os, pwd; pwd.getpwuid(os.getuid())"], read, "/etc/passwd", "nss"),
                                                    ("/usr/bin/id", ["-un"], {}, "/etc/passwd", "nss")):
            result = self.diagnosed(path, argv, **sandbox)
            found = {one["path"]: one["hint"] for one in result["sandbox"]["blocked"]}
            self.assertIn('sandbox.bundles "%s"' % bundle, found.get(missed, ""), result)
        self.assertNotIn("/etc/passwd", [one["path"] for one in self.diagnosed(python, ["-c", "import os; os.path.expanduser('~'); exit(1)"], **read)["sandbox"]["blocked"]])

    def test_what_the_policy_names_and_was_not_there_is_not_to_be_granted_again(self):
        build, socket, elsewhere = (os.path.join(self.ws, name) for name in ("top/build", "server.sock", "other"))
        perl = "use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0) or die qq(%s: $!)" % socket
        for layers in ({}, NO_NAMESPACES):
            for path, argv, sandbox in (("/usr/bin/mkdir", ["top"], {"read": [self.ws], "write": [build]}), ("/usr/bin/mkdir", ["-p", build], {"read": [self.ws], "write": [build]}),
                                        ("/usr/bin/perl", ["-e", perl], {"read": ["/usr/lib"], "unix_sockets": [socket]})):
                result = self.diagnosed(path, argv, layers=layers, **sandbox)
                named = build if "write" in sandbox else socket
                self.assertEqual([one["hint"].startswith("the policy names %s, but it was not there when the run began" % named) for one in result["sandbox"]["blocked"]], [True], result)
        result = self.diagnosed("/usr/bin/mkdir", ["other"], read=[self.ws, elsewhere], write=[build])
        self.assertEqual([hint for hint in (one["hint"] for one in result["sandbox"]["blocked"]) if "sandbox.write, of its directory" not in hint], [], result)
        policy = self.policy({"mkdir": {"path": "/usr/bin/mkdir", "sandbox": {"read": [self.ws], "write": [build], "exec": ["/usr/bin/nosuch"], "unix_sockets": [socket, self.file]}}})
        for missing in ([build, "/usr/bin/nosuch", socket], ["/usr/bin/nosuch", socket]):
            _, out, _ = self.call(["check", "--policy", policy, "--explain", "--", "mkdir"])
            self.assertEqual(json.loads(out)["confinement"]["missing"], missing, out)
            os.makedirs(build, exist_ok=True)
        _, out, _ = self.call(["check", "--policy", self.policy({"mkdir": {"path": "/usr/bin/mkdir", "sandbox": {"read": [self.ws]}}}), "--explain", "--", "mkdir"])
        self.assertNotIn("missing", json.loads(out)["confinement"])

    def test_a_program_that_exec_names_and_trust_does_not_take_is_told(self):
        tool, tools = self.write("ws/tool", "#!/bin/dash\necho ran\n", 0o755), os.path.join(self.ws, "tools")
        os.mkdir(tools)
        os.chmod(tools, 0o777)
        if os.getuid() == 0:
            os.chown(tool, 12345, 12345)
        node = {"sandbox": {"read": [self.ws], "exec": ["/bin/dash", "/usr/bin/dash", tool, tools]}, "repeatable": True}
        for trust in ("root", "caller"):
            policy = self.policy({"dash": dict(SHELL, trust=trust, **node)})
            _, out, _ = self.call(["check", "--policy", policy, "--explain", "--", "dash", "-c", tool])
            said = {one["path"]: one["reason"] for one in json.loads(out)["confinement"].get("untrusted", [])}
            self.assertIn(tools + " is writable by", said.pop(tools, ""), out)
            _, result = self.run_json(policy, ["dash", "-c", tool], "--diagnose")
            if trust == "caller" and os.getuid() != 0:
                self.assertEqual((said, result["stdout"]), ({}, "ran\n"), result)
                continue
            self.assertEqual(list(said), [tool])
            self.assertIn("is owned by uid", said[tool])
            self.assertEqual(result["stdout"], "", result)
            hints = [one["hint"] for one in result["sandbox"]["blocked"] if one["path"] == tool]
            self.assertTrue(hints and all(said[tool] in hint and "sandbox.exec" in hint for hint in hints), result)

    def test_limits_are_named_in_the_second_run_as_in_the_first(self):
        python, read = "/usr/bin/python3", {"read": ["/usr/lib"], "write": [self.ws]}
        for script, limits, hint in (("import signal; signal.signal(25, 1)\nf = open('big', 'wb'); f.write(b'x' * 5000000); f.flush()", {"file_mib": 1}, "limits.file_mib"),
                                     ("l = [open('/dev/null') for _ in range(40)]", {"open_files": 20}, "limits.open_files"),
                                     ("bytearray(3 << 30)", {}, "data_mib")):
            result = self.diagnosed(python, ["-c", script], node={"limits": limits}, **read)
            self.assertIn(hint, "".join(one["hint"] for one in result["sandbox"]["blocked"] if one["layer"] == "limits"), result)

    def test_limits_are_concluded_from_what_programs_say_of_them(self):
        for path, argv, limits, error in (("/usr/bin/perl", ["-e", "open($f{$_}, '<', '/dev/null') or die $! for 1 .. 40"], {"open_files": 20}, "EMFILE"),
                                          ("/usr/bin/dash", ["-c", "echo dash: 1: Cannot fork >&2; exit 2"], {}, "EAGAIN"),
                                          ("/usr/bin/python3", ["-c", "bytearray(3 << 30)"], {}, "ENOMEM"), ("/usr/bin/perl", ["-e", "$x = 'a' x 3000000000"], {}, "ENOMEM")):
            node = {"path": path, "syntax": "raw", "limits": limits, "sandbox": {"read": ["/usr/lib"]},
                    "operands": [{"name": "a", "type": {"text": [0, 4000]}, "count": [0, 20]}]}
            _, result = self.run_json(self.policy({"c": node}), ["c"] + argv)
            self.assertEqual([(one["layer"], one["errno"]) for one in result["sandbox"]["blocked"]], [("limits", error)], result)

    def test_limits_that_ended_a_child_are_concluded_from_what_the_shell_says(self):
        perl = {"exec": ["/usr/bin/perl"], "write": [self.ws]}
        for script, limits, signal, key in (("perl -e 'while (1) {}'; exit 1", {"cpu_s": 1}, "SIGXCPU", "limits.cpu_s"),
                                            ("perl -e 'open F, q(>big); print F q(x) x 3e6'; exit 1", {"file_mib": 1}, "SIGXFSZ", "limits.file_mib")):
            for options in ((), ("--diagnose",)):
                _, result = self.run_shell(script, *options, node={"limits": limits, "repeatable": True, "sandbox": perl})
                found = [(one["layer"], one["errno"], key in one["hint"], one["observed"]) for one in result["sandbox"]["blocked"]]
                self.assertEqual((result["outcome"]["type"], found[:1]), ("exited", [("limits", signal, True, False)]), result)
        _, result = self.run_shell("echo 'died with <Signals.SIGXCPU: 24>.' >&2; exit 1")  # as python's subprocess has it
        self.assertEqual([(one["layer"], one["errno"]) for one in result["sandbox"]["blocked"]], [("limits", "SIGXCPU")], result)
        _, result = self.run_shell("echo CPU time limit exceeded >&2; exit 1", node={"limits": {"cpu_s": 0}})
        self.assertEqual(result["sandbox"]["blocked"], [])

    def test_the_last_calls_are_those_that_are_kept(self):
        result = self.diagnosed("/usr/bin/perl", ["-e", "for (1 .. 3000) { -e qq(/nonexistent/$_) } open(F, '%s') or die $!" % self.secret])
        self.assertIn(self.secret, [one["path"] for one in result["sandbox"]["blocked"]])
        deep = self.write("/".join(["x" * 100] * 6) + "/file", "x")
        result = self.diagnosed("/usr/bin/cat", [deep])
        self.assertIn(deep, [one["path"] for one in result["sandbox"]["blocked"]])

    def test_who_is_told_to_stop_starts_nothing_again(self):
        node = dict(SHELL, repeatable=True, sandbox={"exec": ["/usr/bin/sleep"], "write": [self.ws]})
        process = self.popen(["run", "--policy", self.policy({"dash": node}), "--diagnose", "--", "dash", "-c", "echo x >> mark; sleep 9; exit 3"])
        while not os.path.exists(self.ws + "/mark"):
            time.sleep(0.01)
        process.terminate()
        result = json.loads(process.communicate(timeout=30)[0])
        self.assertEqual((result["outcome"]["type"], result["sandbox"]["diagnosis"]), ("cancelled", "not made: safe-exec was told to stop"))
        with open(self.ws + "/mark") as f:
            self.assertEqual(f.read(), "x\n")

    def test_what_only_the_sandbox_makes_so_is_its_own_doing(self):
        os.chmod(self.file, 0o755)
        link = os.path.join(self.ws, "link")
        os.symlink(self.secret, link)
        grants = {"exec": ["/usr/bin/chmod", "/usr/bin/cat", "/usr/bin/ln"], "write": [self.ws], "read": ["/usr/lib", "/usr/bin"]}
        for script, expected in (("[ -x %s ] || exit 1" % self.file, ("mount_namespace", "faccessat2", self.file, "EACCES")),
                                 ("chmod u+s " + self.file, ("seccomp", "fchmodat", self.file, "EPERM")),
                                 ("cat " + link, ("mount_namespace", "openat", link, "ENOENT")),
                                 ("ln /usr/bin/cat " + self.ws, ("mount_namespace", "linkat", None, "EXDEV"))):
            self.assertIn(expected, self.blocked(script, **grants))
        self.write("ws/.env", "SECRET=1\n")
        node = dict(SHELL, repeatable=True, sandbox={"write": [self.ws], "layers": NO_NAMESPACES})
        policy = self.policy({"dash": node}, defaults={"deny_paths": ["**/.env"]})
        for script, hint in (("read x < .env", "matches it"), ("echo > new", "without a mount namespace nothing in it can be created")):
            _, result = self.run_json(policy, ["dash", "-c", script], "--diagnose")
            found = [one for one in result["sandbox"]["blocked"] if one["path"] == os.path.join(self.ws, script.split()[-1])]
            self.assertEqual([(one["layer"], hint in one["hint"]) for one in found], [("deny_paths", True)], result)

    def test_a_files_own_mode_is_not_blamed_on_a_layer(self):
        os.chmod(self.file, 0)
        found = self.blocked("cat " + self.file)
        self.assertIn(("file_permissions", "openat", self.file, "EACCES"), found)
        os.chmod(self.file, 0o444)
        for layers in ({}, NO_NAMESPACES):  # which Landlock would not refuse
            found = self.blocked("[ -w %s ] || exit 1" % self.file, layers=layers, write=[self.ws], read=["/usr/lib"])
            self.assertEqual({one[0] for one in found if one[1].startswith("faccessat")}, {"file_permissions"}, found)

    def test_the_mode_of_a_directory_is_not_blamed_on_a_layer(self):
        path = self.write("ws/closed/file", "text\n")
        os.chmod(os.path.dirname(path), 0o555)
        for layers in ({}, NO_NAMESPACES):
            found = self.blocked("rm " + path, layers=layers, exec=["/usr/bin/rm"], write=[self.ws], read=["/usr/lib"])
            self.assertIn(("file_permissions", "unlinkat", path, "EACCES"), found)
        os.chmod(os.path.dirname(path), 0)
        found = self.blocked("cat " + path)
        self.assertIn(("file_permissions", "openat", path, "EACCES"), found)
        os.chmod(os.path.dirname(path), 0o755)

    def test_whom_a_group_would_let_in_is_kept_out_by_a_layer(self):
        if os.getuid() != 0:  # nobody else gives a file to a group that is not his own
            return
        shared = self.write("ws/shared", "text\n", 0o640)
        os.chown(shared, 0, 54321)

        def a_member():
            os.setgroups([54321])
            os.setresgid(12345, 12345, 12345)
            os.setresuid(12345, 12345, 12345)
        node = {"repeatable": True, "sandbox": {"exec": HELPERS, "layers": NO_NAMESPACES}}
        _, result = self.run_shell("cat " + shared, "--diagnose", node=node, preexec_fn=a_member)
        self.assertIn(("landlock", shared, "EACCES"), [(one["layer"], one["path"], one["errno"]) for one in result["sandbox"]["blocked"]], result)

    def test_a_file_system_that_is_read_only_for_all_is_not_blamed_on_a_layer(self):
        if os.getuid() != 0:
            return
        os.mkdir(self.ws + "/mounted")
        policy = self.policy({"dash": dict(SHELL, repeatable=True, sandbox={"write": [self.ws]})})
        result = self.run_mounted("mount -t tmpfs -o ro tmpfs %s/mounted" % self.ws, policy, ["dash", "-c", "echo x > mounted/file"], "--diagnose")
        self.assertEqual([(one["layer"], one["errno"]) for one in result["sandbox"]["blocked"]], [("kernel", "EROFS")], result)

    def test_what_is_not_there_without_a_sandbox_either_is_no_refusal(self):
        for name in ("ws/nothere", "nothere", "ws/file/below"):
            result = self.run_it("cat " + os.path.join(self.dir, name), "--diagnose")
            self.assertEqual(result["sandbox"]["blocked"], [], result)
            self.assertIn("refused it nothing", result["sandbox"]["diagnosis"])
        new = self.write("out/file", "")[:-4] + "new"
        self.assertIn(("mount_namespace", "openat", new, "ENOENT"), self.blocked("touch " + new))

    def test_of_two_paths_the_one_is_not_blamed_for_the_other(self):
        inside = self.write("ws/in/file", "text\n")
        self.write("out/file", "text\n")
        grants = {"exec": ["/usr/bin/ln", "/usr/bin/mv"], "write": [self.ws + "/in"]}
        self.assertIn(("mount_namespace", "linkat", None, "EROFS"), self.blocked("ln %s %s/new" % (inside, self.ws), read=[self.ws], **grants))
        self.assertIn(("mount_namespace", "renameat2", None, "ENOENT"), self.blocked("mv -T %s %s/out/new" % (inside, self.dir), read=["/usr/lib"], **grants))

    def test_what_was_refused_to_a_child_is_seen_too(self):
        found = self.blocked("( /usr/bin/setsid /usr/bin/cat %s ) & wait $!; exit 3" % self.secret)
        self.assertIn(("mount_namespace", "openat", self.secret, "ENOENT"), found)

    def test_the_second_run_is_confined_as_the_first(self):
        for layers in ({}, NO_NAMESPACES):
            result = self.run_it("cat %s; chmod 777 %s; echo x > %s; exit 7" % (self.secret, self.file, self.file), "--diagnose", layers=layers)
            self.assertEqual(result["exit_code"], 7)
            self.assertNotIn("hunter2", result["stdout"])
            with open(self.file) as f:
                self.assertEqual(f.read(), "text\n")
            self.assertEqual(os.stat(self.file).st_mode & 0o777, 0o644)

    def test_only_what_the_policy_marks_is_run_again(self):
        mark = os.path.join(self.ws, "runs")
        result = self.run_it("echo run >> %s; exit 1" % mark, "--diagnose", repeatable=False, write=[self.ws])
        self.assertIn("may be repeated", result["sandbox"]["diagnosis"])
        with open(mark) as f:
            self.assertEqual(f.read(), "run\n")

    def test_a_success_is_not_run_again_and_neither_is_it_without_being_asked(self):
        mark = os.path.join(self.ws, "runs")
        for script, options in (("echo run >> %s" % mark, ["--diagnose"]), ("echo run >> %s; exit 1" % mark, [])):
            result = self.run_it(script, *options, write=[self.ws])
            self.assertNotIn("diagnosis", result["sandbox"])
        with open(mark) as f:
            self.assertEqual(f.read(), "run\nrun\n")

    def test_standard_input_is_given_twice_or_no_second_run_is_made(self):
        node = {"repeatable": True, "stdin": "text", "sandbox": {"exec": HELPERS}}
        policy = self.policy({"dash": dict(SHELL, **node)})
        status, result = self.run_json(policy, ["dash", "-c", "read word; cat /etc/$word"], "--diagnose", "--stdin", "-", input=b"shadow\n")
        self.assertIn("cannot be read twice", result["sandbox"]["diagnosis"])
        request = '{"argv": ["dash", "-c", "read word; cat /etc/$word"], "stdin": "shadow\\n"}'
        status, out, _ = self.call(["run", "--policy", policy, "--diagnose", "--request", "-"], input=request.encode())
        self.assertIn(b'"path":"/etc/shadow"', out)

    def test_an_output_file_that_the_first_run_did_not_write_is_there_for_the_second(self):
        slot = {"name": "f", "type": {"path": "create", "within": ["${start_dir}"]}}
        policy = self.policy({"dash": dict(SHELL, operands=[slot], repeatable=True, sandbox={"exec": HELPERS})})
        _, result = self.run_json(policy, ["dash", "-c", "cat /etc/shadow", "new"], "--diagnose")
        self.assertEqual(result["sandbox"]["diagnosis"], "seen in a second run")
        self.assertNotIn("new", os.listdir(self.ws))

    def test_without_a_second_run_the_layer_is_concluded_from_what_was_said(self):
        result = self.run_it("chmod 777 " + self.file)
        self.assertEqual([(one["layer"], one["errno"], one["observed"]) for one in result["sandbox"]["blocked"]], [("seccomp", "EPERM", False)])
        self.assertIn("--diagnose", result["sandbox"]["blocked"][0]["hint"])
        result = self.run_it("cat " + self.secret, layers=NO_NAMESPACES)
        self.assertEqual([(one["layer"], one["errno"]) for one in result["sandbox"]["blocked"]], [("landlock", "EACCES")])
        self.assertEqual(self.run_it("exit 1")["sandbox"]["blocked"], [])
        for said, name in (("open x: permission denied", "EACCES"), ("Error: EPERM: x", "EPERM"), ("xEPERMx", None), ("Read-only file system", "EROFS"),
                           ("Cannot fork: Resource temporarily unavailable", "EAGAIN"), ("mmap: Cannot allocate memory", "ENOMEM")):
            for end in ("exit 1", "kill -ABRT $$"):
                result = self.run_it("echo '%s' >&2; %s" % (said, end))
                self.assertEqual([one["errno"] for one in result["sandbox"]["blocked"]], [name] if name else [], result)

    def test_modes_are_concluded_without_a_second_run(self):
        os.chmod(self.file, 0o444)
        closed = os.path.join(self.ws, "closed")
        os.mkdir(closed, 0o555)
        operand = {"type": {"path": "write", "kind": "file", "within": [self.ws]}}
        node = {"path": "/usr/bin/tee", "operands": [dict(operand, name="file")], "sandbox": {"write": [closed]}}
        other = self.write("ws/other", "")
        for where, refused in ((self.file, [self.file, closed]), (other, [])):
            _, result = self.run_json(self.policy({"tee": node}), ["tee", where])
            found = [(one["layer"], one["path"], one["errno"], one["observed"]) for one in result["sandbox"]["blocked"]]
            self.assertCountEqual(found, [("file_permissions", path, "EACCES", False) for path in refused], result)
            self.assertTrue(all(("root" in one["hint"]) == (os.geteuid() == 0) for one in result["sandbox"]["blocked"]), result)
        result = self.run_it("echo x: Permission denied >&2; exit 1", write=[closed])  # by whatever: the directory is no operand
        self.assertCountEqual([(one["layer"], one["path"]) for one in result["sandbox"]["blocked"]],
                              [("file_permissions", closed), ("landlock", None)], result)
        # What is granted around something denied is named once, as it is granted.
        for name in (".env", "a", "b"):
            self.write("ws/full/" + name, "")
        full = os.path.join(self.ws, "full")
        os.chmod(full, 0o555)
        node = dict(SHELL, sandbox={"write": [full], "exec": HELPERS})
        _, result = self.run_json(self.policy({"dash": node}, defaults={"deny_paths": ["**/.env"]}), ["dash", "-c", "echo > full/new"])
        self.assertEqual([one["path"] for one in result["sandbox"]["blocked"] if one["layer"] == "file_permissions"], [full], result)
        sed = {"path": "/usr/bin/sed", "options": {"-i": {}}, "operands": [{"name": "script", "type": {"enum": ["s/a/b/"]}},
               {"name": "file", "type": {"path": "replace", "kind": "file", "within": [self.ws]}}]}
        path = self.write("ws/dir/file", "text\n")
        os.chmod(os.path.dirname(path), 0o555)
        _, result = self.run_json(self.policy({"sed": sed}), ["sed", "-i", "s/a/b/", path])
        self.assertEqual([(one["path"], "its directory" in one["hint"]) for one in result["sandbox"]["blocked"]], [(path, True)], result)

    def test_without_mounts_what_needs_them_is_named(self):
        def refused():
            outer.refuse(outer.NO_NAMESPACES)
        node = dict(SHELL, sandbox={"exec": ["/usr/bin/mktemp"], "tmp": "private"})
        _, result = self.run_json(self.policy({"dash": node}), ["dash", "-c", "mktemp -p /tmp"], preexec_fn=refused)
        self.assertIn(("mount_namespace", "/tmp"), [(one["layer"], one["path"]) for one in result["sandbox"]["blocked"]], result)
        self.assertIn("a private /tmp needs a mount namespace", result["sandbox"]["layers"]["mount_namespace"]["detail"])
        sed = {"path": "/usr/bin/sed", "options": {"-i": {}}, "operands": [{"name": "script", "type": {"enum": ["s/a/b/"]}},
               {"name": "file", "type": {"path": "replace", "kind": "file", "within": [self.ws]}}], "sandbox": {"read_only": [self.ws + "/.git"]}}
        self.write("ws/.git/config", "")
        _, result = self.run_json(self.policy({"sed": sed}), ["sed", "-i", "s/a/b/", self.file], preexec_fn=refused)
        self.assertEqual((result["error"]["code"], result["error"]["step"]), ("sandbox_unavailable", "read_only"), result)
        self.assertIn("write it in place", result["error"]["hint"])

    def test_without_mounts_a_directory_is_said_to_be_fixed_and_why(self):
        self.write("ws/.env", "x\n")
        self.write("ws/.git/config", "")
        self.write("ws/sub/b", "")
        os.chmod(self.ws + "/sub", 0o555)
        sub = {"path": "/usr/bin/dash", "sandbox": {"exec": ["/usr/bin/mkdir", "/usr/bin/rm", "/usr/bin/mv"], "write": [self.ws], "layers": NO_NAMESPACES}}
        for kept, denied, layer, words in (([self.ws + "/.git"], [], "landlock", "read_only names something in " + self.ws), ([], ["**/.env"], "deny_paths", "deny_paths match something in " + self.ws)):
            node = dict(SHELL, **sub, repeatable=True)
            node["sandbox"] = dict(sub["sandbox"], read_only=kept)
            policy = self.policy({"dash": node}, defaults={"deny_paths": denied})
            why = words + ", and without a mount namespace nothing in it can be created, removed or renamed"
            for script in ("echo > new", "mkdir new", "rm -f file", "mv file new"):
                with self.subTest(script=script, kept=kept):
                    _, result = self.run_json(policy, ["dash", "-c", script])
                    found = [(one["layer"], one["hint"].split(";")[0]) for one in result["sandbox"]["blocked"] if one["errno"] == "EACCES"]
                    self.assertEqual(found, [("landlock", why)], result)
                    self.assertIn("nothing in it can be created", result["sandbox"]["layers"]["landlock"]["detail"])
                    _, result = self.run_json(policy, ["dash", "-c", script], "--diagnose")
                    found = [(one["layer"], one["hint"]) for one in result["sandbox"]["blocked"] if one["errno"] == "EACCES"]
                    self.assertEqual(found, [(layer, why)], result)
            _, result = self.run_json(policy, ["dash", "-c", "echo > sub/new"], "--diagnose")  # which holds nothing of the kind
            self.assertEqual([one["layer"] for one in result["sandbox"]["blocked"]], ["file_permissions"], result)
        sed = {"path": "/usr/bin/sed", "repeatable": True, "options": {"-i": {}}, "operands": [{"name": "script", "type": {"enum": ["s/a/b/"]}},
               {"name": "file", "type": {"path": "replace", "kind": "file", "within": [self.ws]}}], "sandbox": {"layers": NO_NAMESPACES}}
        _, result = self.run_json(self.policy({"sed": sed}, defaults={"deny_paths": ["**/.env"]}), ["sed", "-i", "s/a/b/", self.file], "--diagnose")
        self.assertEqual([(one["layer"], "deny_paths match something in " + self.ws in one["hint"]) for one in result["sandbox"]["blocked"]], [("deny_paths", True)], result)

    def test_what_makes_or_removes_a_name_is_a_matter_of_its_directory(self):
        tar = "/usr/bin/tar"
        directory = "(sandbox.write, of its directory %s)" % self.ws
        for path, argv, sandbox, call, hint in (("/usr/bin/rm", ["-f", "file"], {}, "unlinkat", directory), ("/usr/bin/rm", ["-f", "file"], {"write": [self.file]}, "unlinkat", directory),
                                                ("/usr/bin/mv", ["file", "new"], {}, "renameat2", directory[:-1] + " and that of the other name)"), (tar, ["cf", "n.tar", "file"], {}, "creat", directory)):
            for layers in ({}, NO_NAMESPACES):
                with self.subTest(argv=argv, sandbox=sandbox, layers=layers):
                    result = self.diagnosed(path, argv, read=[self.ws], layers=layers, **sandbox)
                    self.assertEqual([hint in one["hint"] for one in result["sandbox"]["blocked"] if one["call"].startswith(call[:6])][:1], [True], result)

    def test_what_no_grant_lets_is_not_said_to_need_one(self):
        for sandbox in ({"write": [self.ws]}, {"read": [self.ws]}):
            result = self.diagnosed("/usr/bin/mknod", ["new", "c", "1", "3"], **sandbox)
            self.assertEqual(["a command makes no device" in one["hint"] for one in result["sandbox"]["blocked"]], [True], result)
        if os.path.exists("/dev/ptmx") and os.access("/dev/ptmx", os.W_OK):
            for sandbox in ({"write": ["/dev/ptmx"]}, {}):
                result = self.diagnosed("/usr/bin/dash", ["-c", "echo > /dev/ptmx"], **sandbox)
                self.assertEqual(["no grant opens" in one["hint"] for one in result["sandbox"]["blocked"] if one["path"] == "/dev/ptmx"], [True], result)

    def test_what_was_seen_comes_before_what_was_concluded_and_no_cover_is_lost(self):
        denied = self.write("ws/.env", "x\n")
        policy = {"defaults": {"deny_paths": ["**/.env"]}, "read": [self.ws]}
        result = self.diagnosed("/usr/bin/dash", ["-c", "echo error: .env: unsupported file type >&2; exit 1"], **policy)
        self.assertEqual([(one["layer"], one["path"], one["observed"]) for one in result["sandbox"]["blocked"]], [("deny_paths", denied, False)], result)
        self.assertIn("concluded from what the command said", result["sandbox"]["diagnosis"])
        result = self.diagnosed("/usr/bin/dash", ["-c", "cat .env"], exec=["/usr/bin/cat"], **policy)
        self.assertEqual([(one["layer"], one["path"], one["observed"]) for one in result["sandbox"]["blocked"]], [("deny_paths", denied, True)], result)
        script = "import mmap\ntry: mmap.mmap(-1, 4096, prot=7)\nexcept OSError: raise MemoryError"
        result = self.diagnosed("/usr/bin/python3", ["-c", script], read=["/usr/lib"])
        found = [(one["layer"], one["errno"], one["observed"]) for one in result["sandbox"]["blocked"]]
        self.assertIn(("seccomp", "EPERM", True), found)
        self.assertEqual(found[-1], ("limits", "ENOMEM", False), result)

    def test_what_is_granted_and_cannot_be_had_here_is_not_to_be_granted_again(self):
        cat, perl = ["/usr/bin/cat"], ["/usr/bin/perl"]
        inet = "socket(S, 2, 1, 0) or die qq(socket: $!)"
        unix = "socket(S, 1, 1, 0) or die qq(socket: $!)"
        self.assertFalse(os.path.exists("/tmp/safe-exec-no"))
        name = os.path.join(self.ws, "s")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(name)
            for script, sandbox, layer, hint in (("echo > /tmp/safe-exec-no", {"tmp": "private"}, "mount_namespace", "a private /tmp needs a mount namespace"),
                                                 ("cat /proc/self/status", {"proc": "own", "exec": cat}, "mount_namespace", 'proc "own" needs a mount namespace'),
                                                 ("exec perl -e '%s'" % inet, {"network": "loopback", "exec": perl}, "seccomp", "without a network namespace the loopback would be the host's"),
                                                 ("exec perl -e '%s'" % unix, {"unix_sockets": [name], "exec": perl}, "seccomp", "Unix sockets are refused: without a minimal root")):
                with self.subTest(script=script):
                    node = dict(SHELL, repeatable=True, sandbox=sandbox)
                    _, result = self.run_json(self.policy({"dash": node}), ["dash", "-c", script], "--diagnose", preexec_fn=lambda: outer.refuse(outer.NO_NAMESPACES))
                    self.assertEqual([(one["layer"], hint in one["hint"]) for one in result["sandbox"]["blocked"]], [(layer, True)], result)
                    _, result = self.run_json(self.policy({"dash": node}), ["dash", "-c", script], preexec_fn=lambda: outer.refuse(outer.NO_NAMESPACES))
                    known = "unix_sockets" not in sandbox  # it could be any call that the filter refuses
                    self.assertEqual(any(one["layer"] == layer and hint in one["hint"] for one in result["sandbox"]["blocked"]), known, result)
        node = dict(SHELL, repeatable=True, sandbox={"network": {"connect_tcp": [80]}, "exec": perl})
        for options in ((), ("--diagnose",)):
            _, result = self.run_json(self.policy({"dash": node}), ["dash", "-c", "exec perl -e '%s'" % inet], *options, preexec_fn=outer.HOSTS["no-landlock"])
            self.assertEqual([(one["layer"], "TCP is refused: ports" in one["hint"]) for one in result["sandbox"]["blocked"]], [("seccomp", True)], result)

    def test_an_owner_that_the_user_namespace_does_not_have_is_its_doing(self):
        if os.getuid() == 0:  # for whom none is made
            return
        node = dict(SHELL, repeatable=True, sandbox={"exec": ["/usr/bin/chgrp"], "write": [self.ws]})
        _, result = self.run_json(self.policy({"dash": node}), ["dash", "-c", "chgrp 54321 file"], "--diagnose")
        self.assertEqual([(one["layer"], one["path"], one["errno"]) for one in result["sandbox"]["blocked"]], [("user_namespace", self.file, "EINVAL")], result)

    def test_what_is_mostly_done_without_is_named_where_the_command_needs_it(self):
        dash, read = "/usr/bin/dash", "cat /proc/self/exe /etc/passwd /etc/group 2>&-; echo '%s' >&2; exit 1"
        for said, path, key in (("java: error while loading shared libraries: libjli.so: no", "/proc/self/exe", "sandbox.proc"), ("id: 'root': no such user", "/etc/passwd", "nss"),
                                ("chown: invalid user: 'root'", "/etc/passwd", "nss"), ("chgrp: invalid group: 'root'", "/etc/group", "nss")):
            result = self.diagnosed(dash, ["-c", read % said], exec=["/usr/bin/cat"])
            self.assertEqual([(one["path"], key in one["hint"]) for one in result["sandbox"]["blocked"]], [(path, True)], result)
        for said, named in (("Operation not permitted", True), ("No such file", False)):
            result = self.diagnosed("/usr/bin/perl", ["-e", "socket(S, 1, 1, 0) or die '%s'" % said], exec=["/usr/bin/cat"])
            self.assertEqual("no Unix socket is granted (sandbox.unix_sockets)" in [one["hint"] for one in result["sandbox"]["blocked"]], named, result)

    def test_a_time_limit_holds_in_the_second_run(self):
        result = self.run_it("cat %s; kill -STOP $$; while :; do :; done" % self.secret, "--diagnose", "--timeout", "400ms")
        self.assertEqual(result["outcome"]["type"], "timed_out")
        self.assertIn(self.secret, [one["path"] for one in result["sandbox"]["blocked"]])

    def test_many_that_never_cease_to_be_refused_are_ended_in_time_without_a_process_namespace(self):
        script = "kill(0, 99999) for 1; for (1..40) { fork or do { while (1) { open my $f, '<', '%s' } } } while (1) { open my $f, '<', '%s' }" % (self.secret, self.secret)
        node = {"path": "/usr/bin/perl", "end_of_options": False, "repeatable": True, "options": {"-e": {"value": {"text": [1, 2000]}, "spelling": "separate"}}}
        policy = self.policy({"perl": node})
        marker = "40-never-cease-%d" % os.getpid()
        start = time.monotonic()
        _, result = self.run_json(policy, ["perl", "-e", script + " # " + marker], "--diagnose", "--timeout", "400ms", preexec_fn=lambda: outer.refuse(outer.NO_NAMESPACES))
        self.assertEqual(result["outcome"]["type"], "timed_out", result)
        self.assertLess(time.monotonic() - start, 60)
        left = running(marker)
        deadline = time.monotonic() + 10
        while left and result["sandbox"]["layers"]["tree_kill"]["detail"].startswith("the sweep did not end") and time.monotonic() < deadline:
            time.sleep(0.1)
            left = running(marker)
        self.assertEqual(left, 0)

    def test_an_output_file_that_nobody_wrote_is_removed_though_safe_exec_was_killed(self):
        slot = {"name": "f", "type": {"path": "create", "within": ["${start_dir}"]}}
        policy = self.policy({"dash": dict(SHELL, operands=[slot], repeatable=True, sandbox={"exec": HELPERS})})
        process = self.popen(["run", "--policy", policy, "--diagnose", "--", "dash", "-c", "sleep 60", "new"])
        new = os.path.join(self.ws, "new")
        deadline = time.monotonic() + 20
        while not os.path.exists(new) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertTrue(os.path.exists(new))
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 20
        while os.path.exists(new) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertFalse(os.path.exists(new))

    def test_a_flood_of_refusals_is_bounded(self):
        for i in range(100):
            self.write("others/%d" % i, "")
        script = "i=0; while [ $i -lt 3000 ]; do [ -e %s/others/$((i %% 100)) ]; i=$((i+1)); done; exit 1" % self.dir
        result = self.run_it(script, "--diagnose")
        self.assertEqual(len(result["sandbox"]["blocked"]), 20)

    def test_no_second_run_where_observation_is_refused(self):
        result = self.run_shell("cat /etc/shadow", "--diagnose", node={"repeatable": True, "sandbox": {"exec": HELPERS}},
                                preexec_fn=lambda: outer.refuse({"ptrace": 1}))[1]
        self.assertEqual(result["exit_code"], 1)
        self.assertIn("not made: ", result["sandbox"]["diagnosis"])
        self.assertIn("observe", result["sandbox"]["diagnosis"])


if __name__ == "__main__":
    main()
