"""csv: a file's header, and files whose quoted fields may hold newlines."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from gomr_runtime.dataflow.input.block import BOM, Block, bad_record, not_utf8, refusal, too_long
from gomr_runtime.dataflow.input.decompress import WINDOW
from gomr_runtime.dataflow.input.lines import BLOCK_BYTES, Span, spans_from
from gomr_runtime.dataflow.input.text_formats import CsvRows, LineFormat, parse_lines, row_dict
from gomr_runtime.errors import DataError
from gomr_runtime.model.blob import Blob
from gomr_runtime.model.inputs.files import InputFile, Piece
from gomr_runtime.model.task import BadRecord

_ENDLESS = 1 << 62


def csv_line_format(piece: Piece, blob: Blob, max_record: int, window: int = WINDOW) -> LineFormat:
    """csv without quoted newlines, by the header in the file's first line.

    Raises DataError naming the file when there is no usable header.
    """
    allow_fields_of(max_record)
    file = piece.file
    first = next(spans_from(Piece(file, 0, 1), blob, 0, max_record, window=window), None)
    if first is None or first.data == BOM:
        return LineFormat(CsvRows([]).bulk, CsvRows([]).one)
    if first.data is None:
        raise refusal(bad_record(file, 0, 0, too_long(first.size, max_record)))
    line = first.data.removeprefix(BOM).removesuffix(b"\n").removesuffix(b"\r")
    try:
        (names,) = parse_lines([line.decode()])
    except ValueError as error:
        raise DataError(f"{file.source}: the csv header cannot be read: {error}") from None
    rows = CsvRows(check_header(file, names))
    return LineFormat(rows.bulk, rows.one, blank=b"\r", header_bytes=first.size)


def check_header(file: InputFile, names: list[str]) -> list[str]:
    """`names` itself; DataError when it is empty or names a column twice."""
    if not names:
        raise DataError(f"{file.source}: the csv header, the first line, is empty")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{file.source}: the csv header names a column twice: {', '.join(twice)}")
    return names


def allow_fields_of(max_record: int) -> None:
    """Let records up to our own limit through; the csv module's is 128 KiB a field."""
    limit = min(max_record + 2 * BLOCK_BYTES, (1 << 31) - 1)
    if csv.field_size_limit() < limit:
        csv.field_size_limit(limit)


class QuotedRows:
    """The rows of a csv file from a row's start on, with the bytes each one takes.

    Where a quote is left open there is no telling where the next record begins: a record above
    the limit ends the file with RecordFailed.
    """

    def __init__(
        self,
        file: InputFile,
        lines: Iterator[Span],
        begin: int,
        max_record: int,
        *,
        keep: bool = False,
    ) -> None:
        """keep: `raw` has the bytes of the row last returned, without its end."""
        allow_fields_of(max_record)
        self._keep = keep
        self._kept: list[bytes] = []
        self.end = begin  # of the row last returned
        self._start = begin
        self._file = file
        self._spans = lines
        self._max_record = max_record
        self._undecoded = -1  # byte offset of invalid UTF-8 in the row in hand
        self._exhausted = False  # there is no line after the ones taken
        self._reader = csv.reader(self._lines())

    @property
    def raw(self) -> bytes:
        return b"\n".join(self._kept).removesuffix(b"\r")

    def next_row(self) -> list[str] | None:
        """The next row, [] for an empty line, None at the end; ValueError for a bad one."""
        self._start, self._undecoded = self.end, -1
        self._kept.clear()
        try:
            row = next(self._reader, None)
        except csv.Error as error:
            raise ValueError(f"not csv: {error}") from None
        if self._undecoded >= 0:
            raise ValueError(not_utf8(self._undecoded))
        if self._exhausted and self.end > self._start:
            raise ValueError("a quote that opens here is not closed before the end of the file")
        return None if self._exhausted else row

    def _lines(self) -> Iterator[str]:
        for span in self._spans:
            if span.data is None:
                raise self._too_long(span.offset + span.size)
            data = span.data
            if span.offset == 0 and data.startswith(BOM):
                data = data[len(BOM) :]
                self._start = self.end = len(BOM)
            lines = data.split(b"\n")
            last = lines.pop()
            for line in lines:
                self._take(line, 1)
                yield self._decode(line, 1) + "\n"
            if last:
                self._take(last, 0)
                yield self._decode(last, 0)
        self._exhausted = True
        yield ""  # an open quote swallows it; else it is the row that ends the file

    def _take(self, line: bytes | bytearray, newline: int) -> None:
        self.end += len(line) + newline
        if self._keep:
            self._kept.append(bytes(line))
        if self.end - self._start > self._max_record + 1:
            raise self._too_long(self.end)

    def _too_long(self, end: int) -> Exception:
        cause = f"{too_long(end - self._start, self._max_record)}, or is a quote left open there?"
        return refusal(bad_record(self._file, self._start, 0, cause))

    def _decode(self, line: bytes | bytearray, newline: int) -> str:
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            if self._undecoded < 0:
                self._undecoded = self.end - newline - len(line) + error.start
            return line.decode(errors="replace")


def quoted_blocks(
    index: int,
    piece: Piece,
    blob: Blob,
    max_record: int,
    block_bytes: int,
    window: int = WINDOW,
    *,
    keep: bool = False,
) -> Iterator[Block]:
    """A whole csv file as blocks of dicts; a piece that ends early means the rows before it."""
    whole = piece.end >= piece.file.size
    source = Piece(piece.file, 0, piece.file.size)
    lines = spans_from(source, blob, 0, max_record, block_bytes, window)
    rows = QuotedRows(piece.file, lines, 0, max_record, keep=keep)
    names = _header(piece.file, rows)
    start, stop = 0, _ENDLESS if whole else piece.end
    stored = not piece.file.compression
    while names and rows.end < stop:
        until = min(start + block_bytes, stop)
        block, ended = _fill(index, piece.file, rows, names, start, until, keep=keep)
        block.bytes_read = block.size if stored else 0
        start += block.size
        if block.size:
            yield block
        if ended:
            break
    if not stored:
        yield Block(index, start, 0, [], 0, piece.file.size if whole else piece.end)
    elif not names and piece.file.size:  # nothing but a byte order mark
        yield Block(index, 0, rows.end, [], 0, rows.end)


def _header(file: InputFile, rows: QuotedRows) -> list[str]:
    try:
        names = rows.next_row()
    except ValueError as error:
        raise DataError(f"{file.source}: the csv header cannot be read: {error}") from None
    return [] if names is None else check_header(file, names)


def _fill(
    index: int,
    file: InputFile,
    rows: QuotedRows,
    names: list[str],
    start: int,
    until: int,
    *,
    keep: bool,
) -> tuple[Block, bool]:
    """Rows until the block is full; True with it when the file has ended."""
    records: list[Any] = []
    raw: list[tuple[int, bytes | None]] = []
    bad: dict[int, BadRecord] = {}
    skipped = 0
    ended = False
    while rows.end < until:
        offset = rows.end
        try:
            row = rows.next_row()
            if row is None:
                ended = True
                break
            if not row:
                skipped += 1
                continue
            records.append(row_dict(names, row))
        except ValueError as error:
            bad[len(records)] = bad_record(file, offset, len(records), str(error))
            records.append(None)
        if keep:
            raw.append((offset, rows.raw))
    block = Block(index, start, rows.end - start, records, len(records), 0, skipped, bad)
    if keep:
        block.raw = lambda: raw
    return block, ended
