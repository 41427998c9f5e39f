"""What was really done wrong in a run, by whom and when, and whether that explains an error that somebody has seen.

An error is explained by the most exact thing that is known of it: the serial of the origin's answer that it came with; else what
the origin did with this very request; else, for a request that never reached the origin (it waited for another's answer, or met a
connection that had just been spoilt), a fault at the same key, or on some connection, at that time. Pure: time is an argument.
"""

import array
import collections
import dataclasses
import re

from origin import HARMLESS

KEEP_S = 120  # what a client or the origin did is no explanation later than this
SLACK_S = 2  # from a fault to what it causes, on a busy machine
LATER = float("inf")
TIMEOUT_S = 1  # of run.py's config
PAUSE_S = 0.2  # of the machine, and then what was not late becomes it

SPOILS = ("excess", "unsolicited", "idle close", "early")  # the connection, for whoever is given it next
BREAKS = ("close", "reset", "garbage", "early")
CUTS = BREAKS + ("stall", "endless")
HOLDS = ("reads slowly", "stalls", "endless", "leaves")  # memory

# Status, detail of Weir's own answers → what the origin may have done (or, of CLIENT, this client).
ORIGIN = {
    (502, "origin-closed"): BREAKS + SPOILS,
    (502, "origin-malformed"): ("garbage",) + SPOILS,
    (502, "origin-cut"): CUTS + SPOILS,
    (504, "first-byte-timeout"): ("stall", "garbage"),
    (504, "coalesce-timeout"): ("stall", "garbage"),
    (504, "between-bytes-timeout"): ("stall", "garbage"),
}
CLIENT = {
    408: ("stalls", "rubbish"),
    400: ("rubbish",), 405: ("rubbish",), 411: ("rubbish",), 413: ("rubbish",), 414: ("rubbish",), 417: ("rubbish",),
    431: ("rubbish",), 501: ("rubbish",), 505: ("rubbish",),
    0: ("leaves", "stalls", "rubbish"), 499: ("leaves", "stalls", "rubbish"),
}


# Lines of the error log about one request: its id, what went wrong, what followed.
ABOUT = re.compile(r" (?:asking .*?|waiting for another .*?) for request (\S+?)(?:, trace [0-9a-f]{32})?(?:, \"[^\"]*\")?: "
                   r"(.*?)(?: \(.*\))?; (?:answered (?:\d+|with what is stored)|the response is cut|"
                   r"what is stored is not refreshed)$")
DETAILS = {
    "the origin closed the connection without an answer": "origin-closed",
    "the origin's answer is not valid HTTP": "origin-malformed",
    "the origin's answer ended early": "origin-cut",
    "the origin did not answer in time": "first-byte-timeout",
    "the origin stopped sending": "between-bytes-timeout",
    "none came in time": "coalesce-timeout",
    "out of memory": "overloaded",
}
STATUS = {detail: status for status, detail in ORIGIN} | {"overloaded": 503}
HELD_BACK = re.compile(r"(?:^[^ ]+ [a-z]+ .*: |; )(\d+) such lines were held back before$")


@dataclasses.dataclass
class Asked:
    """A request of a client, and what that client does wrong."""
    key: int
    begun: float
    fault: str | None
    only_if_cached: bool
    has_range: bool = False
    status: int | None = None  # that its client was given
    seen: bool = False  # by the origin


@dataclasses.dataclass
class Exchange:
    """What the origin did with one request; `ended` is LATER while it lasts."""
    key: int | None
    fault: str
    status: int
    begun: float
    ended: float = LATER

    def overlaps(self, begun, at):
        return self.begun <= at and self.ended >= begun - SLACK_S


@dataclasses.dataclass
class Trouble:
    """An error that was seen: what ("status", "cut", "unanswered"), of which request, when; where it is known, the serial of the
    origin's answer, and the detail that Weir gave."""
    what: str
    identity: str | None
    at: float
    status: int = 0
    detail: str | None = None
    serial: int | None = None
    stale: bool = False  # Weir says that it gave a stale response
    more: str = ""  # for whoever reads the report

    def __str__(self):
        known = {"status": self.status, "detail": self.detail, "serial": self.serial}
        return ", ".join([self.what, f"request {self.identity}", *(f"{name} {value}" for name, value in known.items() if value),
                          *([self.more] if self.more else [])])


class Ledger:
    def __init__(self, slow=1):
        self.timeout_s = TIMEOUT_S * slow
        self.pauses = collections.deque()  # (begun, ended): clients and origin, or Weir, did not run
        self.longest_pause_s = 0
        self.asked = {}  # by identity; old ones are forgotten
        self.exchanges = collections.defaultdict(list)  # by identity
        self.by_key = collections.defaultdict(collections.deque)  # with a fault
        self.spoilt = collections.deque()  # exchanges that spoil a connection
        self.answered = collections.defaultdict(set)  # by key, the statuses of errors
        self.status_of = array.array("H")  # by serial, for good
        self.fault_of = []  # by serial, one of a few shared names
        self.unknown = collections.defaultdict(collections.deque)  # by fault, when: the log may not know whose request it was
        self.purged = collections.Counter()  # URLs, asked for and not found in the error log yet
        self.garbage_at = self.held_at = self.slow_at = -LATER
        self.ending = LATER  # from then on clients leave

    # What happens ----

    def ask(self, identity, key, fault, only_if_cached, now, has_range=False):
        self.asked[identity] = Asked(key, now, fault, only_if_cached, has_range)
        if fault in ("rubbish", "stalls"):
            self.unknown[fault].append(now)
        if fault in HOLDS:
            self.held_at = now
        if fault == "reads slowly":
            self.slow_at = now

    def begin(self, identity, key, fault, status, serial, now):
        """The origin begins to answer; the exchange, for end()."""
        exchange = Exchange(key, fault, status, now)
        if serial is not None:
            missing = serial + 1 - len(self.status_of)
            self.status_of.extend([0] * missing)
            self.fault_of.extend([None] * missing)
            self.status_of[serial], self.fault_of[serial] = status, fault
        if identity is not None:
            self.exchanges[identity].append(exchange)
        if identity in self.asked:
            self.asked[identity].seen = True
        if status >= 400:
            self.answered[key].add(status)
        if fault not in HARMLESS:
            self.by_key[key].append(exchange)
        if fault in SPOILS:
            self.spoilt.append(exchange)
        if fault in SPOILS + ("garbage",):
            self.garbage_at = now
        if fault in HOLDS:
            self.held_at = now
        return exchange

    @staticmethod
    def end(exchange, now):
        exchange.ended = now

    def tick(self, begun, now):
        """Clients and origin, or Weir, had a turn at both times, and nothing to do between them."""
        if now - begun > PAUSE_S:
            self.pauses.append((begun, now))
            self.longest_pause_s = max(self.longest_pause_s, now - begun)

    def forget(self, now):
        """What is too long ago to matter."""
        old = now - KEEP_S
        # Both are in the order of time.
        for identity in list(self._older(self.asked, old)):
            del self.asked[identity]
            self.exchanges.pop(identity, None)
        while self.pauses and self.pauses[0][1] < old:
            self.pauses.popleft()
        for times in self.unknown.values():
            while times and times[0] < old:
                times.popleft()
        for queue in [*self.by_key.values(), self.spoilt]:
            while queue and queue[0].ended < old:
                queue.popleft()

    @staticmethod
    def _older(asked, old):
        for identity, one in asked.items():
            if one.begun >= old:
                return
            yield identity

    # Whether that explains it ----

    def explain(self, trouble):
        """Why, in a few words for a table; None when nothing that was done explains it."""
        if trouble.identity not in self.asked:
            return self._explain_unknown(trouble)
        asked = self.asked[trouble.identity]
        if trouble.what == "status":
            return self._explain_status(trouble, asked)
        if asked.fault in ("reads slowly", "stalls", "leaves", "rubbish"):
            return f"a client with the fault: {asked.fault}"
        if trouble.what == "unanswered":
            return self._explain_by_origin(trouble, asked, BREAKS) if asked.fault == "uploads slowly" else None
        if trouble.serial is None or trouble.serial >= len(self.fault_of):
            return None
        fault = self.fault_of[trouble.serial]
        if fault in CUTS:
            return f"the origin's answer: {fault}"
        return self._explain_by_pause(trouble, asked) if fault in HARMLESS else None

    def _explain_unknown(self, trouble):
        """A line of the log about a request that did not come whole: each such request may have made one."""
        for fault in ("stalls", "rubbish") if trouble.status == 408 else ("rubbish",):
            if trouble.what == "status" and self.unknown[fault]:
                self.unknown[fault].popleft()
                return f"a client with the fault: {fault}"
        return None

    def _explain_status(self, trouble, asked):
        if trouble.serial is not None:
            known = trouble.serial < len(self.status_of) and self.status_of[trouble.serial] == trouble.status
            return f"the origin answered {trouble.status}" if known else None
        if asked.fault in CLIENT.get(trouble.status, ()):
            return f"a client with the fault: {asked.fault}"
        if asked.fault == "rubbish" and trouble.status < 500:
            return "a client with the fault: rubbish"  # for another target, or with other conditions
        if trouble.status == 504 and asked.only_if_cached and trouble.detail in (None, "only-if-cached"):
            return "a client that asks for only-if-cached"
        if trouble.status == 416 and asked.has_range:
            return "a client that asks for bytes that are not there"
        if trouble.status in (0, 499) and trouble.at >= self.ending:
            return "the end of the run"
        if (trouble.status, trouble.detail) == (503, "overloaded") or (trouble.status == 503 and trouble.detail is None):
            return "memory held by slow clients" if trouble.at - self.held_at < 30 else None
        if trouble.detail is None and trouble.status in self._answered(trouble, asked):
            return f"the origin answered {trouble.status}"
        late = trouble.status == 408 or (trouble.status == 504 and (trouble.detail or "timeout").endswith("timeout"))
        if late and self._took_too_long(trouble):
            return "the origin took too long without being told to"
        faults = [fault for (status, detail), row in ORIGIN.items() for fault in row
                  if status == trouble.status and trouble.detail in (None, detail)]
        return self._explain_by_origin(trouble, asked, faults) or (self._explain_by_pause(trouble, asked) if late else None)

    def _took_too_long(self, trouble):
        return any(min(exchange.ended, trouble.at) - exchange.begun > 0.9 * self.timeout_s and exchange.fault in HARMLESS
                   for exchange in self.exchanges.get(trouble.identity, ()))

    def _explain_by_pause(self, trouble, asked):
        if any(begun <= trouble.at and ended >= asked.begun for begun, ended in self.pauses):
            return "the machine paused"
        return None

    def _answered(self, trouble, asked):
        """The statuses of this request's exchanges; where its answer was another's or a stored one, those of its key: a
        refresh bears the id of the request that was given the stale one."""
        own = {exchange.status for exchange in self.exchanges.get(trouble.identity, ())}
        return own | self.answered.get(asked.key, set()) if not own or 304 in own or trouble.stale else own

    def _explain_by_origin(self, trouble, asked, faults):
        own = self.exchanges.get(trouble.identity, ())
        if any(exchange.fault in faults for exchange in own):
            return "the origin: " + next(exchange.fault for exchange in own if exchange.fault in faults)
        if own:
            return None
        for exchange in self.by_key.get(asked.key, ()):
            if exchange.fault in faults and exchange.overlaps(asked.begun, trouble.at):
                return f"the origin, asked by another for the same key: {exchange.fault}"
        for exchange in self.spoilt:
            if exchange.fault in faults and exchange.overlaps(asked.begun, trouble.at):
                return f"the origin, on the connection used before: {exchange.fault}"
        return None

    @staticmethod
    def request_of_line(line):
        """The id of the request that a line of the error log is about, and its trouble; or None."""
        about = ABOUT.search(HELD_BACK.sub("", line))
        if not about or about[2] not in DETAILS:
            return None
        detail = DETAILS[about[2]]
        return about[1], STATUS[detail], detail

    def explain_line(self, line, now):
        """The same of a line of the error log that is about no single request."""
        def lately(at):
            return now - at < 30
        if HELD_BACK.fullmatch(line):
            return "lines held back"  # what they were about has been seen elsewhere, answer by answer
        line = HELD_BACK.sub("", line)
        if any(text in line for text in (" listening on ", " admin on ", " draining: ", " stopped")):
            return "start and stop"
        if " purged " in line:
            what = line.rpartition(": ")[2]
            self.purged[what] -= 1
            return "a purge" if self.purged[what] >= 0 else None
        if "the connection is reset" in line and " sending " in line:
            return "clients that read slowly" if lately(self.slow_at) else None
        if " out of memory " in line:
            return "memory held by slow clients" if lately(self.held_at) else None
        if "cache.memory" in line and ("are held" in line or "is held by responses" in line or "suffices again" in line):
            return "memory held by slow clients" if lately(self.held_at) else None
        return None
