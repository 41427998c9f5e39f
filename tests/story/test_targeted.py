"""Fields that take the place of Cache-Control: Weir-Cache-Control, CDN-Cache-Control (RFC 9213), Surrogate-Control."""

import pytest

from weirtest import chunked, respond

CC, WEIR, CDN, SURROGATE = "Cache-Control", "Weir-Cache-Control", "CDN-Cache-Control", "Surrogate-Control"


def ttl_of(start, fields, **more):
    """The freshness that a hit shows; None when the second answer is none."""
    origin = start.origin(respond(200, b"x", fields))
    weir = start.weir(origin, **more)
    client = weir.client()
    client.get("/a")
    status = client.get("/a").cache_status()
    hit = "hit" in status
    assert len(origin.requests) == (1 if hit else 2)
    weir.wait_cache(hits=int(hit))
    return status["ttl"] if hit else None


@pytest.mark.parametrize("fields, ttl_s", [
    ([(CC, "max-age=1000"), (WEIR, "max-age=2000"), (CDN, "max-age=3000"), (SURROGATE, "max-age=4000")], 2000),
    ([(CC, "max-age=1000"), (CDN, "max-age=3000"), (SURROGATE, "max-age=4000")], 3000),
    ([(CC, "max-age=1000"), (SURROGATE, "max-age=4000")], 4000),
    ([(CC, "no-store, private"), (CDN, "max-age=3000")], 3000),
    ([(CC, "no-store"), (SURROGATE, "max-age=4000+60")], 4000),
    ([("Expires", "0"), (CDN, "max-age=3000")], 3000),
    ([(CDN, "max-age=1"), (CDN, "max-age=3000")], 3000),
    ([(CDN, "max-age=3000;x=1, unknown=(a b), s-maxage=2000")], 2000),
    # Malformed or empty: as if it were not there.
    ([(CC, "max-age=1000"), (WEIR, "max-age=2000, &&&"), (CDN, "max-age=3000")], 3000),
    ([(CC, "max-age=1000"), (CDN, "Max-Age=3000")], 1000),
    ([(CC, "max-age=1000"), (CDN, "")], 1000),
    ([(CC, "max-age=1000"), (CDN, "no-store,")], 1000),
    ([(CC, "max-age=1000"), (SURROGATE, 'content="ESI/1.0"')], 1000),
    ([(CC, "max-age=1000"), (SURROGATE, "no-store;other")], 1000),
    # What they forbid, whatever Cache-Control says.
    ([(CC, "max-age=1000"), (WEIR, "no-store")], None),
    ([(CC, "max-age=1000"), (CDN, "private")], None),
    ([(CC, "max-age=1000"), (CDN, "no-cache")], None),
    ([(CC, "max-age=1000"), (CDN, "max-age=0")], None),
    ([(CC, "max-age=1000"), (CDN, 'max-age="3000"')], None),
    ([(CC, "max-age=1000"), (CDN, "public")], None),
    ([(CC, "max-age=1000"), (SURROGATE, "no-store")], None),
    ([(CC, "max-age=1000"), (SURROGATE, "no-store-remote, max-age=4000")], None),
    ([(CDN, "max-age=3000"), ("Age", "3000")], None),
], ids=str)
def test_which_field_decides(start, fields, ttl_s):
    got = ttl_of(start, fields)
    assert got is None if ttl_s is None else ttl_s - 4 <= got <= ttl_s


def test_what_speaks_to_weir_alone_goes_no_further(start):
    fields = [(CC, "max-age=5"), (WEIR, "max-age=60"), (CDN, "max-age=70"), (SURROGATE, "max-age=80")]
    origin = start.origin({"/a": respond(200, b"x", fields), "/pass": respond(200, b"x", [(WEIR, "no-store")])})
    weir = start.weir(origin)
    for target in ("/a", "/a", "/pass"):
        response = weir.get(target)
        assert not response.has(WEIR) and not response.has(SURROGATE)
        assert response.field(CDN) == (None if target == "/pass" else "max-age=70")
        assert response.field(CC) == (None if target == "/pass" else "max-age=5")
    weir.wait_cache(hits=1, misses=2)


def test_in_trailers_they_say_nothing_and_go_no_further(start):
    trailers = [(WEIR, "no-store"), (CDN, "no-store"), (SURROGATE, "no-store"), ("X-Own", "kept")]
    origin = start.origin(chunked(b"x", fields=[(CC, "max-age=60")], trailers=trailers))
    weir = start.weir(origin)
    first, second = weir.get("/a", [("TE", "trailers")]), weir.get("/a")
    assert first.trailers == [("X-Own", "kept")] and second.cache_status()["hit"] is True
    weir.wait_cache(hits=1)


@pytest.mark.parametrize("name", [WEIR, SURROGATE])
@pytest.mark.parametrize("anew", [False, True])
def test_a_304_keeps_what_it_does_not_bring_anew(start, name, anew):
    fields = [(CC, "no-store"), ("ETag", '"v"')]
    news = fields + ([(name, "max-age=50")] if anew else [])
    origin = start.origin([respond(200, b"x", fields + [(name, "max-age=100")]), respond(304, fields=news)])
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    weir.advance(110)
    again = weir.get("/a")
    assert again.body == b"x" and again.cache_status()["fwd-status"] == 304 and not again.has(name)
    wanted_s = 50 if anew else 100
    ttl_s = weir.get("/a").cache_status()["ttl"]
    assert wanted_s - 4 <= ttl_s <= wanted_s
    assert len(origin.requests) == 2
    weir.wait_cache(hits=1, revalidated=1)


def test_a_304_that_forbids_storing(start):
    fields = [(CC, "max-age=1000"), ("ETag", '"v"')]
    origin = start.origin([respond(200, b"x", fields + [(WEIR, "max-age=100")]),
                           respond(304, fields=fields + [(WEIR, "no-store")]), respond(200, b"y", fields)])
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    weir.advance(110)
    assert weir.get("/a").body == b"x"
    assert weir.get("/a").body == b"y"
    weir.wait_cache(hits=0, revalidated=1)


def test_authorization_needs_the_targeted_fields_word(start):
    origin = start.origin({"/cc": respond(200, b"x", [(CC, "public"), (CDN, "max-age=60")]),
                           "/cdn": respond(200, b"x", [(CDN, "public, max-age=60")])})
    weir = start.weir(origin)
    for target, hit in (("/cc", False), ("/cdn", True)):
        for _ in range(2):
            response = weir.get(target, [("Authorization", "Basic eDp5")])
        assert ("hit" in response.cache_status()) is hit
    weir.wait_cache(hits=1)
