"""How old a MinIO server is, by what it says of itself."""

from __future__ import annotations

import pytest

from gomr_runtime.storage.s3.settings import S3Settings
from k8s.store.minio_admin import DEFAULT_LOGIN, PATCHED, check_patched, released


@pytest.mark.parametrize(
    ("version", "patched"),
    [
        ("2025-09-07T16:13:09Z", False),
        ("2025-10-15T17:29:54Z", False),
        ("2025-10-15T17:29:55Z", True),
        ("RELEASE.2025-10-15T17-29-55Z", True),
        ("RELEASE.2025-09-07T16-13-09Z", False),
        ("RELEASE.2025-10-15T17-29-55Z.hotfix.abc", True),
        ("DEVELOPMENT.2026-02-12T20-18-48Z", True),
        ("2026-02-12T20:18:48Z", True),
    ],
)
def test_the_version_tells_the_age(version: str, patched: bool) -> None:
    found = released(version)
    assert found is not None
    assert (found >= PATCHED) is patched


@pytest.mark.parametrize(
    "version", ["", "DEVELOPMENT.GOGET", "2025-13-15T17:29:55Z", "of no known version", "v7.0.1"]
)
def test_a_version_that_does_not_tell_it(version: str) -> None:
    assert released(version) is None


def test_a_server_with_the_login_that_everybody_knows_is_not_asked() -> None:
    nobody = "http://127.0.0.1:1"
    check_patched(S3Settings(nobody, access_key=DEFAULT_LOGIN, secret_key=DEFAULT_LOGIN))
