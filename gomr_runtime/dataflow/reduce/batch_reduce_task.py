"""A reduce task whose reducer takes whole groups as columns, many at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gomr_runtime.api.user_frames import describe, user_frames
from gomr_runtime.columns.record_columns import as_frame
from gomr_runtime.dataflow.emit.returned import emit_returned
from gomr_runtime.dataflow.pairs.frames import user_keys
from gomr_runtime.dataflow.pairs.pair_batch import BadPair
from gomr_runtime.dataflow.reduce.group_columns import (
    GroupColumns,
    columns_of_list,
    columns_of_merged,
    columns_of_window,
)
from gomr_runtime.dataflow.reduce.group_types import NoColumn
from gomr_runtime.dataflow.reduce.groups import Giant, Window
from gomr_runtime.dataflow.reduce.native_merge import Merged
from gomr_runtime.dataflow.reduce.reduce_task import ReduceTask
from gomr_runtime.errors import GomrError, RecordFailed
from gomr_runtime.model.monitor import BLOCK_RECORD, RECORD


class BatchReduceTask(ReduceTask):
    """Feeds batches of groups to the reducer; a group is never cut."""

    def _merged(self, window: Merged) -> None:
        self._give(columns_of_merged(window))

    def _window(self, window: Window) -> None:
        self._give(columns_of_window(window))

    def _giant(self, giant: Giant) -> None:
        key = user_keys(giant.kind, [giant.key])[0]
        values = self._whole(key, self._counted(giant.chunks))
        self.rows -= len(values)  # which are counted below
        self._give(columns_of_list(giant.kind, key, values))

    def _give(self, batches: Iterator[GroupColumns]) -> None:
        self._monitor[RECORD] = self.groups
        self._monitor[BLOCK_RECORD] = 0
        columns: GroupColumns | None = None
        try:
            for batch in batches:
                columns = batch
                self._reduce_batch(as_frame(columns.batch, self._program.declared.reduce_frames))
                self.groups += len(batch.keys)
                self.rows += len(batch.values)
                columns = None
        except GomrError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  (user code may raise anything)
            if self.emitter.failed is not None:
                raise self.emitter.failed from None
            place = f"key {error.key!r:.80}" if isinstance(error, NoColumn) else _place(columns)
            cause = str(error) if isinstance(error, BadPair | NoColumn) else describe(error)
            raise RecordFailed(
                f"{self._name}, {place}: {cause}", detail=user_frames(error)
            ) from None

    def _reduce_batch(self, frame: Any) -> None:
        reducer: Any = self._program.config.reducer
        self.emitter.begin(None)
        self._sampler.run(
            lambda: emit_returned(self._ctx, reducer(self._ctx, frame), "reducer", reducer)
        )
        self.emitter.drain()


def _place(columns: GroupColumns | None) -> str:
    if columns is None:
        return "a batch of keys"
    first, last = (columns.keys[i].as_py() for i in (0, -1))
    if first == last:
        return f"key {first!r:.80}"
    return f"keys {first!r:.80} to {last!r:.80}"
