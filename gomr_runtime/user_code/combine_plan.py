"""How a job's values are combined before the shuffle, decided once from its config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gomr_runtime.api.aggregates import Aggregate
from gomr_runtime.api.config import MapReduceConfig


@dataclass(frozen=True, slots=True)
class CombinePlan:
    """What folds the values of one key in a map task; neither of the two: pairs stay as they are.

    aggregate: the built-in reducer that does.
    function: the config's own combiner that does.
    numbers: whether values are added up and no function of the user's can change them on the way,
        so that they are numbers as soon as they are emitted.
    """

    aggregate: Aggregate | None = None
    function: Callable[..., Any] | None = None
    numbers: bool = False

    @property
    def counts(self) -> bool:
        """Whether values are counted, whatever they are."""
        return _is(self.aggregate, "count")

    @property
    def sums(self) -> bool:
        """Whether values are added up."""
        return _is(self.aggregate, "sum")


def combine_plan_of(config: MapReduceConfig) -> CombinePlan:
    """The plan of a config that has been checked.

    A built-in reducer combines by itself where the config names no combiner. `gomr.count` as
    reducer goes before any combiner, for it does not look at values.

    Args:
        config: The worker file's, with its combiner and reducer.
    """
    combiner, reducer = config.combiner, config.reducer
    if isinstance(reducer, Aggregate) and reducer.name == "count":
        return CombinePlan(reducer)
    if combiner is not None and not isinstance(combiner, Aggregate):
        return CombinePlan(function=combiner)
    chosen = combiner or reducer
    if not isinstance(chosen, Aggregate) or not chosen.combines:
        return CombinePlan()
    return CombinePlan(chosen, numbers=_is(combiner, "sum") or _is(reducer, "sum"))


def _is(function: object, name: str) -> bool:
    return isinstance(function, Aggregate) and function.name == name
