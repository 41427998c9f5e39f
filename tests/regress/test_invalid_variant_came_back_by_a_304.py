"""A 304 about one variant made another one fresh that an invalidation by group had removed."""

from weirtest import respond

FRESH = ("Cache-Control", "max-age=60")


def test_it_stays_gone(start):
    origin = start.origin({
        "/a": [respond(200, b"old", [FRESH, ("ETag", '"1"'), ("Cache-Groups", '"g"')]),
               respond(200, b"variant", [FRESH, ("ETag", 'W/"1"'), ("Vary", "X-A")]),
               respond(304, fields=[FRESH, ("ETag", '"1"')]),
               respond(200, b"new", [FRESH])],
        "/c": respond(200, b"c", [("Cache-Group-Invalidation", '"g"')])})
    weir = start.weir(origin)
    client = weir.client()
    asking = [("Cache-Control", "no-cache")]
    assert client.get("/a").body == b"old"
    assert client.get("/a", asking).body == b"variant"
    client.fetch("PUT", "/c", body=b"x")
    assert client.get("/a", asking).body == b"variant"
    assert client.get("/a", [("X-A", "1")]).body == b"new"
    weir.wait_cache(revalidated=1, purged=1)
