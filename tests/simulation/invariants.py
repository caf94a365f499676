"""What must hold of a scheduler after every event, whatever happened; checked by tests.

`check` looks at one state, `Watch` at a whole run. Both cost time in proportion to the number of
tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gomr_runtime.errors import GomrError
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.scheduler.commands import (
    AbandonAttempt,
    Command,
    CommitAttempt,
    ExpireWorker,
    FinishRun,
    RepeatMap,
    StartAttempt,
)
from gomr_runtime.scheduler.events import Event, TaskWanted, Tick, WorkerHeard
from gomr_runtime.scheduler.machine import Scheduler
from gomr_runtime.scheduler.state import (
    KIND_OF_PHASE,
    AttemptState,
    Phase,
    Task,
    TaskState,
    Worker,
)

_ORDER = {phase: position for position, phase in enumerate(Phase)}
_SETTLED = (AttemptState.SUCCEEDED, AttemptState.COMMITTED)


Rest = tuple[TaskState, int, int, int]


class InvariantViolated(GomrError):
    """The scheduler contradicts itself: a defect. `detail` holds the histories concerned."""

    def __init__(self, rule: str, tasks: Iterable[Task] = ()) -> None:
        lines = [line for task in tasks for line in task.history()]
        super().__init__(f"scheduler invariant broken: {rule}", detail="\n".join(lines))


def check(scheduler: Scheduler, at_rest: dict[Task, Rest] | None = None) -> None:
    """Raise InvariantViolated unless the state is consistent and nobody waits without need.

    at_rest: tasks that were found well when nothing ran of them; they are not looked at again
    until they have changed.
    """
    bad_maps = sum(task.generation for task in scheduler.state.tasks["map"])
    at_rest = {} if at_rest is None else at_rest
    for kind, tasks in scheduler.state.tasks.items():
        committed = running = 0
        for task in tasks:
            state = task.state
            if state is TaskState.COMMITTED:
                committed += 1
            elif state is not TaskState.PENDING:
                running += 1
                _check_task(scheduler, task, bad_maps)
                continue
            rest = (state, len(task.attempts), task.generation, task.live)
            if at_rest.get(task) != rest:
                _check_task(scheduler, task, bad_maps)
                at_rest[task] = rest
        counts = scheduler.state.counts(kind) if tasks else None
        if counts and (counts.committed, counts.running) != (committed, running):
            raise InvariantViolated(f"{kind}: {committed} committed, {running} running: {counts}")
    for worker in scheduler.state.workers.values():
        _check_worker(scheduler, worker)
    _check_phase(scheduler)
    _check_matching(scheduler)


def _require(holds: bool, rule: str, *tasks: Task) -> None:
    if not holds:
        raise InvariantViolated(rule, tasks)


def _check_task(scheduler: Scheduler, task: Task, bad_maps: int) -> None:
    open_attempts = running = won = backups = own = highest = 0
    numbers: dict[int, None] = {}
    for attempt in task.attempts:
        number, state = attempt.id.attempt, attempt.state
        numbers[number] = None
        highest = max(highest, number)
        backups += attempt.backup
        own += attempt.worker != ""
        won += state is AttemptState.COMMITTED
        open_attempts += state is AttemptState.RUNNING or state is AttemptState.SUCCEEDED
        if state is AttemptState.RUNNING:
            running += 1
            worker = scheduler.state.workers.get(attempt.worker)
            if worker is None or worker.running.get(attempt.id) is not attempt:
                broken = f"{attempt.id} runs on {attempt.worker}, which is gone"
                raise InvariantViolated(broken, [task])
    broken = _broken_rule(scheduler, task, running, open_attempts, won)
    if len(numbers) != len(task.attempts) or highest >= task.next_number:
        broken = "attempt numbers are not unique and growing"
    if backups > task.generation + 1:
        broken = "more than one backup"
    if task.generation >= max(scheduler.state.config.max_attempts, 1):
        broken = f"generation {task.generation}"
    bad = bad_maps if task.id.kind == "reduce" else task.generation
    if (
        own > _most_attempts(scheduler, task, bad)
        or task.failures > scheduler.state.config.max_attempts
    ):
        broken = f"{own} attempts, {task.failures} failures"
    if broken:
        raise InvariantViolated(f"{task.id}: {broken}", [task])


def _broken_rule(
    scheduler: Scheduler, task: Task, running: int, open_attempts: int, won: int
) -> str:
    """How the state of a task and those of its attempts disagree, or ""."""
    committing = task.committing
    if won != (task.state is TaskState.COMMITTED) or won != (task.committed is not None):
        return f"{task.state.value} with {won} committed attempts"
    if task.live != running:
        return f"{running} running attempts counted as {task.live}"
    if (committing is not None) != (task.state is TaskState.COMMITTING):
        return f"{task.state.value} with {committing} committing"
    if committing is not None and committing.state is not AttemptState.SUCCEEDED:
        return f"commits {committing}"
    if task.state is TaskState.RUNNING and not running:
        return "" if scheduler.state.phase is Phase.FINISHED else "runs without an attempt"
    if task.state in (TaskState.PENDING, TaskState.COMMITTED) and open_attempts:
        return f"{task.state.value} with {open_attempts} open attempts"
    return ""


def _most_attempts(scheduler: Scheduler, task: Task, bad: int) -> int:
    """Every budget spent, a pair for each record set aside, the winner and one beside it; a pair
    for each time that data was proven bad, its own or what a reducer read."""
    config = scheduler.state.config
    return config.max_attempts + config.max_lost + 2 * (len(task.skipped) + bad) + 1


def _check_worker(scheduler: Scheduler, worker: Worker) -> None:
    if worker.name in scheduler.state.gone or worker.credit < 0:
        raise InvariantViolated(f"{worker.name} is live and gone, or has credit {worker.credit}")
    tasks: dict[TaskId, None] = {}
    for attempt in worker.running.values():
        if attempt.state is not AttemptState.RUNNING or attempt.worker != worker.name:
            raise InvariantViolated(f"{worker.name} holds what it does not run: {attempt}")
        if attempt.id.task in tasks:
            raise InvariantViolated(f"{worker.name} runs {attempt.id.task} twice at once")
        tasks[attempt.id.task] = None


def _check_phase(scheduler: Scheduler) -> None:
    phase, tasks = scheduler.state.phase, scheduler.state.tasks
    repeating = scheduler.state.sealed > 0 and phase in (Phase.MAP, Phase.SEAL)
    succeeded = phase is Phase.FINISHED and scheduler.state.error is None
    for ran_in, kind in KIND_OF_PHASE.items():
        if not tasks[kind] and phase is not ran_in:
            continue
        open_tasks = [task for task in tasks[kind] if task.state is not TaskState.COMMITTED]
        if succeeded or (phase is not Phase.FINISHED and _ORDER[phase] > _ORDER[ran_in]):
            if open_tasks:
                raise InvariantViolated(f"{kind} tasks open in phase {phase.value}", open_tasks)
        elif phase is ran_in:
            if not open_tasks:
                raise InvariantViolated(f"phase {phase.value} goes on without open tasks")
        elif phase is not Phase.FINISHED and not repeating:
            early = [task for task in open_tasks if task.state is not TaskState.PENDING]
            if early:
                raise InvariantViolated(f"{kind} tasks run in phase {phase.value}", early)
    if phase is Phase.FINISHED:
        for worker in scheduler.state.workers.values():
            if worker.running:
                raise InvariantViolated(f"{worker.name} still runs something after the end")


def _check_matching(scheduler: Scheduler) -> None:
    kind, matching = KIND_OF_PHASE.get(scheduler.state.phase), scheduler.state.matching
    if kind is None:
        return
    pending = [task for task in scheduler.state.tasks[kind] if task.state is TaskState.PENDING]
    if matching.pending() != pending:
        raise InvariantViolated("a pending task is not on offer", pending)
    healthy = [worker for worker in scheduler.state.workers.values() if worker.healthy]
    usable = sorted(w.name for w in healthy or scheduler.state.workers.values() if w.credit)
    waiting = matching.wanting()
    if matching.healthy != len(healthy) or sorted(w.name for w in waiting) != usable:
        names = [worker.name for worker in waiting]
        raise InvariantViolated(f"{names} wait for tasks, not {usable}")
    for worker in waiting if pending else ():
        idle = [task for task in pending if matching.allowed(task, worker)]
        if idle:
            raise InvariantViolated(f"{worker.name} idles beside a task it could run", idle)


class Watch:
    """Checks a scheduler event by event: also that nothing goes back and every command is due."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._handle = scheduler.handle
        self._winners: dict[Task, tuple[int, AttemptId | None]] = {}
        self._credit: dict[str, int] = {}
        self._commits: set[AttemptId] = set()
        self._started: set[AttemptId] = set()
        self._finished = False
        self._at_rest: dict[Task, Rest] = {}

    def handle(self, event: Event) -> list[Command]:
        """`Scheduler.handle` with every check; raises InvariantViolated."""
        speaker = self._scheduler.state.workers.get(getattr(event, "worker", ""))
        if speaker is not None and isinstance(event, TaskWanted):
            named = speaker.running if event.running is None else event.running
            self._credit[speaker.name] = event.count - speaker.coming(named)
        elif speaker is not None and isinstance(event, WorkerHeard) and event.room is not None:
            coming = [a for a in speaker.running.values() if a.id not in event.running]
            self._credit[speaker.name] = event.room - sum(a.missed == 0 for a in coming)
        before = self._scheduler.state.phase
        commands = self._handle(event)
        if isinstance(event, Tick):
            self._at_rest.clear()  # now and then everything
        check(self._scheduler, self._at_rest)
        if before is Phase.FINISHED:
            _require(not commands, f"{commands} after the end")
        repeats = any(isinstance(command, RepeatMap) for command in commands)
        _require(
            repeats or _ORDER[before] <= _ORDER[self._scheduler.state.phase],
            f"phase {self._scheduler.state.phase.value} after {before.value}",
        )
        self._check_commits_stand()
        self._check_commands(commands)
        return commands

    def _check_commits_stand(self) -> None:
        for tasks in self._scheduler.state.tasks.values():
            for task in tasks:
                found = task.committed
                generation, winner = self._winners.get(task, (-1, None))
                if found is not None and generation != task.generation:
                    self._winners[task] = (task.generation, found.id)
                elif generation == task.generation and (found is None or found.id != winner):
                    changed = "winner changed" if found else "commit undone"
                    raise InvariantViolated(f"{task.id}: {changed}, it was {winner}", [task])

    def _check_commands(self, commands: Sequence[Command]) -> None:
        for position, command in enumerate(commands):
            if isinstance(command, StartAttempt):
                self._check_start(command)
            elif isinstance(command, CommitAttempt):
                unseen = command.attempt not in self._commits
                _require(unseen, f"{command.attempt}: a second commit")
                self._commits.add(command.attempt)
            elif isinstance(command, AbandonAttempt):
                self._check_abandon(command)
            elif isinstance(command, ExpireWorker):
                live = command.worker in self._scheduler.state.workers
                _require(not live, f"{command.worker} is expired but live")
            elif isinstance(command, FinishRun):
                last = position == len(commands) - 1
                _require(last and not self._finished, "the end is told twice or not last")
                self._finished = True
        ended = self._scheduler.state.phase is Phase.FINISHED
        _require(ended == self._finished, "FinishRun and the phase disagree")

    def _check_start(self, start: StartAttempt) -> None:
        name = f"{start.attempt} on {start.worker}"
        self._credit[start.worker] = self._credit.get(start.worker, 0) - 1
        _require(self._credit[start.worker] >= 0, f"{name}: started without credit")
        _require(start.attempt not in self._started, f"{name}: started twice")
        self._started.add(start.attempt)

    def _check_abandon(self, command: AbandonAttempt) -> None:
        task = command.attempt.task
        tasks = self._scheduler.state.tasks[task.kind]
        known = (
            tasks[task.index].attempt(command.attempt.attempt) if task.index < len(tasks) else None
        )
        if known is not None and known.worker == command.worker:
            _require(known.state not in _SETTLED, f"{known}: abandoned though it counts")
