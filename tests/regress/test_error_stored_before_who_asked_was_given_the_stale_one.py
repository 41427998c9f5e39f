"""A request's stale-if-error came to nothing where the error could be stored: it took the stale response's place first."""

from weirtest import cacheable, respond


def test_the_stale_one_is_given_and_stays(start):
    error = respond(503, b"error", [("Cache-Control", "max-age=600")])
    origin = start.origin([cacheable(b"one", 60, [("ETag", '"v"')]), error, error])
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    weir.advance(70)
    for _ in range(2):
        response = weir.get("/a", [("Cache-Control", "stale-if-error=100")])
        assert response.body == b"one" and response.cache_status()["detail"] == "stale-if-error"
    weir.wait_cache(stale=2, stored=1, objects=1)
