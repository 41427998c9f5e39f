#!/usr/bin/python3
"""A soak: the load and the faults of run.py for as long as wanted, and whether anything of it is left behind or unexplained.

    make soak                     # ten minutes; SOAK_SECONDS=60 or SOAK_ARGUMENTS="--seed 1" change it
    tests/faults/soak.py [--weir PATH] [--seconds N] [--seed N] [--clients 80] [--keep FOLDER]

Beside what run.py checks: resident memory is flat once the cache is full; every gauge goes back to zero; and every error (a
status of 400 and above in an answer or in the access log, a broken response, a line of the error log) is matched with a fault
that the origin or a client was told to make. Heap profiles from after the warm-up and from the end are compared where Weir has
them. The last line is the verdict; exit status 0 or 1, or 2 for wrong arguments. A run below half a minute and a sanitizer's build
have no slope of memory: the verdict says so.
"""

import argparse
import asyncio
import collections
import contextlib
import ctypes
import fcntl
import glob
import json
import os
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import run
import slope
import weirtest  # run has put its folder on the path
from clients import Clients, identity_of
from ledger import LATER, Ledger, Trouble
from origin import Origin

SECONDS = 600
WARM_UP = 0.25  # of the time
UNKNOWN_S = 60  # then a line of the error log has no request
JUDGED_AFTER_S = 3  # by then a log line's client has been answered, too
PIPE_BYTES = 1 << 20
SHOWN_MOST = 8  # of each kind
PROFILE_LINES = 15
SERIAL = re.compile(rb"\r\nX-Serial: (\d+)\r\n")
LOGGED_IDS = re.compile(rb'"request_id":"([^"]*)".*"user_agent":"([^"]*)"')
IDS_MOST = 200_000
LOGGED_STATUS = re.compile(rb'"status":(\d+)')


class SoakOrigin(Origin):
    ledger = None

    @contextlib.contextmanager
    def on_exchange(self, request, fault, head):
        serial = SERIAL.search(head)
        exchange = self.ledger.begin(identity_of(request.field("User-Agent")), self._key(request), fault, int(head[9:12]),
                                     int(serial[1]) if serial else None, time.monotonic())
        try:
            yield
        finally:
            self.ledger.end(exchange, time.monotonic())


class SoakClients(Clients):
    ledger = None
    judge = None  # called with a Trouble

    def on_ask(self, ask, fault):
        self.ledger.ask(ask.identity, ask.key, fault, b"only-if-cached" in ask.data, time.monotonic(), bool(ask.ranges))

    def on_head(self, ask, response):
        asked = self.ledger.asked.get(ask.identity)
        if asked:
            asked.status = response.status
        if response.status >= 400:
            self.judge(self._trouble("status", ask, response))

    def on_broken(self, ask, response, how):
        trouble = self._trouble("unanswered" if response is None else "cut", ask, response)
        trouble.more = f"{how}: {ask}"
        self.judge(trouble)

    @staticmethod
    def _trouble(what, ask, response):
        trouble = Trouble(what, ask.identity, time.monotonic())
        if response is not None:
            serial = response.field("X-Serial")
            trouble.status = response.status
            trouble.serial = int(serial) if serial else None
            trouble.detail = None if serial else str(response.cache_status().get("detail", "none")).strip('"')
        return trouble


class Soak(run.Run):
    look_s = 1
    purge_s = 4

    def __init__(self, arguments, slow, folder, sanitized):
        super().__init__(arguments, slow)
        self.folder = folder
        self.sanitized = sanitized
        self.ledger = Ledger(slow)
        self.waiting = collections.deque()  # troubles, to be judged some time later
        self.lines_waiting = collections.deque()  # of the error log: (when, request id, status, detail, line)
        self.identities = {}  # by request id, of the access log's last lines
        self.explained = collections.Counter()
        self.unexplained = []  # (what, text)
        self.samples = []  # (seconds, KiB resident) after the warm-up
        self.started = time.monotonic()
        self.lines = 0  # of the access log
        self.line_part = b""
        self.error_log_read = 0
        self.profiles = {}  # "start", "end" → path, or why there is none
        self.log_path = os.path.join(folder, "access.fifo")
        os.mkfifo(self.log_path)
        # Read and write: neither side has to wait for the other.
        self.log = os.open(self.log_path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self.log, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def config(self, origin):
        """Small, so that it is full soon and memory is reused all the time; but nobody is refused for want of a connection."""
        config = super().config(origin)
        config["cache"] = {"memory": "8MiB", "max_object": "1MiB"}
        config["upstreams"]["up"]["pool"] |= {"queue": 10000, "queue_timeout": f"{60 * self.slow}s"}
        config["access_log"]["path"] = self.log_path
        return config

    def make_origin(self):
        origin = SoakOrigin(self.content, self.seed, self.fail)
        origin.ledger = self.ledger
        return origin

    def make_clients(self, address, injected):
        clients = SoakClients(self.content, address, self.seed, self.fail, self.slow, injected)
        clients.ledger, clients.judge = self.ledger, self.waiting.append
        return clients

    # While it runs ----

    async def load(self, weir, origin):
        asyncio.get_running_loop().add_reader(self.log, self.read_log)
        self.started = time.monotonic()
        feeling = [asyncio.create_task(self.feel_pauses()), asyncio.create_task(self.feel_pauses_of(weir))]
        try:
            return await super().load(weir, origin)
        finally:
            for task in feeling:
                task.cancel()

    async def feel_pauses(self):
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.01)
            self.ledger.tick(begun, time.monotonic())

    async def feel_pauses_of(self, weir):
        """The machine may keep Weir alone from running: not even its admin port answers then, and it is not Weir's doing."""
        while self.ledger.ending == LATER:
            begun, kept_s = time.monotonic(), kept_waiting_s(weir)
            await self.admin(weir, "GET", "/healthz")
            now = time.monotonic()
            if kept_waiting_s(weir) - kept_s > (now - begun) / 2:
                self.ledger.tick(begun, now)
            await asyncio.sleep(0.05)

    async def watch(self, weir, tasks, seconds, injected):
        await super().watch(weir, tasks, seconds, injected)
        if not self.failure:
            self.profiles["end"] = await asyncio.to_thread(self.fetch_profile, weir, "end")
        self.ledger.ending = time.monotonic()

    async def look(self, weir, stats):
        now = time.monotonic()
        if now - self.started >= self.seconds * WARM_UP:
            if "start" not in self.profiles:
                self.profiles["start"] = await asyncio.to_thread(self.fetch_profile, weir, "start")
            self.samples.append((now - self.started, resident_kib(weir.process.pid)))
        self.read_error_log(weir)
        self.judge(now - JUDGED_AFTER_S)
        self.judge_lines(now)
        self.ledger.forget(now)
        if round(now - self.started) % 60 == 0:
            print(f"{now - self.started:.0f} s: {stats['requests']['total']} requests, "
                  f"{resident_kib(weir.process.pid)} KiB resident, {len(self.unexplained)} unexplained", flush=True)

    async def admin(self, weir, method, path):
        if path.startswith("/purge?"):
            what, value = urllib.parse.parse_qsl(path.partition("?")[2])[0]
            self.ledger.purged[f"{what} {value}"] += 1
        return await super().admin(weir, method, path)

    def fetch_profile(self, weir, name):
        try:
            with urllib.request.urlopen(f"{weir.admin_url}/debug/pprof/heap", timeout=60 * self.slow) as response:
                data = response.read()
        except urllib.error.HTTPError as error:
            return f"GET /debug/pprof/heap answers {error.code}: this weir was built without heap profiles"
        except OSError as error:
            return f"GET /debug/pprof/heap failed: {error}"
        path = os.path.join(self.folder, f"heap.{name}")
        with open(path, "wb") as file:
            file.write(data)
        return path

    # What was seen ----

    def read_log(self):
        """All complete lines that the access log has by now."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.log, PIPE_BYTES):
                *lines, self.line_part = (self.line_part + data).split(b"\n")
                for line in lines:
                    self.take_line(line)

    def take_line(self, line):
        self.lines += 1
        ids = LOGGED_IDS.search(line)
        if ids:
            self.identities[ids[1].decode()] = identity_of(ids[2].decode("utf-8", "replace"))
            if len(self.identities) > IDS_MOST:
                del self.identities[next(iter(self.identities))]
        status = LOGGED_STATUS.search(line)
        status = int(status[1]) if status else 0
        if not 200 <= status < 400:
            entry = json.loads(line.decode("utf-8", "replace"))
            self.waiting.append(Trouble("status", identity_of(entry["user_agent"]), time.monotonic(), status,
                                        stale=entry["cache"] == "stale"))

    def judge(self, until):
        while self.waiting and self.waiting[0].at <= until:
            trouble = self.waiting.popleft()
            asked = self.ledger.asked.get(trouble.identity)
            if trouble.detail is None and trouble.serial is None and trouble.what == "status" \
                    and asked and asked.status == trouble.status:
                continue  # a line of the log whose client has been asked, with all that it knows
            reason = self.ledger.explain(trouble)
            if reason:
                self.explained[(f"status {trouble.status}" if trouble.what == "status" else trouble.what, reason)] += 1
            else:
                self.unexplained.append((trouble.what, f"{trouble}: {asked}; the origin: "
                                         f"{self.ledger.exchanges.get(trouble.identity, [])}"))

    def read_error_log(self, weir):
        with open(weir.stderr_path, "rb") as file:
            file.seek(self.error_log_read)
            data = file.read()
        whole = data[:data.rfind(b"\n") + 1]
        self.error_log_read += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            about = self.ledger.request_of_line(line)
            if about:
                self.lines_waiting.append((time.monotonic(), *about, line))
            else:
                self.note_line(self.ledger.explain_line(line, time.monotonic()), line)

    def note_line(self, reason, line):
        if reason:
            self.explained[("error log", reason)] += 1
        else:
            self.unexplained.append(("error log", f"a line of the error log: {line}"))

    def judge_lines(self, until):
        """Whose request it was is known once the access log has its line."""
        for _ in range(len(self.lines_waiting)):
            at, request_id, status, detail, line = self.lines_waiting.popleft()
            if request_id in self.identities:
                trouble = Trouble("status", self.identities[request_id], at, status, detail)
                self.note_line(self.ledger.explain(trouble), line)
            elif at > until - UNKNOWN_S:
                self.lines_waiting.append((at, request_id, status, detail, line))
            else:
                self.note_line(None, line)

    def finish(self, weir):
        """Weir has ended: what is left to read and to judge."""
        self.read_log()
        os.close(self.log)
        with open(os.path.join(self.folder, "resident.csv"), "w", encoding="ascii") as file:
            file.writelines(f"{second:.1f},{kib}\n" for second, kib in self.samples)
        self.read_error_log(weir)
        self.judge(time.monotonic())
        self.judge_lines(LATER)
        total, dropped = self.last["requests"]["total"], self.last["access_log"]["dropped"]
        if self.lines != total or dropped:
            self.unexplained.append(("access log", f"the access log has {self.lines} lines for {total} requests, "
                                     f"{dropped} dropped"))


def kept_waiting_s(weir):
    """For how long its threads could have run and did not; and what the host took of the machine's processors."""
    waited_ns = 0
    for path in glob.glob(f"/proc/{weir.process.pid}/task/*/schedstat"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            waited_ns += int(file.read().split()[1])
    with open("/proc/stat", encoding="ascii") as file:
        stolen_ticks = int(file.readline().split()[8])
    return waited_ns / 1e9 + stolen_ticks / os.sysconf("SC_CLK_TCK")


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return int(re.search(r"^VmRSS:\s+(\d+) kB", file.read(), re.M)[1])


# The report ----


def memory_lines(soak):
    """What the samples say, and whether that is a failure."""
    if soak.sanitized:
        return [f"not judged: built with -fsanitize={soak.sanitized}"], False
    growth = slope.judge(soak.samples)
    if growth is None:
        return [f"not judged: {len(soak.samples)} samples are too few"], False

    def text(one):
        return f"{one.value * 60:+.1f} KiB/min (noise: {one.low * 60:+.1f} to {one.high * 60:+.1f})"
    return [f"{growth.middle / 1024:.1f} MiB resident (median of {len(soak.samples)} samples after "
            f"{soak.seconds * WARM_UP:.0f} s of warm-up)",
            f"slope {text(growth.whole)}, of the second half {text(growth.last)}",
            f"{'GROWS' if growth.leaks else 'flat'}: a failure is more than {growth.matters * 60:.1f} KiB/min (1 % an hour) and "
            f"beyond the noise in both; {growth.found_from * 60:.1f} KiB/min would most likely have shown"], growth.leaks


def unexplained_lines(unexplained):
    shown, kinds = [], collections.Counter()
    for what, text in unexplained:
        kinds[what] += 1
        if kinds[what] <= SHOWN_MOST:
            shown.append(f"UNEXPLAINED: {text}")
    return shown + [f"UNEXPLAINED: {count - SHOWN_MOST} more: {what}" for what, count in kinds.items() if count > SHOWN_MOST]


def profile_lines(soak, binary):
    paths = [soak.profiles.get("start", "the run was too short"), soak.profiles.get("end", "the run ended early")]
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        return [f"none: {missing[0]}"]
    go = shutil.which("go")
    if not go:
        return [f"go is not installed: go tool pprof -top -base {paths[0]} {binary} {paths[1]}"]
    command = [go, "tool", "pprof", "-top", "-base", paths[0], binary, paths[1]]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
                          env=os.environ | {"PPROF_TMPDIR": soak.folder})
    return [shlex.join(["go", *command[1:]]), *done.stdout.splitlines()[:PROFILE_LINES]]


def show(soak, clients, origin, binary):
    """The whole report. Returns why the run has failed (a list), and what the verdict adds where it has not."""
    memory, grows = memory_lines(soak)
    requests, cache = soak.last["requests"], soak.last["cache"]
    errors = [f"{count} × {what}: {reason}" for (what, reason), count in sorted(soak.explained.items())]
    counters = {name: cache[name] for name in ("hits", "misses", "stale", "revalidated", "coalesced", "passes", "local", "stored",
                                               "evicted", "purged", "fills_aborted", "readers_cut", "short")}
    parts = {
        "load": [f"{requests['total']} requests in {soak.seconds:.0f} s, {clients.figures['whole']} read whole, "
                 f"{soak.purges} purges; status {requests['status']}, client_gone {requests['client_gone']}, "
                 f"cut {requests['cut']}, too_slow {requests['too_slow']}",
                 f"cache {counters}", f"longest pause of the machine {soak.ledger.longest_pause_s:.2f} s",
                 f"faults of the origin {dict(origin.done)}"],
        "memory": memory,
        "gauges": [f"all zero after the load; cache.bytes never above {cache['memory_limit']}; most at a time {soak.most}"],
        "errors": [f"{sum(soak.explained.values())} explained, {len(soak.unexplained)} not", *errors,
                   *unexplained_lines(soak.unexplained)],
        "heap": profile_lines(soak, binary),
    }
    for name, lines in parts.items():
        print(f"{name:8}" + ("\n" + 8 * " ").join(lines))
    why = ["resident memory grows"] if grows else []
    why += [f"{len(soak.unexplained)} unexplained errors"] if soak.unexplained else []
    return why, f", memory {memory[0]}" if memory[0].startswith("not judged") else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weir", default=weirtest.binary(), help="the program")
    parser.add_argument("--seconds", type=run.positive_seconds, default=os.environ.get("SOAK_SECONDS") or SECONDS,
                        help=f"by default SOAK_SECONDS of the environment, or {SECONDS}")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--clients", type=int, default=80)
    parser.add_argument("--keep", metavar="FOLDER", help="put profiles and the error log there (else: a temporary folder, kept "
                        "only with profiles or after a failure)")
    parser.set_defaults(inject=0)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.seconds:.0f} s", flush=True)
    os.environ["WEIR_BIN"] = arguments.weir
    sanitized = run.sanitizer(arguments.weir)
    if sanitized:
        ctypes.CDLL(None).personality(run.ADDR_NO_RANDOMIZE)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    if arguments.keep:
        os.makedirs(arguments.keep, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="weir-soak-", dir=arguments.keep)
    soak = Soak(arguments, 4 if sanitized else 1, folder, sanitized)
    weir, clients, origin = run.play(soak, folder)
    if soak.failure:
        print(f"what weir has written is in {folder}\nVERDICT failed with seed {arguments.seed}: {soak.failure}")
        return 1
    soak.finish(weir)
    why, unjudged = show(soak, clients, origin, arguments.weir)
    if not why and not arguments.keep and not os.path.exists(os.path.join(folder, "heap.end")):
        shutil.rmtree(folder)
    else:
        print(f"what weir has written is in {folder}")
    print("VERDICT " + ("failed: " + ", ".join(why) if why else "passed" + unjudged))
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
