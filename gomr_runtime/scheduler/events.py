"""What can happen to a run. Every event carries `now`, seconds on the master's monotonic clock.

The master's I/O turns messages, timers and store answers into these; `Scheduler.handle` takes
nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from gomr_runtime.model.ids import AttemptId
from gomr_runtime.model.task import TaskFailure


@dataclass(frozen=True, slots=True)
class Event:
    now: float


@dataclass(frozen=True, slots=True)
class TasksPlanned(Event):
    """The input is split: `maps` map tasks (at least 0), `reduces` reduce tasks (0 for map-only),
    and a sample task before the maps if `sample`."""

    maps: int
    reduces: int
    sample: bool


@dataclass(frozen=True, slots=True)
class PlanningBegan(Event):
    """A worker has come, and the run is planned for it: it joins as soon as that is done."""


@dataclass(frozen=True, slots=True)
class CommitRecovered(Event):
    """A restarted master found this commit in the store (before any worker joins), the newest
    generation of its task."""

    attempt: AttemptId
    generation: int = 0


@dataclass(frozen=True, slots=True)
class WorkerJoined(Event):
    """A worker registered. `worker` is unique for each incarnation of a worker process."""

    worker: str


@dataclass(frozen=True, slots=True)
class WorkerHeard(Event):
    """A sign of life: renews the leases of everything the worker runs.

    `running` are the attempts that the worker says it runs; one that we think it runs and that is
    missing twice in a row is lost. `room`, where it is said, is for so many attempts more; those
    that are on their way to the worker, and so are not named yet, will take of it.
    """

    worker: str
    running: tuple[AttemptId, ...]
    room: int | None = None


@dataclass(frozen=True, slots=True)
class WorkerLeft(Event):
    """The worker said goodbye or its process is known to be dead: no need to wait for the lease."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class TaskWanted(Event):
    """The worker has room for `count` more attempts beside those that it says are `running`; what
    is on its way to it, and so is not named yet, will take of that. This replaces what it wanted
    before."""

    worker: str
    count: int
    running: tuple[AttemptId, ...] | None = None


@dataclass(frozen=True, slots=True)
class AttemptProgressed(Event):
    """How far an attempt is: `fraction` from 0 to 1, never going back."""

    worker: str
    attempt: AttemptId
    fraction: float


@dataclass(frozen=True, slots=True)
class AttemptSucceeded(Event):
    """The attempt's data is stored and verified; it asks to be committed."""

    worker: str
    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class AttemptFailed(Event):
    worker: str
    attempt: AttemptId
    failure: TaskFailure


@dataclass(frozen=True, slots=True)
class CommitSettled(Event):
    """The store's final answer to `CommitAttempt`: `winner` is the attempt whose manifest is
    there now, which may be another one. None: the store is out of reach beyond its retries.
    generation: that of the manifest, above the one asked for where manifests were damaged."""

    attempt: AttemptId
    winner: AttemptId | None
    generation: int = 0


@dataclass(frozen=True, slots=True)
class MapsSealed(Event):
    """The list of committed map outputs is stored; reducers can start."""


@dataclass(frozen=True, slots=True)
class OutputPromoted(Event):
    """Every part and `_SUCCESS` stand under the output prefix."""


@dataclass(frozen=True, slots=True)
class StoreFailed(Event):
    """A duty of the master's own (sealing, promoting) failed beyond its retries."""

    message: str


@dataclass(frozen=True, slots=True)
class CancelRequested(Event):
    reason: str


@dataclass(frozen=True, slots=True)
class Tick(Event):
    """Time passes: leases, deadline, backup tasks."""
