"""The output formats: their names, what their parts are called and what they can hold.

How pairs become the bytes of a format is in `dataflow.output.part`; all else that depends on one is
said here, and nowhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

OutputFormatName = Literal["text", "jsonl", "csv", "parquet"]


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """What depends on the format of the parts.

    typed_columns: the parts are a table, whose columns have one type each and hold no containers.
    one_schema: the file of a part says the types, so that those of all parts have to be the same.
    any_int: an int of any size has a place in a column.
    """

    name: OutputFormatName
    suffix: str
    typed_columns: bool = False
    one_schema: bool = False
    any_int: bool = True


OUTPUT_FORMATS: Final = MappingProxyType(
    {
        output.name: output
        for output in (
            OutputFormat("text", "txt"),
            OutputFormat("jsonl", "jsonl"),
            OutputFormat("csv", "csv", typed_columns=True),
            OutputFormat("parquet", "parquet", typed_columns=True, one_schema=True, any_int=False),
        )
    }
)

_SUFFIXES = "|".join(sorted({output.suffix for output in OUTPUT_FORMATS.values()}))
PART_NAME: Final = re.compile(rf"output-\d{{5,9}}\.({_SUFFIXES})")
BAD_NAME: Final = re.compile(r"_bad/map-\d{5,9}\.jsonl")
FILE_NAME: Final = re.compile(f"{PART_NAME.pattern}|{BAD_NAME.pattern}")


def part_name(index: int, output_format: OutputFormatName) -> str:
    """Return the file name of part `index`, such as `output-00002.txt`."""
    return f"output-{index:05d}.{OUTPUT_FORMATS[output_format].suffix}"


def bad_name(index: int) -> str:
    """Return the file name of the records that map task `index` set aside."""
    return f"_bad/map-{index:05d}.jsonl"
