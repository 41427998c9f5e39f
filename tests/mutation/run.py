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
import contextlib
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
NO_END = "no end"

Verdict = collections.namedtuple("Verdict", "what by")


def read(top, path):
    with open(os.path.join(top, path), encoding="utf-8") as file:
        return file.read()


def write(top, path, text):
    with open(os.path.join(top, path), "w", encoding="utf-8") as file:
        file.write(text)


class Guard:
    """A process beside this one, which ends with it, however that is (SIGKILL too): then it ends the groups of processes
    that are left, and removes the folder. What is started tells it so itself, before it is the program that it is to be."""

    def __init__(self, folder):
        reading, self.pipe = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()  # out of the group that a terminal's ^C is for
            for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:  # and who looks for it by its name finds both
                signal.signal(number, signal.SIG_IGN)
            os.close(self.pipe)
            self.wait_and_clear(reading, folder)
            os._exit(0)
        os.close(reading)

    @staticmethod
    def wait_and_clear(reading, folder):
        groups = set()
        with open(reading, encoding="ascii") as told:
            for line in told:
                (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        for _ in range(100):
            shutil.rmtree(folder, ignore_errors=True)
            if not os.path.exists(folder):
                break
            time.sleep(0.02)  # those may have been writing to it still

    def tell(self, sign, group):
        os.write(self.pipe, f"{sign}{group}\n".encode())

    def close(self):
        os.close(self.pipe)
        os.waitpid(self.pid, 0)


guard = None


def run(command, top, timeout_s):
    """(exit status or NO_END, output). What does not end in time is ended, with what it has started."""
    environment = os.environ | {"WEIR_SEED": "1", "TOP_BUILDDIR": top, "MAKEFLAGS": ""}
    environment.pop("WEIR_BIN", None)
    process = subprocess.Popen(command, cwd=top, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=environment, start_new_session=True, preexec_fn=lambda: guard.tell("+", os.getpid()),
                               text=True, errors="replace")
    try:
        output, _ = process.communicate(timeout=timeout_s)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return NO_END, process.communicate()[0]
    finally:
        guard.tell("-", process.pid)


def unit_tests(file):
    """The program that mirrors the file first."""
    names = sorted(name[:-2] for name in os.listdir(os.path.join(TOP, UNIT)) if name.startswith("test_") and name.endswith(".c"))
    own = "test_" + os.path.basename(file)[:-2]
    return sorted((f"{UNIT}/{name}" for name in names), key=lambda path: (os.path.basename(path) != own, path))


def build(top, targets):
    status, output = run(["make", "-s", "WARNING_FLAGS=-w", *targets], top, BUILD_S)
    return "" if status == 0 else output


def name_of(test, status):
    """A mutant that did not end is told apart: on a busy machine it may have been one that only takes long."""
    return f"{test}, which did not end" if status == NO_END else test


def judge(top, file, breakage):
    """What becomes of one breakage, in a tree that has it already."""
    own, *others = unit_tests(file) if file.startswith("cache/") else [None]
    for programs in ([own], others) if own else ():
        problem = build(top, ["libweir.a", *programs])
        if problem:
            return Verdict("error", f"does not compile:\n{problem}")
        for program in programs:
            status, _ = run([os.path.join(top, program)], top, TEST_S)
            if status != 0:
                return Verdict("caught", name_of(os.path.basename(program), status))
    if breakage.stories:
        problem = build(top, ["weir"])
        if problem:
            return Verdict("error", f"does not link:\n{problem}")
        for story in breakage.stories.split():
            path = f"tests/{story}" if "/" in story else f"tests/story/{story}"
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", path]
            status, output = run(command, top, STORY_S)
            if status not in (0, 1, NO_END):
                return Verdict("error", f"no such story:\n{output}")
            if status != 0:
                return Verdict("caught", name_of(story, status))
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


@contextlib.contextmanager
def guarded_folder():
    global guard
    folder = tempfile.mkdtemp(prefix="weir-mutation.")
    guard = Guard(folder)
    try:
        yield folder
    finally:
        guard.close()


def run_all(chosen, jobs, verbose):
    counts = collections.Counter()
    with guarded_folder() as folder:
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
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends it at once; the guard does the rest
    began = time.monotonic()
    counts = run_all(chosen, options.jobs, options.verbose)
    print(f"{time.monotonic() - began:.0f} s, {counts['error']} errors in the list")
    print(f"{len(chosen)} breakages: {counts['caught']} caught, {counts['equivalent']} equivalent, {counts['survived']} survived")
    sys.exit(2 if counts["error"] else 1 if counts["survived"] else 0)


if __name__ == "__main__":
    main()
