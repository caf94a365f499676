"""A way to a real Prefect server that can be cut, fall silent, or answer that it is busy."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

CHUNK = 64 << 10  # bytes
UP, GONE, SILENT = "up", "gone", "silent"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing a connection breaks it
ANSWER = (
    "HTTP/1.1 {status} A fault of the test\r\nRetry-After: 3600\r\nContent-Length: 0\r\n"
    "Connection: close\r\n\r\n"
)


class ApiProxy:
    """Relays connections to a server on this machine while it is `up`.

    When it is `gone` nobody listens, as after SIGKILL; when it is `silent` connections are taken
    and nothing is answered, as after SIGSTOP; a number is the status of every answer.
    """

    def __init__(self, port: int) -> None:
        """port: of the server."""
        self._server = port
        self._mode = GONE
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port: int = found.getsockname()[1]
        self._listener: socket.socket | None = None
        self.turn(UP)

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def turn(self, mode: str) -> None:
        """From now on it is `mode`. Connections that are open break, but for one that falls
        silent, which does so in the middle of what it says."""
        with self._lock:
            self._mode = mode
            broken = set() if mode == SILENT else self._ends
            self._ends = self._ends - broken
            for end in broken:
                _break(end)
            if mode == GONE and self._listener is not None:
                with contextlib.suppress(OSError):
                    self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
                self._listener.close()
                self._listener = None
            elif mode != GONE and self._listener is None:
                self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
                threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # until it is closed
            while True:
                client, _ = listener.accept()
                self._keep(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _keep(self, end: socket.socket) -> None:
        with self._lock:
            self._ends.add(end)
            if self._mode == GONE:  # it was on its way when the mode changed
                _break(end)

    def _serve(self, client: socket.socket) -> None:
        if self._mode == SILENT:
            return
        with contextlib.suppress(OSError):
            if self._mode.isdigit():
                _read_request(client)
                client.sendall(ANSWER.format(status=self._mode).encode())
                client.close()
                return
            server = socket.create_connection(("127.0.0.1", self._server))
            self._keep(server)
            answers = threading.Thread(target=self._relay, args=(server, client), daemon=True)
            answers.start()
            self._relay(client, server)

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):  # either end may go at any time
            while (data := source.recv(CHUNK)) and self._mode != SILENT:
                sink.sendall(data)
        if self._mode != SILENT:
            for end in (source, sink):
                _break(end)


def _read_request(client: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(CHUNK) or b"\r\n\r\n"
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    left = sum(int(line.partition(b":")[2]) for line in lengths) - len(body)
    while left > 0:
        left -= len(client.recv(CHUNK)) or left


def _break(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        end.shutdown(socket.SHUT_RDWR)
    end.close()
