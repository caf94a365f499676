"""A TCP proxy on loopback in front of a real S3 server: what comes through comes unchanged, and
what does not is counted.

It takes one HTTP request a connection, so that a fault hits one request and nothing else.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

from gomr_runtime.storage.s3.settings import S3Settings
from tests.process.support.s3.s3_faults import Fault, Record, Rule, nothing
from tests.process.support.s3.s3_http import (
    PIECE,
    Pace,
    Request,
    in_another_time,
    read_request,
    signed_again,
)

SECONDS = 30.0  # for a peer that does not move
LONGEST_HANG = 300.0
BUSY_ANSWER = (
    "HTTP/1.1 {status} Slow\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n"
    "Connection: close\r\n\r\n"
)
CODES = {503: "SlowDown", 500: "InternalError", 400: "IncompleteBody"}
BUSY_BODY = "<Error><Code>{code}</Code><Message>a fault of the test</Message></Error>"


class S3Proxy:
    """Forwards to `settings.endpoint`; `settings` of its own reach it.

    `rule` may be replaced at any time. `before` is called with each request that is to reach the
    server, `after` with each that it answered, both in the request's own thread: what they do is
    done before the request goes on. `rate` is in bytes a second each way, 0 for no limit.
    """

    def __init__(self, server: S3Settings, rule: Rule = nothing) -> None:
        self._server = server
        host, _, port = server.endpoint.removeprefix("http://").partition(":")
        self._address = (host, int(port))
        self.rule = rule
        self.rate = 0.0
        self.before: Callable[[Request], None] = _ignore
        self.after: Callable[[Request], None] = _ignore
        self.record = Record()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name="s3-proxy")
        self._accepting.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        for thread in [self._accepting, *self._threads]:
            thread.join(SECONDS)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            thread = threading.Thread(target=self._serve, args=(client,))
            thread.start()
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(SECONDS)
            pace = Pace(self.rate, self._over)
            request = read_request(client, pace)
            if request is None:
                return
            self.record.came(request)
            fault = self.rule(request)
            if fault is not None:
                self.record.befell(request, fault)
            self._answer(client, request, fault, pace)

    def _answer(
        self, client: socket.socket, request: Request, fault: Fault | None, pace: Pace
    ) -> None:
        act = fault.act if fault else ""
        if fault and act == "hang":
            self._hang(client)
        elif fault and act == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif fault and act == "status":
            client.sendall(_refusal(request, int(fault.amount)))
        elif act != "drop":
            answer = self._forward(self._changed(request, fault), short=act == "short")
            if act != "lose":
                kept = len(answer) // 2 if act == "cut" else len(answer)
                _send(client, answer[:kept], pace)

    def _hang(self, client: socket.socket) -> None:
        """Until the client gives up, or the proxy is closed."""
        client.settimeout(0.1)
        waited = 0.0
        while not self._over.is_set() and waited < LONGEST_HANG:
            try:
                if not client.recv(1):
                    return
            except TimeoutError:
                waited += 0.1

    def _changed(self, request: Request, fault: Fault | None) -> Request:
        if fault and fault.act == "delay":
            self._over.wait(fault.amount)
        elif fault and fault.act == "forget":
            return signed_again(request.without("if-none-match"), self._server)
        elif fault and fault.act == "skew":
            return in_another_time(request, fault.amount)
        return request

    def _forward(self, request: Request, *, short: bool = False) -> bytes:
        self.before(request)
        body = request.body[: len(request.body) // 2] if short else request.body
        with socket.create_connection(self._address, SECONDS) as server:
            server.sendall(request.head + b"\r\nConnection: close\r\n\r\n" + body)
            if short:
                server.shutdown(socket.SHUT_WR)
            answer = bytearray()
            # A server that refuses before it has read the body resets when it has answered.
            with contextlib.suppress(ConnectionResetError):
                while piece := server.recv(PIECE):
                    answer += piece
        status = answer[9:12]
        self.record.answered(request, int(status) if status.isdigit() else 0)
        self.after(request)
        return bytes(answer)


def _ignore(_: Request) -> None:
    """Nobody watches."""


def _send(client: socket.socket, answer: bytes, pace: Pace) -> None:
    for start in range(0, len(answer), PIECE):
        piece = answer[start : start + PIECE]
        pace(len(piece))
        client.sendall(piece)


def _refusal(request: Request, status: int) -> bytes:
    body = BUSY_BODY.format(code=CODES[status]).encode()
    head = BUSY_ANSWER.format(status=status, length=len(body)).encode()
    return head if request.method == "HEAD" else head + body


@contextlib.contextmanager
def s3_proxy(server: S3Settings, rule: Rule = nothing) -> Iterator[S3Proxy]:
    proxy = S3Proxy(server, rule)
    try:
        yield proxy
    finally:
        proxy.close()
