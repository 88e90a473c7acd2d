#!/usr/bin/python3
"""Capture of 1 GiB: time, throughput and the peak resident memory of safe-exec itself.

usage: capture.py COMMAND [ARG...]     a safe-exec run of something that prints 1 GiB, for instance
       capture.py build/safe-exec run --policy P -- head -c 1073741824 /dev/zero
"""
import os
import sys
import time

if len(sys.argv) < 2:
    sys.exit(__doc__)
null = os.open("/dev/null", os.O_RDWR)
best, peak = None, 0
for _ in range(3):
    start = time.perf_counter()
    pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], {"PATH": "/usr/bin:/bin"}, file_actions=[
        (os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1)])
    while True:  # the high-water mark of safe-exec alone; wait4(2) would take its children in
        try:
            with open(f"/proc/{pid}/status") as status:
                peak = max([peak] + [int(line.split()[1]) for line in status if line.startswith("VmHWM")])
        except OSError:
            pass
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        time.sleep(0.005)
    if status != 0:
        sys.exit(f"{sys.argv[1]} ended with wait status {status}")
    elapsed = time.perf_counter() - start
    best = elapsed if best is None else min(best, elapsed)
print(f"1 GiB in {best:.2f} s, {1.073741824 / best:.2f} GB/s, peak {peak} KiB resident")
