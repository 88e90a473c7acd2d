"""Asks `codex execpolicy check` what the ledger of known bypasses asks policy/readonly, and prints both answers.

    npm install --prefix DIR @openai/codex
    python3 tests/bench/codex_rules.py BUILD_DIR DIR/node_modules/.bin/codex [--rules | --all]

The rules are made from policy/readonly and are as generous as a list of prefixes can be made from it: a refused command is
"forbidden"; a command that only tells its version is allowed with that option; one with subcommands is allowed with each of
them; every other is allowed by its name, and by its paths. Wrappers (env, timeout) have no rule: a prefix would allow all.
--rules prints them, --all prints every line and not only those that differ.

The comparison knows its limits: prefix rules claim to decide which commands start without a question, not what their
options do; what becomes of a line without a rule is decided elsewhere; and codex confines what it starts by a sandbox of
its own that these rules are no part of. Requests with an environment or a working directory are left out, because `check`
takes neither.
"""
import collections
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
READONLY = SOURCE / "policy/readonly"


def entries():
    return {path.stem: json.loads(path.read_text()) for path in sorted((READONLY / "commands").glob("*.json"))}


def names_of(table):
    for name, member in table.items():
        yield from [name, *member.get("aliases", [])]


def pattern_of(name, entry):
    options = entry.get("options", {})
    required = {n: o for n, o in options.items() if o.get("required")}
    if entry.get("subcommands") and entry.get("subcommand") != "optional":
        allowed = {n: s for n, s in entry["subcommands"].items() if s.get("decision") != "deny"}
        return [name, list(names_of(allowed | {n: o for n, o in options.items() if o.get("terminal")}))]
    if len(required) == 1:
        return [name, list(names_of(required))]
    questions = [slot for slot in entry.get("operands", []) if isinstance(slot, dict) and slot["name"] == "question"]
    return [name, questions[0]["type"]["enum"]] if questions else [name]  # one that only tells its version


def rules():
    lines = []
    for name, entry in entries().items():
        paths = entry["path"] if isinstance(entry["path"], list) else [entry["path"]]
        if '"language": "command"' in json.dumps(entry.get("operands", [])):
            continue
        if entry.get("decision") == "deny":
            lines.append("prefix_rule(pattern=%s, decision=\"forbidden\")" % json.dumps([name]))
        else:
            lines.append("prefix_rule(pattern=%s, decision=\"allow\")" % json.dumps(pattern_of(name, entry)))
        paths = [path for path in paths if os.path.basename(path) == name]  # it takes no others
        if paths:
            lines.append("host_executable(name=%s, paths=%s)" % (json.dumps(name), json.dumps(paths)))
    return "\n".join(lines) + "\n"


def ask_codex(codex, rules_file, argv):
    done = subprocess.run([codex, "execpolicy", "check", "--resolve-host-executables", "--rules", rules_file, "--", *argv],
                          capture_output=True, text=True, cwd=os.path.dirname(rules_file))
    if done.returncode != 0:
        sys.exit("codex: exit %d for %r\n%s" % (done.returncode, argv, done.stderr))
    return json.loads(done.stdout).get("decision", "no rule")


def ask_safe_exec(binary, tests):
    """What policy/readonly answers; its examples are decided too, and ignored."""
    with tempfile.TemporaryDirectory() as workspace:
        file = os.path.join(workspace, "all.policy.json")
        with open(file, "w", encoding="utf-8") as f:
            json.dump({"schema": "safe-exec/policy-tests/v1", "fixture": ["alias -> .env"], "tests": tests}, f)
        done = subprocess.run([binary, "policy", "test", "--output", "json", READONLY, file],
                              capture_output=True, text=True, cwd=workspace)
    if not done.stdout:
        sys.exit(done.stderr)
    return {test["name"]: test["found"] for test in json.loads(done.stdout)["tests"]}


def lines():
    """The ledger's argv, and for each allowed command the first line that its entry gives as an example."""
    ledger = json.loads((SOURCE / "tests/attacks/readonly.policy.json").read_text())["tests"]
    for test in ledger:
        if "env" not in test and "cwd" not in test:
            yield "ledger", test["name"].partition(".")[2], test["argv"]
    for name, entry in entries().items():
        for argv in entry.get("examples", {}).get("allow", [])[:1]:
            yield "examples", "example." + name, argv


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    binary, codex, more = os.path.join(os.path.abspath(sys.argv[1]), "safe-exec"), os.path.abspath(sys.argv[2]), sys.argv[3:]
    if "--rules" in more:
        print(rules(), end="")
        return
    asked = list(lines())
    ours = ask_safe_exec(binary, [{"name": name, "argv": argv, "expect": "allow"} for _, name, argv in asked])
    with tempfile.TemporaryDirectory() as directory, concurrent.futures.ThreadPoolExecutor(2) as pool:
        file = os.path.join(directory, "readonly.rules")
        with open(file, "w", encoding="utf-8") as f:
            f.write(rules())
        theirs = list(pool.map(lambda line: ask_codex(codex, file, line[2]), asked))
    counts = collections.Counter()
    for (kind, name, argv), codex_says in zip(asked, theirs):
        ours_says = "allow" if ours[name] == "allow" else "deny"
        counts[kind, "safe-exec", ours_says] += 1
        counts[kind, "codex", codex_says] += 1
        if "--all" in more or (ours_says == "allow") != (codex_says == "allow"):
            print("%-10s safe-exec: %-22s codex: %-10s %s" % (name, ours[name], codex_says, json.dumps(argv)[:120]))
    print(subprocess.run([binary, "--version"], capture_output=True, text=True).stdout.strip(), "|",
          subprocess.run([codex, "--version"], capture_output=True, text=True).stdout.strip())
    for key, count in sorted(counts.items()):
        print("%-9s %-10s %-10s %d" % (*key, count))


if __name__ == "__main__":
    main()
