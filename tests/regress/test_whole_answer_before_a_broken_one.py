"""An answer that was sent whole was lost when the one behind it broke and more requests were waiting to be read.

Weir closed the connection with bytes of the client unread; the kernel makes that a reset, and what it has not delivered of the
answers before goes with it (RFC 9112 §9.6).
"""

from weirtest import PATIENCE_S, cacheable, held, patterned, raw

WHOLE = patterned(60000)


def test_the_answer_before_a_broken_one_arrives(start):
    origin = start.origin(None)
    gate = origin.gate()
    broken = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbroken", "close")
    origin.script = {"/whole": cacheable(WHOLE), "/broken": held(gate, broken)}
    weir = start.weir(origin, workers=1)
    assert weir.get("/whole").body == WHOLE
    client = weir.client(receive_buffer=4096)  # which leaves most of it with Weir's kernel
    client.send(b"".join(b"GET %s HTTP/1.1\r\nHost: example.test\r\n\r\n" % path for path in (b"/whole", b"/broken")))
    gate.wait_reached()
    client.send(b"GET /never HTTP/1.1\r\nHost: example.test\r\n\r\n")
    gate.open()
    weir.wait_stats(lambda stats: stats["requests"]["cut"] == 1, "the broken answer", PATIENCE_S)
    whole = client.read_response()
    assert (whole.body == WHOLE, whole.end) == (True, "clean")
    second = client.read_response()
    assert (second.body, second.end) == (b"broken", "early")
    assert origin.targets == ["/whole", "/broken"]
