"""Mappers and reducers of batches: the bytes of the plain ones, whatever way the pairs take."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gomr_runtime as gomr
from gomr_runtime.errors import JobFailed, RecordFailed, UsageError
from gomr_runtime.testing import Result, run_local
from gomr_runtime.user_code.program import program_of

pytestmark = pytest.mark.usefixtures("engine")

WORDS = ["a", "b", "tab\there", "é", "\U0001f600", "long" * 40, "back\\slash"]


def plain_mapper(ctx: gomr.Context, line: str) -> None:
    for word in line.split("|"):
        ctx.emit(word, 1)


def arrow_mapper(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
    ctx.emit_batch(pc.split_pattern(batch["line"], "|").flatten(), 1)


def polars_mapper(ctx: gomr.Context, batch: pl.DataFrame) -> None:
    words = batch.select(
        pl.col("line").str.split("|").explode().alias("key"), pl.lit(1).alias("value")
    )
    ctx.emit_batch(words)


def add(ctx: gomr.Context, key: str, values: list[int]) -> None:
    ctx.emit(key, sum(values))


def add_arrow(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
    sums = pa.table(batch).group_by("key").aggregate([("value", "sum")]).sort_by("key")
    ctx.emit_batch(sums["key"], sums["value_sum"])


def add_polars(ctx: gomr.Context, batch: pl.DataFrame) -> None:
    ctx.emit_batch(batch.group_by("key", maintain_order=True).agg(pl.col("value").sum()))


def job(mapper: Any, reducer: Any, **fields: Any) -> gomr.MapReduceConfig:
    given_input = gomr.lines if mapper is plain_mapper else gomr.batches(gomr.lines)
    return gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=given_input, **fields)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map("|".join), max_size=40),
    st.integers(1, 3),
    st.integers(1, 9),
)
def test_batches_give_the_bytes_and_books_of_single_records(
    lines: list[str], reducers: int, mappers: int
) -> None:
    text = "".join(f"{line}\n" for line in lines)
    plain = run_local(job(plain_mapper, add), text, mappers=1, reducers=reducers)
    assert dict(plain.pairs) == Counter(word for line in lines for word in line.split("|"))
    for mapper in (arrow_mapper, polars_mapper):
        for reducer in (add, add_arrow, add_polars, gomr.sum, gomr.count):
            found = run_local(job(mapper, reducer), text, mappers=mappers, reducers=reducers)
            assert found.parts == plain.parts
            for field in ("records_read", "bytes_read", "mapped", "map_out", "reduce_groups"):
                assert getattr(found.ledger, field) == getattr(plain.ledger, field)
    combined = job(arrow_mapper, add_arrow, combiner=add)
    assert run_local(combined, text, mappers=mappers, reducers=reducers).parts == plain.parts


COLUMNS: dict[str, tuple[pa.Array, list[Any]]] = {
    "int8": (pa.array([3, -1, 3, 0], pa.int8()), [3, -1, 3, 0]),
    "uint64": (pa.array([2**64 - 1, 1, 1, 0], pa.uint64()), [2**64 - 1, 1, 1, 0]),
    "float32": (pa.array([0.5, -0.0, 0.0, 2.5], pa.float32()), [0.5, -0.0, 0.0, 2.5]),
    "bool": (pa.array([True, False, True, True]), [True, False, True, True]),
    "string": (pa.array(["b", "", "a\0", "b"]), ["b", "", "a\0", "b"]),
    "large string": (pa.array(["b", "", "é", "b"], pa.large_string()), ["b", "", "é", "b"]),
    "view": (pa.array(["b", "", "x" * 30, "b"], pa.string_view()), ["b", "", "x" * 30, "b"]),
    "dictionary": (pa.array(["b", "", "é", "b"]).dictionary_encode(), ["b", "", "é", "b"]),
    "binary": (pa.array([b"\xff", b"", b"a", b"a"]), [b"\xff", b"", b"a", b"a"]),
    "fixed": (pa.array([b"ab", b"cd"] * 2, pa.binary(2)), [b"ab", b"cd"] * 2),
    "nulls": (pa.array([None, 7, None, -(2**63)]), [None, 7, None, -(2**63)]),
    "sliced": (pa.array(["x", "p", "q", "p", "r", "y"]).slice(1, 4), ["p", "q", "p", "r"]),
    "struct": (
        pa.array([{"a": 1, "b": "x"}, {"a": 1, "b": None}, None, {"a": 1, "b": "x"}]),
        [(1, "x"), (1, None), None, (1, "x")],
    ),
}
VALUES: dict[str, tuple[Any, list[Any]]] = {
    "lists": (pa.array([[1], [], None, [2, 3]]), [[1], [], None, [2, 3]]),
    "structs": (pa.array([{"a": 1}] * 4), [{"a": 1}] * 4),
    "one": (5, [5] * 4),
    "none": (None, [None] * 4),
    "text": ("t\tx", ["t\tx"] * 4),
    "big": (2**70, [2**70] * 4),
    "container": ((1, [2]), [(1, [2])] * 4),
    "chunked": (pa.chunked_array([["a"], ["b", "c"], ["d"]]), ["a", "b", "c", "d"]),
    "float": (pa.array([0.5, float("inf"), -0.0, 1e300]), [0.5, float("inf"), -0.0, 1e300]),
    **{name: both for name, both in COLUMNS.items() if name != "struct"},
}


def emitted(emit: Callable[[gomr.Context], None], reducer: Any) -> Result:
    """Of a job with two records, for each of which `emit` is called."""

    def mapper(ctx: gomr.Context, line: str) -> None:
        del line
        emit(ctx)

    config = gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines)
    return run_local(config, "1\n2\n", mappers=1)


def gather(ctx: gomr.Context, key: Any, values: list[Any]) -> None:
    ctx.emit(key, values)


CROSSED = [(keys, "int8") for keys in COLUMNS] + [("string", values) for values in VALUES]


@pytest.mark.parametrize(("keys", "values"), CROSSED)
def test_a_column_is_what_its_cells_are_one_by_one(keys: str, values: str) -> None:
    column, cells = COLUMNS[keys]
    given_values, value_cells = VALUES[values]

    def one_by_one(ctx: gomr.Context) -> None:
        for key, value in zip(cells, value_cells, strict=True):
            ctx.emit(key, value)

    def mixed_ways(ctx: gomr.Context) -> None:
        one_by_one(ctx)
        ctx.emit_batch(column, given_values)

    def twice(ctx: gomr.Context) -> None:
        one_by_one(ctx)
        one_by_one(ctx)

    for reducer in (gather, gomr.identity, None):
        expected = emitted(one_by_one, reducer)
        found = emitted(lambda ctx: ctx.emit_batch(column, given_values), reducer)
        assert found.parts == expected.parts
        assert found.ledger == expected.ledger
        mixed = emitted(mixed_ways, reducer)
        assert mixed.parts == emitted(twice, reducer).parts


@pytest.mark.parametrize(
    "cells", [[2**62] * 4, [2**62, -5, 2**62, 7], [0.1, 0.2, 0.3, 1e16]], ids=str
)
def test_sums_beyond_64_bits_and_floats_stay_right(cells: list[Any]) -> None:
    def one_by_one(ctx: gomr.Context) -> None:
        for value in cells:
            ctx.emit("k", value)

    expected = emitted(one_by_one, gomr.sum)
    found = emitted(lambda ctx: ctx.emit_batch(pa.array(["k"] * 4), pa.array(cells)), gomr.sum)
    assert found.parts == expected.parts


def test_words_of_every_length_are_the_same_words_wherever_they_lie() -> None:
    """At the end of a buffer, where less can be read at once, and as an object."""
    words = ["x" * size + end for size in range(26) for end in ("", "\0", "é")]
    words = [word for word in words if word] * 2

    def emit(ctx: gomr.Context) -> None:
        ctx.emit_batch(pa.array(words), 1)
        for word in words:
            ctx.emit_batch(pa.array([word]), 1)
            ctx.emit(word, 1)
        ctx.emit_batch(pa.array(words[::-1], pa.large_string()), 1)

    assert sorted(emitted(emit, gomr.sum).pairs) == [(word, 16) for word in sorted(set(words))]


def test_series_numpy_arrays_and_tables_are_columns() -> None:
    keys, values = ["a", "b", "a"], [1, 2, 3]
    expected = emitted(lambda ctx: ctx.emit_many(zip(keys, values, strict=True)), gomr.sum)
    frame = pl.DataFrame({"key": keys, "value": values, "other": [0, 0, 0]})
    ways: list[Callable[[gomr.Context], None]] = [
        lambda ctx: ctx.emit_batch(frame),
        lambda ctx: ctx.emit_batch(frame["key"], frame["value"]),
        lambda ctx: ctx.emit_batch(frame["key"], frame["value"].to_numpy()),
        lambda ctx: ctx.emit_batch(frame.to_arrow()),
        lambda ctx: ctx.emit_batch(pa.record_batch({"value": values, "key": keys})),
        lambda ctx: ctx.emit_batch(frame["key"].cast(pl.Categorical), frame["value"]),
    ]
    for way in ways:
        assert emitted(way, gomr.sum).parts == expected.parts


@pytest.mark.parametrize(
    ("given_keys", "given_values", "said"),
    [
        (pa.array([1, 2]), pa.array([1]), "2 keys, 1 values"),
        ([1, 2], 1, "keys are an Arrow array, a Polars series or a NumPy array, not list"),
        (pa.array([1.0, float("nan")]), 1, "a key may not be NaN"),
        (pa.array([[1]]), 1, "columns of type list<item: int64> are no keys"),
        (pa.array([1], pa.timestamp("s")), 1, "columns of type timestamp[s] are no keys: cast to"),
        (pa.array(["a"]), pa.array([1], pa.date32()), "type date32[day] are no values"),
        (pa.array([b"\xff"]).view(pa.string()), 1, "utf-8"),
        (pa.record_batch({"key": [1], "valeu": [1]}), ..., "has no column 'value', only key"),
        (7, ..., "expected a record batch, table or frame, or keys and values, got int"),
    ],
)
def test_what_cannot_be_emitted_names_the_record(
    given_keys: Any, given_values: Any, said: str
) -> None:
    def mapper(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
        if pc.any(pc.equal(batch["line"], "bad")).as_py():
            ctx.emit_batch(given_keys, given_values)

    config = job(mapper, gather)
    with pytest.raises(
        RecordFailed, match=r"input, record at byte 5 \(record 2 of map-0\)"
    ) as info:
        run_local(config, "a\nbb\nbad\nc\n", mappers=1)
    assert said in str(info.value)


def fragile(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
    ctx.counter("records").add(batch.num_rows)
    numbers = batch["line"].cast(pa.int64())
    ctx.emit_batch(pc.bit_wise_and(numbers, 3), numbers)


def fragile_plain(ctx: gomr.Context, line: str) -> None:
    ctx.emit(int(line) & 3, int(line))


def test_bad_records_are_set_aside_alone() -> None:
    text = "".join(f"{i}\n" if i % 40 else "x\n" for i in range(200))
    skipping = run_local(job(fragile, gather), text, mappers=3, skip_bad_records=9)
    plain = gomr.MapReduceConfig(mapper=fragile_plain, reducer=gather, input=gomr.lines)
    expected = run_local(plain, text, mappers=3, skip_bad_records=9)
    assert skipping.parts == expected.parts
    assert skipping.ledger == expected.ledger
    assert [(bad.source, bad.offset, bad.record) for bad in skipping.bad_records] == [
        (bad.source, bad.offset, bad.record) for bad in expected.bad_records
    ]
    assert skipping.counters == {"records": 200}  # each once, however often it was given
    with pytest.raises(JobFailed, match=r"more than 4 bad records .*: input, offset 0: "):
        run_local(job(fragile, gather), text, mappers=3, skip_bad_records=4)


def test_a_batch_that_fails_as_a_whole_says_so() -> None:
    def mapper(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
        del ctx
        if batch.num_rows > 2:
            raise ValueError("too many")

    with pytest.raises(
        RecordFailed,
        match="input, a batch of records 0 to 3 of map-0: ValueError: too many; none of them",
    ):
        run_local(job(mapper, gather), "1\n2\n3\n4\n", mappers=1)


def test_the_columns_of_each_format() -> None:
    seen: list[tuple[str, Any]] = []

    def mapper(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
        seen.append((str(batch.schema), batch.to_pylist()))
        ctx.emit(ctx.source, batch.num_rows)

    def rows_of(given_input: Any, content: str | bytes) -> Any:
        seen.clear()
        config = gomr.MapReduceConfig(mapper=mapper, input=given_input)
        run_local(config, content, mappers=1)
        ((schema,), rows) = {schema for schema, _ in seen}, [r for _, rows in seen for r in rows]
        return schema, rows

    assert rows_of(gomr.batches, "a\nb\n") == ("text: string", [{"text": "a\nb\n"}])
    assert rows_of(gomr.batches(gomr.lines), "a\r\n\nb") == (
        "line: string",
        [{"line": "a"}, {"line": ""}, {"line": "b"}],
    )
    assert rows_of(gomr.batches(gomr.raw_bytes), b"\xff") == ("data: binary", [{"data": b"\xff"}])
    assert rows_of(gomr.batches(gomr.whole_file), "x\n") == ("text: string", [{"text": "x\n"}])
    assert rows_of(gomr.batches(gomr.csv), "a,b\n1,x\n2,\n") == (
        "a: string\nb: string",
        [{"a": "1", "b": "x"}, {"a": "2", "b": ""}],
    )
    schema = {"b": pa.float64(), "a": pa.int64(), "c": pa.string()}
    assert rows_of(gomr.batches(gomr.csv, schema=schema), "a,b\n1,2.5\n2,\n") == (
        "b: double\na: int64\nc: string",
        [{"b": 2.5, "a": 1, "c": None}, {"b": None, "a": 2, "c": None}],
    )
    lines = "".join(json.dumps(row) + "\n" for row in ({"a": 1, "d": 0}, {"b": 2}))
    assert rows_of(gomr.batches(gomr.jsonl, schema=pa.schema(schema)), lines) == (
        "b: double\na: int64\nc: string",
        [{"b": None, "a": 1, "c": None}, {"b": 2.0, "a": None, "c": None}],
    )


@pytest.mark.parametrize("row", ['{"a": "x"}', '{"a": 1.5}', "[1]", '{"a": 99999999999999999999}'])
def test_a_record_that_does_not_fit_the_schema_is_a_bad_record(row: str) -> None:
    def mapper(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
        ctx.emit_batch(batch["a"], 1)

    given_input = gomr.batches(gomr.jsonl, schema={"a": pa.int64()})
    config = gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=given_input)
    text = f'{{"a": 1}}\n{row}\n{{"a": 2}}\n'
    found = run_local(config, text, mappers=1, skip_bad_records=1)
    assert dict(found.pairs) == {1: 1, 2: 1}
    (bad,) = found.bad_records
    assert (bad.offset, bad.record, bad.detail) == (9, 1, "")
    with pytest.raises(RecordFailed, match="record at byte 9"):
        run_local(config, text, mappers=1)


KEYED: list[tuple[list[Any], str]] = [
    ([1, -5, 1, 2**63 - 1], "int64"),
    ([0.5, -1.0, 0.5, 2.0], "double"),
    (["b", "", "b", "é"], "string"),
    ([b"\xff", b"", b"\xff", b"a"], "binary"),
    ([True, False, True, True], "bool"),
    ([None] * 4, "null"),
    ([(1, "x"), (1, "a"), (1, "x"), (2, "")], "struct<0: int64, 1: string>"),
    ([(1, (2,)), (1, (3,)), (0, (2,)), (1, (2,))], "struct<0: int64, 1: struct<0: int64>>"),
]


@pytest.mark.parametrize(("keys", "key_type"), KEYED, ids=lambda v: v if type(v) is str else "")
@pytest.mark.parametrize("large", [False, True])
def test_a_reducer_of_batches_gets_whole_groups_in_order(
    monkeypatch: pytest.MonkeyPatch, keys: list[Any], key_type: str, large: bool
) -> None:
    if large:
        monkeypatch.setattr("gomr_runtime.dataflow.reduce.fan_in.SMALL_ROWS", -1)
        monkeypatch.setattr("gomr_runtime.dataflow.reduce.groups.GIANT_ROWS", 4)
        monkeypatch.setattr("gomr_runtime.dataflow.reduce.native_merge.WINDOW_ROWS", 2)
        monkeypatch.setattr("gomr_runtime.dataflow.reduce.groups.WINDOW_ROWS", 2)
    types: set[str] = set()

    def mapper(ctx: gomr.Context, line: str) -> None:
        for i, key in enumerate(keys):
            ctx.emit(key, int(line) * 10 + i)

    def reducer(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
        types.add(str(batch.schema.field("key").type))
        ends = pc.run_end_encode(batch["value"])  # a column like any other
        assert len(ends) == batch.num_rows
        ctx.emit_batch(batch)

    config: dict[str, Any] = {"mapper": mapper, "input": gomr.lines}
    text = "".join(f"{i}\n" for i in range(9))
    expected = run_local(gomr.MapReduceConfig(reducer=gomr.identity, **config), text)
    found = run_local(gomr.MapReduceConfig(reducer=reducer, **config), text)
    assert found.parts == expected.parts
    assert found.ledger == expected.ledger
    assert types == {key_type}


def test_a_group_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.fan_in.SMALL_ROWS", -1)
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.groups.GIANT_ROWS", 5)
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.native_merge.WINDOW_ROWS", 4)

    def reducer(ctx: gomr.Context, batch: pl.DataFrame) -> None:
        for (key,), some in batch.group_by("key", maintain_order=True):
            ctx.emit(key, len(some))

    lines = [f"k{i}|" * i for i in range(1, 30)]
    text = "".join(line[:-1] + "\n" for line in lines)
    found = run_local(job(arrow_mapper, reducer), text, mappers=4, reducers=2)
    assert dict(found.pairs) == {f"k{i}": i for i in range(1, 30)}


def test_a_group_beyond_the_memory_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.fan_in.SMALL_ROWS", -1)
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.groups.GIANT_ROWS", 5)
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.native_merge.WINDOW_ROWS", 4)
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.fan_in.CURSOR_BYTES", 1)
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.fan_in.FRAME_COPIES", 0)
    monkeypatch.setattr("gomr_runtime.dataflow.stages.budget_of", lambda memory: 4_000)
    with pytest.raises(RecordFailed, match=r"reduce-\d, key 'many': its values need more than"):
        run_local(job(arrow_mapper, add_arrow), "many|" * 2_000 + "few\n")


def test_what_a_reducer_of_batches_does_wrong_names_its_keys() -> None:
    def broken(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
        del ctx
        raise RuntimeError(f"{batch.num_rows} rows")

    def emits_nan(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
        ctx.emit_batch(pa.repeat(float("nan"), batch.num_rows), 1)

    with pytest.raises(RecordFailed, match="reduce-0, keys 'a' to 'b': RuntimeError: 3 rows"):
        run_local(job(arrow_mapper, broken), "a|b|c|a\n", mappers=1, reducers=1)
    with pytest.raises(RecordFailed, match="reduce-0, keys 'a' to 'b': a key may not be NaN"):
        run_local(job(arrow_mapper, emits_nan), "a|b|c|a\n", mappers=1, reducers=1)


def test_values_of_several_types_are_refused_by_name() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit("k", [1] if line == "a" else "text")

    config = gomr.MapReduceConfig(mapper=mapper, reducer=add_arrow, input=gomr.lines)
    with pytest.raises(RecordFailed, match=r"values of types list, str are no column; emit one"):
        run_local(config, "a\nb\n", reducers=1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"input": gomr.batches(gomr.jsonl)}, "name the columns and their types"),
        ({"input": gomr.batches(gomr.lines, schema={})}, "its one column is a 'line'"),
        ({"combiner": add_arrow}, "the combiner takes"),
        ({"sort_values": True}, "takes no sort_values"),
        ({"mapper": lambda batch: None}, r"the mapper takes \(ctx, batch\), not 1 parameter"),
        ({"reducer": lambda ctx, batch: None}, "annotates its batch as pyarrow.RecordBatch or"),
    ],
)
def test_what_does_not_go_together_is_refused_at_once(fields: dict[str, Any], said: str) -> None:
    given_fields = {
        "mapper": arrow_mapper,
        "reducer": add_arrow,
        "input": gomr.batches(gomr.lines),
        **fields,
    }
    with pytest.raises(UsageError, match=said):
        program_of(gomr.MapReduceConfig(**given_fields), b"", "worker.py")


def test_total_order_user_partitioners_and_map_only_jobs() -> None:
    chance = [f"{(i * 7919) % 1000:03}" for i in range(300)]
    text = "".join(f"{word}\n" for word in chance)
    for fields in (
        {"partitioner": gomr.total_order},
        {"partitioner": lambda key, n: int(key) % n},
    ):
        expected = run_local(job(plain_mapper, add, **fields), text, mappers=3)
        found = run_local(job(arrow_mapper, add_arrow, **fields), text, mappers=4)
        assert found.parts == expected.parts
    formats: tuple[Any, ...] = ("text", "jsonl", "csv", "parquet")
    for output_format in formats:
        expected = run_local(job(plain_mapper, None), text, output_format=output_format)
        found = run_local(job(arrow_mapper, None), text, output_format=output_format)
        assert found.parts == expected.parts
