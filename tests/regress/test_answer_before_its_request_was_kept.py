"""An origin that answered at once was read into the buffer in which the client's pipelined requests still lay.

It takes a connection that was given back with an edge not read to its end, and an origin that answers between
two system calls. A library that sleeps behind each send() makes that certain.
"""

import os
import shlex
import subprocess

import pytest

from weirtest import SANITIZED, held, raw, respond, response_bytes, wait_for

SLEEPY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/socket.h>
#include <unistd.h>

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t (*real)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");
    ssize_t sent = real(fd, message, flags);
    usleep(100000);
    return sent;
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    struct iovec piece = {(void *)bytes, len};

    return sendmsg(fd, &(struct msghdr){.msg_iov = &piece, .msg_iovlen = 1}, flags);
}
"""
BODY = b"b" * 40000


def sleepy_library(folder):
    source, library = os.path.join(folder, "sleepy.c"), os.path.join(folder, "sleepy.so")
    with open(source, "w", encoding="utf-8") as file:
        file.write(SLEEPY)
    compiler = shlex.split(os.environ.get("CC") or "cc")
    subprocess.run(compiler + ["-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's runtime has to be the first library")
def test_pipelined_requests_stay_what_they_are(start):
    origin = start.origin(None)
    gate = origin.gate()

    def in_two(request, connection):
        head, body = response_bytes(200, BODY).split(b"\r\n\r\n")
        connection.send(head + b"\r\n\r\n")
        held(gate, raw(body))(request, connection)
    origin.script = {"/first": in_two, "/a": respond(200, b"for a"), "/b": respond(200, b"for b"),
                     "/c": respond(200, b"for c")}
    weir = start.weir(origin, workers=1, env={"LD_PRELOAD": sleepy_library(start.folder)})
    first = weir.client()
    first.request("GET", "/first")
    wait_for("the head of the first response", lambda: gate.reached.is_set())
    head = first.read_final_head()
    gate.open()
    assert first.read_body(head).body == BODY
    weir.wait_server(idle=1)
    client = weir.client()
    client.send(b"".join(f"GET /{name} HTTP/1.1\r\nHost: h.test\r\n\r\n".encode() for name in "abc"))
    assert [client.read_response().body for _ in range(3)] == [b"for a", b"for b", b"for c"]
    assert weir.server()["connections"]["opened"] == 1
