"""Tasks with so many files that their pieces travel through the store (row S10)."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gomr_runtime.master.journal import Journal
from gomr_runtime.model.job import InputFile, JobSpec
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.pieces import is_large
from gomr_runtime.system.file_blob import version_of
from tests.process.support.local_runs import Job, word_count

FAULTY = Path(__file__).parents[1] / "support" / "faulty_master.py"
FILES = 1_200


@dataclass
class Many(Job):
    """A job over hundreds of small files with long names, in two map tasks."""

    def spec(self) -> JobSpec:
        files = self.folder / ("many-" * 40)
        files.mkdir(exist_ok=True)
        inputs = []
        for n in range(FILES):
            path = files / f"{'f' * 100}-{n:03}"
            path.write_text(f"all of-{n % 7}\n")
            status = path.stat()
            version = version_of(status)
            inputs.append(InputFile(path.name, str(path), status.st_size, version=version))
        return replace(super().spec(), files=tuple(inputs))


@pytest.mark.parametrize("fault", ["delay", "fail"])
def test_S10_a_run_whose_tasks_have_hundreds_of_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """It hung: a worker that was not sent its task in two heartbeats was never asked again."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -P {FAULTY} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("FAULT", f"{fault} before pieces")
    monkeypatch.setenv("FAULT_FLAG", str(folder / "flag"))
    options = {"workers": 1, "mappers": 2, "reducers": 1, "timeout": 120.0}
    job = Many(folder, word_count(), options=options, python=str(python))
    summary = job.go()
    assert (folder / "flag").exists(), "the fault came"
    assert summary.attempts == 3, "no attempt was lost"
    assert summary.lost_workers == 0
    of = Counter(f"of-{n % 7}" for n in range(FILES))
    assert job.counts(summary) == {"all": FILES, **of}
    plan = Journal(open_store(job.store.as_uri()), job.run).read_plan(job.spec().files)
    assert plan is not None
    assert all(map(is_large, plan.splits))
