"""Clients that leave, stall, or close one side.

A plain close of a socket sends the same FIN as closing only its writing side, and such a client is served: it is known to
be gone once something is sent to it. A reset is noticed at once.
"""

import pytest

from weirtest import PATIENCE_S, cacheable, held, patterned, request_bytes, respond, wait_for


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_reset_while_the_origin_works_is_noticed(start, method):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, cacheable())
    weir = start.weir(origin)
    client = weir.client()
    client.request(method, "/a", body=b"x" if method == "POST" else None)
    gate.wait_reached()
    assert weir.stats()["requests"]["in_flight"] == 1
    client.reset()
    stats = weir.wait_stats(lambda stats: stats["connections"]["open"] == 0, "the client gone")
    assert stats["requests"]["in_flight"] == 0 and stats["requests"]["total"] == 1
    gate.open()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_close_while_the_origin_works(start, method):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, cacheable(patterned(1000000)))
    weir = start.weir(origin)
    client = weir.client()
    client.request(method, "/a", body=b"x" if method == "POST" else None)
    gate.wait_reached()
    client.close()
    gate.open()
    stats = weir.wait_stats(lambda stats: stats["connections"]["open"] == 0, "the client gone")
    assert stats["requests"]["in_flight"] == 0 and stats["requests"]["total"] == 1
    assert weir.get("/a").body == patterned(1000000)


def test_a_half_closed_client_is_served(start):
    """It has shut down only its writing side."""
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, respond(200, b"answer"))
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a")
    client.half_close()
    gate.wait_reached()
    gate.open()
    response = client.read_response()
    assert response.body == b"answer" and response.end == "clean"
    assert client.read_end() == "early"


def test_a_half_closed_client_is_served_from_memory(start):
    origin = start.origin(cacheable(patterned(300000)))
    weir = start.weir(origin)
    weir.get("/a")
    client = weir.client()
    client.send(request_bytes("GET", "/a") * 3)
    client.half_close()
    for _ in range(3):
        assert client.read_response().body == patterned(300000)
    assert client.read_end() == "early"


def test_a_half_closed_client_with_a_body(start):
    origin = start.origin(lambda request, connection: respond(200, request.body)(request, connection))
    weir = start.weir(origin)
    client = weir.client()
    client.request("POST", "/a", body=b"hello")
    client.half_close()
    assert client.read_response().body == b"hello"


@pytest.mark.parametrize("stored", [True, False])
def test_a_reset_in_the_middle_of_the_answer(start, stored):
    body = patterned(12 << 20)
    origin = start.origin(respond(200, body, [("Cache-Control", "max-age=60" if stored else "no-store")]))
    weir = start.weir(origin)
    for _ in range(3):
        client = weir.client(receive_buffer=65536)
        client.request("GET", "/a")
        client.read_body(client.read_head(), at_least=1000)
        client.reset()
    weir.wait_stats(lambda stats: stats["connections"]["open"] == 0 and stats["requests"]["in_flight"] == 0,
                    "all gone")
    assert weir.get("/a").body == body


def test_a_pass_whose_client_left_ends_its_origin_connection(start):
    """Nobody wants the rest of a body that may not be kept: the origin need not send it all."""
    origin = start.origin(None)
    total = 512 << 20
    sent = []

    def script(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n" % total)
        piece = bytes(1 << 20)
        while sum(sent) < total:
            connection.send(piece)
            sent.append(len(piece))

    origin.script = script
    weir = start.weir(origin)
    client = weir.client(receive_buffer=65536)
    client.request("GET", "/a")
    client.read_body(client.read_head(), at_least=100000)
    client.reset()
    assert origin.connections[0].ended.wait(PATIENCE_S)
    assert sum(sent) < total
    weir.wait_server(active=0, idle=0)


def test_leaving_without_a_request(start):
    origin = start.origin([])
    weir = start.weir(origin)
    for part in (b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: h"):
        for leave in ("close", "reset"):
            client = weir.client()
            client.send(part)
            getattr(client, leave)()
    weir.wait_stats(lambda stats: stats["connections"]["accepted"] >= 8 and stats["connections"]["open"] == 0 and
                    stats["requests"]["total"] == sum(stats["requests"]["rejected"].values()), "eight come and gone")


def test_leaving_with_pipelined_requests(start):
    origin = start.origin(lambda request, connection: cacheable(patterned(20000))(request, connection))
    weir = start.weir(origin)
    weir.get("/a")
    for leave in ("close", "reset"):
        client = weir.client()
        client.send(request_bytes("GET", "/a") * 200)
        client.read_response()
        getattr(client, leave)()
    weir.wait_stats(lambda stats: stats["connections"]["open"] == 0, "both gone")


def test_many_clients_at_once_some_of_whom_leave(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, lambda request, connection: respond(
        200, request.target.encode())(request, connection))
    weir = start.weir(origin)
    clients = [weir.client() for _ in range(100)]
    for number, client in enumerate(clients):
        client.request("GET", f"/{number}")
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 100, "a hundred in flight")
    for number, client in enumerate(clients):
        if number % 3 != 2:
            client.reset()
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 33, "a third left")
    gate.open()
    for number, client in enumerate(clients):
        if number % 3 == 2:
            assert client.read_response().body == f"/{number}".encode()


def test_a_client_that_stalls_in_the_answer_and_goes_on(start):
    body = patterned(12 << 20)
    origin = start.origin(cacheable(body))
    weir = start.weir(origin)
    weir.get("/a")
    client = weir.client(receive_buffer=65536)
    client.request("GET", "/a")
    response = client.read_head()
    wait_for("a leased bufferevent", lambda: weir.stats()["buffers"]["bufferevents"]["leased"] >= 1)
    assert weir.get("/a").body == body
    assert client.read_body(response).body == body
    weir.wait_stats(lambda stats: stats["buffers"]["bufferevents"]["leased"] == 0, "the bufferevent given back")


def test_idle_clients_hold_no_bufferevent(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    clients = [weir.client() for _ in range(200)]
    for client in clients:
        client.get("/a")
    stats = weir.wait_stats(lambda stats: stats["connections"]["idle"] == 200, "two hundred idle")
    assert stats["buffers"]["bufferevents"]["leased"] == 0
    assert stats["connections"]["open"] == 200
