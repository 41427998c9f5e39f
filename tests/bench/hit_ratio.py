#!/usr/bin/env python3
"""Hit ratios: Weir's own cache beside LRU, FIFO, S3-FIFO as the paper has it, and Belady's optimum.

replay.c, linked with libweir.a, sends the same requests through all of them, with the same memory. The
workloads come from a seed; --trace takes one of yours instead: lines "time,key,size" (seconds, any text
without a comma, bytes), blank ones and those that start with # ignored.
"""
import argparse
import concurrent.futures
import json
import os
import subprocess
import sys

import harness
import linked

POLICIES = {"fifo": "FIFO", "lru": "LRU", "s3fifo": "S3-FIFO (paper)", "weir": "Weir",
            "belady": "Belady (unit sizes)"}
WORKLOADS = {"Zipf 0.6": ["--zipf", "0.6"], "Zipf 0.8": ["--zipf", "0.8"], "Zipf 1.0": ["--zipf", "1.0"],
             "Zipf 0.8 and scans": ["--zipf", "0.8", "--scan"]}
SIZES = {"mixed": [], "unit": ["--unit"]}
QUICK = ["--keys", "20000", "--requests", "200000"]
TIMEOUT_S = 600
MODEL_ERROR_MOST = 0.02
OF_PAPER_LEAST = 0.98
METHOD = """\
Share of requests (in brackets: of bytes) that were answered from memory when the same sequence is replayed
through Weir's cache and through plain models of other policies: 2,000,000 requests for 200,000 keys of a Zipf
distribution; with scans, a third of the requests are for keys asked for once, 5,000 in a row. Sizes of bodies
are log-normal, 100 B to 256 KiB, 4.7 KiB in the mean, or all 4 KiB (unit). The capacity is a share of what all
keys that were asked for would take. All have the same memory, and an object takes of it what Weir's own
counter says: head, key, body and a share of the index, in the allocator's size classes. Weir's further
overheads come out of its part."""


def replay(binary, title, sizes, arguments):
    """One row for each capacity."""
    done = subprocess.run([binary, *arguments, *SIZES[sizes]], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=TIMEOUT_S)
    if done.returncode:
        raise harness.BenchError(f"{title}: {done.stderr.strip()[-800:] or done.returncode}")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        row.update(workload=title, sizes=sizes)
        if abs(row["model_error"]) > MODEL_ERROR_MOST:
            raise harness.BenchError(f"{title}: what objects weigh is off by {row['model_error']:.1%} of "
                                     "Weir's counter: the comparison would not be fair")
    return rows


def replay_all(bench, workloads, more=()):
    """Two at a time: no clock is read."""
    binary = linked.build(bench, "replay", "policies", "workload")
    with concurrent.futures.ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as executor:
        jobs = [executor.submit(replay, binary, title, sizes, [*arguments, *more])
                for title, arguments in workloads.items() for sizes in SIZES]
        return {"rows": [row for job in jobs for row in job.result()]}


def measure(bench, servers=None, quick=False):
    if servers and "weir" not in servers:
        raise harness.BenchError("nothing to replay")
    return replay_all(bench, WORKLOADS, QUICK if quick else ())


def ratio(row, policy):
    return row["weir"]["hits"] / row[policy]["hits"] if row[policy]["hits"] else float("inf")


def lines(result):
    return [f"{row['workload']}, {row['sizes']} sizes, {row['capacity']}: Weir {row['weir']['hits']:.2%} of "
            f"requests, {ratio(row, 'lru'):.3f} × LRU, {ratio(row, 's3fifo'):.3f} × S3-FIFO"
            for row in result["rows"]]


def cell(row, policy):
    if policy not in row:
        return "–"
    hits, bytes_ = row[policy]["hits"], row[policy]["byte_hits"]
    return f"{hits:.1%}" if row["sizes"] == "unit" else f"{hits:.1%} ({bytes_:.1%})"


def table(result):
    out = ["| workload | sizes | capacity | " + " | ".join(POLICIES.values()) + " | B/object: Weir, S3-FIFO |",
           "|---" * (len(POLICIES) + 4) + "|"]
    title = None
    for row in result["rows"]:
        each = f"{row['weir']['bytes_each']:,.0f}, {row['s3fifo']['bytes_each']:,.0f}"
        capacity = f"{row['capacity']} ({row['memory'] / 2**20:.1f} MiB)"
        cells = [row["workload"] if row["workload"] != title else "", row["sizes"], capacity,
                 *(cell(row, policy) for policy in POLICIES), each]
        out.append("| " + " | ".join(cells) + " |")
        title = row["workload"]
    return out


def goals(result):
    """Rows: what, goal, measured, whether it is met."""
    out = []
    for title in dict.fromkeys(row["workload"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["workload"] == title]
        for policy, least, goal in (("lru", 1, "≥ LRU"),
                                    ("s3fifo", OF_PAPER_LEAST, f"≥ {OF_PAPER_LEAST} × S3-FIFO (paper)")):
            ratios = [ratio(row, policy) for row in rows]
            out.append((f"hit ratio, {title}", goal,
                        f"{min(ratios):.3f} × ({len(ratios)} runs, up to {max(ratios):.3f})",
                        min(ratios) >= least))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", metavar="FILE", help="replay this instead of the made workloads")
    parser.add_argument("--capacity", metavar="LIST", help="such as 1%%,10%%,64M (MiB) (default 1%%,10%%)")
    parser.add_argument("--seed", help="of the made workloads (default 1)")
    parser.add_argument("--workers", help="that Weir chooses its shards for (default 2)")
    parser.add_argument("--shards", help="of Weir's cache, a power of two (default: as it chooses)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the keys and of the requests")
    parser.add_argument("--json", help="write raw results here")
    parser.add_argument("--bindir")
    options = parser.parse_args()
    workloads = WORKLOADS
    if options.trace:
        workloads = {os.path.basename(options.trace): ["--trace", os.path.abspath(options.trace)]}
    more = QUICK.copy() if options.quick else []
    for name in ("capacity", "seed", "workers", "shards"):
        if getattr(options, name):
            more += [f"--{name}", getattr(options, name)]
    with harness.Bench(options.bindir) as bench:
        try:
            result = replay_all(bench, workloads, more)
        except harness.BenchError as e:
            sys.exit(str(e))
    if options.json:
        with open(options.json, "w") as f:
            json.dump(result, f, indent=1)
    print("\n".join(table(result)))


if __name__ == "__main__":
    main()
