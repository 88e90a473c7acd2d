"""Boots Debian with systemd and lets safe-exec run in units with and without a delegated cgroup: whether it makes one, whether it
stays away from what is systemd's, what is left. Usage: units.py BUILD WORK DEBIAN, where WORK/root/boot holds the kernel."""
import glob
import json
import os
import shutil
import subprocess
import sys

from cgroups import COUNTED

HERE = os.path.dirname(os.path.abspath(__file__))
POLICY = {"version": 1, "name": "units", "commands": {"sh": {
    "path": "/bin/sh", "trust": "root", "timeout_ms": 60000, "limits": {"memory_mib": 64, "processes": 20}, "end_of_options": False,
    "options": {"-c": {"value": {"text": [0, 400]}, "dash_value": True, "spelling": "separate"}},
    "sandbox": {"proc": "own", "exec": ["/usr/bin/cat", "/usr/bin/sleep"], "layers": {"limits": "require"}}}}}
USED, WITHOUT, REFUSED = "a cgroup", "none", "refused"
# Before Linux 6.14 root's processes are bound by nothing else, so it is refused there without one; an ordinary user's are.
CASES = {
    "system_service": ("system service yes subgroup once", USED),
    "system_scope": ("system scope yes subgroup once", USED),
    "system_service_itself": ("system service yes own once", REFUSED),
    "system_scope_itself": ("system scope yes own once", REFUSED),
    "system_service_not_delegated": ("system service no own once", REFUSED),
    "user_service": ("user service yes subgroup once", USED),
    "user_scope": ("user scope yes subgroup once", USED),
    "user_service_itself": ("user service yes own once", WITHOUT),
    "user_scope_itself": ("user scope yes own once", WITHOUT),
    "user_scope_not_delegated": ("user scope no own once", WITHOUT),
    "container": ("container service yes subgroup once", USED),
    "system_killed": ("system service yes subgroup killed", None),
    "system_killed_both": ("system service yes subgroup killed_both", None),
    "system_stopped": ("system service yes subgroup stopped", None),
    "user_killed": ("user service yes subgroup killed", None),
    "user_killed_both": ("user service yes subgroup killed_both", None),
    "user_stopped": ("user service yes subgroup stopped", None),
    "container_killed": ("container service yes subgroup killed", None),
}
SERVICE = "[Unit]\nAfter=multi-user.target\n[Service]\nExecStart=/units\n[Install]\nWantedBy=multi-user.target\n"


def image(build, debian, path):
    root = path + ".d"
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", debian, root], check=True)
    for name in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/i18n", "usr/share/zoneinfo", "var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(os.path.join(root, name), ignore_errors=True)  # all of it is in memory there
    for source, name in ((os.path.join(build, "safe-exec"), "bin/safe-exec"), (os.path.join(HERE, "units"), "units")):
        shutil.copy(source, os.path.join(root, name))
    os.chmod(root + "/units", 0o755)
    os.symlink("/lib/systemd/systemd", root + "/init")
    wants = root + "/etc/systemd/system/multi-user.target.wants"
    os.makedirs(wants, exist_ok=True)
    os.symlink("/etc/systemd/system/units.service", wants + "/units.service")
    for name in ("getty.target", "serial-getty@ttyS0.service"):
        os.symlink("/dev/null", root + "/etc/systemd/system/" + name)
    texts = {"etc/systemd/system/units.service": SERVICE, "etc/machine-id": "", "etc/fstab": "", "policy.json": json.dumps(POLICY),
             "cases": "".join("%s %s\n" % (name, what) for name, (what, _) in CASES.items())}
    for name, text in texts.items():
        with open(os.path.join(root, name), "w") as f:
            f.write(text)
    for name, line in (("passwd", "user:x:12345:12345::/:/bin/sh\n"), ("group", "user:x:12345:\n"), ("shadow", "user:*:1::::::\n")):
        with open(os.path.join(root, "etc", name), "a") as f:
            f.write(line)
    with open(path, "wb") as out:
        names = subprocess.run(["find", ".", "-print0"], cwd=root, stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["cpio", "--null", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, stdout=out, check=True)


def problems(expected, at_first, lines):
    left = [line[5:].split() for line in lines if line.startswith("left:")]
    if expected is None:
        found = [] if len(left) == 2 and len(left[0]) == at_first and left[1] == [] else ["left: %s" % left]
        ran = [line for line in lines if line.startswith("while it runs: left: /sys/fs/cgroup/")]
        return found if len(ran) == 1 else found + ["it did not run: %s" % lines]
    found = [] if left == [[]] else ["left: %s" % left]
    results = [json.loads(line) for line in lines if line.startswith('{"schema"')]
    if len(results) != 1:
        return found + ["no answer: %s" % lines]
    error, detail = results[0]["error"] or {}, results[0]["sandbox"]["layers"].get("limits", {}).get("detail", "")
    seen = REFUSED if error.get("code") == "sandbox_unavailable" else USED if "/safe-exec-" in results[0]["stdout"] and "by a cgroup" in detail else \
        WITHOUT if results[0]["success"] and detail == COUNTED else str(results[0])
    return found if seen == expected else found + ["%s, expected %s" % (seen, expected)]


def main():
    build, work, debian = map(os.path.abspath, sys.argv[1:4])
    kernel = sorted(glob.glob(os.path.join(work, "root/boot/vmlinuz-6.1.*")))[-1]
    ramfs = os.path.join(work, "units")
    image(build, debian, ramfs)
    argv = ["qemu-system-x86_64", "-accel", "tcg", "-smp", "2", "-cpu", "max", "-m", "2048", "-nographic", "-no-reboot", "-nic", "none", "-kernel", kernel,
            "-initrd", ramfs, "-append", "console=ttyS0 quiet loglevel=3 systemd.show_status=0 panic=-1"]
    with open(ramfs + ".log", "wb+") as console:
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, timeout=1200)
        console.seek(0)
        text = console.read().decode("utf-8", "replace").replace("\r", "")
    if "=== end" not in text:
        sys.exit("the machine did not come to the end:\n" + text[-4000:])
    seen = {part.splitlines()[0]: part.splitlines()[1:] for part in text.split("=== ")[1:-1]}
    bad = 0
    for name, (what, expected) in CASES.items():
        found = problems(expected, what.endswith("killed_both"), seen.get(name, []))  # a cgroup without a process, until the next run
        bad += bool(found)
        print("%s systemd %s" % ("FAIL" if found else "ok", name), *found, sep="\n    ")
    sys.exit(1 if bad else 0)


main()
