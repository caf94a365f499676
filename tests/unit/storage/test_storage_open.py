"""Opening a store by URL, its settings, and what is imported on the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gomr_runtime.errors import DataError, StorageError, UsageError
from gomr_runtime.storage.blobs import StoreBlobs
from gomr_runtime.storage.directory import DirectoryStore
from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.storage.open_store import open_store, probe_create_only
from gomr_runtime.storage.s3.settings import S3Settings, split_s3_url


def test_a_directory_by_path_and_by_url(tmp_path: Path) -> None:
    open_store(f"{tmp_path}/with space").put("a", b"x")
    by_url = open_store(f"file://{tmp_path}/with%20space")
    assert isinstance(by_url, DirectoryStore)
    assert by_url.get("a") == b"x"
    assert by_url.url == f"file://{tmp_path}/with%20space"
    assert open_store(by_url.url).get("a") == b"x"


def test_memory_stores_are_separate() -> None:
    first, second = open_store("memory:"), open_store("memory:")
    first.put("a", b"x")
    assert list(second.list("")) == []


@pytest.mark.parametrize(
    "url", ["", "ftp://host/x", "file://host/x", "file:relative", "s3://", "s3://x", "s3://a_b/c",
            "s3://bucket/../x", "s3://bucket//x"]
)  # fmt: skip
def test_a_wrong_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError):
        open_store(url, S3Settings())


def test_s3_urls() -> None:
    assert split_s3_url("s3://bucket") == ("bucket", "")
    assert split_s3_url("s3://bucket/") == ("bucket", "")
    assert split_s3_url("s3://bucket/a/b/") == ("bucket", "a/b")


def test_obstore_is_imported_for_s3_alone(tmp_path: Path) -> None:
    code = (
        "import sys; from gomr_runtime.storage.open_store import open_store\n"
        "from gomr_runtime.storage.s3.settings import S3Settings\n"
        "import gomr_runtime.publishing.publish\n"
        f"open_store({str(tmp_path)!r}); open_store('memory:')\n"
        "assert 'obstore' not in sys.modules\n"
        "open_store('s3://bucket/x', S3Settings(access_key='a', secret_key='b'))\n"
        "assert 'obstore' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_settings_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file\n")
    settings = S3Settings.configured(
        {
            "GOMR_S3_ENDPOINT": "http://127.0.0.1:9000",
            "GOMR_S3_REGION": "eu-north-1",
            "GOMR_S3_ACCESS_KEY_FILE": str(tmp_path / "key"),
            "GOMR_S3_SECRET_KEY": "hush",
            "GOMR_S3_RETRY_SECONDS": "2.5",
        }
    )
    assert settings == S3Settings(
        "http://127.0.0.1:9000",
        "eu-north-1",
        "from a file",
        "hush",
        allow_http=True,
        connect_timeout=10.0,
        read_timeout=60.0,
        retry_seconds=2.5,
    )
    assert "hush" not in repr(settings)
    assert "from a file" not in repr(settings)
    assert S3Settings.configured({}) == S3Settings()
    assert not S3Settings.configured({"GOMR_S3_ENDPOINT": "https://host"}).allow_http


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"GOMR_S3_SECRET_KEY": "hush"}, "both GOMR_S3_ACCESS_KEY and"),
        ({"GOMR_S3_ENDPOINT": "host:9000"}, "write http://HOST"),
        ({"GOMR_S3_ENDPOINT": "http://me:hush@host"}, "no credentials in the URL"),
        ({"GOMR_S3_SECRET_KEY_FILE": "/nonexistent/file"}, "cannot read /nonexistent/file"),
        ({"GOMR_S3_REGION": "a", "GOMR_S3_REGION_FILE": "b"}, "both set"),
        ({"GOMR_S3_RETRY_SECONDS": "soon"}, "GOMR_S3_RETRY_SECONDS='soon': write seconds above 0"),
        ({"GOMR_S3_READ_TIMEOUT": "0"}, "write seconds above 0"),
        ({"GOMR_S3_CONNECT_TIMEOUT": "inf"}, "write seconds above 0"),
        ({"GOMR_S3_READ_TIMEOUT": "nan"}, "write seconds above 0"),
    ],
)
def test_wrong_settings_are_usage_errors(environ: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        S3Settings.configured(environ)
    assert "hush" not in str(caught.value)


class ForgetfulStore(MemoryStore):
    """Ignores the condition of a create, as an old S3 server does."""

    def create(self, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True


def test_a_store_without_create_only_is_found_out() -> None:
    store = ForgetfulStore()
    with pytest.raises(StorageError, match="ignores create-only writes"):
        probe_create_only(store)
    assert list(store.list("")) == []


def test_blobs_of_local_stores(tmp_path: Path) -> None:
    for store in (MemoryStore(), DirectoryStore(tmp_path / "store")):
        store.put("a/b", b"0123456789")
        blobs = StoreBlobs(store)
        blob = blobs.open("store:a/b")
        assert (blob.size, blob.read_at(3, 4), blob.read_at(8, 9)) == (10, b"3456", b"89")
        assert blob.read_at(10, 1) == b""
        blob.close()
        blob.close()
        with pytest.raises(DataError, match="a/c is not in"):
            blobs.open("store:a/c")
    for location in (str(tmp_path / "absent"), str(tmp_path), "relative"):
        with pytest.raises(DataError, match=location):
            StoreBlobs(None).open(location)
    with pytest.raises(DataError, match="no store"):
        StoreBlobs(None).open("store:a/b")
