"""The man pages name every flag, policy key, code and layer that exists, and none that does not."""

import json
import re
import subprocess

from common import directories, finish, output_of

VERBS = [["run"], ["check"], ["policy", "validate"], ["policy", "test"], ["policy", "lint"], ["policy", "show"],
         ["policy", "schema"], ["policy", "diff"], ["policy", "suggest"],
         ["policy", "fmt"], ["doctor"]]
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def both_ways(problems, what, documented, existing, page, home):
    problems += [f"{page} lacks the {what} {name}" for name in sorted(existing - documented)]
    problems += [f"{page} has the {what} {name}, {home} does not" for name in sorted(documented - existing)]


def section(page, title):
    found = re.search(rf"^# {title}\n(.*?)(?=^# |\Z)", page, re.M | re.S)
    return found.group(1) if found else ""


def rows(page, head):
    """First cells of all tables whose head cell is *head*: |[ *Key* ... then |  *name*."""
    names, inside = set(), False
    for line in page.splitlines():
        if re.match(rf"[\[|\]][\[\]<> -]*\s*\*{head}\*", line) and not inside:
            inside = True
        elif inside and not line.strip():
            inside = False
        elif inside and line.startswith("|"):
            names |= set(re.findall(r"\*([^*]+)\*", line))
    return names


def schema_keys(schema):
    """Every name in a "properties" object, at any depth."""
    keys = set()

    def walk(value, is_names):
        if isinstance(value, list):
            for item in value:
                walk(item, False)
        elif isinstance(value, dict):
            if is_names:
                keys.update(value)
            for name, item in value.items():
                walk(item, name == "properties" and not is_names)

    walk(schema, False)
    return keys - {"$schema"}


def names_in(model, array):
    body = re.search(rf"{array}\{{(.*?)\}};", model, re.S)
    return set(re.findall(r'"(\w+)"', body.group(1))) if body else set()


def lint(problems, page):
    made = subprocess.run(["scdoc"], input=page.read_text(), capture_output=True, text=True)
    done = subprocess.run(["mandoc", "-Tlint", "-W", "warning"], input=made.stdout, capture_output=True, text=True)
    complaints = made.stderr + done.stdout + done.stderr
    if made.returncode or done.returncode or complaints:
        problems.append(f"{page.name}: {complaints.strip()}")


def main():
    source, build = directories()
    man1_path, man5_path = source / "man/safe-exec.1.scd", source / "man/safe-exec-policy.5.scd"
    man1, man5 = man1_path.read_text().replace("\\_", "_"), man5_path.read_text().replace("\\_", "_")
    binary, problems = str(build / "safe-exec"), []

    helps = "".join(output_of(binary, *verb, "--help") for verb in [[], *VERBS])
    declared = set(FLAG.findall("\n".join(re.findall(r"^\*-.*$", section(man1, "OPTIONS"), re.M))))
    both_ways(problems, "flag", declared, set(FLAG.findall(helps)), "safe-exec(1)", "--help")

    model = (source / "src/model.cpp").read_text()
    denials, errors = names_in(model, "kDenialNames"), names_in(model, "kErrorNames")
    layers, states = names_in(model, "kLayerNames"), names_in(model, "kStateNames")

    schema = json.loads((source / "policy/schema/policy.v1.json").read_text())
    keys = schema_keys(schema) - (layers - rows(man5, "Key"))  # layers have their table in safe-exec(1)
    both_ways(problems, "key", rows(man5, "Key"), keys, "safe-exec-policy(5)", "policy.v1.json")
    if output_of(binary, "policy", "schema").strip() != (source / "policy/schema/policy.v1.json").read_text().strip():
        problems.append("`safe-exec policy schema` does not print policy/schema/policy.v1.json")

    sarif = json.loads(output_of(binary, "policy", "lint", "--output", "sarif", str(source / "policy/livos")))
    rules = {rule["id"] for rule in sarif["runs"][0]["tool"]["driver"]["rules"]}
    both_ways(problems, "lint rule", rows(man5, "Rule"), rules, "safe-exec-policy(5)", "policy lint")

    both_ways(problems, "denial code", rows(man5, "Denial"), denials, "safe-exec-policy(5)", "model.cpp")
    both_ways(problems, "error code", rows(man1, "Error"), errors, "safe-exec(1)", "model.cpp")
    both_ways(problems, "layer", rows(man1, "Layer"), layers, "safe-exec(1)", "model.cpp")
    both_ways(problems, "layer state", rows(man1, "State"), states, "safe-exec(1)", "model.cpp")

    man7_path = source / "man/safe-exec-security.7.scd"
    man7 = man7_path.read_text().replace("\\_", "_")
    sources = "".join(path.read_text() for path in (source / "tests").rglob("*_test.*"))
    tests = set(re.findall(r"\btest_\w+", man7)) | set(re.findall(r'^:.*"(\w+: [^"]+)"', man7, re.M))
    problems += [f"safe-exec-security(7) names the test {test}, which is not there" for test in sorted(tests)
                 if f"def {test}(" not in sources and f'TEST_CASE("{test}")' not in sources]

    for page in (man1_path, man5_path, man7_path):
        lint(problems, page)
    finish(problems, min(map(len, (tests, declared, keys, denials, errors, layers, states))))


main()
