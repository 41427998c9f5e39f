"""An origin that dies under a fill: all who read it see a broken response, nothing is kept, and the next one starts afresh."""

import re

import pytest

from weirtest import cacheable, chunk, respond

OK = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"
LENGTH = OK + b"Content-Length: 40000\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
FIRST = bytes(range(256)) * 20

# What the origin sends before it dies, and what of it is body. None: no head has been sent.
POSITIONS = {
    "before the head": (b"", None),
    "in the status line": (b"HTTP/1.1 20", None),
    "in the head": (LENGTH[:-10], None),
    "behind the head, length": (LENGTH, b""),
    "behind the head, chunked": (CHUNKED, b""),
    "behind the head, until close": (OK + b"\r\n", b""),
    "in a body of known length": (LENGTH + FIRST, FIRST),
    "one byte short": (OK + b"Content-Length: 5121\r\n\r\n" + FIRST, FIRST),
    "in a body until close": (OK + b"\r\n" + FIRST, FIRST),
    "in a chunk line": (CHUNKED + chunk(FIRST) + b"14", FIRST),
    "in a chunk": (CHUNKED + chunk(FIRST) + b"1400\r\n" + FIRST[:1000], FIRST + FIRST[:1000]),
    "behind a chunk's bytes": (CHUNKED + chunk(FIRST)[:-2], FIRST),
    "before the last chunk": (CHUNKED + chunk(FIRST), FIRST),
    "in the last chunk": (CHUNKED + chunk(FIRST) + b"0\r", FIRST),
    "before the trailers": (CHUNKED + chunk(FIRST) + b"0\r\n", FIRST),
    "in the trailers": (CHUNKED + chunk(FIRST) + b"0\r\nX-Sum: 1", FIRST),
    "before the end of the trailers": (CHUNKED + chunk(FIRST) + b"0\r\nX-Sum: 1\r\n", FIRST),
}
# A body until close that ends with FIN is whole.
CASES = [(position, end) for position in POSITIONS for end in ("close", "reset")
         if end == "reset" or "until close" not in position]


STORMS = (0, 1, 100)  # waiters beside the one that leads


class Storms:
    """Storms at one weir, each at a target of its own; what must hold after each of them."""

    def __init__(self, start, **config):
        self.origin = start.origin(None)
        self.weir = start.weir(self.origin, **config)
        self.count = 0

    def target(self):
        return f"/{self.count}"

    def gather(self, waiters):
        """One request that leads, and so many that wait with it."""
        clients = [self.weir.client() for _ in range(1 + waiters)]
        clients[0].request("GET", self.target())
        self.weir.wait_cache(fills=1, readers=1)
        for client in clients[1:]:
            client.request("GET", self.target())
        self.weir.wait_cache(fills=1, readers=1 + waiters, waiters=waiters)
        return clients

    def expect_nothing_kept(self):
        """The storm was one request for the origin; the next one for that key is its second, and leads."""
        asked, stored = 2 * self.count, self.count
        self.count += 1
        stats = self.weir.wait_cache(fills=0, readers=0, waiters=0, stored=stored, objects=stored, hits=stored,
                                     fills_aborted=self.count)
        self.weir.wait_server(active=0)
        assert len(self.origin.requests) == asked + 1
        assert stats["upstreams"]["up"]["servers"][0]["errors"] == self.count
        target = self.origin.requests[-1].target
        # Closed, so that no storm starts on a connection that was used: its death would be tried again.
        self.origin.script = cacheable(b"whole", 3600, [("Connection", "close")])
        again = self.weir.get(target)
        assert again.body == b"whole" and again.cache_status()["fwd"] == "uri-miss"
        assert self.weir.get(target).cache_status()["hit"] is True
        assert len(self.origin.requests) == asked + 2
        self.weir.wait_cache(stored=stored + 1, objects=stored + 1, fills=0, fills_aborted=self.count)


def expect_broken(client, response, body):
    """`response`: its head has been read already."""
    client.read_body(response)
    assert response.status == 200 and response.end in ("early", "reset"), response
    assert body.startswith(response.body), "bytes that the origin has not sent"


@pytest.mark.parametrize("position, end", CASES, ids=lambda value: value.replace(" ", "-"))
def test_it_dies(start, position, end):
    """After all have read what it sent."""
    sent, body = POSITIONS[position]
    storms = Storms(start)
    answered = 0
    for waiters in STORMS:
        begin, die = storms.origin.gate(), storms.origin.gate()

        def script(request, connection):
            begin.wait()
            connection.send(sent)
            die.wait()
            connection.reset() if end == "reset" else connection.close()

        storms.origin.script = script
        clients = storms.gather(waiters)
        answered += 1 + waiters
        begin.open()
        if body is None:
            die.open()
            for client in clients:
                response = client.read_response()
                assert response.status == 502 and response.end == "clean"
                assert response.cache_status()["detail"] in ("origin-closed", "origin-cut")
            storms.weir.wait_stats(lambda stats: stats["cache"]["local"] == answered and
                                   stats["requests"]["cut"] == 0, "an answer of Weir's own for each")
        else:
            responses = [client.read_body(client.read_final_head(), at_least=len(body)) for client in clients]
            assert all(response.end is None for response in responses)
            die.open()
            for client, response in zip(clients, responses):
                expect_broken(client, response, body)
                assert response.body == body
            storms.weir.wait_stats(lambda stats: stats["requests"]["cut"] == answered and
                                   stats["cache"]["local"] == 0, "a cut for each")
        storms.expect_nothing_kept()


@pytest.mark.parametrize("position", ["in a body of known length", "in a chunk", "in a chunk line",
                                      "before the last chunk", "before the end of the trailers"],
                         ids=lambda value: value.replace(" ", "-"))
def test_it_dies_with_all_of_it_at_once(start, position):
    """Head, part of the body and the end may come in one read: each sees a broken response, or a 502 if it saw nothing of it."""
    sent, body = POSITIONS[position]
    storms = Storms(start)
    for waiters in STORMS:
        begin = storms.origin.gate()

        def script(request, connection):
            begin.wait()
            connection.send(sent)
            connection.close()

        storms.origin.script = script
        clients = storms.gather(waiters)
        begin.open()
        for client in clients:
            response = client.read_final_head()
            if response.status == 502:
                assert client.read_body(response).end == "clean"
            else:
                expect_broken(client, response, body)
        storms.expect_nothing_kept()


def test_it_stalls_in_the_body(start):
    """It does not die, but between_bytes passes: the same for its readers."""
    storms = Storms(start, clock=True)
    for waiters in STORMS:
        stall = storms.origin.gate()

        def script(request, connection):
            connection.send(LENGTH + FIRST)
            stall.wait()

        storms.origin.script = script
        clients = storms.gather(waiters)
        responses = [client.read_body(client.read_final_head(), at_least=len(FIRST)) for client in clients]
        storms.weir.advance(31)
        for client, response in zip(clients, responses):
            expect_broken(client, response, FIRST)
        stall.open()
        storms.origin.connections[-1].wait_closed()
        storms.expect_nothing_kept()


@pytest.mark.parametrize("waiters", STORMS)
def test_it_dies_instead_of_a_304(start, waiters):
    """What is stored stays as it was: the next request asks about it again."""
    storms = Storms(start, clock=True)
    origin, weir = storms.origin, storms.weir
    origin.script = cacheable(b"one", 60, [("ETag", '"v1"')])
    weir.get(storms.target())
    begin = origin.gate()

    def script(request, connection):
        begin.wait()
        connection.send(b'HTTP/1.1 304 Not Modified\r\nETag: "v1')
        connection.reset()

    origin.script = script
    weir.advance(70)
    clients = storms.gather(waiters)
    begin.open()
    for client in clients:
        response = client.read_response()
        assert response.status == 502 and response.end == "clean"
    weir.wait_cache(fills=0, readers=0, waiters=0, stored=1, objects=1, fills_aborted=1)
    weir.wait_server(active=0)
    assert len(origin.requests) == 2
    origin.script = respond(304, fields=[("ETag", '"v1"'), ("Cache-Control", "max-age=60")])
    assert weir.get(storms.target()).body == b"one"
    assert origin.requests[2].field("If-None-Match") == '"v1"'
    assert weir.get(storms.target()).cache_status()["hit"] is True and len(origin.requests) == 3


def test_each_row_is_what_its_name_says():
    """The table of positions: only those without a head have no body, and none of them is a whole response."""
    for position, (sent, body) in POSITIONS.items():
        assert (body is None) == (b"\r\n\r\n" not in sent), position
        assert not re.search(rb"\r\n0\r\n(.+\r\n)*\r\n\Z", sent), position
