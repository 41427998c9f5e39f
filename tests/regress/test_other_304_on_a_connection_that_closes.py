"""A 304 about another response was answered 502 when its connection could not be used again to ask for the whole."""

import pytest

from weirtest import respond


@pytest.mark.parametrize("fields, body", [([("Connection", "close")], b""), ([], b"rubbish")], ids=["closes", "has a body"])
def test_the_whole_is_asked_for_on_another_connection(start, fields, body):
    tag = ("ETag", '"2"')
    origin = start.origin([respond(200, b"one", [("Cache-Control", "no-cache"), ("ETag", '"1"')]),
                           respond(304, body, [tag] + fields), respond(200, b"two", [tag])])
    weir = start.weir(origin)
    assert weir.get("/a").body == b"one"
    response = weir.get("/a")
    assert response.status == 200 and response.body == b"two"
    assert [request.has("If-None-Match") for request in origin.requests] == [False, True, False]
