#!/usr/bin/env python3
"""Does the cache do twice as much with two threads? Nine hits to one miss that is stored, on a full cache.

threads.c runs one thread, two on one cache, and two on a cache each (the control: what the machine itself
can do), in turn. Runs during which another program had one of the cores are repeated: a thread that holds a
lock may then be without a core, which says nothing about the cache. The wall clock sees waiting for locks,
the CPU time does not; so the former is judged.
"""
import argparse
import collections
import json
import statistics

import harness
import linked
from figures import spread

ROUNDS, TRIES, RUN_MS = 9, 15, 120
DISTURBED = 0.05
GOAL = 1.8


def disturbance(runs):
    """The greatest part of a run's time in which a thread waited for its core."""
    return max(r["delay_ns"] / r["wall_ns"] for r in runs)


def speed(runs, kind, clock):
    """Operations a second of all threads of that kind of run, by that clock."""
    return sum(r["operations"] / r[clock] * 1e9 for r in runs if r["kind"] == kind)


def ratios(runs):
    """Of one round. The sum over 'alone' is that of both threads, each run by itself."""
    out = {}
    for clock in ("wall_ns", "cpu_ns"):
        alone = speed(runs, "alone", clock) / 2
        out[clock] = {kind: speed(runs, kind, clock) / alone for kind in ("shared", "separate")}
    out["control"] = out["wall_ns"]["shared"] / out["wall_ns"]["separate"]
    return out


def drive(bench, rounds, tries, ms):
    by_round = collections.defaultdict(list)
    for line in linked.run(bench, "threads", [rounds, tries, ms], 120).splitlines():
        run = json.loads(line)
        by_round[run["round"]].append(run)
    by_round.pop(0)  # the cache is not yet as it will be
    passes = [run["pass_ns"] for one in by_round.values() for run in one if run["kind"] == "pass"]
    turns = [[run for run in one if run["kind"] != "pass"] for one in by_round.values()]
    runs = [run for one in turns for run in one]
    found = [ratios(one) for one in turns]
    shared = [run for run in runs if run["kind"] == "shared"]
    return {"disturbed": disturbance(runs), "pass_ns": passes,
            "alone_per_s": statistics.median(speed(one, "alone", "wall_ns") / 2 for one in turns),
            "hits": sum(r["hits"] for r in runs) / sum(r["operations"] for r in runs),
            "failed": sum(r["failed"] for r in runs),
            "waits": sum(r["waits"] for r in shared) / sum(r["operations"] for r in shared),
            "wall": [f["wall_ns"]["shared"] for f in found], "cpu": [f["cpu_ns"]["shared"] for f in found],
            "machine": [f["wall_ns"]["separate"] for f in found],
            "machine_cpu": [f["cpu_ns"]["separate"] for f in found],
            "control": [f["control"] for f in found]}


def measure(bench, servers=None, quick=False):
    if servers and "weir" not in servers:
        raise harness.BenchError("only Weir's cache is measured")
    return drive(bench, 3 if quick else ROUNDS, 3 if quick else TRIES, RUN_MS)


def lines(result):
    out = [f"two threads on one cache do {spread(result['wall'])} times what one does, by CPU time "
           f"{spread(result['cpu'])} times (one: {result['alone_per_s'] / 1e6:.2f} million operations a "
           f"second; {result['hits']:.1%} hits; {result['waits'] * 1000:.2f} waits for a lock in 1,000 "
           "operations)",
           f"the control, two threads on a cache each: {spread(result['machine'])} times, by CPU time "
           f"{spread(result['machine_cpu'])} times; one cache against the control "
           f"{spread(result['control'])}; a line of memory took {spread(result['pass_ns'], 0)} ns from core "
           "to core"]
    if result["disturbed"] > DISTURBED:
        out.append(f"not quiet: in a run that counts a thread waited for its core "
                   f"{result['disturbed']:.0%} of the time")
    if result["failed"]:
        out.append(f"{result['failed']} responses were not stored because memory was out")
    return out


def goals(result):
    """Rows: what, goal, measured, whether it is met."""
    machine = f"two caches: {spread(result['machine'])} ×, core to core {spread(result['pass_ns'], 0)} ns"
    return [("two threads on one cache, 90 % hits", f"≥ {GOAL} × one thread",
             f"{spread(result['wall'])} × ({machine})", statistics.median(result["wall"]) >= GOAL)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--tries", type=int, default=TRIES, help="at most, for a run that is quiet")
    parser.add_argument("--ms", type=int, default=RUN_MS, help="of each run")
    parser.add_argument("--bindir")
    options = parser.parse_args()
    with harness.Bench(options.bindir) as bench:
        print("\n".join(lines(drive(bench, options.rounds, options.tries, options.ms))))


if __name__ == "__main__":
    main()
