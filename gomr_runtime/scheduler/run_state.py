"""The books of a run: its tasks, attempts and workers, and what a driver may ask about them."""

from __future__ import annotations

from gomr_runtime.errors import GomrError
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.job import TaskKind
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

    The attributes are for reading: `phase`, `error` (of a finished run, None for success), `stale`
    (messages about attempts or workers that no longer count), `attempts_made`, `lost_workers`,
    `workers` (the live ones by name), `tasks` by kind, in task order, `matching` (who waits
    for what), `sealed` (how often the list of map outputs was stored).
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
        self._tally: dict[TaskKind, dict[TaskState, int]] = {
            kind: dict.fromkeys(TaskState, 0) for kind in self.tasks
        }
        self._failed_attempts: dict[TaskKind, int] = dict.fromkeys(self.tasks, 0)

    @property
    def live_workers(self) -> int:
        return len(self.workers)

    @property
    def work(self) -> int:
        """How many tasks and workers were looked at to hand out tasks: a measure of cost."""
        return self.matching.work

    def counts(self, kind: TaskKind) -> PhaseCounts:
        """The tasks of one kind in numbers; all zero before they are planned."""
        tally = self._tally[kind]
        return PhaseCounts(
            tasks=len(self.tasks[kind]),
            committed=tally[TaskState.COMMITTED],
            running=tally[TaskState.RUNNING] + tally[TaskState.COMMITTING],
            failed_attempts=self._failed_attempts[kind],
            workers=len(self.workers),
        )

    def committed_attempt(self, task: TaskId) -> AttemptId | None:
        """The attempt that won, or None; InvalidTransition for a task that is not planned."""
        committed = self._task(task, "asked for").committed
        return committed.id if committed else None

    def committed_attempts(self, kind: TaskKind) -> list[AttemptId]:
        """The winners so far, in task order."""
        return [task.committed.id for task in self.tasks[kind] if task.committed]

    def attempt_on(self, attempt: AttemptId) -> str | None:
        """The worker that runs this attempt now, or None."""
        known = self._known(attempt)
        running = known is not None and known.state is AttemptState.RUNNING
        return known.worker if known and running else None

    def matters(self, attempt: AttemptId) -> bool:
        """Whether what this attempt reports can still make a difference."""
        known = self._known(attempt)
        return known is not None and known.state in (AttemptState.RUNNING, AttemptState.SUCCEEDED)

    # Steps, for the machine alone.

    def _end_attempt(self, task: Task, attempt: Attempt, trigger: Trigger, note: str = "") -> None:
        """The attempt runs no more."""
        attempt.state = attempt_after(attempt, trigger, task)
        attempt.ended = self.now
        attempt.note = note
        task.live -= 1
        worker = self.workers.get(attempt.worker)
        if worker is not None:
            del worker.running[attempt.id]

    def _revoke(self, task: Task) -> None:
        """What the task committed is proven bad: it is pending again, in its next generation."""
        committed = task.committed
        assert committed is not None
        committed.state = attempt_after(committed, Trigger.DAMAGED, task)
        self._step(task, Trigger.DAMAGED)
        task.committed = None
        task.generation += 1
        task.backed_up = False

    def _step(self, task: Task, trigger: Trigger) -> None:
        after = task_after(task, trigger)
        tally = self._tally[task.id.kind]
        tally[task.state] -= 1
        tally[after] += 1
        task.state = after

    def _task(self, task: TaskId, trigger: str) -> Task:
        tasks = self.tasks[task.kind]
        if not 0 <= task.index < len(tasks):
            raise InvalidTransition(str(task), "not planned", trigger)
        return tasks[task.index]

    def _known(self, attempt: AttemptId) -> Attempt | None:
        tasks = self.tasks.get(attempt.task.kind, [])
        if not 0 <= attempt.task.index < len(tasks):
            return None
        return tasks[attempt.task.index].attempt(attempt.attempt)
