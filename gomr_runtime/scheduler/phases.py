"""The phases of a run: when one ends, which one follows, and how the run ends."""

from __future__ import annotations

from gomr_runtime.errors import Cancelled, GomrError, StorageError
from gomr_runtime.scheduler import senders
from gomr_runtime.scheduler.backups import RunningMedian
from gomr_runtime.scheduler.commands import AnnouncePhase, FinishRun, PromoteOutput, SealMaps
from gomr_runtime.scheduler.events import CancelRequested, OutputPromoted, StoreFailed
from gomr_runtime.scheduler.run_state import RunState
from gomr_runtime.scheduler.state import (
    ANNOUNCED,
    KIND_OF_PHASE,
    Phase,
    TaskState,
    Trigger,
    phase_after,
    when_committed,
)
from gomr_runtime.scheduler.verdict import too_late


def advance_if_done(run: RunState) -> None:
    """Leave a phase whose tasks are all committed."""
    kind = KIND_OF_PHASE.get(run.phase)
    if kind is None or run.tally[kind][TaskState.COMMITTED] < len(run.tasks[kind]):
        return
    advance(run, when_committed(run.phase, map_only=not run.tasks["reduce"]))


def advance(run: RunState, trigger: Trigger) -> None:
    """Enter the phase that `trigger` leads to; InvalidTransition if there is none."""
    run.phase = phase_after(run.phase, trigger)
    if run.phase in ANNOUNCED:
        run.out.append(AnnouncePhase(run.phase.value))
    if run.phase is Phase.SEAL:
        run.out.append(SealMaps())
    elif run.phase is Phase.PROMOTE:
        if not end_if_late(run):  # a master that replays everything has not ticked yet
            run.out.append(PromoteOutput())
    elif kind := KIND_OF_PHASE.get(run.phase):
        run.durations = RunningMedian()
        if not run.workers:
            run.deserted_since = run.now
        run.matching.open(run.tasks[kind])
        advance_if_done(run)


def end_if_late(run: RunState) -> bool:
    """End the run if its deadline has passed; return whether it has."""
    if run.config.deadline is None or run.now < run.config.deadline:
        return False
    finish(run, too_late(run.phase))
    return True


def finish(run: RunState, error: GomrError | None) -> None:
    """End the run, with whatever still runs abandoned; `error` is None for success."""
    run.phase = phase_after(run.phase, Trigger.ENDED if error else Trigger.PROMOTED)
    run.error = error
    reason = str(error) if error else "the run is over"
    for worker in run.workers.values():
        for attempt in list(worker.running.values()):
            task = run.task(attempt.id.task, Trigger.ENDED.value)
            run.end_attempt(task, attempt, Trigger.ENDED, reason)
            senders.abandon(run, worker.name, attempt.id, reason)
    run.out.append(FinishRun(error))


def on_promoted(run: RunState, _: OutputPromoted) -> None:
    phase_after(run.phase, Trigger.PROMOTED)
    finish(run, None)


def on_store_failed(run: RunState, event: StoreFailed) -> None:
    finish(run, StorageError(event.message))


def on_cancel(run: RunState, event: CancelRequested) -> None:
    finish(run, Cancelled(event.reason))
