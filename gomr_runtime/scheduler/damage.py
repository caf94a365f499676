"""When a committed map output is proven bad, and what that means for the map."""

from __future__ import annotations

from gomr_runtime.errors import CorruptBlock
from gomr_runtime.model.job import TaskFailure
from gomr_runtime.scheduler.state import Attempt, SchedulerConfig, Task, TaskState


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
