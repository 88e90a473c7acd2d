#!/usr/bin/python3
"""Start-up of a command under safe-exec against bubblewrap: interleaved paired runs, median of the ratios.

usage: startup.py [-n RUNS] [-- COMMAND [ARG...]]
       COMMAND is build/safe-exec run --policy tests/bench/true.json -- /bin/true when none is given

Started by root it becomes the user 65534 first, because that is who runs such commands.
"""
import os
import statistics
import sys
import time

BWRAP = ("bwrap --unshare-all --die-with-parent --new-session --ro-bind / / --tmpfs /tmp --proc /proc --dev /dev "
         "/bin/true").split()


def run(argv, null):
    start = time.perf_counter_ns()
    pid = os.posix_spawnp(argv[0], argv, {"PATH": "/usr/bin:/bin"}, file_actions=[
        (os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1)])
    status = os.waitpid(pid, 0)[1]
    if status != 0:
        sys.exit(f"{argv[0]} ended with wait status {status}")
    return (time.perf_counter_ns() - start) / 1000


def main():
    args, runs = sys.argv[1:], 300
    if args[:1] == ["-n"]:
        runs, args = int(args[1]), args[2:]
    if args[:1] == ["--"]:
        args = args[1:]
    if not args:
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        args = [root + "/build/safe-exec", "run", "--policy", root + "/tests/bench/true.json", "--", "/bin/true"]
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    null = os.open("/dev/null", os.O_RDWR)
    ours, theirs, ratios = [], [], []
    for i in range(runs + 10):
        pair = [(args, ours), (BWRAP, theirs)]
        for argv, times in pair if i % 2 else reversed(pair):
            times.append(run(argv, null))
        ratios.append(ours[-1] / theirs[-1])
    keep = slice(10, None)  # the first runs fill caches
    low, middle, high = statistics.quantiles(ratios[keep], n=4)
    print(f"ratio {middle:.3f} (quartiles {low:.3f} {high:.3f}) of {runs} pairs; "
          f"medians {statistics.median(ours[keep]):.0f} us against {statistics.median(theirs[keep]):.0f} us")


main()
