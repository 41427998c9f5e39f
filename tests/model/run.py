#!/usr/bin/python3
"""Holds Weir's caching against a small model of RFC 9111, over random requests, answers of the origin and moves of the clock.

    tests/model/run.py --steps 6000 --seed 1     what "make check" runs
    make model MODEL_STEPS=1000000 MODEL_SEED=7  the long run
    tests/model/run.py --planted                 the model with one option changed at a time: a difference must be found

Each step goes to Weir and to the model (model.py); steps.py makes them. What is compared: what the origin is asked, status, body,
fields, Age, Cache-Status, and after each sequence the counters of /stats and how many responses are stored for each URL. A
sequence with a difference is shrunk to the fewest steps and fields that still show one, and printed. Client, origin and
model share one thread, one request at a time; Weir's clock is held, so a second is a second. Ends with "N passed, N failed": sequences.
"""

import argparse
import copy
import http.client
import json
import os
import random
import re
import select
import signal
import socket
import sys
import tempfile
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "story")]

import model  # noqa: E402
import steps as stepping  # noqa: E402
import weirtest  # noqa: E402

SEQUENCE_STEPS = 60
FIELDS = ("cache-control", "etag", "last-modified", "expires", "date", "vary", "set-cookie", "x-gen",
          "weir-cache-control", "cdn-cache-control", "surrogate-control")
COUNTERS = ("hits", "misses", "stale", "revalidated", "coalesced", "passes", "local", "refreshes", "refreshes_failed",
            "stored", "expired", "purged", "evicted", "objects")


class Difference(Exception):
    """Weir and the model do not say the same."""


class Origin:
    """Answers in the thread that asks: Bench.wait() looks at its sockets."""

    def __init__(self):
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(16)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = {}   # descriptor to [socket, what is unread]

    def descriptors(self):
        return [self.listener.fileno(), *self.connections]

    def serve(self, descriptor, reply_to):
        """Something has come: a connection, or a request, for which reply_to(weirtest.Request) gives the bytes."""
        if descriptor == self.listener.fileno():
            sock = self.listener.accept()[0]
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections[sock.fileno()] = [sock, b""]
            return
        sock, before = self.connections[descriptor]
        data = sock.recv(65536)
        if not data:
            sock.close()
            del self.connections[descriptor]
            return
        head, end, rest = (before + data).partition(b"\r\n\r\n")
        request = weirtest.Request(head + end, None, 0) if end else None
        if not end or len(rest) < int(request.field("Content-Length") or 0):
            self.connections[descriptor][1] = before + data
            return
        self.connections[descriptor][1] = b""
        data = reply_to(request)
        sock.sendall(data or b"rubbish\r\n\r\n")
        if data is None:
            sock.close()
            del self.connections[descriptor]


class Bench:
    """Weir, its client and its origin."""

    def __init__(self, folder):
        self.folder = folder
        self.hosts = 0
        self.weir = None
        self.start()

    def start(self):
        """Starts Weir, or starts it anew when it is not what it should be any more."""
        if self.weir:
            self.weir.kill()
        self.origin = Origin()
        config = weirtest.make_config(self.origin, pool={"idle_timeout": "7d"}, limits={"idle_timeout": "7d"}, workers=1)
        common = {"hit_for_miss": "0s", "keep": "2m"}
        config["routes"] = [{"host": f"*.{name}.test", "upstream": "up", "cache": common | settings}
                            for name, (settings, _) in stepping.ROUTES.items()]
        self.weir = weirtest.Weir(self.folder, config, clock=True)
        self.admin = http.client.HTTPConnection("127.0.0.1", self.weir.admin_port, timeout=weirtest.PATIENCE_S)
        self.post("/test/clock?hold_ms=0")
        self.client = weirtest.Client(self.weir.address)

    def post(self, path):
        self.admin.request("POST", path, b"")
        response = self.admin.getresponse()
        body = response.read()
        assert response.status == 200, f"{path}: {response.status} {body}"
        return json.loads(body)

    def advance(self, seconds):
        self.post(f"/test/clock?advance_ms={seconds * 1000}")

    def step_wall(self, seconds):
        self.post(f"/test/clock?wall_ms={seconds * 1000}")

    def wall_s(self):
        return self.post("/test/clock?advance_ms=0")["wall_ms"] // 1000

    def read_stats(self):
        self.admin.request("GET", "/stats")
        return json.loads(self.admin.getresponse().read())["cache"]

    def counters(self):
        cache = self.read_stats()
        return {name: cache[name] for name in COUNTERS}

    def fetch(self, request, host, reply_to):
        """One exchange; the origin's part of it is done here too."""
        self.client.sock.sendall(weirtest.request_bytes(request.method, request.url, request.fields, request.content or None,
                                                        host=host))
        if not self.wait(reply_to, lambda: b"\r\n\r\n" in self.client.buffer, weirtest.PATIENCE_S):
            raise weirtest.Ended("no answer")
        return self.client.read_response(request.method)

    def wait(self, reply_to, condition, patience_s):
        """Client and origin go on until the condition holds; false when it does not in time."""
        deadline = time.monotonic() + patience_s
        while not condition():
            late = time.monotonic() > deadline
            ready = select.select([self.client.sock, *self.origin.descriptors()], [], [], 0.05)[0]
            if late and not ready:
                return False
            for one in ready:
                if one is self.client.sock:
                    self.client._receive()
                else:
                    self.origin.serve(one, reply_to)
        return True

    def settle(self):
        """What has been answered may not be stored yet: until nothing is under way any more."""
        weirtest.wait_for("nothing under way", lambda: self.read_stats()["fills"] == 0)

    def end(self):
        self.admin.close()
        self.client.close()
        self.weir.finish()


def reply_bytes(reply, method):
    """A reply of the model's origin as bytes; None: it gives none."""
    if reply is None:
        return None
    own = [] if reply.status in (204, 304) else [("Content-Length", str(len(reply.body)))]
    return weirtest.response_bytes(reply.status, b"" if method == "HEAD" else reply.body, own + reply.fields)


def read_parts(response):
    """The parts of a multipart/byteranges as (Content-Range, bytes); None when it is none."""
    match = re.fullmatch(r"multipart/byteranges; ?boundary=\"?([^\"]+)\"?", response.field("Content-Type") or "")
    if not match:
        return None
    mark = b"--" + match[1].encode()
    pieces = (b"\r\n" + response.body).split(b"\r\n" + mark)
    if pieces[0] or pieces[-1].strip() != b"--":
        raise Difference(f"not a multipart: {response.body!r}")
    parts = []
    for piece in pieces[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        fields = weirtest.parse_fields(head.strip(b"\r\n").split(b"\r\n"))
        parts.append((dict((name.lower(), value) for name, value in fields).get("content-range"), content))
    return parts


def compare(what, expected, seen):
    if expected != seen:
        raise Difference(f"{what}: the model says {str(expected)[:400]}, Weir {str(seen)[:400]}")


class Run:
    """One sequence, in Weir and in a new model."""

    def __init__(self, bench, options, route="plain"):
        self.bench = bench
        self.start_s = bench.wall_s()
        self.cache = model.Cache(options, self.start_s, stepping.ROUTES[route][1])
        bench.hosts += 1
        self.host = f"m{bench.hosts}.{route}.test"

    def request(self, step):
        request = model.Request(method=step["method"], url=step["url"], content=step.get("content", "").encode(),
                                fields=stepping.resolve(step["fields"], self.cache.wall_s, self.start_s))
        expected_asks, asks = [], []

        def ask(asked):
            expected_asks.append(asked)
            return stepping.make_reply(step, asked, self.cache.wall_s, self.start_s)

        def reply_to(received):
            asked = model.Asked(received.method, received.target, received.field("If-None-Match"),
                                received.field("If-Modified-Since"))
            asks.append(asked)
            return reply_bytes(stepping.make_reply(step, asked, self.cache.wall_s, self.start_s), received.method)

        refreshes = self.cache.counters["refreshes"]
        expected = self.cache.exchange(request, ask)
        response = self.bench.fetch(request, self.host, reply_to)
        if self.cache.counters["refreshes"] > refreshes:
            self.bench.wait(reply_to, lambda: len(asks) >= len(expected_asks), 4 * weirtest.SLOW)
            self.bench.settle()
        compare("asked of the origin", expected_asks, asks)
        compare("Cache-Status", expected.cache_status, response.cache_status())
        compare("status", expected.status, response.status)
        age = response.field("Age")
        compare("Age", expected.age, None if age is None else int(age))
        if not expected.own:
            compare("Content-Range", expected.content_range, response.field("Content-Range"))
            compare("parts", expected.parts, read_parts(response))
            compare("body", expected.body, response.body if expected.parts is None else b"")
            for name in FIELDS:
                compare(name, expected.all(name), response.all(name))

    def advance(self, seconds):
        self.bench.settle()
        self.bench.advance(seconds)
        self.cache.advance(seconds)

    def purge(self, what, value, soft):
        self.bench.settle()
        expected = self.cache.purge(what, value, soft)
        url = f"http://{self.host}{value}" if what in ("url", "prefix") else value
        seen = self.bench.post(f"/purge?{what}={urllib.parse.quote(url, safe='')}" + ("&soft=1" if soft else ""))
        compare(f"reached by a purge by {what} {value}", expected, seen["purged"])

    def give_up(self):
        """Leaves nothing behind, not even what has been asked of the origin and not looked for."""
        gone = weirtest.response_bytes(404)
        self.bench.wait(lambda request: gone, lambda: self.bench.read_stats()["fills"] == 0, weirtest.PATIENCE_S)
        for url in stepping.URLS:
            self.bench.post(f"/purge?url=http%3A%2F%2F{self.host}{url}")

    def run(self, sequence):
        """Raises a Difference, with the step in it."""
        before = self.bench.counters()
        step = None
        try:
            for step in sequence:
                self.do(step)
            step = None
            for url in stepping.URLS:
                self.purge("url", url, False)
        except Difference as difference:
            self.give_up()
            raise Difference(f"{describe(step) if step else 'in the end'}: {difference}") from None
        compare("counters", *self.count(before))

    def do(self, step):
        if step["do"] == "clock":
            self.advance(step["seconds"])
        elif step["do"] == "wall":
            self.bench.step_wall(step["seconds"])
            self.cache.step_wall(step["seconds"])
        elif step["do"] == "purge":
            self.purge(step["what"], step["value"], step["soft"])
        else:
            self.request(step)
        if any(self.cache.is_useless(one) for one in self.cache.stored):
            self.advance(0)  # otherwise it would be dropped within the next second of the machine's time

    def count(self, before):
        """(what the model has counted, what Weir has): that comes a moment after the answer."""
        expected = {name: self.cache.counters[name] for name in COUNTERS}
        looks = 60 * weirtest.SLOW  # each is an answer of Weir's: a pause of the machine costs but one
        while True:
            looks -= 1
            after = self.bench.counters()
            seen = {name: after[name] - before[name] for name in COUNTERS}
            for counters in (expected, seen):
                # What an invalidation has reached may be swept before a lookup finds it.
                counters["gone"] = counters.pop("expired", 0) + counters.pop("purged", 0) + counters.get("gone", 0)
            if seen == expected or looks <= 0:
                return expected, seen
            time.sleep(weirtest.POLL_S)


# ---- shrinking ----


def find_difference(bench, options, sequence):
    try:
        route = next((step["route"] for step in sequence if step["do"] == "route"), "plain")
        Run(bench, options, route).run([step for step in sequence if step["do"] != "route"])
    except Difference as difference:
        return str(difference)
    except (OSError, AssertionError, http.client.HTTPException, weirtest.Ended) as error:
        text = f"{type(error).__name__}: {error}; Weir's last words: {bench.weir.tail(3)}"
        bench.start()
        return text
    return None


def shrink(bench, options, sequence):
    """Fewer steps, then fewer fields, as long as a difference is left."""
    size = max(1, len(sequence) // 2)
    while size >= 1:
        at = 0
        while at < len(sequence):
            fewer = sequence[:at] + sequence[at + size:]
            if fewer and find_difference(bench, options, fewer):
                sequence = fewer
            else:
                at += size
        size //= 2
    for number in range(len(sequence)):
        for place in ("fields", "answer.fields", "answer.not_modified"):
            for index in range(20):
                fewer = copy.deepcopy(sequence)
                fields = find_fields(fewer[number], place)
                if index >= len(fields):
                    break
                del fields[len(fields) - 1 - index:len(fields) - index]
                if find_difference(bench, options, fewer):
                    sequence = fewer
    return sequence


def find_fields(step, place):
    for key in place.split("."):
        step = step.get(key, {})
    return step or []


def describe(step):
    if step["do"] == "clock":
        return f"clock +{step['seconds']} s"
    if step["do"] == "route":
        return f"on the route {step['route']}"
    if step["do"] == "wall":
        return f"the wall clock is set {step['seconds']:+d} s"
    if step["do"] == "purge":
        return f"purge by {step['what']} {step['value']}{', soft' if step['soft'] else ''}"

    def lines(fields):
        return "; ".join(f"{name}: {value if isinstance(value, str) else f'<{value[0]} {value[1]:+d} s>'}"
                         for name, value in fields)
    answer = step["answer"]
    text = f"{step['number']}: {step['method']} {step['url']} {step.get('content', '')}[{lines(step['fields'])}] -> "
    text += f"{answer['status'] or 'rubbish'} [{lines(answer['fields'])}]"
    return text + (f", or 304 ({answer['confirms']}) [{lines(answer['not_modified'])}]" if answer["confirms"] != "never" else "")


# ---- the whole ----


def run_sequences(bench, options, seed, count, failures, shrinks=True):
    """(steps done, sequences without a difference, with one)."""
    done = passed = failed = 0
    while done < count and failed < failures:
        number = passed + failed
        sequence = stepping.make_sequence(random.Random(f"{seed}:{number}"), min(SEQUENCE_STEPS, count - done))
        done += len(sequence)
        difference = find_difference(bench, options, sequence)
        if not difference:
            passed += 1
            continue
        failed += 1
        if shrinks:
            print(f"seed {seed}, sequence {number}: {difference}; shrunk:", flush=True)
            sequence = shrink(bench, options, sequence)
            for step in sequence:
                print(f"    {describe(step)}")
            print(f"  {find_difference(bench, options, sequence) or 'no difference any more: it depends on time'}", flush=True)
    return done, passed, failed


def change(value):
    return {bool: lambda: not value, int: lambda: value + 5, str: lambda: "refuse", dict: lambda: {200: 5}, tuple: lambda: ("private",)}[type(value)]()


def run_planted(bench, seed, count):
    """The model with each option changed, one at a time: a difference has to be found within so many steps."""
    passed = failed = 0
    for name, value in model.OPTIONS.items():
        changed = change(value)
        done, _, found = run_sequences(bench, model.OPTIONS | {name: changed}, seed, count, 1, shrinks=False)
        passed += found
        failed += 1 - found
        print(f"{name} {value} -> {changed}: {f'found in {done} steps' if found else 'NOT FOUND'}", flush=True)
    return passed, failed


def parse_change(text):
    name, _, value = text.partition("=")
    if name not in model.OPTIONS:
        raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(model.OPTIONS)}")
    return name, int(value) if value else change(model.OPTIONS[name])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--failures", type=int, default=1, help="so many are shrunk and printed before it ends")
    parser.add_argument("--option", type=parse_change, action="append", default=[], metavar="NAME[=VALUE]",
                        help="the model with this option changed")
    parser.add_argument("--planted", action="store_true", help="each option changed, one after the other: that has to be found")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # not without ending weir
    print(f"seed {arguments.seed}, {arguments.steps} steps", flush=True)
    with tempfile.TemporaryDirectory(prefix="weir-model-") as folder:
        bench = Bench(folder)
        try:
            if arguments.planted:
                passed, failed = run_planted(bench, arguments.seed, arguments.steps)
            else:
                began = time.monotonic()
                done, passed, failed = run_sequences(bench, model.OPTIONS | dict(arguments.option), arguments.seed,
                                                     arguments.steps, arguments.failures)
                seconds = time.monotonic() - began
                print(f"seed {arguments.seed}: {done} steps in {seconds:.1f} s, {done / seconds:.0f} a second")
            bench.end()
        finally:
            bench.weir.kill()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
