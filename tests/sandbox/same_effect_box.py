"""Inside the throw-away box of same_effect_test.py: runs each line as it was written, again, and as it was written anew, each in
a fresh copy of the tree.

usage: same_effect_box.py JOBS OUT      JOBS: [{"lines": [argv, ...], "files", "stdin", "env", "cwd"}, ...] as JSON;
                                        OUT: for each line what it did: {"status", "stdout", "stderr", "tree"}
"""
import bz2
import gzip
import hashlib
import json
import lzma
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tarfile
import zipfile

SECONDS = 3  # what still runs then has nothing to compare
WORK = "/workspace"


def look(top):
    """What is there, as it is told apart without reading."""
    found = {}
    for directory, directories, files in os.walk(top):
        for name in directories + files:
            path = os.path.join(directory, name)
            try:
                status = os.lstat(path)
            except PermissionError:  # a line closed the directory: its mode tells
                continue
            moment = 0 if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns
            found[os.path.relpath(path, top)] = (status.st_mode, status.st_size, moment, status.st_nlink)
    return found


def content(path, mode):
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if not stat.S_ISREG(mode):
        return ""
    try:
        with open(path, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()
    except PermissionError:
        return "closed"


def changes(before, after):
    """What a line left behind: mode and content of what is new or another, and what is gone. Times are not compared."""
    made = {name: (entry[0], entry[3] if stat.S_ISREG(entry[0]) else 0, content(os.path.join(WORK, name), entry[0]))
            for name, entry in after.items() if before.get(name) != entry}
    return {"made": made, "gone": sorted(before.keys() - after.keys())}


def empty(top):
    for name in os.listdir(top):
        path = os.path.join(top, name)
        if os.path.isdir(path) and not os.path.islink(path):
            subprocess.run(["chmod", "-R", "u+rwx", path], check=False, stderr=subprocess.DEVNULL)
            shutil.rmtree(path)
        else:
            os.unlink(path)


def make(path):
    """A file of the kind that its name says, which holds what the tree has."""
    name = os.path.basename(path)
    source = "/box/tree/src"
    if name.endswith((".zip", ".jar", ".whl")):
        with zipfile.ZipFile(path, "w") as archive:
            for member in ("a.c", "b.c"):
                archive.writestr(zipfile.ZipInfo("src/" + member, (2024, 1, 2, 3, 4, 6)), "one\n")
    elif ".tar" in name or name.endswith((".tgz", ".tbz2", ".txz")):
        kind = {"gz": "gz", "tgz": "gz", "bz2": "bz2", "tbz2": "bz2", "xz": "xz", "txz": "xz"}.get(name.rpartition(".")[2], "")
        with tarfile.open(path, "w:" + kind) as archive:
            archive.add(source, "src")
    elif name.endswith((".gz", ".bz2", ".xz", ".lzma")):
        pack = {".gz": lambda data: gzip.compress(data, mtime=0), ".bz2": bz2.compress, ".xz": lzma.compress,
                ".lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE)}[os.path.splitext(name)[1]]
        with open(path, "wb") as f:
            f.write(pack(b"one\ntwo\n"))
    elif name.endswith((".db", ".sqlite")):
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE t(a, b)")
            database.execute("INSERT INTO t VALUES (1, 'x')")
        database.close()
    elif name.endswith((".patch", ".diff")):
        with open(path, "w") as f:
            f.write("--- a/src/a.c\n+++ b/src/a.c\n@@ -1,2 +1,2 @@\n-one\n+ONE\n two\n")
    else:
        with open(path, "w") as f:
            f.write("one\ntwo\n")
    os.utime(path, (1700000000, 1700000000))


def fill(files):
    """Makes the tree as it was, with the files that the line names. Returns what is there."""
    empty(WORK)
    subprocess.run(["cp", "-a", "/box/tree/.", WORK], check=True)
    for name in files:
        path = os.path.join(WORK, name)
        if not os.path.lexists(path):
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                make(path)
            except OSError:
                pass  # a file where a directory is meant
    return look(WORK)


def run(argv, job):
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                               cwd=os.path.join(WORK, job["cwd"]), env={**os.environ, **job["env"]})
    try:
        out, err = process.communicate(job["stdin"].encode(), timeout=SECONDS)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        status = None
    return {"status": status, "stdout": out[:100000].decode(errors="replace"), "stderr": err[-2000:].decode(errors="replace")}


def main():
    with open(sys.argv[1]) as f:
        jobs = json.load(f)
    results, files, before, after = [], None, None, None
    for job in jobs:
        done = []
        for argv in job["lines"]:
            if done and done[0]["status"] is None:
                done.append(done[0])  # it does not end
                continue
            if files != job["files"] or before != after:
                files, before = job["files"], fill(job["files"])
            try:
                seen = run(argv, job)
            except OSError as error:
                seen = {"status": str(error), "stdout": "", "stderr": ""}
            after = look(WORK)
            seen["tree"] = changes(before, after)
            done.append(seen)
        results.append(done)
    with open(sys.argv[2], "w") as f:
        json.dump(results, f)


main()
