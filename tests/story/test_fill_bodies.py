"""Bodies that a fill cannot keep: too large, without an end, or none where bytes come all the same."""

import pytest

from weirtest import SANITIZED, SLOW, Watched, cacheable, chunk, held, respond, response_bytes, wait_for

PIECE = bytes(range(251)) * 261  # of a length that no power of two divides: a moved piece shows
MIB = 1 << 20


class Flow:
    """A body that goes on until the other side has gone; the origin counts what it could send."""

    def __init__(self, head, wrap=lambda piece: piece):
        self.head = head
        self.wrap = wrap
        self.sent = 0

    def __call__(self, request, connection):
        connection.send(self.head)
        while True:
            connection.send(self.wrap(PIECE))
            self.sent += len(PIECE)

    @classmethod
    def chunked(cls, control="max-age=60"):
        return cls(response_bytes(200, b"", [("Cache-Control", control), ("Transfer-Encoding", "chunked")]), chunk)


class FlowReader:
    """Reads a flow's bytes and checks each of them."""

    def __init__(self, client, response):
        self.client = client
        self.response = response
        self.length = 0

    def read(self, length):
        until = self.length + length
        while self.length < until:
            self.response.body = b""
            data = self.client.read_body(self.response, at_least=1).body
            assert self.response.end is None, self.response
            shift = self.length % len(PIECE)
            expected = PIECE[shift:] + PIECE * (len(data) // len(PIECE) + 1)
            assert data == expected[:len(data)], f"a wrong byte behind {self.length}"
            self.length += len(data)


def open_reader(weir, target="/a"):
    client = weir.client()
    client.request("GET", target)
    return FlowReader(client, client.read_final_head())


def expect_end(weir, origin):
    """Nobody reads: the fetch is ended, nothing is kept."""
    assert origin.connections[0].ended.wait(10 * SLOW), "the origin still sends"
    weir.wait_cache(fills=0, readers=0, waiters=0, stored=0, objects=0, fills_aborted=1)
    weir.wait_server(active=0, idle=0)
    assert len(origin.requests) == 1


def test_a_gigabyte_is_announced(start):
    """Streamed through and not stored; memory stays within its limit."""
    origin = start.origin(Flow(response_bytes(200, b"", [("Cache-Control", "max-age=60"),
                                                         ("Content-Length", str(1 << 30))])))
    weir = start.weir(origin, cache={"memory": "4MiB"})
    with Watched(weir) as sampler:
        reader = open_reader(weir)
        assert reader.response.cache_status()["detail"] == "too-large"
        reader.read((32 if SANITIZED else 256) * MIB)
        cache = weir.wait_cache(fills=1, readers=1, waiters=0, objects=0)["cache"]
        reader.client.reset()
    assert sampler.most <= cache["memory_limit"] == 4 * MIB
    # A window and its chunks, not the body, is what a pass holds.
    assert sampler.most < 2 * MIB
    expect_end(weir, origin)


def test_a_body_without_an_end_outgrows_the_cache(start):
    """It begins as one that is to be stored and becomes a pass; whoever comes then asks for a copy of their own."""
    flow = Flow.chunked()
    origin = start.origin(flow)
    weir = start.weir(origin, cache={"memory": "8MiB", "max_object": "1MiB"})
    with Watched(weir) as sampler:
        reader = open_reader(weir)
        reader.read((16 if SANITIZED else 64) * MIB)
        origin.script = cacheable(b"short")
        assert weir.get("/a").body == b"short"
        assert weir.get("/a").cache_status()["hit"] is True
        reader.read(MIB)
        reader.client.reset()
    assert sampler.most <= 4 * MIB
    assert origin.connections[0].ended.wait(10 * SLOW)
    weir.wait_cache(fills=0, readers=0, stored=1, objects=1, fills_aborted=1, readers_cut=0)


@pytest.mark.parametrize("slow_one", ["leads", "waits"])
def test_the_reader_that_holds_up_an_outgrown_body_is_cut(start, slow_one):
    """Two read it. The fast one goes on; the one that takes nothing sees a broken response."""
    flow = Flow.chunked()
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, flow)
    weir = start.weir(origin, cache={"memory": "16MiB", "max_object": "1MiB"})
    # The kernel takes less for the slow one: nobody waits for the fast one, though it may be stalled as well.
    slow, fast = weir.client(receive_buffer=4096), weir.client()
    first, second = (slow, fast) if slow_one == "leads" else (fast, slow)
    first.request("GET", "/a")
    weir.wait_cache(readers=1)
    second.request("GET", "/a")
    weir.wait_cache(fills=1, readers=2, waiters=1)
    gate.open()
    reader = FlowReader(fast, fast.read_final_head())
    reader.read(32 * MIB)
    weir.wait_cache(readers_cut=1, readers=1, fills=1)
    weir.wait_stats(lambda stats: stats["requests"]["cut"] == 1, "one cut")
    response = slow.read_final_head()
    assert slow.read_body(response).end in ("early", "reset")
    whole = PIECE * (len(response.body) // len(PIECE) + 1)
    assert response.body == whole[:len(response.body)]
    reader.read(4 * MIB)
    fast.reset()
    expect_end(weir, origin)
    weir.wait_cache(readers_cut=1)


def test_nobody_is_cut_before_an_answer_has_begun(start):
    """A storm at a body that outgrows the cache at once: who had no chance yet to take anything is not slow."""
    flow = Flow.chunked()
    origin = start.origin(None)
    gate = origin.gate()

    def script(request, connection):
        if len(origin.requests) == 1:
            gate.wait()
            flow(request, connection)
        else:
            respond(200, PIECE, [("Cache-Control", "no-store")])(request, connection)

    origin.script = script
    weir = start.weir(origin, cache={"memory": "4MiB", "max_object": "16KiB"})
    clients = [weir.client() for _ in range(100)]
    for client in clients:
        client.request("GET", "/a")
    weir.wait_cache(readers=100, waiters=99)
    gate.open()
    for client in clients:
        response = client.read_final_head()
        assert response.status == 200
        client.read_body(response, at_least=1000)
        assert PIECE.startswith(response.body[:len(PIECE)])
        client.reset()
    weir.wait_cache(fills=0, readers=0, waiters=0)


@pytest.mark.parametrize("control", ["max-age=60", "no-store"])
def test_a_single_reader_of_an_endless_body_holds_the_origin_back(start, control):
    """It stops reading: Weir takes no more from the origin than a window, cuts nobody, and goes on when it reads again."""
    flow = Flow.chunked(control)
    origin = start.origin(flow)
    weir = start.weir(origin, cache={"memory": "16MiB", "max_object": "1MiB"}, limits={"send_timeout": "1h"})
    reader = FlowReader(client := weir.client(receive_buffer=65536), None)
    client.request("GET", "/a")
    reader.response = client.read_final_head()
    reader.read(4 * MIB)
    held_back = wait_until_stuck(flow)
    # What lies in the sockets' buffers on both sides is the kernel's, some MiB each.
    assert held_back < reader.length + 48 * MIB
    cache = weir.stats()["cache"]
    assert cache["memory"]["fills"] < 2 * MIB and cache["bytes"] < 3 * MIB
    assert cache["readers"] == 1 and cache["readers_cut"] == 0
    reader.read(held_back + 8 * MIB - reader.length)
    assert flow.sent > held_back
    client.reset()
    expect_end(weir, origin)


def wait_until_stuck(flow):
    """Until the origin could send nothing for a moment; returns how much it has sent."""
    seen = [-1, 0]

    def stuck():
        seen[1] = seen[1] + 1 if seen[0] == flow.sent else 0
        seen[0] = flow.sent
        return seen[1] > 100 * SLOW
    wait_for("the origin held back", stuck)
    return flow.sent


# Bytes behind a head that has no body ------------------------------------------------------------

STRAY = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
FRESH = b"Cache-Control: max-age=60\r\n"
BODILESS = {
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n" + FRESH + b"\r\n", 204),
    "204 with a length": ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n" + FRESH + b"\r\n", 204),
    "304 to a client's condition": ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "c"\r\n' + FRESH + b"\r\n", 304),
    "HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n" + FRESH + b"\r\n", 200),
    "HEAD, chunked": ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + FRESH + b"\r\n", 200),
}


def seen_by_the_sweep(weir):
    """Moving the clock makes the sweep over parked connections run, which else is once a second."""
    weir.advance(0.001)
    connections = weir.server()["connections"]
    return connections["active"] == connections["idle"] == 0


@pytest.mark.parametrize("how", ["with the head", "behind it"])
@pytest.mark.parametrize("stray", [b"forged", STRAY], ids=["body bytes", "a response"])
@pytest.mark.parametrize("case", BODILESS)
def test_bytes_behind_a_bodiless_head(start, case, stray, how):
    """They are in no response and the connection is not used again, whether they come at once or a little later."""
    method, head, status = BODILESS[case]
    origin = start.origin(None)
    later = origin.gate()

    def script(request, connection):
        if how == "with the head":
            connection.send(head + stray)
            return
        connection.send(head)
        later.wait()
        connection.send(stray)

    origin.script = script
    weir = start.weir(origin, clock=True)
    fields = [("If-None-Match", '"c"')] if status == 304 else []
    client = weir.client()
    first = client.fetch(method, "/a", fields)
    # The length that a 204 may not announce is an error that Weir may refuse.
    assert first.status == status or (first.status == 502 and case == "204 with a length")
    if how == "behind it":
        weir.wait_server(active=0)
        later.open()
    wait_for("the connection closed", lambda: seen_by_the_sweep(weir))
    origin.connections[0].wait_closed()
    origin.script = respond(200, b"own")
    for target in ("/b", "/c"):
        response = client.get(target)
        assert response.status == 200 and response.body == b"own"
    assert client.buffer == b"" and origin.accepts == 2
    weir.wait_cache(fills=0, readers=0)


@pytest.mark.parametrize("waiters", [1, 20])
def test_many_wait_for_what_turns_out_to_be_bodiless(start, waiters):
    """A 204 for all of them: stored, without the bytes behind it."""
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, lambda request, connection: connection.send(BODILESS["204"][1] + STRAY))
    weir = start.weir(origin)
    clients = [weir.client() for _ in range(1 + waiters)]
    for client in clients:
        client.request("GET", "/a")
    weir.wait_cache(readers=1 + waiters, waiters=waiters)
    gate.open()
    for client in clients:
        response = client.read_response()
        assert response.status == 204 and response.body == b"" and response.end == "clean"
    weir.wait_cache(stored=1, objects=1, fills=0, readers=0)
    for client in clients:
        again = client.get("/a")
        assert again.status == 204 and again.cache_status()["hit"] is True
    assert len(origin.requests) == 1
    weir.wait_server(active=0, idle=0)


@pytest.mark.parametrize("waiters", [1, 20])
def test_many_wait_for_a_304_with_bytes_behind_it(start, waiters):
    """The stored body is what all of them get."""
    origin = start.origin(cacheable(b"stored", 60, [("ETag", '"v1"')]))
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    gate = origin.gate()
    origin.script = held(gate, lambda request, connection: connection.send(
        b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\nContent-Length: 6\r\n' + FRESH + b"\r\n" + STRAY))
    weir.advance(70)
    clients = [weir.client() for _ in range(1 + waiters)]
    for client in clients:
        client.request("GET", "/a")
    weir.wait_cache(readers=1 + waiters, waiters=waiters)
    gate.open()
    for client in clients:
        response = client.read_response()
        assert response.status == 200 and response.body == b"stored" and response.end == "clean"
    weir.wait_server(active=0, idle=0)
    assert weir.get("/a").cache_status()["hit"] is True and len(origin.requests) == 2
    weir.wait_cache(objects=1, fills=0, readers=0)
