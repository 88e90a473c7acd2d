"""What a confined command can and cannot do, with the default grants, as root and as an ordinary user."""
import hashlib
import json
import os
import shutil
import socket
import stat
import tempfile

from harness import SandboxTest, main


def tools(*names):
    return {"sandbox": {"exec": ["/usr/bin/" + name for name in names]}}


class Files(SandboxTest):
    def test_only_checked_operands_can_be_read(self):
        self.write("ws/asked.txt", "asked\n")
        self.write("ws/other.txt", "other\n")
        policy = self.policy({"dash": {"path": "/bin/dash", "end_of_options": False,
                                       "options": {"-c": {"value": {"text": [0, 200]}, "spelling": "separate"}},
                                       "operands": [{"name": "f", "type": {"path": "read", "within": ["${start_dir}"]}, "count": [0, 2]}]}})
        script = 'while read line; do echo $line; done < "$0"; while read line; do echo $line; done < other.txt'
        status, result = self.run_json(policy, ["dash", "-c", script, "asked.txt"])
        self.assertEqual(result["stdout"], "asked\n", result)
        self.assertIn("other.txt", result["stderr"])
        self.assertNotEqual(status, 0)

    def test_secrets_of_the_host_cannot_be_read(self):
        secret = self.write("secret.txt", "hunter2\n")
        for path in (secret, "/etc/passwd", "/etc/hostname", "/proc/self/environ", "/proc/1/environ", "/root/.bashrc"):
            _, result = self.run_shell("read line < %s && echo GOT $line" % path)
            self.assertNotIn("GOT", result["stdout"], path)

    def test_nothing_can_be_written_by_default(self):
        target = self.write("ws/file.txt", "before\n")
        for script in ("echo x > file.txt", "echo x >> file.txt", "echo x > new.txt", "echo x > /tmp/safe-exec-new", "echo x > /dev/shm/x",
                       ": > file.txt"):
            _, result = self.run_shell(script + " && echo WROTE")
            self.assertNotIn("WROTE", result["stdout"], script)
        with open(target) as f:
            self.assertEqual(f.read(), "before\n")
        self.assertFalse(os.path.exists("/tmp/safe-exec-new"))

    def test_metadata_cannot_be_changed_by_default(self):
        target = self.write("ws/file.txt", "x", 0o600)
        before = os.stat(target)
        node = tools("chmod", "touch", "mkdir", "ln", "rm", "mv")
        node["sandbox"]["read"] = ["${start_dir}"]
        for script in ("chmod 777 file.txt", "touch -d 2001-01-01 file.txt", "mkdir d", "ln -s /etc/passwd l", "ln file.txt h", "rm file.txt",
                       "mv file.txt g"):
            _, result = self.run_shell(script + " && echo DONE", node=node)
            self.assertNotIn("DONE", result["stdout"], script)
        after = os.stat(target)
        self.assertEqual((before.st_mode, before.st_mtime, before.st_ino), (after.st_mode, after.st_mtime, after.st_ino))
        self.assertEqual(os.listdir(self.ws), ["file.txt"])

    def test_write_grants_write_that_file_only(self):
        self.write("ws/a.txt", "a\n")
        self.write("ws/b.txt", "b\n")
        policy = self.policy({"dash": {"path": "/bin/dash", "end_of_options": False,
                                       "options": {"-c": {"value": {"text": [0, 200]}, "spelling": "separate"}},
                                       "operands": [{"name": "f", "type": {"path": "write", "within": ["${start_dir}"]}}]}})
        status, result = self.run_json(policy, ["dash", "-c", 'echo new > "$0"; echo new > b.txt', "a.txt"])
        self.assertEqual(open(os.path.join(self.ws, "a.txt")).read(), "new\n", result)
        self.assertEqual(open(os.path.join(self.ws, "b.txt")).read(), "b\n")

    def test_create_makes_the_file_and_leaves_none_behind_when_unused(self):
        policy = self.policy({"dash": {"path": "/bin/dash", "end_of_options": False,
                                       "options": {"-c": {"value": {"text": [0, 200]}, "spelling": "separate"}},
                                       "operands": [{"name": "f", "type": {"path": "create", "within": ["${start_dir}"]}}]}})
        path = os.path.join(self.ws, "out.txt")
        status, result = self.run_json(policy, ["dash", "-c", 'echo new > "$0"', "out.txt"])
        self.assertEqual((status, open(path).read()), (0, "new\n"), result)
        os.remove(path)
        status, result = self.run_json(policy, ["dash", "-c", "exit 3", "out.txt"])
        self.assertEqual(status, 3)
        self.assertFalse(os.path.exists(path))

    def test_denied_names_inside_a_granted_directory_stay_shut(self):
        self.write("ws/.env", "SECRET=1\n")
        self.write("ws/sub/.ssh/id", "key\n")
        self.write("ws/sub/plain.txt", "plain\n")
        node = {"sandbox": {"read": ["${start_dir}"]}}
        policy = self.policy({"dash": {"path": "/bin/dash", "end_of_options": False, "options": {"-c": {"value": {"text": [0, 300]}, "spelling": "separate"}}, **node}},
                             defaults={"deny_paths": ["**/.env", "**/.ssh/**"]})
        script = "for f in .env sub/.ssh/id sub/plain.txt; do read line < $f && echo GOT $line; done"
        _, result = self.run_json(policy, ["dash", "-c", script])
        self.assertEqual(result["stdout"], "GOT plain\n", result)
        self.assertEqual(result["sandbox"]["layers"]["deny_paths"]["status"], "enforced")

    def test_a_name_that_is_denied_is_denied_wherever_it_leads(self):
        for name in ("plain", "real/f"):
            self.write("ws/" + name, "content\n")
        os.symlink("plain", os.path.join(self.ws, ".env"))
        os.symlink("real", os.path.join(self.ws, ".ssh"))
        cat = {"path": "/usr/bin/cat", "cwd": ["${start_dir}"], "operands": [{"name": "f", "type": {"path": "read", "within": ["${start_dir}"]}}]}
        policy = self.policy({"cat": cat}, defaults={"deny_paths": ["**/.env", "**/.ssh/**", "**/.ssh"]})
        for name, options in ((".env", ()), (".ssh/f", ()), ("f", ("--cwd", ".ssh"))):
            status, result = self.run_json(policy, ["cat", name], *options)
            self.assertEqual((status, result["denied"] and result["denied"]["code"]), (126, "path_denied"), (name, options, result))
        for name, options in (("plain", ()), ("real/f", ()), ("f", ("--cwd", "real"))):
            status, result = self.run_json(policy, ["cat", name], *options)
            self.assertEqual((status, result["stdout"]), (0, "content\n"), (name, options, result))

    def test_symlinks_out_of_the_root_are_denied(self):
        self.write("secret.txt", "no\n")
        os.symlink("../secret.txt", os.path.join(self.ws, "out"))
        os.symlink("/etc/passwd", os.path.join(self.ws, "abs"))
        os.symlink(os.path.join(self.ws, "in.txt"), os.path.join(self.ws, "absin"))
        os.symlink("in.txt", os.path.join(self.ws, "link"))
        self.write("ws/in.txt", "in\n")
        policy = self.policy({"cat": {"path": "/usr/bin/cat",
                                      "operands": [{"name": "f", "type": {"path": "read", "within": ["${start_dir}"]}}]}})
        for name in ("out", "abs", "absin", "../secret.txt", "/etc/passwd", self.dir + "/secret.txt", self.ws + "-evil/x"):
            status, result = self.run_json(policy, ["cat", name])
            self.assertEqual((status, result["denied"]["code"]), (126, "path_outside"), name)
        status, result = self.run_json(policy, ["cat", "link"])
        self.assertEqual((status, result["stdout"]), (0, "in\n"), result)
        status, result = self.run_json(policy, ["cat", self.ws + "/link"])
        self.assertEqual((status, result["stdout"]), (0, "in\n"), result)

    def test_special_files_are_refused_without_being_opened(self):
        os.mkfifo(os.path.join(self.ws, "fifo"))
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(os.path.join(self.ws, "socket"))
        policy = self.policy({"cat": {"path": "/usr/bin/cat",
                                      "operands": [{"name": "f", "type": {"path": "read", "within": ["${start_dir}", "/dev"]}}]}})
        for name in ("fifo", "socket", "/dev/null"):
            status, result = self.run_json(policy, ["cat", name])
            self.assertEqual((status, result["denied"]["code"]), (126, "path_wrong_kind"), name)
        unix.close()


class Process(SandboxTest):
    def test_no_other_program_is_executed(self):
        for script in ("/usr/bin/id", "/bin/dash -c true", "exec /usr/bin/id", "/lib64/ld-linux-x86-64.so.2 /usr/bin/id"):
            status, result = self.run_shell(script)
            self.assertIn(result["exit_code"], (126, 127, 2), (script, result))
            self.assertNotIn("uid=", result["stdout"])

    def test_listed_helpers_are_executed_and_others_are_not(self):
        status, result = self.run_shell("id -u", node=tools("id"))
        self.assertEqual((status, result["stdout"]), (0, "%d\n" % os.getuid()), result)
        status, result = self.run_shell("/usr/bin/whoami", node=tools("id"))
        self.assertNotEqual(status, 0)

    def test_the_environment_is_built_from_nothing(self):
        node = tools("env")
        node["env"] = {"FIXED": "yes", "LANG": {"caller": {"regex": "C|C\\.UTF-8"}}}
        status, result = self.run_shell("env", "--env", "LANG=C", node=node)
        names = {line.split("=", 1)[0] for line in result["stdout"].splitlines()}
        self.assertLessEqual(names, {"FIXED", "LANG", "PWD", "_", "OLDPWD"}, result)
        self.assertNotIn("hunter2", json.dumps(result))
        status, result = self.run_shell("exit 0", "--env", "LD_PRELOAD=/x")
        self.assertEqual((status, result["denied"]["code"]), (126, "env_not_allowed"))
        self.assertNotIn("/x", json.dumps(result["denied"]))

    def test_only_three_descriptors_are_open(self):
        inherited = os.open("/etc/hostname", os.O_RDONLY)
        os.set_inheritable(inherited, True)
        script = "i=3; while [ $i -lt 200 ]; do if eval \"true <&$i\" 2>/dev/null; then echo open $i; fi; i=$((i+1)); done"
        # eval of a redirection that fails ends a dash script, hence a subshell each time
        script = script.replace("if eval", "if ( eval").replace("2>/dev/null; then", ") 2>/dev/null; then")
        _, result = self.run_shell(script, close_fds=False)
        os.close(inherited)
        self.assertEqual(result["stdout"], "", result)

    def test_other_processes_cannot_be_signalled(self):
        victim = self.popen(["run", "--policy", self.policy({"sleep": {"path": "/usr/bin/sleep", "operands": [{"name": "n", "type": {"int": [0, 100]}}]}}, name="p2.json"),
                             "--", "sleep", "20"])
        _, result = self.run_shell("kill -9 %d && echo KILLED; kill -9 %d && echo KILLED" % (victim.pid, os.getppid()))
        self.assertNotIn("KILLED", result["stdout"])
        self.assertIsNone(victim.poll())
        victim.kill()
        victim.communicate()

    def test_sockets_are_refused(self):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        python = os.path.realpath("/usr/bin/python3")
        name = os.path.basename(python)
        policy = self.policy({name: {"path": python, "end_of_options": False, "sandbox": {"read": ["/usr/lib"]},
                                     "options": {"-c": {"value": {"text": [0, 2000], "multiline": True}}, "-S": {}, "-I": {}}}})
        script = ("import socket\n"
                  "for family, kind, protocol in ((2, 1, 0), (2, 2, 0), (10, 1, 0), (1, 1, 0), (2, 1, 262), (16, 3, 0), (17, 3, 0), (38, 5, 0), (40, 1, 0)):\n"
                  "  try:\n"
                  "    socket.socket(family, kind, protocol); print('OPENED', family, kind, protocol)\n"
                  "  except OSError as e:\n"
                  "    print('refused', e.errno)\n")
        status, result = self.run_json(policy, [name, "-I", "-S", "-c", script])
        listener.close()
        self.assertEqual(status, 0, result)
        self.assertNotIn("OPENED", result["stdout"])
        self.assertEqual(result["stdout"].count("refused"), 9)


class Identity(SandboxTest):
    def test_a_binary_that_others_may_write_is_untrusted(self):
        tool = self.write("bin/tool", b"\x7fELF", 0o777)
        status, result = self.run_json(self.policy({"tool": {"path": tool, "trust": "caller"}}), ["tool"])
        self.assertEqual((status, result["denied"]["code"]), (126, "binary_untrusted"))

    def test_what_is_only_told_of_stays_shut_below_a_tmp_of_its_own(self):
        """What may be read in /tmp by the rule for it is read beneath mounts in it as well."""
        place = os.path.realpath(tempfile.mkdtemp(prefix="safe-exec-test-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, place)
        with open(os.path.join(place, "told"), "w") as f:
            f.write("content")
        for tmp in ("private", "none"):
            policy = self.policy({"cat": {"path": "/bin/cat", "sandbox": {"tmp": tmp},
                                          "operands": [{"name": "f", "type": {"path": "stat", "within": [place]}, "count": [1, 3]}]}})
            _, result = self.run_json(policy, ["cat", os.path.join(place, "told")])
            self.assertEqual((result["outcome"]["type"], result["stdout"]), ("exited", ""), (tmp, result))

    def test_setuid_binaries_are_refused(self):
        tool = os.path.join(self.dir, "tool")
        shutil.copy("/usr/bin/true", tool)
        policy = self.policy({"tool": {"path": tool, "trust": "caller"}})
        os.chmod(tool, 0o755)
        status, result = self.run_json(policy, ["tool"])
        self.assertEqual(status, 0, result)
        os.chmod(tool, 0o755 | stat.S_ISUID)
        status, result = self.run_json(policy, ["tool"])
        self.assertEqual((status, result["denied"]["code"]), (126, "binary_untrusted"))

    def test_a_pinned_digest_must_match(self):
        tool = os.path.join(self.dir, "tool")
        shutil.copy("/usr/bin/true", tool)
        digest = hashlib.sha256(open(tool, "rb").read()).hexdigest()
        policy = self.policy({"tool": {"path": tool, "trust": "caller", "sha256": digest}})
        self.assertEqual(self.run_json(policy, ["tool"])[0], 0)
        with open(tool, "ab") as f:
            f.write(b"x")
        status, result = self.run_json(policy, ["tool"])
        self.assertEqual((status, result["denied"]["code"]), (126, "binary_changed"))

    def test_a_missing_binary_is_127(self):
        status, result = self.run_json(self.policy({"gone": {"path": "/usr/bin/no-such-program"}}), ["gone"])
        self.assertEqual((status, result["denied"]["code"]), (127, "binary_not_found"))

    def test_a_look_alike_is_not_the_command(self):
        policy = self.policy({"ls": {"path": "/bin/ls"}})
        for name in ("/tmp/ls", "./ls", "/bin/../bin/ls", "/usr/bin/ls"):
            status, result = self.run_json(policy, [name])
            self.assertEqual((status, result["denied"]["code"]), (126, "command_not_allowed"), name)
        self.assertEqual(self.run_json(policy, ["/bin/ls"])[1]["denied"], None)

    def test_scripts_run_by_their_listed_interpreter_only(self):
        script = self.write("bin/hello", "#!/bin/dash\necho hello $1\n", 0o755)
        node = {"path": script, "trust": "caller", "operands": [{"name": "t", "type": {"text": [0, 9]}}]}
        status, result = self.run_json(self.policy({"hello": node}), ["hello", "x"])
        self.assertEqual((status, result["denied"]["code"]), (126, "binary_untrusted"))
        node["sandbox"] = {"exec": ["/bin/dash"]}
        node["end_of_options"] = False
        status, result = self.run_json(self.policy({"hello": node}), ["hello", "x"])
        self.assertEqual((status, result["stdout"]), (0, "hello x\n"), result)


if __name__ == "__main__":
    main()
