"""Bytes in memory as a blob."""

from __future__ import annotations


class BytesBlob:
    """Bytes in memory as a blob."""

    version = ""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`; fewer only at the end."""
        return self._data[offset : offset + length]

    def close(self) -> None:
        """Nothing to give back."""
