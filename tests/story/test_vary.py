"""Vary: a stored response serves only requests that would have got it (RFC 9111 section 4.1)."""

import email.utils
import time

import pytest

from weirtest import cacheable, held, respond


def by_language(request, connection):
    body = (request.field("Accept-Language") or "none").encode()
    cacheable(body, 60, [("Vary", "Accept-Language")])(request, connection)


def test_variants_are_kept_apart(start):
    origin = start.origin(by_language)
    weir = start.weir(origin)
    for _ in range(3):
        for language in ("de", "en", "fr"):
            assert weir.get("/a", [("Accept-Language", language)]).body == language.encode()
        assert weir.get("/a").body == b"none"
    assert len(origin.requests) == 4
    weir.wait_cache(hits=8, misses=4)


def test_a_new_variant_is_told_as_a_vary_miss(start):
    origin = start.origin(by_language)
    weir = start.weir(origin)
    weir.get("/a", [("Accept-Language", "de")])
    response = weir.get("/a", [("Accept-Language", "en")])
    assert response.cache_status()["fwd"] in ("vary-miss", "uri-miss")


def test_white_space_and_repeated_lines_are_the_same_value(start):
    """A variant matches after combining lines and dropping white space around members."""
    origin = start.origin(by_language)
    weir = start.weir(origin)
    weir.get("/a", [("Accept-Language", "de, en")])
    weir.get("/a", [("Accept-Language", "de"), ("Accept-Language", "en")])
    assert weir.get("/a", [("accept-language", "de, en")]).cache_status()["hit"] is True
    assert len(origin.requests) <= 2


def test_several_fields(start):
    def script(request, connection):
        body = f"{request.field('A')}{request.field('B')}".encode()
        cacheable(body, 60, [("Vary", "a"), ("Vary", "B")])(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin)
    for _ in range(2):
        for a in "12":
            for b in "34":
                assert weir.get("/a", [("A", a), ("B", b)]).body == (a + b).encode()
    weir.wait_cache(hits=4, misses=4)


def test_an_absent_field_is_not_an_empty_one(start):
    origin = start.origin(by_language)
    weir = start.weir(origin)
    weir.get("/a")
    weir.get("/a", [("Accept-Language", "")])
    assert weir.get("/a").body == b"none"


def test_a_star_is_never_reused(start):
    origin = start.origin(cacheable(fields=[("Vary", "A, *")]))
    weir = start.weir(origin)
    for _ in range(2):
        assert "hit" not in weir.get("/a").cache_status()
    assert len(origin.requests) == 2


def test_a_variant_is_revalidated_by_itself(start):
    def script(request, connection):
        language = request.field("Accept-Language")
        fields = [("Vary", "Accept-Language"), ("ETag", f'"{language}"'), ("Cache-Control", "max-age=60")]
        if f'"{language}"' == request.field("If-None-Match"):
            respond(304, fields=fields)(request, connection)
        else:
            respond(200, language.encode(), fields)(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin, clock=True)
    for language in ("de", "en"):
        weir.get("/a", [("Accept-Language", language)])
    weir.advance(70)
    for language in ("de", "en"):
        assert weir.get("/a", [("Accept-Language", language)]).body == language.encode()
    weir.wait_cache(revalidated=2, misses=2, objects=2)


def test_requests_of_other_variants_do_not_get_a_held_fill(start):
    """Whoever waited for an answer that turns out to vary gets the one for its own fields."""
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, by_language)
    weir = start.weir(origin)
    clients = {}
    for language in ("de", "en", "fr", "it"):
        clients[language] = weir.client()
        clients[language].request("GET", "/a", [("Accept-Language", language)])
    gate.wait_reached()
    gate.open()
    for language, client in clients.items():
        assert client.read_response().body == language.encode()


def test_a_response_that_no_longer_varies(start):
    origin = start.origin([cacheable(b"de", 60, [("Vary", "Accept-Language")]), cacheable(b"all", 60)])
    weir = start.weir(origin)
    weir.get("/a", [("Accept-Language", "de")])
    assert weir.get("/a", [("Accept-Language", "en")]).body == b"all"
    assert weir.get("/a", [("Accept-Language", "fr")]).body in (b"all",)
    assert len(origin.requests) == 2


def by_encoding(request, connection):
    body = (request.field("Accept-Encoding") or "none").encode()
    cacheable(body, 60, [("Vary", "Accept-Encoding")])(request, connection)


@pytest.mark.parametrize("stored, asked", [
    ("gzip, deflate, br", "br,DEFLATE;q=1.0,x-gzip"),
    ("gzip;q=0.5, br", "br, gzip;q=0.500"),
    ("gzip", "gzip, identity;q=0.1, br;q=0"),
    ("gzip, *;q=0", "*;q=0.0, gzip"),
    ("identity", ""),
    ("gzip;level=9, br", "gzip;level=9,br"),
])
def test_an_accept_encoding_that_says_the_same(start, stored, asked):
    origin = start.origin(by_encoding)
    weir = start.weir(origin)
    weir.get("/a", [("Accept-Encoding", stored)])
    for again in (asked, stored):
        assert weir.get("/a", [("Accept-Encoding", again)]).body == stored.encode()
    weir.wait_cache(hits=2, misses=1, objects=1)


@pytest.mark.parametrize("stored, asked", [
    ("gzip, br", "gzip"),
    ("gzip", "gzip;q=0.9"),
    ("gzip;q=0.5, br", "gzip, br;q=0.5"),
    ("gzip", "gzip, identity"),
    ("gzip", "gzip, identity;q=0"),
    ("gzip, *", "gzip"),
    ("gzip;level=9, br", "br, gzip;level=9"),
    ("gzip, gzip;q=0.5", "gzip;q=0.5, gzip"),
    (None, ""),
])
def test_an_accept_encoding_that_says_something_else(start, stored, asked):
    """Each gets what the origin made for its own field, and both are kept."""
    origin = start.origin(by_encoding)
    weir = start.weir(origin)
    for _ in range(2):
        for encoding in (stored, asked):
            fields = [] if encoding is None else [("Accept-Encoding", encoding)]
            weir.get("/a", fields)
    assert [request.field("Accept-Encoding") for request in origin.requests] == [stored, asked]
    weir.wait_cache(hits=2, misses=2, objects=2)


def test_other_fields_are_compared_as_sent(start):
    origin = start.origin(by_language)
    weir = start.weir(origin)
    for language in ("de, en", "en, de", "de, EN", "de;q=1, en"):
        assert weir.get("/a", [("Accept-Language", language)]).body == language.encode()
    weir.wait_cache(hits=0, misses=4, objects=4)


def test_waiting_requests_share_what_says_the_same(start):
    """One fetch answers all who wait, where their fields come to the same; the others fetch their own."""
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, by_encoding)
    weir = start.weir(origin)
    clients = {encoding: weir.client() for encoding in ("gzip, br", "BR,gzip;q=1.0", "gzip")}
    for encoding, client in clients.items():
        client.request("GET", "/a", [("Accept-Encoding", encoding)])
        if encoding == "gzip, br":
            gate.wait_reached()
    weir.wait_stats(lambda stats: stats["cache"]["readers"] == 3, "three readers of one fetch")
    gate.open()
    bodies = [client.read_response().body for client in clients.values()]
    assert bodies == [b"gzip, br", b"gzip, br", b"gzip"]
    weir.wait_cache(coalesced=1, misses=2)
    assert len(origin.requests) == 2


def store_languages(weir, count):
    client = weir.client()
    for number in range(count):
        client.get("/a", [("Accept-Language", f"l{number}")])
    return client


def test_a_key_keeps_64_variants_and_the_oldest_leaves(start):
    origin = start.origin(by_language)
    weir = start.weir(origin)
    client = store_languages(weir, 64)
    weir.wait_cache(objects=64, evicted=0, misses=64)
    for number in range(64):
        assert client.get("/a", [("Accept-Language", f"l{number}")]).body == f"l{number}".encode()
    weir.wait_cache(hits=64, misses=64)
    client.get("/a", [("Accept-Language", "l64")])
    weir.wait_cache(objects=64, evicted=1, misses=65)
    assert client.get("/a", [("Accept-Language", "l1")]).cache_status()["hit"] is True
    assert "hit" not in client.get("/a", [("Accept-Language", "l0")]).cache_status()
    weir.wait_cache(objects=64, evicted=2, hits=65, misses=66)


def test_an_unsafe_method_reaches_every_variant(start):
    def script(request, connection):
        if request.method == "POST":
            respond(204)(request, connection)
        else:
            by_language(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin)
    client = store_languages(weir, 64)
    weir.wait_cache(objects=64)
    client.fetch("POST", "/a", body=b"x")
    weir.wait_cache(objects=0)
    client.get("/a", [("Accept-Language", "l63")])
    weir.wait_cache(misses=65, hits=0)


def test_a_purge_reaches_every_variant(start):
    origin = start.origin(by_language)
    weir = start.weir(origin)
    client = store_languages(weir, 65)
    weir.wait_cache(objects=64)
    assert weir.purge("http://example.test/a") == 64
    weir.wait_cache(objects=0, purged=64)
    client.get("/a", [("Accept-Language", "l64")])
    weir.wait_cache(misses=66, hits=0)


@pytest.mark.parametrize("ages_s, wanted", [((0, 20), b"varied"), ((20, 0), b"plain"), ((20, 20), b"plain")])
def test_of_several_that_match_the_most_recent_by_date(start, ages_s, wanted):
    """RFC 9111 section 4: by Date, not by which came last."""
    def answer(body, age_s, fields):
        date = email.utils.formatdate(time.time() - age_s, usegmt=True)
        return cacheable(body, 60, [("Date", date)] + fields)

    origin = start.origin([answer(b"varied", ages_s[0], [("Vary", "X-A")]), answer(b"plain", ages_s[1], [])])
    weir = start.weir(origin)
    assert weir.get("/a", [("X-A", "1")]).body == b"varied"
    assert weir.get("/a", [("X-A", "2")]).body == b"plain"
    weir.wait_cache(objects=2, misses=2)
    assert weir.get("/a", [("X-A", "1")]).body == wanted
    assert weir.get("/a", [("X-A", "2")]).body == b"plain"
    weir.wait_cache(hits=2, misses=2)


@pytest.mark.parametrize("names, stored", [(32, 1), (33, 0)])
def test_at_most_32_names(start, names, stored):
    vary = ", ".join(f"X-{number}" for number in range(names))
    origin = start.origin(cacheable(fields=[("Vary", vary)]))
    weir = start.weir(origin)
    for _ in range(2):
        response = weir.get("/a", [("X-31", "1")])
    assert response.cache_status().get("hit", False) is bool(stored)
    weir.wait_cache(objects=stored, hits=stored, misses=2 - stored)
