"""Whole groups as columns: what a reducer of batches, and the built-in reducers, are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gomr_runtime.dataflow import columns
from gomr_runtime.dataflow.frames import user_keys
from gomr_runtime.dataflow.groups import Window
from gomr_runtime.dataflow.keys import Kind
from gomr_runtime.dataflow.merged import Merged
from gomr_runtime.dataflow.small import column_kind
from gomr_runtime.dataflow.values import freeze

Starts = npt.NDArray[np.int64]


class NoColumn(ValueError):
    """Keys or values that have no common type; the message says what to do."""


@dataclass(frozen=True, slots=True)
class GroupColumns:
    """Group i has key `keys[i]` and the values from `starts[i]` up to `starts[i + 1]`; both are
    Arrow arrays. value_kind: PACKED where they are of a type that Arrow found."""

    key_kind: Kind
    value_kind: Kind
    keys: Any
    starts: Starts
    values: Any

    @property
    def batch(self) -> pa.RecordBatch:
        """A row for each value, with its key."""
        counts = np.diff(self.starts)
        keys = self.keys
        if len(counts) != len(self.values):
            keys = keys.take(pa.array(np.repeat(np.arange(len(counts)), counts)))
        return pa.record_batch([keys, self.values], ["key", "value"])


def columns_of_merged(window: Merged) -> GroupColumns:
    """The groups of a merge's window."""
    found = window.merge.columns(window.count)
    if found is None:
        lists = window.lists()
        ends = np.cumsum([0, *map(len, lists)])
        return _of_objects(window.kind, window.keys(), ends, [v for some in lists for v in some])
    kind, rows, starts, keys, values = found
    return _columns(
        window.kind,
        Kind(kind),
        _keys(window.kind, window.count, memoryview(keys)),
        np.frombuffer(starts, np.uint32).astype(np.int64),
        columns.stored_array(Kind(kind), rows, memoryview(values)),
    )


def columns_of_window(window: Window) -> GroupColumns:
    """The same of a window of Python objects."""
    keys = user_keys(window.kind, window.keys)
    return _of_objects(window.kind, keys, np.array(window.starts), window.values)


def columns_of_list(kind: Kind, key: Any, values: list[Any]) -> GroupColumns:
    """One group; `key` as it was emitted."""
    return _of_objects(kind, [key], np.array([0, len(values)]), values)


def _of_objects(kind: Kind, keys: list[Any], starts: Any, values: list[Any]) -> GroupColumns:
    cells = [freeze(value) for value in values]
    value_kind = column_kind(cells)
    column = columns.cells_array(value_kind, cells)
    return _columns(kind, value_kind, _key_objects(kind, keys), starts.astype(np.int64), column)


def _columns(
    key_kind: Kind, value_kind: Kind, keys: Any, starts: Starts, values: Any
) -> GroupColumns:
    if value_kind is Kind.PACKED:
        segment = columns.Segment(Kind.NONE, value_kind, values, values)
        values = _inferred(columns.python_values(segment), "values")
    else:
        values = _typed(value_kind, values)
    return GroupColumns(key_kind, value_kind, keys, starts, values)


def _keys(kind: Kind, count: int, raw: memoryview) -> Any:
    column = columns.stored_array(kind, count, raw)
    if kind in (Kind.TUPLE, Kind.NEGATIVE_BIG, Kind.POSITIVE_BIG):
        return _key_objects(kind, user_keys(kind, column.to_pylist()))
    return _typed(kind, column)


def _key_objects(kind: Kind, keys: list[Any]) -> Any:
    if kind is Kind.TUPLE:
        return _struct(keys)
    if kind in (Kind.NEGATIVE_BIG, Kind.POSITIVE_BIG):
        return _inferred(keys, "keys")
    return _typed(kind, columns.cells_array(kind, keys))


def _struct(tuples: Sequence[tuple[Any, ...]]) -> Any:
    sizes = {len(key) if type(key) is tuple else -1 for key in tuples}
    if len(sizes) != 1 or sizes <= {-1, 0}:
        raise NoColumn("tuples of different lengths are no column; use a reducer of one key")
    fields = [
        _struct(cells) if any(type(cell) is tuple for cell in cells) else _inferred(cells, "keys")
        for cells in map(list, zip(*tuples, strict=True))
    ]
    return pa.StructArray.from_arrays(fields, [str(i) for i in range(len(fields))])


def _typed(kind: Kind, column: Any) -> Any:
    """A column as stored, with the type that the cells have for a person."""
    if kind is Kind.STR:
        return column.view(pa.string())
    if kind is Kind.BOOL:
        return column.cast(pa.bool_())
    return pa.nulls(len(column)) if kind is Kind.NONE else column


def _inferred(cells: list[Any], what: str) -> Any:
    if len({type(cell) for cell in cells} - {type(None)}) > 1:
        named = sorted({type(cell).__name__ for cell in cells})
        raise NoColumn(f"{what} of types {', '.join(named)} are no column; emit one type")
    try:
        return pa.array(cells)
    except (pa.ArrowException, OverflowError) as error:
        raise NoColumn(f"{what} are no column: {error}; use a reducer of one key") from None
