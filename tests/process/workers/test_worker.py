"""Workers whose store is not a directory: children read through their supervisor."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from gomr_runtime.errors import DataError, JobFailed
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.runs.local import LocalRun
from gomr_runtime.runs.resume import reopen
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.s3.settings import S3Settings
from tests.process.support.local_runs import Job, word_count
from tests.process.support.minio_server import MinioServer
from tests.process.support.s3.s3_server import BUCKET

pytestmark = pytest.mark.timeout(3600)  # the first test may have to build MinIO
URL = f"s3://{BUCKET}/runs-of-tests"


@pytest.fixture
def settings(minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> S3Settings:
    monkeypatch.setenv("GOMR_S3_ENDPOINT", minio.settings.endpoint)
    monkeypatch.setenv("GOMR_S3_ACCESS_KEY", minio.settings.access_key)
    monkeypatch.setenv("GOMR_S3_SECRET_KEY", minio.settings.secret_key)
    return minio.settings


def run_on_s3(job: Job, files: tuple[InputFile, ...] = ()) -> dict[str, int]:
    spec = job.spec()
    with LocalRun(replace(spec, files=(*spec.files, *files)), job.program, URL) as run:
        summary = run.result()
    store = open_store(URL)
    found = {}
    for part in summary.parts:
        for line in store.get(part.key).decode().splitlines():
            key, value = line.split("\t")
            found[key] = int(value)
    return found


def test_word_count_over_an_object_store(tmp_path: Path, settings: S3Settings) -> None:
    store = open_store(URL)
    store.put("inputs/more.txt", b"e f\n" * 1000)
    more = InputFile("more.txt", "store:inputs/more.txt", 4000)
    job = Job(tmp_path, word_count(), run="s3-1")
    expected = Counter(job.text.split()) + Counter({"e": 1000, "f": 1000})
    assert run_on_s3(job, (more,)) == expected
    assert [found.key for found in store.list("outputs/s3-1/")] == [
        "outputs/s3-1/_SUCCESS",
        "outputs/s3-1/_logs/master-1.log",
        "outputs/s3-1/output-00000.txt",
        "outputs/s3-1/output-00001.txt",
    ]
    log = store.get("outputs/s3-1/_logs/master-1.log").decode().splitlines()
    assert log[-1] == "Map reduce completed"


def test_E7_a_failed_run_on_an_object_store_goes_on(tmp_path: Path, settings: S3Settings) -> None:
    flag = tmp_path / "fail"
    flag.touch()
    stop = f"print('mapped', line)\nif line == 'stop' and Path({str(flag)!r}).exists(): 1 / 0"
    options = {"max_attempts": 1, "mappers": 4}
    text = "a b\nb c\nc d\n" * 50 + "stop\n"
    job = Job(tmp_path, word_count(stop), text=text, run="s3-5", options=options)
    with pytest.raises(JobFailed, match="ZeroDivisionError"):
        run_on_s3(job)
    store = open_store(URL)
    committed = {found.key: found.version for found in store.list("runs/s3-5/commit/")}
    flag.unlink()
    reopened = reopen(store, job.spec(), rerun=False)
    assert reopened.first_epoch == 3, "after the start and the end that are in the log"
    with LocalRun(reopened, job.program, URL) as run:
        summary = run.result()
    assert summary.attempts == 4 - len(committed) + 2
    assert summary.ledger.records_read == 151
    kept = {found.key: found.version for found in store.list("runs/s3-5/commit/")}
    assert {key: kept[key] for key in committed} == committed
    # A complete run stays so: another start only tells it again.
    with LocalRun(reopen(store, job.spec(), rerun=False), job.program, URL) as run:
        again = run.result()
    # Times apart: the end that is kept was written before the last of them was over.
    assert replace(again, seconds=summary.seconds, phases=summary.phases) == summary


def test_a_missing_input_object_is_named(tmp_path: Path, settings: S3Settings) -> None:
    gone = InputFile("gone.txt", "store:inputs/gone.txt", 4000)
    with pytest.raises(JobFailed, match=r"inputs/gone.txt is not in s3://") as caught:
        run_on_s3(Job(tmp_path, word_count(), run="s3-2"), (gone,))
    assert isinstance(caught.value, JobFailed | DataError)


def test_user_code_does_not_see_the_credentials(tmp_path: Path, settings: S3Settings) -> None:
    secret = settings.secret_key
    look = (
        "parents = [os.getppid(), __import__('multiprocessing').parent_process().pid]\n"
        "seen = str(os.environ) + ''.join(\n"
        "    Path(f'/proc/{pid}/environ').read_text() for pid in parents[:1])\n"
        f"ctx.emit('seen', int({secret[:20]!r} in seen))"
    )
    found = run_on_s3(Job(tmp_path, word_count(look), text="a\n", run="s3-3"))
    assert found == {"a": 1, "seen": 0}


def test_a_crash_is_placed_by_reading_through_the_store(
    tmp_path: Path, settings: S3Settings
) -> None:
    open_store(URL).put("inputs/bad.txt", b"e f\n" * 10 + b"x y\n" + b"e f\n" * 10)
    bad = InputFile("bad.txt", "store:inputs/bad.txt", 84)
    act = f"if line == 'x y': os.kill(os.getpid(), {int(signal.SIGKILL)})"
    job = Job(tmp_path, word_count(act), run="s3-4", options={"max_attempts": 1})
    with pytest.raises(JobFailed, match=r"SIGKILL in bad.txt, record at offset 40"):
        run_on_s3(job, (bad,))
    assert os.environ["GOMR_S3_SECRET_KEY"] == settings.secret_key
