"""A master process: the real core, journal and scheduler, driven as the real driver does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gomr_runtime.errors import GomrError, RunConflict
from gomr_runtime.master.core.core import Core
from gomr_runtime.master.core.duties import Answer, Duty
from gomr_runtime.master.core.effects import (
    Abandon,
    Announce,
    Assign,
    Effect,
    Expire,
    Perform,
    StepDown,
)
from gomr_runtime.master.core.inputs import (
    DutyAnswered,
    HeartbeatReceived,
    MasterReplaced,
    RunFailed,
)
from gomr_runtime.master.journal import Journal
from gomr_runtime.master.recovery import RunOver, RunPlanned, replay, take_over
from gomr_runtime.model.summary import Summary
from gomr_runtime.scheduler.events import (
    CancelRequested,
    Event,
    PlanningBegan,
    TaskWanted,
    Tick,
    WorkerJoined,
)
from tests.simulation.oracle import Observed
from tests.simulation.simulated.data import RUN, splits_of
from tests.simulation.simulated.kernel import Process, sleep
from tests.simulation.simulated.store import Client

if TYPE_CHECKING:
    from tests.simulation.simulated.world import World

TICK = 1.0
FENCE_EVERY = 5.0
FINISHED = "finished"


class Master(Process):
    """One start of the master. `core` is there once it has its epoch, `ready` once it replayed."""

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world.kernel)
        self.number = number
        self.core: Core | None = None
        self.watch: Observed | None = None
        self.ready = False
        self.exit_code: int | None = None
        self.trouble: GomrError | None = None  # why it could not start
        self.heard: dict[str, float] = {}  # by worker: when its last message came
        self.replayed_from = 0.0
        self.cancelled = False
        self._world = world
        self._client = Client(world.server, danger=self._danger)
        self._journal = Journal(self._client, RUN, nonce=world.nonce, clock=world.wall_clock)
        # A monotonic clock of its own, which no step of the wall clock moves.
        self._clock_offset = world.kernel.rng.uniform(0, 1000)
        self._waiting: list[str] = []
        self._planning = False
        self.spawn(self._live)

    @property
    def epoch(self) -> int:
        return self._journal.epoch

    def clock(self) -> float:
        return self.kernel.now + self._clock_offset

    def _danger(self) -> None:
        """At a request to the store: it may be the last thing that this master does."""
        world = self._world
        if world.strikes("lethal"):
            self.kernel.after(self.kernel.rng.uniform(0, 0.1), world.kill_master, self)

    # From its start to its end.

    def _live(self) -> None:
        """Start up as the server does, then serve."""
        world, journal = self._world, self._journal
        try:
            succession = take_over(journal)
            self.core = succession.core(self.clock(), world.nonce)
            self.watch = Observed(self, world.oracle)
            world.oracle.took(self)
            self.replayed_from = self.kernel.now
            found = replay(journal, succession.job)
            if isinstance(found, RunOver):
                self.ready = True
                self._announce(found.summary, found.error)
                return
            if found is not None:
                world.oracle.recovered(self, found.commits)
                self.handle(found.event(self.clock()))
        except GomrError as error:
            world.say(f"{self.kernel.now:.3f} master {self.number} cannot start: {error}")
            self.trouble = error
            self._exit(error.exit_code)
            return
        self.ready = True
        self._welcome()
        self.after(TICK, self._tick)
        self.spawn(self._fence)

    def _tick(self) -> None:
        self.handle(Tick(self.clock()))
        self.after(TICK, self._tick)

    def _fence(self) -> None:
        while True:
            sleep(FENCE_EVERY)
            try:
                self._journal.check_epoch()
            except RunConflict as error:
                self.handle(MasterReplaced(self.clock(), error))
            except GomrError as error:
                self.handle(RunFailed(self.clock(), error))

    def _announce(self, summary: Summary, error: GomrError | None) -> None:
        self._world.announced(self, summary, error)
        self._exit(error.exit_code if error else 0)

    def _exit(self, code: int) -> None:
        self.exit_code = code
        self.kill()
        self._world.master_ended(self)

    # What it hears.

    def register(self, worker: str, highest_epoch: int) -> None:
        """As `Admission.register`, of a worker that may have seen a newer master."""
        if self.core is None:
            return
        if highest_epoch > self.epoch:
            conflict = RunConflict(f"worker {worker} has seen a newer master")
            self.handle(MasterReplaced(self.clock(), conflict))
        elif self.ready:
            self._register(worker)
        else:
            self._waiting.append(worker)

    def hear(self, kind: Callable[..., Event], *fields: Any) -> None:
        """A message of a worker that registered, as the event it becomes."""
        if self.ready:
            if kind in (HeartbeatReceived, TaskWanted):
                self.heard[fields[0]] = self.kernel.now
            self.handle(kind(self.clock(), *fields))

    def cancel(self, reason: str) -> None:
        self.hear(CancelRequested, reason)

    def _register(self, worker: str) -> None:
        assert self.core is not None
        if self.core.assignments is not None:
            self.heard[worker] = self.kernel.now
            self.handle(WorkerJoined(self.clock(), worker))
            self._world.to_worker(self, worker, "ack")
        elif self._planning:
            self._waiting.append(worker)
        else:
            self._planning = True
            self._waiting.append(worker)
            self.spawn(self._plan)

    def _plan(self) -> None:
        assert self.core is not None
        world, job = self._world, self.core.job
        self.handle(PlanningBegan(self.clock()))
        try:
            plan = self._journal.write_plan(splits_of(world.plan, job), job.files)
        except GomrError as error:
            self.handle(RunFailed(self.clock(), error))
            return
        self.handle(RunPlanned(plan).event(self.clock()))
        self._welcome()

    def _welcome(self) -> None:
        waiting, self._waiting = self._waiting, []
        for worker in waiting:
            self._register(worker)

    # What it does.

    def handle(self, event: Event) -> None:
        """Let the core decide, then do what it says."""
        if self.core is None or not self.alive:
            return
        effects = self.core.handle(event)
        self._world.handled(self, event, effects)
        for effect in effects if self.alive else ():
            self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Assign(worker) | Abandon(worker) | Expire(worker):
                self._world.to_worker(self, worker, effect)
            case Perform(duty):
                self.spawn(self._perform, duty)
            case Announce(summary, error):
                for worker in self._world.worker_names():
                    self._world.to_worker(self, worker, FINISHED)
                self._announce(summary, error)
            case StepDown(error):
                self._exit(error.exit_code)

    def _perform(self, duty: Duty) -> None:
        answer: Answer
        try:
            answer = duty.run(self._journal)
        except GomrError as error:
            answer = error
        self.handle(DutyAnswered(self.clock(), duty, answer))
