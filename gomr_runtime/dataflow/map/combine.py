"""Combining on the map side: fewer pairs into the shuffle, the same result out of it.

One dict for each key kind, so that 1, 1.0 and True stay apart. Sums and counts of ints fold into
a running total; any other combiner runs over lists of values, in input order, whenever enough
have gathered. A combiner that hardly reduces switches itself off for the rest of the task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol

from gomr_runtime.api.aggregates import Aggregate
from gomr_runtime.dataflow.pairs.aggregation import AggregateRefused, partial
from gomr_runtime.dataflow.pairs.frames import user_keys
from gomr_runtime.dataflow.pairs.keys import Kind
from gomr_runtime.dataflow.pairs.pair_batch import Batch, weight
from gomr_runtime.dataflow.pairs.values import freeze, thaw
from gomr_runtime.dataflow.shuffle.gather import Gatherer
from gomr_runtime.errors import RecordFailed

ENTRY_BYTES = 120
"""What a dict entry costs beside its key's own bytes, for the budget."""
TRIAL_PAIRS = 200_000
"""After so many pairs a combiner must have shown that it reduces."""
USEFUL_RATIO = 0.8
"""More pairs out than this share of those in, and combining switches off."""

CombineFunction = Callable[[Kind, Any, list[Any]], list[Any]]
"""(kind, native key, frozen values in input order) to fewer frozen values."""


class Collector(Protocol):
    """Takes checked batches on their way to the shuffle."""

    combine_in: int
    combine_out: int

    def add(self, batch: Batch) -> None: ...

    def finish(self) -> None:
        """Hand on everything that is held."""


class PassOn:
    """No combiner: every pair goes to the shuffle as it is."""

    combine_in = 0
    combine_out = 0

    def __init__(self, gatherer: Gatherer) -> None:
        self.add = gatherer.add
        self.finish = gatherer.spill


class SumFold:
    """Running totals of ints for `gomr.sum` (and the counts of `gomr.count`).

    Pairs with float values are passed on: their sum must not depend on how the input was split.
    `batch.check_pairs` has refused values that are no numbers.
    """

    def __init__(self, gatherer: Gatherer, budget: int, aggregate: Aggregate) -> None:
        self.combine_in = 0
        self.combine_out = 0
        self._gatherer = gatherer
        self._budget = budget
        self.counting = aggregate.name == "count"
        self._totals: dict[Kind, Counter[Any]] = {}
        self._entries = 0
        self._bytes = 0
        self._off = False

    def add(self, batch: Batch) -> None:
        keys, values = batch.keys, batch.values
        self.combine_in += len(keys)
        if self.counting:
            values = [1] * len(keys)
        elif batch.uniform is not int:
            keys, values = self._pass_floats(batch)
        if not keys:
            return
        if self._off:
            self._pass(Batch(batch.kind, keys, values))
            return
        totals = self._totals.get(batch.kind)
        if totals is None:
            totals = self._totals[batch.kind] = Counter()
        before = len(totals)
        if values.count(1) == len(values):
            totals.update(keys)
        else:
            get = totals.get
            for key, value in zip(keys, values, strict=True):
                totals[key] = get(key, 0) + value
        self._account(batch.kind, totals, len(totals) - before)

    def finish(self) -> None:
        self._flush()
        self._gatherer.spill()

    def _account(self, kind: Kind, totals: Counter[Any], added: int) -> None:
        self._entries += added
        self._bytes += added * ENTRY_BYTES
        if added and kind in (Kind.STR, Kind.BYTES, Kind.TUPLE):
            self._bytes += sum(map(len, islice(reversed(totals), added)))
        if self.combine_in > TRIAL_PAIRS and self._entries > USEFUL_RATIO * self.combine_in:
            self._off = True
            self._flush()
        elif self._bytes > self._budget:
            self._flush()

    def _flush(self) -> None:
        for kind in sorted(self._totals):
            totals = self._totals.pop(kind)
            keys = list(totals)
            for start in range(0, len(keys), 65_536):
                part = keys[start : start + 65_536]
                self._pass(Batch(kind, part, [totals[key] for key in part]))
        self._bytes = 0

    def _pass(self, batch: Batch) -> None:
        self.combine_out += len(batch.keys)
        self._gatherer.add(batch)

    def _pass_floats(self, batch: Batch) -> tuple[list[Any], list[Any]]:
        ints = [i for i, value in enumerate(batch.values) if type(value) is int]
        floats = [i for i, value in enumerate(batch.values) if type(value) is float]
        self._pass(
            Batch(batch.kind, [batch.keys[i] for i in floats], [batch.values[i] for i in floats])
        )
        return [batch.keys[i] for i in ints], [batch.values[i] for i in ints]


class GroupFold:
    """Lists of values a key, combined whenever many have gathered."""

    def __init__(self, gatherer: Gatherer, budget: int, function: CombineFunction) -> None:
        self.combine_in = 0
        self.combine_out = 0
        self._gatherer = gatherer
        self._budget = budget
        self._function = function
        self._groups: dict[Kind, dict[Any, list[Any]]] = {}
        self._bytes = 0
        self._off = False

    def add(self, batch: Batch) -> None:
        self.combine_in += len(batch.keys)
        if self._off:
            self.combine_out += len(batch.keys)
            self._gatherer.add(batch)
            return
        groups = self._groups.setdefault(batch.kind, {})
        for key, value in zip(batch.keys, batch.values, strict=True):
            found = groups.get(key)
            if found is None:
                groups[key] = [value]
            else:
                found.append(value)
        self._bytes += weight(batch) + 48 * len(batch.keys)
        if self._bytes > self._budget:
            self._combine()

    def finish(self) -> None:
        self._combine(last=True)
        self._gatherer.spill()

    def _combine(self, *, last: bool = False) -> None:
        """Combine every key; keep the results when they are few, else hand them on."""
        pairs_in = pairs_out = size = 0
        for kind, groups in self._groups.items():
            for key, values in groups.items():
                pairs_in += len(values)
                if len(values) > 1:
                    values[:] = self._function(kind, key, values)
                pairs_out += len(values)
                size += 160 + 64 * len(values)
                size += sum(len(v) for v in values if isinstance(v, str | bytes))
        if last or size > self._budget // 2:
            self._flush()
        else:
            self._bytes = size
        if pairs_in > TRIAL_PAIRS and pairs_out > USEFUL_RATIO * pairs_in:
            self._off = True
            self._flush()

    def _flush(self) -> None:
        for kind in sorted(self._groups):
            keys: list[Any] = []
            values: list[Any] = []
            for key, held in self._groups.pop(kind).items():
                keys += [key] * len(held)
                values += held
                if len(keys) >= 65_536:
                    self._pass(Batch(kind, keys, values))
                    keys, values = [], []
            if keys:
                self._pass(Batch(kind, keys, values))
        self._bytes = 0

    def _pass(self, batch: Batch) -> None:
        self.combine_out += len(batch.keys)
        self._gatherer.add(batch)


def aggregate_function(aggregate: Aggregate) -> CombineFunction:
    """A built-in combiner over frozen values; RecordFailed naming a key whose values it cannot
    take (which of them is at fault is not known: two that do not compare came from two records)."""

    def combine(kind: Kind, key: Any, values: list[Any]) -> list[Any]:
        try:
            return [freeze(v) for v in partial(aggregate, [thaw(v) for v in values])]
        except AggregateRefused as error:
            shown = user_keys(kind, [key])[0]
            raise RecordFailed(f"key {shown!r:.80}: {error}") from None

    return combine
