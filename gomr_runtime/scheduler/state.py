"""What the scheduler knows, and which step may follow which: tables as data, no decisions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from gomr_runtime.errors import GomrError
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.task import TaskKind


class Phase(Enum):
    """Where the run is. It goes forward, and back to `map` only for damaged map output."""

    WAIT = "wait"
    SAMPLE = "sample"
    MAP = "map"
    SEAL = "seal"
    REDUCE = "reduce"
    PROMOTE = "promote"
    FINISHED = "finished"


class TaskState(Enum):
    PENDING = "pending"
    RUNNING = "running"
    COMMITTING = "committing"
    COMMITTED = "committed"


class AttemptState(Enum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"  # reported; its commit is on the way or it waits as the fallback
    FAILED = "failed"
    LOST = "lost"
    ABANDONED = "abandoned"  # the run ended
    SUPERSEDED = "superseded"  # another attempt of the task won
    COMMITTED = "committed"
    DAMAGED = "damaged"  # committed, and then its data was proven bad


class Trigger(Enum):
    """What moves a phase, a task or an attempt."""

    PLANNED = "tasks planned"
    PLANNED_WITH_SAMPLE = "tasks planned with a sample"
    ALL_COMMITTED = "every task committed"
    MAPS_ARE_OUTPUT = "every map of a map-only job committed"
    SEALED = "maps sealed"
    PROMOTED = "output promoted"
    ENDED = "run ended early"
    STARTED = "attempt started"
    SUCCEEDED = "attempt succeeded"
    FAILED = "attempt failed"
    LOST = "attempt lost"
    EMPTIED = "no attempt left"
    SETTLED = "commit settled"
    RECOVERED = "commit recovered"
    BEATEN = "another attempt won"
    DAMAGED = "committed data proven bad"


PHASES: dict[tuple[Phase, Trigger], Phase] = {
    (Phase.WAIT, Trigger.PLANNED_WITH_SAMPLE): Phase.SAMPLE,
    (Phase.WAIT, Trigger.PLANNED): Phase.MAP,
    (Phase.SAMPLE, Trigger.ALL_COMMITTED): Phase.MAP,
    (Phase.MAP, Trigger.ALL_COMMITTED): Phase.SEAL,
    (Phase.MAP, Trigger.MAPS_ARE_OUTPUT): Phase.PROMOTE,
    (Phase.SEAL, Trigger.SEALED): Phase.REDUCE,
    (Phase.SEAL, Trigger.DAMAGED): Phase.MAP,
    (Phase.REDUCE, Trigger.DAMAGED): Phase.MAP,
    (Phase.REDUCE, Trigger.ALL_COMMITTED): Phase.PROMOTE,
    (Phase.PROMOTE, Trigger.PROMOTED): Phase.FINISHED,
    **{(phase, Trigger.ENDED): Phase.FINISHED for phase in Phase if phase is not Phase.FINISHED},
}

TASKS: dict[tuple[TaskState, Trigger], TaskState] = {
    (TaskState.PENDING, Trigger.STARTED): TaskState.RUNNING,
    (TaskState.PENDING, Trigger.RECOVERED): TaskState.COMMITTED,
    (TaskState.RUNNING, Trigger.STARTED): TaskState.RUNNING,  # a backup
    (TaskState.RUNNING, Trigger.SUCCEEDED): TaskState.COMMITTING,
    (TaskState.RUNNING, Trigger.EMPTIED): TaskState.PENDING,
    (TaskState.RUNNING, Trigger.RECOVERED): TaskState.COMMITTED,
    (TaskState.COMMITTING, Trigger.SUCCEEDED): TaskState.COMMITTING,  # the fallback
    (TaskState.COMMITTING, Trigger.SETTLED): TaskState.COMMITTED,
    (TaskState.COMMITTED, Trigger.DAMAGED): TaskState.PENDING,  # its next generation
}

ATTEMPTS: dict[tuple[AttemptState, Trigger], AttemptState] = {
    (AttemptState.RUNNING, Trigger.SUCCEEDED): AttemptState.SUCCEEDED,
    (AttemptState.RUNNING, Trigger.FAILED): AttemptState.FAILED,
    (AttemptState.RUNNING, Trigger.LOST): AttemptState.LOST,
    (AttemptState.RUNNING, Trigger.BEATEN): AttemptState.SUPERSEDED,
    (AttemptState.RUNNING, Trigger.ENDED): AttemptState.ABANDONED,
    (AttemptState.SUCCEEDED, Trigger.SETTLED): AttemptState.COMMITTED,
    (AttemptState.SUCCEEDED, Trigger.BEATEN): AttemptState.SUPERSEDED,
    (AttemptState.COMMITTED, Trigger.DAMAGED): AttemptState.DAMAGED,
}

KIND_OF_PHASE: dict[Phase, TaskKind] = {
    Phase.SAMPLE: "sample",
    Phase.MAP: "map",
    Phase.REDUCE: "reduce",
}
ANNOUNCED = (Phase.SAMPLE, Phase.MAP, Phase.REDUCE, Phase.PROMOTE)


class InvalidTransition(GomrError):
    """An event that cannot follow what happened before: a defect of GoMR or of its driver.

    history: what is known of the task, one attempt a line (empty for a phase).
    """

    def __init__(self, subject: str, state: str, trigger: str, history: Sequence[str] = ()) -> None:
        super().__init__(
            f"scheduler: {subject} is {state}, so {trigger!r} cannot happen; "
            "this is a defect of GoMR, please report it with the master's log",
            detail="\n".join(history),
        )
        self.history = tuple(history)


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """The rules of a run; times are in seconds, ValueError for one that makes no sense.

    lease: silence after which a worker is lost. max_attempts: failures caused by the task.
    max_timeouts: how many of these may be timeouts. max_lost: attempts of one task lost with their
    worker, or failed by its fault or the store's. deadline: on the clock of `Event.now`.
    no_worker_timeout: how long the run may need workers and have none. skip_bad_records: how many
    records that kill the child twice may be set aside. first_attempt: number of the first attempt
    of each task; a restarted master takes one above all that earlier masters can have used.

    Backup tasks start when `backup_after` of the phase is committed or fewer tasks remain than
    there are idle slots, for an attempt older than `backup_floor` and `backup_slowdown` times the
    phase's median; at most `backup_share` of the running tasks (but one), one backup a task.
    quarantine_after: a worker that failed so many tasks in a row gets nothing more while there is
    another one that did not.
    """

    lease: float = 10.0
    max_attempts: int = 4
    max_timeouts: int = 2
    max_lost: int = 16
    deadline: float | None = None
    no_worker_timeout: float = 120.0
    skip_bad_records: int = 0
    first_attempt: int = 1
    backups: bool = True
    backup_after: float = 0.9
    backup_slowdown: float = 3.0
    backup_floor: float = 30.0
    backup_share: float = 0.1
    quarantine_after: int = 3

    def __post_init__(self) -> None:
        for name in ("lease", "max_attempts", "max_timeouts", "max_lost", "no_worker_timeout",
                     "first_attempt", "quarantine_after"):  # fmt: skip
            if getattr(self, name) <= 0:
                raise ValueError(f"SchedulerConfig.{name} must be above 0")
        if self.skip_bad_records < 0:
            raise ValueError("SchedulerConfig.skip_bad_records must not be negative")


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt. `worker` is "" when it is known from the store alone; `ended` is -1 before.
    sealed: how many lists of map outputs were stored when it started; it reads the last one."""

    id: AttemptId
    worker: str
    state: AttemptState
    started: float
    backup: bool = False
    ended: float = -1.0
    fraction: float = 0.0
    missed: int = 0  # heartbeats in a row that did not name it
    note: str = ""
    sealed: int = 0

    def __str__(self) -> str:
        end = f" at {self.ended:.3f}" if self.ended >= 0 else ""
        note = f": {self.note}" if self.note else ""
        return (
            f"{self.id} on {self.worker or '(recovered)'}, started at {self.started:.3f}, "
            f"{self.state.value}{end}{note}"
        )


@dataclass(slots=True, eq=False)
class Task:
    """One task with every attempt ever made; `live` attempts are running.

    generation: how often its committed data was proven bad. sealed, of a committed map: the first
    list of map outputs that names its attempt, counted from 1.
    """

    id: TaskId
    next_number: int
    state: TaskState = TaskState.PENDING
    attempts: list[Attempt] = field(default_factory=list)
    live: int = 0
    failures: int = 0
    timeouts: int = 0
    lost: int = 0
    backed_up: bool = False
    failed_on: tuple[str, ...] = ()
    skipped: tuple[int, ...] = ()
    suspects: tuple[tuple[int, str], ...] = ()  # records on which a child died once, and how
    committing: Attempt | None = None
    committed: Attempt | None = None
    generation: int = 0
    sealed: int = 0

    def attempt(self, number: int) -> Attempt | None:
        """The attempt of that number, if this scheduler ever heard of it."""
        for attempt in reversed(self.attempts):
            if attempt.id.attempt == number:
                return attempt
        return None

    def history(self) -> tuple[str, ...]:
        """The task for people: its state, then one line an attempt."""
        return (f"{self.id} is {self.state.value}", *map(str, self.attempts))


@dataclass(slots=True, eq=False)
class Worker:
    """One live incarnation. credit: attempts it asked for and did not get. streak: the tasks it
    failed since its last success."""

    name: str
    heard: float
    credit: int = 0
    running: dict[AttemptId, Attempt] = field(default_factory=dict)
    streak: dict[TaskId, None] = field(default_factory=dict)
    healthy: bool = True

    def coming(self, named: Collection[AttemptId]) -> int:
        """How many attempts are on their way to it, when it says that it runs those named."""
        return sum(attempt not in named for attempt in self.running)


@dataclass(frozen=True, slots=True)
class PhaseCounts:
    """A phase in numbers; `running` counts tasks that run or commit, `workers` the live ones."""

    tasks: int
    committed: int
    running: int
    failed_attempts: int
    workers: int


def task_after(task: Task, trigger: Trigger) -> TaskState:
    """The state that `trigger` leads to; InvalidTransition if the table has none."""
    state = TASKS.get((task.state, trigger))
    if state is None:
        raise InvalidTransition(str(task.id), task.state.value, trigger.value, task.history())
    return state


def attempt_after(attempt: Attempt, trigger: Trigger, task: Task) -> AttemptState:
    """As `task_after`, for one attempt of `task`."""
    state = ATTEMPTS.get((attempt.state, trigger))
    if state is None:
        raise InvalidTransition(
            f"attempt {attempt.id}", attempt.state.value, trigger.value, task.history()
        )
    return state


def phase_after(phase: Phase, trigger: Trigger) -> Phase:
    """As `task_after`, for the run."""
    after = PHASES.get((phase, trigger))
    if after is None:
        raise InvalidTransition("the run", phase.value, trigger.value)
    return after


def when_planned(*, sample: bool) -> Trigger:
    """What leads out of `Phase.WAIT`."""
    return Trigger.PLANNED_WITH_SAMPLE if sample else Trigger.PLANNED


def when_committed(phase: Phase, *, map_only: bool) -> Trigger:
    """What leads on from a phase all of whose tasks are committed."""
    ends = map_only and phase is Phase.MAP
    return Trigger.MAPS_ARE_OUTPUT if ends else Trigger.ALL_COMMITTED


def undisturbed(*, sample: bool, map_only: bool) -> Iterator[Phase]:
    """The phases of a run to which nothing happens, from its plan until its output is made."""
    phase = phase_after(Phase.WAIT, when_planned(sample=sample))
    while phase in KIND_OF_PHASE or phase is Phase.SEAL:
        yield phase
        done = Trigger.SEALED if phase is Phase.SEAL else when_committed(phase, map_only=map_only)
        phase = phase_after(phase, done)
