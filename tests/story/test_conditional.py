"""304 for the client, and revalidation at the origin."""

import pytest

from weirtest import cacheable, chunked, patterned, respond

MODIFIED = "Tue, 15 Nov 1994 12:45:26 GMT"


@pytest.mark.parametrize("etag, condition, status", [
    ('"v1"', '"v1"', 304),
    ('"v1"', '"v2"', 200),
    ('"v1"', 'W/"v1"', 304),
    ('W/"v1"', '"v1"', 304),
    ('W/"v1"', 'W/"v1"', 304),
    ('"v1"', '"a", "b,c" , "v1"', 304),
    ('"v1"', '"a", W/"v1", "b"', 304),
    ('"v1"', '"a", "b"', 200),
    ('"v1"', '*', 304),
    ('"a,b"', '"a", "b"', 200),
    ('"v1"', 'v1', 200),
    ('"v1"', '"V1"', 200),
])
def test_if_none_match(start, etag, condition, status):
    """Weak comparison (RFC 9110 section 13.1.2)."""
    origin = start.origin(cacheable(b"hello", 60, [("ETag", etag), ("Vary", "X"), ("X-Own", "y")]))
    weir = start.weir(origin)
    client = weir.client()
    client.get("/a")
    response = client.get("/a", [("If-None-Match", condition)])
    assert response.status == status
    assert response.field("ETag") == etag and response.field("Vary") == "X"
    assert response.has("Date") and response.field("Cache-Control") == "max-age=60"
    assert response.cache_status()["hit"] is True
    assert client.get("/a").body == b"hello"
    assert len(origin.requests) == 1
    stats = weir.wait_cache(hits=2, misses=1)
    assert stats["requests"]["status"]["3xx"] == (1 if status == 304 else 0)


@pytest.mark.parametrize("since, status", [
    (MODIFIED, 304),
    ("Wed, 16 Nov 1994 00:00:00 GMT", 304),
    ("Tue, 15 Nov 1994 12:45:25 GMT", 200),
    ("Tuesday, 15-Nov-94 12:45:26 GMT", 304),
    ("Tue Nov 15 12:45:26 1994", 304),
    ("yesterday", 200),
])
def test_if_modified_since(start, since, status):
    origin = start.origin(cacheable(fields=[("Last-Modified", MODIFIED)]))
    weir = start.weir(origin)
    client = weir.client()
    client.get("/a")
    assert client.get("/a", [("If-Modified-Since", since)]).status == status
    assert len(origin.requests) == 1


def test_if_none_match_decides_over_if_modified_since(start):
    origin = start.origin(cacheable(fields=[("Last-Modified", MODIFIED), ("ETag", '"v1"')]))
    weir = start.weir(origin)
    client = weir.client()
    client.get("/a")
    assert client.get("/a", [("If-None-Match", '"v2"'), ("If-Modified-Since", MODIFIED)]).status == 200
    assert client.get("/a", [("If-None-Match", '"v1"'), ("If-Modified-Since", "Mon, 01 Jan 1990 00:00:00 GMT")]
                      ).status == 304


def test_head_with_a_condition(start):
    origin = start.origin(cacheable(fields=[("ETag", '"v1"')]))
    weir = start.weir(origin)
    client = weir.client()
    client.get("/a")
    assert client.fetch("HEAD", "/a", [("If-None-Match", '"v1"')]).status == 304


def test_a_condition_on_a_miss(start):
    """Whatever Weir asks the origin, the client's question is answered and others are not spoiled."""
    def script(request, connection):
        if '"v1"' in (request.field("If-None-Match") or ""):
            respond(304, fields=[("ETag", '"v1"'), ("Cache-Control", "max-age=60")])(request, connection)
        else:
            cacheable(b"hello", 60, [("ETag", '"v1"')])(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin)
    client = weir.client()
    assert client.get("/a", [("If-None-Match", '"v1"')]).status == 304
    for _ in range(2):
        response = client.get("/a")
        assert response.status == 200 and response.body == b"hello"
    assert client.get("/a", [("If-None-Match", '"v1"')]).status == 304


@pytest.mark.parametrize("validator, asked", [
    (("ETag", '"v1"'), ("If-None-Match", '"v1"')),
    (("ETag", 'W/"v1"'), ("If-None-Match", 'W/"v1"')),
    (("Last-Modified", MODIFIED), ("If-Modified-Since", MODIFIED)),
], ids=str)
def test_a_stale_response_is_revalidated(start, validator, asked):
    body = patterned(5000)
    origin = start.origin([
        cacheable(body, 60, [validator, ("X-Own", "old"), ("X-Kept", "kept")]),
        respond(304, fields=[("Cache-Control", "max-age=100"), ("X-Own", "new"), validator])])
    weir = start.weir(origin, clock=True)
    client = weir.client()
    client.get("/a")
    weir.advance(70)
    second = client.get("/a")
    assert second.status == 200 and second.body == body
    assert second.field("X-Own") == "new" and second.field("X-Kept") == "kept"
    assert second.cache_status()["fwd"] == "stale" and second.cache_status()["fwd-status"] == 304
    assert int(second.field("Age") or 0) < 30
    assert origin.requests[1].field(asked[0]) == asked[1]
    weir.wait_cache(revalidated=1, misses=1, hits=0)
    # The stored header is the updated one, with a new lifetime.
    weir.advance(70)
    third = client.get("/a")
    assert third.cache_status()["hit"] is True and third.body == body
    assert third.field("X-Own") == "new" and third.field("X-Kept") == "kept"
    assert third.field("Content-Length") == "5000" and third.field("Cache-Control") == "max-age=100"
    assert 70 <= int(third.field("Age")) < 100
    stats = weir.wait_cache(hits=1, objects=1)
    assert stats["requests"]["total"] == 3


def test_a_stale_response_is_replaced(start):
    origin = start.origin([cacheable(b"one", 60, [("ETag", '"v1"')]), cacheable(b"second", 60, [("ETag", '"v2"')])])
    weir = start.weir(origin, clock=True)
    client = weir.client()
    client.get("/a")
    weir.advance(70)
    second = client.get("/a")
    assert second.body == b"second" and second.field("ETag") == '"v2"'
    assert second.cache_status()["fwd"] == "stale" and second.cache_status().get("fwd-status", 200) == 200
    third = client.get("/a")
    assert third.body == b"second" and third.cache_status()["hit"] is True
    weir.wait_cache(revalidated=0, hits=1, objects=1)


def test_a_clients_condition_on_a_stale_response(start):
    """The origin is asked about what is stored; the client about what it has."""
    origin = start.origin([cacheable(b"one", 60, [("ETag", '"v1"')]),
                           respond(304, fields=[("ETag", '"v1"'), ("Cache-Control", "max-age=60")])])
    weir = start.weir(origin, clock=True)
    client = weir.client()
    client.get("/a")
    weir.advance(70)
    assert client.get("/a", [("If-None-Match", '"v1"')]).status == 304
    weir.wait_cache(revalidated=1)
    assert client.get("/a", [("If-None-Match", '"other"')]).body == b"one"


def test_no_cache_is_revalidated_each_time(start):
    def script(request, connection):
        fields = [("ETag", '"v1"'), ("Cache-Control", "no-cache")]
        if request.field("If-None-Match") == '"v1"':
            respond(304, fields=fields)(request, connection)
        else:
            respond(200, b"hello", fields)(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(3):
        response = client.get("/a")
        assert response.status == 200 and response.body == b"hello"
    assert len(origin.requests) == 3


def test_a_304_that_nobody_asked_for(start):
    """Without a stored response there is nothing it could confirm: no body is invented."""
    origin = start.origin(respond(304, fields=[("ETag", '"v1"')]))
    weir = start.weir(origin)
    response = weir.get("/a")
    assert response.status in (304, 502)
    weir.wait_cache(stored=0, objects=0)


def test_an_error_while_revalidating_keeps_nothing_wrong(start):
    origin = start.origin([cacheable(b"one", 60, [("ETag", '"v1"')]), respond(500, b"broken"),
                           respond(304, fields=[("ETag", '"v1"'), ("Cache-Control", "max-age=60")])])
    weir = start.weir(origin, clock=True)
    client = weir.client()
    client.get("/a")
    weir.advance(70)
    assert client.get("/a").status in (500, 200)
    third = client.get("/a")
    assert third.status == 200 and third.body == b"one"


def test_a_chunked_response_is_revalidated(start):
    origin = start.origin([chunked(b"ab", b"cd", fields=[("ETag", '"v1"'), ("Cache-Control", "max-age=60")]),
                           respond(304, fields=[("ETag", '"v1"')])])
    weir = start.weir(origin, clock=True)
    client = weir.client()
    client.get("/a")
    weir.advance(70)
    second = client.get("/a")
    assert second.body == b"abcd" and second.end == "clean"
    weir.wait_cache(revalidated=1)


def test_conditions_of_other_methods_go_to_the_origin(start):
    origin = start.origin([cacheable(fields=[("ETag", '"v1"')]), respond(412, b"no")])
    weir = start.weir(origin)
    client = weir.client()
    client.get("/a")
    response = client.fetch("PUT", "/a", [("If-Match", '"v2"')], b"x")
    assert response.status == 412
    assert origin.requests[1].field("If-Match") == '"v2"'
