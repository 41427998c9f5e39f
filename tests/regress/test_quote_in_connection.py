"""A quote in Connection hid what followed it: options are tokens, and a quote is none (RFC 9112 9.6, RFC 9110 7.6.1)."""

from weirtest import respond


def test_close_behind_a_quote_of_a_client(start):
    weir = start.weir(start.origin(respond(200)))
    client = weir.client()
    assert client.get("/a", [("Connection", '"x, close')]).members("Connection") == ["close"]
    client.read_end()


def test_close_behind_a_quote_of_an_origin(start):
    origin = start.origin(respond(200, b"x", [("Connection", 'a="x, close')]))
    weir = start.weir(origin)
    for _ in range(2):
        assert weir.get("/a", [("Cache-Control", "no-cache")]).status == 200
    assert origin.accepts == 2


def test_a_field_named_behind_a_quote(start):
    origin = start.origin(respond(200))
    weir = start.weir(origin)
    assert weir.get("/a", [("Connection", '"x, X-Secret'), ("X-Secret", "s")]).status == 200
    assert not origin.requests[0].has("X-Secret")


def test_h2c_behind_a_quote(start):
    origin = start.origin(respond(200))
    weir = start.weir(origin)
    assert weir.get("/a", [("Connection", "upgrade"), ("Upgrade", '"x, h2c')]).status == 200
    assert not origin.requests[0].has("Upgrade")
