"""What the original system did: the B… are its defects."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from gomr_runtime.errors import StorageError
from gomr_runtime.master.core.core import Core
from gomr_runtime.master.core.inputs import AttemptReported
from gomr_runtime.model import layout
from gomr_runtime.model.task import MapOutput, TaskResult
from gomr_runtime.scheduler import verdict, workers
from gomr_runtime.scheduler.matching import Matching
from gomr_runtime.scheduler.run_state import RunState
from gomr_runtime.scheduler.state import Worker
from tests.simulation.mutants.registry import INPUTS, mutant
from tests.simulation.simulated.workers import Worker as SimulatedWorker

# What the original system did.


@mutant(layout, "attempt_data")
def B1_outputs_are_not_kept_apart_by_task(original: Any) -> Any:
    """Map output is stored under its partition's name alone: tasks overwrite each other."""
    return lambda task, role: f"runs/{task.run}/data/{task.kind}-x/{role}"


@mutant(layout, "attempt_data")
def B1_outputs_are_not_kept_apart_by_attempt(original: Any) -> Any:
    """Two attempts of a task write the same object."""
    return lambda task, role: f"runs/{task.run}/data/{task.name}/{role}"


@mutant(INPUTS, AttemptReported)
def B2_reducers_read_every_output_that_was_reported(original: Any) -> Any:
    """The output of each attempt is listed, not that of the one which was committed."""

    def reported(core: Core, event: AttemptReported) -> None:
        if isinstance(event.outcome, TaskResult) and event.attempt.task.kind == "map":
            every = core.books.__dict__.setdefault("every", {})
            every[event.attempt] = event.outcome
            core.books.map_outputs = lambda: [  # type: ignore[method-assign]
                MapOutput(attempt.task.index, file.key, file.size, file.index_bytes)
                for attempt, result in every.items()
                for file in result.files
            ]
        original(core, event)

    return reported


@mutant(Matching, "_charge")
def B3_busy_workers_count_as_free(original: Any) -> Any:
    """A worker that got a task is asked again at once."""

    def charge(matching: Matching, worker: Worker) -> None:
        matching._wanting[worker.name] = None

    return charge


@mutant(INPUTS, AttemptReported)
def B4_reports_are_matched_by_their_task_alone(original: Any) -> Any:
    """A late report of an earlier attempt counts for the one that runs now."""

    def reported(core: Core, event: AttemptReported) -> None:
        flights = core.assignments._flights if core.assignments else {}
        for attempt, flight in flights.items():
            if attempt.task == event.attempt.task:
                event = dataclasses.replace(
                    event,
                    attempt=attempt,
                    worker=flight.worker,
                    nonce=flight.spec.nonce,
                    epoch=core.epoch,
                )
        original(core, event)

    return reported


@mutant(workers, "lose_worker")
def B5_a_hung_worker_holds_its_tasks(original: Any) -> Any:
    """Nobody gives up on a worker that does not answer."""

    def lose(run: RunState, worker: Worker, reason: str) -> None:
        if "silent" not in reason:
            original(run, worker, reason)

    return lose


@mutant(SimulatedWorker, "_publish")
def B7_upload_errors_are_ignored(original: Any) -> Any:
    """An output that could not be stored is reported as done."""

    def publish(worker: SimulatedWorker, running: Any, result: Any, content: bytes) -> Any:
        put, made = worker._store.put, []

        def forgiving(key: str, data: bytes) -> None:
            with contextlib.suppress(StorageError):
                put(key, data)

        worker._store.put = forgiving  # type: ignore[method-assign]
        made.append(original(worker, running, result, content))
        return made[0]

    return publish


@mutant(verdict, "charge")
def B10_attempts_without_bound(original: Any) -> Any:
    """A task that fails is tried for ever."""
    return lambda task, failure, config: None
