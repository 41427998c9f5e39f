"""A large answer stood still for ever once the client had paused: the rest waited for an edge that never came."""

import time

import pytest

from weirtest import cacheable, patterned, wait_for


@pytest.mark.parametrize("workers", [1, 2])
def test_the_rest_comes_when_the_client_reads_again(start, workers):
    body = patterned(12 << 20)
    origin = start.origin(cacheable(body))
    weir = start.weir(origin, workers=workers)
    assert weir.get("/a").body == body
    for _ in range(5):
        client = weir.client()
        client.request("GET", "/a")
        response = client.read_head()
        wait_for("output that waits", lambda: weir.stats()["buffers"]["bufferevents"]["leased"] == 1)
        time.sleep(0.02)  # not a wait: the pause is what the bug needed
        assert client.read_body(response).body == body and response.end == "clean"
        wait_for("the bufferevent given back", lambda: weir.stats()["buffers"]["bufferevents"]["leased"] == 0)
