"""A purge of a URL counted, and removed once more, what an invalidation by group had removed already."""

from weirtest import respond

FRESH = ("Cache-Control", "max-age=60")


def test_nothing_is_left_to_purge(start):
    origin = start.origin({"/a": respond(200, b"a", [FRESH, ("Cache-Groups", '"g"')]),
                           "/b": respond(200, b"b", [FRESH]),
                           "/c": respond(200, b"c", [("Cache-Group-Invalidation", '"g"')])})
    weir = start.weir(origin)
    client = weir.client()
    client.get("/a")
    client.get("/b")
    client.fetch("PUT", "/c", body=b"x")
    assert weir.purge("http://example.test/a") == 0
    assert weir.purge("http://example.test/b") == 1
    weir.wait_cache(purged=2, objects=0)
