#!/usr/bin/env python3
"""make bench: Weir beside the floors and its peers, in turn, round by round, one core each side.

Workloads: hit and miss (1 KiB, 64 keep-alive connections), big (1 MiB hits, 8 connections), huge (64 MiB hits), rate (the
latency of hits that are due at fixed times, 10,000 a second). Then the single figures: allocations per hit, memory of idle
connections, connection reuse, the POST race, instructions per request, hit ratios, a storm at one key, memory
of an object and after churn, a purge beside hits, a second thread. Raw results go to --json, the page to --docs.
"""
import argparse
import contextlib
import datetime
import json
import os
import resource
import subprocess
import sys
import time

import allocs
import callgrind
import churn
import harness
import hit_ratio
import idle
import object_memory
import post_race
import purge
import report
import reuse
import storm
import threads
from harness import BenchError, say

CACHEABLE = ("Cache-Control: max-age=3600",)
NO_STORE = ("Cache-Control: no-store",)
ALL = ("weir", "nginx", "haproxy", "varnish")
WORKLOADS = {
    "hit": dict(servers=("floor", "weir", "weir-log", "nginx", "haproxy", "varnish"), body=1024, conns=64,
                fields=CACHEABLE, path="/hit", distinct=0),
    "miss": dict(servers=("relay",) + ALL, body=1024, conns=64, fields=NO_STORE, path="/miss",
                 distinct=10000),
    "big": dict(servers=("floor",) + ALL, body=1 << 20, conns=8, fields=CACHEABLE, path="/big", distinct=0),
    # HAProxy's cache does not take objects of this size.
    "huge": dict(servers=("floor", "weir", "nginx", "varnish"), body=64 << 20, conns=4, fields=CACHEABLE,
                 path="/huge", distinct=0),
    "rate": dict(servers=("floor",) + ALL, body=1024, conns=64, fields=CACHEABLE, path="/hit", distinct=0),
}
SINGLES = {"allocs": allocs, "idle": idle, "reuse": reuse, "post": post_race, "callgrind": callgrind,
           "hitratio": hit_ratio, "storm": storm, "object_memory": object_memory, "churn": churn,
           "purge": purge, "threads": threads}
WARM_S = 0.7
DISTURBED = 0.1  # of either core used by programs that are none of ours


class Refused(BenchError):
    """The run is no measure of the server; another may be."""


def wrk(server, load, seconds):
    command = [harness.which("wrk"), "-t1", f"-c{load['conns']}", f"-d{max(1, round(seconds))}s",
               "--timeout", "5s", "-s", os.path.join(harness.HERE, "wrk.lua"),
               f"http://127.0.0.1:{server.port}{load['path']}"]
    return _load(command, seconds, {**os.environ, "WEIR_DISTINCT": str(load["distinct"])}, "JSON ")


def rate(bench, server, load, seconds, per_second):
    command = [bench.tool("rate"), "-p", str(server.port), "-u", load["path"], "-c", str(load["conns"]),
               "-r", str(per_second), "-s", str(seconds)]
    return _load(command, seconds, None, "")


def _load(command, seconds, env, prefix):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
                          timeout=seconds + 60,
                          preexec_fn=lambda: os.sched_setaffinity(0, {harness.LOAD_CORE}))
    lines = [line for line in done.stdout.splitlines() if line.startswith(prefix + "{")]
    if done.returncode or not lines:
        raise BenchError(f"{os.path.basename(command[0])} failed: {(done.stderr or done.stdout)[-300:]}")
    return json.loads(lines[-1][len(prefix):])


def check_rate(name, result, per_second):
    """Latencies count only when the requests were sent when they were due, and all were answered."""
    late_us, between_us = result["late"]["p99"], 1e6 / per_second
    if late_us > between_us:
        raise Refused(
            f"rate, {name}: refused: the generator could not keep {per_second:,} requests a second: it took up 1 % of them "
            f"more than {late_us:.0f} µs after they were due ({between_us:.0f} µs, the time between two, would do), so the "
            f"latencies are its own; give it a quiet core (--nice raises its priority) or a lower --rate")
    if result["requests"] < result["wanted"]:
        raise BenchError(f"rate, {name}: refused: {result['requests']:,} of {result['wanted']:,} requests were answered "
                         f"until 10 s after the last was due; the server does not keep {per_second:,} a second")


def check_traffic(workload, name, result, origin_count, load):
    """A figure counts only when the requests went where the workload says, and were answered well."""
    if result.get("errors") or result.get("bad"):
        raise BenchError(f"{workload}, {name}: {result.get('errors') or result.get('bad')} bad responses")
    if name in ("floor", "relay"):
        return
    if load["distinct"] and origin_count < result["requests"]:
        raise BenchError(f"{workload}, {name}: the origin saw {origin_count} of {result['requests']} misses")
    if not load["distinct"] and origin_count > 200:
        raise BenchError(f"{workload}, {name}: no hits, the origin saw {origin_count} requests")


class Watch:
    """From now on: the server's CPU time, and how much of either core other programs have had."""

    def __init__(self, server, origin):
        self.server, self.origin = server, origin
        self.start = self._now()

    def _now(self):
        load = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {"ns": time.monotonic_ns(), "server": self.server.cpu_ns(),
                "load": harness.cpu_ns(self.origin.pid) + int((load.ru_utime + load.ru_stime) * 1e9),
                "server core": harness.core_busy_ns(harness.SERVER_CORE),
                "load core": harness.core_busy_ns(harness.LOAD_CORE)}

    def elapsed_ns(self):
        return time.monotonic_ns() - self.start["ns"]

    def read(self):
        """(CPU time in ns, the greater share of a core that others had)"""
        now = self._now()
        used = {key: now[key] - self.start[key] for key in now}
        others = max(used["server core"] - used["server"], used["load core"] - used["load"])
        return used["server"], max(0.0, others / used["ns"])


def measure(bench, workload, name, options):
    """One server, one round."""
    load = WORKLOADS[workload]
    origin, origin_port = bench.origin(load["body"], load["fields"])
    server = bench.server(name, origin_port, load["body"])
    try:
        status, body = server.get(load["path"])
        if status != 200 or len(body) != load["body"]:
            raise BenchError(f"{workload}, {name}: status {status}, {len(body)} bytes of body")
        if workload == "rate":
            rate(bench, server, load, WARM_S, options.rate)
        else:
            wrk(server, load, WARM_S)
        watch = Watch(server, origin)
        if workload == "rate":
            result = rate(bench, server, load, options.seconds, options.rate)
            result["duration_us"] = watch.elapsed_ns() // 1000
        else:
            result = wrk(server, load, options.seconds)
        cpu, result["others"] = watch.read()
    finally:
        server.stop()
        origin_count = origin.report().get("requests", 0)
    check_traffic(workload, name, result, origin_count, load)
    if workload == "rate":
        check_rate(name, result, options.rate)
    result["cpu_us"] = cpu / result["requests"] / 1000
    if workload in report.PER_BYTE:
        result["cpu_us"] = cpu / result["bytes"] * load["body"] / 1000
    result["per_second"] = result["requests"] * 1e6 / result["duration_us"]
    return result


def measure_quietly(bench, workload, name, options):
    """Measures again while other programs disturb; the least disturbed run is the one that counts."""
    results, refused = [], None
    for _ in range(options.retries + 1):
        try:
            results.append(measure(bench, workload, name, options))
        except Refused as e:
            refused = e
            continue
        if results[-1]["others"] <= DISTURBED:
            break
    if not results:
        raise refused
    return min(results, key=lambda result: result["others"])


def run_workload(bench, workload, names, options):
    """{server: [result of each round]}"""
    results = {name: [] for name in names}
    for turn in range(options.rounds):
        for name in list(names):
            try:
                result = measure_quietly(bench, workload, name, options)
            except (BenchError, OSError, subprocess.SubprocessError) as e:
                say(f"  {workload} {name}: {e}")
                names.remove(name)
                results.pop(name)
                options.notes.append(f"{workload}, {name}: failed in round {turn + 1}: {e}")
                continue
            results[name].append(result)
            note = f"  (others used {result['others']:.0%} of a core)" if result["others"] > 0.1 else ""
            say(f"  {workload} {turn + 1}/{options.rounds} {name:9} {result['cpu_us']:8.2f} µs/request "
                f"{result['per_second']:9.0f}/s  p50 {result['p50']:.0f} µs  "
                f"p99 {result['p99']:.0f} µs{note}")
    return results


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="of each measured run (default 3)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=10000, help="requests a second of the rate workload")
    parser.add_argument("--only", help="comma-separated: " + ", ".join((*WORKLOADS, *SINGLES)))
    parser.add_argument("--servers", help="comma-separated; the floors always run")
    parser.add_argument("--quick", action="store_true",
                        help="2 rounds of 1 s: to see that all works, not for figures")
    parser.add_argument("--retries", type=int, default=2,
                        help="of a run that other programs disturbed (default 2)")
    parser.add_argument("--nice", type=int, default=0,
                        help="priority of servers and load, for a machine that is not idle")
    parser.add_argument("--bindir", help="where the compiled tools are (else they are compiled for the run)")
    parser.add_argument("--json", help="write raw results here")
    parser.add_argument("--docs", help="write the page here (a whole run renews docs/benchmarks.md)")
    parser.add_argument("--section", metavar="PAGE",
                        help="renew the constant rate's section of that page, and nothing else of it")
    options = parser.parse_args()
    if options.section and "rate" not in (options.only or "rate").split(","):
        parser.error("--section needs the rate workload (--only rate)")
    if not (options.docs or options.section or options.quick or options.only or options.servers):
        options.docs = os.path.join(harness.ROOT, "docs", "benchmarks.md")
    if options.quick:
        options.seconds, options.rounds = 1, 2
    options.only = options.only.split(",") if options.only else [*WORKLOADS, *SINGLES]
    unknown = set(options.only) - {*WORKLOADS, *SINGLES}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    options.servers = options.servers.split(",") if options.servers else None
    options.notes = []
    return options


def run_single(bench, name, options):
    say(f"{name}:")
    try:
        result = SINGLES[name].measure(bench, servers=options.servers, quick=options.quick)
        for line in SINGLES[name].lines(result):
            say("  " + line)
        return result
    except (BenchError, OSError, subprocess.SubprocessError) as e:
        say(f"  {e}")
        options.notes.append(f"{name}: {e}")
        return None


def main():
    options = parse()
    if not harness.which("wrk"):
        sys.exit("wrk is not installed (apt-get install wrk)")
    if options.nice:
        harness.prioritise(options.nice)
        options.notes.append(f"servers and load ran at nice {options.nice}")
    results = {"started": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
               "seconds": options.seconds, "rounds": options.rounds, "rate": options.rate,
               "versions": harness.versions(), "workloads": {}, "singles": {}, "notes": options.notes}
    with harness.Bench(options.bindir) as bench:
        for workload in (w for w in WORKLOADS if w in options.only):
            wanted = [s for s in WORKLOADS[workload]["servers"]
                      if not options.servers or s in options.servers or s in ("floor", "relay")]
            names, notes = harness.present(wanted)
            options.notes += [n for n in notes if n not in options.notes]
            say(f"{workload}: {', '.join(names)}")
            results["workloads"][workload] = run_workload(bench, workload, names, options)
        for single in (s for s in SINGLES if s in options.only):
            found = run_single(bench, single, options)
            if found is not None:
                results["singles"][single] = found
    disturbed = max((r["others"] for servers in results["workloads"].values() for rounds in servers.values()
                     for r in rounds), default=0)
    if disturbed > DISTURBED:
        options.notes.append(f"other programs used up to {disturbed:.0%} of a core during a run that counts")
    if options.json:
        with open(options.json, "w") as f:
            json.dump(results, f, indent=1)
    if options.docs:
        with open(options.docs, "w") as f:
            f.write(report.page(results))
    if options.section and "weir" not in results["workloads"]["rate"]:
        options.notes.append(f"{options.section} is left as it was: there is no figure of Weir's for it")
    elif options.section:
        with open(options.section) as f:
            renewed = report.renew_section(f.read(), report.rate_section(results))
        with open(options.section, "w") as f:
            f.write(renewed)
    print(report.tables(results))
    for note in options.notes:
        print("note:", note)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
