"""A 304 to a request with Authorization removed stored variants that were none of its concern, as it could not have been stored itself."""

from weirtest import respond

FRESH, TAG = ("Cache-Control", "max-age=60"), ("ETag", '"1"')


def test_what_others_get_stays(start):
    origin = start.origin([respond(200, b"one", [FRESH, TAG, ("Vary", "X-A")]), respond(200, b"two", [FRESH])])
    weir = start.weir(origin)
    client = weir.client()
    client.get("/a", [("X-A", "1")])
    assert client.get("/a", [("X-A", "2"), ("Authorization", "Basic eA==")]).body == b"two"
    assert not origin.requests[1].has("If-None-Match")
    assert client.get("/a", [("X-A", "1")]).cache_status().get("hit") is True
    assert len(origin.requests) == 2
