"""Kept seeds of `make chaos`: real processes under mixes of faults, the bytes of one process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.process.chaos.chaos_faults import FAULTS
from tests.process.chaos.run import ENOUGH, Arena, arena, chosen, run_until_it_counts

pytestmark = pytest.mark.timeout(3600)  # the first test may have to build MinIO
KEPT = [1, 3, 4, 5, 8]


@pytest.fixture(scope="module")
def where() -> Iterator[Arena]:
    with arena() as made:
        yield made


@pytest.mark.parametrize("seed", KEPT)
def test_a_run_under_faults_gives_the_bytes_of_a_sequential_one(where: Arena, seed: int) -> None:
    report = run_until_it_counts(where, seed, print)
    assert not report.wrong, report.told()
    assert len(report.landed) >= ENOUGH


def test_a_seed_chooses_the_same_each_time() -> None:
    assert all(chosen(seed, again) == chosen(seed, again) for seed in range(50) for again in (0, 1))
    assert chosen(1, 0) != chosen(1, 1)


def test_seeds_choose_every_kind_of_fault() -> None:
    kinds = {one.kind for seed in range(100) for one in chosen(seed, 0)[1]}
    assert kinds == set(FAULTS)
