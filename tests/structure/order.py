"""tools/order.ld names code that is there: most of it, or the code of a start is not side by side any more."""

import re

from common import directories, finish

LEAST = 0.75  # a change renames some, and another compiler has other names for parts of functions


def main():
    source, build = directories()
    wanted = re.findall(r"^    (\*\S*\(\S+\))$", (source / "tools/order.ld").read_text(), re.M)
    placed = (build / "safe-exec.map").read_text().split("\n.text.start ", 1)[1].split("\n.text ", 1)[0]
    placed = re.sub(r"^ \*fill\*.*\n", "", placed, flags=re.M)
    found = len(re.findall(r"^ \*\S*\(\S+\)\n \.text", placed, re.M))  # what is not there is followed by the next
    problems = []
    if found < LEAST * len(wanted):
        problems.append(f"of {len(wanted)} pieces {found} are there: run tools/order.py again")
    finish(problems, len(wanted))


main()
