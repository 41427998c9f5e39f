"""A 304 without the field for Weir that had given a lifetime renewed it with what a soft purge had left of it."""

import pytest

from weirtest import respond


@pytest.mark.parametrize("name", ["Weir-Cache-Control", "Surrogate-Control"])
@pytest.mark.parametrize("again", [True, False], ids=["brought again", "left out"])
def test_it_is_fresh_again(start, name, again):
    tag, field = ("ETag", '"1"'), (name, "max-age=3600")
    origin = start.origin([respond(200, b"one", [tag, field]), respond(304, fields=[tag] + [field] * again),
                           respond(200, b"two", [tag, field])])
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    weir.advance(5)
    assert weir.purge(url="http://example.test/a", soft=True) == 1
    assert weir.get("/a").body == (b"one" if again else b"two")
    assert len(origin.requests) == (2 if again else 3)
    weir.advance(10)
    assert weir.get("/a").cache_status()["hit"] is True
    weir.wait_cache(hits=1)
