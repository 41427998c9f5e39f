"""The `start` fixture: origins and weirs of one story, and what must hold when it ends."""

import os
import signal
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "faults")]

import orders  # noqa: E402
import weirtest  # noqa: E402


class Start:
    """Starts what a story needs; finish() checks that nothing is left of it."""

    def __init__(self, folder):
        self.folder = folder
        self.origins = []
        self.weirs = []
        self.orders = []
        self.same_targets = True  # the origin gets targets as clients send them

    def origin(self, script, **more):
        if more.get("family") == "unix":
            more.setdefault("path", os.path.join(self.folder, f"origin{len(self.origins)}.sock"))
        origin = weirtest.Origin(script, **more)
        self.origins.append(origin)
        return origin

    def weir(self, origin=None, raw=None, args=None, clock=False, env=None, descriptors=None,
             admin_fields=(), program=None, **config):
        """weir run with make_config(origin, **config), with raw YAML, or with these arguments."""
        folder = os.path.join(self.folder, f"weir{len(self.weirs)}")
        os.mkdir(folder)
        if raw is None and args is None:
            raw = weirtest.make_config(origin, **config)
        weir = weirtest.Weir(folder, raw, args, clock, env, descriptors, program=program)
        weir.admin_fields = admin_fields
        self.weirs.append(weir)
        return weir

    def faulty(self, origin, **more):
        """A weir whose system calls and allocations fail when its `orders` say so (tests/faults/orders.py)."""
        given = orders.Orders()
        self.orders.append(given)
        weir = self.weir(origin, program=orders.program(), env=given.environment, **more)
        weir.orders = given
        return weir

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def check_targets(self):
        """No origin has seen a method and target that no client of this story has sent."""
        clients = [client for weir in self.weirs for client in weir.clients]
        if not self.same_targets or not clients or any(client.spoke_raw for client in clients):
            return
        asked = {one for client in clients for one in client.targets}
        seen = {(request.method, request.target) for origin in self.origins for request in origin.requests}
        assert seen <= asked, f"at the origin, but asked by nobody: {seen - asked}"

    def finish(self, check):
        try:
            for weir in self.weirs:
                for client in weir.clients:
                    client.close()
            for origin in self.origins:
                origin.stop()
            if check:
                for weir in self.weirs:
                    weir.finish(weir.admin_fields)
                for origin in self.origins:
                    assert not origin.errors, f"at the origin: {origin.errors}"
                self.check_targets()
        finally:
            for weir in self.weirs:
                weir.kill()
            while self.orders:
                self.orders.pop().close()


class TooLong(BaseException):
    """Not an AssertionError: no helper may take it for a failed wait."""


@pytest.fixture
def start(request, tmp_path):
    def on_alarm(*_):
        raise TooLong("the story took too long")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(int(60 * weirtest.SLOW))
    story = Start(str(tmp_path))
    story.same_targets = getattr(request.module, "SAME_TARGETS", True)
    request.node.story = story
    try:
        yield story
        failed = getattr(request.node, "failed_in_call", False)
        story.finish(check=not failed)
    finally:
        story.finish(check=False)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    if call.when == "call":
        item.failed_in_call = True
    for number, weir in enumerate(getattr(getattr(item, "story", None), "weirs", [])):
        report.sections.append((f"weir {number} stderr", weir.tail()))


def pytest_sessionstart(session):
    if not os.access(weirtest.binary(), os.X_OK):
        pytest.exit(f"no weir to test at {weirtest.binary()}: build it, or set WEIR_BIN", 2)
