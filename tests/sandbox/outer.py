"""A host that refuses system calls: a seccomp filter around whatever is started, made with ctypes."""
import ctypes
import errno
import fcntl
import os
import platform
import re
import select
import socket
import struct
import sys
import threading

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 38, 22
HEADER = {"x86_64": "x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "asm-generic/unistd.h"}[platform.machine()]
with open("/usr/include/" + HEADER) as header:
    NUMBERS = {name: int(number) for name, number in re.findall(r"^#define __NR3?2?6?4?_?(\w+)\s+(\d+)$", header.read(), re.M)}
# Calls that are refused with one value of an argument only: call, argument, value, whether any bit of it is enough.
BY_ARGUMENT = {"namespaces": ("clone", 0, 0x7E020000, True), "pidfd of clone": ("clone", 0, 0x1000, True),
               "network of unshare": ("unshare", 0, 0x40000000, True), "network of clone": ("clone", 0, 0x40000000, True), "raise a device": ("ioctl", 1, 0x8914, False),
               "death signal": ("prctl", 0, 1, False), "dumpable": ("prctl", 0, 4, False), "bounding set": ("prctl", 0, 24, False),
               "securebits": ("prctl", 0, 28, False), "subreaper": ("prctl", 0, 36, False), "no_new_privs": ("prctl", 0, 38, False),
               "get no_new_privs": ("prctl", 0, 39, False), "mdwe": ("prctl", 0, 65, False), "ambient set": ("prctl", 0, 47, False),
               "set close-on-exec": ("fcntl", 1, 2, False), "set status flags": ("fcntl", 1, 4, False),
               "duplicate": ("fcntl", 1, 1030, False), "enlarge a pipe": ("fcntl", 1, 1031, False),
               "errata": ("landlock_create_ruleset", 2, 2, False), "wait of the reaper": ("ppoll", 1, 3, False),
               "read of a block": ("read", 2, 65536, False)}

LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000


def program(refusals):
    """refusals: {name, or what BY_ARGUMENT holds for one: errno}"""
    code = []
    for name, error in refusals.items():
        if name in BY_ARGUMENT or isinstance(name, tuple):
            call, argument, value, bits = BY_ARGUMENT.get(name, name)
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


class Asked:
    """A host that asks decide(name, pid, arguments), in a thread of this process, for the errno of each of the named calls; 0: it is
    made. Used as a context, with enter() in the process that is to live there (seccomp_unotify(2))."""
    ASK, NEW_LISTENER, RECEIVE, ANSWER, CONTINUE = 0x7FC00000, 8, 0xC0502100, 0xC0182101, 1

    def __init__(self, names, decide):
        self.names = {NUMBERS[name]: name for name in names}
        self.decide = decide
        self.here, self.there = socket.socketpair()
        self.thread = threading.Thread(target=self.answer, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.there.close()
        self.thread.join(60)
        self.here.close()

    def enter(self):
        code = [(LOAD, 0, 0, 0)]
        for number in self.names:
            code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, self.ASK)]
        code.append((RETURN, 0, 0, ALLOW))
        buffer = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
        fprog = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(buffer))
        if os.geteuid() != 0 and LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "no_new_privs")
        listener = LIBC.syscall(NUMBERS["seccomp"], 1, self.NEW_LISTENER, fprog)
        if listener < 0:
            raise OSError(ctypes.get_errno(), "seccomp")
        socket.send_fds(self.there, [b"x"], [listener])
        os.close(listener)

    def answer(self):
        _, listeners, _, _ = socket.recv_fds(self.here, 1, 1)
        while listeners:
            try:
                asked = bytearray(80)
                fcntl.ioctl(listeners[0], self.RECEIVE, asked)
                number, pid, _, call, _, _, *arguments = struct.unpack("QIIiIQ6Q", asked)
                error = self.decide(self.names[call], pid, arguments)
                fcntl.ioctl(listeners[0], self.ANSWER, bytearray(struct.pack("QqiI", number, 0, -error, 0 if error else self.CONTINUE)))
            except OSError:  # ENOENT: who asked was killed, or nobody is left who could ask
                waiting = select.poll()
                waiting.register(listeners[0], select.POLLIN)
                if any(events & select.POLLHUP for _, events in waiting.poll()):
                    os.close(listeners.pop())


NO_NAMESPACES = {"namespaces": errno.EPERM, "unshare": errno.EPERM, "clone3": errno.ENOSYS}

# What Docker's default profile (moby's profiles/seccomp/default.json) refuses to a container without added capabilities.
DOCKER = dict.fromkeys(
    "acct add_key bpf clock_adjtime clock_settime create_module delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick "
    "get_mempolicy init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl "
    "lookup_dcookie mbind migrate_pages mount mount_setattr move_mount move_pages name_to_handle_at namespaces nfsservctl open_by_handle_at open_tree "
    "perf_event_open pivot_root quotactl reboot request_key set_mempolicy setns settimeofday swapon swapoff sysfs syslog umount2 "
    "unshare uselib userfaultfd ustat vhangup".split(), errno.EPERM)
DOCKER["clone3"] = errno.ENOSYS
# Ubuntu 24.04 gives a new user namespace no capabilities: what needs one fails (the maps are refused by a tracer).
UBUNTU = dict.fromkeys("mount umount2 pivot_root chroot move_mount open_tree fsopen fsmount mount_setattr sethostname setns".split(), errno.EPERM)


def enter_landlock(times):
    """A domain that refuses nothing that anybody does here: to make block devices."""
    if os.geteuid() != 0 and LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    for _ in range(times):
        attribute = ctypes.c_uint64(1 << 11)
        fd = LIBC.syscall(NUMBERS["landlock_create_ruleset"], ctypes.byref(attribute), 8, 0)
        if fd < 0 or LIBC.syscall(NUMBERS["landlock_restrict_self"], fd, 0) != 0:
            raise OSError(ctypes.get_errno(), "landlock")
        os.close(fd)


HOSTS = {"docker": lambda: refuse(DOCKER), "ubuntu": lambda: refuse(UBUNTU), "landlock": lambda: enter_landlock(1),
         "landlock-16": lambda: enter_landlock(16), "no-landlock": lambda: refuse({"landlock_create_ruleset": errno.ENOSYS}),
         "nothing": lambda: refuse({"landlock_create_ruleset": errno.EOPNOTSUPP, "namespaces": errno.EPERM, "mount": errno.EPERM})}

if __name__ == "__main__":  # outer.py HOST COMMAND...: run the command on such a host
    HOSTS[sys.argv[1]]()
    os.execvp(sys.argv[2], sys.argv[2:])
