"""The release binary: static-pie, RELRO, bound at start, no executable stack, nothing both writable and executable."""

import re

from common import directories, finish, output_of


def main():
    _, build = directories()
    binary = str(build / "safe-exec")
    header = output_of("readelf", "-W", "-h", binary)
    segments = output_of("readelf", "-W", "-l", binary)
    dynamic = output_of("readelf", "-W", "-d", binary)
    rows = re.findall(r"^\s+([A-Z_]+)\s+0x\S+ 0x\S+ 0x\S+ 0x\S+ 0x\S+ ([RWE ]{3}) ", segments, re.M)
    kinds = {kind for kind, _ in rows}
    tags = re.findall(r"\((\w+)\)\s*(.*)", dynamic)
    flags = " ".join(value for tag, value in tags if tag in ("FLAGS", "FLAGS_1"))

    expected = [
        (re.search(r"Type:\s+DYN", header), "not position independent (ET_DYN)"),
        ("LOAD" in kinds, "no LOAD segment was read"),
        ("GNU_RELRO" in kinds, "no GNU_RELRO"),
        ("GNU_STACK" in kinds, "no GNU_STACK header, so the stack is executable"),
        ("INTERP" not in kinds, "has an interpreter: not static"),
        ("BIND_NOW" in flags and re.search(r"\bNOW\b", flags), "not bound at start (BIND_NOW, FLAGS_1 NOW)"),
        (re.search(r"\bPIE\b", flags), "FLAGS_1 lacks PIE"),
    ]
    problems = [message for holds, message in expected if not holds]
    problems += [f"segment {kind} is executable" for kind, mode in rows if kind == "GNU_STACK" and "E" in mode]
    problems += [f"segment {kind} is writable and executable" for kind, mode in rows if "W" in mode and "E" in mode]
    problems += [f"dynamic tag {tag} {value}" for tag, value in tags
                 if tag in ("TEXTREL", "RPATH", "RUNPATH", "NEEDED") or "TEXTREL" in value]
    finish(problems, len(rows))


main()
