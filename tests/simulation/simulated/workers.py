"""A worker process: registers, beats, runs attempts, reports. A model of the real one.

It does what the supervisor does: one master at a time, never one of a lower epoch than it has
seen; attempts of an earlier epoch are dropped; without a master for two leases it drops them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gomr_runtime.codec.fields import to_json
from gomr_runtime.codec.typed_json import from_json
from gomr_runtime.dataflow.execute import failure_of
from gomr_runtime.errors import GomrError
from gomr_runtime.laws.results import Asked
from gomr_runtime.master.core.assignments import read_result
from gomr_runtime.master.core.effects import Abandon, Assign, Expire
from gomr_runtime.master.core.inputs import AttemptProgress, AttemptReported, HeartbeatReceived
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.task import TaskFailure, TaskResult, TaskSpec
from gomr_runtime.scheduler.events import TaskWanted, WorkerLeft
from gomr_runtime.storage.blobs import StoreBlobs
from tests.simulation.simulated import data
from tests.simulation.simulated.kernel import Process, Thread, sleep
from tests.simulation.simulated.masters import FINISHED, Master
from tests.simulation.simulated.store import Client
from tests.simulation.swarm import LEASE

if TYPE_CHECKING:
    from tests.simulation.simulated.world import World

HEARTBEAT = 2.0
SILENCE = 15.0  # seconds without a word of the master after which the stream counts as broken
SICK = TaskFailure("worker", "no space left")
POISON = TaskFailure("user", "in, record 3: the mapper raised")
CAUSES = (
    TaskFailure("crash", "killed by signal 11"),
    TaskFailure("storage", "503"),
    TaskFailure("memory", "above its memory"),
)


@dataclass(slots=True)
class Running:
    """An attempt in this worker. busy: it has a child; publishing: it has none any more. done: from
    0 to 1."""

    spec: TaskSpec
    epoch: int
    thread: Thread | None = None
    busy: bool = False
    publishing: bool = False
    done: float = 0.0

    @property
    def attempt(self) -> AttemptId:
        return AttemptId(TaskId(self.spec.kind, self.spec.index), self.spec.attempt)


class Worker(Process):
    """One process; its name changes when a master gives it up."""

    def __init__(self, world: World, number: int, incarnation: int) -> None:
        super().__init__(world.kernel)
        self.number = number
        self.incarnation = incarnation
        self.highest_epoch = 0
        self.running: dict[tuple[AttemptId, str], Running] = {}
        self.over = False
        self._world = world
        self._unsent: list[tuple[Any, ...]] = []
        self._seen: set[tuple[AttemptId, str]] = set()
        self._master: Master | None = None
        self._connected = False
        self._heard = world.kernel.now
        self._disconnected = world.kernel.now
        store = Client(world.server, cut=lambda: world.is_cut(number, "store"))
        self._store = store
        self._blobs = StoreBlobs(store)
        slow = number == world.plan.workers - 1
        self._pace = world.plan.slow if slow else 1.0
        self.after(world.kernel.rng.uniform(0, 2), self._beat)

    @property
    def name(self) -> str:
        return f"w{self.number}.{self.incarnation}"

    def follows(self, master: Master) -> bool:
        """Whether that master has accepted its connection."""
        return self._connected and self._master is master

    @property
    def has_room(self) -> bool:
        return self._room > 0

    @property
    def sick(self) -> bool:
        return self.number < self._world.plan.sick and not self._world.calm

    # The connection.

    def _beat(self) -> None:
        world, now = self._world, self.kernel.now
        if self.over:
            return
        if world.strikes("crash"):
            self._die(told=self.kernel.rng.random() < 0.5)
            return
        if world.strikes("leave"):
            self._die(told=True)
            return
        if world.strikes("pause"):
            self.stop(self.kernel.rng.uniform(1, 3 * LEASE))
        if self._world.is_reachable(self.number, self._master):
            self._heard = now  # it answers the pings of the connection
        if self._master is not None and (not self._master.alive or now - self._heard > SILENCE):
            self._disconnect()
        if self._connected:
            self._say(HeartbeatReceived, self._doing(), self._room)
        else:
            self._connect()
            if now - self._disconnected > 2 * LEASE:
                self._abandon_all()
        self.after(HEARTBEAT, self._beat)

    def _connect(self) -> None:
        if self._master is None:
            self._master = self._world.route()
            self._heard = self.kernel.now
        if self._master is not None:
            self._world.to_master(
                self.number, self._master, "register", self.name, self.highest_epoch
            )

    def _disconnect(self) -> None:
        if self._connected:
            self._disconnected = self.kernel.now
        self._master, self._connected = None, False

    def _say(self, kind: Any, *fields: Any) -> None:
        master = self._master
        if master is not None and self._connected:
            self._world.to_master(self.number, master, "hear", kind, self.name, *fields)

    def _say_room(self) -> None:
        self._say(TaskWanted, self._room, tuple(r.attempt for r in self.running.values()))

    @property
    def _room(self) -> int:
        used = sum(not running.publishing for running in self.running.values())
        return max(0, self._world.plan.slots - used)

    def _doing(self) -> tuple[AttemptProgress, ...]:
        return tuple(
            AttemptProgress(running.attempt, running.done, int(10 * running.done))
            for running in self.running.values()
        )

    def _die(self, told: bool) -> None:
        if told:
            self._say(WorkerLeft, "it went")
        self._world.lose_worker(self)

    # Messages of the master.

    def hear(self, master: Master, epoch: int, message: object) -> None:
        """What a master says; one that was replaced is not listened to."""
        if self.over or master is not self._master:
            return
        if epoch < self.highest_epoch:
            self._disconnect()
            return
        self._heard = self.kernel.now
        match message:
            case "ack":
                self._accepted(epoch)
            case Assign(_, task):
                self._begin(task, epoch)
            case Abandon(_, attempt, nonce):
                for running in list(self.running.values()):
                    if running.attempt == attempt and nonce in ("", running.spec.nonce):
                        self._abandon(running)
                self._say_room()
            case Expire():
                self._abandon_all()
                self.incarnation = self._world.next_incarnation(self.number)
                self._disconnect()
                self._connect()
            case str() if message == FINISHED:
                self._abandon_all()
                self.over = True

    def _accepted(self, epoch: int) -> None:
        for running in list(self.running.values()):
            if running.epoch < epoch:
                self._abandon(running)
        self.highest_epoch = epoch
        self._connected = True
        self._say_room()
        unsent, self._unsent = self._unsent, []
        for report in unsent:
            if report[3] == epoch:
                self._say(*report)
            elif self._world.strikes("duplicate"):  # the real one drops it: no master wants it
                self.after(self.kernel.rng.uniform(0, 12), self._say, *report)

    def _begin(self, task: str, epoch: int) -> None:
        running = Running(from_json(TaskSpec, task), epoch)
        key = (running.attempt, running.spec.nonce)
        if key in self._seen or not self._connected:
            return
        self._seen.add(key)
        self.running[key] = running
        running.thread = self.spawn(self._attempt, running)

    def _abandon(self, running: Running) -> None:
        self.running.pop((running.attempt, running.spec.nonce), None)
        if running.thread is not None:
            running.thread.cancel()

    def _abandon_all(self) -> None:
        for running in list(self.running.values()):
            self._abandon(running)

    # Attempts.

    def _attempt(self, running: Running) -> None:
        world, spec = self._world, running.spec
        while sum(other.busy for other in self.running.values()) >= world.plan.slots:
            sleep(0.5)
        running.busy = True
        made = self._outcome(running)
        running.busy, running.publishing = False, True
        outcome: TaskResult | TaskFailure
        if isinstance(made, TaskFailure):
            outcome = made
        else:
            self._say_room()
            outcome = self._publish(running, *made)
        self.running.pop((running.attempt, spec.nonce), None)
        world.outcome(running.attempt, outcome)
        if isinstance(outcome, TaskResult):  # as the service reads it
            text = to_json(outcome).decode()
            plan = world.plan
            reducers = max(1, plan.reduces)
            asked = Asked(spec.kind, plan.reduces == 0, reducers, "text", False, plan.maps)
            outcome = read_result(data.RUN, running.attempt, spec.nonce, text, asked)
        report = (AttemptReported, running.attempt, spec.nonce, running.epoch, outcome)
        if self._connected:
            self._say(*report)
        else:
            self._unsent.append(report)
        self._say_room()

    def _outcome(self, running: Running) -> tuple[TaskResult, bytes] | TaskFailure:
        """What the child makes of it: the result, and what is in its file."""
        world, spec, rng = self._world, running.spec, self.kernel.rng
        seconds = rng.uniform(0.5, 4) * self._pace
        try:
            for step in range(2):
                sleep(seconds / 2)
                running.done = (step + 1) / 2
            if self.sick or world.strikes("fail"):
                return SICK if self.sick else rng.choice(CAUSES)
            if spec.kind == "map" and spec.index == world.plan.poison:
                return POISON
            if spec.kind == "map" and spec.index == world.plan.deadly:
                world.faults["deadly"] += 1
                self._die(told=rng.random() < 0.5)
                sleep(1.0)  # it never wakes
            if spec.kind == "sample":
                return data.sample(spec)
            if spec.kind == "map":
                return data.mapped(spec, self._blobs, world.plan.reduces == 0)
            return data.reduced(spec, self._blobs)
        except GomrError as error:
            return failure_of(error, spec)

    def _publish(
        self, running: Running, result: TaskResult, content: bytes
    ) -> TaskResult | TaskFailure:
        """Store what the child made, while the next one may run already."""
        try:
            self._store.put(result.files[0].key, content)
        except GomrError as error:
            return failure_of(error, running.spec)
        return result
