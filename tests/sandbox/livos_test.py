"""The LivOS policy on real programs, real logs and the attacks that motivated it. Its roots are moved below a temporary
directory, which is the only change made to it."""
import os
import shutil

from harness import SOURCE, SandboxTest, main


class LivOS(SandboxTest):
    def setUp(self):
        super().setUp()
        self.livos = os.path.join(self.dir, "opt/livos")
        self.logs = os.path.join(self.livos, "logs")
        os.makedirs(self.logs)
        self.policy_dir = os.path.join(self.dir, "policy")
        shutil.copytree(os.path.join(SOURCE, "policy/livos"), self.policy_dir)
        for folder, _, files in os.walk(self.policy_dir):
            os.chmod(folder, 0o755)
            for name in files:
                path = os.path.join(folder, name)
                with open(path) as f:
                    text = f.read()
                with open(path, "w") as f:
                    f.write(text.replace("/opt/livos", self.livos))
                os.chmod(path, 0o644)
        self.write("opt/livos/logs/app.log", "".join("line %d\n" % i for i in range(1, 501)))
        self.write("opt/livos/config.json", "{}")
        self.write("opt/livos-evil/x", "no\n")
        self.write("secret.log", "no\n")
        os.symlink("../../../secret.log", os.path.join(self.logs, "out.log"))
        os.symlink("/etc/passwd", os.path.join(self.logs, "abs.log"))

    def decide(self, *argv):
        status, result = self.run_json(self.policy_dir, list(argv))
        return status, result

    def test_listing(self):
        status, result = self.decide("ls", "-la", self.logs)
        self.assertEqual((status, result["outcome"]["type"]), (0, "exited"), result)
        self.assertIn("app.log", result["stdout"])
        for argv in (["ls", "-lahrtRS", self.livos], ["ls", "-l", "-t", self.logs, self.livos]):
            self.assertEqual(self.decide(*argv)[0], 0, argv)

    def test_reading_logs(self):
        app = os.path.join(self.logs, "app.log")
        status, result = self.decide("tail", "-n", "100", app)
        self.assertEqual((status, result["stdout"].count("\n"), result["stdout"].endswith("line 500\n")), (0, 100, True), result)
        for argv in (["tail", "-n100", app], ["cat", app], ["tail", app]):
            self.assertEqual(self.decide(*argv)[0], 0, argv)

    def test_what_motivated_it_is_denied(self):
        app = os.path.join(self.logs, "app.log")
        attacks = [["rm", "-rf", "/"], ["rm", "-r", "/"], ["find", "/", "-delete"], ["curl", "http://x"], ["wget", "http://x"],
                   ["python", "-c", "1"], ["python3", "-c", "1"], ["bash", "-i"], ["sh", "-c", "id"], ["ls", "$(id)"], ["ls", "`id`"],
                   ["ls", ";", "id"], ["ls", self.logs + "\nid"], ["cat", self.livos + "/../../etc/passwd"], ["cat", self.livos + "-evil/x"],
                   ["ls", self.livos + "-evil"], ["/tmp/ls", self.logs], ["cat", os.path.join(self.logs, "out.log")],
                   ["cat", os.path.join(self.logs, "abs.log")], ["cat", self.livos + "/config.json"], ["cat", "/etc/shadow"],
                   ["tail", "-f", app], ["tail", "-F", app], ["tail", "--follow", app], ["tail", "-fn1", app], ["tail", "--foll", app],
                   ["ls", "/etc"], ["ls", "/root"], ["ls", "/proc"], ["ls", "--hyperlink", self.logs],
                   ["docker", "exec", "web", "sh"], ["docker", "run", "x"], ["docker", "rm", "x"], ["docker", "rmi", "x"],
                   ["docker", "ps", "--privileged"], ["docker", "logs", "-v", "/:/h"], ["docker", "logs", "a/b"], ["docker", "--config", "x", "ps"],
                   ["pm2", "delete", "all"], ["pm2", "kill"], ["pm2", "flush"], ["pm2", "update"],
                   ["systemctl", "stop", "ssh"], ["systemctl", "start", "x"], ["systemctl", "restart", "x"], ["systemctl", "enable", "x"],
                   ["systemctl", "disable", "x"], ["systemctl", "daemon-reload"], ["systemctl", "-H", "root@x", "status"]]
        for argv in attacks:
            status, result = self.decide(*argv)
            self.assertEqual((status, result["outcome"]["type"]), (126, "denied"), (argv, result))

    def test_refusals_carry_the_reason(self):
        for argv in (["docker", "exec", "web", "sh"], ["docker", "run", "x"], ["docker", "ps", "--privileged"], ["pm2", "kill"],
                     ["systemctl", "restart", "x"]):
            self.assertTrue(self.decide(*argv)[1]["denied"]["reason"], argv)

    def test_limits_are_the_policys(self):
        self.write("opt/livos/logs/big.log", ("x" * 79 + "\n") * 2000)
        _, result = self.decide("cat", os.path.join(self.logs, "big.log"))
        info = result["stdout_info"]
        self.assertEqual((info["bytes"], info["returned"]), (160000, 50000))


if __name__ == "__main__":
    main()
