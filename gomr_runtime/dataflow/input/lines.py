"""From a piece of a file to spans of whole lines, as bytes.

A line belongs to the piece in which its first byte lies. So a piece that does not start the file
begins behind the first newline at or after the byte before it, and reads past its end to finish
its last line. What neighbouring pieces read fits together without a gap: [begin, finish) of one
is followed by the begin of the next. Lines end at byte 0x0A and nowhere else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gomr_runtime.dataflow.input.decompress import WINDOW, DecompressedStream, ended_early
from gomr_runtime.dataflow.profile import timed
from gomr_runtime.model.blob import Blob
from gomr_runtime.model.inputs.files import InputFile, Piece

BLOCK_BYTES = 256 << 10
_LOOK_BYTES = 16 << 10  # how much to read at once when one newline is wanted

Read = Callable[[int], bytes]


@dataclass(slots=True)
class Span:
    """Whole lines at `offset` of the uncompressed file, with their ends (the file's last line may
    have none). data is None for one line above the limit, whose bytes were not kept."""

    offset: int
    size: int
    data: bytes | bytearray | None


def spans(
    piece: Piece,
    blob: Blob,
    max_record: int,
    block_bytes: int = BLOCK_BYTES,
    window: int = WINDOW,
) -> Iterator[Span]:
    """Every line of `piece` once, about `block_bytes` a span; DataError if it cannot be read.

    A compressed file is one piece; with `end` below its size it means the lines that begin in the
    first `end` uncompressed bytes.
    """
    if piece.file.compression:
        return spans_from(piece, blob, 0, max_record, block_bytes, window)
    begin = first_line(piece, blob, min(block_bytes, _LOOK_BYTES))
    return spans_from(piece, blob, begin, max_record, block_bytes)


def spans_from(
    piece: Piece,
    blob: Blob,
    begin: int,
    max_record: int,
    block_bytes: int = BLOCK_BYTES,
    window: int = WINDOW,
) -> Iterator[Span]:
    """The same from the line that begins at `begin` on."""
    file = piece.file
    if not file.compression:
        read = sequential(file, blob, begin)
        return cut_lines(read, begin, piece.end, max_record, block_bytes)
    stream = DecompressedStream(file, blob, window=window)
    stream.skip(begin)
    end = piece.end if piece.end < file.size else sys.maxsize
    return cut_lines(stream.read, begin, end, max_record, block_bytes)


def first_line(piece: Piece, blob: Blob, look_bytes: int = _LOOK_BYTES) -> int:
    """Where the first line that begins in the piece begins; `piece.end` when none does."""
    if piece.start == 0:
        return 0
    position = piece.start - 1
    read = sequential(piece.file, blob, position)
    while position < piece.end - 1:
        data = read(min(look_bytes, piece.end - 1 - position))
        newline = data.find(b"\n")
        if newline >= 0:
            return position + newline + 1
        position += len(data)
    return piece.end


def sequential(file: InputFile, blob: Blob, position: int) -> Read:
    """Reads a plain file from `position` on; b"" at its end."""

    def read(size: int) -> bytes:
        nonlocal position
        with timed("store"):
            data = blob.read_at(position, min(size, file.size - position))
        if not data and position < file.size:
            raise ended_early(file, position)
        position += len(data)
        return data

    return read


def cut_lines(
    read: Read, begin: int, end: int, max_record: int, block_bytes: int = BLOCK_BYTES
) -> Iterator[Span]:
    """The lines that begin in [begin, end); `read` starts at `begin`, a line start.

    Holds one block and one unfinished line of at most `max_record` bytes; a longer one is read to
    its end and reported without its bytes. A block is never above `max_record`, so that only a
    line that was unfinished can be too long.
    """
    block = max(1, min(block_bytes, max_record))
    start = position = begin  # of the first line not yet yielded; of the next byte to read
    held = bytearray()  # the bytes between, unless they are too many
    while position < end or position > start:
        past = position >= end
        data = read(min(block, _LOOK_BYTES) if past else min(block, end - position))
        if not data:
            break
        unfinished = position > start
        position += len(data)
        if unfinished:
            newline = data.find(b"\n")
            length = position - start - (len(data) - newline if newline >= 0 else 0)
            if length > max_record:
                held.clear()
                if newline < 0:
                    continue
                yield Span(start, length + 1, None)
                start += length + 1
                if past:
                    return
                data = data[newline + 1 :]
        cut = (data.find(b"\n") if past else data.rfind(b"\n")) + 1
        if not cut:
            held += data
            continue
        body = _joined(held, data, cut)
        yield Span(start, len(body), body)
        if past:
            return
        start += len(body)
        held = bytearray(memoryview(data)[cut:])
    if position > start:  # the file's last line has no newline
        size = position - start
        yield Span(start, size, held if size <= max_record else None)


def _joined(held: bytearray, data: bytes, cut: int) -> bytes | bytearray:
    if held:
        held += memoryview(data)[:cut]
        return held
    return data if cut == len(data) else data[:cut]
