"""PURGE on the public port: for clients whose address the route names."""

import json

import pytest

from weirtest import cacheable, respond, run_weir


def by_language(request, connection):
    if request.method == "GET":
        cacheable(b"x", 60, [("Vary", "Accept-Language"), ("ETag", '"1"')])(request, connection)
    else:
        respond(405)(request, connection)


@pytest.mark.parametrize("soft", [None, "1", "0", "x"])
def test_all_variants(start, soft):
    origin = start.origin(by_language)
    weir = start.weir(origin, route_cache={"purge_from": ["127.0.0.0/8"]})
    for language in ("de", "en"):
        weir.get("/a?b", [("Accept-Language", language)])
    weir.get("/a")
    fields = [("Fastly-Soft-Purge", soft)] if soft else []
    response = weir.client().fetch("PURGE", "/a?b", fields, host="EXAMPLE.test:80")
    assert response.status == 200 and json.loads(response.body) == {"purged": 2}
    assert response.field("Content-Type") == "application/json"
    assert response.field("Cache-Control") == "no-store"
    assert response.cache_status()["detail"] == "purged"
    weir.wait_cache(purged=2, objects=3 if soft == "1" else 1, local=1)
    again = weir.get("/a?b", [("Accept-Language", "de")]).cache_status()
    assert again["fwd"] == ("stale" if soft == "1" else "uri-miss")
    assert len(origin.requests) == 4


def test_what_the_key_tells_apart_beyond_the_url(start):
    """It is reached at once, and counted by the walk that removes it, not in the answer, which says so."""
    origin = start.origin(cacheable())
    weir = start.weir(origin, route_cache={"purge_from": ["127.0.0.1"], "key": {"headers": ["X-Tenant"]}})
    tenants = [[("X-Tenant", name)] for name in ("one", "two")]
    for fields in tenants:
        weir.get("/a", fields)
    answer = json.loads(weir.client().fetch("PURGE", "/a", [("X-Tenant", "three")]).body)
    assert answer == {"purged": 0, "note": "what the key tells apart beyond the URL is reached too, and not counted here"}
    for fields in tenants:
        assert "hit" not in weir.get("/a", fields).cache_status()
    weir.wait_cache(purged=2)


@pytest.mark.parametrize("networks, allowed", [
    (["127.0.0.1"], True), (["::1", "127.0.0.1/32"], True), (["0.0.0.0/0"], True), (["127.0.0.2"], False), (["::/0"], False),
    (["10.0.0.0/8", "192.0.2.0/24"], False)], ids=str)
def test_others_may_not(start, networks, allowed):
    origin = start.origin(by_language)
    weir = start.weir(origin, route_cache={"purge_from": networks})
    weir.get("/a")
    # What a client says of itself is not believed.
    response = weir.client().fetch("PURGE", "/a", [("X-Forwarded-For", "10.0.0.1"), ("Forwarded", "for=10.0.0.1")])
    assert response.status == (200 if allowed else 403)
    if not allowed:
        assert response.cache_status()["detail"] == "purge-forbidden"
    weir.wait_cache(purged=1 if allowed else 0)
    assert len(origin.requests) == 1


def test_a_route_without_it_passes_it_on(start):
    origin = start.origin(by_language)
    weir = start.weir(origin)
    weir.get("/a")
    assert weir.client().fetch("PURGE", "/a").status == 405
    assert origin.requests[1].method == "PURGE"
    weir.wait_cache(purged=0, passes=1)


def test_only_this_method(start):
    origin = start.origin(by_language)
    weir = start.weir(origin, route_cache={"purge_from": ["127.0.0.1"]})
    weir.get("/a")
    for method in ("BAN", "purge", "PURGEKEY"):
        assert weir.client().fetch(method, "/a").status == 405
    weir.wait_cache(purged=0)


def test_with_a_body_and_on_a_connection_that_goes_on(start):
    origin = start.origin(by_language)
    weir = start.weir(origin, route_cache={"purge_from": ["127.0.0.1"]})
    client = weir.client()
    for _ in range(3):
        client.get("/a")
        assert json.loads(client.fetch("PURGE", "/a").body) == {"purged": 1}
    assert json.loads(client.fetch("PURGE", "/a", body=b"x" * 1000).body) == {"purged": 0}
    weir.wait_cache(purged=3, local=4)


def test_a_wrong_network(start):
    file = start.file("weir.yaml", "upstreams: {a: {servers: [\"http://h:1\"]}}\n"
                                   "routes: [{upstream: a, cache: {purge_from: [10.0.0.1/8]}}]\n")
    done = run_weir("check", "-c", file)
    assert done.returncode == 1
    assert f"{file}:2:45: purge_from: \"10.0.0.1/8\" names one address in the network" in done.stderr
