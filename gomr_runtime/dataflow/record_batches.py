"""Records as columns: what a mapper of batches is given.

Columns have types that the records cannot change: those of the format, or of the schema in the
worker file. So a batch looks the same wherever the input was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from gomr_runtime.formats import COLUMN_OF
from gomr_runtime.program import Frames

_TYPES = {"raw_bytes": pa.binary()}


class Unfit(ValueError):
    """Records that do not fit the schema; the message says why."""


class RecordBatches:
    """Makes batches of one format's records."""

    def __init__(self, format_name: str, schema: Any, frames: Frames) -> None:
        """schema: what `pyarrow.schema` takes; None for the format's own columns."""
        self._format = format_name
        self._schema = None if schema is None else pa.schema(schema)
        self._frames = frames

    def batch(self, records: Sequence[Any]) -> Any:
        """The records, at least one, as a record batch or frame; Unfit when one has no place."""
        arrow = self._arrow(records)
        return as_frame(arrow, self._frames)

    def _arrow(self, records: Sequence[Any]) -> pa.RecordBatch:
        if self._format in COLUMN_OF:
            column = pa.array(records, _TYPES.get(self._format, pa.string()))
            return pa.record_batch([column], [COLUMN_OF[self._format]])
        if any(type(record) is not dict for record in records):
            raise Unfit("it is no JSON object, so it has no columns")
        if self._schema is None:
            names = list(records[0])
            columns = [pa.array([r[name] for r in records], pa.string()) for name in names]
            return pa.record_batch(columns, names)
        return pa.record_batch(
            [self._column(records, field) for field in self._schema], schema=self._schema
        )

    def _column(self, records: Sequence[Any], field: pa.Field) -> pa.Array:
        cells = [record.get(field.name) for record in records]
        try:
            if self._format == "csv" and not pa.types.is_string(field.type):
                text = pa.array([cell or None for cell in cells], pa.string())
                return text.cast(field.type)
            if pa.types.is_nested(field.type):
                return pa.array(cells).cast(field.type)
            _check_whole(cells, field.type)
            return pa.array(cells, field.type)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            raise Unfit(f"column {field.name!r} ({field.type}): {error}") from None


def _check_whole(cells: list[Any], wanted: pa.DataType) -> None:
    """Arrow would cut 1.5 to 1, and take True for 1."""
    if pa.types.is_integer(wanted):
        for kind in {type(cell) for cell in cells} - {int, type(None)}:
            raise TypeError(f"a {kind.__name__} is no int")


def as_frame(batch: pa.RecordBatch, frames: Frames) -> Any:
    """The batch as the user's function wants it."""
    if frames == "arrow":
        return batch
    import polars

    return polars.from_arrow(batch)
