"""The keys that the workers of a run get, on a real MinIO: what they open and what they do not."""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gomr_runtime import layout
from gomr_runtime.errors import StorageError
from gomr_runtime.job import InputFile, JobSpec
from gomr_runtime.storage import S3Settings, Store, open_store
from gomr_runtime.storage.s3 import CHUNK
from gomr_runtime.storage.signing import presigned
from tasks.cluster.store_access import StoreAccess
from tasks.cluster.worker_login import MOST_BYTES, policy, worker_login
from tests.process.minio_server import MinioServer
from tests.process.s3_server import BUCKET

pytestmark = pytest.mark.timeout(3600)  # the first test may have to build MinIO
URL = f"s3://{BUCKET}"
INPUT = "inputs/abc"


@dataclass
class Run:
    """store: as its workers reach it. truth: with the keys of the store itself."""

    store: Store
    truth: Store
    settings: S3Settings


@pytest.fixture
def run(minio: MinioServer) -> Run:
    truth = open_store(URL, minio.settings)
    for key in (INPUT, "inputs/other", layout.job("mine"), layout.job("others")):
        truth.put(key, b"x")
    files = (InputFile("a", f"store:{INPUT}", 1),)
    job = JobSpec("mine", files, 1, 1, 1, "0" * 64, "worker.py")
    login = worker_login(StoreAccess(URL, minio.settings, minio.settings), job)
    return Run(open_store(URL, login), truth, login)


def test_a_worker_reads_its_run_and_writes_what_attempts_make(run: Run, tmp_path: Path) -> None:
    assert run.store.get(INPUT) == b"x"
    assert run.store.get(layout.job("mine")) == b"x"
    with pytest.raises(KeyError):
        run.store.get(layout.summary("mine"))
    key = f"{layout.data('mine')}map-0/1-n0nce/spill"
    run.store.put(key, b"some data")
    assert run.store.get(key) == b"some data"
    run.store.put(layout.log("mine", "map-0.log"), b"said")
    large = tmp_path / "large"
    content = secrets.token_bytes(CHUNK + 1)
    large.write_bytes(content)
    run.store.put_file(f"{key}-large", large)
    assert run.truth.get(f"{key}-large") == content
    signed = presigned(run.settings, "GET", BUCKET, layout.job("mine"))
    with urllib.request.urlopen(signed, timeout=30) as answer:
        assert answer.read() == b"x"


@pytest.mark.parametrize(
    "forge",
    [
        lambda store: store.create(layout.commit("mine", "map-0"), b"{}"),
        lambda store: store.create(layout.epoch("mine", 9), b"{}"),
        lambda store: store.put(layout.summary("mine"), b"{}"),
        lambda store: store.put(layout.maps("mine"), b"{}"),
        lambda store: store.put("outputs/mine/output-00000.txt", b"wrong"),
        lambda store: store.create(layout.success("mine"), b"{}"),
        lambda store: store.put(f"{layout.data('others')}map-0/1-x/spill", b"wrong"),
        lambda store: store.put(INPUT, b"wrong"),
        lambda store: store.get("inputs/other"),
        lambda store: store.get(layout.job("others")),
        lambda store: store.delete(layout.run_prefix("mine")),
    ],
    ids=[
        "commit", "epoch", "summary", "maps", "part", "success", "data of another", "input",
        "input of another", "job of another", "delete",
    ],
)  # fmt: skip
def test_a_worker_cannot_forge(run: Run, forge: Callable[[Store], object]) -> None:
    before = {found.key: found.version for found in run.truth.list("")}
    with pytest.raises(StorageError, match=r"access denied|cannot delete"):
        forge(run.store)
    assert {found.key: found.version for found in run.truth.list("")} == before


def test_the_keys_outlive_a_restart_of_the_store(minio: MinioServer, run: Run) -> None:
    minio.kill()
    minio.start()
    assert run.store.get(INPUT) == b"x"


def test_they_make_no_keys_with_more_rights(minio: MinioServer, run: Run) -> None:
    job = JobSpec("others", (), 1, 1, 1, "0" * 64, "worker.py")
    here = replace(minio.settings, access_key=run.settings.access_key)
    here = replace(here, secret_key=run.settings.secret_key)
    with pytest.raises(StorageError, match="MinIO gives no credentials for the workers"):
        worker_login(StoreAccess(URL, here, here), job)


@pytest.mark.parametrize("count", [1, 20, 10_000])
def test_any_number_of_inputs_has_a_policy_that_minio_takes(minio: MinioServer, count: int) -> None:
    locations = [f"s3://{BUCKET}/f{n % 1000:03d}/input-{n}" for n in range(count)]
    assert len(policy(URL, "mine", locations)) <= MOST_BYTES
    key = locations[-1].removeprefix(f"{URL}/")
    open_store(URL, minio.settings).put(key, b"x")
    job = JobSpec(
        "mine", tuple(InputFile("a", name, 1) for name in locations), 1, 1, 1, "0" * 64, "w.py"
    )
    login = worker_login(StoreAccess(URL, minio.settings, minio.settings), job)
    assert open_store(URL, login).get(key) == b"x"


def test_the_policy_names_inputs_as_long_as_they_are_few() -> None:
    (read, write, _) = json.loads(policy("s3://bucket", "r", ["store:inputs/a", "s3://other/d/e"]))[
        "Statement"
    ]
    assert read["Resource"] == [
        f"arn:aws:s3:::{name}" for name in ("bucket/inputs/a", "bucket/runs/r/*", "other/d/e")
    ]
    assert write["Resource"] == [
        f"arn:aws:s3:::{name}" for name in ("bucket/outputs/r/_logs/*", "bucket/runs/r/data/*")
    ]
