"""The fixed hash that assigns keys to partitions: ours, so that it never changes.

Words of 8 little-endian bytes of the key's payload (zero-padded; the length is mixed in first)
go through a multiply and xor-shift each, and the finaliser of MurmurHash3 (Appleby, public
domain) at the end. `hash_one` and `hash_column` give the same answer; the second works on a
whole Arrow-shaped column at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Words = npt.NDArray[np.uint64]

_MASK: Final = (1 << 64) - 1
_SEED: Final = 0x9E3779B97F4A7C15
_STEP: Final = 0xBF58476D1CE4E5B9
_FEW: Final = 8
"""So few long keys are cheaper one by one than a numpy call for each word."""
_MIX1: Final = 0xFF51AFD7ED558CCD
_MIX2: Final = 0xC4CEB9FE1A85EC53


def hash_one(kind: int, payload: bytes) -> int:
    """64-bit hash of one key, given its kind and encoded payload."""
    size = len(payload)
    h = _absorb(((kind * _SEED) & _MASK) ^ size, payload)
    h = ((h ^ (h >> 33)) * _MIX1) & _MASK
    h = ((h ^ (h >> 33)) * _MIX2) & _MASK
    return h ^ (h >> 33)


def _absorb(h: int, payload: bytes) -> int:
    for at in range(0, len(payload), 8):
        h = ((h ^ int.from_bytes(payload[at : at + 8], "little")) * _STEP) & _MASK
        h ^= h >> 29
    return h


def partition_one(kind: int, payload: bytes, partitions: int) -> int:
    """The partition of one key: the high 32 bits of its hash, scaled."""
    return ((hash_one(kind, payload) >> 32) * partitions) >> 32


def hash_column(
    kind: int, data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], sizes: Words
) -> Words:
    """64-bit hashes of `n` payloads lying in `data`: starts and sizes in bytes, shape (n,)."""
    import numpy as np

    u64 = np.uint64
    padded = np.concatenate([data, np.zeros(8, np.uint8)])
    view = np.ndarray((len(data) + 1,), "<u8", padded, strides=(1,))
    h = u64((kind * _SEED) & _MASK) ^ sizes
    longest = int(sizes.max(initial=0))
    chosen: npt.NDArray[np.int64] | None = None  # None: every row still has a word
    for at in range(0, longest, 8):
        if chosen is not None:
            chosen = chosen[sizes[chosen] > u64(at)]
        elif int(sizes.min(initial=longest)) <= at:
            chosen = np.flatnonzero(sizes > u64(at))
        if chosen is not None and len(chosen) <= _FEW:
            for row in chosen.tolist():
                first, size = int(starts[row]), int(sizes[row])
                h[row] = _absorb(int(h[row]), data[first + at : first + size].tobytes())
            break
        rows = slice(None) if chosen is None else chosen
        words = view[starts[rows] + at]
        left = sizes[rows] - u64(at)
        unused = u64(64) - u64(8) * np.minimum(left, u64(8))
        words = (words << unused) >> unused
        part = (h[rows] ^ words) * u64(_STEP)
        part ^= part >> u64(29)
        h[rows] = part
    h = (h ^ (h >> u64(33))) * u64(_MIX1)
    h = (h ^ (h >> u64(33))) * u64(_MIX2)
    h ^= h >> u64(33)
    return h


def partition_column(hashes: Words, partitions: int) -> npt.NDArray[np.uint32]:
    """Partition numbers for a column of hashes, shape (n,)."""
    import numpy as np

    scaled = ((hashes >> np.uint64(32)) * np.uint64(partitions)) >> np.uint64(32)
    return scaled.astype(np.uint32)
