"""The way of a run from the plan to its end, and what may not happen on it."""

from __future__ import annotations

import itertools

import pytest

from gomr_runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    EnvironmentFailed,
    GomrError,
    StorageError,
)
from gomr_runtime.model.ids import TaskId
from gomr_runtime.model.task import TaskKind
from gomr_runtime.scheduler.commands import (
    AbandonAttempt,
    AnnouncePhase,
    CommitAttempt,
    FinishRun,
    PromoteOutput,
    SealMaps,
    StartAttempt,
)
from gomr_runtime.scheduler.events import (
    CancelRequested,
    CommitRecovered,
    CommitSettled,
    MapsSealed,
    OutputPromoted,
    StoreFailed,
)
from gomr_runtime.scheduler.state import (
    ATTEMPTS,
    PHASES,
    TASKS,
    Attempt,
    AttemptState,
    InvalidTransition,
    Phase,
    SchedulerConfig,
    Task,
    TaskState,
    Trigger,
    attempt_after,
    phase_after,
    task_after,
    undisturbed,
)
from tests.unit.support.scheduler_script import Script, attempt, only, started


@pytest.mark.parametrize(
    ("sample", "map_only", "phases"),
    [
        (False, False, "map seal reduce"),
        (True, False, "sample map seal reduce"),
        (False, True, "map"),
        (True, True, "sample map"),
    ],
)
def test_one_process_goes_through_the_phases_of_the_scheduler(
    sample: bool, map_only: bool, phases: str
) -> None:
    assert [
        phase.value for phase in undisturbed(sample=sample, map_only=map_only)
    ] == phases.split()


def test_a_run_goes_through_every_phase_in_order() -> None:
    run = Script()
    assert run.plan(maps=1, reduces=1, sample=True) == [AnnouncePhase("sample")]
    assert run.join("w", want=1) == [StartAttempt("w", attempt(0, kind="sample"))]
    assert run.succeed("w", attempt(0, kind="sample")) == [CommitAttempt(attempt(0, kind="sample"))]
    assert run.settle(attempt(0, kind="sample")) == [AnnouncePhase("map")]
    assert run.want("w") == [StartAttempt("w", attempt(0))]
    assert run.finish("w", attempt(0)) == [CommitAttempt(attempt(0)), SealMaps()]
    assert run.want("w") == []
    reduce = attempt(0, kind="reduce")
    assert run.tell(MapsSealed) == [AnnouncePhase("reduce"), StartAttempt("w", reduce)]
    assert run.finish("w", reduce)[1:] == [AnnouncePhase("promote"), PromoteOutput()]
    assert run.tell(OutputPromoted) == [FinishRun(None)]
    assert run.scheduler.state.phase is Phase.FINISHED
    assert run.scheduler.state.error is None


def test_map_only_runs_are_promoted_without_sealing() -> None:
    run = Script()
    run.plan(maps=1)
    run.join("w", want=1)
    assert run.finish("w", attempt(0))[1:] == [AnnouncePhase("promote"), PromoteOutput()]


def test_an_empty_input_still_reduces() -> None:
    run = Script()
    assert run.plan(maps=0, reduces=2) == [AnnouncePhase("map"), SealMaps()]
    run.tell(MapsSealed)
    assert started(run.join("w", want=2)) == [("w", "reduce-0/1"), ("w", "reduce-1/1")]


def test_an_empty_map_only_input_is_promoted_at_once() -> None:
    assert Script().plan(maps=0) == [
        AnnouncePhase("map"),
        AnnouncePhase("promote"),
        PromoteOutput(),
    ]


def test_counts_and_winners_are_told_in_task_order() -> None:
    run = Script()
    run.plan(maps=3, reduces=1)
    run.join("a", "b", want=1)
    run.finish("b", attempt(1))
    counts = run.scheduler.state.counts("map")
    assert (counts.tasks, counts.committed, counts.running, counts.workers) == (3, 1, 1, 2)
    run.finish("a", attempt(0))
    assert run.scheduler.state.committed_attempts("map") == [attempt(0), attempt(1)]
    assert run.scheduler.state.committed_attempt(TaskId("map", 1)) == attempt(1)
    assert run.scheduler.state.committed_attempt(TaskId("map", 2)) is None
    assert run.scheduler.state.attempts_made == 2
    assert run.scheduler.state.live_workers == 2


@pytest.mark.parametrize(
    ("event", "fields", "error"),
    [
        (CancelRequested, ("Ctrl-C",), Cancelled),
        (StoreFailed, ("the disk is full",), StorageError),
        (CommitSettled, (attempt(1), None), StorageError),
    ],
)
def test_an_early_end_abandons_what_runs(
    event: type, fields: tuple[object, ...], error: type[GomrError]
) -> None:
    run = Script()
    run.plan(maps=3, reduces=1)
    run.join("a", "b", want=1)
    run.succeed("b", attempt(1))
    *abandoned, end = run.tell(event, *fields)
    assert [(c.worker, c.attempt) for c in only(AbandonAttempt, abandoned)] == [("a", attempt(0))]
    assert isinstance(end, FinishRun)
    assert isinstance(end.error, error)
    assert run.settle(attempt(1)) == run.want("b") == run.tick(1000) == run.join("c") == []


@pytest.mark.parametrize("phase", ["wait", "map", "seal", "promote"])
def test_the_deadline_ends_the_run_in_any_phase(phase: str) -> None:
    run = Script(deadline=50.0)
    run.join("w", want=1)
    if phase != "wait":
        run.plan(maps=1 if phase == "map" else 0, reduces=int(phase == "seal"))
    assert run.scheduler.state.phase.value == phase
    run.tick(49.9, alive=("w",))
    assert run.scheduler.state.phase.value == phase
    end = run.tick(0.1)[-1]
    assert isinstance(end, FinishRun)
    assert isinstance(end.error, DeadlineExceeded)


def test_U13_a_master_that_starts_after_the_deadline_makes_no_output() -> None:
    """Everything was committed by masters before it; the clock has not ticked yet."""
    run = Script(deadline=50.0)
    run.now = 60.0
    run.tell(CommitRecovered, attempt(0))
    out = run.plan(maps=1)
    assert not only(PromoteOutput, out)
    end = out[-1]
    assert isinstance(end, FinishRun)
    assert isinstance(end.error, DeadlineExceeded)


def test_a_run_without_workers_ends_and_says_why() -> None:
    run = Script(no_worker_timeout=120)
    run.plan(maps=1)
    assert run.tick(119) == []
    end = run.tick(1)[-1]
    assert isinstance(end, FinishRun)
    assert isinstance(end.error, EnvironmentFailed)
    assert "no worker for 120 s in phase map (none ever came)" in str(end.error)


def test_the_wait_for_workers_begins_anew_when_the_last_one_goes() -> None:
    run = Script(no_worker_timeout=120)
    run.plan(maps=1)
    run.tick(100)
    run.join("w", want=1)
    run.leave("w")
    assert run.tick(119) == []
    (end,) = run.tick(1)
    assert isinstance(end, FinishRun)
    assert "w left: drained" in str(end.error)


def test_nobody_is_needed_to_seal_promote_or_commit() -> None:
    run = Script(no_worker_timeout=120)
    run.plan(maps=1)
    run.join("w", want=1)
    run.succeed("w", attempt(0))
    run.leave("w")
    assert run.tick(1000) == []
    assert run.settle(attempt(0))[-1] == PromoteOutput()
    assert run.tick(1000) == []


def test_a_recovered_plan_runs_only_what_is_missing() -> None:
    run = Script(first_attempt=1001)
    run.tell(CommitRecovered, attempt(0, 3))
    run.plan(maps=3, reduces=1)
    run.tell(CommitRecovered, attempt(2, 1))
    assert started(run.join("w", want=5)) == [("w", "map-1/1001")]
    run.finish("w", attempt(1, 1001))
    winners = [attempt(0, 3), attempt(1, 1001), attempt(2, 1)]
    assert run.scheduler.state.committed_attempts("map") == winners


def test_a_wholly_recovered_run_is_only_promoted() -> None:
    run = Script()
    for kind in ("map", "reduce"):
        run.tell(CommitRecovered, attempt(0, 1, kind))
    assert run.plan(maps=1, reduces=1) == [AnnouncePhase("map"), SealMaps()]
    assert run.tell(MapsSealed)[-1] == PromoteOutput()


def test_a_commit_recovered_late_stops_the_attempt_that_runs() -> None:
    run = Script(first_attempt=10)
    run.plan(maps=2)
    run.join("w", want=1)
    out = run.tell(CommitRecovered, attempt(0, 4))
    assert [(c.worker, c.attempt) for c in only(AbandonAttempt, out)] == [("w", attempt(0, 10))]
    assert run.tell(CommitRecovered, attempt(0, 4)) == []
    assert run.scheduler.state.committed_attempt(TaskId("map", 0)) == attempt(0, 4)


def test_a_recovered_reduce_leaves_the_map_of_that_index_pending() -> None:
    run = Script(first_attempt=10)
    run.plan(maps=1, reduces=1)
    run.join("a", want=1)
    run.join("b")
    run.fail("a", attempt(0, 10))
    run.tell(CommitRecovered, attempt(0, 1, "reduce"))
    assert started(run.want("b")) == [("b", "map-0/11")]


def test_attempt_numbers_go_on_above_a_recovered_one() -> None:
    run = Script()
    run.plan(maps=1)
    run.join("w", want=1)
    run.succeed("w", attempt(0))
    run.settle(attempt(0), winner=attempt(0, 7))
    assert run.scheduler.state.committed_attempts("map") == [attempt(0, 7)]
    assert run.scheduler.state.tasks["map"][0].next_number == 8


@pytest.mark.parametrize(
    "misuse",
    [
        lambda run: run.plan(maps=1),
        lambda run: run.tell(MapsSealed),
        lambda run: run.tell(OutputPromoted),
        lambda run: run.settle(attempt(0)),
        lambda run: run.settle(attempt(7)),
        lambda run: run.tell(CommitRecovered, attempt(7)),
    ],
)
def test_an_event_out_of_turn_is_one_typed_error(misuse: object) -> None:
    run = Script()
    run.plan(maps=2)
    run.join("w", want=1)
    with pytest.raises(InvalidTransition):
        misuse(run)  # type: ignore[operator]


def test_an_invalid_transition_tells_the_history_of_the_task() -> None:
    run = Script()
    run.plan(maps=1)
    run.join("a", "b", want=1)
    run.fail("a", attempt(0), message="no luck")
    run.finish("b", attempt(0, 2))
    with pytest.raises(InvalidTransition) as caught:
        run.scheduler.handle(CommitSettled(run.now, attempt(0, 2), attempt(0, 2)))
    assert caught.value.history == (
        "map-0 is committed",
        "map-0/1 on a, started at 0.000, failed at 0.000: no luck",
        "map-0/2 on b, started at 0.000, committed at 0.000",
    )


def test_a_commit_of_another_task_is_refused() -> None:
    run = Script()
    run.plan(maps=2)
    run.join("w", want=2)
    run.succeed("w", attempt(0))
    with pytest.raises(InvalidTransition):
        run.settle(attempt(0), winner=attempt(1))


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(TaskState, Trigger)))
def test_task_table(state: TaskState, trigger: Trigger) -> None:
    task = Task(TaskId("map", 0), 1, state=state)
    if (state, trigger) in TASKS:
        assert task_after(task, trigger) is TASKS[state, trigger]
        assert state is not TaskState.COMMITTED or trigger is Trigger.DAMAGED
    else:
        with pytest.raises(InvalidTransition, match=f"map-0 is {state.value}"):
            task_after(task, trigger)


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(AttemptState, Trigger)))
def test_attempt_table(state: AttemptState, trigger: Trigger) -> None:
    task = Task(TaskId("map", 0), 2)
    task.attempts.append(Attempt(attempt(0), "w", state, 1.0))
    if (state, trigger) in ATTEMPTS:
        assert attempt_after(task.attempts[0], trigger, task) is ATTEMPTS[state, trigger]
        open_states = (AttemptState.RUNNING, AttemptState.SUCCEEDED)
        assert state in open_states or (state, trigger) == (
            AttemptState.COMMITTED, Trigger.DAMAGED,
        )  # fmt: skip
    else:
        with pytest.raises(InvalidTransition) as caught:
            attempt_after(task.attempts[0], trigger, task)
        assert len(caught.value.history) == 2


@pytest.mark.parametrize(("phase", "trigger"), list(itertools.product(Phase, Trigger)))
def test_phase_table_goes_forward_or_back_to_damaged_maps(phase: Phase, trigger: Trigger) -> None:
    order = list(Phase)
    if (phase, trigger) in PHASES:
        after = phase_after(phase, trigger)
        forward = order.index(after) > order.index(phase)
        assert forward is (trigger is not Trigger.DAMAGED)
        assert forward or after is Phase.MAP
    else:
        with pytest.raises(InvalidTransition, match=f"the run is {phase.value}"):
            phase_after(phase, trigger)


@pytest.mark.parametrize("name", ["lease", "max_attempts", "max_lost", "first_attempt"])
def test_a_senseless_configuration_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        SchedulerConfig(**{name: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["sample", "map", "reduce"])
def test_counts_are_zero_before_the_plan(kind: TaskKind) -> None:
    assert Script().scheduler.state.counts(kind).tasks == 0
