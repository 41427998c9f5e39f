"""A field that Connection names is not sent on, yet Vary filed the response under its value: others got the wrong variant."""

import pytest

from weirtest import respond

NAMED = [("Accept-Language", "de"), ("Connection", "Accept-Language")]


def by_language(request, connection):
    language = request.field("Accept-Language") or "default"
    respond(200, language.encode(), [("Vary", "Accept-Language"), ("Cache-Control", "max-age=60")])(
        request, connection)


@pytest.mark.parametrize("named", [
    NAMED,
    [("Accept-Language", "de"), ("Connection", "keep-alive, ACCEPT-LANGUAGE")],
    [("Accept-Language", "de"), ("Connection", "keep-alive"), ("Connection", "accept-language")],
])
def test_others_get_their_own(start, named):
    origin = start.origin(by_language)
    weir = start.weir(origin)
    assert weir.get("/a", named).body == b"default"
    assert not origin.requests[0].has("Accept-Language")
    assert weir.get("/a", [("Accept-Language", "de")]).body == b"de"
    response = weir.get("/a", [("Accept-Language", "de")])
    assert response.body == b"de" and response.cache_status()["hit"] is True
    assert len(origin.requests) == 2


def test_it_does_not_take_a_stored_one_either(start):
    origin = start.origin(by_language)
    weir = start.weir(origin)
    assert weir.get("/a", [("Accept-Language", "de")]).body == b"de"
    assert weir.get("/a", NAMED).body == b"default"
    assert weir.get("/a", [("Accept-Language", "de")]).body == b"de"
    assert len(origin.requests) == 2


def test_keep_alive_and_te_do_not_keep_from_the_cache(start):
    origin = start.origin(by_language)
    weir = start.weir(origin)
    for value in ("keep-alive", "close", "TE, keep-alive"):
        fields = [("Accept-Language", "de"), ("Connection", value)] + ([("TE", "trailers")] if "TE" in value else [])
        assert weir.get("/a", fields).body == b"de"
    weir.wait_cache(hits=2, misses=1)
    assert len(origin.requests) == 1
