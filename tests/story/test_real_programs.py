"""Weir in front of programs that people run: nginx, Python's http.server, Node's http."""

import os
import shutil
import socket
import subprocess
import sys

import pytest

from weirtest import SLOW, free_port, patterned, wait_for


@pytest.fixture
def program():
    """Starts one; ends it (and only it) with the story."""
    running = []

    def begin(command, port, **more):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, **more)
        running.append(process)

        def listening():
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0
        wait_for(f"{command[0]} on port {port}", listening, 10 * SLOW)
        return f"http://127.0.0.1:{port}"

    yield begin
    for process in running:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def files(start):
    folder = os.path.join(start.folder, "www")
    os.mkdir(folder)
    content = {"small.txt": b"hello\n", "empty": b"", "large.bin": patterned(3 << 20)}
    for name, data in content.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
        os.utime(os.path.join(folder, name), (1000000000, 1000000000))
    return folder, content


def served_like_direct(weir, content, server=None):
    client = weir.client()
    for _ in range(2):
        for name, data in content.items():
            response = client.get(f"/{name}")
            assert response.status == 200 and response.body == data and response.end == "clean"
            assert response.has("Last-Modified") and response.has("Via")
            if server:
                assert server in response.field("Server")
    assert client.get("/none").status == 404


def test_nginx(start, program):
    nginx = shutil.which("nginx") or (os.path.exists("/usr/sbin/nginx") and "/usr/sbin/nginx")
    if not nginx:
        pytest.skip("nginx is not installed")
    folder, content = files(start)
    port = free_port()
    config = start.file("nginx.conf", f"""
user root;
daemon off; master_process off; pid {start.folder}/nginx.pid; error_log /dev/null;
events {{ }}
http {{
  access_log off; client_body_temp_path {start.folder}/b; proxy_temp_path {start.folder}/p;
  fastcgi_temp_path {start.folder}/f; uwsgi_temp_path {start.folder}/u; scgi_temp_path {start.folder}/s;
  server {{
    listen 127.0.0.1:{port}; root {folder};
    location / {{ add_header Cache-Control max-age=60; }}
    location /private/ {{ alias {folder}/; add_header Cache-Control private; }}
  }}
}}
""")
    weir = start.weir(program([nginx, "-p", start.folder, "-c", config], port), clock=True)
    served_like_direct(weir, content, "nginx")
    weir.wait_cache(hits=3)
    client = weir.client()
    etag = client.get("/small.txt").field("ETag")
    assert client.get("/small.txt", [("If-None-Match", etag)]).status == 304
    for _ in range(2):
        assert "hit" not in client.get("/private/small.txt").cache_status()
    # Stale by the clock, revalidated with the ETag nginx made.
    weir.advance(70)
    response = client.get("/large.bin")
    assert response.body == content["large.bin"] and response.cache_status()["fwd-status"] == 304
    weir.wait_cache(revalidated=1)


def test_python(start, program):
    folder, content = files(start)
    port = free_port()
    url = program([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", folder], port)
    weir = start.weir(url)
    served_like_direct(weir, content, "SimpleHTTP")
    # Its Last-Modified of 2001 makes a heuristic lifetime: the second round is from memory.
    weir.wait_cache(hits=3)


NODE = """
const http = require('http');
let count = 0;
http.createServer((request, response) => {
  if (request.method === 'POST') {
    let size = 0;
    request.on('data', data => { size += data.length; });
    request.on('end', () => { response.end('got ' + size); });
  } else if (request.url === '/cached') {
    response.setHeader('Cache-Control', 'max-age=60');
    response.write('part one, ');
    response.end('answer ' + (++count));
  } else if (request.url === '/trailers') {
    response.writeHead(200, {Trailer: 'X-Sum'});
    response.write('abc');
    response.addTrailers({'X-Sum': '9'});
    response.end();
  } else {
    response.end('answer ' + (++count));
  }
}).on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: echo\\r\\nConnection: Upgrade\\r\\n\\r\\n');
  socket.pipe(socket);
}).listen(+process.argv[2], '127.0.0.1');
"""


def test_node(start, program):
    node = shutil.which("node")
    if not node:
        pytest.skip("node is not installed")
    port = free_port()
    weir = start.weir(program([node, start.file("server.js", NODE), str(port)], port))
    client = weir.client()
    for _ in range(3):
        assert client.get("/cached").body == b"part one, answer 1"
    weir.wait_cache(hits=2, misses=1)
    bodies = [client.get("/live").body for _ in range(3)]
    assert bodies == [b"answer 2", b"answer 3", b"answer 4"]
    assert client.fetch("POST", "/p", body=patterned(2000000)).body == b"got 2000000"
    response = client.get("/trailers", [("TE", "trailers")])
    assert response.body == b"abc" and response.trailers == [("X-Sum", "9")]
    client.request("GET", "/ws", [("Connection", "Upgrade"), ("Upgrade", "echo")])
    assert client.read_final_head().status == 101
    client.send(b"hello")
    assert client.read_exact(5) == b"hello"
