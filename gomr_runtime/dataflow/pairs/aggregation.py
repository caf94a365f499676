"""What the built-in reducers compute, on the map side and in the end."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from typing import Any

from gomr_runtime.api.aggregates import Aggregate
from gomr_runtime.dataflow.pairs.keys import KeyRefused, Kind, encode
from gomr_runtime.dataflow.pairs.values import holds_nan, pack

LARGE = 2.0**900
"""Floats from here on are whole numbers, and are added up as such."""


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
        return list(_first_of_each(values).values())
    return values


def final(aggregate: Aggregate, values: Iterable[Any]) -> Iterable[Any]:
    """What the reducer emits for one key, in order; one pass over `values`, which may be more
    than fit in memory (`distinct` holds those that differ)."""
    name = aggregate.name
    if name in ("sum", "count"):
        return [_total(aggregate, values)]
    if name in ("min", "max"):
        return [_extreme(aggregate, values)]
    if name == "top":
        return _largest(aggregate, values)
    if name == "distinct":
        return [value for _, value in sorted(_first_of_each(values).items())]
    return values


def encode_value(value: Any) -> bytes:
    """Bytes by which values are told apart and ordered: those of keys, so 1, 1.0 and True differ;
    what cannot be a key (NaN, a list) comes after, by its packed form."""
    try:
        return encode(value)
    except KeyRefused:
        return bytes((Kind.PACKED,)) + pack(value)


def _first_of_each(values: Iterable[Any]) -> dict[bytes, Any]:
    """The first of every set of equal values (0.0 and -0.0 are equal, as keys are)."""
    found: dict[bytes, Any] = {}
    for value in values:
        found.setdefault(encode_value(value), value)
    return found


def _total(aggregate: Aggregate, values: Iterable[Any]) -> int | float:
    """The exact sum, rounded once where there are floats: no order of the values can change it."""
    whole = 0  # of ints, and of floats so large that adding them up could leave the range of floats
    any_float = any_special = False

    def floats() -> Iterator[float]:
        nonlocal whole, any_float, any_special
        for value in values:
            kind = type(value)
            if kind is int:
                whole += value
            elif kind is float:
                any_float = True
                if -LARGE < value < LARGE:
                    yield value
                elif math.isfinite(value):
                    whole += int(value)
                else:
                    any_special = True
                    yield value
            else:
                _check_numbers(aggregate, [value])
        if any_float and not any_special:  # beside infinities it changes nothing
            yield from _as_floats(whole)

    try:
        total = math.fsum(floats())
    except OverflowError:
        raise AggregateRefused(f"gomr.{aggregate}: the sum is beyond what a float holds") from None
    except ValueError as error:
        if "fsum" not in str(error):
            raise
        return math.nan  # inf and -inf
    return total if any_float else whole


def _as_floats(number: int) -> Iterator[float]:
    """Floats whose exact sum it is. Raises OverflowError."""
    while number:
        part = float(number)
        yield part
        number -= int(part)


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
        return _BEST[aggregate.name](_numbers(aggregate, values))
    except TypeError as error:
        raise _refused(aggregate, error) from None


def _largest(aggregate: Aggregate, values: Iterable[Any]) -> list[Any]:
    try:
        return heapq.nlargest(aggregate.size, _numbers(aggregate, values))
    except TypeError as error:
        raise _refused(aggregate, error) from None


def _numbers(aggregate: Aggregate, values: Iterable[Any]) -> Iterator[Any]:
    """The values; NaN, which has no place in any order, is refused, also within a tuple."""
    for value in values:
        if value != value or (type(value) in (list, tuple) and holds_nan(value)):  # noqa: PLR0124
            raise AggregateRefused(f"gomr.{aggregate}: NaN has no place in an order; leave it out")
        yield value


def _refused(aggregate: Aggregate, error: TypeError) -> AggregateRefused:
    if isinstance(error, AggregateRefused):
        return error
    return AggregateRefused(f"gomr.{aggregate}: {error}")


_BEST = {"min": min, "max": max}
