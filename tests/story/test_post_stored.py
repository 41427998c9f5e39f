"""Responses to POST that answer later GETs of its target (RFC 9110 section 9.3.3, RFC 9111 section 3)."""

import pytest

from weirtest import cacheable, chunk, respond

FRESH = [("Cache-Control", "max-age=60")]


def own(body=b"posted", location="/a", status=200, fields=()):
    """A POST's answer that is the representation of its target."""
    return respond(status, body, FRESH + [("Content-Location", location)] + list(fields))


def by_method(post, get=cacheable(b"got")):
    def script(request, connection):
        (post if request.method == "POST" else get)(request, connection)
    return script


def post_then_get(start, post, target="/a", get_target=None, **config):
    origin = start.origin(by_method(post))
    weir = start.weir(origin, **config)
    client = weir.client()
    posted = client.fetch("POST", target, body=b"form")
    return origin, weir, client, posted, client.get(get_target or target)


def test_it_answers_gets(start):
    origin, weir, client, posted, got = post_then_get(start, own())
    assert posted.cache_status() == {"fwd": "method", "stored": True}
    assert got.status == 200 and got.body == b"posted" and got.cache_status()["hit"] is True
    assert client.fetch("HEAD", "/a").cache_status()["hit"] is True
    assert [request.method for request in origin.requests] == ["POST"]
    weir.wait_cache(passes=1, hits=2, stored=1, objects=1)


def test_it_never_answers_a_post(start):
    origin, weir, client, _, _ = post_then_get(start, own())
    again = client.fetch("POST", "/a", body=b"form")
    assert again.body == b"posted" and "hit" not in again.cache_status()
    assert [request.method for request in origin.requests] == ["POST", "POST"]


@pytest.mark.parametrize("location", ["/a?b=c", "http://example.test/a?b=c", "http://EXAMPLE.test:80/a?b=c#part",
                                      "//example.test/a?b=c", "a?b=c", "?b=c", "./a?b=c",
                                      "x/../a?b=c", ""])
def test_spellings_of_the_target(start, location):
    _, _, _, _, got = post_then_get(start, own(location=location), "/a?b=c")
    assert got.body == b"posted"


@pytest.mark.parametrize("location", ["/b", "/a?", "/a/", "http://other.test/a", "https://example.test/a", "/%61", "./b", "b/../a/",
                                      "http://user@example.test/a", "/a b"])
def test_other_places(start, location):
    _, weir, _, posted, got = post_then_get(start, own(location=location))
    assert posted.cache_status() == {"fwd": "method"} and got.body == b"got"
    weir.wait_cache(stored=1)


@pytest.mark.parametrize("fields", [[("Content-Location", "/a")],
                                    FRESH,
                                    FRESH + [("Content-Location", "/a"), ("Content-Location", "/a")],
                                    [("Cache-Control", "max-age=0"), ("ETag", '"v"'), ("Content-Location", "/a")],
                                    [("Cache-Control", "max-age=60, no-cache"), ("ETag", '"v"'), ("Content-Location", "/a")],
                                    [("Cache-Control", "max-age=60, private"), ("Content-Location", "/a")],
                                    [("Cache-Control", "max-age=60, no-store"), ("Content-Location", "/a")],
                                    FRESH + [("Content-Location", "/a"), ("Vary", "*")],
                                    FRESH + [("Content-Location", "/a"), ("Age", "60")]])
def test_what_is_not_stored(start, fields):
    _, _, _, posted, got = post_then_get(start, respond(200, b"posted", fields))
    assert posted.body == b"posted" and posted.cache_status() == {"fwd": "method"}
    assert got.body == b"got" and got.cache_status()["fwd"] == "uri-miss"


@pytest.mark.parametrize("status", [201, 202, 204, 303, 404])
def test_other_statuses(start, status):
    _, _, _, posted, got = post_then_get(start, own(b"" if status == 204 else b"posted", status=status))
    assert posted.status == status and got.body == b"got"


def test_the_routes_ttl_is_not_the_origins_word(start):
    _, _, _, _, got = post_then_get(start, respond(200, b"posted", [("Content-Location", "/a")]), route_cache={"ttl": "60s"})
    assert got.body == b"got"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OTHER"])
def test_other_methods(start, method):
    origin = start.origin([own(), cacheable(b"got")])
    weir = start.weir(origin)
    client = weir.client()
    assert client.fetch(method, "/a", body=b"x").cache_status() == {"fwd": "method"}
    assert client.get("/a").body == b"got"


@pytest.mark.parametrize("fields,config", [([("Cache-Control", "no-store")], {}), ([("Authorization", "Basic eA==")], {}),
                                           ([("X-Preview", "1")], {"bypass": {"headers": ["X-Preview"]}}),
                                           ([("Connection", "X-Own"), ("X-Own", "1")], {}),
                                           ([("X-Original-URL", "/b")], {}),
                                           ([], {"enabled": False})])
def test_requests_whose_answer_is_nobody_elses(start, fields, config):
    origin = start.origin(by_method(own()))
    weir = start.weir(origin, route_cache=config or None)
    client = weir.client()
    assert client.fetch("POST", "/a", fields, b"form").body == b"posted"
    assert client.get("/a").body == b"got"


def test_it_takes_the_place_of_what_was_stored(start):
    """Its own invalidation comes first (RFC 9111 section 4.4)."""
    origin = start.origin(by_method(own()))
    weir = start.weir(origin)
    client = weir.client()
    assert client.get("/a").body == b"got"
    client.fetch("POST", "/a", body=b"form")
    assert client.get("/a").body == b"posted"
    weir.wait_cache(purged=1, stored=2, objects=1, hits=1, misses=1, passes=1)


def test_its_freshness_ends(start):
    origin, weir, client, _, _ = post_then_get(start, own(fields=[("ETag", '"v"')]), clock=True)
    weir.advance(61)
    assert client.get("/a").body == b"got"
    assert origin.requests[1].method == "GET" and origin.requests[1].field("If-None-Match") == '"v"'


def test_variants(start):
    vary = [("Vary", "Accept-Language")]
    origin = start.origin(by_method(own(fields=vary), cacheable(b"got", fields=vary)))
    weir = start.weir(origin)
    client = weir.client()
    client.fetch("POST", "/a", [("Accept-Language", "de")], b"form")
    assert client.get("/a", [("Accept-Language", "en")]).body == b"got"
    assert client.get("/a", [("Accept-Language", "de")]).body == b"posted"


def test_the_routes_key(start):
    """Stored as a GET of the same target with the same cookie would be."""
    origin = start.origin(by_method(own(location="/a?utm_x=1")))
    weir = start.weir(origin, route_cache={"key": {"query": {"ignore": ["utm_*"]}, "cookies": ["c"]}})
    client = weir.client()
    client.fetch("POST", "/a?utm_x=1", [("Cookie", "c=1")], b"form")
    assert client.get("/a", [("Cookie", "c=2")]).body == b"got"
    assert client.get("/a", [("Cookie", "c=1")]).body == b"posted"


def test_the_route_that_gets_take(start):
    origin = start.origin(by_method(own(location="/a?utm_x=1")))
    weir = start.weir(raw={"upstreams": {"up": {"servers": [origin.url]}},
                           "routes": [{"methods": ["POST"], "upstream": "up"},
                                      {"upstream": "up", "cache": {"key": {"query": {"ignore": ["utm_*"]}}}}]})
    client = weir.client()
    client.fetch("POST", "/a?utm_x=1", body=b"form")
    assert client.get("/a").body == b"posted"


def test_gets_meanwhile_do_not_wait_for_it(start):
    def post(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Location: /a\r\n"
                        b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"pos"))
        gate.wait()
        connection.send(chunk(b"ted") + b"0\r\n\r\n")

    origin = start.origin(by_method(post))
    gate = origin.gate()
    weir = start.weir(origin)
    client = weir.client()
    client.request("POST", "/a", body=b"form")
    response = client.read_body(client.read_final_head(), at_least=3)
    assert weir.get("/a").body == b"got"
    gate.open()
    assert client.read_body(response).body == b"posted"
    weir.wait_cache(stored=2, objects=1)
    assert weir.get("/a").body == b"posted"


def test_cut_short_it_is_not_stored(start):
    def post(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Location: /a\r\nContent-Length: 6\r\n\r\npos")
        connection.close()

    origin = start.origin(by_method(post))
    weir = start.weir(origin)
    client = weir.client()
    client.request("POST", "/a", body=b"form")
    assert client.read_response().end != "clean"
    assert weir.get("/a").body == b"got"


@pytest.mark.parametrize("when", ["before the head", "behind the head"])
@pytest.mark.parametrize("how", ["purge", "PUT"])
def test_invalidated_by_another_meanwhile(start, when, how):
    """What another one has changed while it was under way may be newer than it."""
    head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Location: /a\r\nContent-Length: 6\r\n\r\n"

    def post(request, connection):
        if when == "behind the head":
            connection.send(head)
        gate.wait()
        connection.send(b"posted" if when == "behind the head" else head + b"posted")

    def script(request, connection):
        if request.method == "PUT":
            respond(204)(request, connection)
        else:
            by_method(post)(request, connection)

    origin = start.origin(script)
    gate = origin.gate()
    weir = start.weir(origin)
    client = weir.client()
    client.request("POST", "/a", body=b"form")
    response = client.read_final_head("POST") if when == "behind the head" else None
    gate.wait_reached()
    if how == "purge":
        weir.purge("http://example.test/a")
    else:
        assert weir.client().fetch("PUT", "/a", body=b"x").status == 204
    gate.open()
    response = client.read_body(response) if response else client.read_response()
    assert response.body == b"posted"
    assert weir.get("/a").body == b"got"


def test_a_client_that_leaves_before_the_answer(start):
    origin = start.origin(None)
    gate = origin.gate()

    def script(request, connection):
        gate.wait()
        try:
            own()(request, connection)
        except Exception:  # Weir has gone too
            pass

    origin.script = script
    weir = start.weir(origin)
    client = weir.client()
    client.request("POST", "/a", body=b"form")
    gate.wait_reached()
    client.reset()
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 0 and stats["cache"]["fills"] == 0)
    gate.open()
    weir.wait_cache(stored=0)
