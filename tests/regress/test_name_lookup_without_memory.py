"""The lookup of a name, repeated while running, ended the process when there was no memory for it."""

import pytest

from weirtest import cacheable, wait_for


@pytest.mark.parametrize("number", range(2))
def test_the_known_addresses_are_kept(start, number):
    origin = start.origin(cacheable(b"x"))
    origin.url = origin.url.replace("127.0.0.1", "localhost")
    weir = start.faulty(origin, clock=True)
    assert weir.get("/a").body == b"x"
    weir.orders.cue(f"malloc@main=ENOMEM*1+{1 + number}")  # the admin port needs one to be told
    weir.advance(3600)
    wait_for("a failure", lambda: weir.orders.injected() > 0)
    weir.orders.off()
    assert weir.get("/b").body == b"x"
    wait_for("the line about it", lambda: "localhost: out of memory; keeping the addresses known" in weir.stderr())
