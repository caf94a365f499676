"""Stored map output that is damaged, cut short or gone, under real processes."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.runs.local import LocalRun
from tests.process.support.local_runs import Job, word_count

HELD = """
if line == "stop":
    while not Path({go!r}).exists():
        time.sleep(0.01)
        ctx.progress()
"""
DISK = """
from pathlib import Path
from gomr_runtime.storage.directory import DirectoryStore
put_file = DirectoryStore.put_file
def damaging(self, key, path):
    if "/{task}/" in key:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    put_file(self, key, path)
DirectoryStore.put_file = damaging
"""


def flip(position: float) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[int(position * (len(data) - 1))] ^= 0x10
        path.write_bytes(data)

    return act


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGE: dict[str, Callable[[Path], None]] = {
    "first byte": flip(0.0),
    "middle byte": flip(0.3),
    "last byte": flip(1.0),
    "truncated": cut_short,
    "empty": empty,
    "deleted": Path.unlink,
}


def outputs_of(job: Job, index: int) -> list[Path]:
    return sorted((job.store / f"runs/{job.run}/data/map-{index}").glob("*/map"))


def held_job(folder: Path) -> Job:
    """Four maps; the last one waits for the file `go`."""
    act = HELD.format(go=str(folder / "go"))
    lines = ["a b", "b c", "c d", "d e"] * 50
    return Job(folder, word_count(act), text="\n".join([*lines, "stop"]) + "\n")


@pytest.mark.parametrize("damage", DAMAGE)
def test_S6_a_damaged_map_output_is_made_again(tmp_path: Path, damage: str) -> None:
    job = held_job(tmp_path)
    done: list[Path] = []

    def on_event(_: LocalRun, event: pb.WatchEvent) -> None:
        if event.progress.phase == "map" and event.progress.committed == 3 and not done:
            done.extend(outputs_of(job, 1))
            DAMAGE[damage](done[0])
            (tmp_path / "go").touch()

    summary = job.go(on_event)
    assert job.counts(summary) == Counter(job.text.split())
    assert summary.ledger.records_read == 201
    assert [len(outputs_of(job, index)) for index in range(4)] == [
        1, 2 if damage != "deleted" else 1, 1, 1,
    ]  # fmt: skip
    commits = sorted(path.name for path in (job.store / f"runs/{job.run}/commit").iterdir())
    assert commits == [
        "map-0", "map-1", "map-1.1", "map-2", "map-3", "reduce-0", "reduce-1",
    ]  # fmt: skip
    (told,) = [line for line in job.log_lines() if "runs again" in line]
    assert told.startswith("map-1 runs again, its stored output is damaged: reduce-")
    job.assert_nothing_left()


def test_S6_every_map_damaged_at_once_is_made_again(tmp_path: Path) -> None:
    job = held_job(tmp_path)
    job.options = {"max_attempts": 2}
    done: list[Path] = []

    def on_event(_: LocalRun, event: pb.WatchEvent) -> None:
        if event.progress.phase == "map" and event.progress.committed == 3 and not done:
            done.extend(path for index in range(3) for path in outputs_of(job, index))
            for path in done:
                path.unlink()
            (tmp_path / "go").touch()

    summary = job.go(on_event)
    assert job.counts(summary) == Counter(job.text.split())
    assert len([line for line in job.log_lines() if "runs again" in line]) == 3


def test_S6_persistent_damage_ends_with_exit_3_and_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that flips a bit of each output of map-1, whoever writes it."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(textwrap.dedent(DISK.format(task="map-1")))
    monkeypatch.setenv("PYTHONPATH", str(site))
    job = Job(tmp_path, word_count())
    with pytest.raises(EnvironmentFailed) as caught:
        job.go()
    assert caught.value.exit_code == 3
    assert "the output of map-1 was stored 4 times and found damaged each time" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(outputs_of(job, 1)) == 4
    assert [len(outputs_of(job, index)) for index in (0, 2, 3)] == [1, 1, 1]
    assert not (job.store / f"outputs/{job.run}/_SUCCESS").exists()
    job.assert_nothing_left()
