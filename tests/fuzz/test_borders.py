"""A bounded number of the fuzzer's cases; `make fuzz MINUTES=60` runs it for long."""

from __future__ import annotations

import asyncio

from tests.fuzz import child_border, master_border

CASES = 80


def test_a_child_that_says_anything_costs_its_attempt_alone() -> None:
    counts = asyncio.run(child_border.run(range(CASES)))
    assert sum(counts.values()) == CASES
    assert counts["refused"] > CASES // 2
    assert counts["passed on"], "some changes change nothing that is wrong"


def test_a_worker_that_says_anything_is_given_up_and_the_master_lives() -> None:
    counts = asyncio.run(master_border.run(range(CASES)))
    for outcome in ("given up", "taken", "not registered"):
        assert counts[outcome] > CASES // 20, outcome
