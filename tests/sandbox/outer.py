"""A host that refuses system calls: a seccomp filter around whatever is started, made with ctypes."""
import ctypes
import errno
import os
import platform
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
NEW_NAMESPACES = 0x7E020000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_SET_MDWE = 38, 22, 65
MACHINE = platform.machine()
NUMBERS = {
    "x86_64": {"clone": 56, "prctl": 157, "chroot": 161, "mount": 165, "umount2": 166, "unshare": 272, "setns": 308,
               "seccomp": 317, "execveat": 322, "signalfd4": 289, "ptrace": 101},
    "aarch64": {"clone": 220, "prctl": 167, "chroot": 51, "mount": 40, "umount2": 39, "unshare": 97, "setns": 268,
                "seccomp": 277, "execveat": 281, "signalfd4": 74, "ptrace": 117},
}[MACHINE]
NUMBERS.update({"pidfd_send_signal": 424, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
                "pidfd_open": 434, "clone3": 435, "close_range": 436, "openat2": 437, "mount_setattr": 442,
                "landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446})
# clone with CLONE_NEW* flags is its own name, and so is the option of prctl that sets no_new_privs.
BY_ARGUMENT = {"namespaces": ("clone", NEW_NAMESPACES, True), "no_new_privs": ("prctl", PR_SET_NO_NEW_PRIVS, False), "mdwe": ("prctl", PR_SET_MDWE, False)}

LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000


def program(refusals):
    """refusals: {name: errno}"""
    code = []
    for name, error in refusals.items():
        if name in BY_ARGUMENT:
            call, value, bits = BY_ARGUMENT[name]
            code += [(LOAD, 0, 0, 0), (EQUAL, 0, 3, NUMBERS[call]), (LOAD, 0, 0, 16), (ANY_BIT if bits else EQUAL, 0, 1, value)]
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
