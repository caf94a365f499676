"""Keys and values around every size at which the engine does something else, and far beyond it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gomr_runtime.api import aggregates
from gomr_runtime.api.config import total_order
from gomr_runtime.api.context import Context
from gomr_runtime.dataflow.pairs.keys import Kind
from gomr_runtime.dataflow.pairs.pair_batch import Batch
from gomr_runtime.dataflow.reduce import group_columns, int_groups, value_order
from gomr_runtime.dataflow.reduce.value_order import ValueSorter
from gomr_runtime.dataflow.shuffle import gather
from gomr_runtime.dataflow.shuffle.gather import Gatherer, RunWriter
from gomr_runtime.dataflow.shuffle.partitioner import HashPartitioner
from gomr_runtime.errors import RecordFailed
from tests.unit.support.dataflow_job import Job, Limits, Pair, config_of

pytestmark = [pytest.mark.usefixtures("engine"), pytest.mark.timeout(120)]

FRAME, WINDOW, GIANT, BUDGET = 400, 1_000, 4_000, 7_000
LIMITS = Limits(
    small_rows=0,
    frame_rows=7,
    frame_bytes=FRAME,
    window_bytes=WINDOW,
    giant_rows=9,
    giant_bytes=GIANT,
    budget=BUDGET,
    widest=3,
)
CONSTANTS = (FRAME, WINDOW, GIANT, BUDGET)
SIZES = [size + more for size in CONSTANTS for more in (-17, -16, -8, -4, -1, 0, 1, 4, 17)]
FEW = [size + more for size in CONSTANTS for more in (-16, -1, 0, 1)]

Records = Sequence[Sequence[Pair]]
Expected = Callable[[list[Any]], list[Any]]


def listed(ctx: Context, key: Any, values: list[Any]) -> None:
    ctx.emit(len(key), values)


def streamed(ctx: Context, key: Any, values: Iterator[Any]) -> None:
    ctx.emit(len(key), list(values))


def first_streamed(ctx: Context, key: Any, values: Iterator[Any]) -> None:
    ctx.emit(len(key), [next(values)])  # and leaves the others


def joined(ctx: Context, key: Any, values: list[Any]) -> None:
    ctx.emit(key, "".join(values))


def counted_rows(ctx: Context, batch: pa.RecordBatch) -> None:
    ctx.emit("rows", batch.num_rows)


def run(records: Records, **fields: Any) -> str:
    names = ("mappers", "reducers", "limits", "output_format")
    settings: dict[str, Any] = {name: fields.pop(name) for name in names if name in fields}
    settings.setdefault("limits", LIMITS)
    with tempfile.TemporaryDirectory() as folder:
        return Job(Path(folder), config_of(records, **fields), len(records), **settings).run().text


def grouped(records: Records) -> list[tuple[Any, list[Any]]]:
    """The oracle: every key in order with its values as they were emitted."""
    found: dict[Any, list[Any]] = {}
    for record in records:
        for key, value in record:
            found.setdefault(key, []).append(value)
    return sorted(found.items())


def lines(pairs: list[Pair]) -> str:
    return "".join(f"{key}\t{str(value).replace(' ', '')}\n" for key, value in pairs)


def around(key: str, value: Any, times: int) -> Records:
    """The key some times in each of two records, with small keys before and behind it."""
    return [[("a", value), *[(key, value)] * times, ("z", value)]] * 2


@pytest.mark.parametrize("letter", ["k", "z"], ids=["between small ones", "last"])
def test_keys_of_any_size(letter: str) -> None:
    for size in SIZES:
        records = around(letter * size, 1, 4 if size % 2 else 1)
        groups = grouped(records)
        assert run(records, reducer=listed) == lines([(len(k), v) for k, v in groups]), size
        assert run(records, reducer=aggregates.sum) == lines([(k, sum(v)) for k, v in groups])


@pytest.mark.parametrize("reducer", [streamed, first_streamed])
def test_streams_of_keys_of_any_size(reducer: Any) -> None:
    most = 1 if reducer is first_streamed else 99
    for size in FEW:
        records = around("k" * size, 1, 7)
        expected = lines([(len(k), v[:most]) for k, v in grouped(records)])
        assert run(records, reducer=reducer, mappers=2) == expected, size


def test_values_of_any_size() -> None:
    for size in SIZES:
        records = around("k", "v" * size, 4 if size % 2 else 1)
        groups = grouped(records)
        expected = "".join(f"{key}\t{''.join(values)}\n" for key, values in groups)
        assert run(records, reducer=joined) == expected, size
        assert run(records, reducer=joined, combiner=joined, mappers=2) == expected, size
        rows = [(key, value) for key, values in groups for value in values]
        assert run(records, reducer=aggregates.identity) == lines(rows), size


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        (aggregates.identity, lambda values: values),
        (aggregates.count, lambda values: [len(values)]),
        (aggregates.max, lambda values: [max(values)]),
        (aggregates.top(3), lambda values: sorted(values, reverse=True)[:3]),
        (aggregates.distinct, lambda values: sorted(set(values))),
    ],
)
def test_built_ins_with_keys_of_any_size(
    aggregate: aggregates.Aggregate, expected: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int_groups, "MOST_KEYS", 3_000)
    for size in FEW:
        records = [[("k" * size, n % 4) for n in range(6)], [("b", 2), ("k" * size, 7), ("z", 1)]]
        rows = [(key, value) for key, values in grouped(records) for value in expected(values)]
        assert run(records, reducer=aggregate, mappers=2) == lines(rows), size
        got = run(records, reducer=aggregate, output_format="csv")
        assert got.splitlines()[1:] == [f"{key},{value}" for key, value in rows], size


@pytest.mark.parametrize("kind", ["bytes", "tuple", "big int"])
def test_huge_keys_of_every_kind(kind: str) -> None:
    def key_of(size: int, letter: int) -> Any:
        if kind == "bytes":
            return bytes([letter]) * size
        return ("x" * size, letter) if kind == "tuple" else 2 ** (8 * size) + letter

    def counted(ctx: Context, key: Any, values: Iterator[Any]) -> None:
        ctx.emit(key[-1] if kind != "big int" else key & 255, len(list(values)))

    for size in FEW:
        keys = [key_of(size, letter) for letter in (65, 66, 67)]
        records: Records = [[(key, 0) for key in keys] * 4] * 2
        assert run(records, reducer=counted) == "65\t8\n66\t8\n67\t8\n", size


def test_every_run_has_one_huge_key() -> None:
    for size in FEW:
        for same in (True, False):
            keys = ["k" * size + (chr(65 + n) if not same else "") for n in range(12)]
            records = [[(key, n)] for n, key in enumerate(keys)]
            limits = Limits(
                small_rows=0, budget=1, widest=3, window_bytes=WINDOW, giant_bytes=GIANT
            )
            expected = lines([(len(k), v) for k, v in grouped(records)])
            assert run(records, reducer=listed, limits=limits, mappers=3) == expected, size


def test_a_total_order_of_huge_keys() -> None:
    for size in FEW:
        records = [[("k" * size + chr(65 + n % 5), n)] for n in range(20)]
        for reducers in (1, 3):
            got = run(
                records,
                reducer=aggregates.identity,
                partitioner=total_order,
                mappers=2,
                reducers=reducers,
            )
            assert got == lines([(k, v) for k, values in grouped(records) for v in values]), size


def test_sorted_values_of_any_size() -> None:
    for size in FEW:
        values = [chr(90 - n % 9) * size for n in range(15)]
        records = [[("k", value), ("b", value)] for value in values]
        for reducer in (listed, streamed):
            got = run(records, reducer=reducer, sort_values=True)
            shown = str(sorted(values)).replace("'", '"')
            assert got == lines([(1, shown), (1, shown)]), size


def test_the_constants_themselves_leave_room_for_a_huge_key() -> None:
    """The sizes at which a reduce once took no more rows: beyond a giant's bytes, and beyond a
    window's with a giant's bytes of values."""
    huge, large = "k" * ((8 << 20) + 1), "l" * ((2 << 20) + 1)
    records: Records = [[(huge, 1)], [(large, "v" * (1 << 20))] * 9, [("m", 1), (huge, 2)]]

    def sizes(ctx: Context, key: str, values: list[Any]) -> None:
        ctx.emit(key[0], [value if type(value) is int else len(value) for value in values])

    got = run(records, reducer=sizes, limits=Limits())
    assert got == lines([("k", [1, 2]), ("l", [1 << 20] * 9), ("m", [1])])


# A huge key that many pairs share is in memory once, and must not be copied for each of them.


def test_a_batch_of_pairs_that_share_a_huge_key_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "LARGE_BYTES", (100_000, 200_000))
    weights: list[int] = []
    add = Gatherer._add_columns
    with (tmp_path / "map").open("wb") as file:
        gatherer = Gatherer(RunWriter(file, HashPartitioner(1)), 1)

        def seen(self: Gatherer, batches: list[Batch]) -> None:
            weights.extend(sum(map(len, batch.keys)) for batch in batches)
            add(self, batches)

        monkeypatch.setattr(Gatherer, "_add_columns", seen)
        gatherer.add(Batch(Kind.STR, ["k" * 30_000] * 100, list(range(100))))
        gatherer.spill()
    assert sum(weights) == 3_000_000
    assert max(weights) <= 100_000


def test_a_cell_that_no_column_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "LARGE_BYTES", (1_000, 2_000))
    monkeypatch.setattr(gather, "MOST_CELL", 9_999)
    with (tmp_path / "map").open("wb") as file:
        gatherer = Gatherer(RunWriter(file, HashPartitioner(1)), 1)
        gatherer.add(Batch(Kind.STR, ["k" * 9_999], [1]))
        for key, value in (("é" * 5_000, 1), ("k", b"v" * 10_000)):
            with pytest.raises(RecordFailed, match=r"of 10,000 bytes was emitted, and at most"):
                gatherer.add(Batch(Kind.STR, [key], [value]))


def test_batches_in_which_a_huge_key_would_come_too_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_columns, "MOST_KEYS", 50_000)
    fitting, too_many = ([[("k" * 5_000, n) for n in range(times)]] for times in (10, 11))
    limits = Limits(small_rows=0)
    assert run(fitting, reducer=counted_rows, limits=limits) == "rows\t10\n"
    with pytest.raises(RecordFailed, match=r"11 rows with keys of .* are too many for a batch"):
        run(too_many, reducer=counted_rows, limits=limits)


def test_files_of_huge_sorted_values_are_merged_a_few_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each one frame is in memory, and that of a huge value is huge."""
    monkeypatch.setattr(value_order, "RUN_COST", 1)
    budget, size = 100_000, 10_000
    sorter = ValueSorter(None, tmp_path, budget, lambda: None)
    widths: list[int] = []
    merged = ValueSorter._merged

    def seen(self: ValueSorter, files: list[Any]) -> Iterator[Any]:
        widths.append(sum(file.run.largest for file in files))
        return merged(self, files)

    monkeypatch.setattr(ValueSorter, "_merged", seen)
    monkeypatch.setattr(value_order, "FRAME_BYTES", size)
    values = [chr(65 + n % 26) * size for n in range(120)]
    found = sorter.sort((values[n : n + 1], size) for n in range(len(values)))
    assert list(found) == sorted(values)
    assert len(widths) > 1
    assert max(widths) <= budget
