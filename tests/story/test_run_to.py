"""weir run --to: no file at all."""

import pytest

from weirtest import cacheable, free_port, respond, run_weir

SAME_TARGETS = False  # a path is put before them


def run_to(start, url, *more):
    return start.weir(args=["run", "--to", url, "--listen", "@LISTEN@", "--admin", "@ADMIN@", *more])


def test_in_front_of_an_origin(start):
    origin = start.origin(cacheable(b"hello"))
    weir = run_to(start, origin.url)
    for _ in range(2):
        assert weir.get("/a?b").body == b"hello"
    assert origin.targets == ["/a?b"]
    assert origin.requests[0].all("Host") == [origin.address]
    assert origin.requests[0].field("X-Forwarded-Host") == "example.test"
    weir.wait_cache(hits=1, misses=1)


@pytest.mark.parametrize("base, sent, received", [
    ("/", "/x", "/x"), ("/api", "/x?y", "/api/x?y"), ("/api/", "/x", "/api/x"), ("/a/b/", "/", "/a/b/"),
    ("/api", "/", "/api/"), ("/api", "/../x", "/api/../x"),
])
def test_a_path_is_put_before_the_requests(start, base, sent, received):
    origin = start.origin(cacheable(b"hello"))
    weir = run_to(start, origin.url + base)
    for _ in range(2):
        assert weir.get(sent).body == b"hello"
    assert origin.targets == [received]


def test_a_unix_socket(start):
    origin = start.origin(respond(200, b"hello"), family="unix")
    weir = run_to(start, origin.url)
    assert weir.get("/a").body == b"hello"


def test_an_ipv6_origin(start):
    origin = start.origin(respond(200, b"hello"), family="inet6")
    weir = run_to(start, origin.url)
    assert weir.get("/a").body == b"hello"
    assert origin.requests[0].field("Host") == origin.address


def test_a_name(start):
    origin = start.origin(respond(200, b"hello"))
    port = origin.address.split(":")[1]
    weir = run_to(start, f"http://localhost:{port}")
    assert weir.get("/a").body == b"hello"
    assert origin.requests[0].field("Host") == f"localhost:{port}"


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "ftp://127.0.0.1", "http://", "http://a b", "http://x:99999",
                                 "http://127.0.0.1:80?query", "http://u@127.0.0.1:80"])
def test_a_wrong_url(url):
    done = run_weir("run", "--to", url, "--listen", f"127.0.0.1:{free_port()}", "--admin", f"127.0.0.1:{free_port()}")
    assert done.returncode == 1 and done.stderr.strip()


@pytest.mark.parametrize("option", ["--listen", "--admin"])
def test_a_wrong_address(option):
    done = run_weir("run", "--to", "http://127.0.0.1:1", option, "nonsense")
    assert done.returncode == 1 and "nonsense" in done.stderr


def test_it_says_where_it_listens(start):
    origin = start.origin(respond(200, b"hello"))
    weir = run_to(start, origin.url)
    assert str(weir.port) in weir.stderr() and str(weir.admin_port) in weir.stderr()
