#!/usr/bin/python3
"""Holds run.py to what the last line of "make check" promises: nothing that failed, crashed, hung,
or never ran may be counted as passed."""

import os
import subprocess
import sys
import tempfile

RUNNER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run.py")
CHECK_PASSES = ("tests/check/check_a.py", "print('ok')\n")

# what, the files there, which of them are unit programs, the last line expected
CASES = [
    ("everything passes",
     [("tests/unit/a", "echo 1..2; echo 'ok 1 - x'; echo 'ok 2 - y'"), CHECK_PASSES,
      ("tests/story/test_a.py", "def test_a(): pass\n"),
      ("tests/regress/lost_body.py", "def test_b(): pass\n")], "5 passed, 0 failed"),
    ("a case fails", [("tests/unit/a", "echo 1..2; echo 'ok 1 - x'; echo 'not ok 2 - y'; exit 1")],
     "1 passed, 1 failed"),
    ("a case is skipped", [("tests/unit/a", "echo 1..2; echo 'ok 1 - x'; echo 'not ok 2 # SKIP y'")],
     "1 passed, 0 failed"),
    ("a program dies", [("tests/unit/a", "echo 1..3; echo 'ok 1 - x'; kill -ABRT $$")],
     "1 passed, 2 failed"),
    ("a program ends badly after its last case",
     [("tests/unit/a", "echo 1..1; echo 'ok 1 - x'; exit 3")], "1 passed, 1 failed"),
    ("a program ends well before its last case",
     [("tests/unit/a", "echo 1..2; echo 'ok 1 - x'")], "1 passed, 1 failed"),
    ("a program runs nothing", [("tests/unit/a", "true")], "0 passed, 1 failed"),
    ("a program hangs", [("tests/unit/a", "echo 1..1; while :; do :; done")], "0 passed, 1 failed"),
    ("a program was not built", [("tests/unit/a", None)], "0 passed, 1 failed"),
    ("a check fails", [("tests/check/check_a.py", "raise SystemExit(1)\n")], "0 passed, 1 failed"),
    ("a check that counts", [("tests/check/check_a.py", "print('3 passed, 0 failed')\n")],
     "3 passed, 0 failed"),
    ("a story fails", [("tests/story/test_a.py",
                        "def test_a(): pass\ndef test_b(): assert False\n")], "1 passed, 1 failed"),
    ("a story cannot be read", [("tests/story/test_a.py", "def test_a(): pass\nimport gone\n")],
     "0 passed, 1 failed"),
    ("a sanitizer complained to nobody",
     [("tests/story/test_a.py", "import os\ndef test_a():\n    path = os.environ['ASAN_OPTIONS']\n"
                                "    open(path.split('log_path=')[1] + '.1', 'w').write('bad')\n")],
     "0 passed, 1 failed"),
    ("there is nothing", [], "0 passed, 1 failed"),
]


def run_case(what, files):
    with tempfile.TemporaryDirectory(prefix="weir-check-") as top:
        units = []
        for path, text in files:
            whole = os.path.join(top, path)
            os.makedirs(os.path.dirname(whole), exist_ok=True)
            if path.startswith("tests/unit"):
                units.append(path)
                text = text and f"#!/bin/bash\n{text}\n"
            if text:
                with open(whole, "w", encoding="utf-8") as file:
                    file.write(text)
                os.chmod(whole, 0o755)
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("WEIR_") and not name.endswith("SAN_OPTIONS")}
        environment.update(TOP_SRCDIR=top, TOP_BUILDDIR=top,
                           WEIR_TIMEOUT="2" if "hangs" in what else "30",
                           WEIR_SANITIZER="address" if "sanitizer" in what else "")
        done = subprocess.run([sys.executable, RUNNER, "--unit", " ".join(units)], text=True,
                              env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=60)
        return done.returncode, done.stdout


def main():
    failed = 0
    for what, files, expected in CASES:
        code, output = run_case(what, files)
        last = output.splitlines()[-1] if output else ""
        if last != expected or code != (0 if expected.endswith(" 0 failed") else 1):
            failed += 1
            print(f"{what}: expected \"{expected}\", got \"{last}\" and exit {code}\n{output}")
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
