"""Defects of the system that GoMR comes from, in its scheduling: each is found when it is put in,
and what it broke holds without it. (Those of its data plane are in tests/unit and tests/process.)
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulation.hunt import hunt, seeds_known
from tests.simulation.run import attempt
from tests.simulation.simulated.world import World
from tests.simulation.swarm import Plan

MANY = Plan(maps=9, reduces=3, sample=False, workers=2, slots=1)


def finished(plan: Plan, seed: int = 1) -> World:
    world = World(seed, plan)
    world.run()
    return world


@pytest.mark.parametrize(
    "name",
    ["B1_outputs_are_not_kept_apart_by_task", "B1_outputs_are_not_kept_apart_by_attempt"],
)
def test_B1_map_outputs_are_kept_apart_by_task_and_attempt(name: str) -> None:
    """They were stored by worker: with more mappers than workers each overwrote the last."""
    assert hunt(name, range(20)) is not None
    world = finished(MANY)
    assert world.error is None
    outputs = {key for key in world.server.objects if "/data/map-" in key}
    assert len(outputs) == MANY.maps > MANY.workers


def test_B2_reducers_read_one_output_of_each_map() -> None:
    """They listed whatever was there, so a task issued twice counted twice."""
    name = "B2_reducers_read_every_output_that_was_reported"
    assert hunt(name, [seeds_known()[name]]) is not None
    twice = 0
    for seed in range(40):  # slow workers are given up, and their maps run elsewhere too
        world = finished(replace(MANY, pause=0.1, heal=1000.0), seed)
        assert world.error is None
        outputs = [key for key in world.server.objects if "/data/map-" in key]
        twice += len(outputs) > MANY.maps
    assert twice > 5


def test_B3_a_busy_worker_gets_no_second_task() -> None:
    """It counted as free after ten seconds, and the second task wrote over the first's memory."""
    assert hunt("B3_busy_workers_count_as_free", range(20)) is not None
    world = finished(replace(MANY, workers=1, slow=15.0))
    assert world.error is None
    (starts,) = world.oracle.all_starts()
    assert set(starts.values()) == {1}


def test_B4_a_late_report_of_an_earlier_attempt_does_not_count() -> None:
    """Reports had no attempt: whoever spoke first of a task ended it."""
    assert hunt("B4_reports_are_matched_by_their_task_alone", range(20)) is not None
    stale = 0
    for seed in range(40):
        world = finished(replace(MANY, pause=0.1, duplicate=0.2, heal=1000.0), seed)
        assert world.error is None
        stale += sum(m.core.stale + m.core.scheduler.state.stale for m in world.masters if m.core)
    assert stale > 40


def test_B5_a_hung_worker_stalls_nobody() -> None:
    """The master held its one lock while it waited for a worker, and waited without an end."""
    assert hunt("B5_a_hung_worker_holds_its_tasks", range(20)) is not None
    world = World(1, MANY)

    def hang() -> None:
        assert world.workers[0] is not None
        world.workers[0].stop(10_000.0)

    world.kernel.after(2.0, hang)
    assert world.run() is None
    assert world.kernel.now < 80


def test_B7_nothing_is_committed_that_was_not_stored() -> None:
    """Upload errors were ignored and the task reported as done."""
    name = "B7_upload_errors_are_ignored"
    seed = seeds_known()[name]
    assert hunt(name, [seed, *range(1000)]) is not None
    assert attempt(seed) is None


def test_B10_a_task_has_so_many_attempts_and_no_more() -> None:
    """A task that failed was issued for ever, and nobody was told."""
    assert hunt("B10_attempts_without_bound", range(200)) is not None
    world = finished(replace(MANY, poison=4))
    assert world.error is not None
    assert world.error.exit_code == 1
    assert "map-4" in str(world.error)
    (starts,) = world.oracle.all_starts()
    assert max(starts.values()) == 4
