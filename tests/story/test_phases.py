"""Where the time of an exchange goes: in the access log's line, in /stats by upstream, when it goes well and when it does not."""

import os

import pytest

from weirtest import cacheable, held, log_entries, respond, wait_for

NAMES = ("queue", "connect", "upload", "first_byte", "body")


def logged(start, origin, **config):
    path = os.path.join(start.folder, "access.log")
    return start.weir(origin, access_log={"path": path, "format": "json"}, clock=True, workers=1, **config), path


def spent(entry):
    return {name: entry[f"{name}_us"] for name in NAMES}


def phases(weir, **counts):
    """What /stats has of them, once it has counted so many."""
    def read(stats):
        rows = stats["upstreams"]["up"]["phases_us"]
        return all(rows[name]["count"] == count for name, count in counts.items())
    return weir.wait_stats(read)["upstreams"]["up"]["phases_us"]


def test_a_miss_and_a_hit(start):
    weir, path = logged(start, start.origin(cacheable(b"x")))
    client = weir.client()
    for target in ("/a", "/a", "/b"):
        client.get(target)
    miss, hit, other = log_entries(path, 3)
    assert miss["connect_us"] > 0 and miss["first_byte_us"] > 0 and miss["queue_us"] == miss["upload_us"] == 0
    assert sum(spent(miss).values()) <= miss["total_us"]
    assert not any(spent(hit).values())
    assert other["connect_us"] == 0 and other["first_byte_us"] > 0
    phases(weir, queue=2, connect=1, upload=0, first_byte=2, body=2)


def test_the_queue(start):
    """One connection: the second request waits for the first one's answer."""
    origin = start.origin(respond(200, b"x"))
    gate = origin.gate()
    origin.script = held(gate, respond(200, b"x"))
    weir, path = logged(start, origin, pool={"max_connections": 1, "queue_timeout": "1h"}, timeouts={"first_byte": "1h"})
    first, second = weir.client(), weir.client()
    first.request("GET", "/first")
    gate.wait_reached()
    second.request("GET", "/second")
    wait_for("the second request in the queue", lambda: weir.stats()["upstreams"]["up"]["queued"] == 1)
    weir.advance(7)
    gate.open()
    first.read_response()
    second.read_response()
    by_target = {entry["target"]: entry for entry in log_entries(path, 2)}
    assert 7e6 <= by_target["/second"]["queue_us"] < 60e6 and by_target["/second"]["connect_us"] == 0
    assert by_target["/first"]["queue_us"] == 0 and by_target["/first"]["first_byte_us"] >= 7e6
    assert phases(weir, queue=2)["queue"]["max"] >= 7e6


def test_an_upload_takes_the_time_of_its_client(start):
    def script(request, connection):
        connection.read_body(request)
        respond(200, b"x")(request, connection)
    origin = start.origin(script, early=True)
    weir, path = logged(start, origin, limits={"body_timeout": "1h"})
    client = weir.client()
    client.send(b"POST /a HTTP/1.1\r\nHost: example.test\r\nContent-Length: 10\r\n\r\nhalf ")
    origin.wait_requests(1)  # its head: connecting is over
    weir.advance(7)
    client.send(b"whole")
    assert client.read_response().status == 200
    entry, = log_entries(path, 1)
    assert 7e6 <= entry["upload_us"] < 60e6 and entry["first_byte_us"] < 7e6
    phases(weir, upload=1, first_byte=1, body=1)


def test_time_lost_on_a_connection_that_died(start):
    """The origin holds the second request on its connection, closes, and answers when asked again."""
    origin = start.origin(respond(200, b"x"))
    gate = origin.gate()

    def close_late(request, connection):
        gate.wait()
        connection.close()
    weir, path = logged(start, origin, timeouts={"first_byte": "1h"})
    client = weir.client()
    client.get("/first")
    wait_for("a parked connection", lambda: weir.server()["connections"]["idle"] == 1)
    origin.script = lambda request, connection: (close_late if request.number > 1 else respond(200, b"x"))(request, connection)
    client.request("GET", "/second")
    gate.wait_reached()
    weir.advance(7)
    gate.open()
    assert client.read_response().status == 200
    entry = log_entries(path, 2)[1]
    assert entry["retries"] == 1 and 7e6 <= entry["first_byte_us"] < 60e6 and entry["connect_us"] > 0


@pytest.mark.parametrize("limit,phase,counted", [("first_byte", "first_byte", {"first_byte": 1, "body": 0}),
                                                 ("between_bytes", "body", {"first_byte": 1, "body": 1})])
def test_what_times_out_is_counted(start, limit, phase, counted):
    def script(request, connection):
        if limit == "between_bytes":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        connection.wait_closed()
    origin = start.origin(script)
    weir, path = logged(start, origin, timeouts={limit: "5s"})
    client = weir.client()
    client.request("GET", "/a")
    origin.wait_requests(1)
    if limit == "between_bytes":
        client.read_final_head()
    weir.advance(6)
    entry, = log_entries(path, 1)
    assert entry[f"{phase}_us"] >= 5e6
    assert phases(weir, **counted)[phase]["max"] >= 5e6
    assert entry["reason"] == ("between-bytes-timeout" if limit == "between_bytes" else "first-byte-timeout")


def test_a_client_that_leaves_cuts_no_phase_short(start):
    origin = start.origin(lambda request, connection: connection.wait_closed())
    weir, path = logged(start, origin)
    client = weir.client()
    client.request("GET", "/a")
    origin.wait_requests(1)
    client.reset()
    entry, = log_entries(path, 1)
    assert entry["status"] == 499 and entry["first_byte_us"] > 0
    phases(weir, queue=1, connect=1, first_byte=0, body=0)


def test_a_server_that_cannot_be_reached_has_failed(start):
    weir, path = logged(start, start.origin([], listen=False))
    assert weir.get("/a").status == 502
    weir.wait_stats(lambda stats: stats["upstreams"]["up"]["servers"][0]["errors"] == 1)
    assert weir.server()["requests"] == 1
    phases(weir, queue=1, connect=1, first_byte=0)
    assert weir.server()["latency_us"]["count"] == 0
