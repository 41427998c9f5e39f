"""Fields that end at Weir, fields it adds, and fields that pass."""

import pytest

from weirtest import cacheable, respond

HOP = [("Connection", "keep-alive, X-Secret"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"),
       ("X-Secret", "s"), ("TE", "gzip"), ("X-Public", "p")]


def received(start, fields=(), method="GET", body=None, config=None, **more):
    origin = start.origin(respond(200, b"ok"))
    weir = start.weir(origin, **(config or {}))
    client = weir.client()
    assert client.fetch(method, "/a", fields, body, **more).status == 200
    return origin, origin.requests[0]


def test_towards_the_origin(start):
    _, request = received(start, HOP)
    assert request.field("X-Public") == "p"
    for name in ("X-Secret", "Keep-Alive", "Proxy-Connection"):
        assert not request.has(name)
    assert "x-secret" not in request.members("Connection")
    assert "gzip" not in request.members("TE")


def test_towards_the_client(start):
    origin = start.origin(cacheable(b"x", 60, [
        ("Connection", "X-Secret, keep-alive"), ("X-Secret", "s"), ("Keep-Alive", "timeout=50"),
        ("Proxy-Connection", "x"), ("Upgrade", "h9"), ("X-Public", "p"), ("Server", "an origin")]))
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        response = client.get("/a")
        assert response.field("X-Public") == "p" and response.field("Server") == "an origin"
        for name in ("X-Secret", "Keep-Alive", "Proxy-Connection", "Upgrade"):
            assert not response.has(name)
        assert "x-secret" not in response.members("Connection")
    weir.wait_cache(hits=1, misses=1)


@pytest.mark.parametrize("named", ["Host", "Content-Length", "Cache-Control", "Via", "X-Forwarded-For"])
def test_connection_cannot_remove_what_weir_needs(start, named):
    """Naming an end-to-end field in Connection must not break framing, routing or trust."""
    origin, request = received(start, [("Connection", f"close, {named}"), ("Cache-Control", "max-stale")],
                               method="POST", body=b"hello")
    assert request.body == b"hello" and request.has("Host")
    assert request.has("Via") and request.has("X-Forwarded-For")


def test_via_is_appended(start):
    _, request = received(start, [("Via", "1.0 first, 1.1 second")])
    assert request.members("Via") == ["1.0 first", "1.1 second", "1.1 weir"]


def test_via_of_the_response_is_appended(start):
    origin = start.origin(cacheable(fields=[("Via", "1.1 inner")]))
    weir = start.weir(origin)
    for _ in range(2):
        assert weir.get("/a").members("Via") == ["1.1 inner", "1.1 weir"]


def test_forwarded_fields(start):
    _, request = received(start, host="api.test:8080")
    assert request.field("X-Forwarded-For") == "127.0.0.1"
    assert request.field("X-Forwarded-Proto") == "http"
    assert request.field("X-Forwarded-Host") == "api.test:8080"


def test_x_forwarded_for_is_appended(start):
    _, request = received(start, [("X-Forwarded-For", "10.1.1.1, 10.2.2.2")])
    assert request.members("X-Forwarded-For") == ["10.1.1.1", "10.2.2.2", "127.0.0.1"]


def test_host_is_the_clients(start):
    _, request = received(start, host="Api.Test:8080")
    assert request.all("Host") == ["Api.Test:8080"]


def test_host_is_the_origins(start):
    origin, request = received(start, config={"upstream": {"host": "origin"}})
    assert request.all("Host") == [origin.address]
    assert request.field("X-Forwarded-Host") == "example.test"


def test_host_is_a_literal(start):
    _, request = received(start, config={"upstream": {"host": "inner.test"}})
    assert request.all("Host") == ["inner.test"]
    assert request.field("X-Forwarded-Host") == "example.test"


def test_end_to_end_fields_pass_as_they_are(start):
    fields = [("Accept", "a/b;q=0.5, */*"), ("User-Agent", "x  y"), ("X-Empty", ""), ("X-Twice", "1"),
              ("X-Twice", "2"), ("x-lower", "low"), ("Cookie", "a=b; c=d"),
              ("X-Latin", "caf\xe9"), ("Referer", "http://x/")]
    _, request = received(start, fields)
    for name, value in fields:
        assert value in request.all(name)
    assert request.all("X-Twice") == ["1", "2"]
    assert ("x-lower", "low") in request.fields


def test_the_trace_goes_on(start):
    _, request = received(start, [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")])
    assert request.field("traceparent").startswith("00-0af7651916cd43dd8448eb211c80319c-")


def test_te_trailers_may_pass(start):
    """Nothing but trailers is left of TE, and it is named in Connection."""
    _, request = received(start, [("TE", "trailers, deflate;q=0.5"), ("Connection", "TE")])
    assert request.members("TE") in ([], ["trailers"])
    if request.has("TE"):
        assert "te" in request.members("Connection")


def test_connection_close_towards_weir_is_not_passed_on(start):
    """The client's wish for its own connection does not cost a warm origin connection."""
    origin = start.origin(respond(200, b"ok"))
    weir = start.weir(origin)
    for _ in range(3):
        weir.get("/a", [("Connection", "close")])
    assert origin.accepts == 1
    assert "close" not in origin.requests[0].members("Connection")


NEVER_STORED = ["Keep-Alive", "Proxy-Connection", "TE", "Upgrade", "Proxy-Authenticate", "Proxy-Authentication-Info",
                "Proxy-Authorization"]


@pytest.mark.parametrize("name", NEVER_STORED + ["X-Named", "x-other", "ETag", "Last-Modified"])
def test_what_is_of_the_connection_is_never_stored(start, name):
    """RFC 9111 section 3.1: hop-by-hop fields, those that Connection names, those of proxy authentication."""
    connection = [] if name in NEVER_STORED else [("Connection", "x-named, X-OTHER"), ("Connection", "etag,,last-modified")]
    origin = start.origin(cacheable(b"x", 60, connection + [(name, "secret"), ("X-Public", "p")]))
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        response = client.get("/a")
        assert response.field("X-Public") == "p" and response.body == b"x"
        assert "secret" not in response.all(name)
        assert not set(response.members("Connection")) & {"x-named", "x-other", "etag", "last-modified"}
    weir.wait_cache(hits=1, misses=1, stored=1)


def test_a_304_brings_nothing_of_the_connection(start):
    """RFC 9111 section 3.2: what may not be stored does not update either."""
    stored = cacheable(b"x", 60, [("ETag", '"v"'), ("X-Named", "first"), ("X-Plain", "first")])
    update = [("ETag", '"v"'), ("Cache-Control", "max-age=60"), ("Connection", "X-Named, X-New"), ("X-Named", "second"),
              ("X-New", "new"), ("X-Plain", "second"), ("Content-Length", "77")]
    update += [(name, "second") for name in NEVER_STORED]
    origin = start.origin([stored, respond(304, fields=update)])
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    weir.advance(61)
    for _ in range(2):
        response = weir.get("/a")
        assert response.body == b"x" and response.field("X-Plain") == "second"
        assert response.all("X-Named") == ["first"] and not response.has("X-New")
        for name in NEVER_STORED:
            assert "second" not in response.all(name)
    weir.wait_cache(revalidated=1, hits=1, misses=1, objects=1)


@pytest.mark.parametrize("code", [200, 404])
def test_a_stored_age_and_length_are_weirs_own(start, code):
    """Age counts on, Content-Length is of the body that is sent."""
    fields = [("Age", "100"), ("Cache-Control", "max-age=600")]
    origin = start.origin(respond(code, b"hello", fields))
    weir = start.weir(origin, clock=True)
    assert [100 <= int(age) < 130 for age in weir.get("/a").all("Age")] in ([], [True])
    weir.advance(50)
    response = weir.get("/a")
    assert [150 <= int(age) < 180 for age in response.all("Age")] == [True] and response.all("Content-Length") == ["5"] and response.body == b"hello"
    weir.wait_cache(hits=1, misses=1)
