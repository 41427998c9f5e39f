"""A 103 of which the socket took a part, and there was no memory for the rest: the final response followed in its middle."""

from weirtest import raw, response_bytes

HINTS = response_bytes(103, b"", [("Link", "</style.css>; rel=preload")])


def test_nothing_follows_behind_a_gap(start):
    weir = start.faulty(start.origin(raw(HINTS + response_bytes(200, b"hello"))), workers=1)
    for _ in range(10):  # how much is taken is chance
        client = weir.client()
        assert client.get("/a").body == b"hello"
        weir.orders.cue("sendmsg@client=short*1", "libevent=ENOMEM*1")
        client.request("GET", "/a")
        received = b""
        try:
            while data := client.sock.recv(65536):
                received += data
        except ConnectionError:
            pass
        weir.orders.off()
        assert HINTS.startswith(received), received
    assert weir.get("/a").body == b"hello"
