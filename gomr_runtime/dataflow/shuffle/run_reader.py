"""Reads the frames of one sorted run, one after the other, from a file or stored object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from gomr_runtime.dataflow.pairs.frames import HEADER, Frame, Header, read_body, read_header
from gomr_runtime.dataflow.profile import timed
from gomr_runtime.errors import CorruptBlock, DataError
from gomr_runtime.model.run_index import Run


class Readable(Protocol):
    """What a cursor reads from; `execution.Blob` is one."""

    def read_at(self, offset: int, length: int) -> bytes: ...


class Cursor:
    """Frames of a run in order; `upcoming` is the header of the next one, None at the end."""

    def __init__(
        self, blob: Readable, run: Run, where: str, window: int = 1 << 20, map_task: int = -1
    ) -> None:
        """window: bytes fetched at a time. where: names the run in a CorruptBlock; map_task: the
        map that wrote it, whom the error blames."""
        self._blob = blob
        self._at = run.offset
        self._end = run.offset + run.length
        self.where = where
        self._window = window
        self.map_task = map_task
        self._buffer = memoryview(b"")
        self.upcoming: Header | None = None
        self._peek()

    def next(self) -> Frame:
        """The frame that `upcoming` announces, verified; CorruptBlock if it is damaged."""
        header = self.upcoming
        assert header is not None, "read past the end of a run"
        try:
            frame = read_body(header, self._take(header.stored), self.where)
        except CorruptBlock as error:
            raise error.of_map(self.map_task) from None
        self._peek()
        return frame

    def frames(self) -> Iterator[Frame]:
        """Every frame that is left."""
        while self.upcoming is not None:
            yield self.next()

    def _peek(self) -> None:
        left = len(self._buffer) + self._end - self._at
        try:
            self.upcoming = read_header(self._take(HEADER.size), self.where) if left else None
        except CorruptBlock as error:
            raise error.of_map(self.map_task) from None

    def _take(self, size: int) -> memoryview:
        missing = size - len(self._buffer)
        if missing > self._window:
            # A huge frame: read it as a whole, which costs less memory than joining two pieces.
            self._at -= len(self._buffer)
            self._buffer, missing = memoryview(b""), size
        if missing > 0:
            wanted = min(max(missing, self._window), self._end - self._at)
            fetched = self._fetch(wanted) if wanted else b""
            self._at += len(fetched)
            if len(fetched) < missing:
                raise CorruptBlock(
                    f"{self.where}: the run ends {missing - len(fetched)} bytes early"
                )
            held = bytes(self._buffer)
            self._buffer = memoryview(held + fetched if held else fetched)
        taken, rest = self._buffer[:size], self._buffer[size:]
        # A view of the rest would keep all that was fetched in memory, a huge frame included.
        self._buffer = memoryview(bytes(rest)) if size > self._window else rest
        return taken

    def _fetch(self, size: int) -> bytes:
        try:
            with timed("store"):
                return self._blob.read_at(self._at, size)
        except DataError as error:  # not the user's data: it vanished while it was read
            raise CorruptBlock(f"{self.where}: {error}") from None
