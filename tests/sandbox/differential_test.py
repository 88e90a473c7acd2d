"""The programs' own parsers against the policies': every example that is allowed is rebuilt into an argv, and the real
program is run on it in a throw-away box. It has to accept every option, open nothing that an option is called, and
execute nothing that its entry does not list. Programs that are not installed are named; some must be.
"""
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import BINARY, SOURCE, main

BOX = os.path.join(os.path.dirname(os.path.abspath(__file__)), "differential_box.py")
REFUSED = re.compile(
    r"unrecogni[sz]ed (option|argument|command)|invalid option|unknown (option|switch|flag|shorthand|argument|command|subcommand)"
    r"|illegal option|bad option|ambiguous (option|argument '-)|option .* (requires|needs) an argument|requires an argument"
    r"|doesn't allow an argument|does not take|unexpected argument|flag provided but not defined|extra operand|missing operand"
    r"|too many (arguments|operands)|no such (option|subcommand)|is not a git command|^usage:|try '[^']*--help'|unknown predicate"
    r"|wasn't expected|unexpected value", re.I | re.M)
# What a program says in these words about something else than its command line.
OTHERWISE = {
    # Examples give many options at once, and some are of a newer git: it says so, and does nothing.
    "git": re.compile(r"ambiguous argument '[^-]|only one (config file|type) at a time|more than one quoting style|tracked remote branch"
                      r"|ancestry-path argument|unknown option `single-worktree|unknown option `--single-worktree|invalid option: --merge-base"
                      r"|^usage: git (diff-tree|rev-list|show-branch) ", re.M),
}
# Their options differ from version to version, they start compilers and shells to look around, and no test installs them.
NOT_LOOKED_AT = {"cargo", "gh", "go"}
# The name under which git starts itself.
GIT_ITSELF = "/usr/lib/git-core/git"
# Directories in which the examples of the shipped policies lie, and what is in them.
TREE = ["src/a.c", "src/b.c", "src/main.c", "README.md", "a.txt", "b.txt", "notes.md", "data.json", "data.csv", "build/out.log", "Makefile"]
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1",
       "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_OPTIONAL_LOCKS": "0"}
A_BOX = 100  # command lines in one box: what they write there, the next ones see
# Without these the test would say nothing.
NEEDED = {"cat", "ls", "tail"}
NEEDED_IF_SHIPPED = {"head", "sort", "wc", "cut", "git", "rg", "find", "grep", "uniq", "tr", "comm", "diff", "stat", "du", "df"}


def policies():
    # What workspace adds writes, builds and runs code: workspace_test.py has it do that in the product.
    shipped = os.path.join(SOURCE, "policy")
    return sorted(os.path.join(shipped, n) for n in os.listdir(shipped)
                  if n != "workspace" and os.path.exists(os.path.join(shipped, n, "policy.json")))


def uncommented(path):
    with open(path) as f:
        text = f.read()
    return json.loads(re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', lambda m: m.group(1) or " ", text, flags=re.S))


def lists_of_exec(value):
    """Every path in a sandbox.exec of an entry, at any depth."""
    if isinstance(value, list):
        return {path for item in value for path in lists_of_exec(item)}
    if not isinstance(value, dict):
        return set()
    own = set(value.get("exec", [])) if isinstance(value.get("exec"), list) else set()
    return own.union(*[lists_of_exec(item) for item in value.values()])


def program_of(entry):
    paths = entry["path"] if isinstance(entry["path"], list) else [entry["path"]]
    return next((path for path in paths if os.path.exists(path)), None)


def build_tree(root):
    for name in TREE:
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write('{"a": 1}\n' if name.endswith(".json") else "one\ntwo\n")
    git = ["git", "-C", root, "-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(git + words, check=True, env=ENV, stdout=subprocess.DEVNULL)


def own_names(name, entry):
    paths = entry["path"] if isinstance(entry["path"], list) else [entry["path"]]
    return {name} | {os.path.basename(path) for path in paths}


def in_box(test, script, jobs, seconds):
    """Runs a script on jobs, with a copy of the tree of the test. Nothing of the host can be written there, no network is there,
    and nobody is who runs it."""
    work = tempfile.mkdtemp(dir=test.dir)
    subprocess.run(["cp", "-a", os.path.join(test.dir, "tree"), os.path.join(work, "tree")], check=True)
    subprocess.run(["cp", "-a", os.path.join(test.dir, "tree"), os.path.join(work, "workspace")], check=True)
    with open(os.path.join(work, "jobs"), "w") as f:
        json.dump(jobs, f)
    box = ["bwrap", "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--uid", "65534", "--gid", "65534",
           "--die-with-parent", "--new-session", "--clearenv"]
    for name, value in ENV.items():
        box += ["--setenv", name, value]
    for top in ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/etc", "/var", "/opt"):
        if os.path.islink(top):
            box += ["--symlink", os.readlink(top), top]
        elif os.path.exists(top):
            box += ["--ro-bind", top, top]
    box += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run", "--bind", os.path.join(work, "workspace"), "/workspace",
            "--bind", work, "/box", "--ro-bind", script, "/box.py", "--chdir", "/workspace"]
    done = subprocess.run([*box, "/usr/bin/python3", "-B", "/box.py", "/box/jobs", "/box/out"], capture_output=True, text=True,
                          timeout=60 + seconds, stdin=subprocess.DEVNULL)
    test.assertEqual(done.returncode, 0, done.stderr[-2000:])
    with open(os.path.join(work, "out")) as f:
        result = json.load(f)
    shutil.rmtree(work, ignore_errors=True)
    return result


class Differential(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = os.path.realpath(tempfile.mkdtemp(prefix="safe-exec-differential-", dir="/var/tmp"))
        build_tree(os.path.join(cls.dir, "tree"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir, ignore_errors=True)

    def run_in_box(self, jobs):
        return in_box(self, BOX, jobs, 4 * len(jobs))

    def judge(self, name, entry, argv, seen):
        words = argv[1:argv.index("--")] if "--" in argv else argv[1:]
        options = {word for word in words if word.startswith("-") and word != "-"}
        refused = REFUSED.search(seen["stderr"])
        if refused and not (name in OTHERWISE and OTHERWISE[name].search(seen["stderr"])):
            yield "its parser refuses it: " + seen["stderr"].strip()[:300]
        for path, _ in seen["opened"]:
            if path in options or (path.startswith("-") and path != "-"):
                yield "it opens a file called " + path
        allowed = lists_of_exec(entry) | {argv[0], os.path.realpath(argv[0])}
        allowed |= {os.path.realpath(path) for path in allowed} | ({GIT_ITSELF} if name == "git" else set())
        for path, succeeded in seen["executed"]:
            if succeeded and path not in allowed and os.path.realpath(path) not in allowed:
                yield "it executes " + path

    def look_at(self, policy):
        """Problems, how many lines were run, and what is not installed."""
        done = subprocess.run([BINARY, "policy", "test", "--output", "json", policy], capture_output=True, text=True)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        lines = {}
        for example in json.loads(done.stdout)["examples"]:
            if example["expected"] == "allow" and "rebuilt" in example:
                name = os.path.basename(example["argv"][0])
                lines.setdefault(name, {}).setdefault(json.dumps(example["rebuilt"]), example["argv"])
        absent, entries, jobs = [], {}, []
        top = uncommented(os.path.join(policy, "policy.json"))
        for name, examples in sorted(lines.items()):
            path = os.path.join(policy, "commands", name + ".json")
            entry = uncommented(path) if os.path.exists(path) else top.get("commands", {}).get(name)
            if entry is None or name in NOT_LOOKED_AT:
                continue  # entry None: of an included policy, which is looked at itself
            # A wrapper's lines are those of the commands that it wraps, which have examples of their own.
            examples = {rebuilt: argv for rebuilt, argv in examples.items() if os.path.basename(json.loads(rebuilt)[0]) in own_names(name, entry)}
            program = program_of(entry)
            if program is None:
                absent.append(name)
                continue
            entries[name] = entry
            jobs += [(name, [program, *json.loads(rebuilt)[1:]]) for rebuilt in examples]
        problems = {}  # each once, in order
        for first in range(0, len(jobs), A_BOX):
            part = jobs[first:first + A_BOX]
            for (name, argv), seen in zip(part, self.run_in_box([argv for _, argv in part]), strict=True):
                problems.update((f"{name}: {argv}: {problem}", True) for problem in self.judge(name, entries[name], argv, seen))
        return list(problems), len(jobs), absent, set(entries)

    def test_the_programs_read_what_the_policies_mean(self):
        ran, shipped = set(), set()
        for policy in policies():
            problems, count, absent, here = self.look_at(policy)
            ran |= here
            shipped |= here | set(absent)
            print(f"{os.path.basename(policy)}: {count} command lines of {len(here)} programs; not installed, not run: {', '.join(absent) or 'none'}")
            self.assertEqual(problems, [], "\n".join(problems))
            self.assertGreater(count, 0)
        self.assertLessEqual(NEEDED | (NEEDED_IF_SHIPPED & shipped), ran)

    def test_a_line_that_a_program_reads_differently_is_found(self):
        entry = {"path": "/usr/bin/sort"}
        for argv, said in ((["/usr/bin/sort", "--no-such", "--"], "its parser refuses it"), (["/usr/bin/cat", "--", "-x"], "it opens a file called -x"),
                           (["/usr/bin/cat", "-x"], "its parser refuses it"), (["/usr/bin/env", "/usr/bin/true"], "it executes /usr/bin/true")):
            seen, = self.run_in_box([argv])
            problems = list(self.judge("x", dict(entry, path=argv[0]), argv, seen))
            self.assertTrue(any(problem.startswith(said) for problem in problems), (argv, problems, seen))
        argv = ["/usr/bin/sort", "--reverse", "--", "a.txt"]
        seen, = self.run_in_box([argv])
        self.assertEqual((list(self.judge("sort", entry, argv, seen)), seen["status"]), ([], 0))
        self.assertIn(["a.txt", True], seen["opened"])


if __name__ == "__main__":
    main()
