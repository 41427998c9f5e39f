"""What is answered from memory, what is asked at the origin, and what the client is told about it."""

import time
from email.utils import formatdate

import pytest

from weirtest import cacheable, patterned, respond


def http_date(offset_s=0):
    return formatdate(time.time() + offset_s, usegmt=True)


def dated(fields):
    """Replaces an offset in seconds by its date, now and not when the file was loaded."""
    return [(name, http_date(value) if isinstance(value, int) else value) for name, value in fields]


def asked_twice(start, script, fields=(), **config):
    """Two GETs for one target; returns the origin, weir and both responses."""
    origin = start.origin(script)
    weir = start.weir(origin, **config)
    client = weir.client()
    return origin, weir, client.get("/a", fields), client.get("/a", fields)


def test_first_from_the_origin_second_from_memory(start):
    body = patterned(1000)
    origin, weir, first, second = asked_twice(
        start, cacheable(body, 60, [("Content-Type", "a/b"), ("X-Own", "kept")]))
    for response in (first, second):
        assert (response.status, response.body, response.end) == (200, body, "clean")
        assert response.field("Content-Type") == "a/b" and response.field("X-Own") == "kept"
        assert response.field("Content-Length") == "1000"
        assert response.field("Via") == "1.1 weir"
        assert response.field("Cache-Control") == "max-age=60"
        assert len(response.all("Date")) == 1
    assert first.cache_status()["fwd"] == "uri-miss" and first.cache_status()["stored"] is True
    assert "hit" not in first.cache_status()
    assert second.cache_status()["hit"] is True and "fwd" not in second.cache_status()
    assert 30 < second.cache_status()["ttl"] <= 60
    assert 0 <= int(second.field("Age")) < 30
    assert len(origin.requests) == 1
    stats = weir.wait_cache(hits=1, misses=1, stored=1, objects=1)
    assert stats["cache"]["bytes"] >= 1000
    assert stats["requests"]["total"] == 2 and stats["requests"]["status"]["2xx"] == 2
    assert stats["latency_us"]["hit"]["count"] == 1 and stats["latency_us"]["miss"]["count"] == 1
    assert stats["latency_us"]["miss"]["max"] > 0


def test_a_hit_keeps_the_origins_date(start):
    _, _, first, second = asked_twice(
        start, cacheable(fields=[("Date", "Tue, 15 Nov 2044 08:12:31 GMT")]))
    assert first.field("Date") == second.field("Date") == "Tue, 15 Nov 2044 08:12:31 GMT"


def test_a_missing_date_is_added_once(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin, clock=True)
    first = weir.get("/a")
    weir.advance(10)
    assert weir.get("/a").field("Date") == first.field("Date")


def test_age_grows_and_freshness_ends(start):
    origin = start.origin([cacheable(b"one"), cacheable(b"two")])
    weir = start.weir(origin, clock=True)
    client = weir.client()
    assert client.get("/a").body == b"one"
    weir.advance(40)
    second = client.get("/a")
    assert second.body == b"one" and 40 <= int(second.field("Age")) < 60
    assert 0 < second.cache_status()["ttl"] <= 20
    weir.advance(25)
    third = client.get("/a")
    assert third.body == b"two" and third.cache_status()["fwd"] in ("stale", "uri-miss")
    assert client.get("/a").body == b"two"
    assert len(origin.requests) == 2
    weir.wait_cache(hits=2)


def test_an_age_from_the_origin_counts(start):
    origin = start.origin([cacheable(b"one", 100, [("Age", "50")]), cacheable(b"two")])
    weir = start.weir(origin, clock=True)
    client = weir.client()
    assert 50 <= int(client.get("/a").field("Age")) < 70
    weir.advance(20)
    second = client.get("/a")
    assert second.body == b"one" and 70 <= int(second.field("Age")) < 90
    weir.advance(30)
    assert client.get("/a").body == b"two"


@pytest.mark.parametrize("fields", [
    [("Cache-Control", "max-age=60")],
    [("Cache-Control", "s-maxage=60, max-age=0")],
    [("Cache-Control", "public, Max-Age=60")],
    [("Cache-Control", 'max-age="60"')],
    [("Cache-Control", "x=\"a, no-store\", max-age=60")],
    [("Cache-Control", "must-revalidate"), ("Cache-Control", "max-age=60")],
    [("Expires", 3600), ("Date", 0)],
    [("Expires", -3600), ("Date", 0), ("Cache-Control", "max-age=60")],
    [("Last-Modified", -36000), ("Date", 0)],
    [("Cache-Control", "max-age=60"), ("Set-Cookie", "a=b")],
], ids=str)
def test_stored(start, fields):
    origin, weir, _, second = asked_twice(start, respond(200, b"x", dated(fields)))
    assert second.cache_status()["hit"] is True and len(origin.requests) == 1
    assert second.field("Set-Cookie") == dict(fields).get("Set-Cookie")
    weir.wait_cache(hits=1, misses=1)


@pytest.mark.parametrize("fields", [
    [],
    [("Cache-Control", "no-store")],
    [("Cache-Control", "no-store, max-age=60")],
    [("Cache-Control", "NO-STORE, max-age=60")],
    [("Cache-Control", "private")],
    [("Cache-Control", "private, max-age=60")],
    [("Cache-Control", "max-age=60"), ("Cache-Control", "private")],
    [("Cache-Control", "max-age=0")],
    [("Cache-Control", "max-age=60, s-maxage=0")],
    [("Cache-Control", "no-cache, max-age=60")],
    [("Expires", -3600), ("Date", 0)],
    [("Expires", "0")],
    [("Vary", "*"), ("Cache-Control", "max-age=60")],
    [("Last-Modified", -36000), ("Set-Cookie", "a=b")],
], ids=str)
def test_the_origin_is_asked_each_time(start, fields):
    origin, weir, first, second = asked_twice(
        start, [respond(200, b"x", dated(fields)), respond(200, b"y", dated(fields))])
    assert (first.body, second.body) == (b"x", b"y")
    assert "hit" not in second.cache_status() and len(origin.requests) == 2
    weir.wait_cache(hits=0)


@pytest.mark.parametrize("fields", [[("Cache-Control", "no-store")], [("Cache-Control", "private")], []],
                         ids=str)
def test_what_may_not_be_stored_is_not_kept(start, fields):
    _, weir, first, _ = asked_twice(start, respond(200, b"x", fields))
    assert "stored" not in first.cache_status()
    weir.wait_cache(stored=0, objects=0)


def test_heuristic_freshness_is_a_tenth_of_the_age(start):
    modified = respond(200, b"x", [("Last-Modified", http_date(-1000))])
    origin = start.origin(modified)
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    weir.advance(90)
    assert weir.get("/a").cache_status()["hit"] is True
    weir.advance(20)
    assert "hit" not in weir.get("/a").cache_status()


def test_heuristic_freshness_is_at_most_a_day(start):
    origin = start.origin(respond(200, b"x", [("Last-Modified", "Mon, 01 Jan 2001 00:00:00 GMT")]))
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    weir.advance(86000)
    assert weir.get("/a").cache_status()["hit"] is True
    weir.advance(500)
    assert "hit" not in weir.get("/a").cache_status()


def test_the_routes_ttl_where_the_origin_says_nothing(start):
    origin = start.origin({"/silent": respond(200, b"x"),
                           "/says": cacheable(ttl_s=500),
                           "/private": respond(200, b"x", [("Cache-Control", "private")]),
                           "/cookie": respond(200, b"x", [("Set-Cookie", "a=b")]),
                           "/created": respond(201, b"x")})
    weir = start.weir(origin, clock=True, route_cache={"ttl": "30s"})
    for target in ("/silent", "/says", "/private", "/cookie", "/created"):
        weir.get(target)
    weir.advance(15)
    hits = {target: "hit" in weir.get(target).cache_status()
            for target in ("/silent", "/says", "/private", "/cookie", "/created")}
    assert hits == {"/silent": True, "/says": True, "/private": False, "/cookie": False, "/created": False}
    weir.advance(16)
    assert "hit" not in weir.get("/silent").cache_status()
    assert "hit" in weir.get("/says").cache_status()


def test_the_routes_ttl_is_not_for_authorized_requests(start):
    origin, _, _, second = asked_twice(start, respond(200, b"x"), [("Authorization", "Basic eDp5")],
                                       route_cache={"ttl": "30s"})
    assert "hit" not in second.cache_status() and len(origin.requests) == 2


@pytest.mark.parametrize("status", [404, 405, 410, 414, 501])
def test_negative_ttl(start, status):
    origin = start.origin(respond(status, b"no"))
    weir = start.weir(origin, clock=True, route_cache={"negative_ttl": "30s"})
    assert weir.get("/a").status == status
    again = weir.get("/a")
    assert again.status == status and again.body == b"no" and again.cache_status()["hit"] is True
    weir.advance(31)
    assert "hit" not in weir.get("/a").cache_status()
    assert len(origin.requests) == 2


def test_negative_ttl_is_not_for_other_statuses(start):
    origin = start.origin(respond(500, b"no"))
    weir = start.weir(origin, route_cache={"negative_ttl": "5s", "ttl": "5s"})
    weir.get("/a")
    assert weir.get("/a").status == 500
    assert len(origin.requests) == 2


@pytest.mark.parametrize("cache_control, shared", [
    ("max-age=60", False),
    ("max-age=60, public", True),
    ("s-maxage=60", True),
    ("max-age=60, must-revalidate", True),
])
def test_an_answer_to_an_authorized_request(start, cache_control, shared):
    """RFC 9111 section 3.5."""
    origin, _, _, second = asked_twice(start, respond(200, b"x", [("Cache-Control", cache_control)]),
                                       [("Authorization", "Basic eDp5")])
    assert ("hit" in second.cache_status()) is shared
    assert len(origin.requests) == (1 if shared else 2)
    assert origin.requests[0].field("Authorization") == "Basic eDp5"


@pytest.mark.parametrize("field", [("Cache-Control", "no-cache"), ("Cache-Control", "max-age=0"),
                                   ("Pragma", "no-cache")], ids=str)
def test_a_request_that_wants_a_new_answer(start, field):
    origin = start.origin([cacheable(b"one"), cacheable(b"two")])
    weir = start.weir(origin)
    weir.get("/a")
    assert weir.get("/a", [field]).body == b"two"
    weir.wait_cache(hits=0)
    assert weir.get("/a").body == b"two"
    assert len(origin.requests) == 2


def test_a_request_that_forbids_storing(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    assert "stored" not in weir.get("/a", [("Cache-Control", "no-store")]).cache_status()
    weir.wait_cache(stored=0, objects=0)


def test_targets_hosts_and_queries_are_kept_apart(start):
    def script(request, connection):
        cacheable(f"{request.field('Host')}{request.target}".encode())(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin)
    for _ in range(2):
        for host in ("a.test", "b.test"):
            for target in ("/", "/x", "/x?", "/x?y=1", "/x?y=2", "/X", "/%78"):
                assert weir.get(target, host=host).body == (host + target).encode()
    assert len(origin.requests) == 14
    weir.wait_cache(hits=14, misses=14)


def test_the_hosts_case_default_port_and_final_dot_do_not_matter_to_the_key(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    for host in ("a.test", "A.Test", "a.test:80", "a.test."):
        weir.get("/", host=host)
    assert len(origin.requests) == 1
    weir.wait_cache(hits=3)


def test_a_requests_cookie_does_not_stop_caching(start):
    origin, _, _, second = asked_twice(start, cacheable(), [("Cookie", "a=b")])
    assert "hit" in second.cache_status() and len(origin.requests) == 1
    assert origin.requests[0].field("Cookie") == "a=b"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERYISH"])
def test_other_methods_are_passed(start, method):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        response = client.fetch(method, "/a", body=b"")
        assert response.status == 200 and "hit" not in response.cache_status()
        assert response.cache_status().get("fwd") in ("method", "bypass", "uri-miss")
    assert [request.method for request in origin.requests] == [method] * 2
    weir.wait_cache(passes=2, hits=0, stored=0)


def test_an_unsafe_method_invalidates(start):
    """RFC 9111 section 4.4."""
    origin = start.origin([cacheable(b"one"), respond(204), cacheable(b"two")])
    weir = start.weir(origin)
    client = weir.client()
    client.get("/a")
    assert client.fetch("PUT", "/a", body=b"new").status == 204
    assert client.get("/a").body == b"two"


def test_a_route_that_does_not_cache(start):
    origin, weir, _, second = asked_twice(start, cacheable(), route_cache={"enabled": False})
    assert "hit" not in second.cache_status() and len(origin.requests) == 2
    weir.wait_cache(passes=2, stored=0, objects=0)


def test_no_route_is_answered_by_weir(start):
    origin = start.origin([])
    weir = start.weir(origin, route={"path": "/api/"})
    response = weir.get("/other")
    assert response.status == 404 and "detail" in response.cache_status()
    weir.wait_cache(local=1)
    assert not origin.requests


def test_errors_are_json_or_text_by_accept(start):
    origin = start.origin([])
    weir = start.weir(origin, route={"path": "/api/"})
    as_json = weir.get("/other", [("Accept", "application/json")])
    assert "json" in as_json.field("Content-Type") and as_json.body.startswith(b"{")
    as_text = weir.get("/other", [("Accept", "text/plain")])
    assert as_text.field("Content-Type").startswith("text/plain") and as_text.body


@pytest.mark.parametrize("size", [0, 1, 100, 4095, 4096, 4097, 65536, 1000003, 5 << 20])
def test_every_size_comes_out_as_it_went_in(start, size):
    body = patterned(size)
    origin, weir, first, second = asked_twice(start, cacheable(body))
    assert first.body == body and second.body == body
    assert "hit" in second.cache_status()
    weir.wait_cache(hits=1, misses=1)


def test_more_than_fits_is_evicted_and_never_wrong(start):
    """40 MB of bodies through a cache of 16 MiB."""
    def script(request, connection):
        cacheable(patterned(100000, seed=int(request.target[1:])))(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin, cache={"memory": "16MiB"})
    client = weir.client()
    for number in range(400):
        assert client.get(f"/{number}").body == patterned(100000, number)
    stats = weir.wait_stats(lambda stats: stats["cache"]["evicted"] > 0, "evictions")
    assert stats["cache"]["memory_limit"] == 16 << 20
    assert stats["cache"]["bytes"] <= 16 << 20
    assert 0 < stats["cache"]["objects"] < 168
    for number in range(400):
        assert client.get(f"/{number}").body == patterned(100000, number)


def test_larger_than_max_object_is_passed_whole(start):
    body = patterned(3 << 20)
    origin, weir, first, second = asked_twice(start, cacheable(body),
                                              cache={"memory": "64MiB", "max_object": "1MiB"})
    assert first.body == body and second.body == body and len(origin.requests) == 2
    weir.wait_cache(objects=0, stored=0)


def test_expired_objects_are_swept(start):
    origin = start.origin(cacheable(ttl_s=60))
    weir = start.weir(origin, clock=True)
    client = weir.client()
    for number in range(50):
        client.get(f"/{number}")
    weir.wait_cache(objects=50)
    weir.advance(3600)
    stats = weir.wait_stats(lambda stats: stats["cache"]["objects"] == 0 or advance_more(weir), "the sweep")
    assert stats["cache"]["expired"] == 50


def advance_more(weir):
    # The sweep is bounded per round: rounds pass as the clock moves.
    weir.advance(10)
    return False
