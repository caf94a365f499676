"""A real S3 server as a process of its own on a free loopback port, for the tests."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

from gomr_runtime.storage.s3.presign import presigned
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.storage.s3.unfinished_uploads import Upload, unfinished

BUCKET = "gomr-tests"
START_SECONDS = 60.0
STOP_SECONDS = 15.0
NAMESPACE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")))


class S3Server(ABC):
    """One server process; `settings` reach it. Data and log lie in `folder`.

    small: its disk has so many megabytes; then nobody but the server sees its data.
    """

    name: str
    health: str  # what it answers 200 to, once it takes requests

    def __init__(self, binary: Path, folder: Path, small: int = 0) -> None:
        self._binary = binary
        self._small = small
        self.data = folder / "data"
        self._log = folder / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.settings = S3Settings(
            endpoint=f"http://127.0.0.1:{self.port}",
            region="us-east-1",
            access_key=secrets.token_hex(10),
            secret_key=secrets.token_hex(20),
            allow_http=True,
        )

    @abstractmethod
    def command(self) -> list[str]:
        """Of the server, in the foreground."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Credentials among it; HOME and PATH are added."""

    def start(self) -> None:
        """Returns once the server takes requests; also brings it back after `stop` or `kill`."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the process without waiting for it."""
        self.data.mkdir(parents=True, exist_ok=True)
        usual = {"HOME": str(self.data.parent), "PATH": os.environ.get("PATH", "")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._on_a_small_disk(self.command()) if self._small else self.command(),
                env=usual | self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _on_a_small_disk(self, command: list[str]) -> list[str]:
        script = 'mount -t tmpfs -o "size=$1m" tmpfs "$2" && shift 2 && exec "$@"'
        return [*NAMESPACE, "sh", "-c", script, "sh", str(self._small), str(self.data), *command]

    def stop(self) -> None:
        """Ends the server by its own pid; within STOP_SECONDS it is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Such as SIGSTOP: it goes on to accept connections, and never answers."""
        assert self._process is not None
        self._process.send_signal(number)

    def make_bucket(self, name: str) -> None:
        """One that is there is kept: a put under way while a bucket is removed brings it back."""
        self._send("PUT", name, unless="BucketAlreadyOwnedByYou")

    def remove_bucket(self, name: str) -> None:
        """With all that is in it."""
        self._send("DELETE", name, headers={"x-minio-force-delete": "true"})

    def put_raw(self, bucket: str, key: str, data: bytes) -> None:
        """Put under any key, also those that our store refuses."""
        self._send("PUT", bucket, key, data)

    def uploads(self, bucket: str, prefix: str) -> list[Upload]:
        """The unfinished uploads below the folder, as the server itself lists them."""
        return list(unfinished(self.settings, bucket, f"{prefix}/"))

    def _send(
        self,
        method: str,
        bucket: str,
        key: str = "",
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        unless: str | None = None,
    ) -> None:
        """unless: a refusal that does. A server that calls itself ready may answer 503 at first."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            url = presigned(self.settings, method, bucket, key)
            request = urllib.request.Request(url, data, dict(headers or {}), method=method)
            try:
                with urllib.request.urlopen(request, timeout=30):
                    return
            except urllib.error.HTTPError as error:
                with error:
                    if unless and f"<Code>{unless}</Code>" in error.read().decode():
                        return
                    if error.code != 503 or time.monotonic() > deadline:
                        raise
            self._pause()

    def wait_until(self, happened: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """While the server lives, and at most so long."""
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: {self._last_lines()}")
            self._pause()

    def _pause(self) -> None:
        """A moment; ends at once with RuntimeError when the server dies."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(0.05)
            raise RuntimeError(f"{self.name} ended with {code}: {self._last_lines()}")

    def wait_until_ready(self) -> None:
        url = f"{self.settings.endpoint}{self.health}"
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except OSError as error:  # URLError, too
                answer = error
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
            self._pause()
            if time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{self.name} not ready: {answer}; {self._last_lines()}")

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
