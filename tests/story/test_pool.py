"""Connections to the origin: kept warm, limited, queued for, and never trusted blindly."""

import pytest

from weirtest import cacheable, held, ms, raw, respond, wait_for

NO_STORE = [("Cache-Control", "no-store")]


def plain(request, connection):
    respond(200, str(connection.number).encode(), NO_STORE)(request, connection)


def used(weir, count=1):
    """The origin connections that the next requests use, one after the other."""
    numbers = []
    for _ in range(count):
        numbers.append(int(weir.get("/x").body))
        weir.wait_stats(lambda stats: stats["upstreams"]["up"]["servers"][0]["connections"]["active"] == 0)
    return numbers


def park(weir, origin, count):
    """Leaves that many idle connections, all different, parked in the order 1..count."""
    gates = [origin.gate() for _ in range(count)]
    before = origin.script

    def script(request, connection):
        gates[int(request.target[1:])].wait()
        plain(request, connection)

    origin.script = script
    already = len(origin.connections)
    clients = []
    for number in range(count):
        client = weir.client()
        client.request("GET", f"/{number}")
        gates[number].wait_reached()
        clients.append(client)
    for number, client in enumerate(clients):
        gates[number].open()
        client.read_response()
        weir.wait_server(active=count - number - 1)
        client.close()
    origin.script = before
    return list(range(already + 1, already + count + 1))


def test_one_connection_for_requests_in_turn(start):
    origin = start.origin(plain)
    weir = start.weir(origin)
    assert used(weir, 20) == [1] * 20
    server = weir.wait_server(opened=1, reused=19, active=0, idle=1, closed=0)["upstreams"]["up"]["servers"][0]
    assert server["requests"] == 20 and server["errors"] == 0 and server["retries"] == 0


def test_workers_share_one_pool(start):
    """Clients land on both workers; the connection does not depend on which."""
    origin = start.origin(plain)
    weir = start.weir(origin, workers=2)
    clients = [weir.client() for _ in range(16)]
    for _ in range(3):
        for client in clients:
            assert client.get("/x").body == b"1"
            weir.wait_server(idle=1)
    weir.wait_server(opened=1, reused=47)


def test_newest_first(start):
    origin = start.origin(plain)
    weir = start.weir(origin)
    first, second, third = park(weir, origin, 3)
    weir.wait_server(idle=3, opened=3)
    assert used(weir, 3) == [third] * 3
    assert first != second


def test_max_connections_and_the_queue(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, plain)
    weir = start.weir(origin, pool={"max_connections": 2})
    clients = [weir.client() for _ in range(6)]
    for number, client in enumerate(clients):
        client.request("GET", f"/{number}")
    stats = weir.wait_stats(lambda stats: stats["upstreams"]["up"]["servers"][0]["queued"] == 4, "four queued")
    assert stats["upstreams"]["up"]["queued"] == 4
    origin.wait_requests(2)
    assert len(origin.requests) == 2 and origin.accepts == 2
    gate.open()
    for client in clients:
        assert client.read_response().status == 200
    assert origin.accepts == 2
    weir.wait_server(opened=2, reused=4, active=0, idle=2)


def test_the_queue_is_served_in_order(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, plain)
    weir = start.weir(origin, pool={"max_connections": 1})
    clients = []
    for number in range(6):
        client = weir.client()
        client.request("GET", f"/{number}")
        clients.append(client)
        if number == 0:
            gate.wait_reached()
        weir.wait_stats(lambda stats: stats["upstreams"]["up"]["queued"] == number, f"{number} queued")
    gate.open()
    for client in clients:
        assert client.read_response().status == 200
    assert origin.targets == [f"/{number}" for number in range(6)]


def test_a_full_queue(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, plain)
    weir = start.weir(origin, pool={"max_connections": 1, "queue": 1})
    first, second, third = weir.client(), weir.client(), weir.client()
    first.request("GET", "/1")
    gate.wait_reached()
    second.request("GET", "/2")
    weir.wait_stats(lambda stats: stats["upstreams"]["up"]["queued"] == 1, "one queued")
    response = third.get("/3")
    assert response.status == 503 and "detail" in response.cache_status()
    gate.open()
    assert first.read_response().status == 200 and second.read_response().status == 200
    assert origin.targets == ["/1", "/2"]


def test_queue_timeout(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, plain)
    weir = start.weir(origin, pool={"max_connections": 1, "queue_timeout": ms(200)})
    first, second = weir.client(), weir.client()
    first.request("GET", "/1")
    gate.wait_reached()
    response = second.get("/2")
    assert response.status == 503 and "detail" in response.cache_status()
    assert weir.stats()["upstreams"]["up"]["queued"] == 0
    gate.open()
    assert first.read_response().status == 200
    assert origin.targets == ["/1"]
    assert second.get("/3").status == 200


def test_a_client_that_leaves_the_queue(start):
    """Nobody's request is sent once its client is gone (one that is not shared)."""
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, plain)
    weir = start.weir(origin, pool={"max_connections": 1})
    first, second, third = weir.client(), weir.client(), weir.client()
    first.request("GET", "/1")
    gate.wait_reached()
    second.request("POST", "/2", body=b"x")
    weir.wait_stats(lambda stats: stats["upstreams"]["up"]["queued"] == 1, "one queued")
    third.request("POST", "/3", body=b"x")
    weir.wait_stats(lambda stats: stats["upstreams"]["up"]["queued"] == 2, "two queued")
    second.reset()
    weir.wait_stats(lambda stats: stats["upstreams"]["up"]["queued"] == 1, "one left the queue")
    gate.open()
    assert third.read_response().status == 200
    assert origin.targets == ["/1", "/3"]


def test_a_connection_that_fails_serves_the_queue_too(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = [held(gate, lambda request, connection: connection.reset()), plain]
    weir = start.weir(origin, pool={"max_connections": 1})
    first, second = weir.client(), weir.client()
    first.request("POST", "/1", body=b"x")
    gate.wait_reached()
    second.request("GET", "/2")
    weir.wait_stats(lambda stats: stats["upstreams"]["up"]["queued"] == 1, "one queued")
    gate.open()
    assert first.read_response().status == 502
    assert second.read_response().status == 200


def test_idle_timeout(start):
    origin = start.origin(plain)
    weir = start.weir(origin, clock=True, pool={"idle_timeout": "50s"})
    assert used(weir) == [1]
    weir.advance(40)
    assert used(weir) == [1]
    weir.advance(60)
    assert used(weir) == [2]
    origin.connections[0].wait_closed()


def test_idle_connections_are_closed_without_traffic(start):
    origin = start.origin(plain)
    weir = start.weir(origin, clock=True, pool={"idle_timeout": "10s"})
    park(weir, origin, 3)
    weir.advance(15)
    for connection in origin.connections:
        connection.wait_closed()
    weir.wait_server(idle=0, closed=3)


def test_max_requests(start):
    origin = start.origin(plain)
    weir = start.weir(origin, pool={"max_requests": 3})
    assert used(weir, 7) == [1, 1, 1, 2, 2, 2, 3]
    for connection in origin.connections[:2]:
        connection.wait_closed()


def test_max_lifetime(start):
    origin = start.origin(plain)
    weir = start.weir(origin, clock=True, pool={"max_lifetime": "30s", "idle_timeout": "100s"})
    assert used(weir) == [1]
    for _ in range(2):
        weir.advance(10)
        assert used(weir) == [1]
    weir.advance(15)
    assert used(weir) == [2]
    origin.connections[0].wait_closed()


def test_max_idle(start):
    origin = start.origin(plain)
    weir = start.weir(origin, pool={"max_idle": 2})
    park(weir, origin, 5)
    weir.wait_server(idle=2, closed=3, active=0)
    wait_for("three closed", lambda: sum(connection.peer_closed.is_set() for connection in origin.connections) == 3)


def test_a_close_asked_by_the_origin(start):
    origin = start.origin(lambda request, connection: respond(
        200, str(connection.number).encode(), NO_STORE + [("Connection", "close")])(request, connection))
    weir = start.weir(origin)
    assert used(weir, 3) == [1, 2, 3]
    weir.wait_server(idle=0, reused=0)


def dies_when_reused(request, connection):
    """Closes at the second request of a connection, after reading it, as an idle timeout that fires would."""
    if request.number == 2:
        connection.close()
    else:
        plain(request, connection)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_a_reused_connection_that_dies_is_retried_once(start, method):
    """RFC 9110 section 9.2.2: idempotent methods may be sent again."""
    origin = start.origin(dies_when_reused)
    weir = start.weir(origin)
    assert used(weir) == [1]
    client = weir.client()
    response = client.fetch(method, "/y", body=b"" if method == "PUT" else None)
    assert response.status == 200
    if method != "HEAD":
        assert response.body == b"2"
    assert [request.target for request in origin.requests] == ["/x", "/y", "/y"]
    server = weir.server()
    assert server["retries"] == 1
    assert weir.stats()["requests"]["status"]["5xx"] == 0


def test_a_body_that_is_streamed_is_neither_lost_nor_doubled(start):
    """Weir keeps no body to send it again: such a request does not rely on a connection that may be dying."""
    origin = start.origin(dies_when_reused)
    weir = start.weir(origin)
    assert used(weir) == [1]
    client = weir.client()
    assert client.fetch("PUT", "/y", body=b"body").status == 200
    assert [request.body for request in origin.requests if request.method == "PUT"] == [b"body"]


def test_the_retry_is_on_a_fresh_connection(start):
    """With many connections that are all dead, one retry is enough."""
    origin = start.origin(plain)
    weir = start.weir(origin)
    numbers = park(weir, origin, 4)

    def script(request, connection):
        if connection.number in numbers:
            connection.close()
        else:
            plain(request, connection)

    origin.script = script
    response = weir.get("/y")
    assert response.status == 200 and int(response.body) not in numbers


def test_no_second_retry(start):
    """A fresh connection that dies as well is an error, not a loop."""
    origin = start.origin(plain)
    weir = start.weir(origin)
    assert used(weir) == [1]
    origin.script = lambda request, connection: connection.close()
    assert weir.get("/y").status == 502
    assert 2 <= origin.targets.count("/y") <= 3


def test_a_response_that_has_begun_is_not_retried(start):
    origin = start.origin(plain)
    weir = start.weir(origin)
    assert used(weir) == [1]
    origin.script = raw(b"HTTP/1.1 200 OK\r\nContent-L", "close")
    assert weir.get("/y").status == 502
    assert origin.targets.count("/y") == 1
    assert weir.server()["retries"] == 0


def test_a_post_goes_on_a_fresh_connection(start):
    """It cannot be sent again, and nothing is known of how long this origin keeps idle connections."""
    origin = start.origin(plain)
    weir = start.weir(origin)
    assert used(weir) == [1]
    for number in (2, 3):
        client = weir.client()
        assert client.fetch("POST", "/y", body=b"x").body == str(number).encode()


def test_a_post_is_never_sent_twice(start):
    origin = start.origin(lambda request, connection: connection.close())
    weir = start.weir(origin)
    client = weir.client()
    assert client.fetch("POST", "/y", body=b"x").status == 502
    assert len(origin.requests) == 1


def test_a_post_with_an_idempotency_key_may_be_sent_again(start):
    origin = start.origin(dies_when_reused)
    weir = start.weir(origin)
    assert used(weir) == [1]
    client = weir.client()
    assert client.fetch("POST", "/y", [("Idempotency-Key", '"k"')], b"x").status == 200


def test_a_post_uses_a_connection_that_is_surely_open(start):
    """Idle for less than half of the timeout that the origin declared."""
    def script(request, connection):
        respond(200, str(connection.number).encode(), NO_STORE + [("Keep-Alive", "timeout=20")])(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin, clock=True)

    def post():
        weir.wait_server(active=0)
        client = weir.client()
        return int(client.fetch("POST", "/y", body=b"x").body)

    assert used(weir) == [1]
    weir.advance(5)
    assert post() == 1
    weir.advance(12)
    assert post() == 2


def test_the_origins_keep_alive_timeout(start):
    """A connection idle for longer than the origin said is not used."""
    def script(request, connection):
        respond(200, str(connection.number).encode(),
                NO_STORE + [("Keep-Alive", "max=100, timeout=25")])(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin, clock=True)
    assert used(weir) == [1]
    weir.advance(10)
    assert used(weir) == [1]
    weir.advance(30)
    assert used(weir) == [2]


def test_a_parked_connection_that_the_origin_closed(start):
    """Seen by the peek at lease: no error, and no retry needed."""
    origin = start.origin(lambda request, connection: respond(
        200, str(connection.number).encode(), NO_STORE, close=True)(request, connection))
    weir = start.weir(origin)
    for number in range(1, 6):
        response = weir.get("/x")
        assert response.status == 200 and int(response.body) == number
        assert origin.connections[number - 1].ended.wait(5)
    assert weir.server()["errors"] == 0
    assert weir.stats()["requests"]["status"]["5xx"] == 0


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong", b"x", b"\r\n", b"\0" * 10000],
                         ids=["a response", "one byte", "CRLF", "zeros"])
def test_unsolicited_bytes_on_a_parked_connection(start, extra):
    origin = start.origin(plain)
    weir = start.weir(origin)
    assert used(weir) == [1]
    origin.connections[0].send(extra)
    assert used(weir) == [2]
    origin.connections[0].wait_closed()
    assert weir.stats()["requests"]["status"]["5xx"] == 0


def test_bytes_behind_the_response_are_not_the_next_one(start):
    origin = start.origin([raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: no-store\r\n\r\nok"
                               b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"), respond(200, b"right")])
    weir = start.weir(origin)
    client = weir.client()
    assert client.get("/a").body == b"ok"
    assert client.get("/b").body == b"right"
    assert origin.accepts == 2


def test_a_broken_response_ends_its_connection(start):
    origin = start.origin([raw(b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n")] * 2 + [plain])
    weir = start.weir(origin)
    assert weir.get("/a").status == 502
    origin.script = [plain]
    assert int(weir.get("/b").body) > 1
    assert weir.server()["errors"] >= 1


def test_a_client_that_reads_slowly_does_not_spoil_the_connection(start):
    body = bytes(4 << 20)
    origin = start.origin([respond(200, body, NO_STORE), plain])
    weir = start.weir(origin)
    client = weir.client(receive_buffer=65536)
    client.request("GET", "/a")
    response = client.read_final_head()
    for mark in range(1 << 17, len(body), 1 << 17):
        client.read_body(response, at_least=mark)
    assert client.read_body(response).body == body
    weir.wait_server(idle=1)
    assert used(weir) == [1]


def test_two_servers_take_turns(start):
    origins = [start.origin(respond(200, name, NO_STORE)) for name in (b"a", b"b")]
    weir = start.weir(origins)
    bodies = [weir.get("/x").body for _ in range(10)]
    assert bodies.count(b"a") == 5 and bodies.count(b"b") == 5


def test_posts_at_an_origin_that_closes_idle_connections(start):
    """Each connection has answered once and is closed at some point soon after: none lost, none doubled."""
    def script(request, connection):
        respond(200, request.body, NO_STORE)(request, connection)
        connection.sock.settimeout((len(origin.requests) % 7) / 1000 + 0.0001)

    origin = start.origin(script)
    weir = start.weir(origin)
    client = weir.client()
    for number in range(300):
        body = str(number).encode()
        response = client.fetch("POST", "/x", body=body)
        assert response.status == 200 and response.body == body
    assert sorted(int(request.body) for request in origin.requests) == list(range(300))


def test_cached_answers_need_no_connection(start):
    origin = start.origin(cacheable(b"x"))
    weir = start.weir(origin, pool={"max_connections": 1})
    client = weir.client()
    for _ in range(10):
        client.get("/a")
    weir.wait_server(opened=1, reused=0)
