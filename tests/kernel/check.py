"""Boots a kernel with safe-exec and the probe as all there is, and holds what they print against what SECURITY.md promises for
such a host. Usage: check.py BUILD WORK, where WORK/root/boot holds the kernel."""
import glob
import json
import os
import shutil
import subprocess
import sys

import cgroups

HERE = os.path.dirname(os.path.abspath(__file__))
READABLE = {"path": "read", "within": ["${start_dir}"]}
POLICY = {"version": 1, "name": "probe",
          "defaults": {"timeout_ms": 120000, "stdout_bytes": 200000, "deny_paths": ["**/.env", "**/.ssh/**"],
                       "limits": {"cpu_s": 100, "memory_mib": 256, "processes": 100, "file_mib": 64, "open_files": 256}},
          "commands": {"probe": {"path": "/world/probe", "trust": "caller", "end_of_options": False,
                                 "operands": [{"name": "file", "type": READABLE}, {"name": "directory", "type": READABLE},
                                              {"name": "world", "type": {"text": [1, 200]}, "count": [0, 20]}]}}}
# Code of its own in memory of its own: gains nothing that the filter does not refuse.
GENERATED_CODE = {"map writable and executable memory", "make written memory executable", "map a memory file executable",
                  "a memory file that stays", "an executable memory file", "let memory be executable again",
                  "make a second view of shared memory executable", "make a second view of executable memory writable",
                  "map shared zeroes as code", "make its own code writable", "make memory executable by key",
                  "make shared memory executable", "make the heap executable", "make the stack executable"}
# Without namespaces: names, which Landlock does not mediate, and a flag that cannot be locked.
NO_NAMESPACE_OPEN = {"learn that a secret exists", "see the victim in /proc", "map the operand as code", "keep capabilities"}
NO_NAMESPACES = {"user_namespace", "pid_namespace", "mount_namespace", "ipc_namespace", "uts_namespace"}
UNCOUNTED = {"fork a thousand processes", "start a thousand threads"}  # root's processes before Linux 6.14: the layer "limits" says so


def initramfs(build, path):
    root = path + ".d"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "proc", "sys", "dev", "tmp"):
        os.makedirs(os.path.join(root, name))
    shutil.copy("/bin/busybox", root + "/bin/busybox")
    for name in "sh mount mkdir ifconfig rm cp chown chmod sleep nc cat kill poweroff start-stop-daemon ls ps grep".split():
        os.symlink("busybox", os.path.join(root, "bin", name))
    shutil.copy(os.path.join(build, "safe-exec"), root + "/bin/safe-exec")
    for name in ("probe", "refuse"):
        shutil.copy(os.path.join(build, "tests", name), os.path.join(root, "bin", name))
    for name in ("init", "cgroups"):
        shutil.copy(os.path.join(HERE, name), os.path.join(root, name))
    os.chmod(root + "/init", 0o755)
    cgroups.write(root + "/cases")
    os.mkdir(root + "/etc")
    with open(root + "/etc/passwd", "w") as f:
        f.write("root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\nagents:x:12345:12345::/:/bin/sh\n")
    with open(root + "/etc/group", "w") as f:
        f.write("root:x:0:\nuser:x:1000:\nagents:x:12345:\n")
    with open(root + "/policy.json", "w") as f:
        json.dump(POLICY, f)
    with open(path, "wb") as out:
        names = subprocess.run(["find", ".", "-print0"], cwd=root, stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["cpio", "--null", "-o", "-H", "newc", "--quiet", "-R", "0:0"], cwd=root, input=names, stdout=out, check=True)


def boot(kernel, ramfs, parameters):
    """{(situation, uid): (result, doctor, whether the host's core handler ran)}, and {case: lines} of cgroups.py"""
    # By software: a machine inside of a machine may have no virtualization, or one that hangs. Its clock counts its own
    # instructions and waits for nothing, so that no limit of time depends on how busy this host is.
    argv = ["qemu-system-x86_64", "-accel", "tcg", "-icount", "shift=2,sleep=off", "-cpu", "max", "-m", "768", "-nographic", "-no-reboot", "-nic", "none",
            "-kernel", kernel, "-initrd", ramfs, "-append", "console=ttyS0 quiet panic=-1 no_timer_check " + parameters]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900)
    text = done.stdout.decode("utf-8", "replace").replace("\r", "")
    if "=== end" not in text or "no core handler" in text:
        sys.exit("the machine did not come to the end, or has no core handler:\n" + text[-4000:])
    answers, cases = {}, {}
    for part in text.split("=== ")[1:-1]:
        head, *lines = part.splitlines()
        if head.startswith("cgroup "):
            cases[head.split()[1]] = lines
            continue
        name, uid = head.split()
        objects = [json.loads(line) for line in lines if line.startswith('{"schema"')]
        if len(objects) != 2:
            sys.exit("no two answers for %s: %s" % (head, part[-2000:]))
        answers[name, int(uid)] = objects + ["the core handler ran" in lines]  # some attempts end by a signal that dumps core
    return answers, cases


def problems(result, doctor, lost, open_too, abi):
    if result["outcome"]["type"] != "exited":
        return ["not run: %s" % (result["error"] or result["denied"] or result["outcome"])]
    attempts = [json.loads(line) for line in result["stdout"].splitlines()]
    found = []
    if len(attempts) < 119:
        found.append("only %d attempts" % len(attempts))
    opened = {one["attempt"] for one in attempts if one["open"]}
    if opened - GENERATED_CODE - open_too:
        found.append("open: %s" % sorted(opened - GENERATED_CODE - open_too))
    layers = result["sandbox"]["layers"]
    missing = {name for name, layer in layers.items() if layer["status"] == "not_enforced"}
    if missing != lost:
        found.append("not enforced: %s, expected %s" % (sorted(missing), sorted(lost)))
    if layers["landlock"].get("abi", 0) != abi:
        found.append("Landlock: %s" % layers["landlock"])
    if not doctor["healthy"] or not lost <= {one["layer"] for one in doctor["in_the_way"]}:
        found.append("doctor: %s" % doctor)
    return found


def main():
    build, work = map(os.path.abspath, sys.argv[1:3])
    kernel = sorted(glob.glob(os.path.join(work, "root/boot/vmlinuz-6.1.*")))[-1]
    ramfs = os.path.join(work, "initramfs")
    initramfs(build, ramfs)
    bad = 0
    for parameters, abi in (("test_cgroups=1", 2), ("lsm=yama", 0)):
        answers, cases = boot(kernel, ramfs, parameters)
        for (name, uid), (result, doctor, handled) in answers.items():
            lost = (NO_NAMESPACES if name != "plain" else set()) | ({"landlock"} if abi == 0 else set())
            if lost >= NO_NAMESPACES | {"landlock"}:  # nothing is left: refused, with a remedy
                error = result["error"] or {}
                found = [] if error.get("code") == "sandbox_unavailable" and error["hint"] and not doctor["healthy"] else [str(error), str(doctor)]
            else:
                found = problems(result, doctor, lost, NO_NAMESPACE_OPEN if name != "plain" else UNCOUNTED if uid == 0 else set(), abi)
            found += ["the host's core handler ran"] if handled else []
            bad += bool(found)
            print("%s Linux %s %s, %s, uid %d" % ("FAIL" if found else "ok", doctor["kernel"], parameters, name, uid), *found, sep="\n    ")
        if abi and cases.keys() != cgroups.CASES.keys():
            sys.exit("not run: %s" % (cgroups.CASES.keys() - cases.keys()))
        for name, lines in cases.items():
            found = cgroups.problems(name, lines)
            bad += bool(found)
            print("%s cgroup %s" % ("FAIL" if found else "ok", name), *found, sep="\n    ")
    sys.exit(1 if bad else 0)


main()
