"""What can happen to a master, beside what the scheduler's events say: the inputs of its core.

As those of the scheduler, every one carries `now`, seconds on the master's monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from gomr_runtime.errors import GomrError, RunConflict
from gomr_runtime.master.core.duties import Answer, Duty
from gomr_runtime.master.core.plan import Manifest, Plan
from gomr_runtime.model.ids import AttemptId
from gomr_runtime.model.task import TaskFailure, TaskResult
from gomr_runtime.scheduler.events import Event


@dataclass(frozen=True, slots=True)
class PlanMade(Event):
    """The run is split, and this is what earlier masters committed."""

    plan: Plan
    commits: tuple[Manifest, ...]


@dataclass(frozen=True, slots=True)
class AttemptProgress:
    """How far an attempt is; done: bytes of input or pairs."""

    attempt: AttemptId
    fraction: float
    done: int


@dataclass(frozen=True, slots=True)
class HeartbeatReceived(Event):
    """A worker's heartbeat, with everything it runs and how many attempts more it has room for."""

    worker: str
    running: tuple[AttemptProgress, ...]
    room: int | None = None


@dataclass(frozen=True, slots=True)
class AttemptReported(Event):
    """How an attempt ended, to the master of `epoch`, from whoever holds its `nonce`."""

    worker: str
    attempt: AttemptId
    nonce: str
    epoch: int
    outcome: TaskResult | TaskFailure


@dataclass(frozen=True, slots=True)
class DutyAnswered(Event):
    """A duty is done; the answer is a GomrError when it failed beyond its retries."""

    duty: Duty
    answer: Answer


@dataclass(frozen=True, slots=True)
class RunFailed(Event):
    """The run cannot go on, whatever the scheduler would say."""

    error: GomrError


@dataclass(frozen=True, slots=True)
class MasterReplaced(Event):
    """A newer master goes on with the run."""

    error: RunConflict
