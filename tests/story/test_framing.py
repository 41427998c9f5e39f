"""Requests whose end or meaning two programs could see differently are refused, never forwarded."""

import pytest

from weirtest import respond

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"


def head(*lines, line=b"POST /a HTTP/1.1", host=b"Host: h\r\n"):
    return line + b"\r\n" + host + b"".join(one + b"\r\n" for one in lines) + b"\r\n"


BAD = {
    "both Content-Length and Transfer-Encoding": head(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "the other order": head(b"Transfer-Encoding: chunked", b"Content-Length: 5") + b"0\r\n\r\n",
    "differing lengths": head(b"Content-Length: 5", b"Content-Length: 6") + b"hello",
    "repeated length": head(b"Content-Length: 5", b"Content-Length: 5") + b"hello",
    "length as a list": head(b"Content-Length: 5, 5") + b"hello",
    "negative length": head(b"Content-Length: -5"),
    "length with a sign": head(b"Content-Length: +5") + b"hello",
    "length in hex": head(b"Content-Length: 0x5") + b"hello",
    "length with a point": head(b"Content-Length: 5.0") + b"hello",
    "length with a space inside": head(b"Content-Length: 1 0") + b"hello",
    "empty length": head(b"Content-Length:"),
    "length over 64 bits": head(b"Content-Length: 18446744073709551621") + b"hello",
    "unknown coding": head(b"Transfer-Encoding: gzip"),
    "chunked not last": head(b"Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n",
    "another coding before chunked": head(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "chunked twice": head(b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n",
    "chunked twice in two lines": head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunked then identity": head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity") + b"0\r\n\r\n",
    "misspelt chunked": head(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n",
    "quoted chunked": head(b'Transfer-Encoding: "chunked"') + b"0\r\n\r\n",
    "chunked with a parameter": head(b"Transfer-Encoding: chunked;a=b") + b"0\r\n\r\n",
    "empty coding": head(b"Transfer-Encoding:") + b"0\r\n\r\n",
    "chunked with a vertical tab": head(b"Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n",
    "bare LF": b"GET /a HTTP/1.1\nHost: h\n\n",
    "bare LF after the request line": b"GET /a HTTP/1.1\nHost: h\r\n\r\n",
    "bare LF in a field": head(b"A: b\nC: d"),
    "bare LF at the end": b"GET /a HTTP/1.1\r\nHost: h\r\n\n",
    "bare CR in a value": head(b"A: b\rC: d"),
    "bare CR after the request line": b"GET /a HTTP/1.1\rHost: h\r\n\r\n",
    "CR CR LF": b"GET /a HTTP/1.1\r\r\nHost: h\r\n\r\n",
    "obs-fold": head(b"A: b", b" c"),
    "obs-fold with a tab": head(b"A: b", b"\tc"),
    "fold right after the request line": b"GET /a HTTP/1.1\r\n Host: h\r\n\r\n",
    "space before the colon": head(b"A : b"),
    "tab before the colon": head(b"A\t: b"),
    "space before the colon of Content-Length": head(b"Content-Length : 5") + b"hello",
    "space before the colon of Transfer-Encoding": head(b"Transfer-Encoding : chunked") + b"0\r\n\r\n",
    "no colon": head(b"ABC"),
    "empty name": head(b": b"),
    "space in a name": head(b"A B: c"),
    "NUL in a name": head(b"A\0B: c"),
    "slash in a name": head(b"A/B: c"),
    "8-bit in a name": head(b"A\xe4B: c"),
    "NUL in a value": head(b"A: b\0c"),
    "control in a value": head(b"A: b\x01c"),
    "DEL in a value": head(b"A: b\x7fc"),
    "no Host": head(host=b""),
    "two Hosts": head(b"Host: h"),
    "two different Hosts": head(b"Host: i"),
    "Host with a space": head(host=b"Host: a b\r\n"),
    "Host with a slash": head(host=b"Host: a/b\r\n"),
    "Host with userinfo": head(host=b"Host: u@h\r\n"),
    "Host list": head(host=b"Host: a, b\r\n"),
    "Host with a bad port": head(host=b"Host: a:b\r\n"),
    "two spaces in the request line": head(line=b"GET  /a HTTP/1.1"),
    "space after the version": head(line=b"GET /a HTTP/1.1 "),
    "tab in the request line": head(line=b"GET\t/a HTTP/1.1"),
    "space in the target": head(line=b"GET /a b HTTP/1.1"),
    "space before the method": head(line=b" GET /a HTTP/1.1"),
    "no version": head(line=b"GET /a"),
    "HTTP/0.9": b"GET /a\r\n\r\n",
    "lower case version": head(line=b"GET /a http/1.1"),
    "long version": head(line=b"GET /a HTTP/1.10"),
    "version without a minor": head(line=b"GET /a HTTP/1"),
    "illegal character in the method": head(line=b"GE(T /a HTTP/1.1"),
    "NUL in the target": head(line=b"GET /a\0b HTTP/1.1"),
    "8-bit in the target": head(line=b"GET /\xff HTTP/1.1"),
    "rubbish": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "the HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory, request):
    """One weir for all shapes: what one leaves behind would show in the next."""
    from conftest import Start
    story = Start(str(tmp_path_factory.mktemp("framing")))
    origin = story.origin([])
    weir = story.weir(origin)
    yield origin, weir
    story.finish(check=True)


@pytest.mark.parametrize("name", BAD)
def test_refused_and_closed(running, name):
    origin, weir = running
    before = weir.stats()
    client = weir.client()
    client.send_quietly(BAD[name] + SMUGGLED)
    response = client.read_response()
    assert response.status in ((400, 505) if "HTTP/2" in name else (400,))
    assert "close" in response.members("Connection")
    assert "detail" in response.cache_status()
    client.read_end()
    client.close()

    def counted(stats):
        return sum(stats["requests"]["rejected"].values()) - sum(before["requests"]["rejected"].values())
    after = weir.wait_stats(lambda stats: counted(stats) >= 1, "the counter of this reason")
    assert counted(after) == 1
    assert not origin.requests and not origin.errors
    status = "4xx" if response.status == 400 else "5xx"
    weir.wait_stats(lambda stats: stats["requests"]["status"][status] ==
                    before["requests"]["status"][status] + 1, "the answer counted")


@pytest.mark.parametrize("data", [
    head(b"Content-Length: 5") + b"hello",
    head(b"Content-Length: 005") + b"hello",
    head(b"content-length:5") + b"hello",
    head(b"CONTENT-LENGTH: \t 5 \t") + b"hello",
    head(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n",
    head(b"TRANSFER-ENCODING:CHUNKED") + b"5\r\nhello\r\n0\r\n\r\n",
    head(b"A:", b"B: \t", b"C: x\ty", b"D: \xe4\xf6") ,
    head(b"!#$%&'*+-.^_`|~09azAZ: x"),
    head(line=b"GET /a HTTP/1.1", host=b"Host: [::1]:80\r\n"),
    head(line=b"!#$%&'*+-.^_`|~09azAZ /a HTTP/1.1"),
])
def test_unusual_but_allowed(start, data):
    def script(request, connection):
        respond(200, request.body)(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin)
    client = weir.client()
    client.send(data + head(line=b"GET /next HTTP/1.1"))
    response = client.read_response("HEAD" if data.startswith(b"HEAD") else "GET")
    assert response.status == 200 and response.body == (b"hello" if b"hello" in data else b"")
    assert client.read_response().status == 200
    assert origin.targets == ["/a", "/next"]
    assert weir.rejected() == 0


def test_a_good_request_before_a_bad_one_is_answered(start):
    origin = start.origin(respond(200, b"good"))
    weir = start.weir(origin)
    client = weir.client()
    client.send(head(line=b"GET /a HTTP/1.1") + BAD["bare LF"] + SMUGGLED)
    assert client.read_response().body == b"good"
    assert client.read_response().status == 400
    client.read_end()
    assert origin.targets == ["/a"]


def test_a_bad_request_is_refused_before_it_is_whole(start):
    origin = start.origin([])
    weir = start.weir(origin)
    client = weir.client()
    client.send(b"GET /a HTTP/1.1\r\nHost : h\r\n")
    assert client.read_response().status == 400


def test_an_early_refusal_is_not_lost_to_a_reset(start):
    """The client is still sending when Weir refuses: the answer must reach it (RFC 9112 section 9.6)."""
    origin = start.origin([])
    weir = start.weir(origin)
    client = weir.client()
    client.send_quietly(BAD["both Content-Length and Transfer-Encoding"] + b"x" * 300000)
    assert client.read_response().status == 400
