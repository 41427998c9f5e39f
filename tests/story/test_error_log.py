"""The error log: what went wrong with an origin, a line each, few lines for many failures, and every count told."""

import re

from weirtest import held, ms, raw, respond, stopping_at_once, wait_for

ASKING = re.compile(r"^\S+ (\S+) asking (\S+) of upstream up, route (\S+), for request (\S+), trace ([0-9a-f]{32}), \"(.*?)\": (.*?); "
                    r"(answered \d+|the response is cut)(?:; (\d+) such lines were held back before)?$", re.M)
TRACE = "0af7651916cd43dd8448eb211c80319c"
TOLD = re.compile(r"^\S+ warn asking origins: [^:]*: (\d+) such lines were held back before$", re.M)


def the_line(weir):
    return wait_for("a line about the failure", lambda: ASKING.search(weir.stderr()))


def expect(weir, origin, status, text):
    response = weir.get("/a?b", [("X-Request-ID", "mine-1"), ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01")])
    assert response.status == status
    line = the_line(weir)
    assert line.groups()[:6] == ("warn", origin.address, "*/", "mine-1", TRACE, "GET /a?b HTTP/1.1")
    assert line[7] == text and line[8] == f"answered {status}"


def test_an_origin_that_refuses(start):
    origin = start.origin(None, listen=False)
    expect(start.weir(origin), origin, 502, "the origin could not be reached (Connection refused)")


def test_an_origin_that_does_not_answer(start):
    origin = start.origin(lambda request, connection: connection.wait_closed())
    weir = start.weir(origin, timeouts={"first_byte": ms(100)})
    expect(weir, origin, 504, f"the origin did not answer in time (upstreams.up.timeouts.first_byte: {ms(100).replace('ms', ' ms')})")


def test_an_origin_that_closes(start):
    origin = start.origin(lambda request, connection: connection.close())
    expect(start.weir(origin), origin, 502, "the origin closed the connection without an answer")


def test_an_origin_that_does_not_speak_http(start):
    origin = start.origin(raw(b"rubbish\r\n\r\n"))
    weir = start.weir(origin)
    assert weir.get("/a").status == 502
    assert re.fullmatch(r"the origin's answer is not valid HTTP \(.+\)", the_line(weir)[7])


def test_a_body_that_ends_early(start):
    origin = start.origin(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", end="close"))
    weir = start.weir(origin)
    assert weir.get("/a").end == "early"
    line = the_line(weir)
    assert line[7] == "the origin's answer ended early" and line[8] == "the response is cut"


def test_a_queue_that_is_full(start):
    origin = start.origin(respond(200))
    gate = origin.gate()
    origin.script = held(gate, respond(200))
    weir = start.weir(origin, pool={"max_connections": 1, "queue": 0})
    first = weir.client()
    first.request("GET", "/first")
    origin.wait_requests(1)
    assert weir.get("/second").status == 503
    assert the_line(weir)[7] == "too many requests wait for this origin (upstreams.up.pool.queue: 0)"
    gate.open()
    assert first.read_response().status == 200


def test_a_client_that_leaves_is_no_failure_of_the_origin(start):
    origin = start.origin(lambda request, connection: connection.wait_closed())
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a")
    origin.wait_requests(1)
    client.reset()
    weir.wait_stats(lambda stats: stats["requests"]["client_gone"] == 1)
    weir.signal()
    assert weir.wait_exit() == 0
    assert "asking" not in weir.stderr()


def total(weir):
    """How many failures the lines tell of, and how many lines there are."""
    lines = ASKING.findall(weir.stderr())
    sums = [int(number) for number in TOLD.findall(weir.stderr())]
    return len(lines) + sum(int(line[8] or 0) for line in lines) + sum(sums), len(lines) + len(sums)


def fail_often(weir, times):
    client = weir.client()
    for number in range(times):
        assert client.get(f"/{number}").status == 502


def test_thousands_of_failures_leave_a_small_log_and_every_count(start):
    weir = start.weir(start.origin(raw(b"rubbish\r\n\r\n", end="close")))
    fail_often(weir, 2000)
    wait_for("the sweep's count", lambda: total(weir)[0] == 2000)
    assert total(weir)[1] < 1000
    log = weir.stats()["error_log"]["warn"]
    assert log["held_back"] > 0 and log["written"] + log["held_back"] >= 2000


def test_counts_are_told_at_the_end(start):
    """Those that no sweep has told."""
    weir = start.weir(start.origin(raw(b"rubbish\r\n\r\n", end="close")))
    fail_often(weir, 50)
    weir.signal()
    assert weir.wait_exit() == 0
    assert total(weir)[0] == 50


def test_counts_are_told_when_stopped_at_once(start):
    origin = start.origin({"/held": lambda request, connection: connection.wait_closed()} |
                               {f"/{number}": raw(b"rubbish\r\n\r\n", end="close") for number in range(50)})
    weir = start.weir(origin, env=stopping_at_once())
    holding = weir.client()
    holding.request("GET", "/held")
    origin.wait_requests(1)
    fail_often(weir, 50)
    weir.signal()
    wait_for("draining", lambda: "draining" in weir.stderr())
    weir.signal()
    assert weir.wait_exit() == 0
    assert total(weir)[0] == 50
