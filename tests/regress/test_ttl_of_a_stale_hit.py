"""A response that max-stale let through counted as fresh, and its ttl of -10 was written as 18446744073709551606."""

from weirtest import cacheable


def test_the_ttl_of_what_is_stale_is_negative(start):
    weir = start.weir(start.origin(cacheable(fields=[("ETag", '"v"')])), clock=True)
    client = weir.client()
    client.get("/a")
    weir.advance(70)
    status = client.get("/a", [("Cache-Control", "max-stale=60")]).cache_status()
    assert -30 <= status["ttl"] <= -10
    weir.wait_cache(hits=0, stale=1)
