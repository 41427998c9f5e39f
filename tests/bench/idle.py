#!/usr/bin/env python3
"""What an idle keep-alive client costs: private memory per connection, and leased bufferevents.

Each client makes one request and then stays. The growth of the server's private pages (smaps_rollup, all its
processes) is divided by the clients; the kernel's socket memory is not in it. Memory that a server takes
before the first client comes is told apart, so that a table made in advance does not look free.
"""
import argparse

import harness
from client import Connection

CLIENTS, PEER_CLIENTS = 10000, 5000  # HAProxy reserves two descriptors for each


def private_bytes(pid):
    total = 0
    for one in harness.tasks_of(pid):
        with open(f"/proc/{one}/smaps_rollup") as f:
            for line in f:
                if line.startswith(("Private_Dirty:", "Private_Clean:")):
                    total += int(line.split()[1]) * 1024
    return total


def hold(bench, name, clients):
    origin, origin_port = bench.origin()
    server = bench.server(name, origin_port)
    connections = []
    try:
        for _ in range(50):  # its code and first pages are there before the count begins
            first = Connection(server.port)
            first.request("/hit")
            first.close()
        start = private_bytes(server.process.pid)
        half = start
        for i in range(clients):
            connections.append(Connection(server.port))
            status, _ = connections[-1].request("/hit")
            if status != 200:
                raise harness.BenchError(f"{name}: status {status} at client {i + 1}")
            if i + 1 == clients // 2:
                half = private_bytes(server.process.pid)
        end = private_bytes(server.process.pid)
        status, _ = connections[0].request("/hit")  # the oldest is still served
        if status != 200:
            raise harness.BenchError(f"{name}: status {status} on the oldest connection")
        found = {"clients": clients, "start_bytes": start, "bytes_each": (end - start) / clients,
                 "bytes_each_second_half": (end - half) / (clients - clients // 2)}
        if name.startswith("weir"):
            stats = server.stats()
            found["leased"] = stats["buffers"]["bufferevents"]["leased"]
            found["open"] = stats["connections"]["open"]
        return found
    finally:
        for connection in connections:
            connection.close()
        server.stop()
        origin.stop()


def measure(bench, servers=None, quick=False):
    names, _ = harness.present(servers or ["weir", "nginx", "haproxy"])
    names = [name for name in names if name not in ("floor", "relay", "weir-log")]
    clients = {name: CLIENTS if name == "weir" else PEER_CLIENTS for name in names}
    return {name: hold(bench, name, 2000 if quick else clients[name]) for name in names}


def lines(result):
    out = []
    for name, r in result.items():
        more = f"; open {r['open']}, leased bufferevents {r['leased']}" if "leased" in r else ""
        out.append(f"{name}: {r['bytes_each']:.0f} bytes each over {r['clients']} idle clients (second half "
                   f"{r['bytes_each_second_half']:.0f}; "
                   f"{r['start_bytes'] / 1048576:.1f} MiB before them){more}")
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", default="weir,nginx,haproxy")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--bindir")
    options = parser.parse_args()
    with harness.Bench(options.bindir) as bench:
        names, _ = harness.present(options.servers.split(","))
        print("\n".join(lines({name: hold(bench, name, options.clients) for name in names})))


if __name__ == "__main__":
    main()
