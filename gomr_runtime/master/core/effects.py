"""What goes into a master's core and what comes out of it: plain values.

Inputs are the scheduler's events and the ones here; every one carries `now`, seconds on the
master's monotonic clock. Effects are carried out in the order of their list.
"""

from __future__ import annotations

from dataclasses import dataclass

from gomr_runtime.errors import GomrError, RunConflict
from gomr_runtime.master.core.duties import Answer, Duty
from gomr_runtime.master.core.plan import Manifest, Plan
from gomr_runtime.model.ids import AttemptId
from gomr_runtime.model.job import Summary, TaskFailure, TaskResult
from gomr_runtime.model.pieces import Split
from gomr_runtime.scheduler.events import Event


@dataclass(frozen=True, slots=True)
class Planned(Event):
    """The run is split, and this is what earlier masters committed."""

    plan: Plan
    commits: tuple[Manifest, ...]


@dataclass(frozen=True, slots=True)
class Doing:
    """How far an attempt is; done: bytes of input or pairs."""

    attempt: AttemptId
    fraction: float
    done: int


@dataclass(frozen=True, slots=True)
class Beaten(Event):
    """A worker's heartbeat, with everything it runs and how many attempts more it has room for."""

    worker: str
    running: tuple[Doing, ...]
    room: int | None = None


@dataclass(frozen=True, slots=True)
class Reported(Event):
    """How an attempt ended, to the master of `epoch`, from whoever holds its `nonce`."""

    worker: str
    attempt: AttemptId
    nonce: str
    epoch: int
    outcome: TaskResult | TaskFailure


@dataclass(frozen=True, slots=True)
class Answered(Event):
    """A duty is done; the answer is a GomrError when it failed beyond its retries."""

    duty: Duty
    answer: Answer


@dataclass(frozen=True, slots=True)
class Failing(Event):
    """The run cannot go on, whatever the scheduler would say."""

    error: GomrError


@dataclass(frozen=True, slots=True)
class Replaced(Event):
    """A newer master goes on with the run."""

    error: RunConflict


@dataclass(frozen=True, slots=True)
class Assign:
    """Send the worker an attempt: `task` is its TaskSpec as JSON. ranges: what it reads."""

    worker: str
    task: str
    ranges: Split = ()


@dataclass(frozen=True, slots=True)
class Abandon:
    """Tell the worker to kill the attempt; nonce "": whatever it is."""

    worker: str
    attempt: AttemptId
    nonce: str
    reason: str


@dataclass(frozen=True, slots=True)
class Expire:
    """Close the worker's stream; it must come back under a new name."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class Perform:
    """Do this without waiting for it, then tell it in an `Answered`."""

    duty: Duty


@dataclass(frozen=True, slots=True)
class Log:
    text: str
    level: str = "info"


@dataclass(frozen=True, slots=True)
class MapsCompleted:
    """Every map is committed for the first time; for the log."""


@dataclass(frozen=True, slots=True)
class PhaseBegan:
    """For whoever watches: worth telling at once."""

    phase: str


@dataclass(frozen=True, slots=True)
class Announce:
    """The run is over, and everybody may know; nothing follows. `error` is None for success."""

    summary: Summary
    error: GomrError | None


@dataclass(frozen=True, slots=True)
class Yield:
    """Leave the run to a newer master, without a trace; nothing follows."""

    error: RunConflict


Effect = Assign | Abandon | Expire | Perform | Log | MapsCompleted | PhaseBegan | Announce | Yield
