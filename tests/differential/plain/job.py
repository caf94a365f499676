"""A whole job in plain Python: what a worker file means, said without the engine.

Nothing in this folder imports the engine, and nothing knows of splits, workers, buffers or
combining: a job is a list of records, a dict of groups and a list of lines.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.differential.plain.aggregates import holds_nan, reduced
from tests.differential.plain.api import (
    TOTAL_ORDER,
    Aggregate,
    Context,
    MapReduceConfig,
    Pair,
    emit_returned,
    load,
)
from tests.differential.plain.keys import Refused, checked, partition, rank
from tests.differential.plain.records import files_of, records_of
from tests.differential.plain.render import check_cells, check_types, rendered
from tests.differential.plain.values import OnePass, annotation, converted, taken

Groups = list[tuple[Any, list[Any]]]


@dataclass
class Job:
    """What the command line says of it."""

    inputs: list[str]
    params: dict[str, str] = field(default_factory=dict)
    reducers: int = 1
    output_format: str = "text"
    skip: int = 0


@dataclass
class Outcome:
    """Parts and books, or the kinds of refusal of which the run may name any."""

    refused: list[str] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)
    pairs: list[list[Pair]] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    set_aside: int = 0
    map_out: int = 0
    groups: int = 0


class PlainRun:
    """Runs a job. What fails is noted and the phase goes on: whichever failure a run with many
    tasks meets first is right."""

    def __init__(self, folder: Path, job: Job, *, fine: bool = True) -> None:
        """fine: a map task for each file and chunks of a line, else all in one task."""
        self._worker = folder / "worker.py"
        self._job = job
        self._fine = fine
        self._files = files_of(job.inputs, folder)
        self.outcome = Outcome()

    def run(self) -> Outcome:
        outcome = self.outcome
        try:
            config = load(self._worker)
            self._check(config)
            pairs = self._map(config)
            if config.reducer is None:
                outcome.pairs = [pairs]
            else:
                self._stop_if_refused()
                outcome.pairs = [
                    self._reduce(load(self._worker), groups)
                    for groups in self._partitioned(config, self._grouped(config, pairs))
                ]
            if self._job.output_format == "csv":
                together = [pair for part in outcome.pairs for pair in part]
                self._attempt(lambda: check_cells(together, "csv"))
                self._attempt(lambda: check_types(together))
            self._stop_if_refused()
            outcome.parts = [rendered(part, self._job.output_format) for part in outcome.pairs]
        except Refused as refusal:
            self._note(refusal.kind)
        return outcome

    def _note(self, kind: str) -> None:
        if kind not in self.outcome.refused:
            self.outcome.refused.append(kind)

    def _stop_if_refused(self) -> None:
        if self.outcome.refused:
            raise Refused(self.outcome.refused[0])

    def _check(self, config: MapReduceConfig) -> None:
        if inspect.iscoroutinefunction(config.mapper):
            raise Refused("async")
        for function in (config.reducer, config.combiner):
            if callable(function) and not isinstance(function, Aggregate):
                annotation(function)
        if self._job.skip and config.input.name == "chunk":
            raise Refused("skip_chunk")

    def _value_type(self, config: MapReduceConfig) -> type | None:
        """Of the combiner's annotation, or the reducer's."""
        for function in (config.combiner, config.reducer):
            if function is not None and not isinstance(function, Aggregate):
                wanted = annotation(function)[1]
                if wanted is not None:
                    return wanted
        return None

    def _map(self, config: MapReduceConfig) -> list[Pair]:
        """All pairs in input order."""
        found: list[Pair] = []
        if self._fine:
            for source, data in self._files:
                found += self._map_task(load(self._worker), [(source, data)])
        elif self._files:
            found = self._map_task(config, self._files)
        self.outcome.map_out = len(found)
        if self.outcome.set_aside > self._job.skip:
            self._note(self._first_bad)
        return found

    _first_bad = ""

    def _map_task(self, config: MapReduceConfig, files: list[tuple[str, bytes]]) -> list[Pair]:
        wanted = self._value_type(config)
        adds = self._adds(config)
        records = [
            (source, record)
            for source, data in files
            for record in records_of(data, config.input, fine=self._fine)
        ]
        if not records and not any(data for _, data in files):
            return []  # no map task
        ctx = Context(self._job.params, "")
        found: list[Pair] = []

        def call(function: Callable[..., Any] | None, *given: Any) -> None:
            ctx.pairs = []
            if function is not None:
                guarded(ctx, function, *given)
            made = list(map_pairs(ctx.pairs, wanted, adds))  # all of a record, or none
            if config.reducer is None:
                check_cells(made, self._job.output_format)
            found.extend(made)

        self._attempt(lambda: call(config.setup))
        for source, record in records:
            ctx.source = source
            try:
                if isinstance(record, Refused):
                    raise record
                call(config.mapper, record)
            except Refused as refusal:
                self._first_bad = self._first_bad or refusal.kind
                self.outcome.set_aside += 1
                if not self._job.skip:
                    self._note(refusal.kind)
        ctx.source = ""
        self._attempt(lambda: call(config.finish))
        self._add(ctx.totals)
        return found

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Refused as refusal:
            self._note(refusal.kind)

    def _add(self, totals: dict[str, int]) -> None:
        counters = self.outcome.counters
        for name, count in totals.items():
            counters[name] = counters.get(name, 0) + count

    def _adds(self, config: MapReduceConfig) -> bool:
        """Whether values have to be numbers."""
        chosen = config.combiner or config.reducer
        return isinstance(chosen, Aggregate) and chosen.name == "sum"

    def _grouped(self, config: MapReduceConfig, pairs: list[Pair]) -> Groups:
        """Every key in order, its values in input order, or sorted."""
        groups: dict[Any, tuple[Any, list[Any]]] = {}
        for key, value in pairs:
            groups.setdefault(rank(key), (key, []))[1].append(value)
        ordered = [groups[at] for at in sorted(groups)]
        self.outcome.groups = len(ordered)
        return ordered

    def _partitioned(self, config: MapReduceConfig, groups: Groups) -> Iterator[Groups]:
        """The groups of each part. Total order: all in one, since the cuts are the engine's."""
        parts = self._job.reducers
        if config.partitioner is TOTAL_ORDER:
            yield groups
            return
        where = [partition(key, parts) for key, _ in groups]
        if config.partitioner is not None:
            where = [self._asked(config.partitioner, key) for key, _ in groups]
        for p in range(parts):
            yield [group for group, part in zip(groups, where, strict=True) if part == p]

    def _asked(self, partitioner: Callable[..., Any], key: Any) -> int:
        try:
            answer = partitioner(key, self._job.reducers)
        except LookupError:
            raise Refused("raised") from None
        if type(answer) is not int or not 0 <= answer < self._job.reducers:
            raise Refused("partitioner")
        return answer

    def _reduce(self, config: MapReduceConfig, groups: Groups) -> list[Pair]:
        ctx = Context(self._job.params, "")

        def call(function: Callable[..., Any] | None, *given: Any) -> None:
            if function is not None:
                guarded(ctx, function, *given)

        self._attempt(lambda: call(config.setup))
        for key, values in groups:
            self._attempt(lambda key=key, values=values: self._group(config, ctx, key, values))  # type: ignore[misc]
        self._attempt(lambda: call(config.finish))
        self._add(ctx.totals)
        return [(checked(key), value) for key, value in ctx.pairs]

    def _group(self, config: MapReduceConfig, ctx: Context, key: Any, values: list[Any]) -> None:
        if config.sort_values or config.sort_key is not None:
            values = ordered(values, config.sort_key)
        reducer = config.reducer
        if isinstance(reducer, Aggregate):
            for value in reduced(reducer, values):
                ctx.emit(key, value)
            return
        assert reducer is not None
        streams, _ = annotation(reducer)
        guarded(ctx, reducer, key, OnePass(values) if streams else list(map(taken, values)))


def map_pairs(pairs: list[Pair], wanted: type | None, adds: bool) -> Iterator[Pair]:
    """The pairs of one record as they go into the groups."""
    for key, value in pairs:
        converted_value = converted(value, wanted)
        if adds and type(converted_value) not in (int, float):
            raise Refused("no_number")
        yield checked(key), converted_value


def guarded(ctx: Context, function: Callable[..., Any], *given: Any) -> None:
    """Call user code and take what it gives; Refused for what it raises."""
    try:
        emit_returned(ctx, function(ctx, *given))
    except LookupError as error:
        if "on purpose" not in str(error):
            raise
        raise Refused("raised") from None
    except TypeError as error:
        if "not supported between" in str(error):
            raise Refused("no_order") from None
        if "add() takes an int" in str(error):
            raise Refused("counter") from None
        raise


def ordered(values: list[Any], key: Callable[[Any], Any] | None) -> list[Any]:
    """Sorted, equal ones as they were."""
    by = [key(value) if key else value for value in values]
    if any(map(holds_nan, by)):
        raise Refused("no_order")
    try:
        places = sorted(range(len(values)), key=by.__getitem__)
    except TypeError:
        raise Refused("no_order") from None
    return [values[i] for i in places]
