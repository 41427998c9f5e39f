"""Purging a URL, by the admin port and by the command, and who may do it."""

import json
import socket

import pytest

from weirtest import cacheable, chunk, held, respond


def by_language(request, connection):
    cacheable(b"x", 60, [("Vary", "Accept-Language")])(request, connection)


def test_a_purged_response_is_asked_for_anew(start):
    origin = start.origin([cacheable(b"one"), cacheable(b"other"), cacheable(b"two")])
    weir = start.weir(origin)
    assert weir.get("/a").body == b"one" and weir.get("/b").body == b"other"
    assert weir.purge("http://example.test/a") == 1
    stats = weir.wait_cache(purged=1, objects=1)
    assert stats["cache"]["purged"] == 1
    assert weir.get("/a").body == b"two"
    assert weir.get("/b").cache_status()["hit"] is True
    assert weir.purge("http://example.test/nothing") == 0


@pytest.mark.parametrize("url", ["http://example.test/a?b=c", "http://EXAMPLE.test:80/a?b=c", "HTTP://example.test./a?b=c"])
def test_spellings_of_a_url(start, url):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    weir.get("/a?b=c")
    weir.get("/a")
    assert weir.purge(url) == 1
    assert weir.get("/a").cache_status()["hit"] is True


def test_every_variant_is_counted(start):
    origin = start.origin(by_language)
    weir = start.weir(origin)
    for language in ("de", "en", "fr"):
        weir.get("/a", [("Accept-Language", language)])
    weir.wait_cache(objects=3)
    assert weir.purge("http://example.test/a") == 3
    weir.wait_cache(objects=0, purged=3)


def test_other_hosts_stay(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    weir.get("/a", host="one.test")
    weir.get("/a", host="two.test")
    assert weir.purge("http://one.test/a") == 1
    assert weir.get("/a", host="two.test").cache_status()["hit"] is True


def test_a_purge_while_it_is_being_filled(start):
    """What was asked of the origin before the purge must not come back as fresh after it."""
    def script(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n" +
                        chunk(b"old"))
        gate.wait()
        connection.send(b"0\r\n\r\n")

    origin = start.origin(script)
    gate = origin.gate()
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a")
    response = client.read_body(client.read_final_head(), at_least=3)
    weir.purge("http://example.test/a")
    gate.open()
    assert client.read_body(response).body == b"old" and response.end == "clean"
    origin.script = cacheable(b"new")
    assert weir.get("/a").body == b"new"


def test_a_reader_keeps_what_it_reads(start):
    body = bytes(range(256)) * 40000
    origin = start.origin(cacheable(body))
    weir = start.weir(origin)
    weir.get("/a")
    client = weir.client(receive_buffer=65536)
    client.request("GET", "/a")
    response = client.read_body(client.read_head(), at_least=1000)
    assert weir.purge("http://example.test/a") == 1
    assert client.read_body(response).body == body and response.end == "clean"


def test_the_command(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    weir.get("/a")
    done = weir.command("purge", "--admin", weir.admin_url, "http://example.test/a")
    assert done.returncode == 0 and "1" in done.stdout
    weir.wait_cache(purged=1, objects=0)
    weir.get("/a")
    done = weir.command("purge", "http://example.test/a", env={"WEIR_ADMIN": weir.admin_url})
    assert done.returncode == 0
    weir.wait_cache(purged=2)


@pytest.mark.parametrize("url", ["/a", "example.test/a", "ftp://example.test/a", "http://", "", "http://a b/"])
def test_a_wrong_url(start, url):
    weir = start.weir(start.origin([]))
    done = weir.command("purge", "--admin", weir.admin_url, url)
    assert done.returncode == 1 and done.stderr.strip()
    quoted = url.replace(" ", "%20")
    assert weir.admin("POST", f"/purge?url={quoted}").status == 400


@pytest.mark.parametrize("query", ["", "?", "?soft=1", "?url=", "?tag=", "?all=0", "?all=1&soft=2", "?x=1",
                                   "?url=http://a/&tag=b", "?prefix=a", "?prefix=/a", "?tag=a&tag=b"])
def test_a_purge_that_names_nothing_or_too_much(start, query):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    weir.get("/a")
    response = weir.admin("POST", f"/purge{query}")
    assert response.status == 400 and json.loads(response.body)["error"]
    weir.wait_cache(purged=0, objects=1)


@pytest.mark.parametrize("args", [[], ["--soft"], ["http://a/", "--all"], ["--tag", "a", "--prefix", "http://a/"],
                                  ["--prefix", "/a"], ["--tag", ""], ["--all", "1"], ["--tags", "a"]], ids=str)
def test_a_command_that_names_nothing_or_too_much(start, args):
    weir = start.weir(start.origin([]))
    done = weir.command("purge", "--admin", weir.admin_url, *args)
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1
    weir.wait_cache(purged=0)


@pytest.mark.parametrize("args, purged", [(["--prefix", "http://example.test/a/"], 2), (["--tag", "even"], 2),
                                          (["--all"], 4), (["http://EXAMPLE.test:80/a/1"], 1)], ids=str)
@pytest.mark.parametrize("soft", [False, True])
def test_the_command_by_prefix_tag_and_all(start, args, purged, soft):
    def script(request, connection):
        even = int(request.target[-1]) % 2 == 0
        cacheable(b"x", 60, [("Surrogate-Key", "even" if even else "odd")])(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin)
    for target in ("/a/1", "/a/2", "/b/3", "/b/4"):
        weir.get(target)
    done = weir.command("purge", "--admin", weir.admin_url, *args, *["--soft"] * soft)
    assert done.returncode == 0 and done.stdout == f"purged {purged}\n"
    weir.wait_cache(purged=purged, objects=4 if soft else 4 - purged)
    asked = len(origin.requests)
    for target in ("/a/1", "/a/2", "/b/3", "/b/4"):
        weir.get(target)
    assert len(origin.requests) == asked + purged


def test_by_prefix(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    for target in ("/a", "/a/1", "/a/2?q", "/ab", "/b"):
        weir.get(target)
    weir.get("/a/1", host="other.test")
    assert weir.purge(prefix="HTTP://example.TEST:80/a/") == 2
    assert weir.purge(prefix="http://example.test/a") == 2
    assert weir.purge(prefix="http://example.test") == 1
    weir.wait_cache(purged=5, objects=1)


@pytest.mark.parametrize("soft", [False, True])
def test_what_the_key_tells_apart_beyond_the_url(start, soft):
    origin = start.origin(cacheable(b"x", 60, [("ETag", '"1"')]))
    weir = start.weir(origin, route_cache={"key": {"headers": ["X-Tenant"], "query": {"ignore": ["utm_*"]}}})
    for tenant in ("one", "two"):
        for target in ("/a?utm_x=1&q", "/a?q=2"):
            weir.get(target, [("X-Tenant", tenant)])
    weir.get("/a?q")
    assert weir.purge("http://example.test/a?q&utm_y", soft=soft) == 3
    weir.wait_cache(purged=3, objects=5 if soft else 2)
    assert weir.get("/a?q=2", [("X-Tenant", "two")]).cache_status()["hit"] is True


def test_soft_and_stale_while_revalidate(start):
    """What was purged softly is delivered for as long as that allows, counted from the purge."""
    origin = start.origin(cacheable(b"old", 600, [("ETag", '"1"')]))
    weir = start.weir(origin, clock=True, route_cache={"stale_while_revalidate": "30s"})
    weir.get("/a")
    weir.advance(300)
    origin.script = cacheable(b"new", 600)
    assert weir.purge("http://example.test/a", soft=True) == 1
    weir.advance(20)
    response = weir.get("/a")
    assert response.body == b"old" and response.cache_status()["detail"] == "stale-while-revalidate"
    weir.wait_cache(stored=2)
    assert weir.get("/a").body == b"new"
    assert weir.purge(all="1", soft=True) == 1
    weir.advance(31)
    origin.script = cacheable(b"newer", 600)
    assert weir.get("/a").body == b"newer"


def test_soft_and_stale_if_error(start):
    origin = start.origin(cacheable(b"old", 600, [("ETag", '"1"'), ("Surrogate-Key", "a")]))
    weir = start.weir(origin, clock=True, route_cache={"stale_if_error": "30s"})
    weir.get("/a")
    weir.advance(300)
    origin.script = respond(503, b"")
    assert weir.purge(tag="a", soft=True) == 1
    weir.advance(20)
    assert weir.get("/a").body == b"old"
    weir.advance(11)
    assert weir.get("/a").status == 503


def test_soft_keeps_it_for_a_304(start):
    origin = start.origin([cacheable(b"one", 60, [("ETag", '"1"')]), respond(304, fields=[("Cache-Control", "max-age=60")])])
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    assert weir.purge("http://example.test/a", soft=True) == 1
    weir.wait_cache(purged=1, objects=1)
    response = weir.get("/a")
    assert response.body == b"one" and response.cache_status()["fwd"] == "stale"
    assert origin.requests[1].field("If-None-Match") == '"1"'
    assert weir.get("/a").cache_status()["hit"] is True
    weir.wait_cache(revalidated=1, hits=1)


def test_soft_is_stale_since_then(start):
    """max-stale counts from the purge, not from the arrival."""
    origin = start.origin(cacheable(b"one", 600, [("ETag", '"1"')]))
    weir = start.weir(origin, clock=True)
    weir.get("/a")
    weir.advance(100)
    assert weir.purge("http://example.test/a", soft=True) == 1
    weir.advance(10)
    stale = [("Cache-Control", "max-stale=20")]
    assert weir.get("/a", stale).cache_status().get("hit") is True
    weir.advance(15)
    assert "hit" not in weir.get("/a", stale).cache_status()
    assert len(origin.requests) == 2


def test_other_pages_while_a_walk_is_under_way_and_a_client_that_leaves(start):
    origin = start.origin(cacheable(b"x", 60, [("Cache-Tag", "a"), ("ETag", '"1"')]))
    # With a validator they are kept though stale: the sweep would take them.
    weir = start.weir(origin)
    client = weir.client()
    for number in range(3000):
        client.get(f"/{number}")
    waiting = [socket.create_connection(("127.0.0.1", weir.admin_port)) for _ in range(20)]
    for number, sock in enumerate(waiting):
        what = ("all=1", "tag=a", "prefix=http://example.test/")[number % 3]
        sock.sendall(f"POST /purge?{what}&soft=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
    for sock in waiting[:10]:
        sock.close()
    assert weir.admin("GET", "/healthz").status == 200
    for sock in waiting[10:]:
        with sock, sock.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 200")
    stats = weir.wait_stats(lambda s: s["cache"]["purge_jobs"] == 0 and s["cache"]["purge_walks"] > 0)
    assert stats["cache"]["objects"] == 3000
    assert weir.purge(all="1") == 3000
    weir.wait_cache(objects=0)


def test_only_post_purges(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    weir.get("/a")
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert weir.admin(method, "/purge?url=http://example.test/a").status in (405, 501)
    weir.wait_cache(purged=0, objects=1)


@pytest.mark.parametrize("fields, host, allowed", [
    ([], None, True),
    ([], "localhost", True),
    ([], "[::1]", True),
    ([], "evil.test", False),
    ([], "127.0.0.1.evil.test", False),
    ([("Origin", "http://evil.test")], None, False),
    ([("Origin", "null")], None, False),
    ([("Origin", "https://127.0.0.1.evil.test")], None, False),
], ids=str)
def test_a_web_page_cannot_purge(start, fields, host, allowed):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    weir.get("/a")
    response = weir.admin("POST", "/purge?url=http://example.test/a", fields, host=host)
    assert (response.status == 200) is allowed
    if not allowed:
        assert response.status == 403
    weir.wait_cache(purged=1 if allowed else 0)


def test_a_page_of_the_admin_port_itself_may_purge(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    weir.get("/a")
    response = weir.admin("POST", "/purge?url=http://example.test/a", [("Origin", weir.admin_url)])
    assert response.status == 200 and json.loads(response.body) == {"purged": 1}


def test_a_token(start):
    token = start.file("token", "s3cret-token\n")
    origin = start.origin(cacheable())
    bearer = [("Authorization", "Bearer s3cret-token")]
    weir = start.weir(origin, admin={"token_file": token}, admin_fields=bearer)
    weir.get("/a")
    for path in ("/healthz", "/readyz"):
        assert weir.admin("GET", path).status == 200
    wrong = ([], [("Authorization", "Bearer wrong")], [("Authorization", "s3cret-token")],
             [("Authorization", "Bearer s3cret-token2")], [("Authorization", "Bearer s3cret-toke")],
             [("Authorization", "Basic s3cret-token")])
    for fields in wrong:
        assert weir.admin("GET", "/stats", fields).status == 401
        assert weir.admin("POST", "/purge?url=http://example.test/a", fields).status == 401
    assert weir.stats(bearer)["cache"]["objects"] == 1
    assert weir.admin("POST", "/purge?url=http://example.test/a", bearer).status == 200
    admin = ["--admin", weir.admin_url]
    assert weir.command("stats", *admin).returncode != 0
    done = weir.command("stats", *admin, env={"WEIR_ADMIN_TOKEN": "s3cret-token"})
    assert done.returncode == 0 and json.loads(done.stdout)["cache"]["purged"] == 1


def test_a_purge_lets_a_waiting_fill_be(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, cacheable(b"x"))
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a")
    gate.wait_reached()
    weir.purge("http://example.test/a")
    gate.open()
    assert client.read_response().body == b"x"
    origin.script = respond(200, b"y")
    assert weir.get("/a").body == b"y"
