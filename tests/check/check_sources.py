#!/usr/bin/python3
"""Holds the lists of Makefile.am against the folders: what is not listed is neither built nor
tested nor packed, and nothing else would say so. With --write it puts them right."""

import glob
import os
import re
import sys

FOLDERS = ("base", "conf", "net", "cache", "pool", "proxy", "proxy/admin")


def has_files(folder):
    return any(names for path, _, names in os.walk(folder) if "__pycache__" not in path)


def find_lists(top):
    """What the lists should hold, in their order: a folder's own header first, then by name."""
    def find(pattern):
        return sorted(os.path.relpath(path, top) for path in glob.glob(f"{top}/{pattern}"))

    rooms = []
    for folder in FOLDERS:
        header = f"{folder}/{os.path.basename(folder)}.h"
        rooms += sorted(find(f"{folder}/*.[ch]"), key=lambda path: (path != header, path))
    units = [path.removesuffix(".c") for path in find("tests/unit/*/test_*.c")]
    support = [path for path in find("tests/unit/*.[ch]") + find("tests/unit/*/*.[ch]")
               if path.removesuffix(".c") not in units]
    return {
        "weir_SOURCES": ["proxy/main.c"],
        "libweir_a_SOURCES": [path for path in rooms if path != "proxy/main.c"],
        "UNIT_TESTS": units,
        "UNIT_SUPPORT": support,
        "EXAMPLES": find("conf/*.yaml"),
        "DIST_FOLDERS": [folder for folder in find("docs") + find("tests/*")
                         if folder != "tests/unit" and has_files(os.path.join(top, folder))],
    }


def find_variable(makefile, name):
    return re.search(rf"^{name} =((?:.*\\\n)*.*)$", makefile, re.M)


def main():
    top = os.environ.get("TOP_SRCDIR", ".")
    path = os.path.join(top, "Makefile.am")
    with open(path, encoding="utf-8") as file:
        makefile = file.read()
    wrong = 0
    for name, there in find_lists(top).items():
        match = find_variable(makefile, name)
        listed = match.group(1).replace("\\\n", " ").split()
        for item in sorted(set(there) - set(listed)):
            print(f"{item}: not in {name}")
        for item in sorted(set(listed) - set(there)):
            print(f"{item}: in {name}, but not there")
        wrong += set(listed) != set(there) or len(listed) != len(set(listed))
        text = "".join(f" {item}" if len(there) == 1 else f" \\\n\t{item}" for item in there)
        makefile = makefile[:match.start(1)] + text + makefile[match.end(1):]
    if "--write" in sys.argv:
        with open(path, "w", encoding="utf-8") as file:
            file.write(makefile)
    elif wrong:
        print("tests/check/check_sources.py --write puts the lists right")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
