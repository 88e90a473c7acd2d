"""The shipped policy/readonly on developers' tools, for real: what it allows works, as root and as an ordinary user, and
nothing of a hostile repository or project executes."""
import http.server
import json
import os
import shutil
import sqlite3
import subprocess
import threading

from harness import BINARY, SOURCE, SandboxTest, main

READONLY = os.path.join(SOURCE, "policy", "readonly")
OTHER_USER = (["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]) if os.geteuid() == 0 else []  # else the caller is one


def allowed_examples(command):
    with open(os.path.join(READONLY, "commands", command + ".json")) as f:
        node = json.load(f)

    def walk(node):
        yield from node.get("examples", {}).get("allow", [])
        for below in node.get("subcommands", {}).values():
            yield from walk(below)
    return list(walk(node))


class Tools(SandboxTest):
    def run_readonly(self, argv, *options, **popen):
        return self.run_json(READONLY, argv, *options, **popen)

    def stdout(self, argv, *options):
        status, result = self.run_readonly(argv, *options)
        self.assertTrue(result["success"], (argv, result["outcome"], result["denied"], result["error"], result["stderr"]))
        self.assertEqual(result["sandbox"]["degraded"], [], argv)
        return result["stdout"]


    def run_as_user(self, argv):
        # The checkout may lie where only root can go.
        binary, policy = os.path.join(self.dir, "safe-exec"), os.path.join(self.dir, "readonly")
        if not os.path.exists(binary):
            shutil.copy(BINARY, binary)
            shutil.copytree(READONLY, policy)
        os.chmod(self.dir, 0o755)
        process = subprocess.run([*OTHER_USER, binary, "run", "--policy", policy, "--", *argv], cwd=self.ws, capture_output=True, env={"PATH": "/usr/bin:/bin"})
        return json.loads(process.stdout)


class Git(Tools):
    def setUp(self):
        super().setUp()
        self.proof = os.path.join(self.dir, "proof")
        os.mkdir(self.proof)
        os.chmod(self.proof, 0o777)
        os.chmod(self.dir, 0o755)
        self.git("init", "-q", "-b", "main")
        self.write("ws/src/a.c", "int main(void) { return 0; }\n")
        self.write("ws/src/b.c", "int other;\n")
        self.write("ws/.gitattributes", "*.c diff=evil filter=evil merge=evil\n")
        self.git("add", "-A")
        self.commit("first")
        self.git("tag", "v1.0")
        self.git("branch", "feature")
        self.write("ws/src/a.c", "int main(void) { return 1; }\n")
        self.git("add", "-A")
        self.commit("second: fix")
        self.write("ws/src/b.c", "int stashed;\n")
        self.git("-c", "user.name=t", "-c", "user.email=t@example.org", "stash", "-q")
        self.write("ws/src/a.c", "int main(void) { return 2; }\n")

    def git(self, *arguments, where=None):
        subprocess.run(["git", *arguments], cwd=where or self.ws, check=True, capture_output=True,
                       env={"PATH": "/usr/bin:/bin", "HOME": self.dir, "GIT_CONFIG_NOSYSTEM": "1"})

    def commit(self, message, where=None):
        self.git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", message, where=where)

    def make_hostile(self, filters=True):
        def touch(name):
            return "touch %s/%s; cat" % (self.proof, name)
        for key in ("core.fsmonitor", "diff.external", "diff.evil.textconv", "diff.evil.command", "core.pager", "pager.log",
                    "pager.status", "core.editor", "sequence.editor", "gpg.program", "gpg.ssh.program", "gpg.x509.program",
                    "core.sshCommand", "core.gitProxy", "core.askPass", "credential.helper", "merge.evil.driver",
                    "uploadpack.packObjectsHook", "interactive.diffFilter", "core.alternateRefsCommand", "trailer.x.command",
                    "tar.x.command", "browser.x.cmd", "man.x.cmd", "remote.origin.uploadpack", "submodule.x.update"):
            self.git("config", key, touch(key))
        if filters:
            for key in ("filter.evil.clean", "filter.evil.smudge", "filter.evil.process"):
                self.git("config", key, touch(key))
        for name in ("status", "log", "diff", "ci"):
            self.git("config", "alias." + name, "!" + touch("alias"))
        for key, value in (("log.showSignature", "true"), ("diff.submodule", "diff"), ("status.submoduleSummary", "true"),
                           ("remote.origin.url", "ext::touch %s/ext" % self.proof), ("protocol.ext.allow", "always"),
                           ("remote.origin.promisor", "true"), ("remote.origin.partialclonefilter", "blob:none"),
                           ("extensions.partialClone", "origin"), ("core.repositoryformatversion", "1"),
                           ("format.pretty", "%H %G? %GS"), ("include.path", "/nonexistent/hostile"),
                           ("core.hooksPath", os.path.join(self.ws, "hooks"))):
            self.git("config", key, value)
        for hook in ("post-index-change", "fsmonitor-watchman", "pre-commit", "post-checkout", "reference-transaction"):
            for where in ("ws/.git/hooks/", "ws/hooks/"):
                self.write(where + hook, "#!/bin/sh\ntouch %s/hook\n" % self.proof, 0o755)

    def permissive(self):
        """The shipped entry with its arguments and guards, and a sandbox that lets everything happen."""
        directory = os.path.join(self.dir, "permissive")
        shutil.copytree(READONLY, directory, ignore=lambda top, names: [n for n in names if top.endswith("commands") and n != "git.json"])
        path = os.path.join(directory, "commands", "git.json")
        with open(path) as f:
            node = json.load(f)

        def loosen(node):
            node.setdefault("sandbox", {}).update(
                {"read": ["${workspace}"], "write": [self.proof], "tmp": "private",
                 "exec": ["/bin/dash", "/bin/sh", "/usr/bin/touch", "/usr/bin/cat", "/usr/bin/git", "/usr/lib/git-core", "self"]})
            for below in node.get("subcommands", {}).values():
                loosen(below)
        loosen(node)
        with open(path, "w") as f:
            json.dump(node, f)
        return directory

    def test_every_example_runs_and_the_guards_hold_even_where_all_may_be_executed(self):
        self.make_hostile(filters=False)
        policy = self.permissive()
        for argv in allowed_examples("git"):
            status, result = self.run_json(policy, argv)
            self.assertEqual(result["outcome"]["type"], "exited", (argv, result))
            self.assertEqual(os.listdir(self.proof), [], argv)

    def test_the_permissive_sandbox_would_show_an_execution(self):
        # Without this the test above would prove nothing.
        policy = self.permissive()
        path = os.path.join(policy, "commands", "git.json")
        with open(path) as f:
            node = json.load(f)
        node["env"] = {}
        del node["examples"], node["hints"]
        node["subcommands"] = {"status": {"sandbox": node["subcommands"]["status"]["sandbox"]}}
        with open(path, "w") as f:
            json.dump(node, f)
        self.make_hostile(filters=False)
        self.run_json(policy, ["git", "status"])
        self.assertIn("core.fsmonitor", os.listdir(self.proof))

    def test_no_filter_runs(self):
        self.make_hostile()
        for argv in (["git", "diff"], ["git", "status"], ["git", "blame", "src/a.c"], ["git", "log", "-p"], ["git", "stash", "show", "-p"],
                     ["git", "diff", "--no-index", "src/a.c", "src/b.c"], ["git", "grep", "main"], ["git", "ls-files", "-m"]):
            self.run_readonly(argv)
            self.assertEqual(os.listdir(self.proof), [], argv)

    def test_the_answers_are_those_of_the_repository(self):
        self.make_hostile(filters=False)
        for argv, expected in ((["git", "status", "-s"], " M src/a.c"),
                               (["git", "log", "--oneline"], "first"),
                               (["git", "log", "--oneline", "-1", "--", "src"], "second: fix"),
                               (["git", "diff"], "+int main(void) { return 2; }"),
                               (["git", "diff", "HEAD~1..HEAD", "--stat"], "src/a.c"),
                               (["git", "show", "HEAD:src/a.c"], "return 1"),
                               (["git", "blame", "-L", "1,1", "src/a.c"], "main(void)"),
                               (["git", "grep", "-n", "main", "--", "*.c"], "src/a.c:1:"),
                               (["git", "branch", "-a", "-v"], "feature"),
                               (["git", "tag", "-l"], "v1.0"),
                               (["git", "stash", "list"], "stash@{0}"),
                               (["git", "stash", "show", "-p"], "+int stashed"),
                               (["git", "reflog"], "HEAD@{0}"),
                               (["git", "reflog", "show", "main"], "main@{0}"),
                               (["git", "rev-parse", "--show-toplevel"], self.ws),
                               (["git", "rev-parse", "--abbrev-ref", "HEAD"], "main"),
                               (["git", "config", "--get", "remote.origin.promisor"], "true"),
                               (["git", "remote", "-v"], "origin"),
                               (["git", "describe", "--tags", "--always"], "v1.0"),
                               (["git", "cat-file", "-p", "HEAD"], "second: fix"),
                               (["git", "worktree", "list"], self.ws),
                               (["git", "ls-files"], "src/b.c"),
                               (["git", "ls-tree", "-r", "--name-only", "HEAD"], "src/a.c"),
                               (["git", "-C", "src", "status", "-s"], " M a.c"),
                               (["git", "shortlog", "-sn"], "t"),
                               (["git", "rev-list", "--count", "HEAD"], "2"),
                               (["git", "merge-base", "main", "feature"], ""),
                               (["git", "for-each-ref", "refs/tags"], "refs/tags/v1.0"),
                               (["git", "-c", "color.ui=always", "status", "-s"], "\x1b[31m"),
                               (["git", "check-attr", "diff", "--", "src/a.c"], "evil")):
            self.assertIn(expected, self.stdout(argv), argv)

    def test_secrets_of_the_work_tree_stay_closed(self):
        self.write("ws/.env", "TOKEN=hunter2\n")
        for argv in (["git", "diff", "--no-index", "src/a.c", ".env"], ["git", "grep", "--untracked", "hunter2"],
                     ["git", "grep", "--no-index", "hunter2"], ["git", "blame", "--contents", ".env", "src/a.c"]):
            status, out, err = self.call(["run", "--policy", READONLY, "--", *argv])
            self.assertNotIn(b"TOKEN=", out, argv)

    def test_a_submodule_does_not_run_its_configuration(self):
        other = os.path.join(self.dir, "other")
        os.mkdir(other)
        self.git("init", "-q", where=other)
        self.write("other/x", "x\n")
        self.git("add", "-A", where=other)
        self.commit("x", where=other)
        self.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", other, "sub")
        self.commit("sub")
        self.git("config", "core.fsmonitor", "touch %s/sub" % self.proof, where=os.path.join(self.ws, "sub"))
        self.write("ws/sub/x", "changed\n")
        for argv in (["git", "status"], ["git", "diff"], ["git", "diff", "--submodule=log"], ["git", "log", "-p", "-1"], ["git", "-C", "sub", "status"]):
            self.stdout(argv)
            self.assertEqual(os.listdir(self.proof), [], argv)

    def test_nothing_outside_the_workspace_is_read_through_the_repository(self):
        secret = self.write("secret/objects/info/x", "secret\n")
        self.write("ws/.git/objects/info/alternates", os.path.join(self.dir, "secret/objects") + "\n")
        self.git("config", "core.worktree", os.path.join(self.dir, "secret"))
        self.git("config", "core.attributesFile", secret)
        self.git("config", "core.excludesFile", secret)
        self.git("config", "blame.ignoreRevsFile", secret)
        for argv in (["git", "diff"], ["git", "status"], ["git", "blame", "src/a.c"], ["git", "ls-files", "-o"], ["git", "grep", "--untracked", "secret"]):
            status, out, err = self.call(["run", "--policy", READONLY, "--", *argv])
            self.assertNotIn(b"secret\\n", out, argv)

    def test_it_works_for_an_ordinary_user(self):
        for top, directories, files in os.walk(self.dir):
            for name in directories + files:
                os.lchown(os.path.join(top, name), 12345, 12345)
        os.chown(self.dir, 12345, 12345)
        for argv, expected in ((["git", "status", "-s"], " M src/a.c"), (["git", "log", "--oneline"], "first"), (["git", "stash", "list"], "stash@{0}"),
                               (["git", "range-diff", "feature~0", "main~1", "main"], "second")):
            result = self.run_as_user(argv)
            self.assertTrue(result["success"], (argv, result))
            self.assertIn(expected, result["stdout"], argv)



class Others(Tools):
    def setUp(self):
        super().setUp()
        os.chmod(self.ws, 0o755)

    def test_versions(self):
        for argv, expected in ((["gcc", "--version"], "Free Software"), (["g++", "-dumpversion"], "1"), (["cc", "-dumpmachine"], "-linux"),
                               (["make", "--version"], "GNU Make"), (["cmake", "--version"], "cmake version"), (["ninja", "--version"], "1."),
                               (["python3", "-V"], "Python 3"), (["node", "-v"], "v"), (["git", "--version"], "git version"), (["perl", "-v"], "perl 5")):
            self.assertIn(expected, self.stdout(argv), argv)
            result = self.run_as_user(argv)
            self.assertTrue(result["success"], (argv, result))

    def test_sqlite_answers_and_never_writes(self):
        path = os.path.join(self.ws, "app.db")
        with sqlite3.connect(path) as db:
            db.execute("create table t(a, b)")
            db.execute("insert into t values (1, 'one')")
        os.chmod(path, 0o644)
        self.assertEqual(json.loads(self.stdout(["sqlite3", "-json", "app.db", "SELECT * FROM t"])), [{"a": 1, "b": "one"}])
        self.assertIn("CREATE TABLE t", self.stdout(["sqlite3", "app.db", ".schema"]))
        self.assertTrue(self.run_as_user(["sqlite3", "app.db", "select a from t"])["success"])
        for query in ("SELECT writefile('x', 'y')", "SELECT readfile('/etc/passwd')", "SELECT load_extension('x')", "SELECT edit('x', 'id')"):
            status, result = self.run_readonly(["sqlite3", "app.db", query])
            self.assertFalse(result["success"], query)
        for query in (".shell id", "DELETE FROM t", "ATTACH 'x' AS y", "SELECT 1; DELETE FROM t"):
            self.assertEqual(self.run_readonly(["sqlite3", "app.db", query])[0], 126, query)
        self.assertEqual(os.listdir(self.ws), ["app.db"])

    def test_sqlite_reads_a_database_in_wal_mode(self):
        db = sqlite3.connect(os.path.join(self.ws, "app.db"))
        db.execute("pragma journal_mode=wal")
        db.execute("create table t(a)")
        db.execute("insert into t values (7)")
        db.commit()
        self.assertIn("7", self.stdout(["sqlite3", "app.db", "SELECT a FROM t"]))
        db.close()

    def test_curl_gets_from_a_development_server_and_follows_nothing(self):
        seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                seen.append(self.path)
                self.send_response(302 if self.path == "/away" else 200)
                self.send_header("Location", "/hello")
                self.end_headers()
                self.wfile.write(b"hello")

            def log_message(self, *arguments):
                pass

        server = None
        for port in (8888, 9000, 8082, 8081, 5001, 4200):
            try:
                server = http.server.HTTPServer(("127.0.0.1", port), Handler)
                break
            except OSError:
                continue
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = "http://localhost:%d" % port
        self.write("ws/.curlrc", "url = %s/curlrc\n" % base)
        try:
            self.assertEqual(self.stdout(["curl", "-s", base + "/hello?x=1"]), "hello")
            self.assertEqual(self.stdout(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", base + "/hello"]), "200")
            self.assertEqual(self.stdout(["curl", "-sS", "-X", "GET", "-H", "Accept: text/plain", "--max-time", "5", base + "/away"]), "hello")
        finally:
            server.shutdown()
            server.server_close()
        self.assertEqual(seen, ["/hello?x=1", "/hello", "/away"])

    def test_npm_connects_to_the_registry_that_the_policy_names_and_to_no_other(self):
        hits = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                hits.append(self.server.server_port)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"answer")

            def log_message(self, *arguments):
                pass

        servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
        registry, other = (server.server_port for server in servers)
        for server in servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        # npm asks by node's http, which is asked here in its place: what the policies set for npm is set for node.
        asks = """const ask = (get, options) => new Promise((done) => {
          try { get(options, (r) => r.on('data', (d) => done('' + d))).on('error', (e) => done(e.message)); } catch (e) { done(e.message); } });
        const [http, https, net, tls] = ['http', 'https', 'net', 'tls'].map(require), [good, bad] = process.argv.slice(1);
        (async () => { for (const at of [[http.get, 'http://127.0.0.1:' + good], [http.get, 'http://127.0.0.1:' + bad], [http.get, 'http://localhost:' + good],
                                         [https.get, 'https://127.0.0.1:' + bad], [http.get, {socketPath: '/tmp/x'}],
                                         [http.get, {host: '127.0.0.1', port: bad, agent: new http.Agent({keepAlive: true})}],
                                         [(o) => net.connect(o), +bad], [(o) => tls.connect(o), {host: '127.0.0.1', port: bad}]])
          console.log(await ask(...at)); })();"""
        try:
            for shipped in ("readonly", "workspace"):
                with open(os.path.join(SOURCE, "policy", shipped, "commands", "npm.json")) as f:
                    npm = json.load(f)
                for name in ("view", "outdated", "search", "dist-tag"):
                    env = {**npm["env"], **npm["subcommands"][name]["env"]}
                    self.assertEqual(env["npm_config_registry"], "https://registry.npmjs.org/")
                    env = {**env, "npm_config_registry": "http://127.0.0.1:%d/" % registry, "CI": "1"}
                    policy = self.policy({"node": {"path": "/usr/bin/node", "syntax": "raw", "operands": [{"name": "a", "type": {"text": [0, 9999], "multiline": True}, "count": [0, 9]}],
                                                   "env": env, "limits": {"memory_mib": 0}, "sandbox": {"network": "host", "tmp": "private", "syscalls": "jit"}}})
                    status, result = self.run_json(policy, ["node", "-e", asks, str(registry), str(other)])
                    self.assertTrue(result["success"], result)
                    self.assertEqual(result["stdout"].splitlines(), ["answer"] + ["only the registry of the policy is asked"] * 7, (shipped, name))
        finally:
            for server in servers:
                server.shutdown()
                server.server_close()
        self.assertEqual(hits, [registry] * 8)

    def test_a_link_to_a_npmrc_changes_nothing_of_how_npm_asks(self):
        self.write("ws/settings", "strict-ssl=false\ncafile=%s/ca.pem\nca=x\ngit=/usr/bin/node\nregistry=http://127.0.0.1:9/\n" % self.ws)
        os.symlink("settings", os.path.join(self.ws, ".npmrc"))
        self.write("ws/package.json", "{}")
        told = {"strict-ssl": "true", "ca": "null", "cafile": "/nonexistent/ca.pem", "git": "/nonexistent/git", "registry": "https://registry.npmjs.org/"}
        for shipped in ("readonly", "workspace"):
            with open(os.path.join(SOURCE, "policy", shipped, "commands", "npm.json")) as f:
                npm = json.load(f)
            for name in ("view", "outdated", "search", "dist-tag"):
                env = {**npm["env"], **npm["subcommands"][name]["env"]}
                self.assertEqual({key: env["npm_config_" + key.replace("-", "_")] for key in told}, told, (shipped, name))
        if shutil.which("npm", path="/usr/local/bin:/usr/bin"):  # what npm makes of it
            env = {key: value for key, value in env.items() if isinstance(value, str)}
            out = subprocess.run(["npm", "config", "get", *told], cwd=self.ws, env=dict(env, PATH="/usr/local/bin:/usr/bin:/bin", HOME="/nonexistent"),
                                 stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
            self.assertEqual(dict(line.split("=", 1) for line in out.split()), told)

    def test_packages(self):
        self.assertIn("Status: install ok installed", self.stdout(["dpkg", "-s", "git"]))
        self.assertIn("/usr/bin/git", self.stdout(["dpkg", "-L", "git"]))
        self.assertIn("git", self.stdout(["dpkg-query", "-W", "git"]))
        self.assertIn("Installed:", self.stdout(["apt-cache", "policy", "git"]))
        self.assertIn("git", self.stdout(["apt", "list", "--installed"]))


if __name__ == "__main__":
    main()
