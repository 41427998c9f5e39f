#!/usr/bin/env python3
"""What a small object costs in memory beyond its own bytes: as the cache counts it, and really.

object_memory.c stores objects with bodies of 500 bytes, without tags, through cache/cache.h, and divides
the growth among them; key, head and body are taken off. The index and the ghost list are in it, shared out.
"""
import argparse
import json

import harness
import linked

OBJECTS = 1000000
ACCOUNTED_MOST, RESIDENT_MOST = 128, 160


def measure(bench, servers=None, quick=False):
    if servers and "weir" not in servers:
        raise harness.BenchError("only Weir's cache is measured")
    return json.loads(linked.run(bench, "object_memory", [100000 if quick else OBJECTS], 60))


def lines(result):
    return [f"an object of {result['own_bytes']:.0f} bytes (key, head and a body of 500) costs "
            f"{result['accounted']:.0f} bytes more as the cache counts it, {result['resident']:.0f} more of "
            f"resident memory; {result['objects']:,} objects, {result['shards']} shards, "
            f"{result['load']:.2f} objects to a bucket",
            f"the greatest cost between half of that number and all of it: {result['worst_accounted']:.0f} "
            f"bytes counted, {result['worst_resident']:.0f} resident"]


def goals(result):
    """Rows: what, goal, measured, whether it is met."""
    return [("memory over key, head and body of a 500 B object, counted", f"≤ {ACCOUNTED_MOST} B",
             f"{result['accounted']:.0f} B", result["accounted"] <= ACCOUNTED_MOST),
            ("the same, resident", f"≤ {RESIDENT_MOST} B", f"{result['resident']:.0f} B",
             result["resident"] <= RESIDENT_MOST)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=OBJECTS)
    parser.add_argument("--bindir")
    options = parser.parse_args()
    with harness.Bench(options.bindir) as bench:
        print("\n".join(lines(json.loads(linked.run(bench, "object_memory", [options.objects], 120)))))


if __name__ == "__main__":
    main()
