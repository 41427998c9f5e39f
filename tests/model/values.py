"""What fields say: lists, directives, dates, entity-tags, ranges, structured fields. For tests/model/model.py; pure.

Sections are of RFC 9111 unless another RFC is named.
"""

import dataclasses
import datetime
import functools
import re

UNDERSTOOD = {200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409,
              410, 411, 413, 414, 415, 416, 417, 421, 422, 426, 500, 501, 502, 503, 504, 505}
HEURISTIC = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}     # RFC 9110 §15.1
OVERFLOW_S = 2147483648                                                  # §1.2.2
AGE_MOST_S = 2147483647                                                  # "the greatest positive integer"
RANGE_GAP = 80

DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")
EPOCH = datetime.datetime(1970, 1, 1)


@dataclasses.dataclass(eq=False)
class Message:
    fields: list = dataclasses.field(default_factory=list)

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name]

    def first(self, name):
        return next(iter(self.all(name)), None)


# ---- dates ----


@functools.lru_cache(65536)
def parse_date(text):
    """Seconds since 1970 of an HTTP date in one of its three forms (RFC 9110 §5.6.7), or None."""
    for form in DATES:
        try:
            return int((datetime.datetime.strptime(text or "", form) - EPOCH).total_seconds())
        except ValueError:
            continue
    return None


def format_date(at_s):
    return (EPOCH + datetime.timedelta(seconds=at_s)).strftime(DATES[0])


# ---- lists and directives ----


def tokens(text):
    return re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text) is not None


def split(line):
    """The members of a list (RFC 9110 §5.6.1), quoted strings kept whole; None when a quote does not end."""
    pieces = re.findall(r'"(?:[^"\\]|\\.)*"|[^",]+|[",]', line)
    if '"' in pieces:
        return None
    found, member = [], ""
    for piece in pieces + [","]:
        if piece == ",":
            found.append(member.strip(" \t"))
            member = ""
        else:
            member += piece
    return [member for member in found if member]


def members(lines):
    """Those of all lines of a field."""
    return [member for line in lines for member in split(line) or []]


def directives(lines):
    """{name: [values]} of Cache-Control (§5.2); a value is None where there is none. None: nobody can tell."""
    if any(split(line) is None for line in lines):
        return None
    found = {}
    for member in members(lines):
        name, equals, value = member.partition("=")
        # White space around "=" is no directive with a value (§5.2).
        spaced = name.endswith((" ", "\t"))
        found.setdefault(name.strip(" \t").lower(), []).append("" if spaced else value if equals else None)
    return found


def seconds(value, quoted=True):
    """delta-seconds (§1.2.2), also quoted (§5.2); None: malformed."""
    text = value or ""
    if quoted and len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return min(int(text), OVERFLOW_S) if re.fullmatch(r"[0-9]+", text) else None


def surrogate_directives(lines):
    """Surrogate-Control, as directives of Cache-Control; None or {}: it decides nothing."""
    control = directives(lines)
    if not control:
        return None
    found = {}
    for name, values in control.items():
        name, semicolon, surrogate = name.partition(";")
        if semicolon and surrogate.strip() != "weir":
            continue
        if name == "max-age":
            for value in values:
                fresh, plus, stale = (value or "").partition("+")
                found.setdefault(name, []).append(fresh if plus else value)
                for window in ("stale-while-revalidate", "stale-if-error") if plus else ():
                    found.setdefault(window, []).append(stale)
        elif name == "no-store-remote":
            found["no-store"] = values
        elif name != "content":
            found.setdefault(name, []).extend(values)
    return found


# ---- structured fields: RFC 9651 ----

ITEM = r'(?:-?\d{1,12}\.\d{1,3}|-?\d{1,15}|"(?:[ !#-\[\]-~]|\\["\\])*"|[A-Za-z*][!#$%&\'*+.^_`|~0-9A-Za-z:/-]*|\?[01])'
PARAMETERS = rf"(?:; *[a-z*][a-z0-9_.*-]*(?:={ITEM})?)*"
MEMBER = re.compile(rf"([a-z*][a-z0-9_.*-]*)(?:=({ITEM}))?{PARAMETERS}(?:[ \t]*,[ \t]*|\Z)")
STRING = re.compile(rf'"((?:[ !#-\[\]-~]|\\["\\])*)"{PARAMETERS}(?:[ \t]*,[ \t]*|\Z)')


def scan(pattern, lines):
    """The matches that make up the whole; None where it is none, or ends with a comma."""
    text = ", ".join(lines).strip(" ")
    at, found = 0, []
    while at < len(text):
        match = pattern.match(text, at)
        if not match or (match.end() == len(text) and match[0].rstrip(" \t").endswith(",")):
            return None
        found.append(match)
        at = match.end()
    return found


def structured_directives(lines):
    """A dictionary as directives of Cache-Control (RFC 9213 §2.1, §2.2); the last of a name counts. None: malformed."""
    found = scan(MEMBER, lines)
    if found is None:
        return None
    values = {match[1]: match[2] for match in found}
    numbers = {name: [value if value and re.fullmatch(r"\d+", value) else None if value in (None, "?1") else "x"]
               for name, value in values.items() if value != "?0"}
    # What says nothing any more still is a field that decides.
    return numbers or ({"": [None]} if values else {})


def string_list(lines):
    """A list of strings (RFC 9875 §2); None: malformed."""
    found = scan(STRING, lines)
    return None if found is None else [re.sub(r"\\(.)", r"\1", match[1]) for match in found]


# ---- entity-tags ----


def is_entity_tag(text):
    return re.fullmatch(r'(W/)?"[^"]*"', text or "") is not None


def entity_tags(lines):
    """The entity-tags of If-None-Match; what is none is passed over."""
    return [tag for tag in members(lines) if is_entity_tag(tag)]


def weakly_equal(one, other):
    """RFC 9110 §8.8.3.2."""
    return one is not None and other is not None and one.removeprefix("W/") == other.removeprefix("W/")


# ---- ranges ----


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
