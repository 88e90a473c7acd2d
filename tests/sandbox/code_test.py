"""Memory that was written is not executed: by the kernel's own rule, by the filter where the kernel has none, and not in the
profile "jit", which says so. And what W^X must leave alone: the loader, interpreters, regular expressions."""
import errno
import json
import os

import outer
from harness import SandboxTest, main

NUMBERS = outer.NUMBERS["mmap"], outer.NUMBERS["mprotect"]
# W+X at once; and writable first, executable then.
TRY = ("sub say { my ($name, $got) = @_; print $name, ' ', $got == -1 ? $! + 0 : 'made', qq(\\n); $got }"
       "say('both', syscall(%d, 0, 4096, 7, 0x22, -1, 0)); my $at = say('first', syscall(%d, 0, 4096, 3, 0x22, -1, 0));"
       "say('then', syscall(%d, $at, 4096, 5));" % (NUMBERS[0], NUMBERS[0], NUMBERS[1]))


def perl(**sandbox):
    return {"path": "/usr/bin/perl", "sandbox": sandbox, "end_of_options": False,
            "options": {"-e": {"value": {"text": [1, 2000]}, "spelling": "separate"}}}


class Code(SandboxTest):
    def attempt(self, before=None, **sandbox):
        policy = self.policy({"perl": perl(**sandbox)})
        _, result = self.run_json(policy, ["perl", "-e", TRY], preexec_fn=before)
        self.assertEqual(result["outcome"]["type"], "exited", result)
        return dict(line.split() for line in result["stdout"].splitlines()), result

    def test_both_layers_refuse_and_each_does_alone(self):
        refused = {"both": str(errno.EPERM), "first": "made", "then": str(errno.EPERM)}
        self.assertEqual(self.attempt()[0], refused)
        for error in (errno.EINVAL, errno.ENOSYS, errno.EPERM):  # a kernel before 6.3
            self.assertEqual(self.attempt(lambda: outer.refuse({"mdwe": error}))[0], refused)
        kernel = {name: str(errno.EACCES) if value != "made" else value for name, value in refused.items()}
        self.assertEqual(self.attempt(layers={"seccomp": "off"})[0], kernel)

    def test_jit_allows_and_check_and_result_say_so(self):
        found, result = self.attempt(syscalls="jit")
        self.assertEqual(set(found.values()), {"made"})
        self.assertEqual(result["sandbox"]["layers"]["seccomp"]["detail"], "jit: generated code is allowed")
        for profile in ("default", "jit"):
            policy = self.policy({"perl": perl(syscalls=profile)})
            status, out, _ = self.call(["check", "--policy", policy, "--explain", "--", "perl", "-e", "1"])
            self.assertEqual((status, json.loads(out)["confinement"]["syscalls"]), (0, profile), out)

    def test_jit_is_refused_by_name_where_generated_code_is_forbidden_for_good(self):
        policy = self.policy({"perl": perl(syscalls="jit")})
        status, result = self.run_json(policy, ["perl", "-e", "1"], preexec_fn=lambda: outer.LIBC.prctl(65, 1, 0, 0, 0))
        self.assertEqual((status, result["error"]["code"]), (125, "launch_failed"), result)
        self.assertIn("PR_SET_MDWE", result["error"]["message"])

    def test_no_file_is_made_that_runs_as_somebody_else(self):
        """On the host's disk the sandbox's own nosuid does not hold."""
        script = ("umask 0; open F, '>', 'f'; chmod(0755, 'f') or print 'plain ', $! + 0; for my $bits (04755, 02755, 06755) {"
                  "chmod($bits, 'f') and print 'chmod '; mkdir('d', $bits) and print 'mkdir '; mkdir 'e'; chmod($bits, 'e') and print 'directory ';"
                  "sysopen(G, 'g', 0102, $bits) and print 'open ' }")
        for layers in ({}, {layer: "off" for layer in ("user_namespace", "pid_namespace", "mount_namespace", "ipc_namespace", "uts_namespace")}):
            policy = self.policy({"perl": perl(write=["${start_dir}"], tmp="private", layers=layers)})
            status, result = self.run_json(policy, ["perl", "-e", script])
            printed = "" if not layers else "plain 1"  # without a minimal root no metadata is changed at all
            self.assertEqual((status, result["stdout"].strip()), (0, printed), result)
            self.assertEqual([name for name in os.listdir(self.ws) if os.stat(os.path.join(self.ws, name)).st_mode & 0o6000], [])

    def test_what_needs_no_generated_code_runs(self):
        self.write("ws/text", "one two\n")
        node = {"path": "/usr/bin/grep", "options": {"-P": {}}, "operands": [{"name": "pattern", "type": {"text": [1, 99]}},
                                                                              {"name": "file", "type": {"path": "read", "within": ["${start_dir}"]}}]}
        status, result = self.run_json(self.policy({"grep": node}), ["grep", "-P", r"\bt(w)o\b", "text"])
        self.assertEqual((status, result["stdout"]), (0, "one two\n"), result)
        python = os.path.realpath("/usr/bin/python3")
        node = {"path": python, "sandbox": {"read": ["/usr/lib"]}, "end_of_options": False, "options": {"-c": {"value": {"text": [1, 200]}}}}
        name = os.path.basename(python)
        status, result = self.run_json(self.policy({name: node}), [name, "-c", "import ctypes, re, hashlib; print(hashlib.md5(b'').hexdigest()[:4])"])
        self.assertEqual((status, result["stdout"]), (0, "d41d\n"), result)

    def test_node_needs_jit_and_runs_with_it(self):
        node = {"path": "/usr/bin/node", "trust": "caller", "end_of_options": False, "limits": {"memory_mib": 0},
                "options": {"-e": {"value": {"text": [1, 200]}, "spelling": "separate"}}}
        status, result = self.run_json(self.policy({"node": dict(node, sandbox={"syscalls": "jit"})}), ["node", "-e", "console.log(6 * 7)"])
        self.assertEqual((status, result["stdout"]), (0, "42\n"), result)
        status, result = self.run_json(self.policy({"node": node}), ["node", "-e", "console.log(6 * 7)"])
        self.assertNotEqual((status, result["stdout"]), (0, "42\n"), result)

    @staticmethod
    def mapper(**sandbox):
        """Maps a file as code; says with which error, 0 for none."""
        script = "open(F, '<', $ARGV[0]) or die; print syscall(%d, 0, 4096, 5, 2, fileno(F), 0) == -1 ? $! + 0 : 0" % NUMBERS[0]
        return dict(perl(**sandbox), operands=[{"name": "file", "type": {"path": "read", "within": ["${start_dir}"]}}]), script

    def test_what_may_be_written_is_an_operand_or_was_read_through_a_variable_is_not_mapped_as_code(self):
        self.write("ws/file", "x" * 5000)
        self.write("ws/lib/code", "x" * 5000)
        for sandbox, name, expected in (({}, "file", errno.EPERM), ({"write": ["${start_dir}"]}, "file", errno.EPERM),
                                        ({"read": ["${start_dir}/lib"]}, "lib/code", errno.EPERM),
                                        ({"read": [os.path.join(self.ws, "lib")]}, "lib/code", 0), ({"exec": ["${start_dir}/lib"]}, "lib/code", 0),
                                        ({"write": ["${start_dir}"], "exec": ["${start_dir}/lib"]}, "lib/code", 0)):
            with self.subTest(sandbox=sandbox):
                node, script = self.mapper(**sandbox)
                _, result = self.run_json(self.policy({"perl": node}), ["perl", "-e", script, name])
                self.assertEqual((result["stdout"], result["exit_code"]), (str(expected), 0), result)

    def test_what_is_written_to_tmp_is_neither_executed_nor_mapped_as_code(self):
        script = ("open(F, '+>', '/tmp/f'); print F 'x' x 5000; close F; open(F, '<', '/tmp/f');"
                  "print syscall(%d, 0, 4096, 5, 2, fileno(F), 0) == -1 ? $! + 0 : 0" % NUMBERS[0])
        for profile in ("default", "jit"):
            _, result = self.run_json(self.policy({"perl": perl(tmp="private", syscalls=profile)}), ["perl", "-e", script])
            self.assertEqual(result["stdout"], str(errno.EPERM), result)


if __name__ == "__main__":
    main()
