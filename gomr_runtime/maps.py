"""The list of committed map outputs: what `SealMaps` stores and every reducer reads."""

from __future__ import annotations

import json
from collections.abc import Iterable

from gomr_runtime.job import MapOutput

VERSION = 1


def encode_maps(maps: Iterable[MapOutput]) -> bytes:
    """`maps` in task order, one JSON row each: equal lists give equal bytes."""
    rows = [[m.task, m.key, m.size, m.index_bytes] for m in sorted(maps, key=lambda m: m.task)]
    return json.dumps({"version": VERSION, "maps": rows}, separators=(",", ":")).encode()


def decode_maps(data: bytes) -> list[MapOutput]:
    """The list of `encode_maps`, in task order; ValueError if it is anything else."""
    found = json.loads(data)
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise ValueError("not a list of map outputs of this version")
    return [
        MapOutput(int(task), str(key), int(size), int(index))
        for task, key, size, index in found["maps"]
    ]
