"""What combines the values of a job, for every pair of a combiner and a reducer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import gomr_runtime as gomr
from gomr_runtime.user_code.combine_plan import CombinePlan, combine_plan_of


def mapper(ctx: gomr.Context, record: str) -> None:
    ctx.emit(record, 1)


def fold(ctx: gomr.Context, key: Any, values: Iterator[Any]) -> None:
    ctx.emit(key, max(values))


NONE = CombinePlan()
COUNT = CombinePlan(gomr.count)
SUM = CombinePlan(gomr.sum, numbers=True)
MAX = CombinePlan(gomr.max)
USER = CombinePlan(function=fold)


@pytest.mark.parametrize(
    ("combiner", "reducer", "plan"),
    [
        (None, None, NONE),
        (None, fold, NONE),
        (None, gomr.identity, NONE),
        (None, gomr.sum, SUM),
        (None, gomr.count, COUNT),
        (None, gomr.max, MAX),
        (gomr.sum, fold, SUM),
        (gomr.sum, gomr.identity, SUM),
        (gomr.sum, gomr.count, COUNT),
        (gomr.max, gomr.count, COUNT),
        (gomr.max, fold, MAX),
        # What maxima are taken of is added up later: numbers all the way.
        (gomr.max, gomr.sum, CombinePlan(gomr.max, numbers=True)),
        (fold, None, USER),
        (fold, fold, USER),
        (fold, gomr.max, USER),
        # The combiner may make numbers of what is none yet.
        (fold, gomr.sum, USER),
        (fold, gomr.count, COUNT),
    ],
)
def test_the_plan_of_a_config(combiner: Any, reducer: Any, plan: CombinePlan) -> None:
    config = gomr.MapReduceConfig(mapper=mapper, combiner=combiner, reducer=reducer)
    assert combine_plan_of(config) == plan
    assert (plan.counts, plan.sums) == (plan == COUNT, plan == SUM)
