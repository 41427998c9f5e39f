#!/usr/bin/python3
"""Breaks the caching rules on purpose, one small thing at a time, and sees whether a test notices.

breakages.py is the list: file, exact text, what stands there instead. Each is made in a copy of the built tree, which is
removed at the end; what it concerns is built, and for files of cache/ its unit tests run, the file's own first; then the
stories that the breakage names. One that no test notices has survived, unless the list says why it changes nothing. It ends with

    N breakages: C caught, E equivalent, S survived

and exits with 0, or with 1 when one survived. A text that is not there exactly once, a breakage that does not compile, and
one that is said to change nothing and is noticed all the same, are errors (exit 2): the list is to be put right.

    tests/mutation/run.py                    all of them
    tests/mutation/run.py vary.c policy      of these files, by part of their name
    tests/mutation/run.py --check            only whether every text is there exactly once
"""

import argparse
import collections
import concurrent.futures
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from breakages import BREAKAGES

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNIT = "tests/unit/cache"
TEST_S, STORY_S, BUILD_S = 20, 120, 300

Verdict = collections.namedtuple("Verdict", "what by")


def read(top, path):
    with open(os.path.join(top, path), encoding="utf-8") as file:
        return file.read()


def write(top, path, text):
    with open(os.path.join(top, path), "w", encoding="utf-8") as file:
        file.write(text)


def run(command, top, timeout_s, **more):
    """(exit status, output); a program that does not end has failed. Ends what it has started too."""
    environment = os.environ | {"WEIR_SEED": "1", "TOP_BUILDDIR": top, "MAKEFLAGS": ""} | more
    environment.pop("WEIR_BIN", None)
    process = subprocess.Popen(command, cwd=top, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=environment, start_new_session=True, text=True, errors="replace")
    try:
        output, _ = process.communicate(timeout=timeout_s)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return -1, process.communicate()[0]


def unit_tests(file):
    """The program that mirrors the file first."""
    names = sorted(name[:-2] for name in os.listdir(os.path.join(TOP, UNIT)) if name.startswith("test_") and name.endswith(".c"))
    own = "test_" + os.path.basename(file)[:-2]
    return sorted((f"{UNIT}/{name}" for name in names), key=lambda path: (os.path.basename(path) != own, path))


def build(top, targets):
    status, output = run(["make", "-s", "WARNING_FLAGS=-w", *targets], top, BUILD_S)
    return "" if status == 0 else output


def judge(top, file, breakage):
    """What becomes of one breakage, in a tree that has it already."""
    own, *others = unit_tests(file) if file.startswith("cache/") else [None]
    for programs in ([own], others) if own else ():
        problem = build(top, ["libweir.a", *programs])
        if problem:
            return Verdict("error", f"does not compile:\n{problem}")
        for program in programs:
            if run([os.path.join(top, program)], top, TEST_S)[0] != 0:
                return Verdict("caught", os.path.basename(program))
    if breakage.stories:
        problem = build(top, ["weir"])
        if problem:
            return Verdict("error", f"does not link:\n{problem}")
        for story in breakage.stories.split():
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/story/{story}"]
            status, output = run(command, top, STORY_S)
            if status not in (0, 1, -1):
                return Verdict("error", f"no such story:\n{output}")
            if status != 0:
                return Verdict("caught", story)
    return Verdict("survived", "")


def try_one(trees, file, breakage):
    text = read(TOP, file)
    if text.count(breakage.old) != 1:
        return Verdict("error", f"its text is there {text.count(breakage.old)} times, not once")
    top = trees.get()
    try:
        write(top, file, text.replace(breakage.old, breakage.new))
        verdict = judge(top, file, breakage)
    finally:
        write(top, file, text)
        trees.put(top)
    if breakage.same and verdict.what == "survived":
        return Verdict("equivalent", breakage.same)
    if breakage.same and verdict.what == "caught":
        return Verdict("error", f"is said to change nothing, and {verdict.by} noticed it")
    return verdict


def show(file, breakage, verdict):
    line = read(TOP, file)[:max(0, read(TOP, file).find(breakage.old))].count("\n") + 1
    print(f"{verdict.what}: {file}:{line}: {verdict.by}")
    for mark, text in ("-", breakage.old), ("+", breakage.new):
        for part in text.split("\n"):
            print(f"    {mark} {part}")
    sys.stdout.flush()


def copy_tree(folder, number):
    top = os.path.join(folder, f"tree{number}")
    shutil.copytree(TOP, top, symlinks=True, ignore=shutil.ignore_patterns(".git", "__pycache__", ".pytest_cache"))
    problem = build(top, ["weir", "libweir.a", *unit_tests("")])
    if problem:
        sys.exit(f"{TOP} does not build as it is:\n{problem}")
    return top


def run_all(chosen, jobs, verbose):
    counts = collections.Counter()
    with tempfile.TemporaryDirectory(prefix="weir-mutation.") as folder:
        trees = queue.Queue()
        for number in range(jobs):
            trees.put(copy_tree(folder, number))
        for program in unit_tests(""):
            top = trees.get()
            if run([os.path.join(top, program)], top, TEST_S)[0] != 0:
                sys.exit(f"{program} fails as it is")
            trees.put(top)
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            waiting = [(file, one, pool.submit(try_one, trees, file, one)) for file, one in chosen]
            for file, one, future in waiting:
                verdict = future.result()
                counts[verdict.what] += 1
                if verbose or verdict.what in ("survived", "error"):
                    show(file, one, verdict)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE", help="only breakages of files whose name has this")
    parser.add_argument("--check", action="store_true", help="build nothing")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (2)")
    parser.add_argument("--verbose", action="store_true", help="tell which test has caught which")
    options = parser.parse_args()
    chosen = [(file, one) for file, some in BREAKAGES.items() for one in some
              if not options.files or any(part in file for part in options.files)]
    if not chosen:
        sys.exit(f"no breakage is of a file named like {' or '.join(options.files)}")
    if options.check:
        wrong = [(file, one) for file, one in chosen if read(TOP, file).count(one.old) != 1]
        for file, one in wrong:
            show(file, one, Verdict("error", f"its text is there {read(TOP, file).count(one.old)} times, not once"))
        print(f"{len(chosen)} breakages: {len(wrong)} errors")
        sys.exit(2 if wrong else 0)
    if not os.path.exists(os.path.join(TOP, "Makefile")):
        sys.exit("build first: ./autogen.sh && ./configure && make")
    os.nice(5)
    began = time.monotonic()
    counts = run_all(chosen, options.jobs, options.verbose)
    print(f"{time.monotonic() - began:.0f} s, {counts['error']} errors in the list")
    print(f"{len(chosen)} breakages: {counts['caught']} caught, {counts['equivalent']} equivalent, {counts['survived']} survived")
    sys.exit(2 if counts["error"] else 1 if counts["survived"] else 0)


if __name__ == "__main__":
    main()
