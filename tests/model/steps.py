"""Random steps for tests/model/run.py: requests, what the origin would answer to them, and moves of the clock.

A step is plain data, so that a sequence can be shrunk and printed. Each request brings the answer that the origin gives if it
is asked: so a step means the same whatever was dropped before it. Alphabets are small, so that states meet often. A time in a
field is ("now", seconds) or ("start", seconds): a date relative to the moment, or to the begin of the sequence.
"""

import model
import values

# Routes by name: what Weir is configured with, and the model's options for it.
ROUTES = {
    "plain": ({}, {}),
    "granting": ({"ttl": "5s", "negative_ttl": "1s", "status_ttl": {503: "5s", 404: "0s"}},
                 {"ttl_s": 5, "negative_ttl_s": 1, "status_ttl_s": {503: 5, 404: 0}}),
    "bounded": ({"ttl_min": "2s", "ttl_max": "30s"}, {"ttl_min_s": 2, "ttl_max_s": 30}),
    "stale": ({"stale_while_revalidate": "5s", "stale_if_error": "60s"}, {"while_revalidate_s": 5, "if_error_s": 60}),
    "guessing": ({"heuristic_percent": 50, "heuristic_max": "60s", "set_cookie": "store"},
                 {"heuristic_percent": 50, "heuristic_max_s": 60, "set_cookie": "store"}),
    "knowing": ({"ttl": "5s", "override": ["no-store", "private", "no-cache", "freshness"]},
                {"ttl_s": 5, "override": ("no-store", "private", "no-cache", "freshness")}),
    "deaf": ({"override": ["vary", "must-revalidate"], "stale_if_error": "60s"}, {"override": ("vary", "must-revalidate"), "if_error_s": 60}),
    "careful": ({"ttl": "60s", "set_cookie": "refuse"}, {"ttl_s": 60, "set_cookie": "refuse"}),
}
URLS = ("/a", "/b", "/c")
CLOCK_S = (0, 1, 1, 2, 4, 5, 5, 6, 10, 54, 55, 56, 59, 60, 61, 120)
WALL_S = (-86400, -60, -5, -1, 1, 5, 60, 86400)
LIFETIMES = (0, 1, 5, 60)
MARKS = ("public", "must-revalidate", "proxy-revalidate", "no-cache", "no-store", "private", "must-understand", "immutable",
         'no-cache="x-gen"', 'private="x-gen"')
WINDOWS = ("stale-while-revalidate=5", "stale-while-revalidate=60", "stale-if-error=5", "stale-if-error=60", "stale-while-revalidate=x",
           "stale-if-error=5, stale-if-error=60")
DICTIONARIES = ("max-age=60", "max-age=5, stale-while-revalidate=60", "no-store", "private", "no-cache", "max-age=60, no-store=?0", "max-age=60,",
                "Max-Age=60", 'max-age="60"', "max-age=60.0", "max-age=-1", "max-age", "public", "s-maxage=1, max-age=60", "max-age=60, max-age=5", "",
                "must-revalidate, max-age=5;x=1", "foo", "max-age=99999999999", "stale-if-error=60, max-age=1", "no-store=?0")
SURROGATES = ("max-age=60", "max-age=5+60", "no-store", "no-store-remote", "no-store;other, max-age=5", "no-store;weir", 'content="ESI/1.0"',
              'max-age=60, content="ESI/1.0"', "max-age=x")
TARGETED = (("Weir-Cache-Control", DICTIONARIES), ("CDN-Cache-Control", DICTIONARIES), ("CDN-Cache-Control", DICTIONARIES), ("Surrogate-Control", SURROGATES))
ODD_CONTROL = ('max-age="5"', "max-age=-1", "max-age=x", "max-age=5.5", "max-age = 60", "max-age=5, max-age=60", "max-age=5, MAX-AGE=5",
               "s-maxage=x, max-age=60", 'x="max-age=60, no-store"', "max-age=99999999999", "max-age=5, s-maxage=1", "max-age",
               'max-age=60, x="', ", ,max-age=5,")
STATUSES = (200,) * 40 + (203, 204, 301, 302, 404, 404, 410, 500, 500, 503, 503, 299, 599, 416, 201, 0, 0)
ETAGS = ('"1"', '"1"', '"2"', 'W/"1"')
VARIES = ("X-A", "X-A", "X-B", "X-A, X-B", "x-b,X-A", "*", ",", "x a")
DATES = (("now", 0),) * 6 + (("now", -1), ("now", -2), ("now", -5), ("now", -70), ("now", 5), "yesterday")
AGES = ("0", "1", "4", "59", "x", "3, 90", "-1", "1.5", "99999999999")
MODIFIED = (("start", -10), ("start", -100), ("start", -1000), ("start", -100), ("start", -1000000), "yesterday")
METHODS = ("GET",) * 30 + ("HEAD",) * 4 + ("QUERY",) * 4 + ("POST", "POST", "PUT", "DELETE", "FROB", "OPTIONS")
ASKS = ("no-cache", "no-store", "only-if-cached", "max-age=0", "max-age=1", "max-age=5", "max-age=60", "min-fresh=1", "min-fresh=5",
        "max-stale", "max-stale", "max-stale=1", "max-stale=60", "max-age=x", "min-fresh=x", "max-stale=x", "max-age=60, max-age=1",
        "max-stale=60, max-age=5", "stale-if-error=5", "stale-if-error=60", "stale-if-error=x", "stale-if-error=60, max-age=60", "only-if-cached, max-stale", 'x="no-cache"')
TAGS_ASKED = ('"1"', '"2"', 'W/"1"', '"3", "1"', "*", "1")

GROUPS = ('"g1"', '"g2"', '"g1", "g2"', 'g1', '"g1";x=1', '"g1",')
TAGS = ("s1", "s2", "c1", "c2", "g1")
BROKEN = 0  # the status of what is no answer
CONTENTS = ("one", "other")
RANGES = ("bytes=0-9", "bytes=-5", "bytes=500-", "bytes=-0", "bytes=290-400", "BYTES=0-0", "bytes=5-4", "bytes=0-9,5-4", "items=0-1", "bytes=0-0,-1",
          "bytes=0-4, 200-209", "bytes=200-209,0-4", "bytes=0-9, 5-14", "bytes=0-4,700-", "bytes=0-, 0-0", "bytes=0-0,100-100,299-",
          "bytes=" + ",".join(f"{at}-{at}" for at in range(17)))


def draw(random, chance, choices):
    return random.choice(choices) if random.random() < chance else None


def make_control(random):
    if random.random() < 0.12:
        return random.choice(ODD_CONTROL)
    parts = []
    if random.random() < 0.7:
        parts.append(f"max-age={random.choice(LIFETIMES)}")
    if random.random() < 0.12:
        parts.append(f"s-maxage={random.choice(LIFETIMES)}")
    while random.random() < 0.25:
        parts.append(random.choice(MARKS))
    while random.random() < 0.15:
        parts.append(random.choice(WINDOWS))
    random.shuffle(parts)
    return ", ".join(parts)


def add(fields, name, value):
    if value is not None:
        fields.append((name, value))


def make_answer_fields(random):
    fields = []
    add(fields, "Date", draw(random, 0.6, DATES))
    add(fields, "Cache-Control", make_control(random) or None)
    if random.random() < 0.15:
        add(fields, "Expires", random.choice([("now", -5), ("now", 0), ("now", 1), ("now", 5), ("now", 60), "0", "-1"]))
    add(fields, "ETag", draw(random, 0.4, ETAGS))
    add(fields, "Last-Modified", draw(random, 0.25, MODIFIED))
    add(fields, "Age", draw(random, 0.12, AGES))
    add(fields, "Set-Cookie", draw(random, 0.05, ("a=b",)))
    while random.random() < 0.06:
        name, choices = random.choice(TARGETED)
        add(fields, name, random.choice(choices))
    add(fields, "Cache-Groups", draw(random, 0.1, GROUPS))
    add(fields, "Surrogate-Key", draw(random, 0.06, ("s1", "s1 s2")))
    add(fields, "Cache-Tag", draw(random, 0.06, ("c1", "c1,c2")))
    return fields


def make_answer(random):
    """What the origin says to this request; `confirms`: when it answers a condition with a 304, with those fields."""
    fields = make_answer_fields(random)
    add(fields, "Vary", draw(random, 0.3, VARIES))
    answer = {"status": random.choice(STATUSES), "fields": fields, "confirms": random.choice(("never", "match", "always"))}
    if answer["confirms"] != "never":
        answer["not_modified"] = make_answer_fields(random)
        if random.random() < 0.5:
            answer["not_modified"] = [field for field in answer["not_modified"] if field[0] not in ("ETag", "Last-Modified")]
        add(answer["not_modified"], "Vary", draw(random, 0.1, VARIES))
    return answer


def make_request(random, number):
    fields = []
    add(fields, "X-A", draw(random, 0.5, ("1", "2", "1,2", "1 ,, 2")))
    add(fields, "X-B", draw(random, 0.3, ("1", "")))
    add(fields, "Authorization", draw(random, 0.08, ("Basic eDp5",)))
    add(fields, "Cache-Control", draw(random, 0.25, ASKS))
    add(fields, "Pragma", draw(random, 0.03, ("no-cache",)))
    add(fields, "If-None-Match", draw(random, 0.12, TAGS_ASKED))
    add(fields, "If-Modified-Since", draw(random, 0.08, MODIFIED))
    add(fields, "Range", draw(random, 0.1, RANGES))
    if fields and fields[-1][0] == "Range":
        add(fields, "If-Range", draw(random, 0.3, ('"1"', '"1"', 'W/"1"', '"2"', "1", *MODIFIED)))
    method, url = random.choice(METHODS), random.choice(URLS[:2] + URLS)
    step = {"do": "request", "number": number, "method": method, "url": url, "fields": fields, "answer": make_answer(random)}
    if method in ("QUERY", "POST", "PUT"):
        step["content"] = random.choice(CONTENTS)
    if method not in ("GET", "HEAD", "QUERY"):
        add(step["answer"]["fields"], "Location", draw(random, 0.3, URLS))
        add(step["answer"]["fields"], "Content-Location", draw(random, 0.5, (url, *URLS)))
        add(step["answer"]["fields"], "Cache-Group-Invalidation", draw(random, 0.2, GROUPS))
    return step


def make_purge(random):
    what = random.choice(("url", "url", "tag", "tag", "prefix", "all"))
    value = {"url": random.choice(URLS), "tag": random.choice(TAGS), "prefix": random.choice(URLS + ("/",)), "all": "1"}[what]
    return {"do": "purge", "what": what, "value": value, "soft": random.random() < 0.5}


def make_sequence(random, count):
    steps = [{"do": "route", "route": random.choice((*ROUTES, *["plain"] * 5))}]
    for number in range(1, count):
        if random.random() < 0.2:
            steps.append({"do": "clock", "seconds": random.choice(CLOCK_S)})
        elif random.random() < 0.02:
            steps.append({"do": "wall", "seconds": random.choice(WALL_S)})
        elif random.random() < 0.03:
            steps.append(make_purge(random))
        else:
            steps.append(make_request(random, number))
    return steps


# ---- what a step means at its time ----


def resolve(fields, now_s, start_s):
    """Field lines with their dates."""
    bases = {"now": now_s, "start": start_s}
    return [(name, value if isinstance(value, str) else values.format_date(bases[value[0]] + value[1])) for name, value in fields]


def make_reply(step, asked, now_s, start_s):
    """What the origin answers when it is asked (model.Asked) in this step; None: rubbish. The body tells the step."""
    answer = step["answer"]
    if answer["status"] == BROKEN:
        return None
    fields = resolve(answer["fields"], now_s, start_s)
    reply = model.Reply(fields=fields + [("X-Gen", f"{step['number']}")], status=answer["status"])
    if asked.method in ("GET", "HEAD") and confirms(answer["confirms"], reply, asked):
        fields = resolve(answer["not_modified"], now_s, start_s)
        return model.Reply(fields=fields + [("X-Gen", f"{step['number']}n")], status=304)
    if reply.status != 204:
        reply.body = make_body(step["number"])
    return reply


def make_body(number):
    """Every eight bytes tell whose they are and where."""
    return b"".join(b"%04d%04d" % (number, at) for at in range(38 if number % 2 else 20))


def confirms(when, reply, asked):
    if when == "never" or not (asked.if_none_match or asked.if_modified_since):
        return False
    if when == "always":
        return True
    if asked.if_none_match:
        return any(values.weakly_equal(reply.first("etag"), tag) for tag in values.entity_tags([asked.if_none_match]))
    modified_s = values.parse_date(reply.first("last-modified"))
    since_s = values.parse_date(asked.if_modified_since)
    return modified_s is not None and since_s is not None and modified_s <= since_s
