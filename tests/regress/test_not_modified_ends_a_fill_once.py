"""A 304 from the origin gave its fill the stored object and then ended it a second time: an assertion stopped the process."""

from weirtest import cacheable, respond


def test_a_304_for_a_stale_response(start):
    origin = start.origin([cacheable(b"hello", 60, [("ETag", '"v1"')]),
                           respond(304, fields=[("ETag", '"v1"'), ("Cache-Control", "max-age=60")])])
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    weir.advance(61)
    assert weir.get("/a").body == b"hello"
    assert weir.get("/a").cache_status()["hit"] is True
    weir.wait_cache(revalidated=1, hits=1)
