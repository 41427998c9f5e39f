"""What a route changes of the caching rules: bounds, the guess, times by status, overrides, cookies."""

import pytest

from weirtest import respond

SILENT = ()
COOKIE = ("Set-Cookie", "a=b")


def control(text):
    return [("Cache-Control", text)]


def ask_twice(start, fields, route_cache, status=200, request=()):
    """Both answers to a GET; the counters agree with the second."""
    origin = start.origin(respond(status, b"x", fields))
    weir = start.weir(origin, clock=True, route_cache=route_cache)
    client = weir.client()
    first, second = client.get("/a", request), client.get("/a", request)
    hit = "hit" in second.cache_status()
    assert ("stored" in first.cache_status()) is hit and len(origin.requests) == (1 if hit else 2)
    weir.wait_cache(hits=int(hit), stored=int(hit))
    return first, second


def ttl_of(start, fields, route_cache, status=200):
    got = ask_twice(start, fields, route_cache, status)[1].cache_status()
    return got["ttl"] if "hit" in got else None


def about(got, wanted_s):
    return got is None if wanted_s is None else got is not None and wanted_s - 4 <= got <= wanted_s


@pytest.mark.parametrize("fields, route_cache, ttl_s", [
    (control("max-age=10"), {"ttl_min": "100s"}, 100),
    (control("max-age=0"), {"ttl_min": "100s"}, 100),
    (control("max-age=200"), {"ttl_min": "100s"}, 200),
    (control("max-age=200"), {"ttl_max": "100s"}, 100),
    (control("max-age=50"), {"ttl_max": "100s"}, 50),
    (control("max-age=5000") + [("Age", "1000")], {"ttl_max": "100s"}, 100),
    (control("max-age=1500") + [("Age", "1000")], {"ttl_min": "1000s"}, 1000),
    (SILENT, {"ttl": "10s", "ttl_min": "100s"}, 100),
    (SILENT, {"ttl": "1000s", "ttl_max": "100s"}, 100),
    (SILENT, {"ttl_min": "100s"}, None),
    (control("no-store"), {"ttl_min": "100s"}, None),
    (control("private"), {"ttl_min": "100s"}, None),
    (control("no-cache"), {"ttl_min": "100s"}, None),
    ([("CDN-Cache-Control", "max-age=10")], {"ttl_min": "100s"}, 100),
], ids=str)
def test_bounds(start, fields, route_cache, ttl_s):
    assert about(ttl_of(start, fields, route_cache), ttl_s)


@pytest.mark.parametrize("route_cache, ttl_s", [
    ({}, 100), ({"heuristic_percent": 50}, 500), ({"heuristic_percent": 0}, None),
    ({"heuristic_percent": 100, "heuristic_max": "300s"}, 300),
], ids=str)
def test_the_guess(start, route_cache, ttl_s):
    fields = [("Date", "Tue, 15 Nov 2044 09:00:00 GMT"), ("Last-Modified", "Tue, 15 Nov 2044 08:43:20 GMT")]
    assert about(ttl_of(start, fields, route_cache), ttl_s)


@pytest.mark.parametrize("status, fields, ttl_s", [
    (404, SILENT, 100), (503, SILENT, 50), (302, SILENT, 70), (410, SILENT, 20), (200, SILENT, None),
    (500, SILENT, None), (503, control("max-age=200"), 200), (503, control("no-store"), None), (503, [COOKIE], None),
], ids=str)
def test_times_by_status(start, status, fields, ttl_s):
    route_cache = {"ttl": "10s", "negative_ttl": "20s", "status_ttl": {404: "100s", 503: "50s", 302: "70s", 200: "0s"}}
    assert about(ttl_of(start, fields, route_cache, status), ttl_s)


def test_an_error_is_held_for_its_time_only(start):
    origin = start.origin([respond(503, b"down"), respond(200, b"up", control("max-age=60"))])
    weir = start.weir(origin, clock=True, route_cache={"status_ttl": {503: "20s"}})
    for _ in range(3):
        assert weir.get("/a").status == 503
    weir.advance(21)
    assert weir.get("/a").body == b"up"
    assert len(origin.requests) == 2
    weir.wait_cache(hits=2)


ALL = ["no-store", "private", "no-cache", "freshness", "must-revalidate", "vary"]


@pytest.mark.parametrize("words, fields, ttl_s", [
    (["no-store"], control("no-store, max-age=60"), 60),
    (["private"], control("private, max-age=60"), 60),
    (["no-cache"], control("no-cache, max-age=60"), 60),
    (["freshness"], control("max-age=60"), 100),
    (["freshness"], [("Expires", "0")], 100),
    (["freshness"], [("Weir-Cache-Control", "max-age=60")], 100),
    (["must-revalidate"], control("must-revalidate, max-age=60"), 60),
    (["vary"], control("max-age=60") + [("Vary", "*")], 60),
    (["no-store", "freshness"], control("no-store, max-age=60"), 100),
    (ALL, control("no-store, no-cache, private, max-age=0") + [("Vary", "*"), ("Expires", "0")], 100),
], ids=str)
def test_overrides_are_seen(start, words, fields, ttl_s):
    first, second = ask_twice(start, fields, {"override": words, "ttl": "100s"})
    assert about(second.cache_status()["ttl"], ttl_s)
    assert first.cache_status()["detail"] == second.cache_status()["detail"] == "override"


def test_what_mattered_to_nothing_is_not_told(start):
    first, second = ask_twice(start, control("max-age=60"), {"override": ALL[:3] + ALL[4:]})
    assert "hit" in second.cache_status()
    assert "detail" not in first.cache_status() and "detail" not in second.cache_status()


@pytest.mark.parametrize("words, fields, detail", [
    (["private"], control("no-store, max-age=60"), "no-store"),
    (["no-store"], control("private, max-age=60"), "private"),
    (["no-store"], control("no-store"), "no-freshness"),
    (["private"], control("max-age=60") + [("Vary", "*")], "vary-star"),
    (ALL, control("max-age=60") + [COOKIE], "set-cookie"),
], ids=str)
def test_an_override_is_for_its_word_only(start, words, fields, detail):
    first, second = ask_twice(start, fields, {"override": words})
    assert first.cache_status()["detail"] == second.cache_status()["detail"] == detail


def test_one_response_for_all_without_vary(start):
    def by_language(request, connection):
        body = (request.field("Accept-Language") or "none").encode()
        respond(200, body, control("max-age=60") + [("Vary", "Accept-Language")])(request, connection)

    origin = start.origin(by_language)
    weir = start.weir(origin, route_cache={"override": ["vary"]})
    for language in ("de", "en", "fr"):
        response = weir.get("/a", [("Accept-Language", language)])
        assert response.body == b"de" and response.field("Vary") == "Accept-Language"
    assert len(origin.requests) == 1
    weir.wait_cache(hits=2, objects=1)


def test_an_override_survives_a_304(start):
    fields = control("private, max-age=60") + [("ETag", '"v"'), ("Vary", "Accept")]
    origin = start.origin([respond(200, b"x", fields), respond(304, fields=fields)])
    weir = start.weir(origin, clock=True, route_cache={"override": ["private", "vary"]})
    weir.get("/a", [("Accept", "a/b")])
    weir.advance(70)
    assert weir.get("/a", [("Accept", "c/d")]).cache_status()["fwd-status"] == 304
    third = weir.get("/a", [("Accept", "e/f")])
    assert third.cache_status()["hit"] is True and third.cache_status()["detail"] == "override"
    weir.wait_cache(hits=1, revalidated=1, objects=1)


def test_an_override_is_seen_on_stale_ones_too(start):
    """RFC 9211 section 2.8: detail is one token."""
    kept = respond(200, b"x", control("no-store, max-age=60, stale-while-revalidate=20, stale-if-error=60") + [("ETag", '"v"')])
    origin = start.origin([kept, respond(503), respond(503), kept, respond(304, fields=control("max-age=60"))])
    weir = start.weir(origin, clock=True, route_cache={"override": ["no-store"]})
    client = weir.client()
    assert client.get("/a").cache_status()["detail"] == "override"
    weir.advance(65)
    refreshed = client.get("/a").cache_status()
    assert refreshed["hit"] is True and refreshed["ttl"] < 0 and refreshed["detail"] == "stale-while-revalidate+override"
    weir.wait_cache(refreshes_failed=1)
    weir.advance(30)
    failed = client.get("/a").cache_status()
    assert failed["fwd"] == "stale" and failed["fwd-status"] == 503 and failed["detail"] == "stale-if-error+override"
    assert client.get("/a", [("Cache-Control", "max-stale=90")]).cache_status()["detail"] == "max-stale+override"
    assert client.get("/a").cache_status() == {"fwd": "stale", "stored": True, "detail": "override"}
    # The 304 has no no-store, so nothing is overridden any more.
    assert "detail" not in client.get("/a", [("Cache-Control", "no-cache")]).cache_status()
    weir.wait_cache(stale=3, misses=2, revalidated=1)


@pytest.mark.parametrize("route_cache, fields, stored", [
    ({}, control("max-age=60"), True),
    ({"ttl": "60s"}, SILENT, False),
    ({"ttl": "60s", "set_cookie": "store"}, SILENT, True),
    ({"set_cookie": "refuse"}, control("max-age=60"), False),
    ({"override": ["vary"]}, control("max-age=60"), False),
    ({"override": ["vary"], "set_cookie": "store"}, control("max-age=60"), True),
    ({"override": ["private"], "set_cookie": "store"}, control("private, max-age=60"), True),
    ({"set_cookie": "store"}, control("private, max-age=60"), False),
], ids=str)
def test_cookies(start, route_cache, fields, stored):
    first, second = ask_twice(start, list(fields) + [COOKIE], route_cache)
    assert ("hit" in second.cache_status()) is stored
    assert second.field("Set-Cookie") == "a=b"


def test_the_effective_settings_are_shown(start):
    weir = start.weir(start.origin(respond()), route_cache={
        "status_ttl": {404: "60s", 503: "2s"}, "override": ["vary", "private"], "set_cookie": "refuse",
        "heuristic_percent": 5})
    shown = weir.command("check", "-c", weir.config_path).stdout
    for line in ("status_ttl: {404: 1m, 503: 2s}", "override: [private, vary]", "set_cookie: refuse",
                 "heuristic_percent: 5", "heuristic_max: 1d", "ttl_min: 0s", "ttl_max: 0s"):
        assert f"routes[0].cache.{line}\n" in shown
