"""JSON with a checksum: what a run keeps in the store besides data. One flipped bit is noticed.

The first line is the CRC-32 of what follows it, in hex; what follows is one JSON value.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from gomr_runtime.codec.fields import fields_of
from gomr_runtime.codec.typed_json import parse

_encode = json.JSONEncoder(separators=(",", ":"), default=fields_of).encode


def encode(value: Any) -> bytes:
    """Equal values give equal bytes, as long as their dicts were filled in the same order. Values
    of `gomr_runtime.model.job` may be in it, as their fields. ASCII, since user code may say lone
    surrogates."""
    body = _encode(value).encode("ascii")
    return b"%08x\n%s" % (zlib.crc32(body), body)


def decode(data: bytes) -> Any:
    """The value of `encode`'s bytes; ValueError for anything else."""
    body = data[9:]
    if data[:9] != b"%08x\n" % zlib.crc32(body):
        raise ValueError(f"the checksum does not match its {len(data)} bytes")
    return parse(body)
