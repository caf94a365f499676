"""`S3Store`, S3 inputs and blobs against real servers: MinIO and versitygw."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import hashlib
import itertools
import lzma
import traceback
from pathlib import Path

import pytest
import zstandard

from gomr_runtime.errors import DataError, StorageError, UsageError
from gomr_runtime.model.summary import Part, Summary
from gomr_runtime.model.task import Ledger
from gomr_runtime.publishing.publish import publish
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.blobs import StoreBlobs
from gomr_runtime.storage.inputs.s3_files import list_inputs
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.storage.s3.store import S3Store
from gomr_runtime.storage.success import promote, read_success
from tests.process.support.minio_server import MinioServer
from tests.process.support.s3.s3_server import BUCKET, S3Server
from tests.unit.storage.test_storage_conformance import StoreConformance

# The first tests may have to build the servers.
pytestmark = pytest.mark.timeout(3600)

_numbers = itertools.count(1)


@pytest.fixture
def store(minio: MinioServer) -> S3Store:
    return S3Store(BUCKET, f"test-{next(_numbers)}/store", minio.settings)


class S3Conformance(StoreConformance):
    tenfold = 105  # more than a page of 1,000
    races = 20
    both = False


class TestMinio(S3Conformance):
    @pytest.fixture
    def store(self, minio: MinioServer) -> Store:
        return S3Store(BUCKET, f"test-{next(_numbers)}/store", minio.settings)


class TestVersitygw(S3Conformance):
    @pytest.fixture
    def store(self, versitygw: S3Server) -> Store:
        return S3Store(BUCKET, f"test-{next(_numbers)}/store", versitygw.settings)


def test_errors_are_plain_and_keep_the_secrets(minio: MinioServer, store: S3Store) -> None:
    settings = minio.settings
    wrong_secret = dataclasses.replace(settings, secret_key="wrong" * 8)
    wrong_access = dataclasses.replace(settings, access_key="nobody" * 3)
    no_http = dataclasses.replace(settings, allow_http=False)
    cases = [
        (S3Store(BUCKET, "", wrong_secret), "SECRET_KEY does not fit"),
        (S3Store(BUCKET, "", wrong_access), "does not know GOMR_S3_ACCESS_KEY"),
        (S3Store("no-such-bucket", "", settings), "the bucket does not exist"),
        (S3Store(BUCKET, "", no_http), "plain HTTP is not allowed"),
    ]
    for broken, cause in cases:
        for call in (
            lambda: broken.get("a"),  # noqa: B023
            lambda: broken.put("a", b""),  # noqa: B023
            lambda: broken.create("a", b""),  # noqa: B023
            lambda: list(broken.list("a/")),  # noqa: B023
        ):
            with pytest.raises(StorageError, match=cause) as caught:
                call()
            shown = "".join(traceback.format_exception(caught.value))
            assert "\n" not in str(caught.value)
            for secret in (settings.secret_key, settings.access_key, "wrong", "nobody"):
                assert secret not in shown
    assert settings.secret_key not in repr(settings)
    assert settings.access_key not in repr(settings)


def test_a_copy_beyond_the_limit_goes_through_here(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(253)) * 80_000
    store.put("data/part", data)
    monkeypatch.setattr(S3Store, "copy_limit", 1 << 20)
    store.copy("data/part", "outputs/part")
    assert store.get("outputs/part") == data


def test_a_read_of_another_version_is_a_data_error(store: S3Store) -> None:
    store.put("a", b"content")
    version = store.info("a").version
    assert store.get("a", 2, 3, version=version) == b"nte"
    store.put("a", b"changed")
    with pytest.raises(DataError, match="changed while it was read"):
        store.get("a", 2, 3, version=version)


def test_open_store_takes_the_prefix_of_the_url(minio: MinioServer) -> None:
    opened = open_store(f"s3://{BUCKET}/some/prefix/", minio.settings)
    opened.put("key", b"x")
    assert opened.url == f"s3://{BUCKET}/some/prefix"
    whole = open_store(f"s3://{BUCKET}", minio.settings)
    assert [found.key for found in whole.list("some/")] == ["some/prefix/key"]


def test_inputs_below_a_prefix(minio: MinioServer, store: S3Store) -> None:
    text = b"some text\n" * 100
    contents = {
        "a/part.gz": gzip.compress(text),
        "a-b.txt": text,
        "b.bz2": bz2.compress(text),
        "c.xz": lzma.compress(text),
        "d": zstandard.compress(text),
        "empty": b"",
        "ü.txt": b"BZ",
    }
    for name, data in contents.items():
        store.put(f"in/{name}", data)
    store.put("in2/other", text)
    minio.put_raw(BUCKET, store.url.removeprefix(f"s3://{BUCKET}/") + "/in/a/", b"")
    minio.put_raw(BUCKET, store.url.removeprefix(f"s3://{BUCKET}/") + "/in/.hidden/x", b"no")
    found = list_inputs(f"{store.url}/in", minio.settings)
    assert [(file.source, file.size, file.compression) for file in found] == [
        ("a-b.txt", 1000, ""),
        ("a/part.gz", len(contents["a/part.gz"]), "gzip"),
        ("b.bz2", len(contents["b.bz2"]), "bz2"),
        ("c.xz", len(contents["c.xz"]), "xz"),
        ("d", len(contents["d"]), "zstd"),
        ("empty", 0, ""),
        ("ü.txt", 2, ""),
    ]
    assert found[1].location == f"{store.url}/in/a/part.gz"
    assert [file.version for file in found] == [store.info(f"in/{f.source}").version for f in found]
    assert len({file.version for file in found}) == len(found)


def test_one_object_is_an_input_by_its_url(minio: MinioServer, store: S3Store) -> None:
    store.put("in/a.txt", b"text")
    store.put("in/a.txt.more", b"text")
    url = f"{store.url}/in/a.txt"
    (found,) = list_inputs(url, minio.settings)
    assert (found.source, found.location, found.size) == (url, url, 4)
    with pytest.raises(UsageError, match="no objects there"):
        list_inputs(f"{store.url}/in/b", minio.settings)
    with pytest.raises(UsageError, match="s3://BUCKET/PREFIX"):
        list_inputs("s3://UPPER/x", minio.settings)


def test_blobs_read_ranges_of_objects(minio: MinioServer, store: S3Store, tmp_path: Path) -> None:
    data = bytes(range(256)) * 100
    store.put("data/map", data)
    (tmp_path / "local").write_bytes(data)
    blobs = StoreBlobs(store, minio.settings)
    for location in ("store:data/map", f"{store.url}/data/map", str(tmp_path / "local")):
        blob = blobs.open(location)
        assert blob.size == len(data)
        assert blob.read_at(255, 3) == b"\xff\x00\x01"
        assert blob.read_at(len(data) - 2, 100) == b"\xfe\xff"
        assert blob.read_at(len(data), 10) == b""
        blob.close()
    blob = blobs.open(f"{store.url}/data/map")
    store.put("data/map", data[::-1])
    with pytest.raises(DataError, match="changed while it was read"):
        blob.read_at(0, 10)
    store.delete("data/")
    for location in ("store:data/map", f"{store.url}/data/map"):
        with pytest.raises(DataError, match="data/map is not in s3://"):
            blobs.open(location)


def test_promote_and_publish_from_s3(minio: MinioServer, store: S3Store, tmp_path: Path) -> None:
    data = b"word\t1\n" * 1_500_000  # more than one chunk of the download
    sha256 = hashlib.sha256(data).hexdigest()
    store.put("runs/r/data/reduce-0/1-n/part", data)
    part = Part("output-00000.txt", "runs/r/data/reduce-0/1-n/part", len(data), 1_500_000, sha256)
    parts = promote(store, "r", [part], Ledger(reduce_out=1_500_000))
    assert promote(store, "r", [part], Ledger(reduce_out=1_500_000)) == parts
    summary = Summary("r", "succeeded", parts=parts, ledger=Ledger(reduce_out=1_500_000))
    path = publish(store, summary, tmp_path / "out", overwrite=False)
    assert (tmp_path / "out" / "output-00000.txt").read_bytes() == data
    assert read_success(tmp_path / "out").parts[0].sha256 == sha256
    assert path.read_bytes() == store.get("outputs/r/_SUCCESS")


def test_settings_come_from_files_as_well(tmp_path: Path, minio: MinioServer) -> None:
    (tmp_path / "secret").write_text(f"{minio.settings.secret_key}\n")
    settings = S3Settings.configured(
        {
            "GOMR_S3_ENDPOINT": minio.settings.endpoint,
            "GOMR_S3_ACCESS_KEY": minio.settings.access_key,
            "GOMR_S3_SECRET_KEY_FILE": str(tmp_path / "secret"),
        }
    )
    assert settings == minio.settings
    S3Store(BUCKET, "settings", settings).put("a", b"x")
