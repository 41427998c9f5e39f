"""A socket for coroutines, with what ordinary streams do not do: reset, close one side, read little at a time."""

import asyncio
import socket
import struct


class Gone(Exception):
    """The other side has closed ("early") or reset."""

    def __init__(self, how):
        super().__init__(how)
        self.how = how


class Wire:
    def __init__(self, sock):
        self.loop = asyncio.get_running_loop()
        self.sock = sock
        self.sock.setblocking(False)
        self.buffer = b""
        self.piece = 262144  # most bytes of one read
        self.pause = None  # a function that says for how long to wait before a read
        self.on_data = None  # called when something has come

    @classmethod
    async def connect(cls, address, receive_buffer=None):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        wire = cls(sock)
        try:
            await wire.loop.sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return wire

    async def send(self, data):
        try:
            await self.loop.sock_sendall(self.sock, data)
        except OSError:
            raise Gone("reset") from None

    async def receive(self):
        """Adds to the buffer."""
        if self.pause:
            await asyncio.sleep(self.pause())
        try:
            data = await self.loop.sock_recv(self.sock, self.piece)
        except OSError:
            raise Gone("reset") from None
        if not data:
            raise Gone("early")
        self.buffer += data
        if self.on_data:
            self.on_data()

    async def take_some(self, most):
        """At least one byte and at most so many."""
        if not self.buffer:
            await self.receive()
        data, self.buffer = self.buffer[:most], self.buffer[most:]
        return data

    async def take(self, length):
        while len(self.buffer) < length:
            await self.receive()
        data, self.buffer = self.buffer[:length], self.buffer[length:]
        return data

    async def take_until(self, mark):
        start = 0
        while (end := self.buffer.find(mark, start)) < 0:
            start = max(0, len(self.buffer) - len(mark))
            await self.receive()
        end += len(mark)
        data, self.buffer = self.buffer[:end], self.buffer[end:]
        return data

    async def take_chunk(self):
        """The bytes of the next chunk; b"" is the last one, its trailers read."""
        size = int((await self.take_until(b"\r\n")).split(b";")[0], 16)
        if size == 0:
            while await self.take_until(b"\r\n") != b"\r\n":
                pass
            return b""
        data = await self.take(size + 2)
        if data[-2:] != b"\r\n":
            raise ValueError("a chunk without its CRLF")
        return data[:-2]

    def half_close(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.sock.close()

    def reset(self):
        """What is not delivered yet is lost."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.sock.close()
