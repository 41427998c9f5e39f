"""Vary: a stored response serves only requests that would have got it (RFC 9111 section 4.1)."""

from weirtest import cacheable, held, respond


def by_language(request, connection):
    body = (request.field("Accept-Language") or "none").encode()
    cacheable(body, 60, [("Vary", "Accept-Language")])(request, connection)


def test_variants_are_kept_apart(start):
    origin = start.origin(by_language)
    weir = start.weir(origin)
    for _ in range(3):
        for language in ("de", "en", "fr"):
            assert weir.get("/a", [("Accept-Language", language)]).body == language.encode()
        assert weir.get("/a").body == b"none"
    assert len(origin.requests) == 4
    weir.wait_cache(hits=8, misses=4)


def test_a_new_variant_is_told_as_a_vary_miss(start):
    origin = start.origin(by_language)
    weir = start.weir(origin)
    weir.get("/a", [("Accept-Language", "de")])
    response = weir.get("/a", [("Accept-Language", "en")])
    assert response.cache_status()["fwd"] in ("vary-miss", "uri-miss")


def test_white_space_and_repeated_lines_are_the_same_value(start):
    """A variant matches after combining lines and dropping white space around members."""
    origin = start.origin(by_language)
    weir = start.weir(origin)
    weir.get("/a", [("Accept-Language", "de, en")])
    weir.get("/a", [("Accept-Language", "de"), ("Accept-Language", "en")])
    assert weir.get("/a", [("accept-language", "de, en")]).cache_status()["hit"] is True
    assert len(origin.requests) <= 2


def test_several_fields(start):
    def script(request, connection):
        body = f"{request.field('A')}{request.field('B')}".encode()
        cacheable(body, 60, [("Vary", "a"), ("Vary", "B")])(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin)
    for _ in range(2):
        for a in "12":
            for b in "34":
                assert weir.get("/a", [("A", a), ("B", b)]).body == (a + b).encode()
    weir.wait_cache(hits=4, misses=4)


def test_an_absent_field_is_not_an_empty_one(start):
    origin = start.origin(by_language)
    weir = start.weir(origin)
    weir.get("/a")
    weir.get("/a", [("Accept-Language", "")])
    assert weir.get("/a").body == b"none"


def test_a_star_is_never_reused(start):
    origin = start.origin(cacheable(fields=[("Vary", "A, *")]))
    weir = start.weir(origin)
    for _ in range(2):
        assert "hit" not in weir.get("/a").cache_status()
    assert len(origin.requests) == 2


def test_a_variant_is_revalidated_by_itself(start):
    def script(request, connection):
        language = request.field("Accept-Language")
        fields = [("Vary", "Accept-Language"), ("ETag", f'"{language}"'), ("Cache-Control", "max-age=60")]
        if f'"{language}"' == request.field("If-None-Match"):
            respond(304, fields=fields)(request, connection)
        else:
            respond(200, language.encode(), fields)(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin, clock=True)
    for language in ("de", "en"):
        weir.get("/a", [("Accept-Language", language)])
    weir.advance(70)
    for language in ("de", "en"):
        assert weir.get("/a", [("Accept-Language", language)]).body == language.encode()
    weir.wait_cache(revalidated=2, misses=2, objects=2)


def test_requests_of_other_variants_do_not_get_a_held_fill(start):
    """Whoever waited for an answer that turns out to vary gets the one for its own fields."""
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, by_language)
    weir = start.weir(origin)
    clients = {}
    for language in ("de", "en", "fr", "it"):
        clients[language] = weir.client()
        clients[language].request("GET", "/a", [("Accept-Language", language)])
    gate.wait_reached()
    gate.open()
    for language, client in clients.items():
        assert client.read_response().body == language.encode()


def test_a_response_that_no_longer_varies(start):
    origin = start.origin([cacheable(b"de", 60, [("Vary", "Accept-Language")]), cacheable(b"all", 60)])
    weir = start.weir(origin)
    weir.get("/a", [("Accept-Language", "de")])
    assert weir.get("/a", [("Accept-Language", "en")]).body == b"all"
    assert weir.get("/a", [("Accept-Language", "fr")]).body in (b"all",)
    assert len(origin.requests) == 2
