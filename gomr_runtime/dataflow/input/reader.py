"""Reading a piece of a file into blocks of records, and finding a record again later."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from gomr_runtime.api.formats import WHOLE_FILE_FORMATS
from gomr_runtime.dataflow.input.block import BOM, Block, bad_record, not_utf8, refusal, too_long
from gomr_runtime.dataflow.input.csv_format import QuotedRows, csv_line_format, quoted_blocks
from gomr_runtime.dataflow.input.decompress import WINDOW, DecompressedStream
from gomr_runtime.dataflow.input.lines import BLOCK_BYTES, Span, sequential, spans, spans_from
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
from gomr_runtime.model.job import Format, InputFile, Piece


def read_blocks(
    index: int,
    piece: Piece,
    blob: Blob,
    record_format: Format,
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
    if record_format.name in WHOLE_FILE_FORMATS:
        yield _whole_file(index, piece.file, blob, record_format, max_record, window, keep=keep)
        return
    if record_format.name == "csv" and record_format.quoted_newlines:
        yield from quoted_blocks(index, piece, blob, max_record, block_bytes, window, keep=keep)
        return
    parts = spans(piece, blob, max_record, block_bytes, window)
    if record_format.name == "chunk":
        blocks = (_chunk(index, piece.file, span, max_record) for span in parts)
    else:
        how = _line_format(piece, blob, record_format, max_record, window)
        blocks = (_line_block(index, piece.file, span, how, max_record, keep) for span in parts)
    end = 0
    for block in blocks:
        end = block.offset + block.size
        if not piece.file.compression:
            block.bytes_read = block.size
        yield block
    if piece.file.compression:
        yield Block(index, end, 0, [], 0, min(piece.end, piece.file.size))


def _line_format(
    piece: Piece, blob: Blob, record_format: Format, max_record: int, window: int
) -> LineFormat:
    if record_format.name == "csv":
        return csv_line_format(piece, blob, max_record, window)
    return {"lines": LINES, "jsonl": JSONL}[record_format.name]


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


def _whole_file(
    index: int,
    file: InputFile,
    blob: Blob,
    record_format: Format,
    max_record: int,
    window: int,
    *,
    keep: bool,
) -> Block:
    """One record; of a file above the limit no more than that is read."""
    read = sequential(file, blob, 0)
    if file.compression:
        text = record_format.name != "raw_bytes"
        read = DecompressedStream(file, blob, window=window, text=text).read
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
    if record_format.name == "raw_bytes":
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
    record_format: Format,
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
    if record_format.name == "chunk" or record_format.name in WHOLE_FILE_FORMATS:
        return block_offset
    rest = spans_from(piece, blob, block_offset, max_record, block_bytes, window)
    if record_format.name == "csv" and record_format.quoted_newlines:
        return _offset_of_row(QuotedRows(piece.file, rest, block_offset, max_record), n)
    how = _line_format(piece, blob, record_format, max_record, window)
    end = block_offset
    for span in rest:
        end = span.offset + span.size
        for offset in _record_offsets(span, how):
            if not n:
                return offset
            n -= 1
    return end


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
