"""Ranges of what is still being fetched, and of what is not kept (RFC 9110 section 14, RFC 9111 sections 3.3 and 3.4)."""

import threading

import pytest

from weirtest import byteranges, cacheable, chunk, chunked, held, patterned, raw, respond, response_bytes

BODY = patterned(1000, 7)
FRESH = [("Cache-Control", "max-age=60")]


class InSteps:
    """A script: the head, and so much of the body as the test has asked for."""

    def __init__(self, body=BODY, fields=(("Cache-Control", "max-age=60"),), announced=True):
        self.body = body
        self.in_chunks = not announced
        self.head = response_bytes(200, b"", list(fields) + [
            ("Content-Length", str(len(body))) if announced else ("Transfer-Encoding", "chunked")])
        self.until = 0
        self.changed = threading.Condition()
        self.ends = None

    def send_until(self, until):
        with self.changed:
            self.until = until
            self.changed.notify_all()

    def end(self, how):
        with self.changed:
            self.ends = how
            self.changed.notify_all()

    def __call__(self, request, connection):
        connection.send(self.head)
        sent = 0
        while sent < len(self.body):
            with self.changed:
                self.changed.wait_for(lambda: self.until > sent or self.ends, 60)
                until = self.until
            if until > sent:
                piece = self.body[sent:until]
                connection.send(chunk(piece) if self.in_chunks else piece)
                sent = until
            elif self.ends:
                getattr(connection, self.ends)()
                return
        if self.in_chunks:
            connection.send(b"0\r\n\r\n")


@pytest.fixture
def filling(start):
    """A weir, its origin, and the body that the origin sends in steps."""
    def begin(steps=None, **more):
        steps = steps or InSteps()
        origin = start.origin(steps)
        return origin, start.weir(origin, **more), steps
    return begin


def ask(weir, asked, fields=(), target="/a"):
    client = weir.client()
    client.request("GET", target, [("Range", asked)] + list(fields))
    return client


def expect_range(response, first, last, body=BODY):
    assert response.status == 206 and response.end == "clean", response
    assert response.field("Content-Range") == f"bytes {first}-{last}/{len(body)}"
    assert response.all("Content-Length") == [str(last - first + 1)]
    assert response.body == body[first:last + 1]


def test_the_one_that_fetches(filling):
    """The head comes at once, the bytes as they arrive; the whole is asked for, and stored."""
    origin, weir, steps = filling()
    client = ask(weir, "bytes=100-299")
    response = client.read_final_head()
    assert response.status == 206 and response.field("Content-Range") == "bytes 100-299/1000"
    assert response.cache_status() == {"fwd": "uri-miss", "stored": True}
    assert not origin.requests[0].has("Range") and not origin.requests[0].has("If-Range")
    steps.send_until(100)
    assert client.silent()
    steps.send_until(150)
    assert client.read_body(response, at_least=50).body == BODY[100:150]
    steps.send_until(400)
    expect_range(client.read_body(response), 100, 299)
    # It has what it asked for; the fetch goes on.
    client.request("GET", "/b")
    origin.wait_requests(2)
    steps.send_until(1000)
    assert client.read_response().body == BODY
    weir.wait_cache(stored=2, fills=0, misses=2)
    assert weir.get("/a").body == BODY
    assert origin.targets == ["/a", "/b"]


def test_those_who_join(filling):
    origin, weir, steps = filling()
    leader = weir.client()
    leader.request("GET", "/a")
    assert leader.read_final_head().status == 200
    asked = {"bytes=0-9": (0, 9), "bytes=500-": (500, 999), "bytes=-1": (999, 999), "bytes=200-299": (200, 299)}
    clients = [ask(weir, value) for value in asked]
    heads = [client.read_final_head() for client in clients]
    for head, span in zip(heads, asked.values()):
        assert head.status == 206 and head.field("Content-Range") == f"bytes {span[0]}-{span[1]}/1000"
        assert head.cache_status()["collapsed"] is True
    steps.send_until(250)
    expect_range(clients[0].read_body(heads[0]), 0, 9)
    assert clients[1].silent() and clients[2].silent()
    steps.send_until(999)
    expect_range(clients[3].read_body(heads[3]), 200, 299)
    assert clients[2].silent()
    steps.send_until(1000)
    expect_range(clients[1].read_body(heads[1]), 500, 999)
    expect_range(clients[2].read_body(heads[2]), 999, 999)
    assert len(origin.requests) == 1
    weir.wait_cache(stored=1, coalesced=4, fills=0, readers=0)


def test_several_ranges(filling):
    """In ascending order; what lies between is passed over."""
    origin, weir, steps = filling()
    client = ask(weir, "bytes=10-19,300-309,900-")
    response = client.read_final_head()
    steps.send_until(15)
    steps.send_until(305)
    client.read_body(response, at_least=100)
    steps.send_until(700)
    assert b"\r\n\r\n" + BODY[300:310] + b"\r\n--" in client.read_body(response, at_least=180).body
    steps.send_until(1000)
    assert client.read_body(response).end == "clean"
    assert [part[:4] for part in byteranges(response)] == [
        (first, last, 1000, BODY[first:last + 1]) for first, last in ((10, 19), (300, 309), (900, 999))]
    weir.wait_cache(stored=1)
    assert len(origin.requests) == 1


@pytest.mark.parametrize("asked", ["bytes=500-509,0-9", "bytes=-10,0-9", "bytes=0-99,300-399,50-60"])
def test_not_in_ascending_order(filling, asked):
    """Bytes go by but once: the whole. When it is stored they come as asked for."""
    _, weir, steps = filling()
    client = ask(weir, asked)
    response = client.read_final_head()
    assert response.status == 200
    steps.send_until(1000)
    assert client.read_body(response).body == BODY
    weir.wait_cache(stored=1)
    again = weir.get("/a", [("Range", asked)])
    assert again.status == 206 and len(byteranges(again)) == asked.count(",") + 1


def test_unsatisfiable(filling):
    """The length is known with the head; the whole is stored all the same."""
    origin, weir, steps = filling()
    response = ask(weir, "bytes=1000-").read_response()
    assert response.status == 416 and response.field("Content-Range") == "bytes */1000"
    client = weir.client()
    client.request("GET", "/a")
    head = client.read_final_head()
    steps.send_until(1000)
    assert client.read_body(head).body == BODY
    weir.wait_cache(stored=1, misses=1, coalesced=1)
    assert len(origin.requests) == 1


def test_without_a_length(filling):
    """Where a range ends cannot be told: the whole, until it is complete."""
    origin, weir, steps = filling(InSteps(announced=False))
    clients = [ask(weir, "bytes=0-9"), ask(weir, "bytes=2000-"), ask(weir, "bytes=-5")]
    heads = [client.read_final_head() for client in clients]
    steps.send_until(300)
    clients[0].read_body(heads[0], at_least=300)
    clients.append(ask(weir, "bytes=0-9"))
    heads.append(clients[-1].read_final_head())
    steps.send_until(1000)
    for client, head in zip(clients, heads):
        assert head.status == 200 and head.framing == "chunked" and not head.has("Content-Range")
        assert client.read_body(head).body == BODY
    weir.wait_cache(stored=1)
    expect_range(weir.get("/a", [("Range", "bytes=-5")]), 995, 999)
    assert len(origin.requests) == 1


def test_without_a_length_but_at_once(start):
    """What has come to its end when the request has its turn is as good as stored."""
    weir = start.weir(start.origin(chunked(BODY[:400], BODY[400:], fields=FRESH)))
    response = weir.get("/a", [("Range", "bytes=395-404")])
    expect_range(response, 395, 404)
    assert response.cache_status() == {"fwd": "uri-miss", "stored": True}
    weir.wait_cache(stored=1, misses=1)


@pytest.mark.parametrize("condition, status", [('"v"', 206), ('"w"', 200), ('W/"v"', 200)])
def test_if_range(filling, condition, status):
    _, weir, steps = filling(InSteps(fields=FRESH + [("ETag", '"v"')]))
    client = ask(weir, "bytes=0-9", [("If-Range", condition)])
    response = client.read_final_head()
    steps.send_until(1000)
    client.read_body(response)
    assert response.status == status and response.body == (BODY[:10] if status == 206 else BODY)


def test_a_hundred_at_once(filling):
    """On two workers, from one fetch of a large body."""
    body = patterned(3_000_017, 5)
    origin, weir, steps = filling(InSteps(body))
    spans = [(at * 29_000, at * 29_000 + 40_000 + at) for at in range(100)]
    clients = [ask(weir, f"bytes={first}-{last}") for first, last in spans]
    heads = [client.read_final_head() for client in clients]
    for until in list(range(250_000, len(body), 250_000)) + [len(body)]:
        steps.send_until(until)
    for client, head, (first, last) in zip(clients, heads, spans):
        expect_range(client.read_body(head), first, min(last, len(body) - 1), body)
    assert len(origin.requests) == 1
    weir.wait_cache(stored=1, misses=1, coalesced=99, fills=0, readers=0, waiters=0)


def test_the_origin_dies_before_the_range(filling):
    """The response breaks visibly; nothing of it is used again (RFC 9111 section 3.3)."""
    origin, weir, steps = filling()
    client = ask(weir, "bytes=500-509")
    response = client.read_final_head()
    steps.send_until(505)
    client.read_body(response, at_least=5)
    steps.end("close")
    assert client.read_body(response).end in ("early", "reset") and response.body == BODY[500:505]
    weir.wait_cache(stored=0, objects=0, fills=0, fills_aborted=1)
    origin.script = cacheable(BODY)
    response = weir.get("/a", [("Range", "bytes=0-9")])
    expect_range(response, 0, 9)
    assert response.cache_status()["fwd"] == "uri-miss"
    assert not origin.requests[1].has("Range")
    weir.wait_cache(stored=1)
    assert weir.get("/a").body == BODY and len(origin.requests) == 2


def test_the_origin_dies_behind_the_range(filling):
    """What was asked for has come, and the rest is not kept."""
    origin, weir, steps = filling()
    client = ask(weir, "bytes=100-199")
    head = client.read_final_head()
    steps.send_until(500)
    expect_range(client.read_body(head), 100, 199)
    steps.end("close")
    weir.wait_cache(stored=0, objects=0, fills=0, fills_aborted=1)
    origin.script = cacheable(BODY)
    assert weir.get("/a").body == BODY and len(origin.requests) == 2


def test_the_origin_dies_before_the_head(start):
    origin = start.origin(raw(b"", end="close"))
    weir = start.weir(origin)
    response = weir.get("/a", [("Range", "bytes=0-9")])
    assert response.status == 502 and not response.has("Content-Range")
    weir.wait_cache(local=1, stored=0)


def test_the_client_leaves(filling):
    """Nobody else reads: the fetch is ended before half of it has come."""
    _, weir, _ = filling()
    client = ask(weir, "bytes=500-509")
    client.read_final_head()
    client.reset()
    weir.wait_cache(fills=0, readers=0, stored=0, fills_aborted=1)
    weir.wait_server(active=0, idle=0)


# What is not kept -----------------------------------------------------------------------------------------


def ranging(body, fields=(), seen=None):
    """A script: an origin that serves ranges itself."""
    def script(request, connection):
        if seen is not None:
            seen.append((request.field("Range"), request.field("If-Range")))
        asked = request.field("Range")
        if asked == "bytes=0-1,5-6":
            connection.send(response_bytes(206, b"--x\r\nany\r\n--x--\r\n", list(fields) + [
                ("Content-Type", "multipart/byteranges; boundary=x")]))
        elif asked and int(asked[6:].split("-")[0]) >= len(body):
            connection.send(response_bytes(416, b"no", list(fields) + [("Content-Range", f"bytes */{len(body)}")]))
        elif asked:
            first, last = (int(number) for number in asked[6:].split("-"))
            connection.send(response_bytes(206, body[first:last + 1], list(fields) + [
                ("Content-Range", f"bytes {first}-{last}/{len(body)}")]))
        else:
            connection.send(response_bytes(200, body, list(fields)))
    return script


def expect_passed_on(client, seen):
    """206, multipart and 416 of the origin as they are, with what the client said."""
    expect_range(client.get("/a", [("Range", "bytes=5-9"), ("If-Range", '"v"')]), 5, 9)
    assert seen[-1] == ("bytes=5-9", '"v"')
    response = client.get("/a", [("Range", "bytes=0-1,5-6")])
    assert response.status == 206 and response.body == b"--x\r\nany\r\n--x--\r\n"
    assert response.field("Content-Type") == "multipart/byteranges; boundary=x" and not response.has("Content-Range")
    response = client.get("/a", [("Range", "bytes=5000-5001")])
    assert response.status == 416 and response.body == b"no" and response.field("Content-Range") == "bytes */1000"


def test_what_passes_by(start):
    seen = []
    weir = start.weir(start.origin(ranging(BODY, FRESH, seen)), route_cache={"enabled": False})
    client = weir.client()
    expect_passed_on(client, seen)
    assert client.get("/a").body == BODY
    expect_range(client.get("/a", [("Range", "bytes=5-9"), ("If-Range", '"v"'), ("If-None-Match", '"w"')]), 5, 9)
    assert seen[-1] == ("bytes=5-9", '"v"')
    weir.wait_cache(passes=5, stored=0)


def test_an_origin_without_ranges_that_is_passed_by(start):
    """What it answers is the answer."""
    weir = start.weir(start.origin(cacheable(BODY)), route_cache={"enabled": False})
    for condition in ([], [("If-None-Match", '"v"')]):
        response = weir.get("/a", [("Range", "bytes=0-9")] + condition)
        assert response.status == 200 and response.body == BODY


def test_what_is_known_not_to_be_stored(start):
    """The first one is asked for whole, and its range taken out; then the origin is asked for ranges."""
    seen = []
    origin = start.origin(ranging(BODY, [("Cache-Control", "no-store")], seen))
    weir = start.weir(origin, clock=True, route_cache={"hit_for_miss": "60s"})
    client = weir.client()
    response = client.get("/a", [("Range", "bytes=5-9"), ("If-Range", '"v"')])
    assert response.status == 200 and response.body == BODY  # there is no such tag
    response = client.get("/b", [("Range", "bytes=5-9")])
    expect_range(response, 5, 9)
    assert response.cache_status()["detail"] == "no-store"
    assert seen == [(None, None), (None, None)]
    expect_passed_on(client, seen)
    assert client.get("/a").body == BODY
    # Conditions come first, and Weir answers them: the whole is asked for.
    for condition in (("If-None-Match", '"v"'), ("If-Modified-Since", "Tue, 15 Nov 1994 12:45:26 GMT")):
        expect_range(client.get("/a", [("Range", "bytes=5-9"), condition]), 5, 9)
        assert seen[-1] == (None, None)
    # When the origin's mind has changed, it is stored, and the range is forgotten that the origin did not heed.
    origin.script = cacheable(BODY)
    response = client.get("/a", [("Range", "bytes=5-9")])
    assert response.status == 200 and response.body == BODY and response.cache_status()["stored"] is True
    weir.wait_cache(stored=1)
    expect_range(client.get("/a", [("Range", "bytes=5-9")]), 5, 9)
    weir.wait_cache(hits=1)


def test_what_is_validated_each_time(start):
    """The question is about all of it, also where nobody waits for the answer of another one."""
    origin = start.origin(cacheable(BODY, fields=[("ETag", '"v"'), ("Cache-Control", "no-cache")]))
    weir = start.weir(origin, route_cache={"hit_for_miss": "60s"})
    client = weir.client()
    client.get("/a")
    stats = weir.wait_cache(stored=1)
    assert stats["cache"]["hit_for_miss"] == 1
    origin.script = respond(304, b"", [("ETag", '"v"'), ("Cache-Control", "no-cache")])
    for _ in range(2):
        response = client.get("/a", [("Range", "bytes=5-9")])
        expect_range(response, 5, 9)
        assert response.cache_status()["fwd-status"] == 304
        assert origin.requests[-1].field("If-None-Match") == '"v"' and not origin.requests[-1].has("Range")
    weir.wait_cache(revalidated=2, misses=1)


def test_ranges_do_not_keep_a_key_from_being_stored(start):
    """Nothing but ranges is asked for, and the origin's mind changes: it is found out when hit-for-miss ends."""
    seen = []
    origin = start.origin(ranging(BODY, [("Cache-Control", "no-store")], seen))
    weir = start.weir(origin, clock=True, route_cache={"hit_for_miss": "60s"})
    client = weir.client()
    expect_range(client.get("/a", [("Range", "bytes=5-9")]), 5, 9)
    origin.script = ranging(BODY, FRESH, seen)
    weir.advance(40)
    response = client.get("/a", [("Range", "bytes=5-9")])
    expect_range(response, 5, 9)
    assert response.cache_status()["detail"] == "partial"
    weir.advance(30)
    expect_range(client.get("/a", [("Range", "bytes=5-9")]), 5, 9)
    assert seen == [(None, None), ("bytes=5-9", None), (None, None)]
    weir.wait_cache(stored=1)
    expect_range(client.get("/a", [("Range", "bytes=5-9")]), 5, 9)
    weir.wait_cache(hits=1, misses=3)


def test_a_range_that_may_not_be_stored_at_all(start):
    """With no-store in the request nothing is kept, and only what is asked for is fetched."""
    seen = []
    weir = start.weir(start.origin(ranging(BODY, FRESH, seen)))
    expect_range(weir.get("/a", [("Range", "bytes=5-9"), ("Cache-Control", "no-store")]), 5, 9)
    assert seen == [("bytes=5-9", None)]
    weir.wait_cache(stored=0, misses=1)


@pytest.mark.parametrize("waiting", [1, 20])
def test_waiters_for_what_is_private(start, waiting):
    """Each goes to the origin by itself, with its range."""
    seen = []
    origin = start.origin(None)
    gate = origin.gate()
    private = ranging(BODY, [("Cache-Control", "private")], seen)
    origin.script = held(gate, private)
    weir = start.weir(origin)
    leader = ask(weir, "bytes=0-4")
    weir.wait_cache(readers=1)
    clients = [ask(weir, "bytes=5-9") for _ in range(waiting)]
    weir.wait_cache(waiters=waiting)
    gate.open()
    expect_range(leader.read_response(), 0, 4)
    for client in clients:
        expect_range(client.read_response(), 5, 9)
    assert sorted(seen, key=str) == sorted([(None, None)] + [("bytes=5-9", None)] * waiting, key=str)
    weir.wait_cache(stored=0, fills=0, readers=0, waiters=0)


def test_larger_than_may_be_stored(start):
    """A range near the end of what goes by in a window: passed over without being sent."""
    body = patterned(6_000_000, 3)
    origin = start.origin(cacheable(body))
    weir = start.weir(origin, cache={"memory": "64MiB", "max_object": "1MiB"})
    client = weir.client()
    expect_range(client.get("/a", [("Range", "bytes=5000000-5000999")]), 5_000_000, 5_000_999, body)
    response = client.get("/b", [("Range", "bytes=100-199,3000000-3500000,5999999-")])
    assert [part[:2] for part in byteranges(response)] == [(100, 199), (3_000_000, 3_500_000), (5_999_999, 5_999_999)]
    assert all(part[3] == body[part[0]:part[1] + 1] for part in byteranges(response))
    assert response.cache_status()["detail"] == "too-large"
    weir.wait_cache(stored=0, fills=0, readers=0)


@pytest.mark.parametrize("asked, status", [("bytes=0-9", 206), ("bytes=7000000-", 416)])
def test_larger_than_may_be_stored_and_answered(filling, asked, status):
    """Nobody reads on, and nothing will be stored: the fetch ends."""
    _, weir, steps = filling(InSteps(patterned(6_000_000, 3)), cache={"memory": "64MiB", "max_object": "1MiB"})
    client = ask(weir, asked)
    steps.send_until(1000)
    assert client.read_response().status == status
    weir.wait_cache(readers=0)
    steps.send_until(6_000_000)
    weir.wait_cache(fills=0, stored=0, fills_aborted=1)
    weir.wait_server(active=0)


def test_a_client_that_stalls(start):
    """In the middle of a range of what goes by: the origin is not read on, and nothing is lost."""
    body = patterned(30_000_000, 3)
    origin = start.origin(cacheable(body))
    weir = start.weir(origin, cache={"memory": "64MiB", "max_object": "1MiB"})
    client = weir.client(receive_buffer=4096)
    client.request("GET", "/a", [("Range", "bytes=1000000-28000000")])
    response = client.read_final_head()
    weir.wait_stats(lambda stats: stats["buffers"]["bufferevents"]["leased"] == 1, "a client that takes nothing")
    assert weir.stats()["cache"]["memory"]["fills"] < 2 << 20
    expect_range(client.read_body(response), 1_000_000, 28_000_000, body)
    weir.wait_cache(fills=0, readers=0)


# 206 of the origin ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [[], [("Range", "bytes=0-4")]])
def test_a_206_that_nobody_asked_for(start, asked):
    """Passed on as it is, never stored, never put together with another (RFC 9111 section 3.4)."""
    partial = [("ETag", '"v"'), ("Content-Range", "bytes 0-4/1000")] + FRESH
    origin = start.origin([respond(206, BODY[:5], partial),
                           respond(206, BODY[5:], [("ETag", '"v"'), ("Content-Range", "bytes 5-999/1000")] + FRESH),
                           cacheable(BODY, fields=[("ETag", '"v"')])])
    weir = start.weir(origin)
    client = weir.client()
    response = client.get("/a", asked)
    expect_range(response, 0, 4)
    assert response.cache_status()["detail"] == "partial"
    assert client.get("/a", [("If-None-Match", '"w"')]).body == BODY[5:]
    weir.wait_cache(stored=0, objects=0)
    response = client.get("/a")
    assert response.status == 200 and response.body == BODY
    weir.wait_cache(stored=1, misses=3)
    expect_range(client.get("/a", [("Range", "bytes=0-4")]), 0, 4)
    assert len(origin.requests) == 3
