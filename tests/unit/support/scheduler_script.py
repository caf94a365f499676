"""Drives a real scheduler by hand, one event a call, every invariant checked after each."""

from __future__ import annotations

from typing import Any, TypeVar

from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.task import TaskFailure, TaskKind
from gomr_runtime.scheduler.commands import Command, StartAttempt
from gomr_runtime.scheduler.events import (
    AttemptFailed,
    AttemptSucceeded,
    CommitSettled,
    Event,
    TasksPlanned,
    TaskWanted,
    Tick,
    WorkerHeard,
    WorkerJoined,
    WorkerLeft,
)
from gomr_runtime.scheduler.machine import Scheduler
from gomr_runtime.scheduler.state import SchedulerConfig
from tests.simulation.invariants import Watch

C = TypeVar("C", bound=Command)


def attempt(index: int, number: int = 1, kind: TaskKind = "map") -> AttemptId:
    return AttemptId(TaskId(kind, index), number)


def failure(kind: Any = "crash", message: str = "it died", **more: Any) -> TaskFailure:
    return TaskFailure(kind, message, **more)


def only(kind: type[C], commands: list[Command]) -> list[C]:
    return [command for command in commands if isinstance(command, kind)]


def started(commands: list[Command]) -> list[tuple[str, str]]:
    """Who was told to run what, as ("w1", "map-0/1")."""
    return [(start.worker, str(start.attempt)) for start in only(StartAttempt, commands)]


class Script:
    """A run in which the test plays workers, store and clock."""

    def __init__(self, **config: Any) -> None:
        self.scheduler = Scheduler(SchedulerConfig(**config))
        self.watch = Watch(self.scheduler)
        self.now = 0.0

    def tell(self, event: type[Event], *fields: Any) -> list[Command]:
        return self.watch.handle(event(self.now, *fields))

    def plan(self, maps: int, reduces: int = 0, sample: bool = False) -> list[Command]:
        return self.tell(TasksPlanned, maps, reduces, sample)

    def join(self, *workers: str, want: int = 0) -> list[Command]:
        """Each worker joins, then each asks for `want` tasks, in this order."""
        out = [command for worker in workers for command in self.tell(WorkerJoined, worker)]
        for worker in workers if want else ():
            out += self.want(worker, want)
        return out

    def want(self, worker: str, count: int = 1) -> list[Command]:
        return self.tell(TaskWanted, worker, count)

    def hear(self, worker: str, *running: AttemptId) -> list[Command]:
        return self.tell(WorkerHeard, worker, running)

    def leave(self, worker: str) -> list[Command]:
        return self.tell(WorkerLeft, worker, "drained")

    def succeed(self, worker: str, which: AttemptId) -> list[Command]:
        return self.tell(AttemptSucceeded, worker, which)

    def settle(self, which: AttemptId, winner: AttemptId | None = None) -> list[Command]:
        """The commit of `which` is settled; it won, unless `winner` says otherwise."""
        return self.tell(CommitSettled, which, winner or which)

    def finish(self, worker: str, which: AttemptId) -> list[Command]:
        """The attempt succeeds and wins."""
        return self.succeed(worker, which) + self.settle(which)

    def fail(self, worker: str, which: AttemptId, **why: Any) -> list[Command]:
        return self.tell(AttemptFailed, worker, which, failure(**why))

    def tick(self, seconds: float = 0.0, alive: tuple[str, ...] = ()) -> list[Command]:
        """Time passes; the workers `alive` are heard of at the end of it, with all they run."""
        self.now += seconds
        for worker in alive:
            self.hear(worker, *self.scheduler.state.workers[worker].running)
        return self.tell(Tick)
