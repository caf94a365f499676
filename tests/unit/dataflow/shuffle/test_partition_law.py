"""Every group of a reduce task is in the partition that its key's partitioner gives."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gomr_runtime.api import aggregates, formats
from gomr_runtime.api.config import MapReduceConfig
from gomr_runtime.api.context import Context
from gomr_runtime.dataflow.shuffle.partitioner import UserPartitioner
from gomr_runtime.errors import RecordFailed
from tests.unit.support.dataflow_job import Job, Limits, Outcome

pytestmark = pytest.mark.usefixtures("engine")

SMALL = Limits(small_rows=4, frame_rows=3, drain_pairs=3, budget=200, widest=2, giant_rows=2)
WORDS = ["to", "be", "or", "not", "is", "the", "question", "whether", "it", "nobler", "mind", "in"]


def words(ctx: Context, line: str) -> None:
    ctx.emit(WORDS[int(line) % len(WORDS)], 1)
    ctx.emit("every", 1)


def listed(ctx: Context, key: str, values: list[int]) -> None:
    ctx.emit(key, sum(values))


def streamed(ctx: Context, key: str, values: Iterator[int]) -> None:
    ctx.emit(key, sum(values))


def columns(ctx: Context, batch: pa.RecordBatch) -> None:
    for group in batch.to_pylist():
        ctx.emit(group["key"], sum(group["values"]))


def by_length(key: Any, n: int) -> int:
    return len(str(key)) % n


def run(folder: Path, records: int = 60, **fields: Any) -> Outcome:
    settings = {n: fields.pop(n) for n in ("limits", "mappers", "reducers") if n in fields}
    config = MapReduceConfig(**{"input": formats.lines, "mapper": words, **fields})
    return Job(folder, config, records, **settings).run()


class Disagreeing:
    """Answers as a partitioner that depends on what one process alone has: right for as long as
    the map tasks run."""

    def __init__(self) -> None:
        self.shift = 0

    def __call__(self, key: Any, n: int) -> int:
        return (len(str(key)) + self.shift) % n


REDUCERS: list[Any] = [
    listed,
    streamed,
    columns,
    aggregates.sum,
    aggregates.count,
    aggregates.identity,
    aggregates.max,
    aggregates.top(2),
    aggregates.distinct,
]


@pytest.mark.parametrize(
    "limits", [Limits(), SMALL, Limits(small_rows=1)], ids=["", "small", "merged"]
)
@pytest.mark.parametrize(
    ("reducer", "combiner"),
    [
        *((reducer, None) for reducer in REDUCERS),
        (listed, listed),
        (aggregates.sum, aggregates.sum),
    ],
    ids=lambda given: getattr(given, "__name__", str(given)),
)
def test_a_key_in_another_partition_ends_the_run(
    tmp_path: Path, limits: Limits, reducer: Any, combiner: Any
) -> None:
    partitioner = Disagreeing()
    config = MapReduceConfig(
        mapper=words,
        reducer=reducer,
        combiner=combiner,
        partitioner=partitioner,
        input=formats.lines,
    )
    job = Job(tmp_path, config, 60, mappers=2, reducers=3, limits=limits)
    outcome = Outcome()
    with limits.applied():
        for index in range(2):
            job.task("map", index, outcome)
        partitioner.shift = 1
        with pytest.raises(RecordFailed) as failed:
            job.reduce(outcome)
    message = str(failed.value)
    assert message.startswith("reduce-0, key '")
    key = message.split("'")[1]
    wrong = (len(key) + 1) % 3
    assert f"partitioner(key, 3) gives {wrong}, but gave 0 in a map task: derive" in message
    assert "\n" not in message


@pytest.mark.parametrize("sorting", [{"sort_values": True}, {"sort_key": lambda v: -v}])
@pytest.mark.parametrize(
    "reducer", [listed, streamed, aggregates.identity], ids=["list", "iterator", "identity"]
)
def test_it_holds_for_sorted_values_and_giant_keys(
    tmp_path: Path, sorting: dict[str, Any], reducer: Any
) -> None:
    partitioner = Disagreeing()
    config = MapReduceConfig(
        mapper=words, reducer=reducer, partitioner=partitioner, input=formats.lines, **sorting
    )
    job = Job(tmp_path, config, 60, reducers=2, limits=SMALL)
    outcome = Outcome()
    with SMALL.applied():
        job.task("map", 0, outcome)
        partitioner.shift = 1
        with pytest.raises(RecordFailed, match=r"reduce-0, key '.*but gave 0 in a map task"):
            job.reduce(outcome)


@pytest.mark.parametrize(
    "limits", [Limits(), SMALL, Limits(small_rows=1)], ids=["", "small", "merged"]
)
@pytest.mark.parametrize("reducers", [1, 2, 5])
def test_a_partitioner_that_holds_to_it_changes_nothing_but_the_parts(
    tmp_path: Path, limits: Limits, reducers: int
) -> None:
    got = run(
        tmp_path, reducer=listed, partitioner=by_length, mappers=3, reducers=reducers, limits=limits
    )
    expected = Counter(WORDS[i % len(WORDS)] for i in range(60)) + Counter(every=60)
    for index, part in enumerate(got.parts):
        mine = sorted(key for key in expected if by_length(key, reducers) == index)
        assert part.decode() == "".join(f"{key}\t{expected[key]}\n" for key in mine)


_drawn = random.Random(5)
_calls = itertools.count()
_seen: list[str] = []


def _grows(key: Any, n: int) -> int:
    """As module state that the tasks change."""
    if key not in _seen:
        _seen.append(key)
    return len(_seen) % n


@pytest.mark.parametrize("limits", [Limits(), SMALL], ids=["plain", "small"])
@pytest.mark.parametrize(
    "partitioner",
    [
        lambda key, n: _drawn.randrange(n),
        lambda key, n: next(_calls) % n,
        lambda key, n: time.perf_counter_ns() // 100 % n,
        lambda key, n: id(key) // 16 % 7919 % n,
        _grows,
    ],
    ids=["random", "count", "time", "id", "state"],
)
def test_answers_that_change_from_call_to_call_are_found(
    tmp_path: Path, limits: Limits, partitioner: Any
) -> None:
    _seen.clear()
    with pytest.raises(RecordFailed, match=r"reduce-\d, key '.* gives \d, but gave \d"):
        run(tmp_path, reducer=listed, partitioner=partitioner, mappers=2, reducers=3, limits=limits)


def test_one_key_is_asked_for_often(tmp_path: Path) -> None:
    """With few keys an answer that is drawn may be right once."""
    drawn = random.Random(1)
    for attempt in range(10):
        with pytest.raises(RecordFailed, match="but gave"):
            run(
                tmp_path / str(attempt),
                mapper=lambda ctx, line: ctx.emit("only", 1),
                reducer=listed,
                partitioner=lambda key, n: drawn.randrange(n),
                mappers=2,
                reducers=2,
            )


ANSWERS: list[tuple[Any, str]] = [
    (-1, "returned -1: return an int from 0 to"),
    (7, "returned 7: return"),
    (None, "returned None: return"),
    (True, r"returned True \(bool\): return"),
    (0.0, r"returned 0.0 \(float\): return"),
    ("0", r"returned '0' \(str\): return"),
    (np.int64(0), r"returned .*0.* \(int64\): return"),
    ([0], r"returned \[0\] \(list\): return"),
]


@pytest.mark.parametrize("reducers", [1, 3])
@pytest.mark.parametrize(
    "limits", [Limits(), SMALL, Limits(small_rows=1)], ids=["", "small", "merged"]
)
@pytest.mark.parametrize(("answer", "says"), ANSWERS, ids=[repr(a) for a, _ in ANSWERS])
def test_an_answer_that_is_none_is_refused_with_one_reducer_too(
    tmp_path: Path, limits: Limits, reducers: int, answer: Any, says: str
) -> None:
    with pytest.raises(
        RecordFailed, match=rf"map-0, partitioner\('.*', {reducers}\) {says}"
    ) as failed:
        run(
            tmp_path,
            reducer=listed,
            partitioner=lambda key, n: answer,
            reducers=reducers,
            limits=limits,
        )
    assert f'File "{__file__}", line' in failed.value.detail


class _Cancelled(BaseException):
    """As asyncio's."""


@pytest.mark.parametrize("raised", [LookupError, SystemExit, _Cancelled])
@pytest.mark.parametrize("reducers", [1, 3])
def test_one_that_raises_is_named(tmp_path: Path, raised: Any, reducers: int) -> None:
    def partitioner(key: Any, n: int) -> int:
        raise raised("no place")

    with pytest.raises(RecordFailed, match=r"map-0, partitioner\('.*no place") as failed:
        run(tmp_path, reducer=listed, partitioner=partitioner, reducers=reducers)
    assert "raise raised" in failed.value.detail


def test_jobs_without_one_of_the_users_are_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(UserPartitioner, "ask", lambda self, key: asked.append(key))
    assert run(tmp_path, reducer=listed, reducers=3).parts
    assert asked == []
