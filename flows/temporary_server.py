"""A Prefect server for one run: for nobody but this process, and gone with it."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import MutableMapping
from pathlib import Path
from types import TracebackType

from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.system.settings import read

COMMAND = Path(__file__).with_name("server_process.py")
STARTUP_SECONDS = 120  # 20 s, Prefect's default, are not enough on a slow or fresh machine
STOP_SECONDS = 5.0
TAIL = 10  # lines of its log that are shown when it does not start
AUTH = "PREFECT_API_AUTH_STRING"


class TemporaryServer:
    """A Prefect server on a free port of the loopback interface, with a password that is made up.

    Use it as a context manager. It begins to start on entry, which takes a while; `wait` returns
    once it answers. At exit it is ended; if this process is killed, the kernel ends it.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """environ: gets the server's address, and for `wait` to take away again the password, for
        Prefect to read both on import."""
        self._environ = environ
        self._password = f"gomr:{secrets.token_urlsafe(32)}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | None = None
        self.api = ""

    def __enter__(self) -> TemporaryServer:
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            self.api = f"{address}/api"
            descriptor = listener.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(COMMAND), str(descriptor), str(os.getpid())],
                env={
                    **self._environ,
                    "PREFECT_SERVER_API_AUTH_STRING": self._password,
                    AUTH: self._password,
                    "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": address,
                    "PREFECT_UI_ENABLED": "false",
                },
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(descriptor,),
                start_new_session=True,  # Ctrl-C is for the client, which still has things to tell
            )
        self._environ["PREFECT_API_URL"] = self.api
        self._environ[AUTH] = self._password
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._environ.pop(AUTH, None)
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._log.close()

    def hide_password(self) -> None:
        """Take the password out of `environ`, where what this process starts would find it: to be
        called once Prefect is imported, which keeps it."""
        self._environ.pop(AUTH, None)

    def wait(self) -> None:
        """Return once the server answers.

        Raises:
            EnvironmentFailed: it ended, or does not answer in time; with the end of its log.
        """
        assert self._process is not None
        seconds = float(read("prefect_startup", self._environ) or STARTUP_SECONDS)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:  # connects at once, and is answered when the server has started
                with urllib.request.urlopen(f"{self.api}/health", timeout=left) as reply:  # noqa: S310
                    if reply.status == 200:
                        return
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)
            if self._process.poll() is not None:
                raise self._failed(f"ended with exit code {self._process.returncode}")
        raise self._failed(f"does not answer after {seconds:.0f} s")

    def _failed(self, how: str) -> EnvironmentFailed:
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").splitlines()
        return EnvironmentFailed(
            f"the temporary Prefect server {how}; the end of what it said follows",
            detail="\n".join(lines[-TAIL:]),
        )
