"""HTTP/1.0 on either side."""

import pytest

from weirtest import cacheable, chunked, held, patterned, raw, respond


def test_a_client_of_1_0_gets_one_answer_and_the_end(start):
    origin = start.origin(cacheable(b"hello"))
    weir = start.weir(origin)
    for _ in range(2):
        client = weir.client()
        response = client.get("/a", version="1.0")
        assert response.body == b"hello" and response.end == "clean"
        assert "keep-alive" not in response.members("Connection")
        assert client.read_end() == "early"
    weir.wait_cache(hits=1, misses=1)


def test_a_client_of_1_0_may_keep_the_connection(start):
    origin = start.origin(cacheable(b"hello"))
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(3):
        response = client.get("/a", [("Connection", "Keep-Alive")], version="1.0")
        assert response.body == b"hello" and response.framing == "length"
        assert "keep-alive" in response.members("Connection")
    assert weir.stats()["connections"]["accepted"] == 1
    client.get("/a", version="1.0")
    assert client.read_end() == "early"


@pytest.mark.parametrize("fields", [[], [("Connection", "keep-alive")]], ids=str)
def test_a_chunked_answer_for_a_client_of_1_0(start, fields):
    """No chunked coding for 1.0 (RFC 9112 section 6.1): the end of the connection is the end of the body."""
    pieces = [patterned(1000, seed) for seed in range(5)]
    origin = start.origin(chunked(*pieces))
    weir = start.weir(origin)
    response = weir.get("/a", fields, version="1.0")
    assert not response.has("Transfer-Encoding")
    assert response.body == b"".join(pieces) and response.end == "clean"


def test_a_broken_chunked_answer_for_a_client_of_1_0(start):
    """The only visible break there is a reset."""
    def script(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        gate.wait()
        connection.close()

    origin = start.origin(script)
    gate = origin.gate()
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a", version="1.0")
    response = client.read_body(client.read_final_head(), at_least=5)
    gate.open()
    client.read_body(response)
    if response.framing == "length":
        assert response.end != "clean"
    else:
        assert response.end == "reset"


def test_a_client_of_1_0_without_host(start):
    """Only HTTP/1.1 requires Host."""
    origin = start.origin(respond(200, b"x"))
    weir = start.weir(origin)
    assert weir.get("/a", host=None, version="1.0").status == 200
    assert origin.wait_requests(1).has("Host")


def test_a_client_of_1_0_with_transfer_encoding_is_refused(start):
    """RFC 9112 section 6.1: faulty framing."""
    origin = start.origin([])
    weir = start.weir(origin)
    client = weir.client()
    client.send(b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    assert client.read_response().status == 400
    client.read_end()
    assert not origin.requests


def test_no_1xx_for_a_client_of_1_0(start):
    """RFC 9110 section 15.2."""
    origin = start.origin(raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                              b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"))
    weir = start.weir(origin)
    response = weir.get("/a", version="1.0")
    assert response.status == 200 and response.interim == []


def test_an_origin_of_1_0(start):
    origin = start.origin([respond(200, b"one", version="1.0", close=True),
                           respond(200, b"two", [("Connection", "keep-alive")], version="1.0"),
                           respond(200, b"three", version="1.0", close=True)])
    weir = start.weir(origin)
    client = weir.client()
    assert [client.get("/a").body for _ in range(3)] == [b"one", b"two", b"three"]


def test_an_origin_whose_body_ends_with_the_connection(start):
    body = patterned(200000)
    origin = start.origin(raw(b"HTTP/1.0 200 OK\r\nContent-Type: a/b\r\n\r\n" + body, "close"))
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        response = client.get("/a")
        assert response.body == body and response.end == "clean"
        assert response.framing in ("chunked", "length")
    assert origin.accepts == 2
    assert weir.server()["connections"]["reused"] == 0


def test_weir_speaks_1_1_towards_the_origin(start):
    origin = start.origin(respond())
    weir = start.weir(origin)
    weir.get("/a", version="1.0")
    request = origin.wait_requests(1)
    assert request.version == "1.1" and request.members("Via") == ["1.0 weir"]


def test_a_1_0_clients_pipelined_rest_is_not_served(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = {"/a": held(gate, respond(200, b"a"))}
    weir = start.weir(origin)
    client = weir.client()
    client.send(b"GET /a HTTP/1.0\r\n\r\nGET /b HTTP/1.0\r\n\r\n")
    gate.wait_reached()
    gate.open()
    assert client.read_response().body == b"a"
    client.read_end()
    assert origin.targets == ["/a"]
