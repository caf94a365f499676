"""The events a client watches: numbered, kept for a while, resumable from any number."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.errors import one_line
from gomr_runtime.system.streams import say

BACKLOG = 4096  # events kept for clients that come back
TRANSCRIPT = 10_000  # log lines kept for the store
PROGRESS_EVERY = 0.1  # seconds at least between two progress events
KEEPALIVE = 10.0  # seconds after which the last progress is told again, as a sign of life


class Feed:
    """Sequence numbers grow over restarts of the master: the epoch is their upper half."""

    def __init__(self, epoch: int) -> None:
        self._next = (epoch << 32) + 1
        self._started = time.monotonic()
        self._events: deque[pb.WatchEvent] = deque(maxlen=BACKLOG)
        self._grown = asyncio.Event()
        self._progress: pb.PhaseProgress | None = None
        self._told = 0.0
        self._lines: deque[str] = deque(maxlen=TRANSCRIPT)
        self.last_summary = ""
        self.ended = False

    def log(self, text: str, level: str = "info") -> None:
        """One line for the master's stderr and for everybody who watches."""
        line = one_line(text)
        say(line)
        self._lines.append(line)
        self._add(pb.WatchEvent(log=pb.LogLine(level=level, text=line)))

    def transcript(self) -> bytes:
        """The last log lines, as a file."""
        return "".join(f"{line}\n" for line in self._lines).encode("utf-8", "backslashreplace")

    def progress(self, progress: pb.PhaseProgress, *, now: bool = False) -> None:
        """Tell how far the run is: news at most every `PROGRESS_EVERY` seconds unless `now`."""
        news = progress != self._progress and (now or self.progress_due())
        if news or time.monotonic() - self._told >= KEEPALIVE:
            self._progress = progress
            self._told = time.monotonic()
            self._add(pb.WatchEvent(progress=progress))

    def progress_due(self) -> bool:
        """Whether progress told now would be passed on."""
        return time.monotonic() - self._told >= PROGRESS_EVERY

    def end(self, summary: str) -> None:
        """The last event: what is told later reaches nobody but the master's own log."""
        self.last_summary = summary
        self._add(pb.WatchEvent(summary=summary))
        self.ended = True

    async def after(self, sequence: int) -> AsyncIterator[pb.WatchEvent]:
        """Every event numbered above `sequence` that is still known, then new ones to the end."""
        while True:
            # Taken before looking: an event added meanwhile sets this very one.
            grown = self._grown
            for event in [e for e in self._events if e.sequence > sequence]:
                yield event
                sequence = event.sequence
            if self.ended and sequence + 1 >= self._next:
                return
            await grown.wait()

    def _add(self, event: pb.WatchEvent) -> None:
        if self.ended:
            return
        event.sequence = self._next
        event.seconds = time.monotonic() - self._started
        self._next += 1
        self._events.append(event)
        self._grown.set()
        self._grown = asyncio.Event()
