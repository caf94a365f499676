"""The runs of a partition merged in the compiled part, a frame of each in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gomr_runtime.dataflow.pairs.frames import user_keys
from gomr_runtime.dataflow.pairs.keys import Kind
from gomr_runtime.dataflow.pairs.values import unpack
from gomr_runtime.dataflow.reduce import groups
from gomr_runtime.dataflow.reduce.groups import Giant
from gomr_runtime.dataflow.shuffle.run_reader import Cursor
from gomr_runtime.errors import CorruptBlock
from gomr_runtime.system import compiled

if TYPE_CHECKING:
    from gomr_native import Merge

WINDOW_ROWS = 16_384
WINDOW_BYTES = 2 << 20
_DONE = -2


@dataclass(frozen=True, slots=True)
class Merged:
    """The first `count` groups of a merge, whole; valid until the next ones are asked for."""

    kind: Kind
    merge: Merge
    count: int

    @property
    def rows(self) -> int:
        return self.merge.rows(self.count)

    def keys(self) -> list[Any]:
        """The keys as they were emitted."""
        return user_keys(self.kind, self.merge.keys(self.count))

    def lists(self) -> list[list[Any]]:
        """The values of each key."""
        return self.merge.lists(self.count, unpack)

    def sums(self) -> list[int] | None:
        """The sum of each key's values; None where one is no int or a sum leaves 64 bits."""
        return self.merge.sums(self.count)

    def text(self, *, summed: bool) -> bytes | None:
        """The lines of a text part: each key with its sum or with each value. None where only
        Python knows how they are written."""
        return self.merge.text(self.count, summed)


def merged(cursors: Sequence[Cursor]) -> Iterator[Merged | Giant]:
    """Every group of the runs in key order, values in the order of the runs."""
    while kinds := [c.upcoming.key_kind for c in cursors if c.upcoming is not None]:
        kind = min(kinds)
        yield from _Kind(kind, [c for c in cursors if _goes_on(c, kind)]).groups()


def _goes_on(cursor: Cursor, kind: Kind) -> bool:
    return cursor.upcoming is not None and cursor.upcoming.key_kind is kind


class _Kind:
    """The part of the merge whose keys are of one kind."""

    def __init__(self, kind: Kind, cursors: list[Cursor]) -> None:
        assert compiled.native is not None
        self._kind = kind
        self._cursors = cursors
        self._merge: Merge = compiled.native.Merge(len(cursors), kind)
        self._done = False
        for i in range(len(cursors)):
            self._feed(i)

    def groups(self) -> Iterator[Merged | Giant]:
        merge = self._merge
        while not (self._done and not merge.groups):
            self._fill(WINDOW_ROWS, WINDOW_BYTES)
            if merge.groups == 1 and not self._done:  # let it have more, before it is a giant
                self._fill(max(WINDOW_ROWS, groups.GIANT_ROWS), groups.GIANT_BYTES)
            whole = merge.groups if self._done else merge.groups - 1
            if whole:
                yield Merged(self._kind, merge, whole)
                merge.drop(whole)
            elif merge.groups:
                yield Giant(self._kind, merge.keys(1)[0], self._chunks())

    def _chunks(self) -> Iterator[tuple[list[Any], int]]:
        """The values of the window's one group, and all that follows of it."""
        merge = self._merge
        while True:
            size = merge.nbytes
            values = merge.lists(1, unpack)[0]
            last = merge.groups > 1 or self._done
            merge.drop(1 if last else 0)
            if values:
                yield values, size
            if last:
                return
            self._fill(WINDOW_ROWS, WINDOW_BYTES)

    def _fill(self, most_rows: int, most_bytes: int) -> None:
        merge, cursors, kind = self._merge, self._cursors, self._kind
        while (wanted := merge.step(most_rows, most_bytes)) >= 0:
            if _goes_on(cursors[wanted], kind):
                self._feed(wanted)
            else:
                merge.end()
        self._done = wanted == _DONE

    def _feed(self, number: int) -> None:
        cursor = self._cursors[number]
        frame = cursor.next()
        try:
            self._merge.feed(number, frame.value_kind, frame.rows, frame.keys, frame.values)
        except ValueError as error:
            damage = CorruptBlock(f"{cursor.where}: {error}")
            raise damage.of_map(cursor.map_task) from None
