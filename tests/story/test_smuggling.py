"""Known ways to smuggle a request or a response past a proxy: none gets through, and nobody gets another one's answer.

Each shape goes through a weir to a strict origin and to lax ones, each of which honours another reading: the length or
the coding where a message has both (or something like it), what a strict one does not take for a line's end. What reaches
each is counted; a victim on another connection follows, over the same connection to the origin, and has to get its own answer.

Names as in the literature: CL and TE are Content-Length and Transfer-Encoding, the front's view first, 0 is "no body".
TERM, EXT and SPILL are where one side ends a chunk's line, takes an extension, or takes bytes behind chunk data.
"""

import re

import pytest

from conftest import Start
from weirtest import PATIENCE_S, Client, Malformed, Origin, PeerGone, Request, cacheable, raw, respond

LINE_END = re.compile(rb"\r?\n|\r(?=[^\n])")
NOT_THERE = b" \t\v\f\r\n\0"

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
    b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b" Transfer-Encoding: chunked",
    b"\tTransfer-Encoding: chunked", b"\x0bTransfer-Encoding: chunked",
    b"\0Transfer-Encoding: chunked", b"Transfer-Encoding\0: chunked", b"Transfer-Encoding\x0b: chunked",
    b"Transfer-Encoding\r: chunked", b"Transfer-Encoding\n: chunked", b"Transfer-Encoding:\n chunked",
    b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding:\r\n\tchunked", b"X: y\r\n Transfer-Encoding: chunked",
    b"X: y\nTransfer-Encoding: chunked", b"X: y\rTransfer-Encoding: chunked",
    b"X: y\r\r\nTransfer-Encoding: chunked", b"X: y\0\r\nTransfer-Encoding: chunked", b"Transfer-Encoding chunked",
    b"Transfer-Encoding;: chunked", b"\xffTransfer-Encoding: chunked", b"Transfer\xadEncoding: chunked",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunkedx", b"Transfer-Encoding: chunk",
    b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: \x0cchunked", b"Transfer-Encoding: chunked\x0b",
    b"Transfer-Encoding: \0chunked", b"Transfer-Encoding: chunked\0", b"Transfer-Encoding: \xa0chunked",
    b"Transfer-Encoding: \x85chunked", b"Transfer-Encoding: chunked\r", b"Transfer-Encoding: \rchunked",
    b'Transfer-Encoding: "chunked"', b"Transfer-Encoding: 'chunked'", b"Transfer-Encoding: chunked;",
    b"Transfer-Encoding: chunked;q=1", b'Transfer-Encoding: chunked;a="b"', b"Transfer-Encoding: chunked,",
    b"Transfer-Encoding: ,chunked",
    b"Transfer-Encoding: , chunked", b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: identity, chunked", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, gzip", b"Transfer-Encoding: cow, chunked", b"Transfer-Encoding: chunked, cow",
    b"Transfer-Encoding: chunked cow", b"Transfer-Encoding: Transfer-Encoding: chunked", b"Transfer-Encoding: ",
    b"Transfer-Encoding:",
    b"Transfer-Encoding:: chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x", b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"transfer-encoding: x\r\nTRANSFER-ENCODING: chunked",
    b"Transfer-Encoding: chun\r\n ked", b"Transfer-Encoding: chunked\r\n , identity",
]
# Lengths that one side reads as another number than the other, or not at all.
LENGTHS = [
    b"+%d", b"-%d", b"0x%x", b"0o%o", b"%d %d", b"%d,%d", b"%d, %d", b"%d, 0", b"0, %d", b"%d;", b"%d.0", b"%de0", b"1_%d",
    b'"%d"', b"%d\0", b"\0%d", b"%d\x0b", b"\x0b%d", b"\xa0%d", b"%d\r", b"%dx", b"", b" ", b",", b"%d,",
    b"\r\n %d", b"%d\r\n 0", b"18446744073709551616", b"184467440737095516%d", b"9223372036854775808", b"%d\nX: y",
    b"0\nContent-Length: %d", b"%d\r\nContent-Length: %d", b"%d\r\nContent-Length: 0", b"0\r\nContent-Length: %d",
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
    "EXT.TERM": coded(b"40;\n" + b"a" * 60 + b"\r\nbb\r\n" + END + SMUGGLED + b"x" * 20 + b"\r\n" + END),
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

SETTINGS = b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"

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
    "framing and routing fields as trailers": (
        coded(b"5\r\nhello\r\n0\r\nContent-Length: 35\r\nTransfer-Encoding: chunked\r\nHost: evil\r\n"
              b"Authorization: x\r\nCookie: c\r\nConnection: close\r\nT: u\r\n\r\n"), [200], [("POST", "/a", b"hello")]),
    "two honest requests": (length(b"hello") + head(line=b"GET /b HTTP/1.1"), [200, 200], [("POST", "/a", b"hello"), ("GET", "/b", b"")]),
    "an honest request before a bad one": (length(b"hello") + head(b"X: y\nZ: z"), [200, 400], [("POST", "/a", b"hello")]),
    "Connection names Content-Length": (length(SMUGGLED, b"Connection: Content-Length"), [200], [("POST", "/a", SMUGGLED)]),
    "Connection names Transfer-Encoding": (coded(IN_A_CHUNK, b"Connection: Transfer-Encoding"), [200], [("POST", "/a", SMUGGLED)]),
    "Connection names Host": (head(b"Connection: keep-alive, Host", line=b"GET /a HTTP/1.1"), [200], [("GET", "/a", b"")]),
    "Connection names all that Weir adds": (
        length(b"hello", b"Connection: Via, X-Forwarded-For, X-Forwarded-Host, Connection, Content-Length, Host"),
        [200], [("POST", "/a", b"hello")]),
    "Host of an absolute-form": (head(line=b"GET http://good.test/a HTTP/1.1", host=b"Host: evil\r\n"), [200], [("GET", "/a", b"")]),
    "a length that X- announces": (length(b"hello", b"X-Content-Length: 0", b"Content-Length-X: 0"), [200], [("POST", "/a", b"hello")]),
    "Expect with a body at once": (length(SMUGGLED, b"Expect: 100-continue"), [100, 200], [("POST", "/a", SMUGGLED)]),
    "Expect in a GET": (length(SMUGGLED, b"Expect: 100-continue", line=b"GET /a HTTP/1.1"), [100, 200], [("GET", "/a", SMUGGLED)]),
    "Expect without a body": (head(b"Expect: 100-continue", line=b"GET /a HTTP/1.1"), [200], [("GET", "/a", b"")]),
    "Expect with something else": (length(SMUGGLED, b"Expect: y 100-continue"), [200], [("POST", "/a", SMUGGLED)]),
    "Expect twice": (length(SMUGGLED, b"Expect: 100-continue", b"Expect: 100-continue"), [100, 200], [("POST", "/a", SMUGGLED)]),
    "Expect in HTTP/1.0": (length(SMUGGLED, b"Expect: 100-continue", b"Connection: keep-alive", line=b"POST /a HTTP/1.0"), [200], [("POST", "/a", SMUGGLED)]),
    "Upgrade to h2c": (head(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", SETTINGS, line=b"GET /a HTTP/1.1"),
                       [200], [("GET", "/a", b"")]),
    "Upgrade to h2c, the settings not named": (head(b"Connection: Upgrade", b"Upgrade: h2c", SETTINGS, line=b"GET /a HTTP/1.1"),
                                               [200], [("GET", "/a", b"")]),
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
    """Takes what a strict one refuses, so that the other reading of each shape is somebody's: a LF or a CR ends a line,
    controls and white space around and in names are not there, a fold goes on with the line before, a coding or length only
    contains what it should, a number is cut to 64 bits, behind chunk data anything goes.

    prefers: the length or the coding where a message has both; length: what matches is one, of several the last;
    long_lines: a chunk's line ends with nothing but a CRLF, so that its extension takes in LF and CR.
    """

    def __init__(self, prefers, length=rb"[0-9]+", long_lines=False):
        self.prefers = prefers
        self.length = length
        self.chunk_line_end = re.compile(rb"\r\n") if long_lines else LINE_END
        super().__init__(None)

    def _serve(self, connection):
        try:
            while True:
                self._serve_one(connection)
        except PeerGone:
            connection.close()
        except Exception as error:  # not even lax HTTP
            self.errors.append(repr(error))
            connection.close()

    @staticmethod
    def _line(connection, end=None):
        while not (match := (end or LINE_END).search(connection.buffer)):
            connection.receive()
        line, connection.buffer = connection.buffer[:match.start()], connection.buffer[match.end():]
        return line

    def _fields(self, connection):
        lines = []
        while line := self._line(connection):
            if lines and line[:1] in b" \t" and b":" not in line:
                lines[-1] += line
            elif line.strip(NOT_THERE):
                lines.append(line)
        fields = []
        for line in lines:
            name, _, value = (line if b":" in line else line.replace(b" ", b":", 1)).partition(b":")
            fields.append((re.sub(rb"[^a-z0-9-]", b"", name.lower()), re.sub(rb"[^\x21-\x7e]+", b" ", value).strip()))
        return fields

    def _serve_one(self, connection):
        while not (line := self._line(connection).strip(NOT_THERE)):
            pass
        words = line.split()
        fields = self._fields(connection)
        lengths = [number for name, value in fields if name == b"content-length" for number in re.findall(self.length, value)]
        chunked = any(name == b"transfer-encoding" and b"chun" in value.lower() for name, value in fields)
        if any(name == b"expect" and b"100-continue" in value for name, value in fields):
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if chunked and (self.prefers == "coding" or not lengths):
            body = self._chunks(connection)
        else:
            body = connection.take(int(lengths[-1]) % (1 << 64)) if lengths else b""
        target = re.sub(rb"[^\x21-\x7e]", b"", words[1]) if len(words) > 1 else b"/"
        head = words[0] + b" " + target + b" HTTP/1.1" + b"".join(b"\r\n%s: %s" % field for field in fields if field[0])
        request = Request(head + b"\r\n\r\n", connection, len(self.requests) + 1)
        request.body = body
        with self.lock:
            self.requests.append(request)
        answer(request, connection)

    def _size(self, connection):
        line = self._line(connection, self.chunk_line_end).lower().strip(b" \t+-")
        return int(re.match(rb"(?:0x)?([0-9a-f_]*)", line)[1].replace(b"_", b"") or b"0", 16) % (1 << 64)

    def _chunks(self, connection):
        body = b""
        while size := self._size(connection):
            body += connection.take(size)
            behind = connection.take(1)
            if behind == b"\r" or behind not in b"\n0123456789abcdef":
                behind += connection.take(1)
            if behind[-1:] in b"0123456789abcdef":
                connection.buffer = behind[-1:] + connection.buffer
        self._fields(connection)
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


def test_the_lax_origins_are_lax():
    """Without Weir the shapes do what they are named for; otherwise the counts below would say nothing."""
    fallen = set()
    for kind in LAX.values():
        origin = LaxOrigin(**kind)
        for number, (name, data) in enumerate(REFUSED.items(), 1):
            client = Client(("127.0.0.1", origin.sock.getsockname()[1]))
            client.send_quietly(data)
            client.half_close()
            connection = origin.wait_accepts(number)
            assert connection.ended.wait(PATIENCE_S)
            client.close()
        fallen |= {list(REFUSED)[request.connection.number - 1] for request in origin.requests if request.target == "/smuggled"}
        origin.stop()
    assert {"CL.TE", "TE.CL", "TE.0", "TERM.EXT", "EXT.TERM", "TERM.SPILL", "SPILL.TERM", "ONE.TWO", "TWO.ONE"} <= fallen
    assert len(fallen) > 0.8 * len(REFUSED), sorted(set(REFUSED) - fallen)


def start_running(folder, make_origin):
    story = Start(folder)
    origin = make_origin(story)
    if origin not in story.origins:
        story.origins.append(origin)
    running = Running(story, origin)
    yield running
    story.finish(check=True)


LAX = {
    "length": {"prefers": "length"},
    "whole length": {"prefers": "length", "length": rb"\A[0-9]{1,10}\Z"},
    "coding": {"prefers": "coding"},
    "coding, long lines": {"prefers": "coding", "long_lines": True},
}


@pytest.fixture(scope="module", params=["strict", *LAX])
def running(request, tmp_path_factory):
    """One weir for all shapes: what one leaves behind would show in the next."""
    def make_origin(story):
        return story.origin(answer) if request.param == "strict" else LaxOrigin(**LAX[request.param])

    yield from start_running(str(tmp_path_factory.mktemp("smuggling")), make_origin)


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
                host = "example.test" if request.target == "/victim" else "good.test" if "absolute" in name else "h"
                assert request.all("Host") == [host]
                assert len(request.all("Content-Length") + request.all("Transfer-Encoding")) == bool(request.body)
                assert "h2c" not in (request.field("Upgrade") or "").lower()
                assert {field.lower() for field, _ in request.trailers} <= {"t"}
                assert request.has("Via") and request.has("X-Forwarded-For")
        except AssertionError as error:
            raise AssertionError(f"{name}: {data[:300]!r}: {error}") from error


# Responses ---------------------------------------------------------------------------------------

FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nCache-Control: max-age=60\r\n\r\nforged"
OK = b"HTTP/1.1 200 OK\r\n"
CODED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

# Responses that two programs read in two ways: the client gets a 502 and nothing of them.
MALFORMED = {
    "CL and TE": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + FORGED,
    "TE and CL": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + FORGED,
    "two lengths": OK + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello" + FORGED,
    "two equal lengths": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": OK + b"Content-Length: 5, 5\r\n\r\nhello",
    "a length with a sign": OK + b"Content-Length: +5\r\n\r\nhello",
    "a negative length": OK + b"Content-Length: -5\r\n\r\nhello",
    "a length in hex": OK + b"Content-Length: 0x5\r\n\r\nhello",
    "a length over 64 bits": OK + b"Content-Length: 18446744073709551621\r\n\r\nhello",
    "white space before the colon": OK + b"Content-Length : 5\r\n\r\nhello",
    "xchunked": OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + FORGED,
    "chunked twice": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + FORGED,
    "gzip, chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + FORGED,
    "identity": OK + b"Transfer-Encoding: identity\r\n\r\n" + FORGED,
    "a vertical tab before chunked": OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + FORGED,
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + FORGED,
    "a fold": OK + b"X: y\r\n Content-Length: 5\r\n\r\nhello",
    "a LF in a value": OK + b"X: y\nContent-Length: 5\r\n\r\nhello",
    "a CR in a value": OK + b"X: y\rContent-Length: 5\r\n\r\nhello",
    "a NUL in a value": OK + b"X: y\0\r\nContent-Length: 5\r\n\r\nhello",
    "a head of LF": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "the head's end of LF": OK + b"Content-Length: 5\r\n\nhello",
    "splitting by a CR": OK + b"Location: /\r\rHTTP/1.1 200 OK\r\n\r\n",
    "an empty line before the status line": b"\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
    "HTTP/0.9": b"<html>hello</html>",
    "another protocol": b"ICY 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello",
    "a 101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + FORGED,
    "a 100, then rubbish": b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello" + FORGED,
}

# Heads that are in order, bodies that are not: what the client gets never looks complete.
CUT = {
    "a LF behind a chunk size": CODED + b"5\nhello\r\n0\r\n\r\n" + FORGED,
    "a LF in a chunk extension": CODED + b"5;a\nhello\r\n0\r\n\r\n" + FORGED,
    "an open quote in a chunk extension": CODED + b'5;a="\r\nhello\r\n0\r\n\r\n' + FORGED,
    "a chunk that is longer than its size": CODED + b"5\r\nhelloXX0\r\n\r\n" + FORGED,
    "a LF behind chunk data": CODED + b"5\r\nhello\n0\r\n\r\n" + FORGED,
    "a chunk size with a sign": CODED + b"+5\r\nhello\r\n0\r\n\r\n" + FORGED,
    "a chunk size over 64 bits": CODED + b"10000000000000005\r\nhello\r\n0\r\n\r\n" + FORGED,
    "a trailer that ends with a LF": CODED + b"5\r\nhello\r\n0\r\nT: u\n\r\n" + FORGED,
    "a folded trailer": CODED + b"5\r\nhello\r\n0\r\nT: u\r\n v\r\n\r\n" + FORGED,
    "a response in the place of trailers": CODED + b"5\r\nhello\r\n0\r\n" + FORGED,
}

# name: (method, bytes, status, body): bytes behind a response are nobody's answer.
BEHIND = {
    "two responses": ("GET", OK + b"Content-Length: 5\r\n\r\nhello" + FORGED, 200, b"hello"),
    "a part of a response": ("GET", OK + b"Content-Length: 5\r\n\r\nhello" + FORGED[:20], 200, b"hello"),
    "a body that is longer than its length": ("GET", OK + b"Content-Length: 5\r\n\r\nhello, forged", 200, b"hello"),
    "CL.0 at the origin": ("POST", OK + b"Content-Length: 5\r\n\r\nhello" + FORGED, 200, b"hello"),
    "one byte": ("GET", OK + b"Content-Length: 5\r\n\r\nhello\n", 200, b"hello"),
    "an empty line": ("GET", OK + b"Content-Length: 5\r\n\r\nhello\r\n", 200, b"hello"),
    "behind chunks": ("GET", CODED + b"5\r\nhello\r\n0\r\n\r\n" + FORGED, 200, b"hello"),
    "behind trailers that frame": ("GET", CODED + b"5\r\nhello\r\n0\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n" + FORGED, 200, b"hello"),
    "behind an empty body": ("GET", OK + b"Content-Length: 0\r\n\r\n" + FORGED, 200, b""),
    "HEAD with a body": ("HEAD", OK + b"Content-Length: %d\r\n\r\n" % len(FORGED) + FORGED, 200, b""),
    "HEAD with chunks": ("HEAD", CODED + b"5\r\nhello\r\n0\r\n\r\n" + FORGED, 200, b""),
    "a 204 with a body": ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n" % len(FORGED) + FORGED, 204, b""),
    "a 204 with chunks": ("GET", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 204, b""),
    "a 304 with a body": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: %d\r\n\r\n" % len(FORGED) + FORGED, 304, b""),
    "behind a 103": ("GET", b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello" + FORGED, 200, b"hello"),
}


@pytest.fixture(scope="module")
def answering(tmp_path_factory):
    """A weir whose origin answers /attack as it is told, and everything else honestly."""
    told = {}

    def script(request, connection):
        if request.target.startswith("/attack"):
            told["script"](request, connection)
        else:
            answer(request, connection)

    for running in start_running(str(tmp_path_factory.mktemp("answering")), lambda story: story.origin(script)):
        running.told = told
        running.count = 0
        yield running


def ask(answering, script, method="GET", fields=(), body=None):
    """The attacker's request, for a target of its own; the victim's follows."""
    answering.count += 1
    answering.told["script"] = script
    client = answering.weir.client()
    client.request(method, f"/attack/{answering.count}", fields, body)
    response = client.read_response(method)
    client.close()
    answering.check_victim()
    arrived = answering.arrived()
    assert [request.target for request in arrived] == [f"/attack/{answering.count}", "/victim"]
    assert b"forged" not in response.body
    # Neither does what came behind it go to the next one, nor is it stored for the same target.
    assert arrived[0].connection is not arrived[1].connection, "the connection was used again"
    return response


def in_each(shapes, check):
    for name, shape in shapes.items():
        try:
            check(shape)
        except (AssertionError, Malformed) as error:
            raise AssertionError(f"{name}: {shape!r}: {error}") from error


def test_malformed_responses(answering):
    def check(data):
        # HTTP/1.1 keeps the connection: it is Weir that has to end it.
        response = ask(answering, raw(data))
        assert response.status == 502 and response.end == "clean"
        assert response.cache_status()["detail"] == "origin-malformed"

    in_each(MALFORMED, check)


def test_bodies_that_go_wrong(answering):
    def check(data):
        response = ask(answering, raw(data))
        assert response.status == 502 or response.end in ("early", "reset"), response

    in_each(CUT, check)


def test_bytes_behind_a_response(answering):
    def check(shape):
        method, data, status, body = shape
        response = ask(answering, raw(data), method, body=SMUGGLED if method == "POST" else None)
        assert response.status == status and response.body == body and response.end == "clean"

    in_each(BEHIND, check)


def test_a_length_that_is_longer_than_the_body(answering):
    response = ask(answering, raw(OK + b"Content-Length: 500\r\n\r\nhello", "close"))
    assert response.end in ("early", "reset")


def test_an_answer_before_the_body_was_sent(start):
    """0.CL at the origin: it answers the head at once. What is left of the body must not be the next request."""
    origin = start.origin(answer, early=True)
    weir = start.weir(origin, workers=1)
    client = weir.client()
    client.send(head(b"Content-Length: %d" % len(SMUGGLED)))
    assert client.read_final_head().status == 200
    client.send_quietly(SMUGGLED)
    for _ in range(2):
        assert weir.get("/victim").body == b"own /victim"
    assert origin.targets == ["/a", "/victim", "/victim"]
    assert origin.requests[0].connection is not origin.requests[1].connection


@pytest.mark.parametrize("status", [200, 417])
def test_an_answer_in_the_place_of_a_100(start, status):
    def script(request, connection):
        respond(status, b"own " + request.target.encode(), [("Cache-Control", "no-store")])(request, connection)

    origin = start.origin(script, early=True)
    weir = start.weir(origin, workers=1)
    client = weir.client()
    client.send(head(b"Content-Length: %d" % len(SMUGGLED), b"Expect: 100-continue"))
    response = client.read_final_head()
    assert response.status == status and not response.interim
    client.send_quietly(SMUGGLED)
    assert weir.get("/victim").body == b"own /victim"
    assert origin.targets == ["/a", "/victim"]
    assert origin.requests[0].connection is not origin.requests[1].connection


def test_a_hit_with_a_body(start):
    """Weir answers from the cache; the body behind the head is no request."""
    origin = start.origin({"/a": cacheable(b"stored"), "/victim": answer})
    weir = start.weir(origin, workers=1)
    assert weir.get("/a").body == b"stored"
    for data in (length(SMUGGLED, line=b"GET /a HTTP/1.1"), coded(IN_A_CHUNK, line=b"GET /a HTTP/1.1"), length(SMUGGLED, line=b"HEAD /a HTTP/1.1")):
        client = weir.client()
        client.send_quietly(data + head(line=b"GET /a HTTP/1.1") if b"HEAD" not in data else data)
        response = client.read_response("HEAD" if b"HEAD" in data else "GET")
        assert response.status == 200
        client.close()
        assert weir.get("/victim").body == b"own /victim"
    assert "/smuggled" not in origin.targets


def test_an_upgrade_that_the_origin_refuses(start):
    """Nothing is a tunnel without a 101: what follows goes through Weir as requests of their own."""
    origin = start.origin(answer)
    weir = start.weir(origin, workers=1)
    client = weir.client()
    client.send(head(b"Connection: Upgrade", b"Upgrade: websocket", line=b"GET /a HTTP/1.1") + head(line=b"GET /b HTTP/1.1"))
    assert [client.read_response().body for _ in range(2)] == [b"own /a", b"own /b"]
    assert [request.has("Via") for request in origin.requests] == [True, True]
    client.send(head(b"Content-Length : 5") + SMUGGLED)
    assert client.read_response().status == 400
    client.read_end()
    assert origin.targets == ["/a", "/b"]
