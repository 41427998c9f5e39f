"""Retry-After (RFC 9110 section 10.2.3) in answers of Weir's own: with 503, which a moment later may be another answer."""

import pytest

from weirtest import held, respond


@pytest.mark.parametrize("detail,pool", [("queue-full", {"queue": 0}),
                                         ("queue-timeout", {"queue": 10, "queue_timeout": "20ms"})])
def test_the_queue(start, detail, pool):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, respond(200, b"x"))
    weir = start.weir(origin, pool={"max_connections": 1} | pool)
    first = weir.client()
    first.request("GET", "/first")
    gate.wait_reached()
    response = weir.get("/second")
    assert response.status == 503 and response.cache_status()["detail"] == detail
    assert response.all("Retry-After") == ["1"]
    gate.open()
    assert first.read_response().status == 200


def test_other_errors_have_none(start):
    weir = start.weir("http://127.0.0.1:1", route={"path": "/v1"})
    assert not weir.get("/v1").has("Retry-After")
    assert not weir.get("/other").has("Retry-After")
