"""Out of descriptors: accepting pauses and resumes, without spinning and without harm to those who are in."""

import os
import select
import time

from weirtest import Client, SLOW, cacheable, respond, wait_for

# ThreadSanitizer opens files to say something, or to find that it is not to: without a descriptor it ends the program.
SILENT = {"TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS", "") + ":report_bugs=0"}


def crowd(weir, count):
    """Connected clients; those beyond the limit stay in the kernel's accept queue."""
    clients = []
    for _ in range(count):
        client = weir.client()
        client.sock.settimeout(2 * SLOW)
        clients.append(client)
    return clients


def served(weir):
    client = Client(weir.address)
    client.sock.settimeout(1)
    try:
        return client.get("/a").status == 200
    except (AssertionError, OSError):
        return False
    finally:
        client.close()


def test_accepting_pauses_and_resumes(start):
    origin = start.origin(cacheable(b"x"))
    weir = start.weir(origin, descriptors=96, env=SILENT)
    weir.get("/a")
    clients = crowd(weir, 150)
    descriptors = f"/proc/{weir.process.pid}/fd"
    wait_for("descriptors used up", lambda: len(os.listdir(descriptors)) >= 80)
    wait_for("no more accepted", lambda: steady(lambda: len(os.listdir(descriptors))))
    # A measured second: CPU time of a paused weir is next to nothing.
    before, start_s = weir.cpu_s(), time.monotonic()
    while time.monotonic() < start_s + 1:
        time.sleep(0.1)
    assert weir.cpu_s() - before < 0.2 * SLOW
    assert weir.process.poll() is None
    # Those who are in, whichever the kernel and the workers chose, are served from memory.
    for client in clients:
        client.request("GET", "/a")

    def answered():
        return len(select.select([client.sock for client in clients], [], [], 0)[0])
    wait_for("fifty answers", lambda: answered() >= 50)
    assert answered() < 100
    for client in clients:
        client.close()
    wait_for("a new client served", lambda: served(weir))
    weir.wait_stats(lambda stats: stats["connections"]["open"] == 0, "nobody left")


def steady(value):
    first = value()
    time.sleep(0.1)
    return value() == first


def test_those_who_wait_are_served_when_others_leave(start):
    origin = start.origin(cacheable(b"x"))
    weir = start.weir(origin, limits={"connections": 10})
    weir.get("/a")
    weir.wait_stats(lambda stats: stats["connections"]["open"] == 0)
    inside = crowd(weir, 10)
    for client in inside:
        client.get("/a")
    weir.wait_stats(lambda stats: stats["connections"]["open"] == 10)
    before, start_s = weir.cpu_s(), time.monotonic()
    waiting = crowd(weir, 10)
    while time.monotonic() < start_s + 0.5:
        time.sleep(0.1)
    assert weir.cpu_s() - before < 0.15 * SLOW
    assert weir.stats()["connections"]["open"] == 10
    for client in inside:
        client.close()
    for client in waiting:
        client.sock.settimeout(8 * SLOW)
        assert client.get("/a").body == b"x"


def test_no_descriptor_for_the_origin(start):
    """A miss that finds none left is an error of its own, not the end of everything."""
    origin = start.origin(respond(200, b"x", [("Cache-Control", "no-store")]))
    weir = start.weir(origin, descriptors=64, env=SILENT)
    clients = crowd(weir, 100)
    for client in clients:
        client.request("GET", "/a")
    answered = 0
    patience_s = 2 * SLOW
    for client in clients:
        client.sock.settimeout(patience_s)
        try:
            response = client.read_response()
            assert response.status in (200, 502, 503)
            answered += 1
        except (AssertionError, OSError):
            patience_s = 0.2  # whoever is not in by now is not going to be
        client.close()
    assert answered >= 10 and weir.process.poll() is None
    wait_for("a new client served", lambda: served(weir))
