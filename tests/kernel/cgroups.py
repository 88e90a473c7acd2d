"""Limits by a delegated cgroup: what the guest is asked to run, and what has to come of it."""
import json
import os

USER = 12345
EATS = "/bin/busybox dd if=/dev/zero of=/dev/null bs=24M count=1"
FORKS = "i=0; while [ $i -lt 60 ]; do /bin/busybox sleep 20 & i=$((i+1)); done; wait; exit 1"
DAEMONS = "for i in 1 2 3; do (/bin/busybox setsid /bin/busybox sleep 4321 &); done; echo started"
REQUIRED = {"limits": "require"}
MEMORY = {"type": "limit_exceeded", "resource": "memory"}
PROCESSES = {"type": "limit_exceeded", "resource": "processes"}
EXITED = {"type": "exited", "exit_code": 0}
BY_CGROUP = {"limits": ("enforced", "memory and processes are limited by a cgroup"), "tree_kill": ("enforced", "by a cgroup")}
REQUIRED_CGROUP = {"limits": BY_CGROUP["limits"], "tree_kill": ("enforced", "")}
COUNTED = "of memory that is counted which processes have mapped"
WITHOUT_MEMORY = {"limits": ("partial", "processes are counted together with the user's others"), "tree_kill": ("partial", "subreaper sweep")}
WITHOUT = dict(WITHOUT_MEMORY, limits=("partial", WITHOUT_MEMORY["limits"][1] + "; " + COUNTED))
LATE = "; all were killed, and were still being taken down when this was written"  # a virtual machine without a real processor is slow


def case(script, outcome, layers, uid=USER, cgroup="own/main", namespaces=0, how="once", prefix="", stdout="", demands=None, **limits):
    return {"script": script, "outcome": outcome, "layers": layers, "uid": uid, "cgroup": cgroup, "namespaces": namespaces, "how": how,
            "prefix": prefix, "stdout": stdout, "demands": demands or {}, "limits": dict({"memory_mib": 16, "processes": 20}, **limits)}


CASES = {
    "plain": case("echo ran", EXITED, BY_CGROUP, stdout="ran\n"),
    "memory": case("exec " + EATS, MEMORY, BY_CGROUP),
    "a_child_goes_alone": case(EATS + " || echo went on", EXITED, BY_CGROUP, stdout="went on\n"),
    "a_failure_after_that": case(EATS + "; exit 3", MEMORY, BY_CGROUP),
    "again_and_again": case("while :; do %s; done" % EATS, MEMORY, BY_CGROUP, timeout_ms=60000),
    "a_failure_of_its_own": case("exit 3", {"type": "exited", "exit_code": 3}, BY_CGROUP),
    "processes": case(FORKS, PROCESSES, BY_CGROUP),
    "daemons": case(DAEMONS, EXITED, BY_CGROUP, stdout="started\n"),
    "time": case(DAEMONS + "; while :; do :; done", {"type": "timed_out", "limit": "wall", "limit_ms": 1500}, BY_CGROUP, stdout="started\n",
                 timeout_ms=1500),
    "hardly_any_memory": case("echo ran", None, None, memory_mib=1),
    "together": case("/bin/busybox sleep 2; echo ran", EXITED, BY_CGROUP, how="together", stdout="ran\n"),
    # Namespaces hold; root's processes are bound by nothing else before Linux 6.14.
    "root": case(FORKS, PROCESSES, REQUIRED_CGROUP, uid=0, cgroup="root/main", namespaces=9),
    "root_memory": case("exec " + EATS, MEMORY, REQUIRED_CGROUP, uid=0, cgroup="root/main", namespaces=9),
    "required": case("exec " + EATS, MEMORY, REQUIRED_CGROUP, namespaces=9, demands=REQUIRED),
    "required_processes": case(FORKS, PROCESSES, REQUIRED_CGROUP, namespaces=9, demands=REQUIRED),
    "not_needed": case("echo ran", EXITED, {"limits": ("enforced", COUNTED), "tree_kill": ("enforced", "")}, namespaces=9, stdout="ran\n"),
    # Where there is none, or it may not be used, all is as it was.
    "in_the_delegated_one_itself": case("echo ran", EXITED, WITHOUT, cgroup="own", stdout="ran\n"),
    "beside_a_unit": case("echo ran", EXITED, WITHOUT, cgroup="own/unit.service", stdout="ran\n"),
    "no_memory_controller": case("echo ran", EXITED, WITHOUT, cgroup="between/bare/main", stdout="ran\n"),
    "of_another_user": case("echo ran", EXITED, WITHOUT, uid=1000, stdout="ran\n"),
    "required_and_not_there": case("echo ran", {"type": "failed"}, {}, cgroup="between/bare/main", demands=REQUIRED),
    # Joined without clone3(2), or not at all.
    "clone3_refused": case("exec " + EATS, MEMORY, BY_CGROUP, prefix="/bin/refuse clone3"),
    "clone3_refused_processes": case(FORKS, PROCESSES, REQUIRED_CGROUP, namespaces=9, demands=REQUIRED, prefix="/bin/refuse clone3"),
    "joining_refused": case("echo ran", EXITED, WITHOUT_MEMORY, prefix="/bin/refuse join", stdout="ran\n", memory_mib=0),
    "doctor": case("", None, BY_CGROUP, how="doctor"),
    "doctor_without": case("", None, WITHOUT, cgroup="own", how="doctor"),
    # safe-exec itself killed: its reaper goes last, or, where that is killed too, the next run removes what is left.
    "killed": case(DAEMONS + "; /bin/busybox sleep 4321", None, None, how="killed"),
    "killed_namespaces": case(DAEMONS + "; /bin/busybox sleep 4321", None, None, namespaces=9, how="killed", demands=REQUIRED),
    "killed_both": case(DAEMONS + "; /bin/busybox sleep 4321", None, None, namespaces=9, how="killed_both", demands=REQUIRED),
    "after_killed_both": case("echo ran", EXITED, BY_CGROUP, stdout="ran\n"),
}


def write(directory):
    os.mkdir(directory)
    shell = {"path": "/bin/sh", "trust": "root", "options": {"-c": {"value": {"text": [0, 4000]}, "dash_value": True, "spelling": "separate"}},
             "end_of_options": False}
    with open(os.path.join(directory, "list"), "w") as out:
        for name, one in CASES.items():
            limits = dict(one["limits"])
            node = dict(shell, timeout_ms=limits.pop("timeout_ms", 30000), limits=limits, sandbox={"exec": ["self"], "layers": one["demands"]})
            for suffix, value in (("json", {"version": 1, "name": name, "commands": {"sh": node}}),
                                  ("request", {"schema": "safe-exec/request/v1", "argv": ["sh", "-c", one["script"]]})):
                with open(os.path.join(directory, "%s.%s" % (name, suffix)), "w") as f:
                    json.dump(value, f)
            print(name, one["uid"], one["cgroup"], one["namespaces"], one["how"], one["prefix"], file=out)


def wrong(one, result):
    found = []
    if one["outcome"] is not None and result["outcome"] != one["outcome"]:
        found.append("%s, expected %s: %s" % (result["outcome"], one["outcome"], result["error"] or result["denied"]))
    for layer, (status, detail) in (one["layers"] or {}).items():
        held = (result.get("layers") or result["sandbox"]["layers"]).get(layer, {})
        said = held.get("detail", "").removesuffix(LATE if (result.get("outcome") or {}).get("type") == "timed_out" else "")
        if (held.get("status"), said) != (status, detail):
            found.append("%s: %s" % (layer, held))
    if one["outcome"] is not None and result["stdout"] != one["stdout"]:
        found.append("stdout %r, stderr %r" % (result["stdout"], result["stderr"]))
    return found


def problems(name, lines):
    """What of a case's printed lines is not as it has to be."""
    one = CASES[name]
    results = [json.loads(line) for line in lines if line.startswith('{"schema"')]
    found = [text for result in results for text in wrong(one, result)]
    if len(results) != {"once": 1, "doctor": 1, "together": 4}.get(one["how"], 0):
        found.append("%d answers: %s" % (len(results), lines[-3:]))
    if results and one["outcome"] == {"type": "failed"} and results[0]["error"]["code"] != "sandbox_unavailable":
        found.append(str(results[0]["error"]))
    if one["how"] == "doctor":
        named = any(way["layer"] == "limits" and "cgroup" in way["who"] and way["remedy"] for way in results[0]["in_the_way"])
        if named != (one["layers"] is WITHOUT) or not results[0]["healthy"]:
            found.append(str(results[0]))
    left = [line[5:].split() for line in lines if line.startswith("left:")]
    if one["how"] == "killed_both":
        if len(left) != 1 or len(left[0]) != 1:  # a cgroup without a process
            found.append("left: %s" % left)
    elif left != [[]]:
        found.append("left: %s" % left)
    if one["how"].startswith("killed") and not any(line.startswith("while it runs: left: safe-exec-") for line in lines):
        found.append("it did not run: %s" % lines)
    return found
