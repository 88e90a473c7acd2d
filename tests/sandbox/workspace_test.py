"""The shipped policy/workspace, for real: an agent's work in a workspace is done, and nothing leaves it."""
import json
import os
import shutil
import socket
import subprocess

import outer
from harness import BINARY, SOURCE, SandboxTest, main

WORKSPACE = os.path.join(SOURCE, "policy", "workspace")
OTHER_USER = (["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]) if os.geteuid() == 0 else []  # else the caller is one
IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org")
HELLO = "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n"


class Workspace(SandboxTest):
    def run_workspace(self, argv, *options, **popen):
        return self.run_json(WORKSPACE, argv, *options, **popen)

    def done(self, *argv, options=(), **popen):
        status, result = self.run_workspace(list(argv), *options, **popen)
        self.assertTrue(result["success"], (argv, result["outcome"], result["denied"], result["error"], result["stdout"][-800:], result["stderr"][-800:]))
        return result["stdout"]

    def denied(self, *argv):
        status, result = self.run_workspace(list(argv))
        self.assertEqual((status, result["outcome"]["type"]), (126, "denied"), (argv, result))
        return result["denied"]["code"]

    def exists(self, name):
        return os.path.lexists(os.path.join(self.ws, name))

    def read(self, name):
        with open(os.path.join(self.ws, name)) as f:
            return f.read()

    def hand_over(self):
        """The workspace becomes an ordinary user's, who runs a copy of the program on a copy of the policy."""
        binary, policy = os.path.join(self.dir, "safe-exec"), os.path.join(self.dir, "policy")
        shutil.copy(BINARY, binary)
        for name in ("readonly", "workspace"):
            shutil.copytree(os.path.join(SOURCE, "policy", name), os.path.join(policy, name))
        os.chmod(self.dir, 0o755)
        for top, directories, files in os.walk(self.ws):
            for path in [top] + [os.path.join(top, n) for n in directories + files]:
                if os.geteuid() == 0:
                    os.lchown(path, 12345, 12345)

        def run(*argv):
            process = subprocess.run([*OTHER_USER, binary, "run", "--policy", os.path.join(policy, "workspace"), "--", *argv], cwd=self.ws,
                                     capture_output=True, env={"PATH": "/usr/bin:/bin"})
            result = json.loads(process.stdout)
            self.assertTrue(result["success"], (argv, result["outcome"], result["denied"], result["error"], result["stdout"][-800:], result["stderr"][-800:]))
            return result["stdout"]
        return run


class Files(Workspace):
    def test_files_are_made_moved_and_removed(self):
        self.done("mkdir", "-p", "src/deep/er", "out")
        self.done("touch", "a.txt", "src/b.txt")
        self.done("cp", "a.txt", "src/c.txt")
        self.done("cp", "-r", "src", "copy")
        self.assertTrue(self.exists("copy/deep/er"))
        self.done("mv", "a.txt", "renamed.txt")
        self.assertTrue(self.exists("renamed.txt") and not self.exists("a.txt"))
        self.done("ln", "-s", "renamed.txt", "link")
        self.done("chmod", "755", "renamed.txt")
        self.assertEqual(os.stat(os.path.join(self.ws, "renamed.txt")).st_mode & 0o7777, 0o755)
        self.done("tee", "-a", "log.txt", options=("--stdin", "-"), input=b"line\n")
        self.assertEqual(self.read("log.txt"), "line\n")
        self.done("rm", "-rf", "copy", "src/c.txt")
        self.done("rmdir", "out")
        self.assertFalse(self.exists("copy") or self.exists("out"))

    def test_the_workspace_itself_git_and_what_lies_outside_stay(self):
        self.write("ws/.git/config", "x")
        self.write("outside", "x")
        os.symlink("../outside", os.path.join(self.ws, "up"))
        os.symlink(".git", os.path.join(self.ws, "g"))
        for argv in (["rm", "-rf", "."], ["rm", "-rf", self.ws], ["rm", "-rf", "/"], ["rm", "-rf", ".git"], ["rm", "-r", "./.git/"], ["rm", ".git/config"],
                     ["rm", ".GIT/config"], ["rm", "-f", "../outside"], ["rm", "up"], ["mv", ".git", "x"], ["mv", "up", "x"], ["cp", "up", ".git/config"],
                     ["touch", ".git/hooks/pre-commit"], ["tee", ".git/config"], ["chmod", "+s", "up"], ["cp", "/etc/passwd", "x"], ["ln", "-s", "/etc/passwd", "x"],
                     ["ln", "-s", "../outside", "x"], ["mkdir", "/etc/x"], ["tar", "-cf", "/var/tmp/x.tar", "up"], ["patch", "-p0", "-i", "../outside"]):
            self.denied(*argv)
        self.assertEqual(sorted(os.listdir(self.ws)), [".git", "g", "up"])
        self.assertEqual(self.read(".git/config"), "x")

    def test_patches_and_archives(self):
        self.write("ws/a.txt", "one\n")
        self.write("ws/fix.patch", "--- a.txt\n+++ a.txt\n@@ -1 +1 @@\n-one\n+two\n")
        self.done("patch", "-p0", "-i", "fix.patch")
        self.assertEqual(self.read("a.txt"), "two\n")
        os.mkdir(os.path.join(self.ws, "out"))
        self.done("tar", "-czf", "a.tgz", "a.txt")
        self.assertIn("a.txt", self.done("tar", "-tzf", "a.tgz"))
        self.done("tar", "-xzf", "a.tgz", "-C", "out")
        self.assertTrue(self.exists("out/a.txt"))
        self.done("zip", "-q", "a.zip", "a.txt")
        self.done("unzip", "-oq", "a.zip", "-d", "out")
        self.done("gzip", "-k", "a.txt")
        self.done("gzip", "-df", "a.txt.gz")

    def test_a_secret_keeps_the_name_that_closes_it(self):
        # What is denied by the name of its directory too is not opened by another name for that.
        for name in ("home/.codex/auth.json", "home/.config/gh/hosts.yml", "home/.config/other"):
            self.write("ws/" + name, "word\n")
        script = "import os\nfor a, b in (('home/.codex', 'home/c'), ('home/.config', 'd')):\n    try:\n        os.rename(a, b)\n    except OSError:\n        pass\n"
        for argv in (["mv", "home/.codex", "home/c"], ["mv", "home/.config", "d"], ["mv", "-T", "home/.config/gh", "e"], ["mv", "home", "moved"],
                     ["python3", "-c", script], ["git", "mv", "home/.codex", "c"]):
            with self.subTest(argv=argv):
                self.assertFalse(self.run_workspace(argv)[1]["success"] and argv[0] != "python3")
                self.assertTrue(self.exists("home/.codex/auth.json") and self.exists("home/.config/gh/hosts.yml"))
        places = ("home/.codex", "home/.config/gh", "home/c", "d/gh", "e", "c")
        self.assertFalse(any("word" in self.run_workspace(["grep", "-rs", "word", name])[1]["stdout"] for name in places))
        self.assertEqual(self.denied("cat", "home/.codex/auth.json"), "path_denied")

    def test_an_archive_writes_nothing_outside(self):
        evil = os.path.join(self.dir, "evil")
        os.makedirs(evil)
        self.write("evil/x", "x")
        os.symlink(self.dir, os.path.join(evil, "link"))
        subprocess.run(["tar", "-cf", os.path.join(self.ws, "e.tar"), "-P", "--transform", "s,^x$,../escaped,", "x"], cwd=evil, check=True)
        self.run_workspace(["tar", "-xf", "e.tar"])
        self.assertFalse(os.path.exists(os.path.join(self.dir, "escaped")))


class Repository(Workspace):
    """.git is git's alone to write: what anything else left there would be run by a git outside of the sandbox."""
    ATTACK = """import os
print(open(".git/HEAD").read().strip())
for attempt in (lambda: open(".git/config", "a"), lambda: open(".git/hooks/post-commit", "w"), lambda: os.rename(".git", "g2"), lambda: os.remove(".git/HEAD"),
                lambda: os.link(".git/config", "hard"), lambda: os.symlink("/bin/true", ".git/hooks/pre-push"), lambda: os.chmod(".git/config", 0o777),
                lambda: os.mkdir(".git/x"), lambda: os.rename("t.py", ".git/config")):
    try:
        attempt()
        print("open")
    except OSError:
        pass
open("made", "w").write("x")
"""

    def test_code_reads_it_and_git_writes_it(self):
        self.write("ws/t.py", self.ATTACK)
        self.write("ws/Makefile", "all:\n\techo x > .git/hooks/post-commit\n")
        self.done("git", "init", "-q", "-b", "main")
        self.done("git", "add", "t.py")
        run = self.hand_over() if os.getuid() == 0 else self.done
        self.assertEqual(run("python3", "t.py"), "ref: refs/heads/main\n")
        self.assertTrue(self.exists("made"))
        run("git", *IDENTITY, "commit", "-q", "-m", "x")
        self.assertIn(" x", run("git", "log", "--oneline"))
        self.assertFalse(self.exists(".git/hooks/post-commit") or self.exists("g2"))

    def test_make_leaves_no_hook(self):
        self.write("ws/Makefile", "all:\n\techo x > .git/hooks/post-commit\n")
        self.done("git", "init", "-q")
        _, result = self.run_workspace(["make"])
        self.assertFalse(result["success"])
        self.assertFalse(self.exists(".git/hooks/post-commit"))

    def test_no_file_command_reaches_it_from_within_or_by_a_link(self):
        self.done("git", "init", "-q")
        os.symlink(".git", os.path.join(self.ws, "g"))
        config = self.read(".git/config")
        for cwd, argv in ((".git", ["rm", "config"]), (".git", ["touch", "hooks/pre-commit"]), (".git/hooks", ["touch", "pre-commit"]), (".git", ["mv", "config", "c"]),
                          (".git", ["cp", "HEAD", "config"]), (".git", ["mkdir", "x"]), (".git", ["chmod", "777", "config"]), (".git", ["ln", "config", "../hard"]),
                          (".", ["rm", "g/config"]), (".", ["rm", "-r", "g/"]), (".", ["touch", "g/hooks/pre-commit"]), (".", ["cp", "g/HEAD", "g/config"]), (".", ["mkdir", "g/x"]),
                          (".git", ["tee", "config"]), (".git", ["gzip", "config"])):
            with self.subTest(cwd=cwd, argv=argv):
                self.assertFalse(self.run_workspace(argv, "--cwd", cwd)[1]["success"])
        self.assertEqual(self.read(".git/config"), config)
        self.assertFalse(any(self.exists(name) for name in (".git/hooks/pre-commit", ".git/x", ".git/hooks/x", "hard")))

    def test_git_itself_takes_no_hook_or_setting_from_a_patch_or_a_move(self):
        self.done("git", "init", "-q")
        os.symlink(".git", os.path.join(self.ws, "g"))
        hook = ("diff --git a/hooks/post-commit b/hooks/post-commit\nnew file mode 100755\n--- /dev/null\n+++ b/hooks/post-commit\n"
                "@@ -0,0 +1 @@\n+echo x\n")
        self.write("ws/hook.patch", hook)
        self.write("ws/other", "[core]\n\tfsmonitor = ./evil\n")
        self.write("ws/base", self.read(".git/config"))
        config = self.read(".git/config")
        self.done("git", "add", "other")
        for cwd, argv in ((".", ["git", "mv", "other", "g/hooks"]), (".", ["git", "mv", "-f", "other", "g/config"]), (".", ["git", "mv", "other", "g"]),
                          (".", ["git", "-C", ".git", "apply", "../hook.patch"]), (".git", ["git", "apply", "../hook.patch"]),
                          (".", ["git", "apply", "--directory=.git", "hook.patch"]), (".", ["git", "apply", "--directory=g", "hook.patch"]),
                          (".", ["git", "-C", ".git", "merge-file", "config", "../base", "../other"]), (".git", ["git", "merge-file", "config", "../base", "../other"]),
                          (".", ["git", "merge-file", "g/config", "base", "other"])):
            with self.subTest(cwd=cwd, argv=argv):  # git apply may say that it succeeded
                self.run_workspace(argv, "--cwd", cwd)
                self.assertEqual(self.read(".git/config"), config)
                self.assertFalse(self.exists(".git/hooks") or self.exists(".git/other"))
        self.done("git", "apply", "hook.patch")
        self.assertTrue(self.exists("hooks/post-commit"))

    # A repository below, made by code: what git writes for it goes where its core.worktree and its links lead.
    BELOW = """import os, subprocess
def git(*words):
    subprocess.run(["git", "-C", "sub", "-c", "user.name=x", "-c", "user.email=x@example.org", *words], check=True, capture_output=True)
os.mkdir("sub")
git("init", "-q")
os.mkdir("sub/hooks")
open("sub/hooks/post-commit", "w").write("#!/bin/sh\\n")
git("add", "-A")
git("commit", "-q", "-m", "x")
{trick}
"""
    TRICKS = ((("reset", "--hard"), "open('sub/.git/config', 'a').write('[core]\\n\\tworktree = ../../.git\\n')"),
              (("commit", "--allow-empty", "--cleanup=verbatim", "-m", "[core]\n\tfsmonitor = evil\n"),
               "os.unlink('sub/.git/COMMIT_EDITMSG'); os.symlink('../../.git/config', 'sub/.git/COMMIT_EDITMSG')"),
              (("commit", "--allow-empty", "--cleanup=verbatim", "-m", "[core]\n\tfsmonitor = evil\n"),
               "os.unlink('sub/.git/COMMIT_EDITMSG'); os.symlink('../../.git/config', 'sub/.git/COMMIT_EDITMSG');"
               "os.rename('sub/.git', 'moved'); open('sub/.git', 'w').write('gitdir: ../moved\\n')"),
              (("reset", "--hard"), "open('sub/.git/config', 'a').write('[core]\\n\\tbare = false\\n\\tworktree = ../.git\\n');"
               "[os.rename('sub/.git/' + n, 'sub/' + n) for n in os.listdir('sub/.git') if n != 'hooks']; __import__('shutil').rmtree('sub/.git')"))

    def test_a_repository_below_writes_nothing_into_it(self):
        for words, trick in self.TRICKS:
            with self.subTest(trick=trick):
                self.done("git", "init", "-q")
                self.write("ws/t.py", self.BELOW.replace("{trick}", trick))
                self.done("python3", "t.py")
                config = self.read(".git/config")
                self.run_workspace(["git", "-C", "sub", *IDENTITY, *words])
                self.assertEqual(self.read(".git/config"), config)
                self.assertFalse(self.exists(".git/hooks/post-commit") or self.exists(".git/hooks"))
                for name in (".git", "sub", "moved"):
                    shutil.rmtree(os.path.join(self.ws, name), ignore_errors=True)

    # git rm moves the repository of a submodule into .git/modules, and has that do the same with those below.
    BENEATH = """import os, subprocess
def git(where, *words):
    subprocess.run(["git", "-C", where, "-c", "user.name=x", "-c", "user.email=x@example.org", *words], check=True, capture_output=True)
def module(where, name, path):
    open(where + "/.gitmodules", "w").write("[submodule \\"%s\\"]\\n\\tpath = %s\\n\\turl = ./x\\n" % (name, path))
os.makedirs("sub/inner")
git("sub", "init", "-q")
git("sub/inner", "init", "-q")
git("sub/inner", "commit", "-q", "--allow-empty", "-m", "x")
open("sub/inner/.git/post-commit", "w").write("#!/bin/sh\\n")
module("sub", "hooks", "inner")
git("sub", "add", "-A")
git("sub", "commit", "-q", "-m", "x")
os.symlink("../..", "sub/.git/modules")
module(".", "sub", "sub")
"""

    def test_a_submodule_that_is_removed_moves_nothing_into_it(self):
        self.done("git", "init", "-q")
        self.write("ws/t.py", self.BENEATH)
        self.done("python3", "t.py")
        self.done("git", "add", "sub", ".gitmodules")
        self.done("git", *IDENTITY, "commit", "-q", "-m", "x")
        self.run_workspace(["git", "rm", "-f", "sub"])
        self.assertFalse(self.exists(".git/hooks") or self.exists(".git/modules/sub"))
        self.write("ws/f", "x")
        self.done("git", "add", "f")
        self.done("git", "rm", "-f", "f")

    def test_a_repository_below_and_a_linked_worktree_are_worked_in(self):
        self.done("git", "init", "-q")
        self.done("git", *IDENTITY, "commit", "-q", "--allow-empty", "-m", "x")
        subprocess.run(["git", "worktree", "add", "-q", "linked"], cwd=self.ws, check=True, capture_output=True, env={"PATH": "/usr/bin:/bin"})
        self.done("git", "init", "-q", "below")
        os.mkdir(os.path.join(self.ws, "src"))
        for name in ("linked", "below", "src"):
            self.done("git", "-C", name, *IDENTITY, "commit", "-q", "--allow-empty", "-m", "in " + name)
            self.assertIn("in " + name, self.done("git", "-C", name, "log", "--oneline"))


class Git(Workspace):
    def setUp(self):
        super().setUp()
        self.proof = os.path.join(self.dir, "proof")
        os.mkdir(self.proof)

    def test_a_day_with_git(self):
        self.done("git", "init", "-q", "-b", "main")
        self.write("ws/a.txt", "one\n")
        self.done("git", "add", "-A")
        self.done("git", *IDENTITY, "commit", "-m", "first")
        self.done("git", "switch", "-c", "feature")
        self.write("ws/b.txt", "b\n")
        self.done("git", "add", "b.txt")
        self.done("git", *IDENTITY, "commit", "-qm", "second")
        self.done("git", "checkout", "main")
        self.write("ws/a.txt", "two\n")
        self.done("git", *IDENTITY, "commit", "-am", "third")
        self.done("git", *IDENTITY, "merge", "--no-ff", "-m", "merge", "feature")
        self.assertEqual(self.done("git", "rev-list", "--count", "HEAD").strip(), "4")
        self.write("ws/a.txt", "wip\n")
        self.done("git", *IDENTITY, "stash")
        self.done("git", "stash", "pop")
        self.done("git", "restore", "a.txt")
        self.done("git", *IDENTITY, "tag", "-a", "v1", "-m", "one")
        self.done("git", "mv", "b.txt", "c.txt")
        self.done("git", "reset", "--hard", "HEAD")
        self.done("git", "branch", "old", "HEAD~1")
        self.done("git", "switch", "old")
        self.write("ws/d.txt", "d\n")
        self.done("git", "add", "d.txt")
        self.done("git", *IDENTITY, "commit", "-qm", "fourth")
        self.done("git", *IDENTITY, "rebase", "main")
        self.done("git", *IDENTITY, "revert", "--no-edit", "HEAD")
        self.done("git", "clean", "-fd")
        self.done("git", "branch", "-D", "feature")
        self.done("git", *IDENTITY, "commit", "--amend", "--no-edit")
        self.assertIn("fourth", self.done("git", "log", "--oneline"))

    def test_git_answers_what_an_agent_asks_without_an_argument(self):
        self.done("git", "init", "-q", "-b", "main")
        self.write("ws/a.txt", "one\n")
        self.done("git", "add", "a.txt")
        self.done("git", "config", "user.name", "Jane Doe")
        self.done("git", "config", "user.email", "jane@example.org")
        self.done("git", "commit", "-qm", "first")
        self.assertEqual(self.done("git", "log", "--format=%an <%ae>").strip(), "Jane Doe <jane@example.org>")
        for option in ("--merged", "--no-merged", "--contains"):
            self.done("git", "branch", option)
            self.done("git", "tag", option)
        self.done("git", "blame", "-w", "-C", "-C", "a.txt")
        self.write("ws/hook", "#!/bin/sh\n")
        self.assertEqual(self.denied("git", "config", "--file", "hook", "user.name", "x$(id)"), "too_many_operands")

    def test_git_adds_all_but_what_is_protected_and_says_so(self):
        self.done("git", "init", "-q", "-b", "main")
        self.write("ws/.env", "SECRET=1\n")
        self.write("ws/.env.example", "SECRET=\n")
        self.write("ws/a.txt", "one\n")
        status, result = self.run_workspace(["git", "add", "-A"])
        self.assertEqual((status, result["success"]), (1, False), result)
        self.assertIn(("deny_paths", os.path.join(os.path.realpath(self.ws), ".env")), [(b["layer"], b["path"]) for b in result["sandbox"]["blocked"]])
        self.assertEqual(self.done("git", "diff", "--cached", "--name-only").split(), [".env.example", "a.txt"])

    def test_no_hook_filter_driver_or_editor_runs(self):
        plain = {"PATH": "/usr/bin:/bin", "HOME": self.dir}

        def git(*arguments):
            subprocess.run(["git", *arguments], cwd=self.ws, check=True, capture_output=True, env=plain)
        git("init", "-q", "-b", "main")
        self.write("ws/a.txt", "one\n")
        self.write("ws/.gitattributes", "*.md filter=evil merge=evil diff=evil\n")
        git("add", "-A")
        git(*IDENTITY, "commit", "-qm", "first")
        for hook in ("pre-commit", "commit-msg", "prepare-commit-msg", "post-commit", "post-checkout", "post-merge", "pre-rebase", "post-rewrite",
                     "reference-transaction", "post-index-change"):
            for where in ("ws/.git/hooks/", "ws/hooks/"):
                self.write(where + hook, "#!/bin/sh\ntouch %s/hook\n" % self.proof, 0o755)
        for key in ("core.fsmonitor", "core.editor", "sequence.editor", "gpg.program", "filter.evil.clean", "filter.evil.smudge", "merge.evil.driver",
                    "diff.evil.textconv", "diff.external", "core.sshCommand", "credential.helper", "interactive.diffFilter"):
            git("config", key, "touch %s/%s; cat" % (self.proof, key))
        for key, value in (("commit.gpgSign", "true"), ("tag.gpgSign", "true"), ("core.hooksPath", os.path.join(self.ws, "hooks")), ("gc.auto", "1"),
                           ("alias.commit", "!touch %s/alias" % self.proof)):
            git("config", key, value)
        self.write("ws/a.txt", "two\n")
        self.write("ws/b.md", "x\n")
        for argv in (["add", "a.txt"], ["add", "b.md"], [*IDENTITY, "commit", "-m", "x"], [*IDENTITY, "commit", "--amend"], ["switch", "-c", "x"], ["checkout", "main"],
                     [*IDENTITY, "tag", "-a", "v", "-m", "x"], [*IDENTITY, "rebase", "-i", "HEAD~1"], [*IDENTITY, "merge", "x"], [*IDENTITY, "stash"], ["stash", "pop"],
                     ["gc", "--auto"], ["status"], ["diff"]):
            self.run_workspace(["git", *argv])
            self.assertEqual(os.listdir(self.proof), [], argv)


    def test_git_starts_itself_by_the_name_that_it_finds_where_the_host_s_root_is_seen(self):
        self.done("git", "init", "-q", "-b", "main")
        self.write("ws/a.txt", "one\n")
        self.done("git", "add", "-A")
        self.done("git", *IDENTITY, "commit", "-qm", "first")
        self.write("ws/a.txt", "two\n")
        for argv in ([*IDENTITY, "stash"], ["stash", "pop"], [*IDENTITY, "commit", "-qam", "second"], ["range-diff", "HEAD~1..HEAD", "HEAD~1..HEAD"]):
            self.done("git", *argv, preexec_fn=outer.HOSTS["docker"])
        status, result = self.run_json(os.path.join(SOURCE, "policy", "readonly"), ["git", "range-diff", "HEAD~1..HEAD", "HEAD~1..HEAD"], preexec_fn=outer.HOSTS["docker"])
        self.assertEqual((status, result["stderr"]), (0, ""), result)


class Builds(Workspace):
    servers = ()

    def server(self):
        """The port of one on the host's loopback."""
        server = socket.create_server(("127.0.0.1", 0))
        server.setblocking(False)
        self.addCleanup(server.close)
        self.servers += (server,)
        return server.getsockname()[1]

    def test_a_c_program_is_compiled_and_made(self):
        self.write("ws/src/hello.c", HELLO)
        self.done("gcc", "-O2", "-Wall", "-o", "hello", "src/hello.c", "-lm")
        self.assertEqual(subprocess.run([os.path.join(self.ws, "hello")], capture_output=True).stdout, b"hello\n")
        self.write("ws/Makefile", "all: hello2\nhello2: src/hello.c\n\tcc -o $@ $<\ntest: hello2\n\t./hello2\n")
        self.assertIn("hello", self.done("make", "-j2", "test"))

    def test_a_program_of_the_workspace_is_called_by_its_path(self):
        self.write("ws/a.c", "#include <stdio.h>\nint main(int n, char **v) { puts(v[0]); for (int i = 1; i < n; ++i) puts(v[i]); return n; }\n")
        os.mkdir(os.path.join(self.ws, "build"))
        self.done("gcc", "-o", "build/app", "a.c")
        for name in ("./build/app", "build/app", os.path.join(self.ws, "build", "app")):
            status, result = self.run_workspace([name, "-S", "--x=y", "A=b"])
            self.assertEqual((result["exit_code"], result["stdout"]), (4, name + "\n-S\n--x=y\nA=b\n"), result)
            self.assertEqual(result["command"]["argv"][1:], [name, "-S", "--x=y", "A=b"])
        self.write("ws/run", "#!/bin/sh\ncat \"$1\"; id > /dev/null && echo done > made\n")
        os.chmod(os.path.join(self.ws, "run"), 0o755)
        self.write("ws/.env", "hunter2\n")
        self.assertNotIn("hunter2", self.done("./run", ".env"))
        self.assertEqual(self.read("made"), "done\n")
        self.write("ws/count", "#!/bin/sh\nwc -c\n")
        os.chmod(os.path.join(self.ws, "count"), 0o755)
        for argv in (["./count"], ["bash", "count"]):
            status, result = self.run_workspace(argv, "--stdin", "-", input=b"abc")
            self.assertEqual(result["stdout"], "3\n", result)
        status, result = self.run_workspace(["timeout", "9", "./run", "a.c"])
        self.assertTrue(result["success"] and "int main" in result["stdout"], result)
        os.symlink("/usr/bin/id", os.path.join(self.ws, "outside"))
        for name in ("./outside", "./.env", "./missing", "./build", "/opt/app", "/tmp/cat", "./a=b/c", "build/../cat"):
            self.assertEqual(self.denied(name), "command_not_allowed", name)
        os.symlink("/usr/bin/id", os.path.join(self.ws, "build", "id"))
        _, result = self.run_workspace(["build/id"])
        self.assertEqual((result["denied"]["code"], result["command"]["name"]), ("command_not_allowed", "program"), result)
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", os.path.join(self.ws, ".venv")], check=True)
        self.assertEqual(self.done(".venv/bin/python", "-c", "import sys; print(sys.prefix)"), os.path.join(self.ws, ".venv") + "\n")
        self.write("ws/node.sh", "#!/usr/bin/env node\nconsole.log(6 * 7)\n")
        os.chmod(os.path.join(self.ws, "node.sh"), 0o755)
        self.assertEqual(self.done("./node.sh"), "42\n")
        self.write("ws/Makefile", "all:\n\t@./node.sh\n")
        self.assertEqual(self.done("make"), "42\n")
        status, result = self.run_workspace(["./a.c"])
        self.assertEqual(result["exit_code"], 126, result)

    def test_sanitizers_reserve_what_they_need(self):
        self.write("ws/a.c", "#include <stdlib.h>\nint main(int n, char **v) { char *p = malloc(9); p[n * 8] = 1; return p == (char *)v; }\n")
        for sanitizer in ("address", "thread"):
            self.done("gcc", "-g", "-fsanitize=" + sanitizer, "-o", "a", "a.c")
            self.write("ws/Makefile", "fine:\n\t./a\nfaulty:\n\t./a 2\n")
            self.done("make", "fine")
        self.done("gcc", "-g", "-fsanitize=address", "-o", "a", "a.c")
        _, result = self.run_workspace(["make", "faulty"])
        self.assertIn("heap-buffer-overflow", result["stderr"])

    def test_cmake_ninja_and_ctest(self):
        self.write("ws/src/hello.c", HELLO)
        self.write("ws/CMakeLists.txt", "cmake_minimum_required(VERSION 3.13)\nproject(h C)\nenable_testing()\nadd_executable(h src/hello.c)\nadd_test(NAME h COMMAND h)\n")
        self.done("cmake", "-S", ".", "-B", "build", "-G", "Ninja")
        self.done("cmake", "--build", "build")
        self.done("ninja", "-C", "build")
        self.assertIn("100% tests passed", self.done("ctest", "--test-dir", "build"))

    def test_what_is_built_in_tmp_is_run_there_as_go_test_does_and_only_by_who_may_in_the_workspace(self):
        self.write("ws/t.py", "import os, subprocess\nopen('/tmp/x', 'w').write('#!/bin/sh\\necho ran\\n')\nos.chmod('/tmp/x', 0o755)\n"
                   "print(subprocess.run(['/tmp/x'], capture_output=True, text=True).stdout, end='')\n")
        self.assertEqual(self.done("python3", "t.py"), "ran\n")
        self.write("ws/.env", "A=b\n")  # what is covered changes nothing
        self.assertEqual(self.done("python3", "t.py"), "ran\n")
        for write, expected in (([], False), ([self.ws], True)):
            policy = self.policy({"python3": {"path": "/usr/bin/python3", "syntax": "raw", "operands": [{"name": "a", "type": {"text": [0, 99]}}],
                                              "sandbox": {"read": ["/usr", self.ws], "write": write, "exec": ["/usr/bin", "/bin", self.ws], "tmp": "private"}}})
            status, result = self.run_json(policy, ["python3", "t.py"])
            self.assertEqual((result["success"], "PermissionError" in result["stderr"]), (expected, not expected), result)

    def test_interpreters(self):
        self.write("ws/t.py", "import sys, json, os\nopen('out.txt', 'w').write(sys.argv[1])\nprint(json.dumps(os.listdir('/tmp')))\n")
        self.assertEqual(self.done("python3", "t.py", "--flag"), "[]\n")
        self.assertEqual(self.read("out.txt"), "--flag")
        self.assertEqual(self.done("python3", "-c", "print(6*7)"), "42\n")
        self.write("ws/test_a.py", "def test_a():\n    assert 1 + 1 == 2\n")
        self.assertIn("1 passed", self.done("pytest", "-q", "test_a.py"))
        self.assertIn("1 passed", self.done("python3", "-m", "pytest", "-q"))
        self.write("ws/t.js", "require('fs').writeFileSync('js.txt', process.argv[2]); console.log('ran')\n")
        self.assertEqual(self.done("node", "t.js", "--x"), "ran\n")
        self.assertEqual(self.read("js.txt"), "--x")

    def test_code_serves_and_asks_on_a_loopback_of_its_own(self):
        self.write("ws/serve.py", "import http.server, threading, urllib.request\n"
                                  "server = http.server.HTTPServer(('localhost', 0), http.server.SimpleHTTPRequestHandler)\n"
                                  "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
                                  "print(urllib.request.urlopen('http://localhost:%d/' % server.server_port).status)\n")
        self.assertEqual(self.done("python3", "serve.py"), "200\n")
        self.write("ws/serve.js", "const http = require('http'), server = http.createServer((q, r) => r.end('hello'));\n"
                                  "server.listen(0, 'localhost', () => http.get({host: 'localhost', port: server.address().port}, r => {\n"
                                  "  r.on('data', d => console.log(String(d))); r.on('end', () => server.close()) }))\n")
        self.assertEqual(self.done("node", "serve.js"), "hello\n")

    def test_what_is_protected_is_kept_from_code_however_large_the_system_is(self):
        self.write("ws/.env", "SECRET=1\n")
        self.write("ws/a.py", "print(1)\n")
        status, result = self.run_workspace(["python3", "a.py"])
        self.assertEqual((status, result["sandbox"]["layers"]["deny_paths"]["status"]), (0, "enforced"), result["sandbox"])
        status, result = self.run_workspace(["python3", "-c", "print(open('.env').read())"])
        self.assertNotIn("SECRET", result["stdout"])
        self.assertEqual(result["sandbox"]["blocked"][0]["layer"], "deny_paths", result["sandbox"])

    def test_semaphores_and_shared_memory_of_posix(self):
        self.write("ws/p.py", "import multiprocessing as m\nfrom multiprocessing import shared_memory\n"
                              "def f(x): return x * x\nif __name__ == '__main__':\n    print(m.Pool(2).map(f, [1, 2, 3]))\n"
                              "    s = shared_memory.SharedMemory(create=True, size=64)\n    s.buf[0] = 7\n    s.close()\n    s.unlink()\n")
        self.assertEqual(self.done("python3", "p.py"), "[1, 4, 9]\n")

    def test_code_that_runs_stays_in_the_workspace_and_off_the_network(self):
        secret = self.write("secret.txt", "hunter2")
        script = ("import os, socket\n"
                  "for attempt in (lambda: open(%r).read(), lambda: open(%r, 'w'), lambda: os.remove(%r), lambda: open('/etc/shadow').read(),\n"
                  "                lambda: open('/etc/x', 'w'), lambda: os.listdir('/root'), lambda: open('/usr/local/bin/x', 'w'),\n"
                  "                lambda: socket.create_connection(('127.0.0.1', %d)), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 53)),\n"
                  "                lambda: os.kill(1 if os.getppid() == 0 else os.getppid(), 9) or (_ for _ in ()).throw(OSError()) if False else os.setuid(0) if os.getuid() else open('/dev/sda', 'rb')):\n"
                  "    try:\n        attempt()\n        print('DONE', attempt.__code__.co_names)\n    except OSError as error:\n        pass\nprint('end')\n"
                  % (secret, os.path.join(self.dir, "new"), secret, self.server()))
        self.write("ws/evil.py", script)
        self.assertEqual(self.done("python3", "evil.py"), "end\n")
        self.write("ws/Makefile", "all:\n\t-cat %s\n\t-touch %s/made\n\t-curl -s http://127.0.0.1:%d\n" % (secret, self.dir, self.server()))
        self.assertNotIn("hunter2\n", self.done("make", "-k"))
        for server in self.servers:
            self.assertRaises(BlockingIOError, server.accept)
        self.assertEqual(sorted(os.listdir(self.dir)), ["secret.txt", "ws"])

    def test_what_is_denied_is_covered_for_code_too_in_a_large_workspace(self):
        """More entries than are looked at by default, so that the policy has to say so itself."""
        for i in range(51):
            os.makedirs(os.path.join(self.ws, "d%d" % i))
            for j in range(1000):
                open(os.path.join(self.ws, "d%d/f%d" % (i, j)), "w").close()
        self.write("ws/d50/.env", "hunter2\n")
        for argv in (["python3", "-c", "print(open('d50/.env').read())"], ["sed", "-i", "s/a/b/", "d50/f1"], ["grep", "-r", "hunter2", "."]):
            _, result = self.run_workspace(argv)
            self.assertEqual(result["sandbox"]["layers"]["deny_paths"]["status"], "enforced", result)
            self.assertNotIn("hunter2\n", result["stdout"])
        self.assertIn(".env: Permission denied", result["stderr"])

    def test_it_all_works_for_an_ordinary_user(self):
        self.write("ws/src/hello.c", HELLO)
        self.write("ws/CMakeLists.txt", "cmake_minimum_required(VERSION 3.13)\nproject(h C)\nadd_executable(h src/hello.c)\n")
        run = self.hand_over()
        run("gcc", "-o", "hello", "src/hello.c")
        run("cmake", "-S", ".", "-B", "build", "-G", "Ninja")
        run("cmake", "--build", "build")
        run("git", "init", "-q")
        run("git", "add", "src")
        run("git", *IDENTITY, "commit", "-qm", "first")
        run("mkdir", "-p", "a/b")
        run("rm", "-rf", "a", "build")
        self.assertEqual(run("python3", "-c", "print(1)"), "1\n")
        self.assertEqual(run("node", "-e", "console.log(2)"), "2\n")


if __name__ == "__main__":
    main()
