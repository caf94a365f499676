"""A Prefect server that answers as it likes: a real one, some of whose answers are exchanged."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_SET_STATE = re.compile(r"/api/flow_runs/[0-9a-f-]+/set_state")
KEPT = ("Content-Type", "Authorization", "X-Prefect-Api-Version")


class HostileServer(ThreadingHTTPServer):
    """Passes requests on, and says of one kind of state that there was a result long ago.

    at: the type of the proposed state that is answered so. result: where it says that it lies.
    """

    daemon_threads = True

    def __init__(self, real: str, at: str, result: dict[str, Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.real = real.removesuffix("/api")
        self.at = at
        self.result = result
        self.lies = 0

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api"

    def exchanged(self, path: str, asked: Any, reply: Any) -> Any:
        """The reply, or a lie in place of it."""
        if not _SET_STATE.fullmatch(path) or asked["state"]["type"] != self.at:
            return reply
        self.lies += 1
        done = {**reply["state"], "type": "COMPLETED", "name": "Completed", "data": self.result}
        return {"state": done, "status": "REJECT", "details": {"reason": "there is a result"}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HostileServer

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: self.headers[name] for name in KEPT if name in self.headers}
        request = urllib.request.Request(
            self.server.real + self.path, body or None, headers, method=self.command
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                status, answer = reply.status, reply.read()
        except urllib.error.HTTPError as error:
            status, answer = error.code, error.read()
        if status < 300 and body and answer:
            found = self.server.exchanged(self.path, json.loads(body), json.loads(answer))
            answer = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@contextlib.contextmanager
def hostile_server(real: str, at: str, result: dict[str, Any]) -> Iterator[HostileServer]:
    """real: the address of a Prefect server's API."""
    with HostileServer(real, at, result) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
