"""A run in a world of one seed: masters, workers, a network, a store, and all that befalls them.

`World.run` lets it happen, checks every invariant on the way, heals the world, and checks that the
run ends, as it may end and in time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from gomr_runtime.codec.fields import to_json
from gomr_runtime.errors import GomrError
from gomr_runtime.master.core.effects import Effect, ShowPhase
from gomr_runtime.master.core.inputs import PlanMade
from gomr_runtime.model import layout
from gomr_runtime.model.ids import AttemptId
from gomr_runtime.model.summary import Summary
from gomr_runtime.model.task import TaskFailure, TaskResult
from gomr_runtime.scheduler.events import Event
from tests.simulation.liveness import Liveness
from tests.simulation.oracle import Oracle, Violation
from tests.simulation.simulated.data import RUN, job_of
from tests.simulation.simulated.kernel import Kernel
from tests.simulation.simulated.masters import Master
from tests.simulation.simulated.store import Server
from tests.simulation.simulated.workers import Worker
from tests.simulation.swarm import Plan, draw
from tests.simulation.verdict import check_verdict, latest_end

Script = Callable[["World", str, int], object]

MOST_STEPS = 200_000
AFTERMATH = 60.0  # seconds in which masters that were replaced may still try something


class World:
    """A run of one seed; `run` raises Violation or InvariantViolated for a defect."""

    def __init__(
        self,
        seed: int,
        plan: Plan | None = None,
        tell: Callable[[str], None] | None = None,
        script: Script | None = None,
    ) -> None:
        """tell: called with each line of the trace. script: called before a master carries out
        what it decided ("event") and at each request to the store ("request"), with a count; a
        request is not sent if the answer is False."""
        self.seed = seed
        self.plan = plan or draw(seed)
        self.kernel = Kernel(f"world {seed}")
        self.oracle = Oracle(self.plan, self.kernel)
        self.server = Server(self.kernel, self.plan, self._stored)
        self.oracle.server = self.server
        self.faults = self.server.faults
        self.outcomes: Counter[tuple[AttemptId, str]] = Counter()
        self.calm = False
        self.events = 0
        self.error: GomrError | None = None
        self.summary: Summary | None = None
        self.finished = False
        self.masters: list[Master] = []
        self.workers: list[Worker | None] = []
        self.master_deaths: Counter[str] = Counter()
        self._liveness = Liveness(self)
        self._gone_for_good: set[int] = set()
        self._failed_starts = 0
        self._skew = 0.0
        self._incarnations = [0] * self.plan.workers
        self._tell = tell
        self._script = script
        self._trace, self._outline = hashlib.sha256(), hashlib.sha256()
        if script is not None:
            self.server.at_request = lambda count: script(self, "request", count) is not False

    @property
    def trace(self) -> str:
        """A digest of every event, every effect and every stored object so far."""
        return self._trace.hexdigest()

    @property
    def outline(self) -> str:
        """A shorter one: what happened when and to whom, but no contents."""
        return self._outline.hexdigest()

    def run(self) -> GomrError | None:
        """Live until the run ends and a little longer; how it ended."""
        self._begin()
        limit = latest_end(self.plan)
        while not self.finished:
            self._step(limit)
        over = self.kernel.now + AFTERMATH
        while any(m.alive for m in self.masters) and self.kernel.now < over:
            self._step(over + AFTERMATH)
        check_verdict(self)
        return self.error

    def _begin(self) -> None:
        self.server.objects[layout.job(RUN)] = to_json(job_of(self.plan))
        self.server.born[layout.job(RUN)] = 0.0
        plan, at = self.plan, self.kernel.after
        self.start_master()
        for number in range(plan.workers):
            self.workers.append(Worker(self, number, 0))
        for moment in plan.restarts:
            at(moment, self._kill_masters)
        for moment in plan.doubles:
            at(moment, self._double_master)
        for moment, seconds in plan.naps:
            at(moment, self._stop_master, seconds)
        for moment, seconds in plan.skews:
            at(moment, self._step_clock, seconds)
        if plan.massacre is not None:
            at(plan.massacre, self._massacre)
        if plan.cancel is not None:
            at(plan.cancel, self._cancel)
        at(plan.heal, self._heal)
        at(1.0, self._look)

    def _look(self) -> None:
        if not self.finished:
            self._liveness.look()
            self.kernel.after(1.0, self._look)

    def _step(self, limit: float) -> None:
        self.kernel.step()
        if self.kernel.now > limit or self.kernel.steps > MOST_STEPS:
            raise Violation(f"no end by {self.kernel.now:.0f} s, {self.kernel.steps} steps")

    # What is told.

    def say(self, line: str) -> None:
        self._trace.update(line.encode())
        if self._tell is not None:
            self._tell(line)

    def handled(self, master: Master, event: Event, effects: list[Effect]) -> None:
        self.events += 1
        shown = (
            _brief(event) if isinstance(event, PlanMade) else event
        )  # names of thousands of files
        self.say(f"{self.kernel.now:.3f} master {master.epoch}: {shown} -> {effects}")
        brief = f"{self.kernel.now:.6f} {master.epoch} {_brief(event)} {[*map(_brief, effects)]}"
        self._outline.update(brief.encode())
        self.oracle.handled(master, event, effects)
        promoting = any(isinstance(e, ShowPhase) and e.phase == "promote" for e in effects)
        if promoting and self.plan.late_cancel is not None:
            self.faults["late_cancel"] += 1
            self.kernel.after(self.plan.late_cancel, self._cancel)
        if self._script is not None:
            self._script(self, "event", self.events)

    def _stored(self, key: str, data: bytes) -> None:
        self.say(f"{self.kernel.now:.3f} stored {key} {hashlib.sha256(data).hexdigest()[:16]}")
        self._outline.update(key.encode())
        self.oracle.stored(key, data)

    def outcome(self, attempt: AttemptId, outcome: TaskResult | TaskFailure) -> None:
        """An attempt came to its end in a worker, whether or not anybody hears of it."""
        kind = outcome.kind if isinstance(outcome, TaskFailure) else "success"
        self.outcomes[attempt, kind] += 1

    def announced(self, master: Master, summary: Summary, error: GomrError | None) -> None:
        """A master told how the run ended."""
        self.oracle.announced(summary, error)
        self.say(f"{self.kernel.now:.3f} master {master.epoch} tells the end: {error!r}")
        if not self.finished:
            self.finished, self.error, self.summary = True, error, summary

    # What masters and workers use.

    def strikes(self, fault: str) -> bool:
        return self.server.strikes(fault)

    def nonce(self) -> str:
        return f"{self.kernel.rng.getrandbits(64):016x}"

    def wall_clock(self) -> float:
        return 1_700_000_000.0 + self.kernel.now + self._skew

    def is_cut(self, worker: int, way: str) -> bool:
        cut = self.cut_off(worker, way)
        self.faults["cuts"] += cut
        return cut

    def cut_off(self, worker: int, way: str) -> bool:
        if self.calm:
            return False
        now = self.kernel.now
        return any(
            number == worker and (cut == way or (cut == "both" and way != "store"))
            and begin <= now < end
            for number, cut, begin, end in self.plan.cuts
        )  # fmt: skip

    def is_reachable(self, worker: int, master: Master | None) -> bool:
        """Whether pings get there and back."""
        if master is None or not master.awake:
            return False
        return not self.is_cut(worker, "to") and not self.is_cut(worker, "from")

    def route(self) -> Master | None:
        """Where a new connection leads: mostly to the newest master."""
        alive = [master for master in self.masters if master.alive]
        if not alive:
            return None
        return alive[-1] if self.kernel.rng.random() < 0.8 else self.kernel.rng.choice(alive)

    def worker_names(self) -> list[str]:
        return [worker.name for worker in self.workers if worker is not None]

    def next_incarnation(self, number: int) -> int:
        self._incarnations[number] += 1
        return self._incarnations[number]

    # The network.

    def to_master(self, worker: int, master: Master, how: str, *arguments: Any) -> None:
        """how: `register` or `hear`. What comes twice may come to another master, as what is sent
        again on a new connection does."""
        if self.is_cut(worker, "to"):
            return
        self._send(master, getattr(master, how), *arguments)
        if self.strikes("duplicate"):
            other = self.masters[-1]
            other.after(self.kernel.rng.uniform(0, 12), getattr(other, how), *arguments)

    def to_worker(self, master: Master, name: str, message: object) -> None:
        epoch = master.epoch
        for worker in self.workers:
            if worker is None or worker.name != name:
                continue
            if not self.is_cut(worker.number, "from"):
                self._send(worker, worker.hear, master, epoch, message)
                if self.strikes("duplicate"):
                    late = self.kernel.rng.uniform(0, 12)
                    worker.after(late, worker.hear, master, epoch, message)

    def _send(self, process: Any, action: Any, *arguments: Any) -> None:
        """A message: on a good day 10 ms and in order."""
        if self.strikes("drop"):
            return
        rng = self.kernel.rng
        delay = 0.01
        if self.plan.reorder and not self.calm:
            delay = rng.uniform(0, self.plan.reorder)
            self.faults["reorder"] += 1
        process.after(delay, action, *arguments)

    # What happens to masters.

    def start_master(self) -> None:
        self.masters.append(Master(self, len(self.masters) + 1))

    def kill_master(self, master: Master) -> None:
        if master.alive and not self.finished:
            phase = master.core.scheduler.state.phase.value if master.core else "start"
            self.say(f"{self.kernel.now:.3f} master {master.number} is killed in phase {phase}")
            self.master_deaths[phase] += 1
            master.kill()
            self.master_ended(master)

    def master_ended(self, master: Master) -> None:
        """Another one is started, unless the run is over or goes on elsewhere; after three that
        could not even start, as a launcher does, that is the end."""
        if master.trouble is not None:
            self._failed_starts += 1
        elif master.ready:
            self._failed_starts = 0
        if self._failed_starts == 3 and not self.finished:
            self.finished, self.error = True, master.trouble
        if not self.finished and not any(m.alive for m in self.masters):
            self.kernel.after(self.kernel.rng.uniform(0.5, 5), self._restart)

    def _restart(self) -> None:
        if not self.finished and not any(m.alive for m in self.masters):
            self.start_master()

    def _kill_masters(self) -> None:
        for master in self.masters:
            if master.alive:
                self.faults["restarts"] += 1
                self.kill_master(master)

    def _double_master(self) -> None:
        if not self.finished:
            self.faults["doubles"] += any(m.alive for m in self.masters)
            self.start_master()

    def _stop_master(self, seconds: float) -> None:
        for master in self.masters:
            if master.alive:
                self.faults["naps"] += 1
                self.say(f"{self.kernel.now:.3f} master {master.number} stops for {seconds:.3f} s")
                master.stop(seconds)
                return

    def _step_clock(self, seconds: float) -> None:
        self.faults["skews"] += 1
        self._skew += seconds

    def _cancel(self) -> None:
        """The newest master is asked; where there is none, a little later."""
        ready = [m for m in self.masters if m.alive and m.ready and m.core is not None]
        if not ready or not ready[-1].awake:
            self.kernel.after(1.0, self._cancel)
        else:
            self.faults["cancel"] += 1
            ready[-1].cancel("asked to")

    # What happens to workers.

    def lose_worker(self, worker: Worker) -> None:
        worker.kill()
        self.workers[worker.number] = None
        self.kernel.after(self.kernel.rng.uniform(1, 20), self._replace_worker, worker.number)

    def _replace_worker(self, number: int) -> None:
        if self.workers[number] is None and number not in self._gone_for_good:
            self.workers[number] = Worker(self, number, self.next_incarnation(number))

    def _massacre(self) -> None:
        for worker in self.workers:
            if worker is not None:
                self.faults["massacre"] += 1
                self.lose_worker(worker)

    # Healing.

    def _heal(self) -> None:
        """No more faults; the first worker is well, each other one well or gone for good."""
        self.calm = self.server.calm = True
        for master in self.masters:
            master.resumes = 0.0
        self._restart()
        for number, worker in enumerate(self.workers):
            if worker is not None:
                worker.resumes = 0.0
            if number and self.kernel.rng.random() < 0.4:
                self._gone_for_good.add(number)
                if worker is not None:
                    worker.kill()
                    self.workers[number] = None
            else:
                self._replace_worker(number)


def _brief(value: object) -> str:
    """An event or effect by what it is and whom it concerns."""
    about = [getattr(value, name, "") for name in ("worker", "attempt", "phase")]
    duty = getattr(value, "duty", None)
    if duty is not None:
        about.append(_brief(duty))
    return " ".join([type(value).__name__, *(str(item) for item in about if item)])
