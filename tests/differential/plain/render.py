"""Pairs as the bytes of a part."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from typing import Any

from tests.differential.plain.api import Pair
from tests.differential.plain.keys import Refused

CONTAINERS = (list, tuple, dict)
ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


def rendered(pairs: list[Pair], output_format: str) -> bytes:
    """One part. `text`, `jsonl` or `csv`."""
    if output_format == "csv":
        text = io.StringIO(newline="")
        rows = csv.writer(text)
        rows.writerow(["key", "value"])
        rows.writerows([_csv(key), _csv(value)] for key, value in pairs)
        return text.getvalue().encode()
    line = _text if output_format == "text" else _json_line
    return "".join(line(key, value) for key, value in pairs).encode()


def check_cells(pairs: list[Pair], output_format: str) -> None:
    """Refused where a format cannot hold a pair, whatever the others are."""
    if output_format == "jsonl":
        rendered(pairs, "jsonl")
    cells = (cell for pair in pairs for cell in pair)
    if output_format == "csv" and any(isinstance(cell, CONTAINERS) for cell in cells):
        raise Refused("column_containers")


def check_types(pairs: list[Pair]) -> None:
    """Refused where a column of csv would hold two types."""
    for column in zip(*pairs, strict=True):
        if len(set(map(type, column)) - {type(None), *CONTAINERS}) > 1:
            raise Refused("column_types")


def _text(key: Any, value: Any) -> str:
    return f"{_cell(key)}\t{_cell(value)}\n"


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return "".join(ESCAPES.get(c, c) for c in value)
    return json.dumps(_jsonable(value), ensure_ascii=False, separators=(",", ":"))


def _json_line(key: Any, value: Any) -> str:
    if not (_finite(key) and _finite(value)):
        raise Refused("json_nan")
    pair = {"key": _jsonable(key), "value": _jsonable(value)}
    return json.dumps(pair, ensure_ascii=False) + "\n"


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    inner = value.values() if isinstance(value, dict) else value
    return not isinstance(value, list | tuple | dict) or all(map(_finite, inner))


def _jsonable(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return list(map(_jsonable, value))
    if isinstance(value, dict):
        return {name: _jsonable(inner) for name, inner in value.items()}
    return value


def _csv(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, str) else _cell(value)
