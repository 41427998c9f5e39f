"""Requests that a route keeps from the cache by a cookie or a field."""

import pytest

from weirtest import cacheable, respond

BYPASS = {"bypass": {"cookies": ["session*"], "headers": ["X-Preview"]}}


@pytest.mark.parametrize("fields,detail", [([("Cookie", "a=1; session_id=2")], "bypass-cookie"),
                                           ([("Cookie", "a=1"), ("Cookie", "session=")], "bypass-cookie"),
                                           ([("x-preview", "")], "bypass-header"),
                                           ([("X-Preview", "1"), ("Cookie", "session=1")], "bypass-cookie")])
def test_neither_looked_up_nor_stored(start, fields, detail):
    origin = start.origin([cacheable(b"own"), cacheable(b"all"), cacheable(b"own again")])
    weir = start.weir(origin, route_cache=BYPASS)
    first = weir.get("/a", fields)
    assert first.body == b"own" and first.cache_status() == {"fwd": "bypass", "detail": detail}
    assert weir.get("/a").body == b"all"
    assert weir.get("/a", fields).body == b"own again"
    assert weir.get("/a").body == b"all"
    weir.wait_cache(passes=2, hits=1, misses=1, stored=1, objects=1)


@pytest.mark.parametrize("fields", [[("Cookie", "a=session; Session=1")], [("X-Previews", "1")], [("X-Cookie", "session=1")]])
def test_others_are_looked_up(start, fields):
    origin = start.origin(cacheable())
    weir = start.weir(origin, route_cache=BYPASS)
    weir.get("/a")
    assert "hit" in weir.get("/a", fields).cache_status()
    assert len(origin.requests) == 1


def test_not_joined_either(start):
    origin = start.origin(None)
    gate = origin.gate()

    def script(request, connection):
        if not request.has("X-Preview"):
            gate.wait()
        cacheable(b"preview" if request.has("X-Preview") else b"all")(request, connection)

    origin.script = script
    weir = start.weir(origin, route_cache=BYPASS)
    waiting = weir.client()
    waiting.request("GET", "/a")
    gate.wait_reached()
    assert weir.get("/a", [("X-Preview", "1")]).body == b"preview"
    gate.open()
    assert waiting.read_response().body == b"all"
    weir.wait_cache(passes=1, misses=1, stored=1)


def test_head_and_its_conditions_go_to_the_origin(start):
    origin = start.origin(cacheable(b"x", fields=[("ETag", '"v"')]))
    weir = start.weir(origin, route_cache=BYPASS)
    client = weir.client()
    client.get("/a")
    response = client.fetch("HEAD", "/a", [("X-Preview", "1"), ("If-None-Match", '"v"')])
    assert response.status == 200 and response.cache_status()["detail"] == "bypass-header"
    assert origin.requests[1].field("If-None-Match") == '"v"'


def test_an_unsafe_request_still_invalidates(start):
    origin = start.origin([cacheable(b"one"), respond(204), cacheable(b"two")])
    weir = start.weir(origin, route_cache=BYPASS)
    client = weir.client()
    client.get("/a")
    assert client.fetch("PUT", "/a", [("X-Preview", "1")], b"new").status == 204
    assert client.get("/a").body == b"two"


def test_other_routes_are_not_concerned(start):
    origin = start.origin(cacheable())
    weir = start.weir(raw={"upstreams": {"up": {"servers": [origin.url]}},
                           "routes": [{"path": "/a", "upstream": "up", "cache": BYPASS}, {"upstream": "up"}]})
    for target, hit in (("/a", False), ("/b", True)):
        weir.get(target)
        assert ("hit" in weir.get(target, [("X-Preview", "1")]).cache_status()) is hit
