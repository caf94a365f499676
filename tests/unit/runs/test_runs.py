"""Who holds a run id, and what `clean` removes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gomr_runtime.errors import RunConflict
from gomr_runtime.runs.claims import claim, clean, scratch, stdin_copy

DAY = 86400.0


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def ended_run(store: Path, run: str, now: float) -> None:
    files = [
        write(store / "runs" / run / "job.json"),
        write(store / "runs" / run / "data" / "map-0" / "1-n" / "map"),
        write(store / "outputs" / run / "_SUCCESS"),
        write(store / "logs" / run / "master.log"),
        write(stdin_copy(store, run)),
    ]
    for path in [*files, *(folder for file in files for folder in file.parents)]:
        os.utime(path, (now, now))


def test_a_run_id_is_held_once_and_again_after_release(tmp_path: Path) -> None:
    first = claim(tmp_path, "r")
    with pytest.raises(RunConflict, match="in progress"):
        claim(tmp_path, "r")
    claim(tmp_path, "other").release(remove=True)
    first.release(remove=False)
    claim(tmp_path, "r").release(remove=True)


def test_data_of_an_earlier_run_is_a_conflict_until_removed(tmp_path: Path) -> None:
    held = claim(tmp_path, "r")
    ended_run(tmp_path, "r", 0)
    held.release(remove=False)
    with pytest.raises(RunConflict, match="earlier run"):
        claim(tmp_path, "r")
    assert clean(tmp_path, now=DAY, kept_seconds=0) == ["r"]
    claim(tmp_path, "r").release(remove=True)


def test_a_run_is_resumed_with_its_data_but_not_with_the_scratch_of_a_dead_launcher(
    tmp_path: Path,
) -> None:
    ended_run(tmp_path, "r", 0)
    ours = write(scratch(tmp_path, "r", "gomr-1") / "w0" / "map")
    other = write(scratch(tmp_path, "r-1", "gomr-2") / "w0" / "map")
    held = claim(tmp_path, "r", resume=True)
    with pytest.raises(RunConflict, match="in progress"):
        claim(tmp_path, "r", resume=True)
    assert (ours.exists(), other.exists()) == (False, True)
    assert (tmp_path / "runs/r/job.json").exists()
    held.release(remove=True)


def test_clean_takes_what_nobody_touched_for_a_week(tmp_path: Path) -> None:
    ended_run(tmp_path, "old", 0)
    ended_run(tmp_path, "young", 2 * DAY)
    assert clean(tmp_path, now=8 * DAY) == ["old"]
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert all("young" in path for path in left)
    assert "runs/young/data/map-0/1-n/map" in left


def test_clean_leaves_what_is_in_progress_and_what_is_not_ours(tmp_path: Path) -> None:
    held = claim(tmp_path, "busy")
    ended_run(tmp_path, "busy", 0)
    write(tmp_path / "runs" / "Not_a_run" / "file")
    write(tmp_path / "mine.txt")
    assert clean(tmp_path, now=100 * DAY, kept_seconds=0) == []
    assert (tmp_path / "runs" / "busy" / "job.json").exists()
    assert (tmp_path / "runs" / "Not_a_run" / "file").exists()
    assert (tmp_path / "mine.txt").exists()
    held.release(remove=True)
    assert not (tmp_path / "runs" / "busy").exists()
