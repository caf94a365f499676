"""What is known of a run: its tasks, attempts and workers, and what a driver may ask about them."""

from __future__ import annotations

from gomr_runtime.errors import GomrError
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.task import TaskKind
from gomr_runtime.scheduler.backups import RunningMedian
from gomr_runtime.scheduler.commands import Command
from gomr_runtime.scheduler.events import CommitRecovered
from gomr_runtime.scheduler.matching import Matching
from gomr_runtime.scheduler.state import (
    Attempt,
    AttemptState,
    InvalidTransition,
    Phase,
    PhaseCounts,
    SchedulerConfig,
    Task,
    TaskState,
    Trigger,
    attempt_after,
    task_after,
)


class RunState:
    """The state of one run under one master.

    The handlers of events are functions on it, one module a subject; to everybody else it is for
    reading.

    Attributes:
        phase: Where the run is.
        error: Why it ended early; None for success, and before the end.
        now: The latest moment of an event, in seconds on the master's monotonic clock.
        stale: How many messages were about attempts or workers that no longer count.
        attempts_made: How many attempts were started.
        lost_workers: How many workers were lost.
        sealed: How often the list of map outputs was stored.
        tasks: The tasks by kind, in task order; none before they are planned.
        gone: Why each lost worker was lost, by name.
        matching: Which tasks wait for workers, and which workers for tasks.
        workers: The live workers by name.
        tally: How many tasks are in each state, by kind.
        failed_attempts: How many attempts failed, by kind of task.
        recovered: Commits of earlier masters, until the tasks are planned.
        damaged: Maps found damaged while a list of outputs is being stored, and why.
        bad_records: One line for each record set aside after it killed two children.
        durations: The seconds that committed attempts of this phase took.
        deserted_since: When the last worker was lost; infinity while there is one.
        planning: Whether the run is being planned for a worker that has come.
        out: The commands that the event in hand has led to so far.
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.phase = Phase.WAIT
        self.error: GomrError | None = None
        self.now = float("-inf")
        self.stale = 0
        self.attempts_made = 0
        self.lost_workers = 0
        self.sealed = 0
        self.tasks: dict[TaskKind, list[Task]] = {"sample": [], "map": [], "reduce": []}
        self.gone: dict[str, str] = {}
        self.matching = Matching()
        self.workers = self.matching.workers
        self.tally: dict[TaskKind, dict[TaskState, int]] = {
            kind: dict.fromkeys(TaskState, 0) for kind in self.tasks
        }
        self.failed_attempts: dict[TaskKind, int] = dict.fromkeys(self.tasks, 0)
        self.recovered: list[CommitRecovered] = []
        self.damaged: dict[TaskId, str] = {}
        self.bad_records: list[str] = []
        self.durations = RunningMedian()
        self.deserted_since = float("inf")
        self.planning = False
        self.out: list[Command] = []

    @property
    def live_workers(self) -> int:
        return len(self.workers)

    @property
    def work(self) -> int:
        """How many tasks and workers were looked at to hand out tasks: a measure of cost."""
        return self.matching.work

    def counts(self, kind: TaskKind) -> PhaseCounts:
        """The tasks of one kind in numbers; all zero before they are planned."""
        tally = self.tally[kind]
        return PhaseCounts(
            tasks=len(self.tasks[kind]),
            committed=tally[TaskState.COMMITTED],
            running=tally[TaskState.RUNNING] + tally[TaskState.COMMITTING],
            failed_attempts=self.failed_attempts[kind],
            workers=len(self.workers),
        )

    def committed_attempt(self, task: TaskId) -> AttemptId | None:
        """The attempt that won, or None; InvalidTransition for a task that is not planned."""
        committed = self.task(task, "asked for").committed
        return committed.id if committed else None

    def committed_attempts(self, kind: TaskKind) -> list[AttemptId]:
        """The winners so far, in task order."""
        return [task.committed.id for task in self.tasks[kind] if task.committed]

    def matters(self, attempt: AttemptId) -> bool:
        """Whether what this attempt reports can still make a difference."""
        known = self.known(attempt)
        return known is not None and known.state in (AttemptState.RUNNING, AttemptState.SUCCEEDED)

    # Steps, for the handlers of events alone.

    def end_attempt(self, task: Task, attempt: Attempt, trigger: Trigger, note: str = "") -> None:
        """The attempt runs no more."""
        attempt.state = attempt_after(attempt, trigger, task)
        attempt.ended = self.now
        attempt.note = note
        task.live -= 1
        worker = self.workers.get(attempt.worker)
        if worker is not None:
            del worker.running[attempt.id]

    def revoke(self, task: Task) -> None:
        """What the task committed is proven bad: it is pending again, in its next generation."""
        committed = task.committed
        assert committed is not None
        committed.state = attempt_after(committed, Trigger.DAMAGED, task)
        self.step(task, Trigger.DAMAGED)
        task.committed = None
        task.generation += 1
        task.backed_up = False

    def step(self, task: Task, trigger: Trigger) -> None:
        """Move the task to the state that `trigger` leads to."""
        after = task_after(task, trigger)
        tally = self.tally[task.id.kind]
        tally[task.state] -= 1
        tally[after] += 1
        task.state = after

    def task(self, task: TaskId, trigger: str) -> Task:
        """Return the task; InvalidTransition, naming `trigger`, if it is not planned."""
        tasks = self.tasks[task.kind]
        if not 0 <= task.index < len(tasks):
            raise InvalidTransition(str(task), "not planned", trigger)
        return tasks[task.index]

    def known(self, attempt: AttemptId) -> Attempt | None:
        """Return the attempt if this scheduler ever heard of it."""
        tasks = self.tasks.get(attempt.task.kind, [])
        if not 0 <= attempt.task.index < len(tasks):
            return None
        return tasks[attempt.task.index].attempt(attempt.attempt)
