"""Many requests on one connection: each answered, in order, and nobody starved by them."""

import os
import signal
import threading

from weirtest import cacheable, held, request_bytes, respond, wait_for


def numbered(request, connection):
    cacheable(request.target.encode())(request, connection)


def test_a_connection_serves_many_requests(start):
    origin = start.origin(numbered)
    weir = start.weir(origin)
    client = weir.client()
    for number in range(50):
        assert client.get(f"/{number % 10}").body == f"/{number % 10}".encode()
    stats = weir.wait_cache(hits=40, misses=10)
    assert stats["connections"]["accepted"] == 1


def test_pipelined_hits_and_misses_come_in_order(start):
    origin = start.origin(numbered)
    weir = start.weir(origin)
    client = weir.client()
    client.get("/1")
    targets = ["/1", "/2", "/1", "/3", "/1", "/1", "/4"]
    client.send(b"".join(request_bytes("GET", target) for target in targets))
    assert [client.read_response().body.decode() for _ in targets] == targets


def test_a_slow_answer_holds_the_ones_behind_it(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = {"/slow": held(gate, cacheable(b"slow")), "/fast": cacheable(b"fast")}
    weir = start.weir(origin)
    weir.get("/fast")
    client = weir.client()
    client.send(request_bytes("GET", "/slow") + request_bytes("GET", "/fast"))
    gate.wait_reached()
    assert client.silent()
    gate.open()
    assert client.read_response().body == b"slow"
    assert client.read_response().body == b"fast"


def test_pipelined_bodies_are_told_from_requests(start):
    def echo(request, connection):
        respond(200, request.method.encode() + b" " + request.body)(request, connection)

    origin = start.origin(echo)
    weir = start.weir(origin)
    client = weir.client()
    client.send(request_bytes("POST", "/", body=b"GET /x HTTP/1.1\r\n\r\n") +
                request_bytes("PUT", "/", [("Transfer-Encoding", "chunked")], b"3\r\nabc\r\n0\r\n\r\n") +
                request_bytes("GET", "/"))
    assert client.read_response().body == b"POST GET /x HTTP/1.1\r\n\r\n"
    assert client.read_response().body == b"PUT abc"
    assert client.read_response().body == b"GET "


def test_a_request_that_comes_byte_by_byte(start):
    origin = start.origin(numbered)
    weir = start.weir(origin)
    client = weir.client()
    for target in ("/a", "/b", "/a"):
        for byte in request_bytes("GET", target, [("X", "y" * 20)]):
            client.send(bytes([byte]))
        assert client.read_response().body == target.encode()
    weir.wait_cache(hits=1, misses=2)


def test_empty_lines_before_a_request_are_skipped(start):
    """RFC 9112 section 2.2: at least one CRLF before the request line is ignored."""
    origin = start.origin(numbered)
    weir = start.weir(origin)
    client = weir.client()
    client.send(b"\r\n" + request_bytes("GET", "/a"))
    assert client.read_response().body == b"/a"
    client.send(b"\r\n" + request_bytes("GET", "/b"))
    assert client.read_response().body == b"/b"


def test_connection_close_ends_the_connection_after_the_answer(start):
    origin = start.origin(numbered)
    weir = start.weir(origin)
    for option in ("close", "Close", "foo, close"):
        client = weir.client()
        response = client.get("/a", [("Connection", option)])
        assert response.body == b"/a" and "close" in response.members("Connection")
        assert client.read_end() == "early"


def test_a_thousand_pipelined_requests_are_answered_in_order(start):
    origin = start.origin(numbered)
    weir = start.weir(origin)
    client = weir.client()
    targets = [f"/{number % 7}" for number in range(1000)]
    sender = threading.Thread(target=client.send, daemon=True,
                              args=(b"".join(request_bytes("GET", target) for target in targets),))
    sender.start()
    assert [client.read_response().body.decode() for _ in targets] == targets
    weir.wait_cache(hits=993, misses=7)


def test_a_thousand_pipelined_requests_starve_nobody(start):
    """Both are ready in the same wake-up of the only worker; the log tells who was served when."""
    origin = start.origin(numbered)
    log = os.path.join(start.folder, "access.log")
    weir = start.weir(origin, workers=1, access_log={"path": log, "format": "json"})
    greedy, other = weir.client(), weir.client()
    for client, target in ((greedy, "/greedy"), (other, "/other")):
        client.get(target)
    weir.wait_stats(lambda stats: stats["connections"]["idle"] == 2, "both idle")
    weir.signal(signal.SIGSTOP)
    greedy.send(request_bytes("GET", "/greedy") * 1000)
    other.send(request_bytes("GET", "/other"))
    weir.signal(signal.SIGCONT)
    assert other.read_response().body == b"/other"
    for _ in range(1000):
        assert greedy.read_response().body == b"/greedy"

    def lines():
        with open(log, encoding="ascii") as file:
            text = file.read().splitlines()
        return text if len(text) == 1003 else None

    served = ["/other" in line for line in wait_for("1003 lines in the log", lines)][2:]
    assert served.index(True) < 500, "another client waited for most of the pipelined requests"
