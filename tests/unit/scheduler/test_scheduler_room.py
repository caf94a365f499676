"""What workers have room for: said once more with each heartbeat, so that no loss lasts."""

from __future__ import annotations

import pytest

from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.scheduler.commands import FinishRun
from gomr_runtime.scheduler.events import PlanningBegan, TaskWanted, WorkerHeard
from tests.unit.support.scheduler_script import Script, attempt, only, started


def planned(maps: int = 9) -> Script:
    run = Script()
    run.plan(maps)
    run.join("a")
    return run


def test_a_request_that_was_lost_is_made_up_by_the_next_heartbeat() -> None:
    run = planned()
    assert started(run.tell(WorkerHeard, "a", (), 2)) == [("a", "map-0/1"), ("a", "map-1/1")]


def test_a_slot_whose_attempt_never_arrived_is_offered_again() -> None:
    run = planned(1)
    assert started(run.want("a")) == [("a", "map-0/1")]
    assert started(run.tell(WorkerHeard, "a", (), 1)) == []
    assert started(run.tell(WorkerHeard, "a", (), 1)) == [("a", "map-0/2")]
    assert run.scheduler.state.tasks["map"][0].lost == 1


@pytest.mark.parametrize("kind", [WorkerHeard, TaskWanted])
def test_what_is_on_its_way_to_a_worker_takes_of_the_room_that_it_told_of(
    kind: type[WorkerHeard | TaskWanted],
) -> None:
    run = planned()
    run.want("a")

    def says(running: tuple[object, ...], room: int) -> list[tuple[str, str]]:
        fields = (running, room) if kind is WorkerHeard else (room, running)
        return started(run.tell(kind, "a", *fields))

    assert says((), 1) == []
    assert says((attempt(0),), 0) == []
    assert says((attempt(0),), 1) == [("a", "map-1/1")]
    assert says((attempt(0),), 2) == [("a", "map-2/1")]
    assert says((attempt(0), attempt(1), attempt(2)), 0) == []


def test_workers_that_say_nothing_of_their_room_keep_what_they_asked_for() -> None:
    run = planned(2)
    assert started(run.want("a", 1)) == [("a", "map-0/1")]
    assert started(run.hear("a", attempt(0))) == []
    assert started(run.want("a", 1)) == [("a", "map-1/1")]


def test_a_run_that_is_still_planned_is_not_deserted() -> None:
    """Its worker waits to be let in, however long it takes to store what the tasks need."""
    run = Script(no_worker_timeout=100.0)
    run.tick()
    run.tell(PlanningBegan)
    assert run.tick(500.0) == []
    run.plan(1)
    assert run.tick(99.0) == []
    (end,) = only(FinishRun, run.tick(2.0))
    assert isinstance(end.error, EnvironmentFailed)
    assert "no worker for 100 s in phase map (none ever came)" in str(end.error)
