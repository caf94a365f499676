"""A run on the cluster whose store is elsewhere, behind TLS of a private authority."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gomr_runtime.storage.open_store import open_store
from tests.cluster.support.layout import GATEWAY
from tests.cluster.support.running_cluster import RunningCluster
from tests.cluster.support.runs_on_cluster import TEXT, WORKER, counted, words
from tests.flow.command import Server, run
from tests.process.support.s3.s3_server import BUCKET
from tests.process.support.tls_minio_server import TlsMinioServer, running_tls_minio

JOB = ("--input", "text.txt", "--workers", "2", "--mappers", "4", "--reducers", "3")


@pytest.fixture
def store(cluster: RunningCluster, tmp_path: Path) -> Iterator[TlsMinioServer]:
    """On this machine, at the address by which pods reach it."""
    with running_tls_minio(tmp_path / "minio", GATEWAY) as found:
        found.make_bucket(BUCKET)
        yield found


def test_a_run_with_a_store_of_ones_own(
    cluster: RunningCluster, namespace: str, server: Server, store: TlsMinioServer, tmp_path: Path
) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "text.txt").write_text(TEXT)
    environ = server.environ | {
        "GOMR_S3_ENDPOINT": store.settings.endpoint,
        "GOMR_S3_ACCESS_KEY": store.settings.access_key,
        "GOMR_S3_SECRET_KEY": store.settings.secret_key,
        "SSL_CERT_FILE": str(store.authorities),
    }
    url = f"s3://{BUCKET}/team"
    place = ("--runtime", "kubernetes", "--namespace", namespace, "--store", url)
    done = run(tmp_path, environ, *place, *JOB, "--run-id", "far", "--output", "out", "worker.py")
    assert done.returncode == 0, done.stderr
    parts = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("output-*")}
    assert words(parts) == counted(TEXT)
    stored = {info.key for info in open_store(url, store.settings).list("outputs/far/")}
    assert {f"outputs/far/{name}" for name in ("_SUCCESS", *parts)} <= stored
    kinds = "all,secret,networkpolicy,persistentvolumeclaim"
    left = cluster.kubectl("get", kinds, f"--namespace={namespace}", "--output=name")
    assert left == "", "nor was a MinIO started"
