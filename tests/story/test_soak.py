"""What a soak finds, and what it does not take for a finding: made-up memory and errors, then a short soak of the real program."""

import os
import random
import re
import shutil
import subprocess
import sys
import types

import pytest

from weirtest import SLOW, binary

FAULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults")
sys.path.insert(0, FAULTS)

import slope  # noqa: E402
import soak  # noqa: E402
from ledger import Ledger, Trouble  # noqa: E402

RESIDENT_KIB = 24000
SECONDS = 450  # of ten minutes, what is left after the warm-up


# Memory ----


def series(per_minute=0, seed=1, curve=lambda second: 0):
    """Like a real one: some MiB up and down, and what is now says something about the next second."""
    chance, noise, samples = random.Random(seed), 0, []
    for second in range(SECONDS):
        noise = 0.6 * noise + chance.gauss(0, 1000)
        samples.append((second, RESIDENT_KIB + noise + per_minute / 60 * second + curve(second)))
    return samples


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_leak(seed):
    assert not slope.judge(series(seed=seed)).leaks


@pytest.mark.parametrize("seed", range(5))
def test_a_leak_is_found(seed):
    growth = slope.judge(series(per_minute=1500, seed=seed))
    assert growth.leaks and 1000 < growth.whole.value * 60 < 2000


def test_a_leak_as_small_as_promised_is_found_most_of_the_time():
    found = [slope.judge(series(per_minute=slope.judge(series(seed=seed)).found_from * 60, seed=seed + 100)).leaks
             for seed in range(10)]
    assert sum(found) >= 8


@pytest.mark.parametrize("what, curve", [
    ("growth that has stopped", lambda second: min(second, SECONDS / 3) * 20),
    ("a step", lambda second: 3000 if second > SECONDS / 3 else 0),
    ("a few peaks", lambda second: 20000 if second % 97 > 93 else 0),
    ("memory that is given back", lambda second: -20 * second),
])
def test_what_is_no_leak(what, curve):
    assert not slope.judge(series(curve=curve)).leaks, what


def test_growth_that_does_not_matter_is_no_leak():
    quiet = [(second, RESIDENT_KIB + second * 0.01) for second in range(SECONDS)]  # 36 KiB an hour of 24 MiB
    loud = [(second, RESIDENT_KIB + second * 0.1) for second in range(SECONDS)]
    assert slope.judge(quiet).whole.low > 0 and not slope.judge(quiet).leaks
    assert slope.judge(loud).leaks


def test_too_few_samples_say_nothing():
    assert slope.judge(series()[:10]) is None


def test_memory_in_the_report():
    run = types.SimpleNamespace(sanitized=None, samples=series(per_minute=1500), seconds=600)
    lines, grows = soak.memory_lines(run)
    assert grows and "GROWS" in lines[-1]
    run.samples = series()
    lines, grows = soak.memory_lines(run)
    assert not grows and lines[-1].startswith("flat")
    run.sanitized = "address"
    assert soak.memory_lines(run) == (["not judged: built with -fsanitize=address"], False)


# Errors ----


def ledger(fault="close", status=200, serial=7, client=None, same_request=True, only_if_cached=False, begun=101, ended=102):
    """A client has asked for key 3 as request "5" at 100; the origin has met it, or another for the same key, with a fault."""
    book = Ledger()
    book.ask("5", 3, client, only_if_cached, 100)
    book.ask("6", 3, None, False, 100)
    if fault:
        exchange = book.begin("5" if same_request else "6", 3, fault, status, serial, begun)
        book.end(exchange, ended)
    return book


def trouble(what="status", identity="5", at=103, **more):
    return Trouble(what, identity, at, **more)


BAD = {"status": 502, "detail": "origin-closed"}


def test_an_error_is_explained_by_its_own_fault_only():
    assert ledger("close").explain(trouble(**BAD)) == "the origin: close"
    assert ledger("none").explain(trouble(**BAD)) is None
    assert ledger("stall").explain(trouble(**BAD)) is None
    assert ledger(None).explain(trouble(**BAD)) is None
    assert ledger("stall").explain(trouble(status=504, detail="first-byte-timeout")) == "the origin: stall"


def test_a_request_that_waited_for_another_is_explained_by_the_key_and_the_time():
    assert ledger(same_request=False).explain(trouble(**BAD))
    assert ledger(same_request=False, begun=104).explain(trouble(**BAD)) is None
    assert ledger(same_request=False, begun=50, ended=60).explain(trouble(**BAD)) is None
    elsewhere = ledger(None)
    elsewhere.end(elsewhere.begin("6", 4, "close", 200, 7, 101), 102)
    assert elsewhere.explain(trouble(**BAD)) is None


def test_a_request_that_has_reached_the_origin_itself_is_not_explained_by_others():
    book = ledger("none")
    book.end(book.begin("6", 3, "close", 200, 8, 101), 102)
    assert book.explain(trouble(**BAD)) is None


def test_a_spoilt_connection_explains_what_was_sent_on_it():
    book = ledger(None)
    book.end(book.begin("6", 4, "unsolicited", 200, 7, 101), 102)
    assert book.explain(trouble(status=502, detail="origin-malformed"))
    assert book.explain(trouble(status=504, detail="first-byte-timeout")) is None


def test_a_status_of_the_origin_is_known_by_its_serial():
    assert ledger("none", status=404).explain(trouble(status=404, serial=7)) == "the origin answered 404"
    assert ledger("none", status=404).explain(trouble(status=500, serial=7)) is None
    assert ledger("none", status=404).explain(trouble(status=404, serial=8)) is None
    assert ledger("none", status=404).explain(trouble(status=404)) == "the origin answered 404"
    assert ledger("none", status=500).explain(trouble(status=404)) is None


def test_a_broken_answer_is_explained_by_the_answer_it_came_from():
    assert ledger("reset").explain(trouble("cut", serial=7)) == "the origin's answer: reset"
    assert ledger("none").explain(trouble("cut", serial=7)) is None
    assert ledger("reset").explain(trouble("cut", serial=6)) is None
    assert ledger("reset").explain(trouble("cut")) is None
    assert ledger("none", client="reads slowly").explain(trouble("cut", serial=7))


@pytest.mark.parametrize("status, fault, explained", [
    (400, "rubbish", True), (400, "stalls", False), (400, None, False), (408, "stalls", True), (408, "leaves", False),
    (0, "leaves", True), (0, None, False), (503, None, False), (505, "rubbish", True), (505, "leaves", False)])
def test_what_a_client_has_to_do_for_a_status(status, fault, explained):
    assert bool(ledger(None, client=fault).explain(trouble(status=status, at=131))) == explained


def test_no_connection_and_no_memory_have_no_excuse_but_slow_clients():
    assert ledger("close").explain(trouble(status=503, detail="queue-full")) is None
    assert ledger("close").explain(trouble(status=502, detail="connect-failed")) is None
    assert ledger(None).explain(trouble(status=503, detail="overloaded")) is None
    assert ledger(None, client="reads slowly").explain(trouble(status=503, detail="overloaded"))


def test_an_answer_that_never_came_is_unexplained():
    assert ledger("none").explain(trouble("unanswered")) is None
    assert ledger("close", client="uploads slowly").explain(trouble("unanswered"))


def test_a_stale_answer_may_be_another_than_that_of_its_refresh():
    book = ledger("slow")
    stored = book.begin("6", 3, "none", 404, 3, 90)
    book.end(stored, 91)
    assert book.explain(trouble(status=404)) is None
    assert book.explain(trouble(status=404, stale=True)) == "the origin answered 404"
    assert book.explain(trouble(status=410, stale=True)) is None


def test_only_if_cached_is_answered_504_where_it_was_asked_for():
    assert ledger(None, only_if_cached=True).explain(trouble(status=504, detail="only-if-cached"))
    assert ledger(None).explain(trouble(status=504, detail="only-if-cached")) is None
    assert ledger(None, only_if_cached=True).explain(trouble(status=504, detail="first-byte-timeout")) is None


def test_a_pause_of_the_machine_explains_timeouts_and_nothing_else():
    late = {"status": 504, "detail": "first-byte-timeout"}
    book = ledger("none", ended=101.5)
    book.tick(101, 101.1)
    assert book.explain(trouble(**late)) is None
    book.tick(101, 101.9)
    assert book.explain(trouble(**late)) and book.explain(trouble(**BAD)) is None
    assert ledger("none", ended=102.5).explain(trouble(**late)) == "the origin took too long without being told to"


def test_lines_of_requests_that_nobody_knows_are_counted():
    book = ledger(None, client="rubbish")
    assert book.explain(trouble(identity=None, status=400))
    assert book.explain(trouble(identity=None, status=400)) is None
    assert ledger(None, client="stalls").explain(trouble(identity=None, status=400)) is None
    assert ledger(None, client="stalls").explain(trouble(identity=None, status=408))


def test_lines_of_the_error_log():
    book = ledger("garbage", client="reads slowly")
    book.purged["url http://h/k/1"] += 1
    purge = "2026-01-01T00:00:00.000Z info admin: purged 2 stored responses: url http://h/k/1"
    assert book.explain_line(purge, 103) and book.explain_line(purge, 103) is None
    slow = "2026-01-01T00:00:00.000Z info sending 1.2.3.4 the response to GET /: 5 bytes taken; the connection is reset"
    assert book.explain_line(slow, 103)
    held_back = "2026-01-01T00:00:00.000Z warn asking origins: the origin stopped sending: 7 such lines were held back before"
    assert book.explain_line(held_back, 103)
    assert book.explain_line(slow + "; 7 such lines were held back before", 103)
    assert book.explain_line(slow, 203) is None
    assert book.explain_line("2026-01-01T00:00:00.000Z warn accepting connections: Too many open files; pausing", 103) is None


@pytest.mark.parametrize("line,expected", [
    ('asking 127.0.0.1:9 of upstream up, route *, for request abc, "GET /k HTTP/1.1": the origin\'s answer is not valid HTTP '
     '(a field line has no colon); answered 502', ("abc", 502, "origin-malformed")),
    ('asking 127.0.0.1:9 of upstream up, route *, for request abc, "GET /k HTTP/1.1": the origin\'s answer ended early; '
     'the response is cut; 7 such lines were held back before', ("abc", 502, "origin-cut")),
    ('asking 127.0.0.1:9 of upstream up, route *, for request abc, trace 0af7651916cd43dd8448eb211c80319c, "GET /k HTTP/1.1": '
     'the origin did not answer in time (upstreams.up.timeouts.first_byte: 1000 ms); answered 504', ("abc", 504, "first-byte-timeout")),
    ("waiting for another request's answer from upstream up, route *, for request abc: none came in time; answered 504",
     ("abc", 504, "coalesce-timeout")),
    ('asking 127.0.0.1:9 of upstream up, route *, for request abc, "GET /k HTTP/1.1": something new; answered 502', None),
    ("sending 1.2.3.4 the response to GET /, request abc: 5 bytes taken; the connection is reset", None),
])
def test_which_request_a_line_is_about(line, expected):
    assert Ledger.request_of_line("2026-01-01T00:00:00.000Z warn " + line) == expected


def test_what_is_old_is_forgotten():
    book = ledger("close", client="rubbish")
    book.forget(1000)
    assert not book.asked and not book.exchanges and not book.by_key[3] and not book.unknown["rubbish"]
    assert book.status_of[7] == 200  # what is stored may be delivered later


# The whole ----


def run_soak(folder, *lines):
    code = "\n".join((f"import sys; sys.path.insert(0, {FAULTS!r}); import soak, contextlib", *lines, "sys.exit(soak.main())"))
    process = subprocess.Popen([sys.executable, "-c", code, "--weir", binary(), "--seconds", "8", "--seed", "1"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env=os.environ | {"TMPDIR": str(folder)})
    try:
        output = process.communicate(timeout=90 * SLOW)[0]
    finally:
        if process.poll() is None:
            process.terminate()  # it ends its weir
            process.wait()
    return process.returncode, output


def test_a_short_soak_finds_nothing(tmp_path):
    status, output = run_soak(tmp_path)
    assert status == 0, output
    verdict = output.splitlines()[-1]
    assert re.fullmatch(r"VERDICT passed, memory not judged: (\d+ samples are too few|built with .*)", verdict), output
    assert "\nerrors  " in output and " explained, 0 not" in output and "all zero after the load" in output
    print(output)


def test_a_soak_finds_faults_that_nobody_has_admitted(tmp_path):
    status, output = run_soak(tmp_path, "soak.SoakOrigin.on_exchange = lambda *_: contextlib.nullcontext()")
    assert status == 1 and "UNEXPLAINED: status" in output and "UNEXPLAINED: cut" in output, output
    assert "VERDICT failed: " in output


@pytest.mark.parametrize("seconds", ["ten", "0", "-5", "nan", "inf"])
@pytest.mark.parametrize("way", ["option", "environment"])
def test_a_time_that_is_none_is_refused(seconds, way):
    option, environment = ([f"--seconds={seconds}"], {}) if way == "option" else ([], {"SOAK_SECONDS": seconds})
    done = subprocess.run([sys.executable, os.path.join(FAULTS, "soak.py"), *option], capture_output=True, text=True,
                          env=os.environ | environment, timeout=60 * SLOW)
    assert done.returncode == 2 and f"'{seconds}' is not a positive number of seconds" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not done.stdout


@pytest.mark.skipif(not shutil.which("go"), reason="go tool pprof is not installed")
def test_heap_profiles_are_compared(tmp_path):
    for name, size in (("start", 1000000), ("end", 9000000)):
        (tmp_path / f"heap.{name}").write_text(f"heap profile: 1: {size} [1: {size}] @ heap_v2/1\n 1: {size} [1: {size}] @ 0x1000\n"
                                               "MAPPED_LIBRARIES:\n")
    run = types.SimpleNamespace(folder=str(tmp_path),
                                profiles={name: str(tmp_path / f"heap.{name}") for name in ("start", "end")})
    lines = soak.profile_lines(run, binary())
    assert lines[0].startswith("go tool pprof -top -base ") and any("7.63MB" in line for line in lines), lines
    run.profiles["end"] = "GET /debug/pprof/heap answers 501: this weir was built without heap profiles"
    assert soak.profile_lines(run, binary()) == ["none: " + run.profiles["end"]]
