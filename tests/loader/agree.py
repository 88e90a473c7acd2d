#!/usr/bin/python3
"""Gives every loader case to a JSON Schema validator too: loader and published schema must agree.

usage: agree.py [SOURCE_DIRECTORY]

What the loader does with a case is its "expect", which policy_test.cpp holds it to. A case that the loader refuses
and that no schema can express says why in "beyond_schema"; the schema must accept it, or the mark is wrong.
"""
import json
import pathlib
import re
import sys

import jsonschema

HERE = pathlib.Path(__file__).resolve().parent
STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.S)


def parse(text):
    return json.loads(STRING_OR_COMMENT.sub(lambda m: m.group() if m.group()[0] == '"' else " ", text))


def main():
    source = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent.parent
    schema = json.loads((source / "policy/schema/policy.v1.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    count, beyond, wrong = 0, 0, []
    for file in sorted((source / "tests/loader").glob("*.json")):
        for case in json.loads(file.read_text()):
            count += 1
            name = f"{file.name}: {case['name']}"
            policy = parse(case["text"]) if "text" in case else case["policy"]
            accepted = validator.is_valid(policy)
            if "beyond_schema" in case:
                beyond += 1
                if case["expect"] == "ok" or not accepted:
                    wrong.append(f"{name}: marked beyond the schema, but the schema refuses it too")
            elif accepted != (case["expect"] == "ok"):
                best = jsonschema.exceptions.best_match(validator.iter_errors(policy))
                wrong.append(f"{name}: the schema {'accepts' if accepted else 'refuses'} it ({best and best.message})")
    for line in wrong:
        print(line)
    print(f"{count} cases, {beyond} beyond a schema, {len(wrong)} disagreements")
    return 1 if wrong or count < 120 else 0


if __name__ == "__main__":
    sys.exit(main())
