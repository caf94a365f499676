"""The record formats a worker file names in `MapReduceConfig(input=...)`.

chunk: a str of whole lines with their line ends. lines: a str without `\\n` or `\\r\\n`. jsonl: the
parsed value of a line. csv: a dict by the file's header. whole_file and raw_bytes: one str or
bytes a file. Compressed files are decompressed in every format.
"""

from __future__ import annotations

from dataclasses import dataclass

from gomr_runtime.errors import UsageError
from gomr_runtime.job import Format

WHOLE_FILE_FORMATS = frozenset({"whole_file", "raw_bytes"})
FORMAT_NAMES = ("chunk", "lines", "jsonl", "csv", "whole_file", "raw_bytes")


@dataclass(frozen=True, slots=True)
class CsvFormat(Format):
    """`gomr.csv` as it stands, or called for a variant."""

    name: str = "csv"

    def __call__(self, *, quoted_newlines: bool = True) -> Format:
        """csv whose quoted fields may hold newlines (one split a file), or may not (it splits)."""
        return Format("csv", quoted_newlines)


chunk = Format("chunk")
lines = Format("lines")
jsonl = Format("jsonl")
csv = CsvFormat()
whole_file = Format("whole_file")
raw_bytes = Format("raw_bytes")


def plain_format(value: object) -> Format:
    """What the user gave as `input=`, as the plain `Format` a `JobDescription` carries.

    Raises UsageError for anything that is not one of the formats above.
    """
    if isinstance(value, Format) and value.name in FORMAT_NAMES:
        return Format(value.name, value.quoted_newlines)
    names = ", ".join(f"gomr.{name}" for name in FORMAT_NAMES)
    raise UsageError(f"input={value!r} is not a record format; use one of {names}")
