"""Jobs with so many files that their list is an object of its own, on real processes."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.model import layout
from gomr_runtime.model.inputs.file_table import BLOCK_FILES, FileTable
from gomr_runtime.model.job import JobSpec
from gomr_runtime.runs.local import LocalRun
from gomr_runtime.storage.inputs.files import resolve
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.stored_run import read_job
from tests.process.support.local_runs import Job, word_count

FAULTY = Path(__file__).parents[1] / "support" / "faulty_master.py"
FILES = BLOCK_FILES + 500


@dataclass
class Many(Job):
    """A job over thousands of small files, more than a block of the table holds."""

    def spec(self) -> JobSpec:
        files = self.folder / "many"
        if not files.exists():
            files.mkdir()
            for n in range(FILES):
                (files / f"{n:05}.txt").write_text(f"all of-{n % 7}\n" * (n % 10 != 3))
        return replace(super().spec(), files=resolve([str(files)]))


def many(folder: Path, **options: object) -> Many:
    usual = {"workers": 2, "mappers": 3, "reducers": 2, "timeout": 120.0}
    return Many(folder, word_count(), options=usual | options)


def expected() -> dict[str, int]:
    counted = [n for n in range(FILES) if n % 10 != 3]
    return {"all": len(counted), **Counter(f"of-{n % 7}" for n in counted)}


@pytest.mark.parametrize("fault", ["kill before plan.json", "kill after plan.json"])
def test_a_master_that_starts_again_goes_on_with_thousands_of_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -P {FAULTY} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("FAULT", fault)
    monkeypatch.setenv("FAULT_FLAG", str(folder / "flag"))
    job = replace(many(folder), python=str(python))
    summary = job.go()
    assert (folder / "flag").exists(), "the fault came"
    assert job.counts(summary) == expected()
    assert summary.mappers == 3
    stored = read_job(open_store(job.store.as_uri()), job.run)
    assert isinstance(stored.files, FileTable)
    assert tuple(stored.files) == tuple(job.spec().files)
    assert (job.store / layout.job(job.run)).stat().st_size < 2_000
    assert (job.store / layout.plan(job.run)).stat().st_size < 2_000


def test_the_same_bytes_with_one_task_and_with_many(folder: Path) -> None:
    made = []
    for mappers in (1, 40):
        job = replace(many(folder, mappers=mappers), run=f"run-{mappers}")
        summary = job.go()
        assert job.counts(summary) == expected()
        made.append(
            [hashlib.sha256((job.store / p.key).read_bytes()).digest() for p in summary.parts]
        )
    assert made[0] == made[1]


DAMAGES: dict[str, tuple[Callable[[bytes], bytes | None], str]] = {
    "flipped": (lambda d: d[:99] + bytes([d[99] ^ 1]) + d[100:], "is damaged"),
    "cut short": (lambda d: d[:-1], "is damaged"),
    "deleted": (lambda d: None, "is gone"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_S10_a_damaged_list_of_files_ends_the_run_by_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    job, (change, words) = many(folder), DAMAGES[how]
    spec = job.spec()
    assert isinstance(spec.files, FileTable)
    table = job.store / layout.files(job.run, spec.files.record.sha256)
    content = b"".join(spec.files.chunks())

    def start_master(run: LocalRun, start: Callable[[LocalRun], None]) -> None:
        if table.exists() and table.read_bytes() == content:
            table.unlink()
            if (changed := change(content)) is not None:
                table.write_bytes(changed)
        start(run)

    start = LocalRun._start_master
    monkeypatch.setattr(LocalRun, "_start_master", lambda run: start_master(run, start))
    with pytest.raises(EnvironmentFailed) as caught:
        job.go()
    told = f"{caught.value}\n{caught.value.detail}"
    assert f"{layout.files(job.run, spec.files.record.sha256)} in " in told
    assert words in told
