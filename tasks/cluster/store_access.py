"""How a run's store is reached: from this machine, and from the run's pods."""

from __future__ import annotations

from dataclasses import dataclass

from gomr_runtime.errors import UsageError
from gomr_runtime.storage import S3Settings


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """url: `s3://bucket/prefix`. here and pods: the endpoint as each of them sees it."""

    url: str
    here: S3Settings
    pods: S3Settings


def outside(url: str, settings: S3Settings) -> StoreAccess:
    """An S3 endpoint of the settings, the same for everybody; UsageError for one that pods cannot
    mean."""
    host = settings.endpoint.partition("://")[2]
    if host.startswith(("127.", "localhost", "[::1]")):
        raise UsageError(
            f"GOMR_S3_ENDPOINT {settings.endpoint} is this machine, which pods do not reach: "
            "give an address they do, or leave out --store to use MinIO in the cluster"
        )
    return StoreAccess(url, settings, settings)
