"""What the origin of a fault run answers, and what a client may be given of it.

A body is a function of its key, its version and its variant, so that a client can tell any wrong byte. The head says which of
them it is: X-Key, X-Version, X-Variant, in which order the origin made it (X-Serial), for which request (X-Echo), and whether
others may be given it (X-Share).
"""

import functools
import random

HOST = "example.test"
KEYS = 400
VARIANTS = ("a", "b", "c")
SIZES = ((10, 15), (2000, 45), (40000, 25), (300000, 12), (1500000, 3))  # at most so long, with such a weight


class Wrong(Exception):
    """Weir did what it must never do; the text says what."""


class Content:
    def __init__(self, seed):
        self.seed = seed
        self.body = functools.lru_cache(600)(self._body)
        self.popular = [1 / (key + 1) for key in range(KEYS)]
        self.serial = 0
        self.versions = [1] * KEYS
        # What has been purged, or made invalid by a POST: no request that starts later is given an older one.
        self.floors = [0] * KEYS

    def _body(self, key, version, variant):
        chance = random.Random(f"{self.seed}/{key}/{version}/{variant}")
        most = chance.choices([size for size, _ in SIZES], [weight for _, weight in SIZES])[0]
        return chance.randbytes(chance.randint(0, most))

    def choose_key(self, chance):
        """A few keys are asked for most of the time (Zipf)."""
        return chance.choices(range(KEYS), self.popular)[0]

    @staticmethod
    def varies(key):
        return key % 5 == 0

    @staticmethod
    def has_etag(key):
        return key % 2 == 0

    @staticmethod
    def often_endless(key):
        return key % 100 == 13

    @staticmethod
    def often_private(key):
        return key % 7 == 3

    def variant(self, key, asked):
        """`asked`: what the request has for X-Lang, or None."""
        return (asked or "none") if self.varies(key) else "none"

    def etag(self, key, version, variant):
        return f'"{key}.{version}.{variant}"'

    def next_serial(self):
        self.serial += 1
        return self.serial


class Received:
    """A response as it comes to a client, compared with what it has to be from the first byte on."""

    def __init__(self, content, ask, response):
        self.ask = ask
        self.response = response
        self.own = not response.has("X-Key")
        self.length = 0
        self.expected = b""
        self.endless = response.has("X-Endless")
        if self.own:
            self._check_own()
        else:
            self._check_head(content)

    def _wrong(self, what):
        raise Wrong(f"{what}\n  asked: {self.ask}\n  got: {self.response.status} {self.response.fields}")

    def _check_own(self):
        """Weir's own answer to a request in which nothing is wrong."""
        if self.response.status not in (408, 502, 503, 504):
            self._wrong("an answer that is neither the origin's nor one of Weir's for this request")
        if self.response.status == 503 and not self.response.has("Retry-After"):
            self._wrong("a 503 without Retry-After")
        if not self.response.has("Cache-Status"):
            self._wrong("an answer of Weir's own without Cache-Status")

    def _check_head(self, content):
        response, ask = self.response, self.ask
        key, version = int(response.field("X-Key")), int(response.field("X-Version"))
        variant = response.field("X-Variant")
        if key != ask.key:
            self._wrong("the answer is another key's")
        if variant != content.variant(key, ask.lang):
            self._wrong("the answer is another variant")
        if response.field("X-Echo") != ask.identity and (response.field("X-Share") != "yes" or ask.method == "POST"):
            self._wrong("an answer that is for another request only")
        # A 304 to this very request says that it may have what is stored.
        if response.field("X-Echo") != ask.identity and ask.authorized and response.field("X-Public") != "yes" \
                and "fwd-status=304" not in response.field("Cache-Status"):
            self._wrong("a request with Authorization was given what was stored for others without it")
        if int(response.field("X-Serial")) <= ask.floor:
            self._wrong(f"an answer from before a purge that had ended (serial above {ask.floor} expected)")
        if response.status == 304 and response.field("ETag") not in ask.etags:
            self._wrong("a 304 for a condition that was not sent")
        if response.has("X-Digest") and response.field("X-Digest") != ask.digest:
            self._wrong(f"the origin got another request body, not {ask.digest}")
        self.expected = content.body(key, version, variant)
        length = response.field("Content-Length")
        if length is not None and int(length) != len(self.expected):
            self._wrong(f"a body of {len(self.expected)} bytes is announced as {length}")

    def take(self, data):
        """The next bytes of the body."""
        self.length += len(data)
        if self.own:
            return
        start = self.length - len(data)
        if self.endless:
            start %= len(self.expected)
            expected = self.expected[start:] + self.expected * (len(data) // len(self.expected) + 1)
        else:
            expected = self.expected[start:self.length]
        if data != expected[:len(data)]:
            self._wrong(f"wrong bytes of the body, from {start} on: {data[:40]!r} instead of {expected[:40]!r}")

    def ended_cleanly(self):
        if self.own or self.response.framing == "none":
            return
        if self.endless:
            self._wrong("a body without an end has ended")
        if self.length != len(self.expected):
            self._wrong(f"a clean end after {self.length} of {len(self.expected)} bytes")
