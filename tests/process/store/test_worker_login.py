"""The keys that the workers of a run get, on a real MinIO: what they open and what they do not.

On the server as it is built today and, where a fault of servers is concerned, on the one that was
published last.
"""

from __future__ import annotations

import secrets
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from minio.error import MinioAdminException

from gomr_runtime.errors import EnvironmentFailed, StorageError, UsageError
from gomr_runtime.model import layout
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.s3.presign import presigned
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.storage.s3.store import CHUNK
from k8s.store.access import StoreAccess
from k8s.store.minio_admin import ALLOW_UNPATCHED, check_patched
from k8s.store.worker_login import document, logins, rights
from tests.process.support import minio_attacks as attacks
from tests.process.support.build_minio import published_minio_binary
from tests.process.support.minio_server import MinioServer, running_minio
from tests.process.support.s3.s3_server import BUCKET

pytestmark = pytest.mark.timeout(3600)  # the first test may have to build MinIO
URL = f"s3://{BUCKET}"
INPUT = "inputs/abc"
POLICY_BYTES = 2_048  # the most that MinIO takes


@dataclass
class Run:
    """store: as its workers reach it. truth: with the keys of the store itself."""

    store: Store
    truth: Store
    settings: S3Settings
    server: MinioServer


@pytest.fixture
def run(minio: MinioServer) -> Run:
    return run_on(minio)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """The server of the last image that was published, with an empty bucket."""
    with running_minio(
        tmp_path_factory.mktemp("published"), binary=published_minio_binary
    ) as server:
        server.make_bucket(BUCKET)
        yield server


@pytest.fixture(params=["today", "published"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run on each of the servers."""
    monkeypatch.setenv(ALLOW_UNPATCHED, "1")
    name = "minio" if request.param == "today" else "published"
    return run_on(request.getfixturevalue(name))


def run_on(server: MinioServer) -> Run:
    truth = open_store(URL, server.settings)
    for key in (INPUT, "inputs/other", layout.job("mine"), layout.job("others")):
        truth.put(key, b"x")
    workers, _ = logins(StoreAccess(URL, server.settings, server.settings), "mine")
    return Run(open_store(URL, replace(workers, retry_seconds=1.0)), truth, workers, server)


def test_a_worker_reads_its_run_and_writes_what_attempts_make(run: Run, tmp_path: Path) -> None:
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
        lambda store: store.get(INPUT),
        lambda store: list(store.list("runs/others/")),
        lambda store: list(store.list("")),
        lambda store: store.get(layout.job("others")),
        lambda store: store.delete(layout.run_prefix("mine")),
    ],
    ids=[
        "commit", "epoch", "summary", "maps", "part", "success", "data of another", "input",
        "read an input", "list a run", "list all", "job of another", "delete",
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
    assert run.store.get(layout.job("mine")) == b"x"


def test_they_make_no_keys_with_more_rights(minio: MinioServer, run: Run) -> None:
    here = replace(minio.settings, access_key=run.settings.access_key)
    here = replace(here, secret_key=run.settings.secret_key)
    with pytest.raises(StorageError, match="does not say how it is"):
        logins(StoreAccess(URL, here, here), "others")


def test_they_make_no_keys_without_limits(either: Run) -> None:
    """CVE-2025-62506."""
    with pytest.raises(MinioAdminException, match="AccessDenied"):
        attacks.make_keys(either.settings)
    stolen = replace(either.settings, access_key=attacks.KEY, secret_key=attacks.SECRET)
    store = open_store(URL, replace(stolen, session_token="", retry_seconds=1.0))
    with pytest.raises(StorageError, match="access denied"):
        store.get(layout.job("others"))


def test_the_published_server_would_give_them(published: MinioServer) -> None:
    """So the test before tries what works where nothing is done about it."""
    limits = document(rights(f"{BUCKET}/", "mine")[:2])
    made = attacks.make_keys(attacks.keys_for(published.settings, limits))
    published_truth = open_store(URL, published.settings)
    published_truth.put(layout.job("others"), b"x")
    try:
        assert open_store(URL, made).get(layout.job("others")) == b"x"
        assert attacks.administrator(made).user_list()
    finally:
        attacks.administrator(published.settings).delete_service_account(attacks.KEY)


def test_they_do_not_say_who_the_administrator_is(either: Run) -> None:
    """Of whom, on every server that is published, the name is enough (CVE-2026-40344)."""
    name = attacks.owner_of(either.settings)
    assert name != either.server.settings.access_key
    assert name.startswith("gomr-workers-")
    for key in ("outputs/others/output-00000.txt", layout.commit("others", "map-0"), INPUT):
        assert attacks.put_without_a_password(either.settings, name, BUCKET, key) == 403
    assert either.truth.get(INPUT) == b"x"


SNOWBALL = {"X-Amz-Meta-Snowball-Auto-Extract": "true"}


@pytest.mark.parametrize("headers", [{}, SNOWBALL], ids=["object", "archive"])
def test_a_name_is_not_enough_to_write(run: Run, headers: dict[str, str]) -> None:
    """CVE-2026-40344 and CVE-2026-41145, in the server that k8s/minio/Dockerfile makes."""
    key = f"{layout.data('others')}map-0/1-x/spill"
    for name in (run.server.settings.access_key, attacks.owner_of(run.settings)):
        assert attacks.put_without_a_password(run.settings, name, BUCKET, key, headers) >= 400
    with pytest.raises(KeyError):
        run.truth.get(key)


def test_a_name_is_enough_on_the_published_server(published: MinioServer) -> None:
    settings = published.settings
    name = settings.access_key
    assert attacks.put_without_a_password(settings, name, BUCKET, "outputs/forged") == 200
    assert open_store(URL, settings).get("outputs/forged") == b"wrong"


def test_they_reach_no_keys_of_the_administrator(either: Run) -> None:
    """Temporary keys of the administrator itself could look at these and delete them."""
    truth = attacks.administrator(either.server.settings)
    truth.add_service_account(access_key="backup0000001", secret_key="backupsecret1")
    thief = attacks.administrator(either.settings)
    try:
        for attempt in (thief.get_service_account, thief.delete_service_account):
            with pytest.raises(MinioAdminException):
                attempt("backup0000001")
        assert truth.get_service_account("backup0000001")
    finally:
        truth.delete_service_account("backup0000001")


def test_an_old_server_is_refused(published: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALLOW_UNPATCHED, raising=False)
    access = StoreAccess(URL, published.settings, published.settings)
    with pytest.raises(EnvironmentFailed, match="is older than the fix of CVE-2025-62506") as told:
        logins(access, "mine")
    assert "MinIO, 2025-09-07T16:13:09Z, " in str(told.value)
    assert f"set {ALLOW_UNPATCHED}=1" in str(told.value)
    monkeypatch.setenv(ALLOW_UNPATCHED, "1")
    assert logins(access, "mine")


def test_the_server_of_today_is_taken(minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALLOW_UNPATCHED, raising=False)
    check_patched(minio.settings)


def test_the_policy_is_as_short_for_any_inputs() -> None:
    longest = document(rights("b" * 63 + "/", "r" * 39))
    assert len(longest) <= POLICY_BYTES


@pytest.mark.parametrize("sign", ["*", "?", "${aws:username}"])
def test_a_prefix_that_means_others_is_refused(minio: MinioServer, sign: str) -> None:
    access = StoreAccess(f"{URL}/a{sign}b", minio.settings, minio.settings)
    with pytest.raises(UsageError, match="choose another prefix"):
        logins(access, "mine")
