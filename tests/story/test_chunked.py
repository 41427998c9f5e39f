"""Chunked bodies and trailers, both ways."""

import pytest

from weirtest import chunk, chunked, patterned, raw, request_bytes, respond


def test_a_chunked_response_passes_and_is_stored(start):
    pieces = [patterned(size, size) for size in (1, 10, 4096, 70000, 3)]
    origin = start.origin(chunked(*pieces, fields=[("Cache-Control", "max-age=60")]))
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        response = client.get("/a")
        assert response.body == b"".join(pieces) and response.end == "clean"
    assert len(origin.requests) == 1
    weir.wait_cache(hits=1, misses=1)


@pytest.mark.parametrize("body", [
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5;a=b\r\nhello\r\n0\r\n\r\n",
    b'5 ;a="b;c\\"d"\r\nhello\r\n0;last\r\n\r\n',
    b"0000000000005\r\nhello\r\n0000\r\n\r\n",
    b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
])
def test_spellings_of_the_same_body(start, body):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
    origin = start.origin(raw(head + body))
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        response = client.get("/a")
        assert response.body == b"hello" and response.end == "clean"


def test_a_response_sent_byte_by_byte(start):
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: u\r\n\r\n"

    def script(request, connection):
        for byte in data:
            connection.send(bytes([byte]))

    origin = start.origin(script)
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        response = client.get("/a")
        assert response.body == b"abc0123456789" and response.end == "clean"
    assert origin.accepts == 1


def test_trailers_of_a_response_pass(start):
    origin = start.origin(chunked(b"abc", fields=[("Trailer", "X-Sum")], trailers=[("X-Sum", "900150")]))
    weir = start.weir(origin)
    client = weir.client()
    response = client.get("/a", [("TE", "trailers")])
    assert response.framing == "chunked" and response.trailers == [("X-Sum", "900150")]
    assert client.get("/a").body == b"abc"


def test_forbidden_fields_in_a_trailer_do_no_harm(start):
    """RFC 9110 section 6.5.1: framing and routing fields are not for trailers."""
    origin = start.origin(chunked(b"abc", trailers=[("Content-Length", "1"), ("Transfer-Encoding", "x"),
                                                    ("X-Sum", "9")]))
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        response = client.get("/a", [("TE", "trailers")])
        assert response.body == b"abc" and response.end == "clean"
        assert not response.has("Content-Length")
        names = [name.lower() for name, _ in response.trailers]
        assert "content-length" not in names and "transfer-encoding" not in names


def test_a_chunked_request_passes(start):
    pieces = [patterned(size, size) for size in (1, 10, 4096, 70000, 3)]
    origin = start.origin(respond(200, b"ok"))
    weir = start.weir(origin)
    client = weir.client()
    body = b"".join(chunk(piece) for piece in pieces) + b"0\r\n\r\n"
    assert client.fetch("POST", "/a", [("Transfer-Encoding", "chunked")], body).body == b"ok"
    assert origin.requests[0].body == b"".join(pieces)
    assert client.get("/a").body == b"ok"


def test_trailers_of_a_request_pass(start):
    origin = start.origin(respond(200, b"ok"))
    weir = start.weir(origin)
    body = chunk(b"abc") + b"0\r\nX-Sum: 900150\r\n\r\n"
    client = weir.client()
    fields = [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")]
    assert client.fetch("POST", "/a", fields, body).status == 200
    assert origin.requests[0].body == b"abc"
    assert origin.requests[0].trailers == [("X-Sum", "900150")]


def test_a_chunked_request_byte_by_byte(start):
    origin = start.origin(respond(200, b"ok"))
    weir = start.weir(origin)
    client = weir.client()
    data = request_bytes("POST", "/a", [("Transfer-Encoding", "chunked")],
                         b'3;x="y"\r\nabc\r\na\r\n0123456789\r\n0\r\nT: u\r\n\r\n')
    for byte in data:
        client.send(bytes([byte]))
    assert client.read_response().body == b"ok"
    assert origin.requests[0].body == b"abc0123456789"


def test_an_empty_chunked_body(start):
    origin = start.origin(chunked())
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        response = client.fetch("POST", "/a", [("Transfer-Encoding", "chunked")], b"0\r\n\r\n")
        assert response.body == b"" and response.end == "clean"
    assert [request.body for request in origin.requests] == [b"", b""]


def test_the_first_chunk_comes_before_the_last_is_made(start):
    def script(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"first"))
        gate.wait()
        connection.send(chunk(b"second") + b"0\r\n\r\n")

    origin = start.origin(script)
    gate = origin.gate()
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a")
    response = client.read_body(client.read_final_head(), at_least=5)
    assert response.body == b"first" and response.end is None
    gate.open()
    assert client.read_body(response).body == b"firstsecond" and response.end == "clean"


def test_trailers_are_not_stored_and_no_part_of_the_head(start):
    """RFC 9111 section 3.1: a cache may discard them, and must not merge them into the head. Trailer stays, a hint at what
    was lost (RFC 9110 section 6.6.2)."""
    origin = start.origin(chunked(b"abc", fields=[("Cache-Control", "max-age=60"), ("X-Both", "head"), ("Trailer", "X-Sum")],
                                  trailers=[("X-Sum", "9"), ("X-Both", "trailer"), ("ETag", '"t"')]))
    weir = start.weir(origin)
    client = weir.client()
    first, second = client.get("/a", [("TE", "trailers")]), client.get("/a", [("TE", "trailers")])
    assert ("X-Sum", "9") in first.trailers and ("X-Both", "trailer") in first.trailers
    assert second.trailers == [] and second.framing == "length" and second.cache_status()["hit"] is True
    for response in (first, second):
        assert response.all("X-Both") == ["head"] and not response.has("X-Sum") and not response.has("ETag")
        assert response.all("Trailer") == ["X-Sum"]
        assert response.body == b"abc" and response.end == "clean"
    assert client.get("/a", [("If-None-Match", '"t"')]).status == 200
    weir.wait_cache(hits=2, misses=1, stored=1)


@pytest.mark.parametrize("field, value", [("Cache-Control", "max-age=60"), ("Vary", "*"), ("Expires", "0"), ("Age", "59"),
                                          ("Set-Cookie", "a=b"), ("Connection", "X-Sum")])
def test_a_trailer_says_nothing_about_storing(start, field, value):
    """Caching is decided by the head: what stands behind the body comes too late (RFC 9110 section 6.5.1)."""
    for head, stored in ([("Cache-Control", "max-age=60")], 1), ([("Cache-Control", "no-store")], 0):
        origin = start.origin(chunked(b"abc", fields=head, trailers=[(field, value)]))
        weir = start.weir(origin)
        client = weir.client()
        for _ in range(2):
            response = client.get("/a", [("TE", "trailers")])
            assert response.body == b"abc"
            assert field.lower() not in [name.lower() for name, _ in response.trailers]
            assert response.all(field).count(value) == [name for name, _ in head].count(field) * stored
        weir.wait_cache(stored=stored, hits=stored, misses=2 - stored)


def test_waiting_requests_get_the_trailers_too(start):
    def script(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"abc"))
        gate.wait()
        connection.send(b"0\r\nX-Sum: 9\r\n\r\n")

    origin = start.origin(script)
    gate = origin.gate()
    weir = start.weir(origin)
    clients = [weir.client() for _ in range(3)]
    for client in clients:
        client.request("GET", "/a", [("TE", "trailers")])
    weir.wait_stats(lambda stats: stats["cache"]["readers"] == 3, "three readers of one fetch")
    gate.open()
    for client in clients:
        response = client.read_response()
        assert response.body == b"abc" and response.trailers == [("X-Sum", "9")]
    assert clients[0].get("/a", [("TE", "trailers")]).trailers == []
    weir.wait_cache(misses=1, coalesced=2, hits=1, stored=1)
