"""Emitting straight into the lines of a text part, in the compiled part.

Keys and values that are str or int are written at once; what else is emitted goes through the
`Emitter`, and the lines keep their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import TYPE_CHECKING, Any

from gomr_runtime.api.context import Context
from gomr_runtime.dataflow.emit.emit_calls import named
from gomr_runtime.dataflow.emit.emit_columns import ColumnEmit
from gomr_runtime.dataflow.emit.emitter import LEAST_PAIRS, Emitter
from gomr_runtime.dataflow.output.part import PartWriter
from gomr_runtime.model.monitor import Monitor
from gomr_runtime.system import compiled

if TYPE_CHECKING:
    from gomr_native import Lines

TEXT_BYTES = 256 << 10
WORTHWHILE = 256
"""The direct way ends if fewer lines than this lie between two pairs that it cannot take."""


class DirectText:
    """Lines of one task that are written past its emitter.

    Either these lines or the emitter hold something, never both. While lines come directly, the
    emitter's limit is 0: a pair that reaches it all the same (by a `ctx.emit` that user code kept)
    is reported at once. The engine settles the lines before it gives the emitter pairs of its own.
    """

    def __init__(self, part: PartWriter) -> None:
        self._part = part
        self._emitter: Emitter | None = None
        self._ctx: Context | None = None
        self._lines: Lines | None = None
        self._general: Callable[..., None] = _unbound
        self._general_many: Callable[..., None] = _unbound
        self._opened_at = 0  # records of the part when lines came directly again
        self._worthwhile = True

    def bind(self, emitter: Emitter, ctx: Context, monitor: Monitor) -> None:
        """Put the lines in front of what the emitter has given `ctx`."""
        del monitor  # the emitter's caller ticks once a window
        assert compiled.native is not None
        self._emitter = emitter
        self._ctx = ctx
        self._general, self._general_many = ctx.emit, ctx.emit_many
        emitter.drained = self._reopen
        emitter.overflowing = self._close
        self._lines = compiled.native.Lines(
            other=self._other,
            other_many=self._other_many,
            full=self._flush,
            limit=TEXT_BYTES,
        )
        self._point(self._lines.emit, self._lines.emit_many)
        ctx.emit_batch = ColumnEmit(ctx, emitter.refuse, self._lines.columns)
        ctx.count = self._count_function()
        emitter.watch(0)
        ctx.on_end(lambda _: self.stop())

    def stop(self) -> None:
        """From now on every pair goes the general way."""
        if self._lines is not None:
            self._lines.close()

    def settle(self) -> None:
        """Write everything emitted so far. Raises BadPair."""
        assert self._emitter is not None
        if self._emitter.keys:
            self._emitter.drain()
        self._flush()

    def write(self, text: bytes, records: int) -> None:
        """Lines that were made elsewhere, when everything before them is settled."""
        self._part.add_text(text, records)

    def finish(self) -> None:
        """Write what is left; let go of the lines."""
        if self._lines is not None:
            self._flush()
            self._lines.close()
            self._lines = None

    def _other(self, *given: Any, **named: Any) -> None:
        self._keep_order()
        self._general(*given, **named)

    def _other_many(self, *given: Any, **named: Any) -> None:
        self._keep_order()
        self._general_many(*given, **named)

    def _count_function(self) -> Callable[[Iterable[Any]], None]:
        def count(keys: Iterable[Any]) -> None:
            assert self._ctx is not None
            assert self._emitter is not None
            self._ctx.emit_many(zip(self._emitter.source(keys, "ctx.count", "keys"), repeat(1)))

        return named(count)

    def _keep_order(self) -> None:
        """Pairs come the general way until those are drained: what is written goes first."""
        if self._lines is not None and not self._lines.closed:
            self._close()
            self._worthwhile = self._part.records - self._opened_at >= WORTHWHILE

    def _close(self) -> None:
        lines, emitter = self._lines, self._emitter
        if lines is not None and emitter is not None and not lines.closed:
            lines.close()
            self._flush()
            emitter.watch(LEAST_PAIRS)
            self._point(self._general, self._general_many)

    def _reopen(self) -> None:
        lines = self._lines
        if lines is None or (lines.closed and not self._worthwhile):
            return
        if lines.closed:
            self._opened_at = self._part.records
            lines.open()
            self._point(lines.emit, lines.emit_many)
        assert self._emitter is not None
        self._emitter.watch(0)

    def _point(self, emit: Callable[..., None], emit_many: Callable[..., None]) -> None:
        assert self._ctx is not None
        self._ctx.emit, self._ctx.emit_many = emit, emit_many

    def _flush(self) -> None:
        """User code may swallow the error: the emitter keeps it (see `Emitter.failed`)."""
        assert self._emitter is not None
        assert self._lines is not None
        if self._emitter.failed is not None:
            raise self._emitter.failed
        records, text = self._lines.take()
        try:
            self._part.add_text(text, records)
        except BaseException as error:
            self._emitter.failed = error
            raise
        self._emitter.emitted += records


def direct_text(part: PartWriter) -> DirectText | None:
    """The direct way for a task that writes a part; None where the general one has to do."""
    if compiled.native is None or not part.takes_lines or type(part) is not PartWriter:
        return None
    return DirectText(part)


def _unbound(*_: Any, **__: Any) -> None:
    raise RuntimeError("nothing is bound yet")
