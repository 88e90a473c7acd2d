"""Fails when a row of the ledger of known bypasses has lost its test, when two rows or cases have one id, or when a case
belongs to no row. A test is a case of cases.json, a doctest case below tests/, or a test method below tests/sandbox."""
import json
import os
import re
import sys

KEYS = {"id", "source", "argv", "attempt", "blocked_by", "test"}


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


def problems(rows, cases, tests):
    for kind, ids in (("row", [r.get("id") for r in rows]), ("case", [c["id"] for c in cases])):
        for name in repeated(ids):
            yield "two %ss are called %s" % (kind, name)
    ids = {c["id"] for c in cases}
    for row in rows:
        yield from check_row(row, ids | tests)
    used = {test for row in rows for test in row.get("test", [])}
    for name in sorted(ids - used):
        yield "case %s belongs to no row" % name


def main():
    source = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    tests = os.path.join(source, "tests")
    attacks = os.path.join(tests, "attacks")
    rows, cases = read(os.path.join(attacks, "ledger.json"))["rows"], read(os.path.join(attacks, "cases.json"))["cases"]
    known = names_in(tests, "_test.cpp", r'TEST_CASE\(\s*"((?:[^"\\]|\\.)*)"')
    known |= names_in(os.path.join(tests, "sandbox"), "_test.py", r"def (test_\w+)\(self")
    found = list(problems(rows, cases, known))
    for problem in found:
        print(problem)
    if not rows or not cases or found:
        sys.exit("the ledger of attacks does not hold (%d problems)" % len(found))
    print("%d rows, %d cases" % (len(rows), len(cases)))


if __name__ == "__main__":
    main()
