"""Runs in bad weather: many seeds, every invariant after every event, and an end that is due."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from functools import cache

import pytest

from gomr_runtime.errors import (
    Cancelled,
    CorruptBlock,
    DeadlineExceeded,
    GomrError,
    JobFailed,
    StorageError,
)
from tests.simulation.kept import kept
from tests.simulation.run import replay_command
from tests.simulation.simulated.world import World
from tests.simulation.swarm import FAULTS, OF_PUTS, Plan

SEEDS = int(os.environ.get("GOMR_SIMULATED_SEEDS", "2000"))
BATCHES = 20
PHASES = {"start", "wait", "sample", "map", "seal", "reduce", "promote"}


@dataclass(frozen=True, slots=True)
class Told:
    """What is worth knowing of a finished world."""

    end: type[GomrError] | None
    struck: frozenset[str]
    deaths: Counter[str]


@cache
def run(seed: int) -> Told:
    """Run a seed to its end; a failure says how to see it again."""
    world = World(seed)
    try:
        world.run()
    except (GomrError, AssertionError, ArithmeticError, LookupError) as error:
        detail = getattr(error, "detail", "")
        pytest.fail(
            f"seed {seed} at {world.kernel.now:.3f} s: {error!r}\n{detail}\n"
            f"replay it with: {replay_command(seed)}",
            pytrace=False,
        )
    plan = world.plan
    struck = {fault for fault, times in world.faults.items() if times}
    struck |= {fault for fault in ("sick", "slow", "slow_store") if getattr(plan, fault) > 1}
    struck |= {fault for fault in ("poison", "deadline") if getattr(plan, fault) is not None}
    if "damage" in struck:
        struck |= {fault for fault in ("rot", "journal_rot", "rotten") if getattr(plan, fault)}
    end = type(world.error) if world.error else None
    return Told(end, frozenset(struck), world.master_deaths)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_seed_ends_as_it_should(batch: int) -> None:
    ends = Counter(run(seed).end for seed in range(batch, SEEDS, BATCHES))
    assert ends[None] > ends.total() / 2


@pytest.mark.parametrize("seed", kept())
def test_kept_seeds_pass(seed: int) -> None:
    run(seed)


def test_the_weather_is_as_bad_as_it_claims() -> None:
    """Every fault strikes and every kind of end happens, or the seeds above prove little."""
    struck = Counter(fault for seed in range(1000) for fault in run(seed).struck)
    assert {fault: struck[fault] for fault in (*FAULTS, *OF_PUTS) if struck[fault] < 4} == {}
    ends = {run(seed).end for seed in range(1000)}
    assert {None, Cancelled, DeadlineExceeded, StorageError, CorruptBlock} < ends
    assert any(end is not None and issubclass(end, JobFailed) for end in ends)


def test_masters_die_in_every_phase() -> None:
    deaths: Counter[str] = Counter()
    for seed in range(1000):
        deaths.update(run(seed).deaths)
    assert {phase for phase in PHASES if deaths[phase] < 3} == set()


@pytest.mark.parametrize("reduces", [0, 3])
def test_without_faults_nothing_is_run_twice(reduces: int) -> None:
    for seed in range(30):
        world = World(seed, Plan(maps=9, reduces=reduces, sample=True, workers=3, slots=2))
        assert world.run() is None
        (starts,) = world.oracle.all_starts()
        assert set(starts.values()) == {1}
        assert len(starts) == 10 + reduces
