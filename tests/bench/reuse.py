#!/usr/bin/env python3
"""Do workers share the warm connections? A low rate of misses through two workers.

A few clients, each with pauses and a new connection now and then (so that both workers get some), ask for
paths that are never cached. Opened connections, as the origin itself has counted them, are held against the
greatest number of requests that it had at the same time.
"""
import argparse
import os
import random
import threading
import time

import harness
from client import Connection

REQUESTS, CLIENTS, ORIGIN_DELAY_MS, RECONNECT_EVERY = 2000, 4, 5, 50


def client(server, number, requests, failures):
    chance = random.Random(number)
    connection = None
    try:
        for i in range(requests):
            if i % RECONNECT_EVERY == 0:
                if connection:
                    connection.close()
                connection = Connection(server.port)
            status, _ = connection.request(f"/miss/{number}/{i}")
            if status != 200:
                failures.append(f"status {status}")
            time.sleep(chance.random() * 0.01)
    except OSError as e:
        failures.append(str(e))


def drive(bench, name, requests):
    origin, origin_port = bench.origin(fields=("Cache-Control: no-store",), delay_ms=ORIGIN_DELAY_MS)
    server = bench.server(name, origin_port, workers=2)
    if name.startswith("weir"):  # both cores: two workers that never run together prove little
        for task in os.listdir(f"/proc/{server.process.pid}/task"):
            os.sched_setaffinity(int(task), range(os.cpu_count()))
    failures = []
    try:
        threads = [threading.Thread(target=client, args=(server, n, requests // CLIENTS, failures))
                   for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = server.stats() if name.startswith("weir") else None
    finally:
        server.stop()
        seen = origin.report()
    if failures:
        raise harness.BenchError(f"{name}: {len(failures)} requests failed: {failures[0]}")
    # The harness asks once whether the origin listens: that connection is not the server's.
    opened = seen["connections"] - 1
    found = {"requests": seen["requests"], "opened": opened, "peak": seen["peak"],
             "reuse": 1 - opened / seen["requests"]}
    if stats:
        each = stats["upstreams"]["origin"]["servers"][0]["connections"]
        found.update(stats_opened=each["opened"], stats_reused=each["reused"], workers=stats["workers"])
    return found


def measure(bench, servers=None, quick=False):
    names, _ = harness.present([s for s in servers or ["weir"] if s == "weir"])
    return {name: drive(bench, name, 400 if quick else REQUESTS) for name in names}


def lines(result):
    out = []
    for name, r in result.items():
        more = ""
        if "workers" in r:
            more = f"; its own count: opened {r['stats_opened']}, reused {r['stats_reused']}"
        out.append(f"{name}: {r['opened']} origin connections opened for {r['requests']} misses, "
                   f"peak concurrency {r['peak']}, reuse {r['reuse']:.2%}{more}")
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", default="weir")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--bindir")
    options = parser.parse_args()
    with harness.Bench(options.bindir) as bench:
        names, _ = harness.present(options.servers.split(","))
        print("\n".join(lines({name: drive(bench, name, options.requests) for name in names})))


if __name__ == "__main__":
    main()
