"""What the scheduler asks its driver to do, in the order of the list it returns.

Duties: a commit is durable before `CommitSettled` says so; the list of map outputs is stored
before any reduce attempt starts; parts are verified before `_SUCCESS` is created.
"""

from __future__ import annotations

from dataclasses import dataclass

from gomr_runtime.errors import GomrError
from gomr_runtime.model.ids import AttemptId, TaskId


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Send the attempt to the worker. `skipped` are record numbers proven bad before."""

    worker: str
    attempt: AttemptId
    skipped: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CommitAttempt:
    """Create the task's manifest of this generation for this attempt, then report
    `CommitSettled`. The generation is 0 unless committed data of the task was proven bad."""

    attempt: AttemptId
    generation: int = 0


@dataclass(frozen=True, slots=True)
class AbandonAttempt:
    """Tell the worker to kill this attempt and drop its result; no answer is expected."""

    worker: str
    attempt: AttemptId
    reason: str


@dataclass(frozen=True, slots=True)
class ExpireWorker:
    """The worker is lost: close its stream; whatever it says under this name is refused."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class SealMaps:
    """Store the list of committed map outputs, then report `MapsSealed`. It is another list than
    those before when a map ran again; reducers read the one that was stored last."""


@dataclass(frozen=True, slots=True)
class RepeatMap:
    """The committed output of this map is proven bad: it runs again. For logs and watchers."""

    task: TaskId
    reason: str


@dataclass(frozen=True, slots=True)
class PromoteOutput:
    """Move the committed parts to the output and create `_SUCCESS`, then `OutputPromoted`."""


@dataclass(frozen=True, slots=True)
class AnnouncePhase:
    """Say that a phase began: `sample`, `map`, `reduce`, `promote`; for logs and watchers."""

    phase: str


@dataclass(frozen=True, slots=True)
class FinishRun:
    """The end; nothing follows. `error` is None for success."""

    error: GomrError | None


Command = (
    StartAttempt
    | CommitAttempt
    | AbandonAttempt
    | ExpireWorker
    | SealMaps
    | RepeatMap
    | PromoteOutput
    | AnnouncePhase
    | FinishRun
)
