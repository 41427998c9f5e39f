"""Clients that read slowly: limits.send_timeout and limits.min_send_rate.

The test clock runs, so that an hour of reading takes a moment. What Weir can see of a client is what the client's kernel
has acknowledged: the small receive buffers make that follow closely what the client reads.
"""

import re
import socket
import threading

import pytest

from weirtest import (PATIENCE_S, PeerGone, cacheable, patterned, request_bytes, respond, response_bytes, wait_for)

ONE_PART = patterned(6 << 20)  # of a stored response; more than the kernel's buffers on the way
# What a busy machine tells of a second's lines before the next one comes.
TOLD = re.compile(r"info cutting clients that are too slow: (\d+) such lines were held back before$", re.M)
LINE = re.compile(r"^\S+ info sending (\S+) the response to (.*): (\d+) bytes taken in (\d+) ms, too few for (\S+); "
                  r"the connection is reset(?:; (\d+) such lines were held back before)?$", re.M)


def cuts(weir):
    """The limits that the log names, a line each."""
    return [match[5] for match in LINE.finditer(weir.stderr())]


def too_slow(weir):
    return weir.stats()["requests"]["too_slow"]


def wait_queued(weir):
    wait_for("output that waits", lambda: weir.stats()["buffers"]["bufferevents"]["leased"] >= 1)


def wait_cut(weir, response=None, client=None):
    """Until no client is connected any more; what has arrived of the response is cut short."""
    stats = weir.wait_stats(lambda stats: stats["connections"]["open"] == 0, "the client cut")
    assert stats["requests"]["too_slow"] == 1 and stats["requests"]["in_flight"] == 0
    assert stats["buffers"]["bufferevents"]["leased"] == 0
    if client:
        assert client.read_body(response).end in ("early", "reset") and response.left > 0


def read_pieces(sock, length, piece):
    """Reads so many bytes as they come, in pieces that are at most so long."""
    data = b""
    while len(data) < length:
        more = sock.recv(min(piece, length - len(data)))
        assert more, "the connection has ended"
        data += more
    return data


def begin(start, body, cache_control="max-age=86400", **limits):
    """A weir, and a client to which a response is under way that does not fit the kernel's buffers."""
    origin = start.origin(respond(200, body, [("Cache-Control", cache_control)]))
    weir = start.weir(origin, clock=True, workers=1, limits=limits, timeouts={"between_bytes": "30d"})
    if "max-age" in cache_control:
        assert weir.get("/a").body == body
    client = weir.client(receive_buffer=4096)
    client.request("GET", "/a")
    response = client.read_head()
    response.left -= len(client.buffer)
    wait_queued(weir)
    return weir, client, response


@pytest.mark.parametrize("megabytes,cache_control", [(6, "max-age=86400"), (24, "max-age=86400"), (24, "no-store")])
def test_one_byte_a_second_is_too_slow(start, megabytes, cache_control):
    """The last part of a response, one of several, and one that the origin is still sending. Five hours, because the
    client's kernel acknowledges a few KiB at a time."""
    weir, client, _ = begin(start, patterned(megabytes << 20), cache_control, send_timeout="5h")
    for _ in range(59):
        read_pieces(client.sock, 300, 1)
        weir.advance(300)
    assert weir.stats()["connections"]["open"] == 1
    read_pieces(client.sock, 300, 1)
    weir.advance(301)
    wait_cut(weir)
    assert cuts(weir) == ["limits.min_send_rate"]
    line = LINE.search(weir.stderr())
    assert line[1] == "127.0.0.1" and line[2].startswith("GET example.test/a, request ") and line[4] == "18000000"
    assert 0 < int(line[3]) < 1 << 20


@pytest.mark.parametrize("rate", ["1KiB", "0"])
def test_little_an_hour_is_enough_without_a_rate(start, rate):
    """The old rule, which 0 keeps: something in each send_timeout."""
    weir, client, _ = begin(start, ONE_PART, send_timeout="1h", min_send_rate=rate)
    for _ in range(5 if rate == "0" else 1):
        assert too_slow(weir) == 0
        read_pieces(client.sock, 16384, 512)
        weir.advance(3601)
    if rate == "0":
        assert too_slow(weir) == 0 and weir.stats()["connections"]["open"] == 1
    else:
        wait_cut(weir)
        assert cuts(weir) == ["limits.min_send_rate"]


def test_a_steady_reader_is_served_whole(start):
    """Four times the rate, in small pieces. For minutes the kernel takes nothing more from Weir, as its buffer is large."""
    weir, client, response = begin(start, ONE_PART, send_timeout="30s")
    got = client.buffer
    for _ in range(6 * 30):
        got += read_pieces(client.sock, 4096, 512)
        weir.advance(1)
    assert too_slow(weir) == 0
    got += read_pieces(client.sock, len(ONE_PART) - len(got), 262144)
    client.buffer = b""
    assert got == ONE_PART and response.status == 200
    weir.wait_stats(lambda stats: stats["connections"]["idle"] == 1, "the client idle")
    weir.advance(40)  # no send period is left over
    assert client.get("/a").body == ONE_PART
    assert not cuts(weir)


@pytest.mark.parametrize("rate", ["1KiB", "0"])
def test_one_that_stops_reading_is_cut(start, rate):
    weir, client, response = begin(start, ONE_PART, send_timeout="30s", min_send_rate=rate)
    response.left -= len(read_pieces(client.sock, 1 << 16, 4096))
    weir.advance(31)
    assert too_slow(weir) == 0
    for _ in range(2):  # what was on the way to the client's buffer is taken in the first
        weir.advance(31)
    wait_cut(weir, response, client)
    assert len(cuts(weir)) == 1
    if rate == "0":
        assert cuts(weir) == ["limits.send_timeout"]


def test_time_that_nothing_waits_does_not_count(start):
    """An origin that goes on with less than the rate is none of the client's fault."""
    origin = start.origin(None)
    wanted = threading.Semaphore(0)

    def script(request, connection):
        connection.send(response_bytes(200, fields=[("Content-Length", str(len(ONE_PART) + 20))]) + ONE_PART)
        for _ in range(20):
            wanted.acquire(timeout=PATIENCE_S)
            connection.send(b"x")

    origin.script = script
    weir = start.weir(origin, clock=True, workers=1, limits={"send_timeout": "30s"}, timeouts={"between_bytes": "30d"})
    client = weir.client(receive_buffer=65536)
    client.request("GET", "/a")
    response = client.read_head()
    wait_queued(weir)
    client.read_body(response, at_least=len(ONE_PART))
    weir.wait_stats(lambda stats: stats["buffers"]["bufferevents"]["leased"] == 0, "nothing that waits")
    for number in range(20):
        weir.advance(20)
        wanted.release()
        client.read_body(response, at_least=len(ONE_PART) + number + 1)
    assert client.read_body(response).end == "clean" and too_slow(weir) == 0


def test_sending_a_body_does_not_replace_reading(start):
    """A client that trickles its request's body and does not read the response, which began early."""
    origin = start.origin(None, early=True)
    got = []

    def push(connection):
        try:
            connection.send(response_bytes(200, ONE_PART * 4))
        except PeerGone:
            pass

    def script(request, connection):
        sender = threading.Thread(target=push, args=(connection,), daemon=True)
        sender.start()
        for _ in range(1000):
            got.append(connection.take(1))
        sender.join()

    origin.script = script
    weir = start.weir(origin, clock=True, workers=1, limits={"send_timeout": "30s", "body_timeout": "30s"},
                      timeouts={"first_byte": "1h", "between_bytes": "1h"})
    client = weir.client(receive_buffer=4096)
    client.request("POST", "/a", [("Content-Length", "1000")], b"x")
    wait_queued(weir)
    sent = 1
    while sent < 60 and weir.stats()["connections"]["open"] == 1:
        client.send_quietly(b"x")
        sent += 1
        wait_for("the byte at the origin, or the end", lambda: len(got) >= sent or too_slow(weir))
        weir.advance(5)
    wait_cut(weir)
    assert sent < 20 and cuts(weir)[0].startswith("limits.")


def test_body_timeout_runs_again_once_the_response_waits_no_more(start):
    origin = start.origin(None, early=True)

    def script(request, connection):
        connection.send(response_bytes(200, fields=[("Content-Length", str(len(ONE_PART) + 1))]) + ONE_PART)
        connection.send(connection.take(10)[:1])

    origin.script = script
    weir = start.weir(origin, clock=True, workers=1, limits={"send_timeout": "30s", "body_timeout": "1h"},
                      timeouts={"first_byte": "1d", "between_bytes": "1d"})
    client = weir.client(receive_buffer=65536)
    client.request("POST", "/a", [("Content-Length", "10")], b"x")
    response = client.read_head("POST")
    wait_queued(weir)
    client.read_body(response, at_least=len(ONE_PART))
    weir.wait_stats(lambda stats: stats["buffers"]["bufferevents"]["leased"] == 0, "nothing that waits")
    weir.advance(3000)
    assert weir.stats()["connections"]["open"] == 1
    weir.advance(601)
    weir.wait_stats(lambda stats: stats["connections"]["open"] == 0, "the client cut")
    assert too_slow(weir) == 0 and client.read_body(response).end in ("early", "reset")


@pytest.mark.parametrize("reads", [True, False])
def test_a_unix_socket(start, reads):
    path = f"{start.folder}/listen.sock"
    origin = start.origin(cacheable(ONE_PART, ttl_s=86400))
    weir = start.weir(origin, clock=True, workers=1, listen=[{"address": f"unix:{path}"}],
                      limits={"send_timeout": "30s"})
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(path)
        client.sendall(request_bytes("GET", "/a"))
        client.recv(1)
        wait_queued(weir)
        for _ in range(10):
            read_pieces(client, 65536 if reads else 0, 4096)
            weir.advance(15)
        if reads:
            assert too_slow(weir) == 0 and weir.stats()["connections"]["open"] == 1
        else:
            wait_cut(weir)
            assert LINE.search(weir.stderr())[1] == "unix"


# Many ------------------------------------------------------------------------------------------


def connect_slow(weir):
    """Small segments, so that the kernel keeps its own buffers small: a thousand of these need little memory."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    sock.settimeout(PATIENCE_S)
    sock.connect(weir.address)
    sock.sendall(request_bytes("GET", "/large"))
    return sock


def hang_up(crowd):
    for sock in crowd:
        sock.close()


def test_a_thousand_that_read_one_byte_a_second(start):
    origin = start.origin({"/large": cacheable(patterned(1 << 20), ttl_s=86400),
                           "/small": cacheable(b"small", ttl_s=86400)})
    weir = start.weir(origin, clock=True, workers=1, limits={"send_timeout": "20m", "idle_timeout": "1h"})
    weir.get("/large")
    client = weir.client()
    assert client.get("/small").body == b"small"
    crowd = [connect_slow(weir) for _ in range(1000)]
    try:
        weir.wait_stats(lambda stats: stats["buffers"]["bufferevents"]["leased"] == 1000, "a thousand that wait")
        for _ in range(15):
            for sock in crowd:
                read_pieces(sock, 60, 60)
            weir.advance(60)
            assert client.get("/small").body == b"small"
        assert weir.stats()["connections"]["open"] == 1001
        assert weir.purge("http://example.test/large") == 1
        assert weir.stats()["cache"]["pinned_bytes"] >= 1 << 20  # by the thousand
        weir.advance(301)
        assert client.get("/small").body == b"small"
        stats = weir.wait_stats(lambda stats: stats["connections"]["open"] == 1 and
                                stats["requests"]["in_flight"] == 0, "the thousand cut")
        assert stats["requests"]["too_slow"] == 1000 and stats["buffers"]["bufferevents"]["leased"] == 0
        weir.wait_stats(lambda stats: stats["cache"]["pinned_bytes"] == 0, "the large object let go")
    finally:
        hang_up(crowd)
    check_lines(weir)


def check_lines(weir):
    """The thousand did not get a line each; the next one tells of those that got none."""
    early = len(cuts(weir))
    assert 0 < early < 100
    last = connect_slow(weir)
    try:
        wait_queued(weir)
        weir.advance(1201)
        weir.wait_stats(lambda stats: stats["requests"]["too_slow"] == 1001, "one more cut")
    finally:
        last.close()
    lines = [match for match in LINE.finditer(weir.stderr())]
    assert len(lines) == early + 1
    held_back = sum(int(match[6] or 0) for match in lines) + sum(map(int, TOLD.findall(weir.stderr())))
    assert len(lines) + held_back == 1001
