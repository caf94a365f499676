"""The compiled buffer of pairs, with what it sends elsewhere and what it writes."""

from __future__ import annotations

import zlib
from typing import Any

from gomr_runtime.dataflow.pairs.frames import Header, decode_keys, decode_values, read_body
from gomr_runtime.dataflow.pairs.keys import Kind
from gomr_runtime.system import compiled

native: Any = compiled.load()

Pair = tuple[Any, Any]
ANY_KEY = 1 << Kind.INT | 1 << Kind.STR | 1 << Kind.BYTES


class Buffer:
    """A `Pairs` with what it sent elsewhere."""

    def __init__(
        self,
        mode: str = "plain",
        only: int = 0,
        trial: int = 1 << 40,
        secret: bytes = b"not a secret, but in a test only",
        keys: int = ANY_KEY,
    ) -> None:
        self.others: list[Any] = []
        self.filled = 0
        self.pairs = native.Pairs(
            other=lambda *given, **named: self.others.append(given),
            other_many=lambda *given, **named: self.others.append(given),
            other_count=lambda *given, **named: self.others.append(given),
            full=self.full,
            limit=1 << 40,
            mode=mode,
            keys=keys,
            only=only,
            trial=trial,
            ticks=None,
            secret=secret,
        )

    def full(self) -> None:
        self.filled += 1

    def sorted_rows(self, partitions: int, where: Any = None) -> list[list[Pair]]:
        """The pairs of each partition, through frames of at most three rows."""
        pairs = self.pairs
        bounds = pairs.sort(partitions, where)
        kinds = (pairs.key_kind, pairs.value_kind)
        found: list[list[Pair]] = []
        for p in range(partitions):
            found.append([])
            start = bounds[p]
            while start < bounds[p + 1]:
                rows, key_size, body = pairs.body(start, bounds[p + 1], 3, 1 << 20)
                found[p] += rows_of(*kinds, rows, key_size, body)
                start += rows
        return found


def rows_of(key: int, value: int, rows: int, key_size: int, body: bytes) -> list[Pair]:
    size = len(body)
    header = Header(
        Kind(key), Kind(value), 0, rows, key_size, size - key_size, size, zlib.crc32(body), 0
    )
    frame = read_body(header, memoryview(body), "test")
    return list(zip(decode_keys(frame), decode_values(frame), strict=True))
