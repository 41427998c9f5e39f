"""Origins on unix sockets and IPv6, and by name."""

import os
import socket

import pytest

from weirtest import cacheable, respond


@pytest.mark.parametrize("family", ["inet", "inet6", "unix"])
def test_each_family(start, family):
    origin = start.origin(cacheable(b"hello"), family=family)
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        assert client.get("/a").body == b"hello"
    for number in range(3):
        assert client.fetch("POST", f"/{number}", body=b"x").body == b"hello"
    weir.wait_cache(hits=1, misses=1, passes=3)
    assert weir.server()["address"] == origin.address


def test_a_unix_socket_keeps_connections_too(start):
    origin = start.origin(respond(200, b"x"), family="unix")
    weir = start.weir(origin)
    for _ in range(5):
        weir.get("/a")
        weir.wait_server(active=0)
    assert origin.accepts == 1


def test_a_unix_socket_that_is_not_there(start):
    path = os.path.join(start.folder, "none.sock")
    weir = start.weir(f"unix:{path}")
    assert weir.get("/a").status == 502


def test_the_host_sent_to_a_unix_socket(start):
    origin = start.origin(respond(200, b"x"), family="unix")
    weir = start.weir(origin)
    weir.get("/a", host="api.test")
    assert origin.requests[0].all("Host") == ["api.test"]


def test_a_name_with_several_addresses(start):
    """localhost may be ::1 first; an origin that listens on one of them only is reached."""
    origin = start.origin(respond(200, b"x"))
    weir = start.weir(f"http://localhost:{origin.address.split(':')[1]}")
    for _ in range(3):
        assert weir.get("/a").body == b"x"


def test_listening_on_ipv6(start):
    from weirtest import free_port
    port = free_port()
    origin = start.origin(respond(200, b"x"))
    weir = start.weir(origin, listen=[{"address": f"[::1]:{port}"}])
    with socket.socket(socket.AF_INET6) as sock:
        sock.connect(("::1", port))
        sock.sendall(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        data = b""
        while (piece := sock.recv(65536)):
            data += piece
    assert data.startswith(b"HTTP/1.1 200 ") and data.endswith(b"x")
    assert origin.requests[0].field("X-Forwarded-For") == "::1"
    assert weir.stats()["requests"]["total"] == 1
    start.same_targets = False  # asked for on a socket of its own
