"""The classes of agreement and disagreement, by rule, and what is known of each.

A class is named after who stands apart. Three judge a message: Weir, Node, and the grammar (rfc.py, "the RFC" below).
What is not in CLASSES fails a run; weir-laxer and weir-misreads never are. docs/http1.md has the same table, which
tests/check/check_differential.py holds against this one.
"""

import collections
import re

import rfc

ASPECTS = ("start", "target", "minor", "fields", "framing", "body", "trailers", "end", "life")

Class = collections.namedtuple("Class", "accepts section why")

CLASSES = {
    "agree/accepted": Class("all", "", "one reading"),
    "agree/refused": Class("none", "", "Weir and Node may see it at different bytes"),

    "weir-stricter/bad_method": Class("the RFC; Node in part", "2.2", "more than four empty lines before a request: no client sends them"),
    "weir-stricter/bad_status_line": Class("the RFC; Node in part", "4", "a status below 100 or above 599: nothing says how it is framed"),
    "weir-stricter/bad_target": Class("the RFC; Node in part", "3.2.2", "a scheme that Weir does not serve, a port above 65535, an IPvFuture address"),
    "weir-stricter/chunk_bad_extension": Class("the RFC; Node in part", "7.1.1", "more than 256 bytes of extensions: the section asks for a limit"),
    "weir-stricter/chunk_bad_size": Class("the RFC; Node in part", "7.1", "more than 16 digits, leading zeros: others cut them off"),
    "weir-stricter/coding_in_http10": Class("the RFC; Node in part", "6.1", "its framing is faulty, whether or not it could be read"),
    "weir-stricter/coding_unknown": Class("the RFC; Node in part", "6.1, 7", "a coding but chunked alone: 6.1 lets a server refuse, and all known obfuscations are here"),
    "weir-stricter/host_bad": Class("the RFC; Node in part", "3.2, RFC 9110 4.2.1", "an empty host, a port above 65535, an IPvFuture address: nothing is reached by them"),
    "weir-stricter/length_and_coding": Class("the RFC", "6.1, 6.3", "the classic of smuggling, which a server MAY refuse"),
    "weir-stricter/length_bad": Class("the RFC; Node in part", "6.2", "2^63 and more, even where no body follows"),
    "weir-stricter/length_repeated": Class("the RFC; Node in part", "6.3", "equal lengths, repeated or in a list: a recipient MAY refuse"),

    "node-laxer/bad_field_name": Class("Node", "5.1", "a name that is no token (Node 18)"),
    "node-laxer/bad_method": Class("Node", "3", "behind more than four empty lines, something else that Node lets pass"),
    "node-laxer/bad_status_line": Class("Node", "4", "controls in a reason phrase, a status that is none"),
    "node-laxer/bad_target": Class("Node", "3.2", "a `#`, bytes from 0x80 on, hosts that are none, forms that do not fit the method"),
    "node-laxer/bad_version": Class("Node", "2.3", "another protocol's name, none (HTTP/0.9), empty lines before a status line"),
    "node-laxer/bare_cr": Class("Node", "2.2", "a CR alone before the start line; more places in Node 18"),
    "node-laxer/bare_lf": Class("Node", "2.2", "a LF alone before the start line; more places in Node 18"),
    "node-laxer/chunk_bad_end": Class("Node", "7.1", "chunk data with something else than a CRLF behind it (Node 18)"),
    "node-laxer/chunk_bad_extension": Class("Node", "7.1.1", "an extension that is none: no name, no value, a quote left open"),
    "node-laxer/chunk_bad_size": Class("Node", "7.1", "a size that is too long, then something else that Node lets pass"),
    "node-laxer/coding_in_http10": Class("Node", "6.1", "a malformed coding in HTTP/1.0"),
    "node-laxer/coding_unknown": Class("Node", "6.1, 7", "a coding that is no token in a response, which Node reads to the connection's end"),
    "node-laxer/host_bad": Class("Node", "3.2", "a Host that is no host: Node leaves it to the application"),
    "node-laxer/host_missing": Class("Node", "3.2", "no Host: net/http looks for it, not the parser"),
    "node-laxer/host_repeated": Class("Node", "3.2", "a second Host: net/http drops it, not the parser"),
    "node-laxer/length_and_coding": Class("Node", "6.1, 6.3", "an empty Transfer-Encoding beside a length, which Node overlooks in CONNECT"),
    "node-laxer/length_bad": Class("Node", "6.2", "2^63 and more where Node reads no body, and something else that it lets pass"),
    "node-laxer/obs_fold": Class("Node", "5.2", "a folded line (Node 18)"),
    "node-laxer/space_before_colon": Class("Node", "5.1", "white space before a colon (Node 18)"),
    "node-laxer/unsupported_version": Class("Node", "2.3", "HTTP/0.9 and HTTP/2.0 in the form of HTTP/1.1"),

    "node-stricter/HPE_INVALID_METHOD": Class("the RFC, Weir", "3.1", "a method that Node has no name for; an origin may know it"),
    "node-stricter/HPE_INVALID_VERSION": Class("the RFC, Weir", "RFC 9110 2.5", "HTTP/1.2 to 1.9, which are read as 1.1"),

    "node/bodiless-status": Class("Weir and the RFC alike", "6.3", "a 204 or 304 with a length or coding, behind which Node 18 waits for a body"),
    "node/close-and-keep-alive": Class("Weir and the RFC alike", "9.3", "HTTP/1.0 with both options: close comes first, in Node keep-alive does"),
    "node/connect-body": Class("Weir and the RFC alike", "6.3, RFC 9110 9.3.6", "CONNECT with a length or coding: to Node HTTP ends with the head; Weir answers no CONNECT with a tunnel"),
    "node/extension-space": Class("the RFC, Weir", "7.1.1", "white space around `;` and `=` in chunk extensions: a recipient MUST parse it"),
    "node/framing-in-trailers": Class("the RFC, Weir", "7.1.2, RFC 9110 6.5.1", "Content-Length or Transfer-Encoding as trailers: Weir never acts upon them, Node refuses some"),
    "node/head-life": Class("Weir and the RFC alike", "6.3, 9.3", "a response to HEAD without a length: Node thinks that it ends with the connection"),
    "node/trailing-tab": Class("Weir and the RFC alike", "5.1", "a HTAB behind a value is no part of it; Node takes it for one in Connection, Content-Length and Transfer-Encoding"),
}

FRAMING_FIELDS = {b"content-length", b"transfer-encoding"}
TAB_AFTER_FRAMING = re.compile(rb"\n(?:(?:content-length|transfer-encoding|connection):[^\r\n]*\t[ \t]*\r|connection:[^\r\n]*\t[ \t]*,)", re.I)


def differing(one, other):
    """The aspects in which two readings differ. Node does not tell the framing."""
    return [name for name in ASPECTS if one[name] != other[name] and "-" not in (one[name], other[name])]


def name_cause(kind, message, weir, node):
    """The cause of a difference that is Node's alone and has a name, or None."""
    if node.why in ("HPE_INVALID_METHOD", "HPE_INVALID_VERSION"):
        return None
    if TAB_AFTER_FRAMING.search(message):
        return "trailing-tab"
    head = rfc.judge_head(kind, message)
    if head is None:
        return None
    framed = any(name.lower() in FRAMING_FIELDS for name, _ in head.fields)
    if head.start == b"CONNECT" and framed and node.aspects and node.aspects["end"] == str(head.end):
        return "connect-body"
    if kind != "q" and framed and (head.start < 200 or head.start in (204, 304)):
        return "bodiless-status"
    if kind == "h" and not framed and weir.aspects and node.aspects and differing(weir.aspects, node.aspects) == ["life"]:
        return "head-life"
    if weir.aspects and node.aspects and head.minor == 0 and differing(weir.aspects, node.aspects) == ["life"] and \
            {b"close", b"keep-alive"} <= set(rfc.members(head.fields, b"connection")):
        return "close-and-keep-alive"
    if weir.aspects and FRAMING_FIELDS & {bytes.fromhex(pair.split(":")[0]).lower() for pair in weir.aspects["trailers"].split(",")}:
        return "framing-in-trailers"
    if not weir.aspects or node.aspects:
        return None
    if node.why in ("HPE_STRICT", "HPE_INVALID_CHUNK_SIZE", "HPE_UNKNOWN") and head.framing == "chunked":
        return "extension-space"
    return None


def classify(kind, message, weir, node, oracle):
    if weir.aspects and not oracle.aspects:
        return f"weir-laxer/{oracle.why}"
    if weir.aspects and differing(weir.aspects, oracle.aspects):
        return f"weir-misreads/{'+'.join(differing(weir.aspects, oracle.aspects))}"
    if oracle.aspects and weir.why == "incomplete":
        return "weir-misreads/incomplete"
    if oracle.aspects and not weir.aspects:
        return f"weir-stricter/{weir.why}"
    if not weir.aspects and not node.aspects:
        return "agree/refused"
    if weir.aspects and node.aspects and not differing(weir.aspects, node.aspects):
        return "agree/accepted"
    cause = name_cause(kind, message, weir, node)
    if cause:
        return f"node/{cause}"
    if not weir.aspects:
        return f"node-laxer/{weir.why}"
    return f"node-reads/{'+'.join(differing(weir.aspects, node.aspects))}" if node.aspects else f"node-stricter/{node.why}"
