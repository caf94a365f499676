"""The run's one decision maker: events in, commands out.

No I/O, no clock, no randomness, and nothing that depends on hashes: the same events give the same
commands in every process. An event costs about the same whatever the number of tasks; a `Tick`
looks at every worker and every running attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gomr_runtime.scheduler import (
    attempts,
    commits,
    damage,
    phases,
    planning,
    workers,
)
from gomr_runtime.scheduler.commands import Command
from gomr_runtime.scheduler.events import (
    AttemptFailed,
    AttemptProgressed,
    AttemptSucceeded,
    CancelRequested,
    CommitRecovered,
    CommitSettled,
    Event,
    MapsSealed,
    OutputPromoted,
    PlanningBegan,
    StoreFailed,
    TasksPlanned,
    TaskWanted,
    Tick,
    WorkerHeard,
    WorkerJoined,
    WorkerLeft,
)
from gomr_runtime.scheduler.run_state import RunState
from gomr_runtime.scheduler.state import Phase, SchedulerConfig


class Scheduler:
    """Decides for one run under one master; once it is finished every event is ignored.

    `state` is for reading; only `handle` changes it.
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.state = RunState(config)

    def handle(self, event: Event) -> list[Command]:
        """Decide what to do now.

        Returns:
            The commands, to be carried out in this order.

        Raises:
            InvalidTransition: The event cannot follow what happened before.
        """
        run = self.state
        if run.phase is Phase.FINISHED:
            return []
        run.now = max(run.now, event.now)
        if run.deserted_since == float("inf") and not run.workers:
            run.deserted_since = run.now
        run.out = []
        HANDLERS[type(event)](run, event)
        attempts.dispatch(run)
        out, run.out = run.out, []
        return out


HANDLERS: dict[type[Event], Callable[[RunState, Any], None]] = {
    PlanningBegan: planning.on_planning,
    TasksPlanned: planning.on_planned,
    CommitRecovered: planning.on_recovered,
    WorkerJoined: workers.on_joined,
    WorkerHeard: workers.on_heard,
    WorkerLeft: workers.on_left,
    TaskWanted: workers.on_wanted,
    AttemptProgressed: attempts.on_progressed,
    AttemptSucceeded: attempts.on_succeeded,
    AttemptFailed: attempts.on_failed,
    CommitSettled: commits.on_settled,
    MapsSealed: damage.on_sealed,
    OutputPromoted: phases.on_promoted,
    StoreFailed: phases.on_store_failed,
    CancelRequested: phases.on_cancel,
    Tick: workers.on_tick,
}
