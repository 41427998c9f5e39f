"""A waiter that had to ask for itself sent bytes of the worker's read buffer as its target."""

from weirtest import respond

FIELDS = [("Cache-Control", "no-store")]


def test_each_asks_for_what_it_wanted(start):
    origin = start.origin(None)
    gate = origin.gate()

    def script(request, connection):
        gate.wait()
        respond(200, f"{request.target} {request.field('X-Own')}".encode(), FIELDS)(request, connection)

    origin.script = script
    weir = start.weir(origin)
    target = "/a/target/that/is/not/short?with=a&query"
    clients = [weir.client() for _ in range(12)]
    for number, client in enumerate(clients):
        client.request("GET", target, [("X-Own", str(number))])
    weir.wait_stats(lambda stats: stats["requests"]["in_flight"] == 12, "twelve in flight")
    gate.open()
    bodies = [client.read_response().body.decode() for client in clients]
    assert bodies == [f"{target} {number}" for number in range(12)]
    assert set(origin.targets) == {target} and len(origin.targets) == 12
