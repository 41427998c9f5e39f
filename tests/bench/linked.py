"""Bench programs that are linked with Weir's own library: built as its build folder would do it.

The folder is TOP_BUILDDIR (make sets it) or that of the binary under test; its Makefile is asked for
compiler, flags and libraries, so that the allocator is the one that Weir uses.
"""
import os
import subprocess

import harness

# Written into the Makefile's own rules; each line of the answer is one word list.
ASK = ("bench-flags:\n\t@echo '$(CC)'\n"
       "\t@echo '$(DEFS) $(DEFAULT_INCLUDES) $(AM_CPPFLAGS) $(CPPFLAGS) $(AM_CFLAGS) $(CFLAGS)'\n"
       "\t@echo '$(AM_LDFLAGS) $(LDFLAGS) $(WEIR_LIBS) $(LIBS)'")
MAKE_ENVIRONMENT = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")  # of the make that runs the bench


def build_folder():
    binary = harness.weir_binary()
    folder = os.environ.get("TOP_BUILDDIR") or (os.path.dirname(binary) if binary else harness.ROOT)
    for needed in ("Makefile", "libweir.a"):
        if not os.path.exists(os.path.join(folder, needed)):
            raise harness.BenchError(f"there is no {needed} in {folder} (set TOP_BUILDDIR to a build)")
    return folder


def build(bench, name, *more):
    """Compiles tests/bench/NAME.c, and MORE.c, with the library; returns the program's path."""
    folder, out = build_folder(), os.path.join(bench.dir, name)
    env = {key: value for key, value in os.environ.items() if key not in MAKE_ENVIRONMENT}
    asked = subprocess.run(["make", "-s", "--no-print-directory", "--eval", ASK, "bench-flags"], cwd=folder,
                           env=env, stdout=subprocess.PIPE, text=True, check=True)
    compiler, flags, libraries = (line.split() for line in asked.stdout.splitlines()[-3:])
    sources = [os.path.join(harness.HERE, each + ".c") for each in (name, *more)]
    command = [*compiler, *flags, *sources, "-o", out, *libraries, "-lm"]
    done = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise harness.BenchError(f"{name}.c does not compile: {done.stderr.strip()[:800]}")
    return out


def run(bench, name, arguments, timeout_s):
    """Builds and runs it to its end; returns what it wrote."""
    return bench.run([build(bench, name), *arguments], harness.BOTH_CORES, timeout_s)
