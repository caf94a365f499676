"""A real MinIO on a free loopback port, for the tests."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process.support.build_minio import minio_binary
from tests.process.support.s3.s3_server import S3Server


class MinioServer(S3Server):
    name = "minio"
    health = "/minio/health/ready"

    def command(self) -> list[str]:
        address = f"127.0.0.1:{self.port}"
        return [str(self._binary), "server", str(self.data), "--quiet", "--address", address]

    def environment(self) -> dict[str, str]:
        return {
            "MINIO_ROOT_USER": self.settings.access_key,
            "MINIO_ROOT_PASSWORD": self.settings.secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "MINIO_CI_CD": "on",  # takes a data folder on the root disk
        }


@contextlib.contextmanager
def running_minio(
    folder: Path, small: int = 0, binary: Callable[[], Path] = minio_binary
) -> Iterator[MinioServer]:
    """A started server, stopped at the end; the test is skipped where Go is missing.

    With GOMR_NO_SKIP=1 it fails instead; with Go here a failed build is a failure. small:
    megabytes of its disk. binary: gives the server's path.
    """
    require_go("MinIO")
    server = MinioServer(binary(), folder, small)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def require_go(what: str) -> None:
    """Skip the test, or fail it, where `what` cannot be built."""
    if shutil.which("go") is None:
        reason = f"needs the Go toolchain (`go`) on PATH to build {what}"
        if os.environ.get("GOMR_NO_SKIP") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
