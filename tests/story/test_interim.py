"""Interim responses (1xx) from the origin are passed on, then the final one."""

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
