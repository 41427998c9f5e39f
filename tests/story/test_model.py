"""Some thousand random steps beside a small model of RFC 9111, and that the comparison finds what is wrong: tests/model/run.py."""

import os
import subprocess
import sys

from weirtest import SANITIZED, SLOW, binary

RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "model", "run.py")


def run(*arguments):
    process = subprocess.Popen([sys.executable, RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env=os.environ | {"WEIR_BIN": binary()})
    try:
        output = process.communicate(timeout=250 * SLOW)[0]
    finally:
        if process.poll() is None:
            process.terminate()  # its weir ends with it
            process.wait()
    print(output)
    assert process.returncode == 0, output


def test_no_difference():
    run("--seed", "1", "--steps", "3000" if SANITIZED else "6000")


def test_each_planted_difference_is_found():
    run("--seed", "1", "--steps", "60000", "--planted")
