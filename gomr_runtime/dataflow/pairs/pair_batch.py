"""Batches: checked pairs of one key kind on their way from `ctx.emit` to the shuffle.

Keys in a batch are native: str, int, float, bool and None as they are; bytes, tuples and big ints
as their order-preserving payload, so that equal keys are equal Python objects and (1,) and (1.0,)
are not. Values are frozen: plain scalars as they are, anything else `Packed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gomr_runtime.dataflow.pairs.keys import (
    INT64_MAX,
    INT64_MIN,
    KIND_OF_TYPE,
    KeyRefused,
    Kind,
    kind_of,
    payload,
)
from gomr_runtime.dataflow.pairs.pair_law import PairLaw, encodable
from gomr_runtime.dataflow.pairs.values import Packed, ValueRefused, thaw

_DIRECT: Final = frozenset({Kind.NONE, Kind.BOOL, Kind.INT, Kind.STR})
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


def check_pairs(keys: list[Any], values: list[Any], law: PairLaw) -> list[Batch]:
    """The pairs as batches, values converted as the law says; BadPair for the first bad one.

    The cheap way looks at the set of types only; the slow one finds the pair. A pair of `ctx.emit`
    was checked before; this is what holds whichever way it came.
    """
    values, uniform = _settle(values, law)
    types = set(map(type, keys))
    if law.keys is not None and not types <= law.keys:
        raise _bad_key(keys, law)
    if len(types) == 1:
        kind = _uniform(types.pop(), keys)
        if kind is not None:
            return [Batch(kind, keys, values, uniform)]
    return _mixed(keys, values)


def check_ones(keys: list[Any], law: PairLaw) -> list[Batch]:
    """The same for keys that are counted: every value is 1."""
    ones = [1] * len(keys)
    types = set(map(type, keys))
    if law.keys is not None and not types <= law.keys:
        raise _bad_key(keys, law)
    kind = _uniform(types.pop(), keys) if len(types) == 1 else None
    return _mixed(keys, ones) if kind is None else [Batch(kind, keys, ones, int)]


def _bad_key(keys: list[Any], law: PairLaw) -> BadPair:
    for i, key in enumerate(keys):
        try:
            law.check_key(key)
        except KeyRefused as error:
            return BadPair(i, str(error))
    raise AssertionError(f"every key of {keys!r:.80} is one")


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


def _settle(values: list[Any], law: PairLaw) -> tuple[list[Any], type | None]:
    """The values converted and, where it is one, their type."""
    types = set(map(type, values))
    if not types <= law.easy_values and not _is_settled(values, types, law):
        values = [_settled(i, value, law) for i, value in enumerate(values)]
        types = set(map(type, values))
    return values, types.pop() if len(types) == 1 else None


def _is_settled(values: list[Any], types: set[type], law: PairLaw) -> bool:
    if not types <= law.easy_values | {str, Packed} or (Packed in types and not law.takes_frozen):
        return False
    if str not in types:
        return True
    texts = values if len(types) == 1 else [value for value in values if type(value) is str]
    return law.text_values and encodable(texts)


def _settled(index: int, value: Any, law: PairLaw) -> Any:
    try:
        return law.value(value if type(value) is not Packed or law.takes_frozen else thaw(value))
    except ValueRefused as error:
        raise BadPair(index, str(error)) from None


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
