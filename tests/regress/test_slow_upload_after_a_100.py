"""An interim response counted as the first byte of the final one: timeouts.between_bytes cut the upload it had asked for."""

import pytest

from weirtest import respond, wait_for

SHORT = {"first_byte": "5s", "between_bytes": "5s"}


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_upload_longer_than_between_bytes(start, framing):
    got = []

    def script(request, connection):
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        for number in range(6):
            piece = b"%d" % number if framing == "length" else b"1\r\n%d\r\n" % number
            got.append(connection.take(len(piece)) == piece)
        if framing == "chunked":
            got.append(connection.take(5) == b"0\r\n\r\n")
        respond(200, b"whole")(request, connection)

    origin = start.origin(script, early=True)
    weir = start.weir(origin, clock=True, timeouts=SHORT, workers=1)
    client = weir.client()
    framed = ("Content-Length", "6") if framing == "length" else ("Transfer-Encoding", "chunked")
    client.request("POST", "/a", [framed, ("Expect", "100-continue")])
    interim = client.read_head("POST")
    assert interim.status == 100
    for number in range(6):
        weir.advance(8)
        client.send_quietly(b"%d" % number if framing == "length" else b"1\r\n%d\r\n" % number)
        wait_for(f"{number + 1} bytes at the origin", lambda: len(got) > number)
    if framing == "chunked":
        client.send(b"0\r\n\r\n")
    response = client.read_response("POST")
    assert response.status == 200 and response.body == b"whole"
    assert all(got) and weir.server()["errors"] == 0


def test_first_byte_still_holds_after_the_upload(start):
    origin = start.origin(None, early=True)
    gate = origin.gate()

    def script(request, connection):
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.take(1)
        gate.wait()

    origin.script = script
    weir = start.weir(origin, clock=True, timeouts=SHORT, workers=1)
    client = weir.client()
    client.request("POST", "/a", [("Content-Length", "1"), ("Expect", "100-continue")])
    assert client.read_head("POST").status == 100
    client.send(b"x")
    gate.wait_reached()
    weir.advance(6)
    assert client.read_response("POST").status == 504
    weir.wait_server(active=0)
