#!/usr/bin/env python3
"""A purge of one tag that 100,000 stored responses bear: how long it takes, and what the hits beside it feel.

Weir runs with one worker on one core, together with the thread that purges; hits are due at a constant rate
(rate.c, on the other core), without a purge and then with one in the middle. Each round stores everything
anew. A run's hits are those of half a second, so that the purge is a good part of it.
"""
import argparse
import json
import os
import statistics
import subprocess
import time
import urllib.request

import harness
from figures import spread

OBJECTS, BODY_BYTES, ROUNDS = 100000, 512, 7
RATE, CONNECTIONS, SECONDS, PURGE_AFTER_S = 5000, 16, 0.5, 0.15
GOAL_S, GOAL_RATIO = 1, 3
FIELDS = ("Cache-Control: max-age=3600", "Surrogate-Key: page all-of-them category/7")
HIT = "/hit"


def store_all(server):
    """Until as many are stored, asked for by wrk."""
    command = [harness.which("wrk"), "-t1", "-c64", "-d3s", "--timeout", "5s", "-s", os.path.join(harness.HERE, "wrk.lua"),
               f"http://127.0.0.1:{server.port}/object"]
    end = time.monotonic() + 120
    while server.stats()["cache"]["objects"] < OBJECTS:
        if time.monotonic() > end:
            raise harness.BenchError(f"{OBJECTS:,} responses are not stored after 120 s")
        subprocess.run(command, stdout=subprocess.DEVNULL, timeout=60, check=True,
                       env={**os.environ, "WEIR_DISTINCT": str(OBJECTS)})


def purge(server):
    """(seconds, how many)"""
    request = urllib.request.Request(f"http://127.0.0.1:{server.admin_port}/purge?tag=all-of-them", method="POST", data=b"")
    begin = time.monotonic()
    with urllib.request.urlopen(request, timeout=60) as response:
        purged = json.load(response)["purged"]
    return time.monotonic() - begin, purged


def hits(bench, server, beside=None):
    """The latencies of hits, and what `beside` returns, which runs in the middle."""
    server.get(HIT)
    load = bench.spawn([bench.tool("rate"), "-p", str(server.port), "-u", HIT, "-c", str(CONNECTIONS), "-r", str(RATE),
                        "-s", str(SECONDS)], harness.LOAD_CORE, "rate")
    time.sleep(PURGE_AFTER_S)
    returned = beside and beside()
    found = load.report()
    if load.process.returncode or found.get("bad"):
        raise harness.BenchError(f"rate failed: {load.errors() or found}")
    return found, returned


def one_round(bench, server):
    store_all(server)
    without, _ = hits(bench, server)
    with_purge, (seconds, purged) = hits(bench, server, lambda: purge(server))
    if purged < OBJECTS:
        raise harness.BenchError(f"{purged:,} of {OBJECTS:,} responses were purged")
    return {"seconds": seconds, "purged": purged, "without": without, "with": with_purge}


def measure(bench, servers=None, quick=False):
    if servers and "weir" not in servers:
        raise harness.BenchError("nothing to measure")
    origin, origin_port = bench.origin(BODY_BYTES, FIELDS)
    server = bench.server("weir", origin_port, values={"MEMORY": "512MiB"})
    try:
        return {"rounds": [one_round(bench, server) for _ in range(2 if quick else ROUNDS)]}
    finally:
        server.stop()
        origin.stop()


def ratios(result):
    return [r["with"]["p99"] / r["without"]["p99"] for r in result["rounds"]]


def lines(result):
    rounds = result["rounds"]
    return [f"a tag that {rounds[0]['purged']:,} responses bear is purged in {spread([r['seconds'] * 1000 for r in rounds], 0)} ms",
            f"p99 of hits, {RATE:,} a second on the same core: {spread([r['without']['p99'] for r in rounds], 0)} µs without, "
            f"{spread([r['with']['p99'] for r in rounds], 0)} µs with it, {spread(ratios(result))} × "
            f"(p50 {spread([r['without']['p50'] for r in rounds], 0)} and {spread([r['with']['p50'] for r in rounds], 0)} µs; "
            f"the generator's own delay, p99: {spread([r['with']['late']['p99'] for r in rounds], 0)} µs)"]


def goals(result):
    """Rows: what, goal, measured, whether it is met."""
    seconds = [r["seconds"] for r in result["rounds"]]
    return [(f"purging a tag that {OBJECTS:,} responses bear", f"≤ {GOAL_S} s", f"{spread(seconds)} s",
             statistics.median(seconds) <= GOAL_S),
            ("p99 of hits beside it", f"≤ {GOAL_RATIO} × without", spread(ratios(result)) + " ×",
             statistics.median(ratios(result)) <= GOAL_RATIO)]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--bindir")
    options = parser.parse_args()
    with harness.Bench(options.bindir) as bench:
        result = measure(bench, quick=options.quick)
        print("\n".join(lines(result)))
        for what, goal, measured, met in goals(result):
            print(f"{what}: {goal}: {measured}: {'met' if met else 'missed'}")


if __name__ == "__main__":
    main()
