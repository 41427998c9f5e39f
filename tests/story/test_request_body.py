"""Request bodies: streamed, held back where the origin is slow, refused where they may not be."""

import pytest

from weirtest import SANITIZED, SLOW, chunk, held, ms, patterned, respond, wait_for


def echo(request, connection):
    respond(200, request.body)(request, connection)


@pytest.mark.parametrize("size", [0, 1, 1000, 65536, 1000003, 8 << 20])
def test_a_body_with_content_length(start, size):
    body = patterned(size)
    origin = start.origin(echo)
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        response = client.fetch("POST", "/a", body=body)
        assert response.status == 200 and response.body == body
    assert origin.requests[0].field("Content-Length") == str(size)
    assert weir.stats()["connections"]["accepted"] == 1


def test_a_body_in_pieces_reaches_the_origin_before_its_end(start):
    seen = []

    def script(request, connection):
        seen.append(connection.take(5))
        seen.append(connection.take(5))
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin = start.origin(script, early=True)
    weir = start.weir(origin)
    client = weir.client()
    client.request("POST", "/a", [("Content-Length", "10")], b"hello")
    wait_for("the first half at the origin", lambda: seen == [b"hello"])
    client.send(b"world")
    assert client.read_response().body == b"ok"
    assert seen == [b"hello", b"world"]


def test_continue_is_passed_on_or_given(start):
    """The body is sent only after 100; the origin gets it whole."""
    origin = start.origin(echo)
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        client.request("POST", "/a", [("Content-Length", "5"), ("Expect", "100-continue")])
        assert client.read_head().status == 100
        client.send(b"hello")
        response = client.read_response()
        assert response.status == 200 and response.body == b"hello"
    assert len(origin.requests) == 2


def test_an_origin_that_refuses_instead_of_continue(start):
    origin = start.origin(respond(417, b"no", close=True), early=True)
    weir = start.weir(origin)
    client = weir.client()
    client.request("POST", "/a", [("Content-Length", "5"), ("Expect", "100-continue")])
    response = client.read_final_head("POST")
    if response.interim:  # Weir answered 100 by itself: the body follows
        client.send_quietly(b"hello")
    assert client.read_body(response).status == 417 and response.body == b"no"


def test_a_client_that_does_not_wait_for_100(start):
    origin = start.origin(echo)
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        client.request("POST", "/a", [("Expect", "100-continue")], b"hello")
        response = client.read_response()
        assert response.status == 200 and response.body == b"hello"


def test_no_100_for_what_weir_refuses_itself(start):
    origin = start.origin([])
    weir = start.weir(origin, limits={"body_size": "1KiB"})
    client = weir.client()
    client.request("POST", "/a", [("Content-Length", "5000"), ("Expect", "100-continue")])
    response = client.read_response()
    assert response.status == 413 and response.interim == []


def test_too_long_by_content_length(start):
    origin = start.origin([])
    weir = start.weir(origin, limits={"body_size": "1KiB"})
    client = weir.client()
    client.request("POST", "/a", [("Content-Length", "1025")])
    response = client.read_response()
    assert response.status == 413 and "detail" in response.cache_status()
    assert not origin.requests
    weir.wait_cache(local=1)


def test_exactly_the_limit_passes(start):
    origin = start.origin(echo)
    weir = start.weir(origin, limits={"body_size": "1KiB"})
    client = weir.client()
    assert client.fetch("POST", "/a", body=b"x" * 1024).status == 200
    response = client.fetch("POST", "/a", [("Transfer-Encoding", "chunked")],
                            chunk(b"x" * 1024) + b"0\r\n\r\n")
    assert response.status == 200 and len(response.body) == 1024


def test_too_long_by_chunks(start):
    """The origin must never take what was cut for a whole request."""
    origin = start.origin(echo)
    weir = start.weir(origin, limits={"body_size": "1KiB"})
    client = weir.client()
    client.request("POST", "/a", [("Transfer-Encoding", "chunked")])
    client.send_quietly((chunk(b"x" * 600) + chunk(b"y" * 600)) + b"0\r\n\r\n")
    assert client.read_response().status == 413
    assert not origin.requests


def test_an_origin_that_does_not_read_holds_the_client_back(start):
    """Weir keeps a bounded part of the body: the client's own send blocks."""
    origin = start.origin(None, early=True, receive_buffer=65536)
    gate = origin.gate()
    total = 64 << 20
    taken = []

    def script(request, connection):
        gate.wait()
        length = 0
        while length < total:
            length += len(connection.take_any())
        taken.append(length)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin.script = script
    weir = start.weir(origin, timeouts={"first_byte": "60s", "between_bytes": "60s"},
                      limits={"body_timeout": "60s"})
    client = weir.client()
    client.request("POST", "/a", [("Content-Length", str(total))])
    before = weir.resident_bytes()
    piece = bytes(65536)
    sent = client.send_until_blocked(piece, total)
    assert sent < 24 << 20, "Weir (or the kernel) took the body without an end"
    assert SANITIZED or weir.resident_bytes() - before < 4 << 20
    gate.open()
    while sent < total:
        client.send(piece[:total - sent])
        sent += len(piece[:total - sent])
    assert client.read_response().body == b"ok"
    assert taken == [total]


def test_an_answer_before_the_body_is_read(start):
    """The client gets it; the connection to the origin is not used for another request."""
    origin = start.origin([respond(403, b"no"), respond(200, b"other")], early=True)
    weir = start.weir(origin)
    client = weir.client()
    client.request("POST", "/a", [("Content-Length", "1000000")])
    client.send_quietly(b"x" * 1000)
    response = client.read_response("POST")
    assert response.status == 403 and response.body == b"no"
    client.close()
    assert weir.get("/b").body == b"other"
    assert [request.connection.number for request in origin.requests] == [1, 2]


def test_an_answer_before_the_body_and_then_a_close(start):
    """The origin stops reading and closes: its answer still reaches a client that goes on sending."""
    def script(request, connection):
        connection.send(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        connection.half_close()
        try:
            while True:
                connection.take_any()
        finally:
            connection.close()

    origin = start.origin(script, early=True)
    weir = start.weir(origin)
    client = weir.client()
    client.request("POST", "/a", [("Content-Length", "3000000")])
    client.send_quietly(b"x" * 300000)
    response = client.read_response("POST")
    assert response.status == 413 and response.body == b"no"


def test_a_client_that_stops_in_the_middle_of_its_body(start):
    """408 or a close; never a short request that looks whole."""
    origin = start.origin([])
    weir = start.weir(origin, limits={"body_timeout": ms(300)})
    for framing in ([("Content-Length", "10")], [("Transfer-Encoding", "chunked")]):
        client = weir.client()
        client.request("POST", "/a", framing, b"3\r\nabc")
        data = client.read_any()
        assert data == b"" or data.startswith(b"HTTP/1.1 408 ")
    assert not origin.requests


def test_a_client_that_leaves_in_the_middle_of_its_body(start):
    origin = start.origin([])
    weir = start.weir(origin)
    for framing in ([("Content-Length", "10")], [("Transfer-Encoding", "chunked")]):
        client = weir.client()
        client.request("POST", "/a", framing, b"3\r\nabc")
        origin.wait_accepts(1)
        client.close()
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 0, "both given up")
    for connection in origin.connections:
        connection.wait_closed()
    assert not origin.requests


@pytest.mark.parametrize("body", [b"g\r\n", b"-1\r\n", b"\r\n", b" 5\r\nhello\r\n", b"0x5\r\nhello\r\n",
                                  b"5\nhello\r\n", b"5\r\nhelloX\r\n", b"5\r\nhello\n0\r\n\r\n",
                                  b"ffffffffffffffffff\r\n", b"5;a\nb\r\nhello\r\n",
                                  b"0\r\nX\r\n\r\n", b"0\r\nX : y\r\n\r\n", b"0\r\nA: b\r\n c\r\n\r\n"])
def test_malformed_chunks_are_never_a_whole_request(start, body):
    origin = start.origin([])
    weir = start.weir(origin)
    client = weir.client()
    client.request("POST", "/a", [("Transfer-Encoding", "chunked")])
    client.send_quietly(body)
    client.send_quietly(b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
    data = b""
    while (piece := client.read_any()):
        data += piece
        if b"\r\n\r\n" in data:
            break
    assert data == b"" or data.startswith(b"HTTP/1.1 400 ")
    assert not origin.requests


def test_a_get_with_a_body_is_passed_with_it(start):
    origin = start.origin(echo)
    weir = start.weir(origin)
    client = weir.client()
    for body in (b"one", b"two"):
        assert client.fetch("GET", "/a", body=body).body == body


def test_first_byte_counts_from_the_request_sent_whole(start):
    """A slow upload is not an origin that does not answer."""
    origin = start.origin(echo)
    weir = start.weir(origin, clock=True, timeouts={"first_byte": "20s"})
    client = weir.client()
    client.request("POST", "/a", [("Content-Length", "4")])
    origin.wait_accepts(1)
    for byte in (b"a", b"b", b"c"):
        weir.turn()
        weir.advance(15)
        client.send(byte)
    client.send(b"d")
    assert client.read_response().body == b"abcd"


def test_a_body_at_a_held_origin_and_a_client_that_leaves(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, respond())
    weir = start.weir(origin)
    client = weir.client()
    client.request("POST", "/a", body=b"x")
    gate.wait_reached()
    client.reset()
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 0, "the request given up",
                    5 * SLOW)
