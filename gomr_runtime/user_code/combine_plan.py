"""How a job's values are combined before the shuffle, decided once from its config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeGuard

from gomr_runtime.api.aggregates import Aggregate
from gomr_runtime.api.config import MapReduceConfig


class Combining(Enum):
    """What happens to the values of one key in a map task."""

    NONE = auto()
    """Every pair is shuffled as it was emitted."""
    COUNT = auto()
    """The values are counted, whatever they are."""
    SUM = auto()
    AGGREGATE = auto()
    """A built-in reducer other than sum and count folds them."""
    USER = auto()
    """The config's own combiner folds them."""


@dataclass(frozen=True, slots=True)
class CombinePlan:
    """The combining of one job.

    how: what happens to the values.
    aggregate: the built-in reducer that combines, where one does.
    function: the config's own combiner, where `how` is USER.
    numbers: whether values are added up and no function of the user's can change them on the way,
        so that they are numbers as soon as they are emitted.
    """

    how: Combining
    aggregate: Aggregate | None = None
    function: Callable[..., Any] | None = None
    numbers: bool = False

    @property
    def adds(self) -> bool:
        """Whether one running total a key is all that is kept."""
        return self.how in (Combining.COUNT, Combining.SUM)


def combine_plan_of(config: MapReduceConfig) -> CombinePlan:
    """The plan of a config that has been checked.

    A built-in reducer combines by itself where the config names no combiner. `gomr.count` as
    reducer goes before any combiner, for it does not look at values.

    Args:
        config: The worker file's, with its combiner and reducer.
    """
    combiner, reducer = config.combiner, config.reducer
    if _named(reducer, "count"):
        return CombinePlan(Combining.COUNT, aggregate=reducer)
    if combiner is not None and not isinstance(combiner, Aggregate):
        return CombinePlan(Combining.USER, function=combiner)
    chosen = combiner or reducer
    if not isinstance(chosen, Aggregate) or not chosen.combines:
        return CombinePlan(Combining.NONE)
    numbers = _named(combiner, "sum") or _named(reducer, "sum")
    how = Combining.SUM if chosen.name == "sum" else Combining.AGGREGATE
    return CombinePlan(how, aggregate=chosen, numbers=numbers)


def _named(function: object, name: str) -> TypeGuard[Aggregate]:
    return isinstance(function, Aggregate) and function.name == name
