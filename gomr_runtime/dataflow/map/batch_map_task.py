"""A map task whose mapper takes many records at once.

A batch that fails is given again a record at a time, so that the error names the record, or the
record alone is set aside. Where an earlier attempt has ended and records may be set aside, every
batch has one record: what ends the process is then known.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from gomr_runtime.api.formats import BatchFormat
from gomr_runtime.api.user_frames import describe, user_frames
from gomr_runtime.columns.cells import TooManyCategories, Unfit
from gomr_runtime.columns.record_columns import RecordBatches
from gomr_runtime.dataflow.emit.returned import emit_returned
from gomr_runtime.dataflow.input.block import Block
from gomr_runtime.dataflow.map.map_task import IDLE, MapTask
from gomr_runtime.dataflow.pairs.pair_batch import BadPair
from gomr_runtime.dataflow.profile import timed
from gomr_runtime.errors import GomrError, RecordFailed
from gomr_runtime.model.monitor import BLOCK_RECORD


class BatchMapTask(MapTask):
    """Feeds batches to the mapper."""

    def _records(self, block: Block, start: int, end: int) -> None:
        crashed = self._allowed > 0 and self._attempt > 1
        if crashed or end - start == 1:
            for i in range(start, end):
                self._record(block, i)
            return
        self._monitor[BLOCK_RECORD] = IDLE  # which of them is in hand is not known
        before = self._ctx.counters
        error = self._failure_of(lambda: self._call(block, start, end))
        if error is None:
            return
        if isinstance(error, TooManyCategories):  # before the mapper was called
            middle = (start + end) // 2
            self._records(block, start, middle)
            self._records(block, middle, end)
            return
        self._ctx.restore(before)
        known = self.set_aside.count
        if not self._allowed:  # it fails: what is emitted from here on only has to be checked
            self.emitter = self.emitter.fresh()
            self.emitter.bind(self._ctx, self._law, self._tick)
        for i in range(start, end):
            self._record(block, i)
        if self.set_aside.count == known:
            first, last = self._number + start, self._number + end - 1
            raise RecordFailed(
                f"{self._ctx.source}, a batch of records {first} to {last} of {self._name}: "
                f"{_cause(error)}; none of them fails alone",
                detail=user_frames(error),
            )

    def _record(self, block: Block, i: int) -> None:
        self._monitor[BLOCK_RECORD] = i
        error = self._failure_of(lambda: self._call(block, i, i + 1))
        if error is not None:
            frames = "" if isinstance(error, BadPair | Unfit) else user_frames(error)
            self._set_aside(self._number + i, _cause(error), frames)

    @cached_property
    def _make(self) -> RecordBatches:
        given = self._program.config.input
        schema = given.schema if isinstance(given, BatchFormat) else None
        return RecordBatches(given.name, schema, self._program.declared.map_frames)

    def _call(self, block: Block, start: int, end: int) -> None:
        records = block.records if end - start == len(block.records) else block.records[start:end]
        with timed("other"):
            batch = self._make.batch(records)
        self.emitter.begin(self._number + start)
        emit_returned(self._ctx, self._mapper(batch), "mapper", self._program.config.mapper)
        self.emitter.drain()

    def _failure_of(self, call: Callable[[], None]) -> BaseException | None:
        """What the records are to blame for; their pairs are forgotten."""
        try:
            call()
        except GomrError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  (user code may raise anything)
            if self.emitter.failed is not None:
                raise self.emitter.failed from None
            self.emitter.forget()
            return error
        return None


def _cause(error: BaseException) -> str:
    return str(error) if isinstance(error, BadPair | Unfit) else describe(error)
