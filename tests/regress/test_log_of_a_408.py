"""The access log line of a 408 was made of spans into a read buffer that had served other clients since."""

import json
import os
import re

import pytest

from weirtest import respond, wait_for

SECRET = "Q" * 200
BEGUN = (b"GET /mine HTTP/1.1\r\nHost: mine.test\r\nUser-Agent: mine\r\n"
         b"Referer: http://mine.test/\r\nX: ")


@pytest.mark.parametrize("style", ["json", "combined"])
def test_nothing_of_others_in_it(start, style):
    path = os.path.join(start.folder, "access.log")
    weir = start.weir(start.origin(respond(200, b"x")), clock=True, workers=1,
                      access_log={"path": path, "format": style})
    slow = weir.client()
    slow.send(BEGUN)
    weir.wait_stats(lambda stats: stats["connections"]["open"] == 1, "the slow client")
    # A worker reads in the order of arrival: once others are answered, the begun head was read.
    for _ in range(3):
        other = weir.client()
        other.send(f"{SECRET} /{SECRET} HTTP/1.1\r\nHost: {SECRET}\r\nUser-Agent: {SECRET}\r\n"
                   f"Referer: {SECRET}\r\nConnection: close\r\n\r\n".encode())
        assert other.read_response().status < 600
        other.close()
    weir.advance(11)
    assert slow.read_response().status == 408

    def line():
        with open(path, encoding="utf-8") as file:
            lines = [one for one in file.read().split("\n")[:-1] if re.search('"status":408,|" 408 ', one)]
        return lines[0] if lines else None
    found = wait_for("the line of the 408", line)
    assert "QQ" not in found, found
    if style == "json":
        logged = json.loads(found)
        own = {"method": "GET", "target": "/mine", "host": "mine.test", "user_agent": "mine",
               "referer": "http://mine.test/"}
        for name, value in own.items():
            assert logged[name] in ("-", value), found
    else:
        assert re.search(r'"(- -|GET /mine) HTTP/1\.[01]" 408 \d+ "(-|http://mine\.test/)" "(-|mine)"$', found), found
