"""One type a column in all parts of a job, and what no part of a format can hold."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gomr_runtime as gomr
from gomr_runtime.dataflow.output.parquet_part import retyped
from gomr_runtime.errors import JobFailed, RecordFailed, UsageError
from gomr_runtime.testing import Pair, Result, run_local

pytestmark = pytest.mark.usefixtures("engine")

Format = Literal["text", "jsonl", "csv", "parquet"]
ARROW: dict[type, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bytes: pa.binary(),
    bool: pa.bool_(),
    type(None): pa.null(),
}


def job(
    pairs: list[Pair], output_format: Format, *, map_only: bool = False, **options: Any
) -> Result:
    """A job whose part i, or whose map task, holds the pairs whose first item is i."""
    if map_only:

        def mapper(ctx: gomr.Context, line: str) -> None:
            ctx.emit(*pairs[int(line)][1])

        config = gomr.MapReduceConfig(mapper=mapper, input=gomr.lines)
    else:

        def spread(ctx: gomr.Context, line: str) -> None:
            ctx.emit(int(line), 0)

        def reducer(ctx: gomr.Context, key: int, values: list[int]) -> None:
            del values
            ctx.emit(*pairs[key][1])

        config = gomr.MapReduceConfig(
            mapper=spread,
            reducer=reducer,
            input=gomr.lines,
            partitioner=lambda key, n: pairs[key][0] % n,
        )
    text = "".join(f"{i:04}\n" for i in range(len(pairs)))
    return run_local(config, text, output_format=output_format, **options)


def rows(parts: list[bytes]) -> list[dict[str, Any]]:
    return [row for part in parts for row in pq.read_table(io.BytesIO(part)).to_pylist()]


def assert_one_dataset(folder: Path, parts: list[bytes]) -> None:
    """pyarrow and Polars read the directory as one, and find what the parts hold."""
    for i, part in enumerate(parts):
        (folder / f"output-{i:05}.parquet").write_bytes(part)
    expected = rows(parts)
    assert pa.dataset.dataset(folder, format="parquet").to_table().to_pylist() == expected
    scanned = pl.scan_parquet(folder / "*.parquet").collect()
    assert scanned.to_dicts() == expected
    schemas = {pq.read_schema(io.BytesIO(part)).to_string() for part in parts}
    assert len(schemas) == 1


@pytest.mark.parametrize("map_only", [False, True])
@pytest.mark.parametrize("value", [7, 0.5, "x", b"\xff", True, None], ids=str)
def test_parts_without_rows_or_with_nothing_but_none_have_the_types_of_the_others(
    tmp_path: Path, value: Any, map_only: bool
) -> None:
    pairs: list[Pair] = [(0, ("a", value)), (1, ("b", None)), (2, (None, None)), (2, (None, value))]
    result = job(pairs, "parquet", map_only=map_only, mappers=5, reducers=5)
    assert_one_dataset(tmp_path, result.parts)
    schema = pq.read_schema(io.BytesIO(result.parts[-1]))
    assert schema.equals(pa.schema([("key", pa.string()), ("value", ARROW[type(value)])]))
    assert rows(result.parts) == [{"key": k, "value": v} for _, (k, v) in pairs]
    assert result.ledger.reduce_out == 4


MIXED = [(1, 0.5), (True, 1), ("x", b"x")]


@pytest.mark.parametrize("output_format", ["csv", "parquet"])
@pytest.mark.parametrize(("first", "second"), MIXED, ids=str)
@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("map_only", [False, True])
@pytest.mark.parametrize("title", ["key", "value"])
def test_two_types_are_refused_in_whichever_parts_they_are(
    output_format: Format, first: Any, second: Any, parts: int, map_only: bool, title: str
) -> None:
    cells = (first, second) if parts > 1 else (second, first)
    pairs: list[Pair] = [
        (i % parts, (cell, 1) if title == "key" else (f"k{i}", cell))
        for i, cell in enumerate([None, cells[0], None, cells[1]])
    ]
    names = sorted(type(cell).__name__ for cell in cells)
    with pytest.raises(JobFailed) as info:
        job(pairs, output_format, mappers=parts, reducers=parts, map_only=map_only)
    said = rf"column {title} holds both {names[0]} \(.*\) and {names[1]} \(.*\); emit one type"
    assert re.search(said, str(info.value))
    for _, pair in (pairs[1], pairs[3]):
        assert f"key {pair[0]!r}" in str(info.value)
    if parts > 1:
        assert re.search(r"output-0000[0-4]\.", str(info.value))


def test_what_no_column_can_hold_names_the_users_line() -> None:
    for output_format in ("csv", "parquet"):
        for pair in (("a", [1]), ("a", (1,)), ("a", {"b": 1}), (("a",), 1)):
            with pytest.raises(RecordFailed, match=r"reduce-\d, key 0: .*cannot be a") as info:
                job([(0, pair)], output_format)
            assert "ctx.emit(*pairs[key][1])" in info.value.detail
            with pytest.raises(RecordFailed, match=r"record at byte 0 .*cannot be a") as info:
                job([(0, pair)], output_format, map_only=True)
            assert "ctx.emit(*pairs[int(line)][1])" in info.value.detail


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**100])
def test_an_int_beyond_64_bits_fits_csv_and_not_parquet(number: int) -> None:
    (part,) = job([(0, (number, number))], "csv", reducers=1).parts
    assert part.decode() == f"key,value\r\n{number},{number}\r\n"
    for pair, title in (((number, 1), "key"), ((1, number), "value")):
        with pytest.raises(RecordFailed, match=f"{title} cannot be an int beyond 64 bits") as info:
            job([(0, pair)], "parquet", reducers=1)
        assert "ctx.emit(" in info.value.detail


def test_a_sum_beyond_64_bits_is_refused_by_its_key() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit(line, 2**62)

    config = gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.lines)
    with pytest.raises(RecordFailed, match=r"reduce-0, key 'b': .*cannot be an int beyond 64 bits"):
        run_local(config, "a\nb\nb\nc\n", output_format="parquet", reducers=1)


NO_JSON: list[Pair] = [
    *(("k", math.nan), ("k", math.inf), ("k", [1, (-math.inf,)]), ("k", {"a": [math.nan]})),
    *((math.inf, 1), ((1, (math.inf,)), 1)),
]


@pytest.mark.parametrize("pair", NO_JSON, ids=str)
def test_what_json_cannot_hold_names_the_users_line(pair: Pair) -> None:
    with pytest.raises(RecordFailed, match=r"reduce-0, key 0: .*cannot hold NaN or an inf") as info:
        job([(0, pair)], "jsonl", reducers=1)
    assert "ctx.emit(*pairs[key][1])" in info.value.detail


def test_what_the_engine_emits_itself_is_refused_too() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit(line, math.inf)

    config = gomr.MapReduceConfig(mapper=mapper, reducer=gomr.max, input=gomr.lines)
    with pytest.raises(RecordFailed, match=r"reduce-0, key 'a': .*cannot hold NaN or an infinity"):
        run_local(config, "a\n", output_format="jsonl", reducers=1)


def test_it_fails_at_the_first_such_pair_not_after_the_rest() -> None:
    seen: list[str] = []

    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit(line, 1)

    def reducer(ctx: gomr.Context, key: str, values: list[int]) -> None:
        seen.append(key)
        ctx.emit(key, values if key == "k001" else 1)

    config = gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines)
    text = "".join(f"k{i:03}\n" for i in range(100))
    for output_format in ("csv", "parquet"):
        seen.clear()
        with pytest.raises(RecordFailed, match="key 'k001'"):
            run_local(config, text, output_format=output_format, reducers=1)
        assert seen == ["k000", "k001"]


@pytest.mark.parametrize("output_format", ["csv", "parquet"])
@pytest.mark.parametrize("mappers", [1, 2, 5])
def test_bad_records_are_those_whose_own_values_have_no_place(
    output_format: Format, mappers: int
) -> None:
    """A record that is set aside does not give its column a type."""
    lines = ["[1]", "0.5, [2]", "3", "4, (5,)", "6"]

    def mapper(ctx: gomr.Context, line: str) -> None:
        for number, text in enumerate(re.split(", ?(?![^(]*\\))", line)):
            ctx.emit(f"{line} {number}", json.loads(text) if "(" not in text else (5,))

    config = gomr.MapReduceConfig(mapper=mapper, input=gomr.lines)
    text = "".join(f"{line}\n" for line in lines)
    found = run_local(
        config, text, output_format=output_format, mappers=mappers, skip_bad_records=3
    )
    assert found.pairs == [("3 0", 3), ("6 0", 6)]
    assert [bad.offset for bad in found.bad_records] == [0, 4, 15]
    with pytest.raises(JobFailed, match=r"holds both float .* and int"):
        run_local(
            config,
            text + "0.5\n",
            output_format=output_format,
            mappers=mappers,
            skip_bad_records=3,
        )


@pytest.mark.parametrize("late", [1, 0.5, "x", b"x", True], ids=str)
@pytest.mark.parametrize("rows_of_none", [0, 1, 5, 9, 10, 11, 25])
def test_a_type_that_comes_after_any_number_of_none_makes_the_same_part(
    monkeypatch: pytest.MonkeyPatch, late: Any, rows_of_none: int
) -> None:
    monkeypatch.setattr("gomr_runtime.dataflow.output.parquet_part.GROUP_ROWS", 5)
    many: list[Pair] = [(0, (f"k{i:02}" if i > 12 else None, None)) for i in range(rows_of_none)]
    (part,) = job([*many, (0, ("z", late))], "parquet", reducers=1).parts
    table = pq.read_table(io.BytesIO(part))
    assert table.schema.equals(pa.schema([("key", pa.string()), ("value", ARROW[type(late)])]))
    assert rows([part]) == [
        *({"key": key, "value": value} for _, (key, value) in many),
        {"key": "z", "value": late},
    ]
    with pq.ParquetFile(io.BytesIO(part)) as file:
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    left = rows_of_none + 1
    assert groups == [5] * (left // 5) + [left % 5] * bool(left % 5)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.none()), max_size=12),
    st.sampled_from(["int", "float", "str", "bytes", "bool"]),
)
def test_a_part_written_again_is_the_part_written_so_from_the_start(
    pairs: list[Pair], name: str
) -> None:
    cell = {"int": 1, "float": 0.5, "str": "x", "bytes": b"x", "bool": True}[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gomr_runtime.dataflow.output.parquet_part.GROUP_ROWS", 5)
        here: list[Pair] = [(0, pair) for pair in pairs]
        together = job([*here, (1, ("a", cell))], "parquet", reducers=2)
        (alone,) = job(here, "parquet", reducers=1).parts
    again = b"".join(retyped(io.BytesIO(alone), ["str", name]))
    assert together.parts[0] == again
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gomr_runtime.dataflow.output.parquet_part.REWRITTEN_BYTES", 1)
        in_small_groups = b"".join(retyped(io.BytesIO(alone), ["str", name]))
    expected = [{"key": key, "value": value} for key, value in pairs]
    assert rows([again]) == rows([in_small_groups]) == expected


@pytest.mark.parametrize("output_format", ["csv", "parquet"])
def test_containers_that_a_built_in_passes_on_are_refused_before_the_job(
    output_format: Format,
) -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        raise AssertionError(line)

    def lists(ctx: gomr.Context, key: str, values: list[list]) -> None:  # type: ignore[type-arg]
        ctx.emit(key, max(values))

    def ints(ctx: gomr.Context, key: str, values: list[int]) -> None:
        ctx.emit(key, max(values))

    def run(reducer: Any, combiner: Any, wanted: Format) -> Result:
        config = gomr.MapReduceConfig(mapper=mapper, reducer=reducer, combiner=combiner)
        return run_local(config, "", output_format=wanted)

    for reducer in (gomr.identity, gomr.min, gomr.max, gomr.top(2), gomr.distinct):
        with pytest.raises(UsageError, match=re.escape(f"gomr.{reducer} passes on")):
            run(reducer, lists, output_format)
        assert run(reducer, lists, "jsonl").pairs == []
        assert run(reducer, ints, output_format).pairs == []
    assert run(gomr.count, lists, output_format).pairs == []


def test_bytes_of_csv_are_hexadecimal_and_bools_are_json() -> None:
    (part,) = job([(0, (b"\x00\xff", True)), (0, (b"", False))], "csv", reducers=1).parts
    assert list(csv.reader(io.StringIO(part.decode(), newline=""))) == [
        ["key", "value"],
        ["00ff", "true"],
        ["", "false"],
    ]


def test_a_pair_whose_error_user_code_swallows_fails_its_record() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        for value in (1, [2], 0.5, 3) if line == "b" else (1, 2):
            try:
                ctx.emit(line, value)
            except TypeError:
                ctx.emit(line, -1)

    config = gomr.MapReduceConfig(mapper=mapper, input=gomr.lines)
    text = "a\nb\nc\n"
    with pytest.raises(RecordFailed, match=r"byte 2 .*: a parquet value cannot be a list"):
        run_local(config, text, output_format="parquet", mappers=1)
    found = run_local(config, text, output_format="parquet", mappers=1, skip_bad_records=1)
    assert found.pairs == [("a", 1), ("a", 2), ("c", 1), ("c", 2)]


@pytest.mark.parametrize("output_format", ["csv", "parquet", "jsonl"])
def test_counted_keys_and_columns_are_checked_like_emitted_pairs(output_format: Format) -> None:
    def counting(ctx: gomr.Context, line: str) -> None:
        ctx.count([line, 2 if output_format != "jsonl" else math.inf])

    def columns(ctx: gomr.Context, line: str) -> None:
        ctx.emit_batch(pa.array([line]), pa.array([[1.0, math.inf]]))

    for mapper in (counting, columns):
        config = gomr.MapReduceConfig(mapper=mapper, input=gomr.lines)
        with pytest.raises(RecordFailed, match="record at byte 0") as info:
            run_local(config, "a\n", output_format=output_format)
        assert "ctx." in info.value.detail
