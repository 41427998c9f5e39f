"""What is stored and what is not (RFC 9111 section 3), on the wire and in the counters."""

import pytest

from weirtest import cacheable, raw, respond

LONG_AGO = ("Last-Modified", "Mon, 01 Jan 2001 00:00:00 GMT")


def is_stored(start, script, fields=(), **config):
    """Asks twice. Whether the second answer is a hit; the first one, the counters and the origin must agree."""
    origin = start.origin(script)
    weir = start.weir(origin, **config)
    client = weir.client()
    first, second = client.get("/a", fields), client.get("/a", fields)
    hit = "hit" in second.cache_status()
    assert (second.status, second.body) == (first.status, first.body)
    assert ("stored" in first.cache_status()) is hit
    assert len(origin.requests) == (1 if hit else 2)
    stats = weir.wait_cache(hits=int(hit))
    assert stats["cache"]["stored"] == int(hit)
    return hit


@pytest.mark.parametrize("status", [200, 201, 202, 203, 204, 205, 299, 300, 301, 302, 303, 307, 308, 400, 403, 404,
                                    410, 413, 451, 499, 500, 502, 503, 504, 599])
def test_any_final_status_with_freshness(start, status):
    body = b"" if status in (204, 205) else b"x"
    assert is_stored(start, respond(status, body, [("Cache-Control", "max-age=60")]))


@pytest.mark.parametrize("status, detail", [(206, "partial"), (416, "partial"), (412, "status")])
def test_what_answers_a_range_or_a_condition(start, status, detail):
    fields = [("Cache-Control", "max-age=60"), ("Content-Range", "bytes 0-0/2")]
    assert not is_stored(start, respond(status, b"x", fields))
    weir = start.weir(start.origins[0])
    assert weir.get("/b").cache_status()["detail"] == detail


@pytest.mark.parametrize("status, control, stored", [
    (200, None, True), (203, None, True), (300, None, True), (301, None, True), (308, None, True), (404, None, True),
    (405, None, True), (410, None, True), (414, None, True), (501, None, True),
    (201, None, False), (302, None, False), (403, None, False), (500, None, False), (503, None, False),
    (599, None, False), (599, "public", True), (302, "public", True),
])
def test_a_guess_is_for_statuses_that_allow_it(start, status, control, stored):
    """RFC 9111 section 4.2.2: heuristically cacheable ones, and what is marked public."""
    fields = [LONG_AGO] + ([("Cache-Control", control)] if control else [])
    assert is_stored(start, respond(status, b"x", fields)) is stored


@pytest.mark.parametrize("status, control, stored", [
    (200, "must-understand, no-store, max-age=60", True),
    (299, "must-understand, no-store, max-age=60", False),
    (299, "must-understand, max-age=60", False),
    (299, "max-age=60", True),
    (200, "must-understand=;, no-store, max-age=60", False),
    (200, 'private="x-own", max-age=60', False),
    (200, 'no-store="x", max-age=60', False),
    (200, 'max-age=60, x="', False),
])
def test_directives(start, status, control, stored):
    assert is_stored(start, respond(status, b"x", [("Cache-Control", control)])) is stored


def test_no_cache_with_names_is_asked_about(start):
    fields = [("Cache-Control", 'no-cache="Set-Cookie", max-age=60'), ("ETag", '"v"')]
    origin = start.origin([respond(200, b"x", fields), respond(304, fields=fields)])
    weir = start.weir(origin)
    weir.get("/a")
    assert weir.get("/a").body == b"x"
    assert origin.requests[1].field("If-None-Match") == '"v"'
    weir.wait_cache(hits=0, revalidated=1)


@pytest.mark.parametrize("head", [b"Content-Length: 10\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_an_incomplete_response(start, head):
    broken = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n" + head + b"\r\n5\r\nhel"
    origin = start.origin([raw(broken, "close"), cacheable(b"whole")])
    weir = start.weir(origin)
    cut = weir.get("/a")
    assert cut.status == 200 and cut.end == "early"
    again = weir.get("/a")
    assert (again.body, again.end) == (b"whole", "clean") and "hit" not in again.cache_status()
    assert len(origin.requests) == 2
    weir.wait_cache(stored=1, hits=0)
