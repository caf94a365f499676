"""`ctx.emit` and its likes: two parallel lists, drained in bulk.

Checking and converting happen a batch at a time; `marks` remember where each record's pairs
begin, so that a bad pair found later still names its record.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, Protocol

from gomr_runtime.api.context import Context
from gomr_runtime.dataflow.emit.emit_calls import (
    count_function,
    emit_function,
    emit_many_function,
    refusal_of_source,
)
from gomr_runtime.dataflow.emit.emit_columns import ColumnEmit
from gomr_runtime.dataflow.pairs.keys import Kind, PairRefused
from gomr_runtime.dataflow.pairs.pair_batch import BadPair, Batch, weight
from gomr_runtime.dataflow.pairs.pair_law import PairLaw
from gomr_runtime.dataflow.profile import timed

MOST_PAIRS = 8_192
DRAIN_BYTES = 4 << 20
"""The emitter drains once it holds this many pairs or bytes."""
CHECK_PAIRS = 4_096
LEAST_PAIRS = 16
"""The buffer is measured again after CHECK_PAIRS pairs; after fewer, at least LEAST_PAIRS, if the
last ones were large."""
WHOLE_PAIRS = 1 << 20
WHOLE_BYTES = 64 << 20
"""The most that is held of records that are drained as a whole."""
NOW_COMBINED = (
    "this ctx cannot emit while pairs are combined, partitioned or stored: a combiner emits with "
    "the ctx that it is given, a partitioner not at all, and threads one after the other"
)

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
    refused: what was emitted last that is no pair. User code may swallow that, too: its record
    fails all the same, at the next look at the limit, which is -1 meanwhile.
    """

    __slots__ = (
        "_busy",
        "_drain",
        "_shut",
        "_tick",
        "_weighed",
        "_weight",
        "check_pair",
        "count_keys",
        "drained",
        "emitted",
        "failed",
        "keys",
        "limit",
        "marks",
        "origins",
        "overflowing",
        "refused",
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
        self.check_pair = check
        self.refused: PairRefused | None = None
        self._shut: Callable[[], NoReturn] | None = None
        self._busy: Callable[[], NoReturn] | None = None
        self._drain = drain
        self._tick: Ticks = _silent
        self._weighed = 0  # pairs, of those held, whose bytes are in _weight
        self._weight = 0

    def bind(self, ctx: Context, law: PairLaw, tick: Ticks) -> None:
        """Give `ctx` its emit, emit_many, emit_batch, count and progress."""
        self._tick = tick
        ctx.emit = emit_function(self, law)
        ctx.emit_many = emit_many_function(self, ctx.emit, tick)
        ctx.emit_batch = ColumnEmit(ctx, self.refuse)
        ctx.count = count_function(self, law)
        ctx.progress = tick
        self._busy = lambda: ctx.refuse(NOW_COMBINED)
        ctx.on_end(self.shut)

    def refuse(self, error: PairRefused) -> NoReturn:
        """Raise the error, and remember it."""
        self.refused = error
        self.limit = -1
        raise error

    def source(self, given: Iterable[Any], what: str, items: str) -> Iterator[Any]:
        """Iterate over what user code gave as pairs or keys; see `refusal_of_source`."""
        error = refusal_of_source(given, what, items)
        if error is not None:
            self.refuse(error)
        return iter(given)

    def shut(self, refuse: Callable[[], NoReturn]) -> None:
        """From now on every emit calls `refuse`, which raises."""
        self._shut = refuse
        self.limit = -1

    def open(self) -> None:
        """Take pairs again; what came while it was shut is no pair of anybody."""
        self._shut = None
        self.forget()
        self.limit = LEAST_PAIRS

    def while_busy(self, action: Callable[..., None], *given: Any) -> None:
        """Call what may run user code other than that which this emitter's ctx was given to."""
        before, limit = self._shut, self.limit
        self._shut, self.limit = self._busy, -1
        try:
            action(*given)
        finally:
            self._shut, self.limit = before, limit

    def watch(self, limit: int) -> None:
        """Look at what is held as soon as more than `limit` pairs are."""
        if self.refused is None and self._shut is None:
            self.limit = limit

    def begin(self, origin: Any) -> None:
        """What follows belongs to `origin`."""
        self.marks.append(len(self.keys))
        self.origins.append(origin)

    def origin_of(self, index: int) -> Any:
        """The origin of pair `index` of the lists as they are."""
        return self.origins[bisect_right(self.marks, index) - 1]

    def fresh(self) -> Emitter:
        """An emitter of the same drain that holds nothing and stands in front of nothing."""
        return Emitter(self._drain, check=self.check_pair)

    def forget(self) -> None:
        """Forget every pair held."""
        self.keys.clear()
        self.values.clear()
        self._forget()
        self._weighed = self._weight = 0
        self._recover()

    def drop_last(self) -> None:
        """Forget the pairs of the record begun last."""
        start = self.marks[-1]
        del self.keys[start:], self.values[start:]
        self._recover()

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
        if self.refused is not None:
            raise self.refused
        count = len(self.keys)
        if not count:
            self._forget()
            self.drained()
            return
        keys, values = self.keys[:], self.values[:]
        try:
            with timed("emit"):
                self.while_busy(self._drain, keys, values)
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
        if self.refused is not None:
            raise self.refused
        self._weigh()
        if len(self.keys) >= MOST_PAIRS or self._weight >= DRAIN_BYTES:
            self.drain()

    def overflow(self) -> None:
        """The same in the middle of a record. One that is drained as a whole has to fit."""
        if self._shut is not None:
            self._shut()
        if self.refused is not None:
            raise self.refused
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

    def _recover(self) -> None:
        """The record that had what was refused is gone."""
        if self.refused is not None:
            self.refused = None
            self.limit = len(self.keys)

    def count_now(self, keys: list[Any]) -> None:
        """Hand on keys that are counted, past the lists."""
        assert self.count_keys is not None
        if self._shut is not None:
            self._shut()
        self._tick()
        try:
            with timed("emit"):
                self.while_busy(self.count_keys, keys)
        except BaseException as error:
            self.failed = error
            raise
        self.emitted += len(keys)


def _pair_bytes(keys: list[Any], values: list[Any]) -> int:
    """Bytes of an average pair, from every so many of these."""
    step = max(1, len(keys) // 64)
    sampled = Batch(Kind.PACKED, keys[::step], values[::step])
    return max(1, weight(sampled) // len(sampled.keys))


def _silent() -> None:
    """Nobody waits for a sign of life."""
