"""What a request is called: X-Request-ID and traceparent, at the origin, in the logs, in Weir's own answers."""

import json
import os
import re
import threading

from weirtest import cacheable, respond, raw, wait_for

ID = re.compile(r"[0-9a-f]{32}")
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01")
GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def entries(path, count):
    def read():
        text = open(path, encoding="utf-8").read() if os.path.exists(path) else ""
        return text.splitlines() if text.count("\n") >= count else None
    return [json.loads(line) for line in wait_for(f"{count} lines in the access log", read)]


def by(field, path, count):
    """Lines of two workers come in any order."""
    return {entry[field]: entry for entry in entries(path, count)}


def logged(start, script, **config):
    path = os.path.join(start.folder, "access.log")
    origin = start.origin(script)
    return origin, start.weir(origin, access_log={"path": path, "format": "json"}, **config), path


def test_started_where_the_client_sends_none(start):
    origin, weir, path = logged(start, cacheable(b"x"))
    weir.get("/a", [("tracestate", "without=parent")])
    weir.get("/a")
    request = origin.requests[0]
    trace = TRACEPARENT.fullmatch(request.field("traceparent"))
    assert trace and ID.fullmatch(request.field("X-Request-ID"))
    assert not request.has("tracestate")
    lines = by("cache", path, 2)
    miss, hit = lines["miss"], lines["hit"]
    assert miss["request_id"] == request.field("X-Request-ID") and miss["trace_id"] == trace[1]
    assert ID.fullmatch(hit["request_id"]) and hit["request_id"] != miss["request_id"]
    assert hit["trace_id"] != miss["trace_id"]


def test_passed_on_as_they_came(start):
    origin, weir, path = logged(start, respond(200, b"x"))
    weir.get("/a", [("X-Request-ID", "an-id/of:the.client"), ("traceparent", GIVEN), ("tracestate", "a=1"),
                    ("tracestate", "b=2")])
    request = origin.requests[0]
    assert request.all("X-Request-ID") == ["an-id/of:the.client"]
    assert request.all("traceparent") == [GIVEN] and request.members("tracestate") == ["a=1", "b=2"]
    entry, = entries(path, 1)
    assert entry["request_id"] == "an-id/of:the.client" and entry["trace_id"] == GIVEN[3:35]


def test_what_is_malformed_does_not_go_on(start):
    origin, weir, path = logged(start, respond(200, b"x"))
    weir.get("/a", [("X-Request-ID", "two words"), ("traceparent", GIVEN.upper()), ("tracestate", "a=1")])
    request = origin.requests[0]
    assert ID.fullmatch(request.field("X-Request-ID")) and len(request.all("X-Request-ID")) == 1
    assert len(request.all("traceparent")) == 1 and TRACEPARENT.fullmatch(request.field("traceparent"))
    assert not request.has("tracestate")
    entry, = entries(path, 1)
    assert entry["request_id"] == request.field("X-Request-ID")


def test_in_answers_of_weirs_own(start):
    origin, weir, path = logged(start, raw(b"rubbish\r\n\r\n"))
    made = weir.get("/a")
    given = weir.get("/b", [("X-Request-ID", "mine")])
    assert made.status == given.status == 502
    assert given.field("X-Request-ID") == "mine"
    lines = by("target", path, 2)
    first, second = lines["/a"], lines["/b"]
    assert first["request_id"] == made.field("X-Request-ID") == origin.requests[0].field("X-Request-ID")
    assert second["request_id"] == "mine"
    assert f"for request {first['request_id']}," in weir.stderr()


def test_not_in_other_responses(start):
    _, weir, _ = logged(start, cacheable(b"x"))
    for _ in range(2):
        assert not weir.get("/a", [("X-Request-ID", "mine")]).has("X-Request-ID")


def test_phases_of_a_miss_and_a_hit(start):
    origin, weir, path = logged(start, cacheable(b"x"))
    for _ in range(2):
        weir.get("/a")
    lines = by("cache", path, 2)
    miss, hit = lines["miss"], lines["hit"]
    assert miss["connect_us"] > 0 and miss["first_byte_us"] > 0
    assert miss["queue_us"] == 0
    spent = sum(miss[f"{phase}_us"] for phase in ("queue", "connect", "first_byte", "body"))
    assert spent <= miss["total_us"] + 1
    assert all(hit[f"{phase}_us"] == 0 for phase in ("queue", "connect", "first_byte", "body"))
    phases = weir.stats()["upstreams"]["up"]["phases_us"]
    assert {name: row["count"] for name, row in phases.items()} == \
        {"queue": 1, "connect": 1, "first_byte": 1, "body": 1}
    weir.get("/b")
    wait_for("the second exchange", lambda: weir.stats()["upstreams"]["up"]["phases_us"]["body"]["count"] == 2)
    phases = weir.stats()["upstreams"]["up"]["phases_us"]
    assert phases["connect"]["count"] == 1 and phases["first_byte"]["count"] == 2


def test_time_in_the_queue_is_a_phase_of_its_own(start):
    """One connection: the second request waits for the first one's answer."""
    path = os.path.join(start.folder, "access.log")

    def script(request, connection):
        if request.target == "/first":
            gate.wait()
        respond(200, b"x")(request, connection)
    origin = start.origin(script)
    gate = origin.gate()
    weir = start.weir(origin, pool={"max_connections": 1}, access_log={"path": path, "format": "json"})
    first = threading.Thread(target=weir.get, args=("/first",))
    first.start()
    gate.wait_reached()
    second = weir.client()
    second.request("GET", "/second")
    wait_for("the second request in the queue", lambda: weir.stats()["upstreams"]["up"]["queued"] == 1)
    gate.open()
    second.read_response()
    first.join()
    by_target = by("target", path, 2)
    assert by_target["/second"]["queue_us"] > 0 and by_target["/second"]["connect_us"] == 0
    assert by_target["/first"]["queue_us"] == 0
