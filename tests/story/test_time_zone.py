"""Dates are of GMT, wherever Weir runs (RFC 9111 section 4.2)."""

import email.utils
import time

import pytest

from weirtest import respond


@pytest.mark.parametrize("zone", ["UTC", "XYZ-14", "XYZ+12"])
def test_the_local_time_zone_changes_nothing(start, zone):
    def fixdate(seconds):
        return email.utils.formatdate(time.time() + seconds, usegmt=True)

    fields = [("Date", fixdate(-100)), ("Expires", fixdate(1000)), ("Last-Modified", fixdate(-5000))]
    origin = start.origin([respond(200, b"x", fields), respond(404, b"y", [("Cache-Control", "no-store")])])
    weir = start.weir(origin, env={"TZ": zone})
    weir.get("/a")
    hit = weir.get("/a", [("If-Modified-Since", fixdate(-5000))])
    assert hit.status == 304 and 990 <= hit.cache_status()["ttl"] <= 1000
    assert 100 <= int(weir.get("/a").field("Age")) <= 110
    made = email.utils.parsedate_to_datetime(weir.get("/b").field("Date")).timestamp()
    assert abs(made - time.time()) < 10
    weir.wait_cache(hits=2, misses=2)
