"""After a pause for want of descriptors there was no memory to watch the listening socket again: nobody was accepted any more."""

from weirtest import cacheable, wait_for


def test_accepting_goes_on_later(start):
    weir = start.faulty(start.origin(cacheable(b"x")), workers=1)
    weir.orders.cue("accept4=EMFILE*1", "epoll_ctl=ENOMEM*1")
    client = weir.client()
    client.request("GET", "/a")
    wait_for("both failures", lambda: weir.orders.injected() == 2)
    assert client.read_response().body == b"x"
