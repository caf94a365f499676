"""Built-in reducers: `gomr.sum, count, min, max, top(n), distinct, identity`.

They are values that a config names; the engine runs them on columns where it can. All but
`count` also serve as combiners (for `count`, the engine counts on the map side by itself).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gomr_runtime.dataflow.keys import encode


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A built-in reducer by name; `size` is top's n."""

    name: str
    size: int = 0

    def __call__(self, size: int) -> Aggregate:
        """`top(n)`: the n largest values of a key, largest first."""
        if self.name != "top":
            raise TypeError(f"gomr.{self.name} takes no arguments: name it without calling it")
        if type(size) is not int or size < 1:
            raise ValueError(f"gomr.top({size!r}): n is an int of at least 1")
        return Aggregate("top", size)

    def __str__(self) -> str:
        return f"top({self.size})" if self.name == "top" else self.name

    @property
    def combines(self) -> bool:
        """Whether the engine may apply it before the shuffle."""
        return self.name != "identity"


sum = Aggregate("sum")
count = Aggregate("count")
min = Aggregate("min")
max = Aggregate("max")
top = Aggregate("top")
distinct = Aggregate("distinct")
identity = Aggregate("identity")


class AggregateRefused(TypeError):
    """A value that a built-in reducer cannot take."""


def partial(aggregate: Aggregate, values: list[Any]) -> list[Any]:
    """Combine some values of one key into fewer that `final` treats the same; may run any number
    of times. Values of a `count` are already counts here. Floats are left to `final`: adding them
    in parts would make the result depend on the splits.
    """
    name = aggregate.name
    if name in ("sum", "count"):
        ints = [v for v in values if type(v) is int]
        if len(ints) == len(values):
            return [_add(ints)]
        rest = [v for v in values if type(v) is not int]
        _check_numbers(aggregate, rest)
        return [_add(ints), *rest] if ints else rest
    if name in ("min", "max"):
        return [_extreme(aggregate, values)]
    if name == "top":
        return _largest(aggregate, values)
    if name == "distinct":
        return list({encode_value(v): v for v in reversed(values)}.values())[::-1]
    return values


def final(aggregate: Aggregate, values: Iterable[Any]) -> list[Any]:
    """What the reducer emits for one key, in order; one pass over `values`."""
    name = aggregate.name
    if name in ("sum", "count"):
        return [_total(aggregate, values)]
    if name in ("min", "max"):
        return [_extreme(aggregate, values)]
    if name == "top":
        return _largest(aggregate, values)
    if name == "distinct":
        return sorted({encode_value(v): v for v in values}.values(), key=encode_value)
    return list(values)


def encode_value(value: Any) -> bytes:
    """Bytes by which values are compared: keys' own encoding, so 1, 1.0 and True differ."""
    return encode(value)


def _total(aggregate: Aggregate, values: Iterable[Any]) -> int | float:
    whole = 0
    floats: list[float] = []
    for value in values:
        kind = type(value)
        if kind is int:
            whole += value
        elif kind is float:
            floats.append(value)
        else:
            _check_numbers(aggregate, [value])
    return math.fsum([*floats, whole]) if floats else whole


def _add(ints: list[int]) -> int:
    total = 0
    for number in ints:
        total += number
    return total


def _check_numbers(aggregate: Aggregate, values: list[Any]) -> None:
    for value in values:
        if type(value) not in (int, float):
            raise AggregateRefused(
                f"gomr.{aggregate} needs int or float values, got {type(value).__name__}: "
                f"convert it before emit"
            )


def _extreme(aggregate: Aggregate, values: Iterable[Any]) -> Any:
    try:
        best = _BEST[aggregate.name](values)
    except TypeError as error:
        raise AggregateRefused(f"gomr.{aggregate}: {error}") from None
    return best


def _largest(aggregate: Aggregate, values: Iterable[Any]) -> list[Any]:
    try:
        return heapq.nlargest(aggregate.size, values)
    except TypeError as error:
        raise AggregateRefused(f"gomr.{aggregate}: {error}") from None


import builtins  # noqa: E402  (the names above hide min and max)

_BEST = {"min": builtins.min, "max": builtins.max}
