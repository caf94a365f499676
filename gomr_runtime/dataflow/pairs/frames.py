"""Frames: what map output and spills consist of. Readable and writable with and without Arrow.

A frame holds rows of one key kind and one value kind, in two columns:

    header   32 bytes: magic, kinds, codec, rows, column sizes, stored size, CRC-32 of all else
    body     key column, then value column; as a whole raw or lz4-compressed

A column of ints or floats is 8 little-endian bytes a row, of bools one byte a row, of None
nothing; any other is n sizes (uint32) followed by the payloads end to end. Big ints and tuples
are stored as their order-preserving payload, containers as msgpack.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Final

from gomr_runtime.dataflow.pairs.keys import Kind, decode_payload
from gomr_runtime.dataflow.pairs.values import Packed, pack, unpack
from gomr_runtime.errors import CorruptBlock

HEADER: Final = struct.Struct("<4sBBBBIIIII4x")
_HEAD: Final = struct.Struct("<4sBBBBIIII")
_CRC: Final = struct.Struct("<I4x")
MAGIC: Final = b"gmF1"
RAW, LZ4 = 0, 1

FIXED: Final = {Kind.INT: "q", Kind.FLOAT: "d", Kind.BOOL: "b"}
TARGET_ROWS: Final = 16_384
TARGET_BYTES: Final = 512 * 1024

if sys.byteorder != "little":
    raise ImportError("GoMR's frames need a little-endian machine")


@dataclass(frozen=True, slots=True)
class Header:
    """A frame's header; sizes in bytes, `stored` is the size of the body that follows."""

    key_kind: Kind
    value_kind: Kind
    codec: int
    rows: int
    key_size: int
    value_size: int
    stored: int
    crc: int
    seed: int
    """CRC-32 of the header itself, with which that of the body begins."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame: still bytes, but checked and uncompressed."""

    key_kind: Kind
    value_kind: Kind
    rows: int
    keys: memoryview
    values: memoryview


def write_frame(
    key_kind: Kind, value_kind: Kind, rows: int, keys: bytes, values: bytes, *, compress: bool
) -> bytes:
    """Header and body for two encoded columns; compression needs pyarrow."""
    return frame_of(key_kind, value_kind, rows, len(keys), keys + values, compress=compress)


def frame_of(
    key_kind: Kind, value_kind: Kind, rows: int, key_size: int, body: bytes, *, compress: bool
) -> bytes:
    """The same for both columns in one, the first `key_size` bytes of it the keys."""
    codec, size = RAW, len(body)
    if compress:
        import pyarrow as pa

        packed = pa.compress(body, codec="lz4_raw", asbytes=True)
        if len(packed) < len(body):
            codec, body = LZ4, packed
        del packed  # a huge value is copied once more below
    head = _HEAD.pack(
        MAGIC, key_kind, value_kind, codec, 0, rows, key_size, size - key_size, len(body)
    )
    return head + _CRC.pack(zlib.crc32(body, zlib.crc32(head))) + body


def size_of(frame: bytes) -> int:
    """Bytes of the columns in a frame just made, uncompressed."""
    _, _, _, _, _, _, keys, values, _, _ = HEADER.unpack_from(frame)
    return int(keys + values)


def read_header(raw: bytes | memoryview, where: str) -> Header:
    """The header at the start of `raw`; CorruptBlock naming `where` when it is none."""
    if len(raw) < HEADER.size:
        raise CorruptBlock(f"{where}: a frame ends inside its header")
    magic, key, value, codec, _, rows, keys, values, stored, crc = HEADER.unpack_from(raw)
    if magic != MAGIC or codec not in (RAW, LZ4):
        raise CorruptBlock(f"{where}: no frame begins here")
    try:
        key_kind, value_kind = Kind(key), Kind(value)
    except ValueError:
        raise CorruptBlock(f"{where}: a frame of unknown kinds {key} and {value}") from None
    seed = zlib.crc32(raw[: _HEAD.size])
    return Header(key_kind, value_kind, codec, rows, keys, values, stored, crc, seed)


def read_body(header: Header, body: memoryview, where: str) -> Frame:
    """The columns of a frame, after its checksum; CorruptBlock naming `where` on a mismatch."""
    if len(body) != header.stored or zlib.crc32(body, header.seed) != header.crc:
        raise CorruptBlock(f"{where}: checksum of a frame does not match its {len(body)} bytes")
    size = header.key_size + header.value_size
    if header.codec == LZ4:
        import pyarrow as pa

        try:
            body = memoryview(pa.decompress(body, size, codec="lz4_raw", asbytes=True))
        except (OSError, pa.ArrowException) as error:
            raise CorruptBlock(f"{where}: a frame does not decompress: {error}") from None
    fits = _fits(header.key_kind, header.rows, body[: header.key_size]) and _fits(
        header.value_kind, header.rows, body[header.key_size :]
    )
    if len(body) != size or not fits:
        raise CorruptBlock(f"{where}: a frame's columns do not hold its {header.rows} rows")
    return Frame(
        header.key_kind,
        header.value_kind,
        header.rows,
        body[: header.key_size],
        body[header.key_size :],
    )


def encode_keys(kind: Kind, keys: Sequence[Any]) -> bytes:
    """A key column from native keys (see `batch.Batch`) of one kind."""
    if kind in FIXED:
        return array(FIXED[kind], keys).tobytes()
    if kind is Kind.NONE:
        return b""
    if kind is Kind.STR:
        return _join([key.encode() for key in keys])
    return _join(keys)


def encode_values(kind: Kind, values: Sequence[Any]) -> bytes:
    """A value column from frozen Python values (see `values.freeze`) of one kind."""
    if kind in FIXED:
        return array(FIXED[kind], values).tobytes()
    if kind is Kind.NONE:
        return b""
    if kind is Kind.STR:
        return _join([value.encode() for value in values])
    if kind is Kind.BYTES:
        return _join(values)
    return _join([v if type(v) is Packed else pack(v) for v in values])


def decode_keys(frame: Frame) -> list[Any]:
    """The key column as native keys."""
    kind = frame.key_kind
    if kind in (Kind.INT, Kind.FLOAT):
        return frame.keys.cast(FIXED[kind]).tolist()  # type: ignore[call-overload, no-any-return]
    if kind is Kind.BOOL:
        return [bool(b) for b in frame.keys]
    if kind is Kind.NONE:
        return [None] * frame.rows
    cells = _cells(frame.keys, frame.rows)
    return [cell.decode() for cell in cells] if kind is Kind.STR else cells


def user_keys(kind: Kind, keys: list[Any]) -> list[Any]:
    """Native keys as the keys that were emitted."""
    if kind in (Kind.TUPLE, Kind.NEGATIVE_BIG, Kind.POSITIVE_BIG):
        return [decode_payload(kind, key) for key in keys]
    return keys


def decode_values(frame: Frame) -> list[Any]:
    """The value column as the Python values that were emitted."""
    kind = frame.value_kind
    if kind in (Kind.INT, Kind.FLOAT):
        return frame.values.cast(FIXED[kind]).tolist()  # type: ignore[call-overload, no-any-return]
    if kind is Kind.BOOL:
        return [bool(b) for b in frame.values]
    if kind is Kind.NONE:
        return [None] * frame.rows
    cells = _cells(frame.values, frame.rows)
    if kind is Kind.STR:
        return [cell.decode() for cell in cells]
    if kind is Kind.BYTES:
        return cells
    return [unpack(cell) for cell in cells]


def _fits(kind: Kind, rows: int, column: memoryview) -> bool:
    """Whether the column has at least the bytes that so many rows need."""
    if kind is Kind.NONE:
        return not len(column)
    if kind in FIXED:
        return len(column) == rows * (1 if kind is Kind.BOOL else 8)
    return len(column) >= 4 * rows


def _join(cells: Sequence[bytes]) -> bytes:
    return array("I", map(len, cells)).tobytes() + b"".join(cells)


def _cells(column: memoryview, rows: int) -> list[bytes]:
    ends = list(accumulate(column[: 4 * rows].cast("I"), initial=4 * rows))
    if ends[-1] != len(column):
        raise CorruptBlock(f"a column of {len(column)} bytes holds cells up to byte {ends[-1]}")
    return [bytes(column[a:b]) for a, b in pairwise(ends)]
