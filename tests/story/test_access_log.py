"""The access log: one line a request, in both formats."""

import json
import os
import re
import subprocess

import pytest

from weirtest import cacheable, respond, wait_for

COMBINED = re.compile(r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] '
                      r'"((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"')


def lines_of(path, count):
    def read():
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as file:
            text = file.read()
        return text.splitlines() if text.count("\n") >= count else None
    lines = wait_for(f"{count} lines in the access log", read)
    assert len(lines) == count
    return lines


def three_requests(weir):
    client = weir.client()
    client.get("/a?b=c", [("User-Agent", "a \"quoted\" agent\\"), ("Referer", "http://x/?y")])
    client.get("/a?b=c")
    client.fetch("POST", "/missing", body=b"x")


def scripts():
    return {"/a?b=c": cacheable(b"hello"), "/missing": respond(404, b"no such thing")}


def test_json(start):
    path = os.path.join(start.folder, "access.log")
    weir = start.weir(start.origin(scripts()), access_log={"path": path, "format": "json"})
    three_requests(weir)
    entries = [json.loads(line) for line in lines_of(path, 3)]
    assert all(set(entry) == set(entries[0]) for entry in entries)
    values = [set(map(str, entry.values())) for entry in entries]
    for number, (target, status, method) in enumerate([("/a?b=c", "200", "GET"), ("/a?b=c", "200", "GET"),
                                                       ("/missing", "404", "POST")]):
        assert {status, method} <= values[number]
        assert any(target in value for value in values[number])
        assert any(value.startswith("127.0.0.1") for value in values[number])
    assert "a \"quoted\" agent\\" in values[0]


def test_combined(start):
    path = os.path.join(start.folder, "access.log")
    weir = start.weir(start.origin(scripts()), access_log={"path": path, "format": "combined"})
    three_requests(weir)
    matches = [COMBINED.match(line) for line in lines_of(path, 3)]
    assert all(matches)
    assert [match[1] for match in matches] == ["GET /a?b=c HTTP/1.1"] * 2 + ["POST /missing HTTP/1.1"]
    assert [match[2] for match in matches] == ["200", "200", "404"]
    assert [match[3] for match in matches] == ["5", "5", "13"]
    assert matches[0][4] == "http://x/?y" and "quoted" in matches[0][5]
    assert matches[1][4] == "-" and matches[1][5] == "-"


def test_stdout(start):
    weir = start.weir(start.origin(scripts()), access_log={"path": "stdout", "format": "json"})
    three_requests(weir)
    wait_for("three lines on stdout", lambda: weir.stdout().count("\n") >= 3)
    assert all(json.loads(line) for line in weir.stdout().splitlines())


def test_none_is_the_default(start):
    weir = start.weir(start.origin(scripts()))
    three_requests(weir)
    weir.wait_stats(lambda stats: stats["requests"]["total"] == 3)
    assert weir.stdout() == ""


def test_nothing_forges_a_line(start):
    """Bytes of the client are escaped: a line stays a line, an object an object."""
    for style in ("json", "combined"):
        path = os.path.join(start.folder, style)
        weir = start.weir(start.origin(respond(200, b"x")), access_log={"path": path, "format": style})
        client = weir.client()
        client.get("/a\"b'{}", [("User-Agent", 'x", "status": 500, "y": "\xe4\xff\t'), ("Referer", '" 999 "')])
        client.send(b"GET /\x01\x02 HTTP/1.1\r\nHost: h\r\n\r\n")
        client.read_response()
        wait_for("the first line", lambda: os.path.exists(path) and open(path, "rb").read().count(b"\n") >= 1)
        weir.signal()
        assert weir.wait_exit() == 0
        with open(path, "rb") as file:
            data = file.read()
        lines = data.decode("utf-8").splitlines()
        if style == "json":
            entry = json.loads(lines[0])
            assert "500" not in map(str, entry.values())
        else:
            assert COMBINED.match(lines[0])


def test_requests_answered_by_weir_and_broken_ones_are_logged(start):
    path = os.path.join(start.folder, "access.log")
    origin = start.origin(lambda request, connection: connection.close())
    weir = start.weir(origin, route={"path": "/api/"}, access_log={"path": path, "format": "json"})
    assert weir.get("/none").status == 404
    assert weir.get("/api/").status == 502
    text = "\n".join(lines_of(path, 2))
    assert "404" in text and "502" in text


def test_the_last_lines_are_written_before_the_end(start):
    path = os.path.join(start.folder, "access.log")
    weir = start.weir(start.origin(cacheable()), access_log={"path": path, "format": "json"})
    client = weir.client()
    for _ in range(500):
        client.get("/a")
    client.close()
    weir.signal()
    assert weir.wait_exit() == 0
    assert len(lines_of(path, 500)) == 500


@pytest.mark.parametrize("path,why", [("/proc/no-such-log", "No such file"), ("{}/pipe", "nobody reads from this pipe")])
def test_a_log_that_cannot_be_opened(start, path, why):
    from weirtest import binary, free_port
    os.mkfifo(os.path.join(start.folder, "pipe"))
    config = start.file("weir.yaml", f"""
listen: [{{address: "127.0.0.1:{free_port()}"}}]
admin: {{address: "127.0.0.1:{free_port()}"}}
upstreams: {{up: {{servers: ["http://127.0.0.1:1"]}}}}
routes: [{{upstream: up}}]
access_log: {{path: {path.format(start.folder)}, format: json}}
""")
    done = subprocess.run([binary(), "run", "-c", config], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2 and f"opening the access log {path.format(start.folder)}: {why}" in done.stderr
