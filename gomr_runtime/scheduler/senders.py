"""Which worker sent a message, and whether what it says still counts.

Messages of lost workers and about ended attempts are counted as stale and answered.
"""

from __future__ import annotations

from gomr_runtime.model.ids import AttemptId
from gomr_runtime.scheduler.commands import AbandonAttempt, ExpireWorker
from gomr_runtime.scheduler.run_state import RunState
from gomr_runtime.scheduler.state import Attempt, AttemptState, Worker


def sender(run: RunState, name: str) -> Worker | None:
    """Return the live worker of that name and renew its lease; expire one that was lost."""
    worker = run.workers.get(name)
    if worker is None:
        refuse(run, name)
        return None
    worker.heard = run.now
    return worker


def refuse(run: RunState, name: str) -> None:
    """Answer a worker that is not, or no longer, one of the run's."""
    run.stale += 1
    run.out.append(ExpireWorker(name, run.gone.get(name, f"{name} is not registered")))


def running(run: RunState, name: str, attempt: AttemptId) -> Attempt | None:
    """Return the attempt if the worker of that name runs it; else the message is stale."""
    worker = sender(run, name)
    if worker is None:
        return None
    found = worker.running.get(attempt)
    if found is None:
        disown(run, worker, attempt)
    return found


def disown(run: RunState, worker: Worker, attempt: AttemptId) -> None:
    """Answer a worker that names an attempt which it should not run.

    Nothing is sent about an attempt that succeeded there: what it stored may be wanted.
    """
    run.stale += 1
    known = run.known(attempt)
    if (
        known is not None
        and known.worker == worker.name
        and known.state in (AttemptState.SUCCEEDED, AttemptState.COMMITTED)
    ):
        return
    reason = f"{attempt} is not {worker.name}'s to run"
    if known is not None and known.worker == worker.name:
        reason = f"{attempt} is {known.state.value}"
    abandon(run, worker.name, attempt, reason)


def abandon(run: RunState, worker: str, attempt: AttemptId, reason: str) -> None:
    """Have the worker kill the attempt."""
    run.out.append(AbandonAttempt(worker, attempt, reason))
