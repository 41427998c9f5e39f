"""What RFC 9112 says of a message, from its grammar alone: the oracle that Weir's parser is held against.

Nothing here knows how Weir works. Expressions are the ABNF's rules by their names, of RFC 9112, 9110 and 3986. A
message is whole, as nothing comes after it: either it is a message, with one reading, or it is none. Where the RFCs
leave a recipient the choice to refuse, the reading is that of a recipient which does not.

judge() gives (verdict, tolerated): the verdict is a dict of the aspects of weir_verdict.c, or the name of the rule
that is broken. `tolerated` are the rules of TOLERATED that the message breaks: those that a recipient is free to
overlook, so that a message which breaks no other one has a reading all the same.
"""

import collections
import re

# RFC 9110 section 5.6
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
OWS = BWS = rb"[ \t]*"
QUOTED_STRING = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'

# RFC 3986
PCT = rb"%[0-9A-Fa-f]{2}"
UNRESERVED = rb"A-Za-z0-9\-._~"
SUB_DELIMS = rb"!$&'()*+,;="
PCHAR = rb"(?:[" + UNRESERVED + SUB_DELIMS + rb":@]|" + PCT + rb")"
DEC_OCTET = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9][0-9]|[0-9])"
IPV4 = DEC_OCTET + rb"(?:\." + DEC_OCTET + rb"){3}"
H16 = rb"[0-9A-Fa-f]{1,4}"
LS32 = rb"(?:" + H16 + rb":" + H16 + rb"|" + IPV4 + rb")"


def before_colons(most):
    return rb"(?:(?:" + H16 + rb":){0,%d}" % (most - 1) + H16 + rb")?::" if most else rb"::"


IPV6 = rb"(?:" + rb"|".join(
    [rb"(?:" + H16 + rb":){6}" + LS32] +
    [before_colons(5 - groups) + rb"(?:" + H16 + rb":){%d}" % groups + LS32 for groups in range(5, -1, -1)] +
    [before_colons(6) + H16, before_colons(7)]) + rb")"
IPVFUTURE = rb"v[0-9A-Fa-f]+\.[" + UNRESERVED + SUB_DELIMS + rb":]+"
REG_NAME = rb"(?:[" + UNRESERVED + SUB_DELIMS + rb"]|" + PCT + rb")*"
URI_HOST = rb"(?:\[(?:" + IPV6 + rb"|" + IPVFUTURE + rb")\]|" + REG_NAME + rb")"
QUERY = rb"(?:" + PCHAR + rb"|[/?])*"
PATH = rb"(?:/" + PCHAR + rb"*)"

# RFC 9112 section 3.2; userinfo is refused by RFC 9110 section 4.2.4, so that an http URI has none here.
ORIGIN_FORM = re.compile(PATH + rb"+(?:\?" + QUERY + rb")?\Z")
HTTP_URI = re.compile(rb"https?://(" + URI_HOST + rb")(?::[0-9]*)?" + PATH + rb"*(?:\?" + QUERY + rb")?\Z", re.I)
OTHER_URI = re.compile(rb"(?!https?:)[A-Za-z][A-Za-z0-9+\-.]*:(?://(?:[" + UNRESERVED + SUB_DELIMS + rb":@\[\]]|" + PCT + rb")*(?=[/?]|\Z))?"
                       rb"(?:" + PCHAR + rb"|/)*(?:\?" + QUERY + rb")?\Z", re.I)
AUTHORITY_FORM = re.compile(URI_HOST + rb":[0-9]*\Z")
# Characters that are in no URI, and a "%" that begins nothing: a server SHOULD, not MUST, refuse them (section 3).
LAX = rb'(?:[\[\]"<>\\^`{|}%/?:@' + UNRESERVED + SUB_DELIMS + rb"])*"
LAX_ORIGIN_FORM = re.compile(rb"/" + LAX + rb"\Z")
LAX_HTTP_URI = re.compile(rb"https?://(" + URI_HOST + rb")(?::[0-9]*)?(?:[/?]" + LAX + rb")?\Z", re.I)

# RFC 9112 sections 2 to 5
EMPTY_LINES = re.compile(rb"(?:\r\n)*")
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([^ \t\r\n\0\x0b\x0c]+) HTTP/([0-9])\.([0-9])\r\n")
STATUS_LINE = re.compile(rb"HTTP/([0-9])\.([0-9]) ([0-9]{3}) ([\t \x21-\x7e\x80-\xff]*)\r\n")
STATUS_LINE_WITHOUT_SPACE = re.compile(rb"HTTP/([0-9])\.([0-9]) ([0-9]{3})()\r\n")
FIELD_LINE = re.compile(rb"(" + TOKEN + rb"):" + OWS + rb"([\t \x21-\x7e\x80-\xff]*?)" + OWS + rb"\r\n")
HOST = re.compile(URI_HOST + rb"(?::[0-9]*)?\Z")
LENGTHS = re.compile(rb"[0-9]+(?:" + OWS + rb"," + OWS + rb"[0-9]+)*\Z")
CODING = TOKEN + rb"(?:" + OWS + rb";" + OWS + TOKEN + BWS + rb"=" + BWS + rb"(?:" + TOKEN + rb"|" + QUOTED_STRING + rb"))*"
CODINGS = re.compile(rb"(?:" + CODING + rb")?(?:" + OWS + rb"," + OWS + rb"(?:" + CODING + rb")?)*\Z")

# RFC 9112 section 7.1
CHUNK_EXT = rb"(?:" + BWS + rb";" + BWS + TOKEN + rb"(?:" + BWS + rb"=" + BWS + rb"(?:" + TOKEN + rb"|" + QUOTED_STRING + rb"))?)*"
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)" + CHUNK_EXT + rb"\r\n")

# rule: (section, what lets a recipient overlook it)
TOLERATED = {
    "empty-lines": ("2.2", "a server SHOULD ignore at least one CRLF before a request line"),
    "target-characters": ("3", "an invalid request line SHOULD be refused; characters that are in no URI change no boundary"),
    "reason-space": ("4", "a client SHOULD ignore the reason phrase; the status before it is whole"),
}


Head = collections.namedtuple("Head", "start text minor fields framing length end")


class Broken(Exception):
    """A rule that the message breaks: its name."""


def read_target(method, target, tolerated):
    if method == b"CONNECT":
        if not AUTHORITY_FORM.match(target) or target.startswith(b":"):
            raise Broken("target")
        # RFC 9110 section 9.3.6: a server MUST reject an empty or invalid port.
        port = target.rpartition(b":")[2]
        if not port or int(port) > 65535:
            raise Broken("target")
        return
    uri = HTTP_URI.match(target)
    if target == b"*" and method == b"OPTIONS" or ORIGIN_FORM.match(target) or OTHER_URI.match(target) or (uri and uri[1]):
        return
    uri = LAX_HTTP_URI.match(target)
    if not LAX_ORIGIN_FORM.match(target) and not (uri and uri[1]):
        raise Broken("target")
    tolerated.append("target-characters")


def read_fields(message, at):
    fields = []
    while not message.startswith(b"\r\n", at):
        line = FIELD_LINE.match(message, at)
        if not line:
            raise Broken("field-line")
        fields.append((line[1], line[2]))
        at = line.end()
    return fields, at + 2


def values(fields, name):
    return [value for key, value in fields if key.lower() == name]


def members(fields, name):
    return [member.strip(b" \t").lower() for value in values(fields, name) for member in value.split(b",")]


def check_host(fields, minor):
    hosts = values(fields, b"host")
    if len(hosts) > 1 or (minor >= 1 and not hosts) or (hosts and not HOST.match(hosts[0])):
        raise Broken("host")


def read_length(fields):
    """Section 6.3, number 5: a list of the same number may be taken for that number."""
    lengths = values(fields, b"content-length")
    if not lengths:
        return None
    if not all(LENGTHS.match(value) for value in lengths):
        raise Broken("content-length")
    numbers = {int(number) for value in lengths for number in value.split(b",")}
    if len(numbers) > 1:
        raise Broken("content-length")
    return numbers.pop()


def read_codings(fields):
    lines = values(fields, b"transfer-encoding")
    if not all(CODINGS.match(value) for value in lines):
        raise Broken("transfer-encoding")
    # Quoted parameters may hold commas.
    names = [name.lower() for value in lines for name in re.findall(rb"(?:\A|,)" + OWS + rb"(" + TOKEN + rb")", re.sub(QUOTED_STRING, b"", value))]
    if names.count(b"chunked") > 1:
        raise Broken("transfer-encoding")
    return bool(lines), names


def read_chunked(message, at):
    body = []
    while True:
        line = CHUNK_LINE.match(message, at)
        if not line:
            raise Broken("chunk")
        at, size = line.end(), int(line[1], 16)
        if size == 0:
            break
        if message[at + size:at + size + 2] != b"\r\n":
            raise Broken("chunk")
        body.append(message[at:at + size])
        at += size + 2
    trailers, at = read_fields(message, at)
    return b"".join(body), trailers, at


def read_framing(kind, fields, start):
    """Section 6.3, in its order: (framing, length)."""
    has_codings, codings = read_codings(fields)
    length = None if has_codings else read_length(fields)
    if kind != "q":
        if kind == "h" or start < 200 or start in (204, 304) or (kind == "c" and start < 300):
            return "none", 0
    if has_codings:
        if codings and codings[-1] == b"chunked":
            return "chunked", 0
        if kind == "q":
            raise Broken("transfer-encoding")
        return "close", 0
    if length is not None:
        return "length", length
    return ("none" if kind == "q" else "close"), 0


def life(kind, head):
    """Section 9.3, and what ends HTTP on the connection."""
    if head.start == b"CONNECT" or head.start == 101 or (kind == "c" and 200 <= head.start < 300):
        return "upgrade"
    options = members(head.fields, b"connection")
    if b"close" in options or (head.minor == 0 and b"keep-alive" not in options) or head.framing == "close":
        return "close"
    return "keep"


def read_start_line(kind, message, tolerated):
    if kind == "q":
        at = EMPTY_LINES.match(message).end()
        if at:
            tolerated.append("empty-lines")
        line = REQUEST_LINE.match(message, at)
        if not line:
            raise Broken("request-line")
        start, text, major, minor = line.groups()
        read_target(start, text, tolerated)
    else:
        line = STATUS_LINE.match(message)
        if not line:
            line = STATUS_LINE_WITHOUT_SPACE.match(message)
            tolerated.append("reason-space")
        if not line:
            raise Broken("status-line")
        major, minor, start, text = line.groups()
        start = int(start)
    if major != b"1":
        raise Broken("version")
    return start, text, min(int(minor), 1), line.end()


def read_head(kind, message, tolerated):
    start, text, minor, at = read_start_line(kind, message, tolerated)
    fields, at = read_fields(message, at)
    if kind == "q":
        check_host(fields, minor)
    framing, length = read_framing(kind, fields, start)
    return Head(start, text, minor, fields, framing, length, at)


def read(kind, message, tolerated):
    head = read_head(kind, message, tolerated)
    body, trailers, at = b"", [], head.end
    if head.framing == "chunked":
        body, trailers, at = read_chunked(message, at)
    elif head.framing == "length":
        if len(message) - at < head.length:
            raise Broken("body")
        body, at = message[at:at + head.length], at + head.length
    elif head.framing == "close":
        body, at = message[at:], len(message)
    return {"start": head.start.hex() if kind == "q" else str(head.start), "target": head.text.hex(), "minor": str(head.minor),
            "fields": to_hex(head.fields), "framing": head.framing, "body": body.hex(), "trailers": to_hex(trailers), "end": str(at),
            "life": life(kind, head)}


def to_hex(fields):
    return "".join(f"{name.hex()}:{value.hex()}," for name, value in fields)


def judge(kind, message):
    tolerated = []
    try:
        return read(kind, message, tolerated), tolerated
    except Broken as broken:
        return str(broken), []


def judge_head(kind, message):
    """The head, whatever follows it; None if it is none."""
    try:
        return read_head(kind, message, [])
    except Broken:
        return None
