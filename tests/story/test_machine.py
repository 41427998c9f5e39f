"""What `auto` means here: found, used, and shown by check, /stats and /metrics."""

import os
import subprocess

from weirtest import SLOW, binary, respond

CONFIG = 'upstreams: {up: {servers: ["http://127.0.0.1:9"]}}\nroutes: [{upstream: up}]\n'


def check_on(start, cpus):
    """The lines of weir check under taskset."""
    path = start.file("weir.yaml", CONFIG)
    done = subprocess.run(["taskset", "-c", ",".join(map(str, cpus)), binary(), "check", "-c", path],
                          capture_output=True, text=True, timeout=20 * SLOW, check=False)
    assert done.returncode == 0, done
    return done.stdout.splitlines()


def test_affinity_decides_how_many_workers(start):
    cpus = sorted(os.sched_getaffinity(0))
    lines = check_on(start, cpus[:1])
    assert "workers: 1" in lines
    limit = "affinity" if (os.cpu_count() or 1) > 1 else "none"
    assert any(line.startswith(f"# this machine: cpus 1 (limited by: {limit}") for line in lines), lines
    assert any(line.startswith("# auto is here: workers 1, cache.memory ") for line in lines), lines
    # A quota of a cgroup may allow fewer than the mask.
    assert f"workers: {len(cpus)}" in check_on(start, cpus) or any("cgroup" in line for line in lines)


def test_shown_while_running(start):
    cpus = os.sched_getaffinity(0)
    raw = {"upstreams": {"up": {"servers": [start.origin(respond(200, b"x")).url]}},
           "routes": [{"upstream": "up"}]}
    os.sched_setaffinity(0, {min(cpus)})
    try:
        weir = start.weir(raw=raw)
    finally:
        os.sched_setaffinity(0, cpus)
    stats = weir.stats()
    assert stats["workers"] == stats["machine"]["auto_workers"] == stats["machine"]["cpus"] == 1
    assert stats["machine"]["cpus_limited_by"] in ("affinity", "cgroup", "none")
    assert stats["machine"]["auto_cache_memory"] == stats["cache"]["memory_limit"]
    assert stats["machine"]["memory_bytes"] > stats["machine"]["auto_cache_memory"]
    text = weir.admin("GET", "/metrics").body.decode()
    assert "\nweir_machine_cpus 1\n" in text
    assert f'\nweir_machine_cpus_limit_info{{limited_by="{stats["machine"]["cpus_limited_by"]}"}} 1\n' in text
