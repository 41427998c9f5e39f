"""The end of an upload cleared the deadline of a response that was under way: a client that read nothing held it for ever."""

import threading

import pytest

from weirtest import PeerGone, response_bytes, wait_for

SIZE = 24 << 20


def wait_stalled(weir, pushed):
    """Until the buffers on the way are full: what still moves would set the deadline again."""
    seen = []

    def same_for_a_while():
        weir.turn()
        seen.append(sum(pushed))
        return len(seen) > 40 and seen[-1] > 0 and seen[-1] == seen[-40]
    wait_for("a response that stands still", same_for_a_while)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_client_that_does_not_read_is_cut(start, framing):
    origin = start.origin(None, early=True)
    taken = threading.Event()
    cut = threading.Event()
    pushed = []
    last = b"67890" if framing == "length" else b"5\r\n67890\r\n0\r\n\r\n"

    def push(connection):
        try:
            connection.send(response_bytes(200, fields=[("Content-Length", str(SIZE))]))
            for _ in range(SIZE >> 14):
                connection.send(bytes(1 << 14))
                pushed.append(1 << 14)
        except PeerGone:
            cut.set()

    def script(request, connection):
        connection.take(5 if framing == "length" else 10)
        sender = threading.Thread(target=push, args=(connection,), daemon=True)
        sender.start()
        connection.take(len(last))
        taken.set()
        sender.join()

    origin.script = script
    weir = start.weir(origin, clock=True, workers=1, limits={"send_timeout": "10s"},
                      timeouts={"first_byte": "1h", "between_bytes": "1h"})
    client = weir.client(receive_buffer=4096)
    if framing == "length":
        client.request("POST", "/a", [("Content-Length", "10")], b"12345")
    else:
        client.request("POST", "/a", [("Transfer-Encoding", "chunked")], b"5\r\n12345\r\n")
    wait_for("output that waits", lambda: weir.stats()["buffers"]["bufferevents"]["leased"] == 1)
    wait_stalled(weir, pushed)
    client.send(last)
    wait_for("the rest of the upload at the origin", taken.is_set)
    for _ in range(4):  # what the client's buffer took on the way begins a new one
        weir.advance(11)
    weir.wait_stats(lambda stats: stats["connections"]["open"] == 0, "the client cut")
    weir.wait_server(active=0)
    wait_for("the response cut at the origin", cut.is_set)
    response = client.read_response("POST")
    assert response.status == 200 and response.end in ("early", "reset") and len(response.body) < SIZE
