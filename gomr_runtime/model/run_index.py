"""The partition index at the end of a map output: where each partition's sorted runs lie.

"gmI2", partitions (uint32), CRC-32 of that number and of what follows (uint32)
partitions + 1 entry numbers (uint32): partition p owns entries [e[p], e[p + 1])
entries: offset, length in bytes, rows, bytes of the largest frame once it is uncompressed (uint64
each), in the order the runs were made
"""

from __future__ import annotations

import struct
import zlib
from array import array
from dataclasses import dataclass
from itertools import accumulate

from gomr_runtime.errors import CorruptBlock

_HEAD = struct.Struct("<4sII")
_MAGIC = b"gmI2"
_WORDS = 4  # of an entry


@dataclass(frozen=True, slots=True)
class Run:
    """A sorted run of one partition: frames in bytes `[offset, offset + length)`.

    largest: bytes of its largest frame, uncompressed: what reading it takes.
    """

    offset: int
    length: int
    rows: int
    largest: int


def encode_index(partitions: list[list[Run]]) -> bytes:
    """The index of a map output, `partitions[p]` being the runs of partition p."""
    starts = array("I", accumulate(map(len, partitions), initial=0))
    entries = array("Q")
    for runs in partitions:
        for run in runs:
            entries.extend((run.offset, run.length, run.rows, run.largest))
    body = starts.tobytes() + entries.tobytes()
    return _HEAD.pack(_MAGIC, len(partitions), _crc(len(partitions), body)) + body


def is_index_size(size: int, partitions: int) -> bool:
    """Return whether an index of so many partitions can have so many bytes."""
    entries = size - _HEAD.size - 4 * (partitions + 1)
    return entries >= 0 and entries % (8 * _WORDS) == 0


def decode_partition(raw: bytes, partition: int, where: str) -> list[Run]:
    """The runs of one partition; CorruptBlock naming `where` if the index is damaged."""
    if len(raw) < _HEAD.size:
        raise CorruptBlock(f"{where}: the partition index is cut short")
    magic, partitions, crc = _HEAD.unpack_from(raw)
    body = memoryview(raw)[_HEAD.size :]
    if magic != _MAGIC or _crc(partitions, body) != crc or partition >= partitions:
        raise CorruptBlock(f"{where}: the partition index does not match its checksum")
    starts = body[: 4 * (partitions + 1)].cast("I")
    entries = body[4 * (partitions + 1) :].cast("Q")
    if _WORDS * starts[partitions] != len(entries):
        raise CorruptBlock(f"{where}: the partition index lists other runs than it holds")
    return [
        Run(*entries[_WORDS * i : _WORDS * (i + 1)])
        for i in range(starts[partition], starts[partition + 1])
    ]


def _crc(partitions: int, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(partitions.to_bytes(4, "little")))
