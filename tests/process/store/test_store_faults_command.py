"""What a person sees of a store that fails: the real command, its exit code and its one line."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.storage.s3.store import S3Store
from tests.flow.command import Server, clean_environ, run, start
from tests.flow.prefect_server import running_server
from tests.process.support.local_runs import word_count
from tests.process.support.minio_server import MinioServer, running_minio
from tests.process.support.s3.s3_faults import FORGET, always
from tests.process.support.s3.s3_proxy import s3_proxy
from tests.process.support.s3.s3_runs import TEXT, sequential_parts
from tests.process.support.s3.s3_server import BUCKET

pytestmark = pytest.mark.timeout(3600)  # the first test may have to build MinIO
JOB = ("--input", "input.txt", "--workers", "2", "--reducers", "2", "--run-id", "r", "worker.py")


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture
def minio(tmp_path: Path) -> Iterator[MinioServer]:
    with running_minio(tmp_path / "minio") as server:
        server.make_bucket(BUCKET)
        yield server


def environ(prefect: Server, settings: S3Settings, retry_seconds: float = 20.0) -> dict[str, str]:
    return clean_environ() | prefect.environ | {
        "GOMR_S3_ENDPOINT": settings.endpoint,
        "GOMR_S3_ACCESS_KEY": settings.access_key,
        "GOMR_S3_SECRET_KEY": settings.secret_key,
        "GOMR_S3_RETRY_SECONDS": str(retry_seconds),
    }  # fmt: skip


def last_line(stderr: str) -> str:
    return [line for line in stderr.splitlines() if line.startswith("gomr: ")][-1]


def test_a_store_that_ignores_create_only_is_refused_before_anything_starts(
    tmp_path: Path, prefect: Server, minio: MinioServer
) -> None:
    (tmp_path / "worker.py").write_text(word_count())
    (tmp_path / "input.txt").write_text(TEXT)
    with s3_proxy(minio.settings, always(FORGET, "create")) as proxy:
        settings = dataclasses.replace(minio.settings, endpoint=proxy.endpoint)
        done = run(tmp_path, environ(prefect, settings), "--store", f"s3://{BUCKET}/x", *JOB)
        assert proxy.record.landed["forget"] >= 2
    assert done.returncode == 3, done.stderr
    assert "ignores create-only writes" in last_line(done.stderr)
    assert "Traceback" not in done.stderr
    assert list(S3Store(BUCKET, "x", minio.settings).list("")) == []
    assert not (tmp_path / "outputs").exists()


def test_S1_a_store_that_stays_away_and_the_command_that_goes_on(
    tmp_path: Path, prefect: Server, minio: MinioServer
) -> None:
    """Killed at the first commit, through the whole command; mended, the same command goes on."""
    expected = sequential_parts(tmp_path)
    gone = threading.Event()
    settings = minio.settings
    with s3_proxy(settings) as proxy:

        def kill(request: object) -> None:
            if getattr(request, "key", "").endswith("commit/map-0") and not gone.is_set():
                gone.set()
                minio.kill()

        proxy.before = kill
        behind = dataclasses.replace(settings, endpoint=proxy.endpoint)
        store = ("--store", f"s3://{BUCKET}/x")
        process = start(tmp_path, environ(prefect, behind, 2.0), *store, *JOB)
        _, stderr = process.communicate(timeout=120)
    assert gone.is_set()
    assert process.returncode == 3, stderr
    assert "check the store, then resume the run" in last_line(stderr)
    assert "--resume r" in stderr
    assert "Traceback" not in stderr
    assert settings.secret_key not in stderr
    assert not (tmp_path / "outputs" / "r").exists()
    minio.start()
    again = [word for word in JOB if word not in {"--run-id", "r"}]
    done = run(tmp_path, environ(prefect, settings), *store, "--resume", "r", *again)
    assert done.returncode == 0, done.stderr
    parts = sorted((tmp_path / "outputs" / "r").glob("output-*"))
    assert [part.read_bytes() for part in parts] == expected
