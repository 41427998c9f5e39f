"""HEAD: the header of the GET response, never a body."""

from weirtest import cacheable, chunked, patterned, respond


def test_head_from_a_stored_get(start):
    body = patterned(5000)
    origin = start.origin(cacheable(body, fields=[("ETag", '"v1"'), ("Content-Type", "a/b")]))
    weir = start.weir(origin)
    client = weir.client()
    client.get("/a")
    head = client.fetch("HEAD", "/a")
    assert head.status == 200 and head.cache_status()["hit"] is True
    assert head.field("Content-Length") == "5000" and head.field("ETag") == '"v1"'
    assert head.field("Content-Type") == "a/b" and head.has("Age")
    # The connection goes on at the next response: no body byte has slipped in between.
    assert client.get("/a").body == body
    assert len(origin.requests) == 1
    weir.wait_cache(hits=2, misses=1)


def test_head_miss_does_not_spoil_a_get(start):
    body = patterned(700)
    origin = start.origin(cacheable(body))
    weir = start.weir(origin)
    client = weir.client()
    head = client.fetch("HEAD", "/a")
    assert head.status == 200 and head.field("Content-Length") == "700" and head.body == b""
    get = client.get("/a")
    assert get.body == body
    assert client.get("/a").body == body
    assert client.fetch("HEAD", "/a").cache_status()["hit"] is True
    assert len(origin.requests) <= 2


def test_head_of_a_chunked_response(start):
    origin = start.origin(chunked(b"abc", b"def"))
    weir = start.weir(origin)
    client = weir.client()
    assert client.fetch("HEAD", "/a").status == 200
    assert client.get("/a").body == b"abcdef"


def test_head_of_an_uncacheable_response(start):
    origin = start.origin(respond(200, b"abc", [("Cache-Control", "no-store")]))
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(3):
        assert client.fetch("HEAD", "/a").field("Content-Length") == "3"
        assert client.get("/a").body == b"abc"


def test_head_with_an_error_of_weirs_own_has_no_body(start):
    origin = start.origin([])
    weir = start.weir(origin, route={"path": "/api/"})
    client = weir.client()
    assert client.fetch("HEAD", "/x").status == 404
    assert client.fetch("GET", "/x").status == 404


def test_head_from_a_204_and_a_304(start):
    origin = start.origin({"/204": respond(204)})
    weir = start.weir(origin)
    client = weir.client()
    assert client.fetch("HEAD", "/204").status == 204
    assert client.fetch("GET", "/204").status == 204
