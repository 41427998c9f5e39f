"""What Weir has no business with goes through as it is: directives, conditions for the origin, encoded content."""

import zlib

import pytest

from weirtest import cacheable, respond

DIRECTIVES = 'max-age=60, x-own="a, no-store", immutable, no-transform, stale-while-revalidate=5'


def test_directives_of_a_response_pass(start):
    """RFC 9111 section 5.2: whatever they mean to Weir; unknown ones count for nothing (section 5.2.3)."""
    fields = [("Cache-Control", DIRECTIVES), ("Pragma", "no-cache"), ("Warning", '199 - "x"'), ("Expires", "0")]
    origin = start.origin(respond(200, b"x", fields))
    weir = start.weir(origin)
    for _ in range(2):
        response = weir.get("/a")
        for name, value in fields:
            assert response.all(name) == [value]
    weir.wait_cache(hits=1, misses=1)


def test_directives_of_a_request_pass(start):
    origin = start.origin(respond(200, b"x"))
    weir = start.weir(origin)
    fields = [("Cache-Control", 'max-age=0, x-own="no-store", no-transform'), ("Pragma", "no-cache"), ("Warning", '199 - "x"')]
    weir.get("/a", fields)
    for name, value in fields:
        assert origin.requests[0].all(name) == [value]


def test_content_is_never_transformed(start):
    """no-transform or not, from the origin and from memory (RFC 9111 sections 5.2.1.6 and 5.2.2.6)."""
    content = zlib.compress(b"hello" * 100)
    fields = [("Cache-Control", "max-age=60, no-transform"), ("Content-Encoding", "deflate"), ("Content-Type", "Text/X"),
              ("Vary", "Accept-Encoding")]
    origin = start.origin(respond(200, content, fields))
    weir = start.weir(origin)
    for _ in range(2):
        response = weir.get("/a", [("Accept-Encoding", "deflate"), ("Cache-Control", "no-transform")])
        assert response.body == content and response.field("Content-Encoding") == "deflate"
        assert response.field("Content-Type") == "Text/X"
    weir.wait_cache(hits=1, misses=1)


@pytest.mark.parametrize("name, value", [("If-Match", '"other"'), ("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")])
def test_conditions_for_the_origin(start, name, value):
    """RFC 9110 sections 13.1.1 and 13.1.4: such a request goes to the origin, whatever is stored, and nothing is stored of it."""
    fresh = cacheable(b"hello", 60, [("ETag", '"v1"'), ("Last-Modified", "Wed, 16 Nov 1994 00:00:00 GMT")])
    origin = start.origin([fresh, respond(412)])
    weir = start.weir(origin)
    weir.get("/a")
    assert weir.get("/a", [(name, value)]).status == 412
    assert origin.requests[1].field(name) == value
    assert weir.get("/a").body == b"hello"
    weir.wait_cache(hits=1, misses=1, passes=1, stored=1)


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "FANCY"])
@pytest.mark.parametrize("status, left", [(200, 0), (204, 0), (303, 0), (404, 1), (500, 1)])
def test_methods_that_are_not_safe_invalidate(start, method, status, left):
    """RFC 9111 section 4.4: unknown ones too, and by answers that are no errors only."""
    origin = start.origin([cacheable(b"one"), respond(status), cacheable(b"two")])
    weir = start.weir(origin)
    client = weir.client()
    client.get("/a")
    weir.wait_cache(objects=1)
    assert client.fetch(method, "/a", body=b"x").status == status
    weir.wait_cache(objects=left)
    assert client.get("/a").body == (b"one" if left else b"two")
    weir.wait_cache(hits=left, misses=2 - left, passes=1)


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_other_safe_methods_do_not(start, method):
    origin = start.origin([cacheable(b"one"), respond(200)])
    weir = start.weir(origin)
    client = weir.client()
    client.get("/a")
    assert client.fetch(method, "/a").status == 200
    assert client.get("/a").body == b"one"
    weir.wait_cache(hits=1, misses=1, passes=1, objects=1)


@pytest.mark.parametrize("word", ["immutable", "immutable=1, immutable", 'immutable="x"'])
def test_immutable_decides_nothing(start, word):
    """RFC 8246: an argument means nothing, nor does it in a request; what is stale is asked about as ever."""
    fields = [("Cache-Control", f"max-age=60, {word}"), ("ETag", '"v"')]
    origin = start.origin([respond(200, b"one", fields), respond(304, fields=fields)])
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    assert weir.get("/a", [("Cache-Control", word)]).cache_status()["hit"] is True
    weir.advance(61)
    assert weir.get("/a", [("Cache-Control", word)]).body == b"one"
    assert origin.requests[1].field("If-None-Match") == '"v"'
    weir.wait_cache(hits=1, misses=1, revalidated=1)
