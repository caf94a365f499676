"""Batches: checked pairs of one key kind on their way from `ctx.emit` to the shuffle.

Keys in a batch are native: str, int, float, bool and None as they are; bytes, tuples and big ints
as their order-preserving payload, so that equal keys are equal Python objects and (1,) and (1.0,)
are not. Values are frozen: plain scalars as they are, anything else `Packed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gomr_runtime.dataflow.keys import (
    INT64_MAX,
    INT64_MIN,
    KIND_OF_TYPE,
    KeyRefused,
    Kind,
    kind_of,
    payload,
)
from gomr_runtime.dataflow.values import PLAIN, Packed, ValueRefused

_DIRECT: Final = frozenset({Kind.NONE, Kind.BOOL, Kind.INT, Kind.STR})
_TYPE_OF_NAME: Final[dict[str, type]] = {
    "int": int,
    "float": float,
    "str": str,
    "bytes": bytes,
    "bool": bool,
}
_SIZED: Final = frozenset({str, bytes, Packed})


@dataclass(slots=True)
class Batch:
    """`keys[i]` goes with `values[i]`; all keys are of `kind`; pairs are in input order."""

    kind: Kind
    keys: list[Any]
    values: list[Any]
    uniform: type | None = None
    """The type of every value, where the check found only one."""


class BadPair(Exception):
    """Pair number `index` of those checked cannot be taken."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


def check_pairs(
    keys: list[Any], values: list[Any], value_type: str, summed_by: str = ""
) -> list[Batch]:
    """The pairs as batches, values converted to `value_type`; BadPair for the first bad one.

    summed_by: the built-in that will add the values up, so that they must be ints or floats.
    The cheap way looks at the set of types only; the slow one finds the pair.
    """
    values, uniform = _convert(values, value_type)
    if summed_by and uniform is not int:
        _check_numbers(values, summed_by)
    types = set(map(type, keys))
    if len(types) == 1:
        kind = _uniform(types.pop(), keys)
        if kind is not None:
            return [Batch(kind, keys, values, uniform)]
    return _mixed(keys, values)


def check_ones(keys: list[Any]) -> list[Batch]:
    """The same for keys that are counted: every value is 1."""
    ones = [1] * len(keys)
    types = set(map(type, keys))
    kind = _uniform(types.pop(), keys) if len(types) == 1 else None
    return _mixed(keys, ones) if kind is None else [Batch(kind, keys, ones, int)]


def _check_numbers(values: list[Any], who: str) -> None:
    if set(map(type, values)) <= {int, float}:
        return
    i = next(i for i, value in enumerate(values) if type(value) not in (int, float))
    given = type(values[i]).__name__ if type(values[i]) in PLAIN else "a container"
    raise BadPair(i, f"{who} needs int or float values, got {given}: convert it before emit")


def _uniform(key_type: type, keys: list[Any]) -> Kind | None:
    """The kind of keys that are native as they are; None where each has to be looked at."""
    kind = KIND_OF_TYPE.get(key_type)
    if kind is Kind.STR:
        return kind if encodable(keys) else None
    if kind is Kind.INT:
        return kind if min(keys) >= INT64_MIN and max(keys) <= INT64_MAX else None
    return kind if kind in (Kind.BYTES, Kind.BOOL, Kind.NONE) else None


def _mixed(keys: list[Any], values: list[Any]) -> list[Batch]:
    found: dict[Kind, Batch] = {}
    for i, key in enumerate(keys):
        try:
            kind = kind_of(key)
            native = _native(kind, key)
        except KeyRefused as error:
            raise BadPair(i, str(error)) from None
        batch = found.get(kind)
        if batch is None:
            batch = found[kind] = Batch(kind, [], [])
        batch.keys.append(native)
        batch.values.append(values[i])
    return [found[kind] for kind in sorted(found)]


def _native(kind: Kind, key: Any) -> Any:
    if kind is Kind.FLOAT:
        return key + 0.0  # -0.0 and 0.0 are one key
    raw = payload(kind, key)  # raises for lone surrogates
    return key if kind in _DIRECT else raw


def encodable(texts: list[str]) -> bool:
    """Whether every str is valid Unicode (holds no lone surrogate)."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def _convert(values: list[Any], value_type: str) -> tuple[list[Any], type | None]:
    """The values converted and, where it is one, their type."""
    types = set(map(type, values))
    wanted = _TYPE_OF_NAME.get(value_type)
    if wanted is not None and types != {wanted}:
        return [_convert_one(i, value, wanted) for i, value in enumerate(values)], wanted
    for kind in types:
        if kind not in PLAIN and kind is not Packed:
            i = next(i for i, value in enumerate(values) if type(value) is kind)
            raise BadPair(i, f"a value may not be {kind.__name__}")
    if str in types:
        _check_text(values, types)
    return values, types.pop() if len(types) == 1 else None


def _check_text(values: list[Any], types: set[type]) -> None:
    if types == {str} and encodable(values):
        return
    for i, value in enumerate(values):
        if type(value) is str and not encodable([value]):
            raise BadPair(i, f"value {value!r} holds a lone surrogate; encode it first")


def _convert_one(index: int, value: Any, wanted: type) -> Any:
    """The conversions that DESIGN allows: str to int, str to float, int to float."""
    given = type(value)
    if given is wanted:
        return value
    try:
        if wanted is int and given is str:
            return int(value)
        if wanted is float and given in (str, int):
            return float(value)
    except (ValueError, OverflowError) as error:
        raise BadPair(index, f"value {value!r:.80} is no {wanted.__name__}: {error}") from None
    raise BadPair(
        index, f"value {value!r:.80} is {given.__name__}, the annotation says {wanted.__name__}"
    )


def check_container(value: Any, value_type: str) -> None:
    """ValueRefused unless `value` is of the annotated container type (list, tuple, dict)."""
    if value_type and type(value).__name__ != value_type:
        raise ValueRefused(
            f"value {value!r:.80} is {type(value).__name__}, the annotation says {value_type}"
        )


def weight(batch: Batch) -> int:
    """Bytes that the batch stands for: a deterministic estimate, never a measurement."""
    return _sized(batch.keys) + weight_of_values(batch.values)


def weight_of_values(values: list[Any]) -> int:
    """The share of the values in it, that of the rows included."""
    return 16 * len(values) + _sized(values)


def _sized(column: list[Any]) -> int:
    types = set(map(type, column))
    if types <= _SIZED:
        return sum(map(len, column))
    if types.isdisjoint(_SIZED):
        return 0
    return sum(len(cell) for cell in column if type(cell) in _SIZED)
