"""One fault at each moment of a run in turn: whatever the moment, the output is the same.

The names are the rows of docs/faults.md. What must never happen is checked by the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import pytest

from gomr_runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    EnvironmentFailed,
    StorageError,
)
from gomr_runtime.model import layout
from tests.simulation.simulated.data import RUN
from tests.simulation.simulated.world import World
from tests.simulation.swarm import LEASE, Plan

BASE = Plan(maps=3, reduces=2, sample=True, workers=2, slots=1)
TASKS = 6
Act = Callable[[World], object]


def finished(plan: Plan = BASE, script: Callable[[World, str, int], object] | None = None) -> World:
    world = World(1, plan, script=script)
    world.run()
    return world


@cache
def size_of(kind: str) -> int:
    """How many events, or requests, the run has when nothing happens to it."""
    world = finished()
    return world.events if kind == "event" else world.server.requests


def each(kind: str, act: Act, plan: Plan = BASE) -> Iterator[World]:
    """The finished run with `act` at its first event or request, then at its second, ..."""
    for moment in range(1, size_of(kind) + 1):

        def script(world: World, what: str, count: int, moment: int = moment) -> object:
            return act(world) if (what, count) == (kind, moment) else None

        yield finished(plan, script)


def masters_die(world: World) -> None:
    for master in world.masters:
        world.kill_master(master)


def first_worker_dies(world: World) -> None:
    if world.workers[0] is not None:
        world.lose_worker(world.workers[0])


def first_worker_stops(world: World) -> None:
    if world.workers[0] is not None:
        world.workers[0].stop(2.5 * LEASE)


def attempts_of(world: World) -> int:
    return sum(sum(starts.values()) for starts in world.oracle.all_starts())


def has_output(world: World) -> bool:
    return layout.success(RUN) in world.server.objects


def test_M1_master_killed_after_any_event_before_its_effects() -> None:
    for world in each("event", masters_die):
        assert world.error is None
        # Only what was not committed when it died runs again: two workers, each with a task and
        # one that it had just reported.
        assert attempts_of(world) <= TASKS + 4


def test_M1_master_killed_after_any_request_to_the_store() -> None:
    for world in each("request", masters_die):
        assert world.error is None
        assert attempts_of(world) <= TASKS + 4


def test_M1_master_killed_before_any_request_to_the_store() -> None:
    def act(world: World) -> bool:
        masters_die(world)
        return False

    assert all(world.error is None for world in each("request", act))


def test_M1_masters_killed_again_and_again() -> None:
    most = 0
    for gap in range(20, 40):

        def script(world: World, what: str, count: int, gap: int = gap) -> None:
            if what == "event" and count % gap == 0 and count < 400:
                masters_die(world)

        world = finished(script=script)
        assert world.error is None
        most = max(most, len(world.masters))
    assert most > 3


def test_M3_a_stopped_master_is_replaced_and_comes_back_without_effect() -> None:
    exits = []

    def act(world: World) -> None:
        world.masters[-1].stop(40.0)
        world.start_master()

    for world in each("event", act):
        assert world.error is None
        exits.append(world.masters[0].exit_code)
    assert exits.count(5) > len(exits) * 0.9, "it says that it was replaced"
    assert set(exits) <= {0, 5}


def test_M3_two_masters_from_the_start() -> None:
    for moment in (0.0, 0.01, 0.05, 1.0):
        world = finished(replace(BASE, doubles=(moment, moment)))
        assert world.error is None
        assert sorted(str(master.exit_code) for master in world.masters) == ["0", "5", "5"]


@pytest.mark.parametrize("told", [True, False], ids=["W8_goodbye", "W1_W2_W3_killed"])
def test_a_worker_goes_at_any_event(told: bool) -> None:
    def act(world: World) -> None:
        worker = world.workers[0]
        if worker is not None:
            worker._die(told)

    for world in each("event", act):
        assert world.error is None
        # The one that it ran, and one whose file it was storing meanwhile.
        assert attempts_of(world) <= TASKS + 2


def test_W4_all_workers_die_at_any_event() -> None:
    assert all(world.error is None for world in each("event", World._massacre))


def test_W4_no_worker_comes_back() -> None:
    def script(world: World, what: str, count: int) -> None:
        if (what, count) == ("event", 30):
            world._gone_for_good.update(range(BASE.workers))
            world._massacre()

    world = finished(script=script)
    assert isinstance(world.error, EnvironmentFailed)
    assert "no worker for 120 s" in str(world.error)
    assert not has_output(world)


def test_W5_a_worker_stops_beyond_its_lease_at_any_event() -> None:
    stale = 0
    for world in each("event", first_worker_stops):
        assert world.error is None
        (master,) = world.masters
        assert master.core is not None
        stale += master.core.scheduler.state.stale + master.core.stale
    assert stale > 0, "it spoke when it was back, and was not listened to"


def test_W12_workers_come_back_under_other_names() -> None:
    seen = set()
    for world in each("event", first_worker_dies, replace(BASE, workers=1)):
        assert world.error is None
        seen |= world.oracle.names_of_workers
    assert seen == {"w0.0", "w0.1"}


def test_N1_a_worker_is_cut_off_from_the_master() -> None:
    for way in ("to", "from", "both"):
        for begin in range(12):
            cut = (0, way, float(begin), begin + 3 * LEASE)
            assert finished(replace(BASE, cuts=(cut,))).error is None


def test_N2_a_worker_is_cut_off_from_the_store() -> None:
    for begin in range(12):
        world = finished(replace(BASE, cuts=((0, "store", float(begin), 1000.0),)))
        assert world.error is None
        starts = world.oracle.all_starts()[0]
        assert max(starts.values()) <= 2, "a task that failed there is tried elsewhere"


def test_N3_everything_is_told_twice_and_out_of_order() -> None:
    for seed in range(40):
        world = World(seed, replace(BASE, duplicate=0.4, reorder=1.0))
        assert world.run() is None
        assert len(world.oracle.manifests) == TASKS


def test_N4_a_fifth_of_all_messages_is_lost() -> None:
    for seed in range(40):
        assert World(seed, replace(BASE, drop=0.2)).run() is None


@pytest.mark.parametrize("seconds", [5.0, 20.0])
def test_S1_the_store_is_away_at_any_time(seconds: float) -> None:
    for begin in range(14):
        world = finished(replace(BASE, outages=((float(begin), begin + seconds),)))
        assert world.error is None
        assert attempts_of(world) == TASKS, "no attempt is charged"


def test_S1_the_store_never_comes_back() -> None:
    for begin in (0.0, 0.1, 1.0, 3.0, 6.0, 9.0):
        world = finished(replace(BASE, blackout=begin))
        assert isinstance(world.error, StorageError)
        assert world.error.exit_code == 3
        assert not has_output(world)


def test_S2_a_third_of_all_requests_fails() -> None:
    for seed in range(20):
        world = World(seed, replace(BASE, lost_requests=0.15, lost_acks=0.15))
        assert world.run() is None


def test_S3_a_slow_store_costs_no_lease() -> None:
    for seed in range(10):
        world = World(seed, replace(BASE, slow_store=200.0, heal=1000.0))
        assert world.run() is None
        (master,) = world.masters
        assert master.core is not None
        assert master.core.scheduler.state.lost_workers == 0


def test_S4_any_answer_of_the_store_is_lost() -> None:
    for number in range(1, size_of("request") + 1):
        world = World(1, BASE)
        world.server.lost_answers = {number}
        assert world.run() is None
        assert attempts_of(world) == TASKS


def test_S4_every_answer_of_the_store_is_lost_once() -> None:
    for seed in range(20):
        world = World(seed, BASE)
        world.server.lose_first_answers = True
        assert world.run() is None
        assert {kind for _, kind in world.outcomes} == {"success"}
        assert len(world.oracle.manifests) == TASKS


def test_S5_the_disk_is_full() -> None:
    for begin in range(9):
        world = finished(replace(BASE, full=((float(begin), 1e9),)))
        assert isinstance(world.error, (StorageError, type(None)))
        assert has_output(world) == (world.error is None)


def test_S6_a_map_output_is_damaged_at_any_time() -> None:
    for how in ("flipped", "cut short", "deleted"):
        for moment in range(12):
            world = World(moment, BASE)
            world.kernel.after(float(moment), damage_maps, world, how)
            assert world.run() is None
            repeated = sum(world.oracle.repeats.values())
            assert attempts_of(world) <= TASKS + (1 + BASE.reduces) * repeated


def damage_maps(world: World, how: str) -> None:
    for key in list(world.server.objects):
        if "/data/map-" in key:
            world.server.damage(key, how)


def test_S6_a_map_whose_output_is_always_damaged() -> None:
    failed = 0
    for seed in range(20):  # a bit that nobody reads any more is flipped now and then
        world = World(seed, replace(BASE, rotten=1))
        if world.run() is not None:
            failed += 1
            assert isinstance(world.error, EnvironmentFailed)
            assert world.error.exit_code == 3
            assert "found damaged each time" in str(world.error)
            assert not has_output(world)
    assert failed > 4


def test_S9_listings_that_omit_what_is_new() -> None:
    for seed in range(40):
        world = World(seed, replace(BASE, list_lag=0.5, restarts=(4.0, 8.0), doubles=(6.0,)))
        assert world.run() is None


def test_E8_the_wall_clocks_step() -> None:
    for step in (-3600.0, 3600.0):
        for moment in range(12):
            world = finished(replace(BASE, skews=((float(moment), step),), deadline=60.0))
            assert world.error is None
            (master,) = world.masters
            assert master.core is not None
            assert master.core.scheduler.state.lost_workers == 0


def test_E5_a_cancel_at_any_event() -> None:
    ends = set()
    for world in each("event", World._cancel):
        assert isinstance(world.error, (Cancelled, type(None)))
        assert has_output(world) == (world.error is None)
        ends.add(type(world.error))
    assert ends == {Cancelled, type(None)}, "what is decided is not undone"


def test_U13_the_deadline_passes_at_any_time() -> None:
    ends = set()
    for deadline in range(1, 16):
        world = finished(replace(BASE, deadline=float(deadline)))
        assert isinstance(world.error, (DeadlineExceeded, type(None)))
        assert has_output(world) == (world.error is None)
        ends.add(type(world.error))
    assert ends == {DeadlineExceeded, type(None)}


def test_U1_a_map_that_always_fails_ends_the_run_after_four_attempts() -> None:
    world = finished(replace(BASE, poison=1))
    assert world.error is not None
    assert world.error.exit_code == 1
    assert world.outcomes.total() <= TASKS + 4
    assert not has_output(world)


def test_V12_memory_does_not_grow_with_lost_workers() -> None:
    """Each of many lost attempts is forgotten; the oracle compares at every tick."""
    names = 0
    for seed in range(10):
        world = World(seed, replace(BASE, crash=0.2))
        world.run()
        names += len(world.oracle.names_of_workers)
    assert names > 30


def test_S10_what_is_stored_is_slow_to_store() -> None:
    """Nothing is lost while it is on its way, and no worker waits for good."""
    for seed in range(20):
        world = World(seed, replace(BASE, slow_puts=0.5, heal=1000.0))
        assert world.run() is None
        assert attempts_of(world) == TASKS
        assert world.faults["slow_puts"] > 0


def failing(fails: Callable[[int, str], bool]) -> World:
    """The finished run with the writes that fail for good; `fails` gets their number and key."""
    world = World(1, BASE)
    world.server.fails_write = fails
    world.run()
    return world


def test_S10_any_write_fails_for_good() -> None:
    ends = set()
    for number in range(1, 30):
        world = failing(lambda count, _, number=number: count == number)  # type: ignore[misc]
        assert isinstance(world.error, (StorageError, type(None)))
        assert has_output(world) or world.error is not None
        ends.add(type(world.error))
    assert ends == {StorageError, type(None)}
