"""A shared cache by RFC 9111, small enough to be read: what tests/model/run.py expects of Weir.

Written from the RFC's text (sections are its own unless another RFC is named) and, where that leaves a choice, from
docs/caching.md; not from Weir's sources. OPTIONS has these choices by name. One request at a time, whole seconds.

    cache = Cache(OPTIONS, now_s)
    answer = cache.exchange(request, ask)      ask(Asked) -> Reply, or None: the origin fails
    cache.advance(seconds)
    cache.step_wall(seconds)
    cache.purge(...)

What is asked and stored behind a client's back (stale-while-revalidate) has happened when exchange() returns.
"""

import collections
import dataclasses

from values import (AGE_MOST_S, HEURISTIC, OVERFLOW_S, UNDERSTOOD, Message, byte_ranges, directives, entity_tags, format_date,
                    is_entity_tag, join_ranges, members, parse_date, seconds, string_list, structured_directives,
                    surrogate_directives, tokens, weakly_equal)

# Where the RFC leaves a choice, and rules that can be got wrong. run.py --planted changes one at a time and has to find a
# difference.
OPTIONS = {
    # storing
    "authorization_guarded": True,          # §3.5
    "must_understand_heeded": True,         # §5.2.2.3
    "set_cookie": "auto",                   # §7.3 has no rule: with explicit freshness; or store, refuse
    "post_stored": True,                    # RFC 9110 §9.3.3: may
    "query_looked_up": True,                # may
    # freshness
    "heuristic_percent": 10,                # §4.2.2: of Date - Last-Modified
    "heuristic_max_s": 86400,
    "ttl_s": 0,                             # the route's, where the origin says nothing; 0: none
    "negative_ttl_s": 0,                    # from status 400 on
    "status_ttl_s": {},                     # of single statuses; 0: not even a guess
    "override": (),                         # what of the origin's word counts for nothing
    "ttl_min_s": 0,                         # bounds from the arrival on; 0: none
    "ttl_max_s": 0,
    "public_is_guessed": True,              # §4.2.2: may
    "fresh_at_its_lifetime": False,         # §4.2: "freshness_lifetime > current_age"
    "date_slack_s": 1,                      # §4.2.3: a Date one second behind counts as now
    "age_counts": True,                     # §4.2.3: Age in an answer
    "wall_moves_ages": False,               # when someone sets the wall clock
    "s_maxage_first": True,                 # §5.2.2.10
    "conflict_is_stale": True,              # §4.2.1: the first, or stale
    "targeted_first": True,                 # RFC 9213
    # requests
    "no_cache_validates": True,             # §5.2.2.4
    "max_stale_heeded": True,               # §5.2.1.2: may
    "min_fresh_heeded": True,               # §5.2.1.3
    "pragma_heeded": True,                  # §5.4
    "etag_decides_over_date": True,         # RFC 9110 §13.2.2
    # stale
    "must_revalidate_forbids_stale": True,  # §5.2.2.2, §5.2.2.8, §5.2.2.10
    "while_revalidate": True,               # RFC 5861 §3
    "if_error": True,                       # RFC 5861 §4
    "while_revalidate_s": 0,                # the route's, where the origin says nothing
    "if_error_s": 0,
    "keep_s": 120,                          # how long what can be asked about is kept (run.py configures it)
    "rest_s": 1,                            # between a refresh that failed and the next
    # variants
    "vary_heeded": True,                    # §4.1
    "recent_by_date": True,                 # §4: of several that match
    "variants_asked_about": True,           # §4.3.1: may
    # validation
    "not_modified_updates": True,           # §3.2
    "other_not_modified_is_refused": True,  # §4.3.4
    "head_updates": True,                   # §4.3.5: should
    # invalidation
    "unsafe_invalidates": True,             # §4.4
    "locations_invalidate": True,           # §4.4: may
    "groups_invalidate": True,              # RFC 9875
    # ranges
    "ranges_served": True,                  # RFC 9110 §14.2: may
    "if_range_heeded": True,                # RFC 9110 §13.1.5
}

SAFE = {"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"}     # RFC 9110 §9.2.1
CONDITIONS = ("if-none-match", "if-modified-since")
ERRORS = {500, 502, 503, 504}                           # RFC 5861 §4
FORBID_STALE = ("must-revalidate", "proxy-revalidate", "s-maxage")
TARGETED = (("weir-cache-control", structured_directives), ("cdn-cache-control", structured_directives),
            ("surrogate-control", surrogate_directives))
OVERRIDDEN = {"no-store": ("no-store",), "private": ("private",), "no-cache": ("no-cache",), "freshness": ("max-age", "s-maxage"),
              "must-revalidate": ("must-revalidate", "proxy-revalidate")}
FOR_WEIR = ("weir-cache-control", "surrogate-control")
STALE_MOST_S = 16777215
KEEP_MOST_MINUTES = 65535
RANGES_MOST = 16                                        # RFC 9110 §17.15: some bound
STRONG_DATE_S = 60                                      # RFC 9110 §8.8.2.2
VARIANTS_ASKED = 8
INFINITE = float("inf")


# ---- messages ----


@dataclasses.dataclass(eq=False)
class Request(Message):
    method: str = "GET"
    url: str = "/"
    content: bytes = b""

    @property
    def key(self):
        """What a stored response is found by; HEAD is answered with what GET has stored (§4)."""
        return (self.url, self.content) if self.method == "QUERY" else (self.url, None)

    def as_get(self):
        return Request(self.fields, "QUERY" if self.method == "QUERY" else "GET", self.url, self.content)


@dataclasses.dataclass(eq=False)
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


@dataclasses.dataclass(eq=False)
class Answer(Message):
    status: int = 0
    body: bytes = b""
    age: int = None
    cache_status: dict = None
    content_range: str = None
    parts: list = None      # of a multipart/byteranges: (Content-Range, bytes) of each
    own: bool = False       # the cache's own words


@dataclasses.dataclass(eq=False)
class Stored(Message):
    status: int = 0
    body: bytes = b""
    key: tuple = ()
    vary: tuple = ()        # (name, members that the request had, or None) of each name in Vary
    born_s: int = 0         # when its age was 0
    arrived_s: int = 0
    lifetime_s: int = 0
    while_revalidate_s: int = 0
    if_error_s: int = 0
    control: dict = None
    overridden: bool = False
    never_stale: bool = False
    cut_short: bool = False  # stale before its time
    keep_minutes: int = 0   # beyond its lifetime, to be asked about

    def validators(self):
        return self.first("etag"), self.first("last-modified")

    def can_be_asked_about(self):
        return bool(self.first("etag")) or parse_date(self.first("last-modified")) is not None


def is_set(control, name):
    """What permits something does so as itself only, without a value."""
    return name in control and not any(control[name])


class Cache:
    def __init__(self, options, now_s, route=None):
        self.options = options | (route or {})
        self.now_s = now_s          # of ages; the wall's differs where it has been set
        self.wall_ahead_s = 0
        self.stored = []            # of each key the most recent first
        self.rests_s = {}           # by key: no refresh until then
        self.counters = collections.Counter()

    # -- time --

    def advance(self, by_s):
        self.now_s += by_s
        gone = [one for one in self.stored if self.is_useless(one)]
        self.stored = [one for one in self.stored if one not in gone]
        self.counters["expired"] += len(gone)

    def step_wall(self, by_s):
        """Someone sets the wall clock. What is stored grows no older by that."""
        self.wall_ahead_s += by_s
        if self.options["wall_moves_ages"]:
            self.now_s += by_s

    @property
    def wall_s(self):
        return self.now_s + self.wall_ahead_s

    def age(self, one):
        return max(0, self.now_s - one.born_s)

    def ttl(self, one):
        """RFC 9211 §2.4."""
        return one.lifetime_s - min(self.age(one), AGE_MOST_S)

    def is_fresh(self, one):
        """§4.2."""
        if self.options["fresh_at_its_lifetime"]:
            return one.lifetime_s >= self.age(one)
        return one.lifetime_s > self.age(one)

    def is_within(self, one, window_s):
        return self.age(one) < one.lifetime_s + window_s

    def is_useless(self, one):
        if self.is_fresh(one) or self.is_within(one, max(one.while_revalidate_s, one.if_error_s)):
            return False
        return not one.can_be_asked_about() or self.now_s >= one.born_s + one.lifetime_s + one.keep_minutes * 60

    def keep_minutes(self, one):
        """From the end of its lifetime on, or from its arrival; begun minutes count, and not more than 45 days."""
        keep_s = max(0, one.arrived_s - one.born_s - one.lifetime_s) + self.options["keep_s"]
        return min(-(-keep_s // 60), KEEP_MOST_MINUTES)

    # -- what a response says --

    def control_of(self, reply):
        """(directives of the field that decides, whether Expires counts): RFC 9213 §2.2, §5.2."""
        for name, parse in TARGETED if self.options["targeted_first"] else ():
            control = parse(reply.all(name))
            if control:
                return control, False
        return directives(reply.all("cache-control")), True

    def deciding(self, reply):
        """The name of the targeted field that decides, or None."""
        targeted = TARGETED if self.options["targeted_first"] else ()
        return next((name for name, parse in targeted if parse(reply.all(name))), None)

    def explicit_lifetime(self, control, reply, expires_count):
        """§4.2.1: s-maxage, max-age, Expires; None where there is none of them."""
        for name in ("s-maxage", "max-age") if self.options["s_maxage_first"] else ("max-age", "s-maxage"):
            if name in control:
                return self.number(control[name])
        expires = set(reply.all("expires"))
        if not expires or not expires_count:
            return None
        until_s = parse_date(expires.pop()) if len(expires) == 1 else None
        return 0 if until_s is None else max(0, until_s - self.date(reply))

    def number(self, values):
        """What is malformed, or in conflict, counts as 0 (§4.2.1)."""
        numbers = {seconds(value) for value in values}
        if len(numbers) > 1 and not self.options["conflict_is_stale"]:
            return seconds(values[0]) or 0
        return 0 if len(numbers) > 1 or None in numbers else numbers.pop()

    def date(self, reply):
        date_s = parse_date(reply.first("date"))
        return self.wall_s if date_s is None else date_s

    def heuristic_lifetime(self, reply):
        """§4.2.2."""
        modified_s = parse_date(reply.first("last-modified"))
        if modified_s is None:
            return None
        share_s = (self.date(reply) - modified_s) * self.options["heuristic_percent"] // 100
        return min(share_s, self.options["heuristic_max_s"]) if share_s > 0 else None

    def granted_lifetime(self, reply, control):
        """Where the origin gives none: the route's, from the arrival on, or a guess; None where there is neither."""
        granted_s = self.options["status_ttl_s"].get(reply.status)
        if granted_s == 0:
            return None
        if granted_s is None:
            if not self.may_be_guessed(reply, control):
                return None
            granted_s = self.options["negative_ttl_s" if reply.status >= 400 else "ttl_s"]
        return granted_s + self.age_on_arrival(reply) if granted_s else self.heuristic_lifetime(reply)

    def bound(self, lifetime_s, age_s):
        """By the route."""
        left_s = lifetime_s - age_s
        left_s = min(left_s, self.options["ttl_max_s"] or left_s)
        left_s = max(left_s, self.options["ttl_min_s"] or left_s)
        return min(age_s + left_s, OVERFLOW_S)

    def may_be_guessed(self, reply, control):
        """§4.2.2: statuses by definition, others when they are marked."""
        return reply.status in HEURISTIC or (is_set(control, "public") and self.options["public_is_guessed"])

    def age_on_arrival(self, reply):
        """§4.2.3; the origin answers at once."""
        apparent_s = max(0, self.wall_s - self.date(reply))
        if apparent_s <= self.options["date_slack_s"]:
            apparent_s = 0
        # The first member of the first line (§5.1).
        given_s = seconds((reply.first("age") or "").split(",")[0].strip(" \t"), quoted=False) or 0
        return max(apparent_s, given_s if self.options["age_counts"] else 0)

    def judge(self, request, reply):
        """(why it is not stored, or "", what would be stored, whether its lifetime is the origin's word): §3."""
        control, expires_count = self.control_of(reply)
        ignored = [name for word in self.options["override"] for name in OVERRIDDEN.get(word, ()) if name in control]
        if "freshness" in self.options["override"]:
            ignored += ["expires"] * bool(reply.all("expires") and expires_count)
            expires_count = False
        ignored += ["vary"] * bool(members(reply.all("vary")) and "vary" in self.options["override"])
        stale_words = () if "must-revalidate" in self.options["override"] else FORBID_STALE
        ignored += ["s-maxage's"] * bool("s-maxage" in control and not stale_words)
        control = {name: values for name, values in control.items() if name not in ignored}
        lifetime_s = self.explicit_lifetime(control, reply, expires_count)
        explicit = lifetime_s is not None
        authorized = bool(request.all("authorization"))
        if not explicit and "no-cache" in control:
            lifetime_s = 0
        elif not explicit and not (reply.all("set-cookie") and self.options["set_cookie"] != "store") and not authorized:
            lifetime_s = self.granted_lifetime(reply, control)
        given_s = lifetime_s if explicit else 0
        if lifetime_s is not None and "no-cache" not in control:
            lifetime_s = self.bound(lifetime_s, self.age_on_arrival(reply))
        one = Stored(fields=list(reply.fields), status=reply.status, body=reply.body, lifetime_s=lifetime_s or 0,
                     born_s=self.now_s - self.age_on_arrival(reply), arrived_s=self.now_s, control=control)
        one.keep_minutes = self.keep_minutes(one)
        one.overridden = bool(ignored)
        one.never_stale = any(name in control for name in stale_words)
        if not one.never_stale and "no-cache" not in control:
            one.while_revalidate_s = self.window(control, "stale-while-revalidate", "while_revalidate")
            one.if_error_s = self.window(control, "stale-if-error", "if_error")
        return self.why_not_stored(request, reply, one, explicit, given_s, lifetime_s is not None), one, explicit

    def window(self, control, name, option):
        """RFC 5861."""
        if not self.options[option]:
            return 0
        if name not in control:
            return self.options[option + "_s"]
        return min(self.number(control[name]), STALE_MOST_S)

    def why_not_stored(self, request, reply, one, explicit, given_s, says):
        control = one.control
        understood = is_set(control, "must-understand") and self.options["must_understand_heeded"]
        authorized = bool(request.all("authorization"))
        names = self.varying(reply)
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
        if "*" in names:
            return "vary-star"
        if not all(tokens(name) for name in names):
            return "malformed"
        if authorized and not self.may_be_shared(control):
            return "authorization"
        if not explicit and not self.may_be_guessed(reply, control) and reply.status not in self.options["status_ttl_s"]:
            return "status"
        if reply.all("set-cookie") and not self.may_set_cookie(given_s, control):
            return "set-cookie"
        if authorized and not explicit:
            return "authorization"  # no lifetime is guessed for it, nor is it kept for asking about it
        useful = self.is_within(one, max(one.while_revalidate_s, one.if_error_s)) and "no-cache" not in control
        if not says or not (useful or one.can_be_asked_about()):
            return "no-freshness"
        return ""

    def may_set_cookie(self, given_s, control):
        if self.options["set_cookie"] == "auto":
            return given_s > 0 and "no-cache" not in control and not self.options["override"]
        return self.options["set_cookie"] == "store"

    @staticmethod
    def forbids_storing(request):
        """§5.2.1.5."""
        return "no-store" in directives(request.all("cache-control"))

    def may_be_shared(self, control):
        """§3.5: what allows to use it for others although it was asked for with Authorization."""
        if not self.options["authorization_guarded"]:
            return True
        shared = [seconds(value) for value in control.get("s-maxage", [None])]
        return is_set(control, "public") or "must-revalidate" in control or None not in shared

    # -- which stored response answers a request --

    def varying(self, reply):
        return [] if "vary" in self.options["override"] else members(reply.all("vary"))

    def selecting(self, request, names):
        """What the request has in the fields that Vary names; None: it has no such field."""
        names = dict.fromkeys(name.lower() for name in names)
        return tuple((name, tuple(members(request.all(name))) if request.all(name) else None) for name in names)

    def matches(self, one, request):
        """§4.1."""
        return not self.options["vary_heeded"] or one.vary == self.selecting(request, [name for name, _ in one.vary])

    def of_key(self, key):
        return [one for one in self.stored if one.key == key]

    def select(self, request):
        """The most recent one that the request selects (§4), or None."""
        return next((one for one in self.of_key(request.key) if self.matches(one, request)), None)

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

    def why_not_used(self, one, request):
        """("", detail): it may be delivered without asking (§4); or why not, as Cache-Status calls it (RFC 9211 §2.2)."""
        asks = self.request_directives(request)
        if request.all("authorization") and not self.may_be_shared(one.control):
            return "request" if self.is_fresh(one) and "no-cache" not in one.control else "stale", ""
        if "no-cache" in one.control and self.options["no_cache_validates"]:
            return "stale", ""
        left_s = one.lifetime_s - self.age(one)
        kind = "request" if self.is_fresh(one) else "stale"
        if asks["no-cache"] or self.age(one) > asks["max-age"] or asks["max-age"] == 0:
            return kind, ""
        if asks["min-fresh"] is not None and left_s < asks["min-fresh"]:
            return kind, ""
        if self.is_fresh(one):
            return "", ""
        if one.never_stale and self.options["must_revalidate_forbids_stale"]:
            return "stale", ""
        accepted = bool(asks["max-stale"]) and -left_s <= asks["max-stale"]
        if (accepted or asks["nothing"]) and self.is_within(one, one.while_revalidate_s):
            return "", "stale-while-revalidate"
        return ("", "max-stale") if accepted else ("stale", "")

    def request_directives(self, request):
        """§5.2.1; what is malformed or repeated is read as what asks for more."""
        control = directives(request.all("cache-control"))
        if "malformed" in control:
            control["no-cache"] = [None]

        def least(name, without=0):
            values = [without if value is None else -1 if seconds(value) is None else seconds(value) for value in control[name]]
            return max(0, min(values))
        fresh = [seconds(value) for value in control.get("min-fresh", [])]
        pragma = "no-cache" in directives(request.all("pragma")) and not request.all("cache-control")
        return {
            "no-cache": "no-cache" in control or (pragma and self.options["pragma_heeded"]),
            "max-age": least("max-age") if "max-age" in control else INFINITE,
            "min-fresh": None if not fresh or not self.options["min_fresh_heeded"] else INFINITE if None in fresh else max(fresh),
            "max-stale": least("max-stale", INFINITE) if "max-stale" in control and self.options["max_stale_heeded"] else None,
            "if-error": least("stale-if-error") if "stale-if-error" in control and self.options["if_error"] else 0,
            # Nothing that would speak against the stale windows of the response.
            "nothing": not {"max-age", "min-fresh", "max-stale"} & set(control),
            "only-if-cached": "only-if-cached" in control,
        }

    # -- one request --

    def exchange(self, request, ask):
        looked_up = ("GET", "HEAD", "QUERY") if self.options["query_looked_up"] else ("GET", "HEAD")
        if request.method not in looked_up:
            return self.pass_by(request, ask)
        one = self.select(request)
        others = self.of_key(request.key)
        why, detail = self.why_not_used(one, request) if one else ("vary-miss" if others else "uri-miss", "")
        if why == "":
            return self.hit(request, ask, one, detail)
        if self.request_directives(request)["only-if-cached"]:
            return self.own(504, {"detail": "only-if-cached"})
        if one and request.all("authorization") and not self.may_be_shared(one.control):
            one, others = None, []  # not for this request, not even to be asked about (§3.5)
        return self.forward(request, ask, one, others, why)

    def own(self, status, cache_status):
        self.counters["local"] += 1
        return Answer(status=status, cache_status=cache_status, own=True)

    def hit(self, request, ask, one, detail):
        self.counters["stale" if detail else "hits"] += 1
        status = {"hit": True, "ttl": self.ttl(one)} | self.detail(detail, one)
        answer = self.from_stored(one, request, status, self.age(one))
        if detail == "stale-while-revalidate" and not self.forbids_storing(request):
            self.refresh(request.as_get(), ask, one)
        return answer

    @staticmethod
    def detail(word, one):
        """RFC 9211 §2.8; a token that says whether the route's word counted, too."""
        words = [word] * bool(word) + ["override"] * one.overridden
        return {"detail": "+".join(words)} if words else {}

    def pass_by(self, request, ask):
        """§4: a cache writes through what it does not understand; §4.4: and forgets what that may have changed."""
        reply = self.with_date(ask(Asked(request.method, request.url, request.first("if-none-match"),
                                         request.first("if-modified-since"))))
        status = {"fwd": "method"}
        if reply is None:
            return self.own(502, status | {"detail": "origin-malformed"})
        self.counters["passes"] += 1
        if request.method not in SAFE:
            self.invalidate(request, reply)
        if request.method == "POST" and self.options["post_stored"]:
            self.store_posted(request, reply, status)
        return self.from_reply(reply, request, status, conditions=False)

    def invalidate(self, request, reply):
        """§4.4, RFC 9875 §3."""
        groups = string_list(reply.all("cache-group-invalidation")) or []
        if groups and self.options["groups_invalidate"]:
            self.remove([one for one in self.stored if set(groups) & set(string_list(one.all("cache-groups")) or [])])
        if not 200 <= reply.status < 400 or not self.options["unsafe_invalidates"]:
            return
        self.forget(request.url)
        for name in ("location", "content-location"):
            if self.options["locations_invalidate"]:
                self.forget(reply.first(name))

    def store_posted(self, request, reply, status):
        """RFC 9110 §9.3.3: a 200 that says to be its target's representation, and for how long it is fresh."""
        if reply.status != 200 or reply.all("content-location") != [request.url]:
            return
        reason, new, explicit = self.judge(request.as_get(), reply)
        if reason == "" and explicit and new.lifetime_s > 0 and "no-cache" not in new.control:
            self.store(request.as_get(), new)
            status |= {"stored": True} | self.detail("", new)

    # -- removing --

    def remove(self, gone):
        self.stored = [one for one in self.stored if one not in gone]
        self.counters["purged"] += len(gone)
        return len(gone)

    def forget(self, url):
        """All that is stored for the target, whatever the method; returns how many."""
        return self.remove([one for one in self.stored if one.key[0] == url])

    def make_stale(self, one):
        one.cut_short |= min(self.age(one), AGE_MOST_S) < one.lifetime_s
        one.lifetime_s = min(one.lifetime_s, self.age(one), AGE_MOST_S)

    # -- asking --

    def ask_about(self, request, ask, one, others):
        """(the answer, the stored response that a 304 is about or None): with the validators of one or of variants."""
        etag, modified = one.validators() if one and one.can_be_asked_about() else (None, None)
        if not one:
            others = self.variants_for(request, others)
            etag = ", ".join(other.first("etag") for other in others) or None
        reply = self.with_date(ask(Asked(request.method, request.url, etag, modified)))
        if reply is None or reply.status != 304 or not (etag or modified):
            return reply, None
        about = one or next((other for other in others if weakly_equal(other.first("etag"), reply.first("etag"))), None)
        if about and about.vary:
            self.update_others(request, about, reply)
        if about and self.is_about(about, reply):
            return reply, about
        return self.with_date(ask(Asked(request.method, request.url, None, None))), None

    def variants_for(self, request, others):
        """Those whose entity-tags the origin is asked about (§4.3.1)."""
        if not self.options["variants_asked_about"]:
            return []
        guarded = bool(request.all("authorization"))
        return [other for other in others[:VARIANTS_ASKED] if other.status == 200 and is_entity_tag(other.first("etag")) and
                not (guarded and not self.may_be_shared(other.control))]

    def forward(self, request, ask, one, others, why):
        status = {"fwd": why}
        # With no-store not even what a 304 says may be kept (§5.2.1.5); a HEAD asks for itself (§4.3.5).
        asks_alone = self.forbids_storing(request) or request.method == "HEAD"
        reply, about = self.ask_about(request, ask, None if asks_alone else one, [] if asks_alone else others)
        if about:
            self.counters["revalidated"] += 1
            about, reason = self.take_not_modified(request, about, reply, copy=not one)
            status |= {"fwd-status": 304} | ({"detail": reason} if reason else {"stored": True} | self.detail("", about))
            return self.from_stored(about, request, status,
                                    self.age(about) if reply.all("age") else None)
        reason, new = self.judge_and_store(request, reply, None if asks_alone else one) if reply else (None, None)
        if reply is None or reply.status in ERRORS:
            stand_in = self.select(request)
            if stand_in and self.may_stand_in(stand_in, request):
                self.counters["stale"] += 1
                status |= {"ttl": self.ttl(stand_in)} | self.detail("stale-if-error" if reply else "origin-malformed", stand_in)
                if reply:
                    status["fwd-status"] = reply.status
                return self.from_stored(stand_in, request, status, self.age(stand_in))
        if reply is None:
            return self.own(502, status | {"detail": "origin-malformed"})
        self.counters["misses"] += 1
        if request.method == "HEAD" and reply.status == 200 and self.options["head_updates"]:
            self.take_head(request, reply)
        if reason == "":
            status |= {"stored": True} | self.detail("", new)
        elif reason != "method":
            status["detail"] = reason
        if self.forbids_storing(request) and not any(request.all(name) for name in CONDITIONS):
            # Range goes to the origin, which knows none here.
            request = Request([field for field in request.fields if field[0] != "Range"], request.method, request.url)
        return self.from_reply(reply, request, status)

    def judge_and_store(self, request, reply, one):
        """(why it is not stored, or "", what would be): an error does not take the place of what may be given instead (§4.3.3)."""
        reason, new, _ = self.judge(request, reply)
        if reply.status in ERRORS and one and (self.outlives_error(one) or self.may_stand_in(one, request)):
            return "stale-if-error", new
        if reason == "":
            self.store(request, new)
        return reason, new

    def may_stand_in(self, one, request):
        """RFC 5861 §4, §4.2.4."""
        asks = self.request_directives(request)
        if one.status >= 400 or (request.all("authorization") and not self.may_be_shared(one.control)):
            return False
        if self.why_not_used(one, request)[0] == "":
            return True  # a 304 about another one has made it usable meanwhile
        if "no-cache" in one.control or asks["no-cache"] or self.age(one) > asks["max-age"] or asks["max-age"] == 0:
            return False
        if one.never_stale and self.options["must_revalidate_forbids_stale"]:
            return False
        window_s = max(one.if_error_s if asks["nothing"] else 0, asks["if-error"])
        return window_s > 0 and self.is_within(one, window_s)

    def outlives_error(self, one):
        """What may still be delivered is not given up for an error (§4.3.3)."""
        return self.is_within(one, max(one.while_revalidate_s, one.if_error_s))

    def with_date(self, reply):
        """RFC 9110 §6.6.1: a recipient with a clock adds the Date that is missing."""
        if reply and reply.first("date") is None:
            reply.fields.append(("Date", format_date(self.wall_s)))
        return reply

    def store(self, request, new):
        """§3; one with the same selecting values makes room for it."""
        new.key = request.key
        new.vary = self.selecting(request, self.varying(new))
        new.fields = [(name, value) for name, value in new.fields if name.lower() not in ("age", "content-length")]
        self.stored = [one for one in self.stored if (one.key, one.vary) != (new.key, new.vary)]
        self.put_in_order(new)
        self.counters["stored"] += 1

    # -- behind the client's back: RFC 5861 §3 --

    def refresh(self, request, ask, one):
        if self.now_s < self.rests_s.get(request.key, 0):
            return
        self.counters["refreshes"] += 1
        reply, about = self.ask_about(request, ask, one, [])
        if about:
            self.take_not_modified(request, about, reply)
            return
        if reply:
            reason, new, _ = self.judge(request, reply)
            if reason == "" and not (reply.status in ERRORS and self.outlives_error(one)):
                self.store(request, new)
                return
            if (200 <= reply.status < 400 or reply.status in (404, 410)) and reason != "authorization" and one in self.stored:
                self.stored.remove(one)  # the origin has other things to say to everyone now
        self.counters["refreshes_failed"] += 1
        self.rests_s[request.key] = self.now_s + self.options["rest_s"]

    # -- 304 from the origin --

    def is_about(self, one, reply):
        """§4.3.4: whether the 304 confirms what was asked about."""
        if not self.options["other_not_modified_is_refused"]:
            return True
        etag, modified = reply.first("etag"), reply.first("last-modified")
        if self.cannot_be_about(one, reply):
            return False
        if etag is not None:
            return weakly_equal(etag, one.first("etag"))
        return modified is None or one.first("last-modified") in (None, modified)

    def cannot_be_about(self, one, reply):
        """It cannot be about the stored one: its Vary names a field that the stored one's does not; or the lifetime was in a
        field that Weir does not keep, has been cut short, and does not come again."""
        if one.cut_short and self.deciding(one) in FOR_WEIR and self.deciding(reply) not in FOR_WEIR:
            return True
        return not {name.lower() for name in members(reply.all("vary"))} <= {name.lower() for name in members(one.all("vary"))}

    def take_not_modified(self, request, one, reply, copy=False):
        """§4.3.4: (the answer, why it is no longer stored, or ""); `copy`: it was not selected, and is stored once more for what
        this request selects."""
        if copy:
            second = dataclasses.replace(one)
            second.vary = self.selecting(request, self.varying(one))
            if one in self.stored:
                self.stored.append(second)
                self.counters["stored"] += 1
            reason = self.update(request, second, reply)
            self.update(request, one, reply)
            return second, reason
        return one, self.update(request, one, reply)

    def update_others(self, request, one, reply):
        """§4.3.4: all with the 304's strong validator."""
        etag = reply.first("etag")
        if not etag or etag.startswith("W/"):
            return
        for other in self.of_key(one.key):
            if other in self.stored and other is not one and other.first("etag") == etag and not self.cannot_be_about(other, reply):
                self.update(request, other, reply)

    def update(self, request, one, reply):
        """§3.2; then it is judged anew: why it is no longer stored, or ""."""
        if self.options["not_modified_updates"]:
            # A field to Weir alone that decides nothing counts as absent, and then the stored one's word stands.
            void = [name for name, parse in TARGETED if name in FOR_WEIR and not parse(reply.all(name))]
            kept_back = ("vary", "content-length", "content-encoding", "content-range", *void)
            new = [(name, value) for name, value in reply.fields if name.lower() not in kept_back]
            names = {name.lower() for name, _ in new}
            one.fields = [(name, value) for name, value in one.fields if name.lower() not in names] + new
        reason, judged, explicit = self.judge(request.as_get(), Reply(fields=one.fields, status=one.status, body=one.body))
        remembered = self.deciding(one) in FOR_WEIR and self.deciding(reply) not in FOR_WEIR
        if remembered:
            # Weir keeps not the field but what came of it.
            judged.while_revalidate_s, judged.if_error_s = one.while_revalidate_s, one.if_error_s
        if remembered and explicit:
            bounded = "no-cache" not in judged.control
            judged.lifetime_s = self.bound(one.lifetime_s, self.now_s - judged.born_s) if bounded else one.lifetime_s
        for name in ("lifetime_s", "born_s", "arrived_s", "control", "while_revalidate_s", "if_error_s", "overridden", "never_stale"):
            setattr(one, name, getattr(judged, name))
        one.keep_minutes, one.cut_short = self.keep_minutes(one), False
        one.fields = [(name, value) for name, value in one.fields if name.lower() != "age"]
        if one in self.stored:
            self.stored.remove(one)
            if reason == "":
                self.put_in_order(one)
        return reason

    def take_head(self, request, reply):
        """§4.3.5: of the stored responses that could have been chosen."""
        told = {name: reply.first(name) for name in ("etag", "last-modified") if reply.first(name) is not None}
        for one in [one for one in self.of_key(request.key) if self.matches(one, request)]:
            if one not in self.stored or (request.all("authorization") and not self.may_be_shared(one.control)):
                continue
            same = all(one.first(name) == value for name, value in told.items()) and len(one.body) == len(reply.body)
            if same and one.status == 200 and not self.cannot_be_about(one, reply):
                self.update(request, one, reply)
            else:
                self.make_stale(one)
                one.cut_short = True
                one.while_revalidate_s = 0
                self.stored.remove(one)
                self.put_in_order(one)

    # -- answers --

    def from_stored(self, one, request, cache_status, age):
        """§4: with its Age (§5.1); or a 304, when the client has it already (§4.3.2)."""
        answer = Answer(status=one.status, body=one.body, fields=list(one.fields), age=age, cache_status=cache_status)
        return self.finish(answer, request)

    def from_reply(self, reply, request, cache_status, conditions=True):
        """Even an Age that cannot be read says that a cache had it before (§5.1)."""
        fields = [(name, value) for name, value in reply.fields if name.lower() not in ("age", "content-length")]
        answer = Answer(status=reply.status, body=reply.body, fields=fields, cache_status=cache_status,
                        age=self.age_on_arrival(reply) if reply.all("age") else None)
        return self.finish(answer, request, in_order=True) if conditions else self.without_body(answer, request)

    def finish(self, answer, request, in_order=False):
        if answer.status == 200 and self.client_has_it(answer, request):
            answer.status = 304
            if "fwd" in answer.cache_status and "ttl" not in answer.cache_status:
                answer.cache_status.setdefault("fwd-status", 200)
        if answer.status == 200 and request.method == "GET" and request.all("range") and self.options["ranges_served"]:
            self.take_range(answer, request, in_order)
        return self.without_body(answer, request)

    @staticmethod
    def without_body(answer, request):
        answer.fields = [(name, value) for name, value in answer.fields if name.lower() not in FOR_WEIR]
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

    # -- ranges: RFC 9110 §14 --

    def take_range(self, answer, request, in_order):
        """`in_order`: the bytes go by but once."""
        asked = byte_ranges(request.all("range"))
        length = len(answer.body)
        if asked is None or length == 0 or len(asked) > RANGES_MOST or not self.if_range_holds(answer, request):
            return
        wanted = [(max(0, length - last), length - 1) if first is None else (first, length - 1 if last is None else min(last, length - 1))
                  for first, last in asked]
        joined = join_ranges([(first, last) for first, last in wanted if first <= last])
        if not joined:
            answer.status, answer.body, answer.content_range = 416, b"", f"bytes */{length}"
            answer.fields = [(name, value) for name, value in answer.fields if name.lower() in ("date", "vary")]
            return
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
        if '"' in lines[0]:
            return lines[0] == answer.first("etag") and not lines[0].startswith("W/")
        modified, date_s = answer.first("last-modified"), parse_date(answer.first("date"))
        at_s = parse_date(lines[0])
        return at_s is not None and at_s == parse_date(modified) and date_s is not None and date_s - at_s >= STRONG_DATE_S

    # -- purges: Weir's own --

    def purge(self, what, value, soft):
        """By "url", "prefix", "tag" or "all"; soft: it is stale from now on, and stays. Returns how many were reached."""
        reached = [one for one in self.stored if self.is_meant(one, what, value)]
        if not soft:
            return self.remove(reached)
        for one in reached:
            self.make_stale(one)
        self.counters["purged"] += len(reached)
        return len(reached)

    @staticmethod
    def is_meant(one, what, value):
        if what == "url":
            return one.key[0] == value
        if what == "prefix":
            return one.key[0].startswith(value)
        tags = " ".join(one.all("surrogate-key")).split() + members(one.all("cache-tag")) + (string_list(one.all("cache-groups")) or [])
        return what == "all" or value in tags
