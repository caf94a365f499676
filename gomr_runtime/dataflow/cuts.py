"""Cut points of a total order as a stored object: encoded keys in hex, as JSON."""

from __future__ import annotations

import json


def write_cuts(cuts: list[bytes]) -> bytes:
    """Ascending encoded keys as bytes to store."""
    return json.dumps([cut.hex() for cut in cuts]).encode()


def read_cuts(raw: bytes) -> list[bytes]:
    """The inverse; ValueError for anything else."""
    found = json.loads(raw)
    if not isinstance(found, list):
        raise ValueError("cut points are a list")
    return [bytes.fromhex(cut) for cut in found]
