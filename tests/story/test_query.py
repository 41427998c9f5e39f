"""QUERY (draft-ietf-httpbis-safe-method-w-body): safe, and looked up by its content."""

import pytest

from weirtest import cacheable, chunk, held, patterned, respond

JSON = [("Content-Type", "application/json")]


def echo(request, connection):
    cacheable(b"for " + request.body)(request, connection)


def ask(client, body, fields=JSON, target="/a"):
    return client.fetch("QUERY", target, fields, body)


def send_chunked(client, *pieces, fields=JSON, target="/a", trailers=b""):
    client.request("QUERY", target, [("Transfer-Encoding", "chunked")] + list(fields))
    client.send(b"".join(chunk(piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n")


def test_the_content_is_in_the_key(start):
    origin = start.origin(echo)
    weir = start.weir(origin)
    client = weir.client()
    for body, hit in ((b"one", False), (b"two", False), (b"one", True), (b"two", True), (b"", False), (b"", True)):
        response = ask(client, body)
        assert response.body == b"for " + body and ("hit" in response.cache_status()) is hit
    assert [request.body for request in origin.requests] == [b"one", b"two", b""]
    weir.wait_cache(hits=3, misses=3, stored=3, passes=0)


def test_what_it_says_of_its_content_is_in_the_key(start):
    origin = start.origin(echo)
    weir = start.weir(origin)
    client = weir.client()
    kinds = [JSON, [("Content-Type", "text/plain")], [], JSON + [("Content-Encoding", "gzip")],
             JSON + [("Content-Language", "de")]]
    assert ["hit" in ask(client, b"x", fields).cache_status() for fields in kinds] == [False] * 5
    assert ["hit" in ask(client, b"x", fields).cache_status() for fields in kinds] == [True] * 5


def test_a_get_of_the_same_target_has_its_own_key(start):
    origin = start.origin(echo)
    weir = start.weir(origin)
    client = weir.client()
    ask(client, b"")
    client.request("QUERY", "/a")
    assert "hit" not in client.read_response().cache_status()  # without Content-Type
    assert "hit" not in client.get("/a").cache_status()
    assert "hit" in client.get("/a").cache_status()
    assert "hit" not in client.fetch("QUERY", "/b", JSON, b"").cache_status()
    weir.wait_cache(misses=4, hits=1)


def test_framing_does_not_matter_and_is_made_anew(start):
    """The origin gets the whole content with its length, whatever framing the client chose."""
    origin = start.origin(echo)
    weir = start.weir(origin)
    client = weir.client()
    send_chunked(client, b"o", b"n", b"e", fields=JSON + [("Trailer", "X-T")], trailers=b"X-T: 1\r\n")
    assert client.read_response().body == b"for one"
    seen, = origin.requests
    assert seen.field("Content-Length") == "3"
    assert not seen.has("Transfer-Encoding") and not seen.has("Trailer")
    assert "hit" in ask(client, b"one").cache_status()
    client.request("QUERY", "/a", JSON + [("Content-Length", "3")], b"o")
    assert client.silent()
    client.send(b"ne")
    assert "hit" in client.read_response().cache_status()


def test_requests_behind_it_are_served(start):
    """What is pipelined behind the content of a hit, and of a miss."""
    origin = start.origin(echo)
    weir = start.weir(origin)
    for hit in (False, True, True):
        client = weir.client()
        send_chunked(client, b"one")
        client.send(b"GET /b HTTP/1.1\r\nHost: example.test\r\n\r\nGET /c HTTP/1.1\r\nHost: example.test\r\n\r\n")
        client.spoke_raw = True
        assert ("hit" in client.read_response().cache_status()) is hit
        assert client.read_response().status == 200 and client.read_response().status == 200


def test_a_client_that_half_closes_behind_it(start):
    origin = start.origin(echo)
    weir = start.weir(origin)
    for hit in (False, True):
        client = weir.client()
        client.spoke_raw = True
        client.send(b"QUERY /a HTTP/1.1\r\nHost: example.test\r\nContent-Length: 3\r\n\r\none" +
                    b"GET /b HTTP/1.1\r\nHost: example.test\r\n\r\n")
        client.half_close()
        assert ("hit" in client.read_response().cache_status()) is hit
        assert client.read_response().status == 200
        assert client.read_end() == "early"


def test_many_at_once_ask_once(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, echo)
    weir = start.weir(origin)
    clients = [weir.client() for _ in range(10)]
    for client in clients:
        client.request("QUERY", "/a", JSON, b"same")
    other = weir.client()
    weir.wait_cache(waiters=9)
    gate.open()
    assert {client.read_response().body for client in clients} == {b"for same"}
    assert ask(other, b"other").body == b"for other"
    assert len(origin.requests) == 2
    weir.wait_cache(misses=2, coalesced=9)


def test_a_waiter_goes_alone_with_its_own_content(start):
    """The response that it waited for is not for others: it sends what it has held."""
    origin = start.origin(None)
    gate = origin.gate()

    def script(request, connection):
        if len(origin.requests) == 1:
            gate.wait()
        respond(200, b"for " + request.body, [("Cache-Control", "private")])(request, connection)

    origin.script = script
    weir = start.weir(origin)
    clients = [weir.client() for _ in range(2)]
    for client in clients:
        client.request("QUERY", "/a", JSON, b"same")
    weir.wait_cache(waiters=1)
    gate.open()
    assert [client.read_response().body for client in clients] == [b"for same"] * 2
    assert [request.body for request in origin.requests] == [b"same"] * 2
    weir.wait_cache(misses=2, stored=0)


@pytest.mark.parametrize("size,looked_up", [(1024, True), (1025, False)])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_what_is_held_is_bounded(start, size, looked_up, framing):
    origin = start.origin(echo)
    weir = start.weir(origin, route_cache={"query_body": "1KiB"})
    client = weir.client()
    body = patterned(size)
    for hit in (False, looked_up):
        if framing == "length":
            response = ask(client, body)
        else:
            send_chunked(client, body[:500], body[500:1024], body[1024:]) if size > 1024 else send_chunked(client, body)
            response = client.read_response()
        assert response.body == b"for " + body
        assert ("hit" in response.cache_status()) is hit
        if not looked_up:
            assert response.cache_status() == {"fwd": "method", "detail": "query-body"}
    weir.wait_cache(**({"hits": 1, "misses": 1} if looked_up else {"passes": 2, "stored": 0}))


@pytest.mark.parametrize("size", [70000, 1000003, 8 << 20])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_content_comes_through(start, size, framing):
    body = patterned(size)
    origin = start.origin(lambda request, connection: respond(200, request.body)(request, connection))
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        if framing == "length":
            response = ask(client, body)
        else:
            client.request("QUERY", "/a", JSON + [("Transfer-Encoding", "chunked")])
            for at in range(0, size, 30000):
                client.send(chunk(body[at:at + 30000]))
            client.send(b"0\r\n\r\n")
            response = client.read_response()
        assert response.status == 200 and response.body == body
    assert weir.stats()["connections"]["accepted"] == 1
    weir.wait_cache(passes=2)


def test_off_by_the_route(start):
    origin = start.origin(echo)
    weir = start.weir(origin, route_cache={"query_body": 0})
    client = weir.client()
    for _ in range(2):
        assert ask(client, b"x").cache_status() == {"fwd": "method"}
    weir.wait_cache(passes=2, stored=0)


def test_a_route_that_does_not_cache(start):
    origin = start.origin(echo)
    weir = start.weir(origin, route_cache={"enabled": False})
    client = weir.client()
    for _ in range(2):
        assert ask(client, b"x").cache_status() == {"fwd": "bypass"}
    weir.wait_cache(passes=2, stored=0)


def test_continue_is_given_by_weir(start):
    """The content is needed before the lookup, so nobody asks the origin whether it wants it (RFC 9110 section 10.1.1)."""
    origin = start.origin(echo)
    weir = start.weir(origin)
    client = weir.client()
    for hit in (False, True):
        client.request("QUERY", "/a", JSON + [("Content-Length", "3"), ("Expect", "100-continue")])
        assert client.read_head().status == 100
        client.send(b"one")
        assert ("hit" in client.read_response().cache_status()) is hit
    assert not origin.requests[0].has("Expect")


def test_continue_of_what_grows_too_large(start):
    origin = start.origin(echo)
    weir = start.weir(origin, route_cache={"query_body": "1KiB"})
    client = weir.client()
    client.request("QUERY", "/a", JSON + [("Transfer-Encoding", "chunked"), ("Expect", "100-continue")])
    assert client.read_head().status == 100
    client.send(chunk(b"x" * 2000) + b"0\r\n\r\n")
    response = client.read_response()
    assert response.status == 200 and response.body == b"for " + b"x" * 2000
    assert not origin.requests[0].has("Expect")


def test_it_invalidates_nothing(start):
    origin = start.origin(echo)
    weir = start.weir(origin)
    client = weir.client()
    client.get("/a")
    ask(client, b"x")
    assert "hit" in client.get("/a").cache_status()
    weir.wait_cache(purged=0)


def test_a_clients_condition(start):
    origin = start.origin(cacheable(b"x", fields=[("ETag", '"v"')]))
    weir = start.weir(origin)
    client = weir.client()
    for etag, status in (('"v"', 304), ('"v"', 304), ('"w"', 200)):
        assert ask(client, b"q", JSON + [("If-None-Match", etag)]).status == status
    assert len(origin.requests) == 1 and not origin.requests[0].has("If-None-Match")


def test_validation(start):
    """Stale, it is asked about with the same content; a 304 freshens it."""
    def script(request, connection):
        if request.has("If-None-Match"):
            respond(304, fields=[("Cache-Control", "max-age=60"), ("ETag", '"v"')])(request, connection)
        else:
            cacheable(b"x", fields=[("ETag", '"v"')])(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin, clock=True)
    client = weir.client()
    ask(client, b"q")
    weir.advance(61)
    response = ask(client, b"q")
    assert response.body == b"x" and response.cache_status()["fwd-status"] == 304
    assert origin.requests[1].body == b"q" and origin.requests[1].field("If-None-Match") == '"v"'
    assert "hit" in ask(client, b"q").cache_status()
    weir.wait_cache(revalidated=1, hits=1, misses=1)


def test_an_origin_that_answers_conditions_by_412(start):
    """RFC 9110 section 13.1.2, for methods that are not GET or HEAD; the client has set no condition."""
    def script(request, connection):
        if request.has("If-None-Match"):
            respond(412, b"no")(request, connection)
        else:
            cacheable(b"number %d" % len(origin.requests), fields=[("ETag", '"v"')])(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin, clock=True)
    client = weir.client()
    assert ask(client, b"q").body == b"number 1"
    weir.advance(61)
    response = ask(client, b"q")
    assert response.status == 200 and response.body == b"number 3"
    assert [request.body for request in origin.requests] == [b"q"] * 3
    assert "hit" in ask(client, b"q").cache_status()


def test_a_reused_connection_that_dies(start):
    """It is safe and held whole, so it is sent again on a fresh connection."""
    def first(request, connection):
        respond(200, b"x")(request, connection)
        connection.take_until(b"\r\n\r\n")
        connection.close()

    origin = start.origin({"/first": first, "/second": echo})
    weir = start.weir(origin, workers=1)
    client = weir.client()
    client.get("/first")
    assert ask(client, b"content", target="/second").body == b"for content"
    assert weir.server()["retries"] == 1


def test_one_that_is_not_held_whole_is_not_sent_twice(start):
    def first(request, connection):
        respond(200, b"x")(request, connection)
        connection.take_any()
        connection.close()

    origin = start.origin({"/first": first, "/second": echo})
    weir = start.weir(origin, workers=1, route_cache={"query_body": "1KiB"})
    client = weir.client()
    client.get("/first")
    body = patterned(5000)
    send_chunked(client, body, target="/second")
    response = client.read_response()
    assert response.status == 200 and response.body == b"for " + body
    assert weir.server()["retries"] == 0 and len([r for r in origin.requests if r.target == "/second"]) == 1


# Content that does not come -----------------------------------------------------------------------


def test_content_that_stops(start):
    origin = start.origin(echo)
    weir = start.weir(origin, limits={"body_timeout": "50ms"})
    client = weir.client()
    client.request("QUERY", "/a", JSON + [("Content-Length", "5")], b"one")
    response = client.read_response()
    assert response.status == 408 and response.cache_status()["detail"] == "body-timeout"
    assert client.read_end() == "early" and not origin.requests
    weir.wait_cache(local=1)


def test_malformed_content(start):
    origin = start.origin(echo)
    weir = start.weir(origin)
    client = weir.client()
    client.request("QUERY", "/a", JSON + [("Transfer-Encoding", "chunked")], b"3\r\none!")
    assert client.read_response().status == 400
    assert not origin.requests and weir.rejected() == 1


def test_content_above_the_limit_of_bodies(start):
    origin = start.origin(echo)
    weir = start.weir(origin, limits={"body_size": "1KiB"})
    assert ask(weir.client(), b"x" * 1025).status == 413
    client = weir.client()
    send_chunked(client, b"x" * 1025)
    assert client.read_response().status == 413
    assert not origin.requests


@pytest.mark.parametrize("end", ["reset", "close"])
def test_a_client_that_leaves_inside_of_it(start, end):
    origin = start.origin(echo)
    weir = start.weir(origin)
    client = weir.client()
    client.request("QUERY", "/a", JSON + [("Content-Length", "5")], b"one")
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 1)
    client.reset() if end == "reset" else client.close()
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 0 and stats["connections"]["open"] == 0)
    assert not origin.requests
    assert ask(weir.client(), b"one").body == b"for one"


def test_what_is_held_is_counted_and_given_back(start):
    origin = start.origin(echo)
    weir = start.weir(origin)
    before = weir.stats()["cache"]["bytes"]
    client = weir.client()
    client.request("QUERY", "/a", JSON + [("Content-Length", "60001")], b"x" * 60000)
    weir.wait_stats(lambda stats: stats["cache"]["memory"]["fills"] >= 60000)
    client.reset()
    weir.wait_stats(lambda stats: stats["cache"]["bytes"] == before)


def test_memory_is_out(start):
    """All that is held is part of the cache's memory: with that used up, 503."""
    origin = start.origin(echo)
    weir = start.weir(origin, cache={"memory": "1MiB"}, route_cache={"query_body": "1MiB"})
    clients = [weir.client() for _ in range(3)]
    for client in clients:
        client.request("QUERY", "/a", JSON + [("Content-Length", "1000001")], b"x" * 1000000)
    ended = [client.read_response() for client in clients]
    assert {response.status for response in ended} == {503}
    for response in ended:
        assert response.cache_status()["detail"] == "overloaded"
    assert ask(weir.client(), b"small").status == 200


def test_refreshed_behind_its_client(start):
    """RFC 5861: the refresh sends the content that its client has sent, which has been answered by then."""
    control = [("Cache-Control", "max-age=60, stale-while-revalidate=60")]
    origin = start.origin(lambda request, connection:
                          respond(200, b"%d for " % len(origin.requests) + request.body, control)(request, connection))
    weir = start.weir(origin, clock=True)
    client = weir.client()
    assert ask(client, b"content").body == b"1 for content"
    weir.advance(70)
    assert ask(client, b"content").body == b"1 for content"
    origin.wait_requests(2)
    weir.wait_cache(stored=2)
    assert origin.requests[1].body == b"content"
    assert ask(client, b"content").body == b"2 for content"
    weir.wait_cache(stale=1, hits=1, misses=1)


def test_stale_where_the_origin_fails(start):
    control = [("Cache-Control", "max-age=1, stale-if-error=60")]
    origin = start.origin([respond(200, b"kept", control), respond(500, b"broken"), respond(500, b"broken")])
    weir = start.weir(origin, clock=True)
    client = weir.client()
    ask(client, b"content")
    weir.advance(2)
    assert ask(client, b"content").body == b"kept"
    assert ask(client, b"another").status == 500
    weir.wait_cache(stale=1)


def test_a_purge_of_the_url_reaches_it(start):
    """As an invalidation does: whatever is stored for the target has changed (RFC 9111 section 4.4)."""
    origin = start.origin(echo)
    weir = start.weir(origin)
    client = weir.client()
    ask(client, b"one"), ask(client, b"two"), client.get("/a")
    assert weir.purge("http://example.test/a") == 3
    assert "hit" not in ask(client, b"one").cache_status()
    assert client.fetch("PUT", "/a", body=b"new").status == 200
    assert "hit" not in ask(client, b"one").cache_status()
