"""The languages against the programs that read them. What a parser of ours accepts, the real program must accept too, must
read as it reads what we rebuild, and must then neither execute nor write: for lines made by a grammar, and for lines made
hostile at random. The programs run below a read-only root (bubblewrap), watched by strace."""
import json
import os
import random
import re
import subprocess

from harness import SandboxTest, main

WATCHED = ("execve,execveat,?fork,?vfork,?open,openat,openat2,?creat,truncate,?unlink,unlinkat,?rename,?renameat,renameat2,?mkdir,"
           "mkdirat,?symlink,symlinkat,?link,linkat,?chmod,fchmodat,socket,connect")
# Runs inside the box: [program and arguments as given, as rebuilt] a line; outcomes and what strace saw a line.
DRIVER = r"""
import json, resource, signal, subprocess, sys
def run(argv):
    # Of processor time: another's load must not end what would have ended by itself.
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (1, 2)))
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return [-999, "", ""]
    return [done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")]
for line in sys.stdin:
    given, rebuilt = json.loads(line)
    log = sys.argv[1] + "/log"
    plain = run(given)
    traced = run(["strace", "-f", "-qq", "-e", "signal=none", "-e", "trace=" + sys.argv[2], "-o", log, *rebuilt])
    print(json.dumps([plain, traced, open(log, errors="replace").read()]), flush=True)
"""
WS = {"path": "read", "within": ["${start_dir}"]}
COMMANDS = {
    "find": {"path": "/usr/bin/find", "syntax": "find",
             "sandbox": {"read": ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf"], "proc": "own"},
             "operands": [{"name": "directory", "type": WS, "count": [1, 3], "default": "."},
                          {"name": "expression", "type": {"language": "find", "rest": True, "within": ["${start_dir}"]}}]},
    "sed": {"path": ["/usr/bin/sed", "/bin/sed"], "options": {"--quiet": {"aliases": ["-n"]}},
            "operands": [{"name": "script", "type": {"language": "sed-print"}}, {"name": "file", "type": WS}]},
    "sqlite3": {"path": "/usr/bin/sqlite3", "end_of_options": False, "spelling": "separate", "options": {"-readonly": {}}, "syntax": "find",
                "operands": [{"name": "database", "type": WS}, {"name": "statement", "type": {"language": "sql-read"}}]},
    "jq": {"path": "/usr/bin/jq", "end_of_options": False, "options": {"-c": {}},
           "operands": [{"name": "filter", "type": {"language": "jq"}}, {"name": "file", "type": WS}]},
}


class Maker:
    """Lines of a language, by its grammar."""
    def __init__(self, seed):
        self.r = random.Random(seed)

    def one(self, *choices):
        return self.r.choice(choices)

    def some(self, low, high, make):
        return [make() for _ in range(self.r.randint(low, high))]


class Find(Maker):
    def test(self):
        r = self.r
        return self.one(
            ["-name", self.one("*.c", "a*", "[ab]*", "-x", "x y")], ["-iname", "*.TXT"], ["-path", "./sub/*"], ["-regex", ".*[ab]"],
            ["-type", self.one("f", "d", "f,d", "l,f,d")], ["-size", self.one("+0", "-10k", "1", "+1M", "3c")], ["-mtime", self.one("-1", "+0.5", "0")],
            ["-newer", self.one("a.txt", "sub/b.c")], ["-newermt", self.one("2001-01-01", "yesterday")], ["-empty"], ["-readable"],
            ["-perm", self.one("644", "-u+r", "/a+x", "-0400", "u=rw,go=r")], ["-links", self.one("1", "+1")], ["-user", self.one("root", "0")],
            ["-true"], ["-false"], ["-samefile", "a.txt"], ["-lname", "*"], ["-print"], ["-print0"],
            ["-printf", self.one("%p\\n", "%f %s %y%%\\t", "%-10s|%m %M %d\\n", "%TY-%Tm %h\\n", "%P\\0")], ["-prune"], ["-nouser"],
            ["-inum", "+%d" % r.randint(0, 9)], ["-fstype", "ext4"], ["-ls"])

    def chain(self, depth):
        words = []
        for i in range(self.r.randint(1, 3)):
            if i:
                words += self.one([], [], ["-a"], ["-and"])
            words += self.one([], [], [], [], [], ["-daystart"], ["-regextype", self.one("posix-extended", "sed", "emacs")])
            words += self.one([], [], ["!"], ["-not"])
            if depth and self.r.random() < 0.3:
                words += ["(", *self.expression(depth - 1), ")"]
            else:
                words += self.test()
        return words

    def expression(self, depth=2):
        words = self.chain(depth)
        for _ in range(self.one(0, 0, 1, 2)):
            words += [self.one("-o", "-or", ","), *self.chain(depth)]
        return words

    def line(self):
        words = self.one([], [], ["-maxdepth", "2"], ["-mindepth", "1"], ["-depth"], ["-xdev", "-noleaf"]) + self.expression()
        words += self.one([], [], [], ["-maxdepth", "1"], ["-quit"])
        return ["find", *self.one([], ["."], ["sub"], ["sub", "a.txt"]), *words]

    def spoil(self, line):
        line, at = list(line), self.r.randint(1, len(line))
        line[at:at + self.r.randint(0, 1)] = [self.one("-exec", "-delete", "-fprint", "-fls", "-ok", "id", ";", "+", "{}", "(", ")", "!", ",", "-o", "out", "--", "-a",
                                                    "-maxdepth", "-print", "-name", "-newer", "-L", "-files0-from", "-follow", "sub", "-printf", "%q", "-d")]
        return line


class Sed(Maker):
    REGEX = ("a", "^b", "c$", "[a-c]", "a\\/b", "\\(a\\)\\|b", "x*", "l.ne", "[^ ]", "\\bone", "[\\/]", "\\x61")

    def regex(self):
        d = self.one("/", "/", "/", "\\,", "\\#", "\\|")
        text = self.one(*self.REGEX)
        return "/" + text + "/" if d == "/" else d + text.replace("|", "").replace("\\/", "/") + d[1]

    def address(self):
        return self.one("1", "2", "$", "1~2", "0~3", self.regex(), self.regex() + "I", self.regex() + " M")

    def selector(self):
        text = self.one("", "", self.address(), self.address() + "," + self.one("3", "$", "+1", "~2", self.regex()), "0," + self.regex(), "1 , 3")
        return text + (self.one("", "", "!", " ! ") if text else "")

    def substitution(self):
        d = self.one("/", "/", ",", "#", "|", ":")
        text = self.one("a", "^b", "[a-c]", "[^/]", "[,#|:/]", "[[:alpha:]]", "[]a]", "\\(a\\)", "x*", " ", "o\\n")
        new = self.one("", "Q", "&&", "[&]", "\\n", "\\U&\\E", "\\t", "\\x41", "\\&")
        return "s" + d + text + d + new + d + self.one("", "g", "p", "2", "gp", "I", "i3", "M", "gI")

    def command(self, depth=2):
        if depth and self.r.random() < 0.15:
            return self.selector() + "{" + self.script(depth - 1) + self.one("", ";", "\n", " ") + "}"
        return self.selector() + self.one("p", "=", "d", "D", "n", "N", "g", "G", "h", "H", "x", "P", "l", "l 20", "z", "a one\n", "i\\  two\n", "c\\\nthree\\\nfour\n", "y/abc/xyz/", "y,a\\n,\\t\\\\,",
                                          self.substitution(), self.substitution(), self.substitution())

    def script(self, depth=2):
        parts = self.some(1, 4, lambda: self.command(depth))
        return "".join(part + (self.one(";", "\n", " ; ", ";;") if i + 1 < len(parts) else "") for i, part in enumerate(parts))

    def line(self):
        script = self.script()
        script = self.one(script, script, script + "\n# a comment", ":a;s/aa/a/;ta;" + script, "$!N;" + script, script + ";" + self.one("3q", "$q2", "5Q", "/zz/Q1", "b", "/o/T"))
        return ["sed", *self.one([], ["-n"]), script, "a.txt"]

    def spoil(self, line):
        script = list(line[-2])
        for _ in range(self.r.randint(1, 3)):
            at = self.r.randint(0, len(script))
            script[at:at + self.r.randint(0, 2)] = self.one(*"wrRWeFiac \n;{}/!,0123456789$\\[]sypq#:btTIMgl|~+&nxv", "w out", "e", "1e id", "/e", "w x", "//", "}")
        return [*line[:-2], "".join(script), line[-1]]


class Jq(Maker):
    def term(self, depth):
        if depth == 0:
            return self.one(".", ".a", ".b.c", "..", "1", "2.5", "\"x\"", "null", "true", ".l[0]", ".[\"a\"]", ".\"b\"", ".l[]", ".l[1:]", ".missing?", "length", "keys", "not", "empty",
                            "@json", "\"n\\u00e9\\n\"", "$__loc__.line", "tojson", "{a}", "[]", "{}")
        e = lambda: self.filter(depth - 1)
        return self.one(self.term(0), "(" + e() + ")", "[" + e() + "]", "{a: (" + e() + "), \"k\": 1, (\"z\"): 2}", "map(" + e() + ")", "[.l[]|select(" + e() + ")]",
                        "\"v\\(" + e() + ")w\"", "@csv \"\\([" + e() + "])\"", "first(" + e() + ")", "(try " + self.term(0) + " catch .)", self.term(depth - 1) + "?",
                        "(if " + e() + " then " + e() + " elif . then 1 else " + e() + " end)", "(reduce .l[] as $x (0; . + 1))", "[limit(2; " + e() + ")]", "[foreach .l[] as $x (0; 1; [$x, .])]",
                        "(label $out | " + e() + ", break $out)", "(. as {a: $q, $l} | [$q, $l])", "(def f(g; $n): g, $n; f(" + e() + "; 1))", "(. as [$m] ?// $m | $m)", "[paths]", "to_entries")

    def filter(self, depth=2):
        text = self.one("", "", "", "-") + self.term(depth)
        for _ in range(self.one(0, 0, 1, 2)):
            text += self.one(" | ", "|", ", ", " // ", " + ", "-", " and ", " or ", "*") + self.term(depth)
        return self.one(text, text, text, "(" + text + ") == 1", "# c\n " + text)

    def line(self):
        text = self.filter()
        return ["jq", "-c", "(" + text + ")" if text[0] == "-" else text, "a.json"]  # "-" would be an option

    def spoil(self, line):
        text = list(line[2])
        for _ in range(self.r.randint(1, 2)):
            at = self.r.randint(0, len(text))
            text[at:at + self.r.randint(0, 2)] = self.one(*" .()[]{}|,:;?$@\"\\#_-+/=<>0123456789eE\n", "env", "$ENV", "input", "::", "include \"a\";", "\\(", "//", "..", ".e1", "?//", "as $x|", "reduce ", "end")
        return ["jq", "-c", "".join(text), line[3]]


class Sql(Maker):
    def value(self, depth=1):
        plain = self.one("a", "b", "t.a", "1", "2.5", "'x'", "'it''s'", "NULL", "-1", "x'41'", "\"b\"", "[a]", "0x1F")
        if depth == 0:
            return plain
        v = lambda: self.value(depth - 1)
        return self.one(plain, plain, "(" + v() + ")", v() + self.one("+", " - ", "||", "*", " % ", "<<", "&") + v(), "upper(" + v() + ")", "coalesce(" + v() + ", 1)", "substr(" + v() + ",1,2)",
                        "replace(b,'x','q')", "CASE WHEN " + self.condition(0) + " THEN " + v() + " ELSE 3 END", "cast(" + v() + " AS TEXT)", "(SELECT count( * ) FROM t)", "json_array(" + v() + ")",
                        "printf('%d-%s', 1, " + v() + ")", "iif(" + v() + ",1,2)")

    def condition(self, depth=1):
        return self.one(self.value(depth) + self.one(" = ", "<>", "<=", " IS ", " LIKE ", "==", " > ") + self.value(depth), "a IN (1,2)", "a IS NOT NULL", "b BETWEEN 'x' AND 'y'", "EXISTS (SELECT 1)",
                        "NOT (" + self.value(0) + ")")

    def select(self):
        return ("SELECT " + self.one("", "DISTINCT ") + ", ".join(self.some(1, 3, self.value)) + self.one(" FROM t", " FROM main.t AS t", "\nFROM t", " FROM t, json_each('[1,2]')")
                + self.one("", " WHERE " + self.condition(), " WHERE " + self.condition() + self.one(" AND ", " OR ") + self.condition()) + self.one("", "", " ORDER BY 1 DESC", " LIMIT 2", " ORDER BY 1 LIMIT 1 OFFSET 1"))

    def line(self):
        statement = self.one(self.select(), self.select(), self.select() + ";", "WITH c(x) AS (" + "SELECT 1" + ") SELECT x FROM c", "WITH c AS (" + self.select() + ") SELECT * FROM c", "VALUES (1,'a'),(2,NULL)",
                             "PRAGMA table_info(t)", "pragma main.table_info('t')", "PRAGMA user_version", "SELECT name FROM pragma_table_info('t')", "SELECT sql FROM sqlite_master", "EXPLAIN QUERY PLAN " + self.select(),
                             "SELECT sum(a) OVER (PARTITION BY b ORDER BY a) FROM t")
        return ["sqlite3", "-readonly", "t.db", statement]

    def spoil(self, line):
        text = list(line[3])
        for _ in range(self.r.randint(1, 2)):
            at = self.r.randint(0, len(text))
            text[at:at + self.r.randint(0, 3)] = self.one(*" ;()',\"[]`.*-+/=<>0123456789\n", "readfile('t.db')", "writefile('o','x')", " fsdir ", "fsdir('.')", "load_extension('x')", "--", "/*", "*/", ".shell id",
                                                        "attach 'o' as o;", " delete from t ", "pragma ", "(select ", " into ", "upper", "edit('x')", " union select ")
        return [*line[:3], "".join(text)]


# What we leave to the program: it then fails, and does nothing.
HARMLESS = {
    "find": (r"unknown user|not the name of|No such file", ),
    "sed": (r"invalid reference|no previous regular|Unmatched|Invalid|Trailing backslash|unterminated address|Regular expression too big", ),
    "sqlite3": (r"no such column|no such table|ambiguous|malformed JSON|do not have the same number|wrong number of arguments", ),
    "jq": (r"is not defined|as object key|Division by zero|cannot be divided|unexpected end|jq: error: (?!syntax)", ),
}
SYNTAX = {"find": 1, "sed": 1, "jq": 3, "sqlite3": 1}  # exit status of a line that the program does not understand


class Languages(SandboxTest):
    def setUp(self):
        super().setUp()
        for name, text in (("ws/a.txt", "one a\ntwo b\nabc\nline x y\naa/b\n"), ("ws/sub/b.c", "int x;\n"), ("ws/sub/x y", ""), ("ws/-x", "1"),
                           ("ws/a.json", json.dumps({"a": 1, "b": {"c": "x"}, "l": [1, "two", None, {"a": 2}]}))):
            self.write(name, text)
        os.symlink("b.c", self.ws + "/sub/link")
        subprocess.run(["sqlite3", "t.db", "create table t(a, b); insert into t values (1, 'x'), (2, 'y'), (NULL, 'z')"], cwd=self.ws, check=True, capture_output=True)
        os.mkdir(self.dir + "/log")
        self.rules = self.policy(COMMANDS)

    def decide(self, argv):
        status, out, err = self.call(["check", "--policy", self.rules, "--", *argv])
        answer = json.loads(out)
        self.assertIsNone(answer.get("error"), (argv, answer))
        return [word.replace("\\x0a", "\n") for word in answer["command"]["argv"]] if status == 0 else None

    def box(self, pairs):
        command = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--bind", self.dir + "/log", self.dir + "/log", "--unshare-all",
                   "--die-with-parent", "--new-session", "--chdir", self.ws, "--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "LC_ALL", "C.UTF-8",
                   "/usr/bin/python3", "-c", DRIVER, self.dir + "/log", WATCHED]
        done = subprocess.run(command, input="".join(json.dumps(pair) + "\n" for pair in pairs), capture_output=True, text=True, timeout=800)
        self.assertEqual(done.returncode, 0, done.stderr)
        outcomes = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(outcomes), len(pairs))
        return outcomes

    def examine(self, name, given, rebuilt, outcome, generated):
        plain, traced, log = outcome
        where = (plain, traced, given, rebuilt)
        executed = re.findall(r"^\d+ +execve\w*\(.*= 0$", log, re.M)
        self.assertEqual(len(executed), 1, where)
        log = re.sub(r"^.*(AF_UNIX, SOCK_STREAM|nscd/socket).*$", "", log, flags=re.M)  # the C library, for names of users
        self.assertIsNone(re.search(r"O_WRONLY|O_RDWR|O_CREAT|^\d+ +(?!open|execve)\w+\(", log.replace("\"/dev/null\", O_RDWR", ""), re.M), (where, log))
        understood = plain[0] != SYNTAX[name] or any(re.search(text, plain[2]) for text in HARMLESS[name])
        if generated:
            self.assertTrue(understood, where)
        if understood and plain[0] != SYNTAX[name]:
            self.assertEqual(traced[:2], plain[:2], where)

    def compare(self, name, maker, count):
        made = [maker.line() for _ in range(count)]
        pairs, spoilt = [], []
        for line in made:
            rebuilt = self.decide(line)
            self.assertIsNotNone(rebuilt, line)
            pairs.append((line, rebuilt))
        for line in made * 4:
            line = maker.spoil(line)
            rebuilt = self.decide(line) if all(line) else None
            if rebuilt:
                spoilt.append((line, rebuilt))
        self.assertGreater(len(spoilt), count // 10, "too few hostile lines are accepted to say anything")
        outcomes = self.box(pairs + spoilt)
        for i, ((given, rebuilt), outcome) in enumerate(zip(pairs + spoilt, outcomes)):
            self.examine(name, given, rebuilt, outcome, i < len(pairs))
        print(name, len(pairs), "by grammar,", len(spoilt), "of", 4 * count, "hostile ones accepted")

    def test_find(self):
        self.compare("find", Find(1), 150)

    def test_sed(self):
        self.compare("sed", Sed(2), 150)

    def test_jq(self):
        self.compare("jq", Jq(3), 150)

    def test_sql(self):
        self.compare("sqlite3", Sql(4), 150)

    def test_a_few_of_each_run_inside_the_product(self):
        for maker in (Find(11), Sed(12), Jq(13), Sql(14)):
            for _ in range(25):
                line = maker.line()
                _, result = self.run_json(self.rules, line)
                self.assertEqual(result["outcome"]["type"], "exited", (line, result))
                plain = subprocess.run(line, cwd=self.ws, capture_output=True, stdin=subprocess.DEVNULL, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})
                self.assertEqual(result["exit_code"], plain.returncode, (plain.stderr, result["stderr"], line))


if __name__ == "__main__":
    main()
