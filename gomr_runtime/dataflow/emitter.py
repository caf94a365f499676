"""`ctx.emit` and its likes: two parallel lists, drained in bulk.

Checking and converting happen a batch at a time; `marks` remember where each record's pairs
begin, so that a bad pair found later still names its record.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, repeat
from types import GeneratorType
from typing import Any, Protocol

from gomr_runtime.context import Context
from gomr_runtime.dataflow.batch import Batch, check_container, weight
from gomr_runtime.dataflow.keys import Kind
from gomr_runtime.dataflow.values import PLAIN, freeze

MOST_PAIRS = 65_536
LEAST_PAIRS = 16
DRAIN_BYTES = 4 << 20
_MANY = 8_192
SCALARS = ("int", "float", "str", "bytes", "bool", "number")
"""Value types that cannot change after emit: nothing to freeze, types are checked in bulk."""

Drain = Callable[[list[Any], list[Any]], None]
"""Takes pairs that it may keep; raises BadPair with the index of the first bad one."""


class Ticks(Protocol):
    """Called for every sign of life."""

    def __call__(self) -> None: ...


class Emitter:
    """Pairs that user code emitted and that are not drained yet.

    origins: whatever the caller notes at each mark (a record number, a key), for `origin_of`.
    """

    __slots__ = (
        "_drain",
        "emitted",
        "keys",
        "limit",
        "marks",
        "origins",
        "values",
        "whole_records",
    )

    def __init__(self, drain: Drain, *, whole_records: bool = False) -> None:
        """whole_records: never drain a record whose mapper call has not returned yet."""
        self.keys: list[Any] = []
        self.values: list[Any] = []
        self.marks: list[int] = []
        self.origins: list[Any] = []
        self.limit = LEAST_PAIRS
        self.emitted = 0
        self.whole_records = whole_records
        self._drain = drain

    def bind(self, ctx: Context, value_type: str, tick: Ticks) -> None:
        """Give `ctx` its emit, emit_many, count and progress."""
        ctx.emit = self._emit_function(value_type)
        ctx.emit_many = self._emit_many_function(value_type, tick)
        ctx.count = self._count
        ctx.progress = tick

    def begin(self, origin: Any) -> None:
        """What follows belongs to `origin`."""
        self.marks.append(len(self.keys))
        self.origins.append(origin)

    def origin_of(self, index: int) -> Any:
        """The origin of pair `index` of the lists as they are."""
        return self.origins[bisect_right(self.marks, index) - 1]

    def drop_last(self) -> None:
        """Forget the pairs of the record begun last."""
        start = self.marks[-1]
        del self.keys[start:], self.values[start:]

    def drop(self, index: int) -> Any:
        """Forget the whole record that pair `index` belongs to; returns its origin."""
        at = bisect_right(self.marks, index) - 1
        start = self.marks[at]
        end = self.marks[at + 1] if at + 1 < len(self.marks) else len(self.keys)
        del self.keys[start:end], self.values[start:end]
        origin = self.origins.pop(at)
        del self.marks[at]
        for i in range(at, len(self.marks)):
            self.marks[i] -= end - start
        return origin

    def drain(self) -> None:
        """Hand on everything; raises BadPair and keeps the pairs when one is bad."""
        count = len(self.keys)
        if not count:
            self._forget()
            return
        keys, values = self.keys[:], self.values[:]
        self._drain(keys, values)
        self.emitted += count
        self.keys.clear()
        self.values.clear()
        self._forget()
        self.limit = _next_limit(keys, values)

    def overflow(self) -> None:
        """Called in the middle of a record when the lists are full."""
        if not self.whole_records:
            origin = self.origins[-1:]
            self.drain()
            if origin:
                self.begin(origin[0])
            return
        self.limit = max(2 * len(self.keys), self.limit)

    def _forget(self) -> None:
        self.marks.clear()
        self.origins.clear()

    def _emit_function(self, value_type: str) -> Callable[[Any, Any], None]:
        keys, values = self.keys, self.values
        add_key, add_value = keys.append, values.append
        if value_type in SCALARS:

            def emit_scalar(key: Any, value: Any) -> None:
                add_key(key)
                add_value(value)
                if len(keys) > self.limit:
                    self.overflow()

            return emit_scalar

        def emit(key: Any, value: Any) -> None:
            add_value(value if value.__class__ in plain else frozen(value))
            add_key(key)
            if len(keys) > self.limit:
                self.overflow()

        plain = PLAIN if not value_type else frozenset()
        frozen = freeze if not value_type else _container_freezer(value_type)
        return emit

    def _emit_many_function(
        self, value_type: str, tick: Ticks
    ) -> Callable[[Iterable[tuple[Any, Any]]], None]:
        keys, values = self.keys, self.values
        fixed = value_type in SCALARS
        frozen = _container_freezer(value_type) if value_type and not fixed else freeze

        def emit_many(pairs: Iterable[tuple[Any, Any]]) -> None:
            source = iter(pairs)
            while some := list(islice(source, _MANY)):
                some_keys, some_values = zip(*some, strict=True)
                values.extend(some_values if fixed else map(frozen, some_values))
                keys.extend(some_keys)
                tick()
                if len(keys) > self.limit:
                    self.overflow()

        return emit_many

    def _count(self, counted: Iterable[Any]) -> None:
        source: Iterator[Any] = iter(counted)
        while some := list(islice(source, MOST_PAIRS)):
            self.keys.extend(some)
            self.values.extend(repeat(1, len(some)))
            if len(self.keys) > self.limit:
                self.overflow()


def _next_limit(keys: list[Any], values: list[Any]) -> int:
    """How many pairs to gather next, from the size of every so many of these."""
    step = max(1, len(keys) // 256)
    sampled = Batch(Kind.PACKED, keys[::step], values[::step])
    pair = max(1, weight(sampled) // len(sampled.keys))
    return max(LEAST_PAIRS, min(MOST_PAIRS, DRAIN_BYTES // pair))


def emit_yielded(ctx: Context, returned: object) -> None:
    """Emit what a user function yields, where it is written as a generator."""
    if isinstance(returned, GeneratorType):
        ctx.emit_many(returned)


def _container_freezer(value_type: str) -> Callable[[Any], Any]:
    def frozen(value: Any) -> Any:
        check_container(value, value_type)
        return freeze(value)

    return frozen
