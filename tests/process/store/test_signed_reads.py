"""Inputs that a worker's own keys do not open, read by its master's signatures, on a real MinIO."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gomr_runtime.codec.typed_json import from_json
from gomr_runtime.errors import DataError, StorageError
from gomr_runtime.model import layout
from gomr_runtime.model.blob import Blob
from gomr_runtime.model.inputs.file_table import FEW, collect
from gomr_runtime.model.inputs.files import InputFile, Piece
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.summary import Summary
from gomr_runtime.model.task import TaskSpec
from gomr_runtime.runs.submit import submit
from gomr_runtime.storage.blobs import StoreBlobs, TaskBlobs
from gomr_runtime.storage.inputs.s3_files import list_inputs
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.storage.s3.signed_reads import GrantedReads, ReadGrants
from gomr_runtime.system.file_blob import version_of
from k8s.store.access import StoreAccess
from k8s.store.run_login import client_access, master_settings
from k8s.store.uploads import upload
from k8s.store.worker_login import logins
from tests.process.support.local_runs import Job, word_count
from tests.process.support.minio_server import MinioServer
from tests.process.support.s3.s3_server import BUCKET

pytestmark = pytest.mark.timeout(3600)  # the first test may have to build MinIO
URL = f"s3://{BUCKET}"
ROOT = Path(__file__).parents[3]
NAMES = [
    "plain.txt",
    "star-*.txt",
    "what?.txt",
    "${aws:username}",
    "a b+c%20d&e=f#g;h,i@j:k!l'm(n)~",
    "ü/日本/é.txt",
    'quote"back\\slash<&>',
]


@contextlib.contextmanager
def reads(server: MinioServer, *locations: str) -> Iterator[TaskBlobs]:
    """What a worker opens of a task with these inputs: its own keys open none of them."""
    workers, reader = logins(StoreAccess(URL, server.settings, server.settings), "mine")
    pieces = [Piece(InputFile(at, at, 1), 0, 1) for at in locations]
    grants = ReadGrants(reader, URL)
    signatures = grants.signatures(piece.file.location for piece in pieces)
    soon = replace(workers, retry_seconds=1.0)
    task = TaskSpec("mine", "map", 0, 1, "nonce")
    with GrantedReads(soon, URL) as opens:
        granted = opens.of_task(len(pieces), grants.query, signatures)
        yield TaskBlobs(StoreBlobs(open_store(URL, soon), soon), task, pieces, granted)


def own_keys(server: MinioServer) -> StoreBlobs:
    """What they open without a signature."""
    workers, _ = logins(StoreAccess(URL, server.settings, server.settings), "mine")
    soon = replace(workers, retry_seconds=1.0)
    return StoreBlobs(open_store(URL, soon), soon)


def all_of(blob: Blob) -> bytes:
    try:
        return blob.read_at(0, blob.size)
    finally:
        blob.close()


@pytest.mark.parametrize("name", NAMES)
def test_an_input_of_any_name_is_read_and_no_other(minio: MinioServer, name: str) -> None:
    truth = open_store(URL, minio.settings)
    for key in (f"odd/{name}", "odd/star-other.txt", "odd/whatX.txt", "odd/gomr-workers"):
        minio.put_raw(BUCKET, key, key.encode())
    with reads(minio, f"{URL}/odd/{name}") as opened:
        assert all_of(opened.open(f"{URL}/odd/{name}")) == f"odd/{name}".encode()
        for key in ("odd/star-other.txt", "odd/whatX.txt", "odd/gomr-workers"):
            for location in (f"{URL}/{key}", f"store:{key}"):
                with pytest.raises(DataError, match="not among what this task reads"):
                    opened.open(location)
                with pytest.raises(StorageError, match="access denied"):
                    own_keys(minio).open(location)
    assert truth.get("odd/star-other.txt") == b"odd/star-other.txt"


def test_any_part_of_a_large_input_is_read(minio: MinioServer) -> None:
    content = secrets.token_bytes(20_000_001)
    open_store(URL, minio.settings).put("inputs/large", content)
    with reads(minio, "store:inputs/large") as opened:
        blob = opened.open("store:inputs/large")
        assert blob.size == len(content)
        for start, length in [(0, 10), (10, 9_000_000), (19_999_999, 50), (5, 1), (20_000_001, 3)]:
            assert blob.read_at(start, length) == content[start : start + length]
        blob.close()


def test_an_empty_input_and_one_that_is_not_there(minio: MinioServer) -> None:
    minio.put_raw(BUCKET, "odd/empty", b"")
    absent = (f"{URL}/odd/absent", "store:inputs/absent")
    with reads(minio, f"{URL}/odd/empty", *absent) as opened:
        assert all_of(opened.open(f"{URL}/odd/empty")) == b""
        for location in absent:
            with pytest.raises(DataError, match="absent is not in"):
                opened.open(location)


def test_an_input_that_is_replaced_meanwhile_is_noticed(minio: MinioServer) -> None:
    key = "odd/replaced"
    minio.put_raw(BUCKET, key, b"a" * 10)
    with reads(minio, f"{URL}/{key}") as opened:
        blob = opened.open(f"{URL}/{key}")
        minio.put_raw(BUCKET, key, b"b" * 10)
        with pytest.raises(DataError, match="odd/replaced changed while it was read"):
            blob.read_at(3, 2)


def test_a_signature_is_for_reading_one_object(minio: MinioServer) -> None:
    """What user code finds in the worker's memory, used for something else."""
    truth = open_store(URL, minio.settings)
    for key in ("inputs/mine", "inputs/other"):
        truth.put(key, key.encode())
    workers, reader = logins(StoreAccess(URL, minio.settings, minio.settings), "mine")
    grants = ReadGrants(reader, URL)
    signature = grants.signatures(["store:inputs/mine"])
    good = GrantedReads(workers, URL).target("store:inputs/mine", grants.query, signature)
    assert asked(minio.settings, "GET", good) == b"inputs/mine"
    for method, target in [
        ("PUT", good),
        ("DELETE", good),
        ("GET", good.replace("inputs/mine", "inputs/other")),
        ("GET", good.replace("/inputs/mine", "")),
        ("GET", good + "&versions="),
        ("GET", good.replace("X-Amz-Expires=604800", "X-Amz-Expires=604799")),
    ]:
        assert asked(minio.settings, method, target) == 403, (method, target)
    assert truth.get("inputs/mine") == b"inputs/mine"
    assert reader.secret_key not in good
    assert minio.settings.access_key not in good


def asked(settings: S3Settings, method: str, target: str) -> bytes | int:
    """What the server gives, or the status with which it refuses."""
    data = b"wrong" if method == "PUT" else None
    request = urllib.request.Request(settings.endpoint + target, data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_store_that_is_away_for_a_moment_is_waited_for(minio: MinioServer) -> None:
    open_store(URL, minio.settings).put("inputs/waited", b"content")
    workers, reader = logins(StoreAccess(URL, minio.settings, minio.settings), "mine")
    grants = ReadGrants(reader, URL)
    signature = grants.signatures(["store:inputs/waited"])
    with GrantedReads(workers, URL) as opens:
        target = opens.target("store:inputs/waited", grants.query, signature)
        blob = opens.open("store:inputs/waited", target)
        minio.kill()
        minio.launch()
        assert blob.read_at(3, 4) == b"tent"
    minio.wait_until_ready()


def test_a_refusal_names_the_object_and_no_signature(minio: MinioServer) -> None:
    workers, reader = logins(StoreAccess(URL, minio.settings, minio.settings), "mine")
    grants = ReadGrants(replace(reader, secret_key="another"), URL)
    signature = grants.signatures(["store:inputs/mine"])
    with GrantedReads(workers, URL) as opens:
        target = opens.target("store:inputs/mine", grants.query, signature)
        with pytest.raises(StorageError) as told:
            opens.open("store:inputs/mine", target)
    assert "cannot read store:inputs/mine" in str(told.value)
    assert "access denied" in str(told.value)
    assert "X-Amz" not in str(told.value)


def test_a_run_whose_workers_have_keys_to_it_alone(minio: MinioServer, folder: Path) -> None:
    """Inputs of names that a policy would take for others, uploaded ones, and so many of them that
    they travel through the store."""
    truth = open_store(URL, minio.settings)
    words: Counter[str] = Counter()
    for number, name in enumerate([*NAMES, *(f"{n:03}-{'long' * 45}" for n in range(FEW))]):
        minio.put_raw(BUCKET, f"given/{name}", f"w{number % 7} all\n".encode())
        words.update([f"w{number % 7}", "all"])
    (local := folder / "local.txt").write_text("all local\n")
    words.update(["all", "local"])
    job = Job(folder, word_count())
    job.store.mkdir()  # for `assert_nothing_left`
    spec = job.spec()
    mine = InputFile("local.txt", str(local), 10, version=version_of(local.stat()))
    uploaded = upload(truth, "mine", [mine], lambda _: None).files  # type: ignore[arg-type]
    files = (*list_inputs(f"{URL}/given/", minio.settings), *uploaded)
    spec = replace(spec, run="mine", files=collect(files), workers=1, mappers=1)
    truth.delete(layout.run_prefix("mine"))
    summary = run_with_keys(minio, spec, job, folder)
    assert summary.state == "succeeded"
    found: Counter[str] = Counter()
    for part in summary.parts:
        for line in truth.get(part.key).decode().splitlines():
            key, value = line.split("\t")
            found[key] += int(value)
    assert found == words


def run_with_keys(server: MinioServer, spec: JobSpec, job: Job, folder: Path) -> Summary:
    """Client, master and worker with keys of their own, as in a cluster. The scratch folder holds
    sockets, whose paths have to be short."""
    with tempfile.TemporaryDirectory(prefix="t-") as scratch:
        return run_in_scratch(server, spec, job, folder, scratch)


def run_in_scratch(
    server: MinioServer, spec: JobSpec, job: Job, folder: Path, scratch: str
) -> Summary:
    access = StoreAccess(URL, server.settings, server.settings)
    client = open_store(URL, client_access(access, spec.run).here)
    submit(client, spec, job.program)
    workers, reader = logins(access, spec.run)
    keys = master_settings(access, spec.run)
    (folder / "token").write_text("token")
    (folder / "worker-token").write_text("another")
    socket, usual = folder / "s", [f"--run={spec.run}", f"--store={URL}"]
    of_master = [
        f"--token-file={folder / 'token'}",
        f"--worker-token-file={folder / 'worker-token'}",
        f"--listen=unix:{socket}",
    ]
    of_worker = [
        f"--token-file={folder / 'worker-token'}",
        f"--master=unix:{socket}",
        f"--scratch={scratch}",
    ]
    with (
        process("master", [*usual, *of_master], keys, reader) as master,
        process("worker", [*usual, *of_worker], workers) as worker,
    ):
        try:
            said, _ = master.communicate(timeout=600)
            assert master.returncode == 0, said
            assert worker.wait(120) == 0
        finally:
            for each in (worker, master):
                if each.poll() is None:
                    each.kill()
            print(worker.communicate()[0])
    return from_json(Summary, client.get(layout.summary(spec.run)))


def process(
    what: str, arguments: list[str], login: S3Settings, reader: S3Settings | None = None
) -> subprocess.Popen[str]:
    """A process of the run, with one login to the store, and a reader's if it is to sign."""
    given = {"GOMR_S3_ENDPOINT": login.endpoint}
    for prefix, keys in (("GOMR_S3_", login), ("GOMR_S3_READER_", reader)):
        if keys is not None:
            given[f"{prefix}ACCESS_KEY"] = keys.access_key
            given[f"{prefix}SECRET_KEY"] = keys.secret_key
            given[f"{prefix}SESSION_TOKEN"] = keys.session_token
    assert urlsplit(login.endpoint).hostname == "127.0.0.1"
    return subprocess.Popen(
        [sys.executable, "-m", f"gomr_runtime.{what}", *arguments],
        cwd=ROOT,
        env={**os.environ, **given},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
