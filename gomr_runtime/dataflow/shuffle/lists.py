"""Sorting and framing pairs with plain Python lists: for jobs too small to load Arrow for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gomr_runtime.dataflow.pairs.frames import (
    FIXED,
    TARGET_BYTES,
    TARGET_ROWS,
    encode_keys,
    encode_values,
    write_frame,
)
from gomr_runtime.dataflow.pairs.keys import Kind
from gomr_runtime.dataflow.pairs.pair_batch import Batch
from gomr_runtime.dataflow.pairs.values import KIND_OF_PLAIN, kind_of_value
from gomr_runtime.dataflow.shuffle.partitioner import Partitioner


def join(batches: list[Batch]) -> list[Batch]:
    """One batch for each key kind, in kind order, pairs in input order."""
    found: dict[Kind, Batch] = {}
    for batch in batches:
        into = found.get(batch.kind)
        if into is None:
            found[batch.kind] = Batch(batch.kind, list(batch.keys), list(batch.values))
        else:
            into.keys.extend(batch.keys)
            into.values.extend(batch.values)
    return [found[kind] for kind in sorted(found)]


def partition_sorted(batches: list[Batch], partitioner: Partitioner) -> list[list[Batch]]:
    """Sorted batches for each partition; pairs of one key keep their order."""
    parts: list[list[Batch]] = [[] for _ in range(partitioner.partitions)]
    for batch in join(batches):
        keys, values = batch.keys, batch.values
        where = partitioner.assign(batch.kind, keys)
        here: dict[int, Batch] = {}
        for i in sorted_order(batch.kind, keys):
            into = here.get(where[i])
            if into is None:
                into = here[where[i]] = Batch(batch.kind, [], [])
            into.keys.append(keys[i])
            into.values.append(values[i])
        for p, into in here.items():
            parts[p].append(into)
    return parts


def sorted_order(kind: Kind, keys: list[Any]) -> list[int]:
    """A stable order of row numbers by native key, which is the order of encoded keys."""
    if kind is Kind.NONE:
        return list(range(len(keys)))
    return sorted(range(len(keys)), key=keys.__getitem__)


def frames_of(batch: Batch, *, compress: bool) -> Iterator[tuple[int, bytes]]:
    """(rows, frame) pairs for a sorted batch, each frame of bounded rows and bytes."""
    start = 0
    while start < len(batch.keys):
        end = _frame_end(batch, start)
        keys, values = batch.keys[start:end], batch.values[start:end]
        kind = column_kind(values)
        yield (
            end - start,
            write_frame(
                batch.kind,
                kind,
                end - start,
                encode_keys(batch.kind, keys),
                encode_values(kind, values),
                compress=compress,
            ),
        )
        start = end


def column_kind(values: list[Any]) -> Kind:
    """The kind of column that holds these values: one plain kind, else PACKED."""
    types = set(map(type, values))
    if len(types) != 1:
        return Kind.PACKED
    kind = KIND_OF_PLAIN.get(types.pop(), Kind.PACKED)
    if kind is Kind.INT and kind_of_value(min(values)) is kind_of_value(max(values)) is Kind.INT:
        return kind
    return Kind.PACKED if kind is Kind.INT else kind


def _frame_end(batch: Batch, start: int) -> int:
    end = min(start + TARGET_ROWS, len(batch.keys))
    fixed_keys = batch.kind in FIXED or batch.kind is Kind.NONE
    size = 0
    for i in range(start, end):
        if not fixed_keys:
            size += len(batch.keys[i])
        value = batch.values[i]
        if isinstance(value, str | bytes):
            size += len(value)
        if size > TARGET_BYTES:
            return i + 1
    return end
