"""The error log said "answered 502" where a HEAD was given the stored response, and where must-revalidate made it a 504."""

import re

import pytest

from weirtest import respond, wait_for


@pytest.mark.parametrize("method, control, status, follows", [
    ("HEAD", "max-age=1, stale-if-error=60", 200, "answered with what is stored"),
    ("GET", "max-age=1, stale-if-error=60", 200, "answered with what is stored"),
    ("HEAD", "max-age=1, must-revalidate", 504, "answered 504"),
    ("GET", "max-age=1, must-revalidate", 504, "answered 504"),
    ("HEAD", "max-age=1", 502, "answered 502"),
    ("GET", "max-age=1", 502, "answered 502"),
])
def test_says_what_the_client_got(start, method, control, status, follows):
    origin = start.origin(respond(200, b"x", [("Cache-Control", control), ("ETag", '"v"')]))
    weir = start.weir(origin, clock=True, workers=1)
    weir.client().get("/a")
    weir.advance(5)
    origin.stop()
    assert weir.client().fetch(method, "/a").status == status
    line = wait_for("the line about the origin", lambda: re.search(r'"%s /a HTTP/1\.1": .*' % method, weir.stderr()))
    assert line.group().endswith("; " + follows), line.group()
