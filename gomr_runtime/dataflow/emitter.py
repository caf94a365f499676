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
from gomr_runtime.dataflow.batch import BadPair, Batch, check_container, weight
from gomr_runtime.dataflow.emit_columns import ColumnEmit
from gomr_runtime.dataflow.keys import Kind
from gomr_runtime.dataflow.values import PLAIN, freeze
from gomr_runtime.profile import timed

MOST_PAIRS = 8_192
DRAIN_BYTES = 4 << 20
"""So many pairs or bytes are worth a drain."""
CHECK_PAIRS = 4_096
LEAST_PAIRS = 16
"""Pairs from one look at their bytes to the next, by how large the last ones were."""
WHOLE_PAIRS = 1 << 20
WHOLE_BYTES = 64 << 20
"""What may be held of records that are drained as a whole."""
SCALARS = ("int", "float", "str", "bytes", "bool", "number")
"""Value types that cannot change after emit: nothing to freeze, types are checked in bulk."""

Drain = Callable[[list[Any], list[Any]], None]
"""Takes pairs that it may keep; raises BadPair with the index of the first bad one."""


class RecordTooRich(ValueError):
    """The pairs of one record are too many to hold until its end."""


class Ticks(Protocol):
    """Called for every sign of life."""

    def __call__(self) -> None: ...


class Emitter:
    """Pairs that user code emitted and that are not drained yet.

    drained: told after every drain that nothing is held any more.
    overflowing: told within a record that more pairs are held than `limit`.
    count_keys: where the order of pairs does not matter, takes the keys of `ctx.count` at once.
    origins: whatever the caller notes at each mark (a record number, a key), for `origin_of`.
    failed: what ended a drain for good. User code may swallow it, so every later drain raises it
    again, and whoever called user code looks here whose error it was.
    """

    __slots__ = (
        "_check",
        "_drain",
        "_tick",
        "_weighed",
        "_weight",
        "count_keys",
        "drained",
        "emitted",
        "failed",
        "keys",
        "limit",
        "marks",
        "origins",
        "overflowing",
        "values",
        "whole_records",
    )

    def __init__(
        self,
        drain: Drain,
        *,
        whole_records: bool = False,
        check: Callable[[Any, Any], None] | None = None,
    ) -> None:
        """whole_records: never drain a record whose mapper call has not returned yet. check: raises
        for a pair that cannot be written, as it is emitted."""
        self.keys: list[Any] = []
        self.values: list[Any] = []
        self.marks: list[int] = []
        self.origins: list[Any] = []
        self.limit = LEAST_PAIRS
        self.emitted = 0
        self.failed: BaseException | None = None
        self.count_keys: Callable[[list[Any]], None] | None = None
        self.drained: Callable[[], None] = _silent
        self.overflowing: Callable[[], None] = _silent
        self.whole_records = whole_records
        self._check = check
        self._drain = drain
        self._tick: Ticks = _silent
        self._weighed = 0  # pairs, of those held, whose bytes are in _weight
        self._weight = 0

    def bind(self, ctx: Context, value_type: str, tick: Ticks) -> None:
        """Give `ctx` its emit, emit_many, emit_batch, count and progress."""
        self._tick = tick
        ctx.emit = self._emit_function(value_type)
        ctx.emit_many = self._emit_many_function(value_type, tick)
        ctx.emit_batch = ColumnEmit(ctx)
        ctx.count = self._count
        ctx.progress = tick

    def begin(self, origin: Any) -> None:
        """What follows belongs to `origin`."""
        self.marks.append(len(self.keys))
        self.origins.append(origin)

    def origin_of(self, index: int) -> Any:
        """The origin of pair `index` of the lists as they are."""
        return self.origins[bisect_right(self.marks, index) - 1]

    def fresh(self) -> Emitter:
        """An emitter of the same drain that holds nothing and stands in front of nothing."""
        return Emitter(self._drain, check=self._check)

    def forget(self) -> None:
        """Forget every pair held."""
        self.keys.clear()
        self.values.clear()
        self._forget()
        self._weighed = self._weight = 0

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
        if self.failed is not None:
            raise self.failed
        count = len(self.keys)
        if not count:
            self._forget()
            self.drained()
            return
        keys, values = self.keys[:], self.values[:]
        try:
            with timed("emit"):
                self._drain(keys, values)
        except BadPair:
            raise
        except BaseException as error:
            self.failed = error
            raise
        self.emitted += count
        self.keys.clear()
        self.values.clear()
        self._forget()
        self.limit -= count
        self._weighed = self._weight = 0
        self.drained()

    def drain_records(self, refuse: Callable[[Any, str], None]) -> None:
        """Hand on everything but the records with a bad pair, each as a whole: `refuse` is called
        with the origin of each and why. In linear time, whatever is bad."""
        if self.failed is not None or not self.origins:
            self.drain()
            return
        keys, values, origins = self.keys[:], self.values[:], self.origins[:]
        bounds = [0, *self.marks[1:], len(keys)]
        self.forget()
        self.limit -= len(keys)
        try:
            self._drain_range(keys, values, bounds, origins, refuse, 0, len(origins))
        except BaseException as error:
            self.failed = error
            raise
        self.drained()

    def _drain_range(
        self,
        keys: list[Any],
        values: list[Any],
        bounds: list[int],
        origins: list[Any],
        refuse: Callable[[Any, str], None],
        first: int,
        last: int,
    ) -> None:
        """The records [first, last): together, else one half after the other."""
        start, end = bounds[first], bounds[last]
        if start == end:
            return
        try:
            with timed("emit"):
                self._drain(keys[start:end], values[start:end])
            self.emitted += end - start
        except BadPair as error:
            if last - first == 1:
                refuse(origins[first], error.reason)
                return
            middle = (first + last) // 2
            self._drain_range(keys, values, bounds, origins, refuse, first, middle)
            self._drain_range(keys, values, bounds, origins, refuse, middle, last)

    def check(self) -> None:
        """Between records, past the limit: weigh what is new, drain when it has become much."""
        self._weigh()
        if len(self.keys) >= MOST_PAIRS or self._weight >= DRAIN_BYTES:
            self.drain()

    def overflow(self) -> None:
        """The same in the middle of a record. One that is drained as a whole has to fit."""
        self.overflowing()
        self._tick()
        if self.failed is not None:
            raise self.failed
        self._weigh()
        if len(self.keys) < MOST_PAIRS and self._weight < DRAIN_BYTES:
            return
        if not self.whole_records:
            origin = self.origins[-1:]
            self.drain()
            if origin:
                self.begin(origin[0])
        elif len(self.keys) > WHOLE_PAIRS or self._weight > WHOLE_BYTES:
            raise RecordTooRich(
                f"the record emitted more than {WHOLE_PAIRS:,} pairs or {WHOLE_BYTES >> 20} MiB, "
                "which --skip-bad-records would hold in memory until it is known to be good"
            )

    def _weigh(self) -> None:
        """Add the new pairs to the weight; the next look comes the sooner the larger they are."""
        count = len(self.keys)
        if count < self._weighed:  # records were dropped
            self._weighed = self._weight = 0
        keys, values = self.keys[self._weighed :], self.values[self._weighed :]
        if keys:
            pair = _pair_bytes(keys, values)
            self._weight += pair * len(keys)
            step = max(LEAST_PAIRS, min(CHECK_PAIRS, DRAIN_BYTES // (4 * pair)))
            self.limit = count + step
        self._weighed = count

    def _forget(self) -> None:
        self.marks.clear()
        self.origins.clear()

    def _emit_function(self, value_type: str) -> Callable[[Any, Any], None]:
        emit, check = self._unchecked_emit(value_type), self._check
        if check is None:
            return emit

        def emit_checked(key: Any, value: Any) -> None:
            check(key, value)
            emit(key, value)

        return emit_checked

    def _unchecked_emit(self, value_type: str) -> Callable[[Any, Any], None]:
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
        emit = self._emit_function(value_type)

        def emit_many(pairs: Iterable[tuple[Any, Any]]) -> None:
            # One by one: a generator may change what it has yielded, emit by itself, or raise.
            for pair in pairs:
                try:
                    key, value = pair
                except (TypeError, ValueError):
                    raise _no_pair(pair) from None
                emit(key, value)
            tick()

        return emit_many

    def _count(self, counted: Iterable[Any]) -> None:
        source: Iterator[Any] = iter(counted)
        if self.count_keys is not None and not self.whole_records:
            self._count_by_the_way(source)
            return
        if self._check is not None or type(counted) not in (list, tuple):  # it may emit by itself
            self._count_each(source)
            return
        while some := list(islice(source, MOST_PAIRS)):
            self.keys.extend(some)
            self.values.extend(repeat(1, len(some)))
            if len(self.keys) > self.limit:
                self.overflow()

    def _count_each(self, counted: Iterable[Any]) -> None:
        for key in counted:
            if self._check is not None:
                self._check(key, 1)
            self.keys.append(key)
            self.values.append(1)
            if len(self.keys) > self.limit:
                self.overflow()

    def _count_by_the_way(self, source: Iterator[Any]) -> None:
        """Past the lists: a sum is the same in any order."""
        more = True
        while more:
            some: list[Any] = []
            try:
                some.extend(islice(source, MOST_PAIRS))  # keeps what came before an error
            finally:
                more = len(some) == MOST_PAIRS
                if some:
                    self._count_now(some)

    def _count_now(self, keys: list[Any]) -> None:
        assert self.count_keys is not None
        self._tick()
        try:
            with timed("emit"):
                self.count_keys(keys)
        except BadPair:  # the next drain finds it again, and whose it is
            self.keys.extend(keys)
            self.values.extend(repeat(1, len(keys)))
            return
        except BaseException as error:
            self.failed = error
            raise
        self.emitted += len(keys)


def _no_pair(given: object) -> TypeError:
    return TypeError(f"expected a (key, value) pair, got {given!r:.80}")


def _pair_bytes(keys: list[Any], values: list[Any]) -> int:
    """Bytes of an average pair, from every so many of these."""
    step = max(1, len(keys) // 64)
    sampled = Batch(Kind.PACKED, keys[::step], values[::step])
    return max(1, weight(sampled) // len(sampled.keys))


def _silent() -> None:
    """Nobody waits for a sign of life."""


def emit_yielded(ctx: Context, returned: object) -> None:
    """Emit what a user function yields, where it is written as a generator."""
    if isinstance(returned, GeneratorType):
        ctx.emit_many(returned)


def _container_freezer(value_type: str) -> Callable[[Any], Any]:
    def frozen(value: Any) -> Any:
        check_container(value, value_type)
        return freeze(value)

    return frozen
