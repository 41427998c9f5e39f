#!/usr/bin/env python3
"""A storm of clients at one key: how often is the origin asked, how late are first and last byte?

1,000 connected clients ask for the same path at the same moment, which no cache knows. The origin (pacer.c)
takes half a second to the first byte and then sends five chunks, a tenth of a second apart. Each round
takes a new path and lets all servers run in turn, each with two workers, on both cores.

Then the same with a response that must not be shared (no-store), for Weir alone: when the head shows it,
all others have to go to the origin at once and side by side. A second storm at the same path follows: of a
target that has just answered so, nobody needs to wait for a head.
"""
import argparse
import heapq
import json
import statistics
import urllib.request

import harness
from figures import spread

SERVERS = ("weir", "varnish", "nginx", "haproxy")
CLIENTS, ROUNDS = 1000, 5
PRIVATE_CLIENTS, PRIVATE_ROUNDS = 300, 3
MAX_CONNECTIONS = 256  # of Weir to the origin: conf/weir.yaml.in
FIRST_MS, INTERVAL_MS, CHUNKS, CHUNK_BYTES = 500, 100, 5, 2048
BODY = ["-n", CHUNKS, "-k", CHUNK_BYTES]
SHARED, PRIVATE = "Cache-Control: max-age=3600", "Cache-Control: no-store"


def pacer(bench, field):
    return bench.listener("pacer", ["-d", FIRST_MS, "-i", INTERVAL_MS, *BODY, "-H", field], harness.BOTH_CORES)


def count(origin_port):
    """What the origin has seen since the last time."""
    with urllib.request.urlopen(f"http://127.0.0.1:{origin_port}/count", timeout=10) as response:
        return json.load(response)


def storm(bench, server, origin_port, path, clients):
    count(origin_port)
    found = json.loads(bench.run([bench.tool("storm"), "-p", server.port, "-u", path, "-c", clients, *BODY],
                                 harness.BOTH_CORES, 60))
    if "first_ms" not in found:
        raise harness.BenchError(f"{server.name}: no client was answered")
    return {**found, "origin": count(origin_port)}


def drive_shared(bench, names, rounds):
    """{server: [storm of each round]}"""
    origin, origin_port = pacer(bench, SHARED)
    servers = {}
    try:
        for name in names:
            servers[name] = bench.server(name, origin_port, core=harness.BOTH_CORES, workers=2)
        storms = {name: [] for name in names}
        for turn in range(rounds):
            for name in names:
                path = f"/storm/{turn}/{name}"
                storms[name].append(storm(bench, servers[name], origin_port, path, CLIENTS))
        return {"clients": CLIENTS, "servers": storms}
    finally:
        for server in servers.values():
            server.stop()
        origin.stop()


def drive_private(bench, rounds):
    """[[first storm, second storm at the same path] of each round]"""
    origin, origin_port = pacer(bench, PRIVATE)
    server = bench.server("weir", origin_port, core=harness.BOTH_CORES, workers=2)
    try:
        return {"clients": PRIVATE_CLIENTS, "rounds": [
            [storm(bench, server, origin_port, f"/private/{turn}", PRIVATE_CLIENTS) for _ in range(2)]
            for turn in range(rounds)]}
    finally:
        server.stop()
        origin.stop()


def measure(bench, servers=None, quick=False):
    names, _ = harness.present([name for name in SERVERS if not servers or name in servers])
    if not names:
        raise harness.BenchError("nothing to measure")
    found = {"shared": drive_shared(bench, names, 2 if quick else ROUNDS)}
    if "weir" in names:
        found["private"] = drive_private(bench, 1 if quick else PRIVATE_ROUNDS)
    return found


def own_delay_ms(clients, begin_ms):
    """The last first byte if nothing but the origin took time: one leads, the others begin at begin_ms,
    and as many as there are connections are answered at a time."""
    whole_ms = FIRST_MS + INTERVAL_MS * (CHUNKS - 1)
    free_ms = [whole_ms] + [begin_ms] * (MAX_CONNECTIONS - 1)
    heapq.heapify(free_ms)
    last_ms = FIRST_MS
    for _ in range(clients - 1):
        last_ms = heapq.heappop(free_ms) + FIRST_MS
        heapq.heappush(free_ms, last_ms - FIRST_MS + whole_ms)
    return last_ms


def times(storms, which, quantile):
    return [s[f"{which}_ms"][quantile] for s in storms if f"{which}_ms" in s]


def shared_line(name, storms, clients):
    requests = [s["origin"]["requests"] for s in storms]
    asked = str(min(requests)) if min(requests) == max(requests) else f"{min(requests)} to {max(requests)}"
    whole = min(s["whole"] for s in storms)
    figures = ", ".join(f"{quantile} of the {which} byte {spread(times(storms, which, quantile), 0)} ms"
                        for which in ("first", "last") for quantile in ("p50", "p99"))
    return f"{name}: origin requests {asked}; {figures}; whole bodies {whole:,} of {clients:,}"


def private_line(storms, clients, title, begin_ms):
    most = statistics.median(s["origin"]["peak"] for s in storms)
    before = statistics.median(s["origin"]["before_first"] for s in storms)
    return (f"weir, no-store, {title}: of {clients} clients {before:.0f} had reached the origin before it "
            f"sent its first byte, {most:.0f} were there at a time at most; the last first byte came after "
            f"{spread(times(storms, 'first', 'max'), 0)} ms ({own_delay_ms(clients, begin_ms)} ms if only "
            f"the origin took time); whole bodies {min(s['whole'] for s in storms)} of {clients}")


def lines(result):
    shared = result["shared"]
    out = [shared_line(name, storms, shared["clients"]) for name, storms in shared["servers"].items()]
    if "private" in result:
        first, second = zip(*result["private"]["rounds"])
        out += [private_line(first, result["private"]["clients"], "first storm", FIRST_MS),
                private_line(second, result["private"]["clients"], "second storm at the same path", 0)]
    return out


def shared_goals(shared):
    rows, weir, varnish = [], shared["servers"].get("weir"), shared["servers"].get("varnish")
    if weir:
        requests, whole = max(s["origin"]["requests"] for s in weir), min(s["whole"] for s in weir)
        rows.append((f"{shared['clients']:,} clients at one cold key: origin requests, whole bodies",
                     f"1, {shared['clients']:,}", f"{requests:,}, {whole:,}",
                     requests == 1 and whole == shared["clients"]))
    for which in ("first", "last"):
        if weir and varnish:
            ratios = [a / b for a, b in zip(times(weir, which, "p99"), times(varnish, which, "p99"))]
            rows.append((f"the same, p99 of {which} bytes", "≤ 1.00 × Varnish", spread(ratios) + " ×",
                         statistics.median(ratios) <= 1))
    return rows


def private_goals(private):
    least = min(private["clients"], MAX_CONNECTIONS)
    first, second = zip(*private["rounds"])
    peak = min(s["origin"]["peak"] for s in first)
    before = min(s["origin"]["before_first"] for s in second)
    return [(f"{private['clients']} clients, no-store, {MAX_CONNECTIONS} connections: at the origin at a time",
             str(least), str(peak), peak >= least),
            ("a second storm there: at the origin before its first byte", str(least), str(before),
             before >= least)]


def goals(result):
    """Rows: what, goal, measured, whether it is met."""
    private = private_goals(result["private"]) if "private" in result else []
    return shared_goals(result["shared"]) + private


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--bindir")
    options = parser.parse_args()
    with harness.Bench(options.bindir) as bench:
        result = measure(bench, options.servers.split(","), options.quick)
        print("\n".join(lines(result)))
        for what, goal, measured, met in goals(result):
            print(f"{what}: {goal}: {measured}: {'met' if met else 'missed'}")


if __name__ == "__main__":
    main()
