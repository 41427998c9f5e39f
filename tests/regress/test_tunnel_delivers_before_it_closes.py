"""A tunnel that both sides had ended reset its origin connection: what the origin had not read yet was lost."""

from weirtest import PeerGone, patterned, wait_for

ASK = [("Connection", "Upgrade"), ("Upgrade", "foo")]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n"
DATA = patterned(600000)


def test_the_origin_reads_after_the_tunnel_has_ended(start):
    origin = start.origin(None, receive_buffer=4096)
    gate = origin.gate()
    got = []

    def script(request, connection):
        connection.send(SWITCH)
        connection.half_close()
        gate.wait()
        try:
            data = connection.take(len(DATA))
            connection.receive()
            got.append("too much")
        except PeerGone as gone:
            reset = isinstance(gone.__cause__, ConnectionResetError)
            got.append("reset" if reset else data == DATA)

    origin.script = script
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a", ASK)
    assert client.read_final_head().status == 101
    assert client.read_end() == "early"
    client.send(DATA)
    client.half_close()
    weir.wait_stats(lambda stats: stats["connections"]["open"] == 0, "the end of the tunnel")
    gate.open()
    wait_for("the end at the origin", lambda: got)
    assert got == [True]
    weir.wait_server(active=0, idle=0)
