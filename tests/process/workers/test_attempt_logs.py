"""What attempts said is stored beside the output of their run."""

from __future__ import annotations

from pathlib import Path

import pytest

from gomr_runtime.errors import JobFailed
from tests.process.support.local_runs import Job, word_count


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def logs(job: Job) -> dict[str, str]:
    """By the names of tasks and attempts, without what makes each unique."""
    folder = job.store / "outputs" / job.run / "_logs"
    files = [path for path in folder.iterdir() if not path.name.startswith("master-")]
    return {path.name.rpartition("-")[0]: path.read_text() for path in files}


def test_what_user_code_prints_is_kept(folder: Path) -> None:
    loud = "if line == 'x y':\n    print('seen', line, flush=True)"
    job = Job(folder, word_count(loud), text="a b\n" * 50 + "x y\n", options={"mappers": 2})
    job.go()
    assert logs(job) == {"map-1-1": "seen x y\n"}, "and nothing of attempts that are silent"


def test_every_failed_attempt_says_why(folder: Path) -> None:
    bad = "if line == 'x y':\n    print('now', flush=True)\n    raise ValueError('odd')"
    options = {"mappers": 2, "max_attempts": 2}
    job = Job(folder, word_count(bad), text="a b\n" * 50 + "x y\n", options=options)
    with pytest.raises(JobFailed):
        job.go()
    found = logs(job)
    assert sorted(found) == ["map-1-1", "map-1-2"]
    for text in found.values():
        assert text.startswith("now\n")
        assert "input.txt, record at byte 200 (record 24 of map-1): ValueError: odd" in text
        assert "raise ValueError('odd')" in text, "the traceback"
