"""The constant rate of the benches: what is refused, and how its section of the page is renewed."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from weirtest import SLOW, free_port

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench")
sys.path.insert(0, BENCH)

import harness  # noqa: E402
import report  # noqa: E402

# There is another run.py.
_spec = importlib.util.spec_from_file_location("bench_run", os.path.join(BENCH, "run.py"))
run = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(run)


def result(requests=30000, late_p99=1.0, p99=50.0):
    late = {"p50": 0.1, "p99": late_p99, "p999": late_p99, "max": late_p99}
    return {"requests": requests, "wanted": 30000, "bad": 0, "p50": 30.0, "p99": p99, "p999": 80.0, "max": 90.0,
            "late": late, "cpu_us": 7.0}


def results(**servers):
    return {"workloads": {"rate": servers}, "rate": 10000, "rounds": 2, "seconds": 3, "started": "today", "notes": [],
            "singles": {}}


@pytest.fixture
def tools(tmp_path):
    harness.compile_tools(str(tmp_path))
    return tmp_path


def drive(tools, per_second, seconds):
    port = free_port()
    responder = subprocess.Popen([tools / "responder", "-p", str(port), "-b", "1024"], stdout=subprocess.DEVNULL)
    try:
        harness.wait_listening(Started(responder), port)
        done = subprocess.run([tools / "rate", "-p", str(port), "-r", str(per_second), "-s", str(seconds)],
                              stdout=subprocess.PIPE, timeout=60 * SLOW, check=True)
        return json.loads(done.stdout)
    finally:
        responder.terminate()
        responder.wait()


class Started:
    """What wait_listening() asks a process for."""

    name = "responder"

    def __init__(self, process):
        self.process = process

    def alive(self):
        return self.process.poll() is None


def test_the_generator_answers_for_its_own_lateness(tools):
    found = drive(tools, 5000000, 0.004)  # more than any core sends
    assert found["requests"] == found["wanted"] == 20000
    with pytest.raises(run.Refused, match="the generator could not keep 5,000,000 requests a second"):
        run.check_rate("weir", found, 5000000)


def test_latency_counts_from_the_time_due(tools):
    """All are due within 4 ms, and no server answers half of them meanwhile."""
    found = drive(tools, 5000000, 0.004)
    assert 4000 < found["p50"] <= found["p99"] <= found["p999"] <= found["max"]


def test_a_kept_rate_is_taken_and_a_slow_server_refused():
    run.check_rate("weir", result(late_p99=100.0), 10000)
    with pytest.raises(run.Refused):
        run.check_rate("weir", result(late_p99=100.1), 10000)
    with pytest.raises(harness.BenchError, match="29,999 of 30,000"):
        run.check_rate("weir", result(requests=29999), 10000)


def test_ratios_are_taken_within_each_round():
    table = report.rate_table({"weir": [result(p99=50.0), result(p99=60.0)], "nginx": [result(p99=100.0), result(p99=60.0)]})
    assert "| 0.75 (0.50–1.00) |" in table[-1]


def test_the_section_is_renewed_and_nothing_else():
    page = "# Page\n\n| a |\n\n## Held against the goals\n\nrest\n"
    first = report.renew_section(page, report.rate_section(results(weir=[result(p99=51.0)])))
    second = report.renew_section(first, report.rate_section(results(weir=[result(p99=52.0)])))
    assert first.count(report.RATE_HEADING) == second.count(report.RATE_HEADING) == 1
    assert "51 (51–51)" in first and "51 (51–51)" not in second and "52 (52–52)" in second
    assert second.replace("52 (52", "51 (51").replace("–52)", "–51)") == first
    assert first.startswith("# Page\n\n| a |\n\n") and first.endswith("## Held against the goals\n\nrest\n")
