"""What the origin can do wrong: told apart by status, visibly broken where it is too late, never kept."""

import fcntl
import socket
import struct
import termios

import pytest

from weirtest import cacheable, chunk, held, ms, patterned, raw, respond, wait_for

OK = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"


def nothing_kept(weir):
    weir.wait_cache(stored=0, objects=0, hits=0)


def fails(start, status, script, target="/a", times=2, **config):
    """Each request is answered with this status by Weir, and the next one is whole again."""
    origin = start.origin(script)
    weir = start.weir(origin, **config)
    client = weir.client()
    for _ in range(times):
        response = client.get(target)
        assert response.status == status and response.end == "clean"
        assert "detail" in response.cache_status()
    nothing_kept(weir)
    origin.script = cacheable(b"whole")
    assert client.get(target).body == b"whole"
    assert weir.server()["errors"] >= times
    return weir


def test_connection_refused(start):
    origin = start.origin([], listen=False)
    weir = start.weir(origin)
    client = weir.client()
    response = client.get("/a")
    assert response.status == 502 and "detail" in response.cache_status()
    nothing_kept(weir)
    origin.script = respond(200, b"up")
    origin.listen()
    assert client.get("/a").body == b"up"


def test_a_name_that_does_not_resolve(start):
    weir = start.weir("http://no-such-host.invalid:80", timeouts={"connect": ms(500)})
    response = weir.get("/a")
    assert response.status in (502, 503, 504) and "detail" in response.cache_status()


def test_a_connect_that_never_ends(start):
    """A listener whose queue is full answers no SYN."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    weir = start.weir(f"http://127.0.0.1:{listener.getsockname()[1]}", timeouts={"connect": ms(200)})
    response = weir.get("/a")
    assert response.status == 504 and "detail" in response.cache_status()
    for filler in fillers:
        filler.close()
    listener.close()


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
                                  b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_the_end_before_or_in_the_head(start, sent, end):
    fails(start, 502, raw(sent, end))


def test_an_origin_that_never_answers(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = lambda request, connection: gate.wait()
    weir = start.weir(origin, timeouts={"first_byte": ms(200)})
    response = weir.get("/a")
    assert response.status == 504 and "detail" in response.cache_status()
    gate.open()
    nothing_kept(weir)


def test_an_origin_that_stops_in_its_head(start):
    origin = start.origin(None)
    gate = origin.gate()

    def script(request, connection):
        connection.send(OK)
        gate.wait()

    origin.script = script
    weir = start.weir(origin, timeouts={"first_byte": ms(200), "between_bytes": ms(200)})
    assert weir.get("/a").status == 504
    nothing_kept(weir)


def breaks(start, sent, end, fields=(), first=b"hello", **config):
    """The response begins and then ends visibly broken; nothing is kept."""
    origin = start.origin(None)
    gate = origin.gate()

    def script(request, connection):
        connection.send(sent)
        if end == "stall":
            gate.wait()
        elif end == "reset":
            gate.wait()
            connection.reset()
        elif end == "close":
            connection.close()

    origin.script = script
    weir = start.weir(origin, **config)
    client = weir.client()
    client.request("GET", "/a", fields)
    response = client.read_final_head()
    if response.status == 502:  # all of it came at once, before Weir had said anything
        assert client.read_body(response).end == "clean"
    else:
        client.read_body(response, at_least=len(first))
        if end == "reset":
            gate.open()
        client.read_body(response)
        assert response.status == 200
        assert response.end in ("early", "reset"), response
        assert response.body.startswith(first)
    gate.open()
    nothing_kept(weir)
    origin.script = cacheable(b"whole")
    assert weir.get("/a").body == b"whole"
    return response


@pytest.mark.parametrize("end", ["close", "reset", "stall"])
@pytest.mark.parametrize("body", [b"Content-Length: 100\r\n\r\nhello",
                                  b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"hello"),
                                  b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"5\r\nhel",
                                  b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"0\r\n",
                                  b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"0\r\nX: y\r\n"])
def test_the_end_in_the_body(start, body, end):
    breaks(start, OK + body, end, timeouts={"between_bytes": ms(200)})


def test_a_large_body_cut_one_byte_short(start):
    body = patterned(3000000)
    response = breaks(start, OK + b"Content-Length: 3000001\r\n\r\n" + body, "close", first=b"")
    assert response.status == 502 or len(response.body) <= 3000000


def test_a_body_until_close_that_is_reset(start):
    breaks(start, OK + b"\r\nhello", "reset")


@pytest.mark.parametrize("body", [
    b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"zz\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"5\r\nhelloXX",
    b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"-1\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"fffffffffffffffff\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"5\nhello\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"0\r\nbad trailer\r\n\r\n",
], ids=range(7))
def test_malformed_chunks(start, body):
    origin = start.origin(None)
    gate = origin.gate()

    def script(request, connection):
        head, rest = (OK + body).split(chunk(b"hello"))
        connection.send(head + chunk(b"hello"))
        gate.wait()
        connection.send(rest)

    origin.script = script
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a")
    response = client.read_body(client.read_final_head(), at_least=5)
    assert response.body == b"hello"
    gate.open()
    assert client.read_body(response).end in ("early", "reset")
    nothing_kept(weir)
    origin.connections[0].wait_closed()


@pytest.mark.parametrize("data", [
    b"rubbish that is not HTTP at all\r\n\r\n",
    b"\x15\x03\x01\x00\x02\x02\x16" * 10,
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
    b"ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
    OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    OK + b"Content-Length: x\r\n\r\nhello",
    OK + b"Content-Length: -1\r\n\r\n",
    OK + b"Content-Length: 99999999999999999999\r\n\r\n",
    OK + b"Transfer-Encoding: gzip\r\n\r\nhello",
    OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    OK + b"Bad Name: x\r\nContent-Length: 0\r\n\r\n",
    OK + b"X : y\r\nContent-Length: 0\r\n\r\n",
    OK + b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
    OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    OK + b"X: a\nY: b\r\nContent-Length: 0\r\n\r\n",
    OK + b"X: a\rb\r\nContent-Length: 0\r\n\r\n",
    OK + b"no colon\r\nContent-Length: 0\r\n\r\n",
    OK + b"X: " + b"y" * 40000 + b"\r\nContent-Length: 0\r\n\r\n",
    OK + b"X: y\r\n" * 150 + b"Content-Length: 0\r\n\r\n",
    OK + b"X: " + b"y" * 3000000,
], ids=range(24))
def test_rubbish(start, data):
    fails(start, 502, raw(data, "close"))


def test_more_bytes_than_announced(start):
    """The excess leaks into no other response and the connection is not used again."""
    excess = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nleaked"

    def script(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\n\r\nhello" + excess)

    origin = start.origin(script)
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(4):
        response = client.get("/a")
        assert response.body == b"hello" and response.end == "clean"
        assert client.buffer == b""
    assert origin.accepts == 4
    weir.wait_server(reused=0, idle=0)


@pytest.mark.parametrize("head", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\n\r\n",
                                  b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"],
                         ids=["204", "304", "204 with a length"])
def test_a_body_where_none_may_be(start, head):
    origin = start.origin([raw(head + b"hello"), respond(200, b"next")])
    weir = start.weir(origin)
    client = weir.client()
    assert client.get("/a", [("If-None-Match", '"x"')]).status in (204, 304, 502)
    origin.script = respond(200, b"next")
    assert client.get("/b").body == b"next"
    assert client.buffer == b"" and origin.accepts == 2


def test_a_body_for_head(start):
    origin = start.origin([raw(OK + b"Content-Length: 5\r\n\r\nhello"), respond(200, b"next")])
    weir = start.weir(origin)
    client = weir.client()
    assert client.fetch("HEAD", "/a").status in (200, 502)
    origin.script = respond(200, b"next")
    assert client.get("/b").body == b"next"
    assert client.buffer == b""


def test_statuses_of_the_origin_are_not_weirs(start):
    """An origin's own 502 or 504 passes with its fields and its body."""
    for status in (400, 500, 502, 503, 504, 599):
        origin = start.origin(respond(status, b"mine", [("Content-Type", "a/own")]))
        weir = start.weir(origin)
        response = weir.get("/a")
        assert response.status == status and response.body == b"mine"
        assert response.field("Content-Type") == "a/own" and weir.stats()["cache"]["local"] == 0


def test_a_stall_between_two_bytes_is_counted_anew(start):
    """between_bytes is for a gap, not for the whole body."""
    origin = start.origin(None)
    gates = [origin.gate() for _ in range(4)]

    def script(request, connection):
        connection.send(OK + b"Content-Length: 5\r\n\r\nh")
        for gate, byte in zip(gates, b"ello"):
            gate.wait()
            connection.send(bytes([byte]))

    origin.script = script
    weir = start.weir(origin, clock=True, timeouts={"between_bytes": "100s"})
    client = weir.client()
    client.request("GET", "/a")
    response = client.read_body(client.read_final_head(), at_least=1)
    for number, gate in enumerate(gates):
        weir.advance(70)
        gate.open()
        client.read_body(response, at_least=number + 2)
    assert client.read_body(response).body == b"hello" and response.end == "clean"


def test_a_client_that_does_not_read_is_not_the_origins_stall(start):
    """While Weir itself holds the origin back, no timeout of the origin runs."""
    body = patterned(24 << 20)
    origin = start.origin(respond(200, body, [("Cache-Control", "no-store")]))
    weir = start.weir(origin, clock=True, timeouts={"between_bytes": "10s"}, limits={"send_timeout": "100s"})
    client = weir.client(receive_buffer=65536)
    client.request("GET", "/a")
    response = client.read_head()
    wait_for("Weir to stop reading from the origin", lambda: stuck(weir, origin.connections[0]))
    weir.advance(30)
    assert client.read_body(response).body == body and response.end == "clean"


def stuck(weir, connection):
    """Bytes wait in the origin's socket, and go nowhere while Weir's workers go round and round."""
    def waiting():
        return struct.unpack("i", fcntl.ioctl(connection.sock, termios.TIOCOUTQ, bytes(4)))[0]
    before = waiting()
    for _ in range(20):
        weir.turn()
    return before > 0 and waiting() == before


def test_502_503_and_504_are_told_apart_in_the_detail(start):
    dead = start.origin([], listen=False)
    mute = start.origin(None)
    gate = mute.gate()
    mute.script = held(gate, respond())
    details = set()
    for origin in (dead, mute):
        weir = start.weir(origin, timeouts={"first_byte": ms(200)})
        details.add(weir.get("/a").cache_status()["detail"])
    assert len(details) == 2
