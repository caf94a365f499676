"""How a run's store is reached: from this machine, and from the run's pods."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gomr_runtime.errors import UsageError
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.system.os_errors import os_cause
from gomr_runtime.system.settings import SETTINGS, read

# Where the S3 client looks for them, here and in pods.
AUTHORITIES = SETTINGS["authorities"].variable
MOST_BYTES = 900_000  # a Secret may have a million, and the run has more to keep there


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """url: `s3://bucket/prefix`. here and pods: the endpoint as each of them sees it.
    authorities: PEM of those that may have signed the endpoint's certificate, empty for the usual
    ones of the images."""

    url: str
    here: S3Settings
    pods: S3Settings
    authorities: bytes = b""


def outside(url: str, settings: S3Settings) -> StoreAccess:
    """An S3 endpoint of the settings, the same for everybody, and who may sign its certificate
    (`SSL_CERT_FILE`); UsageError for an endpoint that pods cannot mean and a file without one."""
    host = settings.endpoint.partition("://")[2]
    if host.startswith(("127.", "localhost", "[::1]")):
        raise UsageError(
            f"GOMR_S3_ENDPOINT {settings.endpoint} is this machine, which pods do not reach: "
            "give an address they do, or leave out --store to use MinIO in the cluster"
        )
    return StoreAccess(url, settings, settings, b"" if settings.allow_http else _authorities())


def _authorities() -> bytes:
    path = read("authorities")
    if not path:
        return b""
    try:
        found = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{AUTHORITIES}={path}: {os_cause(error)}") from None
    if b"-----BEGIN CERTIFICATE-----" not in found:
        raise UsageError(f"{AUTHORITIES}={path}: there is no certificate in it")
    if len(found) > MOST_BYTES:
        raise UsageError(
            f"{AUTHORITIES}={path} has {len(found):,} bytes, pods may get {MOST_BYTES:,}: name a "
            "file of the store's authority alone"
        )
    return found
