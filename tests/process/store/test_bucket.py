"""The bucket of a MinIO that was just started, on a real one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from gomr_runtime.errors import StorageError
from gomr_runtime.model import layout
from gomr_runtime.storage.open_store import open_store, probe_create_only
from k8s.run.clean import clean_store
from k8s.store import bucket
from k8s.store.access import StoreAccess
from k8s.store.bucket import check_fits, ensure_bucket
from k8s.store.minio_admin import free_bytes
from tests.process.support.minio_server import MinioServer, running_minio

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


def test_old_data_goes_and_outputs_stay(minio: MinioServer) -> None:
    access = StoreAccess(f"s3://{NAME}", minio.settings, minio.settings)
    store = open_store(access.url, access.here)
    for run in ("failed-1", "kept-1", "live-1"):
        store.put(layout.job(run), b"{}")
        store.put(f"{layout.data(run)}map-0/1-x/map", b"data")
        store.put(f"{layout.output_prefix(run)}output-00000.txt", b"a\t1\n")
    store.put(layout.success("kept-1"), b"{}")
    store.put(layout.uploaded("0" * 64), b"an input that no run uses")
    assert clean_store(access, set(), kept_seconds=3600.0) == 1, "everything is new but unused"
    assert clean_store(access, {"live-1"}, kept_seconds=0.0) == 2
    assert [found.key for found in store.list("runs/")] == [
        "runs/live-1/data/map-0/1-x/map",
        "runs/live-1/job.json",
    ]
    assert [found.key for found in store.list("outputs/")] == [
        "outputs/kept-1/_SUCCESS",
        "outputs/kept-1/output-00000.txt",
        "outputs/live-1/output-00000.txt",
    ]
