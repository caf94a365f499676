"""Cut points of a total order as a stored object: encoded keys in hex, as JSON."""

from __future__ import annotations

import json
from itertools import pairwise

from gomr_runtime.dataflow.keys import decode


def write_cuts(cuts: list[bytes]) -> bytes:
    """Ascending encoded keys as bytes to store."""
    return json.dumps([cut.hex() for cut in cuts]).encode()


def read_cuts(raw: bytes) -> list[bytes]:
    """The inverse; ValueError for anything else."""
    found = json.loads(raw)
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
