"""The values of one key in order, of which there may be more than fit in memory.

What fits is sorted as a list. Of more, sorted runs go to files in the scratch folder and are merged
from there, in passes when there are many. Equal values keep their input order.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from gomr_runtime.dataflow.pairs.frames import decode_values
from gomr_runtime.dataflow.pairs.keys import Kind
from gomr_runtime.dataflow.pairs.pair_batch import Batch
from gomr_runtime.dataflow.pairs.values import Packed, freeze, holds_nan
from gomr_runtime.dataflow.scratch import open_scratch
from gomr_runtime.dataflow.shuffle import lists
from gomr_runtime.dataflow.shuffle.gather import write_run
from gomr_runtime.dataflow.shuffle.run_reader import Cursor
from gomr_runtime.model.run_index import Run
from gomr_runtime.system.file_blob import FileBlob

READ_AHEAD = 64 << 10  # bytes
FRAME_ROWS = 4_096
FRAME_BYTES = 256 << 10
RUN_COST = 1 << 20
"""What a run of usual frames costs while it is merged: one, most of it as Python objects."""
FRAME_COPIES = 4
"""How often a run's largest frame is in memory while it is merged."""
_SIZED: Final = frozenset({str, bytes, Packed})
_CONTAINERS: Final = frozenset({list, tuple, dict})
_MAY_HOLD_NAN: Final = frozenset({float, list, tuple})

SortKey = Callable[[Any], Any] | None
Chunks = Iterable[tuple[list[Any], int]]
"""(values, bytes of them as stored) pieces in order."""


@dataclass(frozen=True, slots=True)
class _Sorted:
    """A file of sorted values."""

    path: Path
    run: Run


class ValueSorter:
    """Sorts the values of one key after the other; call `clear` between them."""

    def __init__(self, key: SortKey, scratch: Path, budget: int, tick: Callable[[], None]) -> None:
        """key: as of `sorted`. budget: bytes of values held at once. tick: for signs of life."""
        self._key = key
        self._scratch = scratch
        self._budget = budget
        self._tick = tick
        self._numbers = count()
        self._files: list[_Sorted] = []

    def sort(self, chunks: Chunks) -> Iterator[Any]:
        """All values in order. Every chunk is read, and everything is written, before this
        returns."""
        held: list[Any] = []
        size = 0
        for values, stored in chunks:
            held += values
            size += bytes_of(values, stored)
            if size > self._budget:
                sort_in_place(held, self._key)
                self._files.append(self._write(held))
                held, size = [], 0
        sort_in_place(held, self._key)
        if not self._files:
            return iter(held)
        if held:
            self._files.append(self._write(held))
        while len(lots := self._lots()) > 1:
            self._files = []
            for lot in lots:
                self._files.append(self._write(self._merged(lot)))
                _remove(lot)
        return self._merged(self._files)

    def _lots(self) -> list[list[_Sorted]]:
        """Neighbours that can be merged at once: as many as fit, and at least two."""
        lots: list[list[_Sorted]] = []
        left = 0
        for file in self._files:
            cost = max(RUN_COST, FRAME_COPIES * file.run.largest)
            if not lots or (cost > left and len(lots[-1]) > 1):
                lots.append([])
                left = self._budget
            lots[-1].append(file)
            left -= cost
        return lots

    def clear(self) -> None:
        """Remove the files of the last key."""
        _remove(self._files)
        self._files = []

    def _merged(self, files: list[_Sorted]) -> Iterator[Any]:
        """Earlier files hold earlier values, so equal ones keep their order."""
        with ExitStack() as stack:
            yield from heapq.merge(*(self._read(file, stack) for file in files), key=self._key)

    def _read(self, file: _Sorted, stack: ExitStack) -> Iterator[Any]:
        blob = FileBlob(file.path)
        stack.callback(blob.close)
        for frame in Cursor(blob, file.run, f"sorted values {file.path}", READ_AHEAD).frames():
            self._tick()
            yield from decode_values(frame)

    def _write(self, values: Iterable[Any]) -> _Sorted:
        path = self._scratch / f"values-{next(self._numbers)}"
        with open_scratch(path) as file:
            return _Sorted(path, write_run(file, _frames(values)))


def sort_in_place(values: list[Any], key: SortKey) -> None:
    """Equal ones keep their order. TypeError for what has no order: two values that do not compare,
    or NaN, whose place would depend on how many are sorted at once."""
    if key is not None:
        values.sort(key=lambda value: _ordered(key(value)))
        return
    if not _MAY_HOLD_NAN.isdisjoint(map(type, values)):
        for value in values:
            _ordered(value)
    values.sort()


def _ordered(value: Any) -> Any:
    if holds_nan(value):
        raise TypeError("NaN has no place in an order: leave it out, or sort by another key")
    return value


def bytes_of(values: list[Any], stored: int) -> int:
    """What the values take as Python objects, roughly: a count of our own, never a measurement."""
    types = set(map(type, values))
    size = 64 * len(values)
    if not types.isdisjoint(_SIZED):
        size += sum(len(value) for value in values if type(value) in _SIZED)
    return size if types.isdisjoint(_CONTAINERS) else size + 8 * stored


def _frames(values: Iterable[Any]) -> Iterator[tuple[int, bytes]]:
    some: list[Any] = []
    size = 0
    for value in values:
        cell = freeze(value)
        some.append(cell)
        if type(cell) in _SIZED:
            size += len(cell)
        if len(some) >= FRAME_ROWS or size >= FRAME_BYTES:
            yield from _frames_of(some)
            some, size = [], 0
    yield from _frames_of(some)


def _frames_of(cells: list[Any]) -> Iterator[tuple[int, bytes]]:
    return lists.frames_of(Batch(Kind.NONE, [None] * len(cells), cells), compress=True)


def _remove(files: list[_Sorted]) -> None:
    for file in files:
        file.path.unlink(missing_ok=True)
