"""Single operations of `S3Store` against a real MinIO that everything imaginable happens to."""

from __future__ import annotations

import dataclasses
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gomr_runtime.errors import StorageError
from gomr_runtime.storage.open_store import probe_create_only
from gomr_runtime.storage.s3.store import CHUNK, S3Store
from tests.process.support.minio_server import MinioServer, running_minio
from tests.process.support.s3.s3_faults import (
    BROKEN,
    BUSY,
    CUT,
    DROP,
    FORGET,
    HANG,
    INCOMPLETE,
    LOSE,
    RESET,
    SHORT,
    Fault,
    always,
    once_each,
    share,
    spend,
)
from tests.process.support.s3.s3_http import Kind, Request
from tests.process.support.s3.s3_proxy import S3Proxy, s3_proxy
from tests.process.support.s3.s3_server import BUCKET, S3Server

pytestmark = pytest.mark.timeout(3600)  # the first test may have to build the servers
LARGE = 2 * CHUNK + 1  # three parts
FAULTS = (LOSE, DROP, RESET, CUT, SHORT, BUSY, BROKEN)
_numbers = itertools.count(1)


@pytest.fixture
def proxy(minio: MinioServer) -> Iterator[S3Proxy]:
    with s3_proxy(minio.settings) as proxy:
        yield proxy


@pytest.fixture
def prefix() -> str:
    return f"test-{next(_numbers)}"


@pytest.fixture
def store(minio: MinioServer, prefix: str) -> S3Store:
    """The truth: what is in the server, seen without the proxy."""
    return S3Store(BUCKET, prefix, minio.settings)


@pytest.fixture
def behind(minio: MinioServer, proxy: S3Proxy, prefix: str) -> Callable[..., S3Store]:
    """The same objects, reached through the proxy, with some settings changed."""

    def opened(**changes: float) -> S3Store:
        settings = dataclasses.replace(minio.settings, endpoint=proxy.endpoint)
        return S3Store(BUCKET, prefix, dataclasses.replace(settings, **changes))  # type: ignore[arg-type]

    return opened


Behind = Callable[..., S3Store]


def contents(store: S3Store) -> dict[str, bytes]:
    return {found.key: store.get(found.key) for found in store.list("")}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.act)
def test_S4_every_kind_of_operation_survives_one_fault_of_each_request(
    minio: MinioServer,
    store: S3Store,
    behind: Behind,
    proxy: S3Proxy,
    prefix: str,
    tmp_path: Path,
    fault: Fault,
) -> None:
    """LOSE is the dear one: the operation is done, and its caller does not hear of it."""
    large = bytes(range(256)) * (LARGE // 256 + 1)
    (tmp_path / "large").write_bytes(large)
    proxy.rule = once_each(fault)
    shaky = behind()
    shaky.put("a/put", b"put")
    assert shaky.create("a/created", b"nonce 1")
    assert not shaky.create("a/created", b"nonce 2")
    shaky.copy("a/put", "a/copied")
    shaky.put_file("a/large", tmp_path / "large")
    assert shaky.get("a/put", 1, 1) == b"u"
    assert shaky.get("a/large") == large
    assert shaky.info("a/put").size == 3
    keys = ["a/copied", "a/created", "a/large", "a/put"]
    assert [found.key for found in shaky.list("a/")] == keys
    assert contents(store) == {
        "a/put": b"put", "a/created": b"nonce 1", "a/copied": b"put", "a/large": large,
    }  # fmt: skip
    assert proxy.record.created.total() == 1
    shaky.delete("a/")
    assert contents(store) == {}
    assert minio.uploads(BUCKET, prefix) == [], "one whose beginning was not acknowledged, too"
    kinds: set[Kind] = {
        "put", "create", "copy", "get", "head", "list", "delete",
        "begin upload", "part", "complete upload", "list uploads",
    }  # fmt: skip
    assert set(proxy.record.landed_on) >= kinds


@pytest.mark.parametrize("kind", ["put", "create", "copy", "part", "complete upload"])
def test_S4_bytes_that_do_not_arrive_whole_are_sent_again(
    store: S3Store, behind: Behind, proxy: S3Proxy, tmp_path: Path, kind: Kind
) -> None:
    """A 400, but none that would come again; MinIO also says so of a copy that was disturbed."""
    (tmp_path / "large").write_bytes(bytes(LARGE))
    proxy.rule = once_each(INCOMPLETE, kind)
    shaky = behind()
    shaky.put("put", b"put")
    assert shaky.create("created", b"nonce")
    shaky.copy("put", "copied")
    shaky.put_file("large", tmp_path / "large")
    assert proxy.record.landed_on[kind] >= 1
    assert contents(store) == {
        "put": b"put", "created": b"nonce", "copied": b"put", "large": bytes(LARGE),
    }  # fmt: skip


@pytest.mark.parametrize("faults", [[LOSE], [DROP], [LOSE, LOSE], [DROP, LOSE], [BUSY, CUT, RESET]])
def test_S4_a_create_whose_answer_is_lost_is_settled_by_reading_back(
    store: S3Store, behind: Behind, proxy: S3Proxy, faults: list[Fault]
) -> None:
    proxy.rule = spend(faults, "create")
    assert behind().create("commit/map-1", b"ours")
    assert proxy.record.landed.total() == len(faults)
    assert proxy.record.created.total() == 1
    assert store.get("commit/map-1") == b"ours"


def test_S4_a_lost_answer_does_not_make_us_the_winner(
    store: S3Store, behind: Behind, proxy: S3Proxy
) -> None:
    store.put("commit/map-1", b"theirs")
    proxy.rule = spend([LOSE], "create")
    assert not behind().create("commit/map-1", b"ours")
    assert proxy.record.landed == {"lose": 1}
    assert store.get("commit/map-1") == b"theirs"


def test_S2_a_third_of_the_requests_fails_and_half_of_them_again(
    store: S3Store, behind: Behind, proxy: S3Proxy
) -> None:
    """30 % of every kind: nothing is lost, nothing is done twice, and 1.5 times the requests."""

    def work(store: S3Store) -> None:
        for n in range(20):
            store.put(f"data/{n}", b"%d" % n)
            assert store.create(f"commit/{n}", b"nonce %d" % n)
            assert store.get(f"data/{n}") == b"%d" % n
            store.copy(f"data/{n}", f"out/{n}")
        assert len(list(store.list("commit/"))) == 20

    work(behind())
    needed = proxy.record.requests.total()
    for name in ("data", "commit", "out"):
        store.delete(f"{name}/")
    proxy.rule = share(7, 30, [BUSY, BROKEN, RESET])
    work(behind())
    total = proxy.record.requests.total() - needed
    landed = proxy.record.landed.total()
    assert landed == pytest.approx(0.3 * total, abs=3)
    assert total <= 1.5 * needed
    assert proxy.record.created.total() == 40
    assert len(contents(store)) == 60


def test_S3_a_server_that_hangs_is_an_error_within_the_budget(
    store: S3Store, behind: Behind, proxy: S3Proxy
) -> None:
    store.put("a", b"content")
    proxy.rule = always(HANG)
    began = time.monotonic()
    with pytest.raises(StorageError, match=r"cannot read a in s3://.*no answer in time; gave up"):
        behind(read_timeout=0.3, retry_seconds=1.0).get("a")
    assert proxy.record.landed["hang"] > 1
    assert time.monotonic() - began < 15, "about 1.3 s on an idle machine"
    proxy.rule = spend([HANG])
    assert behind(read_timeout=0.3).get("a") == b"content"


def test_S3_a_slow_server_is_not_a_dead_one(store: S3Store, behind: Behind, proxy: S3Proxy) -> None:
    """The read timeout is the longest silence, not the longest answer."""
    data = bytes(300_000)
    store.put("a", data)
    proxy.rate = 150_000.0
    began = time.monotonic()
    assert behind(read_timeout=1.5).get("a") == data
    assert time.monotonic() - began > 1.5
    proxy.rule = always(Fault("delay", 0.2))
    assert behind(read_timeout=1.5).create("b", b"x")


def test_S1_an_outage_is_waited_for_once_not_once_for_each_operation(tmp_path: Path) -> None:
    with running_minio(tmp_path) as other:
        other.make_bucket(BUCKET)
        settings = dataclasses.replace(other.settings, retry_seconds=2.0)
        store = S3Store(BUCKET, "", settings)
        store.put("a", b"content")
        other.kill()
        began = time.monotonic()
        with pytest.raises(
            StorageError, match=r"connection refused: is the store running.*gave up"
        ):
            store.get("a")
        waited = time.monotonic() - began
        assert waited >= 1.0
        for _ in range(20):
            with pytest.raises(StorageError, match=r"cannot create b .*connection refused"):
                store.create("b", b"x")
        assert time.monotonic() - began < 10 * waited, "each one waited as long as the first"
        other.start()
        assert store.get("a") == b"content"
        assert store.create("b", b"x")
        other.kill()
        began = time.monotonic()
        with pytest.raises(StorageError):
            store.get("a")
        assert time.monotonic() - began >= 1.0, "the budget is whole again after an answer"


def test_S1_a_restart_within_the_budget_is_not_noticed(tmp_path: Path) -> None:
    with running_minio(tmp_path) as other, s3_proxy(other.settings) as proxy:
        other.make_bucket(BUCKET)
        settings = dataclasses.replace(other.settings, endpoint=proxy.endpoint)
        store = S3Store(BUCKET, "", settings)

        def kill(request: Request) -> None:
            if request.kind in {"create", "part"} and request.key not in killed:
                killed.append(request.key)
                other.kill()
                other.launch()

        killed: list[str] = []
        proxy.before = kill
        (tmp_path / "large").write_bytes(bytes(LARGE))
        assert store.create("a", b"nonce")
        store.put_file("large", tmp_path / "large")
        assert killed == ["a", "large"]
        assert store.info("large").size == LARGE
        assert not store.create("a", b"another")


def test_S9_pages_of_a_listing_come_whole_and_once_whatever_happens(
    store: S3Store, behind: Behind, proxy: S3Proxy
) -> None:
    for n in range(30):
        store.put(f"many/{n:02}", b"x")
    proxy.rule = share(3, 50, [BUSY, CUT, RESET, LOSE], "list")
    shaky = behind()
    pages = [[found.key for found in shaky.list("many/")] for _ in range(10)]
    assert pages == [[f"many/{n:02}" for n in range(30)]] * 10
    assert proxy.record.landed_on["list"] >= 5


def test_E8_a_wrong_clock_is_named_at_once(behind: Behind, proxy: S3Proxy) -> None:
    proxy.rule = always(Fault("skew", -2.0))
    began = time.monotonic()
    calls: list[Callable[[S3Store], object]] = [
        lambda store: store.put("a", b""),
        lambda store: store.create("a", b""),
        lambda store: list(store.list("a/")),
    ]
    for call in calls:
        with pytest.raises(StorageError, match="clock") as caught:
            call(behind())
        assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 30, "it is not tried for the whole budget"


@pytest.mark.parametrize("make", ["minio", "versitygw"])
def test_a_server_that_ignores_create_only_is_refused(
    make: str, request: pytest.FixtureRequest, prefix: str
) -> None:
    """A real server that never sees If-None-Match does what a server does that ignores it."""
    server: S3Server = request.getfixturevalue(make)
    with s3_proxy(server.settings) as proxy:
        settings = dataclasses.replace(server.settings, endpoint=proxy.endpoint)
        store = S3Store(BUCKET, prefix, settings)
        probe_create_only(store)
        proxy.rule = always(FORGET, "create")
        with pytest.raises(StorageError, match="ignores create-only writes") as caught:
            probe_create_only(store)
        assert "use a store that has them" in str(caught.value)
        assert proxy.record.landed["forget"] >= 2
        assert list(store.list("")) == []


UPLOADER = """
import sys
from pathlib import Path
from gomr_runtime.storage.open_store import open_store
print("ready", flush=True)
open_store(sys.argv[1]).put_file("runs/r/data/map-0/1-n/map", Path(sys.argv[2]))
"""


@pytest.mark.parametrize("make", ["minio", "versitygw"])
def test_S8_an_upload_cut_off_by_a_kill_is_aborted_by_the_cleanup(
    make: str, request: pytest.FixtureRequest, prefix: str, tmp_path: Path
) -> None:
    server: S3Server = request.getfixturevalue(make)
    (tmp_path / "large").write_bytes(bytes(LARGE))
    with s3_proxy(server.settings) as proxy:
        settings = server.settings
        uploader = subprocess.Popen(
            [sys.executable, "-c", UPLOADER, f"s3://{BUCKET}/{prefix}", tmp_path / "large"],
            env={
                "GOMR_S3_ENDPOINT": proxy.endpoint,
                "GOMR_S3_ACCESS_KEY": settings.access_key,
                "GOMR_S3_SECRET_KEY": settings.secret_key,
            },
        )
        killed: list[int] = []

        def kill(request: Request) -> None:
            if request.query.get("partNumber") == ["2"] and not killed:
                uploader.send_signal(signal.SIGKILL)
                killed.append(uploader.wait(60))

        proxy.before = kill
        assert uploader.wait(60) == -signal.SIGKILL
    store = S3Store(BUCKET, prefix, settings)
    others = S3Store(BUCKET, f"{prefix}-others", settings)
    key = f"{prefix}/runs/r/data/map-0/1-n/map"
    assert [upload.key for upload in server.uploads(BUCKET, prefix)] == [key]
    assert list(store.list("")) == []
    others.delete("runs/")
    store.delete("runs/another/")
    assert [upload.key for upload in server.uploads(BUCKET, prefix)] == [key], (
        "only what is below goes"
    )
    assert store.delete("runs/r/") == 0
    assert server.uploads(BUCKET, prefix) == []


def test_S8_an_upload_that_fails_is_aborted_at_once(
    minio: MinioServer, behind: Behind, proxy: S3Proxy, prefix: str, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(bytes(LARGE))
    proxy.rule = always(BUSY, "part")
    with pytest.raises(StorageError, match=r"cannot write a .*slow down; gave up"):
        behind(retry_seconds=1.0).put_file("a", tmp_path / "large")
    assert (tmp_path / "large").exists()
    assert minio.uploads(BUCKET, prefix) == []
