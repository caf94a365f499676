"""The start of a run: its tasks are made, and what earlier masters committed is entered."""

from __future__ import annotations

from gomr_runtime.model.ids import TaskId
from gomr_runtime.model.task import TaskKind
from gomr_runtime.scheduler import commits, phases
from gomr_runtime.scheduler.events import CommitRecovered, PlanningBegan, TasksPlanned
from gomr_runtime.scheduler.run_state import RunState
from gomr_runtime.scheduler.state import Phase, Task, TaskState, phase_after, when_planned


def on_planning(run: RunState, _: PlanningBegan) -> None:
    run.planning = True


def on_planned(run: RunState, event: TasksPlanned) -> None:
    trigger = when_planned(sample=event.sample)
    phase_after(run.phase, trigger)
    run.planning = False
    first = run.config.first_attempt
    sizes: tuple[tuple[TaskKind, int], ...] = (
        ("sample", int(event.sample)),
        ("map", event.maps),
        ("reduce", event.reduces),
    )
    for kind, size in sizes:
        run.tasks[kind] = [Task(TaskId(kind, index), first) for index in range(size)]
        run.tally[kind][TaskState.PENDING] = size
    for found in run.recovered:
        commits.recover(run, found)
    phases.advance(run, trigger)


def on_recovered(run: RunState, event: CommitRecovered) -> None:
    if run.phase is Phase.WAIT:
        run.recovered.append(event)
    else:
        commits.recover(run, event)
        phases.advance_if_done(run)
