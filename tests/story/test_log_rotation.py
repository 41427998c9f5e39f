"""USR1: the logs' files are opened anew, and no line is lost or doubled. And files that take nothing."""

import json
import os
import select
import signal
import threading
import time

from weirtest import PATIENCE_S, cacheable, held, ms, respond, wait_for


def logged(start, origin, path=None, **config):
    path = path or os.path.join(start.folder, "access.log")
    return start.weir(origin, access_log={"path": path, "format": "json"}, **config), path


def targets(path):
    """Of all lines that are whole: the last may be being written."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line)["target"] for line in file if line.endswith("\n")]


def rotate(weir, path):
    moved = path + ".1"
    os.rename(path, moved)
    weir.signal(signal.SIGUSR1)
    wait_for("the new file", lambda: os.path.exists(path))
    return moved


def test_later_lines_are_in_the_new_file(start):
    weir, path = logged(start, start.origin(cacheable()))
    weir.get("/before")
    wait_for("the old line", lambda: targets(path) == ["/before"])
    moved = rotate(weir, path)
    weir.get("/after")
    wait_for("the new line", lambda: targets(path) == ["/after"])
    assert targets(moved) == ["/before"]
    wait_for("what the error log says", lambda: f"reopened the access log {path}" in weir.stderr())


def test_under_load_each_line_is_in_one_file(start):
    weir, path = logged(start, start.origin(cacheable()))
    stop = threading.Event()
    counts = [0] * 4

    def ask(number):
        client = weir.client()
        while not stop.is_set():
            client.get(f"/{number}/{counts[number]}")
            counts[number] += 1
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    files = []
    for number in range(5):
        wait_for("some lines", lambda: os.path.getsize(path) > 0)
        os.rename(path, f"{path}.{number}")
        files.append(f"{path}.{number}")
        weir.signal(signal.SIGUSR1)
        wait_for("the new file", lambda: os.path.exists(path))
    stop.set()
    for thread in threads:
        thread.join()
    weir.signal()
    assert weir.wait_exit() == 0
    seen = [target for file in files + [path] for target in targets(file)]
    for number, count in enumerate(counts):
        assert [target for target in seen if target.startswith(f"/{number}/")] == [f"/{number}/{i}" for i in range(count)]


def test_the_slow_log_too(start):
    origin = start.origin(None)
    gate = origin.gate()
    origin.script = held(gate, cacheable())
    path = os.path.join(start.folder, "slow.log")
    weir = start.weir(origin, slow_log={"path": path, "threshold": ms(50)})
    rotate(weir, path)
    client = weir.client()
    since = time.monotonic()
    client.request("GET", "/slow")
    gate.wait_reached()
    wait_for("slowness", lambda: time.monotonic() - since > 0.5)
    gate.open()
    client.read_response()
    wait_for("the line", lambda: targets(path) == ["/slow"])


def test_what_cannot_be_opened_stays_in_use(start):
    weir, path = logged(start, start.origin(cacheable()))
    weir.get("/before")
    wait_for("the first line", lambda: targets(path) == ["/before"])
    moved = path + ".1"
    os.rename(path, moved)
    os.mkdir(path)
    weir.signal(signal.SIGUSR1)
    wait_for("the complaint", lambda: f"error reopening the access log {path}: Is a directory; "
                                      "the file that was open stays in use" in weir.stderr())
    weir.get("/after")
    wait_for("the line", lambda: targets(moved) == ["/before", "/after"])


def test_stdout_stays_as_it_is(start):
    slow = os.path.join(start.folder, "slow.log")
    weir, _ = logged(start, start.origin(cacheable()), path="stdout", slow_log={"path": slow, "threshold": "60s"})
    weir.get("/before")
    rotate(weir, slow)
    wait_for("the reopening", lambda: "reopened the slow log" in weir.stderr())
    weir.get("/after")
    wait_for("both lines", lambda: weir.stdout().count("\n") == 2)
    assert "access log" not in weir.stderr()


def test_without_a_log_it_does_nothing(start):
    weir = start.weir(start.origin(cacheable()))
    weir.signal(signal.SIGUSR1)
    wait_for("the note", lambda: "nothing to do" in weir.stderr())
    assert weir.get("/a").status == 200


# Files that take nothing ------------------------------------------------------------------------


def test_a_disk_that_is_full(start):
    weir, _ = logged(start, start.origin(cacheable()), path="/dev/full")
    client = weir.client()
    for _ in range(20):
        assert client.get("/a").status == 200
    weir.wait_stats(lambda stats: stats["access_log"] == {"written": 0, "dropped": 20})
    assert weir.stderr().count("No space left on device; lines are lost until it works again") == 1
    weir.signal()
    assert weir.wait_exit() == 0


LONG = "x" * 6000


def fill(weir, client, asked=0):
    """Requests until lines are dropped; none of them is delayed."""
    while weir.stats()["access_log"]["dropped"] == 0:
        for _ in range(100):
            assert client.get("/a", [("User-Agent", "agent")]).status == 200
            client.get(f"/a?{LONG}")
            asked += 2
        assert asked < 50000
    return asked


def read_lines(pipe, count):
    taken = b""
    while taken.count(b"\n") < count:
        ready, _, _ = select.select([pipe], [], [], PATIENCE_S)
        assert ready, f"{count} lines, {taken.count(10)} came"
        taken += os.read(pipe, 1 << 20)
    assert taken.count(b"\n") == count
    return taken


def test_a_pipe_that_nobody_reads(start):
    path = os.path.join(start.folder, "pipe")
    os.mkfifo(path)
    reader = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    weir, _ = logged(start, start.origin(respond(200, b"x", [("Cache-Control", "max-age=60")])), path=path, workers=1)
    client = weir.client()
    asked = fill(weir, client)
    wait_for("a line in the error log", lambda: f"writing the access log to {path}: it takes lines too slowly" in weir.stderr())
    # The last answer has been seen before its line was dropped, or not.
    dropped = weir.wait_stats(lambda stats: stats["connections"]["idle"] == 1)["access_log"]["dropped"]
    taken = read_lines(reader, asked - dropped)  # it goes on where it stopped
    assert all(json.loads(line)["status"] == 200 for line in taken.splitlines())
    weir.wait_stats(lambda stats: stats["access_log"] == {"written": asked - dropped, "dropped": dropped})
    client.get("/last")
    assert json.loads(read_lines(reader, 1))["target"] == "/last"
    os.close(reader)


def test_the_end_does_not_wait_for_a_pipe_for_long(start):
    path = os.path.join(start.folder, "pipe")
    os.mkfifo(path)
    reader = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    weir, _ = logged(start, start.origin(respond(200, b"x", [("Cache-Control", "max-age=60")])), path=path, workers=1)
    client = weir.client()
    fill(weir, client)
    client.close()
    weir.signal()
    assert weir.wait_exit(timeout_s=20) == 0
    assert "nobody takes them; giving up" in weir.stderr()
    os.close(reader)


def test_a_stalled_pipe_can_be_left_behind(start):
    path = os.path.join(start.folder, "pipe")
    os.mkfifo(path)
    reader = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    weir, _ = logged(start, start.origin(respond(200, b"x", [("Cache-Control", "max-age=60")])), path=path, workers=1)
    client = weir.client()
    asked = fill(weir, client)
    rotate(weir, path)
    weir.wait_stats(lambda stats: sum(stats["access_log"].values()) == asked)
    client.get("/last")
    wait_for("the last line", lambda: targets(path)[-1:] == ["/last"])
    os.close(reader)
