"""Stale responses (RFC 9111 section 4.2.4, RFC 5861): while they are refreshed, and when the origin fails."""

import threading

import pytest

from weirtest import cacheable, chunked, held, raw, respond

SWR = "max-age=60, stale-while-revalidate=100"
SIE = "max-age=60, stale-if-error=100"
TAG = ("ETag", '"v1"')


def saying(control, body=b"one", fields=()):
    return respond(200, body, [("Cache-Control", control)] + list(fields))


def stored(start, *scripts, control=SWR, fields=(), **more):
    """A weir that has stored /a for 60 s, and an origin that goes on with these scripts."""
    origin = start.origin([saying(control, fields=fields)] + list(scripts))
    weir = start.weir(origin, clock=True, **more)
    assert weir.get("/a").body == b"one"
    return origin, weir


# stale-while-revalidate -------------------------------------------------------------------------


def test_the_stale_one_at_once_and_the_new_one_behind_it(start):
    origin, weir = stored(start, None)
    gate = origin.gate()
    origin.script = [held(gate, saying(SWR, b"two"))]
    client = weir.client()
    weir.advance(70)
    for _ in range(3):
        response = client.get("/a")
        assert response.body == b"one" and 70 <= int(response.field("Age")) <= 75
        status = response.cache_status()
        assert status.pop("hit") is True and -15 <= status.pop("ttl") <= -10
        assert status == {"detail": "stale-while-revalidate"}
    gate.wait_reached()
    gate.open()
    stats = weir.wait_cache(stored=2, stale=3, fills=0)
    assert stats["cache"]["refreshes"] == 1 and stats["cache"]["refreshes_failed"] == 0
    response = client.get("/a")
    assert response.body == b"two" and response.cache_status()["ttl"] > 50
    assert len(origin.requests) == 2
    stats = weir.wait_cache(hits=1, stale=3, misses=1, objects=1)
    assert stats["requests"]["total"] == 5


def test_behind_the_window_it_is_waited_for(start):
    origin, weir = stored(start, saying(SWR, b"two"), fields=[TAG])
    weir.advance(161)
    response = weir.get("/a")
    assert response.body == b"two" and response.cache_status()["fwd"] == "stale"
    weir.wait_cache(stale=0, misses=2, refreshes=0)


def test_the_routes_default_and_the_origins_word(start):
    origin = start.origin({"/a": cacheable(b"a"), "/b": saying("max-age=60, stale-while-revalidate=0", b"b", [TAG])})
    weir = start.weir(origin, clock=True, route_cache={"stale_while_revalidate": "30s"})
    weir.get("/a")
    weir.get("/b")
    weir.advance(80)
    assert weir.get("/a").cache_status()["detail"] == "stale-while-revalidate"
    assert weir.get("/b").cache_status()["fwd"] == "stale"
    weir.wait_cache(stale=1, refreshes=1)


@pytest.mark.parametrize("forbids", ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"])
def test_never_what_must_be_asked_about(start, forbids):
    origin = start.origin(saying(f"{SWR}, stale-if-error=100, {forbids}", fields=[TAG]))
    weir = start.weir(origin, clock=True, route_cache={"stale_while_revalidate": "1h", "stale_if_error": "1h"})
    weir.get("/a")
    weir.advance(70)
    for fields in ([], [("Cache-Control", "max-stale")], [("Cache-Control", "stale-if-error=100")]):
        weir.advance(70)
        assert "fwd" in weir.get("/a", fields).cache_status()
    weir.wait_cache(stale=0, hits=0, refreshes=0)
    assert len(origin.requests) == 4


@pytest.mark.parametrize("asks", ["no-cache", "max-age=0", "max-age=1000", "min-fresh=1", "max-stale=5"])
def test_a_request_that_wants_none(start, asks):
    origin, weir = stored(start, saying(SWR, b"two"))
    weir.advance(70)
    response = weir.get("/a", [("Cache-Control", asks)])
    assert response.body == b"two" and response.cache_status()["fwd"] == "stale"
    weir.wait_cache(stale=0, refreshes=0)


def test_who_may_not_have_the_stale_one_reads_the_refresh(start):
    origin, weir = stored(start, None)
    gate = origin.gate()
    origin.script = [held(gate, saying(SWR, b"two"))]
    weir.advance(70)
    assert weir.get("/a").body == b"one"
    gate.wait_reached()
    client = weir.client()
    client.request("GET", "/a", [("Cache-Control", "min-fresh=1")])
    weir.wait_cache(waiters=1)
    gate.open()
    response = client.read_response()
    assert response.body == b"two"
    assert response.cache_status()["collapsed"] is True and response.cache_status()["fwd"] == "stale"
    assert len(origin.requests) == 2


def test_a_refresh_asks_with_what_is_stored_and_not_with_the_clients_condition(start):
    origin, weir = stored(start, respond(304, fields=[TAG, ("Cache-Control", SWR), ("X-Own", "new")]), fields=[TAG])
    weir.advance(70)
    client = weir.client()
    fields = [("If-None-Match", '"other"'), ("If-Modified-Since", "Tue, 15 Nov 1994 12:45:26 GMT"),
              ("Range", "bytes=0-1"), ("X-Mine", "yes")]
    response = client.get("/a", fields)
    assert response.status == 206 and response.body == b"on"
    assert response.cache_status()["detail"] == "stale-while-revalidate"
    request = origin.wait_requests(2)
    assert request.field("If-None-Match") == '"v1"' and not request.has("If-Modified-Since")
    assert not request.has("Range") and request.field("X-Mine") == "yes"
    weir.wait_stats(lambda stats: stats["cache"]["fills"] == 0)
    response = client.get("/a")
    assert response.field("X-Own") == "new" and response.cache_status()["ttl"] > 50
    weir.wait_cache(hits=1, stale=1, refreshes=1, refreshes_failed=0, objects=1)


def test_what_a_refresh_stores_bears_its_tags(start):
    origin, weir = stored(start, saying(SWR, b"two", [("Surrogate-Key", "new")]), fields=[("Surrogate-Key", "old")])
    weir.advance(70)
    assert weir.get("/a").body == b"one"
    weir.wait_cache(stored=2, fills=0)
    assert weir.purge(tag="old") == 0
    assert weir.purge(tag="new") == 1


def test_who_wants_nothing_stored_begins_no_refresh(start):
    """RFC 9111 section 5.2.1.5: it may be given what is stored, but its response would not be kept."""
    origin, weir = stored(start, saying(SWR, b"two"))
    weir.advance(70)
    response = weir.get("/a", [("Cache-Control", "no-store")])
    assert response.body == b"one" and response.cache_status()["detail"] == "stale-while-revalidate"
    weir.wait_cache(stale=1, refreshes=0, fills=0)
    assert len(origin.requests) == 1


def test_a_clients_condition_is_answered_from_the_stale_one(start):
    origin, weir = stored(start, saying(SWR, b"two"), fields=[TAG])
    weir.advance(70)
    response = weir.get("/a", [("If-None-Match", '"v1"')])
    assert response.status == 304 and response.cache_status()["hit"] is True
    weir.wait_cache(stale=1, stored=2)


def test_a_head_is_given_the_stale_one_and_a_get_refreshes_it(start):
    origin, weir = stored(start, saying(SWR, b"three"))
    weir.advance(70)
    response = weir.client().fetch("HEAD", "/a")
    assert response.field("Content-Length") == "3" and response.cache_status()["hit"] is True
    assert origin.wait_requests(2).method == "GET"
    start.same_targets = False  # no client has sent this GET
    weir.wait_cache(stored=2, stale=1)
    assert weir.get("/a").body == b"three"


def test_only_if_cached_is_given_the_stale_one(start):
    origin, weir = stored(start, saying(SWR, b"two"))
    weir.advance(70)
    assert weir.get("/a", [("Cache-Control", "only-if-cached")]).body == b"one"
    weir.wait_cache(stored=2, stale=1)


@pytest.mark.parametrize("failure", [
    raw(b"", "close"), raw(b"", "reset"), raw(b"rubbish\r\n\r\n", "close"), respond(503, b"no"),
    respond(500, b"no", [("Cache-Control", "max-age=60")]), raw(b"HTTP/1.1 200 OK\r\nContent-Le", "close"),
    raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nCache-Control: max-age=60\r\n\r\nhalf", "close"),
    respond(429, b"slower")], ids=str)
def test_a_refresh_that_fails_is_nobodys_error(start, failure):
    """The stale one stays in use, and the origin is asked again only after a moment."""
    origin, weir = stored(start, failure, saying(SWR, b"two"))
    assert weir.admin("POST", "/test/clock?hold_ms=70000").status == 200  # the moment is as long as this takes
    client = weir.client()
    assert client.get("/a").body == b"one"
    weir.wait_cache(refreshes=1, refreshes_failed=1)
    for _ in range(5):
        assert client.get("/a").body == b"one"
    assert len(origin.requests) == 2
    weir.advance(3)
    assert client.get("/a").body == b"one"
    weir.wait_cache(stored=2, refreshes=2, refreshes_failed=1)
    assert client.get("/a").body == b"two"
    stats = weir.wait_cache(stale=7, hits=1, misses=1, local=0)
    assert stats["requests"]["status"]["5xx"] == 0


def test_an_origin_that_is_gone_while_refreshing(start):
    origin, weir = stored(start)
    origin.stop()
    weir.advance(70)
    assert weir.get("/a").body == b"one"
    weir.wait_cache(refreshes_failed=1)
    assert weir.get("/a").body == b"one"
    weir.advance(100)
    assert weir.get("/a").status == 502
    weir.wait_cache(stale=2, local=1)


@pytest.mark.parametrize("answer", [respond(404, b"gone"), saying("no-store", b"two"), saying("private", b"two")],
                         ids=["404", "no-store", "private"])
def test_what_a_refresh_shows_to_be_gone_is_not_delivered_any_more(start, answer):
    origin, weir = stored(start, answer, answer)
    weir.advance(70)
    assert weir.get("/a").body == b"one"
    weir.wait_cache(refreshes_failed=1, objects=0, fills=0)
    assert weir.get("/a").body != b"one"
    assert len(origin.requests) == 3


def test_lifetime_0_with_a_window(start):
    """Each answer is given once more while the next one is fetched."""
    origin = start.origin([saying("max-age=0, stale-while-revalidate=60", body) for body in (b"1", b"2", b"3")])
    weir = start.weir(origin)
    client = weir.client()
    assert client.get("/a").body == b"1"
    assert client.get("/a").body == b"1"
    weir.wait_cache(stored=2)
    assert client.get("/a").body == b"2"
    weir.wait_cache(stored=3, refreshes=2, refreshes_failed=0)


def test_a_hundred_clients_on_two_workers_one_refresh(start):
    origin, weir = stored(start, None)
    gate = origin.gate()
    origin.script = [held(gate, saying(SWR, b"two"))]
    weir.advance(70)
    clients = [weir.client() for _ in range(100)]
    for client in clients:
        client.request("GET", "/a")
    assert {client.read_response().body for client in clients} == {b"one"}
    gate.open()
    weir.wait_cache(stored=2, stale=100, refreshes=1)
    assert len(origin.requests) == 2


def test_a_hundred_clients_while_the_refresh_ends(start):
    """However the lookups and the end of the refresh fall: no second one begins."""
    origin, weir = stored(start, saying(SWR, b"two"))
    weir.advance(70)
    bodies = []

    def ask():
        client = weir.client()
        for _ in range(20):
            bodies.append(client.get("/a").body)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(bodies) <= {b"one", b"two"} and len(bodies) == 160
    weir.wait_cache(stored=2, refreshes=1)
    assert len(origin.requests) == 2


def test_variants_are_refreshed_one_by_one(start):
    def script(request, connection):
        fields = [("Vary", "X-Lang"), ("Cache-Control", SWR)]
        respond(200, f"{request.field('X-Lang')}{len(origin.requests)}".encode(), fields)(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin, clock=True)
    for lang in ("de", "en"):
        weir.get("/a", [("X-Lang", lang)])
    weir.advance(70)
    assert weir.get("/a", [("X-Lang", "en")]).body == b"en2"
    weir.wait_cache(stored=3)
    assert origin.requests[2].field("X-Lang") == "en"
    assert weir.get("/a", [("X-Lang", "en")]).cache_status()["ttl"] > 50
    assert weir.get("/a", [("X-Lang", "de")]).body == b"de1"
    weir.wait_cache(stored=4, objects=2, refreshes=2)


def test_draining_does_not_wait_for_a_refresh(start):
    origin, weir = stored(start, None)
    gate = origin.gate()
    origin.script = [held(gate, saying(SWR, b"two"))]
    weir.advance(70)
    assert weir.get("/a").body == b"one"
    gate.wait_reached()
    weir.signal()
    assert weir.wait_exit() == 0


def test_draining_waits_for_who_reads_a_refresh(start):
    origin, weir = stored(start, None)
    gate = origin.gate()
    origin.script = [held(gate, saying(SWR, b"two"))]
    weir.advance(70)
    assert weir.get("/a").body == b"one"
    gate.wait_reached()
    client = weir.client()
    client.request("GET", "/a", [("Cache-Control", "min-fresh=1")])
    weir.wait_cache(waiters=1)
    weir.signal()
    gate.open()
    assert client.read_response().body == b"two"
    assert weir.wait_exit() == 0


def test_a_refresh_that_nobody_reads_in_chunks(start):
    """Its size is not known and nobody takes it: it comes whole all the same."""
    body = bytes(1 << 20)
    origin, weir = stored(start, chunked(body, fields=[("Cache-Control", SWR)]))
    weir.advance(70)
    assert weir.get("/a").body == b"one"
    weir.wait_cache(stored=2)
    assert weir.get("/a").body == body


# stale-if-error ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_the_stale_one_in_the_place_of_an_error(start, status):
    origin, weir = stored(start, respond(status, b"error"), respond(status, b"error"), control=SIE)
    weir.advance(70)
    response = weir.get("/a")
    assert response.status == 200 and response.body == b"one" and 70 <= int(response.field("Age")) <= 75
    parameters = response.cache_status()
    assert -15 <= parameters.pop("ttl") <= -10
    assert parameters == {"fwd": "stale", "fwd-status": status, "detail": "stale-if-error"}
    weir.wait_cache(stale=1, misses=1, objects=1)
    weir.advance(100)
    response = weir.get("/a")
    assert response.status == status and response.body == b"error"
    weir.wait_cache(stale=1, misses=2)


@pytest.mark.parametrize("status", [400, 404, 501, 505, 599])
def test_other_statuses_are_no_error(start, status):
    origin, weir = stored(start, respond(status, b"answer"), control=SIE)
    weir.advance(70)
    assert weir.get("/a").status == status
    weir.wait_cache(stale=0, misses=2)


@pytest.mark.parametrize("failure, status", [(respond(503, b"error"), 503), (raw(b"", "close"), 502)], ids=["503", "closed"])
def test_not_in_the_place_of_an_answer_to_another_method(start, failure, status):
    """What is stored answers GET and HEAD; and who is to pass the cache by is given nothing of it."""
    origin, weir = stored(start, failure, failure, control=SIE, fields=[TAG], route_cache={"bypass": {"cookies": ["session"]}})
    weir.advance(70)
    assert weir.client().fetch("POST", "/a", body=b"x").status == status
    assert weir.get("/a", [("Cookie", "session=1")]).status == status
    weir.wait_cache(stale=0, objects=1)


@pytest.mark.parametrize("failure, detail", [
    (raw(b"", "close"), "origin-closed"), (raw(b"rubbish\r\n\r\n", "close"), "origin-malformed"),
    (raw(b"HTTP/1.1 200 OK\r\nContent-Le", "close"), "origin-cut")], ids=str)
def test_the_stale_one_in_the_place_of_no_answer(start, failure, detail):
    origin, weir = stored(start, failure, control=SIE, fields=[TAG])
    weir.advance(70)
    response = weir.get("/a")
    assert response.status == 200 and response.body == b"one"
    status = response.cache_status()
    assert status["fwd"] == "stale" and status["detail"] == detail and status["ttl"] < 0 and "fwd-status" not in status
    weir.wait_cache(stale=1, local=0)


def test_an_origin_that_cannot_be_reached(start):
    origin, weir = stored(start, control=SIE)
    origin.stop()
    weir.advance(70)
    assert weir.get("/a").cache_status()["detail"] == "connect-failed"
    assert weir.client().fetch("HEAD", "/a").status == 200
    weir.wait_cache(stale=2)
    weir.advance(100)
    assert weir.get("/a").status == 502


def test_without_a_word_no_stale_one_takes_the_place_of_an_error(start):
    origin, weir = stored(start, control="max-age=60", fields=[TAG])
    origin.stop()
    weir.advance(70)
    assert weir.get("/a").status == 502
    assert weir.get("/a", [("Cache-Control", "stale-if-error=60")]).body == b"one"
    assert weir.get("/a", [("Cache-Control", "stale-if-error=5")]).status == 502
    assert weir.get("/a", [("Cache-Control", "stale-if-error=60, max-age=65")]).status == 502
    weir.wait_cache(stale=1, local=3)


def test_the_routes_default_for_errors(start):
    origin, weir = stored(start, control="max-age=60", route_cache={"stale_if_error": "30s"})
    origin.stop()
    weir.advance(80)
    assert weir.get("/a").body == b"one"
    assert weir.get("/a", [("Cache-Control", "no-cache")]).status == 502
    weir.wait_cache(stale=1)


@pytest.mark.parametrize("forbids", ["must-revalidate", "proxy-revalidate", "s-maxage=60"])
def test_504_where_the_origin_has_to_be_asked_and_is_gone(start, forbids):
    """RFC 9111 section 5.2.2.2."""
    origin, weir = stored(start, control=f"{SIE}, {forbids}", fields=[TAG], route_cache={"stale_if_error": "1h"})
    origin.stop()
    weir.advance(70)
    for fields in ([], [("Cache-Control", "max-stale")], [("Cache-Control", "stale-if-error=1000")]):
        response = weir.get("/a", fields)
        assert response.status == 504 and response.cache_status()["detail"] == "connect-failed"
    weir.wait_cache(stale=0, local=3)


def test_no_504_where_the_origin_can_be_asked(start):
    origin, weir = stored(start, raw(b"", "close"), control=f"{SIE}, must-revalidate", fields=[TAG])
    weir.advance(70)
    response = weir.get("/a")
    assert response.status == 502 and response.cache_status()["detail"] == "origin-closed"
    weir.wait_cache(stale=0, local=1)


def test_the_origin_takes_too_long(start):
    origin, weir = stored(start, None, control=SIE, timeouts={"first_byte": "10s"})
    gate = origin.gate()
    origin.script = [held(gate, respond(200))]
    weir.advance(70)
    client = weir.client()
    client.request("GET", "/a")
    gate.wait_reached()
    weir.advance(11)
    assert client.read_response().cache_status()["detail"] == "first-byte-timeout"
    weir.wait_cache(stale=1)


def test_the_origins_queue_is_full(start):
    origin, weir = stored(start, None, control=SIE, pool={"max_connections": 1, "queue": 1, "queue_timeout": "10s"})
    gate = origin.gate()
    origin.script = {"/b": held(gate, respond(200, b"b"))}
    weir.advance(70)
    busy = weir.client()
    busy.request("GET", "/b")
    gate.wait_reached()
    waiting = weir.client()
    waiting.request("GET", "/a")
    weir.wait_stats(lambda stats: stats["upstreams"]["up"]["queued"] == 1)
    other = weir.client()
    other.request("GET", "/a", [("Cache-Control", "no-store")])
    assert other.read_response().cache_status()["detail"] == "queue-full"
    weir.advance(11)
    assert waiting.read_response().cache_status()["detail"] == "queue-timeout"
    gate.open()
    assert busy.read_response().body == b"b"
    weir.wait_cache(stale=2)


@pytest.mark.parametrize("failure", [respond(503, b"error"), raw(b"", "close")], ids=["503", "closed"])
def test_all_who_wait_are_given_the_stale_one(start, failure):
    origin, weir = stored(start, None, control=SIE)
    gate = origin.gate()
    origin.script = [held(gate, failure)]
    weir.advance(70)
    clients = [weir.client() for _ in range(20)]
    clients[0].request("GET", "/a")
    gate.wait_reached()
    for client in clients[1:]:
        client.request("GET", "/a")
    weir.wait_cache(waiters=19)
    gate.open()
    for client in clients:
        assert client.read_response().body == b"one"
    weir.wait_cache(stale=20, fills=0)
    assert len(origin.requests) == 2


def test_an_error_with_a_lifetime_does_not_replace_what_may_stand_in_for_it(start):
    error = respond(503, b"error", [("Cache-Control", "max-age=600")])
    origin, weir = stored(start, error, error, control=SIE)
    weir.advance(70)
    assert weir.get("/a").body == b"one"
    weir.advance(100)
    assert weir.get("/a").status == 503
    assert weir.get("/a").cache_status()["hit"] is True
    weir.wait_cache(stale=1, stored=2, objects=1)


def test_a_body_that_is_cut_is_cut(start):
    """Its head is out: there is nothing to put into its place."""
    origin, weir = stored(start, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "close"), control=SIE)
    weir.advance(70)
    response = weir.get("/a")
    assert response.body in (b"half", b"") and response.end == "early"
    assert weir.stats()["cache"]["objects"] == 1


# max-stale --------------------------------------------------------------------------------------


def test_max_stale(start):
    origin, weir = stored(start, saying("max-age=60", b"two"), control="max-age=60", fields=[TAG])
    weir.advance(70)
    response = weir.get("/a", [("Cache-Control", "max-stale=20")])
    status = response.cache_status()
    assert response.body == b"one" and status["hit"] is True and -15 <= status["ttl"] <= -10
    assert status["detail"] == "max-stale"
    assert weir.get("/a", [("Cache-Control", "max-stale=5")]).body == b"two"
    weir.wait_cache(stale=1, misses=2, refreshes=0)


# Keeping ----------------------------------------------------------------------------------------


def test_how_long_what_is_stale_is_kept(start):
    origin = start.origin({"/tag": cacheable(b"tag", 60, [TAG]), "/none": cacheable(b"none", 60),
                           "/window": saying("max-age=60, stale-if-error=300")})
    weir = start.weir(origin, clock=True, route_cache={"keep": "2m"})
    for target in origin.script:
        weir.get(target)
    weir.wait_cache(objects=3, expired=0)
    weir.advance(70)
    weir.wait_cache(objects=2, expired=1)
    weir.advance(100)
    weir.wait_cache(objects=2)
    weir.advance(20)
    weir.wait_cache(objects=1, expired=2)
    weir.advance(200)
    weir.wait_cache(objects=0, expired=3)


# The clock --------------------------------------------------------------------------------------


def test_setting_the_wall_clock_changes_no_lifetime(start):
    origin, weir = stored(start, saying(SWR, b"two"))
    client = weir.client()
    for step in (86400, -2 * 86400, 86400):
        weir.step_wall(step)
        response = client.get("/a")
        assert response.cache_status()["hit"] is True and int(response.field("Age")) <= 5
        assert response.cache_status()["ttl"] >= 55
    weir.advance(59 - int(client.get("/a").field("Age")))
    weir.step_wall(-86400)
    weir.advance(10)
    assert client.get("/a").cache_status()["detail"] == "stale-while-revalidate"
    assert len(origin.wait_requests(2).fields) > 0
