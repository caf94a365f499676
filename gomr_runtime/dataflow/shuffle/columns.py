"""The same pairs as Arrow columns: sorting, partitioning and framing without touching each pair.

pyarrow is imported with this module, so only jobs that are large enough pay for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gomr_runtime.dataflow.pairs.frames import TARGET_BYTES, TARGET_ROWS, Frame, frame_of
from gomr_runtime.dataflow.pairs.hashing import hash_column, partition_column
from gomr_runtime.dataflow.pairs.keys import Kind
from gomr_runtime.dataflow.pairs.pair_batch import Batch
from gomr_runtime.dataflow.pairs.values import Packed, pack, unpack
from gomr_runtime.dataflow.shuffle.lists import column_kind
from gomr_runtime.dataflow.shuffle.partitioner import Partitioner, UserPartitioner
from gomr_runtime.errors import CorruptBlock

Rows = npt.NDArray[np.int64]

_FIXED_TYPES = {
    Kind.INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.BOOL: pa.int8(),
    Kind.NONE: pa.int8(),
}
_SIGN = np.uint64(1 << 63)


@dataclass(slots=True)
class Segment:
    """Pairs of one key kind and one value kind; both columns are Arrow arrays of equal length."""

    key_kind: Kind
    value_kind: Kind
    keys: Any
    values: Any

    @property
    def rows(self) -> int:
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        return int(self.keys.nbytes) + int(self.values.nbytes)

    def take(self, order: Any) -> Segment:
        return Segment(
            self.key_kind, self.value_kind, self.keys.take(order), self.values.take(order)
        )

    def slice(self, start: int, rows: int) -> Segment:
        return Segment(
            self.key_kind,
            self.value_kind,
            self.keys.slice(start, rows),
            self.values.slice(start, rows),
        )


def segment_of(batch: Batch) -> Segment:
    """A batch as columns."""
    kind = column_kind(batch.values)
    return Segment(
        batch.kind, kind, cells_array(batch.kind, batch.keys), cells_array(kind, batch.values)
    )


def concat(segments: list[Segment]) -> list[Segment]:
    """One segment for each key kind, in kind order, rows in the given order."""
    joined = []
    for kind in sorted({segment.key_kind for segment in segments}):
        same = [segment for segment in segments if segment.key_kind is kind]
        value_kind = same[0].value_kind
        if any(segment.value_kind is not value_kind for segment in same):
            value_kind = Kind.PACKED
            same = [packed(segment) for segment in same]
        joined.append(
            same[0]
            if len(same) == 1
            else Segment(
                kind,
                value_kind,
                pa.concat_arrays([segment.keys for segment in same]),
                pa.concat_arrays([segment.values for segment in same]),
            )
        )
    return joined


def packed(segment: Segment) -> Segment:
    """The same pairs with every value packed, so that any two segments can be joined."""
    if segment.value_kind is Kind.PACKED:
        return segment
    cells = [pack(value) for value in python_values(segment)]
    return Segment(segment.key_kind, Kind.PACKED, segment.keys, pa.array(cells, pa.binary()))


def sort_order(segment: Segment) -> Rows:
    """A stable order of rows by key."""
    if segment.key_kind is Kind.NONE:
        return np.arange(segment.rows, dtype=np.int64)
    order = pc.array_sort_indices(segment.keys)
    return order.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)  # type: ignore[no-any-return]


def partition_sorted(segment: Segment, partitioner: Partitioner) -> tuple[Segment, list[int]]:
    """The segment ordered by partition, then key (stable); bounds[p] to bounds[p + 1] are the
    rows of partition p."""
    order = sort_order(segment)
    if partitioner.partitions == 1 and not isinstance(partitioner, UserPartitioner):
        return segment.take(pa.array(order)), [0, segment.rows]
    where = partitions_of(segment, partitioner)[order]
    by_partition = np.argsort(where, kind="stable")
    bounds = np.searchsorted(where[by_partition], np.arange(partitioner.partitions + 1))
    return segment.take(pa.array(order[by_partition])), bounds.tolist()


def partitions_of(segment: Segment, partitioner: Partitioner) -> npt.NDArray[np.uint16 | np.uint32]:
    """The partition of each row."""
    if partitioner.hashes:
        where = partition_column(hashes(segment), partitioner.partitions)
    else:
        where = np.array(
            partitioner.assign(segment.key_kind, native_keys(segment)), dtype=np.uint32
        )
    return where.astype(np.uint16) if partitioner.partitions < 1 << 16 else where


def hashes(segment: Segment) -> npt.NDArray[np.uint64]:
    """The fixed hash of every key."""
    kind, rows = segment.key_kind, segment.rows
    if kind in (Kind.NONE, Kind.BOOL):
        width = 0 if kind is Kind.NONE else 1
        data = _numbers(segment.keys).view(np.uint8)
    elif kind in _FIXED_TYPES:
        width = 8
        data = _ordered_bytes(kind, _numbers(segment.keys))
    else:
        offsets, data = binary_parts(segment.keys)
        sizes = np.diff(offsets).astype(np.uint64)
        return hash_column(kind, data, offsets[:-1].astype(np.int64), sizes)
    starts = np.arange(rows, dtype=np.int64) * width
    return hash_column(kind, data, starts, np.full(rows, width, np.uint64))


def _ordered_bytes(kind: Kind, numbers: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    bits = numbers.view(np.uint64)
    bits = bits ^ _SIGN if kind is Kind.INT else np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return bits.astype(">u8").view(np.uint8)


def frames_of(segment: Segment, *, compress: bool) -> Iterator[tuple[int, bytes]]:
    """(rows, frame) pairs for a sorted segment, each frame of bounded rows and bytes."""
    ends = _row_ends(segment)
    start = 0
    while start < segment.rows:
        before = int(ends[start - 1]) if start else 0
        within = int(np.searchsorted(ends, before + TARGET_BYTES, side="right"))
        end = max(start + 1, min(within, start + TARGET_ROWS))
        part = segment.slice(start, end - start)
        start = end
        yield (
            part.rows,
            _frame(part, compress=compress),
        )


def _frame(part: Segment, *, compress: bool) -> bytes:
    # Joined once: a single value may be a good part of the memory.
    keys = _column_parts(part.key_kind, part.keys)
    body = b"".join((*keys, *_column_parts(part.value_kind, part.values)))
    size = sum(map(len, keys))
    return frame_of(part.key_kind, part.value_kind, part.rows, size, body, compress=compress)


def _row_ends(segment: Segment) -> Rows:
    """Bytes of both columns up to and with each row: one huge row must not widen its frame."""
    ends = np.zeros(segment.rows, np.int64)
    for kind, column in ((segment.key_kind, segment.keys), (segment.value_kind, segment.values)):
        if kind in _FIXED_TYPES:
            ends += np.arange(8, 8 * segment.rows + 8, 8)
        else:
            ends += binary_parts(column)[0][1:]
            ends += np.arange(4, 4 * segment.rows + 4, 4)
    return ends


def segment_from(frame: Frame) -> Segment:
    """A frame's columns as Arrow arrays over the same memory."""
    return Segment(
        frame.key_kind,
        frame.value_kind,
        stored_array(frame.key_kind, frame.rows, frame.keys),
        stored_array(frame.value_kind, frame.rows, frame.values),
    )


def native_keys(segment: Segment) -> list[Any]:
    """The key column as native keys (see `batch.Batch`)."""
    return _python(segment.key_kind, segment.keys)


def python_values(segment: Segment) -> list[Any]:
    """The value column as the values that were emitted."""
    if segment.value_kind is Kind.PACKED:
        return [unpack(cell) for cell in segment.values.to_pylist()]
    return _python(segment.value_kind, segment.values)


def binary_parts(column: Any) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Offsets (n + 1) from 0 and the payload bytes of a binary column."""
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int32, len(column) + 1, 4 * column.offset)
    payload = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    return ends - ends[0], payload[ends[0] : ends[-1]]


def cells_array(kind: Kind, cells: list[Any]) -> Any:
    """An Arrow array of native keys or frozen values of one kind."""
    fixed = _FIXED_TYPES.get(kind)
    if kind in (Kind.NONE, Kind.BOOL):
        return pa.array(np.array([bool(cell) for cell in cells], np.int8))
    if fixed is not None:
        return pa.array(cells, fixed)
    if kind is Kind.STR:
        return pa.array(cells, pa.string()).cast(pa.binary())
    if kind is Kind.PACKED:
        return pa.array([c if type(c) is Packed else pack(c) for c in cells], pa.binary())
    return pa.array(cells, pa.binary())


def _column_parts(kind: Kind, column: Any) -> tuple[memoryview, ...]:
    """What the stored column consists of; bytes."""
    if kind is Kind.NONE:
        return ()
    if kind in _FIXED_TYPES:
        return (_numbers(column).view(np.uint8).data,)
    offsets, data = binary_parts(column)
    return np.diff(offsets).astype(np.uint32).view(np.uint8).data, data.data


def stored_array(kind: Kind, rows: int, raw: memoryview) -> Any:
    """A column of a frame as an Arrow array over the same memory."""
    if kind is Kind.NONE:
        return pa.array(np.zeros(rows, np.int8))
    fixed = _FIXED_TYPES.get(kind)
    if fixed is not None:
        return pa.Array.from_buffers(fixed, rows, [None, pa.py_buffer(raw)])
    offsets = np.zeros(rows + 1, np.int32)
    np.cumsum(np.frombuffer(raw, np.uint32, rows), out=offsets[1:])
    if offsets[-1] != len(raw) - 4 * rows:
        raise CorruptBlock(f"a column of {len(raw)} bytes holds cells of {offsets[-1]} bytes")
    return pa.Array.from_buffers(
        pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(raw[4 * rows :])]
    )


def _numbers(column: Any) -> npt.NDArray[Any]:
    return column.to_numpy(zero_copy_only=True)  # type: ignore[no-any-return]


def _python(kind: Kind, column: Any) -> list[Any]:
    if kind is Kind.NONE:
        return [None] * len(column)
    if kind is Kind.BOOL:
        return [bool(cell) for cell in column.to_pylist()]
    if kind is Kind.STR:
        return column.view(pa.string()).to_pylist()  # type: ignore[no-any-return]
    return column.to_pylist()  # type: ignore[no-any-return]
