"""A store outside the cluster: what pods are told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gomr_runtime.errors import UsageError
from gomr_runtime.storage.s3.settings import S3Settings
from k8s.store.access import AUTHORITIES, MOST_BYTES, outside

URL = "s3://bucket/prefix"
FAR = S3Settings("https://s3.example.org")
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "localhost", "[::1]:9000"])
def test_this_machine_is_no_store_for_pods(host: str) -> None:
    with pytest.raises(UsageError, match="is this machine, which pods do not reach"):
        outside(URL, S3Settings(f"http://{host}", allow_http=True))


def test_authorities_of_the_environment_go_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file := tmp_path / "ca.crt").write_bytes(CERTIFICATE)
    monkeypatch.setenv(AUTHORITIES, str(file))
    assert outside(URL, FAR).authorities == CERTIFICATE
    plain = S3Settings("http://s3.example.org", allow_http=True)
    assert outside(URL, plain).authorities == b""
    monkeypatch.delenv(AUTHORITIES)
    assert outside(URL, FAR).authorities == b""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file or directory"),
        (b"", "there is no certificate in it"),
        (CERTIFICATE + bytes(MOST_BYTES), "name a file of the store's authority alone"),
    ],
)
def test_a_file_of_authorities_that_is_none(
    content: bytes | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv(AUTHORITIES, str(file))
    with pytest.raises(UsageError, match=says):
        outside(URL, FAR)
