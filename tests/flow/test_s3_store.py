"""The whole job with its data in a real MinIO: the store, the input, and nothing left there."""

from __future__ import annotations

from pathlib import Path

import pytest

from gomr_runtime.storage.open_store import open_store
from tests.flow.command import Server, run
from tests.process.support.minio_server import running_minio

BUCKET = "map-reduce-bucket"


@pytest.mark.timeout(3600)  # the first test that needs MinIO may have to build it
def test_store_and_input_in_s3_give_the_bytes_of_a_directory(server: Server, folder: Path) -> None:
    text = "".join(f"line {n} of some words {n % 7}\n" for n in range(2_000))
    (folder / "text.txt").write_text(text)
    options = ("--mappers", "5", "--reducers", "2")
    local = run(
        folder, server.environ, "--input", "text.txt", *options, "--output", "local", "worker.py"
    )
    assert local.returncode == 0, local.stderr
    with running_minio(folder) as minio:
        minio.make_bucket(BUCKET)
        store = open_store(f"s3://{BUCKET}", minio.settings)
        store.put("inputs/text.txt", text.encode())
        settings = minio.settings
        environ = server.environ | {
            "GOMR_S3_ENDPOINT": settings.endpoint,
            "GOMR_S3_REGION": settings.region,
            "GOMR_S3_ACCESS_KEY": settings.access_key,
            "GOMR_S3_SECRET_KEY": settings.secret_key,
        }
        done = run(
            folder,
            environ,
            *("--input", f"s3://{BUCKET}/inputs", "--store", f"s3://{BUCKET}", *options),
            *("--output", "s3", "worker.py"),
        )
        left = [found.key for found in store.list("")]
    assert done.returncode == 0, done.stderr
    assert settings.secret_key not in done.stderr + done.stdout
    assert left == ["inputs/text.txt"]
    parts = [sorted((folder / name).glob("output-*")) for name in ("local", "s3")]
    assert len(parts[0]) == 2
    assert [p.read_bytes() for p in parts[0]] == [p.read_bytes() for p in parts[1]]
