"""While Weir stopped, the last turn of the admin port's loop answered the pending profile, and requests beside it with a profiler
that was no longer there: in one of four stops it crashed, before the last lines of the logs were written."""

import socket
import time

import pytest

from weirtest import respond, wait_for

STOPS = 12


def ask(sock, path):
    try:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    except OSError:
        pass


def test_others_ask_meanwhile(start):
    origin = start.origin(respond(200, b"x"))
    for number in range(STOPS):
        weir = start.weir(origin)
        if weir.admin("GET", "/debug/pprof/symbol").status == 501:
            pytest.skip("built without profiles")
        pending, *others = [socket.create_connection(("127.0.0.1", weir.admin_port), 30) for _ in range(60)]
        ask(pending, "/debug/pprof/profile?seconds=300")
        wait_for("the profile", lambda: "a CPU profile of 300 s begins" in weir.stderr())
        time.sleep(0.007 * number)  # against the ticks of the main thread
        weir.signal()
        for other in others:
            ask(other, "/debug/pprof/profile?seconds=300")
            time.sleep(0.002)  # one of them comes in the last turn; which one, nobody knows
        assert weir.wait_exit() == 0
        for sock in [pending] + others:
            sock.close()
