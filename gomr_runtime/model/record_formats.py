"""The record formats: what they are called and what all but their readers have to know of them.

How a format reads its blocks is in `dataflow.input.reader`; all else that depends on one is said
here, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from gomr_runtime.errors import UsageError
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.job import Format

Schema = Literal["none", "optional", "required"]


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """What depends on the format of the records.

    record: the type of every record; `object` for any JSON value. column: what the one column of a
    batch is called, "" where records have columns of their own. schema: whether `gomr.batches`
    takes one. cells: what the values of such columns are made from. splits: several tasks may read
    one plain file. whole_file: a file is one record. many_lines: a record is as many lines as are
    read at once. any_file: the file need not be text.
    """

    name: str
    record: type = str
    column: str = ""
    schema: Schema = "none"
    cells: Literal["text", "json"] = "json"
    splits: bool = True
    whole_file: bool = False
    many_lines: bool = False
    any_file: bool = False

    def can_split(self, file: InputFile) -> bool:
        """Whether several tasks may read the file: plain, of records whose ends can be found."""
        return self.splits and not file.compression


CHUNK: Final = RecordFormat("chunk", column="text", many_lines=True)
LINE: Final = RecordFormat("lines", column="line")
JSON_LINE: Final = RecordFormat("jsonl", object, schema="required")
CSV: Final = RecordFormat("csv", dict, schema="optional", cells="text", splits=False)
CSV_LINE: Final = RecordFormat("csv", dict, schema="optional", cells="text")
WHOLE_FILE: Final = RecordFormat("whole_file", column="text", splits=False, whole_file=True)
RAW_BYTES: Final = RecordFormat(
    "raw_bytes", bytes, "data", splits=False, whole_file=True, any_file=True
)
RECORD_FORMATS: Final = MappingProxyType(
    {each.name: each for each in (CHUNK, LINE, JSON_LINE, CSV, WHOLE_FILE, RAW_BYTES)}
)


def record_format(of: Format) -> RecordFormat:
    """Return what is known of a format. Raises UsageError for a name that is none."""
    found = RECORD_FORMATS.get(of.name)
    if found is None:
        raise UsageError(f"{of.name!r} is no record format; they are {', '.join(RECORD_FORMATS)}")
    return CSV_LINE if found is CSV and not of.quoted_newlines else found
