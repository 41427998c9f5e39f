#!/usr/bin/python3
"""A fault run: a real Weir with little memory between an origin and clients that do at random what they may and may not do.

    tests/faults/run.py [--weir PATH] [--seconds 300] [--seed N] [--clients 80] [--inject 10000]

Every byte that a client is given is checked against what the origin made for that key: a response that ends cleanly is the
right one and whole. Then all clients stop, every gauge has to go back to zero, and TERM has to end Weir with status 0 and
without a complaint. Exit status 1 with the reason otherwise.

With --inject, system calls and allocations of Weir fail at random as well (inject.c; the weir-faulty beside the program is
run), until so many have failed; connections may break then at any time. After that nothing fails any more and the load goes on
for a moment: every connection has to work, and no descriptor may have been lost.

The seed, printed first, makes the same choices again; what happens at the same time is the machine's. For builds with
sanitizers too. The program: --weir, WEIR_BIN, or the one of this tree.
"""

import argparse
import asyncio
import contextlib
import ctypes
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "story"))

import weirtest  # noqa: E402

from clients import Clients  # noqa: E402
from content import HOST, KEYS, Content, Wrong  # noqa: E402
from orders import Orders, program  # noqa: E402
from origin import Origin  # noqa: E402
from wire import Gone, Wire  # noqa: E402

ADDR_NO_RANDOMIZE = 0x0040000
CALM_S = 2
# What fails with --inject, and how often.
INJECTED = (
    "recv=ECONNRESET%0.003", "recv=EINTR%0.01", "recv=EAGAIN%0.01", "recv=ENOBUFS%0.001", "recv=short%0.02",
    "sendmsg=EPIPE%0.002", "sendmsg=ECONNRESET%0.002", "sendmsg=EAGAIN%0.02", "sendmsg=ENOBUFS%0.002", "sendmsg=EINTR%0.01",
    "sendmsg=short%0.02", "writev=EPIPE%0.002", "writev=ECONNRESET%0.002", "writev=EAGAIN%0.02", "writev=EINTR%0.02",
    "writev=ENOBUFS%0.002", "writev=short%0.05", "connect=ECONNREFUSED%0.01", "connect=ETIMEDOUT%0.005",
    "connect=EADDRNOTAVAIL%0.005", "connect=ENETUNREACH%0.005", "getsockopt=ECONNREFUSED%0.01", "getsockopt=EHOSTUNREACH%0.005",
    "socket=EMFILE%0.005", "socket=ENFILE%0.005", "socket=ENOBUFS%0.005", "accept4=EMFILE%0.002", "accept4=ENFILE%0.002",
    "accept4=ENOMEM%0.002", "accept4=ECONNABORTED%0.01", "accept4=EINTR%0.01", "epoll_ctl=ENOMEM%0.003",
    "epoll_ctl=ENOSPC%0.003", "epoll_wait=EINTR%0.02", "malloc=ENOMEM%0.01", "libevent=ENOMEM%0.01",
)
SHORTAGE = ("malloc=ENOMEM%0.5", "libevent=ENOMEM%0.5", "epoll_ctl=ENOMEM%0.2", "accept4=EMFILE%0.2")  # for a moment


class Run:
    look_s = 0.1  # between two looks at the counters
    purge_s = 0.1  # between two purges, at most

    def __init__(self, arguments, slow):
        self.seconds = arguments.seconds
        self.seed = arguments.seed
        self.slow = slow
        self.players = arguments.clients
        self.inject = arguments.inject
        self.orders = Orders() if self.inject else None
        self.injected = {}
        self.descriptors = 0  # once started
        self.chance = random.Random(f"run {self.seed}")
        self.content = Content(self.seed)
        self.failure = None
        self.most = {}  # of the gauges, the most that was seen
        self.purges = 0
        self.last = None  # the counters at the end

    def fail(self, what):
        """The first failure counts: what follows may be its consequence."""
        self.failure = self.failure or what

    def config(self, origin):
        """Everything small, so that every bound is met."""
        def ms(milliseconds):
            return f"{int(milliseconds * self.slow)}ms"
        memory = self.chance.choice((1, 1, 2, 4))
        return weirtest.make_config(
            origin, cache={"memory": f"{memory}MiB", "max_object": f"{memory * 256 // self.chance.choice((2, 4))}KiB"},
            pool={"max_connections": 40, "max_idle": 20, "queue": 100, "queue_timeout": ms(1000), "idle_timeout": "2s"},
            timeouts={"connect": ms(1000), "first_byte": ms(1000), "between_bytes": ms(1000)},
            limits={"header_timeout": ms(1000), "body_timeout": ms(1000), "send_timeout": ms(2000),
                    "min_send_rate": "64KiB", "idle_timeout": ms(10000)},
            route_cache={"hit_for_miss": "1s"}, access_log={"path": "/dev/null", "format": "json"})

    # While it runs ----

    def make_origin(self):
        return Origin(self.content, self.seed, self.fail)

    def make_clients(self, address, injected):
        return Clients(self.content, address, self.seed, self.fail, self.slow, injected)

    async def load(self, weir, origin):
        serving = asyncio.create_task(origin.run())
        try:
            await self.count_first_descriptors(weir)
            if self.inject:
                self.orders.random(self.seed, INJECTED)
            clients = await self.load_for(weir, serving, self.seconds, bool(self.inject))
            if self.inject and not self.failure:
                await self.load_for(weir, serving, CALM_S, False)
            return clients
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def count_first_descriptors(self, weir):
        """Without the admin connection that may be just closing: Weir has answered another one since, or paused but once."""
        self.descriptors = count_descriptors(weir)
        for _ in range(10):
            await self.stats(weir)
            await asyncio.sleep(0.01)
            self.descriptors = min(self.descriptors, count_descriptors(weir))

    async def load_for(self, weir, serving, seconds, injected):
        clients = self.make_clients(weir.address, injected)
        tasks = [asyncio.create_task(clients.play(number)) for number in range(self.players)]
        tasks.append(asyncio.create_task(self.purge_now_and_then(weir)))
        try:
            await self.watch(weir, tasks + [serving], seconds, injected)
            if injected:
                self.orders.off()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self.failure:
                print(f"counters: {weirtest.without_zeros(await self.stats(weir) or {})}")
            else:
                await self.settle(weir)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return clients

    async def watch(self, weir, tasks, seconds, injected):
        """Until the time is over, enough has been injected, or something is wrong."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.failure:
            await asyncio.sleep(self.look_s)
            if injected:
                self.injected = self.orders.counts()
                if sum(self.injected.values()) >= self.inject:
                    return
                self.orders.random(self.chance.randrange(1 << 31), SHORTAGE if self.chance.random() < 0.1 else INJECTED)
            ended = next((task for task in tasks if task.done()), None)
            if ended:
                raise ended.exception() or AssertionError("a part of the run has ended")
            stats = await self.stats(weir)
            if stats is None:
                return
            cache = stats["cache"]
            if cache["bytes"] > cache["memory_limit"]:
                self.fail(f"cache.bytes {cache['bytes']} is above the limit of {cache['memory_limit']}")
            for gauge, value in gauges(stats).items():
                self.most[gauge] = max(self.most.get(gauge, 0), value)
            await self.look(weir, stats)

    async def look(self, weir, stats):
        """Each time that the counters have been read; a soak looks further."""

    async def purge_now_and_then(self, weir):
        """The serial from before the purge is older than all that may come after it."""
        while True:
            await asyncio.sleep(self.chance.random() * self.purge_s)
            query, keys = self.choose_purge()
            soft = self.chance.random() < 0.4
            serial = self.content.serial
            query = urllib.parse.urlencode(query | ({"soft": 1} if soft else {}))
            if await self.admin(weir, "POST", f"/purge?{query}") is not None:
                self.content.raise_floors(keys, serial, soft)
                self.purges += 1

    def choose_purge(self):
        """What is asked for, and the keys that it reaches."""
        key = self.content.choose_key(self.chance)
        what = self.chance.choices(("url", "prefix", "tag", "all"), (60, 10, 27, 3))[0]
        if what == "tag":
            tag = self.chance.choice(self.content.tags(key))
            return {what: tag}, [one for one in range(KEYS) if tag in self.content.tags(one)]
        if what == "all":
            return {what: 1}, range(KEYS)
        keys = [one for one in range(KEYS) if str(one).startswith(str(key))] if what == "prefix" else [key]
        return {what: f"http://{HOST}/k/{key}"}, keys

    async def admin(self, weir, method, path):
        """The body of the answer; None, and a failure, without one."""
        try:
            async with asyncio.timeout(30 * self.slow):
                wire = await Wire.connect(("127.0.0.1", weir.admin_port))
                with contextlib.closing(wire):
                    await wire.send(weirtest.request_bytes(method, path, [("Connection", "close")], b"",
                                                           host=f"127.0.0.1:{weir.admin_port}"))
                    response = weirtest.Response(await wire.take_until(b"\r\n\r\n"), method)
                    if response.status != 200:
                        raise Wrong(f"status {response.status}")
                    return await wire.take(response.left)
        except (OSError, TimeoutError, Gone, Wrong) as error:
            self.fail(f"the admin port did not answer {method} {path}: {type(error).__name__} {error}")
            return None

    async def stats(self, weir):
        body = await self.admin(weir, "GET", "/stats")
        return body and json.loads(body)

    # At the end ----

    async def settle(self, weir):
        """No client is left: nothing of them may be, either."""
        until = time.monotonic() + 30 * self.slow
        while (stats := await self.stats(weir)) is not None:
            left = {gauge: value for gauge, value in gauges(stats).items() if value}
            more = count_descriptors(weir) - self.descriptors - idle_connections(stats)
            if more:
                left["descriptors"] = more
            adrift = stats["cache"]["bytes"] - sum(stats["cache"]["memory"].values())
            if adrift:
                left["cache.bytes without cache.memory"] = adrift
            if not left:
                self.check_sums(stats)
                self.last = stats
                return
            if time.monotonic() > until:
                self.fail(f"all clients are gone, but these gauges are not zero: {left}")
                return
            await asyncio.sleep(0.05)

    def check_sums(self, stats):
        cache = stats["cache"]
        kinds = ("hits", "misses", "stale", "revalidated", "coalesced", "passes", "local")
        if stats["requests"]["total"] != sum(cache[kind] for kind in kinds):
            self.fail(f"requests.total is not the sum of {kinds}: {stats['requests']} {cache}")

    def stop(self, weir):
        weir.process.send_signal(signal.SIGTERM)
        status = weir.wait_exit(60 * self.slow)
        if status != 0:
            self.fail(f"TERM ended weir with {status}")


def count_descriptors(weir):
    return len(os.listdir(f"/proc/{weir.process.pid}/fd"))


def idle_connections(stats):
    """To origins."""
    return sum(server["connections"]["idle"] for upstream in stats["upstreams"].values() for server in upstream["servers"])


def gauges(stats):
    """What is zero when nobody is there."""
    cache = stats["cache"]
    return {
        "requests.in_flight": stats["requests"]["in_flight"],
        "cache.fills": cache["fills"],
        "cache.readers": cache["readers"],
        "cache.waiters": cache["waiters"],
        "cache.pinned_bytes": cache["pinned_bytes"],
        "connections.open": stats["connections"]["open"],
        "upstreams.active": sum(server["connections"]["active"] for upstream in stats["upstreams"].values()
                                for server in upstream["servers"]),
        "upstreams.queued": sum(upstream["queued"] for upstream in stats["upstreams"].values()),
        "bufferevents.leased": stats["buffers"]["bufferevents"]["leased"],
    }


def sanitizer(path):
    """Which one the program was built with, if any."""
    with open(path, "rb") as file:
        symbols = set(re.findall(rb"__(?:asan|tsan)_init", file.read()))
    return {frozenset((b"__asan_init",)): "address", frozenset((b"__tsan_init",)): "thread"}.get(frozenset(symbols))


def sanitizer_environment():
    suppressions = os.path.join(HERE, "..", "check", "tsan.supp")
    return {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=1"),
            "UBSAN_OPTIONS": os.environ.get("UBSAN_OPTIONS", "print_stacktrace=1"),
            "TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS",
                                           f"second_deadlock_stack=1:suppressions={suppressions}")}


def play(run, folder):
    """The whole of it; returns Weir, the clients when it got so far, and the origin."""
    origin = run.make_origin()
    weir = weirtest.Weir(folder, run.config(origin), program=program() if run.inject else None,
                         env=sanitizer_environment() | (run.orders.environment if run.inject else {}))
    clients = None
    try:
        clients = asyncio.run(run.load(weir, origin))
        if weir.process.poll() is None:
            run.stop(weir)
        else:
            run.failure = f"weir died with {weir.process.returncode} (seen as: {run.failure})"
        report = weirtest.SANITIZER_REPORT.search(weir.stderr())
        if report:
            run.failure = f"{report[0]} (after: {run.failure})"
    except AssertionError as error:
        run.fail(str(error))
    finally:
        weir.kill()
    if run.failure:
        print(weir.tail(150))
    return weir, clients, origin


def show(run, clients, origin):
    cache = run.last["cache"]
    counters = {name: cache[name] for name in
                ("hits", "misses", "stale", "revalidated", "coalesced", "passes", "local", "stored", "evicted",
                 "fills_aborted", "readers_cut", "short")}
    print(f"most at a time: {run.most}")
    print(f"cache: {counters}")
    print(f"{clients.asked} requests, {clients.figures['whole']} whole, {clients.figures['broken']} broken, "
          f"{clients.figures['left by Weir']} connections ended by Weir, {run.purges} purges; "
          f"status {dict(sorted(clients.statuses.items()))}; origin {dict(origin.done)}")


def positive_seconds(text):
    """Of an argument."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weir", default=weirtest.binary(), help="the program")
    parser.add_argument("--seconds", type=positive_seconds, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--clients", type=int, default=80)
    parser.add_argument("--inject", type=int, default=0, metavar="FAILURES", help="let so many calls of Weir fail")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    os.environ["WEIR_BIN"] = arguments.weir
    sanitized = sanitizer(arguments.weir)
    if sanitized:
        ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE)  # as tests/check/run.py does, and why
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # not without ending weir
    folder = tempfile.mkdtemp(prefix="weir-faults-")
    run = Run(arguments, 4 if sanitized else 1)
    _, clients, origin = play(run, folder)
    if run.inject:
        print(f"{sum(run.injected.values())} failures injected: {run.injected}")
        run.orders.close()
        if sum(run.injected.values()) < run.inject:
            run.fail(f"fewer than {run.inject} failures in {run.seconds} s")
    if run.failure:
        print(f"FAILED with seed {arguments.seed}: {run.failure}\nwhat weir has written is in {folder}")
        return 1
    show(run, clients, origin)
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
