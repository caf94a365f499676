"""Dataclasses as JSON encoders want them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any


def fields_of(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name, those that are dataclasses as they are.

    JSON encoders call it for each of them; `dataclasses.asdict` would copy every string.
    """
    return {name: getattr(value, name) for name in _names(type(value))}


_NAMES: dict[type, tuple[str, ...]] = {}


def _names(kind: type) -> tuple[str, ...]:
    """The names of a dataclass's fields; TypeError for anything else."""
    if kind not in _NAMES:
        _NAMES[kind] = tuple(field.name for field in dataclasses.fields(kind))
    return _NAMES[kind]


def to_json(value: Any) -> bytes:
    """Return a dataclass as compact, key-sorted JSON: equal values give equal bytes.

    ASCII: protobuf refuses the lone surrogates of file names and of what user code says.
    """
    return _to_json(value).encode()


_to_json = json.JSONEncoder(separators=(",", ":"), sort_keys=True, default=fields_of).encode
