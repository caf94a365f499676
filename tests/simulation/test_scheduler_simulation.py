"""The scheduler in bad weather: many seeds, every invariant after every event, and an end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter, deque

import pytest

from gomr_runtime.errors import Cancelled, DeadlineExceeded, EnvironmentFailed, GomrError, JobFailed
from gomr_runtime.scheduler.commands import CommitAttempt
from gomr_runtime.scheduler.invariants import InvariantViolated
from gomr_runtime.scheduler.machine import Scheduler
from tests.simulation.swarm import Plan, draw
from tests.simulation.world import World

SEEDS = int(os.environ.get("GOMR_SIMULATED_SEEDS", "500"))
BATCHES = 10


def run(seed: int) -> World:
    """The finished world of a seed; a failure says how to see it again."""
    world = World(seed)
    try:
        world.run()
    except (GomrError, AssertionError, ArithmeticError, LookupError) as error:
        detail = getattr(error, "detail", "")
        pytest.fail(
            f"seed {seed} at {world.now:.3f} s: {error!r}\n{detail}\n"
            f"replay it with: python -m tests.simulation.replay {seed}",
            pytrace=False,
        )
    return world


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_seed_ends_as_it_should(batch: int) -> None:
    ends: Counter[str] = Counter()
    for seed in range(batch, SEEDS, BATCHES):
        ends[type(run(seed).error).__name__] += 1
    assert ends["NoneType"] > sum(ends.values()) / 2


def test_the_weather_is_as_bad_as_it_claims() -> None:
    """Every fault strikes and every kind of end happens, or the seeds above prove little."""
    worlds = [run(seed) for seed in range(200)]
    struck: Counter[str] = Counter()
    for world in worlds:
        struck.update(name for name, times in world.faults.items() if times)
    rolled = ("drop", "duplicate", "crash", "leave", "pause", "fail", "lost_acks", "restart")
    assert {name: struck[name] for name in rolled if struck[name] < 15} == {}
    ends = {type(world.error) for world in worlds}
    assert {type(None), Cancelled, DeadlineExceeded, JobFailed} < ends
    assert any(issubclass(end, EnvironmentFailed) for end in ends)
    assert sum(draw(seed).slow > 1 for seed in range(200)) > 50


def test_without_faults_nothing_is_run_twice() -> None:
    for seed in range(30):
        world = World(seed, Plan(maps=9, reduces=3, sample=True, workers=3, slots=2))
        assert world.run() is None
        assert sum(world.starts().values()) == 13


def test_a_seed_is_one_run_whatever_the_hash_seed() -> None:
    traces = set()
    for hash_seed in ("0", "1", "4242"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation.replay", "--quiet", "7", "8", "9"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        traces.add(done.stdout)
    (told,) = traces
    assert told.count("seed ") == 3


def test_the_world_notices_defects(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler that commits twice, or forgets the tasks of lost workers, is found."""
    original = Scheduler.handle

    def commits_again(self: Scheduler, event: object) -> object:
        out = original(self, event)  # type: ignore[arg-type]
        return out + [command for command in out if isinstance(command, CommitAttempt)]

    monkeypatch.setattr(Scheduler, "handle", commits_again)
    with pytest.raises(InvariantViolated, match="a second commit"):
        World(1).run()
    monkeypatch.undo()
    monkeypatch.setattr(Scheduler, "_return_if_empty", lambda self, task: None)
    with pytest.raises(InvariantViolated, match="runs without an attempt"):
        deque((World(seed).run() for seed in range(20)), maxlen=0)
