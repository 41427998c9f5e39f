"""min-fresh=x, which nothing is to meet, was met by a response of the greatest lifetime there is, as long as it was new."""

from weirtest import cacheable


def test_the_origin_is_asked(start):
    origin = start.origin([cacheable(b"one", 99999999999), cacheable(b"two", 99999999999)])
    weir = start.weir(origin)
    weir.get("/a")
    assert weir.get("/a", [("Cache-Control", "min-fresh=x")]).body == b"two"
    weir.wait_cache(misses=2, hits=0)
