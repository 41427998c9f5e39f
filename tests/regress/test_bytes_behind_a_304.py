"""Bytes that came with a 304 from the origin stayed unseen: its connection was parked and they became the next response."""

import pytest

from weirtest import respond

STRAY = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"


@pytest.mark.parametrize("stray", [b"x", STRAY[:28], STRAY], ids=["one byte", "part of a head", "a response"])
def test_they_close_the_connection(start, stray):
    seen = []

    def not_modified(request, connection):
        seen.append(request.field("If-None-Match"))
        connection.send(b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n' + stray)

    origin = start.origin([respond(200, b"z", [("ETag", '"x"'), ("Cache-Control", "max-age=60, no-cache")]),
                           not_modified, respond(200, b"own"), respond(200, b"own")])
    weir = start.weir(origin, workers=1)
    client = weir.client()
    assert client.get("/f").body == b"z"
    response = client.get("/f")
    assert response.status == 200 and response.body == b"z" and seen == ['"x"']
    weir.wait_server(active=0, idle=0)
    origin.connections[0].wait_closed()
    for target in ("/g", "/h"):
        response = client.get(target)
        assert response.status == 200 and response.body == b"own"
    assert origin.targets == ["/f", "/f", "/g", "/h"] and origin.accepts == 2
    weir.wait_cache(revalidated=1)
