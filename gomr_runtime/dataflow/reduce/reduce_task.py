"""A reduce task: groups through the user's reducer, or a built-in one, into a part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from gomr_runtime.api.aggregates import Aggregate
from gomr_runtime.api.context import Context
from gomr_runtime.api.user_frames import describe, user_frames
from gomr_runtime.dataflow.emit.emitter import Drain, Emitter
from gomr_runtime.dataflow.emit.returned import emit_returned
from gomr_runtime.dataflow.output.column_types import CheckPair
from gomr_runtime.dataflow.output.native_text import DirectText
from gomr_runtime.dataflow.pairs.aggregation import final
from gomr_runtime.dataflow.pairs.frames import user_keys
from gomr_runtime.dataflow.pairs.keys import KeyRefused
from gomr_runtime.dataflow.pairs.pair_batch import BadPair
from gomr_runtime.dataflow.pairs.pair_law import PairLaw
from gomr_runtime.dataflow.pairs.values import ValueRefused
from gomr_runtime.dataflow.profile import EmitSampler, timed, timed_each
from gomr_runtime.dataflow.reduce.groups import Giant, Window
from gomr_runtime.dataflow.reduce.int_groups import reduced_ints
from gomr_runtime.dataflow.reduce.native_merge import Merged
from gomr_runtime.dataflow.reduce.one_pass import OnePass
from gomr_runtime.dataflow.reduce.value_order import Chunks, ValueSorter, bytes_of, sort_in_place
from gomr_runtime.errors import GomrError, RecordFailed
from gomr_runtime.model.monitor import BLOCK_RECORD, DONE, RECORD, TICKS, Monitor
from gomr_runtime.user_code.annotations import Delivery
from gomr_runtime.user_code.program import Program

MOST_MARKS = 65_536
"""So many groups begun are drained even if they emitted next to nothing."""

Call = Callable[[Any, list[Any]], None]


class ReduceTask:
    """Feeds groups to the reducer."""

    def __init__(
        self,
        name: str,
        program: Program,
        ctx: Context,
        drain: Drain,
        monitor: Monitor,
        scratch: Path,
        budget: int,
        text: DirectText | None = None,
        check: CheckPair | None = None,
    ) -> None:
        """name: the task's, for errors. budget: of the task (`execution.budget_of`); one key's list
        of values may take twice that. text: takes lines past the emitter. check: of pairs as they
        are emitted."""
        self.groups = 0
        self.rows = 0
        self._name = name
        self._program = program
        self._ctx = ctx
        self._monitor = monitor
        self._most = 2 * budget
        self.emitter = Emitter(drain, check=check)
        self.emitter.bind(ctx, PairLaw(), self._tick)
        self._text = text
        if text is not None:
            text.bind(self.emitter, ctx, monitor)
        self._sampler = EmitSampler(ctx)
        reducer = program.config.reducer
        self._aggregate = reducer if isinstance(reducer, Aggregate) else None
        self._adds = self._aggregate is not None and self._aggregate.name in ("sum", "count")
        self._call = _caller(program, ctx)
        self._sorter: ValueSorter | None = None
        if program.description.sort_values:
            self._sorter = ValueSorter(program.config.sort_key, scratch, budget, self._tick)

    def run(self, groups: Iterable[Window | Merged | Giant]) -> None:
        """All of it: setup, every group, finish. Raises RecordFailed."""
        self._edge("setup", self._program.config.setup)
        for group in timed_each("sort", groups):
            with timed("emit" if self._aggregate is not None else "other"):
                if isinstance(group, Giant):
                    self._giant(group)
                elif isinstance(group, Merged):
                    self._merged(group)
                else:
                    self._window(group)
            self._monitor[BLOCK_RECORD] = -1
            self._monitor[DONE] = self.rows
            self._monitor[TICKS] += 1
        self._edge("finish", self._program.config.finish)
        self._drain()

    def _merged(self, window: Merged) -> None:
        """Columns that only a user's reducer has to see as Python objects."""
        passes = self._aggregate is not None and self._aggregate.name == "identity"
        if self._text is not None and (self._adds or passes):
            text = window.text(summed=self._adds)
            if text is not None:
                self._write(text, window.count if self._adds else window.rows)
                self.groups += window.count
                self.rows += window.rows
                return
        totals = window.sums() if self._adds else None
        if totals is not None:
            self._totals(window.keys(), totals, window.count, window.rows)
            return
        found = reduced_ints(self._aggregate, window) if self._aggregate is not None else None
        if found is not None:
            self._totals(*found, window.count, window.rows)
        else:
            self._each(window.keys(), window.lists(), window.rows)

    def _write(self, text: bytes, records: int) -> None:
        assert self._text is not None
        self._settle()
        self._text.write(text, records)

    def _settle(self) -> None:
        """What is written next goes behind all that was emitted."""
        if self._text is None:
            return
        try:
            self._text.settle()
        except BadPair as error:
            self._refuse(error)

    def _window(self, window: Window) -> None:
        keys = user_keys(window.kind, window.keys)
        starts, values = window.starts, window.values
        if window.uniform_ints and self._adds:
            self._sums(keys, starts, values)
            return
        lists = (values[start:end] for start, end in pairwise(starts))
        self._each(keys, lists, starts[-1])

    def _each(self, keys: list[Any], lists: Iterable[list[Any]], rows: int) -> None:
        if self._aggregate is not None:
            self._reduce(keys, lists, rows)
        else:
            self._sampler.run(lambda: self._reduce(keys, lists, rows))

    def _reduce(self, keys: list[Any], lists: Iterable[list[Any]], rows: int) -> None:
        """The reducer for every key; the one loop whose cost counts."""
        call, emitter, monitor = self._call, self.emitter, self._monitor
        begin_mark, begin_origin = emitter.marks.append, emitter.origins.append
        pairs = emitter.keys
        monitor[RECORD] = self.groups
        key: Any = None
        try:
            for i, (key, values) in enumerate(zip(keys, lists, strict=True)):
                monitor[BLOCK_RECORD] = i
                begin_mark(len(pairs))
                begin_origin(key)
                call(key, values)
                if len(pairs) > emitter.limit:
                    emitter.check()
            if len(emitter.marks) > MOST_MARKS:
                emitter.drain()
        except BadPair as error:
            self._refuse(error)
        except GomrError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._failed(key, error)
        self.groups += len(keys)
        self.rows += rows

    def _sums(self, keys: list[Any], starts: list[int], values: list[Any]) -> None:
        if starts[-1] == len(keys):
            totals = values
        else:
            totals = [sum(values[starts[i] : starts[i + 1]]) for i in range(len(keys))]
        self._totals(keys, totals, len(keys), starts[-1])

    def _totals(self, keys: list[Any], totals: list[Any], groups: int, rows: int) -> None:
        self._settle()
        emitter = self.emitter
        emitter.begin(None)
        emitter.keys.extend(keys)
        emitter.values.extend(totals)
        self.groups += groups
        self.rows += rows
        if self._text is not None or len(emitter.keys) > emitter.limit:
            self._drain()

    def _giant(self, giant: Giant) -> None:
        key = user_keys(giant.kind, [giant.key])[0]
        self._monitor[RECORD] = self.groups
        self._monitor[BLOCK_RECORD] = 0
        self.emitter.begin(key)
        rest = self._counted(giant.chunks)
        try:
            if not self._streams:
                values = self._whole(key, rest)
                with timed("user"):
                    self._call(key, values)
            elif self._sorter is None or self._aggregate is not None:
                self._stream(key, chain.from_iterable(values for values, _ in rest))
            else:
                self._stream(key, self._read(key, self._in_order(self._sorter, key, rest)))
                self._sorter.clear()
            for _ in rest:  # what the reducer left unread
                pass
            self._drain()
        except GomrError:
            raise
        except BadPair as error:
            self._refuse(error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._failed(key, error)
        self.groups += 1

    @property
    def _streams(self) -> bool:
        return self._aggregate is not None or self._program.delivery == "iterator"

    def _stream(self, key: Any, values: Iterator[Any]) -> None:
        if self._aggregate is not None:
            _emit_final(self._ctx, self._aggregate, key, values)
            return
        reducer = self._program.config.reducer
        assert callable(reducer)
        assert not isinstance(reducer, Aggregate)
        with timed("user"):
            _call_streaming(self._ctx, reducer, "reducer", key, OnePass(values))

    def _counted(self, chunks: Iterator[tuple[list[Any], int]]) -> Iterator[tuple[list[Any], int]]:
        try:
            for values, size in timed_each("sort", chunks):
                self.rows += len(values)
                self._monitor[DONE] = self.rows
                self._monitor[TICKS] += 1
                yield values, size
        except (GomrError, OSError) as error:  # the reducer, which reads this, may swallow it
            self.emitter.failed = error
            raise

    def _in_order(self, sorter: ValueSorter, key: Any, chunks: Chunks) -> Iterator[Any]:
        try:
            return sorter.sort(chunks)
        except OSError as error:
            self.emitter.failed = error  # of the scratch space, and no key's
            raise

    def _read(self, key: Any, values: Iterator[Any]) -> Iterator[Any]:
        """The values; what comes from merging them is no error of the reducer that reads them."""
        try:
            yield from values
        except (GomrError, OSError) as error:
            self.emitter.failed = error
            raise
        except Exception as error:
            self.emitter.failed = self._failure(key, error)  # two values that do not compare
            raise self.emitter.failed from None

    def _whole(self, key: Any, rest: Chunks) -> list[Any]:
        held: list[Any] = []
        size = 0
        for values, stored in rest:
            held += values
            size += bytes_of(values, stored)
            if size > self._most:
                raise RecordFailed(
                    f"{self._name}, key {key!r:.80}: its values need more than "
                    f"{self._most >> 20} MiB as a list; annotate `values: Iterator[...]` to "
                    "stream them, or raise --memory"
                )
        return held

    def _tick(self) -> None:
        self._monitor[TICKS] += 1

    def _drain(self) -> None:
        try:
            self.emitter.drain()
        except BadPair as error:
            self._refuse(error)

    def _refuse(self, error: BadPair) -> None:
        key = self.emitter.origin_of(error.index)
        raise RecordFailed(
            f"{self._name}, key {key!r:.80}: the reducer emitted a bad pair: {error.reason}"
        ) from None

    def _failed(self, key: Any, error: BaseException) -> None:
        if self.emitter.failed is not None:
            raise self.emitter.failed from None
        raise self._failure(key, error) from None

    def _failure(self, key: Any, error: BaseException) -> RecordFailed:
        refused = isinstance(error, KeyRefused | ValueRefused)
        why = f"the reducer emitted a bad pair: {error}" if refused else describe(error)
        return RecordFailed(f"{self._name}, key {key!r:.80}: {why}", detail=user_frames(error))

    def _edge(self, which: str, function: Callable[[Context], Any] | None) -> None:
        if function is None:
            return
        self._drain()
        self.emitter.begin(which)
        try:
            with timed("user"):
                emit_returned(self._ctx, function(self._ctx), which, function)
            self.emitter.drain()
        except GomrError:
            raise
        except BadPair as error:
            raise RecordFailed(f"{self._name}, {which}(ctx): {error.reason}") from None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if self.emitter.failed is not None:
                raise self.emitter.failed from None
            raise RecordFailed(
                f"{self._name}, {which}(ctx): {describe(error)}", detail=user_frames(error)
            ) from None


def _caller(program: Program, ctx: Context) -> Call:
    """The reducer as a function of a key and its list of values."""
    reducer = program.config.reducer
    if isinstance(reducer, Aggregate):
        return lambda key, values: _emit_final(ctx, reducer, key, values)
    assert reducer is not None
    return user_call(reducer, ctx, "reducer", program.delivery, _sorter(program))


def user_call(
    function: Callable[..., Any],
    ctx: Context,
    field: str,
    delivery: Delivery,
    arrange: Callable[[list[Any]], list[Any]] | None = None,
) -> Call:
    """A user's reducer or combiner as a function of a key and a list that it may keep."""
    if delivery == "list" and arrange is None:

        def plain(key: Any, values: list[Any]) -> None:
            returned = function(ctx, key, values)
            if returned is not None:
                emit_returned(ctx, returned, field, function)

        return plain

    def call(key: Any, values: list[Any]) -> None:
        if arrange is not None:
            values = arrange(values)
        if delivery == "iterator":
            _call_streaming(ctx, function, field, key, OnePass(iter(values)))
        else:
            emit_returned(ctx, function(ctx, key, values), field, function)

    return call


def _call_streaming(
    ctx: Context, function: Callable[..., Any], field: str, key: Any, values: OnePass
) -> None:
    """Call a user's function with values that it can read until it returns."""
    emit_returned(ctx, function(ctx, key, values), field, function)
    values.end()


def _sorter(program: Program) -> Callable[[list[Any]], list[Any]] | None:
    if not program.description.sort_values:
        return None
    key = program.config.sort_key

    def arranged(values: list[Any]) -> list[Any]:
        values = list(values)
        sort_in_place(values, key)
        return values

    return arranged


def _emit_final(ctx: Context, aggregate: Aggregate, key: Any, values: Iterable[Any]) -> None:
    for value in final(aggregate, values):
        ctx.emit(key, value)
