"""Inside the throw-away box of differential_test.py: runs command lines under strace and writes down what was seen.

usage: differential_box.py JOBS OUT      JOBS: [argv, ...] as JSON; OUT: [{"status", "stderr", "opened", "executed"}, ...]
"""
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys

CALL = re.compile(r'^(?:\d+ +)?(open|openat|creat|execve|execveat)\((.*)$')
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
SECONDS = 2  # a program that still runs has read its command line


def unescape(text):
    return text.encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "surrogateescape")


def calls(log):
    opened, executed = [], []
    with open(log, errors="surrogateescape") as f:
        for line in f:
            call = CALL.match(line)
            path = STRING.search(call.group(2)) if call else None
            if not path:
                continue
            found = line.rstrip().rsplit(" = ", 1)[-1]
            (executed if call.group(1).startswith("exec") else opened).append((unescape(path.group(1)), not found.startswith("-1")))
    return opened, executed


def run(argv, log):
    command = ["strace", "-f", "-qq", "-s", "4096", "-o", log, "-e", "trace=open,openat,creat,execve,execveat", "-e", "signal=none", *argv]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        _, err = process.communicate(timeout=SECONDS)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        _, err = process.communicate()
        status = None
    opened, executed = calls(log)
    os.unlink(log)
    return {"status": status, "stderr": err.decode(errors="replace")[-4000:], "opened": opened, "executed": executed}


def main():
    with open(sys.argv[1]) as f:
        jobs = json.load(f)
    with concurrent.futures.ThreadPoolExecutor(2) as two:
        results = list(two.map(run, jobs, (f"/tmp/strace.{i}" for i in range(len(jobs)))))
    with open(sys.argv[2], "w") as f:
        json.dump(results, f)


main()
