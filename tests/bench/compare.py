#!/usr/bin/env python3
"""Two results of run.py --json side by side: medians with their spread, and whether they really differ.

CPU times are compared as such and, where both runs have the floor, relative to it, which takes out most of
what the machine did differently. They differ when the ranges of their rounds do not overlap.
"""
import argparse
import json
import statistics

import report


def verdict(a, b):
    if min(b) > max(a):
        return "B dearer"
    if max(b) < min(a):
        return "B cheaper"
    return "within the spread"


def row(what, name, a, b, digits):
    ratio = statistics.median(b) / statistics.median(a) if statistics.median(a) else float("nan")
    return [what, name, report.spread(a, digits), report.spread(b, digits), f"{ratio:.3f}", verdict(a, b)]


def rows(a, b):
    out = []
    for workload in (w for w in a["workloads"] if w in b["workloads"]):
        ours, theirs = a["workloads"][workload], b["workloads"][workload]
        floor = report.FLOORS[workload]
        for name in (n for n in ours if n in theirs):
            for key, digits in (("cpu_us", 2), ("p99", 0)):
                out.append(row(f"{workload} {key}", name, [r[key] for r in ours[name]],
                               [r[key] for r in theirs[name]], digits))
            if name != floor and floor in ours and floor in theirs:
                out.append(row(f"{workload} × floor", name, report.ratios(ours[name], ours[floor]),
                               report.ratios(theirs[name], theirs[floor]), 3))
    for kind, now in (b["singles"].get("callgrind") or {}).items():
        before = (a["singles"].get("callgrind") or {}).get(kind)
        if before:
            out.append(row("instructions", kind, [before], [now], 0))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", metavar="A.json")
    parser.add_argument("b", metavar="B.json")
    options = parser.parse_args()
    runs = []
    for path in (options.a, options.b):
        with open(path) as f:
            runs.append(json.load(f))
    head = ["what", "server", f"A {runs[0]['started']}", f"B {runs[1]['started']}", "B/A", ""]
    table = [head] + rows(*runs)
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


if __name__ == "__main__":
    main()
