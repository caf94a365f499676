"""Who may report what, and which report counts."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from typing import Any

from gomr_runtime.errors import GomrError
from gomr_runtime.master import journal as journal_module
from gomr_runtime.master.core.core import Core
from gomr_runtime.master.core.inputs import AttemptReported
from gomr_runtime.master.journal import Journal
from gomr_runtime.model import layout
from gomr_runtime.model.ids import AttemptId
from gomr_runtime.model.task import TaskResult
from gomr_runtime.scheduler import senders
from gomr_runtime.scheduler.commands import CommitAttempt
from gomr_runtime.scheduler.events import AttemptSucceeded
from gomr_runtime.scheduler.run_state import RunState
from gomr_runtime.scheduler.state import SchedulerConfig, TaskState
from tests.simulation.mutants.registry import EVENTS, INPUTS, mutant
from tests.simulation.simulated.workers import Worker as SimulatedWorker

# Who may report what.


@mutant(INPUTS, AttemptReported)
def reports_to_another_master_are_accepted(original: Any) -> Any:
    """Neither epoch nor nonce is looked at: what an earlier master had started counts."""

    def reported(core: Core, event: AttemptReported) -> None:
        number = core.scheduler.state.config.first_attempt + (event.attempt.attempt - 1) % 1000
        attempt = AttemptId(event.attempt.task, number)
        flight = core.assignments.flight(attempt) if core.assignments else None
        if event.epoch != core.epoch and flight is not None:
            event = dataclasses.replace(
                event,
                attempt=attempt,
                worker=flight.worker,
                nonce=flight.spec.nonce,
                epoch=core.epoch,
            )
        original(core, event)

    return reported


@mutant(SchedulerConfig, "__post_init__")
def attempt_numbers_begin_anew_with_each_master(original: Any) -> Any:
    """Two masters use the same number for different attempts."""

    def check(config: SchedulerConfig) -> None:
        object.__setattr__(config, "first_attempt", 1)

    return check


@mutant(senders, "running")
def late_successes_of_lost_attempts_are_accepted(original: Any) -> Any:
    """An attempt that was given up is committed after all."""

    def running(run: RunState, worker: str, attempt: Any) -> Any:
        return original(run, worker, attempt) or run.known(attempt)

    return running


# Commits.


@mutant(Journal, "commit")
def the_last_commit_wins(original: Any) -> Any:
    """A manifest overwrites the one that is there."""

    def commit(journal: Journal, manifest: Any) -> Any:
        key = layout.commit(journal.run, str(manifest.attempt.task), manifest.generation)
        journal.store.put(key, journal_module._encode_manifest(manifest))
        return manifest

    return commit


@mutant(Journal, "commit")
def a_lost_race_counts_as_won(original: Any) -> Any:
    """The master believes in its own manifest though another one is there."""

    def commit(journal: Journal, manifest: Any) -> Any:
        original(journal, manifest)
        return manifest

    return commit


@mutant(SimulatedWorker, "_attempt")
def a_commit_comes_before_the_upload(original: Any) -> Any:
    """The worker reports first and stores its output afterwards."""

    def attempt(worker: SimulatedWorker, running: Any) -> None:
        put, late = worker._store.put, []
        worker._store.put = lambda key, data: late.append((key, data))  # type: ignore[method-assign]
        try:
            original(worker, running)
        finally:
            worker._store.put = put  # type: ignore[method-assign]
        for key, data in late:
            with contextlib.suppress(GomrError):
                put(key, data)

    return attempt


@mutant(EVENTS, AttemptSucceeded)
def every_success_is_committed(original: Any) -> Any:
    """A second attempt that succeeds while the first commits is committed too."""

    def succeeded(run: RunState, event: AttemptSucceeded) -> None:
        original(run, event)
        known = run.known(event.attempt)
        told = [c for c in run.out if isinstance(c, CommitAttempt)]
        task = run.tasks[event.attempt.task.kind][event.attempt.task.index]
        if known is not None and not told and task.state is TaskState.COMMITTING:
            run.out.append(CommitAttempt(event.attempt))

    return succeeded


@mutant(INPUTS, AttemptReported)
def counters_of_every_report_count(original: Any) -> Any:
    """Counters add up over all results, not over the committed ones."""

    def reported(core: Core, event: AttemptReported) -> None:
        books = core.books
        if isinstance(event.outcome, TaskResult):
            every = books.__dict__.setdefault("every", [])
            every.append(event.outcome)
            totals = type(books).totals

            def summed() -> Any:
                counters: Counter[str] = Counter()
                for result in every:
                    counters.update(result.counters)
                return dataclasses.replace(totals(books), counters=dict(counters))

            books.totals = summed  # type: ignore[method-assign]
        original(core, event)

    return reported
