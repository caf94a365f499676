"""What user code can do with the keys that it finds in its worker's pod."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.support.running_cluster import RunningCluster
from tests.cluster.support.runs_on_cluster import Runs, images_for, namespace_for, runs_in

THIEF = """
from pathlib import Path

import gomr_runtime as gomr
from gomr_runtime.errors import StorageError
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.s3.settings import S3Settings

RUN = "thief"


def mapper(ctx, line: str) -> None:
    keys = {path.name: path.read_text() for path in Path("/run/gomr/s3").iterdir()}
    settings = S3Settings(
        "http://minio:9000",
        access_key=keys["access-key"],
        secret_key=keys["secret-key"],
        session_token=keys.get("session-token", ""),
        allow_http=True,
    )
    store = open_store("s3://map-reduce-bucket", settings)
    attempts = {
        "commit": lambda: store.create(f"runs/{RUN}/commit/reduce-0", b"{}"),
        "epoch": lambda: store.create(f"runs/{RUN}/epoch/000009", b"{}"),
        "output": lambda: store.put(f"outputs/{RUN}/output-00000.txt", b"wrong"),
        "own data": lambda: store.put(f"runs/{RUN}/data/map-0/9-x/spill", b"harmless"),
        "own job": lambda: store.get(f"runs/{RUN}/job.json"),
        "secret of another": lambda: store.get("runs/another/job.json"),
        "input of another": lambda: store.get("inputs/another"),
        "all": lambda: list(store.list("")),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
            ctx.emit(name, "done")
        except StorageError as error:
            ctx.emit(name, "denied" if "access denied" in str(error) else str(error))


def reducer(ctx, key: str, values: list[str]) -> None:
    for value in values:
        ctx.emit(key, value)


gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
"""


@pytest.fixture
def runs(cluster: RunningCluster, namespaces: dict[str, str], tmp_path: Path) -> Iterator[Runs]:
    with (
        namespace_for(cluster, namespaces, __name__) as namespace,
        runs_in(cluster, namespace, images_for(tmp_path, THIEF), tmp_path) as found,
    ):
        yield found


def test_the_keys_of_a_worker_commit_nothing(runs: Runs) -> None:
    runs.store.put("runs/another/job.json", b"{}")
    runs.store.put("inputs/another", b"x")
    summary = runs.finish(runs.make("one line\n", run="thief", mappers=1, reducers=1))
    (part,) = summary.parts
    lines = runs.store.get(part.key).decode().splitlines()
    assert dict(line.split("\t") for line in lines) == {
        "commit": "denied",
        "epoch": "denied",
        "output": "denied",
        "own data": "done",
        "own job": "done",
        "secret of another": "denied",
        "input of another": "denied",
        "all": "denied",
    }
