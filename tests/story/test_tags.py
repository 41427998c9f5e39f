"""Tags: Surrogate-Key, Cache-Tag and Cache-Groups (RFC 9875), and what a purge by them reaches, at once."""

import threading

import pytest

from weirtest import cacheable, chunk, held, respond


def tagged(value, name="Surrogate-Key", ttl_s=60, body=b"x", fields=()):
    return cacheable(body, ttl_s, [(name, value), *fields])


@pytest.mark.parametrize("name, value, passed_on", [
    ("Surrogate-Key", "one a/b two", False), ("Cache-Tag", "one, a/b ,two", False), ("Cache-Groups", '"one", "a/b"', True),
    ("CACHE-GROUPS", '"a/b";q=1', True)])
def test_each_field(start, name, value, passed_on):
    origin = start.origin(tagged(value, name))
    weir = start.weir(origin)
    first, second = weir.get("/a"), weir.get("/a")
    for response in (first, second):
        assert response.has(name) is passed_on
    assert second.cache_status()["hit"] is True
    assert weir.purge(tag="a") == 0 and weir.purge(tag="a/b,") == 0
    assert weir.purge(tag="a/b") == 1
    assert "hit" not in weir.get("/a").cache_status()
    weir.wait_cache(purged=1, stored=2, objects=1, purges_logged=3)


@pytest.mark.parametrize("name", ["Surrogate-Key", "Cache-Tag"])
def test_what_is_not_stored_has_no_tags_for_clients_either(start, name):
    origin = start.origin(respond(200, b"x", [("Cache-Control", "no-store"), (name, "a")]))
    weir = start.weir(origin)
    assert not weir.get("/a").has(name)
    assert not weir.client().fetch("POST", "/a", body=b"y").has(name)


def test_every_variant_of_every_url_that_bears_it(start):
    def script(request, connection):
        tags = "all" + (" page" if request.target.startswith("/page") else "")
        tagged(tags, fields=[("Vary", "Accept-Language")])(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin)
    for target in ("/page/1", "/page/2", "/other"):
        for language in ("de", "en"):
            weir.get(target, [("Accept-Language", language)])
    assert weir.purge(tag="page") == 4
    assert weir.get("/other", [("Accept-Language", "de")]).cache_status()["hit"] is True
    assert weir.purge(tag="all") == 2
    weir.wait_cache(objects=0, purged=6)


def test_softly(start):
    origin = start.origin([tagged("a", fields=[("ETag", '"1"')]),
                           respond(304, fields=[("Cache-Control", "max-age=60"), ("Surrogate-Key", "b")])])
    weir = start.weir(origin)
    weir.get("/x")
    assert weir.purge(tag="a", soft=True) == 1
    assert weir.get("/x").cache_status()["fwd"] == "stale"
    assert weir.get("/x").cache_status()["hit"] is True
    # The 304's Surrogate-Key has taken the place of the stored one (RFC 9111 §3.2).
    assert weir.purge(tag="a") == 0
    assert weir.purge(tag="b") == 1
    weir.wait_cache(revalidated=1, purged=2, objects=0)


def test_more_tags_than_are_kept(start):
    """What has more than 128 bears every tag."""
    def script(request, connection):
        tagged(" ".join(f"t{i}" for i in range(int(request.target[1:]))))(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin)
    weir.get("/128"), weir.get("/129")
    assert weir.purge(tag="unheard-of") == 1
    assert weir.get("/128").cache_status()["hit"] is True
    assert weir.purge(tag="t127") == 1


def test_a_fill_that_began_before_is_not_stored(start):
    def script(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nCache-Tag: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
                        chunk(b"old"))
        gate.wait()
        connection.send(b"0\r\n\r\n")

    origin = start.origin(script)
    gate = origin.gate()
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a")
    response = client.read_body(client.read_final_head(), at_least=3)
    weir.purge(tag="b")
    joined = weir.client()
    joined.request("GET", "/a")
    head = joined.read_body(joined.read_final_head(), at_least=3)
    assert weir.purge(tag="a") == 0
    origin.script = tagged("a", "Cache-Tag", body=b"new")
    assert weir.get("/a").body == b"new"
    gate.open()
    for reader, what in ((client, response), (joined, head)):
        assert reader.read_body(what).body == b"old" and what.end == "clean"
    assert weir.get("/a").body == b"new"
    weir.wait_cache(coalesced=1, objects=1, stored=1)


def test_a_fill_whose_tags_are_not_known_yet(start):
    """Whoever asks after the purge is not given what was asked for before it."""
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, tagged("a", body=b"old"))
    weir = start.weir(origin)
    client = weir.client()
    client.request("GET", "/a")
    gate.wait_reached()
    weir.purge(tag="a")
    origin.script = tagged("a", body=b"new")
    assert weir.get("/a").body == b"new"
    gate.open()
    assert client.read_response().body == b"old"
    assert weir.get("/a").body == b"new"


def test_groups_named_by_a_response(start):
    """RFC 9875 §3: of the same origin, and only in answers to unsafe requests."""
    def script(request, connection):
        if request.method == "GET":
            group = [("Cache-Groups", f'"{request.target[1]}", "all"')]
            cacheable(b"x", 60, group + [("Cache-Group-Invalidation", '"all"')])(request, connection)
        else:
            status = 500 if request.target == "/fail" else 200
            respond(status, fields=[("Cache-Group-Invalidation", '"x", "a"')])(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin)
    for target in ("/a/1", "/a/2", "/b/1"):
        weir.get(target)
        weir.get(target, host="other.test")
    client = weir.client()
    assert client.fetch("POST", "/unrelated", body=b"y").status == 200
    assert weir.get("/b/1").cache_status()["hit"] is True
    for target in ("/a/1", "/a/2"):
        assert weir.get(target, host="other.test").cache_status()["hit"] is True
        assert "hit" not in weir.get(target).cache_status()
    assert client.fetch("DELETE", "/fail").status == 500
    assert "hit" not in weir.get("/a/1").cache_status()
    weir.wait_cache(purged=3, purges_logged=4)


@pytest.mark.parametrize("value", ["a", '"a', '"a",', '"a" "b"', "(\"a\")"])
def test_a_malformed_group_field_is_ignored(start, value):
    def script(request, connection):
        if request.method == "GET":
            cacheable(b"x", 60, [("Cache-Groups", '"a"' if request.target == "/good" else value)])(request, connection)
        else:
            respond(200, fields=[("Cache-Group-Invalidation", value)])(request, connection)

    weir = start.weir(start.origin(script))
    weir.get("/good"), weir.get("/bad")
    weir.client().fetch("POST", "/else", body=b"x")
    assert weir.get("/good").cache_status()["hit"] is True
    assert weir.purge(tag="a") == 1
    assert weir.get("/bad").cache_status()["hit"] is True


def test_many_purges_of_other_tags(start):
    """More than the log holds: what they do not name stays, as walks keep up with it."""
    origin = start.origin(tagged("mine", ttl_s=3600))
    weir = start.weir(origin)
    weir.get("/a")
    for number in range(5000):
        assert weir.purge(tag=f"other{number}") == 0
    assert weir.get("/a").cache_status()["hit"] is True
    assert weir.stats()["cache"]["purges_logged"] == 5000
    assert weir.purge(tag="mine") == 1


def test_under_load(start):
    """What was changed before a purge that has returned is never seen in its old form after it."""
    version, lock = [0], threading.Lock()

    def script(request, connection):
        with lock:
            now = version[0]
        tagged("page", body=str(now).encode())(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin)
    over, wrong = threading.Event(), []

    def read():
        client = weir.client()
        while not over.is_set():
            for target in ("/a", "/b", "/c"):
                with lock:
                    purged = settled[0]
                body = int(client.get(target).body)
                if body < purged:
                    wrong.append((body, purged))

    settled = [0]
    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for round_ in range(100):
        with lock:
            version[0] += 1
        if round_ % 2:
            weir.purge(tag="page", soft=round_ % 4 == 1)
        else:
            weir.purge(prefix="http://example.test/", soft=round_ % 4 == 2)
        with lock:
            settled[0] = version[0]
    over.set()
    for reader in readers:
        reader.join()
    assert not wrong
