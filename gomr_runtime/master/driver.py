"""The pure scheduler made real: a queue of events in, its commands carried out.

Everything runs on one event loop; the store is only touched in threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from gomr_runtime import rpc
from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.errors import GomrError, JobFailed, RunConflict
from gomr_runtime.job import (
    JobDescription,
    JobSpec,
    Part,
    Summary,
    TaskFailure,
    TaskKind,
    TaskSpec,
    to_json,
)
from gomr_runtime.master import ending
from gomr_runtime.master.assignments import Assignments, attempt_message
from gomr_runtime.master.books import Books
from gomr_runtime.master.feed import Feed
from gomr_runtime.master.journal import Journal, Manifest, Plan
from gomr_runtime.master.sessions import Sessions
from gomr_runtime.scheduler.commands import (
    AbandonAttempt,
    Command,
    CommitAttempt,
    ExpireWorker,
    FinishRun,
    PhaseReached,
    PromoteOutput,
    RepeatMap,
    SealMaps,
    StartAttempt,
)
from gomr_runtime.scheduler.events import (
    AttemptFailed,
    AttemptId,
    CancelRequested,
    CommitRecovered,
    CommitSettled,
    Event,
    MapsSealed,
    OutputPromoted,
    StoreFailed,
    TasksPlanned,
    Tick,
)
from gomr_runtime.scheduler.machine import Scheduler
from gomr_runtime.scheduler.state import Phase, SchedulerConfig
from gomr_runtime.success import promote

TICK = 0.25  # seconds
FENCE_EVERY = 5.0  # seconds between two looks for a newer master
ATTEMPTS_PER_EPOCH = 1000  # more than the budgets allow one master to start of one task
KIND_OF_PHASE: dict[Phase, TaskKind] = {
    Phase.SAMPLE: "sample",
    Phase.MAP: "map",
    Phase.SEAL: "map",
    Phase.REDUCE: "reduce",
}


class Driver:
    """One master's work on one run, from its epoch to its exit code."""

    def __init__(self, journal: Journal, job: JobSpec, feed: Feed, elapsed: float) -> None:
        """`elapsed`: seconds since the run's first master started."""
        self.journal = journal
        self.job = job
        self.feed = feed
        self.books = Books(job)
        self.sessions = Sessions(journal.epoch)
        self.assignments: Assignments | None = None
        self.error: GomrError | None = None
        self.finished = asyncio.Event()  # the summary is told, or this master was superseded
        self.superseded = False
        self._started = self.now() - elapsed
        self._phases: list[tuple[str, float]] = [("wait", self.now())]
        self._connected_told = False
        self._events: asyncio.Queue[Event | FinishRun] = asyncio.Queue()
        self._work: set[asyncio.Task[None]] = set()
        self._pieces: dict[str, str] = {}
        self._maps_key = ""
        self._parts: tuple[Part, ...] = ()
        self._verdict: GomrError | None = None
        self.scheduler = Scheduler(
            SchedulerConfig(
                lease=job.lease,
                max_attempts=job.max_attempts,
                max_lost=job.max_lost,
                skip_bad_records=job.skip_bad_records,
                deadline=None if job.timeout is None else self._started + job.timeout,
                first_attempt=(journal.epoch - 1) * ATTEMPTS_PER_EPOCH + 1,
            )
        )

    @staticmethod
    def now() -> float:
        return time.monotonic()

    def post(self, event: Event) -> None:
        self._events.put_nowait(event)

    def cancel(self, reason: str) -> None:
        self.post(CancelRequested(self.now(), reason))

    def fail(self, error: GomrError) -> None:
        """End the run with this error, whatever the scheduler would say."""
        self._verdict = self._verdict or error
        self.cancel(str(error))

    def supersede(self, error: RunConflict) -> None:
        """A newer master goes on with the run: end without a trace."""
        if not self.finished.is_set():
            self.superseded = True
            self.error = error
            self.feed.log(str(error), "error")
            self.feed.ended = True
            self.finished.set()

    def planned(self, plan: Plan, commits: list[Manifest]) -> None:
        """Begin, with what earlier masters committed."""
        self.assignments = Assignments(self.job, plan)
        for manifest in commits:
            self.books.enter(manifest)
        self.post(
            TasksPlanned(
                self.now(),
                maps=len(plan.splits),
                reduces=self.assignments.reduces,
                sample=self.assignments.has_sample,
            )
        )
        for manifest in commits:
            self.post(CommitRecovered(self.now(), manifest.attempt, manifest.generation))

    async def run(self) -> int:
        """Until the run is over; the exit code."""
        ticker = asyncio.create_task(self._tick())
        fence = asyncio.create_task(self._fence())
        try:
            loop = asyncio.create_task(self._loop())
            ended = asyncio.create_task(self.finished.wait())
            await asyncio.wait({loop, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not loop.done():
                loop.cancel()
            else:
                loop.result()
            await self.finished.wait()
        finally:
            for task in (ticker, fence, ended, *self._work):
                task.cancel()
        return self.error.exit_code if self.error else 0

    async def _loop(self) -> None:
        while True:
            event = await self._events.get()
            try:
                commands = self.scheduler.handle(event)  # type: ignore[arg-type]
            except GomrError as error:
                commands = [FinishRun(error)]
            for command in commands:
                if isinstance(command, FinishRun):
                    await self._finish(self._verdict or command.error)
                    return
                self._carry_out(command)
            self.tell_progress(now=any(isinstance(c, PhaseReached) for c in commands))

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
            except GomrError as error:
                self.feed.log(f"cannot look for a newer master: {error}", "warning")

    # Commands.

    def _carry_out(self, command: Command) -> None:
        match command:
            case StartAttempt(worker, attempt, skipped):
                self._start(worker, attempt, skipped)
            case CommitAttempt(attempt, generation):
                self._spawn(self._commit(attempt, generation))
            case AbandonAttempt(worker, attempt, reason):
                self._abandon(worker, attempt, reason)
            case ExpireWorker(worker, reason):
                if not self.sessions.is_expired(worker):
                    self.feed.log(f"worker {worker} is lost: {reason}", "warning")
                self.sessions.expire(worker)
            case SealMaps():
                if not self._maps_key:
                    self._tell_maps_completed()
                self._spawn(self._seal())
            case RepeatMap(task, reason):
                self.feed.log(f"{task} runs again, its stored output is damaged: {reason}", "error")
            case PromoteOutput():
                self._spawn(self._promote())
            case PhaseReached(phase):
                self._phases.append((phase, self.now()))

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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.fail(
                error
                if isinstance(error, GomrError)
                else JobFailed(f"defect in the master, please report it: {error!r}")
            )

    def _start(self, worker: str, attempt: AttemptId, skipped: tuple[int, ...]) -> None:
        assert self.assignments is not None  # nothing starts before it is planned
        spec = self.assignments.start(
            attempt, worker, skipped, self.books.cuts_key(), self._maps_key
        )
        text = to_json(spec).decode("utf-8", "surrogateescape")
        if len(text) > rpc.INLINE_PIECES:
            self._spawn(self._start_large(worker, attempt, spec))
        else:
            self.sessions.send(worker, pb.MasterMessage(assign=pb.Assign(task=text)))

    async def _start_large(self, worker: str, attempt: AttemptId, spec: TaskSpec) -> None:
        """Pieces of thousands of files travel through the store, once for all attempts."""
        try:
            if spec.name not in self._pieces:
                self._pieces[spec.name] = await asyncio.to_thread(
                    self.journal.write_pieces, spec.name, spec.pieces
                )
        except GomrError as error:
            failure = TaskFailure("storage", str(error))
            self.post(AttemptFailed(self.now(), worker, attempt, failure))
            return
        text = to_json(ending.without_pieces(spec)).decode("utf-8", "surrogateescape")
        assign = pb.Assign(task=text, pieces_key=self._pieces[spec.name])
        self.sessions.send(worker, pb.MasterMessage(assign=assign))

    def _abandon(self, worker: str, attempt: AttemptId, reason: str) -> None:
        flight = self.assignments.flight(attempt) if self.assignments else None
        known = flight is not None and flight.worker == worker
        nonce = flight.spec.nonce if flight and known else ""
        if self.assignments and known:
            self.assignments.land(attempt)
        abandon = pb.Abandon(attempt=attempt_message(attempt, nonce), reason=reason)
        self.sessions.send(worker, pb.MasterMessage(abandon=abandon))

    async def _commit(self, attempt: AttemptId, generation: int) -> None:
        assert self.assignments is not None
        flight = self.assignments.flight(attempt)
        if flight is None or flight.result is None:
            raise JobFailed(f"defect in the master: {attempt} commits without a result")
        nonce, result = flight.spec.nonce, flight.result
        manifest = Manifest(self.journal.epoch, attempt, nonce, result, generation)
        try:
            winner = await asyncio.to_thread(self.journal.commit, manifest)
        except RunConflict as error:
            self.supersede(error)
            return
        except (GomrError, KeyError) as error:
            self.feed.log(f"{attempt}: cannot commit: {error}", "error")
            self.post(CommitSettled(self.now(), attempt, None))
            return
        self.assignments.land(attempt)
        self.books.enter(winner)
        self.post(CommitSettled(self.now(), attempt, winner.attempt, winner.generation))

    async def _seal(self) -> None:
        outputs = self.books.map_outputs()

        def seal() -> None:
            self._maps_key = self.journal.seal_maps(outputs)

        await self._duty(seal, MapsSealed(self.now()))

    async def _promote(self) -> None:
        assert self.assignments is not None
        description = self.assignments.plan.description
        if description.map_only:
            self._tell_maps_completed()
        try:
            self.books.check(description)
        except GomrError as error:
            self.fail(error)
            return
        await self._duty(lambda: self._make_output(description), OutputPromoted(self.now()))

    def _make_output(self, description: JobDescription) -> None:
        self.journal.check_epoch()
        totals = self.books.totals()
        parts = self.books.parts(description)
        try:
            self._parts = promote(
                self.journal.store, self.job.run, parts, totals.ledger, totals.counters
            )
        except RunConflict as error:  # not a newer master: another result stands there
            raise JobFailed(str(error)) from None

    async def _duty(self, duty: Callable[[], None], done: Event) -> None:
        try:
            await asyncio.to_thread(duty)
        except RunConflict as error:
            self.supersede(error)
        except GomrError as error:
            self._verdict = self._verdict or error
            self.post(StoreFailed(self.now(), str(error)))
        else:
            self.post(done)

    async def _finish(self, error: GomrError | None) -> None:
        self.error = error
        summary = self._summary(error)
        try:
            await asyncio.to_thread(self.journal.write_summary, summary)
        except RunConflict as conflict:
            self.supersede(conflict)
            return
        except GomrError as failure:
            self.feed.log(f"cannot store the summary: {failure}", "error")
        self.announce(summary)

    def announce(self, summary: Summary) -> None:
        """Tell everybody how the run ended."""
        if summary.state == "succeeded":
            self.feed.log("Map reduce completed")
        else:
            self.feed.log(f"run {self.job.run} {summary.state}: {summary.message}", "error")
        self.feed.end(to_json(summary).decode("utf-8", "surrogateescape"))
        self.sessions.finish(summary.state)
        self.finished.set()

    def _summary(self, error: GomrError | None) -> Summary:
        plan = self.assignments.plan if self.assignments else None
        return ending.summarise(
            self.job,
            error,
            plan,
            self.books,
            self._parts,
            ending.Effort(
                attempts=self.scheduler.attempts_made,
                lost_workers=self.scheduler.lost_workers,
                workers=self.sessions.seen,
                seconds=self.now() - self._started,
                phases=ending.durations(self._phases, self.now()),
            ),
        )

    def tell_progress(self, *, now: bool = False) -> None:
        if now or self.feed.progress_due():
            self.feed.progress(self._progress(), now=now)

    def _progress(self) -> pb.PhaseProgress:
        phase = self.scheduler.phase
        kind = KIND_OF_PHASE.get(phase)
        if kind is None or self.assignments is None:
            name = "promote" if phase in {Phase.PROMOTE, Phase.FINISHED} else "wait"
            return pb.PhaseProgress(phase=name, workers=len(self.sessions))
        counts = self.scheduler.counts(kind)
        in_flight = self.assignments.in_flight(kind, self.books.committed)
        return pb.PhaseProgress(
            phase=kind,
            tasks=counts.tasks,
            committed=counts.committed,
            running=counts.running,
            failed_attempts=counts.failed_attempts,
            workers=len(self.sessions),
            done=self.books.done(kind) + in_flight,
            total=self.books.total(kind, self.assignments.plan),
        )
