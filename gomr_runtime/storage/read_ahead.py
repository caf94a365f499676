"""Reading ahead: what comes next in a far object is on its way while what came before is used."""

from __future__ import annotations

from collections import deque
from functools import cache
from typing import TYPE_CHECKING

from gomr_runtime.errors import GomrError

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from gomr_runtime.storage.stored_blob import StoredBlob

CHUNK = 8 << 20  # bytes of one request; for the same bytes in halves MinIO works 1.4 times as long
AHEAD = 2  # requests under way or waiting to be used, of one object
PAST = 256 << 10  # bytes of a request behind `until`
READERS = 8  # threads, for all objects


@cache
def _readers() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # not for a job in one process

    return ThreadPoolExecutor(READERS, "reader")


class AheadBlob:
    """Reads a blob ahead as long as its one reader goes from front to back.

    A read from anywhere else is served directly, and reading ahead starts again behind it.
    """

    def __init__(self, blob: StoredBlob, until: int | None = None) -> None:
        """Take the blob; nothing is requested yet.

        Args:
            until: The offset at which reading ahead stops, by default the blob's end. Bytes behind
                it are requested when they are needed.
        """
        self.size = blob.size
        self.version = blob.version
        self._blob = blob
        self._until = blob.size if until is None else min(until, blob.size)
        self._next = 0  # where a read continues the one before
        self._asked = 0  # how far requests go
        self._chunks: deque[Future[bytes | memoryview]] = deque()
        self._rest = memoryview(b"")  # of the chunk in use, from `_next` on

    def read_at(self, offset: int, length: int) -> bytes:
        """As the blob's own, and its errors."""
        if offset != self._next:
            self._forget()
            data = self._blob.read_at(offset, length)
            self._next = self._asked = offset + len(data)
            return data
        parts: list[bytes] = []
        while length > 0 and (piece := self._take(length)):
            parts.append(piece)
            length -= len(piece)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        self._forget()
        self._blob.close()

    def _take(self, length: int) -> bytes:
        """At most `length` bytes of the chunk in use, or of the next one; b"" at the end."""
        if not self._rest:
            self._ask()
            if not self._chunks and self._asked < self.size:
                self._send(min(PAST, self.size - self._asked))
            if not self._chunks:
                return b""
            try:
                self._rest = memoryview(self._chunks.popleft().result())
            except GomrError:
                self._forget()
                self._asked = self._next
                raise
            self._ask()
        data, self._rest = bytes(self._rest[:length]), self._rest[length:]
        self._next += len(data)
        return data

    def _ask(self) -> None:
        while len(self._chunks) < AHEAD and self._asked < self._until:
            self._send(min(CHUNK, self._until - self._asked))

    def _send(self, size: int) -> None:
        self._chunks.append(_readers().submit(self._blob.view_at, self._asked, size))
        self._asked += size

    def _forget(self) -> None:
        for chunk in self._chunks:
            chunk.cancel()
        self._chunks.clear()
        self._rest = memoryview(b"")
