"""300 MiB through Weir, both ways: resident memory does not grow with the body."""

from weirtest import respond

TOTAL = 300 << 20
PIECE = bytes(range(256)) * 4096


def test_a_large_post(start):
    counted = []

    def script(request, connection):
        length = 0
        while length < TOTAL:
            length += len(connection.take_any())
        counted.append(length)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin = start.origin(script, early=True)
    weir = start.weir(origin)
    weir.stats()
    before = weir.resident_bytes()
    client = weir.client()
    client.request("POST", "/a", [("Content-Length", str(TOTAL))])
    most = 0
    for number in range(TOTAL // len(PIECE)):
        client.send(PIECE)
        if number % 20 == 0:
            most = max(most, weir.resident_bytes())
    assert client.read_response().body == b"ok"
    assert counted == [TOTAL]
    assert grown(most, before) < 4 << 20


def test_a_large_response(start):
    def script(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n" % TOTAL)
        for _ in range(TOTAL // len(PIECE)):
            connection.send(PIECE)

    origin = start.origin([script, respond(200, b"next")])
    weir = start.weir(origin)
    weir.stats()
    before = weir.resident_bytes()
    client = weir.client()
    client.request("GET", "/a")
    response = client.read_final_head()
    most = 0
    received = 0
    while received < TOTAL:
        if not client.buffer:
            client._receive()
        data, client.buffer = client.buffer, b""
        shift = received % 256
        assert data == (PIECE[shift:shift + len(data)]), "a wrong byte"
        received += len(data)
        most = max(most, weir.resident_bytes())
    assert received == TOTAL and response.field("Content-Length") == str(TOTAL)
    assert client.get("/b").body == b"next"
    assert grown(most, before) < 4 << 20


def grown(most, before):
    """A sanitizer's shadow and quarantine are not Weir's memory."""
    from weirtest import SANITIZED
    return 0 if SANITIZED else most - before
