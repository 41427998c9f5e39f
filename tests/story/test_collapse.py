"""Many clients at one cold key: the origin is asked once, and everyone is served as it comes."""

import pytest

from weirtest import cacheable, chunk, held, patterned, respond, wait_for

HEAD = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"


def ask(weir, count, target="/a", fields=()):
    """Clients on both workers, all waiting for one fetch: a request is in flight before it has joined that."""
    clients = [weir.client() for _ in range(count)]
    for client in clients:
        client.request("GET", target, fields)
    weir.wait_cache(readers=count)
    return clients


def test_one_request_for_many_clients(start):
    body = patterned(100000)
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, cacheable(body))
    weir = start.weir(origin)
    clients = ask(weir, 40)
    origin.wait_requests(1)
    assert len(origin.requests) == 1
    gate.open()
    responses = [client.read_response() for client in clients]
    assert all(response.body == body and response.end == "clean" for response in responses)
    assert len(origin.requests) == 1
    collapsed = [response for response in responses if "collapsed" in response.cache_status()]
    assert len(collapsed) == 39
    assert all(response.cache_status()["fwd"] == "uri-miss" for response in responses)
    stats = weir.wait_cache(misses=1, coalesced=39, hits=0, stored=1, objects=1)
    assert stats["requests"]["total"] == 40


def test_waiters_see_the_first_chunk_while_the_origin_is_held(start):
    def script(request, connection):
        connection.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"first"))
        gate.wait()
        connection.send(chunk(b"second") + b"0\r\n\r\n")

    origin = start.origin(script)
    gate = origin.gate()
    weir = start.weir(origin)
    clients = ask(weir, 12)
    heads = []
    for client in clients:
        response = client.read_body(client.read_final_head(), at_least=5)
        assert response.body == b"first" and response.end is None
        heads.append(response)
    # One that comes late joins in the middle and gets all of it from the start.
    late = weir.client()
    late.request("GET", "/a")
    response = late.read_body(late.read_final_head(), at_least=5)
    assert response.body == b"first"
    gate.open()
    for client, response in zip(clients + [late], heads + [response]):
        assert client.read_body(response).body == b"firstsecond" and response.end == "clean"
    assert len(origin.requests) == 1
    weir.wait_cache(misses=1, coalesced=12, objects=1)


@pytest.mark.parametrize("framing", [b"Content-Length: 100\r\n\r\nfirst",
                                     b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"first")])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_an_origin_that_dies_in_the_body_breaks_all_visibly(start, framing, end):
    def script(request, connection):
        connection.send(HEAD + framing)
        gate.wait()
        connection.close() if end == "close" else connection.reset()

    origin = start.origin(script)
    gate = origin.gate()
    weir = start.weir(origin)
    clients = ask(weir, 10)
    responses = [client.read_body(client.read_final_head(), at_least=5) for client in clients]
    gate.open()
    for client, response in zip(clients, responses):
        assert client.read_body(response).end in ("early", "reset")
        assert response.body == b"first"
    weir.wait_cache(stored=0, objects=0)
    origin.script = cacheable(b"whole")
    assert weir.get("/a").body == b"whole"


def test_an_origin_that_dies_before_the_head_fails_all_of_them(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, lambda request, connection: connection.close())
    weir = start.weir(origin)
    clients = ask(weir, 10)
    gate.open()
    for client in clients:
        assert client.read_response().status == 502
    weir.wait_cache(stored=0, objects=0)


@pytest.mark.parametrize("field", [("Cache-Control", "no-store"), ("Cache-Control", "private"),
                                   ("X-Nothing", "said"), ("Vary", "*")], ids=str)
def test_what_may_not_be_shared_is_asked_by_each_for_itself(start, field):
    """And side by side: the waiters are not sent one after the other."""
    origin = start.origin(None)
    first, rest = origin.gate(), origin.gate()

    def script(request, connection):
        number = len(origin.requests)
        (first if number == 1 else rest).wait()
        respond(200, f"answer {request.connection.number}.{request.number}".encode(), [field])(request, connection)

    origin.script = script
    weir = start.weir(origin)
    clients = ask(weir, 8)
    first.open()
    origin.wait_requests(8)
    rest.open()
    bodies = [client.read_response().body for client in clients]
    assert len(set(bodies)) == 8
    weir.wait_cache(stored=0, objects=0, coalesced=0)


def test_a_cookie_for_one_is_not_given_to_others(start):
    """Set-Cookie with the route's ttl only: not shared."""
    origin = start.origin(None)
    gate = origin.gate()
    counter = iter(range(100))
    origin.script = held(gate, lambda request, connection: respond(
        200, b"x", [("Set-Cookie", f"id={next(counter)}")])(request, connection))
    weir = start.weir(origin, route_cache={"ttl": "60s"})
    clients = ask(weir, 6)
    gate.open()
    cookies = [client.read_response().field("Set-Cookie") for client in clients]
    assert len(set(cookies)) == 6


def test_the_one_that_started_it_leaves(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, cacheable(b"hello"))
    weir = start.weir(origin)
    leader = weir.client()
    leader.request("GET", "/a")
    gate.wait_reached()
    waiters = [weir.client() for _ in range(6)]
    for client in waiters:
        client.request("GET", "/a")
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 7, "seven in flight")
    leader.reset()
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 6, "the first given up")
    gate.open()
    for client in waiters:
        assert client.read_response().body == b"hello"
    assert len(origin.requests) == 1


def test_the_one_that_started_it_leaves_in_the_body(start):
    body = patterned(3 << 20)
    def script(request, connection):
        connection.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body[:100000])
        gate.wait()
        connection.send(body[100000:])

    origin = start.origin(script)
    gate = origin.gate()
    weir = start.weir(origin)
    leader = weir.client()
    leader.request("GET", "/a")
    leader.read_body(leader.read_final_head(), at_least=1000)
    waiter = weir.client()
    waiter.request("GET", "/a")
    response = waiter.read_body(waiter.read_final_head(), at_least=1000)
    leader.reset()
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 1, "the first given up")
    gate.open()
    assert waiter.read_body(response).body == body and response.end == "clean"
    assert weir.get("/a").cache_status()["hit"] is True
    assert len(origin.requests) == 1


def test_everyone_leaves_a_fill_that_is_nearly_done(start):
    """A fill belongs to nobody who waits for it: what is to be stored and mostly here is fetched to its end."""
    def script(request, connection):
        connection.send(HEAD + b"Content-Length: 100000\r\n\r\n" + bytes(90000))
        gate.wait()
        connection.send(bytes(10000))

    origin = start.origin(script)
    gate = origin.gate()
    weir = start.weir(origin)
    clients = ask(weir, 4)
    for client in clients:
        client.read_body(client.read_final_head(), at_least=90000)
        client.reset()
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 0, "all given up")
    gate.open()
    weir.wait_cache(objects=1)
    assert weir.get("/a").cache_status()["hit"] is True
    assert len(origin.requests) == 1


def test_everyone_leaves_before_the_head(start):
    """Whether the fetch goes on or not, the key works for those who come after."""
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, cacheable(b"hello"))
    weir = start.weir(origin)
    for client in ask(weir, 4):
        client.reset()
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 0, "all given up")
    late = weir.client()
    late.request("GET", "/a")
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 1, "one more")
    gate.open()
    assert late.read_response().body == b"hello"
    assert weir.get("/a").cache_status()["hit"] is True
    assert len(origin.requests) <= 2


def test_one_slow_reader_does_not_hold_the_others(start):
    body = patterned(12 << 20)
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, cacheable(body))
    weir = start.weir(origin)
    slow = weir.client(receive_buffer=65536)
    slow.request("GET", "/a")
    gate.wait_reached()
    fast = [weir.client() for _ in range(4)]
    for client in fast:
        client.request("GET", "/a")
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 5, "five in flight")
    gate.open()
    for client in fast:
        assert client.read_response().body == body
    assert slow.read_response().body == body
    assert len(origin.requests) == 1


def test_errors_are_shared_with_those_who_wait(start):
    """A 500 is no reason to ask the origin once per waiter in turn; each gets one answer."""
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, respond(500, b"broken"))
    weir = start.weir(origin)
    clients = ask(weir, 6)
    gate.open()
    for client in clients:
        assert client.read_response().status == 500


def test_posts_are_never_collapsed(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, cacheable())
    weir = start.weir(origin)
    clients = [weir.client() for _ in range(5)]
    for client in clients:
        client.request("POST", "/a", body=b"x")
    origin.wait_requests(5)
    gate.open()
    for client in clients:
        assert client.read_response().status == 200


def test_a_route_without_cache_is_never_collapsed(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, cacheable())
    weir = start.weir(origin, route_cache={"enabled": False})
    clients = [weir.client() for _ in range(5)]
    for client in clients:
        client.request("GET", "/a")
    origin.wait_requests(5)
    gate.open()
    for client in clients:
        assert client.read_response().status == 200
    weir.wait_cache(passes=5)


def test_different_targets_are_fetched_side_by_side(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, cacheable())
    weir = start.weir(origin)
    clients = [weir.client() for _ in range(8)]
    for number, client in enumerate(clients):
        client.request("GET", f"/{number}")
    wait_for("eight requests at the origin", lambda: len(origin.requests) == 8)
    gate.open()
    for client in clients:
        assert client.read_response().status == 200
    weir.wait_cache(misses=8, coalesced=0)


def test_a_stale_key_is_revalidated_once(start):
    origin = start.origin(cacheable(b"one", 60, [("ETag", '"v1"')]))
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    gate = origin.gate()
    origin.script = held(gate, respond(304, fields=[("ETag", '"v1"'), ("Cache-Control", "max-age=60")]))
    weir.advance(70)
    clients = ask(weir, 10)
    origin.wait_requests(2)
    assert len(origin.requests) == 2
    gate.open()
    for client in clients:
        assert client.read_response().body == b"one"
    assert len(origin.requests) == 2
    weir.wait_stats(lambda stats: stats["cache"]["revalidated"] >= 1 and
                    stats["cache"]["revalidated"] + stats["cache"]["coalesced"] == 10, "one revalidation, ten served")
