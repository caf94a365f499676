"""What a master's core asks its driver to do, in the order of the list that it returns."""

from __future__ import annotations

from dataclasses import dataclass

from gomr_runtime.errors import GomrError, RunConflict
from gomr_runtime.master.core.duties import Duty
from gomr_runtime.model.ids import AttemptId
from gomr_runtime.model.inputs.pieces import Split
from gomr_runtime.model.summary import Summary


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
    """Do this without waiting for it, then tell it in an `DutyAnswered`."""

    duty: Duty


@dataclass(frozen=True, slots=True)
class Log:
    text: str
    level: str = "info"


@dataclass(frozen=True, slots=True)
class LogMapsCompleted:
    """Every map is committed for the first time; for the log."""


@dataclass(frozen=True, slots=True)
class ShowPhase:
    """For whoever watches: worth telling at once."""

    phase: str


@dataclass(frozen=True, slots=True)
class Announce:
    """The run is over, and everybody may know; nothing follows. `error` is None for success."""

    summary: Summary
    error: GomrError | None


@dataclass(frozen=True, slots=True)
class StepDown:
    """Leave the run to a newer master, without a trace; nothing follows."""

    error: RunConflict


Effect = (
    Assign | Abandon | Expire | Perform | Log | LogMapsCompleted | ShowPhase | Announce | StepDown
)
