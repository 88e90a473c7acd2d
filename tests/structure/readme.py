"""The policies and console blocks of README.md and policy/README.md are run, and must answer as the page says.

A block "```json NAME" is written to NAME. In a block "```console", a line "$ COMMAND" is run by sh in the same
temporary directory, one for each page, where build/ is the build directory and policy/ the source's; "$ cd DIR" holds
for what follows on the page. What follows up to the next "$" must be the command's output. Output
that is JSON is compared as JSON: key order counts, "…" inside a string stands for any text, a value "…" for any
value, a member "…" for further members, and figures that differ from run to run only need to be numbers. "$ echo $?"
is the exit status of the command before.
"""

import json
import os
import re
import subprocess
import tempfile

from common import directories, finish

MEASURED = {"duration_ms", "cpu_user_ms", "cpu_system_ms", "max_rss_kib"}


def same_text(expected, found):
    return re.fullmatch(".*".join(map(re.escape, expected.split("…"))), found, re.S) is not None


def difference(expected, found, where=""):
    """Empty, or the first place at which found is not what expected says."""
    if expected == "…":
        return ""
    if isinstance(expected, str) and isinstance(found, str):
        return "" if same_text(expected, found) else f"{where}: {found!r} instead of {expected!r}"
    if type(expected) is not type(found):
        return f"{where}: {found!r} instead of {expected!r}"
    if isinstance(expected, dict):
        named = [key for key in expected if key != "…"]
        if "…" not in expected and list(found) != named:
            return f"{where}: keys {list(found)} instead of {named}"
        if [key for key in found if key in expected] != named:
            return f"{where}: keys {list(found)}, expected {named} in this order"
        for key in named:
            if key in MEASURED and isinstance(found[key], int):
                continue
            if problem := difference(expected[key], found[key], f"{where}/{key}"):
                return problem
        return ""
    if isinstance(expected, list):
        if len(expected) != len(found):
            return f"{where}: {found!r} instead of {expected!r}"
        return next(filter(None, (difference(e, f, f"{where}/{i}") for i, (e, f) in enumerate(zip(expected, found)))), "")
    return "" if expected == found else f"{where}: {found!r} instead of {expected!r}"


def as_json(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def run_block(page, block, directory, problems):
    """How many commands were run, and the directory in which the page goes on."""
    status, count = None, 0
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
        count += 1
        if command.startswith("cd "):
            directory, status, output = os.path.join(directory, command[3:]), 0, ""
        elif command == "echo $?":
            output = f"{status}\n"
        else:
            done = subprocess.run(["sh", "-c", command], cwd=directory, capture_output=True, text=True, timeout=60)
            status, output = done.returncode, done.stdout + done.stderr
        parsed = as_json(expected)
        if isinstance(parsed, dict):
            answer = as_json(output)
            problem = difference(parsed, answer) if answer is not None else "the output is not JSON"
        else:
            problem = "" if same_text(expected.strip(), output.strip()) else "the output differs"
        if problem:
            problems.append(f"{page}: $ {command}\n  {problem}\n  expected: {expected}\n  found: {output}")
    return count, directory


def run_page(page, source, build, problems):
    commands = 0
    with tempfile.TemporaryDirectory() as directory:
        os.symlink(build, os.path.join(directory, "build"))
        os.symlink(source / "policy", os.path.join(directory, "policy"))
        here = directory
        for info, body in re.findall(r"^```([^\n]+)\n(.*?)^```$", (source / page).read_text(), re.M | re.S):
            kind, _, name = info.partition(" ")
            if kind == "json" and name:
                path = os.path.join(directory, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(body)
                os.chmod(path, 0o644)
            elif kind == "console":
                count, here = run_block(page, body, here, problems)
                commands += count
    return commands


def main():
    source, build = directories()
    problems = []
    ran = [run_page(page, source, build, problems) for page in ("README.md", "policy/README.md")]
    finish(problems, all(ran))


main()
