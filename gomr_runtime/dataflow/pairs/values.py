"""What a value may be, and how values that are not plain scalars are packed (msgpack).

Scalars travel in typed columns. Containers, ints beyond 64 bits and columns of mixed types are
packed one by one; tuples and big ints ride as msgpack extensions, so that every value comes back
with the type it had.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack

from gomr_runtime.dataflow.pairs.conversions import refusal
from gomr_runtime.dataflow.pairs.keys import INT64_MAX, INT64_MIN, Kind, PairRefused

_TUPLE: Final = 1
_BIG: Final = 2

PLAIN: Final = frozenset({int, str, float, bool, bytes, type(None)})
KIND_OF_PLAIN: Final[dict[type, Kind]] = {
    type(None): Kind.NONE,
    bool: Kind.BOOL,
    int: Kind.INT,
    float: Kind.FLOAT,
    str: Kind.STR,
    bytes: Kind.BYTES,
}


class ValueRefused(PairRefused):
    """Something that cannot be a value."""


class Packed(bytes):
    """A container as it was at `emit`: packed at once, so that later changes have no effect."""

    __slots__ = ()


def freeze(value: Any) -> Any:
    """`value` itself when it cannot change, else `Packed`; ValueRefused for other types."""
    return value if type(value) in PLAIN else Packed(pack(value))


def thaw(value: Any) -> Any:
    """The inverse of `freeze`."""
    return unpack(value) if type(value) is Packed else value


def holds_nan(value: Any) -> bool:
    """Whether it is NaN, or a list or tuple with one in it: what has no place in any order."""
    if type(value) in (list, tuple):
        return any(map(holds_nan, value))
    return bool(value != value)  # noqa: PLR0124


def pack(value: Any) -> bytes:
    """`value` as msgpack; ValueRefused when a part of it is not a value type."""
    try:
        _check(value)
        packed: bytes = msgpack.packb(value, default=_extend, strict_types=True)
    except UnicodeEncodeError:
        raise ValueRefused("a str in the value holds a lone surrogate; encode it first") from None
    except (RecursionError, ValueError):  # msgpack stops at 511 levels
        raise ValueRefused("a value may not be nested so deeply") from None
    return packed


def unpack(raw: bytes) -> Any:
    """The inverse of `pack`; ValueError for bytes that it never makes."""
    return msgpack.unpackb(raw, ext_hook=_restore, strict_map_key=False, max_ext_len=len(raw))


def kind_of_value(value: Any) -> Kind:
    """The column kind for one value: its own when plain and within 64 bits, else PACKED."""
    kind = KIND_OF_PLAIN.get(type(value), Kind.PACKED)
    if kind is Kind.INT and not INT64_MIN <= value <= INT64_MAX:
        return Kind.PACKED
    return kind


def _check(value: Any, *, held: bool = False) -> None:
    kind = type(value)
    if kind in PLAIN:
        return
    if kind is list or kind is tuple:
        for item in value:
            _check(item, held=True)
    elif kind is dict:
        for name, item in value.items():
            if type(name) is not str:
                raise ValueRefused(f"a dict in a value needs str keys, not {type(name).__name__}")
            _check(item, held=True)
    else:
        raise ValueRefused(refusal(value, "value", held=held))


def _extend(value: Any) -> msgpack.ExtType:
    if type(value) is tuple:
        return msgpack.ExtType(
            _TUPLE, msgpack.packb(list(value), default=_extend, strict_types=True)
        )
    size = value.bit_length() // 8 + 1
    return msgpack.ExtType(_BIG, value.to_bytes(size, "big", signed=True))


def _restore(code: int, raw: bytes) -> Any:
    if code == _TUPLE:
        return tuple(unpack(raw))
    if code == _BIG:
        return int.from_bytes(raw, "big", signed=True)
    raise ValueError(f"unknown msgpack extension {code}")
