"""Cut points of a total order as a stored object: encoded keys in hex, as checked JSON."""

from __future__ import annotations

from itertools import pairwise

from gomr_runtime.codec import checked
from gomr_runtime.dataflow.pairs.keys import decode


def write_cuts(cuts: list[bytes]) -> bytes:
    """Ascending encoded keys as bytes to store."""
    return checked.encode([cut.hex() for cut in cuts])


def read_cuts(raw: bytes) -> list[bytes]:
    """The inverse; ValueError for anything else."""
    found = checked.decode(raw)
    if not isinstance(found, list):
        raise ValueError("cut points are a list")
    if not all(isinstance(cut, str) for cut in found):
        raise ValueError("a cut point is a str of hex digits")
    cuts = [bytes.fromhex(cut) for cut in found]
    for cut in cuts:
        decode(cut)
    if any(a >= b for a, b in pairwise(cuts)):
        raise ValueError("cut points ascend")
    return cuts
