"""Reading a piece of a file into blocks of records, and finding a record again later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from gomr_runtime.dataflow.input.block import BOM, Block, bad_record, not_utf8, refusal, too_long
from gomr_runtime.dataflow.input.csv_format import QuotedRows, csv_line_format, quoted_blocks
from gomr_runtime.dataflow.input.decompress import WINDOW, DecompressedStream
from gomr_runtime.dataflow.input.lines import BLOCK_BYTES, Span, sequential
from gomr_runtime.dataflow.input.reading import Reading, RecordReader, counted
from gomr_runtime.dataflow.input.text_formats import (
    JSONL,
    LINES,
    LineFormat,
    byte_lines,
    convert,
    is_blank,
    lead_bytes,
)
from gomr_runtime.model.blob import Blob
from gomr_runtime.model.inputs.files import InputFile, Piece
from gomr_runtime.model.job import Format
from gomr_runtime.model.record_formats import (
    CHUNK,
    CSV,
    CSV_LINE,
    JSON_LINE,
    LINE,
    RAW_BYTES,
    WHOLE_FILE,
    RecordFormat,
    record_format,
)


def read_blocks(
    index: int,
    piece: Piece,
    blob: Blob,
    of: Format,
    max_record: int,
    block_bytes: int = BLOCK_BYTES,
    window: int = WINDOW,
    *,
    keep: bool = False,
) -> Iterator[Block]:
    """The records of `piece`, the task's piece number `index`, in file order.

    max_record: bytes of the largest record; a longer one is a bad record, and is not kept in
    memory. window: bytes that a zstd frame may look back. keep: blocks keep their bytes.

    Raises DataError, naming the file, for one that is shorter than planned, does not decompress or
    has no usable csv header; RecordFailed for a bad line in a `chunk`, and for a quoted csv record
    without an end.
    """
    read = Reading(piece, blob, max_record, block_bytes, window)
    return reader_of(of).blocks(index, read, keep=keep)


class _Chunks:
    """Whole lines, as many as are read at once, as one str."""

    def blocks(self, index: int, read: Reading, *, keep: bool) -> Iterator[Block]:
        del keep
        file = read.piece.file
        blocks = (_chunk(index, file, span, read.max_record) for span in read.spans())
        return counted(index, read.piece, blocks)

    def offset_of_record(self, read: Reading, block_offset: int, n: int) -> int:
        del read, n
        return block_offset


class _Lines:
    """A record a line. how: gives what a line becomes, which may depend on the file."""

    def __init__(self, how: Callable[[Reading], LineFormat]) -> None:
        self._how = how

    def blocks(self, index: int, read: Reading, *, keep: bool) -> Iterator[Block]:
        how = self._how(read)
        file = read.piece.file
        blocks = (
            _line_block(index, file, span, how, read.max_record, keep) for span in read.spans()
        )
        return counted(index, read.piece, blocks)

    def offset_of_record(self, read: Reading, block_offset: int, n: int) -> int:
        how = self._how(read)
        end = block_offset
        for span in read.spans_from(block_offset):
            end = span.offset + span.size
            for offset in _record_offsets(span, how):
                if not n:
                    return offset
                n -= 1
        return end


class _QuotedRows:
    """Rows of csv whose quoted fields may hold newlines."""

    def blocks(self, index: int, read: Reading, *, keep: bool) -> Iterator[Block]:
        return quoted_blocks(
            index,
            read.piece,
            read.blob,
            read.max_record,
            read.block_bytes,
            read.window,
            keep=keep,
        )

    def offset_of_record(self, read: Reading, block_offset: int, n: int) -> int:
        rest = read.spans_from(block_offset)
        rows = QuotedRows(read.piece.file, rest, block_offset, read.max_record)
        return _offset_of_row(rows, n)


class _WholeFiles:
    """A file is one record."""

    def __init__(self, *, text: bool) -> None:
        self._text = text

    def blocks(self, index: int, read: Reading, *, keep: bool) -> Iterator[Block]:
        yield _whole_file(index, read, text=self._text, keep=keep)

    def offset_of_record(self, read: Reading, block_offset: int, n: int) -> int:
        del read, n
        return block_offset


def _csv_lines(read: Reading) -> LineFormat:
    return csv_line_format(read.piece, read.blob, read.max_record, read.window)


READERS: Final[dict[RecordFormat, RecordReader]] = {
    CHUNK: _Chunks(),
    LINE: _Lines(lambda _: LINES),
    JSON_LINE: _Lines(lambda _: JSONL),
    CSV_LINE: _Lines(_csv_lines),
    CSV: _QuotedRows(),
    WHOLE_FILE: _WholeFiles(text=True),
    RAW_BYTES: _WholeFiles(text=False),
}


def reader_of(of: Format) -> RecordReader:
    """Return what reads a format. Raises UsageError for a name that is none."""
    return READERS[record_format(of)]


def _line_block(
    index: int, file: InputFile, span: Span, how: LineFormat, max_record: int, keep: bool
) -> Block:
    got = convert(span, file, how, max_record)
    block = Block(
        index, span.offset, span.size, got.records, len(got.records), 0, got.skipped, got.bad
    )
    if keep:
        block.raw = cache(lambda: _lines_of(span, how))
    return block


def _lines_of(span: Span, how: LineFormat) -> list[tuple[int, bytes | None]]:
    """Every record of the span with its offset."""
    if span.data is None:
        return [(span.offset, None)]
    lines = byte_lines(span, lead_bytes(span, how))
    return [(offset, bytes(line)) for offset, line in lines if not is_blank(line, how)]


def _chunk(index: int, file: InputFile, span: Span, max_record: int) -> Block:
    data = span.data
    if data is None:
        raise refusal(bad_record(file, span.offset, 0, too_long(span.size, max_record)))
    lead = lead_bytes(span, LINES)
    if lead:
        data = data[lead:]
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        position = span.offset + lead + error.start
        line = span.offset + lead + data.rfind(b"\n", 0, error.start) + 1
        raise refusal(bad_record(file, line, 0, not_utf8(position))) from None
    lines = data.count(b"\n") + (bool(data) and not data.endswith(b"\n"))
    return Block(index, span.offset, span.size, [text] if text else [], lines, 0)


def _whole_file(index: int, reading: Reading, *, text: bool, keep: bool) -> Block:
    """One record; of a file above the limit no more than that is read."""
    file, max_record = reading.piece.file, reading.max_record
    read = sequential(file, reading.blob, 0)
    if file.compression:
        read = DecompressedStream(file, reading.blob, window=reading.window, text=text).read
    data = bytearray()
    while len(data) <= max_record and (more := read(min(BLOCK_BYTES, max_record + 1))):
        data += more
    block = Block(index, 0, len(data), [None], 1, file.size)
    if len(data) > max_record:
        size = len(data) if file.compression else file.size
        block.bad = {0: bad_record(file, 0, 0, too_long(size, max_record))}
        return block
    if keep:
        block.raw = lambda: [(0, bytes(data))]
    if not text:
        block.records = [bytes(data)]
        return block
    lead = len(BOM) if data.startswith(BOM) else 0
    try:
        block.records = [(data[lead:] if lead else data).decode()]
    except UnicodeDecodeError as error:
        block.bad = {0: bad_record(file, 0, 0, not_utf8(lead + error.start))}
    return block


def offset_of_record(
    piece: Piece,
    blob: Blob,
    of: Format,
    block_offset: int,
    n: int,
    *,
    max_record: int,
    block_bytes: int = BLOCK_BYTES,
    window: int = WINDOW,
) -> int:
    """Where record `n` (from 0) of the block at `block_offset` begins in the uncompressed file.

    For a `chunk` or a whole file that is the block itself. Reads the block again; an `n` beyond
    the piece gives the end of what it holds.
    """
    read = Reading(piece, blob, max_record, block_bytes, window)
    return reader_of(of).offset_of_record(read, block_offset, n)


def _record_offsets(span: Span, how: LineFormat) -> Iterator[int]:
    if span.data is None:
        yield span.offset
        return
    for offset, line in byte_lines(span, lead_bytes(span, how)):
        if not is_blank(line, how):
            yield offset


def _offset_of_row(rows: QuotedRows, n: int) -> int:
    n += rows.end == 0  # the header
    while True:
        offset = rows.end
        try:
            row = rows.next_row()
        except ValueError:
            row = ["bad"]
        if row is None or (row and not n):
            return offset
        n -= bool(row)
