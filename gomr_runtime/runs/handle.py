"""A run that was started, as whoever started or follows it holds it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.model.summary import Summary
from gomr_runtime.runs.progress import PhaseState, Reporter


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a run's log; the level "error" says how the run ended."""

    level: str
    text: str


RunEvent = LogLine | PhaseState
"""What a run tells of itself: a line, or how far one of its phases is."""


class RunHandle(Protocol):
    """A run wherever it goes on: in this process, on processes of this machine, on a cluster."""

    @property
    def summary(self) -> Summary | None:
        """How the run ended; None while nobody has heard it."""

    def events(self) -> Iterator[RunEvent]:
        """Tell what happens until the run is over.

        The caller may leave the iterator and ask for another one later, which goes on where the
        first was left: each event is told once.

        Raises:
            GomrError: it can no longer be heard how the run ends, and why.
        """

    def result(self) -> Summary:
        """Wait for the end of the run, passing over the events that are left.

        Returns:
            The summary of a run that succeeded.

        Raises:
            GomrError: how else the run ended, or that nobody can tell; `summary` holds the rest.
        """

    def cancel(self, reason: str) -> None:
        """Ask for the end of the run; `result` raises Cancelled once it has ended by that."""

    def interrupt(self) -> None:
        """Give a run that ends with this handle some seconds to write down how it ended, since the
        person waits no longer."""

    def close(self) -> None:
        """Let go of the run, and end what this handle has started. Safe to repeat."""


class NotStarted:
    """The handle of a run that nobody has started: nothing is heard of it."""

    summary: Summary | None = None

    def events(self) -> Iterator[RunEvent]:
        return iter(())

    def result(self) -> Summary:
        raise EnvironmentFailed("the run was not started")

    def cancel(self, reason: str) -> None: ...
    def interrupt(self) -> None: ...
    def close(self) -> None: ...


class Startable(RunHandle, Protocol):
    """A handle that starts its run itself."""

    def start(self) -> None:
        """Start the run; what has begun of it when that fails is ended by `close`."""


StartableRun = TypeVar("StartableRun", bound=Startable)


def started(run: StartableRun) -> StartableRun:
    """Return the run, started; where that fails nothing of it is left."""
    try:
        run.start()
    except BaseException:
        run.close()
        raise
    return run


def tell(event: RunEvent, progress: Reporter) -> None:
    """Pass an event on to the person."""
    if isinstance(event, LogLine):
        progress.log(event.level, event.text)
    else:
        progress.update(event)
