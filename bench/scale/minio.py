"""The MinIO server of the tests, for a row."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.process.support.minio_server import MinioServer, running_minio

BUCKET = "bench"


@contextlib.contextmanager
def minio() -> Iterator[MinioServer]:
    """A server of its own with an empty bucket; processes that are started meanwhile reach it by
    their environment."""
    with (
        tempfile.TemporaryDirectory(prefix="gomr-bench-") as folder,
        running_minio(Path(folder)) as server,
    ):
        server.make_bucket(BUCKET)
        settings = server.settings
        os.environ |= {
            "GOMR_S3_ENDPOINT": settings.endpoint,
            "GOMR_S3_ACCESS_KEY": settings.access_key,
            "GOMR_S3_SECRET_KEY": settings.secret_key,
        }
        yield server
