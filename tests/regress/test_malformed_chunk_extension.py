"""Chunk extensions were passed over whatever they said: a quote that nothing closes, a semicolon that no name follows."""

from weirtest import respond

HEAD = b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
MALFORMED = [
    b";", b";;a", b"; ", b";a;", b";=b", b";a=", b";a=;b", b";a b", b";a=b c", b";a=b=c", b';a="b', b';a="b\\"', b';a="b"c',
    b';"a"', b";a/b", b";\xe4", b";a=\xe4", b";a ", b";a=b ", b';a="b" ', b";a =", b';a="\\', b";a,b"]
LEGAL = [b";a", b" ; a\t=\tb ;c", b';a="b;c\\"\\\\ \t\xe4\\\xe4"', b';a="";b=c', b";!#$%&'*+-.^_`|~09az=~"]


def test_it_is_refused(start):
    origin = start.origin(respond(200))
    weir = start.weir(origin)
    for count, extension in enumerate(MALFORMED, 1):
        client = weir.client()
        client.send_quietly(HEAD + b"5" + extension + b"\r\nhello\r\n0\r\n\r\n")
        assert client.read_response().status == 400, extension
        client.read_end()
        assert weir.stats()["requests"]["rejected"]["chunk_bad_extension"] == count, extension
    assert not origin.requests


def test_a_legal_one_is_ignored(start):
    origin = start.origin(lambda request, connection: respond(200, request.body)(request, connection))
    weir = start.weir(origin)
    client = weir.client()
    for extension in LEGAL:
        client.send(HEAD + b"5" + extension + b"\r\nhello\r\n0" + extension + b"\r\n\r\n")
        response = client.read_response()
        assert response.status == 200 and response.body == b"hello", extension
