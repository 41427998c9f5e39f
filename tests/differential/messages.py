"""Messages that are HTTP/1, nearly HTTP/1, and not at all. Which one is generated is a function of seed and index alone.

A message is put together along the grammar; at each place something odd is taken instead of something usual, rarely
enough that most messages have none to three oddities and get far into a parser. Some are mutated bytewise afterwards.
"""

import random

METHODS = [b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT"]
ODD_METHODS = [b"get", b"M-SEARCH", b"PURGE", b"PRI", b"X", b"!#$%&'*+-.^_`|~09az", b"GE(T", b"G\0T", b"", b" GET", b"GET ",
               b"GET\t", b"G\xc4T", b"GETT", b"A" * 300, b"\x16\x03\x01", b"Host:", b"SOURCE", b"QUERY"]
TARGETS = [b"/", b"/a", b"/a/b?c=d&e", b"/%41%2f", b"/a;b=c/..;/./", b"/?", b"/a:80", b"//h/a", b"/~a!$&'()*+,=@"]
ODD_TARGETS = [b"*", b"/a#f", b"/a b", b"/a\tb", b"/\xff", b"/\0", b"/\x7f", b"/a\rb", b"a", b"", b"?q", b"/[", b"/{|}",
               b'/"<>\\^`',
               b"/%", b"/%4", b"/%zz", b"/a?[b]", b"/a?b?c/d", b"/" + b"a" * 700, b"/a\x0bb", b"/a\n", b".", b"/a HTTP/1.1",
               b"\x80/"]
HOSTS = [b"h", b"example.test", b"h:80", b"[::1]", b"[2001:db8::1]:8080", b"127.0.0.1", b"a-b_c.d~e", b"h%41"]
ODD_HOSTS = [b"", b"h:", b":80", b"h:65536", b"h:99999", b"h:000080", b"h:8x", b"h i", b"h/", b"u@h", b"h,i", b"[::1",
             b"[::g]", b"[v1.a]", b"[fe80::1%25a]",
             b"h%4", b"h%", b"h\\", b"h?", b"h#", b"\xe4", b"h\0", b"h\x7f", b"[1:2:3:4:5:6:7:8]", b"[1::2:3:4:5:6:7:8]",
             b"[1:2:3:4:5:6:7::]",
             b"[::1.2.3.4]", b"[::01.2.3.4]", b"[::1]x", b"[]", b"h:80:80", b"!$&'()*+;=", b"h h", b"[::12345]", b"[v1.]"]
VERSIONS = [b"HTTP/1.1"]
ODD_VERSIONS = [b"HTTP/1.0", b"HTTP/1.0", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1",
                b"HTTP/1.", b"HTTP/1.10", b"HTTP/01.1", b"http/1.1", b"HTTP/1,1",
                b"HTTP 1.1", b"HTTP/1.1 ", b" HTTP/1.1", b"HTTP/1.1\t", b"HTTP/11", b"HTTP/A.1", b"", b"HTTPS/1.1",
                b"ICE/1.0", b"RTSP/1.0", b"HTTP/3.0"]
NAMES = [b"A", b"Accept", b"X-Y", b"Cookie", b"x", b"Via", b"!#$%&'*+-.^_`|~"]
ODD_NAMES = [b"", b"A ", b"A\t", b" A", b"\tA", b"A B", b"A\0", b"\xe4", b"A(", b'"A"', b"A/", b"A\x0b", b"A\r", b"A\n",
             b"\x7f", b"A" * 400, b"A:", b"Content-Lengt\xe8", b"@"]
VALUES = [b"b", b"", b"text/html, */*;q=0.8", b"a b\tc", b"\xe4\xf6", b'"q\\"x"', b"a=b; c=d", b"d" * 60]
ODD_VALUES = [b"a\0b", b"a\x01", b"\x7f", b"a\rb", b"a\nb", b"a\r\n b", b"a\r\n\tb", b"\r\n b", b"\x0b", b"a\r", b"\r", b"\0",
              b"\x1f", b"\xff" * 30, b"b" * 900, b"a\r\n\r\n b", b"\x08"]
SPACES = [b" "]
ODD_SPACES = [b"", b"  ", b"\t", b" \t ", b"\x0b", b"\x0c", b"\xa0", b"\r\n ", b"\0"]
ENDS = [b"\r\n"]
ODD_ENDS = [b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\t\r\n", b"\r\n\r\n", b"", b"\r\0\n", b"\r\n ", b"\x0b\r\n",
            b"\n\n", b"\x85"]
CODINGS = [b"chunked"]
ODD_CODINGS = [b"Chunked", b"CHUNKED", b"xchunked", b"chunkedx", b"chunked ", b"\tchunked", b" chunked", b"\x0bchunked",
               b"chunked\x0b", b'"chunked"', b"'chunked'", b"identity", b"gzip",
               b"gzip, chunked", b"chunked, gzip", b"identity, chunked", b"chunked, identity", b"chunked, chunked",
               b"chunked,", b",chunked", b", ,chunked",
               b"chunked;a=b", b"chunked;q=0.5", b"", b"chunke", b"chunked\0", b"\0chunked", b"\r\n chunked", b"chun\r\n ked",
               b"chunked;", b"gzip;a=b, chunked", b"x y", b"chunk\xebd", b"ch\xd5nked"]
ODD_LENGTHS = [b"+%d", b"-%d", b" %d ", b"0%d", b"000000000000000000000%d", b"0x%x", b"%d, %d", b"%d,%d", b"%d ,", b",%d",
               b"%d %d", b"%d.0", b"%de0", b"%d;", b"", b"1_%d", b'"%d"',
               b"18446744073709551616", b"18446744073709551621", b"9223372036854775807", b"9223372036854775808",
               b"99999999999999999999999", b"4294967301", b"%d\0", b"%d\x0b", b"\x0b%d", b"%dx",
               b"\xb2", b"%d\t", b"%d, 6", b"%d\r\n %d", b"-0", b"--%d", b"1e1"]
CONNECTIONS = [b"close", b"keep-alive", b"Keep-Alive", b"close, TE", b"te, close", b"upgrade", b"keep-alive, close", b"CLOSE",
               b"x", b"", b", close,", b"keep-alive, upgrade", b"close;x", b"closed", b"Content-Length",
               b"Transfer-Encoding", b"Host", b"close x", b'"close"', b"close\t", b"keep-alive,keep-alive",
               b"proxy-connection"]
REASONS = [b"OK", b"Not Found", b"", b"a  b", b"\xe4", b"OK\t"]
ODD_REASONS = [b"\0", b"\x01", b"a\rb", b"a\nb", b"\x7f", b"\r", b"O" * 500]
STATUSES = [200, 200, 200, 404, 500, 301]
ODD_STATUSES = [b"100", b"101", b"103", b"199", b"204", b"205", b"304", b"206", b"599", b"600", b"999", b"099", b"20",
                b"2000", b"2OO", b"-20", b"", b" 200", b"200 ", b"000", b"+200", b"0200"]
ODD_EXTENSIONS = [b";a", b";a=b", b';a="b"', b" ;a", b"; a = b", b" ", b"\t", b";", b";;", b";a=", b";=b", b';a="', b';a="b',
                  b';a="\\"', b";a=b c", b";a\n", b";a\r", b";a\0", b";a\x7f", b";\xe4", b';a="\xe4"', b";a=b;c=d",
                  b";" + b"e" * 300, b"a", b"x", b" 5", b";a;\r\n", b";a ", b";a\x0b", b'; a ="b;c" ;d', b';a="\\\x01"',
                  b";a/b=c", b";a=b,c", b'"', b';a="b"c', b';a="b" ', b';a="\tb"', b";a\t=\tb"]
DATA_ENDS = [b"\r", b"\n", b"", b"\rX", b"XX", b"\r\r", b"\n\n", b"X\n", b"\r\n\n", b"\r0", b"X"]
TRAILERS = [b"T: u\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: evil\r\n",
            b"Authorization: x\r\n", b"T : u\r\n", b" T: u\r\n", b"T: u\n", b"T\r\n", b": u\r\n", b"T: u\r\n v\r\n",
            b"T: \0\r\n", b"T:u\r",
            b"GET / HTTP/1.1\r\n", b"A: b\r\nC: d\r\n", b"T: u\r\r\n", b"T:\r\n", b"Trailer: x\r\n", b"Connection: close\r\n"]
AFTER = [b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"x", b"\r\n", b"\0",
         b"0\r\n\r\n", b"\r\n\r\n", b"\n", b"GET / HTTP/9.9\r\n\r\n"]
BEFORE = [b"\r\n", b"\r\n\r\n", b"\r\n" * 4, b"\r\n" * 5, b"\n", b"\r", b" ", b"\t", b"\0", b"\xef\xbb\xbf", b"\n\n",
          b"\r\r\n", b"x"]
WHOLE = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /a\r\n", b"GET /a\r\n\r\n", b"GET /a\n", b"\r\n", b"",
         b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET", b"HTTP/1.1 200\r\n\r\n", b"HTTP/1.1 200 \r\n\r\n",
         b"ICY 200 OK\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"200 OK\r\n\r\n", b"hello"]
STRAY_BYTES = b"\0\t\n\v\f\r \"#%,/:;<=@[\\]{}0159AFafgxz\x7f\x80\xa0\xff"


class Writer:
    """Draws what is usual or, with a chance that is drawn for each message, what is odd."""

    def __init__(self, seed, index):
        self.random = random.Random(seed << 40 | index)
        self.chance = self.random.choice((0.0, 0.01, 0.03, 0.06, 0.15))
        self.odd = lambda: self.random.random() < self.chance

    def maybe(self, chance):
        return self.random.random() < chance

    def pick(self, usual, odd):
        return self.random.choice(odd if self.random.random() < self.chance else usual)

    def field(self, name, value):
        pick = self.pick
        colon = b":" if not self.odd() else self.random.choice((b" :", b"\t:", b"", b"::", b";", b"\0:", b"\r\n:", b"\x0b:", b"="))
        return name + colon + pick(SPACES, ODD_SPACES) + value + pick((b"", b"", b" "), ODD_SPACES) + pick(ENDS, ODD_ENDS)

    def case(self, name):
        return name if self.maybe(0.8) else self.random.choice((name.lower(), name.upper(), name.swapcase()))

    def length_value(self, length):
        if not self.odd():
            return b"%d" % (length if not self.odd() else max(0, length + self.random.choice((-1, 1, 7))))
        pattern = self.random.choice(ODD_LENGTHS)
        return pattern % ((length,) * (pattern.count(b"%d") + pattern.count(b"%x")))

    def extension(self):
        return self.random.choice(ODD_EXTENSIONS) if self.odd() or self.maybe(0.1) else b""

    def size(self, length):
        text = b"%x" % length
        if not self.odd():
            return text if self.maybe(0.9) else text.upper()
        return self.random.choice((b"0" + text, b"0" * 20 + text, b"+" + text, b"-" + text, b"0x" + text, text + b"g", b"", b" " + text, b"\t" + text, b"1" + b"0" * 15 + text, b"f" * 16, b"8" + b"0" * 15,
                                   b"1%015x" % length, text + b"\0", b"%x" % (length + 1), b"%x" % max(0, length - 1), b"0" * 15 + text, text + b".", b"_" + text))

    def chunked(self):
        parts = []
        for _ in range(self.random.choice((0, 1, 1, 2, 3))):
            data = self.random.choice((b"hello", b"x", b"\r\n0\r\n\r\n", b"a" * 16, b"GET / HTTP/1.1\r\n\r\n", b"\0\xff\n"))
            parts += [self.size(len(data)), self.extension(), self.pick(ENDS, ODD_ENDS), data,
                      self.pick(ENDS, ODD_ENDS + DATA_ENDS)]
        last = b"0" if not self.odd() else self.random.choice((b"00", b"0" * 16, b"0" * 17, b"-0", b"0x0", b"", b"+0", b" 0"))
        parts += [last, self.extension(), self.pick(ENDS, ODD_ENDS)]
        if self.maybe(0.15) or self.odd():
            parts += [self.random.choice(TRAILERS) for _ in range(self.random.choice((1, 1, 2)))]
        parts.append(self.pick(ENDS, ODD_ENDS))
        return b"".join(parts)

    def framing(self, bodiless):
        """(field lines, body), which mostly belong together."""
        how = self.random.random()
        body = self.random.choice((b"", b"hello", b"hello", b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", b"x" * 100))
        length = self.field(self.case(b"Content-Length"), self.length_value(len(body)))
        coding = self.field(self.case(b"Transfer-Encoding"), self.pick(CODINGS, ODD_CODINGS))
        if how < bodiless:
            return [], b"" if self.maybe(0.9) else body
        if how < bodiless + (1 - bodiless) * 0.45:
            lines = [length]
            if self.odd():
                lines.append(self.field(b"Content-Length", self.length_value(len(body))))
            return lines, body
        if how < bodiless + (1 - bodiless) * 0.92:
            lines = [coding]
            if self.odd():
                lines.append(self.field(b"Transfer-Encoding", self.random.choice(CODINGS + ODD_CODINGS)))
            return lines, self.chunked()
        lines = [length, coding]
        self.random.shuffle(lines)
        return lines, self.chunked() if self.maybe(0.7) else body

    def other_fields(self):
        lines = [self.field(self.pick(NAMES, ODD_NAMES), self.pick(VALUES, ODD_VALUES)) for _ in range(self.random.choice((0, 0, 1, 1, 2, 3, 8)))]
        if self.maybe(0.25):
            lines.append(self.field(self.case(b"Connection"), self.random.choice(CONNECTIONS)))
        if self.maybe(0.02):
            lines.append(self.field(b"Connection", self.random.choice(CONNECTIONS)))
        if self.maybe(0.04):
            lines.append(self.field(b"Upgrade", self.random.choice((b"h2c", b"websocket", b"", b"a/1, b"))))
        if self.maybe(0.01):
            lines += [b"Field-%d: x\r\n" % i for i in range(40)]
        return lines

    def fields(self, bodiless, own=()):
        framing, body = self.framing(bodiless)
        lines = list(own) + self.other_fields() + framing
        if self.maybe(0.5):
            self.random.shuffle(lines)
        return b"".join(lines) + self.pick(ENDS, ODD_ENDS) + body

    def target(self, method):
        host = self.pick(HOSTS, ODD_HOSTS)
        if method == b"CONNECT" and not self.odd():
            return self.random.choice((b"h:443", b"[::1]:443", b"127.0.0.1:1")) if not self.odd() else self.random.choice(ODD_HOSTS)
        if self.maybe(0.1) or self.odd():
            scheme = self.pick((b"http://", b"http://", b"https://"), (b"HTTP://", b"ftp://", b"http:/", b"http:", b"://", b"urn:", b"h+t.p-1://", b"ws://"))
            return scheme + host + self.random.choice((b"", b"/", b"/a?b", b"?q", b"/a#f", b"#f", self.pick(TARGETS, ODD_TARGETS)))
        if method == b"OPTIONS" and self.maybe(0.5):
            return b"*"
        return self.pick(TARGETS, ODD_TARGETS)

    def request(self):
        method = self.pick(METHODS, ODD_METHODS)
        line = method + self.pick(SPACES, ODD_SPACES) + self.target(method) + self.pick(SPACES, ODD_SPACES)
        line += self.pick(VERSIONS, ODD_VERSIONS) + self.pick(ENDS, ODD_ENDS)
        hosts = 1 if not self.odd() else self.random.choice((0, 0, 2))
        own = [self.field(self.case(b"Host"), self.pick(HOSTS, ODD_HOSTS)) for _ in range(hosts)]
        return line + self.fields(0.4, own)

    def response(self):
        status = self.random.choice(ODD_STATUSES) if self.odd() or self.maybe(0.1) else b"%d" % self.random.choice(STATUSES)
        line = self.pick(VERSIONS, ODD_VERSIONS) + self.pick(SPACES, ODD_SPACES) + status
        line += self.pick(SPACES, ODD_SPACES) + self.pick(REASONS, ODD_REASONS) + self.pick(ENDS, ODD_ENDS)
        return line + self.fields(0.1)

    def mutate(self, message):
        """A few bytes of it put elsewhere, replaced, doubled or lost."""
        data = bytearray(message)
        for _ in range(self.random.choice((1, 1, 2, 4))):
            at = self.random.randrange(len(data) + 1)
            how = self.random.randrange(5)
            if how == 0:
                data[at:at] = bytes([self.random.choice(STRAY_BYTES)])
            elif how == 1 and at < len(data):
                data[at] = self.random.choice(STRAY_BYTES)
            elif how == 2:
                del data[at:at + self.random.choice((1, 1, 2, 9))]
            elif how == 3 and at < len(data):
                data[at] ^= 1 << self.random.randrange(8)
            else:
                piece = data[at:at + self.random.choice((1, 2, 20))]
                to = self.random.randrange(len(data) + 1)
                data[to:to] = piece
        return bytes(data)


def generate(seed, index):
    """(kind, message); kinds are those of weir_verdict.c."""
    writer = Writer(seed, index)
    kind = writer.random.choice("qqqqqrrrhc")
    if writer.maybe(0.003):
        return kind, writer.random.choice(WHOLE)
    message = writer.request() if kind == "q" else writer.response()
    if writer.odd():
        message = writer.random.choice(BEFORE) + message
    if writer.maybe(0.15):
        message += writer.random.choice(AFTER)
    if writer.maybe(0.15):
        message = writer.mutate(message)
    if writer.maybe(0.03):
        message = message[:writer.random.randrange(len(message) + 1)]
    return kind, message
