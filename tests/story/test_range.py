"""Ranges of what is stored (RFC 9110 section 14): 206, 416, If-Range, and what is ignored."""

import email
import http.client
import random
import subprocess
import time

import pytest

from weirtest import byteranges, cacheable, chunked, log_entries, patterned, respond

BODY = patterned(1000, 7)


def ago(seconds, form="%a, %d %b %Y %H:%M:%S GMT"):
    return time.strftime(form, time.gmtime(IMPORTED_S - seconds))


IMPORTED_S = int(time.time())
CHANGED = ago(3600)


def stored(start, body=BODY, fields=(), ttl_s=60, **more):
    """A weir that has it stored under /a, and a client that has read it."""
    origin = start.origin(cacheable(body, ttl_s, list(fields)))
    weir = start.weir(origin, **more)
    client = weir.client()
    assert client.get("/a").body == body
    weir.wait_cache(stored=1)
    return origin, weir, client


def expect_range(response, first, last, body=BODY):
    assert response.status == 206 and response.end == "clean", response
    assert response.field("Content-Range") == f"bytes {first}-{last}/{len(body)}"
    assert response.all("Content-Length") == [str(last - first + 1)]
    assert response.body == body[first:last + 1]


@pytest.mark.parametrize("asked, first, last", [
    ("bytes=0-0", 0, 0),
    ("bytes=0-", 0, 999),
    ("bytes=0-999", 0, 999),
    ("bytes=0-1000", 0, 999),
    ("bytes=1-998", 1, 998),
    ("bytes=999-", 999, 999),
    ("bytes=999-999", 999, 999),
    ("bytes=500-99999999999999999999999", 500, 999),
    ("bytes=-1", 999, 999),
    ("bytes=-1000", 0, 999),
    ("bytes=-1001", 0, 999),
    ("bytes=-99999999999999999999999", 0, 999),
    ("bytes=00-009", 0, 9),
    ("Bytes=0-4", 0, 4),
    ("bytes= ,\t5-6 , ", 5, 6),
    ("bytes=5-6,1000-2000,-0", 5, 6),
    ("bytes=0-9,89-99", 0, 99),
    ("bytes=50-99,0-60", 0, 99),
    ("bytes=0-499,500-999", 0, 999),
    ("bytes=0-999,0-999,1-", 0, 999),
])
def test_one_range(start, asked, first, last):
    """Several that are near each other are one, and then no multipart (section 15.3.7.2)."""
    origin, weir, client = stored(start)
    response = client.get("/a", [("Range", asked)])
    expect_range(response, first, last)
    assert response.cache_status()["hit"] is True and response.cache_status()["ttl"] <= 60
    assert client.get("/a").body == BODY
    assert len(origin.requests) == 1
    stats = weir.wait_cache(hits=2, misses=1)
    assert stats["requests"]["status"]["2xx"] == 3


@pytest.mark.parametrize("asked", [
    "bytes=1000-", "bytes=1000-1000", "bytes=99999999999999999999999-", "bytes=-0", "bytes=-0,1000-,2000-3000",
    "bytes=99999999999999999999999-99999999999999999999999",
])
def test_unsatisfiable(start, asked):
    """Nothing that describes the representation goes with a 416, and it may not be kept."""
    origin, weir, client = stored(start, fields=[
        ("ETag", '"v"'), ("Last-Modified", CHANGED), ("Content-Type", "text/plain"), ("Content-Language", "de"),
        ("Expires", ago(-86400)), ("Vary", "X-Own"), ("Set-Cookie", "a=b"), ("X-Other", "y"),
        ("Access-Control-Allow-Origin", "*"), ("Accept-Ranges", "bytes")])
    response = client.get("/a", [("Range", asked)])
    assert response.status == 416 and response.body == b"" and response.all("Content-Length") == ["0"]
    assert response.field("Content-Range") == "bytes */1000"
    assert response.cache_status()["hit"] is True
    names = {name.lower() for name, _ in response.fields}
    assert names == {"date", "via", "vary", "accept-ranges", "access-control-allow-origin", "content-range",
                     "content-length", "cache-status", "age"}
    assert client.get("/a").body == BODY and len(origin.requests) == 1
    stats = weir.wait_cache(hits=2, misses=1)
    assert stats["requests"]["status"]["4xx"] == 1


@pytest.mark.parametrize("asked", [
    "bytes=", "bytes=,", "bytes=-", "bytes=5-4", "bytes=0-4,5-4", "bytes=a-b", "bytes=0-4;5-6", "bytes=0 - 4", "bytes=0-4 5",
    "bytes =0-4", "bytes:0-4", "bytes", "0-4", "", "items=0-4", "bytes=+0-4", "bytes=0--4", "bytes=--4", "bytes=0x0-4",
    "bytes=\"0-4\"", "bytes=0-4,items=5-6",
    "bytes=500-999,0-99,500-999",
    "bytes=" + ",".join(f"{at}-{at}" for at in range(17)),
    "bytes=" + ",".join("0-0" for _ in range(17)),
])
def test_ignored(start, asked):
    """What is malformed, of another unit, or asks for more than there is: the whole (section 14.2)."""
    origin, weir, client = stored(start)
    response = client.get("/a", [("Range", asked)])
    assert response.status == 200 and response.body == BODY and not response.has("Content-Range")
    assert response.cache_status()["hit"] is True
    assert len(origin.requests) == 1
    weir.wait_cache(hits=1)


def test_two_range_lines_are_ignored(start):
    _, _, client = stored(start)
    response = client.get("/a", [("Range", "bytes=0-4"), ("Range", "bytes=0-4")])
    assert response.status == 200 and response.body == BODY


@pytest.mark.parametrize("asked, spans", [
    ("0-9,200-209", [(0, 9), (200, 209)]),
    ("0-9,90-99", [(0, 9), (90, 99)]),
    ("900-909,0-9,500-509", [(900, 909), (0, 9), (500, 509)]),
    ("-10,0-9", [(990, 999), (0, 9)]),
    ("0-0,500-,2000-", [(0, 0), (500, 999)]),
    ("0-9,15-19,300-309,300-309", [(0, 19), (300, 309)]),
    (",".join(f"{at * 60 * 2}-{at * 60 * 2}" for at in range(8)), [(at * 120, at * 120) for at in range(8)]),
    (",".join(f"{at}-{at}" for at in range(0, 1000, 100)) + "," + ",".join("2000-" for _ in range(6)),
     [(at, at) for at in range(0, 1000, 100)]),
])
def test_several_ranges(start, asked, spans):
    """Parts in the order asked for, the length announced and exact."""
    origin, weir, client = stored(start, fields=[("Content-Type", "text/x-own; a=b")])
    response = client.get("/a", [("Range", "bytes=" + asked)])
    assert response.status == 206 and response.end == "clean"
    assert [part[:2] for part in byteranges(response)] == spans
    for first, last, length, data, kind in byteranges(response):
        assert length == 1000 and data == BODY[first:last + 1] and kind == "text/x-own; a=b"
    assert response.cache_status()["hit"] is True
    assert client.get("/a").body == BODY and len(origin.requests) == 1
    weir.wait_cache(hits=2, misses=1)


def test_a_library_reads_the_multipart(start):
    """Without a Content-Type of the representation the parts have none; each response has a boundary of its own."""
    _, _, client = stored(start)
    kinds = set()
    for _ in range(3):
        response = client.get("/a", [("Range", "bytes=1-3,700-709")])
        kinds.add(response.field("Content-Type"))
        message = email.message_from_bytes(b"Content-Type: " + response.field("Content-Type").encode() +
                                           b"\r\n\r\n" + response.body)
        assert message.is_multipart() and not message.defects
        assert [part["Content-Range"] for part in message.get_payload()] == ["bytes 1-3/1000", "bytes 700-709/1000"]
        assert all(part[4] is None for part in byteranges(response))
    assert len(kinds) == 3


TAG = {"ETag": '"v"'}
DATED = {"Last-Modified": 3600, "Date": 3540}  # a number: so many seconds ago


@pytest.mark.parametrize("fields, condition, status", [
    (TAG, '"v"', 206),
    (TAG, '"w"', 200),
    (TAG, '"V"', 200),
    (TAG, 'W/"v"', 200),
    ({"ETag": 'W/"v"'}, 'W/"v"', 200),
    ({"ETag": 'W/"v"'}, '"v"', 200),
    (TAG, '"v", "w"', 200),
    (TAG, "v", 200),
    ({"ETag": "v"}, "v", 200),
    (TAG, "*", 200),
    (TAG, "", 200),
    ({}, '"v"', 200),
    (DATED, 3600, 206),
    (DATED, 3599, 200),
    (DATED, 3601, 200),
    (DATED, "yesterday", 200),
    ({"Last-Modified": 3600, "Date": 3541}, 3600, 200),
    ({"Last-Modified": 3600}, 3600, 206),
    ({"Date": 3540}, 3540, 200),
])
@pytest.mark.parametrize("asked", ["bytes=0-9", "bytes=2000-"])
def test_if_range(start, fields, condition, status, asked):
    """Strong comparison only; where it does not hold, Range counts for nothing (section 13.1.5)."""
    def written(value):
        return ago(value) if isinstance(value, int) else value
    origin, weir, client = stored(start, fields=[(name, written(value)) for name, value in fields.items()], ttl_s=86400)
    response = client.get("/a", [("Range", asked), ("If-Range", written(condition))])
    if status == 200:
        assert response.status == 200 and response.body == BODY
    elif asked == "bytes=0-9":
        expect_range(response, 0, 9)
    else:
        assert response.status == 416
    assert len(origin.requests) == 1
    weir.wait_cache(hits=1)


def test_if_range_twice_or_in_an_old_form(start):
    _, _, client = stored(start, fields=[("ETag", '"v"'), ("Last-Modified", CHANGED)])
    response = client.get("/a", [("Range", "bytes=0-9"), ("If-Range", '"v"'), ("If-Range", '"v"')])
    assert response.status == 200 and response.body == BODY
    expect_range(client.get("/a", [("Range", "bytes=0-9"), ("If-Range", ago(3600, "%A, %d-%b-%y %H:%M:%S GMT"))]), 0, 9)


def test_fields_of_a_206(start):
    """Those a 200 would have had (section 15.3.7), but for digests of the whole content."""
    fields = [("Date", ago(60)), ("ETag", '"v"'), ("Last-Modified", CHANGED), ("Content-Type", "text/plain"),
              ("Content-Language", "de"), ("Content-Encoding", "x-own"), ("Content-Location", "/b"),
              ("Expires", ago(-86400)), ("Vary", "X-Own"), ("X-Other", "y"), ("Content-Disposition", "inline")]
    wrong = [("Content-Digest", "sha-256=:AA==:"), ("Content-MD5", "AA=="), ("Content-Range", "bytes 3-4/5")]
    origin = start.origin(respond(200, BODY, [("Cache-Control", "max-age=86400")] + fields + wrong))
    weir = start.weir(origin)
    client = weir.client()
    client.get("/a")
    response = client.get("/a", [("Range", "bytes=0-9")])
    expect_range(response, 0, 9)
    for name, value in fields:
        assert response.all(name) == [value]
    assert response.field("Cache-Control") == "max-age=86400"
    assert not response.has("Content-Digest") and not response.has("Content-MD5")
    # One who has the rest by a strong validator knows what describes the representation.
    response = client.get("/a", [("Range", "bytes=0-9"), ("If-Range", '"v"')])
    expect_range(response, 0, 9)
    left_out = {"Content-Type", "Content-Language", "Content-Encoding"}
    for name, value in fields:
        assert response.all(name) == ([] if name in left_out else [value])
    assert len(origin.requests) == 1


def test_several_ranges_of_what_is_encoded(start):
    """A coding is said of the whole content, and a multipart has none: one range, or the whole."""
    _, _, client = stored(start, fields=[("Content-Encoding", "x-own")])
    response = client.get("/a", [("Range", "bytes=0-9,500-509")])
    assert response.status == 200 and response.body == BODY
    response = client.get("/a", [("Range", "bytes=5-9")])
    expect_range(response, 5, 9)
    assert response.field("Content-Encoding") == "x-own"


def test_several_ranges_with_if_range(start):
    _, _, client = stored(start, fields=[("ETag", '"v"'), ("Content-Type", "text/plain")])
    response = client.get("/a", [("Range", "bytes=0-9,500-509"), ("If-Range", '"v"')])
    assert [part[:2] for part in byteranges(response)] == [(0, 9), (500, 509)]
    assert response.field("ETag") == '"v"'


@pytest.mark.parametrize("condition, status", [
    (("If-None-Match", '"v"'), 304),
    (("If-None-Match", '"w"'), 206),
    (("If-Modified-Since", 3600), 304),
    (("If-Modified-Since", 3601), 206),
])
@pytest.mark.parametrize("if_range", [[], [("If-Range", '"v"')]])
def test_other_conditions_come_first(start, condition, status, if_range):
    """RFC 9110 section 13.2.2."""
    origin, weir, client = stored(start, fields=[("ETag", '"v"'), ("Last-Modified", CHANGED)])
    name, value = condition
    response = client.get("/a", [("Range", "bytes=0-9"), (name, ago(value) if isinstance(value, int) else value)] + if_range)
    assert response.status == status
    if status == 206:
        expect_range(response, 0, 9)
    assert not (status == 304 and response.has("Content-Range"))
    assert len(origin.requests) == 1
    weir.wait_cache(hits=1)


def test_head_knows_no_ranges(start):
    """Section 14.2: Range is defined for GET only."""
    origin, _, client = stored(start)
    response = client.fetch("HEAD", "/a", [("Range", "bytes=0-9")])
    assert response.status == 200 and response.all("Content-Length") == ["1000"] and not response.has("Content-Range")
    response = client.fetch("HEAD", "/b", [("Range", "bytes=0-9")])
    assert response.status == 200
    assert not origin.requests[1].has("Range")
    assert client.get("/a").body == BODY


@pytest.mark.parametrize("status", [404, 203, 301])
def test_only_a_200_has_ranges(start, status):
    origin = start.origin(respond(status, BODY, [("Cache-Control", "max-age=60")]))
    weir = start.weir(origin)
    client = weir.client()
    for _ in range(2):
        response = client.get("/a", [("Range", "bytes=0-9")])
        assert response.status == status and response.body == BODY
    assert len(origin.requests) == 1
    weir.wait_cache(hits=1, misses=1)


def test_an_empty_body(start):
    """There is nothing of which a range could be sent: the whole of it."""
    _, _, client = stored(start, b"")
    for asked in ("bytes=0-", "bytes=-5", "bytes=0-0,5-6"):
        response = client.get("/a", [("Range", asked)])
        assert response.status == 200 and response.body == b"" and response.all("Content-Length") == ["0"]


def test_what_came_in_chunks(start):
    """Once it is stored its length is known; trailers are of the whole."""
    origin = start.origin(chunked(BODY[:300], BODY[300:], fields=[("Cache-Control", "max-age=60"), ("Trailer", "X-Sum")],
                                  trailers=[("X-Sum", "1")]))
    weir = start.weir(origin)
    client = weir.client()
    client.get("/a")
    weir.wait_cache(stored=1)
    expect_range(client.get("/a", [("Range", "bytes=299-300")]), 299, 300)
    expect_range(client.get("/a", [("Range", "bytes=-1")]), 999, 999)


def test_age_and_freshness(start):
    """A range is as old as the response that it is of, and asked about when that is stale."""
    origin = start.origin([cacheable(BODY, 60, [("ETag", '"v"')]),
                           respond(304, b"", [("Cache-Control", "max-age=30"), ("ETag", '"v"'), ("X-New", "y")]),
                           cacheable(BODY[:500], 60, [("ETag", '"w"')])])
    weir = start.weir(origin, clock=True)
    client = weir.client()
    client.get("/a")
    weir.advance(20)
    response = client.get("/a", [("Range", "bytes=0-9")])
    expect_range(response, 0, 9)
    age = int(response.field("Age"))
    assert 20 <= age < 40 and response.cache_status()["ttl"] == 60 - age
    weir.advance(60)
    response = client.get("/a", [("Range", "bytes=10-19"), ("If-Range", '"v"')])
    expect_range(response, 10, 19)
    assert response.field("X-New") == "y" and response.cache_status()["fwd-status"] == 304
    # The question is about the whole, and the client's own conditions are answered here.
    assert origin.requests[1].field("If-None-Match") == '"v"'
    assert not origin.requests[1].has("Range") and not origin.requests[1].has("If-Range")
    weir.advance(40)
    response = client.get("/a", [("Range", "bytes=10-19"), ("If-Range", '"v"')])
    assert response.status == 200 and response.body == BODY[:500] and response.field("ETag") == '"w"'
    expect_range(client.get("/a", [("Range", "bytes=10-19")]), 10, 19, BODY[:500])
    weir.wait_cache(hits=2, misses=2, revalidated=1)


@pytest.mark.parametrize("fields", [[], [("Cache-Control", "no-store")]])
def test_stale_where_the_origin_fails(start, fields):
    """RFC 5861: a range of what is stored, though the origin had been asked for the range alone."""
    origin = start.origin([cacheable(BODY, fields=[("Cache-Control", "stale-if-error=600")]), respond(503)])
    weir = start.weir(origin, clock=True)
    client = weir.client()
    client.get("/a")
    weir.advance(70)
    expect_range(client.get("/a", [("Range", "bytes=0-9")] + fields), 0, 9)
    assert origin.requests[1].field("Range") == ("bytes=0-9" if fields else None)
    weir.wait_cache(stale=1)


def test_stale_while_it_is_refreshed(start):
    """The refresh is for all of it."""
    origin = start.origin([cacheable(BODY, fields=[("Cache-Control", "stale-while-revalidate=600")]), cacheable(BODY[::-1])])
    weir = start.weir(origin, clock=True)
    client = weir.client()
    client.get("/a")
    weir.advance(70)
    expect_range(client.get("/a", [("Range", "bytes=0-9")]), 0, 9)
    assert not origin.wait_requests(2).has("Range")
    weir.wait_cache(stale=1, stored=2)
    expect_range(client.get("/a", [("Range", "bytes=0-9")]), 0, 9, BODY[::-1])


def test_connections_live_on(start):
    """Ranges in a pipeline, and everything else behind them."""
    origin, weir, client = stored(start)
    asked = ["bytes=0-9", None, "bytes=2000-", "bytes=0-9,500-509", "bytes=-3", "bytes=9-0", "bytes=990-"]
    for value in asked * 5:
        client.request("GET", "/a", [("Range", value)] if value else [])
    for value in asked * 5:
        response = client.read_response()
        if value in (None, "bytes=9-0"):
            assert response.status == 200 and response.body == BODY
        elif value == "bytes=2000-":
            assert response.status == 416
        elif "," in value:
            assert [part[3] for part in byteranges(response)] == [BODY[:10], BODY[500:510]]
        else:
            assert response.status == 206 and response.body in (BODY[:10], BODY[-3:], BODY[-10:])
    assert len(origin.requests) == 1 and weir.stats()["connections"]["accepted"] == 1
    weir.wait_cache(hits=35)


def test_http10(start):
    _, _, client = stored(start)
    response = client.get("/a", [("Range", "bytes=10-19"), ("Connection", "keep-alive")], version="1.0")
    expect_range(response, 10, 19)
    response = client.get("/a", [("Range", "bytes=0-9,500-509")], version="1.0")
    assert [part[3] for part in byteranges(response)] == [BODY[:10], BODY[500:510]]
    assert client.read_end() == "early"


def test_large_bodies(start):
    """Of a body in many pieces, anywhere."""
    body = patterned(9_000_001, 3)
    origin, weir, client = stored(start, body)
    dice = random.Random(5)
    for _ in range(60):
        cuts = sorted(dice.randrange(len(body)) for _ in range(2 * dice.randrange(1, 8)))
        spans = [(cuts[at], cuts[at + 1]) for at in range(0, len(cuts), 2)]
        dice.shuffle(spans)
        response = client.get("/a", [("Range", "bytes=" + ",".join(f"{first}-{last}" for first, last in spans))])
        assert response.status == 206 and response.end == "clean"
        if response.has("Content-Range"):
            assert len(spans) == 1
            expect_range(response, *spans[0], body)
            continue
        got = byteranges(response)
        assert all(data == body[first:last + 1] and length == len(body) for first, last, length, data, _ in got)
        assert all(any(part[0] <= first and last <= part[1] for part in got) for first, last in spans)
    assert len(origin.requests) == 1
    weir.wait_cache(hits=60)


def test_a_client_that_stalls(start):
    """What the socket does not take waits, by reference, and comes out right."""
    body = patterned(24_000_000, 4)
    _, weir, _ = stored(start, body)
    client = weir.client(receive_buffer=4096)
    client.request("GET", "/a", [("Range", "bytes=1000-11999999,12100000-23999990")])
    response = client.read_final_head()
    weir.wait_stats(lambda stats: stats["buffers"]["bufferevents"]["leased"] == 1, "a client that takes nothing")
    client.read_body(response, at_least=5_000_000)
    assert client.read_body(response).end == "clean"
    assert [part[:2] for part in byteranges(response)] == [(1000, 11999999), (12100000, 23999990)]
    assert all(data == body[first:last + 1] for first, last, _, data, _ in byteranges(response))
    gone = weir.client(receive_buffer=4096)
    gone.request("GET", "/a", [("Range", "bytes=1000-")])
    gone.read_final_head()
    gone.reset()
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 0 and stats["requests"]["client_gone"] == 1,
                    "the client gone")


def test_access_log(start, tmp_path):
    """It has the bytes that were sent, and the status."""
    path = tmp_path / "log"
    _, _, client = stored(start, access_log={"path": str(path), "format": "json"})
    client.get("/a", [("Range", "bytes=10-19")])
    several = client.get("/a", [("Range", "bytes=10-19,500-509")])
    client.get("/a", [("Range", "bytes=1000-")])
    entries = log_entries(str(path), 4)
    assert [entry["status"] for entry in entries] == [200, 206, 206, 416]
    assert [entry["bytes"] for entry in entries] == [1000, 10, len(several.body), 0]
    assert [entry["cache"] for entry in entries] == ["miss", "hit", "hit", "hit"]


def test_resuming_with_curl(start, tmp_path):
    """A download that was cut off goes on where it was, and several ranges come as curl asks for them."""
    body = patterned(300_000, 9)
    origin, weir, _ = stored(start, body)
    url, path = f"http://127.0.0.1:{weir.port}/a", tmp_path / "file"
    path.write_bytes(body[:123_457])

    def curl(*args):
        return subprocess.run(["curl", "-sS", "--max-time", "20", "-H", "Host: example.test", *args, url],
                              capture_output=True, check=True).stdout
    curl("-C", "-", "-o", str(path))
    assert path.read_bytes() == body
    assert curl("-r", "5-14") == body[5:15]
    assert curl("-r", "-7") == body[-7:]
    several = curl("-i", "-r", "0-9,100000-100009")
    assert several.startswith(b"HTTP/1.1 206") and body[:10] in several and body[100_000:100_010] in several
    assert len(origin.requests) == 1


def test_resuming_with_a_library(start):
    body = patterned(200_000, 10)
    _, weir, _ = stored(start, body, [("ETag", '"v"')])
    got = b""
    while len(got) < len(body):
        connection = http.client.HTTPConnection("127.0.0.1", weir.port)
        connection.request("GET", "/a", headers={"Host": "example.test", "Range": f"bytes={len(got)}-", "If-Range": '"v"'})
        response = connection.getresponse()
        assert response.status == 206 and int(response.getheader("Content-Length")) == len(body) - len(got)
        got += response.read(33_333)
        connection.close()
    assert got == body
