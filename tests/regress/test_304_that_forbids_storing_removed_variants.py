"""A 304 with no-store about one variant removed all variants of its key."""

from weirtest import respond

ONE, TWO = [("X-A", "1")], [("X-A", "2")]


def variant(body, *more):
    return respond(200, body, [("Vary", "X-A"), ("ETag", f'"{body.decode()}"'), ("Cache-Control", "max-age=60"), *more])


def test_one_is_dropped(start):
    """RFC 9111 §4.3.4: a 304 is about the response that it selects."""
    origin = start.origin({"/a": [variant(b"one"), variant(b"two"),
                                  respond(304, fields=[("ETag", '"one"'), ("Cache-Control", "no-store")]), variant(b"new")]})
    weir = start.weir(origin)
    client = weir.client()
    for fields in (ONE, TWO):
        client.get("/a", fields)
    asked = client.get("/a", ONE + [("Cache-Control", "no-cache")])
    assert asked.body == b"one" and asked.cache_status() == {"fwd": "request", "fwd-status": 304, "detail": "no-store"}
    assert "hit" in client.get("/a", TWO).cache_status()
    fresh = client.get("/a", ONE)
    assert fresh.body == b"new" and fresh.cache_status()["fwd"] == "vary-miss"
    weir.wait_cache(revalidated=1, hits=1, misses=3, purged=0)


def test_one_that_selects_another(start):
    """What it selects is dropped, and what it was stored as besides; the third stays."""
    origin = start.origin({"/a": [variant(b"one"), variant(b"two"),
                                  respond(304, fields=[("ETag", '"one"'), ("Cache-Control", "no-store")]),
                                  variant(b"three"), variant(b"new")]})
    weir = start.weir(origin)
    client = weir.client()
    for fields in (ONE, TWO):
        client.get("/a", fields)
    asked = client.get("/a", [("X-A", "3")])
    assert asked.body == b"one" and asked.cache_status() == {"fwd": "vary-miss", "fwd-status": 304, "detail": "no-store"}
    assert "hit" in client.get("/a", TWO).cache_status()
    assert client.get("/a", [("X-A", "3")]).body == b"three"
    assert client.get("/a", ONE).body == b"new"
    weir.wait_cache(revalidated=1, hits=1, misses=4, purged=0)
