"""weir check and weir run with configs that are wrong: one clear line each, with its place."""

import re
import socket

import pytest

from weirtest import binary, free_port, respond, run_weir

GOOD = """workers: 2
listen:
  - address: 127.0.0.1:0
upstreams:
  api:
    servers: ["http://127.0.0.1:9000"]
routes:
  - upstream: api
"""


def check(start, text):
    return run_weir("check", "-c", start.file("weir.yaml", text))


def errors(done):
    """The lines that have the form file:line:column: text."""
    return [(int(match[1]), int(match[2]), match[3]) for match in
            re.finditer(r"^[^\n]*weir\.yaml:(\d+):(\d+): (.+)$", done.stdout + done.stderr, re.M)]


def test_a_good_file(start):
    done = check(start, GOOD)
    assert done.returncode == 0 and errors(done) == []


def test_the_smallest_useful_file(start):
    assert check(start, 'upstreams: {api: {servers: ["http://127.0.0.1:9000"]}}\nroutes: [{upstream: api}]\n'
                 ).returncode == 0


@pytest.mark.parametrize("old, new, line, column, word", [
    ("workers: 2", "worker: 2", 1, 1, "workers"),
    ("servers:", "server:", 6, 5, "servers"),
    ("upstream: api", "upstraem: api", 8, 5, "upstream"),
    ("workers: 2", "workers: many", 1, 10, "many"),
    ("workers: 2", "workers: 0", 1, 10, ""),
    ("workers: 2", "workers: -1", 1, 10, ""),
    ("workers: 2", "limits: {idle_timeout: 75}", 1, 24, "75"),
    ("workers: 2", "limits: {idle_timeout: 75 s}", 1, 24, ""),
    ("workers: 2", "limits: {idle_timeout: 75KiB}", 1, 24, ""),
    ("workers: 2", "limits: {header_size: 32}", 1, 23, "32"),
    ("workers: 2", "limits: {header_size: 32KB}", 1, 23, ""),
    ("workers: 2", "limits: {header_size: 5s}", 1, 23, ""),
    ("workers: 2", "limits: {headers: x}", 1, 19, ""),
    ("workers: 2", "limits: []", 1, 9, ""),
    ("workers: 2", "workers: [1]", 1, 10, ""),
    ("workers: 2", "workers: 2\nworkers: 3", 2, 1, "workers"),
    ("workers: 2", "access_log: {format: xml}", 1, 22, "xml"),
    ("workers: 2", "error_log: {level: loud}", 1, 20, "loud"),
    ("workers: 2", "access_log: {path: /nonexistent/a.log, format: json}", 1, 20, "folder"),
    ("workers: 2", "slow_log: {path: /tmp}", 1, 18, "folder"),
    ("upstream: api", "upstream: apo", 8, 15, "apo"),
    ("  - upstream: api", "  - path: /x", 8, 5, "upstream"),
    ("http://127.0.0.1:9000", "ftp://127.0.0.1:9000", 6, 15, "ftp"),
    ("http://127.0.0.1:9000", "http://127.0.0.1:99999", 6, 15, ""),
    ("http://127.0.0.1:9000", "", 6, 15, ""),
    ('["http://127.0.0.1:9000"]', "[]", 6, 14, ""),
    ("127.0.0.1:0", "127.0.0.1", 3, 14, ""),
    ("127.0.0.1:0", "127.0.0.1:x", 3, 14, ""),
    ("  - upstream: api", "  - {upstream: api, path: x}", 8, 27, ""),
    ("  - upstream: api", "  - {upstream: api, strip_prefix: maybe}", 8, 35, "maybe"),
    ("  - upstream: api", "  - {upstream: api, methods: GET}", 8, 30, ""),
])
def test_what_is_wrong_and_where(start, old, new, line, column, word):
    assert old in GOOD
    done = check(start, GOOD.replace(old, new, 1))
    assert done.returncode == 1
    found = errors(done)
    assert any((at, col) == (line, column) and word in text for at, col, text in found), done.stdout + done.stderr


def test_a_missing_part(start):
    for text in ("routes: []\n", "upstreams: {}\n", "", "{}\n", "[]\n", "x\n",
                 'upstreams: {api: {servers: ["http://127.0.0.1:9000"]}}\n'):
        done = check(start, text)
        assert done.returncode == 1 and (done.stdout + done.stderr).strip(), text


def test_all_errors_are_listed_at_once(start):
    done = check(start, GOOD.replace("workers: 2", "worker: 2").replace("upstream: api", "upstream: apo"))
    assert [line for line, _, _ in errors(done)] == [1, 8]


@pytest.mark.parametrize("routes, line", [
    ("  - upstream: api\n  - {path: /x, upstream: api}\n", 9),
    ("  - {path: /x, upstream: api}\n  - {path: /x/y, upstream: api}\n", 9),
    ("  - {host: '*.a.test', upstream: api}\n  - {host: b.a.test, upstream: api}\n", 9),
    ("  - {path: /x, upstream: api}\n  - {path: /x/, host: a.test, methods: [GET], upstream: api}\n", 9),
])
def test_a_route_that_can_never_be_reached(start, routes, line):
    done = check(start, GOOD.replace("  - upstream: api\n", routes))
    assert done.returncode == 1 and [at for at, _, _ in errors(done)] == [line]


@pytest.mark.parametrize("routes", [
    "  - {path: /x/y, upstream: api}\n  - {path: /x, upstream: api}\n  - upstream: api\n",
    "  - {path: /x, upstream: api}\n  - {path: /xy, upstream: api}\n",
    "  - {path: /x, methods: [GET], upstream: api}\n  - {path: /x, upstream: api}\n",
    "  - {host: b.a.test, upstream: api}\n  - {host: '*.a.test', upstream: api}\n",
    "  - {host: '*.a.test', upstream: api}\n  - {host: a.test, upstream: api}\n",
])
def test_routes_that_can_all_be_reached(start, routes):
    assert check(start, GOOD.replace("  - upstream: api\n", routes)).returncode == 0


@pytest.mark.parametrize("text, line", [
    ("workers: 2\nlisten: [\n", 3),
    ("workers: 2\n\tlisten: x\n", 2),
    ("workers: 'x\n", 2),
    ("a: b: c\n", 1),
])
def test_a_syntax_error(start, text, line):
    done = check(start, text)
    assert done.returncode == 1
    assert len(errors(done)) == 1 and abs(errors(done)[0][0] - line) <= 1


def test_an_alias_without_its_anchor(start):
    done = check(start, GOOD.replace("workers: 2", "workers: *nowhere"))
    assert done.returncode == 1 and [(line, column) for line, column, _ in errors(done)] == [(1, 10)]
    assert "nowhere" in errors(done)[0][2]


@pytest.mark.parametrize("text", ["<<: {workers: 2}\n", "workers: !!int 2\n", "workers: 2\n---\nworkers: 2\n"])
def test_yaml_that_is_not_taken(start, text):
    assert check(start, text + GOOD.replace("workers: 2\n", "")).returncode == 1


def test_anchors_and_aliases_work(start):
    text = GOOD.replace('servers: ["http://127.0.0.1:9000"]', "servers: &s [\"http://127.0.0.1:9000\"]\n  b: {servers: *s}")
    assert check(start, text.replace("  b:", "  b:", 1)).returncode == 0


def test_the_environment(start):
    text = GOOD.replace("127.0.0.1:9000", "${STORY_ORIGIN}").replace("workers: 2", "workers: ${STORY_WORKERS:-3}")
    path = start.file("weir.yaml", text)
    assert run_weir("check", "-c", path, env={"STORY_ORIGIN": "127.0.0.1:9000"}).returncode == 0
    assert run_weir("check", "-c", path, env={"STORY_ORIGIN": "127.0.0.1:9000", "STORY_WORKERS": "x"}).returncode == 1
    done = run_weir("check", "-c", path)
    assert done.returncode == 1 and "STORY_ORIGIN" in done.stdout + done.stderr


def test_the_environment_is_replaced_after_parsing(start):
    """A value can bring no structure with it."""
    origin = start.origin(respond(200, b"x"))
    weir = start.weir(raw=f"""
listen: [{{address: "@LISTEN@"}}]
admin: {{address: "@ADMIN@"}}
upstreams: {{up: {{servers: ["{origin.url}"], host: "${{STORY_HOST}}"}}}}
routes: [{{upstream: up}}]
""", env={"STORY_HOST": "a.test"})
    weir.get("/a")
    assert origin.requests[0].field("Host") == "a.test"


def test_standard_input():
    assert run_weir("check", "-c", "-", stdin=GOOD).returncode == 0
    assert run_weir("check", "-c", "-", stdin="worker: 2\n" + GOOD).returncode == 1


@pytest.mark.parametrize("command", ["check", "run"])
def test_an_unreadable_file(start, command):
    for path in (start.folder + "/none.yaml", start.folder):
        done = run_weir(command, "-c", path)
        assert done.returncode == 2 and path in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_run_refuses_a_wrong_file_as_check_does(start):
    path = start.file("weir.yaml", GOOD.replace("workers", "worker"))
    done = run_weir("run", "-c", path)
    assert done.returncode == 1 and "weir.yaml:1:1: " in done.stderr


@pytest.mark.parametrize("which", ["listen", "admin"])
def test_a_port_that_is_taken(start, which):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = f"127.0.0.1:{holder.getsockname()[1]}"
        addresses = {"listen": f"127.0.0.1:{free_port()}", "admin": f"127.0.0.1:{free_port()}"} | {which: taken}
        path = start.file("weir.yaml", GOOD.replace("127.0.0.1:0", addresses["listen"]) +
                          f"admin: {{address: {addresses['admin']}}}\n")
        done = run_weir("run", "-c", path)
    assert done.returncode == 2 and taken in done.stderr
    assert len([line for line in done.stderr.splitlines() if taken in line]) == 1


def test_two_weirs_do_not_share_a_port_by_accident(start):
    """Workers share the port among themselves, not with another weir that someone has forgotten."""
    weir = start.weir(start.origin([]))
    path = start.file("weir.yaml", GOOD.replace("127.0.0.1:0", f"127.0.0.1:{weir.port}") +
                      f"admin: {{address: 127.0.0.1:{free_port()}}}\n")
    done = run_weir("run", "-c", path)
    assert done.returncode == 2


def test_an_admin_port_off_loopback_needs_a_token(start):
    done = check(start, GOOD + "admin: {address: 0.0.0.0:9180}\n")
    assert done.returncode == 1 and "token" in done.stdout + done.stderr


def test_an_unreadable_token_file(start):
    done = check(start, GOOD + f"admin: {{token_file: {start.folder}/none}}\n")
    assert done.returncode in (1, 2) and "none" in done.stdout + done.stderr


@pytest.mark.parametrize("args", [[], ["nothing"], ["run"], ["check"], ["run", "-c"], ["run", "--nothing", "x"],
                                  ["check", "-c", "a", "b"], ["run", "-c", "a", "--to", "http://x"]],
                         ids=" ".join)
def test_wrong_arguments(args):
    done = run_weir(*args)
    assert done.returncode == 1 and done.stderr.strip()


def test_version_and_help():
    done = run_weir("version")
    assert done.returncode == 0 and re.search(r"\d+\.\d+\.\d+", done.stdout)
    done = run_weir("help")
    assert done.returncode == 0
    for command in ("run", "check", "demo", "stats", "purge", "version"):
        assert command in done.stdout
    assert binary()
