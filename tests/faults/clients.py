"""The clients of a fault run: each connection plays one part, chosen by chance, and checks every byte it is given."""

import asyncio
import collections
import dataclasses
import random
import re
import time
import zlib

from content import HOST, VARIANTS, Received, Wrong
from weirtest import Malformed, Response, chunk, request_bytes
from wire import Gone, Wire

METHODS = {"GET": 74, "HEAD": 10, "POST": 8, "QUERY": 6, "DELETE": 1, "OPTIONS": 1}
SAFE = ("GET", "HEAD", "OPTIONS", "QUERY")
QUERIES = [random.Random(length).randbytes(length) for length in (0, 10, 5000, 100000)]  # the last is not looked up
DIRECTIVES = ("no-cache", "no-store", "max-age=0", "max-age=1", "only-if-cached", "min-fresh=30", "max-stale")
LANGUAGES = VARIANTS + ("A", "B", None)  # the large ones are variants of the small ones' content
SPECS = ("0-9", "0-0", "5-", "-10", "100-1999", "1000-50000", "200000-200100", "1000000-", "9999999-")
PARTS = {"steady": 50, "pipelines": 12, "reads slowly": 5, "leaves": 14, "stalls": 4, "talks rubbish": 4,
         "closes its side": 5, "uploads": 4, "comes with others": 2}


def agent(identity):
    """The User-Agent that the access log shows; rubbish that hits it makes none."""
    return f"{identity}.{zlib.crc32(identity.encode()) & 0xffff:04x}"


def identity_of(user_agent):
    """The identity in it, or None."""
    identity = (user_agent or "").partition(".")[0]
    return identity if user_agent == agent(identity) else None


@dataclasses.dataclass
class Ask:
    """One request in which nothing is wrong, and what its answer has to fit."""
    identity: str
    key: int
    method: str
    version: str
    lang: str | None
    authorized: bool
    etags: tuple
    asked_at: int  # the origin's last serial before
    floor: int  # the serial of the answer is above it
    soft_floor: int  # and that of what was last vouched for, unless it is given as stale
    digest: str | None  # of the request's body
    directives: str  # its Cache-Control
    ranges: tuple
    if_range: str | None
    time: float
    data: bytes = dataclasses.field(repr=False)


class Clients:
    def __init__(self, content, address, seed, fail, slow, injected=False):
        self.content = content
        self.address = address
        self.seed = seed
        self.fail = fail
        self.slow = slow
        self.injected = injected  # connections may break before there is an answer
        self.patience_s = 60 * slow
        self.asked = 0
        self.figures = collections.Counter()
        self.statuses = collections.Counter()
        self.etags = {}  # of a key: the last one seen
        self.validators = {}  # the same, or its Last-Modified

    # What happens, for who wants to know ----

    def on_ask(self, ask, fault):
        """It is about to be sent; `fault`: what this client does wrong, or None."""

    def on_head(self, ask, response):
        """The head of its answer has come."""

    def on_broken(self, ask, response, how):
        """Its answer ended early, and how; `response`: None when there was none."""

    # ----

    async def play(self, number):
        """One connection after the other, until it is cancelled."""
        chance = random.Random(f"client {self.seed}/{number}")
        while True:
            part = chance.choices(list(PARTS), list(PARTS.values()))[0]
            player = Player(self, chance, f"{part}, client {number}")
            await player.guard(getattr(player, part.replace(" ", "_")))
            await asyncio.sleep(chance.choice((0, 0, 0.01, 0.05)))


class Player:
    """One connection and its part."""

    def __init__(self, clients, chance, name):
        self.clients = clients
        self.content = clients.content
        self.chance = chance
        self.name = name
        self.wire = None
        self.fresh = True
        self.fault = None  # what it does wrong, if anything
        self.limit = None  # when patience ends

    async def guard(self, part):
        """What a part may end with; anything else ends the run."""
        try:
            async with asyncio.timeout(self.clients.patience_s) as self.limit:
                await part()
        except TimeoutError:
            self.clients.fail(f"{self.name}: nothing more came within {self.clients.patience_s} s")
        except (Wrong, Malformed, ValueError) as error:
            self.clients.fail(f"{self.name}: {error}")
        except Gone:
            self.clients.figures["left by Weir"] += 1
        finally:
            if self.wire:
                self.wire.close()

    def be_patient(self):
        """Who reads little at a time may take long for all of it."""
        self.limit.reschedule(asyncio.get_running_loop().time() + self.clients.patience_s)

    async def open(self, **more):
        try:
            self.wire = await Wire.connect(self.clients.address, **more)
            self.wire.on_data = self.be_patient
        except OSError as error:
            if self.clients.injected:
                raise Gone("reset") from None
            raise Wrong(f"cannot connect: {error}") from None

    # Asking ----

    def ask(self, key=None, method=None, body=None, version="1.1"):
        key = self.content.choose_key(self.chance) if key is None else key
        method = method or self.chance.choices(list(METHODS), list(METHODS.values()))[0]
        self.clients.asked += 1
        identity = str(self.clients.asked)
        fields = [("X-Id", identity), ("User-Agent", agent(identity))]
        lang = self.chance.choice(LANGUAGES)
        if lang:
            fields.append(("X-Lang", lang))
        authorized = self.chance.random() < 0.05
        if authorized:
            fields.append(("Authorization", "Basic eA=="))
        directives = self.chance.choice(DIRECTIVES) if self.chance.random() < 0.1 else ""
        if directives:
            fields.append(("Cache-Control", directives))
        ranges, if_range = self._choose_ranges(key, method, fields)
        etags = (self.clients.etags[key],) if key in self.clients.etags and self.chance.random() < 0.1 else ()
        if etags:
            fields.append(("If-None-Match", etags[0]))
        if method == "POST" and body is None:
            body = self.chance.randbytes(self.chance.choice((0, 1, 100, 5000)))
        if method == "QUERY" and body is None:
            body = self.chance.choice(QUERIES)
        ask = Ask(identity, key, method, version, lang, authorized, etags, self.content.serial, self.content.floors[key],
                  self.content.soft_floors[key], str(zlib.crc32(body)) if body else None, directives, ranges, if_range,
                  time.monotonic(),
                  request_bytes(method, f"/k/{key}", fields, body, host=HOST, version=version))
        self.clients.on_ask(ask, self.fault)
        return ask

    def _choose_ranges(self, key, method, fields):
        """Adds them to the request's fields."""
        if method != "GET" or self.chance.random() > 0.15:
            return (), None
        ranges = tuple(self.chance.choices(SPECS, k=self.chance.choice((1, 1, 1, 2, 3))))
        fields.append(("Range", "bytes=" + ",".join(ranges)))
        if key not in self.clients.validators or self.chance.random() < 0.6:
            return ranges, None
        fields.append(("If-Range", self.clients.validators[key]))
        return ranges, self.clients.validators[key]

    async def read_answer(self, ask):
        """Reads and checks one answer; raises Gone when it is broken."""
        try:
            while (response := Response(await self.wire.take_until(b"\r\n\r\n"), ask.method)).status < 200:
                pass
        except Gone as gone:
            if self.fresh and not self.clients.injected:
                raise Wrong(f"no answer at all on a fresh connection ({gone.how}): {ask}") from None
            self.clients.on_broken(ask, None, f"{gone.how}, {self.name}")
            raise
        self.fresh = False
        self.clients.on_head(ask, response)
        received = Received(self.content, ask, response)
        if not received.own:
            self._learn(ask, response)
        try:
            await self._read_body(response, received)
        except Gone as gone:
            self.clients.figures["broken"] += 1
            self.clients.on_broken(ask, response, f"{gone.how}, {self.name}")
            raise
        received.ended_cleanly()
        self.clients.figures["whole"] += 1
        self.clients.statuses[response.status] += 1
        if "close" in response.members("Connection") or response.framing == "close":
            raise Gone("early")

    def _learn(self, ask, response):
        if response.has("ETag"):
            self.clients.etags[ask.key] = response.field("ETag")
        if response.has("Last-Modified"):
            self.clients.validators[ask.key] = response.field("ETag") or response.field("Last-Modified")
        if ask.method not in SAFE and response.status < 400:
            # What was stored for that target is not valid any more (RFC 9111 §4.4).
            self.content.raise_floors([ask.key], ask.asked_at)
        if ask.method not in SAFE and response.has("Cache-Group-Invalidation"):
            group = response.field("Cache-Group-Invalidation").strip('"')
            self.content.raise_floors(self.content.keys_of_group(group), ask.asked_at)

    async def _read_body(self, response, received):
        if response.framing == "length":
            left = response.left
            while left > 0:
                data = await self.wire.take_some(left)
                left -= len(data)
                received.take(data)
        elif response.framing == "chunked":
            await self._read_chunks(received)
        elif response.framing == "close":
            try:
                while True:
                    received.take(await self.wire.take_some(1 << 20))
            except Gone as gone:
                if gone.how != "early":
                    raise

    async def _read_chunks(self, received):
        while True:
            line = await self.wire.take_until(b"\r\n")
            if not re.fullmatch(rb"[0-9A-Fa-f]+\r\n", line):
                raise Wrong(f"not a chunk size: {line[:100]!r}")
            left = int(line, 16)
            if left == 0:
                while await self.wire.take_until(b"\r\n") != b"\r\n":
                    pass
                return
            while left > 0:
                data = await self.wire.take_some(left)
                left -= len(data)
                received.take(data)
            if await self.wire.take(2) != b"\r\n":
                raise Wrong("a chunk without its CRLF")

    def leave(self):
        self.wire.reset() if self.chance.random() < 0.7 else self.wire.close()

    # The parts ----

    async def steady(self):
        await self.open()
        if self.chance.random() < 0.1:
            # A body whose length is not known ends with the connection, and a broken one must not end so.
            ask = self.ask(version="1.0")
            await self.wire.send(ask.data)
            return await self.read_answer(ask)
        for _ in range(self.chance.randint(1, 20)):
            ask = self.ask()
            await self.wire.send(ask.data)
            await self.read_answer(ask)
            if self.chance.random() < 0.1:
                await asyncio.sleep(self.chance.random() * 0.05)

    async def pipelines(self):
        await self.open()
        for _ in range(self.chance.randint(1, 3)):
            asks = [self.ask(method=self.chance.choice(("GET", "GET", "HEAD"))) for _ in range(self.chance.randint(2, 10))]
            data = b"".join(ask.data for ask in asks)
            cut = self.chance.randrange(len(data))
            await self.wire.send(data[:cut])
            await asyncio.sleep(self.chance.choice((0, 0.002)))
            await self.wire.send(data[cut:])
            for ask in asks:
                await self.read_answer(ask)

    async def reads_slowly(self):
        """Or not at all for a while, and then what has come is read."""
        self.fault = "reads slowly"
        await self.open(receive_buffer=4096)
        self.wire.piece = self.chance.choice((512, 4096, 65536))
        self.wire.pause = lambda: self.chance.choice((0, 0, 0.001, 0.02))
        for _ in range(3):
            ask = self.ask(method="GET")
            await self.wire.send(ask.data)
            await asyncio.sleep(self.chance.choice((0, 0.1, 0.5, 1.5)))
            await self.read_answer(ask)

    async def leaves(self):
        self.fault = "leaves"
        await self.open()
        ask = self.ask()
        await self.wire.send(ask.data)
        when = self.chance.choice(("at once", "soon", "behind the head", "in the body"))
        if when == "soon":
            await asyncio.sleep(self.chance.random() * 0.05)
        elif when != "at once":
            await self.wire.take_until(b"\r\n\r\n")
            if when == "in the body" and ask.method != "HEAD":
                await self.wire.receive()
        self.leave()

    async def stalls(self):
        """In the head, and either goes on or leaves; a 408 may come meanwhile."""
        self.fault = "stalls"
        await self.open()
        ask = self.ask()
        cut = self.chance.randrange(1, len(ask.data))
        await self.wire.send(ask.data[:cut])
        await asyncio.sleep(self.chance.choice((0.05, 0.3, 1.5 * self.clients.slow)))
        if self.chance.random() < 0.5:
            self.leave()
            return
        self.fresh = False
        await self.wire.send(ask.data[cut:])
        await self.read_answer(ask)

    async def talks_rubbish(self):
        """What comes back is of no interest, only that Weir ends it."""
        self.fault = "rubbish"
        await self.open()
        data = bytearray(self.ask().data)
        for _ in range(self.chance.randint(1, 5)):
            data[self.chance.randrange(len(data))] = self.chance.randrange(256)
        await self.wire.send(self.chance.choice((bytes(data), self.chance.randbytes(300), b"\r\n" * 20)))
        if self.chance.random() < 0.3:
            self.leave()
            return
        self.wire.half_close()
        while True:
            await self.wire.receive()
            self.wire.buffer = b""

    async def closes_its_side(self):
        await self.open()
        asks = [self.ask(method=self.chance.choice(("GET", "GET", "HEAD"))) for _ in range(self.chance.randint(1, 4))]
        await self.wire.send(b"".join(ask.data for ask in asks))
        self.wire.half_close()
        for ask in asks:
            await self.read_answer(ask)

    async def uploads(self):
        """A body in pieces, with pauses, and maybe not to its end."""
        await self.open()
        body = self.chance.randbytes(self.chance.choice((10, 3000, 200000)))
        leaves = self.chance.random() < 0.3
        self.fault = "leaves" if leaves else "uploads slowly"
        ask = self.ask(method=self.chance.choice(("POST", "QUERY")), body=body)
        head = ask.data[:-len(body)]
        chunked = self.chance.random() < 0.5
        if chunked:
            head = re.sub(rb"Content-Length: [0-9]+", b"Transfer-Encoding: chunked", head)
        await self.wire.send(head)
        half = len(body) // 2
        for number, piece in enumerate((body[:half], body[half:])):
            await asyncio.sleep(self.chance.choice((0, 0.01, 0.1)))
            if leaves and number == 1:
                self.leave()
                return
            self.fresh = False  # an answer may come early, and the connection close
            await self.wire.send(chunk(piece) if chunked else piece)
        if chunked:
            await self.wire.send(b"0\r\n\r\n")
        await self.read_answer(ask)

    async def comes_with_others(self):
        """A storm at one key; often at one whose body has no end, where the slow hold up the fast."""
        key = self.chance.choice((self.content.choose_key(self.chance), 13))
        players = [Player(self.clients, self.chance, f"{self.name}, one of a storm")
                   for _ in range(self.chance.randint(5, 50))]
        await asyncio.gather(*(player.guard(lambda player=player: player.ask_once(key)) for player in players))

    async def ask_once(self, key):
        does = self.chance.choices(("reads", "leaves", "stalls"), (80, 10, 10))[0]
        self.fault = {"reads": None, "leaves": "leaves", "stalls": "reads slowly"}[does]
        await self.open(receive_buffer=4096 if does == "stalls" else None)
        ask = self.ask(key, self.chance.choice(("GET",) * 9 + ("HEAD",)))
        await self.wire.send(ask.data)
        if does == "leaves":
            self.leave()
            return
        if does == "stalls":
            await asyncio.sleep(2.5 * self.clients.slow)  # longer than others may be held up
        await self.read_answer(ask)
