"""Code that runs between clone and exec shares the supervisor's memory: raw system calls only, and nothing of libc that
allocates, locks, or touches errno."""

import pathlib
import sys

from common import directories, finish, output_of

ALLOWED = {
    "memcpy", "memset", "memmove", "strlen",  # what the compiler may make of plain code
}


def main():
    _, build = directories()
    objects = [pathlib.Path(sys.argv[3])] if len(sys.argv) == 4 else sorted(build.rglob("child.cpp.o"))
    if len(objects) != 1:
        raise SystemExit(f"{build}: {len(objects)} objects of child.cpp, expected one")
    symbols = [line.split()[-1] for line in output_of("nm", "-u", str(objects[0])).splitlines() if line.strip()]
    ignored = {"_GLOBAL_OFFSET_TABLE_"}  # a linker symbol, not a call
    problems = [f"child.cpp needs {symbol}, which it may not call"
                for symbol in symbols if symbol not in ALLOWED | ignored]
    finish(problems, len(symbols))


main()
