"""A soft purge of what was stale already was undone by the answer to a HEAD that had been asked before it."""

from weirtest import held, respond


def test_the_purge_stands(start):
    said = [("Cache-Control", "max-age=60"), ("ETag", '"v"')]
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = [respond(200, b"one", said), held(gate, respond(200, b"one", said)), respond(200, b"two", said)]
    weir = start.weir(origin, clock=True)
    assert weir.get("/a").body == b"one"
    weir.advance(70)
    client = weir.client()
    client.request("HEAD", "/a")
    gate.wait_reached()
    assert weir.purge("http://example.test/a", soft=True) == 1
    gate.open()
    assert client.read_response("HEAD").status == 200
    assert weir.get("/a").body == b"two"
