#!/usr/bin/python3
"""Holds docs/STATES.md against the two state machines of proxy/.

Read from the sources: the states and their texts (the X-macros of proxy/proxy.h), the function of
each (the table states[]), and what these functions and those they return the result of can return.
That makes the tables of the document. Refused: a state without a function, one that nothing leads
to, a return that cannot be followed. The rest of the document is written by hand; a section
between "<!-- by hand: NAME -->" and "<!-- end -->" must name every phase of the enum that it is
about. First each of these mistakes must be found when it is made on purpose. With --write the
tables are put right.
"""

import os
import re
import sys

DOCUMENT = "docs/STATES.md"
TABLES = "proxy/proxy.h"
MACHINES = {
    "request": ("proxy/request.c", "REQUEST"),
    "fetch": ("proxy/fetch.c", "FETCH"),
}
# What else belongs to a machine's source.
PARTS = {"proxy/fetch.c": ["proxy/fetch_body.c", "proxy/fetch.h"]}
# Sections by hand: where the enum is, what its text begins with, what its names begin with.
PHASES = {
    "session": ("proxy/h1.c", "enum phase {", ""),
    "lease": ("pool/pool.h", "enum { POOL_LEASE_", "POOL_LEASE_"),
    "fill": ("cache/cache.h", "enum cache_fill_phase {", "CACHE_FILL_"),
    "reader": ("cache/cache.h", "enum { CACHE_READER_", "CACHE_READER_"),
}
ENDS = ("WAIT", "DONE")  # what a state may return beside a state


class Trouble(Exception):
    """What is wrong with the sources or the document, in one line."""


def strip(text):
    """Without comments and the insides of strings."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\''
    return re.sub(pattern, lambda m: '""' if m.group()[0] == '"' else " ", text, flags=re.S)


def find_functions(text):
    """{name: (head, body)} of the functions of a source without comments."""
    found = {}
    for match in re.finditer(r"^\{\n(.*?)^\}", text, re.M | re.S):
        head = re.split(r"[;}]\s*\n|\n\s*\n", text[:match.start()])[-1].strip()
        name = re.search(r"(\w+)\s*\(", head)
        if name:
            found[name.group(1)] = (head, match.group(1))
    return found


def read_states(text, prefix):
    """[(symbol, text)] of the X-macro."""
    match = re.search(rf"#define {prefix}_STATES\(X\)((?:.*\\\n)*.*\n)", text)
    rows = re.findall(r'X\((\w+),\s*"([^"]*)"\)', match.group(1)) if match else []
    if not rows:
        raise Trouble(f"{TABLES}: no table {prefix}_STATES")
    return rows


class Machine:
    """One machine, as its source has it."""

    def __init__(self, sources, path, prefix):
        self.path, self.prefix = path, prefix
        self.rows = read_states(sources[TABLES], prefix)
        self.order = [symbol for symbol, _ in self.rows] + list(ENDS)
        text = strip(sources[path])
        self.functions = find_functions(text)
        table = re.search(r"\bstates\[\]\s*=\s*\{(.*?)\}", text, re.S)
        self.table = dict(re.findall(rf"\[{prefix}_(\w+)\]\s*=\s*(\w+)",
                                     table.group(1) if table else ""))
        result = rf"\benum {prefix.lower()}_state\b"
        self.returning = {name for name, (head, _) in self.functions.items()
                          if re.search(rf"{result}(?=[^(]*\b{name}\b)", head)}

    def symbols(self, where, expression):
        """The states that an expression can be, through the functions that it calls."""
        found = set(re.findall(rf"\b{self.prefix}_(\w+)\b", expression))
        for symbol in found - set(self.order):
            raise Trouble(f"{self.path}: {where}(): {self.prefix}_{symbol} is no state")
        called = [name for name in re.findall(r"(?<![>.\w])(\w+)\s*\(", expression)
                  if name in self.returning]
        return found, called

    def outcomes(self, name, seen=None):
        """What a function can return."""
        seen = seen if seen is not None else set()
        seen.add(name)
        body = self.functions[name][1]
        # Behind an assert that always fails nothing is returned.
        body = re.sub(r'weir_assert\(!""\);\s*return\b[^;]*;', "", body)
        found = set()
        for expression in re.findall(r"\breturn\b([^;]*);", body):
            symbols, called = self.symbols(name, expression)
            if not symbols and not called:
                raise Trouble(f"{self.path}: {name}() returns{expression}, "
                              "which cannot be followed; return a state by its name")
            found |= symbols
            for other in called:
                if other not in seen:
                    found |= self.outcomes(other, seen)
        return found

    def entries(self):
        """{function: states} of those that set the state from outside of the state functions."""
        found = {}
        for name, (_, body) in self.functions.items():
            given = re.findall(r"->state\s*=\s*([^;=][^;]*);", body)
            given += re.findall(r"\bdivert\(\w+,\s*([^;]*)\);", body)
            states = set()
            for expression in given:
                symbols, called = self.symbols(name, expression)
                states |= symbols.union(*(self.outcomes(other) for other in called))
            if states:
                found[name] = states
        return found

    def sort(self, symbols):
        return sorted(symbols, key=self.order.index)

    def make_table(self):
        """The Markdown of the machine; Trouble when it does not hold together."""
        lines = ["| state | awaits or does | function | returns |", "|---|---|---|---|"]
        reached = set()
        for symbol, text in self.rows:
            function = self.table.get(symbol)
            if function not in self.returning:
                raise Trouble(f"{self.path}: states[] has no function for {self.prefix}_{symbol}")
            outcomes = self.outcomes(function)
            reached |= outcomes - {symbol}
            lines.append(f"| {symbol} | {text} | `{function}()` | "
                         f"{', '.join(self.sort(outcomes))} |")
        for symbol in set(self.table) - set(self.order):
            raise Trouble(f"{self.path}: states[] has {symbol}, which is no state")
        lines += ["", "Set from outside of the state functions:", "",
                  "| by | state |", "|---|---|"]
        for name, states in self.entries().items():
            reached |= states
            lines.append(f"| `{name}()` | {', '.join(self.sort(states))} |")
        for symbol, _ in self.rows:
            if symbol not in reached:
                raise Trouble(f"{self.path}: nothing leads to {self.prefix}_{symbol}")
        return "\n".join(lines)


def make_document(sources, document):
    """The document with its tables as the sources have them."""
    for name, (path, prefix) in MACHINES.items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        if document.count(begin) != 1 or document.count(end) != 1:
            raise Trouble(f"{DOCUMENT}: needs {begin} and {end} once each")
        before, rest = document.split(begin)
        after = rest.split(end)[1]
        table = Machine(sources, path, prefix).make_table()
        document = f"{before}{begin}\n{table}\n{end}{after}"
    return document


def check_phases(sources, document):
    """The sections by hand name every phase."""
    for name, (path, begin, prefix) in PHASES.items():
        text = re.sub(r"\s+", " ", strip(sources[path]))
        at = text.find(begin)
        if at < 0:
            raise Trouble(f"{path}: no {begin}")
        phases = re.findall(r"\w+", text[text.index("{", at):text.index("}", at)])
        section = re.search(rf"<!-- by hand: {name} -->(.*?)<!-- end -->", document, re.S)
        if not section:
            raise Trouble(f"{DOCUMENT}: no section <!-- by hand: {name} --> ... <!-- end -->")
        for phase in phases:
            if not re.search(rf"\b{phase.removeprefix(prefix)}\b", section.group(1)):
                raise Trouble(f"{DOCUMENT}: {name}: {path} has {phase}, which is not named")


def complain(sources, document):
    """What is wrong, or None."""
    try:
        check_phases(sources, document)
        if make_document(sources, document) != document:
            return (f"{DOCUMENT}: its tables are not those of the sources; "
                    "tests/check/check_states.py --write puts them right")
    except Trouble as trouble:
        return str(trouble)
    return None


# ---- the self-test ----

def make_sample():
    """Two small machines that are in order, and their document."""
    source = """
static enum {low}_state finish(struct {low} *r)
{{
    /* {up}_ROUTE; */
    return {up}_DONE;
}}

static enum {low}_state help(struct {low} *r,
                             int more)
{{
    if (more)
        return {up}_FINISH;
    weir_assert(!"never");
    return {up}_ROUTE;
}}

static enum {low}_state route(struct {low} *r)
{{
    return r->ready ? help(r, r->ops->send(r)) : {up}_WAIT;
}}

static state_function *const states[] = {{
    [{up}_ROUTE] = route, [{up}_FINISH] = finish,
}};

void start(struct {low} *r)
{{
    r->state = {up}_ROUTE;
    r->state = next;
}}
"""
    sources = {TABLES: ""}
    for path, prefix in MACHINES.values():
        sources[path] = source.format(low=prefix.lower(), up=prefix)
        sources[TABLES] += (f'#define {prefix}_STATES(X) \\\n    X(ROUTE, "find it") \\\n'
                            '    X(FINISH, "end it")\n')
    document = ""
    for name, (path, begin, prefix) in PHASES.items():
        first = begin if begin.endswith("_") else f"{begin} {prefix}"
        sources[path] = sources.get(path, "") + f"\n{first}ON, {prefix}OFF }};\n"
        document += f"<!-- by hand: {name} -->\nON, OFF\n<!-- end -->\n"
    for name in MACHINES:
        document += f"<!-- generated: {name} -->\n<!-- end: {name} -->\n"
    return sources, make_document(sources, document)


def run_self_test():
    """What must be found: (file, text there, what it becomes, words of the complaint)."""
    request, fetch = MACHINES["request"][0], MACHINES["fetch"][0]
    cases = [
        (request, "? help(r, r->ops->send(r)) : REQUEST_WAIT", "? help(r, 1) : REQUEST_DONE",
         "not those of the sources"),
        (fetch, "return FETCH_FINISH", "return FETCH_DONE", "nothing leads to FETCH_FINISH"),
        (request, "[REQUEST_FINISH] = finish", "", "no function for REQUEST_FINISH"),
        (request, "return REQUEST_DONE", "return r->next", "cannot be followed"),
        (fetch, "return FETCH_DONE", "return FETCH_GONE", "is no state"),
        (fetch, "r->state = FETCH_ROUTE", "", "nothing leads to FETCH_ROUTE"),
        (TABLES, "find it", "find one", "not those of the sources"),
        (TABLES, "REQUEST_STATES", "OTHER_STATES", "no table REQUEST_STATES"),
        ("pool/pool.h", "POOL_LEASE_OFF", "POOL_LEASE_GONE", "POOL_LEASE_GONE, which is not named"),
        (DOCUMENT, "<!-- by hand: fill -->", "", "no section"),
        (DOCUMENT, "<!-- end: fetch -->", "", "once each"),
        (DOCUMENT, "FINISH, WAIT", "ROUTE, FINISH, WAIT", "not those of the sources"),
    ]
    sources, document = make_sample()
    failures = []
    good = complain(sources, document)
    if good or "| ROUTE | find it | `route()` | FINISH, WAIT |" not in document:
        failures.append(f"self-test: the sample is not read as it is: {good}\n{document}")
    for path, old, new, words in cases:
        changed, text = dict(sources), document
        if path == DOCUMENT:
            text = document.replace(old, new)
        else:
            changed[path] = sources[path].replace(old, new)
        found = complain(changed, text)
        if not found or words not in found:
            failures.append(f"self-test: {path}: {old!r} became {new!r}: {found}")
    return 1 + len(cases), failures


def main():
    top = os.environ.get("TOP_SRCDIR") or os.path.join(os.path.dirname(__file__), "../..")
    tested, failures = run_self_test()
    paths = {TABLES, DOCUMENT} | {path for path, *_ in [*MACHINES.values(), *PHASES.values()]}
    sources = {}
    for path in sorted(paths):
        with open(os.path.join(top, path), encoding="utf-8") as file:
            sources[path] = file.read()
        for part in PARTS.get(path, []):
            with open(os.path.join(top, part), encoding="utf-8") as file:
                sources[path] += file.read()
    document = sources.pop(DOCUMENT)
    if "--write" in sys.argv and not failures:
        try:
            document = make_document(sources, document)
        except Trouble as trouble:
            sys.exit(str(trouble))
        with open(os.path.join(top, DOCUMENT), "w", encoding="utf-8") as file:
            file.write(document)
    wrong = complain(sources, document)
    for line in failures + ([wrong] if wrong else []):
        print(line)
    failed = len(failures) + (1 if wrong else 0)
    print(f"{tested + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
