"""A file includes its own level or lower, and is not long. The level table in src/README.md is the rule itself."""

import re

from common import directories, finish

MAX_LINES = 600
MAX_FUNCTION_LINES = 60
# As clang-format writes it: the head ends in "{", and a "}" with the head's indentation ends the function.
FUNCTION = re.compile(r"( {0,4})(?!(?:namespace|struct|class|enum|if|for|while|switch|else|return)\b)[A-Za-z\[~].*\)[^;]*\{$")
SYSTEM = re.compile(r"sys/|linux/|unistd\.h$|fcntl\.h$")
SYSTEM_EXCEPTED = {"fd.cpp"}  # close(2), so that no other pure file needs it
NOWHERE = {"iostream", "regex"}  # start-up cost; a crash on long input (GCC PR86164)
OWNED = {"re2/": "pattern", "nettle/": "digest"}  # the only module that may know a library


def read_table(readme):
    """{name: level} from the rows "| 1 | `policy`, `request` | ... |". A name with a suffix is that one file."""
    levels = {}
    for row in re.findall(r"^\|\s*(\d)\s*\|([^|]*)\|", readme, re.M):
        for stem in re.findall(r"`([^`]+)`", row[1]):
            if stem in levels:
                raise SystemExit(f"src/README.md lists {stem} twice")
            levels[stem] = int(row[0])
    return levels


def long_functions(lines):
    for first, line in enumerate(lines):
        head = FUNCTION.match(line)
        end = head.group(1) + "}" if head else None
        if head and end in lines[first:]:
            length = lines.index(end, first) - first + 1
            if length > MAX_FUNCTION_LINES:
                yield first + 1, length


def main():
    source, build = directories()
    src = source / "src"
    levels = read_table((src / "README.md").read_text())
    problems = []
    files = sorted(p for p in src.rglob("*") if p.suffix in (".h", ".cpp"))
    names = {str(p.relative_to(src)) for p in files}
    known = names | {name.rsplit(".", 1)[0] for name in names}

    def level_of(name):
        return levels.get(name, levels.get(name.rsplit(".", 1)[0]))

    problems += [f"src/README.md: {name} has no file" for name in levels if name not in known]
    for path in files:
        name = str(path.relative_to(src))
        stem = name.rsplit(".", 1)[0]
        text = path.read_text()
        level = level_of(name)
        if level is None:
            problems.append(f"src/{name}: not in the level table of src/README.md")
            continue
        if path.suffix == ".h" and not text.startswith(f"// Level {level}."):
            problems.append(f"src/{name}: its first line does not say level {level}, the table does")
        if text.count("\n") > MAX_LINES:
            problems.append(f"src/{name}: {text.count(chr(10))} lines, at most {MAX_LINES}")
        problems += [f"src/{name}:{first}: a function of {length} lines, at most {MAX_FUNCTION_LINES}"
                     for first, length in long_functions(text.splitlines())]
        for number, line in enumerate(text.splitlines(), 1):
            include = re.match(r'\s*#\s*include\s*([<"])([^>"]+)', line)
            if not include:
                continue
            quote, target = include.groups()
            where = f"src/{name}:{number}"
            if quote == "<":
                if target in NOWHERE:
                    problems.append(f"{where}: <{target}> is used nowhere")
                if level <= 1 and SYSTEM.match(target) and name not in SYSTEM_EXCEPTED:
                    problems.append(f"{where}: <{target}> in level {level}; system headers begin at level 2")
                for library, owner in OWNED.items():
                    if target.startswith(library) and stem != owner:
                        problems.append(f"{where}: <{target}> belongs to {owner} alone")
                continue
            beside = (path.parent / target).resolve()
            found = beside if beside.is_file() else (src / target).resolve()
            if found.is_file():
                other = level_of(str(found.relative_to(src))) or 0
                if other > level:
                    problems.append(f"{where}: level {level} includes {target} of level {other}")
            elif not (build / "generated" / target).is_file():
                problems.append(f"{where}: {target} is neither in src/ nor generated")
    finish(problems, len(files))


main()
