"""With hit_for_miss: 0s a 304 to a response that is validated each time was remembered for a moment all the same."""

import pytest

from weirtest import respond

VALIDATED = [("Cache-Control", "no-cache"), ("ETag", '"v"')]


@pytest.mark.parametrize("time, remembered", [("0s", 0), ("1h", 1)])
def test_a_304_is_remembered_as_the_route_says(start, time, remembered):
    origin = start.origin([respond(200, b"x", VALIDATED), respond(304, fields=VALIDATED)])
    weir = start.weir(origin, workers=1, route={"cache": {"hit_for_miss": time}})
    client = weir.client()
    client.get("/a")
    assert client.get("/a").cache_status()["fwd-status"] == 304
    assert weir.wait_cache(revalidated=1)["cache"]["hit_for_miss"] == remembered
