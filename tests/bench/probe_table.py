#!/usr/bin/python3
"""How many of the probe's attempts stay open: safe-exec, bubblewrap with every namespace, and nothing but namespaces that
are thrown away.

usage: probe_table.py [BUILD]     (default: build; needs bwrap)
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "sandbox"))
import world  # noqa: E402

OTHER = 12345


def become_ordinary():
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(OTHER, OTHER, OTHER)
        os.setresuid(OTHER, OTHER, OTHER)


def run(probe, start, ordinary=True):
    made = world.World(probe, OTHER if ordinary and os.geteuid() == 0 else None)
    try:
        return start(made, become_ordinary if ordinary else None)
    finally:
        made.close()


def main():
    build = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "..", "build"))
    probe = os.path.join(build, "tests", "probe")

    def safe_exec(made, before):
        attempts, result = world.in_safe_exec(os.path.join(build, "safe-exec"), made, before)
        return attempts or sys.exit(str(result["error"]))

    columns = {"safe-exec": run(probe, safe_exec), "bubblewrap": run(probe, world.in_bubblewrap),
               "no sandbox": run(probe, world.in_throw_away_namespaces)}
    if os.geteuid() == 0:
        columns["safe-exec, root"] = run(probe, safe_exec, ordinary=False)
    print("  ".join(columns))
    for name in columns["safe-exec"]:
        row = [attempts[name] for attempts in columns.values()]
        if any(is_open for is_open, _ in row):
            print("  ".join(("open" if is_open else detail).ljust(len(column)) for column, (is_open, detail) in zip(columns, row)) + "  " + name)
    print("  ".join(str(sum(is_open for is_open, _ in attempts.values())).ljust(len(column)) for column, attempts in columns.items())
          + "  open of %d" % len(columns["safe-exec"]))


main()
