"""The types of columns that are emitted and of those that reducers get: never found in a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import gomr_runtime as gomr
from gomr_runtime.errors import RecordFailed
from gomr_runtime.testing import Result, run_local

pytestmark = pytest.mark.usefixtures("engine")

BIG = 10**15

NO_VALUES = [
    pa.timestamp("s"),
    pa.timestamp("ns", "UTC"),
    pa.date32(),
    pa.time64("us"),
    pa.duration("s"),
    pa.decimal128(5, 2),
    pa.month_day_nano_interval(),
    pa.list_(pa.date32()),
    pa.struct([("a", pa.list_(pa.decimal128(5, 2)))]),
    pa.map_(pa.string(), pa.date32()),
    pa.dictionary(pa.int8(), pa.date32()),
    pa.uuid(),
    pa.struct([("a", pa.int8()), ("a", pa.int8())]),
]
NO_KEYS = [
    *NO_VALUES[:-1],
    pa.list_(pa.int8()),
    pa.map_(pa.string(), pa.int8()),
    pa.list_view(pa.int8()),
]


def emitted(emit: Callable[[gomr.Context], None], reducer: Any = gomr.identity) -> Result:
    def mapper(ctx: gomr.Context, line: str) -> None:
        del line
        emit(ctx)

    config = gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines)
    return run_local(config, "1\n", mappers=1)


@pytest.mark.parametrize(
    ("as_key", "wanted"),
    [*((False, t) for t in NO_VALUES), *((True, t) for t in NO_KEYS)],
    ids=str,
)
def test_a_type_is_refused_whether_or_not_there_are_values(
    as_key: bool, wanted: pa.DataType
) -> None:
    for rows in (0, 2):
        column = pa.nulls(rows, wanted)
        keys, values = (column, 1) if as_key else (pa.nulls(rows), column)
        for given in ((keys, values), (pa.chunked_array([keys], keys.type), values)):
            with pytest.raises(RecordFailed, match=r"columns of type|a field of .* twice"):
                emitted(lambda ctx, given=given: ctx.emit_batch(*given))  # type: ignore[misc]
    if as_key:
        return
    frame = pa.table({"key": pa.nulls(0), "value": pa.nulls(0, wanted)})
    with pytest.raises(RecordFailed, match=r"columns of type|a field of .* twice"):
        emitted(lambda ctx: ctx.emit_batch(frame))


REFUSED_BY_POLARS: list[Any] = [
    *(pl.Datetime, pl.Date, pl.Time, pl.Duration),
    *(pl.Decimal(10, 2), pl.List(pl.Date)),
]
TAKEN_FROM_POLARS: list[Any] = [
    *(pl.Null, pl.Categorical, pl.Enum(["a"]), pl.UInt8, pl.Float32, pl.Binary),
]


@pytest.mark.parametrize("dtype", REFUSED_BY_POLARS, ids=str)
def test_frames_of_polars_are_refused_by_type_too(dtype: Any) -> None:
    frame = pl.DataFrame({"key": [], "value": []}, schema={"key": pl.String, "value": dtype})
    with pytest.raises(RecordFailed, match="columns of type"):
        emitted(lambda ctx: ctx.emit_batch(frame))


@pytest.mark.parametrize("dtype", TAKEN_FROM_POLARS, ids=str)
def test_nulls_in_frames_of_polars_are_none(dtype: Any) -> None:
    schema: dict[str, Any] = {"key": pl.String, "value": dtype}
    frame = pl.DataFrame({"key": ["k"], "value": [None]}, schema=schema)
    assert emitted(lambda ctx: ctx.emit_batch(frame)).pairs == [("k", None)]


KEPT: dict[str, tuple[Any, list[Any]]] = {
    "objects": (np.array([BIG, 2.5, True, None, "a"], object), [BIG, 2.5, True, None, "a"]),
    "strings": (np.array(["a", "bc", ""]), ["a", "bc", ""]),
    "numpy strings": (np.array(["a", "bc"], np.dtypes.StringDType()), ["a", "bc"]),
    "half floats": (pa.array([0.5, None], pa.float16()), [0.5, None]),
    "numpy half floats": (np.array([0.5, 2.0], np.float16), [0.5, 2.0]),
    "null in a dictionary": (
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array(["a", None])),
        ["a", None, "a"],
    ),
    "dictionary of views": (
        pa.array([b"a", b"b"], pa.binary_view()).dictionary_encode(),
        [b"a", b"b"],
    ),
    "runs": (pc.run_end_encode(pa.array([7, 7, None])), [7, 7, None]),
    "a masked array": (np.ma.array([1, 2], mask=[True, False]), [None, 2]),
    "nulls": (pa.nulls(2), [None, None]),
    "nulls of a type": (pa.nulls(2, pa.float32()), [None, None]),
}


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("as_key", [False, True])
def test_cells_are_what_they_are_one_by_one(name: str, as_key: bool) -> None:
    column, cells = KEPT[name]

    def by_column(ctx: gomr.Context) -> None:
        ctx.emit_batch(column, np.arange(len(cells))) if as_key else ctx.emit_batch(
            np.arange(len(cells)), column
        )

    def by_cell(ctx: gomr.Context) -> None:
        for i, cell in enumerate(cells):
            ctx.emit(cell, i) if as_key else ctx.emit(i, cell)

    found, expected = emitted(by_column), emitted(by_cell)
    assert found.parts == expected.parts
    assert [*map(repr, found.pairs)] == [*map(repr, expected.pairs)]


def test_objects_need_as_many_values_as_keys() -> None:
    keys = np.array([1, "a"], object)
    assert emitted(lambda ctx: ctx.emit_batch(keys, 5)).ledger.map_out == 2
    with pytest.raises(RecordFailed, match="2 keys, 1 values"):
        emitted(lambda ctx: ctx.emit_batch(keys, np.array([1])))


GROUPS: list[tuple[Any, list[Any], str, str]] = [
    ("a", [1, None], "string", "int64"),
    ("b", [None, None], "string", "null"),
    ("c", [0.5], "string", "double"),
    ("d", [{"a": BIG}, {"b": None}], "string", "struct<a: int64, b: null>"),
    ("e", [{"a": 2.5}], "string", "struct<a: double>"),
    ("f", [[1], [], None], "string", "list<item: int64>"),
    ("g", [(0.5,), (1.5, 2.5)], "string", "list<item: double>"),
    ("h", [2**64 - 1, 1], "string", "uint64"),
    ("i", ["x", ""], "string", "string"),
    (
        "j",
        [[{"a": [None]}], [{"a": [b"x"]}]],
        "string",
        "list<item: struct<a: list<item: binary>>>",
    ),
    ("k", [{}], "string", "struct<>"),
    ((1, "x"), [1], "struct<0: int64, 1: string>", "int64"),
    ((1, 2.5), [1], "struct<0: int64, 1: double>", "int64"),
    ((1, None), [1, True][:1], "struct<0: int64, 1: null>", "int64"),
    ((1,), [1], "struct<0: int64>", "int64"),
    ((2**63, (True,)), ["x"], "struct<0: uint64, 1: struct<0: bool>>", "string"),
    (2**63, [1], "uint64", "int64"),
]


@pytest.mark.parametrize("window", [1, 2, 1000])
@pytest.mark.parametrize("mappers", [1, 3])
def test_a_group_has_its_own_types_whatever_is_in_its_window(
    monkeypatch: pytest.MonkeyPatch, window: int, mappers: int
) -> None:
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.fan_in.SMALL_ROWS", -1)
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.native_merge.WINDOW_ROWS", window)
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.groups.WINDOW_ROWS", window)
    types: dict[Any, tuple[str, str]] = {}

    def mapper(ctx: gomr.Context, line: str) -> None:
        for key, values, *_ in GROUPS:
            if int(line) < len(values):
                ctx.emit(key, values[int(line)])

    def reducer(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
        names = tuple(str(batch.schema.field(name).type) for name in ("key", "value"))
        for key, value in zip(*batch.to_pydict().values(), strict=True):
            plain = _tuples(key)
            types[plain] = (names[0], names[1])
            ctx.emit(plain, value)

    config = gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines)
    found = run_local(config, "0\n1\n2\n", mappers=mappers, reducers=1)
    assert types == {key: (key_type, value_type) for key, _, key_type, value_type in GROUPS}
    assert found.ledger.reduce_out == sum(len(values) for _, values, *_ in GROUPS)
    assert dict(found.pairs)["d"] == {"a": None, "b": None}
    assert ("d", {"a": BIG, "b": None}) in found.pairs


def _tuples(key: Any) -> Any:
    return tuple(map(_tuples, key.values())) if isinstance(key, dict) else key


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, 0.5], "values of types float, int are no column"),
        ([{"a": 1}, {"a": 0.5}], "values of types float, int are no column"),
        ([[1], [True]], "values of types bool, int are no column"),
        ([{"a": 1}, [1]], "values of types dict, list are no column"),
        ([2**64], "values with ints beyond 64 bits are no column"),
        ([2**63, -1], "values with ints beyond 64 bits are no column"),
    ],
    ids=str,
)
@pytest.mark.parametrize("window", [1, 1000])
def test_a_group_of_several_types_is_refused_by_its_key(
    monkeypatch: pytest.MonkeyPatch, values: list[Any], said: str, window: int
) -> None:
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.fan_in.SMALL_ROWS", -1)
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.native_merge.WINDOW_ROWS", window)
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.groups.WINDOW_ROWS", window)
    seen: list[Any] = []

    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit(line, 1)
        for value in values if line == "b" else ():
            ctx.emit("bad", value)

    def reducer(ctx: gomr.Context, batch: pl.DataFrame) -> None:
        del ctx
        seen.extend(batch["key"])

    config = gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines)
    with pytest.raises(RecordFailed, match=f"reduce-0, key 'bad': {said}"):
        run_local(config, "a\nb\nc\n", mappers=1, reducers=1)
    assert seen == ["a", "b"]


def test_keys_that_are_no_column_are_named() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit((1, 2**70) if line == "b" else (1, 2), 1)

    def reducer(ctx: gomr.Context, batch: pa.RecordBatch) -> None:
        ctx.emit_batch(batch)

    config = gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines)
    with pytest.raises(RecordFailed, match=r"key \(1, 118\d+\): keys with ints beyond 64 bits"):
        run_local(config, "a\nb\n", reducers=1)
