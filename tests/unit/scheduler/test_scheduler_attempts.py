"""Who runs what, what happens to failures, and which attempt wins."""

from __future__ import annotations

from typing import Any

import pytest

from gomr_runtime.errors import (
    CorruptBlock,
    DataError,
    EnvironmentFailed,
    GomrError,
    JobFailed,
    RecordFailed,
    StorageError,
)
from gomr_runtime.scheduler.commands import (
    AbandonAttempt,
    Command,
    CommitAttempt,
    FinishRun,
    StartAttempt,
)
from gomr_runtime.scheduler.events import AttemptProgressed
from gomr_runtime.scheduler.state import AttemptState
from tests.unit.support.scheduler_script import Script, attempt, only, started


def mapping(maps: int, *workers: str, want: int = 1, **config: Any) -> Script:
    """A map-only run in which each worker has asked for `want` tasks."""
    run = Script(**config)
    run.plan(maps)
    run.join(*workers, want=want)
    return run


def error_of(commands: list[Command]) -> GomrError:
    (end,) = only(FinishRun, commands)
    assert end.error is not None
    return end.error


def test_tasks_go_in_index_order_to_workers_in_order_of_asking() -> None:
    run = Script()
    run.join("a", "b", "c")
    for worker in ("c", "a", "b"):
        run.want(worker, 2 if worker == "c" else 1)
    assert started(run.plan(maps=9)) == [
        ("c", "map-0/1"),
        ("a", "map-1/1"),
        ("b", "map-2/1"),
        ("c", "map-3/1"),
    ]


def test_asking_again_replaces_the_credit_and_keeps_the_place() -> None:
    run = Script()
    run.join("a", "b", want=3)
    run.want("a", 1)
    assert [worker for worker, _ in started(run.plan(maps=9))] == ["a", "b", "b", "b"]
    run.want("a", 5)
    run.want("a", 0)
    assert started(run.fail("b", attempt(1))) == []


def test_a_new_runnable_task_goes_at_once_to_a_waiting_worker() -> None:
    run = mapping(1, "a", "b")
    assert started(run.leave("a")) == [("b", "map-0/2")]


def test_a_retry_waits_for_another_worker() -> None:
    run = mapping(1, "a")
    run.join("b")
    run.want("a")
    assert started(run.fail("a", attempt(0))) == []
    assert started(run.want("a")) == []
    assert started(run.want("b")) == [("b", "map-0/2")]


def test_a_retry_comes_back_when_nobody_else_is_left() -> None:
    run = mapping(1, "a")
    assert started(run.fail("a", attempt(0))) == []
    assert started(run.want("a")) == [("a", "map-0/2")]


def test_a_waiting_retry_comes_back_when_the_other_worker_leaves() -> None:
    run = mapping(1, "a")
    run.join("b")
    run.want("a")
    run.fail("a", attempt(0))
    assert started(run.leave("b")) == [("a", "map-0/2")]


def test_a_retry_that_failed_everywhere_goes_anywhere() -> None:
    run = mapping(1, "a", "b")
    run.fail("a", attempt(0))
    run.fail("b", attempt(0, 2))
    assert started(run.want("b")) == [("b", "map-0/3")]


def test_a_blocked_retry_does_not_hold_up_the_rest() -> None:
    run = mapping(3, "a", "b")
    run.fail("a", attempt(0))
    assert started(run.want("a")) == [("a", "map-2/1")]
    assert started(run.want("b")) == [("b", "map-0/2")]


def test_a_retry_goes_before_later_tasks() -> None:
    run = mapping(9, "a", "b")
    run.fail("b", attempt(1))
    assert started(run.want("a", 2)) == [("a", "map-1/2"), ("a", "map-2/1")]


@pytest.mark.parametrize(
    ("why", "error", "exit_code"),
    [
        ({"kind": "user", "record": 17}, RecordFailed, 1),
        ({"kind": "user"}, JobFailed, 1),
        ({"kind": "data"}, DataError, 1),
        ({"kind": "crash", "record": 0}, RecordFailed, 1),
        ({"kind": "memory"}, JobFailed, 1),
        ({"kind": "corrupt"}, CorruptBlock, 3),
        ({"kind": "storage"}, StorageError, 3),
        ({"kind": "worker"}, EnvironmentFailed, 3),
    ],
)
def test_a_failure_that_no_retry_can_help_ends_the_run(
    why: dict[str, Any], error: type[GomrError], exit_code: int
) -> None:
    run = mapping(2, "a", "b")
    caught = error_of(run.fail("b", attempt(1), message="oh no", detail="at x", retry=False, **why))
    assert type(caught) is error
    assert (caught.exit_code, str(caught), caught.detail) == (exit_code, "map-1: oh no", "at x")


def test_a_message_that_names_its_task_is_left_alone() -> None:
    run = mapping(1, "a")
    message = "pages.txt at byte 9, map-0: ValueError: bad"
    assert str(error_of(run.fail("a", attempt(0), message=message, retry=False))) == message


def fail_until_the_end(run: Script, limit: int, **why: Any) -> tuple[GomrError, int]:
    """Let the one worker fail its one task again and again; the error and how often it took."""
    for number in range(1, limit + 1):
        out = run.fail("a", attempt(0, number), **why)
        if only(FinishRun, out):
            return error_of(out), number
        run.want("a")
    raise AssertionError(f"{limit} failures and no end")


def test_attempts_run_out() -> None:
    error, times = fail_until_the_end(mapping(1, "a"), 9, kind="crash", message="signal 11")
    assert times == 4
    assert str(error) == "map-0: signal 11 (4 attempts failed)"
    assert isinstance(error, JobFailed)


def test_a_hang_is_retried_once() -> None:
    assert fail_until_the_end(mapping(1, "a"), 9, kind="timeout")[1] == 2


@pytest.mark.parametrize("kind", ["worker", "storage"])
def test_what_is_not_the_tasks_fault_has_a_budget_of_its_own(kind: str) -> None:
    run = mapping(1, "a", max_lost=6)
    run.fail("a", attempt(0), kind="crash")
    run.want("a")
    for number in range(2, 7):
        assert not only(FinishRun, run.fail("a", attempt(0, number), kind=kind))
        run.want("a")
    error = error_of(run.fail("a", attempt(0, 7), kind=kind))
    assert isinstance(error, EnvironmentFailed)
    assert run.scheduler.state.tasks["map"][0].failures == 1


def test_lost_workers_have_the_same_budget() -> None:
    run = Script(max_lost=3)
    run.plan(maps=1)
    for number in range(1, 4):
        run.join(f"w{number}", want=1)
        out = run.leave(f"w{number}")
    error = error_of(out)
    assert isinstance(error, EnvironmentFailed)
    assert "map-0: 3 attempts lost with their workers" in str(error)
    assert error.detail.count("lost at") == 3


def test_a_record_that_kills_two_children_is_set_aside_uncharged() -> None:
    run = mapping(1, "a", skip_bad_records=1, max_attempts=2)
    run.fail("a", attempt(0), kind="crash", record=5)
    assert run.want("a") == [StartAttempt("a", attempt(0, 2))]
    run.fail("a", attempt(0, 2), kind="crash", record=5)
    assert run.want("a") == [StartAttempt("a", attempt(0, 3), skipped=(5,))]
    assert run.scheduler.state.tasks["map"][0].failures == 0
    assert not only(FinishRun, run.fail("a", attempt(0, 3), kind="crash"))
    run.want("a")
    assert run.finish("a", attempt(0, 4))


def test_more_bad_records_than_allowed_end_the_run() -> None:
    run = mapping(1, "a", skip_bad_records=1)
    for number, record in enumerate((5, 5, 9), 1):
        assert not only(FinishRun, run.fail("a", attempt(0, number), kind="crash", record=record))
        run.want("a")
    error = error_of(run.fail("a", attempt(0, 4), kind="crash", record=9, message="signal 11"))
    assert isinstance(error, JobFailed)
    assert "more than 1 bad records" in str(error)
    assert error.detail.splitlines()[1] == "map-0 record 9: signal 11"


def straggling(**config: Any) -> Script:
    """Ten maps on ten workers, nine committed after 1 s each, `slow` still at map-9."""
    workers = (*(f"w{index}" for index in range(9)), "slow")
    run = mapping(10, *workers, **config)
    run.now = 1.0
    for index in range(9):
        run.finish(f"w{index}", attempt(index))
    return run


def tick_all(run: Script, seconds: float) -> list[Command]:
    return run.tick(seconds, alive=tuple(run.scheduler.state.workers))


def test_a_straggler_gets_one_backup_on_another_worker() -> None:
    run = straggling()
    run.want("slow", 1)
    run.want("w0", 2)
    assert tick_all(run, 28.9) == []
    assert started(tick_all(run, 0.2)) == [("w0", "map-9/2")]
    run.want("w1")
    assert started(tick_all(run, 100)) == []


def test_the_floor_and_the_median_decide_what_is_slow() -> None:
    run = straggling(backup_floor=2.0)
    run.want("w0")
    assert tick_all(run, 1.9) == []
    assert started(tick_all(run, 0.2)) == [("w0", "map-9/2")]


def test_backups_can_be_switched_off() -> None:
    run = straggling(backups=False)
    run.want("w0")
    assert tick_all(run, 1000) == []


def test_no_backup_while_much_remains() -> None:
    run = mapping(10, "a", *(f"w{index}" for index in range(9)))
    run.now = 1.0
    for index in range(1, 6):
        run.finish(f"w{index - 1}", attempt(index))
    run.want("w0", 2)  # 5 of 10 committed, 5 remain, 2 slots idle
    assert started(tick_all(run, 100)) == []
    run.want("w1", 4)
    assert len(started(tick_all(run, 1))) == 1  # 10 % of 5, but at least one


def test_the_least_advanced_straggler_comes_first() -> None:
    run = mapping(4, "a", "b", "c", "d")
    run.now = 1.0
    run.finish("a", attempt(0))
    run.finish("b", attempt(1))
    run.tell(AttemptProgressed, "c", attempt(2), 0.9)
    run.tell(AttemptProgressed, "d", attempt(3), 0.2)
    run.tell(AttemptProgressed, "d", attempt(3), 0.1)
    run.want("a", 4)
    assert started(tick_all(run, 100)) == [("a", "map-3/2")]


def with_backup() -> Script:
    run = straggling()
    run.want("w0")
    assert started(tick_all(run, 60)) == [("w0", "map-9/2")]
    return run


def test_the_first_success_commits_and_the_other_attempt_is_abandoned() -> None:
    run = with_backup()
    assert run.succeed("w0", attempt(9, 2)) == [CommitAttempt(attempt(9, 2))]
    out = run.settle(attempt(9, 2))
    assert [(c.worker, c.attempt) for c in only(AbandonAttempt, out)] == [("slow", attempt(9))]
    assert run.scheduler.state.tasks["map"][9].attempts[0].state is AttemptState.SUPERSEDED


def test_a_second_success_waits_and_loses() -> None:
    run = with_backup()
    run.succeed("slow", attempt(9))
    assert run.succeed("w0", attempt(9, 2)) == []
    assert not only(AbandonAttempt, run.settle(attempt(9)))
    states = [known.state for known in run.scheduler.state.tasks["map"][9].attempts]
    assert states == [AttemptState.COMMITTED, AttemptState.SUPERSEDED]


def test_the_store_decides_who_won() -> None:
    run = with_backup()
    run.succeed("slow", attempt(9))
    run.succeed("w0", attempt(9, 2))
    run.settle(attempt(9), winner=attempt(9, 2))
    states = [known.state for known in run.scheduler.state.tasks["map"][9].attempts]
    assert states == [AttemptState.SUPERSEDED, AttemptState.COMMITTED]


def test_a_failure_beside_a_running_backup_makes_no_third_attempt() -> None:
    run = with_backup()
    run.want("w1")
    assert started(run.fail("slow", attempt(9))) == []
    run.finish("w0", attempt(9, 2))
    assert run.scheduler.state.phase.value == "promote"


def test_a_failure_after_the_success_of_another_does_not_matter() -> None:
    run = with_backup()
    run.succeed("w0", attempt(9, 2))
    assert run.fail("slow", attempt(9), retry=False) == []
    run.settle(attempt(9, 2))
    assert run.scheduler.state.phase.value == "promote"
