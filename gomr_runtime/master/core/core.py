"""A master without I/O: events in, effects out. The driver carries them out, so does a simulation.

It holds everything that a master knows: the scheduler, the attempts it started, the books. No
clock, no threads, no randomness but the nonces it is given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from gomr_runtime.codec.fields import to_json
from gomr_runtime.errors import GomrError, JobFailed, RunConflict
from gomr_runtime.master.core import ending
from gomr_runtime.master.core.assignments import Assignments
from gomr_runtime.master.core.books import Books
from gomr_runtime.master.core.duties import Commit, Conclude, Duty, Seal, TypeParts, WriteSummary
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
from gomr_runtime.master.core.inputs import (
    AttemptReported,
    DutyAnswered,
    HeartbeatReceived,
    MasterReplaced,
    PlanMade,
    RunFailed,
)
from gomr_runtime.master.core.plan import Manifest, Unfinished
from gomr_runtime.model.ids import AttemptId
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.layout import promoted
from gomr_runtime.model.summary import Part, Summary
from gomr_runtime.model.task import TaskFailure, TaskSpec
from gomr_runtime.scheduler.commands import (
    AbandonAttempt,
    AnnouncePhase,
    Command,
    CommitAttempt,
    ExpireWorker,
    FinishRun,
    PromoteOutput,
    RepeatMap,
    SealMaps,
    StartAttempt,
)
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
    StoreFailed,
    TasksPlanned,
    Tick,
    WorkerHeard,
)
from gomr_runtime.scheduler.machine import Scheduler
from gomr_runtime.scheduler.state import Phase, SchedulerConfig

ATTEMPTS_PER_EPOCH = 1000  # more than the budgets allow one master to start of one task


class Core:
    """One master's decisions on one run; once it is `over` every event is ignored."""

    def __init__(
        self, job: JobSpec, epoch: int, now: float, elapsed: float, nonce: Callable[[], str]
    ) -> None:
        """elapsed: seconds since the run's first master started. nonce: never the same twice."""
        self.job = job
        self.epoch = epoch
        self.books = Books(job)
        self.assignments: Assignments | None = None
        self.over = False
        self.stale = 0  # reports to another master, or about attempts that no longer count
        self.scheduler = Scheduler(config_of(job, epoch, now - elapsed))
        self._nonce = nonce
        self._started = now - elapsed
        self._phases: list[tuple[str, float]] = [("wait", now)]
        self._maps_key = ""
        self._verdict: GomrError | None = None
        self._error: GomrError | None = None
        self._final: Summary | None = None
        self._now = now
        self._out: list[Effect] = []

    def handle(self, event: Event) -> list[Effect]:
        """What to do now, in this order."""
        if self.over:
            return []
        self._now = max(self._now, event.now)
        self._out = []
        try:
            _HANDLERS.get(type(event), Core._decide)(self, event)
        except GomrError as error:
            self._fail(error)
        out, self._out = self._out, []
        return out

    # What happened.

    def _on_planned(self, event: PlanMade) -> None:
        self.assignments = Assignments(self.job, event.plan, self._nonce)
        for manifest in event.commits:
            self.books.enter(manifest)
        maps, reduces = len(event.plan.splits), self.assignments.reduces
        self._decide(TasksPlanned(self._now, maps, reduces, self.assignments.has_sample))
        for manifest in event.commits:
            self._decide(CommitRecovered(self._now, manifest.attempt, manifest.generation))

    def _on_heartbeat(self, event: HeartbeatReceived) -> None:
        for doing in event.running:
            flight = self.assignments.flight(doing.attempt) if self.assignments else None
            if flight and flight.worker == event.worker:
                flight.done = max(flight.done, doing.done)
                self._decide(
                    AttemptProgressed(self._now, event.worker, doing.attempt, doing.fraction)
                )
        attempts = tuple(doing.attempt for doing in event.running)
        self._decide(WorkerHeard(self._now, event.worker, attempts, event.room))

    def _on_reported(self, event: AttemptReported) -> None:
        """Reports to an earlier master are dropped: their attempts are not ours."""
        worker, attempt, outcome = event.worker, event.attempt, event.outcome
        flight = self.assignments.flight(attempt) if self.assignments else None
        if event.epoch != self.epoch or flight is None or flight.spec.nonce != event.nonce:
            self.stale += 1
            return
        assert self.assignments is not None
        if isinstance(outcome, TaskFailure):
            self.assignments.land(attempt)
            self._log(f"{attempt} failed on {worker}: {outcome.message}", "warning")
            self._decide(AttemptFailed(self._now, worker, attempt, outcome))
            return
        flight.result = outcome
        error = self.books.too_many_bad(outcome, attempt.task)
        if error := error or self.books.mixed_types(outcome, attempt.task):
            self._fail(error)
            return
        self._decide(AttemptSucceeded(self._now, worker, attempt))

    def _on_tick(self, event: Tick) -> None:
        self._decide(event)
        if self.assignments is not None:
            self.assignments.keep(self.scheduler.state.matters)

    def _on_failed(self, event: RunFailed) -> None:
        self._fail(event.error)

    def _on_replaced(self, event: MasterReplaced) -> None:
        self.over = True
        self._out = [StepDown(event.error)]

    def _on_answered(self, event: DutyAnswered) -> None:
        duty, answer = event.duty, event.answer
        if isinstance(answer, RunConflict):
            self._on_replaced(MasterReplaced(self._now, answer))
        elif isinstance(duty, WriteSummary):
            self._announce(duty.summary, answer if isinstance(answer, GomrError) else None)
        elif isinstance(duty, Conclude):
            self._concluded(duty, answer)
        elif self._final is not None or self.scheduler.state.phase is Phase.FINISHED:
            return
        elif isinstance(answer, GomrError):
            self._failed(duty, answer)
        else:
            self._succeeded(duty, answer)

    def _succeeded(self, duty: Duty, answer: object) -> None:
        match duty, answer:
            case Commit(attempt), Manifest() as winner:
                assert self.assignments is not None
                self.assignments.land(attempt)
                self.books.enter(winner)
                settled = CommitSettled(self._now, attempt, winner.attempt, winner.generation)
                self._decide(settled)
            case Seal(), str() as key:
                self._maps_key = key
                self._decide(MapsSealed(self._now))
            case TypeParts(), tuple() as typed:
                self._conclude({part.name: part for part in typed})

    def _failed(self, duty: Duty, error: GomrError) -> None:
        match duty:
            case Commit(attempt):
                self._verdict = self._verdict or ending.with_advice(error)
                self._decide(CommitSettled(self._now, attempt, None))
            case _:
                self._verdict = self._verdict or ending.with_advice(error)
                self._decide(StoreFailed(self._now, str(error)))

    # What the scheduler wants.

    def _decide(self, event: Event) -> None:
        for command in self.scheduler.handle(event):
            self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        match command:
            case StartAttempt(worker, attempt, skipped):
                self._start(worker, attempt, skipped)
            case CommitAttempt(attempt, generation):
                self._commit(attempt, generation)
            case AbandonAttempt(worker, attempt, reason):
                self._abandon(worker, attempt, reason)
            case ExpireWorker(worker, reason):
                self._out.append(Expire(worker, reason))
            case SealMaps():
                if not self._maps_key:
                    self._out.append(LogMapsCompleted())
                self._perform(Seal(tuple(self.books.map_outputs())))
            case RepeatMap(task, reason):
                self._log(f"{task} runs again, its stored output is damaged: {reason}", "warning")
            case PromoteOutput():
                self._promote()
            case AnnouncePhase(phase):
                self._phases.append((phase, self._now))
                self._out.append(ShowPhase(phase))
            case FinishRun(error):
                self._finish(self._verdict or error)

    def _start(self, worker: str, attempt: AttemptId, skipped: tuple[int, ...]) -> None:
        assert self.assignments is not None  # nothing starts before it is planned
        spec = self.assignments.start(
            attempt, worker, skipped, self.books.cuts_key(), self._maps_key
        )
        self._out.append(Assign(worker, text_of(spec), spec.ranges))

    def _abandon(self, worker: str, attempt: AttemptId, reason: str) -> None:
        flight = self.assignments.flight(attempt) if self.assignments else None
        nonce = ""
        if self.assignments and flight is not None and flight.worker == worker:
            nonce = flight.spec.nonce
            self.assignments.land(attempt)
        self._out.append(Abandon(worker, attempt, nonce, reason))

    def _commit(self, attempt: AttemptId, generation: int) -> None:
        flight = self.assignments.flight(attempt) if self.assignments else None
        if flight is None or flight.result is None:
            raise JobFailed(f"defect in the master: {attempt} commits without a result")
        manifest = Manifest(self.epoch, attempt, flight.spec.nonce, flight.result, generation)
        self._perform(Commit(attempt, manifest))

    def _promote(self) -> None:
        assert self.assignments is not None
        description = self.assignments.plan.description
        if description.map_only:
            self._out.append(LogMapsCompleted())
        self.books.check(description)
        if parts := self.books.untyped(description):
            self._perform(TypeParts(parts, self.books.types(description)))
        else:
            self._conclude({})

    def _conclude(self, typed: Mapping[str, Part]) -> None:
        """Decide that the run ends well. typed: by name, parts in the place of the committed."""
        assert self.assignments is not None
        committed = self.books.parts(self.assignments.plan.description)
        parts = [typed.get(part.name, part) for part in committed]
        summary = self._summary(None, promoted(self.job.run, parts))
        files = (*parts, *self.books.set_aside())
        self._perform(Conclude(summary, tuple(file.key for file in files)))

    # The end.

    def _fail(self, error: GomrError) -> None:
        """End the run with this error, whatever the scheduler would say."""
        self._verdict = self._verdict or error
        try:
            self._decide(CancelRequested(self._now, str(error)))
        except GomrError:  # the scheduler contradicts itself: that was the error
            self._finish(self._verdict)

    def _finish(self, error: GomrError | None) -> None:
        self._error = error
        if error is not None:
            self._perform(Conclude(self._summary(error, ())))

    def _concluded(self, duty: Conclude, answer: object) -> None:
        """The end is decided. An output that was decided on before a cancel came stands."""
        promoting = duty.summary.state == "succeeded"
        if promoting and self.scheduler.state.phase is Phase.FINISHED:
            return  # the other decision, asked for later, settles it
        if isinstance(answer, Summary):
            if promoting:
                self._decide(OutputPromoted(self._now))
            if answer.state == "succeeded":
                self._error = None
            self._write(answer)
        elif promoting:
            assert isinstance(answer, GomrError)
            self._verdict = self._verdict or ending.with_advice(answer)
            self._decide(StoreFailed(self._now, str(answer)))
        else:
            self._log(f"cannot store how the run ended: {answer}", "warning")
            if isinstance(answer, Unfinished):
                self._error = answer
                self._write(self._summary(answer, ()))
            else:
                self._write(duty.summary)

    def _write(self, summary: Summary) -> None:
        phases = ending.durations(self._phases, self._now)
        self._final = dataclasses.replace(summary, seconds=self._now - self._started, phases=phases)
        self._perform(WriteSummary(self._final))

    def _announce(self, summary: Summary, trouble: GomrError | None) -> None:
        if trouble is not None:
            self._log(f"cannot store the summary: {trouble}", "warning")
        self.over = True
        self._out.append(Announce(summary, self._error))

    def _summary(self, error: GomrError | None, parts: tuple[Part, ...]) -> Summary:
        scheduler = self.scheduler
        return ending.summarise(
            self.job,
            error,
            self.assignments.plan if self.assignments is not None else None,
            self.books,
            parts,
            ending.Effort(
                attempts=scheduler.state.attempts_made,
                lost_workers=scheduler.state.lost_workers,
                workers=scheduler.state.lost_workers + scheduler.state.live_workers,
                seconds=self._now - self._started,
                phases=ending.durations(self._phases, self._now),
            ),
        )

    def _perform(self, duty: Duty) -> None:
        self._out.append(Perform(duty))

    def _log(self, text: str, level: str) -> None:
        self._out.append(Log(text, level))


def config_of(job: JobSpec, epoch: int, started: float) -> SchedulerConfig:
    """The rules of the run for the master of `epoch`; `started` is when the run did."""
    return SchedulerConfig(
        lease=job.lease,
        max_attempts=job.max_attempts,
        max_lost=job.max_lost,
        skip_bad_records=job.skip_bad_records,
        backups=job.backups,
        backup_floor=job.backup_floor,
        deadline=None if job.timeout is None else started + job.timeout,
        first_attempt=(epoch - 1) * ATTEMPTS_PER_EPOCH + 1,
    )


def text_of(spec: TaskSpec) -> str:
    return to_json(spec).decode("utf-8", "surrogateescape")


_HANDLERS: dict[type[Event], Callable[[Core, Any], None]] = {
    PlanMade: Core._on_planned,
    HeartbeatReceived: Core._on_heartbeat,
    AttemptReported: Core._on_reported,
    DutyAnswered: Core._on_answered,
    Tick: Core._on_tick,
    RunFailed: Core._on_failed,
    MasterReplaced: Core._on_replaced,
}
