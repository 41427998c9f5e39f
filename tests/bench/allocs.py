#!/usr/bin/env python3
"""Allocations per hit, in steady state: an interposed malloc counts while keep-alive hits are served."""
import argparse
import mmap
import os
import struct

import harness
from client import Connection

CONNECTIONS, WARM, HITS = 8, 2000, 20000


def count(bench, name, hits):
    path = os.path.join(bench.dir, f"allocations-{name}")
    with open(path, "w+b") as f:
        f.truncate(mmap.PAGESIZE)
        counter = mmap.mmap(f.fileno(), 8)
    env = {**os.environ, "LD_PRELOAD": bench.tool("alloccount.so"), "WEIR_ALLOC_COUNTER": path}
    origin, origin_port = bench.origin()
    server = bench.server(name, origin_port, env=env)
    try:
        connections = [Connection(server.port) for _ in range(CONNECTIONS)]
        for i in range(WARM):
            connections[i % CONNECTIONS].request("/hit")
        before, = struct.unpack("Q", counter)
        if not before and name != "floor":
            raise harness.BenchError(f"{name}: the interposed malloc was never called (a static malloc?)")
        for i in range(hits):
            status, _ = connections[i % CONNECTIONS].request("/hit")
            if status != 200:
                raise harness.BenchError(f"{name}: status {status}")
        after, = struct.unpack("Q", counter)
    finally:
        server.stop()
        origin.stop()
    return {"hits": hits, "allocations": after - before}


def measure(bench, servers=None, quick=False):
    names, _ = harness.present(servers or ["weir"])
    if not names:
        raise harness.BenchError("nothing to count")
    return {name: count(bench, name, 4000 if quick else HITS) for name in names}


def lines(result):
    return [f"{name}: {r['allocations'] / r['hits']:.4f} allocations per hit "
            f"({r['allocations']} in {r['hits']})" for name, r in result.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", default="weir")
    parser.add_argument("--bindir")
    options = parser.parse_args()
    with harness.Bench(options.bindir) as bench:
        print("\n".join(lines(measure(bench, options.servers.split(",")))))


if __name__ == "__main__":
    main()
