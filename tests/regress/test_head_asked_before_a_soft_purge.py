"""The answer to a HEAD that had been sent before a soft purge made fresh again what was purged."""

import pytest

from weirtest import cacheable, held, respond

FIELDS = [("Cache-Control", "max-age=60"), ("ETag", '"1"')]


@pytest.mark.parametrize("by", [{"url": "http://example.test/a"}, {"tag": "a"}], ids=["url", "tag"])
def test_it_stays_stale(start, by):
    origin = start.origin([cacheable(b"one", 60, [("ETag", '"1"'), ("Cache-Tag", "a")])])
    gate = origin.gate()
    origin.script += [held(gate, respond(200, b"one", FIELDS)), respond(304, fields=FIELDS)]
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    weir.advance(5)
    client = weir.client()
    client.request("HEAD", "/a", [("Cache-Control", "no-cache")])
    gate.wait_reached()
    assert weir.purge(**by, soft=True) == 1
    gate.open()
    assert client.read_response("HEAD").status == 200
    assert weir.get("/a").cache_status()["fwd"] == "stale"
    weir.wait_cache(revalidated=1)
