"""The windowed merge of sorted runs: one sorted stream in bounded memory, on columns.

Of every run at most one frame is held. The boundary is the smallest last key among the runs that
have more to come: rows below it are complete, so they are sorted together (stably, in run order,
which keeps the input order of values). Rows equal to the boundary follow run by run, frame by
frame, so that a key of any number of rows passes in bounded memory and every step advances.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from gomr_runtime.dataflow.pairs.keys import Kind
from gomr_runtime.dataflow.shuffle import columns
from gomr_runtime.dataflow.shuffle.columns import Segment
from gomr_runtime.dataflow.shuffle.run_reader import Cursor


def merge(cursors: Sequence[Cursor]) -> Iterator[Segment]:
    """Segments whose rows, end to end, are all rows of the runs in key order, then run order."""
    while kinds := [c.upcoming.key_kind for c in cursors if c.upcoming is not None]:
        kind = min(kinds)
        yield from _merge_kind([_Head(c, kind) for c in cursors if _next_is(c, kind)])


_NO_ROWS = pa.array([], pa.int64())  # to take: a slice of no rows would keep the frame in memory


class _Head:
    """The rows of one run that are loaded and not yet taken, all of one kind."""

    __slots__ = ("cursor", "kind", "rows")

    def __init__(self, cursor: Cursor, kind: Kind) -> None:
        self.cursor = cursor
        self.kind = kind
        self.rows = columns.segment_from(cursor.next())

    @property
    def more(self) -> bool:
        """Whether the run goes on with this kind behind the loaded rows."""
        return _next_is(self.cursor, self.kind)

    @property
    def last(self) -> Any:
        return self.rows.keys[-1].as_py()

    def take(self, rows: int) -> Segment:
        if rows == self.rows.rows:
            taken, self.rows = self.rows, self.rows.take(_NO_ROWS)
            return taken
        taken = self.rows.slice(0, rows)
        self.rows = self.rows.slice(rows, self.rows.rows - rows)
        return taken

    def load(self) -> None:
        self.rows = columns.segment_from(self.cursor.next())


def _next_is(cursor: Cursor, kind: Kind) -> bool:
    return cursor.upcoming is not None and cursor.upcoming.key_kind is kind


def _merge_kind(heads: list[_Head]) -> Iterator[Segment]:
    while heads:
        open_ended = [head.last for head in heads if head.more]
        if not open_ended:
            yield _sorted([head.rows for head in heads])
            return
        boundary = min(open_ended)
        below = [head.take(_lower(head.rows, boundary)) for head in heads]
        below = [segment for segment in below if segment.rows]
        if below:
            yield _sorted(below)
        for head in heads:
            yield from _equal(head, boundary)
        heads = [head for head in heads if head.rows.rows]


def _equal(head: _Head, boundary: Any) -> Iterator[Segment]:
    while True:
        rows = _upper(head.rows, boundary)
        if rows:
            yield head.take(rows)
        if head.rows.rows or not head.more:
            return
        head.load()


def _sorted(segments: list[Segment]) -> Segment:
    joined = columns.concat(segments)[0]
    if len(segments) == 1:
        return joined
    return joined.take(pa.array(columns.sort_order(joined)))


def _lower(segment: Segment, key: Any) -> int:
    return bisect_left(_Keys(segment), key)


def _upper(segment: Segment, key: Any) -> int:
    keys = _Keys(segment)
    return 0 if not len(keys) or keys[0] > key else bisect_right(keys, key)


class _Keys:
    """The key column as a sequence of Python values, for bisect."""

    __slots__ = ("_column",)

    def __init__(self, segment: Segment) -> None:
        self._column = segment.keys

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, i: int) -> Any:
        return self._column[i].as_py()


def group_starts(segment: Segment) -> list[int]:
    """Row numbers at which a new key begins, and the number of rows at the end."""
    rows = segment.rows
    if rows < 2:
        return [0, rows]
    if segment.keys.type == pa.binary():
        import pyarrow.compute as pc

        changed = pc.not_equal(segment.keys.slice(1), segment.keys.slice(0, rows - 1))
        differs = changed.to_numpy(zero_copy_only=False)
    else:
        numbers = segment.keys.to_numpy()
        differs = numbers[1:] != numbers[:-1]
    return [0, *(np.flatnonzero(differs) + 1).tolist(), rows]
