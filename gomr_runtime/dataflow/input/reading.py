"""What a reader of a record format is given, and what it gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from gomr_runtime.dataflow.input.block import Block
from gomr_runtime.dataflow.input.lines import Span, spans, spans_from
from gomr_runtime.model.blob import Blob
from gomr_runtime.model.inputs.files import Piece


@dataclass(frozen=True, slots=True)
class Reading:
    """A piece and how it is read: the arguments of `read_blocks` and of `offset_of_record`."""

    piece: Piece
    blob: Blob
    max_record: int
    block_bytes: int
    window: int

    def spans(self) -> Iterator[Span]:
        """Every line of the piece, as spans of whole lines."""
        return spans(self.piece, self.blob, self.max_record, self.block_bytes, self.window)

    def spans_from(self, begin: int) -> Iterator[Span]:
        """The same from the line that begins at `begin` on."""
        return spans_from(
            self.piece, self.blob, begin, self.max_record, self.block_bytes, self.window
        )


class RecordReader(Protocol):
    """How the blocks of one record format are read. It is asked once a piece, never a record."""

    def blocks(self, index: int, read: Reading, *, keep: bool) -> Iterator[Block]:
        """The blocks of the piece, as `read_blocks` gives them."""

    def offset_of_record(self, read: Reading, block_offset: int, n: int) -> int:
        """Where a record begins, as `offset_of_record` says it."""


def counted(index: int, piece: Piece, blocks: Iterator[Block]) -> Iterator[Block]:
    """The blocks with the bytes that they count as read."""
    end = 0
    for block in blocks:
        end = block.offset + block.size
        if not piece.file.compression:
            block.bytes_read = block.size
        yield block
    if piece.file.compression:
        yield Block(index, end, 0, [], 0, min(piece.end, piece.file.size))
