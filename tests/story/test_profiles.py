"""Profiles on the admin port: go tool pprof names them, browsers draw them, and nothing waits for them."""

import concurrent.futures
import os
import re
import shutil
import socket
import subprocess
import threading
import xml.etree.ElementTree

import pytest

from weirtest import PATIENCE_S, SLOW, Client, binary, cacheable, held, request_bytes, respond, wait_for

PROFILE, HEAP, SYMBOL = "/debug/pprof/profile", "/debug/pprof/heap", "/debug/pprof/symbol"
FLAMEGRAPH, CMDLINE, INDEX = "/debug/pprof/flamegraph", "/debug/pprof/cmdline", "/debug/pprof/"
SECONDS = 40
FOR_A_WHILE = f"?seconds={SECONDS}"
PAGES = (PROFILE, HEAP, SYMBOL, FLAMEGRAPH, CMDLINE, INDEX)
OFTEN = {"MALLOC_CONF": "lg_prof_sample:12"}  # a sample each 4 KiB: no story hangs on chance
COMPUTED_S = 1  # by Weir while a profile is taken: a hundred samples
WAY = ("serve", "run", "deliver", "worker_main")  # of a hit, static functions but for the last


def built_with(*names):
    """What configure found, by its own account."""
    with open(os.path.join(os.path.dirname(binary()), "config.h"), encoding="utf-8") as file:
        text = file.read()
    return all(f"#define {name} 1\n" in text for name in names)


profiling = pytest.mark.skipif(not built_with("HAVE_PROFILING"), reason="built without gperftools or libdw")
heap_profiling = pytest.mark.skipif(not built_with("HAVE_PROFILING", "HAVE_JEMALLOC"),
                                    reason="built without jemalloc, gperftools or libdw")


class Load:
    """Hits, many at a time on several connections, until the story is through with them."""

    def __init__(self, weir, connections=8, at_once=64):
        self.ending = False
        self.answers = 0
        self.threads = [threading.Thread(target=self._run, args=(weir.address, at_once), daemon=True)
                        for _ in range(connections)]

    def _run(self, address, at_once):
        request = request_bytes("GET", "/a")
        with socket.create_connection(address) as sock:
            sock.sendall(request * at_once)
            while not self.ending:
                data = sock.recv(1 << 20)
                answers = data.count(b"HTTP/1.1 200")
                self.answers += answers
                sock.sendall(request * answers)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_for("answers", lambda: self.answers > 0)
        return self

    def __exit__(self, *_):
        self.ending = True
        for thread in self.threads:
            thread.join()


PATIENT = {"idle_timeout": "1d", "header_timeout": "1d", "send_timeout": "1d"}  # with clients, while the clock is moved


def busy(start, **config):
    weir = start.weir(start.origin(cacheable(ttl_s=86400)), clock=True, limits=PATIENT, **config)
    weir.get("/a")
    return weir


def sampled(weir, ask, fields=()):
    """What ask() gets when it asks for a CPU profile of SECONDS: that ends when Weir has computed for long enough, however little
    of the machine it is given."""
    begun = weir.stderr().count("CPU profile of")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask)
        wait_for("a profile to begin", lambda: answer.done() or weir.stderr().count("CPU profile of") > begun,
                 4 * PATIENCE_S)
        before = weir.cpu_s()
        wait_for("enough to sample", lambda: answer.done() or weir.cpu_s() - before > COMPUTED_S, 4 * PATIENCE_S)
        weir.admin("POST", f"/test/clock?advance_ms={SECONDS}000", fields)
        return answer.result()


def pprof(folder, *arguments):
    """What `go tool pprof` says, in a directory where there is nothing else."""
    assert shutil.which("go"), "go tool pprof is missing (Debian package golang-go)"
    done = subprocess.run(["go", "tool", "pprof", *arguments], cwd=folder,
                          env=os.environ | {"HOME": str(folder), "PPROF_TMPDIR": str(folder), "PPROF_BINARY_PATH": ""},
                          check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def top(folder, source, *options):
    """What -top shows: {function: (flat, cum)} in per cent."""
    text = pprof(folder, "-top", "-nodecount=1000000", "-nodefraction=0", "-edgefraction=0", *options, source)
    row = re.compile(r"\s*\S+\s+([\d.]+)%\s+[\d.]+%\s+\S+\s+([\d.]+)%\s+(.+)")
    rows = [match for match in map(row.match, text.splitlines()) if match]
    assert rows, text
    return {match[3]: (float(match[1]), float(match[2])) for match in rows}


def stacks(folder, source):
    """What -raw shows, [(weight, [(mapping, function)])] with the innermost frame first, and its text."""
    text = pprof(folder, "-raw", source)
    samples, places, mappings = re.search(r"^Samples:\n(.*)^Locations\n(.*)^Mappings\n(.*)", text, re.M | re.S).groups()
    files = dict(re.findall(r"^(\d+): \S+ (.*?) *\[FN\]", mappings, re.M))
    frames = {number: (os.path.basename(files.get(mapping, "")), function) for number, mapping, function in
              re.findall(r"^ *(\d+): 0x[0-9a-f]+ M=(\d+) (?:(\S+) :\d+)?", places, re.M)}
    found = [(int(weight), [frames[number] for number in numbers.split()]) for weight, numbers in
             re.findall(r"^ +\d+ +(\d+): ([\d ]+)$", samples, re.M)]
    assert found, text
    return found, text


def unnamed(function):
    return not function or function.startswith("[") or re.match(r"(0x)?[0-9a-f]{8,}", function)


def named_share(found, program="weir"):
    """Of the weight that has frames of weir: how much has no frame of weir that is of no known function."""
    own = [(weight, [function for file, function in frames if file == program]) for weight, frames in found]
    total = sum(weight for weight, functions in own if functions)
    assert total > 0, found
    return sum(weight for weight, functions in own if functions and not any(map(unnamed, functions))) / total


def profile(weir, path):
    """The answer with one; that comes late."""
    client = Client(("127.0.0.1", weir.admin_port))
    client.sock.settimeout(60 * SLOW)
    try:
        return client.get(path)
    finally:
        client.close()


def begin(weir, path):
    """Asks for a CPU profile; returns the client when it has begun."""
    client = Client(("127.0.0.1", weir.admin_port))
    before = weir.stderr().count("CPU profile of")
    client.request("GET", path)
    wait_for("a profile to begin", lambda: weir.stderr().count("CPU profile of") > before)
    return client


# What the pages say -----------------------------------------------------------------------------


@profiling
def test_pprof_names_a_cpu_profile(start, tmp_path):
    weir = busy(start)
    with Load(weir):
        functions = sampled(weir, lambda: top(tmp_path, weir.admin_url + PROFILE + FOR_A_WHILE))
        found, text = sampled(weir, lambda: stacks(tmp_path, weir.admin_url + PROFILE + FOR_A_WHILE))
    assert all(name in functions for name in WAY), functions
    # Whole stacks: each one ends in its thread.
    assert functions["worker_main"][1] > 90 and functions["serve"][1] > 30, functions
    assert named_share(found) >= 0.95, text
    head = re.search(r"^Period: 10000000\n.*^Duration: (\S+)\n.*^samples/count cpu/nanoseconds\n", text, re.M | re.S)
    assert head and float(head[1]) >= 1, text


@profiling
def test_the_names_are_in_the_profile(start, tmp_path):
    """Neither the program, which is gone, nor weir, which wants a token, nor any option is needed."""
    program = os.path.join(tmp_path, "gone")
    shutil.copy(binary(), program)
    token = start.file("token", "s3cret-token\n")
    bearer = [("Authorization", "Bearer s3cret-token")]
    weir = start.weir(start.origin(cacheable(ttl_s=86400)), admin={"token_file": token}, admin_fields=bearer,
                      program=program, clock=True, limits=PATIENT)
    os.unlink(program)
    file = tmp_path / "cpu.prof"
    weir.get("/a")
    with Load(weir):
        sampled(weir, lambda: subprocess.run(["curl", "-sfo", file, "-H", ": ".join(bearer[0]),
                                              weir.admin_url + PROFILE + FOR_A_WHILE], check=True), bearer)
    functions = top(tmp_path, file)
    assert all(name in functions for name in WAY), functions
    assert functions == top(tmp_path, file, "-symbolize=none")
    found, text = stacks(tmp_path, file)
    assert named_share(found, "gone") >= 0.95, text


@profiling
def test_samples_are_of_all_threads(start):
    weir = busy(start)
    with Load(weir):
        before = weir.cpu_s()
        text = sampled(weir, lambda: profile(weir, PROFILE + FOR_A_WHILE + "&debug=1")).body.decode()
        used_s = weir.cpu_s() - before
    sampled_s = float(re.match(r"CPU: ([\d.]+) s in \d+ samples", text)[1])
    assert 0.6 * COMPUTED_S < sampled_s < 1.4 * used_s, (used_s, text)


@profiling
def test_a_cpu_profile_as_text(start):
    weir = busy(start)
    with Load(weir):
        response = sampled(weir, lambda: profile(weir, PROFILE + FOR_A_WHILE + "&debug=1"))
    assert response.status == 200 and response.field("Content-Type").startswith("text/plain")
    rows = re.findall(r"^ +[\d.]+s +[\d.]+% +[\d.]+s +([\d.]+)%  (\S+)$", response.body.decode(), re.M)
    assert all(name in [row[1] for row in rows] for name in WAY), response.body.decode()
    assert float(max(rows, key=lambda row: float(row[0]))[0]) > 95


@profiling
def test_a_flamegraph(start):
    weir = busy(start)
    with Load(weir):
        response = sampled(weir, lambda: profile(weir, FLAMEGRAPH + FOR_A_WHILE))
    assert response.status == 200 and response.field("Content-Type") == "image/svg+xml"
    svg = xml.etree.ElementTree.fromstring(response.body)
    titles = [title.text for title in svg.iter("{http://www.w3.org/2000/svg}title")]
    assert titles[0].startswith("all (") and titles[0].endswith("100.00%)")
    for name in WAY:
        assert any(title.startswith(name + " (") for title in titles), titles


@heap_profiling
def test_pprof_names_a_heap_profile(start, tmp_path):
    weir = busy(start, env=OFTEN)
    functions = top(tmp_path, weir.admin_url + HEAP)
    assert "cache_new" in functions and "command_run" in functions, functions
    assert "malloc" not in functions and "calloc" not in functions, functions
    found, text = stacks(tmp_path, weir.admin_url + HEAP)
    assert named_share(found) >= 0.95, text
    assert re.search(r"^inuse_objects/count inuse_space/bytes", text, re.M), text


@heap_profiling
def test_pprof_and_the_text_agree_on_a_heap(start, tmp_path):
    weir = busy(start, env=OFTEN)
    weir.admin("GET", HEAP)  # reads the symbols, which stay
    total = re.search(r"accounting for ([\d.]+)kB, 100%", pprof(tmp_path, "-top", "-unit=kB", "-nodefraction=0",
                                                                 "-nodecount=1000000", weir.admin_url + HEAP))
    text = weir.admin("GET", HEAP + "?debug=1").body.decode()
    shown = re.match(r"heap: about (\d+) KiB in use", text)
    assert total and shown and abs(float(total[1]) - int(shown[1])) <= 0.05 * int(shown[1]), (total, text)


@heap_profiling
def test_a_heap_shows_what_is_stored(start):
    body = b"x" * (4 << 20)
    weir = start.weir(start.origin(cacheable(body)), cache={"memory": "64MiB", "max_object": "8MiB"},
                      env=OFTEN)
    weir.get("/a")
    weir.wait_cache(objects=1)
    text = weir.admin("GET", HEAP + "?debug=1").body.decode()
    match = re.search(r"^ +[\d.]+KiB +[\d.]+% +([\d.]+)KiB +[\d.]+%  add_chunk$", text, re.M)
    assert match and float(match[1]) > 4000, text
    svg = weir.admin("GET", FLAMEGRAPH + "?heap=1")
    assert svg.status == 200 and xml.etree.ElementTree.fromstring(svg.body) is not None
    assert b"<title>cache_new (" in svg.body


@heap_profiling
def test_a_heap_that_is_not_sampled(start):
    weir = start.weir(start.origin([]), env={"MALLOC_CONF": "prof:false"})
    response = weir.admin("GET", HEAP)
    assert response.status == 501 and b"prof:false" in response.body


@profiling
def test_symbols(start):
    weir = start.weir(start.origin([]))
    assert weir.admin("GET", SYMBOL).body == b"num_symbols: 1\n"
    with open(f"/proc/{weir.process.pid}/maps", encoding="ascii") as file:
        base = int(file.readline().split("-")[0], 16)
    table = subprocess.run(["nm", binary()], stdout=subprocess.PIPE, text=True, check=True).stdout
    wanted = [(base + int(where, 16), name) for where, kind, name in
              (line.split() for line in table.splitlines() if len(line.split()) == 3)
              if name in ("worker_main", "command_run", "lookup", "main")]
    assert len(wanted) >= 4
    asked = "+".join(f"0x{where:x}" for where, _ in wanted) + "+0x1"
    lines = "num_symbols: 1\n" + "".join(f"0x{where:x} {name}\n" for where, name in wanted)
    assert weir.admin("POST", SYMBOL, body=asked.encode()).body.decode() == lines
    assert weir.admin("GET", f"{SYMBOL}?{asked}").body.decode() == lines
    many = "+".join(["0x7f0123456789"] * 10000).encode()
    assert weir.admin("POST", SYMBOL, body=many).status == 200
    for bad in (b"main", b"0x", b"0x12+main", b"12", b"0x12 0x13"):
        assert weir.admin("POST", SYMBOL, body=bad).status == 400


def test_cmdline_and_index(start):
    weir = start.weir(start.origin([]))
    response = weir.admin("GET", CMDLINE)
    assert response.body == b"\0".join(word.encode() for word in (binary(), "run", "-c", weir.config_path))
    index = weir.admin("GET", INDEX)
    assert index.status == 200 and index.field("Content-Type").startswith("text/html")
    for page in (PROFILE, HEAP, SYMBOL, FLAMEGRAPH, CMDLINE):
        assert f'href="{page}'.encode() in index.body
    assert INDEX.encode() in weir.admin("GET", "/").body


# What they do not do ----------------------------------------------------------------------------


def test_without_the_libraries_it_says_how_to_get_them(start):
    weir = start.weir(start.origin([]))
    if not built_with("HAVE_PROFILING"):
        for path in (PROFILE, FLAMEGRAPH, SYMBOL):
            response = weir.admin("GET", path)
            assert response.status == 501 and b"--with-profiling=yes" in response.body
    if not built_with("HAVE_PROFILING", "HAVE_JEMALLOC"):
        for path in (HEAP, FLAMEGRAPH + "?heap=1"):
            response = weir.admin("GET", path)
            assert response.status == 501 and b"--with-jemalloc=yes" in response.body
    assert weir.admin("GET", INDEX).status == 200


def test_bad_parameters(start):
    weir = start.weir(start.origin([]))
    for query in ("seconds=0", "seconds=301", "seconds=-1", "seconds=1.5", "seconds=x", "seconds=", "seconds=1&seconds=1",
                  "seconds=99999999999999999999", "seconds=1&debug=2", "seconds"):
        response = weir.admin("GET", f"{PROFILE}?{query}")
        assert response.status == 400, query
    assert b"from 1 to 300" in weir.admin("GET", f"{PROFILE}?seconds=0").body
    for path in (PROFILE + "?second=1", HEAP + "?seconds=1", HEAP + "?gc=1", FLAMEGRAPH + "?heap=2"):
        assert weir.admin("GET", path).status == 400, path
    for path in (PROFILE, HEAP, FLAMEGRAPH, CMDLINE):
        response = weir.admin("POST", path)
        assert response.status == 405 and response.field("Allow") == "GET"
    assert weir.admin("GET", "/debug/pprof/goroutine").status == 404


@profiling
def test_the_admin_port_serves_while_a_profile_runs(start):
    weir = start.weir(start.origin([]), clock=True)
    client = begin(weir, PROFILE + "?seconds=300")
    assert weir.admin("GET", "/healthz").status == 200 and weir.stats()["workers"] == 2
    for path in (PROFILE + "?seconds=1", PROFILE, FLAMEGRAPH + "?seconds=1"):
        second = weir.admin("GET", path)
        assert second.status == 409 and b"try again in" in second.body
    weir.advance(301)
    assert client.read_response().status == 200
    client.close()


@profiling
def test_a_client_that_leaves_ends_its_profile(start):
    weir = start.weir(start.origin([]), clock=True)
    for number, leave in enumerate((Client.close, Client.reset), 1):
        client = begin(weir, PROFILE + "?seconds=300")
        leave(client)
        wait_for("the profile's end", lambda: weir.stderr().count("its client has left") == number)
        client = begin(weir, FLAMEGRAPH + "?seconds=300")
        weir.advance(301)
        assert client.read_response().status == 200
        client.close()


@profiling
def test_draining_ends_a_profile(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, respond(200, b"x"))
    weir = start.weir(origin)
    waiting = weir.client()
    waiting.request("GET", "/a")
    gate.wait_reached()
    client = begin(weir, PROFILE + "?seconds=300")
    weir.signal()
    response = client.read_response()
    assert response.status == 200 and response.end == "clean"
    assert weir.admin("GET", PROFILE + "?seconds=1").status == 503
    gate.open()
    assert waiting.read_response().body == b"x"
    assert weir.wait_exit() == 0


@profiling
def test_an_idle_weir_stops_in_the_middle_of_a_profile(start):
    weir = start.weir(start.origin([]))
    client = begin(weir, FLAMEGRAPH + "?seconds=300")
    weir.signal()
    response = client.read_response()
    assert response.status == 200 and xml.etree.ElementTree.fromstring(response.body) is not None
    assert weir.wait_exit() == 0


# Who may ----------------------------------------------------------------------------------------


def test_profiles_want_the_token(start):
    token = start.file("token", "s3cret-token\n")
    bearer = [("Authorization", "Bearer s3cret-token")]
    weir = start.weir(start.origin([]), admin={"token_file": token}, admin_fields=bearer)
    for path in PAGES:
        assert weir.admin("GET", path).status == 401
    assert weir.admin("POST", SYMBOL, body=b"0x1").status == 401
    assert weir.admin("GET", CMDLINE, bearer).status == 200


def test_symbols_are_for_this_machine(start):
    weir = start.weir(start.origin([]))
    assert weir.admin("POST", SYMBOL, body=b"0x1", host="example.test").status == 403
    foreign = [("Origin", "http://example.test")]
    assert weir.admin("POST", SYMBOL, foreign, b"0x1").status == 403


def test_the_public_port_has_no_profiles(start):
    origin = start.origin(respond(404, b"from the origin"))
    weir = start.weir(origin, route={"path": "/v1/"})
    for path in PAGES:
        response = weir.get(path)
        assert response.status == 404 and response.cache_status().get("detail") == "no-route", response
