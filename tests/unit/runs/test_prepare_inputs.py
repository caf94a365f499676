"""What a run takes as input: its own output and store are none of it, whatever path leads there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from gomr_runtime.errors import UsageError
from gomr_runtime.options.declared import RunOptions
from gomr_runtime.runs.place import this_machine
from gomr_runtime.runs.prepare import prepare

ROOT = Path(__file__).parents[3]
WORKER = """
import gomr_runtime as gomr

def mapper(ctx: gomr.Context, line: str) -> None:
    for word in line.split():
        ctx.emit(word, 1)

if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.lines))
"""
TEXT = "a b\nb c\n"
EXPECTED = {word: str(count) for word, count in Counter(TEXT.split()).items()}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a worker file, and `d` with one text."""
    monkeypatch.chdir(tmp_path)
    Path("worker.py").write_text(WORKER)
    Path("d").mkdir()
    Path("d/a.txt").write_text(TEXT)
    return tmp_path


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "worker.py", "-q", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def rows(output: str) -> dict[str, str]:
    parts = sorted(Path(output).glob("output-*"))
    return dict(line.split("\t") for part in parts for line in part.read_text().splitlines())


def test_a_run_whose_output_lies_in_its_input_gives_the_same_again() -> None:
    for again in ([], ["--overwrite"], ["--overwrite"]):
        done = command("--input", "d", "--output", "d/out", *again)
        assert (done.returncode, done.stderr) == (0, "")
        assert rows("d/out") == EXPECTED
    done = command("--input", "d", "--output", "d/other")
    assert done.returncode == 2
    assert "d/out is the output of run" in done.stderr
    assert not Path("d/other").exists()


def test_an_output_is_the_input_of_the_next_run_or_refused() -> None:
    command("--input", "d", "--output", "out", "--reducers", "3")
    for pattern in ("out", "out/*", "out/"):
        done = command("--input", pattern, "--output", "next", "--overwrite")
        assert (done.returncode, done.stderr) == (0, "")
        words = [word for row in EXPECTED.items() for word in row]
        assert rows("next") == {word: str(count) for word, count in Counter(words).items()}
    Path("out/output-00001.txt").unlink()
    done = command("--input", "out", "--output", "other")
    assert done.returncode == 2
    assert done.stderr == (
        "gomr: --input out: out/output-00001.txt is missing, and _SUCCESS beside it lists it\n"
    )


def sources(pattern: str, **options: str) -> list[str]:
    """What a run with a store of its own would read."""
    given = RunOptions(worker="worker.py", input=(pattern,), **options)  # type: ignore[arg-type]
    return [file.source for file in prepare(given, this_machine(given)).job.files]


@pytest.mark.parametrize("store", ["d/store", "./d/store/", "link/store", "d/none/../store"])
def test_the_own_store_is_no_input(store: str) -> None:
    Path("d/store/runs/r").mkdir(parents=True)
    Path("d/store/runs/r/job.json").write_text("{}")
    os.symlink("d", "link")
    assert sources("d", store=store) == ["a.txt"]
    assert sources("d/**", store=store) == ["a.txt"]
    with pytest.raises(UsageError, match="it is the run's own --store"):
        sources("d/store", store=store)
    assert sources("d/store/runs", store=store) == ["r/job.json"]


def test_the_default_store_and_output_are_no_input(here: Path) -> None:
    (here / ".gomr/runs/r").mkdir(parents=True)
    (here / ".gomr/runs/r/job.json").write_text("{}")
    assert sources(".", run_id="r") == ["d/a.txt", "worker.py"]
    command("--input", "d", "--run-id", "r")
    assert sources(".", run_id="r", overwrite=True) == ["d/a.txt", "worker.py"]  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"outputs/r is the output of run r and .*not part of one"):
        sources(".", run_id="other")


def test_an_output_that_does_not_stand_yet_may_be_named_in_any_way() -> None:
    given = RunOptions(worker="worker.py", input=("d",), output="d/missing/../out")
    assert prepare(given).output == Path("d/out").absolute()
