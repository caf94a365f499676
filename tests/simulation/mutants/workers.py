"""What happens to the tasks of a worker, and what it has room for."""

from __future__ import annotations

import dataclasses
from typing import Any

from gomr_runtime.master.core.assignments import Assignments
from gomr_runtime.scheduler import attempts, commits, senders, workers
from gomr_runtime.scheduler.events import (
    WorkerHeard,
    WorkerLeft,
)
from gomr_runtime.scheduler.matching import Matching
from gomr_runtime.scheduler.run_state import RunState
from gomr_runtime.scheduler.state import Worker
from tests.simulation.mutants.registry import EVENTS, mutant
from tests.simulation.simulated.masters import Master

# Requeueing, leases and budgets.


@mutant(attempts, "return_if_empty")
def failed_tasks_are_forgotten(original: Any) -> Any:
    """A task without attempts is not put back."""
    return lambda run, task: None


@mutant(Matching, "put")
def returned_tasks_are_not_offered(original: Any) -> Any:
    """A task that came back is pending, and nobody gets it."""
    return lambda matching, task: None


@mutant(EVENTS, WorkerLeft)
def tasks_of_workers_that_left_are_forgotten(original: Any) -> Any:
    """A goodbye takes the worker's tasks along."""

    def left(run: RunState, event: WorkerLeft) -> None:
        worker = run.workers.get(event.worker)
        if worker is not None:
            run.matching.leave(worker)
            run.gone[worker.name] = event.reason

    return left


@mutant(EVENTS, WorkerHeard)
def attempts_that_never_arrived_are_waited_for(original: Any) -> Any:
    """That a worker does not run what it was given is not noticed."""

    def heard(run: RunState, event: WorkerHeard) -> None:
        senders.sender(run, event.worker)

    return heard


@mutant(EVENTS, WorkerHeard)
def heartbeats_do_not_renew_the_lease(original: Any) -> Any:
    """A busy worker that only beats is given up."""

    def heard(run: RunState, event: WorkerHeard) -> None:
        worker = run.workers.get(event.worker)
        before = worker.heard if worker else 0.0
        original(run, event)
        if worker is not None:
            worker.heard = before

    return heard


@mutant(Master, "clock")
def leases_go_by_the_wall_clock(original: Any) -> Any:
    """A step of the clock ends every lease, or none."""
    return lambda master: master._world.wall_clock()


@mutant(workers, "lose_attempt")
def lost_attempts_without_bound(original: Any) -> Any:
    """A task that takes its workers with it is started for ever."""

    def lose(run: RunState, attempt: Any, reason: str) -> None:
        task = run.task(attempt.id.task, reason)
        task.lost = 0
        original(run, attempt, reason)

    return lose


@mutant(Assignments, "keep")
def ended_attempts_are_remembered(original: Any) -> Any:
    """The master's memory grows with every attempt."""
    return lambda assignments, matters: None


@mutant(commits, "win")
def losers_go_on_running(original: Any) -> Any:
    """Other attempts of a committed task are not stopped."""

    def win(run: RunState, task: Any, winner: Any) -> None:
        task.committed, task.committing = winner, None

    return win


# What workers have room for.


@mutant(EVENTS, WorkerHeard)
def room_is_only_told_once(original: Any) -> Any:
    """A worker whose message got lost is never asked again what it has room for."""

    def heard(run: RunState, event: WorkerHeard) -> None:
        original(run, dataclasses.replace(event, room=None))

    return heard


@mutant(Worker, "coming")
def attempts_on_their_way_take_no_room(original: Any) -> Any:
    """A worker gets more than it can run, for what it said before the last one reached it."""
    return lambda worker, named: 0


@mutant(senders, "disown")
def what_a_worker_should_not_run_goes_on(original: Any) -> Any:
    """A worker is not told that an attempt of its is nobody's any more."""
    return lambda run, worker, attempt: None


@mutant(Matching, "_take")
def the_last_task_waits_for_another_worker(original: Any) -> Any:
    """A task that failed is offered to those alone where it did not fail."""

    def take(matching: Matching, worker: Worker) -> Any:
        allowed = matching.allowed
        matching.allowed = (  # type: ignore[method-assign]
            lambda task, worker: worker.name not in task.failed_on
        )
        try:
            return original(matching, worker)
        finally:
            matching.allowed = allowed  # type: ignore[method-assign]

    return take


@mutant(Matching, "want")
def what_workers_ask_for_adds_up(original: Any) -> Any:
    """A worker that asks twice for the same room gets twice as many tasks."""
    return lambda matching, worker, count: original(matching, worker, worker.credit + count)


@mutant(Matching, "take_worker_for_backup")
def a_backup_goes_to_whoever_runs_the_task(original: Any) -> Any:
    """Both attempts are lost with the same worker."""
    return lambda matching, task: original(matching, dataclasses.replace(task, attempts=[]))
