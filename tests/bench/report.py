"""The tables and the page that a bench run ends in. Every figure comes from the run's own results."""
import os
import re
import statistics

import allocs
import callgrind
import churn
import harness
import hit_ratio
import idle
import object_memory
import post_race
import purge
import reuse
import storm
import threads
from figures import spread

TITLES = {"hit": "1 KiB hit, 64 connections", "miss": "1 KiB miss through the pool, 64 connections",
          "big": "1 MiB hit, 8 connections", "huge": "64 MiB hit, 4 connections"}
FLOORS = {"hit": "floor", "miss": "relay", "big": "floor", "huge": "floor", "rate": "floor"}
NAMES = {"floor": "bare epoll responder (floor)", "relay": "bare epoll relay (floor)", "weir": "Weir",
         "weir-log": "Weir, access log json", "nginx": "nginx", "haproxy": "HAProxy", "varnish": "Varnish"}
# workload, server, another, factor: CPU time per request of the one may be at most factor × the other's.
RATIO_GOALS = [("hit", "weir", "floor", 1.20), ("hit", "weir", "haproxy", 0.80), ("hit", "weir-log", "weir", 1.15),
               ("miss", "weir", "relay", 1.20), ("miss", "weir", "nginx", 0.95), ("big", "weir", "floor", 1.10),
               ("huge", "weir", "floor", 1.10)]
PER_BYTE = ("big", "huge")  # their CPU time is that of one whole body sent
METHOD = """\
One server at a time on core 0, the load (wrk) and the origin on core 1, all on the loopback of one machine. In each round every server is started afresh, warmed, and measured
once, in turn. CPU time is what the kernel's scheduler counted for the server's tasks
(`/proc/PID/task/*/schedstat`), the kernel's work on its behalf included. Figures are medians over the rounds,
with the least and the greatest in brackets; a ratio is taken within each round. For hits of 1 and 64 MiB the CPU time
is that of one body sent. Misses ask for 10,000 different paths in turn."""
RATE_HEADING = "## At a constant rate"
RATE_METHOD = """\
1 KiB hits over 64 keep-alive connections, each request due at a fixed time and its latency counted from then, whatever
became of those before it (no coordinated omission). One generator (`tests/bench/rate.c`) spins on core 1; servers, rounds
and ratios are as above, latencies at most 1.6 % off. Its own lateness, from when a request was due to when it was taken up, is in
the last column and part of every latency; a run in which it is late by more than the time between two requests (p99) is
refused. The floor is the control: what machine and generator cost with next to no server."""
QUIET = """\
The two cores should have nothing else to do. A run during which other programs used more than a tenth of
either is repeated (`--retries`), and said so if it stays that way. Where the machine cannot be quiet,
`--nice` raises the priority of servers and load."""
REPEAT = ["make bench                                      # all of it, renews this page",
          "tests/bench/run.py --only hit,miss --rounds 9   # parts; --json FILE keeps the raw results",
          "tests/bench/run.py --only rate --section docs/benchmarks.md   # renews the constant rate's section alone",
          "tests/bench/compare.py A.json B.json            # two runs side by side, with their spread",
          "tests/bench/callgrind.py --check                # instructions per request against the baseline",
          "tests/bench/hit_ratio.py --trace FILE           # hit ratios of a trace: lines time,key,size"]


def ratios(rounds, other_rounds, key="cpu_us"):
    """Each round against the same round of the other."""
    return [a[key] / b[key] for a, b in zip(rounds, other_rounds)]


def main_table(results):
    out = ["| workload | server | CPU µs/request | × floor | requests/s | p50 µs | p99 µs |",
           "|---|---|---|---|---|---|---|"]
    for workload, servers in results["workloads"].items():
        if workload not in TITLES:
            continue
        title = TITLES[workload]
        floor = servers.get(FLOORS[workload], [])
        for name, rounds in servers.items():
            of = {key: [r[key] for r in rounds] for key in ("cpu_us", "per_second", "p50", "p99")}
            against = spread(ratios(rounds, floor)) if floor and rounds is not floor else "1"
            out.append(f"| {title} | {NAMES[name]} | {spread(of['cpu_us'])} | {against} | "
                       f"{statistics.median(of['per_second']):,.0f} | {statistics.median(of['p50']):,.0f} | "
                       f"{spread(of['p99'], 0)} |")
            title = ""
    return out


def rate_table(servers):
    out = ["| server | p50 µs | p99 µs | p99.9 µs | max µs | Weir's p99 / its p99 | CPU µs/request | "
           "generator late: p50, p99, p99.9, max µs |",
           "|---|---|---|---|---|---|---|---|"]
    for name, rounds in servers.items():
        latencies = [spread([r[key] for r in rounds], 0) for key in ("p50", "p99", "p999", "max")]
        weir = "1" if name == "weir" else spread(ratios(servers.get("weir", ()), rounds, "p99"))
        late = [f"{statistics.median(r['late'][key] for r in rounds):.1f}" for key in ("p50", "p99", "p999", "max")]
        out.append("| " + " | ".join([NAMES[name], *latencies, weir, spread([r["cpu_us"] for r in rounds]),
                                      ", ".join(late)]) + " |")
    return out


def rate_section(results):
    servers = results["workloads"].get("rate")
    if not servers:
        return []
    notes = ["- " + note for note in results["notes"] if note.startswith(("rate", "other programs", "servers and load"))]
    return [RATE_HEADING, "", RATE_METHOD, "",
            f"{results['rate']:,} requests a second, {results['rounds']} rounds of {results['seconds']:g} s, "
            f"{results['started']}.", "", *rate_table(servers), "", *notes, *([""] if notes else [])]


def renew_section(page_text, lines):
    """The page with these lines in place of its section of the same heading, or before its goals."""
    section = "\n".join(lines) + "\n"
    kept = re.sub(rf"^{re.escape(lines[0])}\n.*?(?=^## )", "", page_text, flags=re.M | re.S)
    before, goals, after = kept.partition("## Held against the goals")
    if not goals:
        raise harness.BenchError("--section: that page has no heading '## Held against the goals'; renew it whole")
    return before + section + goals + after


def judged(good):
    return "yes" if good else "**no**"


def ratio_goal_rows(results):
    rows = []
    for workload, name, other, factor in RATIO_GOALS:
        servers = results["workloads"].get(workload, {})
        title = TITLES[workload] + (", CPU time per byte" if workload in PER_BYTE else "")
        title += f", {NAMES[name]}" if name != "weir" else ""
        if servers.get(name) and servers.get(other):
            found = ratios(servers[name], servers[other])
            rows.append((title, f"≤ {factor:.2f} × {NAMES[other]}", spread(found) + " ×",
                         judged(statistics.median(found) <= factor)))
    return rows


def single_goal_rows(singles):
    rows = []
    found = singles.get("allocs", {}).get("weir")
    if found:
        each = found["allocations"] / found["hits"]
        rows.append(("allocations per hit", "0", f"{each:.4f}", judged(each < 0.001)))
    found = singles.get("idle", {}).get("weir")
    if found:
        rows.append((f"idle keep-alive client, {found['clients']:,} of them", "≤ 512 B in user space",
                     f"{found['bytes_each']:.0f} B", judged(found["bytes_each"] <= 512)))
        rows.append(("bufferevents leased by them", "0", str(found["leased"]), judged(found["leased"] == 0)))
    found = singles.get("reuse", {}).get("weir")
    if found:
        rows.append((f"origin connections opened, two workers, {found['requests']:,} misses",
                     f"≤ peak concurrency ({found['peak']}) + 2", str(found["opened"]),
                     judged(found["opened"] <= found["peak"] + 2)))
        rows.append(("reuse of origin connections", "≥ 99 %", f"{found['reuse']:.2%}",
                     judged(found["reuse"] >= 0.99)))
    found = singles.get("post", {}).get("weir")
    if found:
        rows.append((f"{found['posts']:,} POSTs, origin closing idle connections: lost, doubled", "0, 0",
                     f"{found['lost']}, {found['doubled']}",
                     judged(not found["lost"] and not found["doubled"])))
    for name, module in (("hitratio", hit_ratio), ("storm", storm), ("object_memory", object_memory),
                         ("churn", churn), ("purge", purge), ("threads", threads)):
        found = singles.get(name)
        if found:
            rows += [(*row, judged(good)) for *row, good in module.goals(found)]
    return rows


def goals_table(results):
    rows = ratio_goal_rows(results) + single_goal_rows(results["singles"])
    if not rows:
        return []
    head = ["| what | goal | measured | met |", "|---|---|---|---|"]
    return head + ["| " + " | ".join(row) + " |" for row in rows]


def singles_list(results):
    modules = {"allocs": ("Allocations per hit", allocs), "idle": ("Idle keep-alive clients", idle),
               "reuse": ("Reuse of origin connections", reuse), "post": ("The POST race", post_race),
               "callgrind": ("Instructions in user space (callgrind)", callgrind),
               "storm": ("A storm of clients at one key", storm),
               "object_memory": ("Memory of a small object", object_memory), "churn": ("Churn", churn),
               "purge": ("A purge beside hits", purge),
               "threads": ("A second thread", threads)}
    out = []
    for name, (title, module) in modules.items():
        if results["singles"].get(name):
            out += [f"**{title}**", "", *("- " + line for line in module.lines(results["singles"][name])), ""]
    return out


def hit_ratio_table(results):
    found = results["singles"].get("hitratio")
    return ["## Hit ratios", "", hit_ratio.METHOD, "", *hit_ratio.table(found), ""] if found else []


def tables(results):
    out = main_table(results) if TITLES.keys() & results["workloads"].keys() else []
    return "\n".join(out + [""] + rate_section(results) + goals_table(results) + [""] + singles_list(results) +
                     hit_ratio_table(results))


def configuration(results):
    ran = {name for servers in results["workloads"].values() for name in servers}
    out = []
    for server, name in (("weir", "weir.yaml.in"), ("nginx", "nginx.conf.in"), ("haproxy", "haproxy.cfg.in"),
                         ("varnish", "varnish.vcl.in")):
        if server not in ran:
            continue
        with open(os.path.join(harness.HERE, "conf", name)) as f:
            out += [f"`tests/bench/conf/{name}`", "", "```", f.read().rstrip(), "```", ""]
    return out


def page(results):
    out = ["# Benchmarks", "",
           f"Written by `make bench` on {results['started']}; do not edit. {results['rounds']} rounds of "
           f"{results['seconds']:g} s each.", "", METHOD, "",
           *main_table(results), "", *rate_section(results), "## Held against the goals", "", *goals_table(results), "",
           *hit_ratio_table(results), "## Single figures", "", *singles_list(results)]
    if results["notes"]:
        out += ["## Notes of the run", "", *("- " + note for note in results["notes"]), ""]
    out += ["## Versions", "", *(f"- {name}: {text}" for name, text in results["versions"].items()), "",
            "## How to repeat it", "",
            "```", *REPEAT, "```", "",
            QUIET, "",
            "## Configuration", "", *configuration(results)]
    return "\n".join(out).rstrip() + "\n"
