"""Validation (RFC 9111 section 4.3): what the origin is asked, and what a 304 or a HEAD does to what is stored."""

import pytest

from weirtest import cacheable, chunked, held, raw, respond

MODIFIED = "Tue, 15 Nov 1994 12:45:26 GMT"
LATER = "Wed, 16 Nov 1994 12:45:26 GMT"
FRESH = ("Cache-Control", "max-age=60")


def tagged(tag, body, *fields):
    return respond(200, body, [FRESH, ("ETag", tag)] + list(fields))


def not_modified(*fields):
    return respond(304, fields=[FRESH] + list(fields))


def stale(start, first, *scripts, advance=70, **more):
    """A weir that has stored /a and found it stale, and an origin that goes on with these scripts."""
    origin = start.origin([first] + list(scripts))
    weir = start.weir(origin, clock=True, **more)
    assert weir.get("/a").status == 200
    weir.advance(advance)
    return origin, weir


# Clients' conditions while the origin is asked --------------------------------------------------


@pytest.mark.parametrize("fields, status", [
    ([("If-None-Match", '"v1"')], 304), ([("If-None-Match", 'W/"v1"')], 304), ([("If-None-Match", '"x", "v1"')], 304),
    ([("If-None-Match", "*")], 304), ([("If-None-Match", '"v0"')], 200), ([("If-Modified-Since", MODIFIED)], 304),
    ([("If-Modified-Since", "Mon, 14 Nov 1994 12:45:26 GMT")], 200),
    ([("If-None-Match", '"v0"'), ("If-Modified-Since", LATER)], 200),
    ([("If-None-Match", '"v1"'), ("If-Modified-Since", "Mon, 14 Nov 1994 12:45:26 GMT")], 304)], ids=str)
def test_a_clients_condition_is_answered_from_the_freshened_one(start, fields, status):
    validators = [("ETag", '"v1"'), ("Last-Modified", MODIFIED)]
    origin, weir = stale(start, respond(200, b"one", [FRESH] + validators), not_modified(("ETag", '"v1"'), ("X-Own", "n")))
    response = weir.get("/a", fields)
    assert response.status == status and response.body == (b"" if status == 304 else b"one")
    assert response.field("ETag") == '"v1"' and response.field("X-Own") == "n"
    assert response.cache_status()["fwd-status"] == 304
    request = origin.requests[1]
    assert request.all("If-None-Match") == ['"v1"'] and request.all("If-Modified-Since") == [MODIFIED]
    weir.wait_cache(revalidated=1, objects=1)


def test_a_clients_condition_is_answered_from_the_new_one(start):
    origin, weir = stale(start, tagged('"v1"', b"one"), tagged('"v2"', b"two"), tagged('"v3"', b"three"))
    response = weir.get("/a", [("If-None-Match", '"v2"')])
    assert response.status == 304 and response.cache_status()["fwd-status"] == 200
    assert origin.requests[1].field("If-None-Match") == '"v1"'
    assert weir.get("/a").body == b"two"
    weir.advance(70)
    response = weir.get("/a", [("If-None-Match", '"v1"')])
    assert response.status == 200 and response.body == b"three" and "fwd-status" not in response.cache_status()
    weir.wait_cache(stored=3, objects=1, misses=3)


def test_a_condition_for_what_is_not_stored_is_not_sent_on(start):
    origin = start.origin(tagged('"v1"', b"one"))
    weir = start.weir(origin)
    response = weir.get("/a", [("If-None-Match", '"v1"'), ("If-Modified-Since", MODIFIED)])
    assert response.status == 304 and response.cache_status() == {"fwd": "uri-miss", "fwd-status": 200, "stored": True}
    assert not origin.requests[0].has("If-None-Match") and not origin.requests[0].has("If-Modified-Since")
    assert weir.get("/a").body == b"one"
    weir.wait_cache(hits=1, misses=1, stored=1)


@pytest.mark.parametrize("field", [("If-Match", '"v0"'), ("If-Unmodified-Since", "Mon, 14 Nov 1994 12:45:26 GMT")])
def test_conditions_that_only_the_origin_judges_pass_by(start, field):
    origin = start.origin([tagged('"v1"', b"one"), respond(412, b"no")])
    weir = start.weir(origin)
    weir.get("/a")
    assert weir.get("/a", [field]).status == 412
    assert origin.requests[1].field(field[0]) == field[1]
    weir.wait_cache(passes=1, objects=1)


# A 304 from the origin --------------------------------------------------------------------------


def test_what_a_304_updates_and_what_it_does_not(start):
    first = tagged('"v1"', b"one", ("Content-Type", "a/b"), ("Content-Encoding", "x"), ("X-Gone", "stays"),
                   ("X-Lines", "1"), ("X-Lines", "2"), ("Set-Cookie", "a=1"))
    second = respond(304, fields=[("Cache-Control", "max-age=1000"), ("ETag", '"v1"'), ("Content-Type", "c/d"),
                                  ("Content-Encoding", "y"), ("X-Lines", "3"), ("X-New", "new"), ("Connection", "X-Hop"),
                                  ("X-Hop", "no"), ("Content-Range", "bytes 0-1/2"), ("Age", "5")])
    origin, weir = stale(start, first, second)
    asked = weir.get("/a")
    weir.advance(500)
    for response in (asked, weir.get("/a")):
        assert response.body == b"one" and response.field("Content-Type") == "c/d"
        assert response.field("Content-Encoding") == "x" and response.field("X-Gone") == "stays"
        assert response.all("X-Lines") == ["3"] and response.field("X-New") == "new"
        assert not response.has("X-Hop") and not response.has("Content-Range")
        assert response.all("Cache-Control") == ["max-age=1000"] and response.field("Content-Length") == "3"
    assert 505 <= int(response.field("Age")) <= 510 and 490 <= response.cache_status()["ttl"] <= 495
    weir.wait_cache(revalidated=1, hits=1, objects=1)


def test_a_304_about_another_response(start):
    """Asked again without a condition, on the same connection."""
    for answer in (not_modified(("ETag", '"v9"')), not_modified(("Last-Modified", LATER))):
        origin, weir = stale(start, respond(200, b"one", [FRESH, ("ETag", '"v1"'), ("Last-Modified", MODIFIED)]), answer,
                             tagged('"v2"', b"two"))
        assert weir.get("/a").body == b"two"
        assert not origin.requests[2].has("If-None-Match") and origin.requests[2].connection is origin.requests[1].connection
        weir.wait_cache(revalidated=0, misses=2, objects=1)


def test_a_304_again_where_no_condition_was_sent(start):
    """Passed on as it is, and neither stored nor a reason to ask once more."""
    origin, weir = stale(start, tagged('"v1"', b"one"), not_modified(("ETag", '"v9"')), not_modified(("ETag", '"v9"')))
    assert weir.get("/a").status == 304
    assert len(origin.requests) == 3
    weir.wait_cache(revalidated=0, stored=1)


def test_a_304_that_forbids_storing(start):
    origin, weir = stale(start, tagged('"v1"', b"one"), respond(304, fields=[("ETag", '"v1"'), ("Cache-Control", "no-store")]),
                         tagged('"v1"', b"one"))
    assert weir.get("/a").body == b"one"
    weir.wait_cache(objects=0)
    assert weir.get("/a").cache_status()["fwd"] == "uri-miss"


def test_it_is_gone_at_once_that_a_304_forbids_to_store(start):
    _, weir = stale(start, tagged('"v1"', b"one"), respond(304, fields=[("ETag", '"v1"'), ("Cache-Control", "no-store")]),
                    tagged('"v1"', b"one"))
    client = weir.client()
    assert client.get("/a").body == b"one"
    assert client.get("/a").cache_status()["fwd"] == "uri-miss"
    weir.wait_cache(revalidated=1, misses=2)


def test_a_200_with_the_same_tag_replaces(start):
    origin, weir = stale(start, tagged('"v1"', b"one", ("X-Own", "old")), tagged('"v1"', b"two"))
    assert weir.get("/a").body == b"two"
    response = weir.get("/a")
    assert response.body == b"two" and not response.has("X-Own")
    weir.wait_cache(stored=2, objects=1, hits=1)


@pytest.mark.parametrize("status", [500, 503, 505])
def test_an_error_while_validating_is_passed_on_and_what_is_stored_stays(start, status):
    origin, weir = stale(start, tagged('"v1"', b"one"), respond(status, b"broken"), not_modified(("ETag", '"v1"')))
    response = weir.get("/a")
    assert response.status == status and response.body == b"broken" and response.cache_status()["fwd"] == "stale"
    weir.wait_cache(objects=1)
    assert weir.get("/a").body == b"one"
    assert origin.requests[2].field("If-None-Match") == '"v1"'
    weir.wait_cache(revalidated=1, misses=2)


def test_all_who_wait_are_given_the_freshened_one(start):
    origin, weir = stale(start, tagged('"v1"', b"one"))
    gate = origin.gate()
    origin.script = [held(gate, not_modified(("ETag", '"v1"'), ("X-Own", "new")))]
    clients = [weir.client() for _ in range(10)]
    clients[0].request("GET", "/a")
    gate.wait_reached()
    for client in clients[1:]:
        client.request("GET", "/a")
    weir.wait_cache(waiters=9)
    gate.open()
    answers = [client.read_response() for client in clients]
    assert {(answer.body, answer.field("X-Own")) for answer in answers} == {(b"one", "new")}
    assert [answer.cache_status().get("collapsed", False) for answer in answers] == [False] + [True] * 9
    assert {answer.cache_status()["fwd"] for answer in answers} == {"stale"}
    weir.wait_cache(revalidated=1, coalesced=9)


# Variants ---------------------------------------------------------------------------------------


def variants(request, connection):
    """Two languages have one representation; a question about it is answered with a 304."""
    lang = request.field("X-Lang")
    tag = '"x"' if lang in ("de", "at") else f'"{lang}"'
    fields = [FRESH, ("Vary", "X-Lang"), ("ETag", tag), ("X-Serial", str(request.connection.origin.accepts))]
    if tag in [member.strip() for member in (request.field("If-None-Match") or "").split(",")]:
        respond(304, fields=fields)(request, connection)
    else:
        respond(200, f"body of {tag}".encode(), fields)(request, connection)


def test_a_304_selects_a_stored_variant(start):
    origin = start.origin(variants)
    weir = start.weir(origin)
    client = weir.client()
    for lang in ("en", "de"):
        assert client.get("/a", [("X-Lang", lang)]).cache_status()["fwd"] in ("uri-miss", "vary-miss")
    response = client.get("/a", [("X-Lang", "at")])
    assert response.body == b'body of "x"'
    assert response.cache_status() == {"fwd": "vary-miss", "fwd-status": 304, "stored": True}
    assert origin.requests[1].field("If-None-Match") == '"en"'
    assert origin.requests[2].field("If-None-Match") == '"x", "en"' and not origin.requests[2].has("If-Modified-Since")
    for lang, body in (("at", b'body of "x"'), ("de", b'body of "x"'), ("en", b'body of "en"')):
        response = client.get("/a", [("X-Lang", lang)])
        assert response.body == body and response.cache_status()["hit"] is True
    weir.wait_cache(revalidated=1, misses=2, hits=3, objects=3)
    assert len(origin.requests) == 3


def test_another_variant_is_fetched_whole(start):
    origin = start.origin(variants)
    weir = start.weir(origin)
    for lang in ("en", "de", "fr"):
        response = weir.get("/a", [("X-Lang", lang)])
    assert response.body == b'body of "fr"' and response.cache_status() == {"fwd": "vary-miss", "stored": True}
    weir.wait_cache(objects=3, misses=3)


def test_a_bounded_number_of_variants_is_asked_about(start):
    """The newest eight with a well-formed entity-tag."""
    def script(request, connection):
        lang = request.field("X-Lang")
        tag = lang if lang == "bad" else f'"{lang}"'
        respond(200, b"x", [FRESH, ("Vary", "X-Lang"), ("ETag", tag)])(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin)
    for lang in [str(number) for number in range(10)] + ["bad", "last"]:
        weir.get("/a", [("X-Lang", lang)])
    assert origin.requests[-1].field("If-None-Match") == '"9", "8", "7", "6", "5", "4", "3"'
    weir.wait_cache(objects=12)


@pytest.mark.parametrize("fields", [[], [("ETag", '"z"')], [("ETag", '"en"'), ("Vary", "X-Lang, X-More")]], ids=str)
def test_a_304_that_names_none_of_the_variants(start, fields):
    """Asked again, whole; nothing is updated."""
    origin = start.origin([respond(200, b"en", [FRESH, ("Vary", "X-Lang"), ("ETag", '"en"'), ("X-Own", "old")]),
                           respond(304, fields=fields + [("X-Own", "new")]),
                           respond(200, b"de", [FRESH, ("Vary", "X-Lang"), ("ETag", '"de"')])])
    weir = start.weir(origin)
    weir.get("/a", [("X-Lang", "en")])
    assert weir.get("/a", [("X-Lang", "de")]).body == b"de"
    assert not origin.requests[2].has("If-None-Match")
    assert weir.get("/a", [("X-Lang", "en")]).field("X-Own") == "old"
    weir.wait_cache(objects=2, misses=2, hits=1)


@pytest.mark.parametrize("tag, updated", [('"x"', True), ('W/"x"', False)])
def test_a_304_updates_all_with_its_strong_tag(start, tag, updated):
    def script(request, connection):
        fields = [("Cache-Control", "max-age=60"), ("Vary", "X-Lang"), ("ETag", tag)]
        if request.has("If-None-Match") and request.has("X-Again"):
            respond(304, fields=[("Cache-Control", "max-age=1000"), ("Vary", "X-Lang"), ("ETag", tag), ("X-Own", "new")]
                    )(request, connection)
        else:
            respond(200, b"x", fields)(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin, clock=True)
    for lang in ("a", "b", "c"):
        weir.get("/a", [("X-Lang", lang)])
    weir.advance(70)
    assert weir.get("/a", [("X-Lang", "a"), ("X-Again", "1")]).field("X-Own") == "new"
    for lang in ("b", "c"):
        response = weir.get("/a", [("X-Lang", lang)])
        assert (response.field("X-Own") == "new") == updated
        assert ("hit" in response.cache_status()) == updated
    weir.wait_cache(revalidated=1, hits=2 if updated else 0, objects=3)


# HEAD -------------------------------------------------------------------------------------------


def head(start, stored, answer, advance=70):
    """A HEAD goes to the origin while a response for it is stored."""
    origin, weir = stale(start, stored, answer, tagged('"new"', b"new"), advance=advance)
    response = weir.client().fetch("HEAD", "/a", [("Cache-Control", "no-cache")])
    assert response.status == 200 and origin.requests[1].method == "HEAD"
    assert not origin.requests[1].has("If-None-Match")
    return origin, weir, response


@pytest.mark.parametrize("first, answer", [
    (tagged('"v1"', b"one"), tagged('"v1"', b"one", ("X-Own", "new"))),
    (respond(200, b"one", [FRESH, ("Last-Modified", MODIFIED)]),
     respond(200, b"one", [FRESH, ("Last-Modified", MODIFIED), ("X-Own", "new")])),
    (tagged('"v1"', b"one"), respond(200, b"one", [FRESH, ("X-Own", "new")])),
    (tagged('"v1"', b"one"), chunked(b"one", fields=[FRESH, ("ETag", '"v1"'), ("X-Own", "new")])),
], ids=["etag", "modified", "length", "etag without length"])
def test_a_head_updates_what_it_confirms(start, first, answer):
    origin, weir, response = head(start, first, answer)
    assert response.cache_status()["fwd"] == "stale"
    response = weir.get("/a")
    assert response.body == b"one" and response.field("X-Own") == "new"
    assert response.cache_status()["hit"] is True and response.cache_status()["ttl"] >= 55
    weir.wait_cache(hits=1, misses=2, objects=1)


@pytest.mark.parametrize("answer", [tagged('"v2"', b"one"), tagged('"v1"', b"longer"),
                                    respond(200, b"one", [FRESH, ("ETag", '"v1"'), ("Last-Modified", MODIFIED)])],
                         ids=["etag", "length", "modified"])
def test_a_head_makes_stale_what_it_contradicts(start, answer):
    origin, weir, response = head(start, tagged('"v1"', b"one"), answer, advance=10)
    assert response.cache_status()["fwd"] == "request"
    response = weir.get("/a")
    assert response.body == b"new" and response.cache_status()["fwd"] == "stale"
    assert origin.requests[2].field("If-None-Match") == '"v1"'
    weir.wait_cache(hits=0, misses=3, objects=1)


def test_a_head_that_tells_nothing_changes_nothing(start):
    origin, weir, _ = head(start, tagged('"v1"', b"one", ("X-Own", "old")), chunked(b"two", fields=[("X-Own", "new")]),
                           advance=10)
    response = weir.get("/a")
    assert response.cache_status()["hit"] is True and response.field("X-Own") == "old"


@pytest.mark.parametrize("status", [404, 500])
def test_a_head_with_another_status_changes_nothing(start, status):
    origin, weir = stale(start, tagged('"v1"', b"one"), respond(status, b"longer"), advance=10)
    assert weir.client().fetch("HEAD", "/a", [("Cache-Control", "no-cache")]).status == status
    assert weir.get("/a").cache_status()["hit"] is True


def test_a_head_of_another_variant_changes_nothing(start):
    origin = start.origin(respond(200, b"x", [FRESH, ("Vary", "X-Lang"), ("ETag", '"one"')]))
    weir = start.weir(origin)
    weir.get("/a", [("X-Lang", "en")])
    origin.script = respond(200, b"longer", [FRESH, ("Vary", "X-Lang"), ("ETag", '"two"')])
    response = weir.client().fetch("HEAD", "/a", [("X-Lang", "de")])
    assert response.cache_status()["fwd"] == "vary-miss"
    assert weir.get("/a", [("X-Lang", "en")]).cache_status()["hit"] is True


def test_a_head_that_passes_by_changes_nothing(start):
    origin, weir = stale(start, tagged('"v1"', b"one"), tagged('"v2"', b"longer"), advance=10)
    assert weir.client().fetch("HEAD", "/a", [("If-Match", '"v1"')]).status == 200
    assert weir.get("/a").cache_status()["hit"] is True


def test_an_old_head_does_not_update_a_newer_response(start):
    """It was sent before the response came that is stored now."""
    origin = start.origin([tagged('"v1"', b"one", ("X-Own", "1"))])
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    weir.advance(70)
    gate = origin.gate()
    origin.script = [held(gate, tagged('"v1"', b"one", ("X-Own", "old"))), tagged('"v1"', b"one", ("X-Own", "2"))]
    slow = weir.client()
    slow.request("HEAD", "/a", [("Cache-Control", "no-cache")])
    gate.wait_reached()
    assert weir.get("/a").field("X-Own") == "2"
    gate.open()
    slow.read_response("HEAD")
    assert weir.get("/a").field("X-Own") == "2"
    weir.wait_cache(hits=1, objects=1)


# Cache-Status -----------------------------------------------------------------------------------


def test_cache_status_of_others_is_kept_in_front(start):
    origin = start.origin(respond(200, b"x", [FRESH, ("Cache-Status", "far; hit; ttl=5"),
                                              ("Cache-Status", 'near; fwd=miss; detail="a, b"')]))
    weir = start.weir(origin)
    for _ in range(2):
        response = weir.get("/a")
        assert response.all("Cache-Status")[:2] == ["far; hit; ttl=5", 'near; fwd=miss; detail="a, b"']
        assert len(response.all("Cache-Status")) == 3
    assert response.cache_status()["hit"] is True


@pytest.mark.parametrize("asks", ["no-cache", "max-age=0", "min-fresh=100"])
def test_a_fresh_response_that_the_request_does_not_want(start, asks):
    origin = start.origin(tagged('"v1"', b"one"))
    weir = start.weir(origin)
    weir.get("/a")
    assert weir.get("/a", [("Cache-Control", asks)]).cache_status() == {"fwd": "request", "stored": True}
    assert origin.requests[1].field("If-None-Match") == '"v1"'


def test_why_a_request_with_no_store_goes_to_the_origin(start):
    origin = start.origin(tagged('"v1"', b"one"))
    weir = start.weir(origin, clock=True)
    fields = [("Cache-Control", "no-store")]
    assert weir.get("/a", fields).cache_status() == {"fwd": "uri-miss", "detail": "request-no-store"}
    weir.get("/a")
    assert weir.get("/a", fields).cache_status()["hit"] is True
    weir.advance(70)
    assert weir.get("/a", fields).cache_status() == {"fwd": "stale", "detail": "request-no-store"}
    weir.wait_cache(misses=3, hits=1, objects=1)


def test_nothing_behind_the_origin_changes_a_broken_validation(start):
    """A connection that breaks under a validation: an error, and what is stored is asked about again."""
    origin, weir = stale(start, tagged('"v1"', b"one"), raw(b"HTTP/1.1 304 Not Mod", "close"), not_modified(("ETag", '"v1"')))
    assert weir.get("/a").status == 502
    assert weir.get("/a").body == b"one"
    weir.wait_cache(revalidated=1, local=1, objects=1)


def test_cacheable_of_another_route_is_not_touched(start):
    origin = start.origin({"/a": cacheable(b"a"), "/b": cacheable(b"b")})
    weir = start.weir(origin)
    weir.get("/a")
    weir.get("/b")
    weir.client().fetch("HEAD", "/b", [("Cache-Control", "no-cache")])
    assert weir.get("/a").cache_status()["hit"] is True
    weir.wait_cache(objects=2)
