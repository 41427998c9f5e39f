"""System calls and allocations that fail, one by one: every call of every way of a request, each time with a fresh key.

What the client gets is right and whole, an error of Weir's, or visibly broken; the next request is served; nothing is left over.
The injector is tests/faults/inject.c.
"""

import json
import socket

import pytest

import weirtest
from weirtest import byteranges, cacheable, chunk, field_lines, patterned, response_bytes, wait_for

BODY = patterned(3000)
LARGE = patterned(900000)
LONG_FIELD = [("X-Long", "x" * 3000)]
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "echo")]
MEMORY = ("libevent=ENOMEM", "malloc=ENOMEM")
RECEIVING = ("recv=ECONNRESET", "recv=EINTR", "recv=EAGAIN", "recv=ENOBUFS", "recv=short")
SENDING = ("sendmsg=EPIPE", "sendmsg=ECONNRESET", "sendmsg=EAGAIN", "sendmsg=ENOBUFS", "sendmsg=EINTR", "sendmsg=short",
           "writev=EPIPE", "writev=EAGAIN", "writev=EINTR", "writev=short")
CONNECTING = ("connect=ECONNREFUSED", "connect=ETIMEDOUT", "connect=EADDRNOTAVAIL", "connect=ENETUNREACH",
              "getsockopt=ECONNREFUSED", "getsockopt=EHOSTUNREACH", "socket=EMFILE", "socket=ENOBUFS")
ACCEPTING = ("accept4=EMFILE", "accept4=ENFILE", "accept4=ENOMEM", "accept4=ECONNABORTED", "accept4=EINTR")
POLLING = ("epoll_ctl=ENOMEM", "epoll_ctl=ENOSPC", "epoll_wait=EINTR")
ADMIN = ("malloc=ENOMEM", "jansson=ENOMEM", "accept4=EMFILE", "accept4=ECONNABORTED", "readv=ECONNRESET", "readv=EAGAIN",
         "readv=EINTR", "readv=short", "writev=EPIPE", "writev=EAGAIN", "writev=EINTR", "writev=short", "epoll_wait=EINTR")
MOST_CALLS = 4000


def answer(request, connection):
    """The origin, by target."""
    way = request.target.split("/")[1]
    fields = [("Cache-Control", "max-age=60"), ("ETag", '"1"')]
    if way == "revalidated":
        fields[0] = ("Cache-Control", "no-cache")
    if way == "refreshed":
        fields[0] = ("Cache-Control", "max-age=0, stale-while-revalidate=600")
    if way == "stands_in":
        fields[0] = ("Cache-Control", "max-age=0, stale-if-error=600")
    if way == "other_variant":
        fields.append(("Vary", "X-Lang"))
    if way == "tunnel":
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
        while True:
            connection.send(connection.take_any())
    if way == "interim":
        connection.send(response_bytes(103, b"", [("Link", "</style.css>")]))
    if request.field("If-None-Match") == '"1"':
        connection.send(response_bytes(304, b"", fields))
    elif way in ("chunked", "uploaded"):
        connection.send(response_bytes(200, b"", [("Transfer-Encoding", "chunked")] + fields) + chunk(BODY[:1000]))
        connection.send(chunk(BODY[1000:]) + b"0\r\n" + field_lines([("X-Sum", "1")]) + b"\r\n")
    elif way == "until_close":
        connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\n" + BODY)
        connection.close()
    else:
        connection.send(response_bytes(200, LARGE if way == "large" else BODY, fields + LONG_FIELD * (way == "long_head")))


def read(client, method="GET", body=BODY):
    """How it has ended: "right", a status of Weir's own, or "broken"; anything else fails."""
    try:
        response = client.read_final_head(method)
    except AssertionError as error:
        assert "no response" in str(error), error
        return "broken"
    if method == "HEAD":
        response.end = "clean"
    else:
        client.read_body(response)
    if response.end != "clean":
        assert body.startswith(response.body) or response.status >= 500
        return "broken"
    if response.status in (502, 503):
        assert "weir" in response.field("Cache-Status"), response
        assert response.status != 503 or response.has("Retry-After")
        return response.status
    assert response.status == 200, response
    assert method == "HEAD" or response.body == body, "wrong bytes"
    return "right"


class Ways:
    """Each is one way of a request; those that need something stored store it before the fault is armed."""

    def __init__(self, weir, arm):
        self.weir = weir
        self.arm = arm

    def ask(self, target, method="GET", fields=(), body=None, expected=BODY):
        client = self.weir.client()
        try:
            client.request(method, target, fields, body)
        except ConnectionError:
            return "broken"
        how = read(client, method, expected)
        if how == "right":
            client.request("GET", "/plain/again")
            read(client)
        client.close()
        return how

    def miss(self, target):
        self.arm()
        return self.ask(target)

    def hit(self, target):
        assert self.ask(target) == "right"
        self.arm()
        return self.ask(target)

    def not_modified(self, target):
        assert self.ask(target) == "right"
        self.arm()
        client = self.weir.client()
        client.request("GET", target, [("If-None-Match", '"1"')])
        try:
            response = client.read_response()
        except AssertionError as error:
            assert "no response" in str(error), error
            return "broken"
        assert response.status in (304, 502, 503), response
        return response.status

    def ranges(self, target):
        self.arm()
        client = self.weir.client()
        client.request("GET", target, [("Range", "bytes=10-19,2000-2009")])
        try:
            response = client.read_response()
        except AssertionError as error:
            assert "no response" in str(error), error
            return "broken"
        if response.end != "clean" or response.status in (502, 503):
            return response.status
        assert response.status == 206 and [part[3] for part in byteranges(response)] == [BODY[10:20], BODY[2000:2010]]
        return "right"

    def stored_ranges(self, target):
        assert self.ask(target) == "right"
        return self.ranges(target)

    def chunked(self, target):
        return self.miss(target)

    def until_close(self, target):
        return self.miss(target)

    def interim(self, target):
        return self.miss(target)

    def long_head(self, target):
        self.arm()
        return self.ask(target, fields=LONG_FIELD)

    def large(self, target):
        self.arm()
        return self.ask(target, expected=LARGE)

    def head(self, target):
        self.arm()
        return self.ask(target, "HEAD")

    def posted(self, target):
        self.arm()
        return self.ask(target, "POST", body=patterned(30000))

    def revalidated(self, target):
        assert self.ask(target) == "right"
        self.arm()
        return self.ask(target)

    def refreshed(self, target):
        """The stale one at once, and a fetch behind it that nobody waits for."""
        assert self.ask(target) == "right"
        self.arm()
        return self.ask(target)

    def stands_in(self, target):
        """What is stored, in the place of an origin that fails."""
        assert self.ask(target) == "right"
        self.arm()
        return self.ask(target)

    def other_variant(self, target):
        """A 304 that selects what is stored for another request."""
        assert self.ask(target, fields=[("X-Lang", "en")]) == "right"
        self.arm()
        return self.ask(target, fields=[("X-Lang", "de")])

    def head_of_stored(self, target):
        """What is stored is updated, or made stale."""
        assert self.ask(target) == "right"
        self.arm()
        return self.ask(target, "HEAD", [("Cache-Control", "no-cache")])

    def uploaded(self, target):
        self.arm()
        client = self.weir.client()
        try:
            client.request("POST", target, [("Transfer-Encoding", "chunked")])
            client.send(chunk(patterned(2000)))
            client.send(chunk(patterned(70000)) + b"0\r\n" + field_lines([("X-Sum", "1")]) + b"\r\n")
        except ConnectionError:
            pass
        return read(client)

    def in_pieces(self, target):
        """The head comes in three parts, with another request behind it."""
        self.arm()
        client = self.weir.client()
        data = f"GET {target} HTTP/1.1\r\nHost: example.test\r\n\r\n".encode()
        try:
            for part in (data[:10], data[10:30], data[30:] + data):
                client.send(part)
        except ConnectionError:
            pass
        return read(client), read(client)

    def joined(self, target):
        """Two who ask for the same at the same time."""
        self.arm()
        clients = [self.weir.client() for _ in range(2)]
        for client in clients:
            client.request("GET", target)
        return [read(client) for client in clients]

    def tunnel(self, target):
        self.arm()
        client = self.weir.client()
        client.request("GET", target, UPGRADE)
        try:
            response = client.read_final_head()
            if response.status != 101:
                assert response.status in (502, 503), response
                client.read_body(response)
                return response.status
            client.send(b"hello")
            assert client.read_exact(5) == b"hello"
        except AssertionError as error:
            assert "no response" in str(error) or "early after b''" in str(error) or "reset after b''" in str(error), error
            return "broken"
        except ConnectionError:
            return "broken"
        return "right"


WAYS = [name for name in vars(Ways) if not name.startswith("_") and name != "ask"]


@pytest.fixture
def faulty(start):
    return start.faulty(start.origin(answer), pool={"max_connections": 8})


def is_quiet(stats):
    server = stats["upstreams"]["up"]["servers"][0]["connections"]
    return stats["requests"]["in_flight"] == 0 and stats["connections"]["open"] == 0 and server["active"] == 0 and \
        stats["cache"]["fills"] == 0 and stats["cache"]["readers"] == 0 and stats["cache"]["waiters"] == 0 and \
        stats["buffers"]["bufferevents"]["leased"] == 0


def sweep(weir, way, rule, label, count=1):
    """The first call fails (or so many from it on), then only the second, and so on, until the way needs fewer."""
    orders, seen = weir.orders, set()
    for number in range(MOST_CALLS):
        before = orders.injected()
        ways = Ways(weir, lambda number=number: orders.cue(f"{rule}*{count}+{number}"))
        try:
            how = getattr(ways, way)(f"/{way}/{label}{number}")
        except ConnectionError:
            how = "broken"
        orders.off()
        failed = orders.injected() - before
        for client in weir.clients:
            client.close()
        assert weir.get("/plain/x").body == BODY, f"after {rule} number {number} of {way}: {how}"
        weir.wait_stats(is_quiet, f"nothing left over of {way} with {rule} number {number}, which ended {how}")
        if not failed:
            return number, seen
        seen.add(str(how))
    raise AssertionError(f"{way} needs more than {MOST_CALLS} calls of {rule}")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rule", MEMORY)
def test_memory_is_out_once(faulty, way, rule):
    print(way, rule, *sweep(faulty, way, rule, "m"))


@pytest.mark.parametrize("way", WAYS)
def test_memory_is_out_for_a_while(faulty, way):
    """From one allocation on all fail, until the way has ended."""
    for rule in MEMORY:
        print(way, rule, *sweep(faulty, way, rule, rule, 1000))


@pytest.mark.parametrize("way", WAYS)
def test_a_system_call_fails_once(faulty, way):
    for rule in RECEIVING + SENDING + CONNECTING + ACCEPTING + POLLING:
        number, seen = sweep(faulty, way, rule, rule)
        print(way, rule, number, seen)
        assert number > 0 or rule.split("=")[0] in ("writev", "connect", "getsockopt", "socket"), f"{rule} has not failed"


# Of a miss: status, detail in Cache-Status, what is logged.
TOLD = {
    "connect@origin=ECONNREFUSED*1": (502, "connect-failed", "the origin could not be reached (Connection refused); answered 502"),
    "connect@origin=ETIMEDOUT*1": (502, "connect-failed", "the origin could not be reached (Connection timed out); answered 502"),
    "getsockopt@origin=EHOSTUNREACH*1": (502, "connect-failed", "the origin could not be reached (No route to host); answered 502"),
    "socket=EMFILE*1": (502, "connect-failed", "the origin could not be reached (Too many open files); answered 502"),
    "sendmsg@origin=EPIPE*1": (502, "origin-closed", "the origin closed the connection without an answer; answered 502"),
    "sendmsg@origin=ENOBUFS*1": (503, "overloaded", "out of memory while answering a request; it gets 503"),
    "recv@origin=ECONNRESET*1": (502, "origin-closed", "the origin closed the connection without an answer; answered 502"),
    "epoll_ctl@origin=ENOSPC*1": (503, "overloaded", "out of memory while answering a request; it gets 503"),
    "recv@client=ECONNRESET*1": (None, None, None),
    "epoll_ctl@client=ENOMEM*1": (None, None, None),
    "malloc=ENOMEM*1": (None, None, "out of memory for a client's connection; it is closed"),
    "accept4=EMFILE*1": (200, None, "Too many open files; pausing until some have closed"),
}


@pytest.mark.parametrize("rule", TOLD)
def test_what_a_failure_looks_like(start, rule):
    weir = start.faulty(start.origin(answer), workers=1)
    status, detail, line = TOLD[rule]
    weir.orders.cue(rule)
    try:
        response = weir.get("/miss/told")
    except (AssertionError, ConnectionError):
        response = None  # closed without an answer
    assert weir.orders.injected() == 1
    assert (response.status if response else None) == status
    if detail:
        assert response.cache_status()["detail"] == detail
        weir.wait_stats(lambda stats: stats["requests"]["status"]["5xx"] == 1)
    if line:
        wait_for(f"the line: {line}", lambda: line in weir.stderr())
    if "accept4" in rule:
        weir.wait_stats(lambda stats: stats["connections"]["accept_paused"] == 1)
    weir.orders.off()
    assert weir.get("/miss/told").body == BODY


def ask_admin(weir, method, path):
    """None when the connection broke before there was a whole answer."""
    try:
        response = weir.admin(method, path)
    except OSError:
        return None
    return response if response.end == "clean" else None


def shape(value):
    """All names in it."""
    if isinstance(value, list):
        return [shape(one) for one in value]
    return {name: shape(one) for name, one in value.items()} if isinstance(value, dict) else None


# Not libevent's own memory, nor epoll_ctl: its HTTP server does not bear that (docs/testing.md).
@pytest.mark.parametrize("rule", ADMIN)
def test_the_admin_port_when_a_call_fails_once(faulty, rule):
    asked, way = [("GET", "/stats"), ("POST", "/purge?url=http%3A%2F%2Fexample.test%2Fx")], rule.replace("=", "@main=")
    for method, path in asked:
        whole = shape(json.loads(faulty.admin(method, path).body))
        for number in range(MOST_CALLS):
            before = faulty.orders.injected()
            faulty.orders.cue(f"{way}*1+{number}")
            response = ask_admin(faulty, method, path)
            faulty.orders.off()
            assert response is None or response.status in (400, 500, 503) or shape(json.loads(response.body)) == whole, response
            assert faulty.admin(method, path).status == 200
            if faulty.orders.injected() == before:
                break
        print(method, path, rule, number)


def test_another_try_where_the_port_was_taken(start, monkeypatch):
    """The place for orders is the same one, and the first try has left its socket there."""
    origin = start.origin(cacheable())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [weirtest.free_port() for _ in range(3)] + [taken.getsockname()[1]]
        monkeypatch.setattr(weirtest, "free_port", ports.pop)
        weir = start.faulty(origin)
    assert not ports and weir.get("/a").status == 200
    assert weir.orders.injected() == 0
