"""The bucket of a MinIO that was just started, on a real one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from gomr_runtime.errors import StorageError
from gomr_runtime.storage import open_store, probe_create_only
from tasks.cluster import bucket
from tasks.cluster.bucket import check_fits, ensure_bucket, free_bytes
from tests.process.minio_server import MinioServer, running_minio

pytestmark = pytest.mark.timeout(3600)  # the first test may have to build MinIO
NAME = "map-reduce-bucket"


@pytest.fixture(scope="module")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    with running_minio(tmp_path_factory.mktemp("minio")) as server:
        yield server


def test_a_bucket_is_made_once(minio: MinioServer) -> None:
    assert ensure_bucket(NAME, minio.settings) is True
    assert ensure_bucket(NAME, minio.settings) is False
    probe_create_only(open_store(f"s3://{NAME}", minio.settings))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"access_key": "nobody"}, "does not know the access key"),
        ({"secret_key": "not-the-one"}, "secret key of Secret minio does not fit"),
    ],
)
def test_wrong_credentials_are_said_at_once(
    minio: MinioServer, wrong: dict[str, str], message: str
) -> None:
    with pytest.raises(StorageError, match=message) as caught:
        ensure_bucket(NAME, replace(minio.settings, **wrong))  # type: ignore[arg-type]
    assert minio.settings.secret_key not in str(caught.value)


def test_a_server_that_does_not_answer(minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "READY_SECONDS", 0.5)
    with pytest.raises(StorageError, match="takes no requests"):
        ensure_bucket(NAME, replace(minio.settings, endpoint="http://127.0.0.1:1"))


def test_a_run_that_cannot_fit_is_refused(minio: MinioServer) -> None:
    free = free_bytes(minio.settings)
    assert free > 0
    check_fits(1000, 10**9, minio.settings)
    with pytest.raises(StorageError, match="raise --store-size"):
        check_fits(2 * 10**9, 10**9, minio.settings)
    with pytest.raises(StorageError, match=r"the store has .* left"):
        check_fits(free * 2, free * 4, minio.settings)
