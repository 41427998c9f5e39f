"""Known ways to smuggle a request or a response past a proxy: none gets through, and nobody gets another one's answer.

Each shape goes through a weir to three origins: a strict one, and two that honour what a strict one does not, and prefer
the length or the coding where a message has both (or something like it). What reaches each is counted; a victim on
another connection follows, over the same connection to the origin, and has to get its own answer.

Names as in the literature: CL and TE are Content-Length and Transfer-Encoding, the front's view first, 0 is "no body".
TERM, EXT and SPILL are where one side ends a chunk's line, takes an extension, or takes bytes behind chunk data.
"""

import re

import pytest

from conftest import Start
from weirtest import Malformed, Origin, Request, cacheable, raw, respond

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
# What an attacker ends with, so that the next request on the connection becomes a part of it.
OPEN = b"GET /smuggled HTTP/1.1\r\nX-Swallow: "


def head(*lines, line=b"POST /a HTTP/1.1", host=b"Host: h\r\n"):
    return line + b"\r\n" + host + b"".join(one + b"\r\n" for one in lines) + b"\r\n"


def length(body, *lines, **more):
    return head(*lines, b"Content-Length: %d" % len(body), **more) + body


def coded(body, *lines, **more):
    return head(*lines, b"Transfer-Encoding: chunked", **more) + body


END = b"0\r\n\r\n"
IN_A_CHUNK = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)

# Lines that one side takes for "Transfer-Encoding: chunked" and another does not.
OBFUSCATED = [
    b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b" Transfer-Encoding: chunked", b"\tTransfer-Encoding: chunked", b"\x0bTransfer-Encoding: chunked",
    b"\0Transfer-Encoding: chunked", b"Transfer-Encoding\0: chunked", b"Transfer-Encoding\x0b: chunked", b"Transfer-Encoding\r: chunked", b"Transfer-Encoding\n: chunked", b"Transfer-Encoding:\n chunked",
    b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding:\r\n\tchunked", b"X: y\r\n Transfer-Encoding: chunked", b"X: y\nTransfer-Encoding: chunked", b"X: y\rTransfer-Encoding: chunked",
    b"X: y\r\r\nTransfer-Encoding: chunked", b"X: y\0\r\nTransfer-Encoding: chunked", b"Transfer-Encoding chunked", b"Transfer-Encoding;: chunked", b"\xffTransfer-Encoding: chunked", b"Transfer\xadEncoding: chunked",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunkedx", b"Transfer-Encoding: chunk", b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: \x0cchunked", b"Transfer-Encoding: chunked\x0b",
    b"Transfer-Encoding: \0chunked", b"Transfer-Encoding: chunked\0", b"Transfer-Encoding: \xa0chunked", b"Transfer-Encoding: \x85chunked", b"Transfer-Encoding: chunked\r", b"Transfer-Encoding: \rchunked",
    b'Transfer-Encoding: "chunked"', b"Transfer-Encoding: 'chunked'", b"Transfer-Encoding: chunked;", b"Transfer-Encoding: chunked;q=1", b'Transfer-Encoding: chunked;a="b"', b"Transfer-Encoding: chunked,", b"Transfer-Encoding: ,chunked",
    b"Transfer-Encoding: , chunked", b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding: identity, chunked", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, gzip", b"Transfer-Encoding: cow, chunked", b"Transfer-Encoding: chunked, cow", b"Transfer-Encoding: chunked cow", b"Transfer-Encoding: Transfer-Encoding: chunked", b"Transfer-Encoding: ", b"Transfer-Encoding:",
    b"Transfer-Encoding:: chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x", b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"transfer-encoding: x\r\nTRANSFER-ENCODING: chunked", b"Transfer-Encoding: chun\r\n ked", b"Transfer-Encoding: chunked\r\n , identity",
]
# Lengths that one side reads as another number than the other, or not at all.
LENGTHS = [
    b"+%d", b"-%d", b"0x%x", b"0o%o", b"%d %d", b"%d,%d", b"%d, %d", b"%d, 0", b"0, %d", b"%d;", b"%d.0", b"%de0", b"1_%d", b'"%d"', b"%d\0", b"\0%d", b"%d\x0b", b"\x0b%d", b"\xa0%d", b"%d\r", b"%dx", b"", b" ", b",", b"%d,",
    b"\r\n %d", b"%d\r\n 0", b"18446744073709551616", b"184467440737095516%d", b"9223372036854775808", b"%d\nX: y", b"0\nContent-Length: %d", b"%d\r\nContent-Length: %d", b"%d\r\nContent-Length: 0", b"0\r\nContent-Length: %d",
    b"%d\r\nContent-Length:", b"\r\nContent-Length: %d", b"%d\r\ncontent-length: %d",
]


def with_length(pattern, body):
    value = pattern % ((len(body),) * len(re.findall(rb"%[dxo]", pattern)))
    return head(b"Content-Length: " + value) + body


REFUSED = {
    # Both, in either order.
    "CL.TE": length(END + SMUGGLED, b"Transfer-Encoding: chunked"),
    "CL.TE, open": length(END + OPEN, b"Transfer-Encoding: chunked"),
    "CL.TE, the coding last": head(b"Content-Length: %d" % len(END + SMUGGLED), b"Transfer-Encoding: chunked") + END + SMUGGLED,
    "TE.CL": coded(IN_A_CHUNK, b"Content-Length: 4"),
    "TE.CL, the length last": head(b"Transfer-Encoding: chunked", b"Content-Length: 4") + IN_A_CHUNK,
    "TE.0": coded(SMUGGLED + END, b"Content-Length: 0"),
    "TE and two lengths": coded(END + SMUGGLED, b"Content-Length: 3", b"Content-Length: 5"),
    "TE in HTTP/1.0": coded(END + SMUGGLED, line=b"POST /a HTTP/1.0"),
    "TE in HTTP/1.0, kept": coded(END + SMUGGLED, b"Connection: keep-alive", line=b"POST /a HTTP/1.0"),
    # 0.CL: a length that the front does not see.
    "0.CL, white space before the colon": head(b"Content-Length : 35") + SMUGGLED,
    "0.CL, a tab before the colon": head(b"Content-Length\t: 35") + SMUGGLED,
    "0.CL, behind a fold": head(b"X: y", b" Content-Length: 35") + SMUGGLED,
    "0.CL, behind a LF": head(b"X: y\nContent-Length: 35") + SMUGGLED,
    "0.CL, behind a CR": head(b"X: y\rContent-Length: 35") + SMUGGLED,
    "0.CL, before the first field": b"POST /a HTTP/1.1\r\n Content-Length: 35\r\nHost: h\r\n\r\n" + SMUGGLED,
    "0.CL, without a colon": head(b"Content-Length 35") + SMUGGLED,
    "0.CL, a NUL in the name": head(b"Content-Length\0: 35") + SMUGGLED,
    "0.CL, a NUL before the name": head(b"\0Content-Length: 35") + SMUGGLED,
    # Line ends of the head.
    "a head of LF": b"POST /a HTTP/1.1\nHost: h\nContent-Length: 0\n\n",
    "a head of CR": b"POST /a HTTP/1.1\rHost: h\rContent-Length: 0\r\r",
    "the head's end of LF": b"POST /a HTTP/1.1\r\nHost: h\r\nX: y\n\n" + SMUGGLED,
    "the head's end of LF CR LF": b"POST /a HTTP/1.1\r\nHost: h\r\n\n\r\n" + SMUGGLED,
    "the head's end of CR": b"POST /a HTTP/1.1\r\nHost: h\r\n\r" + SMUGGLED,
    "the head's end of CR CR LF": b"POST /a HTTP/1.1\r\nHost: h\r\n\r\r\n" + SMUGGLED,
    "the request line ends with a LF": b"POST /a HTTP/1.1\nHost: h\r\n\r\n" + SMUGGLED,
    "the request line ends with white space": b"POST /a HTTP/1.1 \r\nHost: h\r\n\r\n" + SMUGGLED,
    "white space behind the request line": b"POST /a HTTP/1.1\r\n \r\nHost: h\r\n\r\n" + SMUGGLED,
    "a folded first field": b"POST /a HTTP/1.1\r\n\tHost: h\r\n\r\n" + SMUGGLED,
    "an empty line of white space": head(b" ") + SMUGGLED,
    "white space before the method": b" POST /a HTTP/1.1\r\nHost: h\r\n\r\n" + SMUGGLED,
    "a LF before the method": b"\nPOST /a HTTP/1.1\r\nHost: h\r\n\r\n" + SMUGGLED,
    "a request in the target": b"GET /a HTTP/1.1 HTTP/1.1\r\nHost: h\r\n\r\n" + SMUGGLED,
    "a tab in the request line": b"GET\t/a\tHTTP/1.1\r\nHost: h\r\n\r\n" + SMUGGLED,
    "a CR in the target": b"GET /a\rGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
    "a LF in the target": b"GET /a\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
    "HTTP/0.9": b"GET /smuggled\r\n\r\n",
    "a fold in a value": head(b"X: y\r\n GET /smuggled HTTP/1.1") + SMUGGLED,
    # Hosts.
    "two Hosts": head(b"Host: evil") + SMUGGLED,
    "two Hosts, one folded": b"GET /a HTTP/1.1\r\nHost: h\r\n Host: evil\r\n\r\n" + SMUGGLED,
    "two Hosts in a line": head(host=b"Host: h, evil\r\n"),
    "a Host with white space before the colon": head(b"Host : evil") + SMUGGLED,
    "no Host": head(host=b""),
    "an absolute-form without Host": head(line=b"GET http://h/a HTTP/1.1", host=b""),
    "an absolute-form with a bad Host": head(line=b"GET http://h/a HTTP/1.1", host=b"Host: a b\r\n"),
    "user information in the target": head(line=b"GET http://h@evil/a HTTP/1.1"),
    "another scheme": head(line=b"GET gopher://evil/a HTTP/1.1"),
    "a target without a slash": head(line=b"GET @evil/a HTTP/1.1"),
    "a fragment": head(line=b"GET /a#/../smuggled HTTP/1.1"),
    # Chunks: sizes.
    "chunk size with 0x": coded(b"0x5\r\nhello\r\n" + END + SMUGGLED),
    "chunk size with a sign": coded(b"+5\r\nhello\r\n" + END + SMUGGLED),
    "a negative chunk size": coded(b"-1\r\nhello\r\n" + END + SMUGGLED),
    "white space before a chunk size": coded(b" 5\r\nhello\r\n" + END + SMUGGLED),
    "white space behind a chunk size": coded(b"5 \r\nhello\r\n" + END + SMUGGLED),
    "a tab behind a chunk size": coded(b"5\t\r\nhello\r\n" + END + SMUGGLED),
    "two chunk sizes": coded(b"5 5\r\nhello\r\n" + END + SMUGGLED),
    "a chunk size over 64 bits": coded(b"10000000000000005\r\nhello\r\n" + END + SMUGGLED),
    "a chunk size over 63 bits": coded(b"ffffffffffffffff\r\nhello\r\n" + END + SMUGGLED),
    "a chunk size over 64 bits, zero": coded(b"10000000000000000\r\n\r\n" + SMUGGLED),
    "an empty chunk size": coded(b"\r\nhello\r\n" + END + SMUGGLED),
    "a chunk size with an underscore": coded(b"0_5\r\nhello\r\n" + END + SMUGGLED),
    "a chunk size with a NUL": coded(b"5\0\r\nhello\r\n" + END + SMUGGLED),
    "a last chunk with a minus": coded(b"-0\r\n\r\n" + SMUGGLED),
    # Chunks: line ends and extensions (Funky chunks).
    "a LF behind a chunk size": coded(b"5\nhello\r\n" + END + SMUGGLED),
    "a CR behind a chunk size": coded(b"5\rhello\r\n" + END + SMUGGLED),
    "CR CR LF behind a chunk size": coded(b"5\r\r\nhello\r\n" + END + SMUGGLED),
    "TERM.EXT": coded(b"2;\nxx\r\n%x\r\n0\r\n\r\n%s\r\n" % (len(SMUGGLED) + 5, SMUGGLED) + END),
    "TERM.EXT, named": coded(b"2;a\nxx\r\n%x\r\n0\r\n\r\n%s\r\n" % (len(SMUGGLED) + 5, SMUGGLED) + END),
    "TERM.EXT, a CR": coded(b"2;a\rxx\r\n" + IN_A_CHUNK),
    "TERM.EXT, without a semicolon": coded(b"2 \nxx\r\n" + IN_A_CHUNK),
    "EXT.TERM": coded(b"5;\n0\r\n\r\n" + SMUGGLED),
    "EXT.TERM, a CR in the extension": coded(b"5;a=\r0\r\n\r\n" + SMUGGLED),
    "EXT.TERM, a LF in quotes": coded(b'5;a="\n0\r\n\r\n' + SMUGGLED),
    "EXT.TERM, a CRLF in quotes": coded(b'5;a="\r\n0\r\n\r\n' + SMUGGLED + b'"\r\nhello\r\n' + END),
    "EXT.TERM, an escaped CRLF in quotes": coded(b'5;a="\\\r\nhello\r\n' + END + SMUGGLED),
    "an extension with a NUL": coded(b"5;a\0\r\nhello\r\n" + END + SMUGGLED),
    "an extension without a name": coded(b"5;\r\nhello\r\n" + END + SMUGGLED),
    "an extension without a semicolon": coded(b"5 a=b\r\nhello\r\n" + END + SMUGGLED),
    "a huge extension": coded(b"5;" + b"a" * 20000 + b"\r\nhello\r\n" + END + SMUGGLED),
    "a LF behind the last chunk's size": coded(b"0\n\r\n" + SMUGGLED),
    "a LF in the last chunk's extension": coded(b"0;a\n\r\n" + SMUGGLED),
    # Chunks: what is behind the data.
    "SPILL.TERM": coded(b"5\r\nhelloXX0\r\n\r\n" + SMUGGLED),
    "TERM.SPILL": coded(b"5\r\nhello0\r\n\r\n" + SMUGGLED),
    "ONE.TWO": coded(b"5\r\nhello\n0\r\n\r\n" + SMUGGLED),
    "TWO.ONE": coded(b"5\r\nhello\r0\r\n\r\n" + SMUGGLED),
    "TWO.TWO, LF CR": coded(b"5\r\nhello\n\r0\r\n\r\n" + SMUGGLED),
    "TWO.TWO, LF LF": coded(b"5\r\nhello\n\n0\r\n\r\n" + SMUGGLED),
    "three bytes behind chunk data": coded(b"5\r\nhello\r\n\n0\r\n\r\n" + SMUGGLED),
    # Trailers.
    "a trailer ends with a LF": coded(b"0\r\nT: u\n\r\n" + SMUGGLED),
    "trailers end with LF LF": coded(b"0\r\nT: u\n\n" + SMUGGLED),
    "trailers end with LF": coded(b"0\r\n\n" + SMUGGLED),
    "a CR alone ends the trailers": coded(b"0\r\n\r" + SMUGGLED),
    "a CR in a trailer": coded(b"0\r\nT: u\rX: y\r\n\r\n" + SMUGGLED),
    "a folded trailer": coded(b"0\r\nT: u\r\n Content-Length: 35\r\n\r\n" + SMUGGLED),
    "a trailer with white space before the colon": coded(b"0\r\nContent-Length : 35\r\n\r\n" + SMUGGLED),
    "a request in the place of trailers": coded(b"0\r\n" + SMUGGLED),
    "a trailer without a colon": coded(b"0\r\nTransfer-Encoding\r\n\r\n" + SMUGGLED),
    "a NUL in a trailer": coded(b"0\r\nT: \0\r\n\r\n" + SMUGGLED),
}
for shape in OBFUSCATED:
    REFUSED[f"CL.TE with {shape!r}"] = length(END + SMUGGLED, shape)
    REFUSED[f"TE.CL with {shape!r}"] = head(shape, b"Content-Length: 4") + IN_A_CHUNK
    REFUSED[f"0.TE with {shape!r}"] = head(shape) + END + SMUGGLED
for shape in LENGTHS:
    REFUSED[f"CL.0 with {shape!r}"] = with_length(shape, SMUGGLED)

# name: (bytes, statuses that the attacker gets, requests at the origin: method, target, body)
PASSED = {
    "a length": (length(b"hello"), [200], [("POST", "/a", b"hello")]),
    "a length with leading zeros": (head(b"Content-Length: 0005") + b"hello", [200], [("POST", "/a", b"hello")]),
    "a coding in capitals": (head(b"TRANSFER-ENCODING: CHUNKED") + b"5\r\nhello\r\n" + END, [200], [("POST", "/a", b"hello")]),
    "a request in a POST": (length(SMUGGLED), [200], [("POST", "/a", SMUGGLED)]),
    "a request in a GET": (length(SMUGGLED, line=b"GET /a HTTP/1.1"), [200], [("GET", "/a", SMUGGLED)]),
    "a request in a chunked GET": (coded(IN_A_CHUNK, line=b"GET /a HTTP/1.1"), [200], [("GET", "/a", SMUGGLED)]),
    "a request in a DELETE": (length(SMUGGLED, line=b"DELETE /a HTTP/1.1"), [200], [("DELETE", "/a", SMUGGLED)]),
    "a request in a chunk": (coded(IN_A_CHUNK), [200], [("POST", "/a", SMUGGLED)]),
    "the end of chunks in a chunk": (coded(b"5\r\n0\r\n\r\n\r\n" + IN_A_CHUNK), [200], [("POST", "/a", END + SMUGGLED)]),
    "legal extensions": (coded(b'5;a;b=c ; d = "e;f\\"\\\\"\r\nhello\r\n0;x\r\n\r\n'), [200], [("POST", "/a", b"hello")]),
    "chunk sizes with leading zeros": (coded(b"0005\r\nhello\r\n0000\r\n\r\n"), [200], [("POST", "/a", b"hello")]),
    "framing and routing fields as trailers": (coded(b"5\r\nhello\r\n0\r\nContent-Length: 35\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nAuthorization: x\r\nCookie: c\r\nConnection: close\r\nT: u\r\n\r\n"),
                                               [200], [("POST", "/a", b"hello")]),
    "two honest requests": (length(b"hello") + head(line=b"GET /b HTTP/1.1"), [200, 200], [("POST", "/a", b"hello"), ("GET", "/b", b"")]),
    "an honest request before a bad one": (length(b"hello") + head(b"X: y\nZ: z"), [200, 400], [("POST", "/a", b"hello")]),
    "Connection names Content-Length": (length(SMUGGLED, b"Connection: Content-Length"), [200], [("POST", "/a", SMUGGLED)]),
    "Connection names Transfer-Encoding": (coded(IN_A_CHUNK, b"Connection: Transfer-Encoding"), [200], [("POST", "/a", SMUGGLED)]),
    "Connection names Host": (head(b"Connection: keep-alive, Host", line=b"GET /a HTTP/1.1"), [200], [("GET", "/a", b"")]),
    "Connection names all that Weir adds": (length(b"hello", b"Connection: Via, X-Forwarded-For, X-Forwarded-Host, Connection, Content-Length, Host"), [200], [("POST", "/a", b"hello")]),
    "Host of an absolute-form": (head(line=b"GET http://good.test/a HTTP/1.1", host=b"Host: evil\r\n"), [200], [("GET", "/a", b"")]),
    "a length that X- announces": (length(b"hello", b"X-Content-Length: 0", b"Content-Length-X: 0"), [200], [("POST", "/a", b"hello")]),
    "Expect with a body at once": (length(SMUGGLED, b"Expect: 100-continue"), [100, 200], [("POST", "/a", SMUGGLED)]),
    "Expect in a GET": (length(SMUGGLED, b"Expect: 100-continue", line=b"GET /a HTTP/1.1"), [100, 200], [("GET", "/a", SMUGGLED)]),
    "Expect without a body": (head(b"Expect: 100-continue", line=b"GET /a HTTP/1.1"), [200], [("GET", "/a", b"")]),
    "Expect with something else": (length(SMUGGLED, b"Expect: y 100-continue"), [200], [("POST", "/a", SMUGGLED)]),
    "Expect twice": (length(SMUGGLED, b"Expect: 100-continue", b"Expect: 100-continue"), [100, 200], [("POST", "/a", SMUGGLED)]),
    "Expect in HTTP/1.0": (length(SMUGGLED, b"Expect: 100-continue", b"Connection: keep-alive", line=b"POST /a HTTP/1.0"), [200], [("POST", "/a", SMUGGLED)]),
    "Upgrade to h2c": (head(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", line=b"GET /a HTTP/1.1"), [200], [("GET", "/a", b"")]),
    "Upgrade to h2c, the settings not named": (head(b"Connection: Upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", line=b"GET /a HTTP/1.1"), [200], [("GET", "/a", b"")]),
    "Upgrade to h2c among others": (head(b"Connection: Upgrade", b"Upgrade: websocket, H2C", line=b"GET /a HTTP/1.1"), [200], [("GET", "/a", b"")]),
    "Upgrade with a body": (length(SMUGGLED, b"Connection: Upgrade", b"Upgrade: x"), [200], [("POST", "/a", SMUGGLED)]),
    "Upgrade that Connection does not name": (head(b"Upgrade: websocket", line=b"GET /a HTTP/1.1"), [200], [("GET", "/a", b"")]),
    # Weir answers by itself: what follows the head must not be taken for a request (client-side desync).
    "a body for Weir itself": (length(SMUGGLED, b"Max-Forwards: 0", line=b"OPTIONS /a HTTP/1.1"), [200], []),
    "a chunked body for Weir itself": (coded(IN_A_CHUNK, b"Max-Forwards: 0", line=b"TRACE /a HTTP/1.1"), [200], []),
    "a length over 32 bits": (head(b"Content-Length: 4294967331") + SMUGGLED, [413], []),
    "CONNECT with a body": (length(SMUGGLED, line=b"CONNECT h:80 HTTP/1.1"), [405], []),
}


class LaxOrigin(Origin):
    """Takes what a strict one refuses: LF and CR as line ends, white space anywhere in a line, folds, codings and lengths
    that only contain what they should; and where a message has a coding and a length, the one that it prefers."""

    def __init__(self, prefers):
        self.prefers = prefers
        super().__init__(None)

    def _serve(self, connection):
        try:
            while True:
                self._serve_one(connection)
        except Exception as error:  # PeerGone, or what is not even lax HTTP
            if type(error).__name__ != "PeerGone":
                self.errors.append(repr(error))
            connection.close()

    @staticmethod
    def _line(connection):
        while not (match := re.search(rb"\r?\n|\r(?=[^\n])", connection.buffer)):
            connection.receive()
        line, connection.buffer = connection.buffer[:match.start()], connection.buffer[match.end():]
        return line

    def _serve_one(self, connection):
        line = self._line(connection)
        lines = []
        while one := self._line(connection).strip(b" \t\0\x0b"):
            lines.append(one)
        values = {}
        for one in lines:
            name, _, value = one.partition(b":")
            values[re.sub(rb"[^a-z-]", b"", name.lower())] = value.lower()
        number = re.search(rb"[0-9]+", values.get(b"content-length", b""))
        chunked = b"chunk" in values.get(b"transfer-encoding", b"")
        if b"100-continue" in values.get(b"expect", b""):
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if chunked and (self.prefers == "coding" or not number):
            body = self._read_chunks(connection)
        else:
            body = connection.take(int(number[0])) if number else b""
        request = Request(line + b"\r\n" + b"\r\n".join(lines) + b"\r\n\r\n", connection, len(self.requests) + 1)
        request.body = body
        with self.lock:
            self.requests.append(request)
        answer(request, connection)

    def _read_chunks(self, connection):
        body = b""
        while size := int(re.match(rb"[0-9a-f]*", self._line(connection).strip().lower())[0] or b"0", 16):
            body += connection.take(size)
            self._line(connection)
        while self._line(connection):
            pass
        return body


def answer(request, connection):
    """Each target gets an answer of its own, which is not stored."""
    respond(200, b"own " + request.target.encode(), [("Cache-Control", "no-store")])(request, connection)


class Running:
    def __init__(self, story, origin):
        self.story = story
        self.origin = origin
        self.weir = story.weir(origin, workers=1)
        self.seen = 0

    def attack(self, data, statuses, closes):
        client = self.weir.client()
        client.send_quietly(data)
        answers = []
        for status in statuses:
            if status == 100:
                assert client.read_head().status == 100
                continue
            answers.append(client.read_response("GET"))
            assert answers[-1].status == status and answers[-1].end == "clean", answers
        if closes:
            assert "close" in answers[-1].members("Connection")
            client.read_end()
        client.close()
        return answers

    def check_victim(self):
        assert self.weir.get("/victim").body == b"own /victim"

    def arrived(self):
        """The requests that have reached the origin since the last call."""
        new, self.seen = self.origin.requests[self.seen:], len(self.origin.requests)
        assert not self.origin.errors
        return new


def start_running(folder, make_origin):
    story = Start(folder)
    origin = make_origin(story)
    if origin not in story.origins:
        story.origins.append(origin)
    running = Running(story, origin)
    yield running
    story.finish(check=True)


MAKERS = {
    "strict": lambda story: story.origin(answer),
    "lax, length": lambda story: LaxOrigin("length"),
    "lax, coding": lambda story: LaxOrigin("coding"),
}


@pytest.fixture(scope="module", params=MAKERS)
def running(request, tmp_path_factory):
    """One weir for all shapes: what one leaves behind would show in the next."""
    yield from start_running(str(tmp_path_factory.mktemp("smuggling")), MAKERS[request.param])


def test_refused(running):
    for name, data in REFUSED.items():
        try:
            running.attack(data, [400], closes=True)
            running.check_victim()
            assert [request.target for request in running.arrived()] == ["/victim"]
        except AssertionError as error:
            raise AssertionError(f"{name}: {data[:300]!r}: {error}") from error


def test_passed(running):
    for name, (data, statuses, expected) in PASSED.items():
        try:
            answers = running.attack(data, statuses, closes=statuses[-1] >= 400)
            running.check_victim()
            arrived = running.arrived()
            assert [(one.method, one.target, one.body) for one in arrived] == expected + [("GET", "/victim", b"")]
            assert [one.body for one in answers if one.status == 200 and expected] == [b"own " + target.encode() for _, target, _ in expected]
            for request in arrived:
                assert request.all("Host") == (["good.test"] if "absolute" in name and request.target == "/a" else ["h"] if request.target != "/victim" else ["example.test"])
                assert len(request.all("Content-Length") + request.all("Transfer-Encoding")) == bool(request.body)
                assert "h2c" not in (request.field("Upgrade") or "").lower()
                assert {field.lower() for field, _ in request.trailers} <= {"t"}
                assert request.has("Via") and request.has("X-Forwarded-For")
        except AssertionError as error:
            raise AssertionError(f"{name}: {data[:300]!r}: {error}") from error
