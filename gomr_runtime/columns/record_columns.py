"""Records as columns: what a mapper of batches is given.

Columns have types that the records cannot change: those of the format, or of the schema in the
worker file. So a batch looks the same wherever the input was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from gomr_runtime.api.formats import Frames
from gomr_runtime.columns.cells import (
    REFUSALS,
    Cells,
    Convert,
    TooManyCategories,
    Unfit,
    check_names,
    check_no_null,
    types_in,
)
from gomr_runtime.columns.csv_columns import of_text
from gomr_runtime.columns.json_columns import of_json
from gomr_runtime.errors import UsageError
from gomr_runtime.model.record_formats import RECORD_FORMATS

_TYPES: Final[dict[type, pa.DataType]] = {str: pa.string(), bytes: pa.binary()}


class RecordBatches:
    """Makes batches of one format's records."""

    def __init__(self, format_name: str, schema: Any, frames: Frames) -> None:
        """Take what `checked_schema` has accepted.

        Args:
            format_name: The records' format.
            schema: What `pyarrow.schema` takes; None for the format's own columns.
            frames: What the mapper wants.
        """
        self._known = RECORD_FORMATS[format_name]
        self._schema = None if schema is None else pa.schema(schema)
        self._columns = [] if schema is None else converters(self._schema, format_name)
        self._frames = frames

    def batch(self, records: Sequence[Any]) -> Any:
        """Return the records, at least one, as a record batch or frame.

        Raises:
            Unfit: A record has no place in the schema.
            TooManyCategories: The records need several batches.
        """
        return as_frame(self._arrow(records), self._frames)

    def _arrow(self, records: Sequence[Any]) -> pa.RecordBatch:
        if self._known.column:
            column = pa.array(records, _TYPES[self._known.record])
            return pa.record_batch([column], [self._known.column])
        if any(type(record) is not dict for record in records):
            raise Unfit("it is no JSON object, so it has no columns")
        if self._schema is None:
            names = list(records[0])
            columns = [pa.array([r[name] for r in records], pa.string()) for name in names]
            return pa.record_batch(columns, names)
        columns = [
            convert([record.get(name) for record in records])
            for name, convert in zip(self._schema.names, self._columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)


def checked_schema(given: Any, format_name: str, frames: Frames) -> pa.Schema:
    """Return the schema in `given`, on which every record can be tried.

    Args:
        given: What `pyarrow.schema` takes: a schema, or a dict of name to type.
        format_name: `jsonl` or `csv`.
        frames: What the mapper wants.

    Raises:
        UsageError: It is no schema, names a column twice, or has a type for which no value of the
            format can stand, or which the frames do not have.
    """
    where = f"input=gomr.batches(gomr.{format_name}, schema=...)"
    try:
        schema = pa.schema(given)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise UsageError(f"{where}: {error}") from None
    converters(schema, format_name)
    if frames == "polars":
        for field in schema:
            _check_polars_type(field, where)
    return schema


def _check_polars_type(field: pa.Field, where: str) -> None:
    cause: object = "its decimals have 128 bits"
    if not any(map(pa.types.is_decimal256, types_in(field.type))):  # Polars would panic at a row
        try:
            as_frame(pa.schema([field]).empty_table(), "polars")
            return
        except Exception as error:  # noqa: BLE001  (Polars has errors of its own)
            cause = error
    raise UsageError(
        f"{where}: Polars has no type for column {field.name!r}, {field.type}: {cause}"
    ) from None


def converters(schema: pa.Schema, format_name: str) -> list[Convert]:
    """Return the converter of each field. Raises UsageError as `checked_schema` does."""
    check_names(schema, f"the schema of gomr.batches(gomr.{format_name}, ...)")
    make = of_text if RECORD_FORMATS[format_name].cells == "text" else of_json
    return [_named(field, make(field.type, field.name)) for field in schema]


def _named(field: pa.Field, convert: Convert) -> Convert:
    """The converter whose errors name the column and that keeps nulls out where none may be."""

    def named(cells: Cells) -> Any:
        try:
            if not field.nullable:
                check_no_null(cells, "it is null or missing")
            return convert(cells)
        except TooManyCategories:
            raise
        except REFUSALS as error:
            raise Unfit(f"column {field.name!r} ({field.type}): {error}") from None

    return named


def as_frame(batch: pa.RecordBatch | pa.Table, frames: Frames) -> Any:
    """Return the batch as the user's function wants it."""
    if frames == "arrow":
        return batch
    import polars

    return polars.from_arrow(batch)
