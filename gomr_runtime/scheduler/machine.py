"""The run's one decision maker: events in, commands out.

No I/O, no clock, no randomness, and nothing that depends on hashes: the same events give the same
commands in every process. An event costs about the same whatever the number of tasks; a `Tick`
looks at every worker and every running attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gomr_runtime.errors import (
    Cancelled,
    GomrError,
    StorageError,
)
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.job import TaskFailure, TaskKind
from gomr_runtime.scheduler.backups import RunningMedian, stragglers, worth_watching
from gomr_runtime.scheduler.commands import (
    Command,
    CommitAttempt,
    ExpireWorker,
    FinishRun,
    PhaseReached,
    PromoteOutput,
    RepeatMap,
    SealMaps,
    StartAttempt,
)
from gomr_runtime.scheduler.damage import (
    blamed,
    damaged_too_often,
    read_by,
    unreadable_too_often,
)
from gomr_runtime.scheduler.events import (
    AttemptFailed,
    AttemptProgressed,
    AttemptSucceeded,
    CancelRequested,
    CommitRecovered,
    CommitSettled,
    Event,
    MapsSealed,
    OutputPromoted,
    PlanningBegan,
    StoreFailed,
    TasksPlanned,
    TaskWanted,
    Tick,
    WorkerHeard,
    WorkerJoined,
    WorkerLeft,
)
from gomr_runtime.scheduler.speech import Speech
from gomr_runtime.scheduler.state import (
    ANNOUNCED,
    KIND_OF_PHASE,
    Attempt,
    AttemptState,
    InvalidTransition,
    Phase,
    SchedulerConfig,
    Task,
    TaskState,
    Trigger,
    Worker,
    attempt_after,
    phase_after,
    when_committed,
    when_planned,
)
from gomr_runtime.scheduler.verdict import (
    KILLS_THE_CHILD,
    avoid,
    charge,
    deserted,
    lost_too_often,
    set_aside,
    too_late,
    too_many_bad_records,
)


class Scheduler(Speech):
    """Decides for one run under one master; once it is finished every event is ignored."""

    def __init__(self, config: SchedulerConfig) -> None:
        super().__init__(config)
        self._recovered: list[CommitRecovered] = []
        self._damaged: dict[TaskId, str] = {}  # found while a list is being stored
        self._bad_records: list[str] = []
        self._durations = RunningMedian()
        self._deserted_since = float("inf")
        self._planning = False

    def handle(self, event: Event) -> list[Command]:
        """What to do now, in this order. Raises InvalidTransition for an event that cannot be."""
        if self.phase is Phase.FINISHED:
            return []
        self.now = max(self.now, event.now)
        if self._deserted_since == float("inf") and not self.workers:
            self._deserted_since = self.now
        self._out = []
        _HANDLERS[type(event)](self, event)
        self._dispatch()
        out, self._out = self._out, []
        return out

    # The plan and the store.

    def _on_planned(self, event: TasksPlanned) -> None:
        trigger = when_planned(sample=event.sample)
        phase_after(self.phase, trigger)
        self._planning = False
        first = self.config.first_attempt
        sizes: tuple[tuple[TaskKind, int], ...] = (
            ("sample", int(event.sample)),
            ("map", event.maps),
            ("reduce", event.reduces),
        )
        for kind, size in sizes:
            self.tasks[kind] = [Task(TaskId(kind, index), first) for index in range(size)]
            self._tally[kind][TaskState.PENDING] = size
        for found in self._recovered:
            self._recover(found)
        self._advance(trigger)

    def _on_planning(self, _: PlanningBegan) -> None:
        self._planning = True

    def _on_recovered(self, event: CommitRecovered) -> None:
        if self.phase is Phase.WAIT:
            self._recovered.append(event)
        else:
            self._recover(event)
            self._advance_if_done()

    def _recover(self, found: CommitRecovered) -> None:
        task = self._task(found.attempt.task, Trigger.RECOVERED.value)
        if task.committed and task.committed.id == found.attempt:
            return
        if task.state is TaskState.PENDING:
            self.matching.withdraw(task)
        self._step(task, Trigger.RECOVERED)
        task.generation = found.generation
        self._win(task, self._foreign(task, found.attempt))

    def _on_settled(self, event: CommitSettled) -> None:
        task = self._task(event.attempt.task, Trigger.SETTLED.value)
        if task.committing is None or task.committing.id != event.attempt:
            raise InvalidTransition(
                f"attempt {event.attempt}", "not committing", Trigger.SETTLED.value, task.history()
            )
        if event.winner is None:
            self._finish(
                StorageError(
                    f"{event.attempt}: the store does not answer its commit; "
                    "check the store, then resume the run"
                )
            )
            return
        if event.winner.task != task.id:
            raise InvalidTransition(
                str(task.id), task.state.value, f"commit of {event.winner}", task.history()
            )
        if event.generation >= self.config.max_attempts:
            self._finish(unreadable_too_often(task, event.generation))
            return
        task.generation = max(task.generation, event.generation)
        self._step(task, Trigger.SETTLED)
        winner = task.attempt(event.winner.attempt)
        if winner is None:
            winner = self._foreign(task, event.winner)
        else:
            winner.state = attempt_after(winner, Trigger.SETTLED, task)
            self._durations.add(winner.ended - winner.started)
        self._win(task, winner)
        self._advance_if_done()

    def _foreign(self, task: Task, attempt: AttemptId) -> Attempt:
        """A committed attempt that only the store knows: an earlier master started it."""
        found = Attempt(attempt, "", AttemptState.COMMITTED, self.now, ended=self.now)
        task.attempts.append(found)
        task.next_number = max(task.next_number, attempt.attempt + 1)
        return found

    def _win(self, task: Task, winner: Attempt) -> None:
        task.committed, task.committing = winner, None
        task.sealed = self.sealed + 1
        for attempt in task.attempts:
            if attempt.state is AttemptState.RUNNING:
                self._end_attempt(task, attempt, Trigger.BEATEN, f"{winner.id} won")
                self._abandon(attempt.worker, attempt.id, f"{winner.id} committed first")
            elif attempt.state is AttemptState.SUCCEEDED:
                attempt.state = attempt_after(attempt, Trigger.BEATEN, task)

    def _on_sealed(self, _: MapsSealed) -> None:
        phase_after(self.phase, Trigger.SEALED)
        self.sealed += 1
        for damaged, reason in self._damaged.items():
            self._repeat(self.tasks["map"][damaged.index], reason)
        self._advance(Trigger.DAMAGED if self._damaged else Trigger.SEALED)
        self._damaged.clear()

    def _on_promoted(self, _: OutputPromoted) -> None:
        phase_after(self.phase, Trigger.PROMOTED)
        self._finish(None)

    def _on_store_failed(self, event: StoreFailed) -> None:
        self._finish(StorageError(event.message))

    # Workers.

    def _on_joined(self, event: WorkerJoined) -> None:
        if event.worker in self.gone:
            self._refuse(event.worker)
        elif event.worker in self.workers:
            self.workers[event.worker].heard = self.now  # a new stream of the same process
        else:
            self.matching.join(Worker(event.worker, self.now))
            self._deserted_since = float("inf")

    def _on_heard(self, event: WorkerHeard) -> None:
        worker = self._speaker(event.worker)
        if worker is None:
            return
        said = dict.fromkeys(event.running)
        for attempt in list(worker.running.values()):
            attempt.missed = 0 if attempt.id in said else attempt.missed + 1
            if attempt.missed >= 2:
                self._lose(attempt, f"{worker.name} does not run it")
            if self.phase is Phase.FINISHED:
                return
        for mentioned in said:
            if mentioned not in worker.running:
                self._disown(worker, mentioned)
        if event.room is not None:
            self.matching.want(worker, event.room - worker.coming(said))

    def _on_wanted(self, event: TaskWanted) -> None:
        worker = self._speaker(event.worker)
        if worker is not None:
            named = worker.running if event.running is None else event.running
            self.matching.want(worker, event.count - worker.coming(named))

    def _on_left(self, event: WorkerLeft) -> None:
        worker = self.workers.get(event.worker)
        if worker is None:
            self.stale += 1
        else:
            self._lose_worker(worker, f"{worker.name} left: {event.reason}")

    def _lose_worker(self, worker: Worker, reason: str) -> None:
        self.matching.leave(worker)
        self.gone[worker.name] = reason
        self.lost_workers += 1
        if not self.workers:
            self._deserted_since = self.now
        for attempt in list(worker.running.values()):
            self._lose(attempt, reason)

    def _lose(self, attempt: Attempt, reason: str) -> None:
        task = self._task(attempt.id.task, Trigger.LOST.value)
        self._end_attempt(task, attempt, Trigger.LOST, reason)
        if task.state is not TaskState.RUNNING or self.phase is Phase.FINISHED:
            return
        task.lost += 1
        if task.lost >= self.config.max_lost and task.live == 0:
            self._finish(lost_too_often(task, reason))
            return
        self._return_if_empty(task)

    # Attempts.

    def _dispatch(self) -> None:
        if self.phase not in KIND_OF_PHASE:
            return
        for worker, task in self.matching.pairs():
            self._start(task, worker)

    def _start(self, task: Task, worker: Worker, backup: bool = False) -> None:
        self._step(task, Trigger.STARTED)
        attempt = Attempt(
            AttemptId(task.id, task.next_number),
            worker.name,
            AttemptState.RUNNING,
            self.now,
            backup=backup,
            sealed=self.sealed,
        )
        task.next_number += 1
        task.attempts.append(attempt)
        task.live += 1
        task.backed_up |= backup
        worker.running[attempt.id] = attempt
        self.attempts_made += 1
        self._out.append(StartAttempt(worker.name, attempt.id, task.skipped))

    def _on_progressed(self, event: AttemptProgressed) -> None:
        attempt = self._running(event.worker, event.attempt)
        if attempt is not None:
            attempt.fraction = max(attempt.fraction, event.fraction)

    def _on_succeeded(self, event: AttemptSucceeded) -> None:
        attempt = self._running(event.worker, event.attempt)
        if attempt is None:
            return
        task = self._task(attempt.id.task, Trigger.SUCCEEDED.value)
        worker = self.workers[event.worker]
        worker.streak.clear()
        self.matching.mark(worker, healthy=True)
        self._end_attempt(task, attempt, Trigger.SUCCEEDED)
        first = task.state is TaskState.RUNNING
        self._step(task, Trigger.SUCCEEDED)
        if first:
            task.committing = attempt
            self._out.append(CommitAttempt(attempt.id, task.generation))

    def _on_failed(self, event: AttemptFailed) -> None:
        attempt = self._running(event.worker, event.attempt)
        if attempt is None:
            return
        task = self._task(attempt.id.task, Trigger.FAILED.value)
        self._failed_attempts[task.id.kind] += 1
        self._end_attempt(task, attempt, Trigger.FAILED, event.failure.message)
        if task.state is not TaskState.RUNNING:
            return  # another attempt has succeeded: this one no longer matters
        source = blamed(task, self.tasks["map"], event.failure)
        error: GomrError | None = None
        if self._sets_aside(task, event.failure):
            error = self._beyond_bad_records()
        elif source is None:
            self._blame(self.workers[event.worker], task)
            error = charge(task, event.failure, self.config)
        elif read_by(attempt, source):
            avoid(event.worker, task)
            error = self._damage(source, event.failure)
        if error is not None:
            self._finish(error)
            return
        self._return_if_empty(task)

    def _damage(self, source: Task, failure: TaskFailure) -> GomrError | None:
        """A reducer could not read what this map committed: not the reducer's fault."""
        if source.id in self._damaged:
            return None
        if error := damaged_too_often(source, failure, self.config):
            return error
        if self.phase is Phase.SEAL:
            self._damaged[source.id] = failure.message
            return None
        self._repeat(source, failure.message)
        if self.phase is Phase.REDUCE:
            self._advance(Trigger.DAMAGED)
        else:
            self.matching.put(source)
        return None

    def _repeat(self, source: Task, reason: str) -> None:
        self._revoke(source)
        self._out.append(RepeatMap(source.id, reason))

    def _blame(self, worker: Worker, task: Task) -> None:
        avoid(worker.name, task)
        worker.streak[task.id] = None
        self.matching.mark(worker, len(worker.streak) < self.config.quarantine_after)

    def _sets_aside(self, task: Task, failure: TaskFailure) -> bool:
        if not self.config.skip_bad_records or failure.record < 0:
            return False
        if failure.kind not in KILLS_THE_CHILD or not set_aside(task, failure):
            return False
        self._bad_records.append(f"{task.id} record {failure.record}: {failure.message}")
        return True

    def _beyond_bad_records(self) -> GomrError | None:
        allowed = self.config.skip_bad_records
        if len(self._bad_records) <= allowed:
            return None
        return too_many_bad_records(self._bad_records, allowed)

    def _return_if_empty(self, task: Task) -> None:
        if task.live == 0:
            self._step(task, Trigger.EMPTIED)
            if KIND_OF_PHASE.get(self.phase) == task.id.kind:
                self.matching.put(task)

    # Time and the end.

    def _on_tick(self, _: Tick) -> None:
        if self._end_if_late():
            return
        lease = self.config.lease
        for worker in [w for w in self.workers.values() if self.now - w.heard > lease]:
            silence = f"{worker.name} was silent for {self.now - worker.heard:.1f} s"
            self._lose_worker(worker, silence)
            if self.phase is Phase.FINISHED:
                return
            self._out.append(ExpireWorker(worker.name, silence))
        if self._deserted():
            self._finish(deserted(self.config, self.phase, self.gone))
            return
        self._dispatch()
        self._start_backups()

    def _end_if_late(self) -> bool:
        if self.config.deadline is None or self.now < self.config.deadline:
            return False
        self._finish(too_late(self.phase))
        return True

    def _deserted(self) -> bool:
        if self.workers or self.now - self._deserted_since < self.config.no_worker_timeout:
            return False
        kind = KIND_OF_PHASE.get(self.phase)
        if kind is None:
            return self.phase is Phase.WAIT and not self._planning
        return self._tally[kind][TaskState.PENDING] > 0

    def _start_backups(self) -> None:
        kind = KIND_OF_PHASE.get(self.phase)
        if kind is None:
            return
        idle, counts = self.matching.idle_slots(), self.counts(kind)
        if not worth_watching(self.config, counts.tasks, counts.committed, idle):
            return
        every = (a for worker in self.workers.values() for a in worker.running.values())
        running = (attempt for attempt in every if attempt.id.task.kind == kind)
        slow, room = stragglers(self.config, self.now, self._durations.value, running)
        for attempt in slow:
            task = self._task(attempt.id.task, Trigger.STARTED.value)
            if room <= 0:
                return
            if task.backed_up or task.state is not TaskState.RUNNING:
                continue
            worker = self.matching.take_worker_for_backup(task)
            if worker is not None:
                self._start(task, worker, backup=True)
                room -= 1

    def _on_cancel(self, event: CancelRequested) -> None:
        self._finish(Cancelled(event.reason))

    def _finish(self, error: GomrError | None) -> None:
        self.phase = phase_after(self.phase, Trigger.ENDED if error else Trigger.PROMOTED)
        self.error = error
        reason = str(error) if error else "the run is over"
        for worker in self.workers.values():
            for attempt in list(worker.running.values()):
                task = self._task(attempt.id.task, Trigger.ENDED.value)
                self._end_attempt(task, attempt, Trigger.ENDED, reason)
                self._abandon(worker.name, attempt.id, reason)
        self._out.append(FinishRun(error))

    # Steps.

    def _advance_if_done(self) -> None:
        kind = KIND_OF_PHASE.get(self.phase)
        if kind is None or self._tally[kind][TaskState.COMMITTED] < len(self.tasks[kind]):
            return
        self._advance(when_committed(self.phase, map_only=not self.tasks["reduce"]))

    def _advance(self, trigger: Trigger) -> None:
        self.phase = phase_after(self.phase, trigger)
        if self.phase in ANNOUNCED:
            self._out.append(PhaseReached(self.phase.value))
        if self.phase is Phase.SEAL:
            self._out.append(SealMaps())
        elif self.phase is Phase.PROMOTE:
            if not self._end_if_late():  # a master that replays everything has not ticked yet
                self._out.append(PromoteOutput())
        elif kind := KIND_OF_PHASE.get(self.phase):
            self._durations = RunningMedian()
            if not self.workers:
                self._deserted_since = self.now
            self.matching.open(self.tasks[kind])
            self._advance_if_done()


_HANDLERS: dict[type[Event], Callable[[Scheduler, Any], None]] = {
    PlanningBegan: Scheduler._on_planning,
    TasksPlanned: Scheduler._on_planned,
    CommitRecovered: Scheduler._on_recovered,
    WorkerJoined: Scheduler._on_joined,
    WorkerHeard: Scheduler._on_heard,
    WorkerLeft: Scheduler._on_left,
    TaskWanted: Scheduler._on_wanted,
    AttemptProgressed: Scheduler._on_progressed,
    AttemptSucceeded: Scheduler._on_succeeded,
    AttemptFailed: Scheduler._on_failed,
    CommitSettled: Scheduler._on_settled,
    MapsSealed: Scheduler._on_sealed,
    OutputPromoted: Scheduler._on_promoted,
    StoreFailed: Scheduler._on_store_failed,
    CancelRequested: Scheduler._on_cancel,
    Tick: Scheduler._on_tick,
}
