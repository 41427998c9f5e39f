"""More chunks of an upload came in one read than the origin lived to take: an assertion stopped the process."""

import signal

from weirtest import chunk, respond, wait_for


def is_stopped(weir):
    with open(f"/proc/{weir.process.pid}/stat", encoding="ascii") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "T"


def test_the_client_is_answered_502(start):
    origin = start.origin(None, early=True)
    gate = origin.gate()

    def script(request, connection):
        gate.wait()
        connection.reset()

    origin.script = [script, respond(200, b"alive")]
    weir = start.weir(origin, workers=1)
    client = weir.client()
    client.request("POST", "/a", [("Transfer-Encoding", "chunked")])
    gate.wait_reached()
    # Stopped, so that it finds the chunks and then the reset at once.
    weir.signal(signal.SIGSTOP)
    wait_for("a stopped weir", lambda: is_stopped(weir))
    client.send(chunk(b"hello") * 200)
    gate.open()
    wait_for("the reset", origin.connections[0].ended.is_set)
    weir.signal(signal.SIGCONT)
    response = client.read_response("POST")
    assert response.status == 502 and response.end == "clean"
    weir.wait_server(active=0)
    assert weir.get("/b").body == b"alive"
    assert weir.process.poll() is None
