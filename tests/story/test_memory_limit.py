"""cache.memory is a bound: whatever is asked for, stored, on its way or held by slow readers, `bytes` stays within it."""

import itertools
import random
import threading

import pytest

from weirtest import Watched, cacheable, patterned, respond, response_bytes, wait_for

MIB = 1 << 20
SHORT = "cache.memory ("  # how the line at the begin of an episode names it
ENOUGH = "cache.memory suffices again"
PATIENT = {"send_timeout": "10h", "min_send_rate": "0B"}  # slow readers are what this is about


def expect_sums(weir):
    """At rest: the parts are the whole, and evictions are told apart."""
    cache = weir.wait_cache(fills=0, readers=0, pinned_bytes=0)["cache"]
    assert sum(cache["memory"].values()) == cache["bytes"] <= cache["memory_limit"]
    assert cache["memory"]["fills"] == cache["memory"]["pinned"] == 0
    assert cache["evicted_small"] + cache["evicted_main"] + cache["chain_full"] == cache["evicted"]
    return cache


def body_of(number, size):
    """Quickly made, and no two are alike."""
    return (b"%08d" % number) * (size // 8)


@pytest.mark.parametrize("memory, size", [(1, 4000), (4, 64000), (4, 400000)],
                         ids=lambda value: str(value))
def test_a_working_set_far_above_it(start, memory, size):
    """Served rightly, hits and misses, while what is stored comes and goes."""
    keys = 8 * memory * MIB // size
    origin = start.origin(lambda request, connection: cacheable(
        body_of(int(request.target[1:]), size), 3600)(request, connection))
    weir = start.weir(origin, cache={"memory": f"{memory}MiB"})
    failures = []

    def run(seed):
        chance = random.Random(seed)
        try:
            client = weir.client()
            for _ in range(min(300, 2 * keys)):
                # Some are asked for often, so that both queues have something to give way.
                number = chance.randrange(keys) if chance.random() < 0.7 else chance.randrange(max(2, keys // 50))
                response = client.get(f"/{number}")
                if response.status != 200 or response.body != body_of(number, size):
                    failures.append(f"{number}: {response}")
        except Exception as error:  # shown by the test, never lost in a thread
            failures.append(repr(error))

    with Watched(weir) as watched:
        threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures, failures
    cache = expect_sums(weir)
    assert cache["evicted"] > 0 and cache["evicted_small"] > 0 and cache["hits"] > 0
    assert cache["stored"] == cache["evicted"] + cache["objects"] + cache["expired"]
    assert cache["short"] == {"episodes": 0, "passes": 0, "refused": 0}
    # It is used, not only not passed.
    assert watched.most > cache["memory_limit"] // 2


def test_what_was_dropped_counts_until_nobody_reads_it(start):
    """A reader that stalls in the middle of a stored response keeps it whole and in the books."""
    body = patterned(8 * MIB)
    origin = start.origin(cacheable(body, 3600))
    weir = start.weir(origin, cache={"memory": "16MiB"}, limits=PATIENT)
    with Watched(weir):
        weir.get("/a")
        slow = stalled_reader(weir, "/a", others=0)
        assert weir.stats()["cache"]["pinned_bytes"] == 0
        assert weir.purge("http://example.test/a") == 1
        cache = weir.wait_cache(objects=0)["cache"]
        assert cache["pinned_bytes"] == cache["memory"]["pinned"] >= len(body)
        assert cache["bytes"] >= len(body)
        # The next one finds its place beside it, or goes without.
        assert weir.get("/a").body == body
        assert slow.read_response().body == body
    weir.wait_cache(pinned_bytes=0)
    expect_sums(weir)


def stalled_reader(weir, target, others):
    """A client that has asked and reads nothing: more than the kernel takes for it waits in Weir, as for so many others."""
    def wait_leased(count):
        weir.wait_stats(lambda stats: stats["buffers"]["bufferevents"]["leased"] == count, f"{count} whose output waits")
    wait_leased(others)
    client = weir.client(receive_buffer=4096)
    client.request("GET", target)
    wait_leased(others + 1)
    return client


# Episodes: all of the memory is held -----------------------------------------------------------------

HELD = 250000


class Fills:
    """Responses that are to be stored, and stop before their last byte."""

    def __init__(self, origin):
        self.gate = origin.gate()
        self.readers = []

    def answer(self, request, connection):
        body = patterned(HELD + 1, int(request.target.rpartition("/")[2]))
        connection.send(response_bytes(200, b"", [("Cache-Control", "max-age=3600"), ("Content-Length", len(body))]) +
                        body[:-1])
        self.gate.wait()
        connection.send(body[-1:])

    def hold_all(self, weir, numbers):
        """Until one more finds no place: less than that is left."""
        passes = count_passes(weir)
        while count_passes(weir) == passes:
            number = next(numbers)
            client = weir.client()
            client.request("GET", f"/fill/{number}")
            self.readers.append((number, client, client.read_body(client.read_final_head(), at_least=HELD)))

    def let_go(self):
        self.gate.open()
        for number, client, response in self.readers:
            assert client.read_body(response).body == patterned(HELD + 1, number) and response.end == "clean"


class SlowReaders:
    """Stored responses that were purged, and that clients do not go on reading. What they leave, fills take."""

    def __init__(self, origin):
        self.fills = Fills(origin)
        self.readers = []

    def answer(self, request, connection):
        if request.target.startswith("/fill/"):
            self.fills.answer(request, connection)
        else:
            cacheable(patterned(7 * MIB, int(request.target.rpartition("/")[2])), 3600)(request, connection)

    def hold_all(self, weir, numbers):
        passes = count_passes(weir)
        while True:
            number = next(numbers)
            assert weir.get(f"/slow/{number}").body == patterned(7 * MIB, number)
            if count_passes(weir) > passes:
                break
            self.readers.append((number, stalled_reader(weir, f"/slow/{number}", len(self.readers))))
            assert weir.purge(f"http://example.test/slow/{number}") == 1
        self.fills.hold_all(weir, numbers)

    def let_go(self):
        for number, client in self.readers:
            assert client.read_response().body == patterned(7 * MIB, number)
        self.fills.let_go()


def count_passes(weir):
    return weir.stats()["cache"]["short"]["passes"]


def lines(weir, text):
    return sum(text in line for line in weir.stderr().splitlines())


@pytest.mark.parametrize("kind, memory", [(Fills, "4MiB"), (SlowReaders, "24MiB")])
def test_all_of_it_is_held(start, kind, memory):
    """New responses are passed on without being stored or shared; when the reserve for that is gone too, 503 says when to come
    again. An episode is one line in the log. Once what is held has gone, all is as it was."""
    origin = start.origin(None)
    heads = [None]
    big_head = [("Cache-Control", "no-store"), ("Transfer-Encoding", "chunked"), ("X-Large", "x" * 20000)]

    def script(request, connection):
        if request.target.startswith(("/fill/", "/slow/")):
            holder.answer(request, connection)
        elif request.target == "/head":
            connection.send(response_bytes(200, b"", big_head))
            heads[0].wait()
            connection.send(b"0\r\n\r\n")
        else:
            cacheable(patterned(300000), 3600)(request, connection)

    origin.script = script
    weir = start.weir(origin, clock=True, cache={"memory": memory}, limits=PATIENT)
    numbers = itertools.count()
    refused = 0
    with Watched(weir):
        for episode in (1, 2):
            holder = kind(origin)
            heads[0] = origin.gate()
            holder.hold_all(weir, numbers)
            passes = count_passes(weir)
            asked = len(origin.requests)
            for _ in range(3):
                response = weir.get("/a")
                assert response.status == 200 and response.body == patterned(300000)
                assert response.cache_status()["detail"] == "no-memory"
            assert len(origin.requests) == asked + 3
            cache = weir.wait_stats(lambda stats: stats["cache"]["short"]["episodes"] == episode, "an episode")["cache"]
            assert cache["short"]["passes"] >= passes + 3 and cache["short"]["refused"] == refused
            waiting = use_up_the_reserve(weir)
            cache = weir.wait_stats(lambda stats: stats["cache"]["short"]["refused"] > refused, "a refusal")["cache"]
            assert cache["short"]["episodes"] == episode == lines(weir, SHORT)
            heads[0].open()
            for client, response in waiting:
                assert client.read_body(response).end == "clean"
            holder.let_go()
            weir.wait_cache(fills=0, readers=0, pinned_bytes=0)
            assert weir.get("/a").body == patterned(300000)
            assert weir.get("/a").cache_status()["hit"] is True
            assert lines(weir, ENOUGH) == episode - 1
            # Shortage is looked at once a second, whatever the clock has been moved by.
            wait_for("the line at the end of an episode", lambda: weir.advance(1) or lines(weir, ENOUGH) == episode)
            cache = weir.stats()["cache"]
            refused = cache["short"]["refused"]
            assert cache["short"]["episodes"] == episode == lines(weir, SHORT)
            weir.purge("http://example.test/a")
    expect_sums(weir)


def use_up_the_reserve(weir):
    """Responses that are passed on hold little of it each: here a large head. The one that finds nothing left is refused."""
    waiting = []
    for _ in range(100):
        client = weir.client()
        client.request("GET", "/head")
        response = client.read_final_head()
        if response.status == 503:
            assert response.cache_status()["detail"] == "overloaded" and int(response.field("Retry-After")) >= 1
            assert client.read_body(response).end == "clean"
            return waiting
        assert response.status == 200
        waiting.append((client, response))
    raise AssertionError(f"nothing is refused: {weir.stats()['cache']}")


def test_one_that_does_not_fit_is_passed_on(start):
    """Larger than all of the memory, with and without a length: no episode, as nothing else is hindered."""
    body = patterned(3 * MIB)

    def script(request, connection):
        length = [("Content-Length", len(body))] if request.target == "/length" else [("Connection", "close")]
        head = response_bytes(200, b"", [("Cache-Control", "max-age=60")] + length)
        if request.target != "/length":
            head = head.replace(b"Content-Length: 0\r\n", b"")
        connection.send(head + body)
        if request.target != "/length":
            connection.close()

    origin = start.origin(script)
    weir = start.weir(origin, cache={"memory": "1MiB"})
    with Watched(weir):
        for target in ("/length", "/close"):
            for _ in range(2):
                response = weir.get(target)
                assert response.body == body and response.end == "clean"
        assert len(origin.requests) == 4
        origin.script = respond(200, b"small", [("Cache-Control", "max-age=60")])
        weir.get("/small")
        assert weir.get("/small").cache_status()["hit"] is True
    cache = expect_sums(weir)
    assert cache["stored"] == 1 and cache["short"]["refused"] == 0
