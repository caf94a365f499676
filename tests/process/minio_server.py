"""A real MinIO on a free loopback port, for the tests."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store as ObstoreS3

from gomr_runtime.storage import S3Settings
from tests.process.build_minio import minio_binary

START_SECONDS = 60.0
STOP_SECONDS = 15.0


class MinioServer:
    """One server process; `settings` reach it. Data and log lie in `folder`."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._data = folder / "data"
        self._log = folder / "minio.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.settings = S3Settings(
            endpoint=f"http://127.0.0.1:{self.port}",
            region="us-east-1",
            access_key=secrets.token_hex(10),
            secret_key=secrets.token_hex(20),
            allow_http=True,
        )

    def start(self) -> None:
        """Returns once the server takes requests; also brings it back after `stop`."""
        self._data.mkdir(parents=True, exist_ok=True)
        command = [str(self._binary), "server", str(self._data), "--quiet"]
        command += ["--address", f"127.0.0.1:{self.port}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={
                    "HOME": str(self._data.parent),
                    "PATH": os.environ.get("PATH", ""),
                    "MINIO_ROOT_USER": self.settings.access_key,
                    "MINIO_ROOT_PASSWORD": self.settings.secret_key,
                    "MINIO_BROWSER": "off",
                    "MINIO_UPDATE": "off",
                    "MINIO_CI_CD": "on",  # takes a data folder on the root disk
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Ends the server by its own pid; within STOP_SECONDS it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)

    def make_bucket(self, name: str) -> None:
        """PUT Bucket by a presigned URL: obstore itself has no call for it."""
        settings = self.settings
        bucket = ObstoreS3(
            name,
            config={
                "endpoint": settings.endpoint,
                "region": settings.region,
                "access_key_id": settings.access_key,
                "secret_access_key": settings.secret_key,
            },
            client_options={"allow_http": True},
        )
        url = obstore.sign(bucket, "PUT", "", timedelta(minutes=1))
        self._send(urllib.request.Request(url, method="PUT"))

    def put_raw(self, bucket: str, key: str, data: bytes) -> None:
        """Put under any key, also those that our store refuses, signed by hand (SigV4)."""
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{now[:8]}/{self.settings.region}/s3/aws4_request"
        path = urllib.parse.quote(f"/{bucket}/{key}")
        query = urllib.parse.urlencode(
            {
                "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
                "X-Amz-Credential": f"{self.settings.access_key}/{scope}",
                "X-Amz-Date": now,
                "X-Amz-Expires": "60",
                "X-Amz-SignedHeaders": "host",
            }
        )
        host = f"127.0.0.1:{self.port}"
        request = f"PUT\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        signing_key = f"AWS4{self.settings.secret_key}".encode()
        for word in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest}"):
            signing_key = hmac.digest(signing_key, word.encode(), "sha256")
        url = f"http://{host}{path}?{query}&X-Amz-Signature={signing_key.hex()}"
        self._send(urllib.request.Request(url, data, method="PUT"))

    def _send(self, request: urllib.request.Request) -> None:
        """A server that calls itself ready may still answer 503 for a moment."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(request, timeout=30):
                    return
            except urllib.error.HTTPError as error:
                with error:
                    if error.code != 503 or time.monotonic() > deadline:
                        raise
            self._pause()

    def _pause(self) -> None:
        """A moment; ends at once with RuntimeError when the server dies."""
        if self._process is None:
            raise RuntimeError("MinIO was not started")
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(0.1)
            raise RuntimeError(f"MinIO ended with {code}: {self._last_lines()}")

    def _wait_until_ready(self) -> None:
        url = f"http://127.0.0.1:{self.port}/minio/health/ready"
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except (urllib.error.URLError, OSError) as error:
                answer = error
            self._pause()
            if time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"MinIO not ready: {answer}; its log: {self._last_lines()}")

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])


@contextlib.contextmanager
def running_minio(folder: Path) -> Iterator[MinioServer]:
    """A started server, stopped at the end; the test is skipped where Go is missing.

    With GOMR_NO_SKIP=1 it fails instead; with Go here a failed build is a failure.
    """
    if shutil.which("go") is None:
        reason = "needs the Go toolchain (`go`) on PATH to build MinIO"
        if os.environ.get("GOMR_NO_SKIP") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    server = MinioServer(minio_binary(), folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
