"""A small deterministic HTTP/1.1 client: one keep-alive connection, one request at a time."""
import socket


class Closed(Exception):
    """The server closed the connection before a whole response was there."""


class Connection:
    def __init__(self, port, timeout_s=10):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host = f"127.0.0.1:{port}"
        self.have = b""

    def request_bytes(self, path, method="GET", body=b""):
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        return f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\n{length}\r\n".encode() + body

    def request(self, path, method="GET", body=b""):
        """Returns (status, body)."""
        self.socket.sendall(self.request_bytes(path, method, body))
        return self.response()

    def response(self):
        while b"\r\n\r\n" not in self.have:
            self._more()
        head, _, rest = self.have.partition(b"\r\n\r\n")
        fields = dict(line.split(b":", 1) for line in head.lower().split(b"\r\n")[1:])
        if b"content-length" in fields:
            length = int(fields[b"content-length"])
            while len(rest) < length:
                self.have = b""
                rest += self._more()
            self.have, body = rest[length:], rest[:length]
        else:
            body = self._chunked(rest)
        self.open = fields.get(b"connection", b"").strip() != b"close"
        return int(head.split(b" ", 2)[1]), body

    def _chunked(self, rest):
        body = b""
        while True:
            while b"\r\n" not in rest:
                self.have = b""
                rest += self._more()
            size_line, _, rest = rest.partition(b"\r\n")
            size = int(size_line.split(b";")[0], 16)
            while len(rest) < size + 2:
                self.have = b""
                rest += self._more()
            body, rest = body + rest[:size], rest[size + 2:]
            if size == 0:
                self.have = rest
                return body

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Closed("closed before the response was whole")
        self.have += data
        return data

    def close(self):
        self.socket.close()
