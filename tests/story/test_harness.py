"""The harness itself: an origin and a client without Weir between them. What it must never miss."""

import os
import subprocess
import sys

import pytest

from weirtest import (Client, Malformed, Response, chunk, chunked, free_port, held, patterned, raw, respond,
                      response_bytes, to_yaml)


def direct(origin):
    host, port = origin.address.split(":")
    return Client((host, int(port)))


def test_a_response_is_read_by_its_framing(start):
    body = patterned(100000)
    origin = start.origin([respond(200, body), chunked(b"ab", b"cd", trailers=[("T", "1")]),
                           respond(204), raw(b"HTTP/1.1 200 OK\r\n\r\nrest", "close")])
    client = direct(origin)
    first = client.get("/1")
    assert (first.body, first.end, first.framing) == (body, "clean", "length")
    second = client.get("/2")
    assert (second.body, second.end, second.trailers) == (b"abcd", "clean", [("T", "1")])
    assert client.get("/3").end == "clean"
    last = client.get("/4")
    assert (last.body, last.end, last.framing) == (b"rest", "clean", "close")
    assert origin.targets == ["/1", "/2", "/3", "/4"] and origin.accepts == 1


@pytest.mark.parametrize("data, how, end", [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "close", "early"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "reset", "reset"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "close", "early"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "close", "early"),
    (b"HTTP/1.1 200 OK\r\n\r\nhell", "reset", "reset"),
])
def test_a_broken_response_is_told_from_a_whole_one(start, data, how, end):
    gate = None

    def script(request, connection):
        connection.send(data)
        gate.wait()
        connection.reset() if how == "reset" else connection.close()

    origin = start.origin(script)
    gate = origin.gate()
    client = direct(origin)
    client.request("GET", "/")
    response = client.read_final_head()
    gate.open()
    assert client.read_body(response).end == end


@pytest.mark.parametrize("head", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA : 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: 5\nB: 6\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: 5\r\n b\r\n\r\n",
    b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/2 200 OK\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
])
def test_a_malformed_head_is_refused(head):
    with pytest.raises(Malformed):
        Response(head, "GET")


def test_a_malformed_chunk_is_refused(start):
    origin = start.origin(raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n"))
    client = direct(origin)
    client.request("GET", "/")
    with pytest.raises(Malformed):
        client.read_response()


def test_the_origin_keeps_the_exact_bytes(start):
    origin = start.origin(respond())
    client = direct(origin)
    head = b"POST /x?y HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = chunk(b"abc") + b"1;x=y\r\nd\r\n0\r\nT: 2\r\n\r\n"
    client.send(head + body)
    client.read_response()
    request = origin.wait_requests(1)
    assert (request.head, request.raw_body, request.body) == (head, body, b"abcd")
    assert request.trailers == [("T", "2")]


def test_a_gate_holds_the_answer(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, respond(200, b"x"))
    client = direct(origin)
    client.request("GET", "/")
    gate.wait_reached()
    assert client.silent()
    gate.open()
    assert client.read_response().body == b"x"


def test_an_unforeseen_request_is_reported(start):
    origin = start.origin([])
    assert direct(origin).get("/").status == 500
    assert origin.errors
    origin.errors.clear()


def test_cache_status_is_parsed():
    head = response_bytes(200, b"", [("Cache-Status", 'other; hit, weir; fwd=miss; detail="a, b; c"; ttl=-3')])
    assert Response(head, "GET").cache_status() == {"fwd": "miss", "detail": '"a, b; c"', "ttl": -3}


def test_two_processes_are_given_different_ports():
    code = "import sys, weirtest; print(*(weirtest.free_port() for _ in range(300)), flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], cwd=os.path.dirname(os.path.abspath(__file__)), text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        theirs = {int(port) for port in other.stdout.readline().split()}
        own = {free_port() for _ in range(300)}
        other.stdin.close()
    assert len(own) == len(theirs) == 300 and not own & theirs


def test_yaml():
    assert to_yaml({"a": 1, "b": {"c": ["x", {"d": "e", "f": []}]}}) == \
        'a: 1\nb:\n  c:\n    - "x"\n    - d: "e"\n      f: []'
