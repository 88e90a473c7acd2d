"""Nothing in the tree names the machine it was written on, and nothing is left half done."""

import re

from common import directories, finish

# Written in pieces, so that this file does not find itself. The registry that npm itself asks by default is no machine of ours.
MACHINE = re.compile("/wo" r"rk/|/tmp/(?:bash_" r"jobs|claude)|\b(?:artifactory|nexus|registry(?!\.npmjs\.org/)|mirror|proxy)\.[a-z0-9-]+\.")
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")
NO_LEFTOVERS = ("src", "tests", "policy")
LEFT_OUT = re.compile(r"^(?:\.git|build[^/]*)(?:/|$)|/__pycache__/")


def main():
    source, _ = directories()
    problems, checked = [], 0
    for path in sorted(source.rglob("*")):
        name = str(path.relative_to(source))
        if LEFT_OUT.search(name) or path.is_symlink() or not path.is_file():
            continue
        checked += 1
        text = path.read_bytes().decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE.search(line):
                problems.append(f"{name}:{number}: names a machine: {line.strip()[:100]}")
            # In JSON, which has no comments of ours, it is what an example looks for.
            if name.split("/")[0] in NO_LEFTOVERS and path.suffix != ".json" and UNFINISHED.search(line):
                problems.append(f"{name}:{number}: unfinished: {line.strip()[:100]}")
    finish(problems, checked)


main()
