"""The map side of the shuffle: pairs in, one file of sorted runs with a partition index out.

Pairs gather in memory as plain lists; past `SMALL_ROWS` they move to Arrow columns; past the
budget they are sorted, partitioned and appended to the file as one run a partition, and gathering
starts again. Reducers merge the runs, in the order they were made, so pairs of one key keep their
input order. What triggers a spill are our own counts of pairs and bytes, never the clock or the
process's memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from gomr_runtime.dataflow.pairs.frames import size_of
from gomr_runtime.dataflow.pairs.pair_batch import Batch, weight
from gomr_runtime.dataflow.profile import timed
from gomr_runtime.dataflow.shuffle import lists
from gomr_runtime.dataflow.shuffle.partitioner import Partitioner
from gomr_runtime.errors import RecordFailed
from gomr_runtime.model.run_index import Run, encode_index

if TYPE_CHECKING:
    from gomr_runtime.dataflow.shuffle.columns import Segment

SMALL_ROWS = 32_768
SMALL_BYTES = 4 << 20
LARGE_BYTES = 16 << 20, 128 << 20
"""A batch that weighs more than the budget, but at least and at most this, is taken in pieces:
thousands of pairs may share one huge key, and as columns each has its own."""
MOST_CELL = 1 << 30
"""Bytes of a key or value: two of them must fit into one column of Arrow."""


class Sink(Protocol):
    """Where a task's file goes: a binary file opened for writing."""

    def write(self, data: bytes, /) -> object: ...


class RunWriter:
    """Appends sorted runs to a sink and remembers where each partition's lie."""

    def __init__(self, sink: Sink, partitioner: Partitioner) -> None:
        self.partitioner = partitioner
        self.rows = 0
        self._sink = sink
        self._at = 0
        self._runs: list[list[Run]] = [[] for _ in range(partitioner.partitions)]

    def write_small(self, batches: list[Batch]) -> None:
        """One run a partition from plain batches, uncompressed."""
        for p, parts in enumerate(lists.partition_sorted(batches, self.partitioner)):
            self.append(
                p, (frame for part in parts for frame in lists.frames_of(part, compress=False))
            )

    def write_columns(self, segments: list[Segment]) -> None:
        """One run a partition from columns, compressed."""
        from gomr_runtime.dataflow.shuffle import columns

        placed = [
            columns.partition_sorted(segment, self.partitioner)
            for segment in columns.concat(segments)
        ]
        for p in range(self.partitioner.partitions):
            slices = (
                segment.slice(bounds[p], bounds[p + 1] - bounds[p]) for segment, bounds in placed
            )
            self.append(
                p, (frame for rows in slices for frame in columns.frames_of(rows, compress=True))
            )

    def append(self, partition: int, frames: Iterable[tuple[int, bytes]]) -> None:
        """One run of a partition from (rows, frame) pairs, sorted by key; none makes no run."""
        run = write_run(self._sink, frames, self._at)
        if run.rows:
            self._runs[partition].append(run)
            self._at += run.length
            self.rows += run.rows

    def finish(self) -> tuple[int, int]:
        """Append the index; (size of the file, size of the index) in bytes."""
        raw = encode_index(self._runs)
        self._sink.write(raw)
        return self._at + len(raw), len(raw)


def write_run(sink: Sink, frames: Iterable[tuple[int, bytes]], offset: int = 0) -> Run:
    """Write (rows, frame) pairs to the sink, which is at `offset`."""
    length = rows = largest = 0
    for count, frame in frames:
        sink.write(frame)
        length += len(frame)
        rows += count
        largest = max(largest, size_of(frame))
        del frame  # before the next one is made: each may hold a huge value
    return Run(offset, length, rows, largest)


class Gatherer:
    """Holds pairs in memory until they are worth a run."""

    def __init__(self, writer: RunWriter, budget: int) -> None:
        """budget: bytes of gathered pairs that trigger a spill."""
        self._writer = writer
        self._budget = budget
        self._large = sorted((*LARGE_BYTES, budget))[1]
        self._batches: list[Batch] = []
        self._segments: list[Segment] = []
        self._rows = 0
        self._bytes = 0

    def add(self, batch: Batch) -> None:
        """Gather a batch; may write a run. RecordFailed for a key or value beyond `MOST_CELL`."""
        size = weight(batch)
        if size > self._large:
            _check_cells(batch)
            if len(batch.keys) > 1:
                for half in _halves(batch):
                    self.add(half)
                return
        if self._segments:
            self._add_columns([batch])
            return
        self._batches.append(batch)
        self._rows += len(batch.keys)
        self._bytes += size
        if self._rows > SMALL_ROWS or self._bytes > min(SMALL_BYTES, self._budget):
            batches, self._batches, self._bytes = self._batches, [], 0
            self._add_columns(batches)

    def spill(self) -> None:
        """Write what is gathered as one run a partition."""
        with timed("sort"):
            if self._segments:
                self._writer.write_columns(self._segments)
            elif self._batches:
                self._writer.write_small(self._batches)
        self._segments, self._batches = [], []
        self._rows = self._bytes = 0

    def _add_columns(self, batches: list[Batch]) -> None:
        from gomr_runtime.dataflow.shuffle import columns

        for batch in batches:
            segment = columns.segment_of(batch)
            self._segments.append(segment)
            self._bytes += segment.nbytes
        if self._bytes > self._budget:
            self.spill()


def _halves(batch: Batch) -> Iterator[Batch]:
    middle = len(batch.keys) // 2
    for some in (slice(middle), slice(middle, None)):
        yield Batch(batch.kind, batch.keys[some], batch.values[some], batch.uniform)


def _cell_bytes(cell: Any) -> int:
    if isinstance(cell, bytes) or (type(cell) is str and cell.isascii()):
        return len(cell)
    return len(cell.encode()) if type(cell) is str else 8


def _check_cells(batch: Batch) -> None:
    for what, cells in (("key", batch.keys), ("value", batch.values)):
        size = max(map(_cell_bytes, cells), default=0)
        if size > MOST_CELL:
            raise RecordFailed(
                f"a {what} of {size:,} bytes was emitted, and at most {MOST_CELL:,} fit: "
                "emit it in parts"
            )
