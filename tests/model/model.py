"""A shared cache by RFC 9111, small enough to be read: what tests/model/run.py expects of Weir.

Written from the RFC's text (sections are its own unless another RFC is named) and not from Weir's sources. Where the RFC
leaves a choice, OPTIONS has the one that docs/caching.md says Weir has made. One request at a time, whole seconds.

    cache = Cache(OPTIONS, now_s)
    answer = cache.exchange(request, ask)      ask(Asked) -> Reply: what the origin answers
    cache.advance(seconds)
"""

import collections
import dataclasses
import datetime
import functools
import re

# Where the RFC leaves a choice. A test changes one at a time and must find that Weir differs.
OPTIONS = {
    "heuristic_divisor": 10,            # §4.2.2: a tenth of Date - Last-Modified
    "heuristic_most_s": 86400,          # and at most a day
    "fresh_at_its_lifetime": False,     # §4.2: "freshness_lifetime > current_age"
    "date_slack_s": 1,                  # §4.2.3: a Date one second behind counts as now
    "age_counts": True,                 # §4.2.3: Age in an answer
    "s_maxage_first": True,             # §5.2.2.10
    "conflict_is_stale": True,          # §4.2.1: the first, or stale
    "set_cookie_needs_freshness": True,  # §7.3: no rule; Weir's own
    "authorization_guarded": True,      # §3.5
    "no_cache_validates": True,         # §5.2.2.4
    "max_stale_heeded": True,           # §5.2.1.2: may
    "min_fresh_heeded": True,           # §5.2.1.3
    "must_revalidate_forbids_stale": True,  # §5.2.2.2, §5.2.2.8, §5.2.2.10
    "must_understand_heeded": True,     # §5.2.2.3
    "vary_heeded": True,                # §4.1
    "recent_by_date": True,            # §4: of several that match
    "unsafe_invalidates": True,         # §4.4
    "etag_decides_over_date": True,     # RFC 9110 §13.2.2
    "not_modified_updates": True,       # §3.2
    "other_not_modified_is_refused": True,  # §4.3.4
    "pragma_heeded": True,              # §5.4
    "locations_invalidate": True,       # §4.4: may
    "post_stored": True,                # RFC 9110 §9.3.3: may
    "query_looked_up": True,            # may
    "ranges_served": True,              # RFC 9110 §14.2: may
    "if_range_heeded": True,            # RFC 9110 §13.1.5
    "kept_without_validator": False,    # expired ones that nothing can be asked about are dropped
}

UNDERSTOOD = {200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409,
              410, 411, 413, 414, 415, 416, 417, 421, 422, 426, 500, 501, 502, 503, 504, 505}
HEURISTIC = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}     # RFC 9110 §15.1
SAFE = {"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"}                      # RFC 9110 §9.2.1
CONDITIONS = ("if-none-match", "if-modified-since")
OVERFLOW_S = 2147483648                                                  # §1.2.2
RANGES_MOST = 16                                                         # RFC 9110 §17.15: some bound
RANGE_GAP = 80
STRONG_DATE_S = 60                                                       # RFC 9110 §8.8.2.2
AGE_MOST_S = 2147483647                                                  # "the greatest positive integer"


# ---- messages ----


@dataclasses.dataclass
class Message:
    fields: list = dataclasses.field(default_factory=list)

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name]

    def first(self, name):
        return next(iter(self.all(name)), None)


@dataclasses.dataclass
class Request(Message):
    method: str = "GET"
    url: str = "/"
    content: bytes = b""

    @property
    def key(self):
        """What a stored response is found by; HEAD is answered with what GET has stored (§4)."""
        return (self.url, self.content) if self.method == "QUERY" else (self.url, None)


@dataclasses.dataclass
class Reply(Message):
    """What the origin answers; the body is there for HEAD too, where it is not sent."""
    status: int = 200
    body: bytes = b""


@dataclasses.dataclass
class Asked:
    """What the origin is asked: the client's request with these conditions."""
    method: str
    url: str
    if_none_match: str
    if_modified_since: str


@dataclasses.dataclass
class Answer(Message):
    status: int = 0
    body: bytes = b""
    age: int = None
    cache_status: dict = None
    content_range: str = None
    parts: list = None      # of a multipart/byteranges: (Content-Range, bytes) of each


@dataclasses.dataclass
class Stored(Message):
    key: tuple = ()
    status: int = 0
    body: bytes = b""
    vary: tuple = ()        # (name, members that the request had) of each name in Vary
    born_s: int = 0         # when its age was 0
    lifetime_s: int = 0
    control: dict = None

    def validators(self):
        return self.first("etag"), self.first("last-modified")

    def can_be_asked_about(self):
        return bool(self.first("etag")) or parse_date(self.first("last-modified")) is not None


# ---- values ----

DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")
EPOCH = datetime.datetime(1970, 1, 1)


@functools.lru_cache(4096)
def parse_date(text):
    """Seconds since 1970 of an HTTP date in one of its three forms (RFC 9110 §5.6.7), or None."""
    for form in DATES:
        try:
            return int((datetime.datetime.strptime(text or "", form) - EPOCH).total_seconds())
        except ValueError:
            continue
    return None


def members(lines):
    """The members of a list field's lines, quoted strings kept whole; None when a quote does not end."""
    found = []
    for line in lines:
        pieces = re.findall(r'"(?:[^"\\]|\\.)*"|[^",]+|[",]', line)
        if '"' in pieces:
            return None
        member = ""
        for piece in pieces + [","]:
            if piece == ",":
                found.append(member.strip(" \t"))
                member = ""
            else:
                member += piece
    return [member for member in found if member]


def directives(lines):
    """{name: [values]} of Cache-Control (§5.2); a value is None where there is none. None: nobody can tell."""
    split = members(lines)
    if split is None:
        return None
    found = {}
    for member in split:
        name, equals, value = member.partition("=")
        # White space around "=" is no directive with a value (§5.2).
        spaced = name.endswith((" ", "\t"))
        found.setdefault(name.strip(" \t").lower(), []).append("" if spaced else value if equals else None)
    return found


def seconds(value):
    """delta-seconds (§1.2.2), also quoted (§5.2); None: malformed."""
    text = value or ""
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return min(int(text), OVERFLOW_S) if re.fullmatch(r"[0-9]+", text) else None


def entity_tags(lines):
    """The entity-tags of If-None-Match, weak marks removed; what is none is passed over."""
    return [tag.removeprefix("W/") for tag in members(lines) or [] if re.fullmatch(r'(W/)?"[^"]*"', tag)]


def join_ranges(wanted):
    """Those that overlap or lie close together as one (RFC 9110 §15.3.7.2), where the first of them was asked for."""
    joined = []
    for first, last in wanted:
        near = [one for one in joined if first <= one[1] + RANGE_GAP and one[0] <= last + RANGE_GAP]
        if not near:
            joined.append((first, last))
            continue
        whole = min(first, *(one[0] for one in near)), max(last, *(one[1] for one in near))
        at = joined.index(near[0])
        joined = [one for one in joined if one not in near]
        joined.insert(at, whole)
    return joined


def weakly_equal(one, other):
    return one is not None and other is not None and one.removeprefix("W/") == other.removeprefix("W/")


def byte_ranges(lines):
    """The ranges of a Range field as (first, last), None where it is open; None: it is to be ignored (RFC 9110 §14.1, §14.2)."""
    match = re.fullmatch(r"bytes=(.*)", lines[0], re.I) if len(lines) == 1 else None
    if not match:
        return None
    found = []
    for text in match[1].split(","):
        text = text.strip(" \t")
        if not text:
            continue
        spec = re.fullmatch(r"(\d*)-(\d*)", text)
        first, last = (int(part) if part else None for part in spec.groups()) if spec else (None, None)
        if first is None and last is None or (None not in (first, last) and last < first):
            return None
        found.append((first, last))
    return found or None


# ---- the cache ----


class Cache:
    def __init__(self, options, now_s):
        self.options = options
        self.now_s = now_s
        self.stored = []
        self.counters = collections.Counter()

    # -- time --

    def advance(self, by_s):
        self.now_s += by_s
        if not self.options["kept_without_validator"]:
            gone = [one for one in self.stored if not self.is_fresh(one) and not one.can_be_asked_about()]
            for one in gone:
                self.stored.remove(one)
            self.counters["expired"] += len(gone)

    def age(self, one):
        return max(0, self.now_s - one.born_s)

    def is_fresh(self, one):
        """§4.2."""
        if self.options["fresh_at_its_lifetime"]:
            return one.lifetime_s >= self.age(one)
        return one.lifetime_s > self.age(one)

    # -- what a response says --

    def explicit_lifetime(self, control, reply, date_s):
        """§4.2.1: s-maxage, max-age, Expires; None where there is none of them."""
        names = ("s-maxage", "max-age") if self.options["s_maxage_first"] else ("max-age", "s-maxage")
        for name in names:
            if name in control:
                values = {seconds(value) for value in control[name]}
                if len(values) > 1 and not self.options["conflict_is_stale"]:
                    return seconds(control[name][0]) or 0
                return 0 if len(values) > 1 or None in values else values.pop()
        expires = set(reply.all("expires"))
        if expires:
            until_s = parse_date(expires.pop()) if len(expires) == 1 else None
            return 0 if until_s is None else max(0, until_s - date_s)
        return None

    def heuristic_lifetime(self, reply, date_s):
        """§4.2.2."""
        modified_s = parse_date(reply.first("last-modified"))
        if modified_s is None:
            return None
        share_s = (date_s - modified_s) // self.options["heuristic_divisor"]
        return min(share_s, self.options["heuristic_most_s"]) if share_s > 0 else None

    @staticmethod
    def may_be_guessed(reply, control):
        """§4.2.2: statuses by definition, others when they are marked."""
        return reply.status in HEURISTIC or "public" in control

    def age_on_arrival(self, reply):
        """§4.2.3; the origin answers at once."""
        date_s = parse_date(reply.first("date"))
        apparent_s = max(0, self.now_s - date_s) if date_s is not None else 0
        if apparent_s <= self.options["date_slack_s"]:
            apparent_s = 0
        age_s = self.age_given(reply) or 0
        return max(apparent_s, age_s if self.options["age_counts"] else 0)

    def age_given(self, reply):
        """The first member of the first line (§5.1); None: there is none, or it is no number."""
        value = (reply.first("age") or "").split(",")[0].strip(" \t")
        return min(int(value), OVERFLOW_S) if re.fullmatch(r"[0-9]+", value) else None

    def judge(self, request, reply):
        """(why it is not stored, or "", what would be stored): §3."""
        control = directives(reply.all("cache-control"))
        date_s = parse_date(reply.first("date"))
        date_s = self.now_s if date_s is None else date_s
        lifetime_s = self.explicit_lifetime(control or {}, reply, date_s)
        explicit = lifetime_s is not None
        control = control if control is not None else {"malformed": []}
        cookie = bool(reply.all("set-cookie"))
        authorized = bool(request.all("authorization"))
        if not explicit and "no-cache" in control:
            lifetime_s = 0
        elif not explicit and self.may_be_guessed(reply, control) and not cookie and not authorized:
            lifetime_s = self.heuristic_lifetime(reply, date_s)
        one = Stored(fields=list(reply.fields), status=reply.status, body=reply.body, lifetime_s=lifetime_s or 0,
                     born_s=self.now_s - self.age_on_arrival(reply), control=control)
        return self.why_not_stored(request, reply, one, explicit, lifetime_s is not None), one

    def why_not_stored(self, request, reply, one, explicit, says):
        control = one.control
        understood = "must-understand" in control and self.options["must_understand_heeded"]
        if request.method not in ("GET", "QUERY"):
            return "method"
        if self.forbids_storing(request):
            return "request-no-store"
        if reply.status in (206, 416):
            return "partial"
        if reply.status < 200 or reply.status in (304, 412) or (understood and reply.status not in UNDERSTOOD):
            return "status"
        if "no-store" in control and not understood:
            return "no-store"
        if "private" in control:
            return "private"
        if "malformed" in control:
            return "malformed"
        names = members(reply.all("vary")) or []
        if "*" in names:
            return "vary-star"
        if not all(re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) for name in names):
            return "malformed"
        if request.all("authorization") and not self.may_be_shared(control):
            return "authorization"
        if not explicit and not self.may_be_guessed(reply, control):
            return "status"
        if self.options["set_cookie_needs_freshness"] and reply.all("set-cookie") and \
                (not explicit or one.lifetime_s == 0 or "no-cache" in control):
            return "set-cookie"
        useless = not self.is_fresh(one) or "no-cache" in control
        if request.all("authorization") and not explicit:
            return "authorization"  # no lifetime is guessed for it, nor is it kept for asking about it
        if not says or (useless and not one.can_be_asked_about()):
            return "no-freshness"
        return ""

    @staticmethod
    def forbids_storing(request):
        """§5.2.1.5."""
        return "no-store" in (directives(request.all("cache-control")) or {})

    def may_be_shared(self, control):
        """§3.5: what allows to use it for others although it was asked for with Authorization."""
        if not self.options["authorization_guarded"]:
            return True
        shared = [seconds(value) for value in control.get("s-maxage", [None])]
        return "public" in control or "must-revalidate" in control or None not in shared

    # -- which stored response answers a request --

    def selecting(self, request, names):
        """What the request has in the fields that Vary names; None: it has no such field."""
        names = dict.fromkeys(name.lower() for name in names)
        return tuple((name, tuple(members(request.all(name)) or []) if request.all(name) else None) for name in names)

    def matches(self, one, request):
        """§4.1."""
        if not self.options["vary_heeded"]:
            return True
        return one.vary == self.selecting(request, [name for name, _ in one.vary])

    def select(self, request):
        """(the most recent one that the request selects or None, whether any are stored): §4."""
        same = [one for one in self.stored if one.key == request.key]
        fitting = [one for one in same if self.matches(one, request)]
        return next(iter(fitting), None), bool(same)

    def usable(self, one, request):
        """Whether it may be delivered without asking (§4), or why not: "stale", "request" or "authorization"."""
        asks = self.request_directives(request)
        if request.all("authorization") and not self.may_be_shared(one.control):
            return "authorization"
        if "no-cache" in one.control and self.options["no_cache_validates"]:
            return "stale"
        left_s = one.lifetime_s - self.age(one)
        forbidden = self.options["must_revalidate_forbids_stale"] and \
            any(name in one.control for name in ("must-revalidate", "proxy-revalidate", "s-maxage"))
        if not self.is_fresh(one):
            allowed_s = asks["max-stale"]
            if allowed_s is None or forbidden or -left_s > allowed_s:
                return "stale"
        if asks["no-cache"] or self.age(one) > asks["max-age"] or asks["max-age"] == 0:
            return "request"
        if asks["min-fresh"] is not None and left_s < asks["min-fresh"]:
            return "request"
        return ""

    def request_directives(self, request):
        """§5.2.1; what is malformed or repeated is read as what asks for more."""
        control = directives(request.all("cache-control"))
        if control is None:
            control = {"no-cache": [None]}
        numbers = {name: [seconds(value) for value in control.get(name, [])] for name in ("max-age", "min-fresh")}
        max_stale = None
        if "max-stale" in control and self.options["max_stale_heeded"]:
            max_stale = min(float("inf") if value is None else seconds(value) if seconds(value) is not None else -1
                            for value in control["max-stale"])
        pragma = "no-cache" in (directives(request.all("pragma")) or {}) and not request.all("cache-control")
        return {
            "no-cache": "no-cache" in control or (pragma and self.options["pragma_heeded"]),
            "max-age": min((value or 0 for value in numbers["max-age"]), default=float("inf")),
            "min-fresh": None if not numbers["min-fresh"] or not self.options["min_fresh_heeded"] else
            max(float("inf") if value is None else value for value in numbers["min-fresh"]),
            "max-stale": None if max_stale is None or max_stale < 0 else max_stale,
            "only-if-cached": "only-if-cached" in control,
        }

    # -- one request --

    def exchange(self, request, ask):
        looked_up = ("GET", "HEAD", "QUERY") if self.options["query_looked_up"] else ("GET", "HEAD")
        if request.method not in looked_up:
            return self.pass_by(request, ask)
        one, others = self.select(request)
        why = self.usable(one, request) if one else "vary-miss" if others else "uri-miss"
        if why == "":
            self.counters["hits"] += 1
            return self.from_stored(one, request, {"hit": True, "ttl": one.lifetime_s - self.age(one)})
        if self.request_directives(request)["only-if-cached"]:
            self.counters["local"] += 1
            return Answer(status=504, cache_status={"detail": "only-if-cached"})
        if request.method == "HEAD":
            one = None
        if why == "authorization":
            why, one = "request", None
        return self.forward(request, ask, one, why)

    def pass_by(self, request, ask):
        """§4: a cache writes through what it does not understand; §4.4: and forgets what that may have changed."""
        self.counters["passes"] += 1
        reply = self.with_date(ask(Asked(request.method, request.url, request.first("if-none-match"),
                                         request.first("if-modified-since"))))
        if request.method not in SAFE and 200 <= reply.status < 400 and self.options["unsafe_invalidates"]:
            self.forget(request.url)
            for name in ("location", "content-location"):
                if len(reply.all(name)) == 1 and self.options["locations_invalidate"]:
                    self.forget(reply.first(name))
        status = {"fwd": "method"}
        if request.method == "POST" and self.options["post_stored"]:
            self.store_posted(request, reply, status)
        return self.from_reply(reply, request, status)

    def store_posted(self, request, reply, status):
        """RFC 9110 §9.3.3: a 200 that says to be its target's representation, and for how long it is fresh."""
        if reply.status != 200 or reply.all("content-location") != [request.url] or request.all("authorization"):
            return
        reason, new = self.judge(Request(request.fields, "GET", request.url), reply)
        explicit = self.explicit_lifetime(new.control, reply, 0) is not None
        if reason == "" and explicit and self.is_fresh(new) and "no-cache" not in new.control:
            self.store(request, new)
            status["stored"] = True

    def forget(self, url):
        """§4.4: all that is stored for the target, whatever the method; returns how many."""
        gone = [one for one in self.stored if one.key[0] == url]
        for one in gone:
            self.stored.remove(one)
        self.counters["purged"] += len(gone)
        return len(gone)

    def forward(self, request, ask, one, why):
        etag, modified = one.validators() if one else (None, None)
        if not one or not one.can_be_asked_about() or self.forbids_storing(request):
            etag = modified = None  # with no-store not even what a 304 says may be kept (§5.2.1.5)
        reply = self.with_date(ask(Asked(request.method, request.url, etag, modified)))
        status = {"fwd": why}
        if reply.status == 304 and (etag or modified):
            if self.is_about(one, reply):
                return self.take_not_modified(request, one, reply, status)
            reply = self.with_date(ask(Asked(request.method, request.url, None, None)))
        self.counters["misses"] += 1
        reason, new = self.judge(request, reply)
        if reason == "":
            status["stored"] = True
            self.store(request, new)
        elif reason != "method":
            status["detail"] = reason
        if self.forbids_storing(request) and not any(request.all(name) for name in CONDITIONS):
            # Range goes to the origin, which knows none here.
            request = Request([field for field in request.fields if field[0] != "Range"], request.method, request.url)
        return self.from_reply(reply, request, status, conditions=True)

    def with_date(self, reply):
        """RFC 9110 §6.6.1: a recipient with a clock adds the Date that is missing."""
        if reply.first("date") is None:
            reply.fields.append(("Date", format_date(self.now_s)))
        return reply

    def store(self, request, new):
        """§3; one with the same selecting values makes room for it."""
        new.key = Request(method="GET", url=request.url).key if request.method == "POST" else request.key
        new.vary = self.selecting(request, members(new.all("vary")))
        new.fields = [(name, value) for name, value in new.fields if name.lower() not in ("age", "content-length")]
        self.stored = [one for one in self.stored if (one.key, one.vary) != (new.key, new.vary)]
        self.put_in_order(new)
        self.counters["stored"] += 1

    def put_in_order(self, new):
        """The most recent first, as Date tells (§4); where one cannot be read, the one that came last."""
        date_s = parse_date(new.first("date")) if self.options["recent_by_date"] else None
        at = 0
        while at < len(self.stored):
            other_s = parse_date(self.stored[at].first("date"))
            if self.stored[at].key == new.key and (date_s is None or other_s is None or other_s <= date_s):
                break
            at += 1
        self.stored.insert(at, new)

    # -- 304 from the origin --

    def is_about(self, one, reply):
        """§4.3.4: whether the 304 confirms what was asked about."""
        if not self.options["other_not_modified_is_refused"]:
            return True
        etag = reply.first("etag")
        names = {name.lower() for name in members(reply.all("vary"))}
        return (etag is None or weakly_equal(etag, one.first("etag"))) and names <= {name for name, _ in one.vary}

    def take_not_modified(self, request, one, reply, status):
        self.counters["revalidated"] += 1
        if self.options["not_modified_updates"]:
            kept_back = ("vary", "content-length", "content-encoding", "content-range")
            new = [(name, value) for name, value in reply.fields if name.lower() not in kept_back]
            names = {name.lower() for name, _ in new}
            one.fields = [(name, value) for name, value in one.fields if name.lower() not in names] + new
        updated = Reply(fields=one.fields, status=one.status, body=one.body)
        reason, judged = self.judge(Request(request.fields, "GET", request.url), updated)
        one.fields = [(name, value) for name, value in one.fields if name.lower() != "age"]
        self.stored.remove(one)
        self.put_in_order(one)
        one.lifetime_s, one.born_s, one.control = judged.lifetime_s, judged.born_s, judged.control
        if reason != "":
            self.forget(request.url)
        answer = self.from_stored(one, request, status | {"fwd-status": 304, "stored": True})
        answer.age = min(self.age(one), AGE_MOST_S) if reply.all("age") else None
        return answer

    # -- answers --

    def from_stored(self, one, request, cache_status):
        """§4: with its Age (§5.1); or a 304, when the client has it already (§4.3.2)."""
        answer = Answer(status=one.status, body=one.body, fields=list(one.fields), age=self.age(one), cache_status=cache_status)
        return self.finish(answer, request)

    def from_reply(self, reply, request, cache_status, conditions=False):
        fields = [(name, value) for name, value in reply.fields if name.lower() not in ("age", "content-length")]
        answer = Answer(status=reply.status, body=reply.body, fields=fields, cache_status=cache_status)
        if reply.all("age"):
            # Even one that cannot be read says that a cache had it before (§5.1).
            answer.age = self.age_on_arrival(reply)
        return self.finish(answer, request, in_order=True) if conditions else self.without_body(answer, request)

    def finish(self, answer, request, in_order=False):
        if answer.status == 200 and self.client_has_it(answer, request):
            answer.status = 304
        if answer.status == 200 and request.method == "GET" and request.all("range") and self.options["ranges_served"]:
            self.take_range(answer, request, in_order)
        return self.without_body(answer, request)

    # -- ranges: RFC 9110 §14 --

    def take_range(self, answer, request, in_order):
        """`in_order`: the bytes go by but once."""
        asked = byte_ranges(request.all("range"))
        length = len(answer.body)
        if asked is None or length == 0 or not self.if_range_holds(answer, request):
            return
        wanted = [(max(0, length - last), length - 1) if first is None else (first, length - 1 if last is None else min(last, length - 1))
                  for first, last in asked]
        wanted = [(first, last) for first, last in wanted if first <= last]
        if len(asked) > RANGES_MOST:
            return
        if not wanted:
            answer.status, answer.body, answer.content_range = 416, b"", f"bytes */{length}"
            answer.fields = [(name, value) for name, value in answer.fields if name.lower() in ("date", "vary")]
            return
        joined = join_ranges(wanted)
        if in_order and joined != sorted(joined):
            return
        answer.status = 206
        texts = [(f"bytes {first}-{last}/{length}", answer.body[first:last + 1]) for first, last in joined]
        if len(texts) == 1:
            answer.content_range, answer.body = texts[0]
        else:
            answer.parts, answer.body = texts, b""

    def if_range_holds(self, answer, request):
        """RFC 9110 §13.1.5, §8.8.2.2."""
        lines = request.all("if-range")
        if not lines or not self.options["if_range_heeded"]:
            return True
        if len(lines) > 1:
            return False
        if '"' in lines[0]:
            return lines[0] == answer.first("etag") and not lines[0].startswith("W/")
        modified, date_s = answer.first("last-modified"), parse_date(answer.first("date"))
        at_s = parse_date(lines[0])
        return at_s is not None and at_s == parse_date(modified) and date_s is not None and date_s - at_s >= STRONG_DATE_S

    @staticmethod
    def without_body(answer, request):
        if answer.age is not None:
            answer.age = min(answer.age, AGE_MOST_S)
        if request.method == "HEAD" or answer.status in (204, 304):
            answer.body = b""
        return answer

    def client_has_it(self, answer, request):
        """RFC 9110 §13.1.2, §13.1.3, §13.2.2; §4.3.2."""
        tags = request.all("if-none-match")
        by_tag = "*" in [line.strip() for line in tags] or \
            any(weakly_equal(answer.first("etag"), tag) for tag in entity_tags(tags))
        since = request.all("if-modified-since")
        since_s = parse_date(since[0]) if len(since) == 1 else None
        modified_s = parse_date(answer.first("last-modified" if answer.all("last-modified") else "date"))
        by_date = since_s is not None and modified_s is not None and modified_s <= since_s
        if not self.options["etag_decides_over_date"]:
            return by_tag or by_date
        return by_tag if tags else by_date


def format_date(at_s):
    return (EPOCH + datetime.timedelta(seconds=at_s)).strftime(DATES[0])
