"""Bad records by the thousand: a file with all of them, ten lines, linear work."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import gomr_runtime as gomr
from gomr_runtime.dataflow import stages
from gomr_runtime.dataflow.map.set_aside import read_set_aside
from gomr_runtime.dataflow.pairs.pair_batch import check_pairs
from gomr_runtime.errors import JobFailed
from gomr_runtime.master.core.books import Books
from gomr_runtime.master.core.plan import Manifest
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.inputs.files import FileRange
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.monitor import SLOTS
from gomr_runtime.model.summary import Summary
from gomr_runtime.model.task import BadRecord, Ledger, TaskResult, TaskSpec
from gomr_runtime.runs.progress import summary_text
from gomr_runtime.storage.inputs.files import resolve
from gomr_runtime.storage.local_blobs import LocalBlobs
from gomr_runtime.testing import Result, run_local
from gomr_runtime.user_code.program import program_of

pytestmark = pytest.mark.usefixtures("engine")


def strict(ctx: gomr.Context, record: Any) -> None:
    ctx.emit(int(record if isinstance(record, str) else record["n"]), 1)


def job(**fields: Any) -> gomr.MapReduceConfig:
    given: dict[str, Any] = {"mapper": strict, "reducer": gomr.sum, "input": gomr.lines} | fields
    return gomr.MapReduceConfig(**given)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Every line of the files of bad records, in the order of the tasks."""
    found: list[dict[str, Any]] = []

    def reading(data: bytes) -> list[BadRecord]:
        found.extend(json.loads(line) for line in data.splitlines())
        return read_set_aside(data)

    monkeypatch.setattr("gomr_runtime.testing.read_set_aside", reading)
    return found


TEXT = b"1\nzwei\n3\n\xff\xfe\nf\xc3\xbcnf\r\n6\nsieben"
BAD = [(2, "zwei"), (9, {"$bytes": base64.b64encode(b"\xff\xfe").decode()}), (12, "fünf")]


@pytest.mark.parametrize("mappers", [1, 3])
@pytest.mark.parametrize("packed", [False, True])
def test_each_record_is_kept_as_it_was(
    files: list[dict[str, Any]], mappers: int, packed: bool
) -> None:
    text = gzip.compress(TEXT) if packed else TEXT
    result = run_local(job(), text, mappers=mappers, skip_bad_records=9)
    assert sorted(result.pairs) == [(1, 1), (3, 1), (6, 1)]
    expected = [*BAD, (21, "sieben")]
    assert [(line["offset"], line["record"]) for line in files] == expected
    assert files[0]["source"] == "input"
    assert files[0]["cause"].startswith("ValueError: invalid literal")
    assert "in strict" in files[0]["detail"]
    assert [bad.offset for bad in result.bad_records] == [offset for offset, _ in expected]
    assert result.ledger.set_aside == 4


def test_rows_of_csv_with_newlines_in_quotes(files: list[dict[str, Any]]) -> None:
    text = 'n,t\n1,a\n"x\ny",b\r\n2,c\n3\n'
    run_local(job(input=gomr.csv()), text, skip_bad_records=9)
    assert [(line["offset"], line["record"]) for line in files] == [(8, '"x\ny",b'), (21, "3")]


def test_lines_of_json(files: list[dict[str, Any]]) -> None:
    run_local(job(input=gomr.jsonl), '{"n": 1}\n\n{"n": "x"}\n{n}\n', skip_bad_records=9)
    assert [(line["offset"], line["record"]) for line in files] == [(10, '{"n": "x"}'), (21, "{n}")]


def bad_pairs(ctx: gomr.Context, line: str) -> None:
    ctx.emit(line, 1)
    ctx.emit(line, {1} if line.startswith("x") else 1)


def linear_work(mapper: Any, text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Result, int]:
    """The result, and how many pairs were looked at."""
    checked = [0]

    def counting(keys: list[Any], *rest: Any) -> Any:
        checked[0] += len(keys)
        return check_pairs(keys, *rest)

    def again(*_: Any, **__: Any) -> int:
        raise AssertionError("the block is read again for a bad record")

    monkeypatch.setattr("gomr_runtime.dataflow.stages.check_pairs", counting)
    monkeypatch.setattr("gomr_runtime.dataflow.stages.offset_of_record", again)
    return run_local(job(mapper=mapper), text, mappers=1, skip_bad_records=10**6), checked[0]


@pytest.mark.parametrize("mapper", [strict, bad_pairs])
def test_no_block_is_read_again_and_no_pair_is_looked_at_often(
    mapper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 2_000
    text = "".join(f"x{n}\n7\n" for n in range(count))
    result, checked = linear_work(mapper, text, monkeypatch)
    assert result.ledger.set_aside == len(result.bad_records) == count
    assert [bad.offset for bad in result.bad_records[:3]] == [0, 5, 10]
    pairs = 4 * count if mapper is bad_pairs else count
    assert result.ledger.map_out == pairs // 2 if mapper is bad_pairs else pairs
    assert checked < 20 * pairs, "of the order of n log n"


def test_a_task_tells_of_ten_and_keeps_no_more_in_memory(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("x\n" * 1_000)
    (tmp_path / "scratch").mkdir()
    [file] = resolve([str(tmp_path / "input")])
    spec = JobSpec("r", (file,), 1, 1, 1, "", "w.py", skip_bad_records=10**6)
    task = TaskSpec("r", "map", 0, 1, "n", (FileRange(0, 0, 0, file.size),))
    blobs = LocalBlobs(lambda key: None)
    program = program_of(job(), b"", "w.py")
    scratch, monitor = tmp_path / "scratch", [0] * SLOTS
    result = stages.map_shuffled(task, spec, program, blobs, scratch, monitor)
    assert len(result.bad_records) == 10
    assert result.ledger.set_aside == 1_000
    [bad] = [file for file in result.files if file.role == "bad"]
    assert (bad.records, len(Path(bad.path).read_bytes().splitlines())) == (1_000, 1_000)


def result_of(task: int, count: int) -> Manifest:
    bad = tuple(BadRecord("f", task * 100 + n, n, "no") for n in range(min(count, 10)))
    result = TaskResult((), Ledger(set_aside=count), bad_records=bad)
    return Manifest(1, AttemptId(TaskId("map", task), 1), "n", result)


def test_a_master_keeps_the_first_ten_of_all_tasks() -> None:
    books = Books(JobSpec("r", (), 1, 1, 1, "", "w.py", skip_bad_records=10**6))
    for task in reversed(range(50)):
        books.enter(result_of(task, 4))
    first = [bad.offset for bad in books.totals().bad_records]
    assert first == [0, 1, 2, 3, 100, 101, 102, 103, 200, 201]
    held = [bad for manifest in books.committed.values() for bad in manifest.result.bad_records]
    assert held == []


def test_one_too_many_names_the_first_three() -> None:
    books = Books(JobSpec("r", (), 1, 1, 1, "", "w.py", skip_bad_records=5))
    books.enter(result_of(1, 2))
    error = books.too_many_bad(result_of(2, 4).result, TaskId("map", 2))
    assert isinstance(error, JobFailed)
    assert "more than 5 bad records" in str(error)
    assert error.detail.splitlines() == [
        "f, offset 100: no", "f, offset 101: no", "f, offset 200: no",
    ]  # fmt: skip
    assert error.failure.record is not None
    assert (error.failure.record.source, error.failure.record.offset) == ("f", 100)


@pytest.mark.parametrize(("count", "lines"), [(0, 0), (3, 3), (10, 10), (11, 10), (50_000, 10)])
def test_the_summary_has_ten_lines_at_most(count: int, lines: int) -> None:
    bad = tuple(BadRecord("f", n, n, "no") for n in range(min(count, 10)))
    summary = Summary("r", "succeeded", ledger=Ledger(set_aside=count), bad_records=bad)
    told = [line for line in summary_text(summary, "out").splitlines() if "set aside  " in line]
    assert len(told) == lines
    if count > 10:
        assert told[-1] == f"set aside  {count - 9:,} more; all are in out/_bad"
