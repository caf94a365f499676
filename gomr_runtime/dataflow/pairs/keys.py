"""What a key may be, its order, and its encoding.

Every key has a kind (its type, with ints beyond 64 bits apart). Keys order by kind, then by
value; `encode` maps that order onto bytes: `encode(a) < encode(b)` iff a comes first, and equal
bytes mean the same key. 1, 1.0, True and "1" are four keys. Columns hold one kind each, so the
kind byte itself is stored once a column and never with each key.

Tuples follow the order-preserving encoding of FoundationDB's tuple layer: elements carry their
kind byte, variable-length elements end in 00 with 00 inside escaped to 00 FF.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, Final

from gomr_runtime.dataflow.pairs.conversions import refusal

INT64_MIN: Final = -(1 << 63)
INT64_MAX: Final = (1 << 63) - 1


class Kind(IntEnum):
    """The type of a key or value; key columns sort in this order."""

    NONE = 1
    BOOL = 2
    NEGATIVE_BIG = 3  # ints below -2**63
    INT = 4
    POSITIVE_BIG = 5  # ints above 2**63 - 1
    FLOAT = 6
    STR = 7
    BYTES = 8
    TUPLE = 9
    PACKED = 10  # values only: msgpack


KIND_OF_TYPE: Final[dict[type, Kind]] = {
    type(None): Kind.NONE,
    bool: Kind.BOOL,
    int: Kind.INT,
    float: Kind.FLOAT,
    str: Kind.STR,
    bytes: Kind.BYTES,
    tuple: Kind.TUPLE,
}

_FLOAT = struct.Struct(">d")
_SIGN = 1 << 63
_ALL = (1 << 64) - 1


class PairRefused(TypeError):
    """Something that was emitted and is no pair; the message says why and what to do.

    place: the user's lines, as a traceback shows them, where the traceback does not have them.
    """

    place = ""


class KeyRefused(PairRefused):
    """A value that cannot be a key."""


class ColumnsRefused(PairRefused):
    """Columns that are no pairs."""


def kind_of(key: Any, *, held: bool = False) -> Kind:
    """The kind of `key`, or of what a tuple holds; KeyRefused for what is not exactly a key type.

    Subclasses (numpy scalars, enums) are refused: they would come back as another type.
    """
    kind = KIND_OF_TYPE.get(type(key))
    if kind is None:
        raise KeyRefused(refusal(key, "key", held=held))
    if kind is Kind.INT and not INT64_MIN <= key <= INT64_MAX:
        return Kind.NEGATIVE_BIG if key < 0 else Kind.POSITIVE_BIG
    if kind is Kind.FLOAT and key != key:  # noqa: PLR0124  (NaN)
        raise KeyRefused("a key may not be NaN, which equals nothing")
    return kind


def encode(key: Any) -> bytes:
    """`key` as bytes that sort like keys; KeyRefused for what cannot be a key."""
    kind = kind_of(key)
    return bytes((kind,)) + payload(kind, key)


def payload(kind: Kind, key: Any) -> bytes:
    """The encoding of a key of known kind without its kind byte."""
    if kind is Kind.STR:
        try:
            return key.encode()  # type: ignore[no-any-return]
        except UnicodeEncodeError:
            raise KeyRefused(f"key {key!r} holds a lone surrogate; encode it first") from None
    if kind is Kind.INT:
        return (key + _SIGN).to_bytes(8, "big")  # type: ignore[no-any-return]
    if kind is Kind.FLOAT:
        return _float_payload(key)
    if kind is Kind.BYTES:
        return key  # type: ignore[no-any-return]
    if kind is Kind.TUPLE:
        try:
            return b"".join(map(_element, key)) + b"\x00"
        except RecursionError:
            raise KeyRefused("a key may not be a tuple nested so deeply") from None
    if kind is Kind.BOOL:
        return b"\x01" if key else b"\x00"
    if kind is Kind.NONE:
        return b""
    return big_payload(key)


def big_payload(number: int) -> bytes:
    """An int beyond 64 bits: length, then magnitude; complemented when negative."""
    magnitude = abs(number)
    size = (magnitude.bit_length() + 7) // 8
    raw = size.to_bytes(4, "big") + magnitude.to_bytes(size, "big")
    return raw if number > 0 else bytes(b ^ 0xFF for b in raw)


def big_from_payload(raw: bytes) -> int:
    """The inverse of `big_payload`."""
    if raw[0] & 0x80:
        return -int.from_bytes(bytes(b ^ 0xFF for b in raw[4:]), "big")
    return int.from_bytes(raw[4:], "big")


def decode(encoded: bytes) -> Any:
    """The inverse of `encode`; ValueError for bytes that it never makes."""
    if not encoded:
        raise ValueError("an encoded key has at least its kind byte")
    kind = Kind(encoded[0])
    key = decode_payload(kind, encoded[1:])
    try:
        same = encode(key) == encoded
    except KeyRefused:  # NaN, or a str that only looks like one
        same = False
    if not same:
        raise ValueError(f"no key of kind {kind.name} is encoded like this")
    return key


def decode_payload(kind: Kind, raw: bytes) -> Any:
    """The inverse of `payload`; ValueError where the bytes cannot be read as one."""
    try:
        return _decode(kind, raw)
    except (IndexError, OverflowError, RecursionError, struct.error):
        raise ValueError(f"not the payload of a {kind.name} key") from None


def _decode(kind: Kind, raw: bytes) -> Any:
    if kind is Kind.STR:
        return raw.decode()
    if kind is Kind.TUPLE:
        items, end = _decode_tuple(raw, 0)
        if end != len(raw):
            raise ValueError("bytes after the end of a tuple key")
        return items
    if kind is Kind.BYTES:
        return raw
    if kind is Kind.INT:
        return int.from_bytes(raw, "big") - _SIGN
    if kind is Kind.FLOAT:
        return _float_from(raw)
    if kind is Kind.BOOL:
        return raw == b"\x01"
    if kind is Kind.NONE:
        return None
    if kind is Kind.PACKED:
        raise ValueError("a packed value is no key")
    return big_from_payload(raw)


def _float_payload(key: float) -> bytes:
    bits = int.from_bytes(_FLOAT.pack(key + 0.0), "big")  # -0.0 + 0.0 is 0.0
    return (bits ^ (_ALL if bits & _SIGN else _SIGN)).to_bytes(8, "big")


def _float_from(raw: bytes) -> float:
    bits = int.from_bytes(raw, "big")
    bits ^= _SIGN if bits & _SIGN else _ALL
    return float(_FLOAT.unpack(bits.to_bytes(8, "big"))[0])


def _element(item: Any) -> bytes:
    kind = kind_of(item, held=True)
    raw = payload(kind, item)
    if kind in (Kind.STR, Kind.BYTES):
        raw = raw.replace(b"\x00", b"\x00\xff") + b"\x00"
    return bytes((kind,)) + raw


_FIXED = {Kind.NONE: 0, Kind.BOOL: 1, Kind.INT: 8, Kind.FLOAT: 8}


def _decode_tuple(raw: bytes, at: int) -> tuple[tuple[Any, ...], int]:
    items: list[Any] = []
    while raw[at]:
        kind = Kind(raw[at])
        at += 1
        if kind is Kind.TUPLE:
            item, at = _decode_tuple(raw, at)
            items.append(item)
            continue
        end = _element_end(kind, raw, at)
        body = raw[at:end]
        if kind in (Kind.STR, Kind.BYTES):
            body = body[:-1].replace(b"\x00\xff", b"\x00")
        items.append(decode_payload(kind, body))
        at = end
    return tuple(items), at + 1


def _element_end(kind: Kind, raw: bytes, at: int) -> int:
    if kind in _FIXED:
        return at + _FIXED[kind]
    if kind in (Kind.NEGATIVE_BIG, Kind.POSITIVE_BIG):
        size = int.from_bytes(raw[at : at + 4], "big")
        return at + 4 + (size if kind is Kind.POSITIVE_BIG else size ^ 0xFFFFFFFF)
    end = raw.index(0, at)
    while raw[end + 1 : end + 2] == b"\xff":
        end = raw.index(0, end + 2)
    return end + 1
