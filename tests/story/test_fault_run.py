"""A few seconds of the randomised fault run, without and with injected failures: tests/faults/run.py, which says what it checks."""

import os
import subprocess
import sys

from weirtest import SLOW, binary

RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults", "run.py")


def run(seconds, *arguments, timeout_s):
    process = subprocess.Popen([sys.executable, RUN, "--weir", binary(), "--seconds", str(seconds), "--seed", "1", *arguments],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output = process.communicate(timeout=timeout_s * SLOW)[0]
    finally:
        if process.poll() is None:
            process.terminate()  # it ends its weir
            process.wait()
    assert process.returncode == 0, output
    print(output)


def test_nothing_wrong_and_nothing_left():
    run(5, timeout_s=60)


def test_some_hundred_failures_at_random():
    run(60 * SLOW, "--inject", "600", timeout_s=110)
