"""`ctx.emit_batch`: a pair for each row of two columns.

Columns of the common types go straight into the compiled buffer, where one is bound; all others
become Python objects and go through `ctx.emit_many`, so that both ways check and write the same.
Whether a column may be emitted is a question of its type alone: one of nulls, or without rows, is
refused as one with values is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

from gomr_runtime.api.context import Context
from gomr_runtime.dataflow.pairs.keys import KIND_OF_TYPE, ColumnsRefused, Kind, PairRefused

if TYPE_CHECKING:
    import pyarrow as pa

SLICE_ROWS: Final = 8_192
_NO_VALUES: Final = ...


Column = tuple[int, int, Any, Any, int]
"""An Arrow array without nulls as `gomr_native.Column` has it."""
TakeColumns = Callable[[Column, Column, int, int], int]
"""(keys, values, first row, end) to the first row that was not taken."""


class ColumnEmit:
    """What `ctx.emit_batch` is; `take` is the direct way, where there is one."""

    __slots__ = ("_ctx", "_refuse", "_take")

    def __init__(
        self, ctx: Context, refuse: Callable[[PairRefused], None], take: TakeColumns | None = None
    ) -> None:
        """refuse: raises what is given to it, and remembers that (see `Emitter.refuse`)."""
        self._ctx = ctx
        self._refuse = refuse
        self._take = take

    def __call__(self, keys: Any, values: Any = _NO_VALUES, /) -> None:
        try:
            if values is _NO_VALUES:
                keys, values = _two_columns(keys)
            if _has_objects(keys) or _has_objects(values):
                self._ctx.emit_many(_object_pairs(keys, values))
                return
            for some_keys, some_values in _pairs_of(keys, values):
                self._emit(some_keys, some_values)
        except ColumnsRefused as error:
            self._refuse(error)

    __call__.__qualname__ = "ctx.emit_batch"  # as Python's own errors show it

    def _emit(self, keys: pa.Array, values: Any) -> None:
        rows = len(keys)
        taken = 0
        if self._take is not None:
            plain_keys = column_of(keys)
            plain_values = None if plain_keys is None else _values_of(values, rows)
            if plain_keys is not None and plain_values is not None:
                taken = self._take(plain_keys, plain_values, 0, rows)
        while taken < rows:
            end = min(taken + SLICE_ROWS, rows)
            some = values.slice(taken, end - taken) if _is_array(values) else values
            self._emit_objects(keys.slice(taken, end - taken), some)
            taken = end

    def _emit_objects(self, keys: pa.Array, values: Any) -> None:
        cells = objects(values) if _is_array(values) else repeat(values, len(keys))
        self._ctx.emit_many(zip(objects(keys, as_keys=True), cells, strict=True))


def _pairs_of(keys: Any, values: Any) -> Iterator[tuple[pa.Array, Any]]:
    """Arrays of equal length, or arrays of keys with the one value that all of them have."""
    import pyarrow as pa

    keys = _arrow(keys, "keys")
    if _is_plain(values):
        for chunk in keys.chunks if isinstance(keys, pa.ChunkedArray) else [keys]:
            yield chunk, values
        return
    values = _arrow(values, "values")
    _check_rows(len(keys), len(values))
    if isinstance(keys, pa.Array) and isinstance(values, pa.Array):
        yield keys, values
        return
    for batch in pa.table([keys, values], ["key", "value"]).to_batches():
        yield batch.column(0), batch.column(1)


def _check_rows(keys: int, values: int) -> None:
    if keys != values:
        raise ColumnsRefused(f"ctx.emit_batch: {keys} keys, {values} values")


def _has_objects(column: Any) -> bool:
    """Whether it is a NumPy array of Python objects: Arrow would give all of them one type."""
    return _is_numpy(column) and column.ndim == 1 and column.dtype.kind == "O"


def _object_pairs(keys: Any, values: Any) -> Iterator[tuple[Any, Any]]:
    some_keys = _cells_of(keys, "keys")
    if _is_plain(values):
        return zip(some_keys, repeat(values), strict=False)
    some_values = _cells_of(values, "values")
    _check_rows(len(some_keys), len(some_values))
    return zip(some_keys, some_values, strict=True)


def _cells_of(column: Any, what: str) -> list[Any]:
    import pyarrow as pa

    if _has_objects(column):
        return column.tolist()  # type: ignore[no-any-return]
    array = _arrow(column, what)
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    return [cell for chunk in chunks for cell in objects(chunk, as_keys=what == "keys")]


def _two_columns(batch: Any) -> tuple[Any, Any]:
    import pyarrow as pa

    if not isinstance(batch, pa.Table | pa.RecordBatch):
        if not hasattr(batch, "__arrow_c_stream__") or not hasattr(batch, "columns"):
            raise ColumnsRefused(
                f"ctx.emit_batch: expected a record batch, table or frame, or keys and values, got "
                f"{type(batch).__name__}"
            )
        batch = pa.table(batch)
    if missing := {"key", "value"} - set(batch.schema.names):
        raise ColumnsRefused(
            f"ctx.emit_batch: the batch has no column {min(missing)!r}, only "
            f"{', '.join(batch.schema.names)}: name its columns key and value"
        )
    return batch.column("key"), batch.column("value")


def _arrow(column: Any, what: str) -> Any:
    """The column as an Arrow array, chunked or not, of a type that may be emitted."""
    from gomr_runtime.dataflow.emit.emit_types import check_type

    array = _array(column, what)
    check_type(array.type, what)
    return array


def _array(column: Any, what: str) -> Any:
    import pyarrow as pa

    if isinstance(column, pa.Array | pa.ChunkedArray):
        return column
    if hasattr(column, "__arrow_c_stream__") and not hasattr(column, "columns"):
        return pa.chunked_array(column)
    if hasattr(column, "__arrow_c_array__"):
        return pa.array(column)
    if _is_numpy(column) and column.ndim == 1:
        return pa.array(column)
    raise ColumnsRefused(
        f"ctx.emit_batch: {what} are an Arrow array, a Polars series or a NumPy array, "
        f"not {type(column).__name__}"
    )


def _is_numpy(column: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(column, numpy.ndarray)


def _is_plain(value: Any) -> bool:
    return type(value) in KIND_OF_TYPE or type(value) in (list, dict)


def _is_array(values: Any) -> bool:
    return not _is_plain(values)


def _values_of(values: Any, rows: int) -> Column | None:
    import pyarrow as pa

    if _is_array(values):
        return column_of(values)
    types = {int: pa.int64(), float: pa.float64(), str: pa.string(), bytes: pa.binary()}
    if type(values) not in types:
        return None
    try:
        return column_of(pa.repeat(pa.scalar(values, types[type(values)]), rows))
    except (OverflowError, UnicodeEncodeError, pa.ArrowException):  # the general way says why
        return None


def column_of(array: pa.Array) -> Column | None:
    """The array's buffers; None for nulls, for types that are not int, float, str or bytes, and
    for text that is not Unicode."""
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        array = _decoded(array)
    if array.null_count:
        return None
    kind, wanted = _kind_of(array.type)
    if wanted is None:
        return None
    if array.type != wanted:
        try:
            array = array.cast(wanted)
        except pa.ArrowException:  # an int beyond 64 bits
            return None
    buffers = array.buffers()
    empty = pa.py_buffer(b"")
    if kind in (Kind.INT, Kind.FLOAT):
        return kind, 0, empty, buffers[1] or empty, array.offset
    if kind is Kind.STR and not _is_unicode(array):
        return None
    width = 8 if wanted in (pa.large_string(), pa.large_binary()) else 4
    return kind, width, buffers[1] or empty, buffers[2] or empty, array.offset


def _decoded(array: pa.DictionaryArray) -> pa.Array:
    import pyarrow as pa

    cells = array.dictionary
    if pa.types.is_string_view(cells.type):  # as Polars has them; Arrow takes no views
        cells = cells.cast(pa.large_string())
    elif pa.types.is_binary_view(cells.type):
        cells = cells.cast(pa.large_binary())
    return cells.take(array.indices)


def _kind_of(given: pa.DataType) -> tuple[Kind, pa.DataType | None]:
    """The kind of the column and the type to cast it to; None for other types."""
    import pyarrow as pa

    types = pa.types
    if types.is_integer(given):
        return Kind.INT, pa.int64()
    if types.is_floating(given):
        return Kind.FLOAT, pa.float64()
    if types.is_string(given) or types.is_large_string(given):
        return Kind.STR, given
    if types.is_binary(given) or types.is_large_binary(given):
        return Kind.BYTES, given
    if types.is_string_view(given):
        return Kind.STR, pa.large_string()
    if types.is_binary_view(given) or types.is_fixed_size_binary(given):
        return Kind.BYTES, pa.large_binary()
    return Kind.PACKED, None


def _is_unicode(array: pa.Array) -> bool:
    """ASCII is told by one look at the bytes; else Arrow decides."""
    import numpy as np
    import pyarrow as pa

    _, offsets, data = array.buffers()
    if data is None or not len(array):
        return True
    offset_type = np.int64 if pa.types.is_large_string(array.type) else np.int32
    ends = np.frombuffer(offsets, offset_type)
    first, last = ends[array.offset], ends[array.offset + len(array)]
    if first == last or int(np.frombuffer(data, np.uint8)[first:last].max()) < 128:
        return True
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def objects(array: pa.Array, *, as_keys: bool = False) -> list[Any]:
    """The cells as Python objects; a struct of a key column is a tuple of its fields."""
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        array = _decoded(array)
    if not as_keys or not pa.types.is_struct(array.type):
        return array.to_pylist()  # type: ignore[no-any-return]
    fields = [objects(field, as_keys=True) for field in array.flatten()]
    rows: list[Any] = list(zip(*fields, strict=True)) if fields else [()] * len(array)
    if array.null_count:
        there = array.is_valid().to_pylist()
        rows = [row if valid else None for row, valid in zip(rows, there, strict=True)]
    return rows
