#!/usr/bin/env python3
"""Does the cache keep its cap, and the process its size, while what is stored turns over?

16 clients ask for one path after another, each once, with bodies of 100 B to 4 MiB, until fifty times the
cap has gone through (resident memory still grows after ten); 200 readers hold bodies meanwhile of which
they read 1 KiB a second, so that these are evicted and yet must stay: first less than half of the cap (96
to 224 KiB each), then more than all of it. Weir has two workers. Its own count of the cache's memory and
the process's resident memory are sampled all the while.

The clients' connections are no part of the cache, but nothing is taken off for them: 216 idle ones cost a
tenth of a MiB (idle.py), which is less than what the figure varies by.
"""
import argparse
import subprocess
import time

import harness

MIB = 1 << 20
CAP, TURNOVERS, PINNED_TURNOVERS = 64 * MIB, 50, 5
FAST, SLOW = 16, 200
BODIES, PINNED_BODIES = (96 << 10, 224 << 10), (256 << 10, 1024 << 10)  # of the slow readers
SAMPLE_S = 0.02
RESIDENT_MOST = 1.10 * CAP + 32 * MIB
RATE_KEY = "limits.min_send_rate"  # readers as slow as these would be cut off


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * harness.PAGE_BYTES


def values():
    """What is different in Weir's configuration."""
    keys = subprocess.run([harness.weir_binary(), "check", "--keys"], stdout=subprocess.PIPE, text=True,
                          check=True)
    known = {line.split("\t")[0] for line in keys.stdout.splitlines()}
    rate = f", {RATE_KEY.split('.')[1]}: 0" if RATE_KEY in known else ""
    return {"MEMORY": f"{CAP // MIB}MiB", "LIMITS": "idle_timeout: 300s, send_timeout: 300s" + rate}


def sample(server):
    stats = server.stats()
    return {"accounted": stats["cache"]["bytes"], "in_flight": stats["requests"]["in_flight"],
            "resident": resident_bytes(server.process.pid)}


def watch(server, load, timeout_s):
    """Samples until the load has ended."""
    samples, end = [], time.monotonic() + timeout_s
    while load.alive():
        if time.monotonic() > end:
            raise harness.BenchError(f"not finished after {timeout_s} s")
        samples.append(sample(server))
        time.sleep(SAMPLE_S)
    return samples


def drive(bench, turnovers, slow_bodies):
    origin, origin_port = bench.listener("filler", [], harness.BOTH_CORES)
    server = bench.server("weir", origin_port, core=harness.BOTH_CORES, workers=2, values=values())
    load = None
    try:
        server.get("/100/0")  # its code and first pages are there
        before = server.stats()
        arguments = ["-p", server.port, "-b", turnovers * CAP, "-f", FAST, "-s", SLOW, "-l", slow_bodies[0],
                     "-m", slow_bodies[1]]
        load = bench.spawn([bench.tool("churn"), *map(str, arguments)], harness.BOTH_CORES, "churn")
        samples = watch(server, load, 90)
        found = load.report()
        if load.process.returncode:
            raise harness.BenchError(f"churn failed: {load.errors()}")
        after = server.stats()
    finally:
        for process in (load, server, origin):
            if process:
                process.stop()
    return {**found, "samples": len(samples), "start_resident": samples[0]["resident"],
            "accounted": max(s["accounted"] for s in samples),
            "peak_resident": max(s["resident"] for s in samples),
            "end_resident": samples[-1]["resident"], "waiting": max(s["in_flight"] for s in samples),
            "evicted": after["cache"]["evicted"] - before["cache"]["evicted"],
            "stored": after["cache"]["stored"] - before["cache"]["stored"]}


def measure(bench, servers=None, quick=False):
    if not harness.present([s for s in servers or ["weir"] if s == "weir"])[0]:
        raise harness.BenchError("only Weir is measured, and there is no weir binary")
    return {"held": drive(bench, 10 if quick else TURNOVERS, BODIES),
            "pinned": drive(bench, 1 if quick else PINNED_TURNOVERS, PINNED_BODIES)}


def outcome(kind, counts):
    return (f"of {counts['requests']:,} {kind} requests 503: {counts['unavailable']}, other status: "
            f"{counts['other_status']}, cut: {counts['cut']}, wrong bytes: {counts['wrong']}")


def lines(result):
    out = []
    for found, title in ((result["held"], "less than half"), (result["pinned"], "more than all")):
        fast, slow, held = found["fast"], found["slow"], found["held"]
        out += [f"{held['readers']} slow readers on {held['bytes'] / MIB:.0f} MiB ({title} of the cap of "
                f"{CAP / MIB:.0f} MiB), up to {found['waiting']} responses at a time waiting for their "
                f"clients; {fast['bytes'] / MIB:,.0f} MiB in {fast['whole']:,} bodies to the fast clients in "
                f"{found['seconds']:.1f} s; stored {found['stored']:,}, evicted {found['evicted']:,}",
                f"counted by the cache {found['accounted'] / MIB:.2f} MiB at most; resident "
                f"{found['end_resident'] / MIB:.1f} MiB at the end, {found['peak_resident'] / MIB:.1f} at most "
                f"({found['samples']} samples), {found['start_resident'] / MIB:.1f} before",
                f"{outcome('fast', fast)}; {outcome('slow', slow)}"]
    return out


def goals(result):
    """Rows: what, goal, measured, whether it is met."""
    held = result["held"]

    def resident(key):
        most, measured = (f"{bytes_ / MIB:.1f} MiB" for bytes_ in (RESIDENT_MOST, held[key]))
        return f"≤ {most}", measured, held[key] <= RESIDENT_MOST
    accounted = max(found["accounted"] for found in result.values())
    cut, wrong = (held["fast"][key] + held["slow"][key] for key in ("cut", "wrong"))
    return [("churn: memory counted, greatest, over the cap", "≤ 1.00", f"{accounted / CAP:.3f}",
             accounted <= CAP),
            ("churn: resident at the end (1.10 × cap + 32 MiB)", *resident("end_resident")),
            ("churn: resident at most", *resident("peak_resident")),
            ("churn, slow readers on less than the cap: responses cut off, with wrong bytes", "0, 0",
             f"{cut}, {wrong}", cut == 0 and wrong == 0)]


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
