"""What a key may be, in which order keys come and to which part they go."""

from __future__ import annotations

import math
import struct
from typing import Any

TYPES = (type(None), bool, int, float, str, bytes, tuple)
_ALL = (1 << 64) - 1


class Refused(Exception):
    """The run fails. kind: one of `kinds.KINDS`."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def checked(key: Any) -> Any:
    """The key as it comes back: -0.0 is 0.0. Refused for what is none."""
    if type(key) not in TYPES:
        raise Refused("key_kind")
    if isinstance(key, float):
        if math.isnan(key):
            raise Refused("key_nan")
        return key + 0.0
    if isinstance(key, str) and any("\ud800" <= c <= "\udfff" for c in key):
        raise Refused("key_surrogate")
    return tuple(map(checked, key)) if isinstance(key, tuple) else key


def rank(key: Any) -> tuple[int, Any]:
    """Compares as keys do: by type, then by value. Equal only for one key."""
    at = TYPES.index(type(key))
    if key is None:
        return at, 0
    return at, tuple(map(rank, key)) if isinstance(key, tuple) else key


def partition(key: Any, parts: int) -> int:
    """Where the fixed hash puts a key."""
    kind, payload = encoded(key)
    h = ((kind * 0x9E3779B97F4A7C15) & _ALL) ^ len(payload)
    for at in range(0, len(payload), 8):
        word = int.from_bytes(payload[at : at + 8], "little")
        h = ((h ^ word) * 0xBF58476D1CE4E5B9) & _ALL
        h ^= h >> 29
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        h = ((h ^ (h >> 33)) * factor) & _ALL
    return (((h ^ (h >> 33)) >> 32) * parts) >> 32


def encoded(key: Any) -> tuple[int, bytes]:
    """The kind and the payload of a key, whose hash decides on its part."""
    if key is None:
        return 1, b""
    if isinstance(key, bool):
        return 2, bytes([key])
    if isinstance(key, int):
        return _encoded_int(key)
    if isinstance(key, float):
        bits = int.from_bytes(struct.pack(">d", key), "big")
        return 6, (bits ^ (_ALL if bits >> 63 else 1 << 63)).to_bytes(8, "big")
    if isinstance(key, str):
        return 7, key.encode()
    if isinstance(key, bytes):
        return 8, key
    return 9, b"".join(map(_item, key)) + b"\0"


def _encoded_int(key: int) -> tuple[int, bytes]:
    if -(2**63) <= key < 2**63:
        return 4, (key + 2**63).to_bytes(8, "big")
    size = (abs(key).bit_length() + 7) // 8
    raw = size.to_bytes(4, "big") + abs(key).to_bytes(size, "big")
    return (5, raw) if key > 0 else (3, bytes(255 - byte for byte in raw))


def _item(key: Any) -> bytes:
    kind, payload = encoded(key)
    if kind in (7, 8):
        payload = payload.replace(b"\0", b"\0\xff") + b"\0"
    return bytes([kind]) + payload
