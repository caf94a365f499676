"""The keys that master and client of a run get, on a real MinIO: what they open and what they do
not. That a run needs no others is held by `test_signed_reads.py` and the runs on the cluster."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from minio.error import MinioAdminException

from gomr_runtime.errors import StorageError
from gomr_runtime.model import layout
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.inputs.files import resolve
from gomr_runtime.storage.open_store import open_store, probe_create_only
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.storage.s3.store import CHUNK, S3Store
from gomr_runtime.storage.s3.unfinished_uploads import abort_unfinished
from k8s.store.access import StoreAccess
from k8s.store.run_login import client_access, client_rights, master_rights, master_settings
from k8s.store.uploads import upload
from k8s.store.worker_login import document
from tests.process.support import minio_attacks as attacks
from tests.process.support.minio_server import MinioServer
from tests.process.support.s3.s3_server import BUCKET

pytestmark = pytest.mark.timeout(3600)  # the first test may have to build MinIO
URL = f"s3://{BUCKET}"
INPUT = "inputs/abc"
FOREIGN = [
    layout.job("others"),
    layout.commit("others", "map-0"),
    f"{layout.data('others')}map-0/1-x/spill",
    layout.job("mine-2"),
    layout.success("others"),
    layout.inputs_used("mine-2"),
    "elsewhere/x",
]
POLICY_BYTES = 2_048  # the most that MinIO takes


@dataclass
class Login:
    """store: as master or client reach it. truth: with the keys of the store itself."""

    store: Store
    truth: Store
    settings: S3Settings


@pytest.fixture(params=["master", "client"])
def login(request: pytest.FixtureRequest, minio: MinioServer) -> Login:
    truth = open_store(URL, minio.settings)
    for key in (INPUT, layout.job("mine"), *FOREIGN):
        truth.put(key, b"x")
    access = StoreAccess(URL, minio.settings, minio.settings)
    is_client = request.param == "client"
    settings = client_access(access, "mine").here if is_client else master_settings(access, "mine")
    return Login(open_store(URL, replace(settings, retry_seconds=1.0)), truth, settings)


def test_they_do_all_that_is_to_be_done_with_their_run(login: Login, tmp_path: Path) -> None:
    store = login.store
    assert store.get(layout.job("mine")) == b"x"
    assert store.create(layout.commit("mine", "map-0"), b"{}")
    assert not store.create(layout.commit("mine", "map-0"), b"other")
    large = tmp_path / "large"
    large.write_bytes(content := secrets.token_bytes(CHUNK + 1))
    key = f"{layout.data('mine')}map-0/1-n0nce/spill"
    store.put_file(key, large)
    store.copy(key, "outputs/mine/output-00000.txt")
    assert login.truth.get("outputs/mine/output-00000.txt") == content
    assert [found.key for found in store.list(layout.commits("mine"))] == [
        layout.commit("mine", "map-0")
    ]
    assert [found.key for found in store.list(layout.map_data("mine"))] == [key]
    assert [found.key for found in store.list(layout.output_prefix("mine"))]
    assert abort_unfinished(login.settings, BUCKET, layout.run_prefix("mine")) == 0
    for prefix in (layout.run_prefix("mine"), layout.output_prefix("mine")):
        assert store.delete(prefix)
        assert list(login.truth.list(prefix)) == []


@pytest.mark.parametrize("key", FOREIGN)
def test_they_touch_nothing_else(login: Login, key: str) -> None:
    before = {found.key: found.version for found in login.truth.list("")}
    folder = key.rpartition("/")[0] + "/"
    attempts: list[Callable[[Store], object]] = [
        lambda store: store.get(key),
        lambda store: store.put(key, b"wrong"),
        lambda store: store.copy(key, "outputs/mine/stolen"),
        lambda store: list(store.list(folder)),
        lambda store: store.delete(key),
        lambda store: list(store.list("")),
    ]
    for attempt in attempts:
        with pytest.raises(StorageError, match=r"access denied|cannot delete"):
            attempt(login.store)
    assert {found.key: found.version for found in login.truth.list("")} == before


def test_they_are_of_nobody_with_more_rights(login: Login) -> None:
    assert attacks.owner_of(login.settings).startswith(("gomr-master-", "gomr-client-"))
    for attempt in (attacks.make_keys, lambda keys: attacks.administrator(keys).user_list()):
        with pytest.raises(MinioAdminException, match="AccessDenied"):
            attempt(login.settings)


def test_a_client_uploads_inputs_and_a_master_does_not(minio: MinioServer, tmp_path: Path) -> None:
    access = StoreAccess(URL, minio.settings, minio.settings)
    client = open_store(URL, client_access(access, "mine").here)
    assert isinstance(client, S3Store)
    probe_create_only(client)
    (text := tmp_path / "text.txt").write_text("some text\n")
    for sent in (1, 0):
        done = upload(client, "mine", resolve([str(text)]), lambda _: None)
        assert done.sent == sent
    key = done.files[0].location.removeprefix("store:")
    assert open_store(URL, minio.settings).get(key) == b"some text\n"
    master = open_store(URL, master_settings(access, "mine"))
    for attempt in (lambda: master.get(key), lambda: master.put(key, b"wrong")):
        with pytest.raises(StorageError, match="access denied"):
            attempt()


@pytest.mark.parametrize("rights", [master_rights, client_rights])
def test_the_policy_fits(rights: Callable[[str, str], list[dict[str, object]]]) -> None:
    above = "b" * 63 + "/"
    assert len(document(rights(above, "r" * 39))) <= POLICY_BYTES
