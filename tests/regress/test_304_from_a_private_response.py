"""A 304 made from a large response that is not stored left the rest of it unread: its origin connection leaked for ever."""

import pytest

from weirtest import chunk, respond, response_bytes

SIZE = 8 << 20


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_the_origin_connection_ends(start, framing):
    def script(request, connection):
        fields = [("ETag", '"x"'), ("Cache-Control", "private")]
        if framing == "length":
            connection.send(response_bytes(200, bytes(SIZE), fields))
        else:
            connection.send(response_bytes(200, b"", fields + [("Transfer-Encoding", "chunked")]))
            for _ in range(SIZE >> 16):
                connection.send(chunk(bytes(1 << 16)))
            connection.send(b"0\r\n\r\n")

    origin = start.origin(script)
    weir = start.weir(origin)
    client = weir.client()
    for count in (1, 2):
        response = client.get("/a", [("If-None-Match", '"x"')])
        assert response.status == 304 and response.body == b""
        weir.wait_server(active=0)
        weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 0, "nothing in flight")
        assert len(origin.requests) == count
    client.close()
    response = weir.get("/a")
    assert response.status == 200 and response.body == bytes(SIZE)


def test_the_client_is_gone_as_well(start):
    origin = start.origin(respond(200, bytes(SIZE), [("ETag", '"x"'), ("Cache-Control", "private")]))
    weir = start.weir(origin)
    assert weir.get("/a", [("If-None-Match", '"x"')]).status == 304
    weir.wait_server(active=0)
