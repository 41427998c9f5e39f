#!/usr/bin/env python3
"""The POST race: does a request get lost when the origin closes an idle connection under it?

POSTs go over keep-alive connections, each with a random pause after the answer, to an origin that closes
connections which have answered, after a random idle time. Each POST has an id which the origin counts.
Lost: the client got no 200. Doubled: the origin saw it more than once.
"""
import argparse
import collections
import heapq
import random
import selectors
import time

import harness
from client import Closed, Connection

POSTS, CLIENTS, PAUSE_MAX_S, IDLE_MAX_MS, BODY = 20000, 32, 0.010, 10, b"x" * 100


class Race:
    """All clients in one loop: each is waiting for a response, or pausing until its next POST."""

    def __init__(self, port, posts):
        self.port, self.posts = port, posts
        self.selector = selectors.DefaultSelector()
        self.pauses = []  # heap of (when, order, connection)
        self.order = 0
        self.next_id = 0
        self.finished = 0
        self.outcomes = collections.Counter()
        self.chance = random.Random(1)

    def run(self):
        for _ in range(CLIENTS):
            self._pause(Connection(self.port))
        last, last_finished = time.monotonic(), 0
        while self.finished < self.posts:
            now = time.monotonic()
            if self.finished > last_finished:
                last, last_finished = now, self.finished
            if now - last > 30:
                raise harness.BenchError(f"no response for 30 s; {self.finished} of {self.posts} finished")
            while self.pauses and self.pauses[0][0] <= now:
                self._send(heapq.heappop(self.pauses)[2])
            wait = max(0, self.pauses[0][0] - time.monotonic()) if self.pauses else 1
            for key, _ in self.selector.select(wait):
                self._receive(key.data)
        return dict(self.outcomes)

    def _pause(self, connection):
        self.order += 1
        when = time.monotonic() + self.chance.random() * PAUSE_MAX_S
        heapq.heappush(self.pauses, (when, self.order, connection))

    def _send(self, connection):
        if self.next_id == self.posts:
            return
        path, self.next_id = f"/p/{self.next_id}", self.next_id + 1
        self.selector.register(connection.socket, selectors.EVENT_READ, connection)
        try:
            connection.socket.sendall(connection.request_bytes(path, "POST", BODY))
        except OSError:
            self._finish(connection, "broken", False)

    def _receive(self, connection):
        try:
            status, _ = connection.response()
        except (Closed, OSError):
            self._finish(connection, "broken", False)
        else:
            self._finish(connection, str(status), connection.open)

    def _finish(self, connection, outcome, keep):
        self.outcomes[outcome] += 1
        self.finished += 1
        self.selector.unregister(connection.socket)
        if not keep:
            connection.close()
            connection = Connection(self.port)
        self._pause(connection)


def race(bench, name, posts):
    origin, origin_port = bench.closer(posts, IDLE_MAX_MS)
    server = bench.server(name, origin_port)
    try:
        outcomes = Race(server.port, posts).run()
    finally:
        server.stop()
        seen = origin.report()
    return {"posts": posts, "lost": posts - outcomes.get("200", 0), "doubled": seen["doubled"],
            "never_seen": posts - seen["seen"], "outcomes": outcomes,
            "origin_connections": seen["connections"] - 1, "origin_closed_idle": seen["closed_idle"]}


def measure(bench, servers=None, quick=False):
    names, _ = harness.present(servers or ["weir", "nginx", "haproxy", "varnish"])
    return {name: race(bench, name, 2000 if quick else POSTS) for name in names
            if name not in ("floor", "relay", "weir-log")}


def lines(result):
    out = []
    for name, r in result.items():
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(r["outcomes"].items()))
        out.append(f"{name}: of {r['posts']} POSTs lost {r['lost']} ({r['lost'] / r['posts']:.2%}), doubled "
                   f"{r['doubled']}; {statuses}; {r['origin_connections']} origin connections, "
                   f"{r['origin_closed_idle']} closed idle")
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", default="weir,nginx,haproxy,varnish")
    parser.add_argument("--posts", type=int, default=POSTS)
    parser.add_argument("--bindir")
    options = parser.parse_args()
    with harness.Bench(options.bindir) as bench:
        names, notes = harness.present(options.servers.split(","))
        for name in names:
            print("\n".join(lines({name: race(bench, name, options.posts)})), flush=True)
        for note in notes:
            print("note:", note)


if __name__ == "__main__":
    main()
