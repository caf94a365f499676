"""What the handles of runs with a master share: the events of the master, in the caller's thread.

Threads hear of the run (its master, its processes, its pods) and put what they hear on a queue.
Whoever iterates over the events takes it from there, so that a Ctrl-C never arrives inside gRPC.
"""

from __future__ import annotations

import queue
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from gomr_runtime.model.errors_of import error_of, summary_of
from gomr_runtime.model.summary import Summary
from gomr_runtime.runs.handle import LogLine, RunEvent

if TYPE_CHECKING:
    from gomr_runtime._pb import run_pb2 as pb
    from gomr_runtime.rpc.client import RunClient

LATE_SUMMARY = 5.0  # seconds for the last events after the master's end

H = TypeVar("H")


class WatchedRun(ABC, Generic[H]):
    """A `RunHandle` whose master is watched. H: what is heard beside the master's messages."""

    def __init__(self) -> None:
        self.summary: Summary | None = None
        self._client: RunClient | None = None
        self._happenings: queue.SimpleQueue[pb.WatchEvent | H] = queue.SimpleQueue()
        self._deadline: float | None = None  # once nothing more can come but the last events

    def messages(self) -> Iterator[pb.WatchEvent]:
        """What the master sends, numbered, its summary last; as `events` otherwise."""
        while self.summary is None:
            try:
                happening = self._happenings.get(timeout=self._patience())
            except queue.Empty:
                self.summary = self._unheard_summary()
                return
            message = self._message_of(happening)
            if message is None:
                continue
            if message.WhichOneof("body") == "summary":
                self.summary = summary_of(message.summary)
            yield message

    def events(self) -> Iterator[RunEvent]:
        """See `RunHandle.events`."""
        for message in self.messages():
            kind = message.WhichOneof("body")
            if kind == "log":
                yield LogLine(message.log.level, message.log.text)
            elif kind == "progress":
                yield message.progress

    def result(self) -> Summary:
        """See `RunHandle.result`."""
        while (summary := self.summary) is None:
            for _ in self.messages():
                pass
        if error := error_of(summary):
            raise error
        return summary

    def cancel(self, reason: str) -> None:
        """See `RunHandle.cancel`."""
        if self._client is not None:
            self._client.cancel(reason)

    def interrupt(self) -> None:
        """See `RunHandle.interrupt`. The run goes on unless it is one of this process."""

    def _patience(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    @abstractmethod
    def _message_of(self, happening: pb.WatchEvent | H) -> pb.WatchEvent | None:
        """The message to be told of it; None for what only this class has to react to.

        Raises:
            GomrError: nothing will be heard of the run any more.
        """

    @abstractmethod
    def _unheard_summary(self) -> Summary:
        """How the run ended, when the last message did not come in time.

        Raises:
            GomrError: nobody can tell.
        """
