#!/usr/bin/env python3
"""Writes tools/order.ld: which code a start runs, in the order in which it first does, so that the linker puts it side by side.
Steps through some starts of BUILD/safe-exec with ptrace(2), some minutes in all, and looks up in the linker's map what that was.
Usage: order.py [BUILD]. Needs x86-64 and a release build; to be run again when a start has come to do something else."""
import bisect
import ctypes
import os
import re
import sys

TRACEME, PEEKUSER, SINGLESTEP, DETACH, SETOPTIONS = 0, 3, 9, 17, 0x4200
FORK, VFORK, CLONE, EXEC, EXITKILL = 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 20
EVENT_EXEC, TRAP, STOP, WALL = 4, 5, 19, 0x40000000
RIP = 16 * 8  # struct user_regs_struct
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STARTS = (["--policy", "tests/bench/true.json", "--", "/bin/true"],
          ["--policy", "policy/readonly", "--", "ls", "-la", "src"],
          ["--policy", "policy/readonly", "--", "head", "-n2", "README.md"])
LAZY = """  /* nettle asks the processor what it is when it is first used; as a constructor it would at each start, 20 us in a virtual machine. */
  /DISCARD/ : { *libnettle.a:fat-x86_64.o(.init_array) }
"""
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def touched(program, args):
    """Offsets of the instructions of the program that one start runs until it executes something else, each once."""
    pid = os.fork()
    if pid == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        libc.ptrace(TRACEME, 0, None, None)
        os.execv(program, [program, "run"] + args)
    os.waitpid(pid, 0)
    with open("/proc/%d/maps" % pid) as maps:
        base = min(int(line.split("-")[0], 16) for line in maps if line.rstrip().endswith(program))
    libc.ptrace(SETOPTIONS, pid, None, FORK | VFORK | CLONE | EXEC | EXITKILL)
    libc.ptrace(SINGLESTEP, pid, None, None)
    seen = {}
    while True:
        try:
            stopped, status = os.waitpid(-1, WALL)
        except ChildProcessError:
            return list(seen)
        if not os.WIFSTOPPED(status):
            continue
        if status >> 16 == EVENT_EXEC:
            libc.ptrace(DETACH, stopped, None, None)
            continue
        seen.setdefault(libc.ptrace(PEEKUSER, stopped, RIP, None) - base)
        signal = os.WSTOPSIG(status)
        libc.ptrace(SINGLESTEP, stopped, None, 0 if signal in (TRAP, STOP) else signal)


def sections(path):
    """(address, size, name, file) of each section of code in the linker's map."""
    with open(path) as f:
        text = f.read().split("Linker script and memory map", 1)[1]
    found = re.findall(r"^ (\.text\S*)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S.*)$", text, re.M)  # a long name has a line of its own
    return sorted((int(at, 16), int(size, 16), name, where) for name, at, size, where in found if int(at, 16) and int(size, 16))


def pattern(name, where):
    """How a linker script names it: a function of ours by the function, since the file says nothing more."""
    if name != ".text":
        return "*(%s)" % name
    member = re.search(r"([^/()]+)\(([^)]+)\)$", where)
    return "*%s:%s(.text)" % member.groups() if member else "*%s(.text)" % os.path.basename(where)


def main():
    build = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build"))
    known = sections(os.path.join(build, "safe-exec.map"))
    starts = [section[0] for section in known]
    os.chdir(ROOT)
    order = {}
    for args in STARTS:
        for offset in touched(os.path.join(build, "safe-exec"), args):
            at, size, name, where = known[bisect.bisect(starts, offset) - 1]
            if at <= offset < at + size:
                order.setdefault(pattern(name, where))
    with open(os.path.join(ROOT, "tools/order.ld"), "w") as out:
        out.write("/* Written by tools/order.py: the code of a start. What is not there is passed over. */\nSECTIONS\n{\n" + LAZY +
                  "  .text.start :\n  {\n")
        out.writelines("    %s\n" % one for one in order)
        out.write("  }\n}\nINSERT BEFORE .text;\n")


main()
