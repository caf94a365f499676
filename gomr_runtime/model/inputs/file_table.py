"""The input files of a job, thousands or millions, in a few bytes each.

A table is blocks of up to `BLOCK_FILES` files, columns of JSON compressed with zstd, and an index
with a row for each block. A block is decoded when one of its files is asked for, and forgotten
soon. As one object of the store it is the blocks, then the index.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from typing import Annotated, overload

from gomr_runtime.codec import checked
from gomr_runtime.codec.typed_json import Mismatch, parse, take
from gomr_runtime.codec.wire_types import AtMost, Count, Index, Many, Name, Word
from gomr_runtime.errors import CorruptBlock
from gomr_runtime.model.inputs.files import Compression, InputFile, TableRecord

FEW = 1_000  # files that are held and sent as they are
BLOCK_FILES = 4_096
BLOCK_CHARACTERS = 2 << 20  # in the names of a block, about
BLOCK_BYTES = 64 << 20  # of a block's JSON, whatever is in it
KEPT = 2  # decoded blocks
LEVEL = 3  # of zstd

Read = Callable[[int, int], bytes]
"""Bytes of the stored table: (offset, length)."""

_Rest = Annotated[str, AtMost(32_769)]
_AS_IS, _FOLLOWS = "=", "+"
_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Block:
    """A row of the index. filled: how many of its files have bytes. size: bytes of all of them.
    length, crc: of the block as stored. far: some file is at an `s3://` address. content: some
    file holds what is no text."""

    count: Index
    filled: Index
    size: Count
    length: Count
    crc: Index
    far: bool = False
    content: bool = False


@dataclass(frozen=True, slots=True)
class _Columns:
    """A block. A location that ends with the source, and a version that begins with the size, are
    kept without that."""

    sources: Annotated[tuple[Name, ...], AtMost(BLOCK_FILES)]
    locations: Annotated[tuple[_Rest, ...], AtMost(BLOCK_FILES)]
    sizes: Annotated[tuple[Count, ...], AtMost(BLOCK_FILES)]
    compressions: Annotated[tuple[Compression, ...], AtMost(BLOCK_FILES)]
    versions: Annotated[tuple[_Rest, ...], AtMost(BLOCK_FILES)]
    contents: Annotated[tuple[Word, ...], AtMost(BLOCK_FILES)]

    def violation(self) -> str:
        """What is wrong with columns that were received; "" for nothing."""
        lengths = {len(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return "" if len(lengths) == 1 else "its columns are not equally long"


@dataclass(frozen=True, slots=True)
class _Rows:
    """The index as it is stored."""

    blocks: Many[Block]


class FileTable(Sequence[InputFile]):
    """Input files in input order; a value, as a tuple of them is."""

    def __init__(self, blocks: Sequence[Block], load: Callable[[int], bytes], where: str) -> None:
        """load: the stored bytes of a block by its number. where: the table's name, for errors."""
        self.blocks = tuple(blocks)
        self._load = load
        self._where = where
        self._ends = list(accumulate(block.count for block in blocks))
        self._filled = [0, *accumulate(block.filled for block in blocks)]
        self._sizes = [0, *accumulate(block.size for block in blocks)]
        self._decoded: dict[int, tuple[InputFile, ...]] = {}

    @classmethod
    def stored(cls, record: TableRecord, read: Read, where: str) -> FileTable:
        """The table of an object in a store.

        Raises:
            CorruptBlock: What is there is no such table.
        """
        try:
            index = read(record.size - record.index_bytes, record.index_bytes)
            blocks = take(_Rows, {"blocks": checked.decode(index)}).blocks
        except ValueError as error:
            raise _damaged(where, str(error)) from None
        ends = list(accumulate(block.length for block in blocks))
        counted = sum(block.count for block in blocks)
        if [record.size - record.index_bytes] != ends[-1:] or counted != record.count:
            raise _damaged(where, "its index is of another table")

        def load(number: int) -> bytes:
            length = blocks[number].length
            return read(ends[number] - length, length)

        return cls(blocks, load, where)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return self._sizes[-1]

    def __len__(self) -> int:
        return self._ends[-1]

    def __iter__(self) -> Iterator[InputFile]:
        return self.between(0, len(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FileTable):
            return NotImplemented
        if self.blocks == other.blocks and self.record == other.record:
            return True
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash((len(self), self.size))

    @overload
    def __getitem__(self, number: int) -> InputFile: ...
    @overload
    def __getitem__(self, number: slice) -> tuple[InputFile, ...]: ...
    def __getitem__(self, number: int | slice) -> InputFile | tuple[InputFile, ...]:
        if isinstance(number, slice):
            return tuple(self[n] for n in range(*number.indices(len(self))))
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        block, first = self._block_at(number % len(self))
        return self.of_block(block)[number % len(self) - first]

    def between(self, start: int, end: int) -> Iterator[InputFile]:
        """Files [start, end)."""
        while start < end:
            block, first = self._block_at(start)
            files = self.of_block(block)[start - first : end - first]
            yield from files
            start += len(files)

    def filled_before(self, number: int) -> int:
        """How many of the files before that one have bytes."""
        return self._before(number, self._filled, lambda file: file.size > 0)

    def size_before(self, number: int) -> int:
        """Bytes of the files before that one."""
        return self._before(number, self._sizes, lambda file: file.size)

    def nth_filled(self, n: int) -> int:
        """The number of the file that is number `n` (from 0) of those with bytes."""
        block = bisect_right(self._filled, n) - 1
        first = self._ends[block] - self.blocks[block].count
        numbers = [at for at, file in enumerate(self.of_block(block), first) if file.size]
        return numbers[n - self._filled[block]]

    def blocks_between(self, start: int, end: int) -> tuple[Block, ...]:
        """The index rows of files [start, end), and of what is in a block with them."""
        return self.blocks[self._block_at(start)[0] : self._block_at(end - 1)[0] + 1]

    def of_block(self, number: int) -> tuple[InputFile, ...]:
        """The files of a block.

        Raises:
            CorruptBlock: It is damaged.
        """
        if (files := self._decoded.get(number)) is not None:
            return files
        block = self.blocks[number]
        try:
            files = _decoded(block, self._load(number))
        except ValueError as error:
            end = self._ends[number]
            files_of_it = f"files {end - block.count:,} to {end:,}"
            raise _damaged(self._where, f"{files_of_it}: {error}") from None
        kept = list(self._decoded.items())[1 - KEPT :]
        self._decoded = {**dict(kept), number: files}
        return files

    @cached_property
    def record(self) -> TableRecord:
        """What the job says of its table."""
        sha256 = hashlib.sha256()
        for data in self.chunks():
            sha256.update(data)
        index = len(self._index)
        size = sum(block.length for block in self.blocks) + index
        return TableRecord(sha256.hexdigest(), len(self), size, index)

    def chunks(self) -> Iterator[bytes]:
        """The object to store, in parts."""
        return chain(map(self._load, range(len(self.blocks))), (self._index,))

    @property
    def _index(self) -> bytes:
        return checked.encode(self.blocks)

    def _block_at(self, number: int) -> tuple[int, int]:
        """The block of a file, and the number of its first one."""
        block = bisect_right(self._ends, number)
        return block, self._ends[block] - self.blocks[block].count

    def _before(self, number: int, sums: list[int], of: Callable[[InputFile], int]) -> int:
        if number >= len(self):
            return sums[-1]
        block, first = self._block_at(number)
        if number == first:
            return sums[block]
        return sums[block] + sum(map(of, self.of_block(block)[: number - first]))


class Collector:
    """Files as they are found, in the blocks of a table."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._data: list[bytes] = []
        self._rest: list[InputFile] = []
        self._characters = 0

    def add(self, file: InputFile) -> None:
        self._rest.append(file)
        self._characters += len(file.source) + len(file.location)
        if len(self._rest) == BLOCK_FILES or self._characters > BLOCK_CHARACTERS:
            self._seal()

    def is_at_block(self) -> bool:
        """Whether the next file is the first one of a block."""
        return not self._rest

    def finish(self) -> FileTable:
        """The table of everything that was added."""
        if self._rest or not self._blocks:
            self._seal()
        data = self._data
        return FileTable(self._blocks, data.__getitem__, "the list of input files")

    def few(self) -> tuple[InputFile, ...] | None:
        """The files themselves; None once they are many."""
        if self._blocks or len(self._rest) > FEW:
            return None
        return tuple(self._rest)

    def _seal(self) -> None:
        data = _encoded(self._rest)
        self._blocks.append(_row(self._rest, data))
        self._data.append(data)
        self._rest, self._characters = [], 0


def collect(files: Iterable[InputFile]) -> Sequence[InputFile]:
    """The files as a sequence that takes little memory: a tuple of a few, a table of many."""
    if isinstance(files, FileTable):
        return files
    collector = Collector()
    for file in files:
        collector.add(file)
    few = collector.few()
    return collector.finish() if few is None else few


def size_of(files: Sequence[InputFile]) -> int:
    """Bytes of all files."""
    return files.size if isinstance(files, FileTable) else sum(file.size for file in files)


def with_content(files: Sequence[InputFile]) -> Iterator[InputFile]:
    """Those that hold what is no text."""
    if not isinstance(files, FileTable):
        return (file for file in files if file.content)
    blocks = (files.of_block(n) for n, block in enumerate(files.blocks) if block.content)
    return (file for block in blocks for file in block if file.content)


def _row(files: Sequence[InputFile], data: bytes) -> Block:
    return Block(
        count=len(files),
        filled=sum(file.size > 0 for file in files),
        size=sum(file.size for file in files),
        length=len(data),
        crc=zlib.crc32(data),
        far=any(file.location.startswith("s3://") for file in files),
        content=any(file.content for file in files),
    )


def _encoded(files: Sequence[InputFile]) -> bytes:
    import zstandard  # where there are many files

    columns = {
        "sources": [file.source for file in files],
        "locations": [_without_end(file.location, file.source) for file in files],
        "sizes": [file.size for file in files],
        "compressions": [file.compression for file in files],
        "versions": [_without_start(file.version, f"{file.size}-") for file in files],
        "contents": [file.content for file in files],
    }
    data = zstandard.ZstdCompressor(level=LEVEL).compress(_encode(columns).encode("ascii"))
    return bytes(memoryview(data))  # what it gives has room for all that it might have become


def _decoded(block: Block, data: bytes) -> tuple[InputFile, ...]:
    """The files of a stored block; ValueError when it is not that block."""
    if zlib.crc32(data) != block.crc or len(data) != block.length:
        raise Mismatch(f"the checksum does not match its {len(data)} bytes")
    c = take(_Columns, parse(_decompressed(data)))
    files = tuple(
        InputFile(
            source,
            place[1:] + source if place[:1] == _FOLLOWS else place[1:],
            size,
            compression,
            f"{size}-{version[1:]}" if version[:1] == _FOLLOWS else version[1:],
            content,
        )
        for source, place, size, compression, version, content in zip(
            c.sources, c.locations, c.sizes, c.compressions, c.versions, c.contents, strict=True
        )
    )
    if _row(files, data) != block:
        raise Mismatch("its files are not those that the index tells of")
    return files


def _decompressed(data: bytes) -> bytes:
    import zstandard

    try:
        if not 0 <= zstandard.frame_content_size(data) <= BLOCK_BYTES:
            raise Mismatch("it does not say how large it is, or is too large")
        return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise Mismatch(f"not zstd: {error}") from None


def _without_end(text: str, end: str) -> str:
    return _FOLLOWS + text.removesuffix(end) if end and text.endswith(end) else _AS_IS + text


def _without_start(text: str, start: str) -> str:
    return _FOLLOWS + text.removeprefix(start) if text.startswith(start) else _AS_IS + text


def _damaged(where: str, words: str) -> CorruptBlock:
    return CorruptBlock(f"{where} is damaged: {words}; start a new run")
