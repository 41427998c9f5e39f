"""Upgrade: after the origin's 101 the connection is a tunnel, both ways (RFC 9110 section 7.8)."""

import pytest

from weirtest import SANITIZED, patterned, respond, stopping_at_once, wait_for

ASK = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
       ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


def echo(request, connection):
    connection.send(SWITCH)
    while True:
        connection.send(connection.take_any())


def tunnel(weir):
    client = weir.client()
    client.request("GET", "/chat", ASK)
    response = client.read_final_head()
    assert response.status == 101
    return client, response


def test_an_echo_through_the_tunnel(start):
    origin = start.origin(echo)
    weir = start.weir(origin)
    client, response = tunnel(weir)
    assert response.field("Upgrade") == "websocket" and "upgrade" in response.members("Connection")
    assert response.field("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    request = origin.requests[0]
    assert request.field("Upgrade") == "websocket" and "upgrade" in request.members("Connection")
    assert request.field("Sec-WebSocket-Key") == "dGhlIHNhbXBsZSBub25jZQ=="
    for size in (1, 100, 65536, 300000):
        data = patterned(size)
        client.send(data)
        assert client.read_exact(size) == data
    # Bytes that would be wrong in HTTP are nobody's business here.
    rubbish = b"\0\xff\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    client.send(rubbish)
    assert client.read_exact(len(rubbish)) == rubbish
    client.close()
    origin.connections[0].wait_closed()
    stats = weir.wait_stats(lambda stats: stats["connections"]["open"] == 0 and
                            stats["requests"]["total"] == 1, "the end of the tunnel")
    assert stats["requests"]["status"]["1xx"] == 1
    # The connection of a tunnel is never used again.
    assert weir.server()["connections"]["idle"] == 0


def test_bytes_sent_with_the_101_and_with_the_request(start):
    def script(request, connection):
        connection.send(SWITCH + b"early from the origin")
        connection.send(connection.take(21))
        connection.close()

    origin = start.origin(script)
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/chat", ASK)
    response = client.read_final_head()
    assert response.status == 101
    assert client.read_exact(21) == b"early from the origin"
    client.send(b"then from the client.")
    assert client.read_exact(21) == b"then from the client."
    assert client.read_end() == "early"


def test_the_client_closes_its_writing_side(start):
    """The end is passed on; what the origin still sends comes back."""
    def script(request, connection):
        connection.send(SWITCH)
        data = b""
        try:
            while True:
                data += connection.take_any()
        except Exception:
            connection.send(b"all: " + data)
            connection.close()

    origin = start.origin(script)
    weir = start.weir(origin)
    client, _ = tunnel(weir)
    client.send(b"hello")
    client.half_close()
    assert client.read_exact(10) == b"all: hello"
    assert client.read_end() == "early"


def test_the_origin_closes_its_writing_side(start):
    got = []

    def script(request, connection):
        connection.send(SWITCH + b"bye")
        connection.half_close()
        got.append(connection.take(5))
        connection.close()

    origin = start.origin(script)
    weir = start.weir(origin)
    client, _ = tunnel(weir)
    assert client.read_exact(3) == b"bye"
    assert client.read_end() == "early"
    client.send(b"hello")
    client.half_close()
    weir.wait_stats(lambda stats: stats["connections"]["open"] == 0, "the end of the tunnel")
    wait_for("what the client sent, at the origin", lambda: got == [b"hello"])


@pytest.mark.parametrize("side", ["client", "origin"])
def test_a_reset_ends_the_tunnel(start, side):
    def script(request, connection):
        connection.send(SWITCH)
        connection.take(1)
        if side == "origin":
            connection.reset()
        else:
            connection.take(1)

    origin = start.origin(script)
    weir = start.weir(origin)
    client, _ = tunnel(weir)
    client.send(b"x")
    if side == "client":
        client.reset()
        origin.connections[0].wait_closed()
    else:
        client.read_end()
    weir.wait_stats(lambda stats: stats["connections"]["open"] == 0, "the end of the tunnel")


def test_an_origin_that_does_not_upgrade(start):
    origin = start.origin(respond(200, b"plain", [("Cache-Control", "max-age=60")]))
    weir = start.weir(origin)
    client = weir.client()
    response = client.get("/chat", ASK)
    assert response.status == 200 and response.body == b"plain"
    assert client.get("/chat").body == b"plain"


def test_an_upgrade_is_never_answered_from_memory(start):
    origin = start.origin(None)
    origin.script = [respond(200, b"plain", [("Cache-Control", "max-age=60")]), echo]
    weir = start.weir(origin)
    assert weir.get("/chat").body == b"plain"
    client, _ = tunnel(weir)
    client.send(b"x")
    assert client.read_exact(1) == b"x"


def test_an_upgrade_without_connection_is_not_passed(start):
    """RFC 9110 section 7.8: Upgrade is hop-by-hop."""
    origin = start.origin(respond(200, b"plain"))
    weir = start.weir(origin)
    assert weir.get("/chat", [("Upgrade", "websocket")]).body == b"plain"
    assert not origin.requests[0].has("Upgrade")


def test_a_tunnel_holds_back_a_sender_whose_peer_does_not_read(start):
    origin = start.origin(None, receive_buffer=65536)
    gate = origin.gate()
    total = 32 << 20

    def script(request, connection):
        connection.send(SWITCH)
        gate.wait()
        connection.take(total)
        connection.send(b"done")

    origin.script = script
    weir = start.weir(origin)
    client, _ = tunnel(weir)
    before = weir.resident_bytes()
    sent = client.send_until_blocked(bytes(65536), total)
    assert sent < 24 << 20 and (SANITIZED or weir.resident_bytes() - before < 4 << 20)
    gate.open()
    while sent < total:
        piece = bytes(min(65536, total - sent))
        client.send(piece)
        sent += len(piece)
    assert client.read_exact(4) == b"done"


def test_tunnels_do_not_outlive_a_stop(start):
    origin = start.origin(echo)
    weir = start.weir(origin, env=stopping_at_once())
    client, _ = tunnel(weir)
    weir.signal()
    weir.signal()
    assert weir.wait_exit() == 0
    client.read_end()
