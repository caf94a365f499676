"""Whole groups as columns: what a reducer of batches is given.

The types of a batch are those of its keys and values, and a group decides its own: a batch ends
where the next group has others. So a group has the same types whatever else is in its window,
which depends on how the map tasks were cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gomr_runtime.dataflow.pairs.frames import user_keys
from gomr_runtime.dataflow.pairs.keys import Kind
from gomr_runtime.dataflow.reduce.group_types import NoColumn, type_of, type_of_key
from gomr_runtime.dataflow.reduce.groups import Window
from gomr_runtime.dataflow.reduce.native_merge import Merged
from gomr_runtime.dataflow.shuffle import columns
from gomr_runtime.dataflow.shuffle.lists import column_kind

Starts = npt.NDArray[np.int64]
_OWN_TYPES = (Kind.TUPLE, Kind.NEGATIVE_BIG, Kind.POSITIVE_BIG)
"""Kinds of keys each of which has a type of its own."""
MOST_KEYS = 1 << 30
"""Bytes of keys in a batch, each counted as often as it comes; Arrow takes twice that."""


@dataclass(frozen=True, slots=True)
class GroupColumns:
    """Group i has key `keys[i]` and the values from `starts[i]` up to `starts[i + 1]`; both are
    Arrow arrays."""

    keys: Any
    starts: Starts
    values: Any

    @property
    def batch(self) -> pa.RecordBatch:
        """A row for each value, with its key. NoColumn where that takes too much memory."""
        counts = np.diff(self.starts)
        keys = self.keys
        if len(counts) != len(self.values):
            if (size := _repeated_bytes(keys, counts)) > MOST_KEYS:
                error = NoColumn(
                    f"{len(self.values):,} rows with keys of {size >> 20:,} MiB are too many for a "
                    "batch; use a reducer of one key"
                )
                error.key = keys[int(np.argmax(counts))].as_py()
                raise error
            keys = keys.take(pa.array(np.repeat(np.arange(len(counts)), counts)))
        return pa.record_batch([keys, self.values], ["key", "value"])


def columns_of_merged(window: Merged) -> Iterator[GroupColumns]:
    """The groups of a merge's window, in order."""
    found = window.merge.columns(window.count)
    if found is None:
        lists = window.lists()
        ends = np.cumsum([0, *map(len, lists)])
        yield from _of_objects(
            window.kind, window.keys(), ends, [v for some in lists for v in some]
        )
        return
    kind, rows, starts, keys, values = found
    column = columns.stored_array(Kind(kind), rows, memoryview(values))
    ends = np.frombuffer(starts, np.uint32).astype(np.int64)
    if Kind(kind) is Kind.PACKED:
        segment = columns.Segment(Kind.NONE, Kind.PACKED, column, column)
        yield from _of_objects(window.kind, window.keys(), ends, columns.python_values(segment))
    elif window.kind in _OWN_TYPES:
        yield from _of_arrays(window.kind, window.keys(), ends, _typed(Kind(kind), column))
    else:
        stored = columns.stored_array(window.kind, window.count, memoryview(keys))
        yield GroupColumns(_typed(window.kind, stored), ends, _typed(Kind(kind), column))


def columns_of_window(window: Window) -> Iterator[GroupColumns]:
    """The same of a window of Python objects."""
    keys = user_keys(window.kind, window.keys)
    return _of_objects(window.kind, keys, np.array(window.starts), window.values)


def columns_of_list(kind: Kind, key: Any, values: list[Any]) -> Iterator[GroupColumns]:
    """One group; `key` as it was emitted."""
    return _of_objects(kind, [key], np.array([0, len(values)]), values)


def _of_objects(
    kind: Kind, keys: list[Any], starts: Starts, values: list[Any]
) -> Iterator[GroupColumns]:
    value_kind = column_kind(values)
    if value_kind is not Kind.PACKED:
        column = _typed(value_kind, columns.cells_array(value_kind, values))
        yield from _of_arrays(kind, keys, starts, column)
        return

    def types(i: int) -> tuple[pa.DataType, ...]:
        return _key_type(kind, keys[i]), type_of(values[starts[i] : starts[i + 1]], "values")

    for start, end, (_, value_type) in _runs(keys, types):
        cells = values[starts[start] : starts[end]]
        yield _part(kind, keys, starts, (start, end), pa.array(cells, value_type))


def _of_arrays(kind: Kind, keys: list[Any], starts: Starts, values: Any) -> Iterator[GroupColumns]:
    """Values of one type, whose keys may be of several."""
    for start, end, _ in _runs(keys, lambda i: (_key_type(kind, keys[i]),)):
        some = values.slice(starts[start], starts[end] - starts[start])
        yield _part(kind, keys, starts, (start, end), some)


def _runs(
    keys: list[Any], types_at: Callable[[int], tuple[Any, ...]]
) -> Iterator[tuple[int, int, tuple[Any, ...]]]:
    """(start, end, types) of groups that follow each other and have the same types. What comes
    before a group without a column is given before NoColumn is raised."""
    start, types = 0, None
    for i, key in enumerate(keys):
        try:
            own = types_at(i)
        except NoColumn as error:
            if types is not None:
                yield start, i, types
            error.key = key
            raise
        if types is not None and own != types:
            yield start, i, types
            start = i
        types = own
    if types is not None:
        yield start, len(keys), types


def _part(
    kind: Kind, keys: list[Any], starts: Starts, groups: tuple[int, int], values: Any
) -> GroupColumns:
    start, end = groups
    ends = (starts[start : end + 1] - starts[start]).astype(np.int64)
    return GroupColumns(_key_column(kind, keys[start:end]), ends, values)


def _key_type(kind: Kind, key: Any) -> pa.DataType | None:
    return type_of_key(key) if kind in _OWN_TYPES else None


def _key_column(kind: Kind, keys: list[Any]) -> Any:
    """Keys of one type."""
    if kind in _OWN_TYPES:
        return _cells(keys, type_of_key(keys[0]))
    return _typed(kind, columns.cells_array(kind, keys))


def _repeated_bytes(keys: Any, counts: Starts) -> int:
    """What the keys take, each so many times; of those without a size of their own, nothing."""
    if pa.types.is_struct(keys.type):
        return sum(_repeated_bytes(field, counts) for field in keys.flatten())
    if pa.types.is_string(keys.type) or pa.types.is_binary(keys.type):
        sizes = pc.binary_length(keys).fill_null(0).to_numpy(zero_copy_only=False)
        return int(sizes.astype(np.int64) @ counts)
    return 0


def _cells(cells: Sequence[Any], wanted: pa.DataType) -> Any:
    if not pa.types.is_struct(wanted):
        return pa.array(cells, wanted)
    fields = [wanted.field(i) for i in range(wanted.num_fields)]
    columns_of = zip(fields, zip(*cells, strict=True), strict=True)
    return pa.StructArray.from_arrays(
        [_cells(below, field.type) for field, below in columns_of], fields=fields
    )


def _typed(kind: Kind, column: Any) -> Any:
    """A column as stored, with the type that the cells have for a person."""
    if kind is Kind.STR:
        return column.view(pa.string())
    if kind is Kind.BOOL:
        return column.cast(pa.bool_())
    return pa.nulls(len(column)) if kind is Kind.NONE else column
