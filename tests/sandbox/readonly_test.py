"""policy/readonly on real programs: one line for each command, and every example that it allows, run in the sandbox."""
import bz2
import concurrent.futures
import glob
import gzip
import io
import json
import lzma
import os
import re
import shutil
import subprocess
import tarfile
import zipfile

from harness import BINARY, SOURCE, SandboxTest, main

POLICY = os.path.join(SOURCE, "policy/readonly")
SECRET = "hunter2"
USER = 12345  # an ordinary user, when the tests run as root

# Only decided, because their packages are large, or here for nothing else; the form is that of gcc and perl.
NOT_RUN = {"bat", "black", "cal", "clang", "clang++", "clang-format", "clang-tidy", "coverage", "eslint", "exa", "eza", "flake8",
           "getfacl", "golangci-lint", "hexyl", "iostat", "isort", "java", "javac", "jest", "lsattr", "lspci", "lsusb", "meson", "mpstat", "mypy",
           "pdfinfo", "pdftotext", "php", "poetry", "pre-commit", "prettier", "pylint", "python", "ruby", "ruff",
           "rustc", "rustfmt", "shellcheck", "tokei", "tox", "tsc", "uuidgen", "uv", "vitest", "xmllint"}

# devtools_test.py runs these, in repositories and projects, or differential_test.py where they are installed.
WRAPPERS = {"env", "nice", "stdbuf", "time", "timeout"}  # their lines are other commands', which have examples of their own
DEVTOOLS = {"bun", "cargo", "cmake", "ctest", "curl", "deno", "docker", "gh", "git", "go", "journalctl", "kubectl", "lua", "node", "npm", "npx",
            "openssl", "pip", "pip3", "pnpm", "python3", "sqlite3", "systemctl", "yarn"}

# command: (words, what its output holds, standard input)
LINES = {
    "addr2line": ("addr2line -f -e prog 0x10", r"\?\?"),
    "apt": ("apt list bash", r"bash"),
    "apt-cache": ("apt-cache policy bash", r"bash:|^$"),
    "ar": ("ar t lib.a", r"^x\.o$"),
    "arch": ("arch", r"\w+"),
    "as": ("as --version", r"GNU assembler"),
    "base32": ("base32 -d b32.txt", r"hello"),
    "base64": ("base64 -d base64.txt", r"hello"),
    "basename": ("basename src/a.c .c", r"^a$"),
    "basenc": ("basenc --base32 src/a.c", r"[A-Z2-7=]{16}"),
    "bash": ("bash --version", r"GNU bash"),
    "bc": ("bc -l", r"^12$", "5+7\n"),
    "bzcat": ("bzcat a.bz2", r"^hello$"),
    "bzip2": ("bzip2 -dc a.bz2", r"^hello$"),
    "c++": ("c++ --version", r"Free Software"),
    "c++filt": ("c++filt _Z3foov", r"foo\(\)"),
    "cat": ("cat -n src/a.c docs/x.md", r"1\t#include[\s\S]*# Title"),
    "cc": ("cc --version", r"Free Software"),
    "cksum": ("cksum -a sha256 a.txt", r"SHA256 \(a.txt\) = [0-9a-f]{64}"),
    "cmp": ("cmp a.txt b.txt", r"differ: byte 11"),
    "column": ("column -t -s , data.csv", r"id  name  n"),
    "command": ("command -v ls", r"bin/ls$"),
    "comm": ("comm -12 a.txt b.txt", r"^a:1:x$"),
    "cut": ("cut -d: -f1,3 a.txt", r"^a:x\nb:y\nc:z$"),
    "date": ("date -u -d @0 +%Y-%m-%dT%H:%M:%S", r"^1970-01-01T00:00:00$"),
    "df": ("df -h .", r"Mounted on\n\S+"),
    "diff": ("diff -u a.txt b.txt", r"(?m)^-b:2:y$"),
    "diffstat": ("diffstat changes.diff", r"1 file changed"),
    "dircolors": ("dircolors -p", r"TERM"),
    "dirname": ("dirname src/a.c", r"^src$"),
    "dpkg": ("dpkg -s bash", r"Package: bash"),
    "dpkg-deb": ("dpkg-deb -f a.deb Package", r"^x$"),
    "dpkg-query": ("dpkg-query -W -f x\\n bash", r"^x$"),
    "du": ("du -sh src", r"\d\S*\tsrc"),
    "echo": ("echo -n two words", r"^two words$"),
    "egrep": ("egrep -n fo+bar|nothing src/a.c", r"4:"),
    "env": ("env", r"(?m)^HOME=/nonexistent$"),
    "expand": ("expand -t4 src/a.c", r"(?m)^    printf"),
    "expr": ("expr 6 * 7", r"^42$"),
    "factor": ("factor 42", r"^42: 2 3 7$"),
    "false": ("false", r"^$"),
    "fd": ("fd -e py", r"src/lib/c.py"),
    "fdfind": ("fdfind -t f x docs", r"docs/x.md"),
    "fgrep": ("fgrep -c (void) src/a.c", r"^1$"),
    "file": ("file src/a.c a.zip", r"src/a.c:\s+C source[\s\S]*Zip archive"),
    "find": ("find . -name *.c -not -path ./node_modules/*", r"\./src/a\.c"),
    "findmnt": ("findmnt -n -o TARGET -T .", r"/"),
    "fmt": ("fmt -w 40 text.md", r"(?m)^(word ){6,7}word$"),
    "fold": ("fold -w 10 text.md", r"(?m)^.{10}$"),
    "free": ("free -m", r"Mem:\s+\d+"),
    "g++": ("g++ --version", r"Free Software"),
    "gcc": ("gcc --version", r"Free Software"),
    "getconf": ("getconf PAGE_SIZE", r"^\d+$"),
    "getent": ("getent passwd root", r"^root:"),
    "grep": ("grep -rn --include=*.c foobar src", r"^src/a.c:4:"),
    "groups": ("groups root", r"root"),
    "gunzip": ("gunzip -c a.gz", r"^hello$"),
    "gzip": ("gzip -l a.gz", r"compressed"),
    "hd": ("hd -n 4 a.bin", r"00 01 02 03"),
    "head": ("head -2 a.txt", r"^a:1:x\nb:2:y$"),
    "hexdump": ("hexdump -C -n 4 a.bin", r"00 01 02 03"),
    "hostid": ("hostid", r"^[0-9a-f]{8}$"),
    "hostname": ("hostname", r"\S+"),
    "iconv": ("iconv -f latin1 -t utf-8 a.txt", r"a:1:x"),
    "id": ("id -u", r"^\d+$"),
    "ip": ("ip -br addr", r"lo\s"),
    "jq": ("jq -c .a.b data.json", r"^\[1,2,3\]$"),
    "join": ("join -t : -j 1 a.txt b.txt", r"a:1:x:1:x"),
    "ld": ("ld --version", r"GNU ld"),
    "ldconfig": ("ldconfig -p", r"libc\.so"),
    "locale": ("locale charmap", r"UTF-8"),
    "logname": ("logname", r"^|no login name"),
    "look": ("look b: a.txt", r"^b:2:y$"),
    "ls": ("ls -la --color=never src", r"a\.c"),
    "lsb_release": ("lsb_release -is", r"\w+"),
    "lsblk": ("lsblk -o NAME,SIZE", r"NAME|^$"),
    "lscpu": ("lscpu", r"Architecture:"),
    "lsmem": ("lsmem -n", r"\w|^$"),
    "make": ("make --version", r"GNU Make"),
    "md5sum": ("md5sum -c SUMS.md5", r"a.txt: OK"),
    "mktemp": ("mktemp -d", r"^/tmp/tmp\."),
    "mountpoint": ("mountpoint src", r"is not a mountpoint"),
    "namei": ("namei -m src/a.c", r"-rw-r--r-- a\.c"),
    "netstat": ("netstat -tln", r"Proto"),
    "ninja": ("ninja --version", r"\d"),
    "nice": ("nice -n 5 seq 2", r"^1\n2$"),
    "nl": ("nl -ba a.txt", r"1\ta:1:x"),
    "nm": ("nm -D prog", r"U "),
    "nproc": ("nproc", r"^\d+$"),
    "numfmt": ("numfmt --to=iec 1048576", r"^1\.0M$"),
    "objdump": ("objdump -h prog", r"\.text"),
    "od": ("od -An -tx1 -N4 a.bin", r"00 01 02 03"),
    "paste": ("paste -sd, a.txt", r"a:1:x,b:2:y,c:3:z"),
    "pathchk": ("pathchk -p src/a.c", r"^$"),
    "perl": ("perl --version", r"This is perl"),
    "pgrep": ("pgrep -c -f .", r"^[1-9]\d*$"),
    "pidof": ("pidof no-such-program", r"^$"),
    "pkg-config": ("pkg-config --list-all", r"\w"),
    "printenv": ("printenv HOME", r"^/nonexistent$"),
    "printf": ("printf %05d|%s\\n 42 x", r"^00042\|x$"),
    "ps": ("ps aux --sort=-%mem", r"USER\s+PID[\s\S]*\n\S+\s+1\s"),
    "pstree": ("pstree -A 1", r"\S+"),
    "pwd": ("pwd", r"/ws$"),
    "pytest": ("pytest --version", r"pytest \d"),
    "readelf": ("readelf -h prog", r"ELF Header"),
    "readlink": ("readlink link_in", r"^src$"),
    "realpath": ("realpath src/../src/a.c", r"/ws/src/a\.c$"),
    "rev": ("rev a.txt", r"x:1:a"),
    "rg": ("rg -n -t c foobar", r"src/a\.c:4:"),
    "sed": ("sed -n 2p a.txt", r"^b:2:y$"),
    "seq": ("seq 1 2 5", r"^1\n3\n5$"),
    "shuf": ("shuf -i 7-7", r"^7$"),
    "size": ("size prog", r"text\s+data"),
    "sleep": ("sleep 0.01", r"^$"),
    "sort": ("sort -t: -k2,2nr -u a.txt", r"^c:3:z\nb:2:y\na:1:x$"),
    "ss": ("ss -tln", r"Local Address"),
    "stat": ("stat -c %n:%s a.txt", r"^a\.txt:18$"),
    "stdbuf": ("stdbuf -oL seq 2", r"^1\n2$"),
    "strings": ("strings -n 4 prog", r"\w{4}"),
    "strip": ("strip --version", r"GNU strip"),
    "sum": ("sum a.txt", r"^\d+"),
    "sysctl": ("sysctl -n kernel.ostype", r"^Linux$"),
    "tac": ("tac a.txt", r"^c:3:z"),
    "tail": ("tail -n +2 a.txt", r"^b:2:y\nc:3:z$"),
    "tar": ("tar tzvf a.tar.gz", r"src/a\.c"),
    "test": ("test -f src/a.c", r"^$"),
    "time": ("time -p seq 2", r"^1\n2$"),
    "timeout": ("timeout 5s seq 2", r"^1\n2$"),
    "top": ("top -bn1", r"load average"),
    "tput": ("tput -T xterm setaf 1", r"31m"),
    "tr": ("tr a-z A-Z", r"^LOUD$", "loud\n"),
    "tree": ("tree -L 1 src", r"a\.c"),
    "true": ("true", r"^$"),
    "tsort": ("tsort edges.txt", r"^a\nb\nc$"),
    "tty": ("tty", r"not a tty"),
    "uname": ("uname -s", r"^Linux$"),
    "unexpand": ("unexpand -a a.txt", r"a:1:x"),
    "uniq": ("uniq -c", r"2 a", "a\na\nb\n"),
    "unzip": ("unzip -l a.zip", r"x/y\.txt"),
    "update-alternatives": ("update-alternatives --list awk", r"/"),
    "uptime": ("uptime", r"load average"),
    "users": ("users", r"^"),
    "vmstat": ("vmstat", r"memory"),
    "w": ("w", r"load average"),
    "wc": ("wc -l a.txt b.txt", r"3 a\.txt[\s\S]*6 total"),
    "whereis": ("whereis -b ls", r"ls: .*bin/ls"),
    "which": ("which ls", r"bin/ls$"),
    "who": ("who -b", r"^"),
    "whoami": ("whoami", r"^|cannot find name"),
    "xxd": ("xxd -l 4 a.bin", r"0001 0203"),
    "xz": ("xz -l a.xz", r"Strms"),
    "xzcat": ("xzcat a.xz", r"^hello$"),
    "zcat": ("zcat a.gz", r"^hello$"),
    "zipinfo": ("zipinfo -1 a.zip", r"^x/y\.txt\nz\.txt$"),
    "zstd": ("zstd -dc a.zst", r"^hello$"),
    "zstdcat": ("zstdcat a.zst", r"^hello$"),
    "sha1sum": ("sha1sum a.txt", r"^[0-9a-f]{40}  a\.txt$"),
    "sha224sum": ("sha224sum a.txt", r"^[0-9a-f]{56}  a\.txt$"),
    "sha256sum": ("sha256sum -c SUMS.sha256", r"a\.txt: OK"),
    "sha384sum": ("sha384sum a.txt", r"^[0-9a-f]{96}  a\.txt$"),
    "sha512sum": ("sha512sum a.txt", r"^[0-9a-f]{128}  a\.txt$"),
    "b2sum": ("b2sum a.txt", r"^[0-9a-f]{128}  a\.txt$"),
}

# Examples whose files a host need not have.
MAY_BE_ABSENT = re.compile(r"^/(var/log/syslog|usr/include/stdio\.h|etc/os-release|usr/bin/git|dev/sda|opt/tool/.*)$")
STDIN = {"base64": b"aGVsbG8K", "base32": b"NBSWY3DP", "bzcat": bz2.compress(b"hello\n"), "xzcat": lzma.compress(b"hello\n")}
# What tar reads from standard input, by the last words of the line: an archive in a form of tarfile's, or names.
TAR_STDIN = {"tar -tf -": "w", "tar tzf -": "w:gz", "tar -tz": "w:gz", "tar -tf a.tar -T -": b"src/a.c\n"}
MISREAD = re.compile(r"unrecognized|invalid option|unknown option|ambiguous", re.I)


def archive(mode, directory):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        tar.add(os.path.join(directory, "src"), "src")
    return out.getvalue()


class ReadOnly(SandboxTest):
    def setUp(self):
        super().setUp()
        os.chmod(self.dir, 0o755)
        self.policy_dir = os.path.join(self.dir, "policy")
        shutil.copytree(POLICY, self.policy_dir)
        self.write("secret", SECRET)
        for name, text in self.files().items():
            self.write("ws/" + name, text)
        for kind in ("gz", "bz2", "xz"):
            self.write("ws/a.tar." + kind, archive("w:" + kind, self.ws))
        tar = self.write("ws/a.tar", archive("w", self.ws))
        with zipfile.ZipFile(os.path.join(self.ws, "a.zip"), "w") as archived:
            archived.writestr("x/y.txt", "hello\n")
            archived.writestr("z.txt", "zz\n")
        for source, name in ((None, "a.zst"), (tar, "a.tar.zst")):
            packed = subprocess.run(["zstd", "-qc"] + ([source] if source else []), input=None if source else b"hello\n", stdout=subprocess.PIPE, check=True)
            self.write("ws/" + name, packed.stdout)
        for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "b2"):
            self.write("ws/SUMS." + name, self.tool(name + "sum", "a.txt"))
        self.write("ws/SUMS.cksum", self.tool("cksum", "-a", "sha256", "--tag", "a.txt"))
        self.tool("dpkg-deb", "-b", "--nocheck", "pkg", "a.deb")
        shutil.copy("/usr/bin/true", os.path.join(self.ws, "prog"))
        for name, target in (("link_in", "src"), ("link_out", "/etc/passwd"), ("up", "../secret"), ("dir_out", "/etc")):
            os.symlink(target, os.path.join(self.ws, name))
        for folder, _, files in os.walk(self.dir):
            os.chmod(folder, 0o755)
            for name in files:
                if not os.path.islink(os.path.join(folder, name)):
                    os.chmod(os.path.join(folder, name), 0o644)

    def tool(self, *argv):
        return subprocess.run(argv, cwd=self.ws, stdout=subprocess.PIPE, check=True).stdout

    @staticmethod
    def files():
        table = "a:1:x\nb:2:y\nc:3:z\n"
        return {
            "src/a.c": '#include <stdio.h>\n\nint main(void) {\n\tprintf("hello foobar\\n");\n\treturn 0;\n}\n',
            "src/b.c": "int foo;\n", "src/lib/c.py": "def foo():\n    return 1\n", "docs/x.md": "# Title\nfoo bar\n",
            "tests/t.py": "import x\n", "lib.a": "!<arch>\n%-16s%-12d%-6d%-6d%-8s%-10d`\nabc\n" % ("x.o/", 0, 0, 0, "100644", 4), "a.txt": table, "b.txt": "a:1:x\nb:2:q\nd:4:z\n", "data.csv": "id,name,n\n1,foo,3\n2,bar,1\n",
            "data.json": '{"a": {"b": [1, 2, 3]}, "name": "x"}\n', "dir1/f": "1\n", "dir2/f": "2\n", "node_modules/m/i.js": "x\n",
            "README.md": "# R\n", "list": "src/a.c\n", "-x": "dash\n", ".gitignore": "*.o\nnode_modules/\n",
            ".github/workflows/ci.yml": "on: push\n", "a.bin": bytes(range(256)), "b.bin": bytes(reversed(range(256))),
            "edges.txt": "a b\nb c\n", "numbers.txt": "1000\n2048\n", "text.md": "word " * 60 + "\n", "patterns.txt": "foo\n",
            "base64.txt": "aGVsbG8K\n", "b32.txt": "NBSWY3DP\n", "dump.hex": "00000000: 6869 0a                                 hi.\n",
            "names.txt": "src/a.c\n", "names0.txt": "src/a.c\0", "skip.txt": "*.o\n", "a.z": gzip.compress(b"hello\n"), "a.lzma": lzma.compress(b"hello\n", lzma.FORMAT_ALONE),
            "pkg/DEBIAN/control": "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: n <n@example.org>\nDescription: x\n",
            "changes.diff": "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "hexfmt": '16/1 "%02x " "\\n"\n',
            "package.json": '{"name": "x", "version": "1.0.0"}\n', "a.gz": gzip.compress(b"hello\n"), "a.bz2": bz2.compress(b"hello\n"),
            "a.xz": lzma.compress(b"hello\n"), ".env": SECRET, ".ssh/id_rsa": SECRET, "conf/server.pem": SECRET,
        }

    def commands(self):
        for path in sorted(glob.glob(os.path.join(POLICY, "commands/*.json"))):
            with open(path) as f:
                yield os.path.basename(path)[:-5], json.load(f)

    def ask(self, argv, stdin=None, verb="run", user=None, options=()):
        line = [BINARY, verb, "--policy", self.policy_dir, *options]
        if stdin is not None:
            line += ["--stdin", "-"]
        if user is not None:
            line = ["setpriv", "--reuid=%d" % user, "--regid=%d" % user, "--clear-groups"] + line
        given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        done = subprocess.run(line + ["--"] + argv, cwd=self.ws, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                              env={"PATH": "/usr/bin:/bin", "SECRET": SECRET}, **given)
        return json.loads(done.stdout)

    def run_line(self, name, command, user):
        words, expected, stdin = (LINES[name] + (None,))[:3]
        argv = words.split(" ")
        result = self.ask(argv, stdin.encode() if stdin else None, user=user)
        self.assertEqual(result["outcome"]["type"], "exited", result)
        self.assertIn(result["exit_code"], [1] if name == "false" else command.get("exit_ok", [0]), result)
        self.assertRegex(result["stdout"].rstrip("\n") or result["stderr"], expected)
        self.assertNotIn(SECRET, result["stdout"])

    def one_line_each(self, user):
        for name, command in self.commands():
            if command.get("decision") == "deny" or name in NOT_RUN | DEVTOOLS:
                continue
            with self.subTest(name=name, user=user):
                self.run_line(name, command, user)

    def test_one_line_of_each_command_runs(self):
        self.one_line_each(None)

    if os.geteuid() == 0:
        def test_an_ordinary_user_gets_the_same(self):
            self.one_line_each(USER)

    def test_every_line_here_is_of_a_command(self):
        self.assertEqual(set(LINES) | NOT_RUN | DEVTOOLS, {name for name, command in self.commands() if command.get("decision") != "deny"})

    def run_example(self, name, command, argv):
        argv = [re.sub(r"^/workspace(?=/|$)", self.ws, word) for word in argv]
        if name in NOT_RUN | WRAPPERS:
            decided = self.ask(argv, verb="check", options=["--assume-installed"])["decision"]
            return None if decided == "allow" else (argv, decided)
        stdin = TAR_STDIN.get(" ".join(argv), STDIN.get(name, b"1\n2\n"))
        if isinstance(stdin, str):
            stdin = archive(stdin, self.ws)
        result = self.ask(argv, stdin if command.get("stdin") == "text" else None)
        told = (argv, result["outcome"], result["denied"], result["error"], result["stderr"])
        if result["outcome"]["type"] != "exited" or MISREAD.search(result["stderr"]):
            return told
        unlike_here = name == "false" or "Permission denied" in result["stderr"] or "cannot find name" in result["stderr"] or any(MAY_BE_ABSENT.match(word) for word in argv)
        return None if unlike_here or result["exit_code"] in command.get("exit_ok", [0]) else told

    def test_the_programs_read_every_example_as_we_do(self):
        examples = [(name, command, argv) for name, command in self.commands() for argv in command.get("examples", {}).get("allow", []) if name not in DEVTOOLS]
        self.assertGreater(len(examples), 1000)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            wrong = [told for told in pool.map(lambda example: self.run_example(*example), examples) if told]
        self.assertEqual(wrong, [], wrong)

    def test_what_is_refused_says_why(self):
        for name, command in self.commands():
            if command.get("decision") == "deny":
                denied = self.ask([name])["denied"]
                self.assertEqual(denied["code"], "rule_denies", name)
                self.assertTrue(denied["reason"], name)

    def test_secrets_stay_closed_to_what_searches(self):
        for argv in (["grep", "-r", SECRET, "."], ["grep", "-R", SECRET], ["rg", "-uuu", SECRET], ["rg", "--hidden", "--no-ignore", SECRET, "."],
                     ["rg", "-L", SECRET], ["grep", "-rl", "", "."], ["diff", "-r", "--new-file", "conf", "src"], ["egrep", "-r", SECRET],
                     ["grep", "-rf", "patterns.txt", "."], ["find", ".", "-name", "*.pem", "-printf", "%f %s\\n"]):
            for user in (None, USER) if os.geteuid() == 0 else (None,):
                result = self.ask(argv, user=user)
                self.assertEqual(result["outcome"]["type"], "exited", (argv, result))
                self.assertNotIn(SECRET, result["stdout"], argv)
                if argv[:2] == ["grep", "-rl"]:
                    self.assertNotIn(".env", result["stdout"])

    def test_secrets_stay_closed_to_what_lists_names(self):
        # A name that these read by themselves leads to a secret.
        self.write("ws/listed/.netrc", "listed word\n\tpassword %s\n" % SECRET)
        self.write("ws/listed/listed word", "")
        for name in (".info", ".gitignore", ".ignore", ".fdignore"):
            os.symlink(".netrc", os.path.join(self.ws, "listed", name))
        for argv in (["tree", "--info", "listed"], ["tree", "--gitignore", "listed"], ["fdfind", ".", "listed"], ["fdfind", "--unrestricted", ".", "listed"]):
            result = self.ask(argv)
            self.assertEqual(result["outcome"]["type"], "exited", (argv, result))
            self.assertNotIn(SECRET, result["stdout"], argv)
            self.assertIn("listed word", result["stdout"], argv)

    def test_environments_of_other_processes_stay_closed(self):
        other = subprocess.Popen(["sleep", "60"], env={"MARKER": "env-" + SECRET})
        try:
            for argv in (["ps", "-aux"], ["ps", "auxww"], ["ps", "-ef"], ["ps", "-axww", "-f"], ["ps", "-ax", "-e"], ["ps", "-aux", "-ef"],
                         ["ps", "axo", "args", "-e"], ["top", "-bn1", "-c"], ["pgrep", "-af", "."]):
                self.assertNotIn("env-" + SECRET, self.ask(argv)["stdout"] or "", argv)
        finally:
            other.kill()
            other.wait()


main()
