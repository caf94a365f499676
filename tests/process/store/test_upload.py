"""Inputs brought into a real MinIO: by content, once, and gone when nobody uses them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gomr_runtime.errors import DataError
from gomr_runtime.storage.inputs.files import resolve
from gomr_runtime.storage.s3.store import S3Store
from k8s.store.uploads import KEPT_SECONDS, sweep_uploads, upload
from tests.process.support.minio_server import MinioServer
from tests.process.support.s3.s3_server import BUCKET

pytestmark = pytest.mark.timeout(3600)  # the first test may have to build MinIO


@pytest.fixture
def store(minio: MinioServer, request: pytest.FixtureRequest) -> S3Store:
    return S3Store(BUCKET, request.node.name.replace("_", "-"), minio.settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.txt").write_bytes(b"one\n" * 1000)
    (tmp_path / "deep" / "same.txt").write_bytes(b"one\n" * 1000)
    (tmp_path / "large.bin").write_bytes(os.urandom(20 << 20))
    return tmp_path


def test_content_goes_once_whatever_its_name(store: S3Store, folder: Path) -> None:
    files = resolve([str(folder)])
    sent: list[int] = []
    first = upload(store, "run-1", files, sent.append)
    assert [file.source for file in first.files] == ["a.txt", "deep/same.txt", "large.bin"]
    assert first.files[0].location == first.files[1].location
    assert (first.sent, first.sent_bytes, first.found) == (2, (20 << 20) + 4000, 0)
    assert sum(sent) == (20 << 20) + 4000
    for file in first.files:
        stored = store.get(file.location.removeprefix("store:"))
        assert stored == (folder / file.source).read_bytes()

    second = upload(store, "run-2", files, sent.append)
    assert (second.sent, second.found, second.files) == (0, 2, first.files)


def test_an_upload_goes_on_where_it_was_ended(store: S3Store, folder: Path) -> None:
    small, large = resolve([str(folder / "a.txt"), str(folder / "large.bin")])

    class Ended(Exception):
        pass

    def end(_: int) -> None:
        raise Ended

    upload(store, "run-1", [small], lambda _: None)
    with pytest.raises(Ended):
        upload(store, "run-1", [large], end)
    again = upload(store, "run-1", [small, large], lambda _: None)
    assert (again.sent, again.found) == (1, 1)


def test_a_file_that_changes_is_refused_and_leaves_nothing(store: S3Store, folder: Path) -> None:
    path = folder / "large.bin"
    files = resolve([str(path)])

    def change(_: int) -> None:
        os.truncate(path, 100)

    with pytest.raises(DataError, match=r"large.bin changed while it was uploaded"):
        upload(store, "run-1", files, change)
    assert list(store.list("inputs/")) == []
    with pytest.raises(DataError, match=r"large.bin changed"):
        upload(store, "run-1", files, lambda _: None)


def test_uploads_that_nobody_uses_are_swept(store: S3Store, folder: Path) -> None:
    upload(store, "old", resolve([str(folder / "large.bin")]), lambda _: None)
    recent = upload(store, "new", resolve([str(folder / "a.txt")]), lambda _: None)
    assert sweep_uploads(store, _at(store, "old") + KEPT_SECONDS - 1) == 0
    store.put("inputs-used/old", b'{"at": 0, "sha256": []}')
    assert sweep_uploads(store, _at(store, "new") + 1) == 1
    assert [f"store:{info.key}" for info in store.list("inputs/")] == [recent.files[0].location]


def _at(store: S3Store, run: str) -> float:
    return float(json.loads(store.get(f"inputs-used/{run}"))["at"])
