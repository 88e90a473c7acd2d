"""What the probe may harm: a directory with secrets, a process, sockets. And the ways to run it there."""
import json
import os
import shutil
import socket
import subprocess
import tempfile

KEYS = ("secret", "outside", "ws", "self", "victim", "tcp", "udp", "unix", "abstract")


class World:
    def __init__(self, probe, owner=None):
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix="safe-exec-probe-", dir="/var/tmp"))
        os.chmod(self.dir, 0o755)
        self.ws, self.outside = os.path.join(self.dir, "ws"), os.path.join(self.dir, "outside")
        self.secret, self.self = os.path.join(self.dir, "secret"), os.path.join(self.dir, "probe")
        for name in ("ws/empty", "ws/granted.d/sub/.ssh", "outside"):
            os.makedirs(os.path.join(self.dir, name))
        for name in ("secret", "ws/granted", "ws/sibling", "ws/expendable", "ws/granted.d/plain", "ws/granted.d/.env", "ws/granted.d/sub/.ssh/id"):
            with open(os.path.join(self.dir, name), "w") as f:
                f.write("#!/bin/sh\nexit 0\n" * 10)
            os.chmod(os.path.join(self.dir, name), 0o755)
        os.setxattr(self.secret, "user.secret", b"hunter2")
        shutil.copy(probe, self.self)
        self.open_sockets()
        for at, directories, files in os.walk(self.dir):
            for path in [at] + [os.path.join(at, f) for f in files]:
                if owner is not None:
                    os.chown(path, owner, owner, follow_symlinks=False)
        self.victim = self.start_victim(owner)

    def open_sockets(self):
        self.unix, self.abstract = os.path.join(self.dir, "socket"), os.path.basename(self.dir)
        self.sockets = [socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
        for one in self.sockets:
            one.bind(("127.0.0.1", 0))
        self.tcp, self.udp = (one.getsockname()[1] for one in self.sockets)
        for name in (self.unix, "\0" + self.abstract):
            for kind, suffix in ((socket.SOCK_STREAM, ""), (socket.SOCK_DGRAM, ".dgram")):
                one = socket.socket(socket.AF_UNIX, kind)
                one.bind(name + suffix)
                self.sockets.append(one)
        for one in self.sockets:
            if one.type == socket.SOCK_STREAM:
                one.listen(64)
        for name in (self.unix, self.unix + ".dgram"):
            os.chmod(name, 0o777)

    def start_victim(self, owner):
        """Of the same user as the probe."""
        self.process = subprocess.Popen(["/usr/bin/sleep", "300"], start_new_session=True, stdin=subprocess.DEVNULL,
                                        env={"SECRET": "hunter2"}, user=owner, group=owner)
        return self.process.pid

    def close(self):
        self.process.kill()
        self.process.wait()
        for one in self.sockets:
            one.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def words(self, victim=None):
        values = dict(vars(self), victim=victim or self.victim)
        return ["granted", "granted.d"] + ["%s=%s" % (key, values[key]) for key in KEYS]

    def policy(self, **sandbox):
        """The default grants: two operands to read, nothing else."""
        readable = {"path": "read", "within": ["${start_dir}"]}
        value = {"version": 1, "name": "probe",
                 "defaults": {"timeout_ms": 60000, "deny_paths": ["**/.env", "**/.ssh/**"],
                              "limits": {"cpu_s": 30, "memory_mib": 512, "processes": 100, "file_mib": 64, "open_files": 256}},
                 "commands": {"probe": {"path": self.self, "trust": "caller", "sandbox": sandbox, "end_of_options": False,
                                        "operands": [{"name": "file", "type": readable}, {"name": "directory", "type": readable},
                                                     {"name": "world", "type": {"text": [1, 200]}, "count": [0, 20]}]}}}
        path = os.path.join(self.dir, "policy.json")
        with open(path, "w") as f:
            json.dump(value, f)
        return path


def attempts_of(text):
    """{attempt: (open, detail)}; raises on anything else."""
    found = {}
    for line in text.splitlines():
        one = json.loads(line)
        if one["open"] is None or one["attempt"] in found:
            raise ValueError("not tried, or twice: " + line)
        found[one["attempt"]] = (one["open"], one["detail"])
    return found


def environment():
    return {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "SECRET": "hunter2"}


def in_throw_away_namespaces(world, before=None):
    """With nothing around it but namespaces that end with it. The caller has to be an ordinary user."""
    script = 'sleep 300 >&- & "$0" "$@" "victim=$!"'  # the shell stays, as pid 1
    words = [word for word in world.words() if not word.startswith("victim=")]
    argv = ["unshare", "-Urmpfiu", "--kill-child", "--mount-proc", "sh", "-c", script, world.self] + words
    done = subprocess.run(argv, cwd=world.ws, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True,
                          timeout=120, preexec_fn=before)
    return attempts_of(done.stdout.decode())


def in_bubblewrap(world, before=None):
    """As its users start it: everything unshared, the host's root read-only, /tmp and /proc its own."""
    argv = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/", "/", "--tmpfs", "/tmp", "--proc", "/proc",
            "--dev", "/dev", "--", world.self] + world.words()
    done = subprocess.run(argv, cwd=world.ws, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True,
                          timeout=120, preexec_fn=before)
    return attempts_of(done.stdout.decode())


# The probe's bombs come last; where processes are counted and not refused they may end it.
ENDINGS = ("exited", "limit_exceeded")


def in_safe_exec(binary, world, before=None, **sandbox):
    """The attempts, and the result that they came in."""
    argv = [binary, "run", "--policy", world.policy(**sandbox), "--", "probe"] + world.words()
    done = subprocess.run(argv, cwd=world.ws, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True,
                          timeout=120, preexec_fn=before)
    result = json.loads(done.stdout)
    return (attempts_of(result["stdout"]) if result["outcome"]["type"] in ENDINGS else {}), result
