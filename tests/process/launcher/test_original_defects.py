"""Defects of the system that GoMR comes from which only real processes can show."""

from __future__ import annotations

import textwrap
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gomr_runtime.errors import JobFailed
from tests.process.support.local_runs import Job, word_count

FULL_ONCE = """
import os
from pathlib import Path
from gomr_runtime.errors import StorageError
from gomr_runtime.storage.directory import DirectoryStore
put_file = DirectoryStore.put_file
def failing(self, key, path):
    if "/map-1/" in key:
        try:
            os.close(os.open({once!r}, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            raise StorageError(f"cannot write {{key}}: no space left")
    put_file(self, key, path)
DirectoryStore.put_file = failing
"""


def test_B7_an_upload_that_fails_is_the_attempts_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upload errors were ignored, and the task reported as done: its words were missing."""
    site = tmp_path / "site"
    site.mkdir()
    code = FULL_ONCE.format(once=str(tmp_path / "once"))
    (site / "sitecustomize.py").write_text(textwrap.dedent(code))
    monkeypatch.setenv("PYTHONPATH", str(site))
    job = Job(tmp_path, word_count())
    summary = job.go()
    assert (tmp_path / "once").exists()
    assert job.counts(summary) == Counter(job.text.split())
    assert any("map-1/1 failed" in line and "no space left" in line for line in job.log_lines())
    assert summary.attempts == 4 + 2 + 1
    job.assert_nothing_left()


def test_B9_two_runs_at_once_in_one_store_leave_each_other_alone(tmp_path: Path) -> None:
    """Bucket and prefix were fixed and cleared at the start: the second run ended the first."""
    texts = {"one": "a b\n" * 100, "two": "b c\n" * 100}
    jobs = []
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "store").symlink_to(tmp_path)
        jobs.append(Job(tmp_path / name, word_count(), text=text, run=f"run-{name}"))
    with ThreadPoolExecutor(2) as pool:
        summaries = list(pool.map(Job.go, jobs))
    for job, summary in zip(jobs, summaries, strict=True):
        assert job.counts(summary) == Counter(job.text.split())
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == {"run-one", "run-two"}


def test_B10_a_task_that_always_fails_ends_the_run_and_leaves_nothing(tmp_path: Path) -> None:
    """It was tried for ever; the command returned at once and cleaned nothing up."""
    job = Job(tmp_path, word_count("if line == 'c d': raise ValueError('no c')"))
    with pytest.raises(JobFailed, match="no c") as caught:
        job.go()
    assert caught.value.exit_code == 1
    assert job.summary is not None
    assert "4 attempts failed" in job.summary.message
    assert job.summary.attempts <= 4 + 4 * 3
    job.assert_nothing_left()
