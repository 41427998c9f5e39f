"""Interim responses (1xx) from the origin are passed on, then the final one."""

import pytest

from weirtest import cacheable, held, raw, respond

FINAL = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-A: b\r\n\r\n"


def test_103_is_passed_on_with_its_fields(start):
    origin = start.origin(raw(HINTS + FINAL))
    weir = start.weir(origin)
    client = weir.client()
    response = client.get("/a")
    assert response.body == b"ok"
    assert [interim.status for interim in response.interim] == [103]
    assert response.interim[0].field("Link") == "</a.css>; rel=preload"
    assert response.interim[0].field("X-A") == "b"
    assert not response.has("Link")
    # An interim response is no part of what is stored.
    second = client.get("/a")
    assert second.cache_status()["hit"] is True and second.interim == [] and not second.has("Link")
    stats = weir.wait_cache(hits=1, misses=1)
    assert stats["requests"]["total"] == 2 and stats["requests"]["status"]["2xx"] == 2


def test_103_comes_before_the_final_response_is_made(start):
    def script(request, connection):
        connection.send(HINTS)
        held(gate, respond(200, b"x"))(request, connection)

    origin = start.origin(script)
    gate = origin.gate()
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a")
    assert client.read_head().status == 103
    gate.open()
    assert client.read_response().body == b"x"


def test_many_interim_responses(start):
    """Some proxies lose their place after the first; a bound is fine, a wrong final response is not."""
    interim = b"".join(b"HTTP/1.1 103 Early Hints\r\nLink: <%d>\r\n\r\n" % number for number in range(10))
    origin = start.origin(raw(interim + FINAL))
    weir = start.weir(origin)
    response = weir.get("/a")
    assert response.body == b"ok"
    assert [one.field("Link") for one in response.interim] == [f"<{number}>" for number in range(10)]


def test_endless_interim_responses_end(start):
    """An origin that only ever sends 1xx is no answer."""
    def script(request, connection):
        while True:
            connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100)

    origin = start.origin(script)
    weir = start.weir(origin, timeouts={"first_byte": "500ms"})
    client = weir.client()
    client.request("GET", "/a")
    assert client.read_final_head().status in (502, 504)


def test_interim_responses_on_a_reused_connection(start):
    origin = start.origin([cacheable(b"1"), raw(HINTS + FINAL), raw(b"HTTP/1.1 102 Processing\r\n\r\n" + FINAL),
                           respond(200, b"4")])
    weir = start.weir(origin)
    client = weir.client()
    bodies = [client.get(f"/{number}").body for number in range(4)]
    assert bodies == [b"1", b"ok", b"ok", b"4"]
    assert origin.accepts == 1


def test_100_without_expect_does_no_harm(start):
    origin = start.origin(raw(b"HTTP/1.1 100 Continue\r\n\r\n" + FINAL))
    weir = start.weir(origin)
    assert weir.get("/a").body == b"ok"


def test_101_without_an_upgrade_is_an_error(start):
    origin = start.origin(raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbytes"))
    weir = start.weir(origin)
    assert weir.get("/a").status == 502


def test_an_origin_that_closes_after_an_interim_response(start):
    origin = start.origin(raw(HINTS, "close"))
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a")
    assert client.read_response().status == 502
    weir.wait_cache(stored=0)


@pytest.mark.parametrize("interim", [
    b"HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\nX-A: b\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nX-A: b\r\nLink: </a>\r\n\r\n",
    b"HTTP/1.1 104 Upload Resumption Supported\r\nX-A: b\r\n\r\n",
    b"HTTP/1.1 199 Odd\r\nX-A: b\r\nETag: \"i\"\r\nVary: *\r\nCache-Control: no-store\r\n\r\n",
])
def test_no_interim_response_is_stored(start, interim):
    """What is stored is the final response alone, whatever came before it (RFC 9111 section 3)."""
    origin = start.origin(raw(interim + FINAL))
    weir = start.weir(origin)
    client = weir.client()
    first, second = client.get("/a"), client.get("/a")
    for response in (first, second):
        assert response.status == 200 and response.body == b"ok"
        for name in ("X-A", "Link", "ETag", "Vary"):
            assert not response.has(name)
        assert response.field("Cache-Control") == "max-age=60"
    assert second.cache_status()["hit"] is True and second.interim == []
    weir.wait_cache(hits=1, misses=1, stored=1, objects=1)


@pytest.mark.parametrize("status", [100, 102, 103, 150])
def test_freshness_in_an_interim_response_stores_nothing(start, status):
    """Neither the interim response nor, by its word, the final one."""
    origin = start.origin(raw(b"HTTP/1.1 %d X\r\nCache-Control: max-age=60\r\nETag: \"i\"\r\n\r\n" % status +
                              b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok"))
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        response = client.get("/a")
        assert response.status == 200 and response.body == b"ok"
        assert response.cache_status()["detail"] == "no-store"
    weir.wait_cache(hits=0, misses=2, stored=0, objects=0)
    assert len(origin.requests) == 2


def test_what_connection_names_in_an_interim_response_ends_at_weir(start):
    hints = (b"HTTP/1.1 103 Early Hints\r\nConnection: X-Secret, keep-alive\r\nX-Secret: s\r\nKeep-Alive: timeout=5\r\n"
             b"Proxy-Connection: x\r\nLink: </a>\r\n\r\n")
    origin = start.origin(raw(hints + FINAL))
    weir = start.weir(origin)
    response = weir.get("/a")
    assert [name for name, _ in response.interim[0].fields] == ["Link"]


def test_an_interim_response_before_a_304(start):
    """Validation goes on behind it, and what it says updates nothing."""
    fresh = cacheable(b"hello", 60, [("ETag", '"v1"')])
    not_modified = (b"HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=60\r\n\r\n")
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </b>\r\nETag: \"other\"\r\n\r\n"
    origin = start.origin([fresh, raw(hints + not_modified)])
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    weir.advance(61)
    for _ in range(2):
        response = weir.get("/a")
        assert response.body == b"hello" and response.field("ETag") == '"v1"' and not response.has("Link")
    weir.wait_cache(revalidated=1, hits=1, misses=1, objects=1)
