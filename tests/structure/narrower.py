"""Every part of a policy takes part in the proof that one policy is no wider than another, or is named here with why not.

A field that is added to a struct of model.h and compared nowhere would let a policy widen what no ceiling sees.
"""
import re

from common import directories, finish

STRUCTS = ["Root", "PathType", "UrlType", "Type", "Syntax", "Option", "Slot", "EnvRule", "StdinRule", "Limits", "Network",
           "Sandbox", "Node", "Defaults", "Command", "Variable", "DenyWalk", "Policy", "Effective"]
NOT_COMPARED = {
    "Root.place": "where it is written", "Type.place": "where it is written", "EnvRule.place": "where it is written",
    "Variable.place": "where it is written", "Option.place": "where a widening is pointed at",
    "Type.name": "types are compared by what they are",
    "Node.description": "is told to agents, grants nothing", "Policy.description": "is told to agents, grants nothing",
    "Node.hints": "improve a denial that happens anyway", "Node.reason": "improves a denial that happens anyway",
    "Node.examples": "are decided by the policy itself", "Policy.fixture": "is for examples",
    "Node.exit_ok": "what counts as success is no grant", "Command.effects": "is told to agents, grants nothing",
    "Node.unsafe_env": "the loader's; the rules that it lets stand are compared",
    "Defaults.unsafe_env": "the loader's; the rules that it lets stand are compared",
    "Node.sandbox": "as what is in force: Effective", "Defaults.sandbox": "as what is in force: Effective",
    "Effective.exit_ok": "what counts as success is no grant",
    "Node.repeatable": "a second run is given nothing that the first was not",
    "Defaults.repeatable": "a second run is given nothing that the first was not", "Node.lint_ignore": "is for lint",
    "Effective.repeatable": "a second run is given nothing that the first was not",
    "Effective.unsafe_env": "the loader's; the rules that it lets stand are compared", "Policy.name": "is a name", "Policy.file": "is where it was read", "Policy.passed_over": "is where it was not", "Policy.sha256": "is of its text",
    "Policy.source_pointers": "is where it is written", "Variable.kind": "there is one kind",
}


def fields(model, struct):
    body = re.search(r"^struct %s \{\n(.*?)^\};" % struct, model, re.M | re.S).group(1)
    body = re.sub(r"//[^\n]*", "", body)
    body = re.sub(r"^\s*\[\[nodiscard\]\][^;]*;", "", body, flags=re.M)
    body = re.sub(r"enum class \w+ : [\w:]+ \{[^}]*\}\s*(\w+ = [\w:]+)?;?", lambda m: (m.group(1) or "").join(("Enum ", ";")) if m.group(1) else "", body)
    for statement in body.split(";"):
        statement = re.sub(r"\{[^}]*\}", "", statement).strip()
        if not statement or statement.startswith("struct"):
            continue
        while "<" in statement:
            reduced = re.sub(r"<[^<>]*>", "", statement)
            if reduced == statement:
                break
            statement = reduced
        names = statement.split(None, 1)[1] if " " in statement else statement
        names = re.sub(r"^const\s+\S+\s+", "", names)
        for name in names.split(","):
            yield re.sub(r"=.*", "", name).split()[-1].rsplit("*", 1)[-1]


def main():
    source, _ = directories()
    src = source / "src"
    model = (src / "model.h").read_text()
    text = "".join(path.read_text() for path in sorted(src.glob("narrower*.cpp")))
    text += (src / "grammar.cpp").read_text().split("Syntax syntax_at", 1)[1].split("\n}\n", 1)[0]
    model += (src / "effective.h").read_text()
    problems, seen = [], 0
    for struct in STRUCTS:
        for name in fields(model, struct):
            seen += 1
            known = f"{struct}.{name}"
            if known in NOT_COMPARED:
                continue
            if not re.search(r"(\.|->)%s\b" % name, text):
                problems.append(f"src/narrower*.cpp compares no {known}: a policy may widen it unseen")
    if seen < 100:
        problems.append(f"only {seen} fields found in model.h: this test no longer reads it")
    finish(problems, f"{seen} fields of {len(STRUCTS)} structs")


main()
