#!/usr/bin/python3
"""Holds Weir's HTTP/1 parser against Node's and against the grammar of RFC 9112, over generated messages.

    tests/differential/run.py --messages 20000 --seed 1     what "make check" runs
    make differential DIFFERENTIAL_MESSAGES=1000000         the long run
    tests/differential/run.py --show 1:4711                 one message and its three verdicts

Each message gets a class by rule, from who accepts it and where the readings differ. Classes that are known stand in
classes.py; one that is not fails the run, and the line that is printed for it has the seed and index to show it again.
Ends with "N passed, N failed": messages whose class is known, and others.

WEIR_VERDICT is the filter around Weir's parser (TOP_BUILDDIR/tests/differential/weir_verdict), NODE the node to ask.
"""

import argparse
import collections
import os
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import classes  # noqa: E402
import messages  # noqa: E402
import rfc  # noqa: E402

BATCH = 20000
SHOWN_OF_A_CLASS = 5


class Verdict:
    """What one of the three makes of a message: its aspects if it accepts it, otherwise why not."""

    def __init__(self, aspects, why):
        self.aspects = aspects
        self.why = why

    @classmethod
    def of_line(cls, line):
        word, *parts = line.split("\t")
        if word == "accepted" and len(parts) == len(classes.ASPECTS):
            return cls(dict(zip(classes.ASPECTS, parts)), None)
        if word == "refused" and len(parts) == 1:
            return cls(None, parts[0])
        if line == "incomplete":
            return cls(None, line)
        raise ValueError(f"not a verdict: {line!r}")

    @classmethod
    def of_rfc(cls, verdict):
        return cls(None, verdict) if isinstance(verdict, str) else cls(verdict, None)

    def __str__(self):
        if self.aspects is None:
            return self.why
        shown = []
        for name, value in self.aspects.items():
            if name == "target" or name == "body" or (name == "start" and not value.isdigit()):
                value = bytes.fromhex(value)
            elif name in ("fields", "trailers"):
                value = [tuple(bytes.fromhex(part) for part in pair.split(":")) for pair in value.split(",") if pair]
            shown.append(f"{name} {value}")
        return "accepted: " + ", ".join(shown)


def ask_filters(commands, sent):
    """One list of verdicts for each command; all run at the same time."""
    with tempfile.TemporaryFile() as batch:
        batch.write(b"".join(struct.pack("<I", len(message)) + kind.encode() + message for kind, message in sent))
        batch.flush()
        running = []
        for command in commands:
            output = tempfile.TemporaryFile("w+")
            # Each its own offset.
            with open(f"/proc/self/fd/{batch.fileno()}", "rb") as own:
                running.append((command, subprocess.Popen(command, stdin=own, stdout=output), output))
        for command, process, _ in running:
            if process.wait() != 0:
                sys.exit(f"{' '.join(command)}: exit {process.returncode}")
        answers = []
        for command, _, output in running:
            output.seek(0)
            lines = output.read().splitlines()
            output.close()
            if len(lines) != len(sent):
                sys.exit(f"{' '.join(command)}: {len(lines)} verdicts for {len(sent)} messages")
            answers.append([Verdict.of_line(line) for line in lines])
        return answers


def find_filters():
    build = os.environ.get("TOP_BUILDDIR") or os.path.join(HERE, "../..")
    weir = os.environ.get("WEIR_VERDICT") or os.path.join(build, "tests/differential/weir_verdict")
    node = os.environ.get("NODE") or "node"
    if not os.access(weir, os.X_OK):
        sys.exit(f"{weir} is not there: \"make check\" builds it")
    try:
        subprocess.run([node, "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"{node}: {error}; the test needs Node 18 or later: ./autogen.sh --deps installs it")
    return [[weir], [node, os.path.join(HERE, "node_verdict.js")]]


def show(filters, seed, index):
    kind, message = messages.generate(seed, index)
    (weir,), (node,) = ask_filters(filters, [(kind, message)])
    verdict, tolerated = rfc.judge(kind, message)
    oracle = Verdict.of_rfc(verdict)
    print(f"{kind} {message!r}\nweir: {weir}\nnode: {node}\nrfc:  {oracle}; tolerated: {tolerated}\n{classes.classify(kind, message, weir, node, oracle)}")


def compare(filters, seed, count):
    """(messages by class, accepted messages by what was tolerated, messages of no known class)."""
    counts, tolerances, unknown = collections.Counter(), collections.Counter(), 0
    for first in range(0, count, BATCH):
        sent = [messages.generate(seed, index) for index in range(first, min(first + BATCH, count))]
        for index, (weir, node) in enumerate(zip(*ask_filters(filters, sent)), first):
            kind, message = sent[index - first]
            verdict, tolerated = rfc.judge(kind, message)
            name = classes.classify(kind, message, weir, node, Verdict.of_rfc(verdict))
            counts[name] += 1
            if weir.aspects:
                tolerances.update(tolerated)
            if name not in classes.CLASSES:
                unknown += 1
                if counts[name] <= SHOWN_OF_A_CLASS:
                    print(f"{name}: run.py --show {seed}:{index}: {kind} {message[:300]!r}", flush=True)
    return counts, tolerances, unknown


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", metavar="SEED:INDEX")
    arguments = parser.parse_args()
    filters = find_filters()
    if arguments.show:
        show(filters, *map(int, arguments.show.split(":")))
        return 0
    counts, tolerances, unknown = compare(filters, arguments.seed, arguments.messages)
    for name, number in sorted(counts.items()):
        print(f"{number:9} {name}")
    for name, number in sorted(tolerances.items()):
        print(f"{number:9} accepted by Weir, tolerated: {name}")
    laxer = sum(number for name, number in counts.items() if name.startswith(("weir-laxer/", "weir-misreads/")))
    print(f"seed {arguments.seed}, {arguments.messages} messages; accepted or read otherwise than RFC 9112 lets it: {laxer}")
    if unknown:
        print("classes that are not known: docs/http1.md says what their names mean, and where a new one is to be entered")
    print(f"{arguments.messages - unknown} passed, {unknown} failed")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
