"""Which attempt of a task wins: commits that the store settled, or that a restart found there."""

from __future__ import annotations

from gomr_runtime.errors import StorageError
from gomr_runtime.model.ids import AttemptId
from gomr_runtime.scheduler import phases, senders
from gomr_runtime.scheduler.damage import unreadable_too_often
from gomr_runtime.scheduler.events import CommitRecovered, CommitSettled
from gomr_runtime.scheduler.run_state import RunState
from gomr_runtime.scheduler.state import (
    Attempt,
    AttemptState,
    InvalidTransition,
    Task,
    TaskState,
    Trigger,
    attempt_after,
)


def recover(run: RunState, found: CommitRecovered) -> None:
    """Enter a commit that an earlier master made; one that is known already changes nothing."""
    task = run.task(found.attempt.task, Trigger.RECOVERED.value)
    if task.committed and task.committed.id == found.attempt:
        return
    if task.state is TaskState.PENDING:
        run.matching.withdraw(task)
    run.step(task, Trigger.RECOVERED)
    task.generation = found.generation
    win(run, task, _foreign(run, task, found.attempt))


def on_settled(run: RunState, event: CommitSettled) -> None:
    task = run.task(event.attempt.task, Trigger.SETTLED.value)
    if task.committing is None or task.committing.id != event.attempt:
        raise InvalidTransition(
            f"attempt {event.attempt}", "not committing", Trigger.SETTLED.value, task.history()
        )
    if event.winner is None:
        phases.finish(
            run,
            StorageError(
                f"{event.attempt}: the store does not answer its commit; "
                "check the store, then resume the run"
            ),
        )
        return
    if event.winner.task != task.id:
        raise InvalidTransition(
            str(task.id), task.state.value, f"commit of {event.winner}", task.history()
        )
    if event.generation >= run.config.max_attempts:
        phases.finish(run, unreadable_too_often(task, event.generation))
        return
    task.generation = max(task.generation, event.generation)
    run.step(task, Trigger.SETTLED)
    winner = task.attempt(event.winner.attempt)
    if winner is None:
        winner = _foreign(run, task, event.winner)
    else:
        winner.state = attempt_after(winner, Trigger.SETTLED, task)
        run.durations.add(winner.ended - winner.started)
    win(run, task, winner)
    phases.advance_if_done(run)


def win(run: RunState, task: Task, winner: Attempt) -> None:
    """Record the winner; every other attempt of the task is superseded, and killed if it runs."""
    task.committed, task.committing = winner, None
    task.sealed = run.sealed + 1
    for attempt in task.attempts:
        if attempt.state is AttemptState.RUNNING:
            run.end_attempt(task, attempt, Trigger.BEATEN, f"{winner.id} won")
            reason = f"{winner.id} committed first"
            senders.abandon(run, attempt.worker, attempt.id, reason)
        elif attempt.state is AttemptState.SUCCEEDED:
            attempt.state = attempt_after(attempt, Trigger.BEATEN, task)


def _foreign(run: RunState, task: Task, attempt: AttemptId) -> Attempt:
    """A committed attempt that only the store knows: an earlier master started it."""
    found = Attempt(attempt, "", AttemptState.COMMITTED, run.now, ended=run.now)
    task.attempts.append(found)
    task.next_number = max(task.next_number, attempt.attempt + 1)
    return found
