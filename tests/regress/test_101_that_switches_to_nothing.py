"""A 101 of an HTTP/1.0 origin, or one that named no protocol, opened a tunnel; so did a request whose Upgrade was empty
(RFC 9110 §7.8, §15.2.2). Behind it a client could have sent any request, unseen by Weir."""

import pytest

from weirtest import raw, respond

ASKED = [("Connection", "Upgrade"), ("Upgrade", "websocket")]


@pytest.mark.parametrize("head", [
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade:\r\n\r\n",
    b"HTTP/1.0 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"], ids=["none", "empty", "old"])
def test_the_origins_is_malformed(start, head):
    origin = start.origin(raw(head))
    response = start.weir(origin).get("/a", ASKED)
    assert response.status == 502 and response.cache_status()["detail"] == "origin-malformed"


@pytest.mark.parametrize("value", ["", ",", " , "])
def test_the_clients_is_ignored(start, value):
    origin = start.origin(respond(200, b"no upgrade"))
    assert start.weir(origin).get("/a", [("Connection", "Upgrade"), ("Upgrade", value)]).body == b"no upgrade"
    assert not origin.requests[0].has("Upgrade") and not origin.requests[0].members("Connection")


def test_all_lines_of_the_clients_go_on(start):
    """Only the first did, and that may name nothing."""
    origin = start.origin(respond(200, b"no upgrade"))
    assert start.weir(origin).get("/a", [("Connection", "Upgrade"), ("Upgrade", ""), ("Upgrade", "a/1, b"), ("Upgrade", "c")]).status == 200
    assert origin.requests[0].members("Upgrade") == ["a/1", "b", "c"]
