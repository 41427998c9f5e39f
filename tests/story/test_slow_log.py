"""The slow log: a line for each request that took long, with what the time was spent on."""

import json
import os
import time

from weirtest import SLOW, cacheable, held, log_entries, ms, patterned, respond, wait_for

THRESHOLD_MS = 150


def slow_weir(start, origin, threshold=ms(THRESHOLD_MS), **config):
    path = os.path.join(start.folder, "slow.log")
    return start.weir(origin, slow_log={"path": path, "threshold": threshold}, **config), path


def long_enough(since):
    """Time itself is what these stories are about."""
    wait_for("the threshold", lambda: time.monotonic() - since > 2 * THRESHOLD_MS * SLOW / 1000)


def test_off_by_default(start):
    weir = start.weir(start.origin(respond(200, b"x")))
    weir.get("/a")
    assert weir.stats()["slow_log"] == {"written": 0, "dropped": 0}


def test_fast_requests_are_not_in_it_and_slow_ones_tell_of_the_origin(start):
    origin = start.origin({"/fast": cacheable(b"x")})
    gate = origin.gate()
    origin.script["/slow"] = held(gate, cacheable(b"hello"))
    # A fast request stays below it on a machine that stands still for a moment, too.
    weir, path = slow_weir(start, origin, "1h", clock=True, timeouts={"first_byte": "1d"})
    client = weir.client()
    client.get("/fast")
    client.get("/fast")
    client.request("GET", "/slow", [("X-Request-ID", "mine")])
    gate.wait_reached()
    weir.advance(3601)
    gate.open()
    client.read_response()
    entry, = log_entries(path, 1)
    assert (entry["target"], entry["request_id"], entry["cache"], entry["status"]) == ("/slow", "mine", "miss", 200)
    assert 3600e6 <= entry["first_byte_us"] <= entry["total_us"]
    assert entry["wait_us"] == entry["client_us"] == 0
    assert weir.stats()["slow_log"] == {"written": 1, "dropped": 0}
    assert weir.stats()["access_log"] == {"written": 0, "dropped": 0}


def test_waiting_for_another_request(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, cacheable(b"hello"))
    weir, path = slow_weir(start, origin)
    first, second = weir.client(), weir.client()
    first.request("GET", "/a")
    gate.wait_reached()
    second.request("GET", "/a")
    weir.wait_stats(lambda stats: stats["cache"]["waiters"] == 1)
    long_enough(time.monotonic())
    gate.open()
    first.read_response()
    second.read_response()
    by_cache = {entry["cache"]: entry for entry in log_entries(path, 2)}
    assert by_cache["miss"]["wait_us"] == 0
    assert THRESHOLD_MS * 1000 <= by_cache["coalesced"]["wait_us"] <= by_cache["coalesced"]["total_us"]


def test_a_slow_client(start):
    size = 48 << 20
    weir, path = slow_weir(start, start.origin(cacheable(patterned(size))))
    client = weir.client(receive_buffer=4096)
    client.request("GET", "/a")
    response = client.read_head()
    weir.wait_stats(lambda stats: stats["buffers"]["bufferevents"]["leased"] > 0)
    long_enough(time.monotonic())
    assert len(client.read_body(response).body) == size
    entry, = log_entries(path, 1)
    assert THRESHOLD_MS * 1000 <= entry["client_us"] <= entry["total_us"] and entry["bytes"] == size


def test_beside_the_access_log_and_on_stderr(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, cacheable(b"hello"))
    path = os.path.join(start.folder, "access.log")
    weir = start.weir(origin, access_log={"path": path, "format": "combined"}, slow_log={"threshold": ms(THRESHOLD_MS)})
    client = weir.client()
    since = time.monotonic()
    client.request("GET", "/a")
    gate.wait_reached()
    long_enough(since)
    gate.open()
    client.read_response()
    line = wait_for("a line", lambda: [line for line in weir.stderr().splitlines() if line.startswith("{")])[0]
    assert json.loads(line)["target"] == "/a"
    assert wait_for("the access log's", lambda: open(path).read()).count("\n") == 1


def test_tunnels_are_not_slow(start):
    def upgrade(request, connection):
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        connection.wait_closed()
    weir, path = slow_weir(start, start.origin(upgrade))
    client = weir.client()
    since = time.monotonic()
    client.request("GET", "/a", [("Connection", "upgrade"), ("Upgrade", "echo")])
    assert client.read_final_head().status == 101
    long_enough(since)
    client.reset()
    weir.wait_stats(lambda stats: stats["requests"]["status"]["1xx"] == 1)
    weir.signal()
    weir.wait_exit()
    assert open(path).read() == ""
