"""The list of committed map outputs: what `SealMaps` stores and every reducer reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gomr_runtime.codec import checked
from gomr_runtime.codec.typed_json import shown, take
from gomr_runtime.model.task import MapOutput

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
    rows = found.get("maps")
    if not isinstance(rows, list):
        raise ValueError(f"maps: {shown(rows)} is no list")
    outputs = [_output(row) for row in rows]
    if [output.task for output in outputs] != list(range(len(outputs))):
        raise ValueError("its map outputs are not those of every map, in order")
    return outputs


def _output(row: Any) -> MapOutput:
    if not isinstance(row, list) or len(row) != len(_FIELDS):
        raise ValueError(f"{shown(row)} is no map output")
    return take(MapOutput, dict(zip(_FIELDS, row, strict=True)))


_FIELDS = ("task", "key", "size", "index_bytes")
