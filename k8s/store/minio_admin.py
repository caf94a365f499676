"""What is asked of a MinIO server as its administrator: version, room, users."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gomr_runtime.errors import EnvironmentFailed, StorageError
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.system.settings import SETTINGS, read

if TYPE_CHECKING:
    from minio import MinioAdmin
    from urllib3 import PoolManager

DEFAULT_LOGIN = "minioadmin"  # user and password of MinIO in a local cluster
REQUEST_SECONDS = 60.0
RETRIES = 5
BUSY = (500, 502, 503, 504)
PATCHED = datetime(2025, 10, 15, 17, 29, 55, tzinfo=UTC)
"""Of the release that mends CVE-2025-62506: before, temporary keys make ones without limits."""
ALLOW_UNPATCHED = SETTINGS["minio_allow_unpatched"].variable
_RELEASED = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d)[:-](\d\d)[:-](\d\d)Z")


def check_patched(settings: S3Settings) -> None:
    """Look whether the server may be given keys to hold that user code can take.

    A server with the default login is not asked: user code is its administrator without any fault.

    Raises:
        EnvironmentFailed: One of its servers is older than the fix of CVE-2025-62506, or does not
            say how old it is, and `GOMR_MINIO_ALLOW_UNPATCHED` is not 1.
        StorageError: The server does not say what it is.
    """
    public = settings.access_key == settings.secret_key == DEFAULT_LOGIN
    if public or read("minio_allow_unpatched") == "1":
        return
    for version in _versions(settings):
        found = released(version)
        if found is None or found < PATCHED:
            raise EnvironmentFailed(
                f"the cluster's MinIO, {version}, "
                + ("is older than" if found else "does not say whether it has")
                + " the fix of CVE-2025-62506 (2025-10-15), by which user code becomes its "
                "administrator: delete deployment/minio (its data stays) and run again without "
                f"GOMR_MINIO_IMAGE, or with one that has it, or set {ALLOW_UNPATCHED}=1"
            )


def known_as_unpatched(image: str) -> bool:
    """Whether an image's tag says that its server is older than `PATCHED`."""
    found = released(image)
    return found is not None and found < PATCHED


def released(version: str) -> datetime | None:
    """When the source of a server was released; None when its version does not tell."""
    found = _RELEASED.search(version)
    try:
        return _moment(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def _moment(*parts: int) -> datetime:
    year, month, day, hour, minute, second = parts
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def free_bytes(settings: S3Settings) -> int:
    """What the server's disks can still take; StorageError when it does not say."""
    return sum(
        int(drive.get("availspace", 0))
        for server in _servers(settings)
        for drive in server.get("drives", ())
    )


def make_user(settings: S3Settings, name: str, password: str, policy: dict[str, Any]) -> None:
    """Make the user, or give it this password, and this policy of the user's name alone.

    Raises:
        StorageError: The server does not agree.
    """
    from minio.error import MinioAdminException, MinioException

    try:
        with connections() as pool:
            admin = _admin(settings, pool)
            admin.policy_add(name, policy=policy)
            admin.user_add(name, password)
            admin.policy_set(name, user=name)
    except (MinioAdminException, MinioException, ValueError, OSError) as error:
        raise StorageError(f"MinIO makes no user {name}: {_reason(error)}") from None


def _versions(settings: S3Settings) -> Iterable[str]:
    versions = {str(server.get("version", "")) for server in _servers(settings)}
    return sorted(versions) or ["of no known version"]


def _servers(settings: S3Settings) -> list[dict[str, Any]]:
    from minio.error import MinioAdminException, MinioException

    try:
        with connections() as pool:
            found = json.loads(_admin(settings, pool).info()).get("servers") or []
    except (MinioAdminException, MinioException, ValueError, OSError, AttributeError) as error:
        raise StorageError(
            f"{settings.endpoint} does not say how it is: {_reason(error)}"
        ) from None
    return [server for server in found if isinstance(server, dict)]


def _reason(error: Exception) -> str:
    """What the server says of a refusal, without the rest of its answer."""
    found = re.search(r'"Message":"([^"]*)"', str(error))
    return found[1].rstrip(".") if found else str(error)


def connections() -> PoolManager:
    """For a few requests, to be closed after them: MinIO's client keeps its own for as long as it
    is there."""
    from urllib3 import PoolManager, Retry, Timeout

    again = Retry(total=RETRIES, backoff_factor=0.2, status_forcelist=BUSY)
    return PoolManager(timeout=Timeout(REQUEST_SECONDS), retries=again)


def _admin(settings: S3Settings, pool: PoolManager) -> MinioAdmin:
    from minio import MinioAdmin
    from minio.credentials.providers import StaticProvider

    address = urlsplit(settings.endpoint)
    keys = settings.access_key, settings.secret_key, settings.session_token or None
    return MinioAdmin(
        endpoint=address.netloc,
        credentials=StaticProvider(*keys),
        secure=address.scheme == "https",
        http_client=pool,
    )
