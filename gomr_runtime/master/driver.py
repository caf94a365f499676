"""A master's core made real: a queue of events in, its effects carried out.

Everything runs on one event loop; the store is only touched in threads.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.codec.fields import to_json
from gomr_runtime.codec.wire_types import INT64
from gomr_runtime.errors import GomrError, RunConflict, one_line
from gomr_runtime.master.clerks import Clerks
from gomr_runtime.master.core.duties import Answer, Duty
from gomr_runtime.master.core.effects import (
    Abandon,
    Announce,
    Assign,
    Effect,
    Expire,
    Log,
    LogMapsCompleted,
    Perform,
    ShowPhase,
    StepDown,
)
from gomr_runtime.master.core.ending import with_advice
from gomr_runtime.master.core.inputs import DutyAnswered, MasterReplaced, RunFailed
from gomr_runtime.master.core.plan import Plan
from gomr_runtime.master.feed import Feed
from gomr_runtime.master.journal import Journal
from gomr_runtime.master.messages import attempt_message
from gomr_runtime.master.recovery import RunPlanned, Succession
from gomr_runtime.master.sessions import Sessions
from gomr_runtime.model.inputs.pieces import Pieces
from gomr_runtime.model.summary import Summary
from gomr_runtime.model.task import TaskKind
from gomr_runtime.scheduler.events import CancelRequested, Event, Tick
from gomr_runtime.scheduler.state import KIND_OF_PHASE, Phase
from gomr_runtime.system.unforeseen import unforeseen

if TYPE_CHECKING:
    from gomr_runtime.storage.s3.signed_reads import ReadGrants

TICK = 0.25  # seconds
FENCE_EVERY = 5.0  # seconds between two looks for a newer master
SIGNED_AT_ONCE = 1_000  # files of a task whose reading is signed while everything else waits
TOLD_AS: dict[Phase, TaskKind] = {**KIND_OF_PHASE, Phase.SEAL: "map"}
"""Of which tasks the progress of a phase is told: people wait for no seal."""


class Nonces:
    """Numbers that nobody can guess and that never come twice, as 16 hex digits; the kernel is
    asked for many at once."""

    def __init__(self) -> None:
        self._digits = ""

    def next(self) -> str:
        self._digits = self._digits or os.urandom(8 * 256).hex()
        nonce, self._digits = self._digits[:16], self._digits[16:]
        return nonce


class Driver:
    """One master's work on one run, from its epoch to its exit code."""

    def __init__(
        self,
        journal: Journal,
        succession: Succession,
        feed: Feed,
        grants: ReadGrants | None = None,
    ) -> None:
        """grants: for inputs that the workers' own keys do not open."""
        self.journal = journal
        self.job = succession.job
        self.feed = feed
        self.core = succession.core(self.now(), Nonces().next)
        self.sessions = Sessions(journal.epoch)
        self.plan: Plan | None = None
        self.error: GomrError | None = None
        self.ready = asyncio.Event()  # the store is replayed: workers may register
        self.finished = asyncio.Event()  # the summary is told, or this master was superseded
        self.superseded = False
        self._grants = grants
        self._connected_told = False
        self._told_phase = Phase.WAIT
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._clerks = Clerks(journal, self._answered)

    @staticmethod
    def now() -> float:
        return time.monotonic()

    def post(self, event: Event) -> None:
        self._events.put_nowait(event)

    def cancel(self, reason: str) -> None:
        self.post(CancelRequested(self.now(), reason))

    def fail(self, error: GomrError) -> None:
        """End the run with this error, whatever the scheduler would say."""
        self.post(RunFailed(self.now(), error))

    def supersede(self, error: RunConflict) -> None:
        """A newer master goes on with the run: end without a trace."""
        self.post(MasterReplaced(self.now(), error))

    def planned(self, run: RunPlanned) -> None:
        """Begin, with what earlier masters committed."""
        self.plan = run.plan
        self.post(run.event(self.now()))

    async def run(self) -> int:
        """Until the run is over; the exit code."""
        ticker = asyncio.create_task(self._tick())
        fence = asyncio.create_task(self._fence())
        loop = asyncio.create_task(self._loop())
        self.ready.set()
        try:
            await loop
        finally:
            for task in (ticker, fence, loop):
                task.cancel()
            self._clerks.dismiss()
        return self.error.exit_code if self.error else 0

    async def _loop(self) -> None:
        while not self.finished.is_set():
            before = TOLD_AS.get(self.core.scheduler.state.phase)
            effects = self._decided(await self._events.get())
            if before not in (None, TOLD_AS.get(self.core.scheduler.state.phase)):
                self.feed.progress(self._progress_of(before), now=True)  # its last word
            for effect in effects:
                if isinstance(effect, Assign):
                    await self._assign(effect)
                else:
                    self._carry_out(effect)
            self.tell_progress(now=any(isinstance(effect, ShowPhase) for effect in effects))

    def _decided(self, event: Event) -> list[Effect]:
        """What the core makes of it; a defect of ours ends the run in a line, not this process: the
        next master would meet it as well."""
        try:
            return self.core.handle(event)
        except Exception as error:  # noqa: BLE001
            return self.core.handle(RunFailed(self.now(), unforeseen(error)))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(min(TICK, self.job.lease / 4))
            self.post(Tick(self.now()))

    async def _fence(self) -> None:
        while True:
            await asyncio.sleep(min(FENCE_EVERY, self.job.lease))
            try:
                await asyncio.to_thread(self.journal.check_epoch)
            except RunConflict as error:
                self.supersede(error)
            except GomrError as error:  # the store is out of reach, beyond all its retries
                self.fail(with_advice(error))

    # Effects.

    async def _assign(self, effect: Assign) -> None:
        """Send a task. Where much is to be signed for it, heartbeats are heard meanwhile."""
        assign = pb.Assign(task=effect.task)
        if self._grants is not None and effect.ranges:
            assign.reads_query = self._grants.query
            if sum(1 + of.last - of.first for of in effect.ranges) <= SIGNED_AT_ONCE:
                assign.reads = self._signed(self._grants, effect)
            else:
                assign.reads = await asyncio.to_thread(self._signed, self._grants, effect)
        self.sessions.send(effect.worker, pb.MasterMessage(assign=assign))

    def _signed(self, grants: ReadGrants, effect: Assign) -> bytes:
        pieces = Pieces(self.job.files, effect.ranges)
        return grants.signatures(piece.file.location for piece in pieces)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Abandon(worker, attempt, nonce, reason):
                abandon = pb.Abandon(
                    attempt=attempt_message(attempt, nonce), reason=one_line(reason)
                )
                self.sessions.send(worker, pb.MasterMessage(abandon=abandon))
            case Expire(worker, reason):
                if not self.sessions.is_expired(worker):
                    self.feed.log(f"worker {worker} is lost: {reason}", "warning")
                self.sessions.expire(worker)
            case Perform(duty):
                self._clerks.perform(duty)
            case Log(text, level):
                self.feed.log(text, level)
            case LogMapsCompleted():
                self._tell_maps_completed()
            case Announce(summary, error):
                self.error = error
                self.announce(summary)
            case StepDown(error):
                self._yield(error)

    def _answered(self, duty: Duty, answer: Answer) -> None:
        self.post(DutyAnswered(self.now(), duty, answer))

    def _yield(self, error: RunConflict) -> None:
        self.superseded = True
        self.error = error
        self.feed.log(str(error), "warning")
        self.feed.ended = True
        self.finished.set()

    def announce(self, summary: Summary) -> None:
        """Tell everybody how the run ended."""
        if summary.state == "succeeded":
            self.feed.log("Map reduce completed")
        else:
            self.feed.log(f"run {self.job.run} {summary.state}: {summary.message}", "error")
        self.feed.end(to_json(summary).decode("utf-8", "surrogateescape"))
        self.sessions.finish(summary.state)
        self.ready.set()
        self.finished.set()

    # What people see.

    def tell_workers_connected(self) -> None:
        """Once: all workers that fitted are here."""
        if not self._connected_told:
            self._connected_told = True
            self.feed.log("All workers connected")

    def _tell_maps_completed(self) -> None:
        if not self._connected_told:
            late = f"{len(self.sessions)} of {self.job.workers} workers did all of the map"
            self.feed.log(f"{late}; the others were not needed")
        self.tell_workers_connected()
        self.feed.log("All map tasks completed!")

    def tell_progress(self, *, now: bool = False) -> None:
        if now or self.feed.progress_due():
            self.feed.progress(self._progress(), now=now)

    def _progress(self) -> pb.PhaseProgress:
        if self.core.scheduler.state.error is None:
            self._told_phase = self.core.scheduler.state.phase
        phase = self._told_phase  # a run that fails or is cancelled ends in the phase it was in
        kind = TOLD_AS.get(phase)
        if kind is None or self.core.assignments is None:
            name = "promote" if phase in {Phase.PROMOTE, Phase.FINISHED} else "wait"
            return pb.PhaseProgress(phase=name, workers=len(self.sessions))
        return self._progress_of(kind)

    def _progress_of(self, kind: TaskKind) -> pb.PhaseProgress:
        scheduler, books = self.core.scheduler, self.core.books
        assignments = self.core.assignments
        assert assignments is not None  # there is no phase of tasks before they are planned
        counts = scheduler.state.counts(kind)
        return pb.PhaseProgress(
            phase=kind,
            tasks=counts.tasks,
            committed=counts.committed,
            running=counts.running,
            failed_attempts=counts.failed_attempts,
            workers=len(self.sessions),
            done=min(INT64, books.done(kind) + assignments.in_flight(kind, books.committed)),
            total=min(INT64, books.total(kind, assignments.plan)),
        )
