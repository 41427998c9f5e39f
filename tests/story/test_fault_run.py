"""A few seconds of the randomised fault run: tests/faults/run.py, which says what it checks."""

import os
import subprocess
import sys

from weirtest import SLOW, binary

RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults", "run.py")


def test_nothing_wrong_and_nothing_left():
    process = subprocess.Popen([sys.executable, RUN, "--weir", binary(), "--seconds", "5", "--seed", "1"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output = process.communicate(timeout=60 * SLOW)[0]
    finally:
        if process.poll() is None:
            process.terminate()  # it ends its weir
            process.wait()
    assert process.returncode == 0, output
    print(output)
