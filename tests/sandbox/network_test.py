"""The network: none, TCP to named ports and nothing beside it, a loopback of its own, the host's; and Unix sockets by name."""
import ctypes
import errno
import json
import os
import socket

import outer
from harness import SandboxTest, main

NO_NAMESPACES = {layer: "off" for layer in ("user_namespace", "pid_namespace", "mount_namespace", "ipc_namespace", "uts_namespace")}
EPERM, EACCES = str(errno.EPERM), str(errno.EACCES)
# Each word is one attempt: KIND:ARGUMENT; says "ok" or the number of the error.
SCRIPT = r"""use Socket qw(:all);
sub in4 { pack_sockaddr_in($_[0], inet_aton('127.0.0.1')) }
my %try = (
 tcp => sub { socket(S, AF_INET, SOCK_STREAM, 0) && connect(S, in4($_[0])) },
 tcp6 => sub { socket(S, AF_INET6, SOCK_STREAM, 0) && connect(S, pack_sockaddr_in6($_[0], inet_pton(AF_INET6, '::1'))) },
 mptcp => sub { socket(S, AF_INET, SOCK_STREAM, 262) && connect(S, in4($_[0])) },
 udp => sub { socket(S, AF_INET, SOCK_DGRAM, 0) && send(S, 'x', 0, in4($_[0])) },
 raw => sub { socket(S, AF_INET, SOCK_RAW, 1) },
 ping => sub { socket(S, AF_INET, SOCK_DGRAM, 1) },
 bind => sub { socket(S, AF_INET, SOCK_STREAM, 0) && bind(S, in4(0)) },
 listen => sub { socket(S, AF_INET, SOCK_STREAM, 0) && listen(S, 1) },
 fastopen => sub { socket(S, AF_INET, SOCK_STREAM, 0) && send(S, 'x', 0x20000000, in4($_[0])) },
 join => sub { socket(S, AF_INET, SOCK_STREAM, 0) && setsockopt(S, 0, 42, pack('L x4 S n a4 x120', 1, 2, 0, inet_aton('232.1.2.3'))) },
 serve => sub { socket(L, AF_INET, SOCK_STREAM, 0) && bind(L, in4(0)) && listen(L, 1) && socket(S, AF_INET, SOCK_STREAM, 0) && connect(S, getsockname(L)) && accept(A, L) },
 serve6 => sub { socket(L, AF_INET6, SOCK_STREAM, 0) && bind(L, pack_sockaddr_in6(0, inet_pton(AF_INET6, '::1'))) && listen(L, 1) && socket(S, AF_INET6, SOCK_STREAM, 0) && connect(S, getsockname(L)) },
 take => sub { socket(S, AF_INET, SOCK_STREAM, 0) && bind(S, in4($_[0])) },
 out => sub { socket(S, AF_INET, SOCK_DGRAM, 0) && connect(S, pack_sockaddr_in(53, inet_aton('192.0.2.1'))) },
 raise => sub { socket(S, AF_INET, SOCK_DGRAM, 0) && ioctl(S, 0x8914, my $request = pack('a16 s x6 x16', 'lo', 0)) },
 netlink => sub { socket(S, 16, SOCK_RAW, $_[0]) },
 unix => sub { socket(S, AF_UNIX, SOCK_STREAM, 0) && connect(S, pack_sockaddr_un($_[0])) },
 abstract => sub { socket(S, AF_UNIX, SOCK_STREAM, 0) && connect(S, pack_sockaddr_un("\0" . $_[0])) },
 unixdgram => sub { socket(S, AF_UNIX, SOCK_DGRAM, 0) && send(S, 'x', 0, pack_sockaddr_un($_[0])) },
);
for (@ARGV) { my ($kind, $argument) = split /:/, $_, 2; $! = 0; my $done = $try{$kind}->($argument); print "$_ ", $done ? 'ok' : $! + 0, "\n" }
"""


class Network(SandboxTest):
    def setUp(self):
        super().setUp()
        self.sockets = []
        self.port, self.other = self.listen(socket.AF_INET, ("127.0.0.1", 0)), self.listen(socket.AF_INET, ("127.0.0.1", 0))
        self.udp = self.listen(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM)

    def tearDown(self):
        for one in self.sockets:
            one.close()
        super().tearDown()

    def listen(self, family, address, kind=socket.SOCK_STREAM):
        one = socket.socket(family, kind)
        one.bind(address)
        if kind == socket.SOCK_STREAM:
            one.listen(32)
        self.sockets.append(one)
        return one.getsockname()[1] if family != socket.AF_UNIX else address

    def attempt(self, words, before=None, more=(), denied=(), unseen=(), **sandbox):
        script = self.write("bin/attempt", SCRIPT)
        node = {"path": "/usr/bin/perl", "end_of_options": False,
                "sandbox": dict({"read": [script, "/usr/lib", "/usr/share/perl", "/usr/share/perl5", "/etc/perl", *more]}, **sandbox),
                "operands": [{"name": "script", "type": {"literal": script}}, {"name": "w", "type": {"text": [1, 200]}, "count": [1, 20]}]}
        _, result = self.run_json(self.policy({"perl": node}, defaults={"deny_paths": list(denied), "deny_walk": {"leave_out": list(unseen)}}), ["perl", script] + words, preexec_fn=before)
        self.assertEqual(result["outcome"], {"type": "exited", "exit_code": 0}, result)
        return dict(line.rsplit(" ", 1) for line in result["stdout"].splitlines()), result

    def all_words(self):
        return ["tcp:%d" % self.port, "tcp:%d" % self.other, "mptcp:%d" % self.port, "udp:%d" % self.udp, "raw:", "ping:", "bind:", "listen:",
                "netlink:0", "netlink:16", "abstract:x"]

    def test_none_opens_nothing(self):
        found, _ = self.attempt(self.all_words() + ["tcp6:%d" % self.port, "unix:/run/x", "fastopen:%d" % self.port])
        self.assertEqual(set(found.values()), {EPERM})

    def test_named_ports_open_tcp_to_them_and_nothing_else(self):
        self.listen(socket.AF_INET6, ("::1", self.port))
        for layers in ({}, NO_NAMESPACES):
            found, _ = self.attempt(self.all_words() + ["tcp6:%d" % self.port, "fastopen:%d" % self.other, "join:"], network={"connect_tcp": [self.port]}, layers=layers)
            opened = {"tcp:%d" % self.port, "tcp6:%d" % self.port}
            self.assertEqual({word for word, got in found.items() if got == "ok"}, opened)
            self.assertEqual(found["tcp:%d" % self.other], EACCES)
            self.assertEqual({found[word] for word in found if word.split(":")[0] not in ("tcp", "tcp6")}, {EPERM})

    def test_named_ports_are_shut_where_nothing_tells_ports_apart(self):
        found, result = self.attempt(["tcp:%d" % self.port], network={"connect_tcp": [self.port]}, layers={"landlock": "off"})
        self.assertEqual(set(found.values()), {EPERM})
        found, result = self.attempt(["tcp:%d" % self.port], lambda: outer.refuse({"landlock_create_ruleset": errno.ENOSYS}),
                                     network={"connect_tcp": [self.port]})
        self.assertEqual(set(found.values()), {EPERM})
        self.assertIn("TCP is refused", result["sandbox"]["layers"]["seccomp"].get("detail", ""))

    def test_host_opens_the_internet_families_only(self):
        found, _ = self.attempt(self.all_words() + ["unix:/run/x"], network="host")
        opened = {word for word, got in found.items() if got == "ok"}
        self.assertGreaterEqual(opened, {"tcp:%d" % self.port, "tcp:%d" % self.other, "udp:%d" % self.udp, "bind:", "listen:", "netlink:0"})
        self.assertLessEqual(opened, {"tcp:%d" % self.port, "tcp:%d" % self.other, "udp:%d" % self.udp, "bind:", "listen:", "netlink:0", "ping:",
                                      "mptcp:%d" % self.port})
        self.assertEqual({found["netlink:16"], found["abstract:x"], found["unix:/run/x"], found["raw:"]}, {EPERM})
        self.assertNotEqual(self.attempt(["join:"], network="host")[0]["join:"], EPERM)

    own = ["serve:", "serve6:", "bind:", "netlink:0"]

    def test_loopback_is_the_commands_own(self):
        words = self.own + ["take:%d" % self.port, "tcp:%d" % self.port, "mptcp:%d" % self.port, "out:", "raise:", "raw:", "netlink:16", "abstract:x", "unix:/run/x"]
        for layers in ({}, {"landlock": "off"}):
            found, result = self.attempt(words, network="loopback", layers=layers)
            # The port that the host has in use is free here, and nobody answers behind it.
            self.assertEqual({word for word, got in found.items() if got == "ok"}, set(self.own) | {"take:%d" % self.port})
            self.assertEqual(found["tcp:%d" % self.port], str(errno.ECONNREFUSED))
            self.assertEqual(found["out:"], str(errno.ENETUNREACH))
            self.assertEqual({found[word] for word in ("raise:", "raw:", "netlink:16", "abstract:x", "unix:/run/x")}, {EPERM})
            self.assertNotIn("detail", result["sandbox"]["layers"]["seccomp"])

    def test_loopback_is_never_the_hosts(self):
        words = self.own + self.all_words()
        refused = (outer.NO_NAMESPACES, {"unshare": errno.EPERM}, {"network of unshare": errno.ENOSPC, "network of clone": errno.ENOSPC},
                   {"raise a device": errno.EPERM})
        for refusals in refused:
            with self.subTest(refusals=refusals):
                found, result = self.attempt(words, lambda: outer.refuse(refusals), network="loopback")
                layers = result["sandbox"]["layers"]
                if refusals == {"unshare": errno.EPERM}:  # clone(2) instead
                    self.assertEqual({found[word] for word in self.own}, {"ok"}, layers)
                    continue
                self.assertEqual(set(found.values()), {EPERM}, layers)
                self.assertIn("sockets are refused: without a network namespace", layers["seccomp"]["detail"])
                if "namespaces" not in refusals:
                    self.assertEqual(layers["pid_namespace"]["status"], "enforced", layers)

    def test_without_loopback_and_filter_nothing_is_started(self):
        no_network = {"network of unshare": errno.ENOSPC, "network of clone": errno.ENOSPC}

        def as_user():
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(12345)
                os.setuid(12345)

        os.chmod(self.dir, 0o755)
        for layers, before in (({}, lambda: outer.refuse(no_network)), ({}, lambda: outer.refuse(outer.NO_NAMESPACES)),
                               ({}, lambda: outer.refuse({"raise a device": errno.EPERM})), ({"landlock": "off"}, lambda: outer.refuse(no_network)),
                               ({"user_namespace": "off"}, as_user)):
            with self.subTest(layers=layers):
                node = {"path": "/usr/bin/true", "sandbox": {"network": "loopback", "layers": dict(layers, seccomp="off")}}
                status, result = self.run_json(self.policy({"true": node}), ["true"], preexec_fn=before)
                self.assertEqual((status, result["error"]["code"]), (125, "sandbox_unavailable"), result)
                self.assertIn("nothing refuses the host's", result["error"]["message"])

    def test_unix_sockets_are_reached_by_name(self):
        paths = [os.path.join(self.dir, name) for name in ("granted", "sibling")]
        for path in paths:
            self.listen(socket.AF_UNIX, path)
            self.listen(socket.AF_UNIX, path + ".dgram", socket.SOCK_DGRAM)
            for name in (path, path + ".dgram"):
                os.chmod(name, 0o666)
        abstract = os.path.basename(self.dir)
        self.listen(socket.AF_UNIX, "\0" + abstract)
        words = ["unix:" + paths[0], "unix:" + paths[1], "unixdgram:%s.dgram" % paths[1], "abstract:" + abstract, "tcp:%d" % self.port]
        found, _ = self.attempt(words, unix_sockets=[paths[0]])
        self.assertEqual({word for word, got in found.items() if got == "ok"}, {words[0]}, found)
        found, _ = self.attempt(words)
        self.assertEqual(set(found.values()), {EPERM})
        # By its own name, through no link that anybody but root could have made, and not where it is denied.
        link = os.path.join(self.dir, "link")
        os.symlink(paths[1], link)
        if os.getuid() == 0:
            os.lchown(link, 12345, 12345)
        os.symlink(paths[1], os.path.join(self.ws, "link"))
        for named in (link, "${start_dir}/link"):
            found, _ = self.attempt(words + ["unix:" + link, "unix:" + self.ws + "/link"], unix_sockets=[named])
            self.assertEqual({word for word, got in found.items() if got == "ok"}, set(), found)
        found, _ = self.attempt(words, denied=["**/sibling"], unix_sockets=paths)
        self.assertEqual({word for word, got in found.items() if got == "ok"}, {words[0]}, found)
        # Nor in a directory that is granted, for whatever.
        inner = [os.path.join(self.ws, name) for name in ("granted", "sibling")]
        for path in inner:
            self.listen(socket.AF_UNIX, path)
            os.chmod(path, 0o666)
        for grant in ({"more": [self.ws]}, {"write": [self.ws]}):
            found, result = self.attempt(["unix:" + path for path in inner], denied=[inner[1]], unix_sockets=[inner[0]], **grant)
            self.assertEqual({word for word, got in found.items() if got == "ok"}, {"unix:" + inner[0]}, (grant, found))
            self.assertEqual(result["sandbox"]["layers"]["deny_paths"]["status"], "enforced", result)
        # More than can be covered: FIFOs are none, and for sockets the run is refused, since a command may have made them.
        for i in range(70):
            os.mkfifo(os.path.join(self.ws, "fifo%d.key" % i))
        denied = [self.ws + "/*.key", inner[1]]
        for grant in ({"more": [self.ws]}, {"write": [self.ws]}):
            found, result = self.attempt(["unix:" + path for path in inner], denied=denied, unix_sockets=[inner[0]], **grant)
            self.assertEqual({word for word, got in found.items() if got == "ok"}, {"unix:" + inner[0]}, (grant, found))
            self.assertEqual(result["sandbox"]["layers"]["deny_paths"]["status"], "enforced", result)
        named = {"name": "d", "type": {"path": "stat", "kind": "dir", "within": [self.ws]}}
        for i in range(65):
            os.unlink(os.path.join(self.ws, "fifo%d.key" % i))
            self.listen(socket.AF_UNIX, os.path.join(self.ws, "fifo%d.key" % i))
        for node in ({"sandbox": {"read": [self.ws]}}, {"sandbox": {"write": [self.ws]}}, {"operands": [named]}):
            node = dict({"path": "/usr/bin/true"}, **node)
            node["sandbox"] = dict(node.get("sandbox", {}), unix_sockets=[inner[0]])
            status, result = self.run_json(self.policy({"true": node}, defaults={"deny_paths": denied}), ["true"] + ([self.ws] if "operands" in node else []))
            self.assertEqual((status, result["error"] and result["error"]["step"]), (125, "deny_paths"), result)
        os.chmod(self.ws, 0o311)  # by who cannot list it, what is denied in it could be connected to unseen
        status, result = self.run_json(self.policy({"true": node}, defaults={"deny_paths": denied}), ["true", self.ws])
        os.chmod(self.ws, 0o755)
        self.assertEqual((status, result["error"] and result["error"]["step"]), (125, "deny_paths"), result)
        # Abstract names are the network namespace's where Landlock does not know them; where it is the host's, there are no such sockets.
        without = {"landlock_create_ruleset": errno.ENOSYS}
        found, _ = self.attempt(words, lambda: outer.refuse(without), unix_sockets=[paths[0]])
        self.assertEqual({word for word, got in found.items() if got == "ok"}, {words[0]}, found)
        no_network = dict(without, **{"network of unshare": errno.ENOSPC, "network of clone": errno.ENOSPC})
        for refused, network in ((without, "host"), (no_network, "none")):
            found, result = self.attempt(words[:-1], lambda: outer.refuse(refused), unix_sockets=[paths[0]], network=network)
            self.assertEqual(set(found.values()), {EPERM})
            self.assertIn("Unix sockets are refused", result["sandbox"]["layers"]["seccomp"]["detail"])
        # Without a minimal root every socket of the host would be in reach: none is.
        found, result = self.attempt(words, unix_sockets=[paths[0]], layers=NO_NAMESPACES)
        self.assertEqual(set(found.values()), {EPERM})

    def test_a_granted_socket_is_reached_where_landlock_fails_late(self):
        path = os.path.join(self.dir, "granted")
        self.listen(socket.AF_UNIX, path)
        found, _ = self.attempt(["unix:" + path, "tcp:%d" % self.port], lambda: outer.refuse({"landlock_restrict_self": errno.EPERM}), unix_sockets=[path])
        self.assertEqual(found, {"unix:" + path: "ok", "tcp:%d" % self.port: EPERM})

    def test_what_is_named_as_a_socket_and_is_none_is_not_granted(self):
        plain = self.write("ws/plain", "content\n")
        for layers in ({}, {"landlock": "off"}):
            _, result = self.run_shell("read x < plain && echo $x", node={"sandbox": {"unix_sockets": [plain], "layers": layers}})
            self.assertEqual((result["outcome"]["type"], result["stdout"]), ("exited", ""), result)

    def test_a_granted_socket_opens_no_other_one(self):
        inner = {name: os.path.join(self.ws, name) for name in ("granted", "sibling", "deep/er/sibling", "shut/sibling", "left/sibling", "own/granted")}
        for path in inner.values():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self.listen(socket.AF_UNIX, path)
            os.chmod(path, 0o666)
        os.symlink(inner["sibling"], os.path.join(self.ws, "link"))
        os.link(inner["granted"], os.path.join(self.ws, "deep", "granted"))  # the same one by another name
        os.chmod(os.path.join(self.ws, "shut"), 0o311)
        words = ["unix:" + path for path in [*inner.values(), self.ws + "/link", self.ws + "/deep/granted"]]
        granted = {"unix:" + inner["granted"], "unix:" + inner["own/granted"], "unix:" + self.ws + "/deep/granted"}
        named = [inner["granted"], inner["own/granted"]]
        for grant in ({"more": [self.ws]}, {"write": [self.ws]}, {"write": [self.ws + "/deep"], "more": [self.ws]}):
            found, result = self.attempt(words, unix_sockets=named, **grant)
            self.assertEqual({word for word, got in found.items() if got == "ok"}, granted, (grant, found))
            self.assertNotIn("in reach", result["sandbox"]["layers"]["seccomp"].get("detail", ""))
        # What is denied splits the grant, and leaves the others as they are.
        found, result = self.attempt(words, denied=["**/er"], unix_sockets=named, more=[self.ws])
        self.assertEqual({word for word, got in found.items() if got == "ok"}, granted, found)
        # Nor one of /dev, which the whole root holds.
        shared = "/dev/shm/safe-exec-test-%d" % os.getpid()
        self.listen(socket.AF_UNIX, shared)
        self.addCleanup(os.unlink, shared)
        unseen = [name for name in os.listdir("/") if name != "dev"]
        for denied in ([], [shared]):
            found, _ = self.attempt(["unix:" + inner["granted"], "unix:" + shared], denied=denied, unseen=unseen, unix_sockets=named, more=["/"])
            self.assertEqual({word for word, got in found.items() if got == "ok"}, {"unix:" + inner["granted"]}, found)
        # Where it was not looked for it is said.
        policy = {"true": {"path": "/usr/bin/true", "sandbox": {"read": [self.ws], "unix_sockets": named}}}
        for walk, said in ({"leave_out": ["left"]}, "not looked for in left"), ({"entries": 3}, "more than 3 entries"):
            _, result = self.run_json(self.policy(policy, defaults={"deny_walk": walk}), ["true"])
            self.assertIn("in reach too: " + said, result["sandbox"]["layers"]["seccomp"]["detail"])
        for i in range(64):
            self.listen(socket.AF_UNIX, os.path.join(self.ws, "deep/%d" % i))
        _, result = self.run_json(self.policy(policy), ["true"])
        self.assertIn("more than 64", result["sandbox"]["layers"]["seccomp"]["detail"])

    def test_what_leads_to_another_socket_is_not_moved(self):
        for name in ("granted", "deep/er/sibling", "z/other"):
            os.makedirs(os.path.dirname(os.path.join(self.ws, name)), exist_ok=True)
            self.listen(socket.AF_UNIX, os.path.join(self.ws, name))
        perl = {"path": "/usr/bin/perl", "end_of_options": False, "options": {"-e": {"value": {"text": [0, 900]}, "spelling": "separate"}},
                "sandbox": {"write": [self.ws], "unix_sockets": [self.ws + "/granted"]}}
        script = "for (['deep/er', 'z/er'], ['deep/er', 'deep/re'], ['deep', 'z/deep']) { print rename($$_[0], $$_[1]) ? 'moved' : $! + 0, ' ' }"
        _, result = self.run_json(self.policy({"perl": perl}), ["perl", "-e", script])
        self.assertEqual(result["stdout"].split(), [str(error) for error in (errno.EXDEV, errno.EBUSY, errno.EXDEV)], result)

    def test_a_socket_that_is_mounted_over_a_file_is_found(self):
        if os.getuid() != 0:  # nobody else mounts anything where programs are still root's
            return
        outside, inner = os.path.join(self.dir, "outside"), os.path.join(self.ws, "granted")
        mounted = self.write("ws/a b", "")
        for path in (outside, inner):
            self.listen(socket.AF_UNIX, path)

        def mount():
            libc = ctypes.CDLL(None, use_errno=True)
            new_namespace, bind, recursive, private = 0x20000, 0x1000, 0x4000, 1 << 18
            steps = (libc.unshare(new_namespace), libc.mount(None, b"/", None, recursive | private, None),
                     libc.mount(outside.encode(), mounted.encode(), None, bind, None))
            assert steps == (0, 0, 0), steps

        words = ["unix:" + path for path in (inner, mounted)]
        for sandbox in ({}, {"denied": [mounted]}):
            found, _ = self.attempt(words, mount, more=[self.ws], unix_sockets=[inner], **sandbox)
            self.assertEqual({word for word, got in found.items() if got == "ok"}, {words[0]}, found)
        found, _ = self.attempt(words, mount, unix_sockets=[inner, mounted])
        self.assertEqual(set(found.values()), {"ok"}, found)

    def test_explained_is_which_sockets_are_hidden(self):
        for name in ("granted", "sibling", "deep/sibling"):
            os.makedirs(os.path.dirname(os.path.join(self.ws, name)), exist_ok=True)
            self.listen(socket.AF_UNIX, os.path.join(self.ws, name))
        self.write("ws/file", "")
        operand = {"name": "f", "type": {"path": "replace", "within": [self.ws]}, "count": [0, 1]}
        node = {"path": "/usr/bin/true", "sandbox": {"unix_sockets": [self.ws + "/granted"]}, "operands": [operand]}
        hidden = [self.ws + "/deep/sibling", self.ws + "/sibling"]
        for more, words in ({"read": [self.ws]}, []), ({}, [self.ws + "/file"]):
            policy = self.policy({"true": dict(node, sandbox=dict(node["sandbox"], **more))})
            _, out, _ = self.call(["check", "--policy", policy, "--explain", "--", "true"] + words)
            decision = json.loads(out)
            found = [sorted(grant["hidden"]) for grant in decision["confinement"]["grants"] if "hidden" in grant]
            self.assertEqual(found, [hidden], decision)


if __name__ == "__main__":
    main()
