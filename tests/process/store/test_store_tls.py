"""A store that speaks TLS with a certificate of a private authority: a run, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gomr_runtime.errors import StorageError
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.storage.s3.store import S3Store
from gomr_runtime.storage.s3.unfinished_uploads import unfinished
from k8s.run.tls import make_certificates
from tests.flow.command import Done, Server, run
from tests.flow.prefect_server import running_server
from tests.process.support.local_runs import word_count
from tests.process.support.minio_server import MinioServer
from tests.process.support.s3.s3_runs import TEXT, sequential_parts
from tests.process.support.s3.s3_server import BUCKET, S3Server
from tests.process.support.tls_minio_server import TlsMinioServer, running_tls_minio

pytestmark = pytest.mark.timeout(3600)  # the first test may have to build MinIO


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("prefect")) as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsMinioServer]:
    with running_tls_minio(tmp_path_factory.mktemp("tls")) as found:
        found.make_bucket(BUCKET)
        yield found


def run_in(folder: Path, prefect: Server, settings: S3Settings, **environ: str) -> Done:
    """A word count with its data in the store, by the command; `environ` is added."""
    folder.mkdir()
    (folder / "worker.py").write_text(word_count())
    (folder / "input.txt").write_text(TEXT)
    keys = {
        "GOMR_S3_ENDPOINT": settings.endpoint,
        "GOMR_S3_ACCESS_KEY": settings.access_key,
        "GOMR_S3_SECRET_KEY": settings.secret_key,
    }
    options = ("--input", "input.txt", "--workers", "2", "--reducers", "2", "--output", "out")
    store = ("--store", f"s3://{BUCKET}/run")
    trust = {"SSL_CERT_FILE": os.environ["SSL_CERT_FILE"]}
    return run(folder, prefect.environ | keys | trust | environ, *store, *options, "worker.py")


def test_a_whole_run(tmp_path: Path, prefect: Server, server: TlsMinioServer) -> None:
    expected = sequential_parts(tmp_path)
    done = run_in(tmp_path / "run", prefect, server.settings)
    assert done.returncode == 0, done.stderr
    parts = sorted((tmp_path / "run" / "out").glob("output-*"))
    assert [part.read_bytes() for part in parts] == expected


def test_large_objects_and_what_is_left_of_uploads(server: TlsMinioServer, tmp_path: Path) -> None:
    """In several requests, and by the one path that goes past obstore."""
    store = S3Store(BUCKET, "large", server.settings)
    data = os.urandom(20 << 20)
    (file := tmp_path / "file").write_bytes(data)
    store.put_file("a/b", file)
    assert store.get("a/b") == data
    assert store.delete("a/") == 1
    assert list(unfinished(server.settings, BUCKET, "large/")) == []


def test_an_authority_that_nobody_trusts_is_named_at_once(
    prefect: Server, server: TlsMinioServer, tmp_path: Path
) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(make_certificates(["somebody else"]).ca)
    done = run_in(tmp_path / "run", prefect, server.settings, SSL_CERT_FILE=str(other))
    assert done.returncode == 3, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("gomr: ")]
    assert "nobody that this machine trusts" in line
    assert "SSL_CERT_FILE" in line
    assert "gave up" not in line
    assert not (tmp_path / "run" / "out").exists()


def test_a_certificate_for_another_name_is_refused(server: TlsMinioServer) -> None:
    elsewhere = server.settings.endpoint.replace("127.0.0.1", "localhost")
    store = S3Store(BUCKET, "x", replace(server.settings, endpoint=elsewhere))
    with pytest.raises(StorageError, match=r"is for another name than the endpoint.s$"):
        store.put("a", b"")


def test_plain_http_where_tls_is_asked_for(minio: MinioServer) -> None:
    plain: S3Server = minio
    endpoint = plain.settings.endpoint.replace("http://", "https://")
    store = S3Store(BUCKET, "x", replace(plain.settings, endpoint=endpoint, allow_http=False))
    with pytest.raises(StorageError, match=r"does not speak TLS: is it http://\?$"):
        store.put("a", b"")
