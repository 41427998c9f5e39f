"""weir demo: without a terminal it shows its three times and ends by itself."""

import re

from weirtest import SLOW, run_weir

UNITS_MS = {"us": 0.001, "µs": 0.001, "ms": 1, "s": 1000}


def test_direct_cold_and_warm():
    done = run_weir("demo", timeout_s=30 * SLOW)
    assert done.returncode == 0, done.stderr
    times = {}
    for word in ("direct", "cold", "warm"):
        line = next((line for line in done.stdout.splitlines() if word in line.lower()), None)
        assert line, f"no {word} time in:\n{done.stdout}"
        match = re.search(r"(\d+(?:\.\d+)?) ?(us|µs|ms|s)\b", line[line.lower().index(word):])
        assert match, f"no time in: {line}"
        times[word] = float(match[1]) * UNITS_MS[match[2]]
    assert times["direct"] >= 195 and times["cold"] >= 195
    assert times["warm"] < (20 if SLOW > 1 else 10)
    assert re.search(r"http://127\.0\.0\.1:\d+", done.stdout)
