"""The simulation notices each seeded defect, within the seeds that the tests run."""

from __future__ import annotations

import itertools

import pytest

from tests.simulation.hunt import MOST_SEEDS, hunt, seeds_known
from tests.simulation.mutants.catalogue import MUTANTS
from tests.simulation.run import attempt

KNOWN = seeds_known()


@pytest.mark.parametrize("name", MUTANTS)
def test_a_seeded_defect_is_found(name: str) -> None:
    seeds = itertools.chain([KNOWN[name]] if name in KNOWN else [], range(MOST_SEEDS))
    assert hunt(name, seeds) is not None, f"{MUTANTS[name].title} Nobody notices"


def test_there_are_enough_of_them() -> None:
    assert len(MUTANTS) >= 60
    assert {name[:3] for name in MUTANTS if name.startswith("B")} == {
        "B1_", "B2_", "B3_", "B4_", "B5_", "B7_", "B10",
    }  # fmt: skip


def test_defects_are_taken_back() -> None:
    """The seeds that show them pass afterwards: it is the defect that is found."""
    assert [seed for seed in set(KNOWN.values()) if attempt(seed) is not None] == []
