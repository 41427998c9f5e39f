"""Orders to a weir-faulty (inject.c), which says what there is to order."""

import json
import os
import shutil
import socket
import tempfile

import weirtest


def program():
    """The weir-faulty of the build that the weir to test comes from."""
    path = os.path.join(os.path.dirname(weirtest.binary()), "tests", "faults", "weir-faulty")
    assert os.access(path, os.X_OK), f"there is no {path}: make tests/faults/weir-faulty builds it"
    return path


class Orders:
    """The way to one weir-faulty, to be started with `environment`."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="weir-orders-")  # a socket's path is short
        path = os.path.join(self.folder, "weir")
        self.environment = {"WEIR_FAULTS": path}
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(os.path.join(self.folder, "us"))
        self.sock.settimeout(weirtest.PATIENCE_S)

    def give(self, order):
        self.sock.sendto(order.encode(), self.path)
        answer = json.loads(self.sock.recv(65536))
        assert "wrong" not in answer, f"{order}: {answer['wrong']}"
        return answer

    def cue(self, *rules):
        self.give("cue " + " ".join(rules))

    def random(self, seed, rules):
        self.give(f"random {seed} " + " ".join(rules))

    def off(self):
        self.give("off")

    def counts(self):
        return self.give("counts")

    def injected(self):
        return sum(self.counts().values())

    def calls(self):
        return self.give("calls")

    def close(self):
        self.sock.close()
        shutil.rmtree(self.folder)
