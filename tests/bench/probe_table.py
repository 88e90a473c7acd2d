#!/usr/bin/python3
"""How many of the probe's attempts stay open, as an ordinary user and as root: safe-exec, bubblewrap with every namespace, the
sandboxes of Codex and of sandbox-runtime (srt) as they are without settings, and nothing but namespaces that are thrown away.

usage: probe_table.py [--peers PREFIX] [--all] [BUILD]
  BUILD    default: build
  --peers  a directory for npm to install @openai/codex and @anthropic-ai/sandbox-runtime in, unless they are there; readable
           to everybody and not below /tmp. Needs npm, node, bwrap, socat, ripgrep. Without it these two are left out
  --all    a row for every attempt that is open to anybody, not only the sums
"""
import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "sandbox"))
import world  # noqa: E402

OTHER = 12345
PACKAGES = {"codex": "@openai/codex", "srt": "@anthropic-ai/sandbox-runtime"}


def become_ordinary():
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(OTHER, OTHER, OTHER)
        os.setresuid(OTHER, OTHER, OTHER)


class CannotStart(Exception):
    """In the peer's own words."""


def start(argv, made, before, **variables):
    """Of a peer: the attempts. What it makes on its own is made in the world's directory."""
    home = os.path.join(made.dir, "home")
    os.mkdir(home)
    if before:
        os.chown(home, OTHER, OTHER)
    environment = dict(world.environment(), HOME=home, PATH=os.environ.get("PATH", "/usr/bin:/bin"), **variables)
    done = subprocess.run(argv + [made.self] + made.words(), cwd=made.ws, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, start_new_session=True, timeout=300, preexec_fn=before)
    lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith('{"attempt"')]
    if not lines:
        words = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise CannotStart((words or ["it said nothing, exit %d" % done.returncode])[-1][:160])
    return world.attempts_of("\n".join(lines))


def peers(prefix):
    """{name: start function}, installed first."""
    if not all(os.path.exists(os.path.join(prefix, "node_modules", package)) for package in PACKAGES.values()):
        subprocess.run(["npm", "install", "--prefix", prefix, "--no-audit", "--no-fund", *PACKAGES.values()], check=True, stdout=sys.stderr)
        subprocess.run(["chmod", "-R", "a+rX", prefix], check=True)
    programs = {name: os.path.join(prefix, "node_modules", ".bin", name) for name in PACKAGES}

    def codex(made, before):
        return start([programs["codex"], "sandbox", "--"], made, before, CODEX_HOME=os.path.join(made.dir, "home"))

    def srt(made, before):
        settings = os.path.join(made.dir, "srt.json")
        with open(settings, "w") as f:
            json.dump({"network": {"allowedDomains": [], "deniedDomains": []}, "filesystem": {"denyRead": [], "allowWrite": [], "denyWrite": []}}, f)
        return start([programs["srt"], "--settings", settings], made, before)

    return {"codex": codex, "srt": srt}


def version_of(argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout.decode().strip().splitlines()[-1] if done.stdout.strip() else "?"


def versions(build, prefix):
    found = [version_of([os.path.join(build, "safe-exec"), "--version"]), version_of(["bwrap", "--version"])]
    for package in PACKAGES.values() if prefix else []:
        with open(os.path.join(prefix, "node_modules", package, "package.json")) as f:
            found.append("%s %s" % (package, json.load(f)["version"]))
    return found + ["Linux " + os.uname().release]


def run(probe, begin, ordinary):
    made = world.World(probe, OTHER if ordinary and os.geteuid() == 0 else None)
    try:
        return begin(made, become_ordinary if ordinary else None)
    except (CannotStart, OSError, ValueError, subprocess.SubprocessError) as error:
        return str(error) or type(error).__name__
    finally:
        made.close()


def print_table(columns, every):
    started = {name: attempts for name, attempts in columns.items() if isinstance(attempts, dict)}
    names = list(next(iter(started.values())))
    for name in names if every else []:
        if any(attempts[name][0] for attempts in started.values()):
            print("  %s: open to %s" % (name, ", ".join(column for column, attempts in started.items() if attempts[name][0])))
    width = max(map(len, columns))
    for column, attempts in columns.items():
        text = "cannot start here: " + attempts if isinstance(attempts, str) else "%4d of %d open" % (sum(is_open for is_open, _ in attempts.values()), len(attempts))
        print("  %-*s  %s" % (width, column, text))


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    options.add_argument("--peers", metavar="PREFIX")
    options.add_argument("--all", action="store_true")
    options.add_argument("build", nargs="?", default=os.path.join(HERE, "..", "..", "build"))
    given = options.parse_args()
    build, probe = os.path.abspath(given.build), os.path.join(os.path.abspath(given.build), "tests", "probe")

    def safe_exec(made, before):
        attempts, result = world.in_safe_exec(os.path.join(build, "safe-exec"), made, before)
        return attempts or str(result["error"])

    columns = {"safe-exec": safe_exec, "bubblewrap": world.in_bubblewrap}
    columns.update(peers(os.path.abspath(given.peers)) if given.peers else {})
    print("; ".join(versions(build, given.peers)))
    for ordinary in [True, False] if os.geteuid() == 0 else [True]:
        print("an ordinary user" if ordinary else "root")
        tried = dict(columns, **({"no sandbox": world.in_throw_away_namespaces} if ordinary else {}))
        print_table({name: run(probe, begin, ordinary) for name, begin in tried.items()}, given.all)


main()
