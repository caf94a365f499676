"""Sizes and durations as people write them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|)", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes in `text`: `64MiB` (powers of 1024), `1.5 GB` (powers of 1000), `4096`."""
    match = _SIZE.fullmatch(text.strip())
    if not match or (match[2] and text.strip()[-1] not in "bBiI"):
        raise ValueError(f"{text!r} is no size: write 512MB, 64MiB or a number of bytes")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** " kmgt".index(match[2].lower() or " "))


def parse_duration(text: str) -> float:
    """Seconds in `text`: `90`, `90s`, `10m`, `2h`, `1d`."""
    match = _DURATION.fullmatch(text.strip())
    if not match or not float(match[1]):
        raise ValueError(f"{text!r} is no duration: write 90, 90s, 10m, 2h or 1d, above zero")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2].lower()]


def format_size(count: float) -> str:
    """`count` bytes for people: `64 B`, `3.2 MB` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def format_duration(seconds: float) -> str:
    """`seconds` for people: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
