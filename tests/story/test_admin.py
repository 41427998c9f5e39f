"""The admin port: health, stats, and what it refuses."""

import json

from weirtest import Client, cacheable, held, respond, run_weir

SHAPE = json.loads("""
{"version": "0.1.0", "uptime_s": 12.5, "workers": 2,
 "requests": {"total": 0, "in_flight": 0, "status": {"1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}},
 "connections": {"accepted": 0, "open": 0, "idle": 0},
 "cache": {"hits": 0, "misses": 0, "stale": 0, "revalidated": 0, "coalesced": 0, "passes": 0, "local": 0,
           "stored": 0, "evicted": 0, "expired": 0, "purged": 0, "objects": 0, "bytes": 0, "memory_limit": 0},
 "latency_us": {"hit":  {"count": 0, "p50": 0, "p90": 0, "p99": 0, "p999": 0, "max": 0},
                "miss": {"count": 0, "p50": 0, "p90": 0, "p99": 0, "p999": 0, "max": 0}},
 "routes": [{"route": "api.example.com/v1/", "requests": 0, "hits": 0, "latency_us": {}}],
 "upstreams": {"up": {"queued": 0, "servers": [
     {"address": "10.0.0.5:9000", "state": "up", "requests": 0, "errors": 0, "retries": 0, "queued": 0,
      "connections": {"opened": 0, "reused": 0, "active": 0, "idle": 0, "closed": 0},
      "latency_us": {}}]}},
 "buffers": {"bufferevents": {"created": 0, "leased": 0, "reused": 0, "idle": 0}}}
""")


def missing(shape, stats, path=""):
    """Where stats lacks a field of the shape or has it with another type."""
    if isinstance(shape, dict):
        if not isinstance(stats, dict):
            return [path]
        return [one for key, inner in shape.items()
                for one in (missing(inner, stats[key], f"{path}.{key}") if key in stats else [f"{path}.{key}"])]
    if isinstance(shape, list):
        return missing(shape[0], stats[0], path + "[0]") if isinstance(stats, list) and stats else [path]
    if isinstance(shape, (int, float)) and isinstance(stats, (int, float)) and not isinstance(stats, bool):
        return []
    return [] if type(shape) is type(stats) else [path]


def test_the_shape_of_stats(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin, route={"host": "example.test", "path": "/v1/"})
    weir.get("/v1/a")
    weir.get("/v1/a")
    stats = weir.wait_cache(hits=1, misses=1)
    assert missing(SHAPE, stats) == []
    assert stats["workers"] == 2 and stats["uptime_s"] > 0
    route = stats["routes"][0]
    assert route["route"] == "example.test/v1/" and route["requests"] == 2 and route["hits"] == 1
    server = stats["upstreams"]["up"]["servers"][0]
    assert server["address"] == origin.address and server["state"] == "up"
    weir.wait_stats(lambda stats: stats["upstreams"]["up"]["servers"][0]["requests"] == 1)
    for kind in ("hit", "miss"):
        latency = stats["latency_us"][kind]
        assert latency["count"] == 1
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p999"]
        assert latency["max"] > 0
    assert stats["cache"]["memory_limit"] == 64 << 20


def test_stats_are_json_for_everyone(start):
    weir = start.weir(start.origin([]))
    response = weir.admin("GET", "/stats")
    assert "application/json" in response.field("Content-Type")
    done = weir.command("stats", "--admin", weir.admin_url)
    assert done.returncode == 0 and missing(SHAPE, json.loads(done.stdout)) == []
    done = weir.command("stats", env={"WEIR_ADMIN": weir.admin_url})
    assert done.returncode == 0 and json.loads(done.stdout)["workers"] == 2


def test_stats_when_nobody_answers():
    with_nobody = run_weir("stats", "--admin", "http://127.0.0.1:1")
    assert with_nobody.returncode == 2 and with_nobody.stderr.strip()


def test_counters_of_statuses_and_connections(start):
    statuses = {"/200": 200, "/301": 301, "/404": 404, "/500": 500}
    origin = start.origin({target: respond(status, b"x", [("Location", "/")])
                           for target, status in statuses.items()})
    weir = start.weir(origin)
    client = weir.client()
    for target, status in statuses.items():
        assert client.get(target).status == status
    weir.wait_stats(lambda stats: stats["requests"]["total"] == 4 and stats["requests"]["status"] ==
                    {"1xx": 0, "2xx": 1, "3xx": 1, "4xx": 1, "5xx": 1, "none": 0})
    stats = weir.wait_stats(lambda stats: stats["connections"]["idle"] == 1)
    assert stats["connections"]["accepted"] == 1 and stats["connections"]["open"] == 1
    client.close()
    weir.wait_stats(lambda stats: stats["connections"]["open"] == 0 and stats["connections"]["idle"] == 0)


def test_in_flight(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, respond(200, b"x"))
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a")
    gate.wait_reached()
    stats = weir.stats()
    assert stats["requests"]["in_flight"] == 1 and stats["requests"]["total"] == 0
    assert stats["upstreams"]["up"]["servers"][0]["connections"]["active"] == 1
    gate.open()
    client.read_response()
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 0 and stats["requests"]["total"] == 1)


def test_health(start):
    weir = start.weir(start.origin([]))
    assert weir.admin("GET", "/healthz").status == 200
    assert weir.admin("GET", "/readyz").status == 200


def test_unknown_paths_and_methods(start):
    weir = start.weir(start.origin([]))
    for path in ("/nothing", "/stats/x", "/statsx", "/../stats/"):
        assert weir.admin("GET", path).status == 404
    for path in ("/stats", "/healthz", "/readyz"):
        assert weir.admin("POST", path).status == 405
    assert weir.admin("HEAD", "/healthz").status == 200


def test_the_test_clock_is_not_there_by_itself(start):
    weir = start.weir(start.origin([]))
    assert weir.admin("POST", "/test/clock?advance_ms=1").status == 404


def test_rubbish_on_the_admin_port(start):
    weir = start.weir(start.origin([]))
    for data in (b"\0\xff" * 1000, b"GET /stats\r\n\r\n", b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\n\r\n",
                 b"GET /stats HTTP/1.1\r\nX: " + b"y" * 200000 + b"\r\n\r\n",
                 b"POST /purge HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000000\r\n\r\n"):
        client = Client(("127.0.0.1", weir.admin_port))
        client.send_quietly(data)
        client.close()
    assert weir.admin("GET", "/healthz").status == 200


def test_the_public_port_serves_no_admin(start):
    origin = start.origin(respond(200, b"from the origin"))
    weir = start.weir(origin)
    for target in ("/stats", "/healthz", "/readyz"):
        assert weir.get(target).body == b"from the origin"


def test_the_admin_port_answers_while_a_client_is_stuck_on_it(start):
    weir = start.weir(start.origin([]))
    stuck = Client(("127.0.0.1", weir.admin_port))
    stuck.send(b"GET /stats HTTP/1.1\r\nHo")
    assert weir.admin("GET", "/healthz").status == 200
    stuck.close()
