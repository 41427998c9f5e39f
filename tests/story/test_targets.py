"""Request targets: their forms, how they are routed, and that they are sent as they came."""

import pytest

from weirtest import cacheable, respond

SAME_TARGETS = False  # absolute ones, and prefixes that are taken off


def shows(request, connection):
    respond(200, f"{request.line} | {request.field('Host')}".encode())(request, connection)


@pytest.mark.parametrize("sent, line, host", [
    ("/", "GET / HTTP/1.1", "example.test"),
    ("/a?b=c&d", "GET /a?b=c&d HTTP/1.1", "example.test"),
    ("/a?", "GET /a? HTTP/1.1", "example.test"),
    ("/a?b?c/../d", "GET /a?b?c/../d HTTP/1.1", "example.test"),
    ("/%7Ea/%2f/./b/../c", "GET /%7Ea/%2f/./b/../c HTTP/1.1", "example.test"),
    ("//x//y", "GET //x//y HTTP/1.1", "example.test"),
    ("/a;b=c,d:e@f!$'()*+", "GET /a;b=c,d:e@f!$'()*+ HTTP/1.1", "example.test"),
    ("http://other.test/x?y", "GET /x?y HTTP/1.1", "other.test"),
    ("HTTP://other.test/x", "GET /x HTTP/1.1", "other.test"),
    ("http://other.test:8080/x", "GET /x HTTP/1.1", "other.test:8080"),
    ("http://other.test", "GET / HTTP/1.1", "other.test"),
    ("http://other.test?q", "GET /?q HTTP/1.1", "other.test"),
])
def test_what_the_origin_gets(start, sent, line, host):
    """RFC 9112 section 3.2.2: an absolute-form target decides over Host."""
    origin = start.origin(shows)
    weir = start.weir(origin)
    assert weir.get(sent).body.decode() == f"{line} | {host}"


def test_absolute_and_origin_form_are_the_same_thing(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    weir.get("/x", host="a.test")
    assert weir.get("http://a.test/x", host="b.test").cache_status()["hit"] is True
    weir.wait_cache(hits=1, misses=1)


def test_options_asterisk(start):
    origin = start.origin(shows)
    weir = start.weir(origin)
    client = weir.client()
    response = client.fetch("OPTIONS", "*")
    assert response.body.decode() == "OPTIONS * HTTP/1.1 | example.test"


@pytest.mark.parametrize("method, target", [
    ("GET", "*"),
    ("GET", "example.test:80"),
    ("GET", "x"),
    ("GET", "?x"),
    ("GET", "http:///x"),
    ("GET", "/a#b"),
    ("GET", "http://a b/"),
    ("GET", "/\xe4"),
    ("GET", "/a\x7fb"),
    ("GET", "/a\x01b"),
    ("GET", "http://user@host/x"),
])
def test_illegal_targets(start, method, target):
    origin = start.origin([])
    weir = start.weir(origin)
    before = weir.rejected()
    client = weir.client()
    client.send(f"{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode("latin-1"))
    response = client.read_response()
    assert response.status == 400
    client.read_end()
    assert not origin.requests
    weir.wait_stats(lambda stats: sum(stats["requests"]["rejected"].values()) == before + 1)


@pytest.mark.parametrize("target", ["example.test:443", "[::1]:443", "example.test", "/x", "http://h/"])
def test_connect_is_refused(start, target):
    origin = start.origin([])
    weir = start.weir(origin)
    client = weir.client()
    client.send(f"CONNECT {target} HTTP/1.1\r\nHost: example.test:443\r\n\r\n".encode())
    assert client.read_response().status in (400, 405, 501)
    assert not origin.requests


@pytest.mark.parametrize("target, upstream", [
    ("/v1/x", "one"), ("/v1", "one"), ("/v1/", "one"), ("/v1?q", "one"), ("/v1/?q", "one"),
    ("/v10", "rest"), ("/V1/x", "rest"), ("/", "rest"), ("/x/v1/", "rest"),
    ("/./v1/x", "one"), ("/x/../v1/x", "one"), ("/v1/../x", "rest"), ("/v1/..", "rest"),
    ("/%76%31/x", "one"), ("/v1%2Fx", "rest"), ("/%2e%2e/v1/x", "one"), ("/../../v1/x", "one"),
    ("/x?/v1/", "rest"), ("http://h/v1/x", "one"),
])
def test_routes_match_a_normalised_copy(start, target, upstream):
    """Dot segments and unreserved characters are resolved to route; the origin gets what was sent."""
    one = start.origin(lambda request, connection:
                       respond(200, b"one " + request.target.encode())(request, connection))
    rest = start.origin(lambda request, connection:
                        respond(200, b"rest " + request.target.encode())(request, connection))
    weir = start.weir(raw=two_upstreams(one, rest))
    sent = target.removeprefix("http://h")
    assert weir.get(target).body.decode() == f"{upstream} {sent}"


def two_upstreams(one, rest):
    return f"""
workers: 2
listen: [{{address: "@LISTEN@"}}]
admin: {{address: "@ADMIN@"}}
upstreams:
  one: {{servers: ["{one.url}"]}}
  rest: {{servers: ["{rest.url}"]}}
routes:
  - {{path: /v1/, upstream: one}}
  - {{upstream: rest}}
"""


def routed(start, routes):
    """The number of the route that answers, by a function of target and host."""
    origins = [start.origin(respond(200, str(number).encode())) for number in range(len(routes))]
    weir = start.weir(raw={
        "upstreams": {f"up{number}": {"servers": [origin.url]} for number, origin in enumerate(origins)},
        "routes": [route | {"upstream": f"up{number}"} for number, route in enumerate(routes)]})

    def ask(host="x.test", target="/", method="GET"):
        response = weir.client().fetch(method, target, host=host)
        return int(response.body) if response.status == 200 else response.status
    return ask


def test_routes_by_host(start):
    ask = routed(start, [{"host": "a.test"}, {"host": "*.b.test"}, {"host": "b.test"}])
    assert ask("a.test") == ask("A.TEST") == ask("a.test:81") == ask("a.test.") == 0
    assert ask("x.b.test") == ask("x.y.B.test:1") == 1
    assert ask("b.test") == 2
    assert ask("xb.test") == ask("a.test.x") == ask("c.test") == 404


def test_routes_by_method_and_first_match(start):
    ask = routed(start, [{"path": "/x/", "methods": ["GET", "HEAD"]}, {"path": "/x/y/"}, {"path": "/x/"}])
    assert ask(target="/x/y/z") == 0
    assert ask(target="/x/y/z", method="DELETE") == 1
    assert ask(target="/x/", method="DELETE") == 2
    assert ask(target="/") == 404


@pytest.mark.parametrize("sent, received", [("/v1/x?y", "/x?y"), ("/v1", "/"), ("/v1/", "/"), ("/v1?q", "/?q"),
                                            ("/v1//x", "//x"), ("/v1/a%2Fb", "/a%2Fb")])
def test_strip_prefix(start, sent, received):
    origin = start.origin(shows)
    weir = start.weir(origin, route={"path": "/v1/", "strip_prefix": True})
    assert weir.get(sent).body.decode().startswith(f"GET {received} HTTP/1.1")
