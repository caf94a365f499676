"""Parquet parts that get their types from other parts, with workers and masters that are killed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest

from gomr_runtime.errors import JobFailed
from gomr_runtime.model.summary import Summary
from gomr_runtime.testing import run_local
from tests.process.support.local_runs import HEAD, Job, word_count

FAULTY = Path(__file__).parents[1] / "support" / "faulty_master.py"
OPTIONS = {"mappers": 3, "reducers": 5, "output_format": "parquet", "max_attempts": 1}
TEXT = "a b\nb c\n" * 20
EXPECTED = [{"key": "a", "value": 20}, {"key": "b", "value": 40}, {"key": "c", "value": 20}]
INTS_AND_FLOATS = (
    HEAD
    + """
def mapper(ctx, line):
    ctx.emit(line, 1)

def reducer(ctx, key, values: list[int]):
    ctx.emit(key, {"a": 1, "b": 0.5}.get(key))

if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
"""
)


def check(job: Job, summary: Summary) -> None:
    parts = check_output(job.store / "outputs" / job.run, job.worker)
    assert [part.sha256 for part in summary.parts] == [hashlib.sha256(p).hexdigest() for p in parts]


def check_output(output: Path, worker: Path) -> list[bytes]:
    """The parts, which are what `_SUCCESS` says, one dataset, and those of any other runtime."""
    listed = json.loads((output / "_SUCCESS").read_bytes())["parts"]
    parts = [(output / part["name"]).read_bytes() for part in listed]
    assert [(part["size"], part["sha256"]) for part in listed] == [
        (len(data), hashlib.sha256(data).hexdigest()) for data in parts
    ]
    assert parts == run_local(worker, TEXT, reducers=5, output_format="parquet").parts
    files = sorted(output.glob("*.parquet"))
    read = pa.dataset.dataset([str(file) for file in files], format="parquet").to_table()
    assert sorted(read.to_pylist(), key=lambda row: row["key"]) == EXPECTED
    assert pl.scan_parquet(files).collect().sort("key").to_dicts() == EXPECTED
    return parts


def test_in_one_process_the_parts_are_published_as_success_lists_them(
    tmp_path: Path,
) -> None:
    job = Job(tmp_path, word_count(), TEXT)
    job.spec()
    options = ["--output-format", "parquet", "--reducers", "5", "--output", str(tmp_path / "out")]
    command = [sys.executable, str(job.worker), "--input", str(tmp_path / "input.txt"), *options]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    check_output(tmp_path / "out", job.worker)


@pytest.mark.parametrize("fault", ["", "kill before {}", "kill after {}"])
def test_the_parts_are_one_dataset_whenever_the_master_is_killed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    job = Job(folder, word_count(), TEXT, options=dict(OPTIONS))
    job.spec()
    parts = run_local(job.worker, TEXT, reducers=5, output_format="jsonl").parts
    empty = [i for i, data in enumerate(parts) if not data]
    assert len(empty) > 1
    if fault:
        python = folder / "python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} -P {FAULTY} "$@"\n')
        python.chmod(0o755)
        job.python = str(python)
        monkeypatch.setenv("FAULT", fault.format(f"000001/output-{empty[1]:05}.parquet"))
        monkeypatch.setenv("FAULT_FLAG", str(folder / "flag"))
    summary = job.go()
    assert (folder / "flag").exists() == bool(fault)
    assert summary.lost_workers == 0
    check(job, summary)
    typed = job.store / "runs" / job.run / "data" / "typed"
    epochs = sorted(path.name for path in typed.iterdir())
    assert epochs == (["000001"] if not fault else ["000001", "000002"][-len(epochs) :])
    assert len(list((typed / epochs[-1]).iterdir())) == len(empty)


def test_ints_and_floats_in_two_parts_end_the_run(folder: Path) -> None:
    for reducers in (1, 2, 5):
        options = {**OPTIONS, "reducers": reducers, "max_attempts": 2}
        job = Job(folder, INTS_AND_FLOATS, "a\nb\nc\n", run=f"r{reducers}", options=options)
        with pytest.raises(JobFailed, match=r"holds both float \(.*'b'\) and int \(.*'a'\)"):
            job.go()
        assert not (job.store / "outputs" / job.run / "_SUCCESS").exists()
