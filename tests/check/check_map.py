#!/usr/bin/python3
"""Holds docs/MAP.md, docs/LOCKS.md and docs/STATES.md against the tree.

Every .c and .h of the rooms is named in the map, by its path from the top. Every file, folder and
function that one of the three documents names is there: paths and `name()` between backquotes; a
function must stand in one of the files that its line names, when it names sources, and in any
source otherwise. First each kind of mistake must be found when it is made on purpose.
"""

import os
import re
import sys
import tempfile

ROOMS = ("base", "conf", "net", "cache", "pool", "proxy")
MAP = "docs/MAP.md"
DOCUMENTS = (MAP, "docs/LOCKS.md", "docs/STATES.md")
SOURCE = (".c", ".h")
PATH = re.compile(r"[\w.-]+(?:/[\w.*<>-]*)+|[\w-]+\.(?:c|h|py|md|yaml|am|ac|sh)")


def read(top, path):
    with open(os.path.join(top, path), encoding="utf-8") as file:
        return file.read()


def find_sources(top):
    """{path from the top: text} of the rooms."""
    found = {}
    for room in ROOMS:
        for folder, _, names in os.walk(os.path.join(top, room)):
            for name in names:
                if name.endswith(SOURCE):
                    path = os.path.relpath(os.path.join(folder, name), top)
                    found[path] = read(top, path)
    return found


def find_names(line):
    """(paths, functions) that a line names; a place left open ("test_<file>.c") is no path."""
    paths, functions = [], []
    for quoted in re.findall(r"`([^`]+)`", line):
        words = quoted.split()
        paths += [word for word in words if PATH.fullmatch(word) and not set(word) & set("<>*")]
        functions += re.findall(r"\b([a-z]\w*)\(\)", quoted)
    paths += [os.path.normpath(os.path.join("docs", link))
              for link in re.findall(r"\]\(([^)#:]+)\)", line)]
    return paths, functions


def has_function(name, texts):
    return any(re.search(rf"\b{name}\b *\(", text) for text in texts)


def find_wrong(top):
    """(how many names were looked at, what is wrong)."""
    sources = find_sources(top)
    seen, wrong, mapped = 0, [], set()
    for document in DOCUMENTS:
        for number, line in enumerate(read(top, document).splitlines(), 1):
            paths, functions = find_names(line)
            seen += len(paths) + len(functions)
            if document == MAP:
                mapped.update(paths)
            for path in paths:
                if not os.path.exists(os.path.join(top, path)):
                    wrong.append(f"{document}:{number}: {path}: there is no such file")
            texts = [sources[path] for path in paths if path in sources] or sources.values()
            for name in functions:
                if not has_function(name, texts):
                    wrong.append(f"{document}:{number}: {name}(): not in the sources named")
    for path in sorted(set(sources) - mapped):
        wrong.append(f"{path}: not in {MAP}")
    return seen, wrong


def run_self_test():
    """Each change goes alone into a tree that is otherwise in order: (file, its text, found)."""
    good = {
        "base/one.c": "void one_run(void)\n{\n}\n",
        "proxy/two.h": "void two_run(void);\n",
        MAP: "- `base/one.c` `one_run()`: this\n- `proxy/two.h`, [locks](LOCKS.md), `docs/`\n",
        DOCUMENTS[1]: "`two_run()` and one_gone() and a/b and `tests/<room>/test_x.c`\n",
        DOCUMENTS[2]: "`proxy/two.h`\n",
    }
    changes = [
        ("base/one.c", good["base/one.c"], 0),
        ("proxy/admin/new.c", "\n", 1),
        ("pool/new.h", "\n", 1),
        ("base/one.c", "void other(void)\n{\n}\n", 1),
        (MAP, good[MAP].replace("base/one.c", "base/1.c"), 2),
        (MAP, good[MAP].replace("LOCKS", "KEYS"), 1),
        (MAP, good[MAP].replace("docs/", "doc/"), 1),
        (MAP, good[MAP].replace("one_run", "two_run"), 1),
        (MAP, good[MAP].replace("`proxy/two.h`", "proxy/two.h"), 1),
        (DOCUMENTS[1], "`one_gone()`", 1),
        (DOCUMENTS[2], "`three.c`", 1),
    ]
    failures = []
    for path, text, expected in changes:
        with tempfile.TemporaryDirectory() as top:
            for name, content in {**good, path: text}.items():
                os.makedirs(os.path.join(top, os.path.dirname(name)), exist_ok=True)
                with open(os.path.join(top, name), "w", encoding="utf-8") as file:
                    file.write(content)
            wrong = find_wrong(top)[1]
            if len(wrong) != expected:
                failures.append(f"self-test: {path}: {text!r}: expected {expected}: {wrong}")
    return len(changes), failures


def main():
    top = os.environ.get("TOP_SRCDIR") or os.path.join(os.path.dirname(__file__), "../..")
    tested, failures = run_self_test()
    seen, wrong = find_wrong(top)
    if seen == 0:
        wrong.append("the documents name nothing: wrong TOP_SRCDIR?")
    for line in failures + wrong:
        print(line)
    failed = len(failures) + (1 if wrong else 0)
    print(f"{tested + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
