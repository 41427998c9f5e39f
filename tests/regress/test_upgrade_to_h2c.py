"""An upgrade to h2c was passed on: behind the origin's 101 a client could send it any request, unseen by Weir (RFC 9113 has no such upgrade)."""

import pytest

from weirtest import respond


@pytest.mark.parametrize("fields", [
    [("Upgrade", "h2c")], [("Upgrade", "H2C")], [("Upgrade", "websocket, h2c")], [("Upgrade", "h2c"), ("Upgrade", "websocket")],
    [("Upgrade", "websocket"), ("Upgrade", "h2c")]], ids=str)
def test_it_is_ignored(start, fields):
    def script(request, connection):
        if request.has("Upgrade"):
            connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        else:
            respond(200, b"no upgrade")(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin)
    response = weir.get("/a", [("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")] + fields)
    assert response.status == 200 and response.body == b"no upgrade"
    assert not origin.requests[0].members("Connection")


def test_another_protocol_still_passes(start):
    def script(request, connection):
        assert request.members("Connection") == ["upgrade"] and request.field("Upgrade") == "h2cx"
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2cx\r\n\r\n")
        connection.close()

    weir = start.weir(start.origin(script))
    client = weir.client()
    client.request("GET", "/a", [("Connection", "Upgrade"), ("Upgrade", "h2cx")])
    assert client.read_final_head().status == 101
