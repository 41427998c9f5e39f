#!/usr/bin/env python3
"""Instructions per hit, per miss, and per hit with an access log, counted by callgrind: by them a change of the
hot path is judged.

Weir runs under valgrind twice, for N and for 2N requests on one keep-alive connection; the difference divided
by N is what one request costs in user space, start and stop cancelled out. --check holds it against
baseline.json (more than 2 % above it fails), --write renews the baseline.
"""
import argparse
import json
import os
import re
import subprocess
import sys

import harness
from client import Connection

BASELINE = os.path.join(harness.HERE, "baseline.json")
REQUESTS, ALLOWED = 2000, 1.02
CACHEABLE, NO_STORE = ("Cache-Control: max-age=3600",), ("Cache-Control: no-store",)
# fields of the origin, path, values put into Weir's template; the log's writer counts as well
KINDS = {"hit": (CACHEABLE, "/hit", {}),
         "hit_json": (CACHEABLE, "/hit", {"LOG_PATH": "/dev/null", "LOG_FORMAT": "json"}),
         "miss": (NO_STORE, "/miss/{}", {})}


def total_instructions(path):
    with open(path) as f:
        for line in f:
            found = re.match(r"(?:totals|summary):\s*(\d+)", line)
            if found:
                return int(found.group(1))
    raise harness.BenchError("callgrind wrote no total")


def count(bench, name, kind, requests):
    fields, path, values = KINDS[kind]
    out = os.path.join(bench.dir, f"callgrind-{name}-{kind}-{requests}.out")
    origin, origin_port = bench.origin(fields=fields)
    wrap = [harness.which("valgrind"), "--tool=callgrind", "-q", f"--callgrind-out-file={out}"]
    server = bench.server(name, origin_port, wrap=wrap, values=values)
    try:
        connection = Connection(server.port, timeout_s=60)
        for i in range(requests):
            status, _ = connection.request(path.format(i))
            if status != 200:
                raise harness.BenchError(f"{kind}: status {status}")
        connection.close()
    finally:
        server.process.stop(wait_s=60)
        origin.stop()
    return total_instructions(out)


def instructions_each(bench, name, kind, requests):
    less, more = count(bench, name, kind, requests), count(bench, name, kind, 2 * requests)
    if more <= less:
        raise harness.BenchError(f"{kind}: {less} instructions for N requests, {more} for 2N")
    return round((more - less) / requests, 1)


def measure(bench, servers=None, quick=False):
    names, _ = harness.present([s for s in servers or ["weir"] if s == "weir"])
    if not harness.which("valgrind"):
        raise harness.BenchError("valgrind is not installed")
    if not names:
        raise harness.BenchError("no weir binary")
    return {kind: instructions_each(bench, "weir", kind, 500 if quick else REQUESTS) for kind in KINDS}


def read_baseline():
    if not os.path.exists(BASELINE):
        return {}
    with open(BASELINE) as f:
        return json.load(f)


def lines(result):
    baseline = read_baseline()
    out = []
    for kind, now in result.items():
        held = f" ({now / baseline[kind] - 1:+.2%} against the baseline)" if kind in baseline else ""
        out.append(f"{now:.0f} instructions per {kind}{held}")
    return out


def toolchain():
    cc = os.environ.get("CC", "cc").split()[0]
    return subprocess.run([cc, "--version"], stdout=subprocess.PIPE, text=True).stdout.splitlines()[0]


def check(result):
    """True when nothing has become dearer than allowed."""
    baseline = read_baseline()
    if not baseline:
        print(f"there is no {BASELINE}: make it with --write")
        return False
    if baseline.get("compiler") != toolchain():
        print(f"note: the baseline was made with {baseline.get('compiler')}, this is {toolchain()}")
    good = True
    for kind, now in result.items():
        ratio = now / baseline[kind]
        verdict = "ok" if ratio <= ALLOWED else f"more than {ALLOWED - 1:.0%} over the baseline"
        good = good and ratio <= ALLOWED
        print(f"{kind}: {now:.0f} instructions, baseline {baseline[kind]:.0f}, {ratio - 1:+.2%}: {verdict}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--server", default="weir", help="another server of the bench, out of curiosity")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--bindir")
    options = parser.parse_args()
    with harness.Bench(options.bindir) as bench:
        result = {kind: instructions_each(bench, options.server, kind, options.requests) for kind in KINDS}
    print("\n".join(lines(result)))
    if options.write:
        with open(BASELINE, "w") as f:
            json.dump({**result, "requests": options.requests, "compiler": toolchain()}, f, indent=1)
            f.write("\n")
    if options.check and not check(result):
        sys.exit(1)


if __name__ == "__main__":
    main()
