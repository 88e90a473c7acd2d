"""Fails when a row of the ledger of known bypasses has lost its test, when two rows or cases have one id, or when a case
belongs to no row. A test is a case of cases.json, a test of NAME.policy.json beside it, a doctest case below tests/, or a
test method below tests/sandbox.

NAME.policy.json asks the shipped policy/NAME, and must hold. Every P row is asked of a shipped policy; one that a shipped
policy answers with "allow" alone (words that no shell reads, a repository that means harm, code that runs by intent)
names a test of another kind too."""
import json
import os
import re
import subprocess
import sys
import tempfile

KEYS = {"id", "source", "argv", "attempt", "blocked_by", "test"}
POLICIES = ("readonly", "workspace", "livos")
ARGUMENT_ROWS = 92


def read(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def names_in(folder, suffix, pattern):
    found = set()
    for directory, _, files in os.walk(folder):
        for name in files:
            if name.endswith(suffix):
                with open(os.path.join(directory, name), encoding="utf-8") as f:
                    found.update(re.findall(pattern, f.read()))
    return found


def repeated(ids):
    seen = set()
    return [i for i in ids if i in seen or seen.add(i)]


def check_row(row, known):
    name = row.get("id", "?")
    if set(row) - KEYS or not all(row.get(key) for key in ("id", "source", "blocked_by", "test")):
        yield "%s: its keys are not id, source, argv or attempt, blocked_by, test" % name
        return
    if ("argv" in row) == ("attempt" in row):
        yield "%s: it needs one of argv and attempt" % name
    if not re.fullmatch("[PS][0-9]+", name):
        yield "%s: an id is P or S and a number" % name
    for test in row["test"]:
        if test not in known:
            yield "%s: there is no test %r" % (name, test)


def check_shipped(row, shipped):
    asked = [test for test in row["test"] if test in shipped]
    if row["id"].startswith("P") and not asked:
        yield "%s: no shipped policy is asked" % row["id"]
    for test in asked:
        if test.split(".")[1] != row["id"]:
            yield "%s: %s is of another row" % (row["id"], test)
    if asked and all(shipped[test]["expect"] == "allow" for test in asked):
        if not any(test.startswith("test_") or ": " in test for test in row["test"]):
            yield "%s: the shipped policies allow all of it, and no other test says what holds" % row["id"]


def problems(rows, cases, shipped, tests):
    cases = cases + [{"id": test["name"]} for test in shipped]
    for kind, ids in (("row", [r.get("id") for r in rows]), ("case", [c["id"] for c in cases])):
        for name in repeated(ids):
            yield "two %ss are called %s" % (kind, name)
    ids = {c["id"] for c in cases}
    for row in rows:
        yield from check_row(row, ids | tests)
        yield from check_shipped(row, {test["name"]: test for test in shipped})
    for number in range(1, ARGUMENT_ROWS + 1):
        if "P%d" % number not in [row.get("id") for row in rows]:
            yield "there is no row P%d" % number
    used = {test for row in rows for test in row.get("test", [])}
    for name in sorted(ids - used):
        yield "case %s belongs to no row" % name


def decide(source, build, name):
    """The tests of NAME.policy.json decided by policy/NAME; from a directory that does not hold the policy."""
    with tempfile.TemporaryDirectory() as workspace:
        done = subprocess.run([os.path.join(build, "safe-exec"), "policy", "test", os.path.join(source, "policy", name),
                               os.path.join(source, "tests/attacks", name + ".policy.json")],
                              cwd=workspace, capture_output=True, text=True)
    return "" if done.returncode == 0 else "policy/%s: exit %d\n%s%s" % (name, done.returncode, done.stdout, done.stderr)


def main():
    source, build = (os.path.abspath(path) for path in sys.argv[1:3])
    tests = os.path.join(source, "tests")
    attacks = os.path.join(tests, "attacks")
    rows, cases = read(os.path.join(attacks, "ledger.json"))["rows"], read(os.path.join(attacks, "cases.json"))["cases"]
    known = names_in(tests, "_test.cpp", r'TEST_CASE\(\s*"((?:[^"\\]|\\.)*)"')
    known |= names_in(os.path.join(tests, "sandbox"), "_test.py", r"def (test_\w+)\(self")
    shipped = [test for name in POLICIES for test in read(os.path.join(attacks, name + ".policy.json"))["tests"]]
    found = list(problems(rows, cases, shipped, known))
    found += filter(None, (decide(source, build, name) for name in POLICIES))
    for problem in found:
        print(problem)
    if not rows or not cases or found:
        sys.exit("the ledger of attacks does not hold (%d problems)" % len(found))
    print("%d rows, %d cases, %d tests of shipped policies" % (len(rows), len(cases), len(shipped)))


if __name__ == "__main__":
    main()
