"""GET /metrics: everything that /stats shows, as Prometheus text that its own tool finds clean."""

import re
import subprocess
import threading

import pytest

from weirtest import Client, cacheable, make_config, respond, wait_for

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^\n]*)\})? (\S+)")


class Metrics:
    """Parsed text: samples by name and labels, the type of each metric."""

    def __init__(self, text):
        self.samples = {}
        self.types = {}
        assert text.endswith("\n")
        metric = None
        for line in text[:-1].split("\n"):
            if line.startswith("# HELP "):
                metric = line.split(" ", 3)[2]
                assert metric not in self.types, f"{metric} stands in two places"
                assert len(line.split(" ", 3)[3]) > 3
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name == metric and name not in self.types
                self.types[name] = kind
            else:
                self._add(metric, line)

    def _add(self, metric, line):
        match = SAMPLE.fullmatch(line)
        assert match, f"not a sample: {line!r}"
        name, labels, value = match[1], match[2] or "", float(match[3])
        pairs = LABEL.findall(labels)
        assert "".join(f'{key}="{text}",' for key, text in pairs).rstrip(",") == labels, line
        suffixes = ("_bucket", "_sum", "_count") if self.types[metric] == "histogram" else ("",)
        assert name in [metric + suffix for suffix in suffixes], f"{line!r} below the head of {metric}"
        key = (name, frozenset((key, unescape(text)) for key, text in pairs))
        assert key not in self.samples, f"twice: {line!r}"
        self.samples[key] = value

    def find(self, name, **labels):
        """{labels: value} of all samples with at least these labels."""
        return {have: value for (other, have), value in self.samples.items()
                if other == name and have >= set(labels.items())}

    def get(self, name, **labels):
        return self.samples[(name, frozenset(labels.items()))]

    def sum(self, name, **labels):
        return sum(self.find(name, **labels).values())

    def check_histograms(self):
        """The cumulative counts of each ascend, and the last one is its count."""
        checked = 0
        for (name, labels), count in self.samples.items():
            base = name.removesuffix("_count")
            if self.types.get(base) != "histogram" or base == name:
                continue
            buckets = sorted((float(dict(have)["le"]), value)
                             for have, value in self.find(base + "_bucket").items()
                             if have - {("le", dict(have)["le"])} == labels)
            counts = [value for _, value in buckets]
            assert counts == sorted(counts) and buckets[-1] == (float("inf"), count), (name, labels)
            assert (base + "_sum", labels) in self.samples
            checked += 1
        return checked


def unescape(text):
    return re.sub(r"\\(.)", lambda match: {"n": "\n"}.get(match[1], match[1]), text)


def scrape(weir, fields=()):
    response = weir.admin("GET", "/metrics", fields)
    assert response.status == 200 and response.end == "clean", response
    assert response.field("Content-Type") == CONTENT_TYPE
    return Metrics(response.body.decode())


# Every leaf of /stats: a pattern of its path, and where it is in /metrics. Groups of the pattern go
# to the function. MOVES: it may have another value by the time that the other page is read.
MOVES = object()
OUTCOMES = {"hits": "hit", "misses": "miss", "stale": "stale", "revalidated": "revalidated",
            "coalesced": "coalesced", "passes": "pass", "local": "local"}


def plain(name, scale=1):
    return lambda m, *_: (m.get(name), scale)


def server(name, scale=1):
    return lambda m, names, upstream, _: (m.get(name, upstream=upstream, server=names["server"]), scale)


def histogram(name, **more):
    """A count can be compared; of the quantiles it is known that there are buckets to take them from."""
    def find(m, names, *groups):
        labels = {key: names.get(key, value) for key, value in more.items()}
        if "upstream" in labels:
            labels["upstream"] = groups[0]
        if "phase" in labels:
            labels["phase"] = groups[1]
        return (m.sum(name + "_count", **labels), 1) if groups[-1] == "count" else \
            (len(m.find(name + "_bucket", le="+Inf", **labels)) > 0, MOVES)
    return find


QUANTILE = r"(count|p50|p90|p99|p999|max)"
TABLE = [
    (r"version", lambda m, *_: (m.find("weir_build_info"), MOVES)),
    (r"uptime_s", lambda m, *_: (m.get("weir_uptime_seconds"), MOVES)),
    (r"workers", plain("weir_workers")),
    (r"requests\.total", lambda m, *_: (m.sum("weir_requests_total"), 1)),
    (r"requests\.in_flight", plain("weir_requests_in_flight")),
    (r"requests\.status\.(\w+)", lambda m, _, status: (m.get("weir_responses_total", **{"class": status}), 1)),
    (r"requests\.interim", plain("weir_responses_interim_total")),
    (r"requests\.client_gone", plain("weir_requests_client_gone_total")),
    (r"requests\.cut", plain("weir_responses_cut_total")),
    (r"requests\.too_slow", plain("weir_clients_too_slow_total")),
    (r"requests\.rejected\.(\w+)", lambda m, _, why: (m.get("weir_requests_rejected_total", reason=why), 1)),
    (r"connections\.accepted", lambda m, *_: (m.get("weir_connections_accepted_total"), 1)),
    (r"connections\.(open|idle)", lambda m, _, what: (m.get(f"weir_connections_{what}"), 1)),
    (r"connections\.accept_paused", plain("weir_accept_pauses_total")),
    (rf"cache\.({'|'.join(OUTCOMES)})",
     lambda m, _, counter: (m.get("weir_requests_total", outcome=OUTCOMES[counter]), 1)),
    (r"cache\.(stored|evicted|expired|purged|fills_aborted|readers_cut|refreshes|refreshes_failed)",
     lambda m, _, what: (m.get(f"weir_cache_{what}_total"), 1)),
    (r"cache\.(?:evicted_)?(small|main|chain_full)",
     lambda m, _, why: (m.get("weir_cache_evicted_by_total", reason=why), 1)),
    (r"cache\.(purges_logged|purge_walks)", lambda m, _, what: (m.get(f"weir_cache_{what}_total"), 1)),
    (r"cache\.(objects|bytes|fills|readers|waiters|purge_jobs)", lambda m, _, what: (m.get(f"weir_cache_{what}"), 1)),
    (r"cache\.memory_limit", plain("weir_cache_limit_bytes")),
    (r"cache\.hit_for_miss", plain("weir_cache_hit_for_miss_keys")),
    (r"cache\.pinned_bytes", lambda m, *_: (m.get("weir_cache_memory_bytes", part="pinned"), 1)),
    (r"cache\.memory\.(\w+)", lambda m, _, part: (m.get("weir_cache_memory_bytes", part=part), 1)),
    (r"cache\.short\.(\w+)", lambda m, _, what: (m.get(f"weir_cache_short_{what}_total"), 1)),
    (r"buffers\.bufferevents\.(created|reused)", lambda m, _, what: (m.get(f"weir_bufferevents_{what}_total"), 1)),
    (r"buffers\.bufferevents\.(leased|idle)", lambda m, _, what: (m.get(f"weir_bufferevents_{what}"), 1)),
    (r"(access|slow)_log\.(written|dropped)", lambda m, _, log, what: (m.get(f"weir_{log}_log_{what}_total"), 1)),
    (r"error_log\.(\w+)\.(written|held_back)",
     lambda m, _, level, what: (m.get(f"weir_error_log_{what}_total", level=level), 1)),
    (r"machine\.(cpus|memory)_limited_by", lambda m, _, what: (m.find(f"weir_machine_{what}_limit_info"), MOVES)),
    (r"machine\.(cpus|cpu_quota|memory_bytes|auto_workers)", lambda m, _, what: (m.get(f"weir_machine_{what}"), 1)),
    (r"machine\.auto_cache_memory", plain("weir_machine_auto_cache_memory_bytes")),
    (r"process\.resident_bytes", lambda m, *_: (m.get("process_resident_memory_bytes"), MOVES)),
    (r"process\.open_fds", lambda m, *_: (m.get("process_open_fds"), MOVES)),
    (r"process\.max_fds", plain("process_max_fds")),
    (r"process\.cpu_s", lambda m, *_: (m.get("process_cpu_seconds_total"), MOVES)),
    (r"process\.start_time_s", plain("process_start_time_seconds")),
    (r"allocator\.(allocated|active|resident)_bytes",
     lambda m, _, what: (m.get(f"weir_jemalloc_{what}_bytes"), MOVES)),
    (rf"latency_us\.(hit|miss)\.{QUANTILE}",
     lambda m, _, kind, what: (sum(m.sum("weir_request_duration_seconds_count", outcome=outcome)
                                   for outcome in (("hit", "stale") if kind == "hit" else
                                                   ("miss", "revalidated", "coalesced", "pass"))),
                               1 if what == "count" else MOVES)),
    (r"routes\[\d+\]\.route", lambda m, names, *_: (m.find("weir_route_requests_total", route=names["route"]), MOVES)),
    (r"routes\[\d+\]\.requests", lambda m, names, *_: (m.get("weir_route_requests_total", route=names["route"]), 1)),
    (r"routes\[\d+\]\.hits",
     lambda m, names, *_: (sum(m.sum("weir_request_duration_seconds_count", route=names["route"], outcome=outcome)
                               for outcome in ("hit", "stale")), 1)),
    (rf"routes\[\d+\]\.latency_us\.{QUANTILE}", histogram("weir_request_duration_seconds", route="")),
    (r"upstreams\.(\w+)\.queued", lambda m, _, upstream: (m.sum("weir_origin_queue_length", upstream=upstream), 1)),
    (rf"upstreams\.(\w+)\.phases_us\.(\w+)\.{QUANTILE}",
     histogram("weir_origin_phase_duration_seconds", upstream="", phase="")),
    (r"upstreams\.(\w+)\.servers\[(\d+)\]\.address",
     lambda m, names, upstream, _: (m.find("weir_origin_requests_total", upstream=upstream, server=names["server"]),
                                    MOVES)),
    (r"upstreams\.(\w+)\.servers\[(\d+)\]\.state",
     lambda m, names, upstream, _: (m.find("weir_origin_state", upstream=upstream, server=names["server"]), MOVES)),
    (r"upstreams\.(\w+)\.servers\[(\d+)\]\.queued", server("weir_origin_queue_length")),
    (r"upstreams\.(\w+)\.servers\[(\d+)\]\.learned_timeout_ms", server("weir_origin_learned_timeout_seconds", 1e-3)),
    (r"upstreams\.(\w+)\.servers\[(\d+)\]\.(requests|errors|retries|queue_full|queue_timeouts)",
     lambda m, names, upstream, _, what: server(f"weir_origin_{what}_total")(m, names, upstream, _)),
    (r"upstreams\.(\w+)\.servers\[(\d+)\]\.queued_total", server("weir_origin_queued_total")),
    (r"upstreams\.(\w+)\.servers\[(\d+)\]\.connections\.(opened|reused|closed)",
     lambda m, names, upstream, _, what: server(f"weir_origin_connections_{what}_total")(m, names, upstream, _)),
    (r"upstreams\.(\w+)\.servers\[(\d+)\]\.connections\.(active|idle)",
     lambda m, names, upstream, _, what: server(f"weir_origin_connections_{what}")(m, names, upstream, _)),
    (r"upstreams\.(\w+)\.servers\[(\d+)\]\.connections\.closed_by\.(\w+)",
     lambda m, names, upstream, _, why: (m.get("weir_origin_connections_closed_by_total", upstream=upstream,
                                               server=names["server"], reason=why), 1)),
    (rf"upstreams\.(\w+)\.servers\[(\d+)\]\.latency_us\.{QUANTILE}",
     histogram("weir_origin_duration_seconds", upstream="", server="")),
]


def leaves(value, path="", names=None):
    """(path, value, names of the route and the server that it belongs to)."""
    names = dict(names or {})
    if isinstance(value, dict):
        if "route" in value:
            names["route"] = value["route"]
        if "address" in value:
            names["server"] = value["address"]
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key, names)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{number}]", names)
    else:
        yield path, value, names


def hold_against(stats, metrics):
    """What of /stats is not in /metrics, or has another value there."""
    wrong = []
    for path, value, names in leaves(stats):
        rows = [(re.fullmatch(pattern, path), find) for pattern, find in TABLE]
        rows = [(match, find) for match, find in rows if match]
        if len(rows) != 1:
            wrong.append(f"{path}: {len(rows)} rows of the table; a new stat needs one, and a metric")
            continue
        match, find = rows[0]
        try:
            found, scale = find(metrics, names, *match.groups())
        except KeyError:
            wrong.append(f"{path}: no metric")
            continue
        if scale is MOVES:
            if value and not found:
                wrong.append(f"{path}: {value}, but no metric")
            if isinstance(value, str) and isinstance(found, dict) and \
                    not any(value in dict(labels).values() for labels in found):
                wrong.append(f"{path}: {value!r}, but {found}")
        elif abs(found - value * scale) > 1e-9 * abs(found):
            wrong.append(f"{path}: {value}, but {found} in /metrics")
    return wrong


class Busy:
    """An origin and a weir that have seen hits, misses, passes, POSTs, errors and retries."""

    def __init__(self, start, **config):
        self.origin = start.origin(self.answer)
        raw = make_config(self.origin, **config)
        raw["upstreams"]["gone"] = {"servers": ["http://127.0.0.1:1"]}
        raw["routes"] = [{"path": "/gone", "upstream": "gone"}] + raw["routes"]
        self.weir = start.weir(raw=raw)

    def answer(self, request, connection):
        if request.target.startswith("/dies") and connection.requests > 1:
            connection.close()
        elif request.target.startswith("/error"):
            respond(500, b"no")(request, connection)
        elif request.target.startswith("/private"):
            respond(200, b"mine", [("Cache-Control", "private")])(request, connection)
        else:
            cacheable()(request, connection)

    def make_traffic(self):
        for target in ("/a", "/a", "/b", "/error", "/private", "/dies"):
            self.weir.get(target)
        client = self.weir.client()
        assert client.fetch("POST", "/a", body=b"body").status == 200
        client.close()
        assert self.weir.get("/gone").status == 502
        bad = Client(self.weir.address)
        bad.send(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
        assert bad.read_response().status == 400
        bad.close()

        def settled(stats):
            return stats["requests"]["in_flight"] == 0 and stats["connections"]["open"] == 0 and \
                stats["requests"]["total"] >= 8 and \
                stats["upstreams"]["up"]["servers"][0]["connections"]["active"] == 0
        stats = self.weir.wait_stats(settled)
        assert stats["cache"]["hits"] == 1 and stats["cache"]["passes"] >= 1 and stats["cache"]["local"] >= 1
        assert stats["upstreams"]["up"]["servers"][0]["retries"] == 1
        assert stats["upstreams"]["gone"]["servers"][0]["connections"]["closed_by"]["connect_failed"] > 0
        return stats


def test_every_stat_has_its_metric(start):
    weir_and_origin = Busy(start)
    stats = weir_and_origin.make_traffic()
    metrics = scrape(weir_and_origin.weir)
    assert hold_against(stats, metrics) == []
    assert metrics.check_histograms() >= 9
    for phase in ("queue", "connect", "first_byte", "body"):
        assert metrics.sum("weir_origin_phase_duration_seconds_count", upstream="up", phase=phase) > 0
    for name, kind in metrics.types.items():
        assert (kind == "counter") == name.endswith("_total"), (name, kind)


def test_a_stat_without_metric_is_found(start):
    """The check above finds what is missing, and what is not the same."""
    weir_and_origin = Busy(start)
    stats = weir_and_origin.make_traffic()
    metrics = scrape(weir_and_origin.weir)
    stats["cache"]["new"] = 1
    stats["cache"]["hits"] += 1
    del metrics.samples[("weir_workers", frozenset())]
    wrong = hold_against(stats, metrics)
    assert sorted(line.split(":")[0] for line in wrong) == ["cache.hits", "cache.new", "workers"]


def test_promtool_finds_nothing_to_blame(start):
    weir_and_origin = Busy(start)
    weir_and_origin.make_traffic()
    text = weir_and_origin.weir.admin("GET", "/metrics").body
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert done.returncode == 0 and done.stdout + done.stderr == b"", done


def test_histograms_agree_while_workers_write(start):
    """In every scrape the last bucket is the count, and nothing ever goes back."""
    weir = start.weir(start.origin(cacheable()))
    stop = threading.Event()
    clients = [weir.client() for _ in range(4)]

    def ask(client):
        while not stop.is_set():
            client.get("/a")

    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        wait_for("a hit", lambda: weir.stats()["cache"]["hits"] > 0)
        before = None
        for _ in range(30):
            now = scrape(weir)
            assert now.check_histograms() > 0
            if before:
                for (name, labels), value in before.samples.items():
                    if re.search(r"_(total|count|sum|bucket)$", name):
                        assert now.samples[(name, labels)] >= value, (name, labels)
            before = now
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def many_routes(origin, count):
    routes = [{"path": f"/{number}/", "upstream": "up"} for number in range(count)]
    return make_config(origin) | {"routes": routes}


def ask_all(weir, count):
    client = weir.client()
    for number in range(count):
        assert client.get(f"/{number}/").status == 200
        assert client.get(f"/{number}/").status == 200
    client.close()
    return weir.wait_cache(hits=count, misses=count)


def test_slow_readers_of_a_large_answer(start):
    """The admin port answers others meanwhile; who reads in the end gets all of it; who leaves is forgotten."""
    routes = 800  # more than the kernel holds for a client that reads nothing
    weir = start.weir(raw=many_routes(start.origin(cacheable()), routes))
    stats = ask_all(weir, routes)
    slow = [Client(("127.0.0.1", weir.admin_port), receive_buffer=4096) for _ in range(3)]
    for client in slow:
        client.request("GET", "/metrics")
        client.begun = client.read_final_head()
        assert client.begun.status == 200
    assert weir.admin("GET", "/healthz").status == 200
    # Counted, not parsed: that takes a busy machine as long as the admin port waits for a client.
    assert weir.admin("GET", "/metrics").body.count(b"\nweir_route_requests_total{") == routes
    slow[0].reset()
    slow[1].close()
    response = slow[2].read_body(slow[2].begun)
    assert response.end == "clean"
    assert weir.admin("GET", "/healthz").status == 200
    assert scrape(weir).sum("weir_request_duration_seconds_count") == stats["requests"]["total"]


def test_stopping_while_an_answer_is_under_way(start):
    routes = 800  # more than the kernel holds for a client that reads nothing
    weir = start.weir(raw=many_routes(start.origin(cacheable()), routes))
    ask_all(weir, routes)
    slow = Client(("127.0.0.1", weir.admin_port), receive_buffer=4096)
    slow.request("GET", "/metrics")
    assert slow.read_final_head().status == 200
    weir.signal()
    assert weir.wait_exit() == 0
    slow.close()


def test_a_connection_serves_one_scrape_after_another(start):
    weir = start.weir(start.origin([]))
    client = Client(("127.0.0.1", weir.admin_port))
    for _ in range(3):
        response = client.get("/metrics")
        assert response.framing == "chunked" and response.end == "clean"
        assert client.get("/healthz").status == 200
    head = client.fetch("HEAD", "/metrics")
    assert head.status == 200 and head.field("Content-Type") == CONTENT_TYPE
    client.close()


def test_http_1_0(start):
    """Nothing tells the end but the end of the connection, kept alive or not."""
    weir = start.weir(start.origin([]))
    for fields in ([], [("Connection", "keep-alive")]):
        client = Client(("127.0.0.1", weir.admin_port))
        response = client.fetch("GET", "/metrics", fields, version="1.0")
        assert response.framing == "close" and response.end == "clean"
        assert Metrics(response.body.decode()).get("weir_workers") == 2
        client.close()


def test_routes_of_one_name_and_names_with_quotes(start):
    origin = start.origin(cacheable())
    raw = make_config(origin) | {"routes": [
        {"path": "/a", "methods": ["GET", "HEAD"], "upstream": "up"},
        {"path": "/a", "methods": ["POST", "BREW"], "upstream": "up"},
        {"path": '/q"uo\\te', "upstream": "up"}, {"upstream": "up"}]}
    raw["upstreams"]["up"]["servers"] *= 2
    weir = start.weir(raw=raw)
    client = weir.client()
    client.get("/a")
    client.fetch("POST", "/a", body=b"x")
    client.close()
    weir.wait_stats(lambda stats: stats["requests"]["total"] == 2)
    metrics = scrape(weir)
    assert metrics.get("weir_route_requests_total", route="*/a", methods="GET,HEAD") == 1
    assert metrics.get("weir_route_requests_total", route="*/a", methods="POST,BREW") == 1
    names = {route["route"] for route in weir.stats()["routes"]}
    assert names == {dict(labels)["route"] for labels in metrics.find("weir_route_requests_total")}
    assert any('"' in name and "\\" in name for name in names)
    servers = {dict(labels)["server"] for labels in metrics.find("weir_origin_requests_total")}
    assert servers == {origin.address, f"{origin.address}#2"}
    assert metrics.sum("weir_origin_requests_total") == 2


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_it_is_only_read(start, method):
    weir = start.weir(start.origin([]))
    response = weir.admin(method, "/metrics", body=b"")
    assert response.status == 405 and response.field("Allow") == "GET, HEAD"


def test_the_token(start):
    token = start.file("token", "s3cret-token\n")
    bearer = [("Authorization", "Bearer s3cret-token")]
    weir = start.weir(start.origin([]), admin={"token_file": token}, admin_fields=bearer)
    assert weir.admin("GET", "/metrics").status == 401
    assert scrape(weir, bearer).get("weir_workers") == 2


def test_it_is_listed(start):
    weir = start.weir(start.origin([]))
    assert b"/metrics" in weir.admin("GET", "/").body


def test_the_process(start):
    weir = start.weir(start.origin([]))
    metrics = scrape(weir)
    resident = metrics.get("process_resident_memory_bytes")
    assert 0.5 < resident / weir.resident_bytes() < 2
    assert 0 < metrics.get("process_open_fds") < metrics.get("process_max_fds")
    files = metrics.get("process_open_fds")  # with those of admin connections that are just being closed
    clients = [weir.client() for _ in range(20)]
    weir.wait_stats(lambda stats: stats["connections"]["open"] == len(clients))
    assert scrape(weir).get("process_open_fds") > files + len(clients) // 2
    started = metrics.get("process_start_time_seconds")
    assert started == scrape(weir).get("process_start_time_seconds")
    assert scrape(weir).get("process_cpu_seconds_total") >= metrics.get("process_cpu_seconds_total") > 0
