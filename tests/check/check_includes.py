#!/usr/bin/python3
"""Holds the includes of the rooms against the directions that they may go.

base <- conf <- net <- pool <- proxy, and base <- conf <- cache <- proxy. Of another folder only
<folder>/<folder>.h may be included; its other headers are its own. First it must find each of a
set of violations made for it, then none in the sources.
"""

import os
import re
import sys
import tempfile

MAY_INCLUDE = {
    "base": {"base"},
    "conf": {"base", "conf"},
    "net": {"base", "conf", "net"},
    "cache": {"base", "conf", "cache"},
    "pool": {"base", "conf", "net", "pool"},
    "proxy": {"base", "conf", "net", "cache", "pool", "proxy"},
}
GENERATED = {"config.h"}
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def resolve(top, source, quoted, angled):
    """The included file as a path from the top; None for one of the system's or a generated one."""
    named = quoted or angled
    if named in GENERATED:
        return None
    if quoted and os.path.exists(os.path.join(top, os.path.dirname(source), quoted)):
        return os.path.normpath(os.path.join(os.path.dirname(source), quoted))
    path = os.path.normpath(named)
    if angled and path.split("/")[0] not in MAY_INCLUDE:
        return None
    return path


def judge(top, source, target):
    """What is wrong with this include, or None."""
    if not os.path.exists(os.path.join(top, target)):
        return "there is no such file"
    room, other = source.split("/")[0], target.split("/")[0]
    if other not in MAY_INCLUDE:
        return "not in one of the folders of sources"
    if other not in MAY_INCLUDE[room]:
        return f"{room}/ must not know {other}/"
    if other != room and target != f"{other}/{other}.h":
        return f"of {other}/ only {other}/{other}.h may be included from outside"
    return None


def find_violations(top):
    """Returns (how many includes were looked at, what is wrong with some)."""
    seen, wrong = 0, []
    for room in MAY_INCLUDE:
        for folder, _, names in os.walk(os.path.join(top, room)):
            for name in sorted(names):
                if not name.endswith((".c", ".h")):
                    continue
                source = os.path.relpath(os.path.join(folder, name), top)
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    lines = file.read().splitlines()
                for number, line in enumerate(lines, 1):
                    match = INCLUDE.match(line)
                    target = match and resolve(top, source, *match.groups())
                    if not target:
                        continue
                    seen += 1
                    reason = judge(top, source, target)
                    if reason:
                        wrong.append(f"{source}:{number}: {target}: {reason}")
    return seen, wrong


def run_self_test():
    """Each line below goes alone into a tree that is otherwise in order."""
    forbidden = [
        ("base/x.c", '#include "conf/conf.h"'), ("conf/x.c", '#include "net/net.h"'),
        ("net/x.c", '#include "pool/pool.h"'), ("net/x.c", '#include "cache/cache.h"'),
        ("cache/x.c", '#include "net/net.h"'), ("cache/x.h", '#  include <pool/pool.h>'),
        ("cache/x.c", '#include "../net/net.h"'), ("pool/x.c", '#include "cache/cache.h"'),
        ("pool/x.c", '#include "proxy/proxy.h"'), ("proxy/x.c", '#include "net/own.h"'),
        ("proxy/admin/x.c", '#include "cache/own.h"'), ("net/x.c", '#include "net/gone.h"'),
        ("net/x.c", '#include "tests/help.h"'),
    ]
    allowed = [
        ("conf/x.c", '#include "base/base.h"'), ("net/x.c", '#include "own.h"'),
        ("net/x.c", '#include "net/own.h"'), ("cache/x.c", '#include "conf/conf.h"'),
        ("pool/x.c", '#include "net/net.h"'), ("proxy/admin/x.c", '#include "cache/cache.h"'),
        ("proxy/x.c", '#include "proxy/own.h"'), ("base/x.c", '#include <sys/socket.h>'),
        ("base/x.c", '#include "config.h"'),
    ]
    failures = []
    for lines, expected in ((forbidden, 1), (allowed, 0)):
        for source, line in lines:
            with tempfile.TemporaryDirectory() as top:
                for path in [f"{room}/{name}.h" for room in MAY_INCLUDE for name in (room, "own")]:
                    os.makedirs(os.path.join(top, os.path.dirname(path)), exist_ok=True)
                    open(os.path.join(top, path), "w", encoding="utf-8").close()
                os.makedirs(os.path.join(top, "proxy/admin"))
                os.makedirs(os.path.join(top, "tests"))
                open(os.path.join(top, "tests/help.h"), "w", encoding="utf-8").close()
                with open(os.path.join(top, source), "w", encoding="utf-8") as file:
                    file.write(f"#include <stdio.h>\n{line}\n")
                if len(find_violations(top)[1]) != expected:
                    failures.append(f"self-test: {source}: {line}: expected {expected} violations")
    return len(forbidden) + len(allowed), failures


def main():
    tested, failures = run_self_test()
    seen, wrong = find_violations(os.environ.get("TOP_SRCDIR", "."))
    if seen == 0:
        wrong.append("no include was found: wrong TOP_SRCDIR?")
    for line in failures + wrong:
        print(line)
    failed = len(failures) + (1 if wrong else 0)
    print(f"{tested + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
