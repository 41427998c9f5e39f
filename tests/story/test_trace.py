"""What a request is called: X-Request-ID and traceparent, at the origin, in the logs, in Weir's own answers."""

import os
import re

from weirtest import cacheable, log_entries, raw, respond

ID = re.compile(r"[0-9a-f]{32}")
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01")
GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def by(field, path, count):
    """Lines of two workers come in any order."""
    return {entry[field]: entry for entry in log_entries(path, count)}


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
    entry, = log_entries(path, 1)
    assert entry["request_id"] == "an-id/of:the.client" and entry["trace_id"] == GIVEN[3:35]


def test_what_is_malformed_does_not_go_on(start):
    origin, weir, path = logged(start, respond(200, b"x"))
    weir.get("/a", [("X-Request-ID", "two words"), ("traceparent", GIVEN.upper()), ("tracestate", "a=1")])
    request = origin.requests[0]
    assert ID.fullmatch(request.field("X-Request-ID")) and len(request.all("X-Request-ID")) == 1
    assert len(request.all("traceparent")) == 1 and TRACEPARENT.fullmatch(request.field("traceparent"))
    assert not request.has("tracestate")
    entry, = log_entries(path, 1)
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
