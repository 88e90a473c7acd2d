"""What every structure test shares: its arguments and its verdict."""

import pathlib
import subprocess
import sys


def directories():
    if len(sys.argv) not in (3, 4):
        sys.exit(f"usage: {sys.argv[0]} SOURCE_DIR BUILD_DIR [POST_FORK_OBJECT]")
    return pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()


def output_of(*command, stdin=None):
    """Standard output of a tool that must succeed; anything else ends the test."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def finish(problems, checked):
    """checked: how many things were looked at. Nothing looked at is a failure too."""
    for problem in problems:
        print(problem)
    if not checked:
        print("nothing was checked")
    sys.exit(1 if problems or not checked else 0)
