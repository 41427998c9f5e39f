"""Who waits for whom: what one request fetches, another may or may not be given, and nobody waits in vain."""

import threading

import pytest

from weirtest import PATIENCE_S, cacheable, held, patterned, respond, response_bytes

NO_STORE = [("Cache-Control", "no-store")]


def side_by_side(count, script):
    """A script that answers only when so many requests are at the origin: one that waits behind another would never get there."""
    barrier = threading.Barrier(count)

    def together(request, connection):
        barrier.wait(PATIENCE_S)
        script(request, connection)
    return together


def numbered(*fields):
    """A script: each response has a body of its own."""
    numbers = iter(range(1000000))
    return lambda request, connection: respond(200, f"answer {next(numbers)}".encode(), list(fields))(request, connection)


def ask(weir, count, target="/a", fields=(), method="GET"):
    clients = [weir.client() for _ in range(count)]
    for client in clients:
        client.request(method, target, fields)
    return clients


def expect_different(clients):
    bodies = [client.read_response().body for client in clients]
    assert len(set(bodies)) == len(clients), "an answer was shared"


def expect_rest(weir, **expected):
    """No fetch and no reader is left, and the counters are these."""
    stats = weir.wait_cache(fills=0, readers=0, waiters=0, **expected)
    weir.wait_server(active=0)
    return stats


def expect_ended(connection):
    """The origin has seen that Weir closed it, by reading or by writing."""
    assert connection.ended.wait(PATIENCE_S), f"Weir kept origin connection {connection.number} open"


# Those who leave ----------------------------------------------------------------------------------


def stalling_body(gate, sent, length=100000, coding=b"Content-Length: 100000\r\n"):
    """A script: head and so much of the body, and the rest when the gate opens."""
    body = patterned(length)

    def script(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n" + coding + b"\r\n" + body[:sent])
        gate.wait()
        connection.send(body[sent:])
    return script


@pytest.mark.parametrize("case", ["length", "chunked", "before the head"])
def test_the_only_reader_leaves_early(start, case):
    """Before half of the body, or where nobody knows what half is: the fetch is ended, and its connection closed."""
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = {
        "length": stalling_body(gate, 40000),
        "chunked": stalling_body(gate, 99999, 100000, b"Transfer-Encoding: chunked\r\n\r\n186A0\r\n"),
        "before the head": held(gate, cacheable()),
    }[case]
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a")
    if case == "before the head":
        gate.wait_reached()
        weir.wait_cache(readers=1)
    else:
        client.read_body(client.read_final_head(), at_least=40000)
    client.reset()
    expect_rest(weir, stored=0, objects=0, fills_aborted=1)
    weir.wait_server(active=0, idle=0)
    gate.open()
    expect_ended(origin.connections[0])
    origin.script = cacheable(b"anew")
    assert weir.get("/a").body == b"anew" and len(origin.requests) == 2


def test_the_only_reader_leaves_late(start):
    """Half of the body is there: the rest is fetched, and stored."""
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = stalling_body(gate, 60000)
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a")
    client.read_body(client.read_final_head(), at_least=60000)
    client.reset()
    weir.wait_cache(fills=1, readers=0)
    gate.open()
    expect_rest(weir, stored=1, objects=1, fills_aborted=0)
    response = weir.get("/a")
    assert response.cache_status()["hit"] is True and response.body == patterned(100000)
    assert len(origin.requests) == 1


@pytest.mark.parametrize("sent, ends", [(40000, "ended"), (60000, "stored")])
def test_all_leave_one_after_the_other(start, sent, ends):
    """The one that leads first. The fetch goes on for those who are left; what becomes of it is decided by the last."""
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = stalling_body(gate, sent)
    weir = start.weir(origin)
    clients = ask(weir, 1)
    weir.wait_cache(fills=1, readers=1)
    clients += ask(weir, 5)
    for client in clients:
        client.read_body(client.read_final_head(), at_least=sent)
    for left in range(5, 0, -1):
        clients.pop(0).reset()
        weir.wait_cache(fills=1, readers=left, waiters=left, fills_aborted=0)
    clients.pop().reset()
    if ends == "ended":
        expect_rest(weir, stored=0, objects=0, fills_aborted=1)
        gate.open()
        expect_ended(origin.connections[0])
    else:
        weir.wait_cache(fills=1, readers=0)
        gate.open()
        expect_rest(weir, stored=1, objects=1, fills_aborted=0)
    assert len(origin.requests) == 1


# Those who may not be given it ---------------------------------------------------------------------


@pytest.mark.parametrize("fields", [
    [("Cache-Control", "no-cache")], [("Cache-Control", "no-store")], [("Cache-Control", "max-age=0")],
    [("Pragma", "no-cache")],
], ids=lambda fields: fields[0][1])
def test_who_asks_for_an_answer_of_their_own_does_not_wait(start, fields):
    """They are at the origin while it has not answered the first one yet."""
    origin = start.origin(side_by_side(9, numbered(("Cache-Control", "max-age=60"))))
    weir = start.weir(origin)
    leader = ask(weir, 1)
    weir.wait_cache(readers=1)
    expect_different(leader + ask(weir, 8, fields=fields))
    assert len(origin.requests) == 9
    expect_rest(weir, coalesced=0)


def test_no_cache_from_all_of_them(start):
    """The first of them leads, and the others do not wait for it either."""
    origin = start.origin(side_by_side(8, numbered(("Cache-Control", "max-age=60"))))
    weir = start.weir(origin)
    expect_different(ask(weir, 8, fields=[("Cache-Control", "no-cache")]))
    expect_rest(weir, coalesced=0)


# The first answer, what the waiters send, and whether they may be given that answer.
MEETINGS = {
    "authorization": ([("Cache-Control", "max-age=60")], [("Authorization", "Basic eA==")], False),
    "authorization, public": ([("Cache-Control", "max-age=60, public")], [("Authorization", "Basic eA==")], True),
    "authorization, s-maxage": ([("Cache-Control", "s-maxage=60")], [("Authorization", "Basic eA==")], True),
    "the same variant": ([("Cache-Control", "max-age=60"), ("Vary", "X-V")], [("X-V", "a")], True),
    "another variant": ([("Cache-Control", "max-age=60"), ("Vary", "X-V")], [("X-V", "b")], False),
    "a variant without the field": ([("Cache-Control", "max-age=60"), ("Vary", "X-V")], [], False),
    "a field that does not select": ([("Cache-Control", "max-age=60"), ("Vary", "X-V")],
                                     [("X-V", "a"), ("X-W", "b")], True),
    "private": ([("Cache-Control", "private, max-age=60")], [], False),
    "private field": ([("Cache-Control", 'private="X-A", max-age=60')], [], False),
    "no-cache": ([("Cache-Control", "no-cache"), ("ETag", '"x"')], [], False),
    "stale on arrival": ([("Cache-Control", "max-age=60"), ("Age", "61"), ("ETag", '"x"')], [], False),
    "min-fresh": ([("Cache-Control", "max-age=60")], [("Cache-Control", "min-fresh=120")], False),
    "max-age": ([("Cache-Control", "max-age=60"), ("Age", "30")], [("Cache-Control", "max-age=20")], False),
    "conditions": ([("Cache-Control", "max-age=60"), ("ETag", '"x"')], [("If-None-Match", '"y"')], True),
}


@pytest.mark.parametrize("answer, asked, shared", MEETINGS.values(), ids=MEETINGS)
def test_each_is_asked_again_when_the_head_is_known(start, answer, asked, shared):
    """RFC 9111 §4: what that very request could have been given is; the others go to the origin by themselves, side by side."""
    origin = start.origin(None)
    gate = origin.gate()
    script = numbered(*answer)
    origin.script = held(gate, script)
    weir = start.weir(origin)
    leader = ask(weir, 1, fields=[("X-V", "a")])
    gate.wait_reached()
    waiters = ask(weir, 8, fields=asked)
    weir.wait_cache(fills=1, readers=9, waiters=8)
    assert len(origin.requests) == 1
    origin.script = side_by_side(8, script)
    gate.open()
    first = leader[0].read_response().body
    if shared:
        assert [client.read_response().body for client in waiters] == [first] * 8
        assert len(origin.requests) == 1
        expect_rest(weir, misses=1, coalesced=8)
    else:
        answers = [client.read_response() for client in waiters]
        assert len({first} | {response.body for response in answers}) == 9
        assert not any("collapsed" in response.cache_status() for response in answers)
        assert len(origin.requests) == 9
        expect_rest(weir, misses=9, coalesced=0)


def test_a_304_is_for_the_variant_that_was_asked_about(start):
    """Those who wait while it is asked for, and select another one, are not given the stored response."""
    origin = start.origin(lambda request, connection: respond(
        200, request.field("X-V").encode(), [("Cache-Control", "max-age=60"), ("ETag", '"v1"'), ("Vary", "X-V")])(
            request, connection))
    weir = start.weir(origin, clock=True)
    assert weir.get("/a", [("X-V", "a")]).body == b"a"
    weir.advance(70)
    answer, gate = origin.script, origin.gate()
    origin.script = held(gate, respond(304, fields=[("ETag", '"v1"'), ("Cache-Control", "max-age=60")]))
    leader = ask(weir, 1, fields=[("X-V", "a")])
    gate.wait_reached()
    same, other = ask(weir, 4, fields=[("X-V", "a")]), ask(weir, 4, fields=[("X-V", "b")])
    weir.wait_cache(fills=1, readers=9, waiters=8)
    origin.script = side_by_side(4, answer)
    gate.open()
    assert [client.read_response().body for client in leader + same + other] == [b"a"] * 5 + [b"b"] * 4
    assert len(origin.requests) == 6
    expect_rest(weir, revalidated=1, coalesced=4)


def test_one_of_each_kind_at_once(start):
    """Beside each other at one fill: those who may share it do, while the others are at the origin."""
    kinds = [([], True), ([("Authorization", "Basic eA==")], False), ([("X-V", "b")], False),
             ([("X-V", "a")], True), ([("X-V", "a"), ("Cache-Control", "min-fresh=120")], False)]
    origin = start.origin(None)
    gate, rest = origin.gate(), origin.gate()
    script = numbered(("Cache-Control", "max-age=60"), ("Vary", "X-V"))
    origin.script = held(gate, script)
    weir = start.weir(origin)
    leader = ask(weir, 1, fields=[("X-V", "a")])
    gate.wait_reached()
    kinds[0] = ([("X-V", "a"), ("Cache-Control", "max-age=10")], True)
    waiters = [(ask(weir, 1, fields=fields)[0], shared) for fields, shared in kinds]
    weir.wait_cache(readers=6, waiters=5)
    origin.script = held(rest, script)
    gate.open()
    first = leader[0].read_response().body
    for client, shared in waiters:
        if shared:
            assert client.read_response().body == first
    origin.wait_requests(4)
    weir.wait_cache(fills=3, readers=3, waiters=0, coalesced=2)
    rest.open()
    for client, shared in waiters:
        if not shared:
            assert client.read_response().body != first
    expect_rest(weir)


# Hit-for-miss --------------------------------------------------------------------------------------


def storm(weir, origin, gate, count=20):
    """The first storm at a key: one request asks, the rest learn from its answer that they have to ask too."""
    clients = ask(weir, count)
    weir.wait_cache(fills=1, readers=count, waiters=count - 1)
    gate.wait_reached()
    assert len(origin.requests) == 1
    origin.script = side_by_side(count - 1, origin.answer)
    gate.open()
    expect_different(clients)
    assert len(origin.requests) == count


def uncacheable_origin(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.answer = numbered(*NO_STORE)
    origin.script = held(gate, origin.answer)
    return origin, gate


def test_a_key_that_is_not_stored_makes_nobody_wait_the_next_time(start):
    origin, gate = uncacheable_origin(start)
    weir = start.weir(origin)
    storm(weir, origin, gate)
    expect_rest(weir, hit_for_miss=1, stored=0, coalesced=0, misses=20)
    origin.script = side_by_side(20, origin.answer)
    expect_different(ask(weir, 20))
    assert len(origin.requests) == 40
    # Another key is not concerned.
    gate = origin.gate()
    origin.script = held(gate, cacheable(b"other"))
    others = ask(weir, 5, "/b")
    weir.wait_cache(fills=1, readers=5, waiters=4)
    gate.open()
    assert all(client.read_response().body == b"other" for client in others)
    assert len(origin.requests) == 41
    expect_rest(weir, hit_for_miss=1, stored=1, coalesced=4)


def test_a_storable_answer_ends_it(start):
    """It is stored though nobody waited for it, and hits follow."""
    origin, gate = uncacheable_origin(start)
    weir = start.weir(origin)
    storm(weir, origin, gate)
    weir.wait_cache(hit_for_miss=1)
    origin.script = side_by_side(20, cacheable(b"for all"))
    assert all(client.read_response().body == b"for all" for client in ask(weir, 20))
    expect_rest(weir, hit_for_miss=0, objects=1)
    asked = len(origin.requests)
    response = weir.get("/a")
    assert response.cache_status()["hit"] is True and response.body == b"for all"
    assert len(origin.requests) == asked == 40


def test_it_is_remembered_for_its_time(start):
    """Then the next storm is one request first again."""
    origin, gate = uncacheable_origin(start)
    weir = start.weir(origin, clock=True, route_cache={"hit_for_miss": "60s"})
    storm(weir, origin, gate, 5)
    weir.advance(50)
    weir.wait_cache(hit_for_miss=1)
    origin.script = side_by_side(5, origin.answer)
    expect_different(ask(weir, 5))
    # That was another response which may not be stored: the time runs anew from there.
    weir.advance(50)
    weir.wait_cache(hit_for_miss=1)
    weir.advance(11)
    weir.wait_cache(hit_for_miss=0)
    gate = origin.gate()
    origin.script = held(gate, cacheable(b"once"))
    clients = ask(weir, 5)
    weir.wait_cache(fills=1, readers=5, waiters=4)
    gate.open()
    assert all(client.read_response().body == b"once" for client in clients)
    assert len(origin.requests) == 11


def test_switched_off_the_second_storm_waits_as_the_first(start):
    origin, gate = uncacheable_origin(start)
    weir = start.weir(origin, route_cache={"hit_for_miss": "0s"})
    storm(weir, origin, gate)
    expect_rest(weir, hit_for_miss=0)
    gate = origin.gate()
    origin.script = held(gate, cacheable(b"once"))
    clients = ask(weir, 20)
    weir.wait_cache(fills=1, readers=20, waiters=19)
    gate.open()
    assert all(client.read_response().body == b"once" for client in clients)
    assert len(origin.requests) == 21


def test_what_failed_is_not_remembered(start):
    """An origin that dies says nothing about whether its responses may be stored."""
    origin = start.origin(lambda request, connection: connection.close())
    weir = start.weir(origin)
    assert weir.get("/a").status == 502
    expect_rest(weir, hit_for_miss=0)
    gate = origin.gate()
    origin.script = held(gate, cacheable(b"once"))
    clients = ask(weir, 5)
    weir.wait_cache(fills=1, readers=5, waiters=4)
    gate.open()
    assert all(client.read_response().body == b"once" for client in clients)


# HEAD ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_head_is_answered_from_the_head_of_a_get_under_way(start, framing):
    """As soon as that is there: the body may take its time. The connection goes on without a byte of body."""
    origin = start.origin(None)
    gate, rest = origin.gate(), origin.gate()
    coding = b"Content-Length: 5\r\n\r\n" if framing == "length" else b"Transfer-Encoding: chunked\r\n\r\n5\r\n"

    def script(request, connection):
        gate.wait()
        connection.send(b'HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: "e"\r\n' + coding + b"he")
        rest.wait()
        connection.send(b"llo" if framing == "length" else b"llo\r\n0\r\n\r\n")

    origin.script = script
    weir = start.weir(origin)
    leader = ask(weir, 1)[0]
    gate.wait_reached()
    heads = ask(weir, 6, method="HEAD")
    weir.wait_cache(fills=1, readers=7, waiters=6)
    gate.open()
    for client in heads:
        response = client.read_response("HEAD")
        assert response.status == 200 and response.field("ETag") == '"e"' and response.end == "clean"
        assert response.field("Content-Length") == ("5" if framing == "length" else None)
        assert "collapsed" in response.cache_status()
    weir.wait_cache(readers=1, waiters=0, coalesced=6)
    assert len(origin.requests) == 1
    # One that comes when the head is known already.
    late = weir.client()
    assert late.fetch("HEAD", "/a").field("ETag") == '"e"'
    rest.open()
    assert leader.read_response().body == b"hello"
    for client in heads + [late]:
        assert client.get("/a").body == b"hello"
    assert len(origin.requests) == 1
    expect_rest(weir, stored=1, coalesced=7, hits=7)


def test_head_that_may_not_share_the_get_goes_by_itself(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, respond(200, b"mine", [("Cache-Control", "private")]))
    weir = start.weir(origin)
    leader = ask(weir, 1)[0]
    gate.wait_reached()
    heads = ask(weir, 4, method="HEAD")
    weir.wait_cache(readers=5, waiters=4)
    origin.script = side_by_side(4, respond(200, b"mine", [("Cache-Control", "private")]))
    gate.open()
    assert leader.read_response().body == b"mine"
    assert all(client.read_response("HEAD").field("Content-Length") == "4" for client in heads)
    assert [request.method for request in origin.requests] == ["GET"] + ["HEAD"] * 4
    expect_rest(weir, coalesced=0)


def test_head_leads_nobody(start):
    """Its answer has no body to share: neither a GET nor another HEAD waits for it."""
    origin = start.origin(side_by_side(3, cacheable(b"hello")))
    weir = start.weir(origin)
    heads = ask(weir, 2, method="HEAD")
    origin.wait_requests(2)
    get = ask(weir, 1)[0]
    assert get.read_response().body == b"hello"
    assert all(client.read_response("HEAD").status == 200 for client in heads)
    expect_rest(weir, coalesced=0, stored=1)


# A waiter's own deadline ---------------------------------------------------------------------------


def test_a_waiter_gives_up_after_a_time_of_its_own(start):
    """A fetch may go on for long, as 1xx responses start first_byte anew: who waits for it does so for queue_timeout, connect
    and first_byte together, from when it joined."""
    origin = start.origin(None)
    steps = [origin.gate() for _ in range(3)]

    def script(request, connection):
        for gate in steps[:2]:
            gate.wait()
            connection.send(response_bytes(103, fields=[("Link", "</s>")]))
        steps[2].wait()
        cacheable(b"at last", 600)(request, connection)  # its age counts from when it was asked for

    def interim(gate):
        gate.open()
        assert leader.read_head().status == 103

    origin.script = script
    weir = start.weir(origin, clock=True, pool={"queue_timeout": "50s"},
                      timeouts={"connect": "20s", "first_byte": "100s", "between_bytes": "1000s"})
    leader = ask(weir, 1)[0]
    steps[0].wait_reached()
    early = ask(weir, 4)
    weir.wait_cache(readers=5, waiters=4)
    weir.advance(80)
    interim(steps[0])
    late = ask(weir, 3)
    weir.wait_cache(readers=8, waiters=7)
    weir.advance(80)
    weir.wait_cache(readers=8, waiters=7, local=0)
    interim(steps[1])
    weir.advance(20)
    for client in early:
        response = client.read_response()
        assert response.status == 504 and response.end == "clean"
        assert response.cache_status()["detail"] == "coalesce-timeout"
    weir.wait_cache(fills=1, readers=4, waiters=3, local=4, fills_aborted=0)
    steps[2].open()
    assert all(client.read_response().body == b"at last" for client in [leader] + late)
    assert len(origin.requests) == 1
    expect_rest(weir, misses=1, coalesced=3, local=4, stored=1)
    assert all(client.get("/a").cache_status()["hit"] is True for client in early)


def test_the_deadline_is_for_the_head_only(start):
    """A body that comes slowly is no reason to give up, neither for those who saw its head come nor for one that joins then."""
    origin = start.origin(None)
    begin, pieces = origin.gate(), [origin.gate() for _ in range(4)]

    def script(request, connection):
        begin.wait()
        connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 5\r\n\r\nh")
        for gate, byte in zip(pieces, b"ello"):
            gate.wait()
            connection.send(bytes([byte]))

    origin.script = script
    weir = start.weir(origin, clock=True, pool={"queue_timeout": "10s"},
                      timeouts={"connect": "10s", "first_byte": "100s", "between_bytes": "100s"})
    clients = ask(weir, 5)
    weir.wait_cache(readers=5)
    begin.open()
    responses = [client.read_body(client.read_final_head(), at_least=1) for client in clients]
    clients += ask(weir, 1)
    responses.append(clients[-1].read_body(clients[-1].read_final_head(), at_least=1))
    for number, gate in enumerate(pieces):
        weir.advance(90)
        gate.open()
        for client, response in zip(clients, responses):
            client.read_body(response, at_least=number + 2)
    assert all(response.body == b"hello" and response.end == "clean" for response in responses)
    expect_rest(weir, stored=1, coalesced=5)


# Refusals ------------------------------------------------------------------------------------------


def test_503_says_when_to_come_again(start):
    """Those who wait for a fetch that finds no place in the queue are refused with it; each is told Retry-After."""
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, cacheable())
    weir = start.weir(origin, clock=True, pool={"max_connections": 1, "queue": 1, "queue_timeout": "20s"})
    busy = ask(weir, 1, "/busy")
    gate.wait_reached()
    queued = ask(weir, 1, "/a")
    weir.wait_cache(fills=2, readers=2)
    queued += ask(weir, 5, "/a")
    weir.wait_cache(fills=2, readers=7, waiters=5)
    full = weir.get("/b")
    assert full.status == 503 and full.cache_status()["detail"] == "queue-full"
    assert int(full.field("Retry-After")) >= 1
    weir.advance(21)
    for client in queued:
        response = client.read_response()
        assert response.status == 503 and response.cache_status()["detail"] == "queue-timeout"
        assert int(response.field("Retry-After")) >= 1
    gate.open()
    assert busy[0].read_response().body == b"hello"
    assert origin.targets == ["/busy"]
    expect_rest(weir, stored=1)
