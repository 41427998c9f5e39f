#!/usr/bin/python3
"""Holds docs/rfc9111.md against the tests: every row of its tables names at least one, and each that it names is there.

A test is `file::function`; the file lies in tests/story, tests/regress or a folder of tests/unit, and the function begins a
definition in it; in C it is in the list of what is run as well. First each kind of mistake must be found when it is made on
purpose.
"""

import glob
import os
import re
import sys
import tempfile

TOP = os.environ.get("TOP_SRCDIR") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PAGE = "docs/rfc9111.md"
FOLDERS = ("tests/story", "tests/regress", "tests/unit/*")
TEST = re.compile(r"`([\w.]+)::(\w+)`")
HEAD = re.compile(r"\| § \| .* \| Weir \| tests \|")
ROWS_LEAST = 100


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def has_test(paths, function):
    for path in paths:
        text = read(path)
        if path.endswith(".c") and re.search(rf"^static void {function}\(", text, re.MULTILINE) and \
                len(re.findall(rf"\b{function}\b", text)) > 1:
            return True
        if path.endswith(".py") and re.search(rf"^def {function}\(", text, re.MULTILINE):
            return True
    return False


def find_wrong(top):
    """(how many rows there are, what is wrong)."""
    rows, wrong, in_table = 0, [], False
    for number, line in enumerate(read(os.path.join(top, PAGE)).splitlines(), 1):
        if not line.startswith("|"):
            in_table = False
            continue
        if HEAD.fullmatch(line) or line.startswith("|---"):
            in_table = True
            continue
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not in_table or len(cells) != 4 or not all(cells):
            wrong.append(f"{PAGE}:{number}: not a row of four cells below \"§ | … | Weir | tests\"")
            continue
        rows += 1
        tests = TEST.findall(cells[3])
        if not tests or TEST.sub("", cells[3]).strip():
            wrong.append(f"{PAGE}:{number}: the last cell is to hold `file::function`, at least once, and nothing else")
        for file, function in tests:
            paths = [path for folder in FOLDERS for path in glob.glob(os.path.join(top, folder, file))]
            if not paths:
                wrong.append(f"{PAGE}:{number}: {file}: no such file in {', '.join(FOLDERS)}")
            elif not has_test(paths, function):
                wrong.append(f"{PAGE}:{number}: {file} has no test {function}")
    return rows, wrong


def run_self_test():
    good = "| § | the RFC says | Weir | tests |\n|---|---|---|---|\n| 1 | a | b | `test_a.c::test_one` `test_b.py::test_two` |\n"
    changes = (("", ""), ("`test_a.c::test_one` `test_b.py::test_two`", "none"), ("test_a.c", "test_x.c"), ("test_one", "test_on"),
               ("test_two", "test_three"), ("test_one", "test_idle"), (" | b |", " |"), ("| 1 | a | b |", "| 1 | a |  |"),
               ("|---|---|---|---|\n", "text\n"), ("` |\n", "` and more |\n"))
    failures = []
    for old, new in changes:
        with tempfile.TemporaryDirectory() as top:
            for path, text in (("docs/rfc9111.md", good.replace(old, new) if old else good),
                               ("tests/unit/x/test_a.c", "static void test_idle(void **s)\nstatic void test_one(void **s)\n  TEST(test_one),\n"),
                               ("tests/story/test_b.py", "def test_two(start):\n")):
                os.makedirs(os.path.dirname(os.path.join(top, path)), exist_ok=True)
                with open(os.path.join(top, path), "w", encoding="utf-8") as file:
                    file.write(text)
            if bool(find_wrong(top)[1]) != bool(old):
                failures.append(f"self-test: {new!r} in the place of {old!r}: {find_wrong(top)[1]}")
    return failures


def main():
    failures = run_self_test()
    rows, wrong = find_wrong(TOP)
    if rows < ROWS_LEAST:
        wrong.append(f"{PAGE}: {rows} rows, and at least {ROWS_LEAST} are expected")
    for line in failures + wrong:
        print(line)
    print(f"{rows} rows of {PAGE}")
    failed = len([group for group in (failures, wrong) if group])
    print(f"{2 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
