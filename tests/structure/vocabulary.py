"""Code that runs between clone and exec shares the supervisor's memory: raw system calls only, and nothing of libc that
allocates, locks, or touches errno."""

from common import directories, finish, output_of

ALLOWED = {
    "memcpy", "memset", "memmove", "strlen",  # what the compiler may make of plain code
}


def main():
    _, build = directories()
    objects = sorted((build / "CMakeFiles" / "safe_exec_child.dir").rglob("*.o"))
    names = {path.name for path in objects}
    if names != {"child.cpp.o", "child_root.cpp.o", "child_trace.cpp.o", "child_tree.cpp.o"}:
        raise SystemExit(f"{build}: the objects of the code after the fork are {sorted(names)}")
    defined, needed = set(), {}
    for path in objects:
        for line in output_of("nm", str(path)).splitlines():
            kind, symbol = line.split()[-2:]
            if kind == "U":
                needed[symbol] = path.name
            else:
                defined.add(symbol)
    ignored = {"_GLOBAL_OFFSET_TABLE_"}  # a linker symbol, not a call
    problems = [f"{name} needs {symbol}, which it may not call"
                for symbol, name in needed.items() if symbol not in ALLOWED | ignored | defined]
    finish(problems, len(needed))


main()
