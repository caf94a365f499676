"""A real Prefect server on a free loopback port."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from flows.server import QUIET, answers
from tests.flow.command import Server, clean_environ

SERVER_SECONDS = 120.0


@contextlib.contextmanager
def running_server(home: Path, host: str = "127.0.0.1") -> Iterator[Server]:
    """home: for its database and its log. host: an address of this machine."""
    with socket.create_server((host, 0)) as listener:
        port = listener.getsockname()[1]
    api = f"http://{host}:{port}/api"
    environ = clean_environ() | QUIET | {"PREFECT_HOME": str(home), "PREFECT_API_URL": api}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", host]
    log = home / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--no-ui"], env=environ, stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + SERVER_SECONDS
        while not answers(api):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield Server(api, environ, process.pid)
    finally:
        process.terminate()
        process.wait(30)
