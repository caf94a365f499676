"""A real MinIO that speaks TLS with a certificate of an authority of its own, for the tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cluster.support.certificates import Authority
from tests.process.support.build_minio import minio_binary
from tests.process.support.minio_server import MinioServer, require_go


class TlsMinioServer(MinioServer):
    """host: what it listens on and its certificate says. authorities: the file to trust."""

    def __init__(self, binary: Path, folder: Path, host: str = "127.0.0.1") -> None:
        super().__init__(binary, folder)
        self._host = host
        self._certificates = folder / "certificates"
        self._certificates.mkdir()
        authority = Authority()
        self.authorities = folder / "authorities.crt"
        self.authorities.write_bytes(authority.certificate)
        pair = authority.pair("minio", names=(host,))
        (self._certificates / "public.crt").write_bytes(pair.certificate)
        (self._certificates / "private.key").write_bytes(pair.key)
        endpoint = f"https://{host}:{self.port}"
        self.settings = replace(self.settings, endpoint=endpoint, allow_http=False)

    def command(self) -> list[str]:
        certificates = f"--certs-dir={self._certificates}"
        address = f"{self._host}:{self.port}"
        return [str(self._binary), "server", str(self.data), certificates, "--address", address]


@contextlib.contextmanager
def running_tls_minio(folder: Path, host: str = "127.0.0.1") -> Iterator[TlsMinioServer]:
    """A started server that this process and its children trust, stopped at the end."""
    require_go("MinIO")
    folder.mkdir(parents=True, exist_ok=True)
    server = TlsMinioServer(minio_binary(), folder, host)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(server.authorities))
        try:
            server.start()
            yield server
        finally:
            server.stop()
