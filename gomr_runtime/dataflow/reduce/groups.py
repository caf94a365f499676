"""From a sorted stream to groups: each key once, with its values in input order.

Keys are native (see `batch.Batch`): `frames.user_keys` gives them as emitted.

Keys that fit come in windows of many; a key with more values than `GIANT_ROWS` or `GIANT_BYTES`
comes alone, its values streamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gomr_runtime.dataflow.pairs.frames import decode_keys, decode_values
from gomr_runtime.dataflow.pairs.keys import Kind
from gomr_runtime.dataflow.pairs.pair_batch import Batch, weight_of_values
from gomr_runtime.dataflow.shuffle import lists
from gomr_runtime.dataflow.shuffle.run_reader import Cursor

if TYPE_CHECKING:
    from gomr_runtime.dataflow.shuffle.columns import Segment

GIANT_ROWS = 65_536
GIANT_BYTES = 8 << 20
WINDOW_ROWS = 65_536


@dataclass(slots=True)
class Window:
    """Whole groups: key `keys[i]` has `values[starts[i]:starts[i + 1]]`.

    size: bytes of the values, roughly; that of a key, which may be huge, tells nothing of what its
    values take. uniform_ints: every value is an int of 64 bits.
    """

    kind: Kind
    keys: list[Any]
    starts: list[int]
    values: list[Any]
    size: int
    uniform_ints: bool = False


@dataclass(slots=True)
class Giant:
    """One group too large for a window; `chunks` must be consumed before the next group."""

    kind: Kind
    key: Any
    chunks: Iterator[tuple[list[Any], int]]
    """(values, bytes) pieces in order."""


def windows_of_columns(segments: Iterable[Segment]) -> Iterator[Window]:
    """Sorted segments as windows; the last group of one may go on in the next."""
    from gomr_runtime.dataflow.reduce.arrow_merge import group_starts
    from gomr_runtime.dataflow.shuffle import columns

    for segment in _sliced(segments):
        starts = group_starts(segment)
        distinct = segment.keys.take(starts[:-1])
        native = columns.native_keys(
            columns.Segment(segment.key_kind, segment.value_kind, distinct, distinct)
        )
        yield Window(
            segment.key_kind,
            native,
            starts,
            columns.python_values(segment),
            int(segment.values.nbytes),
            segment.value_kind is Kind.INT,
        )


def _sliced(segments: Iterable[Segment]) -> Iterator[Segment]:
    """The same rows, at most `WINDOW_ROWS` at once: as Python objects they take several times the
    room."""
    for segment in segments:
        for start in range(0, segment.rows, WINDOW_ROWS):
            yield segment.slice(start, min(WINDOW_ROWS, segment.rows - start))


def read_small(cursors: Iterable[Cursor], most_bytes: int) -> list[Batch] | None:
    """All runs read whole; None when they hold more than that once they are uncompressed."""
    batches = []
    size = 0
    for cursor in cursors:
        while (header := cursor.upcoming) is not None:
            size += header.key_size + header.value_size
            if size > most_bytes:
                return None
            frame = cursor.next()
            batches.append(Batch(frame.key_kind, decode_keys(frame), decode_values(frame)))
    return batches


def windows_of_batches(batches: list[Batch]) -> Iterator[Window]:
    """Pairs sorted in plain Python: for partitions that are small."""
    for batch in lists.join(batches):
        order = lists.sorted_order(batch.kind, batch.keys)
        keys = [batch.keys[i] for i in order]
        starts = [0, *(i for i in range(1, len(keys)) if keys[i] != keys[i - 1]), len(keys)]
        yield Window(
            batch.kind,
            [keys[i] for i in starts[:-1]],
            starts,
            [batch.values[i] for i in order],
            weight_of_values(batch.values),
        )


def groups(windows: Iterable[Window]) -> Iterator[Window | Giant]:
    """Windows in which every group is whole, and giants between them."""
    stream = _Stream(iter(windows))
    while (window := stream.pull()) is not None:
        tail = window.starts[-2]
        if len(window.keys) > 1:
            yield _head_of(window, tail)
        yield stream.finish_group(_tail_of(window, tail))


class _Stream:
    """Windows with one window of push-back."""

    def __init__(self, windows: Iterator[Window]) -> None:
        self._windows = windows
        self._back: Window | None = None

    def pull(self) -> Window | None:
        window, self._back = self._back, None
        return window if window is not None else next(self._windows, None)

    def finish_group(self, tail: Window) -> Window | Giant:
        """The group that `tail` begins, with what the next windows hold of it."""
        while tail.starts[-1] <= GIANT_ROWS and tail.size <= GIANT_BYTES:
            more = self._continuation(tail.kind, tail.keys[0])
            if more is None:
                return tail
            tail.values += more.values
            tail.starts = [0, len(tail.values)]
            tail.size += more.size
            tail.uniform_ints = tail.uniform_ints and more.uniform_ints
        return Giant(tail.kind, tail.keys[0], self._chunks(tail))

    def _chunks(self, tail: Window) -> Iterator[tuple[list[Any], int]]:
        kind, key = tail.kind, tail.keys[0]
        chunk: Window | None = tail
        while chunk is not None:
            yield chunk.values, chunk.size
            chunk = self._continuation(kind, key)

    def _continuation(self, kind: Kind, key: Any) -> Window | None:
        window = self.pull()
        if window is None:
            return None
        if window.kind is not kind or window.keys[0] != key:
            self._back = window
            return None
        if len(window.keys) > 1:
            self._back = _rest_of(window)
            return _head_of(window, window.starts[1], groups=1)
        return window


def _head_of(window: Window, rows: int, groups: int | None = None) -> Window:
    count = len(window.keys) - 1 if groups is None else groups
    return Window(
        window.kind,
        window.keys[:count],
        window.starts[: count + 1],
        window.values[:rows],
        _share(window, rows),
        window.uniform_ints,
    )


def _tail_of(window: Window, start: int) -> Window:
    rows = window.starts[-1] - start
    return Window(
        window.kind,
        window.keys[-1:],
        [0, rows],
        window.values[start:],
        _share(window, rows),
        window.uniform_ints,
    )


def _rest_of(window: Window) -> Window:
    first = window.starts[1]
    return Window(
        window.kind,
        window.keys[1:],
        [start - first for start in window.starts[1:]],
        window.values[first:],
        _share(window, window.starts[-1] - first),
        window.uniform_ints,
    )


def _share(window: Window, rows: int) -> int:
    return window.size * rows // max(1, window.starts[-1])
