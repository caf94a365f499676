"""What must never happen, whatever befalls a run: checked at every event and every stored object.

The names are those of docs/faults.md: V1 one commit a task and generation, V2 a reduce reads one
committed attempt of each map, V4 the bytes of the output, V5 counters of committed attempts, V6 no
`_SUCCESS` without its parts or after a failure, V7 a replaced master changes nothing, V9 no
committed task runs again unless its data was bad, V10 nothing is sent to a lost worker, V11 one
end, V12 bounded memory. V3 follows from V4, since every record shows in the output; V8 is in
`scheduler.invariants`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gomr_runtime.codec import checked
from gomr_runtime.codec.typed_json import take
from gomr_runtime.errors import GomrError
from gomr_runtime.master.core.duties import Conclude
from gomr_runtime.master.core.effects import Announce, Assign, Effect, Expire, Perform
from gomr_runtime.master.core.inputs import DutyAnswered
from gomr_runtime.master.core.plan import Manifest
from gomr_runtime.master.journal import _decode_manifest
from gomr_runtime.model import layout
from gomr_runtime.model.ids import TaskId
from gomr_runtime.model.map_list import decode_maps
from gomr_runtime.model.summary import Summary
from gomr_runtime.model.task import TaskSpec
from gomr_runtime.scheduler.commands import Command, ExpireWorker, RepeatMap, StartAttempt
from gomr_runtime.scheduler.events import CancelRequested, CommitSettled, Event, Tick, WorkerJoined
from gomr_runtime.scheduler.machine import Scheduler
from gomr_runtime.scheduler.state import AttemptState, InvalidTransition, Phase
from tests.simulation.invariants import InvariantViolated, Watch
from tests.simulation.simulated.data import RUN, expected_parts, records_of
from tests.simulation.simulated.kernel import Kernel
from tests.simulation.swarm import LEASE, Plan

if TYPE_CHECKING:
    from tests.simulation.simulated.masters import Master
    from tests.simulation.simulated.store import Server

COMMITS, EPOCHS, OUTPUT = layout.commits(RUN), layout.epochs(RUN), layout.output_prefix(RUN)
NEVER_CHANGED = (COMMITS, EPOCHS, layout.maps(RUN), layout.plan(RUN), layout.data(RUN))
LIVE = (AttemptState.RUNNING, AttemptState.SUCCEEDED)


class Violation(AssertionError):
    """The run did what it must not do, or did not come to an end."""


class Observed(Watch):
    """The invariants of one master's scheduler, and what the oracle makes of its commands."""

    def __init__(self, master: Master, oracle: Oracle) -> None:
        assert master.core is not None
        scheduler = master.core.scheduler
        super().__init__(scheduler)
        self._master = master
        self._oracle = oracle
        scheduler.handle = self.handle  # type: ignore[method-assign]

    def handle(self, event: Event) -> list[Command]:
        try:
            commands = super().handle(event)
        except (InvariantViolated, InvalidTransition) as error:
            raise Violation(f"{error}\n{error.detail}") from None
        self._oracle.decided(self._master, event, commands)
        return commands


class Oracle:
    """Sees every change of the store before it is made, and every decision of every master."""

    def __init__(self, plan: Plan, kernel: Kernel) -> None:
        self.plan = plan
        self._kernel = kernel
        self.server: Server | None = None
        self.expected = expected_parts(plan)
        self.manifests: dict[str, Manifest] = {}
        self._committed_at: dict[str, float] = {}
        self.written: dict[str, bytes] = {}
        self.end: Summary | None = None
        self.repeats: Counter[TaskId] = Counter()
        self.names_of_workers: set[str] = set()
        self.began = float("inf")
        self._holders: dict[int, Master] = {}
        self._known: dict[int, set[TaskId]] = {}  # by epoch: what that master knows as committed
        self._starts: dict[int, Counter[TaskId]] = {}

    def all_starts(self) -> list[Counter[TaskId]]:
        """How often each master started each task."""
        return list(self._starts.values())

    def starts(self, epoch: int) -> Counter[TaskId]:
        return self._starts.setdefault(epoch, Counter())

    # The store.

    def stored(self, key: str, data: bytes) -> None:
        """An object is about to be written."""
        if key.startswith(NEVER_CHANGED) and self.written.setdefault(key, data) != data:
            raise Violation(f"V1: {key} is written again with another content")
        if key.startswith(COMMITS):
            self._committed(key, data)
        elif key.startswith(EPOCHS):
            self._marked(key, data)
        elif key.startswith(OUTPUT):
            self._made_output(key, data)

    def _committed(self, key: str, data: bytes) -> None:
        manifest = _decode_manifest(checked.decode(data))
        task = manifest.attempt.task
        self.manifests[key] = manifest
        self._committed_at[key] = self._kernel.now
        number, nonce = manifest.attempt.attempt, manifest.nonce
        own = TaskSpec(RUN, task.kind, task.index, number, nonce)
        for file in manifest.result.files:
            if file.key not in self.written:
                raise Violation(f"{manifest.attempt} is committed before {file.key} is stored")
            if file.key != layout.attempt_data(own, file.role):
                raise Violation(f"{manifest.attempt} is committed with data of another: {file.key}")
        if manifest.generation:
            before = layout.commit(RUN, str(task), manifest.generation - 1)
            if not self._is_bad(before):
                raise Violation(f"V9: {key} replaces {before}, which nothing had damaged")

    def _is_bad(self, commit_key: str) -> bool:
        """Whether that manifest, or the data that it names, was ever damaged."""
        assert self.server is not None
        manifest = self.manifests.get(commit_key)
        if manifest is None:
            return False
        keys = [commit_key, *(file.key for file in manifest.result.files)]
        return any(key in self.server.damaged for key in keys)

    def _marked(self, key: str, data: bytes) -> None:
        if self.end is not None:
            raise Violation(f"V11: {key} is taken after the end")
        mark = checked.decode(data)
        if "end" in mark:
            self.end = take(Summary, mark["end"])

    def _made_output(self, key: str, data: bytes) -> None:
        assert self.server is not None
        if self.end is None or self.end.state != "succeeded":
            raise Violation(f"V6: {key} is written, but the run has not succeeded")
        if key != layout.success(RUN):
            if data != self.expected.get(key):
                raise Violation(f"V4: {key} has {data!r} instead of {self.expected.get(key)!r}")
            return
        parts = {OUTPUT + part["name"] for part in json.loads(data)["parts"]}
        there = {key for key in self.expected if key in self.server.objects}
        if not parts == there == set(self.expected):
            raise Violation(f"V6: _SUCCESS lists {sorted(parts)}, there are {sorted(there)}")

    # The masters.

    def took(self, master: Master) -> None:
        """A master has its epoch, and its core."""
        self.began = min(self.began, self._kernel.now)
        if self.end is not None:
            return  # it only tells the end
        holder = self._holders.setdefault(master.epoch, master)
        if holder is not master:
            raise Violation(f"V7: masters {holder.number} and {master.number} have one epoch")

    def recovered(self, master: Master, commits: Sequence[Manifest]) -> None:
        """A master that starts has replayed the store."""
        assert self.server is not None
        found = {manifest.attempt.task for manifest in commits}
        self._known[master.epoch] = found
        for key, manifest in self.manifests.items():
            early = self._committed_at[key] < master.replayed_from
            if (
                early
                and manifest.attempt.task not in found
                and not self._may_be_missed(manifest.attempt.task)
            ):
                raise Violation(f"V7: master {master.epoch} does not know {key}")

    def _may_be_missed(self, task: TaskId) -> bool:
        assert self.server is not None
        keys = [key for key, manifest in self.manifests.items() if manifest.attempt.task == task]
        return self.plan.list_lag > 0 or any(key in self.server.damaged for key in keys)

    def decided(self, master: Master, event: Event, commands: list[Command]) -> None:
        known = self._known.setdefault(master.epoch, set())
        if isinstance(event, WorkerJoined):
            self.names_of_workers.add(event.worker)
        if isinstance(event, CommitSettled) and event.winner is not None:
            known.add(event.attempt.task)
        for command in commands:
            if isinstance(command, RepeatMap):
                self._repeated(master, command.task)
                known.discard(command.task)
            elif isinstance(command, StartAttempt):
                self._started(master, command)
            elif isinstance(command, ExpireWorker) and isinstance(event, Tick):
                self._expired(master, command.worker)
        if isinstance(event, Tick):
            self._check_leases(master)

    def _started(self, master: Master, start: StartAttempt) -> None:
        task = start.attempt.task
        self.starts(master.epoch)[task] += 1
        if task in self._known[master.epoch]:
            raise Violation(f"V9: {start.attempt} starts though its task is committed")
        core = master.core
        assert core is not None
        if start.worker not in core.scheduler.state.workers:
            raise Violation(f"V10: {start.attempt} is given to {start.worker}, which is lost")
        done = {manifest.attempt.task for manifest in self.manifests.values()}
        maps = {TaskId("map", index) for index in range(self.plan.maps)}
        if task.kind == "reduce" and not maps <= done:
            raise Violation(f"V2: {start.attempt} starts before every map is committed")

    def _repeated(self, master: Master, task: TaskId) -> None:
        self.repeats[task] += 1
        keys = [key for key, manifest in self.manifests.items() if manifest.attempt.task == task]
        if not any(self._is_bad(key) for key in keys):
            raise Violation(f"V9: {task} runs again, but nothing had damaged its output")

    def _expired(self, master: Master, worker: str) -> None:
        heard = master.heard.get(worker, 0.0)
        if master.kernel.now - heard < LEASE - 1e-6:
            raise Violation(f"{worker} is given up though it was heard of in time")

    def _check_leases(self, master: Master) -> None:
        assert master.core is not None
        scheduler = master.core.scheduler
        for worker in scheduler.state.workers.values():
            if (
                scheduler.state.phase is not Phase.FINISHED
                and scheduler.state.now - worker.heard > LEASE
            ):
                raise Violation(f"{worker.name} lives on after its lease")

    def handled(self, master: Master, event: Event, effects: list[Effect]) -> None:
        """A master's core has decided; its effects are not carried out yet."""
        core = master.core
        assert core is not None
        if isinstance(event, Tick):
            self._check_memory(core.scheduler, master)
        if isinstance(event, CancelRequested):
            master.cancelled = True
        if isinstance(event, DutyAnswered) and isinstance(event.answer, Manifest):
            key = layout.commit(RUN, str(event.answer.attempt.task), event.answer.generation)
            if self.manifests.get(key) != event.answer:
                raise Violation(f"V7: {key} is not what master {master.epoch} believes")
        for effect in effects:
            if isinstance(effect, Assign | Expire):
                lost = effect.worker in core.scheduler.state.gone
                if isinstance(effect, Assign) and lost:
                    raise Violation(f"V10: {effect.worker} is lost and gets a task")
            if isinstance(effect, Announce):
                self.announced(effect.summary, effect.error)
            if isinstance(effect, Perform) and isinstance(effect.duty, Conclude):
                self._check_in_time(master, effect.duty.summary)

    def _check_in_time(self, master: Master, summary: Summary) -> None:
        """A master decides to end the run."""
        if summary.state != "succeeded":
            return
        if master.cancelled:
            raise Violation("G4: the run was cancelled, and goes on to its output")
        deadline = self.plan.deadline
        late = deadline is not None and self._kernel.now > self.began + deadline + 2.5
        if late and not self.plan.skews:
            raise Violation(f"the deadline of {deadline:.1f} s passed, and the run goes on")

    def _check_memory(self, scheduler: Scheduler, master: Master) -> None:
        assert master.core is not None
        flights = len(master.core.assignments) if master.core.assignments else 0
        live = sum(
            attempt.state in LIVE
            for tasks in scheduler.state.tasks.values()
            for task in tasks
            for attempt in task.attempts
        )
        if flights > live:
            raise Violation(f"V12: {flights} attempts are remembered, {live} can still matter")

    def read_maps(self, spec: TaskSpec, data: bytes) -> None:
        """A reduce attempt was given this list of map outputs."""
        outputs = decode_maps(data)
        if [output.task for output in outputs] != list(range(self.plan.maps)):
            raise Violation(f"V2: {spec.name} reads {[output.task for output in outputs]}")
        committed = {file.key for m in self.manifests.values() for file in m.result.files}
        for output in outputs:
            if output.key not in committed:
                raise Violation(f"V2: {spec.name} reads {output.key}, which is not committed")

    # The end.

    def announced(self, summary: Summary, error: GomrError | None) -> None:
        if (summary.state == "succeeded") != (error is None):
            raise Violation(f"V11: the run {summary.state}, and ends with {error!r}")
        # A master that cannot reach the store does not learn of its own decision.
        unknown = error is not None and self._store_failed()
        if self.end is not None and summary.state != self.end.state and not unknown:
            raise Violation(f"V11: {self.end.state} was decided, {summary.state} is told")
        if summary.state == "succeeded":
            self._check_success(summary)

    def _store_failed(self) -> bool:
        assert self.server is not None
        lossy = ("lost_requests", "lost_acks", "damage")
        faults = ("outages", "blackout", "full", "failed_puts", *lossy)
        return any(self.server.faults[fault] for fault in faults)

    def _check_success(self, summary: Summary) -> None:
        assert self.server is not None
        if layout.success(RUN) not in self.server.objects:
            raise Violation("V6: success is told, and there is no _SUCCESS")
        for key, content in self.expected.items():
            if self.server.objects.get(key) != content:
                raise Violation(f"V4: {key} is not what one process would write")
        total = records_of(self.plan)
        counters = {"mapped": total} if self.plan.maps else {}
        if self.plan.reduces:
            counters["reduced"] = total
        if summary.counters != counters or summary.ledger.records_read != total:
            raise Violation(f"V5: counted {summary.counters}, {summary.ledger.records_read} read")
