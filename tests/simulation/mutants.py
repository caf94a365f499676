"""Seeded defects: each breaks one decision of the real code, and the simulation must notice.

A mutant replaces one function; `original` is what it replaces. Those named B… are defects of the
system that GoMR comes from. `python -m tests.simulation.hunt` looks for a seed that shows each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from gomr_runtime import checked, layout
from gomr_runtime.dataflow import cursor, index
from gomr_runtime.errors import GomrError, StorageError
from gomr_runtime.job import MapOutput, TaskResult
from gomr_runtime.maps import encode_maps
from gomr_runtime.master import core as core_module
from gomr_runtime.master import journal as journal_module
from gomr_runtime.master.assignments import Assignments
from gomr_runtime.master.books import Books
from gomr_runtime.master.core import Core
from gomr_runtime.master.duties import Seal
from gomr_runtime.master.effects import Answered, Assign, Perform, Reported
from gomr_runtime.master.journal import Journal
from gomr_runtime.scheduler import machine
from gomr_runtime.scheduler.commands import CommitAttempt
from gomr_runtime.scheduler.events import (
    AttemptFailed,
    AttemptId,
    AttemptSucceeded,
    CancelRequested,
    Tick,
    WorkerHeard,
    WorkerLeft,
)
from gomr_runtime.scheduler.machine import Scheduler
from gomr_runtime.scheduler.matching import Matching
from gomr_runtime.scheduler.state import Phase, SchedulerConfig, TaskState, Worker
from gomr_runtime.success import success_bytes, success_of
from tests.simulation.masters import Master
from tests.simulation.workers import Worker as SimulatedWorker

Make = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One defect. place and name: a class or module and its attribute, or a table and its key."""

    title: str
    place: Any
    name: Any
    make: Make

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """While this lasts the code has the defect."""
        table = isinstance(self.place, dict)
        original = self.place[self.name] if table else getattr(self.place, self.name)
        self._set(self.make(original))
        try:
            yield
        finally:
            self._set(original)

    def _set(self, value: Any) -> None:
        if isinstance(self.place, dict):
            self.place[self.name] = value
        else:
            setattr(self.place, self.name, value)


MUTANTS: dict[str, Mutant] = {}


def mutant(place: Any, name: Any) -> Callable[[Make], Make]:
    """Enter a defect under the name of the function that makes it."""

    def enter(make: Make) -> Make:
        MUTANTS[make.__name__] = Mutant((make.__doc__ or "").strip(), place, name, make)
        return make

    return enter


EVENTS = machine._HANDLERS
INPUTS = core_module._HANDLERS

# What the original system did.


@mutant(layout, "attempt_data")
def B1_outputs_are_not_kept_apart_by_task(original: Any) -> Any:
    """Map output is stored under its partition's name alone: tasks overwrite each other."""
    return lambda task, role: f"runs/{task.run}/data/{task.kind}-x/{role}"


@mutant(layout, "attempt_data")
def B1_outputs_are_not_kept_apart_by_attempt(original: Any) -> Any:
    """Two attempts of a task write the same object."""
    return lambda task, role: f"runs/{task.run}/data/{task.name}/{role}"


@mutant(INPUTS, Reported)
def B2_reducers_read_every_output_that_was_reported(original: Any) -> Any:
    """The output of each attempt is listed, not that of the one which was committed."""

    def reported(core: Core, event: Reported) -> None:
        if isinstance(event.outcome, TaskResult) and event.attempt.task.kind == "map":
            every = core.books.__dict__.setdefault("every", {})
            every[event.attempt] = event.outcome
            core.books.map_outputs = lambda: [  # type: ignore[method-assign]
                MapOutput(attempt.task.index, file.key, file.size, file.index_bytes)
                for attempt, result in every.items()
                for file in result.files
            ]
        original(core, event)

    return reported


@mutant(Matching, "_charge")
def B3_busy_workers_count_as_free(original: Any) -> Any:
    """A worker that got a task is asked again at once."""

    def charge(matching: Matching, worker: Worker) -> None:
        matching._wanting[worker.name] = None

    return charge


@mutant(INPUTS, Reported)
def B4_reports_are_matched_by_their_task_alone(original: Any) -> Any:
    """A late report of an earlier attempt counts for the one that runs now."""

    def reported(core: Core, event: Reported) -> None:
        flights = core.assignments._flights if core.assignments else {}
        for attempt, flight in flights.items():
            if attempt.task == event.attempt.task:
                event = dataclasses.replace(
                    event,
                    attempt=attempt,
                    worker=flight.worker,
                    nonce=flight.spec.nonce,
                    epoch=core.epoch,
                )
        original(core, event)

    return reported


@mutant(Scheduler, "_lose_worker")
def B5_a_hung_worker_holds_its_tasks(original: Any) -> Any:
    """Nobody gives up on a worker that does not answer."""

    def lose(scheduler: Scheduler, worker: Worker, reason: str) -> None:
        if "silent" not in reason:
            original(scheduler, worker, reason)

    return lose


@mutant(SimulatedWorker, "_publish")
def B7_upload_errors_are_ignored(original: Any) -> Any:
    """An output that could not be stored is reported as done."""

    def publish(worker: SimulatedWorker, running: Any, result: Any, content: bytes) -> Any:
        put, made = worker._store.put, []

        def forgiving(key: str, data: bytes) -> None:
            with contextlib.suppress(StorageError):
                put(key, data)

        worker._store.put = forgiving  # type: ignore[method-assign]
        made.append(original(worker, running, result, content))
        return made[0]

    return publish


@mutant(machine, "charge")
def B10_attempts_without_bound(original: Any) -> Any:
    """A task that fails is tried for ever."""
    return lambda task, failure, config: None


# Who may report what.


@mutant(INPUTS, Reported)
def reports_to_another_master_are_accepted(original: Any) -> Any:
    """Neither epoch nor nonce is looked at: what an earlier master had started counts."""

    def reported(core: Core, event: Reported) -> None:
        number = core.scheduler.config.first_attempt + (event.attempt.attempt - 1) % 1000
        attempt = AttemptId(event.attempt.task, number)
        flight = core.assignments.flight(attempt) if core.assignments else None
        if event.epoch != core.epoch and flight is not None:
            event = dataclasses.replace(
                event,
                attempt=attempt,
                worker=flight.worker,
                nonce=flight.spec.nonce,
                epoch=core.epoch,
            )
        original(core, event)

    return reported


@mutant(SchedulerConfig, "__post_init__")
def attempt_numbers_begin_anew_with_each_master(original: Any) -> Any:
    """Two masters use the same number for different attempts."""

    def check(config: SchedulerConfig) -> None:
        object.__setattr__(config, "first_attempt", 1)

    return check


@mutant(Scheduler, "_running")
def late_successes_of_lost_attempts_are_accepted(original: Any) -> Any:
    """An attempt that was given up is committed after all."""

    def running(scheduler: Scheduler, worker: str, attempt: Any) -> Any:
        return original(scheduler, worker, attempt) or scheduler._known(attempt)

    return running


# Commits.


@mutant(Journal, "commit")
def the_last_commit_wins(original: Any) -> Any:
    """A manifest overwrites the one that is there."""

    def commit(journal: Journal, manifest: Any) -> Any:
        key = layout.commit(journal.run, str(manifest.attempt.task), manifest.generation)
        journal.store.put(key, journal_module._encode_manifest(manifest))
        return manifest

    return commit


@mutant(Journal, "commit")
def a_lost_race_counts_as_won(original: Any) -> Any:
    """The master believes in its own manifest though another one is there."""

    def commit(journal: Journal, manifest: Any) -> Any:
        original(journal, manifest)
        return manifest

    return commit


@mutant(SimulatedWorker, "_attempt")
def a_commit_comes_before_the_upload(original: Any) -> Any:
    """The worker reports first and stores its output afterwards."""

    def attempt(worker: SimulatedWorker, running: Any) -> None:
        put, late = worker._store.put, []
        worker._store.put = lambda key, data: late.append((key, data))  # type: ignore[method-assign]
        try:
            original(worker, running)
        finally:
            worker._store.put = put  # type: ignore[method-assign]
        for key, data in late:
            with contextlib.suppress(GomrError):
                put(key, data)

    return attempt


@mutant(EVENTS, AttemptSucceeded)
def every_success_is_committed(original: Any) -> Any:
    """A second attempt that succeeds while the first commits is committed too."""

    def succeeded(scheduler: Scheduler, event: AttemptSucceeded) -> None:
        original(scheduler, event)
        known = scheduler._known(event.attempt)
        told = [c for c in scheduler._out if isinstance(c, CommitAttempt)]
        task = scheduler.tasks[event.attempt.task.kind][event.attempt.task.index]
        if known is not None and not told and task.state is TaskState.COMMITTING:
            scheduler._out.append(CommitAttempt(event.attempt))

    return succeeded


@mutant(INPUTS, Reported)
def counters_of_every_report_count(original: Any) -> Any:
    """Counters add up over all results, not over the committed ones."""

    def reported(core: Core, event: Reported) -> None:
        books = core.books
        if isinstance(event.outcome, TaskResult):
            every = books.__dict__.setdefault("every", [])
            every.append(event.outcome)
            totals = type(books).totals

            def summed() -> Any:
                counters: Counter[str] = Counter()
                for result in every:
                    counters.update(result.counters)
                return dataclasses.replace(totals(books), counters=dict(counters))

            books.totals = summed  # type: ignore[method-assign]
        original(core, event)

    return reported


# Requeueing, leases and budgets.


@mutant(Scheduler, "_return_if_empty")
def failed_tasks_are_forgotten(original: Any) -> Any:
    """A task without attempts is not put back."""
    return lambda scheduler, task: None


@mutant(Matching, "put")
def returned_tasks_are_not_offered(original: Any) -> Any:
    """A task that came back is pending, and nobody gets it."""
    return lambda matching, task: None


@mutant(EVENTS, WorkerLeft)
def tasks_of_workers_that_left_are_forgotten(original: Any) -> Any:
    """A goodbye takes the worker's tasks along."""

    def left(scheduler: Scheduler, event: WorkerLeft) -> None:
        worker = scheduler.workers.get(event.worker)
        if worker is not None:
            scheduler.matching.leave(worker)
            scheduler.gone[worker.name] = event.reason

    return left


@mutant(EVENTS, WorkerHeard)
def attempts_that_never_arrived_are_waited_for(original: Any) -> Any:
    """That a worker does not run what it was given is not noticed."""

    def heard(scheduler: Scheduler, event: WorkerHeard) -> None:
        scheduler._speaker(event.worker)

    return heard


@mutant(EVENTS, WorkerHeard)
def heartbeats_do_not_renew_the_lease(original: Any) -> Any:
    """A busy worker that only beats is given up."""

    def heard(scheduler: Scheduler, event: WorkerHeard) -> None:
        worker = scheduler.workers.get(event.worker)
        before = worker.heard if worker else 0.0
        original(scheduler, event)
        if worker is not None:
            worker.heard = before

    return heard


@mutant(Master, "clock")
def leases_go_by_the_wall_clock(original: Any) -> Any:
    """A step of the clock ends every lease, or none."""
    return lambda master: master._world.wall_clock()


@mutant(Scheduler, "_lose")
def lost_attempts_without_bound(original: Any) -> Any:
    """A task that takes its workers with it is started for ever."""

    def lose(scheduler: Scheduler, attempt: Any, reason: str) -> None:
        task = scheduler._task(attempt.id.task, reason)
        task.lost = 0
        original(scheduler, attempt, reason)

    return lose


@mutant(Assignments, "keep")
def ended_attempts_are_remembered(original: Any) -> Any:
    """The master's memory grows with every attempt."""
    return lambda assignments, matters: None


@mutant(Scheduler, "_win")
def losers_go_on_running(original: Any) -> Any:
    """Other attempts of a committed task are not stopped."""

    def win(scheduler: Scheduler, task: Any, winner: Any) -> None:
        task.committed, task.committing = winner, None

    return win


# What workers have room for, and what a task needs before it starts.


@dataclass(frozen=True, slots=True)
class _SendLater:
    """Stores something that a task needs, at last; then it is sent."""

    assign: Assign

    def run(self, journal: Journal) -> None:
        journal.store.put(f"{self.assign.pieces_key}.late", b"")


@mutant(Core, "handle")
def pieces_are_stored_when_their_task_starts(original: Any) -> Any:
    """A worker is charged for an attempt that is not sent yet, and says that it does not run it."""

    def handle(core: Core, event: Any) -> list[Any]:
        duty: Any = event.duty if isinstance(event, Answered) else None
        if isinstance(duty, _SendLater):
            return [] if isinstance(event.answer, GomrError) else [duty.assign]
        effects: list[Any] = original(core, event)
        return [
            Perform(_SendLater(effect))  # type: ignore[arg-type]
            if isinstance(effect, Assign) and effect.pieces_key
            else effect
            for effect in effects
        ]

    return handle


@mutant(EVENTS, WorkerHeard)
def room_is_only_told_once(original: Any) -> Any:
    """A worker whose message got lost is never asked again what it has room for."""

    def heard(scheduler: Scheduler, event: WorkerHeard) -> None:
        original(scheduler, dataclasses.replace(event, room=None))

    return heard


@mutant(Worker, "coming")
def attempts_on_their_way_take_no_room(original: Any) -> Any:
    """A worker gets more than it can run, for what it said before the last one reached it."""
    return lambda worker, named: 0


# Phases.


@mutant(Scheduler, "_advance_if_done")
def maps_are_sealed_before_the_last_one(original: Any) -> Any:
    """The phase ends when one task is still open."""

    def advance(scheduler: Scheduler) -> None:
        tally = scheduler._tally["map"]
        if scheduler.phase is Phase.MAP and len(scheduler.tasks["map"]) > 1:
            tally[TaskState.COMMITTED] += 1
            original(scheduler)
            tally[TaskState.COMMITTED] -= 1
        else:
            original(scheduler)

    return advance


@mutant(EVENTS, CancelRequested)
def a_cancel_is_ignored(original: Any) -> Any:
    """The run goes on as if nobody had asked."""
    return lambda scheduler, event: None


@mutant(EVENTS, Tick)
def the_deadline_is_ignored(original: Any) -> Any:
    """The run takes as long as it takes."""

    def tick(scheduler: Scheduler, event: Tick) -> None:
        object.__setattr__(scheduler.config, "deadline", None)
        original(scheduler, event)

    return tick


@mutant(EVENTS, AttemptFailed)
def failures_of_ended_attempts_count(original: Any) -> Any:
    """A failure that is told twice is charged twice."""

    def failed(scheduler: Scheduler, event: AttemptFailed) -> None:
        task = scheduler.tasks[event.attempt.task.kind][event.attempt.task.index]
        if event.failure.kind in ("crash", "memory"):
            task.failures += 1
        original(scheduler, event)

    return failed


# The master's start and end.


@mutant(Journal, "take_epoch")
def two_masters_may_have_one_epoch(original: Any) -> Any:
    """The mark of an epoch is written, not created."""

    def take(journal: Journal) -> int:
        number = journal.newest_epoch()
        if journal._is_over(number):
            journal.epoch = number
            return number
        mark = checked.encode({"nonce": journal._nonce(), "at": journal._clock()})
        journal.store.put(layout.epoch(journal.run, number + 1), mark)
        journal.epoch = number + 1
        return journal.epoch

    return take


@mutant(Journal, "take_epoch")
def marks_of_masters_are_alike(original: Any) -> Any:
    """Without a nonce each of two masters believes that the mark there is its own."""

    def take(journal: Journal) -> int:
        journal._nonce, journal._clock = lambda: "", lambda: 0.0
        return int(original(journal))

    return take


@mutant(Journal, "_is_over")
def the_end_is_not_looked_for(original: Any) -> Any:
    """A master that starts after the end begins again."""
    return lambda journal, number: False


@mutant(Journal, "read_commits")
def commits_are_not_replayed(original: Any) -> Any:
    """A restarted master runs everything again."""
    return lambda journal: []


@mutant(Journal, "read_commits")
def only_the_first_page_of_commits_is_replayed(original: Any) -> Any:
    """A listing that has more pages is taken for the whole."""
    return lambda journal: original(journal)[:3]


@mutant(Journal, "conclude")
def a_replaced_master_may_end_the_run(original: Any) -> Any:
    """The end is decided without regard to newer masters."""

    def conclude(journal: Journal, summary: Any, sources: Any) -> Any:
        journal._make_output(journal_module._End(summary, sources))
        return summary

    return conclude


@mutant(Journal, "conclude")
def the_last_decision_on_the_end_counts(original: Any) -> Any:
    """A cancel that comes after the output was decided on is told."""

    def conclude(journal: Journal, summary: Any, sources: Any) -> Any:
        original(journal, summary, sources)
        return summary

    return conclude


@mutant(journal_module, "promote")
def success_is_told_before_the_parts(original: Any) -> Any:
    """`_SUCCESS` is there while parts are still copied."""

    def promote(store: Any, run: str, parts: Any, ledger: Any, counters: Any, *rest: Any) -> Any:
        store.create(layout.success(run), success_bytes(success_of(run, parts, ledger, counters)))
        return original(store, run, parts, ledger, counters, *rest)

    return promote


@mutant(journal_module, "promote")
def success_is_never_told(original: Any) -> Any:
    """The parts are there, `_SUCCESS` is not."""
    return lambda store, run, parts, *rest: tuple(parts)


# Damage.


@mutant(cursor, "read_body")
def checksums_of_frames_are_skipped(original: Any) -> Any:
    """A block is delivered whatever its checksum says."""

    def read(header: Any, body: Any, where: str) -> Any:
        crc = zlib.crc32(body, header.seed)
        return original(dataclasses.replace(header, crc=crc, stored=len(body)), body, where)

    return read


@mutant(index, "_crc")
def checksums_of_the_index_are_skipped(original: Any) -> Any:
    """An index is believed whatever its checksum says."""
    return lambda partitions, body: 0


@mutant(checked, "decode")
def checksums_of_the_journal_are_skipped(original: Any) -> Any:
    """Manifests and lists are believed whatever their checksum says."""

    def decode(data: bytes) -> Any:
        body = data[9:]
        return original(b"%08x\n%s" % (zlib.crc32(body), body))

    return decode


@mutant(Scheduler, "_damage")
def damaged_maps_do_not_run_again(original: Any) -> Any:
    """The reducer that found the damage tries again and again."""
    return lambda scheduler, source, failure: None


@mutant(machine, "damaged_too_often")
def damage_without_bound(original: Any) -> Any:
    """A map whose output is damaged each time runs for ever."""
    return lambda source, failure, config: None


@mutant(machine, "read_by")
def old_news_of_damage_count_again(original: Any) -> Any:
    """A map that ran again runs once more for what a reducer says of its old output."""
    return lambda reducer, source: source.state is TaskState.COMMITTED


@mutant(Core, "_commit")
def a_map_that_ran_again_commits_under_its_old_key(original: Any) -> Any:
    """Its manifest competes with the one whose data is bad."""
    return lambda core, attempt, generation: original(core, attempt, 0)


@mutant(Core, "_succeeded")
def reducers_keep_reading_the_first_list(original: Any) -> Any:
    """What ran again is committed, and nobody reads it."""

    def succeeded(core: Core, duty: Any, answer: Any) -> None:
        first = core._maps_key
        original(core, duty, answer)
        if isinstance(duty, Seal) and first:
            core._maps_key = first

    return succeeded


@mutant(Journal, "seal_maps")
def the_list_of_maps_is_overwritten(original: Any) -> Any:
    """A reduce attempt may read one list first and another one later."""

    def seal(journal: Journal, maps: Any) -> str:
        key = layout.maps(journal.run)
        journal.store.put(key, encode_maps(maps))
        return key

    return seal


@mutant(Books, "enter")
def the_first_generation_stays_in_the_books(original: Any) -> Any:
    """The list of map outputs names the damaged one for ever."""

    def enter(books: Books, manifest: Any) -> None:
        if manifest.attempt.task not in books.committed:
            original(books, manifest)

    return enter
