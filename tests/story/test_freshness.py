"""For how long a response is fresh, to the second (RFC 9111 section 4.2): fresh a little before, stale a little behind."""

import time
from email.utils import formatdate

import pytest

from weirtest import respond

SLACK_S = 8  # what a slow machine may add


def fixdate(offset_s):
    return formatdate(time.time() + offset_s, usegmt=True)


def rfc850(offset_s):
    return time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(time.time() + offset_s))


def asctime(offset_s):
    return time.asctime(time.gmtime(time.time() + offset_s))


def odd_case(offset_s):
    return fixdate(offset_s).swapcase()


def dated(body, fields):
    """A script: (form, offset in seconds) becomes a date when it answers."""
    def script(request, connection):
        now = [(name, value[0](value[1]) if isinstance(value, tuple) else value) for name, value in fields]
        respond(200, body, now)(request, connection)
    return script


@pytest.mark.parametrize("fields, left_s", [
    ([("Cache-Control", "s-maxage=100, max-age=500"), ("Expires", (fixdate, 900))], 100),
    ([("Cache-Control", "max-age=100"), ("Expires", (fixdate, 900))], 100),
    ([("Cache-Control", "max-age=100"), ("Expires", "0")], 100),
    ([("Cache-Control", "max-age=100"), ("Cache-Control", "max-age=100")], 100),
    ([("Cache-Control", "MAX-AGE=\"0100\"")], 100),
    ([("Expires", (fixdate, 100)), ("Date", (fixdate, 0))], 100),
    ([("Expires", (fixdate, 100))], 100),
    ([("Expires", (rfc850, 100)), ("Date", (rfc850, 0))], 100),
    ([("Expires", (asctime, 100)), ("Date", (asctime, 0))], 100),
    ([("Expires", (odd_case, 100)), ("Date", (odd_case, 0))], 100),
    ([("Expires", (fixdate, 100)), ("Date", "yesterday")], 100),
    ([("Cache-Control", "max-age=100"), ("Date", (fixdate, 5000))], 100),
    ([("Cache-Control", "max-age=100"), ("Date", (fixdate, -40))], 60),
    ([("Cache-Control", "max-age=100"), ("Date", (asctime, -40))], 60),
    ([("Cache-Control", "max-age=100"), ("Date", (fixdate, 0)), ("Date", (fixdate, -40))], 60),
    ([("Cache-Control", "max-age=100"), ("Age", "40")], 60),
    ([("Cache-Control", "max-age=100"), ("Age", "40, 90")], 60),
    ([("Cache-Control", "max-age=100"), ("Age", "40"), ("Age", "90")], 60),
    ([("Cache-Control", "max-age=100"), ("Age", "-40")], 100),
    ([("Cache-Control", "max-age=100"), ("Age", "4.0")], 100),
    ([("Cache-Control", "max-age=100"), ("Age", "20"), ("Date", (fixdate, -40))], 60),
    ([("Last-Modified", (fixdate, -1000)), ("Date", (fixdate, 0))], 100),
    ([("Last-Modified", (rfc850, -1000))], 100),
    ([("Last-Modified", (asctime, -1000))], 100),
    ([("Last-Modified", (fixdate, -1000)), ("Date", (fixdate, 0)), ("Cache-Control", "immutable")], 100),
], ids=str)
def test_fresh_for(start, fields, left_s):
    origin = start.origin([dated(b"one", fields), respond(200, b"two", [("Cache-Control", "max-age=9")])])
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    weir.advance(left_s - SLACK_S)
    hit = weir.get("/a")
    assert hit.body == b"one" and 0 <= hit.cache_status()["ttl"] <= SLACK_S
    weir.advance(SLACK_S + 1)
    assert weir.get("/a").body == b"two"
    weir.wait_cache(hits=1)


@pytest.mark.parametrize("fields", [
    [("Cache-Control", "max-age=100, max-age=200")],
    [("Cache-Control", "max-age=200"), ("Cache-Control", "max-age=100")],
    [("Cache-Control", "max-age=100, s-maxage=x")],
    [("Cache-Control", "max-age=-1"), ("Expires", (fixdate, 100))],
    [("Cache-Control", "max-age= 100")],
    [("Cache-Control", "max-age =100")],
    [("Cache-Control", "max-age='100'")],
    [("Cache-Control", "max-age=100.0")],
    [("Cache-Control", "max-age=1e2")],
    [("Expires", "0"), ("Last-Modified", (fixdate, -1000))],
    [("Expires", (fixdate, 100)), ("Expires", (fixdate, 200))],
    [("Expires", (fixdate, 100)), ("Expires", "0")],
    [("Expires", (fixdate, 0)), ("Date", (fixdate, 0))],
    [("Cache-Control", "max-age=100"), ("Age", "100")],
    [("Cache-Control", "max-age=100"), ("Age", "99999999999999999999")],
    [("Cache-Control", "max-age=100"), ("Date", (fixdate, -101))],
    [("Last-Modified", (fixdate, 100)), ("Date", (fixdate, 0))],
    [("Last-Modified", (fixdate, -1000)), ("Last-Modified", (fixdate, -9000))],
], ids=str)
def test_never_fresh(start, fields):
    origin = start.origin([dated(b"one", fields), dated(b"two", fields)])
    weir = start.weir(origin)
    assert weir.get("/a").body == b"one"
    assert weir.get("/a").body == b"two"
    weir.wait_cache(hits=0)


def test_immutable_is_passed_on_and_a_reload_is_heeded(start):
    """RFC 8246 speaks to clients; a client that asks anew gets a new answer."""
    fields = [("Cache-Control", "max-age=100, immutable")]
    origin = start.origin([respond(200, b"one", fields), respond(200, b"two", fields)])
    weir = start.weir(origin)
    weir.get("/a")
    hit = weir.get("/a")
    assert hit.body == b"one" and hit.field("Cache-Control") == "max-age=100, immutable"
    assert weir.get("/a", [("Cache-Control", "max-age=0")]).body == b"two"
    weir.wait_cache(hits=1)
