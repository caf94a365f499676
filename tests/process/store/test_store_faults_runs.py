"""Whole runs over a store that misbehaves: the bytes of one process, and every task once.

`max_attempts` is 1 in all of them: one failure charged to a task would end the run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gomr_runtime.errors import EnvironmentFailed
from tests.process.support.minio_server import MinioServer
from tests.process.support.s3.s3_faults import (
    BROKEN,
    BUSY,
    CUT,
    DROP,
    HANG,
    LOSE,
    RESET,
    Fault,
    always,
    once_each,
    share,
)
from tests.process.support.s3.s3_http import Request
from tests.process.support.s3.s3_proxy import S3Proxy, s3_proxy
from tests.process.support.s3.s3_runs import S3Job, job_in, use

pytestmark = pytest.mark.timeout(3600)  # the first test may have to build MinIO
_numbers = itertools.count(1)


@pytest.fixture
def proxy(minio: MinioServer) -> Iterator[S3Proxy]:
    with s3_proxy(minio.settings) as proxy:
        yield proxy


MakeJob = Callable[..., S3Job]


@pytest.fixture
def new_job(
    minio: MinioServer, proxy: S3Proxy, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> MakeJob:
    """A job behind the proxy, by options of a job and times of the store."""

    def made(**given: float) -> S3Job:
        times = {n: given.pop(n) for n in ("read_timeout", "retry_seconds") if n in given}
        use(monkeypatch, dataclasses.replace(minio.settings, endpoint=proxy.endpoint), **times)
        return job_in(folder, minio.settings, f"job-{next(_numbers)}", **given)

    return made


def needed(proxy: S3Proxy) -> int:
    """Requests but those that only time brings: the master's looks for a newer one."""
    return proxy.record.requests.total() - proxy.record.requests["list"]


def test_S2_a_run_with_30_percent_of_the_answers_503(
    new_job: MakeJob, proxy: S3Proxy, expected: list[bytes]
) -> None:
    job = new_job()
    job.check(job.go(), expected, proxy)
    fault_free = needed(proxy)
    proxy.record = type(proxy.record)()
    proxy.rule = share(11, 30, [BUSY])
    job = new_job()
    summary = job.go()
    job.check(summary, expected, proxy)
    assert proxy.record.landed["status"] >= 0.25 * fault_free
    assert needed(proxy) <= 1.5 * fault_free
    assert summary.attempts == len(job.committed())


@pytest.mark.parametrize("seed", [1, 2])
def test_S2_a_run_with_every_kind_of_failure(
    new_job: MakeJob, proxy: S3Proxy, expected: list[bytes], seed: int
) -> None:
    proxy.rule = share(seed, 30, [BUSY, BROKEN, RESET, DROP, LOSE, CUT])
    job = new_job()
    summary = job.go()
    job.check(summary, expected, proxy)
    assert len(proxy.record.landed) == 5, "every kind of fault landed"
    assert summary.lost_workers == 0


def test_S4_a_run_whose_every_acknowledgement_is_lost_once(
    new_job: MakeJob, proxy: S3Proxy, expected: list[bytes]
) -> None:
    proxy.rule = once_each(LOSE)
    job = new_job()
    summary = job.go()
    job.check(summary, expected, proxy)
    assert set(proxy.record.landed_on) >= {"create", "put", "copy", "get", "head", "list"}
    assert summary.attempts == len(job.committed())
    assert not [line for line in job.log_lines() if "cannot" in line]


def test_S4_parquet_parts_get_their_types_over_lost_acknowledgements(
    new_job: MakeJob, proxy: S3Proxy
) -> None:
    proxy.rule = once_each(LOSE)
    job = new_job()
    job.options |= {"output_format": "parquet", "reducers": 5}
    job.text = "a b\n" * 20
    summary = job.go()
    parts = job.parts(summary)
    assert [part.sha256 for part in summary.parts] == [hashlib.sha256(p).hexdigest() for p in parts]
    tables = [pq.read_table(io.BytesIO(part)) for part in parts]
    assert {str(table.schema) for table in tables} == {"key: string\nvalue: int64"}
    rows = [row for table in tables for row in table.to_pylist()]
    assert sorted(rows, key=lambda row: row["key"]) == [
        {"key": "a", "value": 20},
        {"key": "b", "value": 20},
    ]
    empty = sum(table.num_rows == 0 for table in tables)
    assert empty >= 3
    assert sum("/data/typed/" in key for key in [*job.keys()]) == empty
    assert summary.attempts == len(job.committed())


def test_S3_heartbeats_go_on_while_the_store_is_slower_than_a_lease(
    new_job: MakeJob, proxy: S3Proxy, expected: list[bytes]
) -> None:
    slow = Fault("delay", 2.5)
    proxy.rule = lambda request: slow if request.kind == "put" and "-0/" in request.key else None
    job = new_job(lease=1.0, heartbeat=0.1)
    summary = job.go()
    job.check(summary, expected, proxy)
    assert proxy.record.landed_on["put"] == 2, "the outputs of map-0 and of reduce-0"
    assert summary.lost_workers == 0
    assert summary.attempts == len(job.committed())


def test_S3_a_store_of_a_few_kilobytes_a_second(
    new_job: MakeJob, proxy: S3Proxy, expected: list[bytes]
) -> None:
    proxy.rate = 20_000.0
    job = new_job(lease=1.0, heartbeat=0.1, read_timeout=5.0)
    summary = job.go()
    job.check(summary, expected, proxy)
    assert summary.lost_workers == 0


def test_S3_sockets_that_hang(new_job: MakeJob, proxy: S3Proxy, expected: list[bytes]) -> None:
    proxy.rule = share(5, 10, [HANG])
    job = new_job(lease=1.0, heartbeat=0.1, read_timeout=1.5)
    summary = job.go()
    job.check(summary, expected, proxy)
    assert proxy.record.landed["hang"] >= 3
    assert summary.lost_workers == 0
    assert summary.attempts == len(job.committed())


def test_S3_a_server_that_stands_still_for_longer_than_a_lease(
    new_job: MakeJob, proxy: S3Proxy, minio: MinioServer, expected: list[bytes]
) -> None:
    job = new_job(lease=1.0, heartbeat=0.1, read_timeout=1.0)
    stopped = threading.Event()

    def stop(request: Request) -> None:
        if not stopped.is_set() and request.key.endswith("commit/map-1"):
            stopped.set()
            minio.signal(signal.SIGSTOP)
            threading.Timer(4.0, minio.signal, (signal.SIGCONT,)).start()

    proxy.before = stop
    try:
        summary = job.go()
    finally:
        minio.signal(signal.SIGCONT)
    job.check(summary, expected, proxy)
    assert stopped.is_set()
    assert summary.lost_workers == 0


def test_S3_a_task_that_waits_for_the_store_is_not_a_task_that_hangs(
    new_job: MakeJob, proxy: S3Proxy, expected: list[bytes]
) -> None:
    """--task-timeout is about user code: the time in which the supervisor reads is not its own."""
    slow = Fault("delay", 2.0)
    proxy.rule = lambda request: slow if request.kind == "get" and "map-0" in request.key else None
    job = new_job(task_timeout=1.0)
    summary = job.go()
    job.check(summary, expected, proxy)
    assert proxy.record.landed["delay"] >= len(expected)
    assert summary.attempts == len(job.committed())


def test_E8_a_wrong_clock_ends_the_run_and_is_named(new_job: MakeJob, proxy: S3Proxy) -> None:
    job = new_job()

    def wrong_from_here_on(request: Request) -> None:
        if request.key.endswith("commit/map-1"):
            proxy.rule = always(Fault("skew", 1.0))

    proxy.before = wrong_from_here_on
    with pytest.raises(EnvironmentFailed, match="clock") as caught:
        job.go()
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    assert not job.has_output()
