"""Unsafe requests that succeed make stored responses invalid (RFC 9111 §4.4)."""

import pytest

from weirtest import cacheable, held, respond


def answering(status=200, fields=()):
    """What is stored has a validator: made stale, it would be kept."""
    def script(request, connection):
        if request.method == "GET":
            cacheable(b"x", 60, [("Vary", "Accept-Language"), ("ETag", '"1"')])(request, connection)
        else:
            respond(status, fields=list(fields))(request, connection)
    return script


def is_hit(weir, target, **more):
    return weir.get(target, **more).cache_status().get("hit") is True


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPPATCH", "get"])
@pytest.mark.parametrize("status, invalid", [(200, True), (204, True), (303, True), (304, True), (399, True),
                                             (400, False), (404, False), (500, False), (503, False)])
def test_the_target(start, method, status, invalid):
    weir = start.weir(start.origin(answering(status)))
    for language in ("de", "en"):
        weir.get("/a?b", [("Accept-Language", language)])
    weir.get("/a")
    assert weir.client().fetch(method, "/a?b").status == status
    weir.wait_cache(purged=2 if invalid else 0, objects=1 if invalid else 3)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE"])
def test_safe_methods_leave_it(start, method):
    fields = [("Location", "/b"), ("Cache-Group-Invalidation", '"g"')]
    weir = start.weir(start.origin(answering(200, fields)))
    weir.get("/a"), weir.get("/b")
    weir.client().fetch(method, "/a", [("Cache-Control", "no-cache")])
    weir.wait_cache(purged=0, objects=2)
    assert is_hit(weir, "/b")
    if method != "HEAD":  # its answer differs from what is stored, and makes it stale (§4.3.5)
        assert is_hit(weir, "/a")


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize("value, reached", [
    ("/dir/made", "/dir/made"), ("made", "/dir/made"), ("./made", "/dir/made"), ("../made", "/made"), ("?q=1", "/dir/list?q=1"),
    ("/x/../dir/made?q#f", "/dir/made?q"), ("http://example.test/dir/made", "/dir/made"), ("//EXAMPLE.test:80/dir/made", "/dir/made"),
    ("http://example.test", "/"), ("https://example.test/dir/made", None), ("http://other.test/dir/made", None),
    ("http://example.test:81/dir/made", None), ("//other.test/dir/made", None), ("http://example.test@other.test/dir/made", None),
    ("mailto:dir/made", None), ("/dir/ma de", None)])
def test_what_location_names(start, name, value, reached):
    targets = ["/dir/made", "/made", "/dir/list?q=1", "/dir/made?q", "/", "/else"]
    weir = start.weir(start.origin(answering(201, [(name, value)])))
    for target in targets:
        weir.get(target)
    weir.get("/dir/made", host="other.test")
    weir.client().fetch("POST", "/dir/list", body=b"x")
    assert [target for target in targets if not is_hit(weir, target)] == ([reached] if reached else [])
    assert is_hit(weir, "/dir/made", host="other.test")
    weir.wait_cache(purged=1 if reached else 0)


def test_not_when_it_failed(start):
    weir = start.weir(start.origin(answering(409, [("Location", "/b"), ("Content-Location", "/c")])))
    for target in ("/a", "/b", "/c"):
        weir.get(target)
    weir.client().fetch("POST", "/a", body=b"x")
    weir.wait_cache(purged=0, objects=3)


def test_both_at_once(start):
    weir = start.weir(start.origin(answering(201, [("Location", "/b"), ("Content-Location", "/c")])))
    for target in ("/a", "/b", "/c", "/d"):
        weir.get(target)
    weir.client().fetch("PUT", "/a", body=b"x")
    weir.wait_cache(purged=3, objects=1)


def test_keys_with_more_than_a_url(start):
    """Whatever the route's key tells apart beyond the URL, all of it is invalid; and query parameters
    that do not count make no other URL."""
    key = {"headers": ["X-Tenant"], "query": {"ignore": ["utm_*"]}}
    weir = start.weir(start.origin(answering(201, [("Location", "/b?utm_x=2&q=1")])), route_cache={"key": key})
    tenants = [[("X-Tenant", name)] for name in ("one", "two")]
    targets = ("/a?utm_y=1", "/b?q=1", "/c")
    for fields in tenants:
        for target in targets:
            weir.get(target, fields)
    weir.client().fetch("POST", "/a?utm_z=3", [("X-Tenant", "three")], body=b"x")
    for fields in tenants:
        assert [weir.get(target, fields).cache_status().get("hit") is True for target in targets] == [False, False, True]
    weir.wait_cache(purged=4, objects=6)


def test_what_is_being_filled(start):
    """What was asked for before the unsafe request was answered is not stored."""
    origin = start.origin(None)
    gate = origin.gate()

    def script(request, connection):
        if request.method == "POST":
            respond(200, fields=[("Location", "/b")])(request, connection)
        else:
            held(gate, cacheable(b"old"))(request, connection)

    origin.script = script
    weir = start.weir(origin)
    clients = {target: weir.client() for target in ("/a", "/b")}
    for target, client in clients.items():
        client.request("GET", target)
        gate.wait_reached()
    origin.wait_requests(2)
    assert weir.client().fetch("POST", "/a", body=b"x").status == 200
    gate.open()
    for client in clients.values():
        assert client.read_response().body == b"old"
    origin.script = cacheable(b"new")
    for target in clients:
        assert weir.get(target).body == b"new"
    weir.wait_cache(stored=2)
