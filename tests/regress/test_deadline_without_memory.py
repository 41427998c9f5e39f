"""A worker's first deadline, for which libevent had no memory: without another event it was never noticed to be over."""

import pytest

from weirtest import ms, respond


@pytest.mark.parametrize("number", range(4))
def test_an_idle_client_is_closed(start, number):
    weir = start.faulty(start.origin(respond(200, b"x")), workers=1, limits={"idle_timeout": ms(200)})
    weir.orders.cue(f"libevent=ENOMEM*1+{number}")
    try:
        assert weir.client().read_end() in ("early", "reset")
    except ConnectionError:
        pass  # ended before anything could be asked of it
    weir.wait_stats(lambda stats: stats["connections"]["open"] == 0, "nobody left")
