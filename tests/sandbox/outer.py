"""A host that refuses system calls: a seccomp filter around whatever is started, made with ctypes."""
import ctypes
import errno
import os
import platform
import re
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 38, 22
HEADER = {"x86_64": "x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "asm-generic/unistd.h"}[platform.machine()]
with open("/usr/include/" + HEADER) as header:
    NUMBERS = {name: int(number) for name, number in re.findall(r"^#define __NR3?2?6?4?_?(\w+)\s+(\d+)$", header.read(), re.M)}
# Calls that are refused with one value of an argument only: call, argument, value, whether any bit of it is enough.
BY_ARGUMENT = {"namespaces": ("clone", 0, 0x7E020000, True), "pidfd of clone": ("clone", 0, 0x1000, True),
               "death signal": ("prctl", 0, 1, False), "dumpable": ("prctl", 0, 4, False), "bounding set": ("prctl", 0, 24, False),
               "securebits": ("prctl", 0, 28, False), "subreaper": ("prctl", 0, 36, False), "no_new_privs": ("prctl", 0, 38, False),
               "get no_new_privs": ("prctl", 0, 39, False), "ambient set": ("prctl", 0, 47, False),
               "set close-on-exec": ("fcntl", 1, 2, False), "set status flags": ("fcntl", 1, 4, False),
               "duplicate": ("fcntl", 1, 1030, False), "enlarge a pipe": ("fcntl", 1, 1031, False)}

LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000


def program(refusals):
    """refusals: {name: errno}"""
    code = []
    for name, error in refusals.items():
        if name in BY_ARGUMENT:
            call, argument, value, bits = BY_ARGUMENT[name]
            code += [(LOAD, 0, 0, 0), (EQUAL, 0, 3, NUMBERS[call]), (LOAD, 0, 0, 16 + 8 * argument),
                     (ANY_BIT if bits else EQUAL, 0, 1, value)]
        else:
            code += [(LOAD, 0, 0, 0), (EQUAL, 0, 1, NUMBERS[name])]
        code.append((RETURN, 0, 0, REFUSE | error))
    code.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("HBBI", *one) for one in code), len(code)


def refuse(refusals):
    """Installs the filter in this process. An ordinary user needs no_new_privs for it, which is left unset for root."""
    code, count = program(refusals)
    buffer = ctypes.create_string_buffer(code)
    fprog = struct.pack("HxxxxxxQ", count, ctypes.addressof(buffer))
    if os.geteuid() != 0 and LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if LIBC.prctl(PR_SET_SECCOMP, 2, fprog, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


NO_NAMESPACES = {"namespaces": errno.EPERM, "unshare": errno.EPERM, "clone3": errno.ENOSYS}
