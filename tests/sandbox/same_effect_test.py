"""What a line does when it is written anew is what it does as it was written: every example that the shipped policies allow is
run by the real program in a throw-away box, both ways, and exit status, output and the files that are left are compared.
What answers differently each time, is not installed, or is refused by the program as it was written has nothing to compare.
"""
import concurrent.futures
import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from differential_test import REFUSED, build_tree, in_box, own_names, program_of, uncommented
from harness import BINARY, SOURCE, main

BOX = os.path.join(os.path.dirname(os.path.abspath(__file__)), "same_effect_box.py")
FILE = re.compile(r"(?!.*\.\.)(?:\./)?(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/)*[A-Za-z0-9_.-]*\.[A-Za-z0-9]{1,6}")
# Built and run code, services and the network: no box has what they need, and they say so.
NOT_RUN = {"cargo", "gh", "go", "apt", "apt-cache", "bun", "deno", "docker", "java", "javac", "kubectl", "npm", "npx", "pip", "pip3", "pnpm",
           "systemctl", "journalctl", "yarn", "podman"}
# What is meant to do something else than it did, or does so by a little.
KNOWN = [re.compile(known) for known in (
    r"^/usr/bin/top ",  # -b is added: nobody has a terminal
    r"/(fd|fdfind|rg|zstd|top) (-h|-V)$",  # --help and --version tell more
    r"^/usr/bin/git shortlog ",  # without a revision it would read its standard input
    r"^/usr/bin/git rev-parse .*--git-path=",  # git takes the path as a word, and prints what it does not know
    r"^/usr/bin/git checkout -b [^ ]*$",  # with -- git does not skip to write the index anew, as it was
    r"^/usr/bin/git checkout -$",  # where no branch was before, as here, both fail, with other words
    r"^/usr/bin/git var -l",  # GIT_PAGER
    r"/(df|free|iostat|mpstat|ps|shuf|ss|uptime|vmstat|w)( |$)",  # what they show lives, and agrees by chance
    r"^/usr/bin/pstree (-a|--arguments)$", r"^/usr/bin/sqlite3 .*-stats",  # they show their own line, and what it took
    r"^/usr/bin/tar cvf x.tar src --exclude=",  # behind its operands tar refuses what stands before them anew
    r"^/usr/bin/zip .*-[ix] [*]",  # a list that would take the archive's name as well
)]
A_BOX = 60
# Two lines in a random order look like a difference one time in four: not this many times one after the other.
AGAIN = 9
# Without these the test would say nothing.
NEEDED = {"cat", "cp", "cut", "find", "git", "grep", "head", "ls", "mkdir", "mv", "rm", "sed", "sort", "tail", "tar", "touch", "tr", "uniq", "wc"}


@functools.lru_cache(None)
def read(path):
    return uncommented(path)


def example_of(example):
    """The example as it is written, with what it is given beside its argv."""
    name = os.path.basename(example["file"])[:-len(".json")]
    value = read(example["file"])
    for key in example["pointer"].split("/")[3:] if name != "policy" else example["pointer"].split("/")[1:]:
        key = key.replace("~1", "/").replace("~0", "~")
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value if isinstance(value, dict) else {"argv": value}


def entry_of(policy, name):
    for folder in (policy, os.path.join(os.path.dirname(policy), "readonly")):
        path = os.path.join(folder, "commands", name + ".json")
        if os.path.exists(path):
            return read(path)
    return None


class SameEffect(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = os.path.realpath(tempfile.mkdtemp(prefix="safe-exec-same-", dir="/var/tmp"))
        build_tree(os.path.join(cls.dir, "tree"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir, ignore_errors=True)

    def run_jobs(self, jobs):
        parts = [jobs[first:first + A_BOX] for first in range(0, len(jobs), A_BOX)]
        with concurrent.futures.ThreadPoolExecutor(2) as two:
            return [seen for part in two.map(lambda part: in_box(self, BOX, part, 15 * len(part)), parts) for seen in part]

    def jobs_of(self, policy):
        done = subprocess.run([BINARY, "policy", "test", "--output", "json", policy], capture_output=True, text=True)
        for example in json.loads(done.stdout)["examples"]:
            name = os.path.basename(example["argv"][0])
            if example["expected"] != "allow" or "rebuilt" not in example or name in NOT_RUN:
                continue
            given, rebuilt, entry = example_of(example), example["rebuilt"], entry_of(policy, name)
            stdin, program = given.get("stdin", ""), program_of(entry) if entry else None
            # A wrapper's lines are those of the commands that it wraps.
            if program is None or not isinstance(stdin, str) or os.path.basename(rebuilt[0]) not in own_names(name, entry):
                continue
            files = sorted({word for text in example["argv"][1:] for word in [text.rpartition("=")[2]] if FILE.fullmatch(word)})
            yield name, {"lines": [[program, *words[1:]] for words in (example["argv"], example["argv"], rebuilt)], "files": files, "stdin": stdin,
                         "env": given.get("env", {}), "cwd": given.get("cwd", ".")}

    def different(self, jobs):
        """Those of (name, job) that do not do the same, each with what was seen; and the names of what could be compared."""
        found, compared, done = [], set(), 0
        for (name, job), (first, again, anew) in zip(jobs, self.run_jobs([job for _, job in jobs]), strict=True):
            if first != again or first["status"] is None or (first["status"] != 0 and REFUSED.search(first["stderr"])):
                continue  # nothing to compare: another answer each time, no end, or refused as it was written
            compared.add(name)
            done += first["status"] == 0
            if any(first[key] != anew[key] for key in ("status", "stdout", "tree")):
                found.append(((name, job), [first, anew]))
        return found, compared, done

    def test_a_line_does_the_same_when_it_is_written_anew(self):
        for policy in ("readonly", "workspace"):
            jobs = list(self.jobs_of(os.path.join(SOURCE, "policy", policy)))
            found, compared, done = self.different(jobs)
            print(f"{policy}: {len(jobs)} lines of {len({name for name, _ in jobs})} programs, {len(compared)} compared, {done} lines succeed")
            for _ in range(AGAIN):  # of what lives or is random, `sort -R` of two lines say, both looks may agree by chance
                found, _, _ = self.different([job for job, _ in found])
            problems = [{"written": " ".join(job["lines"][0]), "anew": " ".join(job["lines"][2]), "did": seen} for (_, job), seen in found
                        if not any(known.search(" ".join(job["lines"][0])) for known in KNOWN)]
            self.assertEqual(problems, [], json.dumps(problems, indent=1)[:200000])
            self.assertLessEqual(NEEDED - ({"cp", "mkdir", "mv", "rm", "touch"} if policy == "readonly" else set()), compared)


if __name__ == "__main__":
    main()
