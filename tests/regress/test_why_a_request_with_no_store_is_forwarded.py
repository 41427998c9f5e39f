"""A request with no-store bore fwd=request also where nothing was stored that it could have been given (RFC 9211 section 2.2)."""

from weirtest import cacheable


def test_why_it_is_forwarded(start):
    origin = start.origin(cacheable(b"one", 60, [("Vary", "X-Own"), ("ETag", '"v"')]))
    weir = start.weir(origin, clock=True)
    no_store = [("Cache-Control", "no-store")]
    assert weir.get("/a", no_store).cache_status()["fwd"] == "uri-miss"
    weir.get("/a")
    assert weir.get("/a", no_store + [("X-Own", "1")]).cache_status()["fwd"] == "vary-miss"
    assert weir.get("/a", no_store + [("Pragma", "x")]).cache_status()["hit"] is True
    assert weir.get("/a", [("Cache-Control", "no-store, no-cache")]).cache_status()["fwd"] == "request"
    weir.advance(70)
    assert weir.get("/a", no_store).cache_status()["fwd"] == "stale"
