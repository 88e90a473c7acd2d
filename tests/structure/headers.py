"""Each header compiles alone, and its first line says which level it is."""

import concurrent.futures
import os
import re
import subprocess

from common import directories, finish


def compile_alone(source, build, header):
    done = subprocess.run(
        [os.environ.get("CXX", "g++"), "-std=c++20", "-fsyntax-only", "-D_GNU_SOURCE", f"-I{source / 'src'}",
         f"-I{build / 'generated'}", "-include", str(header), "-x", "c++", "/dev/null"],
        capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def own_source_proves_it(header):
    """The build has compiled it alone: it is the first thing that the source of its name includes."""
    own = header.with_suffix(".cpp")
    first = re.search(r"^#include .*$", own.read_text(), re.M) if own.exists() else None
    return bool(first) and first.group(0).endswith(f'"{header.name}"' if header.parent.name == "src" else f'/{header.name}"')


def main():
    source, build = directories()
    headers = sorted((source / "src").rglob("*.h"))
    problems = [f"{header.relative_to(source)}: the first line is not \"// Level N. ...\"" for header in headers
                if not re.match(r"// Level [0-5]\. \S", header.read_text())]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        rest = [header for header in headers if not own_source_proves_it(header)]
        for header, error in zip(rest, pool.map(lambda h: compile_alone(source, build, h), rest)):
            if error:
                problems.append(f"{header.relative_to(source)} does not compile alone:\n{error}")
    finish(problems, len(headers))


main()
