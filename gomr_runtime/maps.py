"""The list of committed map outputs: what `SealMaps` stores and every reducer reads."""

from __future__ import annotations

from collections.abc import Iterable

from gomr_runtime import checked
from gomr_runtime.job import MapOutput

VERSION = 2


def encode_maps(maps: Iterable[MapOutput]) -> bytes:
    """`maps` in task order, a row each, with a checksum: equal lists give equal bytes."""
    rows = [[m.task, m.key, m.size, m.index_bytes] for m in sorted(maps, key=lambda m: m.task)]
    return checked.encode({"version": VERSION, "maps": rows})


def decode_maps(data: bytes) -> list[MapOutput]:
    """The list of `encode_maps`, in task order; ValueError if it is anything else."""
    found = checked.decode(data)
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise ValueError("not a list of map outputs of this version")
    return [
        MapOutput(int(task), str(key), int(size), int(index))
        for task, key, size, index in found["maps"]
    ]
