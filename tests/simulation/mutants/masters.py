"""The phases of a run, and the start and the end of a master."""

from __future__ import annotations

from typing import Any

from gomr_runtime.codec import checked
from gomr_runtime.master import journal as journal_module
from gomr_runtime.master.journal import Journal
from gomr_runtime.model import layout
from gomr_runtime.scheduler import commits, phases
from gomr_runtime.scheduler.events import (
    AttemptFailed,
    CancelRequested,
    Tick,
)
from gomr_runtime.scheduler.run_state import RunState
from gomr_runtime.scheduler.state import KIND_OF_PHASE, Phase, TaskState
from gomr_runtime.storage.success import success_bytes, success_of
from tests.simulation.mutants.registry import EVENTS, mutant

# Phases.


@mutant(phases, "advance_if_done")
def maps_are_sealed_before_the_last_one(original: Any) -> Any:
    """The phase ends when one task is still open."""

    def advance(run: RunState) -> None:
        tally = run.tally["map"]
        if run.phase is Phase.MAP and len(run.tasks["map"]) > 1:
            tally[TaskState.COMMITTED] += 1
            original(run)
            tally[TaskState.COMMITTED] -= 1
        else:
            original(run)

    return advance


@mutant(EVENTS, CancelRequested)
def a_cancel_is_ignored(original: Any) -> Any:
    """The run goes on as if nobody had asked."""
    return lambda run, event: None


@mutant(EVENTS, Tick)
def the_deadline_is_ignored(original: Any) -> Any:
    """The run takes as long as it takes."""

    def tick(run: RunState, event: Tick) -> None:
        object.__setattr__(run.config, "deadline", None)
        original(run, event)

    return tick


@mutant(EVENTS, AttemptFailed)
def failures_of_ended_attempts_count(original: Any) -> Any:
    """A failure that is told twice is charged twice."""

    def failed(run: RunState, event: AttemptFailed) -> None:
        task = run.tasks[event.attempt.task.kind][event.attempt.task.index]
        if event.failure.kind in ("crash", "memory"):
            task.failures += 1
        original(run, event)

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
        journal._make_output(summary, sources)
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


@mutant(Journal, "read_summary")
def what_an_end_left_to_do_stays_undone(original: Any) -> Any:
    """The master that comes after a decided end tells it, and makes no output."""

    def read(journal: Journal) -> Any:
        if journal._end is None or journal._end.end is None:
            return None
        journal.write_summary(journal._end.end)
        return journal._end.end

    return read


@mutant(commits, "recover")
def what_an_earlier_master_committed_counts_twice(original: Any) -> Any:
    """A task that is committed is offered to workers, too."""

    def recover(run: RunState, found: Any) -> None:
        original(run, found)
        if KIND_OF_PHASE.get(run.phase) == found.attempt.task.kind:
            run.matching._retries.append(found.attempt.task.index)

    return recover


@mutant(Journal, "elapsed")
def each_master_has_the_whole_time(original: Any) -> Any:
    """The deadline of a run begins anew with each of its masters."""
    return lambda journal, first_epoch: 0.0


@mutant(phases, "advance_if_done")
def the_output_is_made_before_the_last_reduce(original: Any) -> Any:
    """The last part is missing from what is promised."""

    def advance(run: RunState) -> None:
        tally = run.tally["reduce"]
        early = run.phase is Phase.REDUCE and len(run.tasks["reduce"]) > 1
        tally[TaskState.COMMITTED] += early
        original(run)
        tally[TaskState.COMMITTED] -= early

    return advance
