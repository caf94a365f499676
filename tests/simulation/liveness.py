"""That nobody waits for ever: no worker idles while there are tasks that it could run.

What a worker and its master believe of each other may differ for a while, by what was lost or is on
its way; while the two can talk, the difference is gone within a few heartbeats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gomr_runtime.scheduler.machine import Scheduler
from gomr_runtime.scheduler.state import KIND_OF_PHASE, TaskState
from tests.simulation.oracle import Violation

if TYPE_CHECKING:
    from tests.simulation.simulated.masters import Master
    from tests.simulation.simulated.workers import Worker
    from tests.simulation.simulated.world import World

MOST_WAIT = 20.0  # seconds


class Liveness:
    """Looks at the newest master and its workers every now and then."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._since: dict[str, float] = {}

    def look(self) -> None:
        """Violation for what has been waiting for too long, each time that somebody looked."""
        now, master = self._world.kernel.now, self._world.masters[-1]
        waits = list(self._waits(master, self._talking(master)))
        self._since = {wait: self._since.get(wait, now) for wait in waits}
        for wait, since in self._since.items():
            if now - since > MOST_WAIT:
                raise Violation(f"{wait}, since {since:.1f} s")

    def _talking(self, master: Master) -> list[Worker]:
        """The workers whose messages reach the master, and the reverse."""
        world = self._world
        if not (master.awake and master.ready):
            return []
        return [
            worker
            for worker in world.workers
            if worker is not None
            and worker.awake
            and worker.follows(master)
            and not (world.cut_off(worker.number, "to") or world.cut_off(worker.number, "from"))
        ]

    def _waits(self, master: Master, workers: list[Worker]) -> Iterator[str]:
        if master.core is None:
            return
        scheduler = master.core.scheduler
        idle = [w for w in workers if w.has_room and _is_usable(scheduler, w.name)]
        for worker in idle:
            if task := _could_run(scheduler, worker.name):
                yield f"{worker.name} idles beside {task}"
        for worker in workers:
            known = scheduler.state.workers.get(worker.name)
            there = {running.attempt for running in worker.running.values()}
            for attempt in known.running if known else ():
                if attempt not in there:
                    yield f"{attempt} is not on {worker.name}, where it runs for the master"
            for running in worker.running.values() if idle else ():
                if not running.busy and not running.publishing:
                    yield f"{running.attempt} waits on {worker.name}, though others idle"


def _is_usable(scheduler: Scheduler, name: str) -> bool:
    worker = scheduler.state.workers.get(name)
    return worker is not None and scheduler.state.matching.usable(worker)


def _could_run(scheduler: Scheduler, name: str) -> str:
    """A task that waits and may be given to the worker, "" for none."""
    kind = KIND_OF_PHASE.get(scheduler.state.phase)
    worker = scheduler.state.workers[name]
    for task in scheduler.state.tasks[kind] if kind else ():
        if task.state is TaskState.PENDING and scheduler.state.matching.allowed(task, worker):
            return str(task.id)
    return ""
