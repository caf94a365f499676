"""Attempts: how one starts, and what its progress, its success and its failure lead to."""

from __future__ import annotations

from gomr_runtime.errors import GomrError
from gomr_runtime.model.ids import AttemptId
from gomr_runtime.model.task import TaskFailure
from gomr_runtime.scheduler import backups, damage, phases, senders, verdict
from gomr_runtime.scheduler.commands import CommitAttempt, StartAttempt
from gomr_runtime.scheduler.events import AttemptFailed, AttemptProgressed, AttemptSucceeded
from gomr_runtime.scheduler.run_state import RunState
from gomr_runtime.scheduler.state import (
    KIND_OF_PHASE,
    Attempt,
    AttemptState,
    Task,
    TaskState,
    Trigger,
    Worker,
)


def dispatch(run: RunState) -> None:
    """Start what can be started now: pending tasks on workers that have room."""
    if run.phase not in KIND_OF_PHASE:
        return
    for worker, task in run.matching.pairs():
        start(run, task, worker)


def start(run: RunState, task: Task, worker: Worker, backup: bool = False) -> None:
    """Start the next attempt of the task on this worker."""
    run.step(task, Trigger.STARTED)
    attempt = Attempt(
        AttemptId(task.id, task.next_number),
        worker.name,
        AttemptState.RUNNING,
        run.now,
        backup=backup,
        sealed=run.sealed,
    )
    task.next_number += 1
    task.attempts.append(attempt)
    task.live += 1
    task.backed_up |= backup
    worker.running[attempt.id] = attempt
    run.attempts_made += 1
    run.out.append(StartAttempt(worker.name, attempt.id, task.skipped))


def start_backups(run: RunState) -> None:
    """Start a second attempt of tasks whose first one takes too long, near the end of a phase."""
    kind = KIND_OF_PHASE.get(run.phase)
    if kind is None:
        return
    idle, counts = run.matching.idle_slots(), run.counts(kind)
    if not backups.worth_watching(run.config, counts.tasks, counts.committed, idle):
        return
    every = (a for worker in run.workers.values() for a in worker.running.values())
    running = (attempt for attempt in every if attempt.id.task.kind == kind)
    slow, room = backups.stragglers(run.config, run.now, run.durations.value, running)
    for attempt in slow:
        task = run.task(attempt.id.task, Trigger.STARTED.value)
        if room <= 0:
            return
        if task.backed_up or task.state is not TaskState.RUNNING:
            continue
        worker = run.matching.take_worker_for_backup(task)
        if worker is not None:
            start(run, task, worker, backup=True)
            room -= 1


def on_progressed(run: RunState, event: AttemptProgressed) -> None:
    attempt = senders.running(run, event.worker, event.attempt)
    if attempt is not None:
        attempt.fraction = max(attempt.fraction, event.fraction)


def on_succeeded(run: RunState, event: AttemptSucceeded) -> None:
    attempt = senders.running(run, event.worker, event.attempt)
    if attempt is None:
        return
    task = run.task(attempt.id.task, Trigger.SUCCEEDED.value)
    worker = run.workers[event.worker]
    worker.streak.clear()
    run.matching.mark(worker, healthy=True)
    run.end_attempt(task, attempt, Trigger.SUCCEEDED)
    first = task.state is TaskState.RUNNING
    run.step(task, Trigger.SUCCEEDED)
    if first:
        task.committing = attempt
        run.out.append(CommitAttempt(attempt.id, task.generation))


def on_failed(run: RunState, event: AttemptFailed) -> None:
    attempt = senders.running(run, event.worker, event.attempt)
    if attempt is None:
        return
    task = run.task(attempt.id.task, Trigger.FAILED.value)
    run.failed_attempts[task.id.kind] += 1
    run.end_attempt(task, attempt, Trigger.FAILED, event.failure.message)
    if task.state is not TaskState.RUNNING:
        return  # another attempt has succeeded: this one no longer matters
    source = damage.blamed(task, run.tasks["map"], event.failure)
    error: GomrError | None = None
    if _sets_aside(run, task, event.failure):
        error = _beyond_bad_records(run)
    elif source is None:
        _blame(run, run.workers[event.worker], task)
        error = verdict.charge(task, event.failure, run.config)
    elif damage.read_by(attempt, source):
        verdict.avoid(event.worker, task)
        error = damage.found(run, source, event.failure)
    if error is not None:
        phases.finish(run, error)
        return
    return_if_empty(run, task)


def return_if_empty(run: RunState, task: Task) -> None:
    """Make a task pending again if none of its attempts runs any more."""
    if task.live == 0:
        run.step(task, Trigger.EMPTIED)
        if KIND_OF_PHASE.get(run.phase) == task.id.kind:
            run.matching.put(task)


def _blame(run: RunState, worker: Worker, task: Task) -> None:
    """Count the failure against the worker: it may be the machine and not the task."""
    verdict.avoid(worker.name, task)
    worker.streak[task.id] = None
    run.matching.mark(worker, len(worker.streak) < run.config.quarantine_after)


def _sets_aside(run: RunState, task: Task, failure: TaskFailure) -> bool:
    if not run.config.skip_bad_records or failure.record < 0:
        return False
    if failure.kind not in verdict.KILLS_THE_CHILD or not verdict.set_aside(task, failure):
        return False
    run.bad_records.append(f"{task.id} record {failure.record}: {failure.message}")
    return True


def _beyond_bad_records(run: RunState) -> GomrError | None:
    allowed = run.config.skip_bad_records
    if len(run.bad_records) <= allowed:
        return None
    return verdict.too_many_bad_records(run.bad_records, allowed)
