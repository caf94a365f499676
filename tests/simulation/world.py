"""A small world around the real scheduler: one thread, one generator, one virtual clock.

Everything outside the scheduler is a model here: a network that drops, doubles and delays, workers
that crash, pause and fail, a store whose puts are create-only and whose acknowledgements get lost,
and masters that die and start again from what the store holds. The invariants are checked after
every event; `World.run` also checks the verdict against what the world did.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Any

from gomr_runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    EnvironmentFailed,
    GomrError,
    JobFailed,
)
from gomr_runtime.job import TaskFailure
from gomr_runtime.scheduler.commands import (
    AbandonAttempt,
    Command,
    CommitAttempt,
    ExpireWorker,
    FinishRun,
    PromoteOutput,
    SealMaps,
    StartAttempt,
)
from gomr_runtime.scheduler.events import (
    AttemptFailed,
    AttemptId,
    AttemptSucceeded,
    CancelRequested,
    CommitRecovered,
    CommitSettled,
    Event,
    MapsSealed,
    OutputPromoted,
    StoreFailed,
    TaskId,
    TasksPlanned,
    TaskWanted,
    Tick,
    WorkerHeard,
    WorkerJoined,
    WorkerLeft,
)
from gomr_runtime.scheduler.invariants import Watch
from gomr_runtime.scheduler.machine import Scheduler
from gomr_runtime.scheduler.state import SchedulerConfig
from tests.simulation.swarm import Plan, draw

HEARTBEAT = 2.0
TICK = 1.0
CONFIG = SchedulerConfig(backup_floor=6.0)
MOST_EVENTS = 100_000
SICK = TaskFailure("worker", "no space left")
CAUSES = (
    TaskFailure("crash", "killed by signal 11"),
    TaskFailure("storage", "503"),
    TaskFailure("memory", "above its memory"),
)


class WorldError(AssertionError):
    """The scheduler did what it must not do, or did not come to an end."""


@dataclass(eq=False, slots=True)
class WorkerProcess:
    """One slot in the cluster; `name` changes with every incarnation."""

    number: int
    sick: bool
    pace: float
    incarnation: int = 0
    up: bool = True
    resumes: float = 0.0
    running: dict[AttemptId, None] = field(default_factory=dict)
    seen: set[AttemptId] = field(default_factory=set)

    @property
    def name(self) -> str:
        return f"w{self.number}.{self.incarnation}"

    def reborn(self) -> None:
        self.incarnation += 1
        self.running.clear()
        self.seen.clear()


class Master:
    """One start of the master, and what this one was told."""

    def __init__(self, epoch: int, deadline: float | None) -> None:
        config = {name: getattr(CONFIG, name) for name in CONFIG.__slots__}
        config |= {"first_attempt": epoch * 1000 + 1, "deadline": deadline}
        self.epoch = epoch
        self.scheduler = Scheduler(SchedulerConfig(**config))
        self.watch = Watch(self.scheduler)
        self.planned = False
        self.sealed = False
        self.settled: set[TaskId] = set()
        self.heard: dict[str, float] = {}
        self.starts: Counter[TaskId] = Counter()
        self.failures: Counter[TaskId] = Counter()


class World:
    """A run of one seed; `run` raises WorldError or InvariantViolated for a defect."""

    def __init__(
        self, seed: int, plan: Plan | None = None, say: Callable[[str], None] | None = None
    ):
        self.plan = plan or draw(seed)
        self.now = 0.0
        self.events = 0
        self.error: GomrError | None = None
        self.finished = False
        self.faults: Counter[str] = Counter()
        self.commits: dict[TaskId, AttemptId] = {}
        self.promoted = False
        self._rng = Random(f"world {seed}")
        self._say = say
        self._trace = hashlib.sha256()
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._calm = False
        self._master: Master | None = Master(1, self.plan.deadline)
        self._epoch = 1
        slow = self.plan.workers - 1
        self._workers = [
            WorkerProcess(n, n < self.plan.sick, self.plan.slow if n == slow else 1.0)
            for n in range(self.plan.workers)
        ]

    @property
    def trace(self) -> str:
        """A digest of every event and every command so far."""
        return self._trace.hexdigest()

    def starts(self) -> Counter[TaskId]:
        """How often the present master started each task."""
        return self._master.starts if self._master else Counter()

    def run(self) -> GomrError | None:
        """Live until the run ends; how it ended, after checking that it may."""
        plan = self.plan
        self._after(TICK, self._tick, self._epoch)
        for worker in self._workers:
            self._after(self._rng.uniform(0, 3), self._beat, worker, worker.incarnation)
        for moment in plan.restarts:
            self._after(moment, self._kill_master)
        if plan.cancel is not None:
            self._after(plan.cancel, self._cancel)
        self._after(plan.heal, self._heal)
        limit = self._latest_end()
        while not self.finished:
            self.now, _, action, arguments = heappop(self._queue)
            if self.now > limit or self.events > MOST_EVENTS:
                raise WorldError(f"no end by {self.now:.0f} s, {self.events} events")
            action(*arguments)
        self._check_verdict()
        return self.error

    def _latest_end(self) -> float:
        """When a run must be over: healed, leases passed, then every task by the one that is left
        (8 s each with its commit); the slow worker may be the one that is left."""
        plan = self.plan
        tasks = plan.maps + plan.reduces + 1
        alone = plan.workers == 1 or plan.sick or plan.fail  # or the others are quarantined
        slow_tasks = tasks if alone else 3
        return plan.heal + 6 * CONFIG.lease + 8 * tasks + 4 * plan.slow * slow_tasks

    # Time and messages.

    def _after(self, delay: float, action: Callable[..., None], *arguments: Any) -> None:
        self._order += 1
        heappush(self._queue, (self.now + delay, self._order, action, arguments))

    def _strikes(self, fault: str) -> bool:
        rate = getattr(self.plan, fault)
        struck = not self._calm and rate > 0 and self._rng.random() < rate
        self.faults[fault] += struck
        return struck

    def _send(self, action: Callable[..., None], *arguments: Any) -> None:
        """A message: on a good day 10 ms and in order."""
        if self._strikes("drop"):
            return
        delay = 0.01
        if self.plan.reorder and not self._calm:
            delay = self._rng.uniform(0, self.plan.reorder)
        self._after(delay, action, *arguments)
        if self._strikes("duplicate"):
            self._after(self._rng.uniform(0, 12), action, *arguments)

    def _to_master(self, kind: type[Event], *fields: Any) -> None:
        self._send(self._tell, None, kind, *fields)

    def _tell(self, epoch: int | None, kind: type[Event], *fields: Any) -> None:
        """The master takes an event in; one meant for an earlier master is gone with that."""
        master = self._master
        if master is None or self.finished or epoch not in (None, master.epoch):
            return
        self.events += 1
        event = kind(self.now, *fields)
        if fields and isinstance(fields[0], str):
            master.heard[fields[0]] = self.now
        commands = master.watch.handle(event)
        line = f"{self.now:.3f} epoch {master.epoch}: {event} -> {commands}"
        self._trace.update(line.encode())
        if self._say:
            self._say(line)
        if kind is CommitSettled and fields[1] is not None:
            master.settled.add(fields[0].task)
        if kind is MapsSealed:
            master.sealed = True
        for command in commands:
            if kind is Tick and isinstance(command, ExpireWorker):
                self._check_silence(master, command.worker)
            self._perform(master, command)
        if kind is WorkerJoined and not master.planned:
            master.planned = True
            self._after(1.0, self._plan_tasks, master.epoch)

    def _plan_tasks(self, epoch: int) -> None:
        plan = self.plan
        self._tell(epoch, TasksPlanned, plan.maps, plan.reduces, plan.sample)

    # The master's duties.

    def _perform(self, master: Master, command: Command) -> None:
        match command:
            case StartAttempt(worker, attempt):
                self._check_start(master, attempt)
                self._send(self._take, worker, attempt)
            case AbandonAttempt(worker, attempt):
                self._send(self._drop, worker, attempt)
            case ExpireWorker(worker):
                self._send(self._expire, worker)
            case CommitAttempt(attempt):
                self._after(self._rng.uniform(0, 2), self._put, master.epoch, attempt)
            case SealMaps():
                self._after(self._rng.uniform(0, 2), self._tell, master.epoch, MapsSealed)
            case PromoteOutput():
                self._after(self._rng.uniform(0, 2), self._promote, master.epoch)
            case FinishRun(error):
                self.finished, self.error = True, error

    def _check_start(self, master: Master, attempt: AttemptId) -> None:
        task = attempt.task
        master.starts[task] += 1
        if task in master.settled:
            raise WorldError(f"{attempt} starts though the task is committed")
        if task.kind == "reduce":
            maps = [TaskId("map", index) for index in range(self.plan.maps)]
            if not master.sealed or any(each not in self.commits for each in maps):
                raise WorldError(f"{attempt} starts before the maps are sealed")

    def _check_silence(self, master: Master, worker: str) -> None:
        if self.now - master.heard[worker] <= CONFIG.lease:
            raise WorldError(f"{worker} is expired though it was heard of in time")

    def _put(self, epoch: int, attempt: AttemptId) -> None:
        """The store takes the manifest if it is the first; the acknowledgement may be lost."""
        if self._out_of_reach():
            self._after(5.0, self._tell, epoch, CommitSettled, attempt, None)
            return
        winner = self.commits.setdefault(attempt.task, attempt)
        delay = self._rng.uniform(0, 1)
        if self._strikes("lost_acks"):
            delay += 5.0  # until the manifest was read back
        self._after(delay, self._tell, epoch, CommitSettled, attempt, winner)

    def _promote(self, epoch: int) -> None:
        if self._out_of_reach():
            self._tell(epoch, StoreFailed, "the store does not answer")
        else:
            self.promoted = True
            self._tell(epoch, OutputPromoted)

    def _out_of_reach(self) -> bool:
        return self.plan.outage is not None and self.now >= self.plan.outage

    def _tick(self, epoch: int) -> None:
        master = self._master
        if master is None or master.epoch != epoch:
            return
        self._tell(epoch, Tick)
        if self.finished:
            return
        for worker in master.scheduler.workers.values():
            if self.now - worker.heard > CONFIG.lease:
                raise WorldError(f"{worker.name} lives on after its lease")
        self._after(TICK, self._tick, epoch)

    def _cancel(self) -> None:
        if self._master is None:
            self._after(1.0, self._cancel)
        else:
            self._tell(None, CancelRequested, "asked to")

    def _kill_master(self) -> None:
        if self._master is not None:
            self.faults["restart"] += 1
            self._master = None
            self._after(self._rng.uniform(0.5, 5), self._start_master)

    def _start_master(self) -> None:
        """The next epoch: what the store has is replayed, part of it after the plan."""
        self._epoch += 1
        self._master = Master(self._epoch, self.plan.deadline)
        self._master.planned = True
        found = list(self.commits.values())
        early = self._rng.randint(0, len(found))
        for attempt in found[:early]:
            self._tell(self._epoch, CommitRecovered, attempt)
        self._plan_tasks(self._epoch)
        for attempt in found[early:]:
            self._tell(self._epoch, CommitRecovered, attempt)
        self._master.settled.update(attempt.task for attempt in found)
        self._after(TICK, self._tick, self._epoch)
        for worker in self._workers:
            self._to_master(WorkerJoined, worker.name)

    # Workers.

    def _beat(self, worker: WorkerProcess, incarnation: int) -> None:
        if not worker.up or worker.incarnation != incarnation:
            return
        if worker.resumes > self.now:
            self._after(worker.resumes - self.now, self._beat, worker, incarnation)
            return
        if self._strikes("crash"):
            self._go(worker, told=self._rng.random() < 0.5)
            return
        if self._strikes("leave"):
            self._go(worker, told=True)
            return
        if self._strikes("pause"):
            worker.resumes = self.now + self._rng.uniform(1, 3 * CONFIG.lease)
        if not worker.seen:
            self._to_master(WorkerJoined, worker.name)
        self._to_master(WorkerHeard, worker.name, tuple(worker.running))
        self._want(worker)
        self._after(HEARTBEAT, self._beat, worker, incarnation)

    def _want(self, worker: WorkerProcess) -> None:
        free = max(0, self.plan.slots - len(worker.running))
        self._to_master(TaskWanted, worker.name, free)

    def _go(self, worker: WorkerProcess, told: bool) -> None:
        if told:
            self._to_master(WorkerLeft, worker.name, "it went")
        worker.up = False
        self._after(self._rng.uniform(1, 20), self._come_back, worker)

    def _come_back(self, worker: WorkerProcess) -> None:
        if not worker.up:
            worker.up = True
            worker.reborn()
            self._beat(worker, worker.incarnation)

    def _listener(self, name: str, again: Callable[..., None], *rest: Any) -> WorkerProcess | None:
        """The process of that name if it hears the message now; a paused one hears it later."""
        for worker in self._workers:
            if worker.name == name and worker.up:
                if worker.resumes <= self.now:
                    return worker
                self._after(worker.resumes - self.now, again, name, *rest)
        return None

    def _take(self, name: str, attempt: AttemptId) -> None:
        worker = self._listener(name, self._take, attempt)
        if worker is None or attempt in worker.seen:
            return
        worker.seen.add(attempt)
        worker.running[attempt] = None
        seconds = self._rng.uniform(0.5, 4) * worker.pace
        self._after(seconds, self._complete, name, attempt)

    def _complete(self, name: str, attempt: AttemptId) -> None:
        worker = self._listener(name, self._complete, attempt)
        if worker is None or attempt not in worker.running:
            return
        del worker.running[attempt]
        if self._strikes("fail") or (worker.sick and not self._calm):
            cause = SICK if worker.sick else self._rng.choice(CAUSES)
            if self._master is not None:
                self._master.failures[attempt.task] += 1
            self._to_master(AttemptFailed, name, attempt, cause)
        else:
            self._to_master(AttemptSucceeded, name, attempt)
        self._want(worker)

    def _drop(self, name: str, attempt: AttemptId) -> None:
        worker = self._listener(name, self._drop, attempt)
        if worker is not None and attempt in worker.running:
            del worker.running[attempt]
            self._want(worker)

    def _expire(self, name: str) -> None:
        worker = self._listener(name, self._expire)
        if worker is not None:
            worker.reborn()
            self._beat(worker, worker.incarnation)

    # Healing and the verdict.

    def _heal(self) -> None:
        """No more faults; the first worker is well, each other one well or gone for good."""
        self._calm = True
        if self._master is None:
            self._start_master()
        for worker in self._workers:
            worker.resumes = 0.0
            if worker.number and self._rng.random() < 0.4:
                worker.up = False
                worker.reborn()
            elif not worker.up:
                self._come_back(worker)

    def _check_verdict(self) -> None:
        error, plan = self.error, self.plan
        master = self._master
        if master is None:
            raise WorldError("an end without a master")
        if error is None:
            self._check_success(master)
            return
        tired = max(master.failures.values(), default=0) >= CONFIG.max_attempts
        lossy = max(master.starts.values(), default=0) >= CONFIG.max_lost
        lonely = "no worker for" in str(error)
        just = {
            Cancelled: plan.cancel is not None,
            DeadlineExceeded: plan.deadline is not None and self.now >= plan.deadline,
            JobFailed: tired,
            EnvironmentFailed: lossy or self._out_of_reach() or (lonely and plan.workers < 5),
        }
        if not any(fits and isinstance(error, kind) for kind, fits in just.items()):
            raise WorldError(f"ended without reason: {error!r}")

    def _check_success(self, master: Master) -> None:
        if not self.promoted:
            raise WorldError("success without output")
        sizes = {"map": self.plan.maps, "reduce": self.plan.reduces}
        for kind, size in sizes.items():
            winners = [self.commits.get(TaskId(kind, index)) for index in range(size)]  # type: ignore[arg-type]
            if master.scheduler.committed_attempts(kind) != winners:  # type: ignore[arg-type]
                raise WorldError(f"{kind}: the scheduler's winners are not those of the store")
