"""A 101 that came after TERM began a tunnel, and a tunnel that is in use never ends: nor did the process."""

import signal
import socket

import pytest

from weirtest import wait_for

ASK = [("Connection", "Upgrade"), ("Upgrade", "foo")]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n"


def refuses(weir):
    """True once the public port refuses connections."""
    with socket.socket() as probe:
        return probe.connect_ex(weir.address) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_ends(start, number):
    origin = start.origin(None)
    gate = origin.gate()

    def script(request, connection):
        gate.wait()
        connection.send(SWITCH)
        while True:
            connection.send(connection.take_any())

    origin.script = script
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a", ASK)
    gate.wait_reached()
    weir.signal(number)
    wait_for("the listener closed", lambda: refuses(weir))
    gate.open()
    response = client.read_response()
    assert response.status == 503 and "close" in response.members("Connection")
    assert client.read_end() == "early"
    client.close()
    origin.connections[0].wait_closed()
    assert weir.wait_exit() == 0
