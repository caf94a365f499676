"""The record formats a worker file names in `MapReduceConfig(input=...)`.

chunk: a str of whole lines with their line ends. lines: a str without `\\n` or `\\r\\n`. jsonl: the
parsed value of a line. csv: a dict by the file's header. whole_file and raw_bytes: one str or
bytes a file. batches: the records of any of these as columns, many at once. Compressed files are
decompressed in every format.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from gomr_runtime.errors import UsageError
from gomr_runtime.model.job import Format
from gomr_runtime.model.record_formats import RECORD_FORMATS, record_format


@dataclass(frozen=True, slots=True)
class CsvFormat(Format):
    """`gomr.csv` as it stands, or called for a variant."""

    name: str = "csv"

    def __call__(self, *, quoted_newlines: bool = True) -> Format:
        """csv whose quoted fields may hold newlines (one split a file), or may not (it splits)."""
        return Format("csv", quoted_newlines)


@dataclass(frozen=True, slots=True)
class BatchFormat(Format):
    """`gomr.batches` as it stands (of chunks), or called for the batches of another format."""

    batches: bool = True
    schema: Any = None

    def __call__(self, of: Format, *, schema: Any = None) -> BatchFormat:
        """Batches of the records of `of`.

        schema: for jsonl and csv the columns, a `pyarrow.Schema` or a dict of name to type;
        required for jsonl, by default every column of a csv file as str.
        """
        return BatchFormat(**{**_fields(of), "batches": True}, schema=schema)


chunk = Format("chunk")
lines = Format("lines")
jsonl = Format("jsonl")
csv = CsvFormat()
whole_file = Format("whole_file")
raw_bytes = Format("raw_bytes")
batches = BatchFormat()


def plain_format(value: object) -> Format:
    """What the user gave as `input=`, as the plain `Format` a `JobDescription` carries.

    Raises UsageError for anything that is not one of the formats above.
    """
    if isinstance(value, Format) and value.name in RECORD_FORMATS:
        if isinstance(value, BatchFormat):
            _check_schema(value)
        return Format(**_fields(value))
    names = ", ".join(f"gomr.{name}" for name in RECORD_FORMATS)
    raise UsageError(f"input={value!r} is not a record format; use one of {names}")


def _fields(of: Format) -> dict[str, Any]:
    """What the job carries of a format."""
    return {field.name: getattr(of, field.name) for field in fields(Format)}


def _check_schema(value: BatchFormat) -> None:
    known = record_format(value)
    if known.schema == "none" and value.schema is not None:
        raise UsageError(
            f"input=gomr.batches(gomr.{value.name}, schema=...): its one column is a "
            f"{known.column!r}; leave the schema out"
        )
    if known.schema == "required" and value.schema is None:
        raise UsageError(
            f"input=gomr.batches(gomr.{value.name}): name the columns and their types, as in "
            f'gomr.batches(gomr.{value.name}, schema={{"path": pyarrow.string()}})'
        )


Frames = Literal["arrow", "polars"]
