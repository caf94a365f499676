"""Leases, lost workers, stale messages and workers that only fail."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

import gomr_runtime.scheduler
from gomr_runtime.scheduler.commands import AbandonAttempt, Command, ExpireWorker
from gomr_runtime.scheduler.events import AttemptProgressed, AttemptSucceeded, Tick, WorkerJoined
from gomr_runtime.scheduler.machine import Scheduler
from gomr_runtime.scheduler.state import AttemptState, SchedulerConfig
from tests.simulation.invariants import InvariantViolated, check
from tests.unit.support.scheduler_script import Script, attempt, only, started


def running(*workers: str, maps: int = 9) -> Script:
    """A map-only run in which worker i runs map-i."""
    run = Script()
    run.plan(maps)
    run.join(*workers, want=1)
    return run


def test_a_silent_worker_is_lost_and_its_task_runs_elsewhere() -> None:
    run = running("a", "b", maps=2)
    run.want("b", 1)
    assert run.tick(10.0, alive=("b",)) == []
    run.want("b", 1)
    out = run.tick(0.1, alive=("b",))
    assert [command.worker for command in only(ExpireWorker, out)] == ["a"]
    assert started(out) == [("b", "map-0/2")]
    assert (run.scheduler.state.lost_workers, run.scheduler.state.live_workers) == (1, 1)
    assert run.scheduler.state.tasks["map"][0].failures == 0


@pytest.mark.parametrize(
    "sign",
    [
        lambda run: run.hear("a", attempt(0)),
        lambda run: run.want("a", 0),
        lambda run: run.tell(AttemptProgressed, "a", attempt(0), 0.5),
        lambda run: run.join("a"),
    ],
)
def test_any_sign_of_life_renews_the_lease(sign: Callable[[Script], list[Command]]) -> None:
    run = running("a")
    run.now = 9.0
    assert sign(run) == []
    assert run.tick(9.0) == []
    assert run.tick(1.1) != []


def test_committed_tasks_survive_their_worker() -> None:
    run = running("a", "b", maps=2)
    run.finish("a", attempt(0))
    run.leave("a")
    assert started(run.want("b")) == []
    assert run.scheduler.state.committed_attempts("map") == [attempt(0)]


def test_a_commit_survives_its_worker() -> None:
    run = running("a", "b", maps=2)
    run.succeed("a", attempt(0))
    assert run.leave("a") == []
    assert started(run.want("b")) == []
    run.settle(attempt(0))
    assert run.scheduler.state.committed_attempts("map") == [attempt(0)]


@pytest.mark.parametrize(
    "late",
    [
        lambda run: run.succeed("a", attempt(0)),
        lambda run: run.fail("a", attempt(0)),
        lambda run: run.hear("a", attempt(0)),
        lambda run: run.want("a"),
        lambda run: run.join("a"),
        lambda run: run.tell(AttemptProgressed, "a", attempt(0), 0.5),
        lambda run: run.want("never seen"),
    ],
)
def test_a_worker_that_was_lost_is_refused(late: Callable[[Script], list[Command]]) -> None:
    run = running("a", "b", maps=2)
    run.tick(10.1, alive=("b",))
    (refused,) = late(run)
    assert isinstance(refused, ExpireWorker)
    assert run.scheduler.state.stale == 1
    assert not run.scheduler.state.committed_attempts("map")
    assert started(run.want("b")) == [("b", "map-0/2")]


def test_leaving_twice_is_leaving_once() -> None:
    run = running("a")
    assert run.leave("a") == run.leave("a") == []
    assert (run.scheduler.state.lost_workers, run.scheduler.state.stale) == (1, 1)


def test_an_attempt_that_its_worker_does_not_know_twice_is_lost() -> None:
    run = running("a", "b", maps=2)
    assert run.hear("a") == []
    assert run.hear("a", attempt(0)) == []
    assert run.hear("a") == []
    run.want("b")
    assert started(run.hear("a")) == [("b", "map-0/2")]
    assert run.scheduler.state.tasks["map"][0].attempts[0].state is AttemptState.LOST


def test_a_worker_is_told_to_drop_what_it_should_not_run() -> None:
    run = running("a", "b")
    stranger = attempt(5, 3)
    out = run.hear("a", attempt(0), attempt(1), stranger)
    assert [(c.worker, c.attempt) for c in only(AbandonAttempt, out)] == [
        ("a", attempt(1)),
        ("a", stranger),
    ]
    assert run.scheduler.state.stale == 2


@pytest.mark.parametrize(
    "reported", [attempt(1), attempt(0, 2), attempt(99), attempt(0, 1, "reduce")]
)
def test_a_success_that_is_not_the_workers_own_is_refused(reported: object) -> None:
    run = running("a", "b", maps=2)
    out = run.tell(AttemptSucceeded, "a", reported)
    assert [type(command) for command in out] == [AbandonAttempt]
    assert run.scheduler.state.counts("map").running == 2


@pytest.mark.parametrize("settled", [False, True])
def test_a_repeated_report_changes_nothing_and_keeps_the_data(settled: bool) -> None:
    run = running("a", maps=2)
    run.succeed("a", attempt(0))
    if settled:
        run.settle(attempt(0))
    again: list[Command] = run.succeed("a", attempt(0))
    again += run.fail("a", attempt(0)) + run.hear("a", attempt(0))
    assert again == []
    assert run.scheduler.state.stale == 3


def sick(*others: str) -> Script:
    """`sick` has failed map-0, map-1 and map-2 in a row, and asks for more."""
    run = Script()
    run.plan(maps=9)
    run.join(*others)
    run.join("sick", want=3)
    for index in range(3):
        run.fail("sick", attempt(index), kind="worker")
    return run


def test_a_worker_that_only_fails_gets_nothing_more() -> None:
    run = sick("well")
    assert run.want("sick", 3) == []
    assert started(run.want("well", 3)) == [("well", f"map-{index}/2") for index in range(3)]
    run.finish("well", attempt(0, 2))
    assert run.tick(1.0) == []
    assert run.scheduler.state.workers["sick"].credit == 3


def test_the_last_worker_goes_on_though_it_only_fails() -> None:
    run = sick("well")
    run.want("sick", 1)
    assert started(run.leave("well")) == [("sick", "map-0/2")]
    run.want("sick", 1)
    run.join("new")
    assert started(run.fail("sick", attempt(0, 2), kind="worker")) == []
    assert started(run.want("new")) == [("new", "map-0/3")]


def test_a_success_clears_a_worker() -> None:
    run = Script()
    run.plan(maps=9)
    run.join("other")
    run.join("flaky", want=4)
    for index in range(2):
        run.fail("flaky", attempt(index))
    run.finish("flaky", attempt(2))
    run.fail("flaky", attempt(3))
    assert started(run.want("flaky")) == [("flaky", "map-4/1")]


def test_failing_one_task_again_and_again_is_the_tasks_fault() -> None:
    run = Script(max_lost=9)
    run.plan(maps=9)
    run.join("a", want=1)
    for number in range(1, 5):
        run.fail("a", attempt(0, number), kind="worker")
        run.want("a")
    assert run.scheduler.state.workers["a"].healthy


def test_the_checks_notice_a_scheduler_that_contradicts_itself() -> None:
    run = running("a", "b", maps=2)
    task = run.scheduler.state.tasks["map"][0]
    task.live = 2
    with pytest.raises(InvariantViolated, match="map-0") as caught:
        check(run.scheduler)
    assert "map-0/1 on a" in caught.value.detail
    task.live = 1
    del run.scheduler.state.workers["a"]
    with pytest.raises(InvariantViolated, match="runs on a, which is gone"):
        check(run.scheduler)


def test_the_watch_notices_another_winner() -> None:
    run = running("a", maps=2)
    run.finish("a", attempt(0))
    task = run.scheduler.state.tasks["map"][0]
    assert task.committed is not None
    task.committed.id, task.next_number = attempt(0, 9), 10
    with pytest.raises(InvariantViolated, match="winner changed"):
        run.tick()


def test_the_clock_never_goes_back() -> None:
    scheduler = Scheduler(SchedulerConfig())
    scheduler.handle(WorkerJoined(100.0, "a"))
    scheduler.handle(Tick(50.0))
    assert scheduler.state.now == 100.0
    assert scheduler.handle(Tick(109.0)) == []


@pytest.mark.parametrize(
    "path",
    sorted(Path(gomr_runtime.scheduler.__path__[0]).glob("*.py")),
    ids=lambda path: path.stem,
)
def test_the_scheduler_imports_no_io_no_clock_and_no_chance(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    pure = {"__future__", "bisect", "collections", "collections.abc", "dataclasses", "enum"}
    pure |= {
        "heapq",
        "typing",
        "gomr_runtime.errors",
        "gomr_runtime.model.ids",
        "gomr_runtime.model.job",
        "gomr_runtime.model.summary",
        "gomr_runtime.model.task",
    }
    ours = "gomr_runtime.scheduler"
    assert {n for n in names - pure if n != ours and not n.startswith(f"{ours}.")} == set()


def test_failures_are_counted_for_watchers() -> None:
    run = running("a", "b", maps=2)
    run.fail("a", attempt(0))
    assert run.scheduler.state.counts("map").failed_attempts == 1
