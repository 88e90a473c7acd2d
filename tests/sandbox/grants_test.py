"""What check --explain prints is what a program inside can reach, and no sibling of it; what the bundles are for works with
them and does not without; one program is executed, or those that are named; and swapping what was checked reaches nothing."""
import ctypes
import errno
import glob
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time

import outer
from harness import BINARY, SANITIZED, SHELL, SandboxTest, main

NO_NAMESPACES = {layer: "off" for layer in ("user_namespace", "pid_namespace", "mount_namespace", "ipc_namespace", "uts_namespace")}
USER = 12345
BUNDLES = ("base", "nss", "dns", "tls", "tz", "term", "locale")
# Says of each path on standard input what can be done with it.
LOOK = ("while (<STDIN>) { chomp; my ($f, $d, $b); if (open($f, '<', $_) && defined(sysread($f, $b, 1))) { print qq(file $_\\n) }"
        " if (opendir($d, $_) && defined(readdir $d)) { print qq(dir $_\\n) } }")
LOADER = next(path for path in ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1") if os.path.exists(path))


def become_user():
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)


def words(*names, **more):
    return dict({"path": names[0], "end_of_options": False, "operands": [{"name": "w", "type": {"text": [0, 200]}, "count": [0, 20]}]}, **more)


class Bundles(SandboxTest):
    def observe(self, sandbox):
        """(granted, seen): kind and path of each runtime grant, and what a program inside can read of these and their siblings."""
        node = {"path": "/usr/bin/perl", "sandbox": sandbox, "end_of_options": False, "stdin": "text", "stdout_bytes": 1 << 22,
                "options": {"-e": {"value": {"text": [1, 2000]}, "spelling": "separate"}}}
        policy = self.policy({"perl": node})
        _, out, _ = self.call(["check", "--policy", policy, "--explain", "--", "perl", "-e", "1"])
        grants = [g for g in json.loads(out)["confinement"]["grants"] if g["origin"] == "runtime"]
        granted = {(g["kind"], g["path"]) for g in grants}
        asked = {path for _, path in granted}
        for path in list(asked):
            parent = os.path.dirname(path)
            asked.update(os.path.join(parent, name) for name in os.listdir(parent)[:400])
        asked.update(("/etc/shadow", "/etc/ssl/private", "/etc/machine-id", "/usr/bin/id", "/root", "/home", "/var", "/proc", "/sys"))
        _, result = self.run_json(policy, ["perl", "-e", LOOK], "--stdin", "-", input="\n".join(sorted(asked)).encode())
        self.assertEqual(result["outcome"], {"type": "exited", "exit_code": 0}, result)
        return granted, {tuple(line.split(" ", 1)) for line in result["stdout"].splitlines()}, grants

    def expected(self, granted, seen, grants, minimal_root):
        names = {g["given"] for g in grants if "given" in g} | {path for _, path in granted}
        for kind, path in seen - granted:
            real = os.path.realpath(path)
            below = any(real == name or real.startswith(name + "/") for name in names)
            above = minimal_root and kind == "dir" and any(name.startswith(path.rstrip("/") + "/") or os.path.realpath(name).startswith(real + "/") for name in names)
            cwd = minimal_root and kind == "dir" and (self.ws + "/").startswith(path + "/")  # an empty directory, and what leads to it
            self.assertTrue(below or above or cwd, (kind, path))

    def test_standard_input_is_no_way_to_the_file_behind_it(self):
        """Whatever may be written elsewhere: neither what it is read from nor /dev/null is changed through it."""
        name = os.path.join(self.ws, "input")
        with open(name, "w") as f:
            f.write("text")
        os.chmod(name, 0o640)
        script = ("print <STDIN>; print utime(3, 3, *STDIN) ? 'utime ' : '', chmod(0646, *STDIN) ? 'chmod ' : '', "
                  "open(F, '+<', '/proc/self/fd/0') && syswrite(F, 'evil') ? 'write ' : '', truncate(STDIN, 0) ? 'truncate' : ''")
        before, null = os.stat(name), os.stat("/dev/null")
        node = {"path": "/usr/bin/perl", "stdin": {"path": "read", "within": ["${start_dir}"]}, "end_of_options": False,
                "options": {"-e": {"value": {"text": [0, 900]}, "spelling": "separate"}}}
        for refused in (None, "no-landlock"):
            for proc, tmp in (("none", "private"), ("own", "none"), ("own", "private")):
                policy = self.policy({"perl": dict(node, sandbox={"proc": proc, "tmp": tmp})})
                for options in ([], ["--stdin", "input"]):
                    _, result = self.run_json(policy, ["perl", "-e", script], *options, preexec_fn=outer.HOSTS.get(refused))
                    self.assertTrue(result["success"], result)
                    if options:
                        self.assertEqual(result["stdout"][:4], "text")
                    else:
                        self.assertEqual(result["stdout"].replace("write ", ""), "", result["stderr"])  # writing to /dev/null is granted
                    self.assertEqual((os.stat(name)[:7], os.stat(name)[8:9]), (before[:7], before[8:9]))
                    self.assertEqual((os.stat("/dev/null")[:7], os.stat("/dev/null")[8:9]), (null[:7], null[8:9]))

    def test_what_is_explained_is_what_can_be_reached(self):
        for bundles in [[]] + [[one] for one in BUNDLES] + [list(BUNDLES)]:
            for layers in ({}, NO_NAMESPACES, {"landlock": "off"}):
                with self.subTest(bundles=bundles, layers=layers):
                    granted, seen, grants = self.observe({"bundles": bundles, "layers": layers})
                    unreadable = {(kind, path) for kind, path in granted - seen if not os.access(path, os.R_OK)}
                    self.assertEqual(granted - seen - unreadable, set())
                    self.expected(granted, seen, grants, minimal_root=not (layers is NO_NAMESPACES))

    def test_each_bundle_adds_its_own_and_check_names_them(self):
        bare = self.observe({})[0]
        for one in BUNDLES:
            self.assertGreater(len(self.observe({"bundles": [one]})[0] - bare), 0, one)
        policy = self.policy({"x": words("/usr/bin/true", sandbox={"bundles": ["tls", "dns"]})})
        _, out, _ = self.call(["check", "--policy", policy, "--explain", "--", "x"])
        self.assertEqual(json.loads(out)["confinement"]["bundles"], ["tls", "dns"])

    def test_what_a_bundle_is_for_needs_it(self):
        certificate = next(path for path in sorted(glob.glob("/usr/share/ca-certificates/mozilla/*.crt")) if "ISRG_Root_X1" in path)
        shutil.copy(certificate, os.path.join(self.ws, "ca.pem"))
        self.write("ws/latin", b"\xa4\n")
        read = {"path": "read", "within": ["${start_dir}"]}
        cases = (("nss", ["/usr/bin/getent", "passwd", "root"], {}, "root:x:0:0"),
                 ("dns", ["/usr/bin/getent", "hosts", "localhost"], {}, "localhost"),
                 ("tls", ["/usr/bin/openssl", "verify", "ca.pem"], {}, "ca.pem: OK"),
                 ("tz", ["/usr/bin/date", "-d", "@0", "+%z"], {"TZ": "Asia/Tokyo"}, "+0900"),
                 ("term", ["/usr/bin/tput", "-T", "xterm", "bold"], {}, "\x1b[1m"),
                 ("locale", ["/usr/bin/locale", "-a"], {}, "C.utf8"),
                 ("base", ["/usr/bin/iconv", "-f", "ISO-8859-15", "-t", "UTF-8", "latin"], {}, "\u20ac"))
        for bundle, argv, env, expected in cases:
            name = os.path.basename(argv[0])
            operand = {"name": "w", "type": [read, {"text": [0, 99]}] if argv[-1] in ("ca.pem", "latin") else {"text": [0, 99]}, "count": [0, 9]}
            node = {"path": argv[0], "operands": [operand], "end_of_options": False, "env": env, "syntax": "posix"}
            node["options"] = {word: {} for word in argv if word.startswith("-")}
            if argv[-1].startswith("+") or name in ("tput", "iconv", "date"):
                node["options"] = {word: {"value": {"text": [1, 40]}, "spelling": "separate"} for word in argv if word.startswith("-")}
            for bundles, works in (([bundle], True), ([one for one in BUNDLES if one != bundle and (one, bundle) != ("locale", "base")], False)):
                with self.subTest(bundle=bundle, works=works):
                    _, result = self.run_json(self.policy({name: dict(node, sandbox={"bundles": bundles})}), [name] + argv[1:])
                    self.assertIsNone(result["denied"], result)
                    self.assertEqual(expected in result["stdout"], works, result)


class Programs(SandboxTest):
    def run_list(self, script, programs, **sandbox):
        return self.run_shell(script, node={"trust": "caller", "sandbox": dict({"exec": programs}, **sandbox)})[1]

    def test_a_granted_helper_runs_and_nothing_else_does(self):
        shutil.copy("/usr/bin/whoami", os.path.join(self.ws, "copy"))
        os.symlink("/usr/bin/whoami", os.path.join(self.ws, "link"))
        for layers in ({}, NO_NAMESPACES, {"landlock": "off"}):
            def out(script, **sandbox):
                return self.run_list(script + "; echo end", ["/usr/bin/id"], layers=layers, **sandbox)["stdout"]
            with self.subTest(layers=layers):
                self.assertEqual(out("/usr/bin/id -u"), "%d\nend\n" % os.getuid())
                for script in ("/usr/bin/whoami", LOADER + " /usr/bin/whoami", "exec /usr/bin/whoami", "/bin/bash -c 'echo ran'", "./copy", "./link",
                               LOADER + " ./copy"):
                    self.assertIn(out("( %s )" % script), ("end\n",), script)
                # copies of what is granted, where the command may write
                for script in ("read -r l < /usr/bin/id; : > /tmp/x; /tmp/x", "/tmp/x"):
                    self.assertEqual(out("( %s )" % script, tmp="private"), "end\n", script)

    def test_a_copy_that_may_be_written_is_not_executed(self):
        for layers in ({}, NO_NAMESPACES, {"landlock": "off"}):
            for place, sandbox in (("/tmp", {"tmp": "private"}), (self.ws, {"write": [self.ws]})):
                if place == "/tmp" and layers is NO_NAMESPACES:
                    continue  # no /tmp of its own there, and the host's is not to be written
                with self.subTest(layers=layers, place=place):
                    script = "/usr/bin/cp /usr/bin/whoami %s/x; /usr/bin/cp -p /usr/bin/whoami %s/y; ( %s/x ); ( %s/y ); ( %s %s/y ); echo end" % ((place,) * 4 + (LOADER, place))
                    result = self.run_list(script, ["/usr/bin/cp"], read=["/usr/bin/whoami"], layers=layers, **sandbox)
                    self.assertTrue(result["stdout"].endswith("end\n"), result)
                    if layers is not NO_NAMESPACES:
                        self.assertEqual(result["stdout"], "end\n", result)
                    if place == self.ws:
                        self.assertTrue(os.path.exists(os.path.join(self.ws, "y")))

    def test_self_names_the_command_itself(self):
        script = "/bin/dash -c 'echo again'; /usr/bin/id; echo end"
        self.assertEqual(self.run_list(script, ["self"])["stdout"], "again\nend\n")
        self.assertEqual(self.run_list(script, [])["stdout"], "end\n")

    def test_a_script_helper_needs_its_interpreter_too(self):
        self.write("bin/helper", "#!/bin/bash\necho helped\n", 0o755)
        helper = os.path.join(self.dir, "bin/helper")
        self.assertEqual(self.run_list("( %s ); echo end" % helper, [helper])["stdout"], "end\n")
        self.assertEqual(self.run_list("( %s ); echo end" % helper, [helper, "/bin/bash"])["stdout"], "helped\nend\n")


LIBC = ctypes.CDLL(None, use_errno=True)
RUNS = 50 if SANITIZED else 250  # the race is won or lost by what is done, which is the same code; its build starts slowly


class Swaps(SandboxTest):
    """Between check and use: as many whole runs as one test may take; the resolver alone is swapped against 40,000 times in the
    unit tests."""

    def race(self, runs, inside, outside, operand, access, forbidden):
        """Exchanges two names as fast as possible while safe-exec runs. Returns how often the command was started."""
        policy = self.policy({"cat": {"path": "/usr/bin/cat", "operands": [{"name": "f", "type": {"path": access, "within": ["${start_dir}"]}}]}})
        stop = threading.Event()

        def swap():
            while not stop.is_set():
                LIBC.renameat2(-100, inside.encode(), -100, outside.encode(), 2)

        swapper = threading.Thread(target=swap)
        swapper.start()
        started = 0
        try:
            for _ in range(runs):
                _, result = self.run_json(policy, ["cat", operand])
                self.assertNotIn(forbidden, json.dumps(result))
                started += result["outcome"]["type"] == "exited"
        finally:
            stop.set()
            swapper.join()
        return started

    def test_a_swapped_file_link_or_directory_is_never_another_inode(self):
        self.write("out/d/file", "the secret\n")
        for case in ("link for file", "link for directory", "file for file", "directory out of the root"):
            with self.subTest(case=case):
                shutil.rmtree(self.ws)
                os.mkdir(self.ws)
                self.write("ws/x/d/file", "fine\n")
                self.write("ws/plain", "fine\n")
                x = os.path.join(self.ws, "x")
                if case == "link for file":
                    os.symlink("../out/d/file", os.path.join(self.ws, "evil"))
                    started = self.race(RUNS, os.path.join(self.ws, "plain"), os.path.join(self.ws, "evil"), "plain", "read", "the secret")
                elif case == "link for directory":
                    os.symlink("../out", os.path.join(self.ws, "evil"))
                    started = self.race(RUNS, x, os.path.join(self.ws, "evil"), "x/d/file", "read", "the secret")
                elif case == "file for file":
                    self.write("other/file", "the other\n")  # not below the root: granted only if it was there when checked
                    started = self.race(RUNS, os.path.join(self.ws, "plain"), os.path.join(self.ws, "x/d/file"), "plain", "read", "the secret")
                else:
                    self.write("other/d/file", "moved\n")
                    started = self.race(RUNS, x, os.path.join(self.dir, "other"), "x/d/../d/file", "read", "the secret")
                self.assertGreater(started, 0)

    def test_files_with_other_names_are_not_written(self):
        self.write("ws/file", "text\n")
        os.link(os.path.join(self.ws, "file"), os.path.join(self.dir, "second"))
        for access in ("write", "replace"):
            policy = self.policy({"cat": {"path": "/usr/bin/cat", "operands": [{"name": "f", "type": {"path": access, "within": ["${start_dir}"]}}]}})
            status, result = self.run_json(policy, ["cat", "file"])
            self.assertEqual((status, result["denied"]["code"]), (126, "path_wrong_kind"), result)


    def test_what_is_replaced_need_not_be_there_yet(self):
        self.write("ws/in", "b\na\n")
        for layers in ({}, NO_NAMESPACES):
            policy = self.policy({"sort": {"path": "/usr/bin/sort", "operands": [{"name": "f", "type": "in"}], "sandbox": {"layers": layers},
                                           "options": {"--output": {"aliases": ["-o"], "value": "out"}}}},
                                 types={"in": {"path": "read", "within": ["${start_dir}"]}, "out": {"path": "replace", "within": ["${start_dir}"]}})
            for _ in range(2):
                status, result = self.run_json(policy, ["sort", "-o", "new", "in"])
                self.assertEqual(status, 0, result)
                with open(os.path.join(self.ws, "new")) as f:
                    self.assertEqual(f.read(), "a\nb\n")
            os.unlink(os.path.join(self.ws, "new"))


class Ways(SandboxTest):
    def test_a_name_that_leads_through_another_directory_is_found(self):
        self.write("ws/file", "text\n")
        self.write("ws/a/b/other", "not granted\n")
        self.write("ws/a/file", "text\n")
        os.symlink("a/b", os.path.join(self.ws, "link"))
        for layers in ({}, NO_NAMESPACES):
            policy = self.policy({"cat": {"path": "/usr/bin/cat", "sandbox": {"layers": layers},
                                          "operands": [{"name": "f", "type": {"path": "read", "within": ["${start_dir}"]}}]}})
            for name in ("a/../file", "./a/b/../../file", "link/../file", "a/b/../../a/../file"):
                status, result = self.run_json(policy, ["cat", name])
                self.assertEqual((status, result["stdout"]), (0, "text\n"), result)


class Covered(SandboxTest):
    """deny_paths in a directory that may be written: it is written as a whole, and what is denied is not there."""

    def sh(self, script, layers, user):
        node = dict(SHELL, sandbox={"read": ["/usr"], "write": ["${start_dir}"], "exec": ["/usr/bin"], "layers": dict(layers, deny_paths="require")})
        policy = self.policy({"dash": node}, defaults={"deny_paths": ["**/.env", "**/.ssh/**"], "deny_walk": {"entries": 1000000, "ms": 20000}})
        os.chmod(self.dir, 0o755)
        if os.getuid() == 0:
            subprocess.run(["chown", "-hR", "%d:%d" % ((USER, USER) if user else (0, 0)), self.ws], check=True)
        _, result = self.run_json(policy, ["dash", "-c", script], preexec_fn=user)
        self.assertEqual(result["outcome"]["type"], "exited", result)
        self.assertEqual(result["sandbox"]["layers"]["deny_paths"]["status"], "enforced", result)
        return result["stdout"]

    def plant(self):
        shutil.rmtree(self.ws)
        for name in (".env", "sub/.ENV", "sub/.ssh/id", "file"):
            self.write("ws/" + name, "hunter2\n")

    def test_beside_what_is_denied_everything_can_be_made(self):
        script = ("echo new > made && mkdir d && mv file d/f && cp d/f sub/copy && mv d e && mkdir sub/d && mv sub/d sub/q && rm made && echo x > sub/q/more && echo done; exec 2>&1;"
                  "for f in .env sub/.ENV sub/.ssh/id; do cat $f; echo x > $f; rm -f $f; mv $f gone; ln $f hard; cp $f out; tail -c 9 < $f; done; ls -A sub/.ssh;"
                  "mv sub/.ssh s; rm -rf sub/.ssh; ln -s .env l; cat l; mkdir sub/.ssh/d; mv sub e/sub; mv sub s; grep -rs hunter2 . | grep -v '^./e/f\\|^./sub/copy'")
        for user in (None, become_user) if os.getuid() == 0 else (None,):
            self.plant()
            out = self.sh(script, {}, user)
            self.assertTrue(out.startswith("done\n"), out)
            self.assertNotIn("hunter2", out)
            for name in (".env", "sub/.ENV", "sub/.ssh/id"):
                with open(os.path.join(self.ws, name)) as f:
                    self.assertEqual(f.read(), "hunter2\n", name)
            self.assertFalse({"hard", "out", "gone"} & set(os.listdir(self.ws)), out)
            self.assertEqual(os.listdir(self.ws + "/s"), [])  # mv(1) copies what it cannot rename

    def test_what_lies_over_what_is_denied_is_read_only(self):
        self.plant()
        script = "for f in .env sub/.ssh; do perl -e 'chmod((stat($ARGV[0]))[2] & 07777, $ARGV[0]) and print qq(changed\\n) or print $! + 0, qq(\\n)' $f; done"
        self.assertEqual(self.sh(script, {}, None), "%d\n" % errno.EROFS * 2)  # to the mode that it has

    def test_without_mounts_it_is_granted_around(self):
        for user in (None, become_user) if os.getuid() == 0 else (None,):
            self.plant()
            out = self.sh("cat .env sub/.ENV sub/.ssh/id; echo new > made || echo refused; echo more > file && cat file", NO_NAMESPACES, user)
            self.assertEqual(out, "refused\nmore\n")

    def test_a_file_beside_it_is_replaced(self):
        node = {"path": "/usr/bin/sed", "options": {"-i": {}}, "operands": [
            {"name": "script", "type": {"text": [1, 100]}}, {"name": "f", "type": {"path": "replace", "within": ["${start_dir}"]}}]}
        for layers, expected in (({}, 0), (NO_NAMESPACES, 4)):
            self.plant()
            node["sandbox"] = {"layers": dict(layers, deny_paths="require")}
            policy = self.policy({"sed": node}, defaults={"deny_paths": ["**/.env"]})
            _, result = self.run_json(policy, ["sed", "-i", "s/hunter2/new/;w made", "file"])
            self.assertEqual(result["outcome"], {"type": "exited", "exit_code": expected}, result)
            _, result = self.run_json(policy, ["sed", "-i", "s/hunter2/new/;r .env", "file"])
            with open(os.path.join(self.ws, "file")) as f:
                self.assertEqual(f.read(), "hunter2\n" if expected else "new\n")
            with open(os.path.join(self.ws, ".env")) as f:
                self.assertEqual(f.read(), "hunter2\n")

    def test_what_lies_beside_what_is_replaced_stays_denied_whether_that_is_there_or_not(self):
        script = 'read x < .env; echo "$x"; echo evil >> .env; read x < sub/.env; echo "$x"; echo new > "$0"; echo new > "$0"/new'
        for kind in ("file", "dir"):
            for name in ("file", "absent", "sub", "sub/dir", "sub/absent"):
                for layers in ({}, NO_NAMESPACES):
                    self.plant()
                    os.makedirs(os.path.join(self.ws, "sub/dir"), exist_ok=True)
                    self.write("ws/sub/.env", "hunter2\n")
                    node = dict(SHELL, operands=[{"name": "f", "type": {"path": "replace", "within": ["${start_dir}"], "kind": kind}}],
                                sandbox={"layers": dict(layers, deny_paths="require")})
                    policy = self.policy({"dash": node}, defaults={"deny_paths": ["**/.env"]})
                    status, result = self.run_json(policy, ["dash", "-c", script, name])
                    of_kind = name in (("file", "absent", "sub/absent") if kind == "file" else ("sub", "sub/dir"))
                    self.assertEqual(status == 126, not of_kind, result)
                    self.assertNotIn("hunter2", result["stdout"])
                    for secret in (".env", "sub/.env"):
                        with open(os.path.join(self.ws, secret)) as f:
                            self.assertEqual(f.read(), "hunter2\n", (kind, name, result))
                    if of_kind and not layers:
                        with open(os.path.join(self.ws, name, "new" if kind == "dir" else ".").removesuffix("/.")) as f:
                            self.assertEqual(f.read(), "new\n")

    def test_what_is_replaced_is_looked_through_though_the_walk_leaves_out_its_name(self):
        for layers in ({}, NO_NAMESPACES):
            self.plant()
            self.write("ws/node_modules/.env", "hunter2\n")
            node = dict(SHELL, operands=[{"name": "d", "type": {"path": "replace", "within": ["${start_dir}"], "kind": "dir"}}],
                        sandbox={"layers": dict(layers, deny_paths="require")})
            policy = self.policy({"dash": node}, defaults={"deny_paths": ["**/node_modules/.env"], "deny_walk": {"leave_out": ["node_modules"]}})
            _, result = self.run_json(policy, ["dash", "-c", 'cd "$0" && read x < .env; echo "$x"; echo evil >> .env', "node_modules"])
            self.assertNotIn("hunter2", result["stdout"])
            with open(os.path.join(self.ws, "node_modules/.env")) as f:
                self.assertEqual(f.read(), "hunter2\n", result)

    def test_a_command_does_not_open_for_the_next_what_is_denied(self):
        perl = {"path": "/usr/bin/perl", "end_of_options": False, "options": {"-e": {"value": {"text": [0, 900]}, "spelling": "separate"}}}
        before = [("%s/*/secret" % self.ws, "rename 'a', 'b/a'", "b/a/secret"), ("**/?/secret", "rename 'a', 'aa'", "aa/secret"),
                  ("**/a/*/secret", "rename 'a/c', 'a/d/c'", "a/d/c/secret"),
                  ("**/secret", "$p = 'b'; for (1 .. 210) { mkdir $p; $p .= '/b' }", "a/secret"), ("**/secret", "chmod 0311, '.'", "a/secret"),
                  ("**/secret", "chmod 0311, 'a'", "a/secret")]
        for user in (None, become_user) if os.getuid() == 0 else (None,):
            for glob, script, secret in before:
                self.plant()
                for name in ("a/secret", "a/c/secret"):
                    self.write("ws/" + name, "hunter2\n")
                for name in ("b", "a/d"):
                    os.makedirs(os.path.join(self.ws, name), exist_ok=True)
                if user:
                    subprocess.run(["chown", "-R", "12345:12345", self.ws], check=True)
                policy = self.policy({"perl": dict(perl, sandbox={"write": [self.ws]})}, defaults={"deny_paths": [glob]})
                for line in (script, "open F, '<', '%s' and print <F>" % secret):
                    _, result = self.run_json(policy, ["perl", "-e", line], preexec_fn=user)
                    self.assertNotIn("hunter2", result["stdout"], (glob, script, result))
                subprocess.run(["chmod", "-R", "u+rwX", self.ws], check=True)

    def test_what_leads_to_what_is_denied_is_not_moved(self):
        perl = {"path": "/usr/bin/perl", "end_of_options": False, "options": {"-e": {"value": {"text": [0, 900]}, "spelling": "separate"}}}
        script = "mkdir 'b'; mkdir 'free'; for (['a', 'b/c'], ['a', 'aa'], ['a/d', 'a/e'], ['free', 'b/free']) { print rename($$_[0], $$_[1]) ? 'moved' : $! + 0, ' ' }"
        for glob in ("**/secret", "%s/**/secret" % self.ws, "/**/secret", "**/d/**", "%s/*/d/secret" % self.ws):
            for layers, refused in (({}, errno.EBUSY), (NO_NAMESPACES, errno.EACCES)):
                self.plant()
                self.write("ws/a/d/secret", "hunter2\n")
                policy = self.policy({"perl": dict(perl, sandbox={"write": [self.ws], "layers": layers})}, defaults={"deny_paths": [glob]})
                _, result = self.run_json(policy, ["perl", "-e", script])
                moved = "moved" if not layers else str(errno.ENOENT)  # nothing is made there
                self.assertEqual(result["stdout"].split(), ([str(refused)] * 3 if not layers else [str(errno.ENOENT)] + [str(refused)] * 2) + [moved], (glob, result))

    def test_more_than_can_be_held_is_granted_around(self):
        self.plant()
        for i in range(60):
            self.write("ws/deep/%d/a/b/c/d/secret" % i, "hunter2\n")
        policy = self.policy({"dash": dict(SHELL, sandbox={"write": [self.ws], "layers": {"deny_paths": "require"}})}, defaults={"deny_paths": ["**/secret"]})
        _, result = self.run_json(policy, ["dash", "-c", "read x < deep/7/a/b/c/d/secret; echo $x; echo x > deep/new && echo made; echo x >> file && echo written"])
        self.assertEqual(result["stdout"], "\nwritten\n", result)

    def test_what_leads_to_it_in_one_place_takes_no_cover_from_another(self):
        self.write("other/x/secret", "hunter2\n")
        for i in range(60):
            self.write("ws/deep/%d/a/b/c/d/secret" % i, "hunter2\n")
        policy = self.policy({"dash": dict(SHELL, sandbox={"write": [self.ws], "read": [self.dir + "/other"]})}, defaults={"deny_paths": ["**/secret"]})
        _, out, _ = self.call(["check", "--policy", policy, "--explain", "--", "dash", "-c", "true"])
        covered = {grant["path"]: grant["covered"] for grant in json.loads(out)["confinement"]["grants"] if "covered" in grant}
        self.assertEqual(covered, {self.dir + "/other": [self.dir + "/other/x/secret"]})

    def test_what_a_command_makes_beside_it_opens_nothing_to_the_next(self):
        replaced = dict(SHELL, operands=[{"name": "f", "type": {"path": "replace", "within": ["${start_dir}"]}}])
        private = dict(SHELL, sandbox={"write": [self.ws], "tmp": "private"})
        script = "read x < secret; echo $x"

        def link():
            os.symlink("file", self.ws + "/b.secret")

        def crowd():
            for i in range(8193):
                os.close(os.open("%s/%d" % (self.ws, i), os.O_CREAT | os.O_WRONLY, 0o644))

        attempts = [(link, replaced, ["file"], "exited"), (link, replaced, ["new"], "failed"), (crowd, dict(SHELL, sandbox={"read": [self.ws]}), [], "failed")]
        if self.ws.startswith("/tmp/"):
            attempts.append((link, private, [], "failed"))
        for layers in ({}, NO_NAMESPACES):
            for make, node, words, outcome in attempts:
                self.plant()
                self.write("ws/secret", "hunter2\n")
                make()
                node = dict(node, sandbox=dict(node.get("sandbox", {}), layers=layers))
                policy = self.policy({"dash": node}, defaults={"deny_paths": ["**/*secret"]})
                _, result = self.run_json(policy, ["dash", "-c", script] + words)
                self.assertEqual((result["outcome"]["type"], result["stdout"].strip()), (outcome, ""), (make, result))
                if outcome == "failed":
                    self.assertEqual((result["error"]["code"], result["error"]["step"]), ("sandbox_unavailable", "deny_paths"), result)

    def test_what_goes_while_it_is_looked_for_neither_ends_the_walk_nor_the_run(self):
        policy = self.policy({"dash": dict(SHELL, sandbox={"write": [self.ws]})}, defaults={"deny_paths": ["**/secret"]})
        for removed in range(4):
            self.plant()
            for name in ("a/secret", "b/c/secret"):
                self.write("ws/" + name, "hunter2\n")
            looks = 0

            def decide(*_):
                nonlocal looks
                looks += 1
                if looks == removed + 2:  # what was seen goes before it is covered
                    shutil.rmtree(self.ws + "/b")
                return errno.ENOENT if looks == removed + 1 else 0
            with self.subTest(removed=removed), outer.Asked(("getdents64",), decide) as host:
                _, result = self.run_json(policy, ["dash", "-c", "read x < a/secret; echo $x"], preexec_fn=host.enter)
                self.assertEqual((result["outcome"]["type"], result["sandbox"]["layers"]["deny_paths"]["status"]), ("exited", "enforced"), result)
                self.assertGreater(looks, removed)

    def test_a_cover_that_cannot_be_had_is_a_failure(self):
        self.plant()
        self.write("ws/secret", "hunter2\n")
        policy = self.policy({"dash": dict(SHELL, sandbox={"write": [self.ws]})}, defaults={"deny_paths": ["**/secret"]})
        failing, calls, outcomes = 0, 0, set()
        while failing <= calls:
            failing += 1
            calls = 0

            def decide(*_):
                nonlocal calls
                calls += 1
                return errno.ENOENT if calls == failing else 0
            with self.subTest(failing=failing), outer.Asked(("open_tree",), decide) as host:
                _, result = self.run_json(policy, ["dash", "-c", "read x < secret; echo $x"], preexec_fn=host.enter)
                outcomes.add(result["outcome"]["type"])
                self.assertEqual(result["stdout"].strip(), "", result)
        self.assertEqual(outcomes, {"failed", "exited"})

    def test_a_process_that_has_ended_does_not_end_the_walk(self):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        self.addCleanup(os.waitpid, pid, 0)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        policy = self.policy({"dash": dict(SHELL, sandbox={"read": ["/proc/%d" % pid]})}, defaults={"deny_paths": ["**/no-such-name"]})
        _, result = self.run_json(policy, ["dash", "-c", "true"])
        self.assertEqual(result["sandbox"]["layers"]["deny_paths"]["status"], "enforced", result)

    def test_what_is_moved_to_and_fro_is_never_missed(self):
        for i in range(40):
            self.write("ws/%d/f" % i, "x")
        self.write("ws/a/d/secret", "hunter2\n")
        os.mkdir(self.ws + "/z")
        perl = {"path": "/usr/bin/perl", "end_of_options": False, "options": {"-e": {"value": {"text": [0, 900]}, "spelling": "separate"}},
                "sandbox": {"write": [self.ws]}}
        policy = self.policy({"perl": perl}, defaults={"deny_paths": ["**/secret"]})
        move = "open R, '>', 'ready'; print R 1; close R; while (!-e 'end') { rename 'a/d', 'z/d'; rename 'z/d', 'a/d' }"
        with subprocess.Popen([BINARY, "run", "--policy", policy, "--", "perl", "-e", move], cwd=self.ws, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            while not os.path.exists(self.ws + "/ready") and process.poll() is None:
                time.sleep(0.01)
            results = [self.run_json(policy, ["perl", "-e", "for (1 .. 200) { for ('a', 'z') { open F, '<', \"$_/d/secret\" and print <F> } }"])[1]
                       for _ in range(100)]
            self.write("ws/end", "")
        for result in results:
            self.assertEqual((result["outcome"]["type"], result["stdout"]), ("exited", ""), result)
        self.assertEqual(process.returncode, 0)

    def test_what_is_denied_stays_so_for_who_reads_where_somebody_moves_it(self):
        secret = self.write("ws/a/d/secret", "hunter2\n")
        os.mkdir(self.ws + "/b")
        reader = dict(SHELL, sandbox={"read": [self.ws]}, stdin="text")
        policy = self.policy({"dash": reader}, defaults={"deny_paths": ["**/secret"]})
        # It has begun when it takes what is written, and goes on when the other one has ended.
        script = "read x; for f in a/d b/d; do read x < $f/secret && echo $x; done"
        with subprocess.Popen([BINARY, "run", "--policy", policy, "--stdin", "-", "--", "dash", "-c", script], cwd=self.ws, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdin.write(b"x" * (400 * 1024))  # more than lies in pipes
            process.stdin.flush()
            os.rename(self.ws + "/a/d", self.ws + "/b/d")
            process.stdin.write(b"\n")
            process.stdin.close()
            result = json.loads(process.stdout.read())
        self.assertEqual(result["stdout"], "", result)
        self.assertFalse(os.path.exists(secret))
        with open(self.ws + "/b/d/secret") as f:
            self.assertEqual(f.read(), "hunter2\n")

    def test_a_name_that_is_too_long_to_be_said_shuts_nobody_out(self):
        at = os.open(self.ws, os.O_DIRECTORY)
        for _ in range(25):
            os.mkdir("d" * 200, dir_fd=at)
            deeper = os.open("d" * 200, os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = deeper
        os.close(os.open("secret", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=at))
        os.close(at)
        for grant in ("read", "write"):
            node = dict(SHELL, sandbox={grant: [self.ws]})
            status, result = self.run_json(self.policy({"dash": node}, defaults={"deny_paths": ["**/secret"]}), ["dash", "-c", "echo ran"])
            self.assertEqual((status, result["stdout"], result["sandbox"]["layers"]["deny_paths"]["status"]), (0, "ran\n", "enforced"), result)

    def test_what_is_only_read_stays_closed_below_a_tmp_of_the_commands_own(self):
        # Landlock's rule for that /tmp holds for what is mounted below it too.
        with tempfile.TemporaryDirectory(prefix="safe-exec-test-", dir="/tmp") as ws:
            os.chmod(ws, 0o755)
            os.mkdir(ws + "/sub")
            for name, text in ((".env", "secret"), ("sub/.env", "secret"), ("a", "text"), ("sub/b", "text")):
                with open(ws + "/" + name, "w") as f:
                    f.write(text + "\n")
            node = dict(SHELL, sandbox={"read": [ws], "exec": [], "tmp": "private", "layers": {"deny_paths": "require"}})
            policy = self.policy({"dash": node}, defaults={"deny_paths": ["**/.env"]})
            script = ("cd %s; for f in .env sub/.env a sub/b; do read x <$f && echo $f $x; done; echo >a; echo >new; echo >.env; echo >/tmp/mine && echo wrote" % ws)
            for options in ({}, {"preexec_fn": become_user}) if os.geteuid() == 0 else ({},):
                if options:
                    shutil.copy(BINARY, self.dir + "/safe-exec")
                    os.chmod(self.dir, 0o755)
                    options["executable"] = self.dir + "/safe-exec"
                status, result = self.run_json(policy, ["dash", "-c", script], **options)
                self.assertEqual(result["sandbox"]["layers"]["deny_paths"]["status"], "enforced", result)
                self.assertEqual(result["stdout"], "a text\nsub/b text\nwrote\n", result)
            # What cannot be covered is not run beside.
            os.symlink("a", ws + "/sub2.env")
            policy = self.policy({"dash": node}, defaults={"deny_paths": ["**/*.env"]})
            status, result = self.run_json(policy, ["dash", "-c", script])
            self.assertEqual((status, result["error"]["code"], result["error"]["step"]), (125, "sandbox_unavailable", "deny_paths"), result)

    def test_what_is_protected_beneath_a_variable_needs_a_value_of_it(self):
        self.write("ws/kept/file", "text\n")
        variables = {"kept": {"type": "dir", "settable": True, "within": [self.dir]}}
        read = {"path": "read", "within": ["${start_dir}"]}
        for defaults in ({"deny_paths": ["${kept}/**"]}, {"sandbox": {"read_only": ["${kept}"]}}):
            policy = self.policy({"cat": {"path": "/bin/cat", "operands": [{"name": "f", "type": read}]}}, defaults=defaults, variables=variables)
            status, result = self.run_json(policy, ["cat", "kept/file"])
            self.assertEqual((status, result["error"]["code"], result["error"]["step"]), (125, "policy_invalid", "variables"), result)
            self.assertIn("--var kept=DIR", result["error"]["hint"])
            status, result = self.run_json(policy, ["cat", "kept/file"], "--var", "kept=" + self.ws + "/kept")
            self.assertEqual(result["error"], None, result)
            self.assertEqual(status, 126 if "deny_paths" in defaults else 0, result)

    def test_what_is_only_read_in_a_private_tmp_is_not_written_beside_what_is_denied(self):
        with tempfile.TemporaryDirectory(dir="/tmp") as ws:
            os.chmod(ws, 0o777)
            for path in ("sub/d", "sub/.config/gh"):
                os.makedirs(os.path.join(ws, path), mode=0o777)
                os.chmod(os.path.join(ws, path), 0o777)
            for path in ("sub/d/f", "sub/b", "sub/.config/gh/hosts", "sub/.config/other"):
                with open(os.path.join(ws, path), "w") as f:
                    f.write("text\n")
            before = sorted((here, names, files) for here, names, files in os.walk(ws))
            script = "for f in sub/d/f sub/new sub/.config/new sub/.config/other; do echo x > $f; done; mv sub/d sub/e; mv sub/.config sub/c; chmod 700 sub; cat sub/d/f sub/.config/other"
            for layers in ({}, {"landlock": "off"}):
                for denied in ("**/sub/b", "**/.config/gh/**"):
                    node = dict(SHELL, cwd=[ws], sandbox={"read": [ws], "exec": ["/usr/bin"], "tmp": "private", "layers": layers})
                    policy = self.policy({"dash": node}, defaults={"deny_paths": [denied]})
                    for user in (None, become_user) if os.getuid() == 0 else (None,):
                        os.chmod(self.dir, 0o755)
                        _, result = self.run_json(policy, ["dash", "-c", script], "--cwd", ws, preexec_fn=user)
                        self.assertEqual(result["stdout"], "text\ntext\n", result)
                        self.assertEqual(sorted((here, names, files) for here, names, files in os.walk(ws)), before)

    def test_what_is_only_read_shows_no_name_below_a_directory_that_is_denied(self):
        read = {"path": "read", "within": ["${start_dir}"]}
        node = dict(SHELL, sandbox={"exec": ["/usr/bin/ls"]}, operands=[{"name": "d", "type": read, "count": [0, 3]}])
        for given, sandbox, denied in ((["sub"], {}, "**/.ssh/**"), ([], {"read": ["${start_dir}"]}, "**/.ssh/**"), ([], {"read": ["/"]}, self.ws + "/sub/.ssh/**")):
            for user in (None, become_user) if os.getuid() == 0 else (None,):
                self.plant()
                os.chmod(self.dir, 0o755)
                for layers, seen in (({}, ""), (NO_NAMESPACES, "id\n")):  # without mounts its names can be listed, as the manual says
                    policy = self.policy({"dash": dict(node, sandbox=dict(node["sandbox"], layers=layers, **sandbox))}, defaults={"deny_paths": [denied]})
                    _, result = self.run_json(policy, ["dash", "-c", "ls -A sub/.ssh; read x <sub/.ssh/id; echo $x; read y <sub/.ENV; echo $y", *given], preexec_fn=user)
                    self.assertEqual(result["stdout"], seen + "\nhunter2\n", result)
                    self.assertEqual(result["sandbox"]["layers"]["deny_paths"]["status"], "enforced", result)
            _, out, _ = self.call(["check", "--policy", policy, "--explain", "--", "dash", "-c", "true", *given], cwd=self.ws)
            covered = [path for grant in json.loads(out)["confinement"]["grants"] for path in grant.get("covered", [])]
            self.assertIn(os.path.join(self.ws, "sub/.ssh"), covered)

    def test_explain_names_what_is_covered(self):
        self.plant()
        node = dict(SHELL, sandbox={"write": ["${start_dir}"], "exec": ["/usr/bin"]})
        policy = self.policy({"dash": node}, defaults={"deny_paths": ["**/.env", "**/.ssh/**"]})
        _, out, _ = self.call(["check", "--policy", policy, "--explain", "--", "dash", "-c", "true"])
        grants = json.loads(out)["confinement"]["grants"]
        covered = [grant for grant in grants if "covered" in grant]
        self.assertEqual([(g["path"], g["access"], sorted(g["covered"])) for g in covered],
                         [(self.ws, "write", sorted(os.path.join(self.ws, n) for n in (".env", "sub/.ENV", "sub/.ssh")))], grants)

    def test_explain_names_the_directory_of_a_replaced_file(self):
        self.plant()
        os.chmod(self.ws, 0o777)
        for access, directory in (("replace", self.ws), ("write", None)):
            node = dict(SHELL, operands=[{"name": "f", "type": {"path": access, "within": ["${start_dir}"]}}])
            policy = self.policy({"dash": node})
            script = "read x <sub/beside && echo $x; echo >sub/beside && echo wrote"
            with open(self.ws + "/sub/beside", "w") as f:
                f.write("text\n")
            _, out, _ = self.call(["check", "--policy", policy, "--explain", "--", "dash", "-c", script, "file"])
            self.assertEqual([g.get("directory") for g in json.loads(out)["confinement"]["grants"] if g["path"] == self.ws + "/file"], [directory], out)
            _, result = self.run_json(policy, ["dash", "-c", script, "file"])
            self.assertEqual(result["stdout"], "text\nwrote\n" if directory else "", result)

    def test_a_link_that_is_denied_is_granted_around(self):
        self.plant()
        os.remove(os.path.join(self.ws, ".env"))
        os.symlink("file", os.path.join(self.ws, ".env"))
        self.assertEqual(self.sh("echo new > made || echo refused", {}, None), "refused\n")


if __name__ == "__main__":
    main()
