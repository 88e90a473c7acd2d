"""Trees, policies and requests made by chance. What check --explain prints is what a command can read and write, no more and no
less; and a command that changes what it can, run again and again in one tree, gets at nothing outside, at nothing denied, and
changes nothing that is read-only. RANDOM_SEEDS=FROM:TO tries others than those that are tried always."""
import base64
import contextlib
import errno
import fnmatch
import json
import os
import random
import shutil
import socket
import stat

import outer
from harness import BUILD, SANITIZED, SandboxTest, main

OBSERVER = os.path.join(BUILD, "tests", "observer")
OTHER = 54321  # owns what is neither root's nor the caller's
NAMES = ("a b c d sub src secret hooks config .env .ENV .env.local .git .ssh .config gh id_rsa key.pem x.key -x a=b \u00fc * [z] $v # ` \"q\" "
         "b\\s %41 @f ~ ..x ... n\nl").split(" ") + ["d e", "a", "sub", "src"]
DENY = ("**/.env **/.git/** **/.git **/.ssh/** **/*.pem **/secret/** ${w}/sub/** ${w}/*/b ${w}/a **/c **/.e?? **/gh/** **/.config/gh/** "
        "${w}/**/x.key **/.env.* **/a/b **/sub/* ${w}/src/**/b **/*=* **/hooks/** ${w}/**/sub/**/a").split(" ")
LAYERS = [{"mount_namespace": "off"}] * 6 + [{"landlock": "off"}] * 3 + [{"user_namespace": "off"}] * 2 + [
    {"pid_namespace": "off"}, {"mount_namespace": "require"}, {layer + "_namespace": "off" for layer in ("user", "pid", "mount", "ipc", "uts")}] + [{}] * 7

# What hosts refuse: mostly nothing, else what some are known for, or one call of a start.
HOSTS = [None] * 12 + [outer.HOSTS[name] for name in ("docker", "ubuntu", "landlock", "no-landlock")] + [
    lambda name=name, error=error: outer.refuse({name: error}) for error in (errno.ENOSYS, errno.EPERM)
    for name in ("namespaces", "clone3", "mount", "umount2", "pivot_root", "mount_setattr", "landlock_add_rule", "landlock_restrict_self", "openat2",
                 "linkat", "renameat2", "fchmodat", "mkdirat", "mknodat", "symlinkat", "statx", "readlinkat", "getdents64")]


def under(path, directory):
    return path == directory or path.startswith(directory + "/")


class Glob:
    """deny_paths as POLICY has them: without regard to case, * and ? in a component, ** for any number of them."""

    def __init__(self, text):
        self.parts = text.lower().strip("/").split("/")

    def matches(self, path):
        names = path.lower().strip("/").split("/")

        def fits(i, j):
            if i == len(self.parts):
                return True  # and with a directory all below it
            if self.parts[i] == "**":
                return any(fits(i + 1, k) for k in range(j, len(names) + (i + 1 < len(self.parts))))
            pattern = self.parts[i].replace("[", "[[]")
            return j < len(names) and fnmatch.fnmatchcase(names[j], pattern) and fits(i + 1, j + 1)
        return fits(0, 0)


class Tree:
    """BASE/ws, which policies grant parts of, and BASE/out. Each file begins with eight bytes of its own."""

    def __init__(self, chance, base):
        self.chance, self.base, self.ws, self.out = chance, base, base + "/ws", base + "/out"
        self.files, self.made, self.listening, self.closed, self.marks = [], [], contextlib.ExitStack(), [], 0
        for top, size in ((self.out, 12), (self.ws, chance.choice((10, 20, 34)))):
            os.mkdir(top)
            self.left = size
            self.fill(top, 0)
        for path, mode in self.closed:
            os.chmod(path, mode)
        self.before = self.look()

    def fill(self, directory, depth):
        for _ in range(self.chance.randint(3, 8) if depth == 0 else self.chance.randint(0, 5)):
            path = directory + "/" + self.chance.choice(NAMES)
            if self.left > 0 and not os.path.lexists(path):
                self.left -= 1
                self.add(directory, path, depth)
                if os.geteuid() == 0 and self.chance.random() < 0.05:
                    os.lchown(path, OTHER, OTHER)
                self.made.append(path)

    def add(self, directory, path, depth):
        chance, kind = self.chance, self.chance.random()
        if depth < 4 and kind < (0.7 if os.path.basename(path) in ("sub", "src", ".git", ".ssh", "secret", ".config", "hooks") else 0.33):
            os.mkdir(path)
            self.fill(path, depth + 1)
            if chance.random() < 0.06:
                self.closed.append((path, chance.choice((0, 0o100, 0o300, 0o400, 0o500, 0o700))))
        elif kind < 0.8:
            self.marks += 1
            with open(path, "w") as f:
                f.write("MK%06d" % self.marks + "x" * chance.choice((0, 100)))
            self.files.append(path)
            self.closed.append((path, chance.choice([0o644] * 9 + [0, 0o400, 0o500, 0o600, 0o200, 0o666, 0o755])))
        elif kind < 0.88:
            aim = chance.choice(self.made or [self.ws])
            os.symlink(chance.choice((aim, os.path.relpath(aim, directory), "nowhere", ".", "..", "a", "sub/../a", self.out, self.out + "/a",
                                      os.path.relpath(self.out, directory), self.base, os.path.basename(path))), path)
        elif kind < 0.93 and self.files:
            os.link(chance.choice(self.files), path)
        elif kind < 0.96:
            os.mkfifo(path)
        else:
            with contextlib.suppress(OSError):  # sun_path is short
                listener = self.listening.enter_context(socket.socket(socket.AF_UNIX))
                listener.bind(path)
                listener.listen(64)

    def look(self):
        """{path: (status, text)}, of what its mode closes to its owner, too."""
        seen = {}

        def visit(path):
            status, text = os.lstat(path), None
            closed = os.geteuid() != 0 and not stat.S_ISLNK(status.st_mode) and status.st_mode & 0o500 != 0o500
            if closed:
                os.chmod(path, 0o700)
            if stat.S_ISDIR(status.st_mode):
                for name in os.listdir(path):
                    visit(path + "/" + name)
            elif stat.S_ISREG(status.st_mode):
                with open(path) as f:
                    text = f.read()
            elif stat.S_ISLNK(status.st_mode):
                text = os.readlink(path)
            if closed:
                os.chmod(path, stat.S_IMODE(status.st_mode))
            counted = () if stat.S_ISDIR(status.st_mode) else (status.st_size, status.st_nlink)
            seen[path] = ((status.st_mode, status.st_uid, status.st_ino) + counted, text)
        visit(self.base)
        return seen

    def kind(self, path):
        return stat.S_IFMT(self.before[path][0][0])

    def paths(self, *kinds):
        return [path for path in sorted(self.before) if under(path, self.ws) and self.kind(path) in kinds and "\n" not in path]

    def files_by_mark(self):
        """{first bytes: names}"""
        by_inode = {}
        for path, (status, text) in self.before.items():
            if stat.S_ISREG(status[0]):
                by_inode.setdefault(status[2], (text[:8], []))[1].append(path)
        return dict(by_inode.values())

    def permits(self, path, bits):
        """By owner and mode, from the base on, where nobody has a capability."""
        for at in [path] + [above for above in self.before if path.startswith(above + "/")]:
            mode, owner = self.before[at][0][:2]
            granted = (mode >> 6 if owner == os.geteuid() else mode) & 7
            if granted & (bits if at == path else 5) != (bits if at == path else 5):
                return False
        return True


class Case:
    """bold: for what changes things; mostly the whole of ws may be written, and no operand is in the way of the next run."""

    def __init__(self, seed, base, bold):
        self.chance = chance = random.Random(seed * 2 + (os.geteuid() == 0))
        self.tree = tree = Tree(chance, base)
        self.deny = chance.sample(DENY, chance.choice((0, 1, 1, 2, 3)))
        self.globs = [Glob(text.replace("${w}", tree.ws)) for text in self.deny]
        self.read_only, self.argv = [], ["observer"]
        directories, files, links = tree.paths(stat.S_IFDIR), tree.paths(stat.S_IFREG), tree.paths(stat.S_IFLNK)
        sockets = tree.paths(stat.S_IFSOCK)
        sandbox = {}
        for key, likely, pool in (("read", 0.4, directories * 3 + files + links), ("write", 0.45, directories * 4 + files + links),
                                  ("read_only", 0.7 if bold else 0.35, directories + files + links), ("unix_sockets", 0.6, sockets)):
            if pool and chance.random() < likely:
                named = {chance.choice(pool) for _ in range(chance.randint(1, 2))}
                if key == "read_only" and chance.random() < 0.15:
                    named.add(chance.choice(directories) + "/missing")
                sandbox[key] = sorted(path.replace(tree.ws, "${w}", 1) if chance.random() < 0.7 else path for path in named)
                self.read_only += sorted(named) if key == "read_only" else []
        for key, likely, values in (("tmp", 0.25, ["private"]), ("proc", 0.4, ["own", "all"]), ("exec", 0.1, [["self"]])):
            if chance.random() < likely:
                sandbox[key] = chance.choice(values)
        if bold and "write" not in sandbox and chance.random() < 0.8:
            sandbox["write"] = ["${w}"]
        sandbox["layers"] = dict(chance.choice(LAYERS), **({"deny_paths": "require"} if chance.random() < 0.2 else {}))
        options = {}
        cwd = self.cwd = tree.ws if chance.random() < 0.7 else chance.choice(directories)
        absent = [path for path in (d + "/" + name for d in directories for name in ("new", ".env")) if not os.path.lexists(path)]
        for name, access, kind, pool, most in (("rd", "read", "any", files + directories + links, 2), ("rf", "read", "file", files, 2),
                                               ("st", "stat", "any", files + directories + links, 1), ("wr", "write", "file", files, 1),
                                               ("wd", "write", "dir", directories[1:], 1), ("cr", "create", "file", absent, 1),
                                               ("rp", "replace", "file", files + absent, 1)):
            options["--" + name] = {"value": {"path": access, "kind": kind, "within": ["${w}"]}, "max": 9}
            for _ in range(chance.choice((0, 0, 0, most))):
                allowed = [path for path in pool if not self.denied(path)] if chance.random() < 0.9 else pool
                if allowed:
                    path = chance.choice(allowed)
                    self.argv.append("--%s=%s" % (name, path if chance.random() < 0.5 else os.path.relpath(path, cwd)))
        if bold and chance.random() < 0.7:
            self.argv, self.cwd = ["observer"], tree.ws
        command = {"path": OBSERVER, "trust": "caller", "cwd": ["${w}"], "stdin": "text", "stdout_bytes": 4 << 20, "options": options, "sandbox": sandbox}
        self.host = chance.choice(HOSTS)
        self.policy = {"version": 1, "name": "random", "variables": {"w": {"type": "dir", "default": tree.ws}},
                       "defaults": {"deny_paths": self.deny} if self.deny else {}, "commands": {"observer": command}}

    def denied(self, path):
        return any(glob.matches(path) for glob in self.globs)

    def request(self, seed):
        names = sorted(self.tree.before)[1:] + [self.tree.ws + "/" + name for name in ("missing", ".env", ".git")]
        words = "".join(word + "\0" for word in [str(seed), self.tree.base] + names)
        return names, json.dumps({"schema": "safe-exec/request/v1", "argv": self.argv, "cwd": self.cwd,
                                  "stdin_base64": base64.b64encode(words.encode()).decode()}).encode()


class Explained:
    """What check --explain says, where the layers are in force that the result tells of."""

    def __init__(self, confinement, mounts):
        self.grants = []
        for grant in json.loads(json.dumps(confinement["grants"]).replace("\\\\x0a", "\\n")):
            covered = grant.get("covered", [])
            if covered and not mounts:
                continue  # what is granted instead is listed, too
            self.grants.append((grant["path"], grant["access"], grant["kind"] == "dir", covered))
            if "directory" in grant:
                self.grants.append((grant["directory"], "write", True, covered))
        self.read_only = confinement.get("read_only", [])

    def gives(self, path, accesses=("read", "write", "create", "replace", "stat")):
        return any(access in accesses and (path == granted or (whole and under(path, granted))) and not any(under(path, one) for one in covered)
                   for granted, access, whole, covered in self.grants)

    def reads(self, names):
        return any(self.gives(name, ("read", "write", "create", "replace")) for name in names)

    def writes(self, names):
        return any(self.gives(name, ("write", "create", "replace")) and not any(under(name, kept) for kept in self.read_only) for name in names)


class Random(SandboxTest):
    def setUp(self):
        super().setUp()
        os.chmod(self.dir, 0o755)
        self.problems, self.told = [], 0

    def cases(self, one, bold):
        first, last = (int(part) for part in os.environ.get("RANDOM_SEEDS", "0:%d" % (80 if SANITIZED else 600)).split(":"))
        ran = 0
        for seed in range(first, last):
            base = os.path.join(self.dir, "t")
            os.mkdir(base)
            case = Case(seed, base, bold)
            self.asked = seed
            with case.tree.listening:
                self.write("p.json", json.dumps(case.policy))
                ran += one(case, seed)
            for folder, names, _ in os.walk(base):
                for name in names:
                    if not os.path.islink(os.path.join(folder, name)):
                        os.chmod(os.path.join(folder, name), 0o700)
            shutil.rmtree(base)
        if self.problems:
            self.fail("\n".join(map(str, self.problems)))
        self.assertGreater(ran, (last - first) // 4)
        self.assertGreater(self.told, ran)

    def ask(self, verb, request, *options, host=None):
        out = self.call([verb, "--policy", self.dir + "/p.json", *options, "--request", "-"], input=request, preexec_fn=host)[1]
        return json.loads(out)

    def problem(self, *what):
        if len(self.problems) < 20 and len([problem for problem in self.problems if problem[0] == self.asked]) < 2:
            self.problems.append((self.asked, *what))

    def observed(self, result):
        lines = [line.split(" ", 1) for line in result["stdout"].split("\n") if line]
        if result["outcome"] != {"type": "exited", "exit_code": 0} or lines[-1:] != [["end"]]:
            self.problem("the observer did not end", result["outcome"], result["stderr"], result["sandbox"]["blocked"])
        self.told += len(lines)
        return {kind: {line[1] for line in lines if line[0] == kind} for kind in ("read", "write", "list", "connect")}

    def changed_by_nothing(self, case, what):
        after = case.tree.look()
        if after != case.tree.before:
            self.problem(what + " changed", sorted(set(after.items()) ^ set(case.tree.before.items()))[:4])

    def explained(self, case, _):
        tree = case.tree
        names, request = case.request(seed=0)
        decision = self.ask("check", request, "--explain")
        self.changed_by_nothing(case, "check")
        result = self.ask("run", request, host=case.host)
        if result["outcome"]["type"] in ("denied", "failed"):
            self.changed_by_nothing(case, "a refused run")
            if case.host is None and (decision["decision"] == "deny") != (result["outcome"]["type"] == "denied"):
                self.problem("check says", decision["decision"], "and run", result["outcome"], result["error"])
            return False
        seen = self.observed(result)
        self.changed_by_nothing(case, "a run that only looks")
        layers = {name: layer["status"] for name, layer in result["sandbox"]["layers"].items()}
        if layers["deny_paths"] == "not_enforced":
            return True
        mounts = layers["mount_namespace"] in ("enforced", "partial")
        says = Explained(decision["confinement"], mounts)
        for mark, where in tree.files_by_mark().items():
            for kind, said, bits in (("read", says.reads, 4), ("write", says.writes, 6)):
                if mark in seen[kind] and not said(where):
                    self.problem("not explained", kind, where)
                # Without mounts what is read-only is so by every name.
                kept = kind == "write" and not mounts and any(under(name, one) for name in where for one in says.read_only)
                if mark not in seen[kind] and not kept and any(said([name]) and tree.permits(name, bits) for name in where):
                    self.problem("explained only", kind, where)
                if mark in seen[kind] and all(case.denied(name) for name in where):
                    self.problem("denied", kind, where)
        for index in map(int, seen["list"] if not mounts else ()):
            if names[index] in tree.before and tree.kind(names[index]) == stat.S_IFDIR and not says.gives(names[index]):
                self.problem("listed", names[index])
        named = {os.stat(path).st_ino for path in decision["confinement"]["unix_sockets"]}
        others = "in reach" in result["sandbox"]["layers"]["seccomp"].get("detail", "")
        for index in map(int, seen["connect"]):
            path = os.path.realpath(names[index])
            if not mounts or case.denied(path) or not (os.stat(path).st_ino in named or others and says.gives(path)):
                self.problem("connected to", path)
        return True

    def attacked(self, case, seed):
        tree = case.tree
        held = True  # deny_paths, so far
        ran = 0
        kept = [os.path.realpath(path) for path in case.read_only if os.path.lexists(path)] + case.read_only
        by_mark = tree.files_by_mark()
        keep = {tree.before[where[0]][0][2]: where for where in by_mark.values() if all(any(under(name, one) for one in kept) for name in where)}
        for turn in range(1, 5):
            result = self.ask("run", case.request(seed * 10 + turn if turn < 4 else 0)[1], host=case.host)
            if result["outcome"]["type"] in ("denied", "failed"):
                continue
            ran += 1
            seen = self.observed(result)
            held = held and result["sandbox"]["layers"]["deny_paths"]["status"] != "not_enforced"
            after = tree.look()
            inodes = {status[2]: (path, text) for path, (status, text) in after.items() if stat.S_ISREG(status[0])}
            for mark, where in by_mark.items():
                outside = not any(under(name, tree.ws) for name in where)
                if outside or (held and all(case.denied(name) or not under(name, tree.ws) for name in where)):
                    for kind in ("read", "write"):
                        if mark in seen[kind]:
                            self.problem("turn", turn, kind, where)
                    now = inodes.get(tree.before[where[0]][0][2])
                    if now is None or now[1] != tree.before[where[0]][1] or not (now[0] in where or case.denied(now[0])):
                        self.problem("turn", turn, "changed", where, now)
            for inode, where in keep.items():
                if inodes.get(inode, ("", ""))[1] != tree.before[where[0]][1] or inodes[inode][0] not in where:
                    self.problem("turn", turn, "read-only, changed", where)
            for path in set(tree.before) | set(after):
                if under(path, tree.out) and tree.before.get(path, [None])[0] != after.get(path, [None])[0]:
                    if not any(under(name, tree.ws) for where in by_mark.values() if path in where for name in where):
                        self.problem("turn", turn, "outside, changed", path)
        return ran > 0

    def test_what_is_explained_is_what_is_observed(self):
        self.cases(self.explained, bold=False)

    def test_no_order_of_changes_gets_at_more(self):
        self.cases(self.attacked, bold=True)


if __name__ == "__main__":
    main()
