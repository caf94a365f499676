"""What reading delivers to the engine: a block of records with its books."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gomr_runtime.errors import RecordFailed
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.task import BadRecord, Place

BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Block:
    """Records that lie next to each other in one file.

    piece: index of the piece in the task. offset, size: the bytes of the uncompressed file it
    covers; the blocks of a piece follow each other without a gap. records: what the mapper gets;
    for `chunk` one str of whole lines. lines: records for the books, `len(records)` except for
    `chunk`, where lines are counted. skipped: empty lines (jsonl, csv), not among `records` or
    `lines`. bytes_read: bytes of the file as stored, for the books: over all pieces of a file they
    add up to its size (a compressed file counts once, in an empty block at its end). bad: by index
    into `records` what cannot be given to the mapper, and why; None stands in its place.
    `BadRecord.record` is that index: the caller adds the records of the task before this block.
    raw: where it is kept, gives offset in the file and bytes (None for too many) of each record.
    """

    piece: int
    offset: int
    size: int
    records: Sequence[Any]
    lines: int
    bytes_read: int
    skipped: int = 0
    bad: Mapping[int, BadRecord] = field(default_factory=dict)
    raw: Callable[[], Sequence[tuple[int, bytes | None]]] | None = None


def refusal(bad: BadRecord) -> RecordFailed:
    """The error that a bad record ends the job with, when it is not set aside."""
    return RecordFailed(
        f"{bad.source}, record at byte {bad.offset}: {bad.cause}",
        detail=bad.detail,
        place=Place(bad.source, bad.offset, bad.record),
    )


def too_long(size: int, max_record: int) -> str:
    """Why a record is bad that is above the limit."""
    return (
        f"a record of {size} bytes is above the limit of {max_record} bytes; "
        "raise it with --max-record"
    )


def not_utf8(position: int) -> str:
    """Why a record is bad that does not decode; `position` is the byte in the file."""
    return f"invalid UTF-8 at byte {position}; use gomr.raw_bytes for data that is not text"


def bad_record(file: InputFile, offset: int, index: int, cause: str) -> BadRecord:
    return BadRecord(source=file.source, offset=offset, record=index, cause=cause)
