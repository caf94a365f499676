"""Emitting straight into the compiled buffer of pairs, where the job and the pairs allow it.

The buffer (`gomr_native.Pairs`) takes keys and values of the common types, checked as they come.
Any other pair goes through the `Emitter` as it does without the compiled part. Both write runs of
the same object, and pairs of one key stay in the order in which they were emitted.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from gomr_runtime.api.context import Context
from gomr_runtime.dataflow.emit.emit_columns import ColumnEmit
from gomr_runtime.dataflow.emit.emitter import Emitter
from gomr_runtime.dataflow.map.combine import TRIAL_PAIRS, Collector, PassOn, SumFold
from gomr_runtime.dataflow.pairs.frames import TARGET_BYTES, TARGET_ROWS, frame_of
from gomr_runtime.dataflow.pairs.keys import Kind
from gomr_runtime.dataflow.pairs.pair_batch import Batch
from gomr_runtime.dataflow.pairs.pair_law import PairLaw
from gomr_runtime.dataflow.profile import timed
from gomr_runtime.dataflow.shuffle.gather import SMALL_ROWS, Gatherer, RunWriter
from gomr_runtime.dataflow.shuffle.partitioner import CutPartitioner, Partitioner
from gomr_runtime.model.monitor import TICKS, Monitor
from gomr_runtime.system import compiled

if TYPE_CHECKING:
    from gomr_native import Pairs

_KIND: Final[dict[type, Kind]] = {
    int: Kind.INT,
    float: Kind.FLOAT,
    str: Kind.STR,
    bytes: Kind.BYTES,
}
"""What the buffer takes."""
_ANY: Final = 0
_NOT_ONE: Final = -1


class Direct:
    """The pairs of one map task that went past its emitter."""

    def __init__(
        self,
        collector: Collector,
        gatherer: Gatherer,
        writer: RunWriter,
        budget: int,
        law: PairLaw,
    ) -> None:
        """collector: a PassOn or a SumFold. budget: bytes of pairs that trigger a spill. law: of
        the pairs."""
        self._collector = collector
        self._gatherer = gatherer
        self._writer = writer
        self._budget = budget
        self._law = law
        self._sums = isinstance(collector, SumFold)
        self._emitter: Emitter | None = None
        self._pairs: Pairs | None = None
        self._general: Callable[..., None] = _unbound
        self._general_many: Callable[..., None] = _unbound
        self._general_count: Callable[..., None] = _unbound
        self._counted = 0  # of `taken`, pairs that the books know of

    def bind(self, emitter: Emitter, ctx: Context, monitor: Monitor) -> None:
        """Put the buffer in front of what the emitter has given `ctx`."""
        assert compiled.native is not None
        mode = "plain"
        if isinstance(self._collector, SumFold):
            mode = "count" if self._collector.counting else "sum"
        words: Any = monitor  # those of a list nobody watches
        ticks = None if isinstance(monitor, list) else words[TICKS : TICKS + 1]
        self._emitter = emitter
        emitter.drained = self._reopen
        self._general, self._general_many, self._general_count = ctx.emit, ctx.emit_many, ctx.count
        self._pairs = compiled.native.Pairs(
            other=self._other,
            other_many=self._other_many,
            other_count=self._other_count,
            full=self._full,
            limit=self._budget,
            mode=mode,
            keys=_mask(self._law),
            only=_only(self._law),
            trial=TRIAL_PAIRS,
            ticks=ticks,
            secret=compiled.secret(),
        )
        ctx.emit = self._pairs.emit
        ctx.emit_many = self._pairs.emit_many
        ctx.emit_batch = ColumnEmit(ctx, emitter.refuse, self._pairs.columns)
        ctx.count = self._pairs.count
        ctx.on_end(lambda _: self.stop())

    def stop(self) -> None:
        """From now on every pair goes the general way."""
        if self._pairs is not None:
            self._pairs.close()

    def finish(self) -> None:
        """Write what is left, behind what the emitter's pairs became; let go of the buffer."""
        pairs = self._pairs
        if pairs is not None:
            self._spill(pairs)
            pairs.close()
            self._pairs = None

    def _reopen(self) -> None:
        """The emitter holds nothing any more: pairs may come directly again."""
        if self._pairs is not None:
            self._pairs.open()

    def _other(self, *given: Any, **named: Any) -> None:
        """A pair, or what is none, for the emitter."""
        self._keep_order()
        self._general(*given, **named)

    def _other_many(self, *given: Any, **named: Any) -> None:
        self._keep_order()
        self._general_many(*given, **named)

    def _other_count(self, *given: Any, **named: Any) -> None:
        self._keep_order()
        self._general_count(*given, **named)

    def _keep_order(self) -> None:
        """Pairs come the general way until those are drained: what the buffer has goes first."""
        pairs = self._pairs
        if pairs is not None and not pairs.closed and not self._sums:
            pairs.close()
            self._guarded(self._hand_over)

    def _full(self) -> None:
        self._guarded(self._spill)

    def _guarded(self, action: Callable[[Pairs], None]) -> None:
        """User code may swallow the error: the emitter keeps it (see `Emitter.failed`)."""
        assert self._emitter is not None
        assert self._pairs is not None
        if self._emitter.failed is not None:
            raise self._emitter.failed
        closed = self._pairs.closed
        self._pairs.close()  # while other user code may run
        try:
            self._emitter.while_busy(action, self._pairs)
        except BaseException as error:
            self._emitter.failed = error
            raise
        if not closed:
            self._pairs.open()

    def _hand_over(self, pairs: Pairs) -> None:
        """Few rows go the general way; many would take too much memory as Python objects."""
        if pairs.rows > SMALL_ROWS:
            self._spill(pairs)
        elif pairs.rows:
            kind = Kind(pairs.key_kind)
            keys, values = pairs.lists(0, pairs.rows)
            self._account(pairs)
            pairs.clear()
            self._gatherer.add(Batch(kind, keys, values))

    def _spill(self, pairs: Pairs) -> None:
        """One run a partition; before it, whatever was gathered earlier."""
        self._account(pairs)
        if not pairs.rows:
            return
        if not self._sums:
            self._gatherer.spill()
        write_pairs(pairs, self._writer)
        pairs.clear()

    def _account(self, pairs: Pairs) -> None:
        assert self._emitter is not None
        new = pairs.taken - self._counted
        self._counted += new
        self._emitter.emitted += new
        if self._sums:
            self._collector.combine_in += new
            self._collector.combine_out += pairs.rows


def direct_emit(
    collector: Collector, gatherer: Gatherer, writer: RunWriter, budget: int, law: PairLaw
) -> Direct | None:
    """The direct way for a map task; None where the general one has to do."""
    if compiled.native is None or not isinstance(collector, PassOn | SumFold):
        return None
    if law.values is not None and _only(law) == _NOT_ONE:
        return None
    if isinstance(collector, SumFold) and law.values not in (None, frozenset({int})):
        return None
    return Direct(collector, gatherer, writer, budget, law)


def _only(law: PairLaw) -> int:
    """The one kind of values that need no conversion, 0 for any."""
    if law.values is None:
        return _ANY
    (kind, *others) = law.values
    return _KIND.get(kind, _NOT_ONE) if not others else _NOT_ONE


def _mask(law: PairLaw) -> int:
    """A bit for each kind of keys that may be taken."""
    taken = (kind for kind_of, kind in _KIND.items() if law.keys is None or kind_of in law.keys)
    return sum(1 << kind for kind in taken)


def write_pairs(pairs: Pairs, writer: RunWriter) -> None:
    """Sort the buffer and append it to the object as one run a partition."""
    compress = pairs.rows > SMALL_ROWS
    with timed("sort"):
        bounds = _sorted_bounds(pairs, writer.partitioner)
        for p in range(writer.partitioner.partitions):
            writer.append(p, _frames(pairs, bounds[p], bounds[p + 1], compress=compress))


def _frames(pairs: Pairs, start: int, end: int, *, compress: bool) -> Iterator[tuple[int, bytes]]:
    kinds = Kind(pairs.key_kind), Kind(pairs.value_kind)
    while start < end:
        rows, key_size, body = pairs.body(start, end, TARGET_ROWS, TARGET_BYTES)
        yield rows, frame_of(*kinds, rows, key_size, body, compress=compress)
        start += rows


def _sorted_bounds(pairs: Pairs, partitioner: Partitioner) -> list[int]:
    partitions, kind = partitioner.partitions, Kind(pairs.key_kind)
    if partitioner.hashes:
        return pairs.sort(partitions)
    if isinstance(partitioner, CutPartitioner):
        pairs.sort(1)
        lower = [pairs.lower(cut) for cut in partitioner.payloads(kind)]
        below = partitioner.below(kind)
        bounds = [0] * (below + 1) + lower
        return bounds + [pairs.rows] * (partitions + 1 - len(bounds))
    where = array("I")
    for start in range(0, pairs.rows, SMALL_ROWS):
        keys, _ = pairs.lists(start, min(start + SMALL_ROWS, pairs.rows))
        where.extend(partitioner.assign(kind, keys))
    return pairs.sort(partitions, where)


def _unbound(*_: Any, **__: Any) -> None:
    raise RuntimeError("nothing is bound yet")
