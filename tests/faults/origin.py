"""The origin of a fault run: answers by chance well, slowly, in part, or not at all."""

import asyncio
import collections
import contextlib
import random
import socket
import zlib

from content import HOST, KEYS, Wrong, satisfiable
from weirtest import Malformed, Request, chunk, field_lines, response_bytes
from wire import Gone, Wire

# What it does with one request, and how often.
FAULTS = {
    "none": 64, "slow": 8, "interim": 4,
    "close": 6, "reset": 6, "stall": 3,  # somewhere before the end
    "garbage": 3,  # instead of a head, or of a chunk line
    "excess": 3,  # behind a whole response
    "unsolicited": 1,  # the same, a moment later
    "idle close": 2,  # a whole response, and the connection closed a moment later
    "endless": 1,
}
HARMLESS = ("none", "slow", "interim")
STATUSES = {200: 90, 404: 4, 500: 3, 204: 2, 301: 1}
FRAMINGS = {"length": 50, "chunked": 35, "close": 15}
LIFETIMES = ("max-age=60", "max-age=60", "max-age=60, public", "max-age=2", "max-age=1", "max-age=0", "no-cache",
             "s-maxage=60", "max-age=1, stale-while-revalidate=2", "max-age=0, stale-while-revalidate=60, stale-if-error=60",
             "max-age=1, stale-if-error=30", "max-age=1, public, stale-while-revalidate=30, stale-if-error=1",
             "max-age=1, must-revalidate, stale-while-revalidate=30, stale-if-error=30")
UNSHARED = ("no-store", "private", "private, max-age=60", "no-store, max-age=60")
ENDLESS_MOST = 6 << 20  # more than the kernel takes for a client that does not read


def pick(chance, weights):
    return chance.choices(list(weights), list(weights.values()))[0]


class Answer:
    """The bytes of one response: the head, and the body in its framing."""

    def __init__(self, head, body=b"", framing="none"):
        self.head = head
        self.body = body
        self.framing = framing

    @property
    def data(self):
        return self.head + self.body


class Origin:
    def __init__(self, content, seed, fail):
        self.content = content
        self.chance = random.Random(f"origin {seed}")
        self.fail = fail
        self.done = collections.Counter()
        self.tasks = set()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(1024)
        self.sock.setblocking(False)
        self.url = f"http://127.0.0.1:{self.sock.getsockname()[1]}"

    async def run(self):
        """Accepts until it is cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                sock, _ = await loop.sock_accept(self.sock)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                task = asyncio.create_task(self._serve(Wire(sock)))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
        finally:
            for task in list(self.tasks):
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            self.sock.close()

    def on_exchange(self, request, fault, head):
        """A context, for who wants to know: meanwhile this request is answered so, with this fault ("early": before it was
        whole, and then the connection is closed)."""
        return contextlib.nullcontext()

    async def _serve(self, wire):
        try:
            while await self._exchange(wire):
                pass
        except Gone:
            pass
        except (Malformed, Wrong, ValueError) as error:
            self.fail(f"Weir sent the origin: {error}")
        finally:
            wire.close()

    async def _exchange(self, wire):
        """One request; False when the connection is over."""
        request = Request(await wire.take_until(b"\r\n\r\n"), None, 0)
        early = self.chance.random() < 0.03  # answered before its body has been read
        if not early:
            await self._read_body(wire, request)
        fault = self._choose_fault(request)
        answer = self._make_answer(request)
        if fault == "endless":
            self.done[fault] += 1
            return await self._send_endless(wire, request)
        fault = self._possible(fault, answer)
        with self.on_exchange(request, "early" if early and fault in HARMLESS else fault, answer.head):
            goes_on = await self._send(wire, answer, fault)
        return goes_on and not early and answer.framing != "close"

    def _choose_fault(self, request):
        fault, key = pick(self.chance, FAULTS), self._key(request)
        if key is None or request.method == "HEAD":
            return "none" if fault == "endless" else fault
        if self.content.often_endless(key) and self.chance.random() < 0.5:
            return "endless"
        return fault

    async def _read_body(self, wire, request):
        if "chunked" in request.members("Transfer-Encoding"):
            while data := await wire.take_chunk():
                request.body += data
        else:
            request.body = await wire.take(int(request.field("Content-Length") or 0))

    # What it answers ----

    @staticmethod
    def _key(request):
        """The number of the key, or None for what a client's rubbish has asked for."""
        text = request.target.removeprefix("/k/")
        return int(text) if text != request.target and text.isdigit() and int(text) < KEYS else None

    def _make_answer(self, request):
        key = self._key(request)
        if key is None:
            return self._frame(request, 404, [], b"nothing here", "length")
        if self.chance.random() < 0.02:
            self.content.versions[key] += 1
        version = self.content.versions[key]
        variant = self.content.variant(key, request.field("X-Lang"))
        # A QUERY too large to be looked up (or whose body was not read) comes with its client's own condition: the answer is
        # whole, as a POST's.
        conditional = request.method in ("GET", "HEAD") or (request.method == "QUERY" and 0 < len(request.body) < 65536)
        if conditional and request.has("If-None-Match") and self.chance.random() < 0.8:
            etag = self.content.etag(key, version, variant)
            if etag in request.field("If-None-Match"):
                return self._answer_not_modified(request, key, version, [("ETag", etag)])
        elif conditional and not self.content.has_etag(key) and self.chance.random() < 0.8 and \
                request.field("If-Modified-Since") == self.content.modified(version):
            return self._answer_not_modified(request, key, version, [])
        return self._answer_whole(request, key, version, variant)

    def _answer_not_modified(self, request, key, version, fields):
        return Answer(response_bytes(304, b"", fields + [("Last-Modified", self.content.modified(version)),
                                                         ("X-Fresh", self.content.next_serial())] +
                                     self._control(key, request)))

    def _control(self, key, request, stands_for_get=False):
        """The fields that say who may be given the response."""
        unshared = request.method not in ("GET", "HEAD", "QUERY") or \
            self.chance.random() < (0.7 if self.content.often_private(key) else 0.05)
        value = self.chance.choice(UNSHARED if unshared else LIFETIMES)
        if stands_for_get:
            unshared, value = False, self.chance.choice(("max-age=60", "max-age=2"))
        public = any(word in value for word in ("public", "s-maxage", "must-revalidate"))
        shared = not unshared and (public or not request.has("Authorization"))
        return [("Cache-Control", value), ("X-Public", "yes" if public else "no"),
                ("X-Echo", request.field("X-Id") or "-"), ("X-Share", "yes" if shared else "no")]

    def _head_fields(self, request, key, version, variant):
        serial = self.content.next_serial()
        stands_for_get = request.method == "POST" and self.chance.random() < 0.4  # RFC 9110 §9.3.3
        fields = [("X-Key", key), ("X-Version", version), ("X-Variant", variant), ("X-Serial", serial), ("X-Fresh", serial),
                  ("Last-Modified", self.content.modified(version)), self.content.tag_field(key)]
        if stands_for_get:
            fields.append(("Content-Location", self.chance.choice((f"/k/{key}", f"http://{HOST}/k/{key}"))))
        if request.method in ("POST", "DELETE") and self.chance.random() < 0.1:
            fields.append(("Cache-Group-Invalidation", f'"u{self.chance.randrange(12)}"'))
        return fields + self._control(key, request, stands_for_get) + \
            ([("Vary", "X-Lang")] if self.content.varies(key) else [])

    def _answer_whole(self, request, key, version, variant):
        fields = self._head_fields(request, key, version, variant)
        if self.content.has_etag(key):
            fields.append(("ETag", self.content.etag(key, version, variant)))
        if request.body:
            fields.append(("X-Digest", zlib.crc32(request.body)))
        status = pick(self.chance, STATUSES)
        body = b"" if status == 204 else self.content.body(key, version, variant)
        if status == 200 and request.method == "GET" and request.has("Range") and not request.has("If-Range") and \
                self.chance.random() < 0.5:
            status, fields, body = self._take_range(request, fields, body)
        return self._frame(request, status, fields, body, pick(self.chance, FRAMINGS))

    @staticmethod
    def _take_range(request, fields, body):
        """206, of one range only; Weir asks for one where it passes the answer on to this client."""
        spec = request.field("Range").removeprefix("bytes=")
        span = None if "," in spec else satisfiable(spec, len(body))
        if not span:
            return 200, fields, body
        fields = [field for field in fields if field[0] != "X-Share"] + \
            [("X-Share", "no"), ("Content-Range", f"bytes {span[0]}-{span[1]}/{len(body)}")]
        return 206, fields, body[span[0]:span[1] + 1]

    def _frame(self, request, status, fields, body, framing):
        if status == 204:
            return Answer(response_bytes(status, b"", fields))
        if request.method == "HEAD":
            if framing == "length":
                fields = fields + [("Content-Length", len(body))]
            return Answer(response_bytes(status, b"", fields + [("Transfer-Encoding", "chunked")])
                          if framing == "chunked" else self._head_only(status, fields))
        if framing == "length":
            return Answer(response_bytes(status, b"", fields + [("Content-Length", len(body))]), body, framing)
        if framing == "close":
            return Answer(self._head_only(status, fields + [("Connection", "close")]), body, framing)
        trailers = [("X-Sum", len(body))] if self.chance.random() < 0.3 else []
        return Answer(response_bytes(status, b"", fields + [("Transfer-Encoding", "chunked")]),
                      self._chunks(body) + b"0\r\n" + field_lines(trailers) + b"\r\n", framing)

    @staticmethod
    def _head_only(status, fields):
        """Without the length that response_bytes() adds."""
        return f"HTTP/1.1 {status} Some\r\n".encode() + field_lines(fields) + b"\r\n"

    def _chunks(self, body):
        out, at = [], 0
        while at < len(body):
            size = self.chance.choice((1, 10, 1000, 20000, 100000))
            out.append(chunk(body[at:at + size]))
            # Very many chunks of one byte would be all this process does.
            at += size
            if len(out) > 40:
                out.append(chunk(body[at:]) if at < len(body) else b"")
                break
        return b"".join(out)

    # How it sends that ----

    @staticmethod
    def _possible(fault, answer):
        """Without a length, a body that ends early by FIN is a whole one."""
        if fault == "close" and answer.framing == "close":
            return "reset"
        if fault in ("excess", "unsolicited", "idle close") and answer.framing == "close":
            return "none"
        return fault

    def _position(self, answer):
        """Somewhere before the end: the head, its last bytes, and the body are all as likely."""
        places = [len(answer.head) // 2, len(answer.head) - 1]
        if len(answer.body) > 0:
            places += [len(answer.head), len(answer.head) + self.chance.randrange(len(answer.body)),
                       len(answer.data) - 1]
        return self.chance.choice([0, self.chance.randrange(len(answer.data))] + places)

    async def _send(self, wire, answer, fault):
        self.done[fault] += 1
        if fault == "interim":
            for _ in range(self.chance.randint(1, 3)):
                await wire.send(response_bytes(103, b"", [("Link", "</style.css>")]))
        if fault == "garbage":
            return await self._send_garbage(wire, answer)
        if fault in ("close", "reset", "stall"):
            await wire.send(answer.data[:self._position(answer)])
            return await self._break(wire, fault)
        if fault == "slow":
            await self._send_slowly(wire, answer.data)
        else:
            await wire.send(answer.data + (self._rubbish() if fault == "excess" else b""))
        if fault in ("unsolicited", "idle close"):
            await asyncio.sleep(self.chance.random() * 0.02)
            if fault == "unsolicited":
                await wire.send(self._rubbish())
        return fault not in ("idle close", "excess", "unsolicited")

    async def _break(self, wire, fault):
        if fault == "reset":
            await asyncio.sleep(self.chance.choice((0, 0, 0.005)))  # or what was sent is lost with it
            wire.reset()
        while fault == "stall":
            await wire.receive()  # until Weir gives up
            wire.buffer = b""
        return False

    def _rubbish(self):
        """Never a response."""
        return self.chance.choice((b"x", b"\r\n\r\n\r\nrubbish", self.chance.randbytes(200).replace(b"HTTP", b"")))

    async def _send_garbage(self, wire, answer):
        if answer.framing == "chunked" and self.chance.random() < 0.5:
            # In place of a chunk line, or of the last chunk's CRLF.
            whole = answer.body[:answer.body.rindex(b"0\r\n")]
            await wire.send(answer.head + self.chance.choice((b"zz\r\n", b"-1\r\n", b"\r\n", whole[:-2] + b"XX")))
        else:
            await wire.send(self.chance.choice((
                b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", b"\x16\x03\x01\x02",
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
                b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40000 + b"\r\n\r\n", self.chance.randbytes(300))))
        await asyncio.sleep(self.chance.choice((0, 0.01)))
        return False

    async def _send_slowly(self, wire, data):
        cuts = sorted(self.chance.randrange(len(data) + 1) for _ in range(self.chance.randint(1, 8)))
        at = 0
        for cut in cuts + [len(data)]:
            if cut > at:
                await wire.send(data[at:cut])
                at = cut
                await asyncio.sleep(self.chance.random() * 0.03)

    async def _send_endless(self, wire, request):
        """More than any limit, and never a clean end."""
        key = self._key(request)
        version = self.content.versions[key]
        variant = self.content.variant(key, request.field("X-Lang"))
        body = self.content.body(key, version, variant)
        if not body:
            return False
        fields = self._head_fields(request, key, version, variant) + [("X-Endless", 1), ("Transfer-Encoding", "chunked")]
        head = response_bytes(200, b"", fields)
        with self.on_exchange(request, "endless", head):
            await wire.send(head)
            piece = body * (30000 // len(body) + 1)
            for _ in range(ENDLESS_MOST // len(piece)):
                await wire.send(chunk(piece))
        return False
