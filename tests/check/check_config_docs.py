#!/usr/bin/python3
"""Holds docs/config.md and conf/weir.yaml against the program's own table of keys.

The table comes from "weir check --keys": path, type, default and meaning, with tabs between. Each
key must stand in the reference with the same words and an example, and nothing else may; the
examples must pass "weir check" in a file made of them; the annotated file must pass as it is, and
name every key at its own place, as a setting or in a comment. First the comparison itself must
find what was put wrong on purpose.
"""

import os
import re
import subprocess
import sys
import tempfile

TOP = os.environ.get("TOP_SRCDIR", os.path.join(os.path.dirname(__file__), "../.."))
BIN = os.environ.get("WEIR_BIN") or os.path.join(os.environ.get("TOP_BUILDDIR", TOP), "weir")
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| `([^`]+)` \| ([^|]+) \| `([^`]+)` \|$")
FIRST_CELL = re.compile(r"^\| `([^`]+)` \|")
KEY_LINE = re.compile(r"^( *(?:- )?)(?:# )?([a-z_]+):(?: |$)")


def run_weir(*arguments):
    # A tree that was never built, or a program that hangs, must say so and not end in a traceback.
    try:
        return subprocess.run([BIN, *arguments], capture_output=True, text=True, timeout=60,
                              check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"{BIN} {' '.join(arguments)}: {error}")


def read_table():
    result = run_weir("check", "--keys")
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    if result.returncode != 0 or not rows or any(len(row) != 4 for row in rows):
        sys.exit(f"{BIN} check --keys: exit {result.returncode}, not a table of four columns:\n"
                 f"{result.stdout[:500]}{result.stderr[:500]}")
    return {row[0]: tuple(row[1:]) for row in rows}


def read_reference(text):
    """Returns ({path: (type, default, meaning, example)}, complaints)."""
    rows, wrong = {}, []
    section = text.split("\n## Keys\n", 1)[-1].split("\n## ", 1)[0]
    for line in section.splitlines():
        match = ROW.match(line)
        if match:
            if match[1] in rows:
                wrong.append(f"docs/config.md: {match[1]} has two rows")
            rows[match[1]] = match.groups()[1:]
        elif FIRST_CELL.match(line):
            wrong.append(f"docs/config.md: not key, type, default, meaning and example: {line}")
    return rows, wrong


def compare_reference(table, text):
    rows, wrong = read_reference(text)
    for path in sorted(table.keys() - rows.keys()):
        wrong.append(f"docs/config.md: no row for the key {path}")
    for path in sorted(rows.keys() - table.keys()):
        wrong.append(f"docs/config.md: {path} is no key of the program")
    for path in sorted(table.keys() & rows.keys()):
        for name, ours, theirs in zip(("type", "default", "meaning"), table[path], rows[path]):
            if ours != theirs:
                wrong.append(f"docs/config.md: {path}: {name} is \"{theirs}\", but \"{ours}\" in "
                             "the program")
    return wrong


def find_paths(text):
    """The keys' paths in a block-style file, settings and commented-out ones alike."""
    found, above = set(), []
    for line in text.splitlines():
        match = KEY_LINE.match(line)
        if not match or (line.startswith("#") and not above):
            continue
        indent, name = len(match[1]), match[2]
        while above and above[-1][0] >= indent:
            above.pop()
        parent = above[-1][1] if above else ""
        if match[1].endswith("- "):
            parent = re.sub(r"\[\]$", "", parent) + "[]"
            if above:
                above[-1] = (above[-1][0], parent)
        path = f"{parent}.{name}" if parent else name
        if re.fullmatch(r"upstreams\.[a-z_]+", path):
            path = "upstreams.*"
        above.append((indent, path))
        found.add(path)
    return found


def compare_example(table, text):
    return [f"conf/weir.yaml: the key {path} does not appear"
            for path in sorted(table.keys() - find_paths(text))]


def make_file(rows):
    """A file in which each key has the value of its example."""
    value = {path: row[3] for path, row in rows.items()}
    value["admin.token_file"] = "@TOKEN@"
    lines, last = [], []
    for path, text in value.items():
        parts = re.sub(r"^upstreams\.\*", "upstreams.api", path).replace("[].", ".[].").split(".")
        for depth, part in enumerate(parts[:-1]):
            if last[:depth + 1] != parts[:depth + 1] and part != "[]":
                lines.append("  " * depth + part + ":")
        dash = "[]" in parts and last[:2] != parts[:2]
        pad = "  " * (len(parts) - 1)
        lines.append((pad[:-2] + "- " if dash else pad) + f"{parts[-1]}: {text}")
        last = parts
    return "\n".join(lines) + "\n"


def check_examples(rows):
    with tempfile.TemporaryDirectory() as folder:
        token, path = os.path.join(folder, "token"), os.path.join(folder, "weir.yaml")
        with open(token, "w", encoding="utf-8") as file:
            file.write("secret\n")
        text = make_file(rows).replace("@TOKEN@", token).replace("/var/log/weir/", folder + "/")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        result = run_weir("check", "-c", path)
    if result.returncode == 0:
        return []
    return [f"docs/config.md: the examples do not pass \"weir check\":\n{result.stderr}{text}"]


def check_annotated_file():
    environment = os.environ.pop("API_URL", None)
    result = run_weir("check", "-c", os.path.join(TOP, "conf/weir.yaml"))
    if environment is not None:
        os.environ["API_URL"] = environment
    if result.returncode == 0:
        return []
    return [f"weir check -c conf/weir.yaml: exit {result.returncode}\n"
            f"{result.stdout}{result.stderr}"]


def run_self_test():
    table = {"a.b": ("size", "1", "What."), "l[].c": ("time", "2", "Why.")}
    rows = ["| `a.b` | size | `1` | What. | `3` |", "| `l[].c` | time | `2` | Why. | `4` |"]
    good, failures = "\n## Keys\n" + "\n".join(rows), []
    for text, count in ((good, 0), (good.replace("size", "time"), 1), (good.replace("`1`", "`0`"), 1),
                        (good.replace("Why", "How"), 1), (good.replace("a.b", "a.x"), 2),
                        (good.replace(" `4` |", ""), 2), (good + "\n" + rows[0], 1)):
        if len(compare_reference(table, text)) != count:
            failures.append(f"self-test: expected {count} complaints about {text}")
    example = "a:\n  b: 1\nl:\n  - x: 1\n    # c: 2\n"
    for text, count in ((example, 0), (example.replace("# c", "# d"), 1),
                        (example.replace("  b:", "b:"), 1), (example.replace("    #", "#"), 1)):
        if len(compare_example(table, text)) != count:
            failures.append(f"self-test: expected {count} complaints about {text}")
    return failures


def main():
    with open(os.path.join(TOP, "docs/config.md"), encoding="utf-8") as file:
        reference = file.read()
    with open(os.path.join(TOP, "conf/weir.yaml"), encoding="utf-8") as file:
        example = file.read()
    table = read_table()
    groups = [run_self_test(), compare_reference(table, reference),
              check_examples(read_reference(reference)[0]), compare_example(table, example),
              check_annotated_file()]
    for wrong in groups:
        for line in wrong:
            print(line)
    failed = sum(1 for wrong in groups if wrong)
    print(f"{len(groups) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
