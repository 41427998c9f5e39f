"""TERM and INT: what is in flight ends well, nothing new comes in, exit 0; a second signal stops at once."""

import signal

import pytest

from weirtest import cacheable, chunk, held, respond, stopping_at_once, wait_for


def closed(weir):
    """True once the public port refuses connections. Not asked of a listener: it takes them all before it closes."""
    import socket
    with open("/proc/net/tcp", encoding="ascii") as file:
        if f"0100007F:{weir.port:04X} 00000000:0000 0A" in file.read():
            return False
    with socket.socket() as probe:
        return probe.connect_ex(weir.address) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_weir_stops_at_once(start, number):
    weir = start.weir(start.origin([]))
    weir.signal(number)
    assert weir.wait_exit() == 0


def test_idle_connections_do_not_hold_it(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    clients = [weir.client() for _ in range(20)]
    for client in clients:
        client.get("/a")
    silent = weir.client()
    weir.signal()
    assert weir.wait_exit() == 0
    for client in clients + [silent]:
        client.read_end()
    origin.connections[0].wait_closed()


def test_a_request_in_flight_is_answered(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, respond(200, b"answer"))
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a")
    gate.wait_reached()
    weir.signal()
    wait_for("the listener closed", lambda: closed(weir))
    assert weir.admin("GET", "/readyz").status == 503
    assert weir.admin("GET", "/healthz").status in (200, 503)
    assert weir.process.poll() is None
    gate.open()
    response = client.read_response()
    assert response.body == b"answer" and response.end == "clean"
    assert "close" in response.members("Connection")
    assert client.read_end() == "early"
    assert weir.wait_exit() == 0


def test_a_response_in_the_middle_is_finished(start):
    def script(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"first"))
        gate.wait()
        connection.send(chunk(b"second") + b"0\r\n\r\n")

    origin = start.origin(script)
    gate = origin.gate()
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a")
    response = client.read_body(client.read_final_head(), at_least=5)
    weir.signal()
    wait_for("the listener closed", lambda: closed(weir))
    gate.open()
    assert client.read_body(response).body == b"firstsecond" and response.end == "clean"
    assert weir.wait_exit() == 0


def test_a_request_body_in_the_middle_is_finished(start):
    origin = start.origin(lambda request, connection: respond(200, request.body)(request, connection))
    weir = start.weir(origin)
    client = weir.client()
    client.request("POST", "/a", [("Content-Length", "10")], b"hello")
    origin.wait_accepts(1)
    weir.signal()
    wait_for("the listener closed", lambda: closed(weir))
    client.send(b"world")
    assert client.read_response().body == b"helloworld"
    assert weir.wait_exit() == 0


def test_no_refresh_begins(start):
    """What is stale is given while it may be, and is not asked for behind it any more. A QUERY is looked up when its content is
    there: here, when Weir is stopping."""
    control = ("Cache-Control", "max-age=60, stale-while-revalidate=100")
    origin = start.origin(respond(200, b"old", [control]))
    weir = start.weir(origin, clock=True)
    fields = [("Content-Type", "text/plain")]
    assert weir.client().fetch("QUERY", "/a", fields, b"what").body == b"old"
    weir.advance(70)
    gate = origin.gate()
    origin.script = {"/b": held(gate, respond(200, b"answer"))}
    asking, holding = weir.client(), weir.client()
    asking.request("QUERY", "/a", fields + [("Content-Length", "4")], b"wh")
    holding.request("GET", "/b")
    gate.wait_reached()
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 2)
    weir.signal()
    wait_for("the listener closed", lambda: closed(weir))
    asking.send(b"at")
    response = asking.read_response()
    assert response.body == b"old" and response.cache_status()["detail"] == "stale-while-revalidate"
    assert weir.stats()["cache"]["refreshes"] == 0
    gate.open()
    assert holding.read_response().body == b"answer"
    assert weir.wait_exit() == 0
    assert len(origin.requests) == 2


def test_a_second_signal_stops_at_once(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, respond(200, b"answer"))
    weir = start.weir(origin, env=stopping_at_once())
    client = weir.client()
    client.request("GET", "/a")
    gate.wait_reached()
    weir.signal()
    wait_for("the listener closed", lambda: closed(weir))
    weir.signal()
    assert weir.wait_exit() == 0
    client.read_end()


def test_no_connection_is_lost_that_was_accepted(start):
    """Clients whose connections wait in the accept queue of a stopping weir are served, not reset."""
    origin = start.origin(cacheable(b"x"))
    weir = start.weir(origin)
    weir.get("/a")
    weir.signal(signal.SIGSTOP)
    clients = [weir.client() for _ in range(30)]
    for client in clients:
        client.request("GET", "/a")
    weir.signal(signal.SIGTERM)
    weir.signal(signal.SIGCONT)
    for client in clients:
        assert client.read_response().body == b"x"
    assert weir.wait_exit() == 0
