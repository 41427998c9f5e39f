"""A few seconds of the fault run with failures from below: tests/faults/run.py --inject, which says what it checks."""

import os
import subprocess
import sys

from weirtest import SLOW, binary

RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults", "run.py")


def test_some_hundred_failures_at_random():
    process = subprocess.Popen([sys.executable, RUN, "--weir", binary(), "--seconds", str(60 * SLOW), "--seed", "1", "--inject", "600"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output = process.communicate(timeout=110 * SLOW)[0]
    finally:
        if process.poll() is None:
            process.terminate()  # it ends its weir
            process.wait()
    assert process.returncode == 0, output
    print(output)
