"""What each field of the access log says, for every way in which a request can end."""

import json
import os

from weirtest import cacheable, chunked, held, log_entries, ms, patterned, raw, respond, wait_for


def logged(start, origin, **config):
    path = os.path.join(start.folder, "access.log")
    config = {"workers": 1} | config  # lines of several come in any order
    return start.weir(origin, access_log={"path": path, "format": "json"}, **config), path


def says(entry, **expected):
    assert {key: entry[key] for key in expected} == expected


NO_PHASES = {"queue_us": 0, "connect_us": 0, "upload_us": 0, "first_byte_us": 0, "body_us": 0}


def test_miss_then_hit(start):
    origin = start.origin(cacheable(b"hello", ttl_s=60))
    weir, path = logged(start, origin)
    client = weir.client()
    client.get("/a?b=c", [("User-Agent", "agent"), ("Referer", "http://x/")])
    client.get("/a?b=c")
    miss, hit = log_entries(path, 2)
    says(miss, client="127.0.0.1", method="GET", host="example.test", target="/a?b=c", status=200, bytes=5, ended="whole",
         cache="miss", reason="uri-miss", ttl=0, route="*/", upstream=origin.address, queue_us=0, retries=0,
         user_agent="agent", referer="http://x/", version="HTTP/1.1")
    assert 0 < miss["connect_us"] + miss["first_byte_us"] <= miss["total_us"]
    assert miss["first_byte_us"] > 0
    says(hit, status=200, bytes=5, ended="whole", cache="hit", reason="-", upstream="-", user_agent="-", referer="-", **NO_PHASES)
    assert 0 < hit["ttl"] <= 60
    assert hit["request_id"] != miss["request_id"] and len(hit["request_id"]) == len(hit["trace_id"]) == 32


def test_coalesced(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, cacheable(b"hello"))
    weir, path = logged(start, origin)
    first, second = weir.client(), weir.client()
    first.request("GET", "/a")
    gate.wait_reached()
    second.request("GET", "/a")
    weir.wait_stats(lambda stats: stats["cache"]["waiters"] == 1)
    gate.open()
    assert first.read_response().body == second.read_response().body == b"hello"
    by_cache = {entry["cache"]: entry for entry in log_entries(path, 2)}
    assert set(by_cache) == {"miss", "coalesced"}
    says(by_cache["coalesced"], status=200, bytes=5, ended="whole", reason="uri-miss", ttl=0, upstream="-", **NO_PHASES)


def test_revalidated(start):
    origin = start.origin([cacheable(b"hello", ttl_s=1, fields=[("ETag", '"1"')]),
                           respond(304, fields=[("Cache-Control", "max-age=1"), ("ETag", '"1"')])])
    weir, path = logged(start, origin)
    client = weir.client()
    client.get("/a")
    wait_for("staleness", lambda: client.get("/a") and len(origin.requests) == 2)
    weir.signal()
    weir.wait_exit()
    last = [json.loads(line) for line in open(path, encoding="utf-8")][-1]
    says(last, status=200, bytes=5, ended="whole", cache="revalidated", reason="stale", upstream=origin.address)
    assert last["first_byte_us"] > 0


def test_not_modified_for_the_client(start):
    weir, path = logged(start, start.origin(cacheable(b"hello", fields=[("ETag", '"1"')])))
    client = weir.client()
    client.get("/a")
    assert client.get("/a", [("If-None-Match", '"1"')]).status == 304
    says(log_entries(path, 2)[1], status=304, bytes=0, ended="whole", cache="hit", upstream="-")


def test_pass_and_its_reason(start):
    origin = start.origin({"/a": respond(200, b"done"), "/n": respond(200, b"x", [("Cache-Control", "no-store")])})
    weir, path = logged(start, origin)
    client = weir.client()
    client.fetch("POST", "/a", body=b"x")
    client.get("/n")
    post, no_store = log_entries(path, 2)
    says(post, method="POST", status=200, bytes=4, cache="pass", reason="method", upstream=origin.address)
    says(no_store, cache="miss", reason="no-store", bytes=1)


def test_local_answers(start):
    origin = start.origin(lambda request, connection: connection.close())
    weir, path = logged(start, origin, route={"path": "/api"})
    client = weir.client()
    client.get("/none")
    client.get("/api")
    client.send(b"GET / HTTP/9.9\r\nHost: a\r\n\r\n")
    client.read_response()
    none, failed, refused = log_entries(path, 3)
    says(none, status=404, cache="local", reason="no-route", route="-", upstream="-", ended="whole", **NO_PHASES)
    says(failed, status=502, cache="local", reason="origin-closed", route="*/api", upstream=origin.address, ended="whole")
    assert failed["bytes"] > 0
    says(refused, status=505, cache="local", target="/", ended="whole")


def test_head_has_no_bytes(start):
    weir, path = logged(start, start.origin(cacheable(b"hello")))
    client = weir.client()
    client.get("/a")
    client.fetch("HEAD", "/a")
    client.fetch("HEAD", "/b")
    _, hit, miss = log_entries(path, 3)
    says(hit, method="HEAD", status=200, bytes=0, cache="hit", ended="whole")
    says(miss, method="HEAD", status=200, bytes=0, cache="miss", ended="whole")


def test_chunked_bodies_count_without_their_framing(start):
    weir, path = logged(start, start.origin(chunked(b"abc", b"defg")))
    assert weir.get("/a").body == b"abcdefg"
    says(log_entries(path, 1)[0], status=200, bytes=7, ended="whole")


def test_a_tunnel(start):
    def upgrade(request, connection):
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        connection.send(connection.take(4) * 2)
        connection.close()
    origin = start.origin(upgrade)
    weir, path = logged(start, origin)
    client = weir.client()
    client.request("GET", "/a", [("Connection", "upgrade"), ("Upgrade", "echo")])
    assert client.read_final_head().status == 101
    client.send(b"ping")
    assert client.read_exact(8) == b"pingping"
    client.close()
    entry, = log_entries(path, 1)
    says(entry, status=101, bytes=8, cache="pass", upstream=origin.address, ended="whole")
    assert entry["first_byte_us"] > 0


def test_a_client_that_leaves_before_the_answer_is_a_499(start):
    """As nginx logs it; with the time that the origin had taken so far."""
    origin = start.origin(lambda request, connection: connection.wait_closed())
    weir, path = logged(start, origin)
    client = weir.client()
    client.request("GET", "/a")
    origin.wait_requests(1)
    client.reset()
    entry, = log_entries(path, 1)
    says(entry, status=499, bytes=0, cache="miss", ended="client-gone", upstream=origin.address, body_us=0)
    assert 0 < entry["first_byte_us"] <= entry["total_us"]


def test_a_client_that_leaves_in_the_middle(start):
    """The status is what was sent, and the bytes are what the kernel has taken."""
    size = 48 << 20
    weir, path = logged(start, start.origin(cacheable(patterned(size))))
    assert len(weir.get("/a").body) == size
    client = weir.client(receive_buffer=4096)
    client.request("GET", "/a")
    client.read_head()
    weir.wait_stats(lambda stats: stats["buffers"]["bufferevents"]["leased"] == 1)
    client.reset()
    entry = log_entries(path, 2)[1]
    says(entry, status=200, cache="hit", ended="client-gone", upstream="-")
    assert 0 < entry["bytes"] < size


def test_an_origin_that_breaks_off(start):
    origin = start.origin(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", end="close"))
    weir, path = logged(start, origin)
    assert weir.get("/a").body == b"half"
    says(log_entries(path, 1)[0], status=200, bytes=4, ended="cut", cache="miss", upstream=origin.address)


def test_the_phase_that_a_timeout_ended(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, respond(200))
    weir, path = logged(start, origin, clock=True, timeouts={"first_byte": "100s"})
    client = weir.client()
    client.request("GET", "/a")
    gate.wait_reached()
    weir.advance(101)
    assert client.read_response().status == 504
    entry, = log_entries(path, 1)
    says(entry, status=504, cache="local", reason="first-byte-timeout", upstream=origin.address, ended="whole")
    assert 100_000_000 <= entry["first_byte_us"] <= entry["total_us"]


def test_the_queue_that_a_client_left(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, respond(200, b"x"))
    weir, path = logged(start, origin, pool={"max_connections": 1})
    first, second = weir.client(), weir.client()
    first.request("GET", "/first")
    gate.wait_reached()
    second.request("GET", "/second")
    weir.wait_stats(lambda stats: stats["upstreams"]["up"]["queued"] == 1)
    second.reset()
    entry, = log_entries(path, 1)
    says(entry, target="/second", status=499, first_byte_us=0, connect_us=0)
    assert 0 < entry["queue_us"] <= entry["total_us"]
    gate.open()
    first.read_response()


def test_a_retry(start):
    def first(request, connection):
        respond(200, b"x")(request, connection)
        connection.take_until(b"\r\n\r\n")  # the next request on it is read, and not answered
        connection.close()
    origin = start.origin({"/first": first, "/second": respond(200, b"y")})
    weir, path = logged(start, origin, workers=1)
    client = weir.client()
    client.get("/first")
    assert client.get("/second").status == 200
    says(log_entries(path, 2)[1], retries=1, status=200, upstream=origin.address)
