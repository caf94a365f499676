"""The files that a task reads, from the ranges that it is told: decoded as they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import overload

from gomr_runtime.codec.typed_json import Mismatch
from gomr_runtime.model.inputs.file_table import FileTable
from gomr_runtime.model.inputs.files import FileRange, InputFile, Piece

Split = tuple[FileRange, ...]


class Pieces(Sequence[Piece]):
    """The pieces in ranges of the files of a job, in input order; for one thread at a time."""

    def __init__(self, files: Sequence[InputFile], ranges: Split) -> None:
        """Raises Mismatch for ranges of other files, CorruptBlock where those cannot be read."""
        self.files = files
        self.ranges = ranges
        for of in ranges:
            self._check(of)
        self._ends = list(accumulate(map(self._count, ranges)))
        self._latest: tuple[int, Piece] | None = None
        self._ahead: tuple[int, Iterator[Piece]] = (0, iter(self))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Piece]:
        index = 0
        for of in self.ranges:
            for piece in self._in(of):
                self._latest = index, piece
                yield piece
                index += 1

    @overload
    def __getitem__(self, index: int) -> Piece: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Piece, ...]: ...
    def __getitem__(self, index: int | slice) -> Piece | tuple[Piece, ...]:
        if isinstance(index, slice):
            return tuple(self[n] for n in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        latest = self._latest
        if latest is None or latest[0] != index:
            latest = self._latest = index, self._next(index)
        return latest[1]

    @property
    def size(self) -> int:
        """Bytes of all pieces."""
        return sum(map(self._size, self.ranges))

    @property
    def far(self) -> bool:
        """Whether one of them may be at an `s3://` address."""
        files = self.files
        if isinstance(files, FileTable):
            return any(
                block.far
                for of in self.ranges
                for block in files.blocks_between(of.first, of.last + 1)
            )
        return any(piece.file.location.startswith("s3://") for piece in self)

    def alone(self) -> Pieces:
        """The same pieces without the files around them, where the files are in memory."""
        if isinstance(self.files, FileTable) or not self.ranges:
            return self
        first = min(of.first for of in self.ranges)
        end = max(of.last for of in self.ranges) + 1
        ranges = (
            FileRange(of.first - first, of.start, of.last - first, of.end, of.empty)
            for of in self.ranges
        )
        return Pieces(self.files[first:end], tuple(ranges))

    def _check(self, of: FileRange) -> None:
        if of.last >= len(self.files):
            raise Mismatch(f"files {of.first:,} to {of.last:,} of {len(self.files):,} are no range")
        for piece in self._edges(of):
            if words := piece.violation():
                raise Mismatch(words)

    def _edges(self, of: FileRange) -> tuple[Piece, ...]:
        first = self.files[of.first]
        if of.first == of.last:
            return (Piece(first, of.start, of.end),)
        return Piece(first, of.start, first.size), Piece(self.files[of.last], 0, of.end)

    def _in(self, of: FileRange) -> Iterator[Piece]:
        edges = self._edges(of)
        yield edges[0]
        for file in self._between(of.first + 1, of.last):
            if file.size or of.empty:
                yield Piece(file, 0, file.size)
        yield from edges[1:]

    def _between(self, start: int, end: int) -> Iterator[InputFile]:
        if isinstance(self.files, FileTable):
            return self.files.between(start, end)
        return iter(self.files[start:end])

    def _count(self, of: FileRange) -> int:
        if of.last <= of.first + 1:
            return 1 + of.last - of.first
        return 2 + (of.last - of.first - 1 if of.empty else self._filled(of.first + 1, of.last))

    def _filled(self, start: int, end: int) -> int:
        files = self.files
        if isinstance(files, FileTable):
            return files.filled_before(end) - files.filled_before(start)
        return sum(file.size > 0 for file in files[start:end])

    def _size(self, of: FileRange) -> int:
        edges = sum(piece.end - piece.start for piece in self._edges(of))
        if of.last <= of.first + 1:
            return edges
        if isinstance(self.files, FileTable):
            return edges + self.files.size_before(of.last) - self.files.size_before(of.first + 1)
        return edges + sum(file.size for file in self.files[of.first + 1 : of.last])

    def _next(self, index: int) -> Piece:
        """The piece; what follows the one asked for before is there at once."""
        if self._ahead[0] != index:
            return self._find(index)
        self._ahead = (index + 1, self._ahead[1])
        return next(self._ahead[1])

    def _find(self, index: int) -> Piece:
        number = next(n for n, end in enumerate(self._ends) if index < end)
        of = self.ranges[number]
        index -= self._ends[number] - self._count(of)
        edges = self._edges(of)
        if not index:
            return edges[0]
        if index == self._count(of) - 1:
            return edges[-1]
        file = self._inner(of, index - 1)
        return Piece(file, 0, file.size)

    def _inner(self, of: FileRange, n: int) -> InputFile:
        """File `n` (from 0) of those between the first and the last that count."""
        files = self.files
        if of.empty:
            return files[of.first + 1 + n]
        if isinstance(files, FileTable):
            return files[files.nth_filled(files.filled_before(of.first + 1) + n)]
        return [file for file in files[of.first + 1 : of.last] if file.size][n]
