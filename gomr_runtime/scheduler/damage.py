"""The stored list of map outputs, and what happens when one of them is proven bad.

The map runs again in its next generation: its manifest gets a key of its own, and a new list is
stored that names what the map stored last.
"""

from __future__ import annotations

from gomr_runtime.errors import CorruptBlock
from gomr_runtime.model.task import TaskFailure
from gomr_runtime.scheduler import phases
from gomr_runtime.scheduler.commands import RepeatMap
from gomr_runtime.scheduler.events import MapsSealed
from gomr_runtime.scheduler.run_state import RunState
from gomr_runtime.scheduler.state import (
    Attempt,
    Phase,
    SchedulerConfig,
    Task,
    TaskState,
    Trigger,
    phase_after,
)


def on_sealed(run: RunState, _: MapsSealed) -> None:
    phase_after(run.phase, Trigger.SEALED)
    run.sealed += 1
    for damaged, reason in run.damaged.items():
        _repeat(run, run.tasks["map"][damaged.index], reason)
    phases.advance(run, Trigger.DAMAGED if run.damaged else Trigger.SEALED)
    run.damaged.clear()


def found(run: RunState, source: Task, failure: TaskFailure) -> CorruptBlock | None:
    """Have the map run again whose output a reducer could not read: not the reducer's fault.

    Returns:
        The error that ends the run if the map has been repeated too often, else None.
    """
    if source.id in run.damaged:
        return None
    if error := damaged_too_often(source, failure, run.config):
        return error
    if run.phase is Phase.SEAL:
        run.damaged[source.id] = failure.message
        return None
    _repeat(run, source, failure.message)
    if run.phase is Phase.REDUCE:
        phases.advance(run, Trigger.DAMAGED)
    else:
        run.matching.put(source)
    return None


def _repeat(run: RunState, source: Task, reason: str) -> None:
    run.revoke(source)
    run.out.append(RepeatMap(source.id, reason))


def blamed(task: Task, maps: list[Task], failure: TaskFailure) -> Task | None:
    """The map whose output a reducer could not read; None for any other failure."""
    if task.id.kind != "reduce" or failure.kind != "corrupt":
        return None
    if not 0 <= failure.bad_map < len(maps):
        return None
    return maps[failure.bad_map]


def read_by(reducer: Attempt, source: Task) -> bool:
    """Whether the committed output of `source` is what the reducer read.

    The list of map outputs that it was given may be older: then what it found bad has been, or is
    being, replaced.
    """
    return source.state is TaskState.COMMITTED and reducer.sealed >= source.sealed


def damaged_too_often(
    source: Task, failure: TaskFailure, config: SchedulerConfig
) -> CorruptBlock | None:
    """The end of the run, once the map's output was found bad as often as a task may fail."""
    times = source.generation + 1
    if times < config.max_attempts:
        return None
    return CorruptBlock(
        f"{failure.message} (the output of {source.id} was stored {times} times and found damaged "
        "each time); check the store's disks, then resume the run"
    )


def unreadable_too_often(task: Task, times: int) -> CorruptBlock:
    """The end of the run, when the store keeps damaging what it is told of a commit."""
    return CorruptBlock(
        f"{task.id}: its manifest was stored {times} times and found damaged each time; "
        "check the store's disks, then resume the run"
    )
