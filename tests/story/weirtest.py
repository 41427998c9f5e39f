"""The pieces of a story: a scripted origin, a raw client, and the real binary between them.

A story says what the origin does, sends bytes as a client, and checks bytes and counters:

    origin = start.origin(respond(200, b"hello", [("Cache-Control", "max-age=60")]))
    weir = start.weir(origin)
    client = weir.client()
    assert client.get("/a").body == b"hello"
    weir.wait_cache(misses=1)

Threads and sockets of the standard library only. Nothing here sleeps for a fixed time to wait for
something: each wait names what it waits for and is bounded by PATIENCE_S.
"""

import http.client
import json
import os
import random
import re
import resource
import signal
import socket
import struct
import subprocess
import threading
import time

# Sanitizer builds are several times slower: every bound and every short configured timeout grows.
SANITIZED = os.environ.get("WEIR_SANITIZER", "") not in ("", "no")
SLOW = float(os.environ.get("WEIR_TEST_SLOW") or (4 if SANITIZED else 1))
PATIENCE_S = 8 * SLOW
POLL_S = 0.005

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
FIELD_VALUE = re.compile(rb"[\t \x21-\x7e\x80-\xff]*\Z")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9]) ([\t \x21-\x7e\x80-\xff]*)\Z")
REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])\Z")


def binary():
    """The weir to test: WEIR_BIN, else the build's own."""
    chosen = os.environ.get("WEIR_BIN")
    if not chosen:
        here = os.path.dirname(os.path.abspath(__file__))
        top = os.environ.get("TOP_BUILDDIR") or os.path.join(here, "..", "..")
        chosen = os.path.join(top, "weir")
    return os.path.abspath(chosen)


def stopping_at_once():
    """The environment of a weir that a second signal ends: its threads are not waited for, and TSan is to take no offence."""
    return {"TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS", "") + ":report_thread_leaks=0"}


def ms(milliseconds):
    """A short configured time, longer where the binary is slower."""
    return f"{int(milliseconds * SLOW)}ms"


def wait_for(what, condition, timeout_s=None):
    """Polls until condition() is true and returns its value."""
    deadline = time.monotonic() + (timeout_s or PATIENCE_S)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for: {what}")
        time.sleep(POLL_S)


# Bytes ------------------------------------------------------------------------------------------


def log_entries(path, count):
    """The lines of a JSON log, parsed, once there are so many; more is a failure."""
    def read():
        text = ""
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                text = file.read()
        return text.endswith("\n") and text.count("\n") >= count and text.splitlines()
    lines = wait_for(f"{count} lines in {os.path.basename(path)}", read)
    assert len(lines) == count
    return [json.loads(line) for line in lines]


class Malformed(AssertionError):
    """A message that is not HTTP/1.1 as RFC 9112 writes it."""


def parse_fields(lines):
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        if not colon or not TOKEN.match(name) or not FIELD_VALUE.match(value):
            raise Malformed(f"not a field line: {line!r}")
        fields.append((name.decode("latin-1"), value.decode("latin-1")))
    return fields


class Message:
    """What a request and a response have in common: fields, and a body with its framing."""

    fields = ()

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def field(self, name):
        """The combined value, or None where the field is absent."""
        values = self.all(name)
        return ", ".join(values) if values else None

    def has(self, name):
        return bool(self.all(name))

    def members(self, name):
        """The members of a comma separated list field, lower case."""
        value = self.field(name) or ""
        return [member.strip().lower() for member in value.split(",") if member.strip()]


class Request(Message):
    """A request as the origin received it, every byte kept."""

    def __init__(self, head, connection, number):
        self.head = head
        self.connection = connection
        self.number = number
        self.body = b""
        self.raw_body = b""
        self.trailers = []
        lines = head[:-4].split(b"\r\n")
        match = REQUEST_LINE.match(lines[0])
        if not match or b"\n" in head[:-4].replace(b"\r\n", b"") or b"\r" in head.replace(b"\r\n", b""):
            raise Malformed(f"not a request head: {head!r}")
        self.method = match[1].decode()
        self.target = match[2].decode("latin-1")
        self.version = "1." + match[3].decode()
        self.fields = parse_fields(lines[1:])

    @property
    def line(self):
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    def __repr__(self):
        return f"<{self.method} {self.target} on connection {self.connection.number}>"


class Response(Message):
    """A response as the client received it.

    framing: none, length, chunked or close. end: None while it lasts, then clean, early or reset.
    """

    def __init__(self, head, method):
        self.head = head
        lines = head[:-4].split(b"\r\n")
        match = STATUS_LINE.match(lines[0])
        if not match:
            raise Malformed(f"not a status line: {lines[0]!r}")
        self.version = "1." + match[1].decode()
        self.status = int(match[2])
        self.reason = match[3].decode("latin-1")
        self.fields = parse_fields(lines[1:])
        self.body = b""
        self.trailers = []
        self.interim = []
        self.end = None
        self.left = 0
        self.framing = self._framing(method)
        if self.framing == "none":
            self.end = "clean"

    def _framing(self, method):
        lengths = self.all("Content-Length")
        codings = self.members("Transfer-Encoding")
        if lengths and codings:
            raise Malformed("both Content-Length and Transfer-Encoding in a response")
        if len(lengths) > 1 or (lengths and not lengths[0].isdigit()):
            raise Malformed(f"Content-Length: {lengths}")
        if self.status < 200 or self.status == 204:
            if lengths or codings:
                raise Malformed(f"framing fields in a {self.status}")
            return "none"
        if method == "HEAD" or self.status == 304:
            return "none"
        if codings:
            if codings != ["chunked"] or self.version != "1.1":
                raise Malformed(f"Transfer-Encoding: {codings} in HTTP/{self.version}")
            return "chunked"
        if lengths:
            self.left = int(lengths[0])
            return "length"
        return "close"

    def cache_status(self):
        """The parameters of Weir's own member of Cache-Status (RFC 9211): {"hit": True, "ttl": 29}."""
        value = self.field("Cache-Status")
        assert value, f"no Cache-Status in {self.fields}"
        # A quoted detail may hold a comma or a semicolon.
        pieces = re.findall(r'(?:[^,;"]|"(?:[^"\\]|\\.)*")+|[,;]', value)
        members = [[""]]
        for piece in pieces:
            if piece == ",":
                members.append([""])
            elif piece == ";":
                members[-1].append("")
            else:
                members[-1][-1] += piece
        last = [part.strip() for part in members[-1]]
        assert last[0] == "weir", f"the last member of Cache-Status is not weir: {value}"
        parameters = {}
        for part in last[1:]:
            key, equals, text = part.partition("=")
            parameters[key] = (int(text) if re.fullmatch(r"-?\d+", text) else text) if equals else True
        return parameters

    def __repr__(self):
        return f"<{self.status} {self.fields} {len(self.body)} bytes, {self.framing}, {self.end}>"


def field_lines(fields):
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in fields)


def request_bytes(method, target, fields=(), body=None, host="example.test", version="1.1"):
    own = [] if host is None else [("Host", host)]
    if body is not None and not any(name.lower() in ("content-length", "transfer-encoding")
                                    for name, _ in fields):
        own.append(("Content-Length", str(len(body))))
    line = f"{method} {target} HTTP/{version}\r\n".encode("latin-1")
    return line + field_lines(own + list(fields)) + b"\r\n" + (body or b"")


def response_bytes(status=200, body=b"", fields=(), reason=None, version="1.1"):
    own = []
    names = [name.lower() for name, _ in fields]
    if "content-length" not in names and "transfer-encoding" not in names and status >= 200 \
            and status not in (204, 304):
        own.append(("Content-Length", str(len(body))))
    reason = http.client.responses.get(status, "Unknown") if reason is None else reason
    line = f"HTTP/{version} {status} {reason}\r\n".encode("latin-1")
    return line + field_lines(own + list(fields)) + b"\r\n" + body


def chunk(data):
    return b"%x\r\n" % len(data) + data + b"\r\n"


def byteranges(response):
    """The parts of a multipart/byteranges (RFC 9110 section 14.6): (first, last, length, bytes, type) of each. Strict."""
    kind = re.fullmatch(r"multipart/byteranges; boundary=([0-9A-Za-z]{1,70})", response.field("Content-Type"))
    assert kind, response
    assert not response.has("Content-Range") and response.framing == "length"
    delimiter = b"--" + kind[1].encode()
    rest, parts = response.body, []
    while rest.startswith(delimiter + b"\r\n"):
        head, rest = rest[len(delimiter) + 2:].split(b"\r\n\r\n", 1)
        part = Message()
        part.fields = parse_fields(head.split(b"\r\n"))
        span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", part.field("Content-Range"))
        first, last, length = (int(number) for number in span.groups())
        data, rest = rest[:last - first + 1], rest[last - first + 1:]
        parts.append((first, last, length, data, part.field("Content-Type")))
        assert rest.startswith(b"\r\n"), rest[:80]
        rest = rest[2:]
    assert rest == delimiter + b"--\r\n" and parts, rest[:80]
    return parts


# A pattern in which a lost, doubled or moved piece shows; the same for the same length and seed.
def patterned(length, seed=1):
    return random.Random(seed).randbytes(length)


# Origin -----------------------------------------------------------------------------------------


class PeerGone(Exception):
    """The other side closed or reset while the script was sending or reading."""


class Gate:
    """Holds a script until the test opens it (or the story ends)."""

    def __init__(self):
        self.event = threading.Event()
        self.reached = threading.Event()

    def open(self):
        self.event.set()

    def wait(self):
        self.reached.set()
        self.event.wait(60 * SLOW)

    def wait_reached(self):
        assert self.reached.wait(PATIENCE_S), "nothing reached this gate of the origin"


class OriginConnection:
    """One accepted connection of an origin; a script acts through it."""

    def __init__(self, origin, sock, number):
        self.origin = origin
        self.sock = sock
        self.number = number
        self.buffer = b""
        self.open = True
        self.requests = 0
        self.thread = None
        self.peer_closed = threading.Event()  # seen by the thread once it reads again
        self.ended = threading.Event()  # closed by either side

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise PeerGone from error

    def close(self):
        """Closes as a program that ends would: what was sent arrives, then FIN."""
        if self.open:
            self.open = False
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.sock.close()
            self.ended.set()

    def reset(self):
        """Closes with RST; what is not delivered yet is lost."""
        if self.open:
            self.open = False
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()
            self.ended.set()

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def receive(self):
        """Adds to the buffer; raises PeerGone at the end."""
        try:
            data = self.sock.recv(262144)
        except OSError as error:
            self.peer_closed.set()
            raise PeerGone from error
        if not data:
            self.peer_closed.set()
            raise PeerGone
        self.buffer += data

    def take(self, length):
        parts = [self.buffer[:length]]
        have = len(parts[0])
        self.buffer = self.buffer[have:]
        while have < length:
            self.receive()
            piece = self.buffer[:length - have]
            parts.append(piece)
            have += len(piece)
            self.buffer = self.buffer[len(piece):]
        return b"".join(parts)

    def take_until(self, mark):
        while mark not in self.buffer:
            self.receive()
        end = self.buffer.index(mark) + len(mark)
        data, self.buffer = self.buffer[:end], self.buffer[end:]
        return data

    def take_any(self):
        """Whatever has come, at least one byte."""
        if not self.buffer:
            self.receive()
        data, self.buffer = self.buffer, b""
        return data

    def read_body(self, request):
        """Reads the body of a request whose script was started before it (early=True)."""
        codings = request.members("Transfer-Encoding")
        lengths = request.all("Content-Length")
        if codings and lengths:
            raise Malformed("both Content-Length and Transfer-Encoding in a request")
        if codings:
            if codings != ["chunked"]:
                raise Malformed(f"Transfer-Encoding: {codings}")
            parts = []
            raw = []
            while True:
                line = self.take_until(b"\r\n")
                raw.append(line)
                if not re.match(rb"[0-9A-Fa-f]+(;|\r)", line):
                    raise Malformed(f"not a chunk size: {line!r}")
                size = int(line.split(b";")[0], 16)
                if size == 0:
                    break
                data = self.take(size + 2)
                if data[-2:] != b"\r\n":
                    raise Malformed("a chunk without its CRLF")
                raw.append(data)
                parts.append(data[:-2])
            trailers = []
            while True:
                line = self.take_until(b"\r\n")
                raw.append(line)
                if line == b"\r\n":
                    break
                trailers.append(line[:-2])
            request.trailers = parse_fields(trailers)
            request.body = b"".join(parts)
            request.raw_body = b"".join(raw)
        elif lengths:
            if len(lengths) != 1 or not lengths[0].isdigit():
                raise Malformed(f"Content-Length: {lengths}")
            request.body = request.raw_body = self.take(int(lengths[0]))

    def wait_closed(self):
        """Until Weir closed this connection. Its own script ends with this: nobody else reads here meanwhile."""
        while threading.current_thread() is self.thread:
            self.receive()
        assert self.peer_closed.wait(PATIENCE_S), f"Weir kept origin connection {self.number} open"


class Origin:
    """A scripted origin.

    script: a function (request, connection), or a list of them, one a request in order of arrival,
    or a dict from target to either. early=True starts the script before the body is read, and leaves
    100-continue to it. A request that the script does not foresee fails the story.
    """

    def __init__(self, script, family="inet", path=None, early=False, receive_buffer=None, listen=True):
        self.script = script
        self.early = early
        self.lock = threading.Lock()
        self.requests = []
        self.connections = []
        self.errors = []
        self.gates = []
        self.threads = []
        self.stopping = False
        if family == "unix":
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.bind(path)
            self.url = "unix:" + path
        elif family == "inet6":
            self.sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            self.sock.bind(("::1", 0))
            self.url = f"http://[::1]:{self.sock.getsockname()[1]}"
        else:
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind(("127.0.0.1", free_port()))
            self.url = f"http://127.0.0.1:{self.sock.getsockname()[1]}"
        self.address = self.url.removeprefix("http://")
        self.family = family
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if listen:
            self.listen()

    def listen(self):
        self.sock.listen(1024)
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()

    def gate(self):
        gate = Gate()
        self.gates.append(gate)
        return gate

    @property
    def accepts(self):
        return len(self.connections)

    @property
    def targets(self):
        return [request.target for request in self.requests]

    def wait_requests(self, count):
        wait_for(f"{count} requests at the origin, it has {self.requests}",
                 lambda: len(self.requests) >= count)
        return self.requests[count - 1]

    def wait_accepts(self, count):
        wait_for(f"{count} connections at the origin", lambda: len(self.connections) >= count)
        return self.connections[count - 1]

    def stop(self):
        self.stopping = True
        for gate in self.gates:
            gate.open()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        for connection in list(self.connections):
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            if self.family != "unix":
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                connection = OriginConnection(self, sock, len(self.connections) + 1)
                self.connections.append(connection)
            connection.thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            connection.thread.start()

    def _serve(self, connection):
        try:
            while connection.open:
                head = connection.take_until(b"\r\n\r\n")
                connection.requests += 1
                request = Request(head, connection, connection.requests)
                with self.lock:
                    if not self.early:
                        script = None
                    else:
                        script = self._next(request)
                        self.requests.append(request)
                if not self.early:
                    if "100-continue" in request.members("Expect"):
                        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                    connection.read_body(request)
                    with self.lock:
                        script = self._next(request)
                        self.requests.append(request)
                if script:
                    script(request, connection)
                else:
                    self.errors.append(f"unforeseen request: {request.line}")
                    connection.send(response_bytes(500, b"unforeseen"))
        except PeerGone:
            connection.close()
        except Exception as error:  # reported by the story's end, never lost in a thread
            if not self.stopping:
                self.errors.append(f"{type(error).__name__}: {error}")
            connection.close()

    def _next(self, request):
        script = self.script
        if isinstance(script, dict):
            script = script.get(request.target)
        if isinstance(script, list):
            return script.pop(0) if script else None
        return script


def respond(status=200, body=b"", fields=(), reason=None, close=False, version="1.1"):
    """A script: one whole response, without a body for HEAD."""
    def script(request, connection):
        data = response_bytes(status, body, fields, reason, version)
        if request.method == "HEAD" and body:
            data = data[:-len(body)]
        connection.send(data)
        if close:
            connection.close()
    return script


def cacheable(body=b"hello", ttl_s=60, fields=()):
    return respond(200, body, [("Cache-Control", f"max-age={ttl_s}")] + list(fields))


def chunked(*chunks, fields=(), trailers=(), status=200):
    """A script: a chunked response, one chunk each."""
    def script(request, connection):
        head = response_bytes(status, b"", [("Transfer-Encoding", "chunked")] + list(fields))
        body = b"".join(chunk(data) for data in chunks) + b"0\r\n" + field_lines(trailers) + b"\r\n"
        connection.send(head + body if request.method != "HEAD" else head)
    return script


def raw(data, end=None):
    """A script: these bytes, then nothing, "close" or "reset"."""
    def script(request, connection):
        connection.send(data)
        if end == "close":
            connection.close()
        elif end == "reset":
            connection.reset()
    return script


def held(gate, script):
    """A script that starts when the gate opens."""
    def waiting(request, connection):
        gate.wait()
        script(request, connection)
    return waiting


# Client -----------------------------------------------------------------------------------------


class Ended(Exception):
    def __init__(self, how):
        super().__init__(how)
        self.how = how


class Client:
    """A raw client connection."""

    def __init__(self, address, receive_buffer=None):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.ended = None
        self.targets = []  # what request() has asked for
        self.spoke_raw = False  # other bytes have been sent as well

    def send(self, data):
        self.spoke_raw = True
        self.sock.sendall(data)

    def send_quietly(self, data):
        """Sends to a peer that may have closed already; what it answered can still be read."""
        self.spoke_raw = True
        try:
            self.sock.sendall(data)
        except OSError:
            pass

    def send_until_blocked(self, piece, most, patience_s=None):
        """Sends pieces until the peer takes no more for patience_s; returns how many bytes it took."""
        taken = 0
        self.sock.settimeout(patience_s or 0.5 * SLOW)
        try:
            while taken < most:
                taken += self.sock.send(piece)
        except socket.timeout:
            pass
        finally:
            self.sock.settimeout(PATIENCE_S)
        return taken

    def request(self, method, target, fields=(), body=None, **more):
        self.targets.append((method, target))
        self.sock.sendall(request_bytes(method, target, fields, body, **more))

    def fetch(self, method, target, fields=(), body=None, **more):
        """Sends a request and reads its whole response."""
        self.request(method, target, fields, body, **more)
        return self.read_response(method)

    def get(self, target, fields=(), **more):
        return self.fetch("GET", target, fields, **more)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def _receive(self):
        if self.ended:
            raise Ended(self.ended)
        try:
            data = self.sock.recv(262144)
        except socket.timeout:
            raise AssertionError(f"nothing came within {PATIENCE_S} s; unread: "
                                 f"{self.buffer[:200]!r}") from None
        except ConnectionError:
            self.ended = "reset"
            raise Ended("reset") from None
        if not data:
            self.ended = "early"
            raise Ended("early")
        self.buffer += data

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._receive()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def read_any(self):
        """Whatever has come, at least one byte; b"" at a clean end."""
        if not self.buffer:
            try:
                self._receive()
            except Ended as ended:
                if ended.how == "reset":
                    raise AssertionError("reset") from None
                return b""
        data, self.buffer = self.buffer, b""
        return data

    def read_exact(self, length):
        while len(self.buffer) < length:
            try:
                self._receive()
            except Ended as ended:
                raise AssertionError(f"{ended.how} after {self.buffer!r}") from None
        data, self.buffer = self.buffer[:length], self.buffer[length:]
        return data

    def read_head(self, method="GET"):
        """The next response's head, final or interim."""
        try:
            while b"\r\n\r\n" not in self.buffer:
                self._receive()
        except Ended as ended:
            raise AssertionError(f"no response: {ended.how} after {self.buffer[:200]!r}") from None
        end = self.buffer.index(b"\r\n\r\n") + 4
        head, self.buffer = self.buffer[:end], self.buffer[end:]
        return Response(head, method)

    def read_final_head(self, method="GET"):
        interim = []
        while True:
            response = self.read_head(method)
            if response.status >= 200 or response.status == 101:
                response.interim = interim
                return response
            interim.append(response)

    def read_body(self, response, at_least=None):
        """Adds to response.body until its end, or until it has at least so many bytes."""
        parts = [response.body]
        have = len(response.body)
        try:
            while response.end is None and (at_least is None or have < at_least):
                piece = self._body_piece(response)
                parts.append(piece)
                have += len(piece)
        except Ended as ended:
            response.end = ended.how
            if response.framing == "close" and ended.how == "early":
                response.end = "clean"
        response.body = b"".join(parts)
        return response

    def _body_piece(self, response):
        if response.framing == "chunked" and response.left == 0:
            line = self._line()
            if not re.fullmatch(rb"[0-9A-Fa-f]+(;.*)?", line):
                raise Malformed(f"not a chunk size: {line!r}")
            response.left = int(line.split(b";")[0], 16)
            if response.left == 0:
                lines = []
                while (line := self._line()):
                    lines.append(line)
                response.trailers = parse_fields(lines)
                response.end = "clean"
                return b""
        if response.framing == "length" and response.left == 0:
            response.end = "clean"
            return b""
        if not self.buffer:
            self._receive()
        if response.framing == "close":
            piece, self.buffer = self.buffer, b""
            return piece
        piece, self.buffer = self.buffer[:response.left], self.buffer[response.left:]
        response.left -= len(piece)
        if response.left == 0 and response.framing == "length":
            response.end = "clean"
        if response.left == 0 and response.framing == "chunked":
            while len(self.buffer) < 2:
                self._receive()
            if self.buffer[:2] != b"\r\n":
                raise Malformed("a chunk without its CRLF")
            self.buffer = self.buffer[2:]
        return piece

    def read_response(self, method="GET"):
        """A whole response; interim ones before it are in .interim, how it ended in .end."""
        return self.read_body(self.read_final_head(method))

    def read_end(self):
        """How the connection ended, with nothing more on it: early (FIN) or reset."""
        try:
            while True:
                self._receive()
        except Ended as ended:
            assert not self.buffer, f"unexpected bytes before the end: {self.buffer[:400]!r}"
            return ended.how

    def silent(self, seconds=0.15):
        """True if nothing comes for a moment (a check that cannot be waited for)."""
        if self.buffer:
            return False
        self.sock.settimeout(seconds * SLOW)
        try:
            self.buffer += self.sock.recv(65536)
            return False
        except socket.timeout:
            return True
        except ConnectionError:
            return False
        finally:
            self.sock.settimeout(PATIENCE_S)


# Weir -------------------------------------------------------------------------------------------


PORTS = range(10000, 32000)  # outside the range that outgoing connections take theirs from
SLICE = 100
own_ports = []
slice_locks = []  # of the slices that were taken, until this process ends


def take_slice():
    """Ports that no other process of tests chooses from: it is a while until a weir listens there, or after it last asked there."""
    for first in random.SystemRandom().sample(PORTS[::SLICE], len(PORTS) // SLICE):
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind(f"\0weir-test-ports-{first}")
        except OSError:
            lock.close()
            continue
        slice_locks.append(lock)
        return random.SystemRandom().sample(range(first, first + SLICE), SLICE)
    raise AssertionError(f"other tests have taken all ports from {PORTS[0]} to {PORTS[-1]}")


def free_port():
    """A port nobody listens on. Never the same one twice."""
    while True:
        if not own_ports:
            own_ports.extend(take_slice())
        port = own_ports.pop()
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def to_yaml(value, indent=0):
    """Block YAML with every string quoted."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        lines = []
        for key, inner in value.items():
            if isinstance(inner, (dict, list)) and inner:
                lines.append(f"{pad}{key}:\n{to_yaml(inner, indent + 1)}")
            else:
                lines.append(f"{pad}{key}: {json.dumps(inner)}")
        return "\n".join(lines)
    if isinstance(value, list) and value:
        lines = []
        for inner in value:
            if isinstance(inner, (dict, list)) and inner:
                text = to_yaml(inner, indent + 1)
                lines.append(f"{pad}- {text.lstrip()}")
            else:
                lines.append(f"{pad}- {json.dumps(inner)}")
        return "\n".join(lines)
    return pad + json.dumps(value)


def make_config(origin, upstream=None, pool=None, timeouts=None, route=None, route_cache=None, **top):
    """The config of most stories: one upstream `up` and one route to it."""
    origins = origin if isinstance(origin, list) else [origin]
    urls = [one if isinstance(one, str) else one.url for one in origins]
    # A machine that stands still for some seconds is no origin that cannot be reached.
    up = {"servers": urls, "timeouts": {"connect": "20s"} | (timeouts or {})} | (upstream or {})
    if pool:
        up["pool"] = pool
    one_route = {"upstream": "up"} | (route or {})
    if route_cache:
        one_route["cache"] = route_cache
    return {"workers": 2, "cache": {"memory": "64MiB"}, "upstreams": {"up": up},
            "routes": [one_route]} | top


def without_zeros(value):
    """Stats for a message: what is not zero."""
    if isinstance(value, dict):
        kept = {key: without_zeros(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner not in (0, {}, [])}
    return [without_zeros(inner) for inner in value] if isinstance(value, list) else value


SANITIZER_REPORT = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|"
                              r"ERROR: LeakSanitizer|weir_assert|[Aa]ssertion .*failed")


class Weir:
    """The real binary, running."""

    def __init__(self, folder, config=None, args=None, clock=False, env=None, descriptors=None,
                 wait_ready=True, program=None):
        self.folder = folder
        self.program = program or binary()
        self.clients = []
        self.stopped = False
        for attempt in range(5):
            self.port, self.admin_port = free_port(), free_port()
            self._launch(config, args, clock, env, descriptors, attempt)
            if not wait_ready or self._ready():
                return
            if self.process.returncode != 2:
                break
        raise AssertionError(f"weir did not get ready (exit {self.process.poll()}):\n{self.tail()}")

    def _launch(self, config, args, clock, env, descriptors, attempt):
        listen, admin = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.admin_port}"
        if args is None:
            if isinstance(config, dict):
                text = to_yaml({"listen": [{"address": listen}], "admin": {"address": admin}}
                               | self._addressed(config, admin))
            else:
                text = config.replace("@LISTEN@", listen).replace("@ADMIN@", admin)
            self.config_path = os.path.join(self.folder, "weir.yaml")
            with open(self.config_path, "w", encoding="utf-8") as file:
                file.write(text + "\n")
            args = ["run", "-c", self.config_path]
        else:
            args = [arg.replace("@LISTEN@", listen).replace("@ADMIN@", admin) for arg in args]
        if clock:
            args = args + ["--test-clock"]
        self.stderr_path = os.path.join(self.folder, f"stderr.{attempt}")
        self.stdout_path = os.path.join(self.folder, f"stdout.{attempt}")

        def limit():
            if descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen([self.program] + args, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=err, env=os.environ | (env or {}),
                                            preexec_fn=limit if descriptors else None)

    @staticmethod
    def _addressed(config, admin):
        if "admin" in config:
            return config | {"admin": {"address": admin} | config["admin"]}
        return config

    def _ready(self):
        deadline = time.monotonic() + 10 * SLOW
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            try:
                if self.admin("GET", "/readyz").status == 200:
                    return True
            except OSError:
                pass
            time.sleep(POLL_S)
        return False

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def admin_url(self):
        return f"http://127.0.0.1:{self.admin_port}"

    def client(self, **more):
        client = Client(self.address, **more)
        self.clients.append(client)
        return client

    def get(self, target, fields=(), **more):
        """One request on a connection of its own."""
        client = self.client()
        response = client.get(target, fields, **more)
        client.close()
        return response

    def admin(self, method, path, fields=(), body=None, host=None):
        """One request to the admin port."""
        client = Client(("127.0.0.1", self.admin_port))
        try:
            own = [("Connection", "close")] + list(fields)
            if method == "POST" and body is None:
                body = b""
            client.request(method, path, own, body, host=host or f"127.0.0.1:{self.admin_port}")
            try:
                return client.read_response(method)
            except AssertionError as error:
                raise ConnectionError(str(error)) from None
        finally:
            client.close()

    def stats(self, fields=()):
        response = self.admin("GET", "/stats", fields)
        assert response.status == 200, response
        return json.loads(response.body)

    def server(self, number=0, upstream="up"):
        """The stats of one server of an upstream."""
        return self.stats()["upstreams"][upstream]["servers"][number]

    def wait_stats(self, condition, what="the counters", timeout_s=None):
        """Polls /stats until condition(stats) and returns them, read once more: what a worker counts of the same request, one
        figure after the other, may have been missed by the first look."""
        deadline = time.monotonic() + (timeout_s or PATIENCE_S)
        while True:
            stats = self.stats()
            if condition(stats):
                again = self.stats()
                return again if condition(again) else stats
            if time.monotonic() > deadline:
                raise AssertionError(f"waited in vain for {what}; /stats but zeros: {json.dumps(without_zeros(stats))}")
            time.sleep(POLL_S)

    def wait_cache(self, **expected):
        """Until these counters under `cache` have exactly these values."""
        return self.wait_stats(lambda stats: all(stats["cache"][key] == value
                                                 for key, value in expected.items()),
                               f"cache counters {expected}")

    def wait_server(self, number=0, **expected):
        """Until these counters of a server's `connections` have exactly these values."""
        def reached(stats):
            counters = stats["upstreams"]["up"]["servers"][number]["connections"]
            return all(counters[key] == value for key, value in expected.items())
        return self.wait_stats(reached, f"server connections {expected}")

    def rejected(self):
        """Requests refused for their form, all reasons together."""
        return sum(self.stats()["requests"]["rejected"].values())

    def purge(self, url=None, soft=False, **what):
        """By url, or by prefix=, tag= or all="1"; how many that were."""
        (name, value), = what.items() or [("url", url)]
        quoted = "".join(c if c.isalnum() or c in "-._~" else f"%{ord(c):02X}" for c in value)
        response = self.admin("POST", f"/purge?{name}={quoted}" + ("&soft=1" if soft else ""))
        assert response.status == 200, response
        return json.loads(response.body)["purged"]

    def advance(self, seconds):
        """Moves the process's clock forward; every worker has seen it on return."""
        response = self.admin("POST", f"/test/clock?advance_ms={int(seconds * 1000)}")
        assert response.status == 200, response

    def turn(self):
        """Until every worker has been round its loop: what had reached its sockets before has been dealt with. Of a weir with
        clock=True."""
        for _ in range(2):
            self.advance(0)

    def step_wall(self, seconds):
        """Sets the process's wall clock forward, or back; what it measures time with goes on."""
        response = self.admin("POST", f"/test/clock?wall_ms={int(seconds * 1000)}")
        assert response.status == 200, response

    def command(self, *args, env=None, stdin=None):
        """Runs another weir command and returns the finished process."""
        return run_weir(*args, env=env, stdin=stdin)

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            wait_for("every thread stopped", self._is_stopped)

    def _is_stopped(self):
        """A stop reaches the threads one by one, after the call that asks for it."""
        tasks = f"/proc/{self.process.pid}/task"
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/stat", encoding="ascii", errors="replace") as file:
                if file.read().rpartition(")")[2].split()[0] != "T":
                    return False
        return True

    def wait_exit(self, timeout_s=None):
        """The exit status; the story has stopped the process itself."""
        self.stopped = True
        try:
            return self.process.wait(timeout_s or PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"weir did not stop:\n{self.tail()}") from None

    def tail(self, lines=40):
        with open(self.stderr_path, "rb") as file:
            text = file.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

    def stderr(self):
        with open(self.stderr_path, "rb") as file:
            return file.read().decode("utf-8", "replace")

    def stdout(self):
        with open(self.stdout_path, "rb") as file:
            return file.read().decode("utf-8", "replace")

    def cpu_s(self):
        """CPU time the process has used, all threads."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            parts = file.read().rsplit(")", 1)[1].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def finish(self, fields=()):
        """The end of a story: nothing left behind, still alive, a clean stop."""
        for client in self.clients:
            client.close()
        if not self.stopped:
            assert self.process.poll() is None, f"weir died ({self.process.returncode}):\n{self.tail()}"
            self._settled(fields)
            self.process.send_signal(signal.SIGTERM)
            status = self.wait_exit()
            assert status == 0, f"weir exited with {status}:\n{self.tail()}"
        assert self.process.returncode is not None and self.process.returncode >= 0, \
            f"weir was killed by signal {-(self.process.returncode or 0)}:\n{self.tail()}"
        report = SANITIZER_REPORT.search(self.stderr())
        assert not report, f"{report[0]}:\n{self.tail(200)}"

    def _settled(self, fields):
        """No request, connection or bufferevent outlives its client; every request counted once."""
        def idle():
            stats = self.stats(fields)
            return stats if stats["requests"]["in_flight"] == 0 and stats["connections"]["open"] == 0 \
                and stats["buffers"]["bufferevents"]["leased"] == 0 else None
        try:
            stats = wait_for("no request, connection or leased bufferevent left", idle)
        except AssertionError as error:
            raise AssertionError(f"{error}; /stats but zeros: "
                                 f"{json.dumps(without_zeros(self.stats(fields)))}") from None
        cache = stats["cache"]
        kinds = ("hits", "misses", "stale", "revalidated", "coalesced", "passes", "local")
        assert stats["requests"]["total"] == sum(cache[kind] for kind in kinds), \
            f"requests.total is not the sum of {kinds}: {stats['requests']} {cache}"

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Watched:
    """A weir whose cache's bytes are compared with the limit all the time, on a thread of their own."""

    def __init__(self, weir):
        self.weir = weir
        self.most = 0
        self.wrong = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        """At least once, however soon the story is through."""
        try:
            last = False
            while not last and not self.wrong:
                last = self.stop.wait(0.005)
                cache = self.weir.stats()["cache"]
                self.most = max(self.most, cache["bytes"])
                if cache["bytes"] > cache["memory_limit"]:
                    self.wrong = f"{cache['bytes']} bytes of {cache['memory_limit']}: {cache['memory']}"
        except Exception as error:  # shown by the story, never lost in a thread
            self.wrong = repr(error)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        assert self.wrong is None, self.wrong


def run_weir(*args, env=None, stdin=None, cwd=None, timeout_s=None):
    """Runs a weir command to its end."""
    return subprocess.run([binary()] + list(args), capture_output=True, text=True, cwd=cwd,
                          input=stdin if stdin is not None else "", env=os.environ | (env or {}),
                          timeout=timeout_s or 20 * SLOW, check=False)
