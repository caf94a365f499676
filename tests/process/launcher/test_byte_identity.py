"""Equal bytes from one process and from any number of local workers and map tasks."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gomr_runtime as gomr
from gomr_runtime.testing import run_local

TEXT = Path(__file__).parents[3] / "examples" / "wordcount" / "input.txt"
PLAIN = """
import gomr_runtime as gomr


def mapper(ctx: gomr.Context, chunk: str) -> None:
    for word in chunk.lower().split():
        ctx.emit(word, 1)


def add(ctx: gomr.Context, key: str, values: list[int]) -> None:
    ctx.emit(key, sum(values))


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=add{combiner}))
"""
COMBINERS = {"none": "", "own": ", combiner=add", "sum": ", combiner=gomr.sum"}


def worker_file(folder: Path, combiner: str) -> Path:
    path = folder / f"worker_{combiner}.py"
    path.write_text(PLAIN.replace("{combiner}", COMBINERS[combiner]), encoding="utf-8")
    return path


def run(worker: Path, output: Path, *arguments: str) -> dict[str, str]:
    """sha256 by part name, as `_SUCCESS` has it and as the parts are."""
    command = [sys.executable, str(worker), "-q", "--input", str(TEXT), "--reducers", "3"]
    done = subprocess.run(
        [*command, "--output", str(output), *arguments],
        cwd=output.parent,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    success = json.loads((output / "_SUCCESS").read_bytes())
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in output.glob("output-*")}
    assert found == {part["name"]: part["sha256"] for part in success["parts"]}
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of one process, one map task and no combiner."""
    folder = tmp_path_factory.mktemp("plain")
    found = run(worker_file(folder, "none"), folder / "out", "--mappers", "1")
    assert len(found) == len(set(found.values())) == 3
    return found


@pytest.mark.parametrize("combiner", COMBINERS)
@pytest.mark.parametrize(("workers", "mappers"), [(1, 1), (2, 7), (5, 40)])
def test_local_workers_write_the_bytes_of_one_process(
    tmp_path: Path, expected: dict[str, str], combiner: str, workers: int, mappers: int
) -> None:
    arguments = ["--workers", str(workers), "--mappers", str(mappers)]
    assert run(worker_file(tmp_path, combiner), tmp_path / "out", *arguments) == expected


BATCHES = """
import pyarrow as pa
import pyarrow.compute as pc

import gomr_runtime as gomr


def mapper(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
    words = pc.utf8_split_whitespace(pc.utf8_lower(batch["text"])).flatten()
    ctx.emit_batch(words.filter(pc.not_equal(words, "")), 1)


def reducer(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
    sums = pa.table(batch).group_by("key").aggregate([("value", "sum")]).sort_by("key")
    ctx.emit_batch(sums["key"], sums["value_sum"])


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, input=gomr.batches, {rest}))
"""


@pytest.mark.parametrize("rest", ["reducer=reducer", "reducer=gomr.sum", "reducer=gomr.count"])
@pytest.mark.parametrize("arguments", [(), ("--workers", "2", "--mappers", "7")])
@pytest.mark.parametrize("pure", ["0", "1"])
def test_batches_write_the_bytes_of_single_records(
    tmp_path: Path, expected: dict[str, str], rest: str, arguments: tuple[str, ...], pure: str
) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(BATCHES.replace("{rest}", rest), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOMR_PURE", pure)
        assert run(worker, tmp_path / "out", *arguments) == expected


def add(ctx: gomr.Context, key: str, values: list[int]) -> None:
    ctx.emit(key, sum(values))


def mapper(ctx: gomr.Context, chunk: str) -> None:
    for word in chunk.lower().split():
        ctx.emit(word, 1)


@pytest.mark.parametrize("combiner", [None, add, gomr.sum])
def test_every_mapper_count_from_1_to_40_in_one_process(
    expected: dict[str, str], combiner: Any
) -> None:
    config = gomr.MapReduceConfig(mapper=mapper, reducer=add, combiner=combiner)
    for mappers in range(1, 41):
        parts = run_local(config, TEXT, mappers=mappers, reducers=3).parts
        assert [hashlib.sha256(part).hexdigest() for part in parts] == [
            expected[name] for name in sorted(expected)
        ]
