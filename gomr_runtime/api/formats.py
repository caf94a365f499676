"""The record formats a worker file names in `MapReduceConfig(input=...)`.

chunk: a str of whole lines with their line ends. lines: a str without `\\n` or `\\r\\n`. jsonl: the
parsed value of a line. csv: a dict by the file's header. whole_file and raw_bytes: one str or
bytes a file. batches: the records of any of these as columns, many at once. Compressed files are
decompressed in every format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from gomr_runtime.errors import UsageError
from gomr_runtime.model.job import Format

WHOLE_FILE_FORMATS = frozenset({"whole_file", "raw_bytes"})
FORMAT_NAMES = ("chunk", "lines", "jsonl", "csv", "whole_file", "raw_bytes")


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
        return BatchFormat(of.name, of.quoted_newlines, schema=schema)


chunk = Format("chunk")
lines = Format("lines")
jsonl = Format("jsonl")
csv = CsvFormat()
whole_file = Format("whole_file")
raw_bytes = Format("raw_bytes")
batches = BatchFormat()

COLUMN_OF: Final = {
    "chunk": "text",
    "lines": "line",
    "whole_file": "text",
    "raw_bytes": "data",
}
"""What the one column of a batch is called, of formats that have only one."""


def plain_format(value: object) -> Format:
    """What the user gave as `input=`, as the plain `Format` a `JobDescription` carries.

    Raises UsageError for anything that is not one of the formats above.
    """
    if isinstance(value, Format) and value.name in FORMAT_NAMES:
        if isinstance(value, BatchFormat):
            _check_schema(value)
        return Format(value.name, value.quoted_newlines, value.batches)
    names = ", ".join(f"gomr.{name}" for name in FORMAT_NAMES)
    raise UsageError(f"input={value!r} is not a record format; use one of {names}")


def _check_schema(value: BatchFormat) -> None:
    if value.name in COLUMN_OF and value.schema is not None:
        raise UsageError(
            f"input=gomr.batches(gomr.{value.name}, schema=...): its one column is a "
            f"{COLUMN_OF[value.name]!r}; leave the schema out"
        )
    if value.name == "jsonl" and value.schema is None:
        raise UsageError(
            "input=gomr.batches(gomr.jsonl): name the columns and their types, as in "
            'gomr.batches(gomr.jsonl, schema={"path": pyarrow.string()})'
        )


Frames = Literal["arrow", "polars"]
