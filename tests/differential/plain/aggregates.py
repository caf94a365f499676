"""The built-in reducers over all values of a key."""

from __future__ import annotations

import builtins
import math
from fractions import Fraction
from typing import Any

from tests.differential.plain.api import Aggregate
from tests.differential.plain.keys import Refused, checked, rank


def reduced(aggregate: Aggregate, values: list[Any]) -> list[Any]:
    """What it emits for one key, in order. Refused for values that it cannot take."""
    if aggregate.name == "count":
        return [len(values)]
    if aggregate.name == "sum":
        return [_sum(values)]
    if aggregate.name == "distinct":
        return _distinct(values)
    if aggregate.name == "identity":
        return values
    if any(map(holds_nan, values)):
        raise Refused("no_order")
    try:
        if aggregate.name == "top":
            return sorted(values, reverse=True)[: aggregate.size]
        return [getattr(builtins, aggregate.name)(values)]
    except TypeError:
        raise Refused("no_order") from None


def holds_nan(value: Any) -> bool:
    """Whether it is NaN, or a list or tuple that holds one."""
    if isinstance(value, list | tuple):
        return any(map(holds_nan, value))
    return isinstance(value, float) and math.isnan(value)


def _sum(values: list[Any]) -> int | float:
    """Exact; where there is a float, rounded to one at the end."""
    if any(type(value) not in (int, float) for value in values):
        raise Refused("no_number")
    special = [v for v in values if isinstance(v, float) and not math.isfinite(v)]
    if special:
        return sum(special)
    total = sum(map(Fraction, values), Fraction(0))
    try:
        return float(total) if any(isinstance(v, float) for v in values) else int(total)
    except OverflowError:
        raise Refused("sum_range") from None


def _distinct(values: list[Any]) -> list[Any]:
    """The first of equal values, in the order of keys."""
    found: dict[Any, Any] = {}
    for value in values:
        found.setdefault(rank(checked(value)), value)
    return [found[at] for at in sorted(found)]
