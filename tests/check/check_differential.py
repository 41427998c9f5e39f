#!/usr/bin/python3
"""Holds Weir's HTTP/1 parser against Node's and the RFC's grammar, and docs/http1.md against the classes of difference.

First the judges themselves are tried, on messages whose verdicts are known and on verdicts that are wrong on purpose.
Then 20,000 messages: no class may be new, and none in which Weir is the laxer one. tests/differential/run.py has more.
"""

import os
import re
import subprocess
import sys

TOP = os.environ.get("TOP_SRCDIR") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
HERE = os.path.join(TOP, "tests/differential")
sys.path.insert(0, HERE)

import classes  # noqa: E402
import rfc  # noqa: E402
import run  # noqa: E402

HEAD = b"GET /a HTTP/1.1\r\nHost: h\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"

# (kind, message, class): what must come out whatever else changes.
KNOWN = [
    ("q", HEAD + b"\r\n", "agree/accepted"),
    ("q", HEAD + b"Content-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n", "agree/accepted"),
    ("q", CHUNKED + b"5;a=b\r\nhello\r\n0\r\nT: u\r\n\r\nx", "agree/accepted"),
    ("r", OK + b"\r\nto the end", "agree/accepted"),
    ("h", OK + b"Content-Length: 5\r\n\r\n", "agree/accepted"),
    ("c", OK + b"\r\n\0tunnel", "agree/accepted"),
    ("q", HEAD, "agree/refused"),
    ("q", HEAD + b"A : b\r\n\r\n", "agree/refused"),
    ("q", HEAD + b"Content-Length: +5\r\n\r\nhello", "agree/refused"),
    ("q", HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "weir-stricter/length_and_coding"),
    ("q", CHUNKED + b"5;a=\r\nhello\r\n0\r\n\r\n", "node-laxer/chunk_bad_extension"),
    ("q", b"GET /a HTTP/1.1\r\n\r\n", "node-laxer/host_missing"),
    ("q", b"SPAM /a HTTP/1.1\r\nHost: h\r\n\r\n", "node-stricter/HPE_INVALID_METHOD"),
    ("q", b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "node/connect-body"),
]

# (what is changed in Weir's verdict, class) for the second message above.
WRONG = [
    ({"end": "1"}, "weir-misreads/end"),
    ({"body": "", "life": "close"}, "weir-misreads/body+life"),
    ({"framing": "none"}, "weir-misreads/framing"),
    (None, "weir-misreads/incomplete"),
]


def try_judges(filters):
    """What the judges and the naming of classes get wrong."""
    wrong = []
    sent = [(kind, message) for kind, message, _ in KNOWN]
    weirs, nodes = run.ask_filters(filters, sent)
    oracles = [run.Verdict.of_rfc(rfc.judge(*one)[0]) for one in sent]
    for (kind, message, expected), weir, node, oracle in zip(KNOWN, weirs, nodes, oracles):
        name = classes.classify(kind, message, weir, node, oracle)
        if name != expected:
            wrong.append(f"{kind} {message!r}: {name} instead of {expected}")
    for change, expected in WRONG:
        weir = run.Verdict(None, "incomplete") if change is None else run.Verdict(weirs[1].aspects | change, None)
        name = classes.classify(*sent[1], weir, nodes[1], oracles[1])
        if name != expected or name in classes.CLASSES:
            wrong.append(f"Weir's verdict changed by {change}: {name} instead of {expected}")
    for (kind, message), oracle in zip(sent, oracles):
        # A Weir that takes everything.
        name = classes.classify(kind, message, weirs[0], weirs[0], oracle)
        if oracle.aspects is None and name in classes.CLASSES:
            wrong.append(f"{kind} {message!r}: accepted, this would be {name}")
    return wrong


def read_tables(text):
    section = text.split("\n## Beside Node's parser", 1)[-1].split("\n## ", 1)[0]
    return re.findall(r"^\| (`.*) \|$", section, re.M)


def compare_docs(text):
    there = set(read_tables(text))
    wanted = {f"`{name}` | {one.accepts} | {one.section} | {one.why}" for name, one in classes.CLASSES.items()}
    wanted |= {f"`{name}` | {section} | {why}" for name, (section, why) in rfc.TOLERATED.items()}
    return ([f"docs/http1.md: missing: | {row} |" for row in sorted(wanted - there)] +
            [f"docs/http1.md: in no table of tests/differential: | {row} |" for row in sorted(there - wanted)])


def check_docs():
    with open(os.path.join(TOP, "docs/http1.md"), encoding="utf-8") as file:
        text = file.read()
    wrong = compare_docs(text)
    if not compare_docs(text.replace("| `agree/refused`", "| `agree/refuse`", 1)):
        wrong.append("self-test: a class that is written otherwise in docs/http1.md was not found")
    return wrong


def main():
    filters = run.find_filters()
    failed = 0
    for wrong in (try_judges(filters), check_docs()):
        failed += bool(wrong)
        for line in wrong:
            print(line)
    result = subprocess.run([sys.executable, os.path.join(HERE, "run.py"), "--messages", "20000", "--seed", "1"], check=False)
    failed += result.returncode != 0
    print(f"{3 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
