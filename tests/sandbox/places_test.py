"""Policies that name whole places: directories of programs, the whole root, a place below a /tmp of the command's own. What lies
there by chance, or by the requester's hand, opens nothing more."""
import errno
import json
import os
import platform
import shutil
import struct
import tempfile

from harness import SHELL, SandboxTest, main

NO_NAMESPACES = {layer: "off" for layer in ("user_namespace", "pid_namespace", "mount_namespace", "ipc_namespace", "uts_namespace")}
MACHINE = {"x86_64": 62, "aarch64": 183}[platform.machine()]  # e_machine, elf(5)


class Places(SandboxTest):
    def test_a_working_directory_that_cannot_be_reached_is_told_with_a_remedy(self):
        policy = self.policy({"true": {"path": "/usr/bin/true"}})
        inner = os.path.join(self.ws, "closed/inner")
        os.makedirs(inner)
        os.chmod(self.dir, 0o755)
        def enter_and_close(closed):  # by root, or by the owner
            os.chdir(inner)
            os.chmod(closed, 0)
            if os.getuid() == 0:
                os.setgroups([])
                os.setresgid(12345, 12345, 12345)
                os.setresuid(12345, 12345, 12345)
        for closed in (inner, os.path.dirname(inner)):
            status, result = self.run_json(policy, ["true"], preexec_fn=lambda: enter_and_close(closed))
            os.chmod(closed, 0o755)
            self.assertEqual((status, result["error"]["code"], result["error"]["errno"]), (125, "usage", errno.EACCES), result)
            self.assertIn("search", result["error"]["hint"])

    def test_what_a_program_of_nobody_known_asks_for_is_not_given(self):
        """A program that the requester may have written names files as its loader and its libraries."""
        secret = self.write("secret", "hunter2\n", 0o600)

        def program(name, interpreter):
            text = interpreter.encode() + b"\0"
            header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, MACHINE, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0)
            segment = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(text), len(text), 1)
            return self.write(name, header + segment + text + bytes(200), 0o755)

        program("ws/asset", secret)
        program("ws/other", "/usr/bin/perl")
        node = {"path": "/usr/bin/dash", "end_of_options": False, "options": {"-c": {"value": {"text": [1, 2000]}, "spelling": "separate"}}}
        script = "read x < %s; echo $x; /usr/bin/perl -e 'print 1'; %s/other; echo done" % (secret, self.ws)
        for layers in ({}, NO_NAMESPACES, {"landlock": "off"}):
            sandbox = {"read": [self.ws], "exec": ["${start_dir}"], "layers": layers}
            policy = self.policy({"dash": dict(node, sandbox=sandbox)}, defaults={"deny_paths": [secret]})
            _, result = self.run_json(policy, ["dash", "-c", script])
            self.assertEqual(result["stdout"], "\ndone\n", result)
            _, out, _ = self.call(["check", "--policy", policy, "--explain", "--", "dash", "-c", script])
            self.assertNotIn(secret, [grant["path"] for grant in json.loads(out)["confinement"]["grants"]])
        # Where something in the directory is denied it is granted file by file, and of none of them the policy says more.
        program("ws/own", self.write("ws/loader", "x", 0o755))
        self.write("ws/.env", "x")
        for layers in ({}, NO_NAMESPACES):
            sandbox = {"read": [self.ws], "exec": ["${start_dir}"], "layers": layers}
            policy = self.policy({"dash": dict(node, sandbox=sandbox)}, defaults={"deny_paths": ["**/.env", secret]})
            status, result = self.run_json(policy, ["dash", "-c", script])
            self.assertEqual((status, result["stdout"]), (0, "\ndone\n"), result)
            _, out, _ = self.call(["check", "--policy", policy, "--explain", "--", "dash", "-c", script])
            origins = {grant["path"]: grant["origin"] for grant in json.loads(out)["confinement"]["grants"]}
            self.assertNotIn(secret, origins)
            self.assertEqual([path for path, origin in origins.items() if origin == "runtime" and path.startswith(self.dir)], [])
        # Named by the policy it is an error, and with its loader listed it is not.
        own = dict(node, path=self.ws + "/asset", trust="caller")
        status, result = self.run_json(self.policy({"asset": own}), ["asset", "-c", "x"])
        self.assertEqual((status, result["error"]["step"]), (125, "runtime"), result)
        self.assertIn("list that in sandbox.exec", result["error"]["message"])

    def test_a_directory_of_programs_that_others_may_write_is_none(self):
        for mode in (0o777, 0o755):
            self.write("other/tool", "#!/bin/dash\necho ran\n", 0o755)
            os.chmod(self.dir + "/other", mode)
            if os.getuid() == 0 and mode == 0o755:
                os.chown(self.dir + "/other", 23456, 23456)
            elif mode == 0o755:
                continue
            script = "%s/other/tool; cp /usr/bin/id %s/other/id; %s/other/id -u" % (self.dir, self.dir, self.dir)
            _, result = self.run_shell(script, node={"sandbox": {"exec": [self.dir + "/other", "/bin/dash"]}})
            self.assertEqual(result["stdout"], "", result)

    def test_the_whole_root_holds_neither_devices_nor_processes(self):
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        script = ("true 3<> %s && echo terminal; true 3< /dev/ptmx && echo terminals; for i in /proc/*; do echo $i; done; "
                  "echo x > /dev/null && echo null; true 4< /dev/urandom && echo random") % os.ttyname(slave)
        _, result = self.run_shell(script, node={"sandbox": {"read": ["/"]}})
        self.assertEqual(result["stdout"].split(), ["/proc/*", "null", "random"], result)
        # Nor where it is granted around something, nor by what a request names.
        env = self.write("ws/.env", "hunter2\n")
        node = dict(SHELL, sandbox={"read": ["/"]}, operands=[{"name": "p", "type": {"path": "stat", "within": ["/"]}, "count": [0, 1]}])
        script = "echo /proc/[0-9]*; read x < /proc/version && echo $x; read x < %s && echo $x; echo end" % env
        for operands in ([], ["/proc/version"]):
            _, result = self.run_json(self.policy({"dash": node}, defaults={"deny_paths": [env]}), ["dash", "-c", script, *operands])
            self.assertEqual(result["stdout"].split(), ["/proc/[0-9]*", "end"], result)
            self.assertEqual(result["sandbox"]["layers"]["deny_paths"]["status"], "enforced", result)
        # What is denied there is no less so where no mount hides it: /proc is looked at, or it is said that it was not.
        for layers in ({}, NO_NAMESPACES):
            for denied in ("/proc/**", "/proc/version", "**/version"):
                node = dict(SHELL, sandbox={"read": ["/"], "layers": layers})
                _, result = self.run_json(self.policy({"dash": node}, defaults={"deny_paths": [denied]}), ["dash", "-c", "read x < /proc/version && echo $x"])
                self.assertTrue(not result["stdout"] or result["sandbox"]["layers"]["deny_paths"]["status"] != "enforced", (denied, result))
        _, result = self.run_shell("read x < /proc/self/stat && echo $x", node={"sandbox": {"read": ["/"], "proc": "own"}})
        self.assertIn("(dash)", result["stdout"], result)

    def test_of_the_whole_root_a_tmp_of_its_own_is_no_part(self):
        place = tempfile.mkdtemp(prefix="safe-exec-test-", dir="/tmp")
        self.addCleanup(shutil.rmtree, place, True)
        with open(place + "/f", "w") as f:
            f.write("text\n")
        for sandbox, seen in (({"read": ["/"]}, ""), ({"read": ["/", place]}, "text"), ({"read": ["/"], "write": [place]}, "text written")):
            script = "read x < %s/f && echo $x; echo y > %s/new && echo written; true" % (place, place)
            status, result = self.run_shell(script, node={"sandbox": dict(sandbox, tmp="private")}, cwd=self.ws)
            self.assertEqual((status, result["stdout"].split()), (0, seen.split()), result)
            status, result = self.run_shell("echo $PWD", node={"sandbox": dict(sandbox, tmp="private")}, cwd=place)
            self.assertEqual((status, result["stdout"]), (0, place + "\n"), result)

    def test_below_a_tmp_of_its_own_a_missing_read_only_name_is_not_promised(self):
        place = tempfile.mkdtemp(prefix="safe-exec-test-", dir="/tmp")
        self.addCleanup(shutil.rmtree, place, True)
        for required in (True, False):
            layers = {"mount_namespace": "require"} if required else {}
            sandbox = {"write": [place], "read_only": [place + "/.git"], "tmp": "private", "layers": layers, "exec": ["/usr/bin/mkdir"]}
            status, result = self.run_shell("mkdir %s/.git" % place, node={"sandbox": sandbox}, cwd=place)
            if required:
                self.assertEqual((status, result["outcome"]["type"]), (125, "failed"), result)
                self.assertIn("does not exist and could be created", result["error"]["message"])
            else:
                self.assertEqual(result["sandbox"]["layers"]["mount_namespace"]["status"], "partial", result)
                self.assertNotIn("nothing in it can be created", result["sandbox"]["layers"]["landlock"].get("detail", ""))


if __name__ == "__main__":
    main()
