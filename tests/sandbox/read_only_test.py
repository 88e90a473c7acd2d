"""What sandbox.read_only names is never written: with mounts and without, as root and as an ordinary user, by its own name, by
a link, or by what leads to it. Around it the command works as before."""
import json
import os
import shutil
import stat
import subprocess

from harness import BINARY, SHELL, SandboxTest, main

NO_NAMESPACES = {layer: "off" for layer in ("user_namespace", "pid_namespace", "mount_namespace", "ipc_namespace", "uts_namespace")}
MODES = ({}, NO_NAMESPACES, {"landlock": "off"})
OTHER_USER = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
# Each of these would change what is kept; K stands for its path.
ATTACKS = ("echo x > K/config", "echo x >> K/config", "echo x > K/hooks/x", "mkdir K/n", "rm -f K/config", "rm -rf K", "mv K gone", "mv K/config c", "mv sub K/hooks/s",
           "ln old K/hooks/x", "ln K/config hard", "ln -s /etc K/hooks/x", "chmod 777 K/config", "chmod 777 K", "touch -d @0 K/config", "truncate -s 0 K/config",
           "cp -f old K/config", "mv -f old2 K/config", "mv -T sub K", "ln -sfn sub K", "cd K && echo x > config", "cd K/hooks && echo x > x",
           "ln -s K l && echo x > l/config", "exec 3<K/config; echo x > /proc/self/fd/3", "mkfifo K/f")


class ReadOnly(SandboxTest):
    def setUp(self):
        super().setUp()
        self.kept = {".git/HEAD": "ref\n", ".git/config": "mine\n", ".git/hooks/y": "#\n"}
        self.plant(self.kept)

    def plant(self, files):
        for name, text in files.items():
            self.write("ws/" + name, text)
        for name in ("old", "old2"):
            self.write("ws/" + name, "old\n")
        os.makedirs(os.path.join(self.ws, "sub"), exist_ok=True)

    def node(self, layers, roots, **more):
        sandbox = {"write": ["${start_dir}"], "read_only": roots, "exec": ["/usr/bin"], "proc": "own", "layers": layers}
        return dict(SHELL, sandbox=sandbox, **more)

    def sh(self, script, layers, roots=("${start_dir}/.git",), user=()):
        policy = self.policy({"dash": self.node(layers, list(roots))})
        binary = BINARY
        if os.getuid() == 0:
            subprocess.run(["chown", "-hR", "12345:12345" if user else "0:0", self.ws], check=True)
        if user:
            binary = os.path.join(self.dir, "safe-exec")
            shutil.copy(BINARY, binary)
            os.chmod(self.dir, 0o755)
        done = subprocess.run([*user, binary, "run", "--policy", policy, "--", "dash", "-c", script], cwd=self.ws, stdin=subprocess.DEVNULL,
                              capture_output=True, env={"PATH": "/usr/bin:/bin"}, timeout=60)
        return json.loads(done.stdout)

    def tree(self, top=".git"):
        found = {}
        for here, directories, files in os.walk(os.path.join(self.ws, top)):
            for name in directories + files:
                path = os.path.join(here, name)
                status = os.lstat(path)
                text = ""
                if name in files:
                    with open(path) as f:
                        text = f.read()
                found[os.path.relpath(path, self.ws)] = (status.st_mode, status.st_mtime_ns, status.st_nlink, text)
        return found

    def users(self):
        return ((), OTHER_USER) if os.getuid() == 0 else ((),)

    def attack(self, layers, kept, roots, user):
        self.plant({})
        before = self.tree(kept)
        script = "".join("( %s ) 2>/dev/null\n" % attack.replace("K", kept) for attack in ATTACKS) + "cat %s/HEAD; echo y > old; echo z > sub/new; echo end" % kept
        result = self.sh(script, layers, roots, user)
        self.assertEqual((result["error"], result["outcome"]["type"]), (None, "exited"), result)
        self.assertEqual(result["stdout"], "ref\nend\n", result)
        self.assertEqual(self.tree(kept), before)

    def test_nothing_changes_it_and_the_rest_can_be_written(self):
        for user in self.users():
            for layers in MODES:
                with self.subTest(user=user, layers=layers):
                    self.attack(layers, ".git", ["${start_dir}/.git"], user)

    def test_the_top_can_be_written_where_mounts_keep_it(self):
        for layers in MODES:
            with self.subTest(layers=layers):
                result = self.sh("echo x > new; mv new newer; rm newer && echo done", layers)
                self.assertEqual(result["stdout"], "" if layers is NO_NAMESPACES else "done\n", result)
                if layers is NO_NAMESPACES:  # and the result says so
                    detail = result["sandbox"]["layers"]["landlock"]["detail"]
                    self.assertIn(self.ws + " holds what is read_only: nothing in it can be created, removed or renamed", detail)

    def test_what_leads_to_it_cannot_be_moved_away(self):
        shutil.move(os.path.join(self.ws, ".git"), os.path.join(self.ws, "sub", "deep"))
        for layers in MODES:
            with self.subTest(layers=layers):
                self.attack(layers, "sub/deep", ["${start_dir}/sub/deep"], ())
                result = self.sh("mv sub away; mkdir -p sub/deep/hooks && echo x > sub/deep/hooks/x; rm -rf sub; echo end", layers, ["${start_dir}/sub/deep"])
                self.assertEqual(result["stdout"], "end\n", result)
                self.assertEqual((os.listdir(os.path.join(self.ws, "sub/deep/hooks")), os.path.exists(os.path.join(self.ws, "away"))), (["y"], False))

    def test_a_file_is_kept_like_a_directory(self):
        shutil.rmtree(os.path.join(self.ws, ".git"))
        self.write("ws/.git", "gitdir: ../elsewhere\n")
        for layers in MODES:
            with self.subTest(layers=layers):
                result = self.sh("echo x > .git; rm -f .git; mv .git x; mv -f old2 .git; truncate -s 0 .git; chmod 777 .git; ln .git h; cat .git", layers)
                self.assertEqual(result["stdout"], "gitdir: ../elsewhere\n", result)
                self.assertEqual(os.stat(os.path.join(self.ws, ".git")).st_nlink, 1)

    def test_a_file_is_kept_by_its_other_name_without_mounts(self):
        os.link(os.path.join(self.ws, ".git/config"), os.path.join(self.ws, "second"))
        result = self.sh("echo x > second; echo x > .git/config; cat second", NO_NAMESPACES, ["${start_dir}/.git/config"])
        self.assertEqual(result["stdout"], "mine\n", result)

    def test_what_may_be_written_within_it_is_kept_all_the_same(self):
        self.write("ws/k/sub/f", "mine\n")
        for layers in MODES:
            sandbox = {"write": ["${start_dir}/k/sub"], "read_only": ["${start_dir}/k"], "layers": layers}
            _, result = self.run_shell("echo x > k/sub/f; echo x > k/sub/new; read x < k/sub/f; echo $x", node={"sandbox": sandbox})
            self.assertEqual((result["stdout"], os.listdir(os.path.join(self.ws, "k/sub"))), ("mine\n", ["f"]), (layers, result))

    def test_what_lies_above_it_is_mounted_as_what_is_written(self):
        script = "while read -r line; do echo $line; done < /proc/self/mountinfo"
        sandbox = {"write": ["${start_dir}"], "read_only": ["${start_dir}/.git/hooks"], "proc": "own"}
        _, result = self.run_shell(script, node={"sandbox": sandbox})
        options = {line.split()[4]: set(line.split()[5].split(",")) for line in result["stdout"].splitlines()}
        for name, expected in (("", set()), ("/.git", set()), ("/.git/hooks", {"ro"})):
            self.assertLessEqual({"nosuid", "nodev", "noexec"} | expected, options[self.ws + name], (name, result))

    def test_a_link_is_kept_and_what_it_leads_to(self):
        os.rename(os.path.join(self.ws, ".git"), os.path.join(self.ws, "real"))
        os.symlink("real", os.path.join(self.ws, ".git"))
        for layers in MODES:
            with self.subTest(layers=layers):
                self.attack(layers, "real", ["${start_dir}/.git"], ())
                result = self.sh("rm -f .git; mv .git x; mv -T sub .git; ln -sfn sub .git; echo x > .git/config; cat .git/HEAD", layers)
                self.assertEqual(result["stdout"], "ref\n", result)
                self.assertEqual(os.readlink(os.path.join(self.ws, ".git")), "real")

    def test_one_within_another_does_not_open_it(self):
        self.write("ws/.git/a/b/c/deep", "deep\n")
        kept = ["${start_dir}/.git", "${start_dir}/.git/a/b/c"]
        os.symlink("..", os.path.join(self.ws, ".git", "up"))
        os.symlink(".git/a/b/c/deep", os.path.join(self.ws, "into"))
        for user in self.users():
            for layers in MODES:
                for roots in (kept, kept[::-1], kept[:1] + ["${start_dir}/into"], kept[:1] + ["${start_dir}/.git/up/.git"]):
                    with self.subTest(user=user, layers=layers, roots=roots):
                        self.attack(layers, ".git", roots, user)
                        before = self.tree()
                        self.sh("for d in .git .git/a .git/a/b .git/a/b/c; do echo x > $d/new; mkdir $d/sub; chmod 700 $d; mv $d/* .; done", layers, roots, user)
                        self.assertEqual(self.tree(), before)

    def test_it_is_kept_where_its_directory_was_closed(self):
        self.write("ws/cfg/keep", "kept\n")
        script = "chmod 0700 %s && echo gone > cfg/keep; echo end"
        for user in self.users():
            for layers in MODES[::2]:  # without mounts no mode is changed
                for closed, roots in (("cfg", ["${start_dir}/cfg/keep"]), ("cfg", ["${start_dir}/cfg/keep/below", "${start_dir}/cfg/keep"])):
                    with self.subTest(user=user, layers=layers, roots=roots):
                        self.sh("chmod 0400 " + closed, layers, roots, user)
                        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.ws, closed)).st_mode), 0o400)
                        result = self.sh(script % closed, layers, roots, user)
                        self.assertEqual(result["stdout"], "end\n", result)
                        os.chmod(os.path.join(self.ws, closed), 0o755)
                        with open(os.path.join(self.ws, "cfg/keep")) as f:
                            self.assertEqual(f.read(), "kept\n")

    def test_a_name_that_is_not_there(self):
        shutil.rmtree(os.path.join(self.ws, ".git"))
        demanded = {"mount_namespace": "require"}
        for layers, made, state in (({}, True, "partial"), ({"landlock": "off"}, True, "partial"), (NO_NAMESPACES, False, "off"), (demanded, False, "enforced")):
            with self.subTest(layers=layers):
                result = self.sh("mkdir .git && mkdir .git/hooks; echo x > sub/x && echo end", layers)
                mounts = result["sandbox"]["layers"]["mount_namespace"]
                self.assertEqual((os.path.exists(os.path.join(self.ws, ".git")), mounts["status"], result["stdout"]), (made, state, "end\n"), result)
                if state == "partial":
                    self.assertIn(".git (read_only) does not exist and could be created", mounts["detail"])
                    self.assertIn("mount_namespace", [one["layer"] for one in result["sandbox"]["degraded"]])
                shutil.rmtree(os.path.join(self.ws, ".git"), ignore_errors=True)
        refused = self.sh("mkdir .git", dict(demanded, landlock="off"))
        self.assertEqual(refused["error"]["code"], "sandbox_unavailable")
        self.assertEqual(sorted(os.listdir(self.ws)), ["old", "old2", "sub"])  # no ghost

    def test_an_operand_is_denied_by_whatever_name(self):
        os.symlink(".git", os.path.join(self.ws, "g"))
        operand = {"name": "f", "type": {"path": "write", "within": ["${start_dir}"], "missing": True}, "count": [1, 9]}
        directory = {"name": "f", "type": {"path": "write", "within": ["${start_dir}"], "kind": "dir"}, "count": [1, 9]}
        new = {"name": "f", "type": {"path": "create", "within": ["${start_dir}"], "kind": "file"}, "count": [1, 9]}
        for slot, names in ((operand, (".git/config", "g/config", "sub/../.git/hooks/z")), (directory, (".git", "g", "g/hooks")), (new, (".git/hooks/z", "g/z"))):
            policy = self.policy({"touch": {"path": "/usr/bin/touch", "operands": [slot], "sandbox": {"read_only": ["${start_dir}/.git"]}}})
            for name in names:
                with self.subTest(name=name):
                    _, result = self.run_json(policy, ["touch", name])
                    self.assertEqual(result["denied"]["code"], "path_denied", result)
                    self.assertIn("sandbox.read_only", result["denied"]["message"])
            _, result = self.run_json(policy, ["touch", {"create": "fresh", "dir": "sub"}.get("create" if slot is new else slot["type"].get("kind"), "old")])
            self.assertTrue(result["success"], result)
        self.assertFalse(os.path.exists(os.path.join(self.ws, ".git/hooks/z")))

    def test_what_is_executed_and_read_only_makes_no_private_tmp_executable(self):
        self.write("ws/bin/tool", "")
        shutil.copy("/usr/bin/true", self.ws + "/bin/tool")
        script = "cp bin/tool /tmp/tool; cp bin/tool tool; for i in bin/tool /tmp/tool ./tool; do $i && echo $i; done"
        for read_only, ran in (([self.ws + "/bin"], "bin/tool\n"), ([], "bin/tool\n/tmp/tool\n")):
            sandbox = {"exec": [self.ws + "/bin", "/usr/bin/cp"], "write": [self.ws], "read_only": read_only, "tmp": "private"}
            _, result = self.run_shell(script, node={"sandbox": sandbox, "trust": "caller"})
            self.assertEqual(result["stdout"], ran, result)

    def test_a_file_is_not_replaced_beside_it_without_mounts(self):
        slot = {"name": "f", "type": {"path": "replace", "within": ["${start_dir}"], "kind": "file"}}
        for layers, done in (({}, True), (NO_NAMESPACES, False)):
            node = {"path": "/usr/bin/sed", "inject": ["-i", "s/old/new/"], "operands": [slot], "sandbox": {"read_only": ["${start_dir}/.git"], "layers": layers}}
            _, result = self.run_json(self.policy({"sed": node}), ["sed", "old"])
            self.assertEqual((result["success"], (result["error"] or {}).get("code")), (done, None if done else "sandbox_unavailable"), result)

    def test_check_explains_it_and_a_node_may_lift_it(self):
        defaults = {"sandbox": {"read_only": ["${start_dir}/.git"]}}
        node = self.node({}, [])
        del node["sandbox"]["read_only"]
        policy = self.policy({"dash": node}, defaults=defaults)
        _, out, _ = self.call(["check", "--policy", policy, "--explain", "--", "dash", "-c", "x"])
        self.assertEqual(json.loads(out)["confinement"]["read_only"], [self.ws + "/.git"])
        policy = self.policy({"dash": self.node({}, [])}, defaults=defaults)
        _, result = self.run_json(policy, ["dash", "-c", "echo x > .git/config && echo end"])
        self.assertEqual(result["stdout"], "end\n", result)

    def test_what_a_node_lifts_is_still_named_by_no_request(self):
        os.symlink(".git", os.path.join(self.ws, "g"))
        defaults = {"sandbox": {"read_only": ["${start_dir}/.git"]}}
        slot = {"name": "f", "type": {"path": "write", "within": ["${start_dir}"], "missing": True}}
        for sandbox in ({"read_only": []}, {"read_only": [], "write": ["${start_dir}"]}):
            node = {"path": "/usr/bin/touch", "operands": [slot], "sandbox": sandbox, "cwd": ["${start_dir}"], "options": {"-C": {"value": {"path": "read", "within": ["${start_dir}"]}, "chdir": True}}}
            policy = self.policy({"touch": node}, defaults=defaults)
            for name in (".git/hooks/z", "g/hooks/z", "sub/../.git/z"):
                self.assertEqual(self.run_json(policy, ["touch", name])[1]["denied"]["code"], "path_denied")
            inside = "cwd_not_allowed" if "write" in sandbox else "path_denied"  # the directory, or the file in it
            for argv, cwd in ((["touch", "z"], ".git"), (["touch", "z"], "g/hooks"), (["touch", "-C", ".git", "z"], "."), (["touch", "-C", "g", "z"], ".")):
                self.assertEqual(self.run_json(policy, argv, "--cwd", cwd)[1]["denied"]["code"], inside, (argv, cwd))
            self.assertTrue(self.run_json(policy, ["touch", "old"])[1]["success"])
        self.assertEqual(sorted(os.listdir(os.path.join(self.ws, ".git"))), ["HEAD", "config", "hooks"])


if __name__ == "__main__":
    main()
