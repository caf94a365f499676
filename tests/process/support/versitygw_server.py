"""A second S3 server of another make, versitygw, on a free loopback port."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.build_cache import cached, output
from tests.process.support.minio_server import require_go
from tests.process.support.s3.s3_server import S3Server

MODULE = "github.com/versity/versitygw/cmd/versitygw"
VERSION = "v1.8.0"
BUILD_SECONDS = 3000.0


class VersityServer(S3Server):
    name = "versitygw"
    health = "/health"

    def command(self) -> list[str]:
        address = f"127.0.0.1:{self.port}"
        options = ["--port", address, "--health", self.health, "--quiet"]
        return [str(self._binary), *options, "posix", str(self.data)]

    def environment(self) -> dict[str, str]:
        return {
            "ROOT_ACCESS_KEY": self.settings.access_key,
            "ROOT_SECRET_KEY": self.settings.secret_key,
        }


def versitygw_binary() -> Path:
    """Path of the server, built on the first call (minutes)."""
    return cached("versitygw", VERSION, _build) / "versitygw"


def _build(folder: Path) -> None:
    # Symbols and debug data are left out: they double the time of linking.
    flags = ["-trimpath", "-ldflags=-s -w"]
    command = ["nice", "-n", "10", "go", "install", *flags, f"{MODULE}@{VERSION}"]
    output(command, BUILD_SECONDS, extra={"GOBIN": str(folder), "CGO_ENABLED": "0"})


@contextlib.contextmanager
def running_versitygw(folder: Path) -> Iterator[VersityServer]:
    """A started server, stopped at the end; without Go as `running_minio`."""
    require_go("versitygw")
    server = VersityServer(versitygw_binary(), folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
