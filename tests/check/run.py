#!/usr/bin/python3
"""Runs everything that "make check" runs, and counts it together.

Groups: unit (cmocka programs), check (tests/check/check_*.py), story and regress (pytest, one
process a file). Each program has a time limit; what a failing one printed is shown. The last
line is "N passed, N failed"; the exit status is 1 if anything failed or a group ran nothing.

From the environment: WEIR_BIN, TOP_SRCDIR, TOP_BUILDDIR, WEIR_SANITIZER; and to choose,
WEIR_CHECK="unit story" (groups), WEIR_MATCH=text (files whose path has it), WEIR_TIMEOUT
(seconds a program).
"""

import argparse
import collections
import concurrent.futures
import ctypes
import glob
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

ADDR_NO_RANDOMIZE = 0x0040000
PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "-o", "junit_family=xunit1"]

Result = collections.namedtuple("Result", "name passed failed skipped output seconds")


running = set()


def kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def on_interrupt(number, _frame):
    for pid in list(running):
        kill_group(pid)
    os._exit(128 + number)


def run_program(command, environment, timeout_s):
    """Runs one program in a process group of its own; returns (status text or None, output)."""
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, env=environment,
                                       start_new_session=True)
        except OSError as error:
            return str(error), ""
        running.add(process.pid)
        try:
            status = process.wait(timeout_s)
            trouble = None if status == 0 else (
                f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit {status}")
        except subprocess.TimeoutExpired:
            trouble = f"not finished after {timeout_s} s"
        finally:
            # What the program has left behind must not outlive it.
            kill_group(process.pid)
            running.discard(process.pid)
            process.wait()
        output.seek(0)
        return trouble, output.read().decode(errors="replace")


def count_tap(text):
    """Counts cmocka's TAP: (planned, passed, failed, skipped)."""
    planned = sum(int(n) for n in re.findall(r"^1\.\.(\d+)", text, re.M))
    # cmocka 1.1 writes "not ok 5 # SKIP".
    skipped = len(re.findall(r"^(?:not )?ok \d+ # SKIP", text, re.M))
    passed = len(re.findall(r"^ok \d+ (?!# SKIP)", text, re.M))
    failed = len(re.findall(r"^not ok \d+ (?!# SKIP)", text, re.M))
    return planned, passed, failed, skipped


def run_unit(name, path, environment, timeout_s):
    trouble, output = run_program([path], {**environment, "CMOCKA_MESSAGE_OUTPUT": "TAP"},
                                  timeout_s)
    planned, passed, failed, skipped = count_tap(output)
    lost = planned - passed - failed - skipped
    if lost > 0:
        output += f"\n{lost} of {planned} tests gave no result"
        failed += lost
    if trouble:
        output += f"\n{trouble}"
        failed = max(failed, 1)
    elif passed + failed + skipped == 0:
        output += "\nno test was run"
        failed = 1
    return passed, failed, skipped, output


def run_check(name, path, environment, timeout_s):
    """A check counts as one, or as many as its own last "N passed, N failed" says."""
    if not os.access(path, os.X_OK):
        return 0, 1, 0, "not executable"
    trouble, output = run_program([sys.executable, path], environment, timeout_s)
    counts = re.findall(r"^(\d+) passed, (\d+) failed$", output, re.M)
    passed, failed = map(int, counts[-1]) if counts else (0, 0)
    if trouble:
        return passed, max(failed, 1), 0, f"{output}\n{trouble}"
    return (passed, failed, 0, output) if counts else (1, 0, 0, output)


def with_reports_to(folder):
    """Makes the sanitizers write to files: the report of a server that a story started, and at
    whose end it did not look, would be lost otherwise."""
    log = f"log_path={folder}/sanitizer"
    suppressions = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tsan.supp")
    return {
        "ASAN_OPTIONS": f"detect_leaks=1:detect_stack_use_after_return=1:{log}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:{log}",
        "TSAN_OPTIONS": f"second_deadlock_stack=1:suppressions={suppressions}:{log}",
    }


def read_reports(folder):
    texts = []
    for path in sorted(glob.glob(f"{folder}/sanitizer.*")):
        with open(path, encoding="utf-8", errors="replace") as file:
            texts.append(file.read().strip())
    return texts


def run_pytest(name, path, environment, timeout_s):
    with tempfile.TemporaryDirectory(prefix="weir-check-") as folder:
        report = os.path.join(folder, "report.xml")
        if environment.get("WEIR_SANITIZER"):
            environment = {**environment, **with_reports_to(folder)}
        trouble, output = run_program(
            [sys.executable, *PYTEST, f"--junitxml={report}", path], environment, timeout_s)
        total = bad = skipped = 0
        if os.path.exists(report):
            for suite in xml.etree.ElementTree.parse(report).getroot().iter("testsuite"):
                total += int(suite.get("tests"))
                bad += int(suite.get("failures")) + int(suite.get("errors"))
                skipped += int(suite.get("skipped"))
        complaints = read_reports(folder)
    if trouble:
        output += f"\n{trouble}"
        bad = max(bad, 1)
    elif total == 0:
        output += "\nno test was run"
        bad = 1
    if complaints:
        output = "\n".join([output, f"{len(complaints)} reports of a sanitizer:", *complaints])
        bad = max(bad, 1)
    return max(total - bad - skipped, 0), bad, skipped, output


def find_stories(folder):
    """The Python files that hold tests, whatever their names; helpers beside them hold none."""
    found = []
    for path in sorted(glob.glob(f"{folder}/**/*.py", recursive=True)):
        with open(path, encoding="utf-8") as file:
            if re.search(r"^\s*(async )?def test_", file.read(), re.M):
                found.append(path)
    return found


def run_group(group, run, files, environment, timeout_s, jobs):
    def one(item):
        name, path = item
        began = time.monotonic()
        passed, failed, skipped, output = run(name, path, environment, timeout_s)
        return Result(name, passed, failed, skipped, output, time.monotonic() - began)

    began = time.monotonic()
    passed = failed = skipped = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for result in pool.map(one, files):
            passed += result.passed
            failed += result.failed
            skipped += result.skipped
            if result.failed:
                print(f"---- {group} {result.name}: {result.failed} failed")
                print(result.output.strip())
                print("----", flush=True)
            elif os.environ.get("V"):
                print(f"     {group} {result.name}: {result.passed} passed, "
                      f"{result.seconds:.1f} s", flush=True)
    if files and passed + failed == 0:
        print(f"---- {group}: there are {len(files)} files, but no test was run")
        failed = 1
    note = f", {skipped} skipped" if skipped else ""
    print(f"{group + ':':9}{passed} passed, {failed} failed{note} "
          f"({len(files)} files, {time.monotonic() - began:.1f} s)", flush=True)
    return passed, failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--unit", default="", help="the unit test programs, as in Makefile.am")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, on_interrupt)
    signal.signal(signal.SIGTERM, on_interrupt)
    source = os.environ["TOP_SRCDIR"]
    build = os.environ["TOP_BUILDDIR"]
    sanitizer = os.environ.get("WEIR_SANITIZER", "")
    slow = 3 if sanitizer else 1
    limit_s = int(os.environ.get("WEIR_TIMEOUT", "0"))
    processors = len(os.sched_getaffinity(0))

    # With addresses as random as newer kernels make them, older sanitizers find no room for
    # their shadow. Children inherit this.
    if sanitizer:
        ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE)

    checks = sorted(glob.glob(f"{source}/tests/check/check_*.py"))
    groups = [
        ("unit", run_unit, [(name.removeprefix("tests/unit/"), os.path.join(build, name))
                            for name in arguments.unit.split()], 120, processors),
        ("check", run_check, [(os.path.basename(path), path) for path in checks], 120, processors),
    ]
    for group in ("story", "regress"):
        files = find_stories(f"{source}/tests/{group}")
        groups.append((group, run_pytest, [(os.path.basename(path), path) for path in files],
                       600, processors))

    wanted = os.environ.get("WEIR_CHECK", "").split()
    match = os.environ.get("WEIR_MATCH", "")
    passed = failed = 0
    for group, run, files, timeout_s, jobs in groups:
        files = [item for item in files if match in item[1]]
        if not files or (wanted and group not in wanted):
            continue
        good, bad = run_group(group, run, files, dict(os.environ),
                              (limit_s or timeout_s) * slow, jobs)
        passed += good
        failed += bad
    if passed + failed == 0:
        print("no test was run")
        failed = 1
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
