"""A TCP proxy on loopback in front of an S3 server that can swallow answers or hang."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Literal

Fault = Literal["swallow", "drop", "hang"]


class S3Proxy:
    """Forwards one HTTP request a connection to `port`.

    `faults` are spent one for each request whose method is `method`: `swallow` lets the server
    act and drops its answer, `drop` closes before the server sees the request, `hang` never
    answers. `seen` counts these requests.
    """

    def __init__(self, port: int, method: bytes, faults: list[Fault]) -> None:
        self._server_port = port
        self._method = method
        self._faults = list(faults)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self.seen = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def close(self) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        for thread in [self._accepting, *self._threads]:
            thread.join(30)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            thread = threading.Thread(target=self._serve, args=(client,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(20)
            request = _read_request(client)
            fault = self._next_fault(request)
            if fault == "hang":
                self._over.wait(60)
            if fault in {"hang", "drop"} or not request:
                return
            answer = self._forward(request)
            if fault != "swallow":
                client.sendall(answer)

    def _next_fault(self, request: bytes) -> Fault | None:
        if not request.startswith(self._method + b" "):
            return None
        with self._lock:
            self.seen += 1
            return self._faults.pop(0) if self._faults else None

    def _forward(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self._server_port), 20) as server:
            server.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
            answer = bytearray()
            while piece := server.recv(1 << 16):
                answer += piece
            return bytes(answer)


def _read_request(client: socket.socket) -> bytes:
    """One whole request: its head and as much body as `Content-Length` says."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        piece = client.recv(1 << 16)
        if not piece:
            return b""
        data += piece
    head = bytes(data).partition(b"\r\n\r\n")[0]
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(data) < len(head) + 4 + length:
        data += client.recv(1 << 16)
    return bytes(data)


@contextlib.contextmanager
def s3_proxy(port: int, method: bytes, faults: list[Fault]) -> Iterator[S3Proxy]:
    proxy = S3Proxy(port, method, faults)
    try:
        yield proxy
    finally:
        proxy.close()
