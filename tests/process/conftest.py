"""What the tests of real processes share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.support.local_runs import Job
from tests.process.support.minio_server import MinioServer, running_minio
from tests.process.support.s3.s3_runs import sequential_parts
from tests.process.support.s3.s3_server import BUCKET, S3Server
from tests.process.support.versitygw_server import running_versitygw


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for one job; when the test is over nothing of it may run or lie about."""
    temporary = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))  # short, for sockets
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield tmp_path
    Job(tmp_path, "").assert_nothing_left()
    temporary.rmdir()  # it is empty


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The parts that a job of `s3_runs` gives, whatever happens meanwhile."""
    return sequential_parts(tmp_path_factory.mktemp("sequential"))


@pytest.fixture(scope="module")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """With an empty bucket. A test that stops it starts it again."""
    with running_minio(tmp_path_factory.mktemp("minio")) as server:
        server.make_bucket(BUCKET)
        yield server


@pytest.fixture(scope="module")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """With an empty bucket."""
    with running_versitygw(tmp_path_factory.mktemp("versitygw")) as server:
        server.make_bucket(BUCKET)
        yield server
