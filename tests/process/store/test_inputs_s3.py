"""Inputs that lie in S3, or are read by way of it, against a real MinIO."""

from __future__ import annotations

import bz2
import gzip
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gomr_runtime.errors import JobFailed, StorageError, UsageError
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.summary import Part
from gomr_runtime.model.task import Ledger
from gomr_runtime.runs.local import LocalRun
from gomr_runtime.storage.inputs.files import resolve
from gomr_runtime.storage.inputs.s3_files import list_inputs
from gomr_runtime.storage.s3.store import S3Store
from gomr_runtime.storage.success import success_bytes, success_of
from tests.process.support.local_runs import Job, word_count
from tests.process.support.minio_server import MinioServer
from tests.process.support.s3.s3_runs import ROOT, job_in, use
from tests.process.support.s3.s3_server import BUCKET

pytestmark = pytest.mark.timeout(3600)  # the first test may have to build MinIO

_numbers = itertools.count(1)


@pytest.fixture
def store(minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    use(monkeypatch, minio.settings)
    return S3Store(BUCKET, f"inputs-{next(_numbers)}", minio.settings)


def sources(url: str, own_store: str = "") -> list[str]:
    return [file.source for file in list_inputs(url, own_store=own_store)]


def test_the_rules_of_directories_hold_for_prefixes(minio: MinioServer, store: S3Store) -> None:
    prefix = store.url.removeprefix(f"s3://{BUCKET}/")
    for name in ("d/a", "d/_a", "d/_b/x", "d/c/x", "d/c/_x", "top.txt", "empty/x/y"):
        store.put(name, b"text\n")
    for name in ("d/.a", "d/.b/x", "d/c/.x", ".hidden/x"):
        minio.put_raw(BUCKET, f"{prefix}/{name}", b"text\n")
    minio.put_raw(BUCKET, f"{prefix}/d/c/", b"")  # as consoles mark a folder
    url = store.url
    assert sources(f"{url}/d") == sources(f"{url}/d/") == ["a", "c/x"]
    assert sources(f"{url}/d/**") == sources(f"{url}/d/*") == ["a", "c/x"]
    assert sources(f"{url}/*/a") == ["d/a"]
    assert sources(f"{url}/d/_*") == ["_a", "_b/x"]
    assert sources(f"{url}/d/_b") == ["x"]
    assert sources(f"{url}/*.txt") == ["top.txt"]
    assert sources(f"{url}/[et]*") == ["empty/x/y", "top.txt"]
    assert sources(f"{url}/d/_a") == [f"{url}/d/_a"]
    for nothing in ("x*", "d/*.txt", "empty/*/z", "absent/*"):
        with pytest.raises(UsageError, match=r"no file matches|no objects there"):
            sources(f"{url}/{nothing}")


def put_output(store: S3Store, folder: str, run: str, *contents: bytes) -> None:
    parts = []
    for index, content in enumerate(contents):
        part = Part(f"output-{index:05d}.txt", "", len(content), 1, "0" * 64)
        store.put(f"{folder}/{part.name}", content)
        parts.append(part)
    store.put(f"{folder}/_SUCCESS", success_bytes(success_of(run, parts, Ledger(), {})))


def test_an_output_in_a_store_is_read_as_its_parts(store: S3Store) -> None:
    put_output(store, "outputs/one", "one", b"a\t1\n", b"")
    put_output(store, "outputs/two", "two", b"b\t1\n")
    store.put("outputs/one/_logs/map-0", b"no data")
    store.put("outputs/one/notes.txt", b"no data")
    store.put("outputs/half/output-00000.txt", b"half")
    store.put("text", b"text")
    url = store.url
    assert sources(f"{url}/outputs/one") == ["output-00000.txt", "output-00001.txt"]
    assert sources(f"{url}/outputs/[ot]*") == [
        "one/output-00000.txt",
        "one/output-00001.txt",
        "two/output-00000.txt",
    ]
    with pytest.raises(UsageError, match=r"outputs/half holds output-00000\.txt and no _SUCCESS"):
        sources(f"{url}/outputs")
    store.delete("outputs/half/")
    with pytest.raises(UsageError, match=r"of run one and .*text is not part of one"):
        sources(url)
    assert sources(url, own_store=f"{url}/outputs") == ["text"]
    with pytest.raises(UsageError, match="the run's own --store"):
        sources(f"{url}/outputs/", own_store=f"{url}/outputs/")
    store.put("outputs/two/output-00000.txt", b"other")
    with pytest.raises(UsageError, match=r"00000.txt has 5 bytes, and _SUCCESS beside it says 4"):
        sources(f"{url}/outputs/two")


@pytest.mark.parametrize("key", ["odd/a\x01b", "odd/a\nb"])
def test_keys_that_no_path_can_be_are_refused_by_name(
    minio: MinioServer, store: S3Store, key: str
) -> None:
    prefix = store.url.removeprefix(f"s3://{BUCKET}/")
    minio.put_raw(BUCKET, f"{prefix}/{key}", b"x")
    with pytest.raises(StorageError, match=r"no key with an empty part or a control ") as caught:
        sources(f"{store.url}/odd")
    assert f"{prefix}/odd/" in str(caught.value).partition("character:")[2]
    assert "\n" not in str(caught.value)
    store.put("odd/x", b"x")
    assert sources(f"{store.url}/odd/x") == [f"{store.url}/odd/x"]


def test_what_a_file_is_is_told_alike_from_disk_and_from_s3(store: S3Store, tmp_path: Path) -> None:
    contents = [
        b"BZhou Enlai was\n",
        b"\x1f\x8b\0\0 text",
        b"\x50\x2a\x4d\x18\0\0\0\0",
        b"PK\x03\x04",
    ]
    contents += [gzip.compress(b"a"), bz2.compress(b"a"), b"", b"\xff\xfea\0"]
    for number, content in enumerate(contents):
        store.put(f"in/{number}", content)
        (tmp_path / f"{number}").write_bytes(content)

    def told(files: Sequence[InputFile]) -> list[tuple[str, int, str, str]]:
        return [(file.source, file.size, file.compression, file.content) for file in files]

    assert told(list_inputs(f"{store.url}/in")) == told(resolve([str(tmp_path)]))


@pytest.mark.parametrize("workers", [[], ["--workers", "2"]])
def test_objects_are_read_by_every_runtime(
    store: S3Store, tmp_path: Path, workers: list[str]
) -> None:
    folder = tmp_path
    store.put("in/a", b"a b\nb\n" * 1000)
    store.put("in/b.gz", gzip.compress(b"b c\n" * 1000))
    store.put("in/_SUCCESS", b"")
    (folder / "worker.py").write_text(word_count())
    command = [sys.executable, "worker.py", "--input", f"{store.url}/in/*", "--mappers", "3", "-q"]
    subprocess.run(
        [*command, "--output", "out", *workers],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )
    (part,) = (folder / "out").glob("output-*")
    assert dict(line.split("\t") for line in part.read_text().splitlines()) == {
        "a": "1000",
        "b": "3000",
        "c": "1000",
    }


def test_an_object_that_was_replaced_after_the_plan_is_refused(
    store: S3Store, folder: Path
) -> None:
    store.put("in/a", b"old\n" * 1000)
    job = Job(folder, word_count())
    spec = replace(job.spec(), files=tuple(list_inputs(f"{store.url}/in")))
    store.put("in/a", b"new\n" * 1000)
    with (
        LocalRun(spec, job.program, str(job.store), log_folder=folder / "logs") as run,
        pytest.raises(JobFailed, match=r"^a: input changed while the run went on: it was written"),
    ):
        run.result()


CHANGE = """
path = Path({path!r})
if line == {first!r} and not path.with_name("changed").exists():
    path.with_name("changed").write_text(path.read_text().replace("w1", "x1"))
    os.utime(path.with_name("changed"), ns=(1, 1))
    {change}
"""
CHANGES = {
    "in place": (1, "path.write_bytes(path.with_name('changed').read_bytes())"),
    "longer": (1, "path.open('a').write('more')"),
    "shorter": (1, "os.truncate(path, 10)"),
    "replaced": (4, "os.replace(path.with_name('changed'), path)"),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_local_file_that_changes_under_a_run_with_a_store_in_s3_is_refused(
    minio: MinioServer, store: S3Store, folder: Path, how: str
) -> None:
    """The mapper itself changes it, at the first line; what is replaced, later tasks open."""
    mappers, change = CHANGES[how]
    job = job_in(folder, minio.settings, f"changed-{mappers}-{how}", mappers=mappers, workers=1)
    first = job.text.splitlines()[0]
    path = str(folder / "input.txt")
    job.source = word_count(CHANGE.format(path=path, first=first, change=change))
    with pytest.raises(JobFailed, match="input changed while the run went on"):
        job.go()
    assert not job.has_output()
