"""What finds a stored response: method, scheme, host, target, and what the route leaves out of it or adds."""

import pytest

from weirtest import cacheable, respond


def echo(request, connection):
    """Answers with the target, so that a response of another request shows."""
    cacheable(request.target.encode())(request, connection)


def ask(weir, *targets, fields=()):
    """Whether each was a hit."""
    return ["hit" in weir.get(target, fields).cache_status() for target in targets]


def keyed(start, key, script=echo, **more):
    origin = start.origin(script)
    return origin, start.weir(origin, route_cache={"key": key} | more)


def test_ignored_parameters_are_sent_and_do_not_count(start):
    origin, weir = keyed(start, {"query": {"ignore": ["utm_*", "gclid"]}})
    assert ask(weir, "/a?x=1&utm_source=mail", "/a?utm_campaign=b&x=1", "/a?x=1", "/a?gclid=9&x=1&gclid=8") == \
        [False, True, True, True]
    assert origin.requests[0].target == "/a?x=1&utm_source=mail"
    assert ask(weir, "/a?utm_source=mail", "/a", "/a?") == [False, True, False]
    assert ask(weir, "/a?x=2", "/a?X=1", "/a?x=1&utm=1") == [False] * 3
    weir.wait_cache(hits=4, misses=6)


def test_what_another_reader_may_split_or_decode_counts(start):
    """Else one who asks with it would choose what others get (parameter cloaking)."""
    _, weir = keyed(start, {"query": {"ignore": ["utm_*"], "allow": ["x", "u*"]}})
    assert ask(weir, "/a?x=1", "/a?x=1&utm_a=b;x=evil", "/a?x=1&%78=evil", "/a?x=1&y=1;x=evil") == [False] * 4
    assert weir.get("/a?x=1").body == b"/a?x=1"


def test_only_allowed_parameters_count(start):
    _, weir = keyed(start, {"query": {"allow": ["page", "f_*"]}})
    assert ask(weir, "/a?page=1&f_a=2", "/a?page=1&session=9&f_a=2", "/a?page=1&f_a=3") == [False, True, False]
    assert ask(weir, "/a?session=1", "/a") == [False, True]


def test_parameters_in_any_order(start):
    origin, weir = keyed(start, {"query": {"sort": True}})
    assert ask(weir, "/a?b=1&a=2", "/a?a=2&b=1", "/a?b=1&a=2&b=0", "/a?a=2&b=0&b=1") == [False, True, False, False]
    assert origin.requests[0].target == "/a?b=1&a=2"


def test_without_rules_the_target_counts_as_sent(start):
    origin = start.origin(echo)
    weir = start.weir(origin)
    assert ask(weir, "/a?b&a", "/a?a&b", "/a?", "/a", "/%61", "/a?b&a") == [False] * 5 + [True]


def test_fields_in_the_key(start):
    origin, weir = keyed(start, {"headers": ["X-Tenant", "X-Flag-*"]})
    assert ask(weir, "/a", fields=[("X-Tenant", "one")]) == [False]
    assert ask(weir, "/a", fields=[("x-tenant", "one"), ("X-Other", "1")]) == [True]
    assert ask(weir, "/a", fields=[("X-Tenant", "two")]) == [False]
    assert ask(weir, "/a", fields=[("X-Tenant", "")]) == [False]
    assert ask(weir, "/a") == [False]
    assert ask(weir, "/a", fields=[("X-Flag-B", "1"), ("X-Tenant", "one")]) == [False]
    assert ask(weir, "/a", fields=[("X-Tenant", "one"), ("X-Flag-B", "1")]) == [True]
    assert ask(weir, "/a", fields=[("X-Tenant", "a,b")]) == [False]
    assert ask(weir, "/a", fields=[("X-Tenant", "a ,"), ("X-Tenant", "b")]) == [True]
    weir.wait_cache(hits=3, misses=6, objects=6)


def test_cookies_in_the_key(start):
    origin, weir = keyed(start, {"cookies": ["currency"]})
    assert ask(weir, "/a", fields=[("Cookie", "session=1; currency=eur")]) == [False]
    assert ask(weir, "/a", fields=[("Cookie", "currency=eur;session=2")]) == [True]
    assert ask(weir, "/a", fields=[("Cookie", "session=2"), ("Cookie", "currency=eur")]) == [True]
    assert ask(weir, "/a", fields=[("Cookie", "currency=usd")]) == [False]
    assert ask(weir, "/a", fields=[("Cookie", "session=1")]) == [False]
    assert ask(weir, "/a") == [True]
    assert origin.requests[0].field("Cookie") == "session=1; currency=eur"
    weir.wait_cache(hits=3, misses=3, objects=3)


def test_no_value_stands_for_another_line(start):
    """Field and cookie values of one request never make the key of another."""
    _, weir = keyed(start, {"headers": ["a", "b"], "cookies": ["c"]})
    requests = [[("A", "1"), ("B", "2")], [("A", "1, b:2")], [("A", "1 b:2")], [("B", "2")], [("A", "")], [],
                [("Cookie", "c=1")], [("A", "cookie=c=1")], [("Cookie", "c=1; c=2")], [("Cookie", "c=\"1; c=2\"")],
                [("Cookie", "c=1, c=2")], [("Cookie", "c")], [("Cookie", "c=")]]
    assert [ask(weir, "/a", fields=fields)[0] for fields in requests] == [False] * len(requests)
    assert [ask(weir, "/a", fields=fields)[0] for fields in requests] == [True] * len(requests)


def test_a_purge_of_a_url_knows_the_routes_rules(start):
    _, weir = keyed(start, {"query": {"ignore": ["utm_*"], "sort": True}})
    ask(weir, "/a?b=1&a=2&utm_x=1")
    assert weir.purge("http://example.test/a?utm_y=2&a=2&b=1") == 1
    assert weir.purge("http://example.test/a?b=1&a=2") == 0
    weir.wait_cache(purged=1, objects=0)


def test_invalidations_and_purges_know_the_rules_of_the_route_that_gets_take(start):
    origin = start.origin(cacheable(b"one"))
    weir = start.weir(raw={"upstreams": {"up": {"servers": [origin.url]}},
                           "routes": [{"methods": ["GET"], "upstream": "up",
                                       "cache": {"key": {"query": {"ignore": ["utm_*"]}}}},
                                      {"upstream": "up"}]})
    ask(weir, "/a")
    assert weir.client().fetch("PUT", "/a?utm_x=1", body=b"").status == 200
    assert ask(weir, "/a") == [False]
    assert weir.purge("http://example.test/a?utm_y=1") == 1


def test_joined_by_what_counts_only(start):
    origin = start.origin(None)
    gate = origin.gate()

    def script(request, connection):
        gate.wait()
        echo(request, connection)

    origin.script = script
    weir = start.weir(origin, route_cache={"key": {"query": {"ignore": ["n"]}}})
    clients = [weir.client() for _ in range(4)]
    for number, client in enumerate(clients):
        client.request("GET", f"/a?n={number}")
    weir.wait_cache(readers=4)
    gate.open()
    assert len({client.read_response().body for client in clients}) == 1
    assert len(origin.requests) == 1
    weir.wait_cache(misses=1, coalesced=3)


# Method and scheme --------------------------------------------------------------------------------


def test_get_and_head_share_a_key(start):
    origin = start.origin(echo)
    weir = start.weir(origin)
    client = weir.client()
    client.get("/a")
    assert "hit" in client.fetch("HEAD", "/a").cache_status()
    assert len(origin.requests) == 1


def test_the_scheme_is_in_the_key(start):
    """A client that says https: in its target has another key (RFC 9112 section 3.2.2)."""
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    client = weir.client()
    client.spoke_raw = True
    for target in ("http://example.test/a", "/a", "https://example.test/a", "https://example.test/a"):
        assert client.get(target).status == 200
    assert len(origin.requests) == 2
    assert weir.purge("https://example.test/a") == 1
    assert weir.purge("http://example.test/a") == 1


# What others have been poisoned by ----------------------------------------------------------------


def reflect(name):
    def script(request, connection):
        cacheable((request.field(name) or "none").encode())(request, connection)
    return script


@pytest.mark.parametrize("name,seen", [("X-Forwarded-Host", b"example.test"), ("X-Forwarded-Proto", b"http")])
def test_forwarded_fields_are_weirs_own(start, name, seen):
    """What a client says in them reaches no origin, so it cannot get into what is stored for others."""
    origin = start.origin(reflect(name))
    weir = start.weir(origin)
    assert weir.get("/a", [(name, "evil.test")]).body == seen
    assert weir.get("/a").body == seen
    assert len(origin.requests) == 1


@pytest.mark.parametrize("name", ["X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "x-http-method",
                                  "X-Method-Override"])
def test_fields_that_change_what_is_asked_for_pass_by(start, name):
    """Some origins take the method or the target from them, which the key does not know: neither looked up nor stored."""
    origin = start.origin(reflect(name))
    weir = start.weir(origin)
    poisoned = weir.get("/a", [(name, "evil")])
    assert poisoned.body == b"evil" and poisoned.cache_status() == {"fwd": "request", "detail": "method-override"}
    assert weir.get("/a").body == b"none"
    assert weir.get("/a", [(name, "evil")]).body == b"evil"
    assert weir.get("/a").body == b"none"
    weir.wait_cache(passes=2, hits=1, misses=1, stored=1)


@pytest.mark.parametrize("name", ["X-Original-URL", "X-HTTP-Method-Override", "Forwarded", "X-Forwarded-Scheme", "X-Host"])
def test_a_key_may_name_them(start, name):
    origin = start.origin(reflect(name))
    weir = start.weir(origin, route_cache={"key": {"headers": [name]}})
    assert [weir.get("/a", [(name, value)]).body for value in ("one", "two", "one")] == [b"one", b"two", b"one"]
    weir.wait_cache(hits=1, misses=2, passes=0)


def test_a_key_has_to_name_all_of_them(start):
    origin = start.origin(reflect("X-Rewrite-URL"))
    weir = start.weir(origin, route_cache={"key": {"headers": ["X-Original-URL"]}})
    both = [("X-Original-URL", "/b"), ("X-Rewrite-URL", "/c")]
    assert weir.get("/a", both).cache_status()["detail"] == "method-override"
    weir.wait_cache(passes=1, stored=0)


def test_a_get_with_a_body_is_no_get(start):
    origin = start.origin(lambda request, connection: cacheable(request.body or b"none")(request, connection))
    weir = start.weir(origin)
    client = weir.client()
    assert client.fetch("GET", "/a", body=b"evil").body == b"evil"
    assert client.get("/a").body == b"none"
    assert client.fetch("GET", "/a", body=b"evil").cache_status() == {"fwd": "request"}
    weir.wait_cache(passes=2, stored=1)


def test_host_in_the_target_wins(start):
    """RFC 9112 section 3.2.2: of an absolute target and Host, only the former is keyed and sent."""
    origin = start.origin(reflect("Host"))
    weir = start.weir(origin)
    client = weir.client()
    client.spoke_raw = True
    assert client.get("http://example.test/a", host="evil.test").body == b"example.test"
    assert client.get("/a").body == b"example.test"
    assert len(origin.requests) == 1


def test_an_error_of_the_origin_for_a_strange_request_is_not_everyones(start):
    """A response without freshness is not stored, whatever provoked it."""
    origin = start.origin([respond(400, b"no"), cacheable(b"yes")])
    weir = start.weir(origin)
    assert weir.get("/a", [("X-Strange", "\\")]).status == 400
    assert weir.get("/a").body == b"yes"
