"""What the origin of a fault run answers, and what a client may be given of it.

A body is a function of its key, its version and its variant, so that a client can tell any wrong byte. The head says which of
them it is: X-Key, X-Version, X-Variant, in which order the origin made it (X-Serial), for which request (X-Echo), and whether
others may be given it (X-Share). X-Fresh is X-Serial's successor: a 304 renews it, so it tells when the origin has last vouched
for the response, and whether that was before a soft purge. What a response is purged by, its tags, depends on its key alone.
"""

import email.utils
import functools
import random
import re
import time

from weirtest import byteranges

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
        # What was made stale by a soft purge: only as a stale response is one given that was last vouched for before.
        self.soft_floors = [0] * KEYS
        self.made = [0]  # by serial, when

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
        return (asked or "none").lower() if self.varies(key) else "none"

    def etag(self, key, version, variant):
        return f'"{key}.{version}.{variant}"'

    @staticmethod
    def modified(version):
        return email.utils.formatdate(1_500_000_000 + 100 * version, usegmt=True)

    @staticmethod
    def tags(key):
        return f"t{key % 20}", f"u{key % 12}"

    @classmethod
    def tag_field(cls, key):
        one, other = cls.tags(key)
        return (("Surrogate-Key", f"{one} {other}"), ("Cache-Tag", f"{one},{other}"),
                ("Cache-Groups", f'"{one}", "{other}"'))[key % 3]

    @classmethod
    def keys_of_group(cls, group):
        return [key for key in range(2, KEYS, 3) if group in cls.tags(key)]

    def raise_floors(self, keys, serial, soft=False):
        """No older answer is given for them to whom asks from now on."""
        floors = self.soft_floors if soft else self.floors
        for key in keys:
            floors[key] = max(floors[key], serial)

    def next_serial(self):
        self.serial += 1
        self.made.append(time.monotonic())
        return self.serial


def satisfiable(spec, length):
    """The first and last byte of a range such as "5-9", "5-" or "-5"; None when there are none."""
    first, _, last = spec.partition("-")
    if not first:
        first, last = max(0, length - int(last)), length - 1
    else:
        first, last = int(first), min(int(last or length), length - 1)
    return (first, last) if first <= last else None


def seconds(directives, name):
    """The number of a directive of a well-formed Cache-Control; None when it is not there."""
    match = re.search(rf"(?:^|, ){name}=(\d+)", directives)
    return int(match[1]) if match else None


class Received:
    """A response as it comes to a client, compared with what it has to be from the first byte on."""

    def __init__(self, content, ask, response):
        self.ask = ask
        self.response = response
        self.own = not response.has("X-Key")
        self.length = 0
        self.expected = b""
        self.endless = response.has("X-Endless")
        self.multipart = False
        if self.own:
            self._check_own(content)
        else:
            self._check_head(content)

    def _wrong(self, what):
        raise Wrong(f"{what}\n  asked: {self.ask}\n  got: {self.response.status} {self.response.fields}")

    def _check_own(self, content):
        """Weir's own answer to a request in which nothing is wrong."""
        if self.response.status == 416:
            return self._check_unsatisfiable(content)
        if self.response.status not in (408, 502, 503, 504):
            self._wrong("an answer that is neither the origin's nor one of Weir's for this request")
        if self.response.status == 503 and not self.response.has("Retry-After"):
            self._wrong("a 503 without Retry-After")
        if not self.response.has("Cache-Status"):
            self._wrong("an answer of Weir's own without Cache-Status")

    def _check_unsatisfiable(self, content):
        total = re.fullmatch(r"bytes \*/(\d+)", self.response.field("Content-Range") or "")
        variant = content.variant(self.ask.key, self.ask.lang)
        if not total or not any(int(total[1]) == len(content.body(self.ask.key, version, variant))
                                for version in range(1, content.versions[self.ask.key] + 1)):
            self._wrong("a 416 with another length than any version has")
        if not self.ask.ranges or any(satisfiable(spec, int(total[1])) for spec in self.ask.ranges):
            self._wrong("a 416 although there are such bytes")

    def _check_partial(self):
        """What is expected becomes the part, or (of several) is looked at when it is whole."""
        response, length = self.response, len(self.expected)
        validators = (response.field("ETag"), response.field("Last-Modified"))
        if self.endless or not self.ask.ranges:
            self._wrong("a 206 that was not asked for, or cannot be one")
        if self.ask.if_range and self.ask.if_range not in validators:
            self._wrong("a 206 although If-Range does not hold")
        spans = [span for span in (satisfiable(spec, length) for spec in self.ask.ranges) if span]
        if not response.has("Content-Range"):
            self.multipart = True
            return
        expected = f"bytes {min(spans)[0]}-{max(last for _, last in spans)}/{length}" if spans else None
        if response.field("Content-Range") != expected:
            self._wrong(f"another range than {expected}")
        self.expected = self.expected[min(spans)[0]:max(last for _, last in spans) + 1]

    def _check_parts(self):
        length = len(self.expected)
        parts = byteranges(self.response)
        spans = [span for span in (satisfiable(spec, length) for spec in self.ask.ranges) if span]
        for first, last, total, data, _ in parts:
            if total != length or data != self.expected[first:last + 1] or \
                    first not in (span[0] for span in spans) or last not in (span[1] for span in spans):
                self._wrong(f"a wrong part: {first}-{last}/{total}")
        for first, last in spans:
            if not any(part[0] <= first and last <= part[1] for part in parts):
                self._wrong(f"no part has the range {first}-{last}")

    def _check_age(self, content):
        """Fresh, or stale where that is allowed; and which of them it is."""
        response, ask = self.response, self.ask
        control, fresh, status = response.field("Cache-Control"), int(response.field("X-Fresh")), response.cache_status()
        held_s = ask.time - content.made[fresh]  # at least
        lifetime_s = seconds(control, "s-maxage") or seconds(control, "max-age") or 0
        asks_anew = any(word in ask.directives for word in ("no-cache", "max-age=0"))
        if status.get("ttl", 1) > 0:
            if fresh <= ask.soft_floor:
                self._wrong(f"as fresh, what a soft purge had made stale (X-Fresh above {ask.soft_floor} expected)")
            if "hit" in status and (held_s >= lifetime_s or "no-cache" in control or asks_anew):
                self._wrong(f"a hit that has been held for {held_s:.3f} s")
            if "hit" in status and ask.directives == "max-age=1" and held_s >= 2:
                self._wrong(f"a hit that has been held for {held_s:.3f} s, for max-age=1")
            if "hit" in status and int(response.field("Age")) <= held_s - 1:
                self._wrong(f"an Age below the {held_s:.3f} s for which it has been held")
            return
        if any(word in control for word in ("must-revalidate", "s-maxage", "no-cache")) or asks_anew:
            self._wrong("a stale response where that is forbidden")
        in_place = "fwd" in status
        if ask.directives == "max-stale":
            return
        if status.get("detail") == "max-stale":
            self._wrong("a stale response without max-stale")
        window_s = seconds(control, "stale-while-revalidate") or 0
        if in_place:
            window_s = max(window_s, seconds(control, "stale-if-error") or 0)
        if -status["ttl"] >= window_s or held_s >= lifetime_s + window_s:
            self._wrong(f"staler than it may be: held for {held_s:.3f} s")
        if in_place and (response.status >= 400 or status.get("fwd-status", 500) not in (500, 502, 503, 504)):
            self._wrong("a stale response in the place of what is no failure")
        if ask.directives in ("max-age=1", "min-fresh=30"):
            self._wrong("a stale response for a request that wants a fresh one")

    def _check_head(self, content):
        response, ask = self.response, self.ask
        key, version = int(response.field("X-Key")), int(response.field("X-Version"))
        variant = response.field("X-Variant")
        if key != ask.key:
            self._wrong("the answer is another key's")
        if variant != content.variant(key, ask.lang):
            self._wrong("the answer is another variant")
        unsafe = ask.method in ("POST", "DELETE")
        if response.field("X-Echo") != ask.identity and (response.field("X-Share") != "yes" or unsafe):
            self._wrong("an answer that is for another request only")
        if response.has("Surrogate-Key") or response.has("Cache-Tag"):
            self._wrong("tags that are for caches only")
        self._check_age(content)
        # A 304 to this very request says that it may have what is stored.
        if response.field("X-Echo") != ask.identity and ask.authorized and response.field("X-Public") != "yes" \
                and "fwd-status=304" not in response.field("Cache-Status"):
            self._wrong("a request with Authorization was given what was stored for others without it")
        if int(response.field("X-Serial")) <= ask.floor:
            self._wrong(f"an answer from before a purge that had ended (serial above {ask.floor} expected)")
        if response.status == 304 and response.field("ETag") not in ask.etags:
            self._wrong("a 304 for a condition that was not sent")
        if response.has("X-Digest") and ask.method not in ("GET", "HEAD") and response.field("X-Digest") != ask.digest:
            self._wrong(f"the origin got another request body, not {ask.digest}")
        self.expected = content.body(key, version, variant)
        if response.status == 206:
            self._check_partial()
        length = response.field("Content-Length")
        if length is not None and not self.multipart and int(length) != len(self.expected):
            self._wrong(f"a body of {len(self.expected)} bytes is announced as {length}")

    def take(self, data):
        """The next bytes of the body."""
        self.length += len(data)
        if self.own:
            return
        if self.multipart:
            self.response.body += data
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
        if self.multipart:
            self._check_parts()
        elif self.length != len(self.expected):
            self._wrong(f"a clean end after {self.length} of {len(self.expected)} bytes")
