"""What an event costs must not grow with the number of tasks: work is counted, not time."""

from __future__ import annotations

from collections import deque

import pytest

from gomr_runtime.model.task import TaskFailure
from gomr_runtime.scheduler.commands import (
    Command,
    CommitAttempt,
    PromoteOutput,
    SealMaps,
    StartAttempt,
)
from gomr_runtime.scheduler.events import (
    AttemptFailed,
    AttemptSucceeded,
    CommitSettled,
    Event,
    MapsSealed,
    OutputPromoted,
    TasksPlanned,
    TaskWanted,
    Tick,
    WorkerJoined,
)
from gomr_runtime.scheduler.machine import Scheduler
from gomr_runtime.scheduler.state import SchedulerConfig


def drive(maps: int, reduces: int, workers: int, fail_every: int = 0) -> tuple[Scheduler, int]:
    """Run a job to its end, each attempt done as soon as it starts; how many events it took."""
    scheduler = Scheduler(SchedulerConfig())
    names = [f"w{number}" for number in range(workers)]
    queue: deque[Event] = deque([TasksPlanned(0.0, maps, reduces, False)])
    queue.extend(WorkerJoined(0.0, name) for name in names)
    queue.extend(TaskWanted(0.0, name, 1) for name in names)
    events = starts = 0
    while queue:
        events += 1
        now = events / 10_000
        for command in scheduler.handle(queue.popleft()):
            starts += isinstance(command, StartAttempt)
            fails = fail_every > 0 and starts % fail_every == 0
            queue.extend(answers(command, now, fails))
        if events % 5_000 == 0:
            queue.append(Tick(now))
    return scheduler, events


def answers(command: Command, now: float, fails: bool) -> list[Event]:
    match command:
        case StartAttempt(worker, attempt):
            ended: Event = AttemptSucceeded(now, worker, attempt)
            if fails:
                ended = AttemptFailed(now, worker, attempt, TaskFailure("storage", "503"))
            return [ended, TaskWanted(now, worker, 1)]
        case CommitAttempt(attempt):
            return [CommitSettled(now, attempt, attempt)]
        case SealMaps():
            return [MapsSealed(now)]
        case PromoteOutput():
            return [OutputPromoted(now)]
    return []


@pytest.mark.parametrize("fail_every", [0, 50])
def test_work_for_an_assignment_is_bounded(fail_every: int) -> None:
    scheduler, events = drive(20_000, 100, 200, fail_every)
    assert scheduler.state.phase.value == "finished"
    assert scheduler.state.error is None
    assert len(scheduler.state.committed_attempts("map")) == 20_000
    assert events < 3.2 * scheduler.state.attempts_made + 1_000
    assert scheduler.state.work < 3 * scheduler.state.attempts_made


def test_work_does_not_grow_with_the_tasks() -> None:
    small, large = (drive(maps, 10, 50)[0].state for maps in (1_000, 10_000))
    share = (large.work / large.attempts_made) / (small.work / small.attempts_made)
    assert share < 1.1
