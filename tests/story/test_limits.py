"""Limits and timeouts of the client side."""

import pytest

from weirtest import (Client, cacheable, held, ms, patterned, request_bytes, respond, wait_for)


def refused(start, status, data, **limits):
    origin = start.origin([])
    weir = start.weir(origin, limits=limits)
    client = weir.client()
    client.send_quietly(data)
    response = client.read_response()
    assert response.status == status and "detail" in response.cache_status()
    client.read_end()
    assert not origin.requests
    weir.wait_stats(lambda stats: sum(stats["requests"]["rejected"].values()) == 1, "one rejected")


def test_a_head_larger_than_header_size(start):
    refused(start, 431, request_bytes("GET", "/a", [("X", "y" * 5000)]), header_size="4KiB")


def test_a_head_larger_than_header_size_in_many_fields(start):
    refused(start, 431, request_bytes("GET", "/a", [(f"X{n}", "y" * 100) for n in range(60)]), header_size="4KiB")


def test_an_endless_head(start):
    refused(start, 431, b"GET /a HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 2000000)


def test_too_many_fields(start):
    refused(start, 431, request_bytes("GET", "/a", [(f"X{n}", "y") for n in range(101)]))


def test_as_many_fields_as_allowed(start):
    origin = start.origin(respond(200, b"x"))
    weir = start.weir(origin)
    assert weir.get("/a", [(f"X{number}", "y") for number in range(99)]).status == 200
    assert origin.requests[0].field("X98") == "y"


def test_a_target_too_long(start):
    refused(start, 414, request_bytes("GET", "/" + "a" * 40000))


def test_an_endless_target(start):
    refused(start, 414, b"GET /" + b"a" * 2000000)


def test_a_long_target_that_fits(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    target = "/" + "a" * 30000
    for _ in range(2):
        assert weir.get(target).body == b"hello"
    assert origin.targets == [target]


@pytest.mark.parametrize("part", [b"", b"G", b"GET /a HTTP/1.1\r\n", b"GET /a HTTP/1.1\r\nHost: h\r\nX: "])
def test_header_timeout(start, part):
    """From the first byte (a new connection: from its accept) to the end of the head."""
    origin = start.origin([])
    # Until its first byte a connection is idle.
    weir = start.weir(origin, limits={"header_timeout": ms(200), "idle_timeout": "60s" if part else ms(400)})
    client = weir.client()
    client.send(part)
    data = client.read_any()
    assert data == b"" or data.startswith(b"HTTP/1.1 408 ")


def test_a_trickled_head_does_not_extend_header_timeout(start):
    origin = start.origin([])
    weir = start.weir(origin, clock=True, limits={"header_timeout": "40s"})
    client = weir.client()
    data = b"GET /a HTTP/1.1\r\nHost: h\r\n"
    client.send(data)
    for _ in range(4):
        client.send(b"X")
        wait_for("an open connection", lambda: weir.stats()["connections"]["open"] == 1)
        assert client.silent(0.05)
        weir.advance(8)
    weir.advance(9)
    data = client.read_any()
    assert data == b"" or data.startswith(b"HTTP/1.1 408 ")


def test_idle_timeout_between_requests(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin, clock=True, limits={"idle_timeout": "40s"})
    client = weir.client()
    for _ in range(3):
        client.get("/a")
        weir.wait_stats(lambda stats: stats["connections"]["idle"] == 1, "an idle connection")
        weir.advance(30)
    assert client.silent()
    weir.advance(11)
    assert client.read_end() == "early"
    weir.wait_stats(lambda stats: stats["connections"]["open"] == 0, "no connection")


def test_idle_timeout_by_the_real_clock(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin, limits={"idle_timeout": ms(2000)})  # counts until the request comes, too
    client = weir.client()
    client.get("/a")
    assert client.read_end() == "early"


def test_idle_timeout_does_not_end_a_slow_request(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, respond(200, b"x"))
    weir = start.weir(origin, clock=True, limits={"idle_timeout": "20s", "header_timeout": "10s"},
                      timeouts={"first_byte": "1000s"})
    client = weir.client()
    client.request("GET", "/a")
    gate.wait_reached()
    weir.advance(100)
    gate.open()
    assert client.read_response().body == b"x"


@pytest.mark.parametrize("stored", [True, False])
def test_send_timeout(start, stored):
    """A client that does not read is cut, whether the answer lies in memory or is still coming."""
    body = patterned(20 << 20)
    origin = start.origin(respond(200, body, [("Cache-Control", "max-age=60" if stored else "no-store")]))
    weir = start.weir(origin, clock=True, limits={"send_timeout": "30s"}, timeouts={"between_bytes": "10h"})
    if stored:
        assert weir.get("/a").body == body
    client = weir.client(receive_buffer=65536)
    client.request("GET", "/a")
    response = client.read_head()
    stats = weir.wait_stats(lambda stats: stats["connections"]["open"] == 0 or weir.advance(31), "the connection cut")
    assert stats["requests"]["in_flight"] == 0
    weir.wait_stats(lambda stats: stats["requests"]["too_slow"] == 1, "one too slow")
    assert client.read_body(response).end in ("early", "reset")
    assert body.startswith(response.body)


def test_a_slow_reader_that_goes_on_is_served_whole(start):
    body = patterned(6 << 20)
    origin = start.origin(cacheable(body, ttl_s=3600))
    weir = start.weir(origin, clock=True, limits={"send_timeout": "30s"}, timeouts={"between_bytes": "10h"})
    for _ in range(2):
        client = weir.client(receive_buffer=65536)
        client.request("GET", "/a")
        response = client.read_head()
        for mark in range(1 << 18, len(body), 1 << 18):
            client.read_body(response, at_least=mark)
            weir.advance(10)
        assert client.read_body(response).body == body


def test_connections(start):
    """The third has to wait until one of the two ends."""
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = {"/held": held(gate, respond(200, b"held")), "/a": respond(200, b"a")}
    weir = start.weir(origin, limits={"connections": 2})
    first, second = weir.client(), weir.client()
    first.request("GET", "/held")
    second.request("GET", "/held")
    weir.wait_stats(lambda stats: stats["connections"]["open"] == 2, "two open connections")
    third = weir.client()
    third.send_quietly(request_bytes("GET", "/a"))
    assert third.silent(0.2) or third.buffer == b"" or b" 503 " in third.buffer
    assert weir.stats()["connections"]["open"] == 2
    gate.open()
    assert first.read_response().body == b"held"
    first.close()
    second.close()

    def served():
        client = Client(weir.address)
        client.sock.settimeout(1)
        try:
            return client.get("/a").status == 200
        except (AssertionError, OSError):
            return False
        finally:
            client.close()
    wait_for("a client served again", served)
