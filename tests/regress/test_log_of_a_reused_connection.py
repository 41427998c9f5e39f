"""The access log named no upstream where a request had gone over a connection that was there already."""

import json
import os

from weirtest import respond, wait_for


def test_every_line_names_its_upstream(start):
    path = os.path.join(start.folder, "access.log")
    origin = start.origin(respond(200, b"x", [("Cache-Control", "no-store")]))
    weir = start.weir(origin, workers=1, access_log={"path": path, "format": "json"})
    client = weir.client()
    for _ in range(3):
        client.request("GET", "/a")
        assert client.read_response().body == b"x"
    weir.wait_server(reused=2)

    def lines():
        with open(path, encoding="utf-8") as file:
            found = [json.loads(line) for line in file.read().splitlines()]
        return found if len(found) == 3 else None
    logged = wait_for("three lines", lines)
    assert [line["upstream"] for line in logged] == [origin.address] * 3
