"""The user's combiner as the engine calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from gomr_runtime.api.context import Context
from gomr_runtime.api.user_frames import describe, place_of, user_frames
from gomr_runtime.dataflow.emit.emitter import Emitter
from gomr_runtime.dataflow.pairs.frames import user_keys
from gomr_runtime.dataflow.pairs.keys import Kind, encode
from gomr_runtime.dataflow.pairs.pair_batch import BadPair, check_pairs
from gomr_runtime.dataflow.pairs.pair_law import PairLaw
from gomr_runtime.dataflow.pairs.values import thaw
from gomr_runtime.dataflow.profile import timed_call
from gomr_runtime.dataflow.reduce.reduce_task import user_call
from gomr_runtime.errors import GomrError, RecordFailed
from gomr_runtime.user_code.annotations import Delivery

NOT_CALLED: Final = (
    "this ctx was given to the combiner, which is not being called: emit with the ctx that the "
    "function you are in was given"
)


class UserCombine:
    """The config's own combiner over frozen values, as a `combine.CombineFunction`.

    It gets a context of its own, so that what it emits is told apart from what mappers emit.
    """

    def __init__(
        self,
        combiner: Callable[..., Any],
        delivery: Delivery,
        outer: Context,
        law: PairLaw,
        task: str,
    ) -> None:
        """Prepare the calls of one task.

        Args:
            combiner: the user's function.
            delivery: how it takes its values.
            outer: the ctx of the mapper.
            law: of the pairs that mappers emit, to which the combiner's are held as well.
            task: the name of the task, for errors.
        """
        ctx = outer.sibling()
        self._combiner = combiner
        self._law = law = replace(law, keys=None)  # a combiner keeps the key, whatever it is
        self._task = task
        self._got: list[tuple[list[Any], list[Any]]] = []
        self._emitter = Emitter(lambda keys, values: self._got.append((keys, values)))
        self._emitter.bind(ctx, law, lambda: outer.progress())  # noqa: PLW0108  (bound later)
        self._not_called = lambda: ctx.refuse(NOT_CALLED)
        self._emitter.shut(self._not_called)
        call = user_call(combiner, ctx, "combiner", delivery)
        self._call = timed_call("user", call)

    def __call__(self, kind: Kind, native: Any, values: list[Any]) -> list[Any]:
        key = user_keys(kind, [native])[0]
        self._emitter.open()
        try:
            self._call(key, [thaw(value) for value in values])
            self._emitter.drain()
        except GomrError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  (user code may raise anything)
            raise self._failed(key, describe(error), user_frames(error)) from None
        self._emitter.shut(self._not_called)
        combined = self._combined(kind, native, key)
        if not combined:
            raise self._failed(
                key,
                f"it gave nothing back for {len(values)} values; a combiner emits, yields or "
                "returns at least one pair of its key",
                place_of(self._combiner),
            )
        return combined

    def _combined(self, kind: Kind, native: Any, key: Any) -> list[Any]:
        """The values of what it gave back, all under its key."""
        combined: list[Any] = []
        for keys, some in self._got:
            try:
                batches = check_pairs(keys, some, self._law)
            except BadPair as error:
                raise self._failed(key, error.reason, "") from None
            for batch in batches:
                if batch.kind is not kind or batch.keys.count(native) != len(batch.keys):
                    other = next(given for given in keys if encode(given) != encode(key))
                    why = f"it emitted key {other!r:.80}; a combiner keeps the key"
                    raise self._failed(key, why, place_of(self._combiner))
                combined += batch.values
        self._got.clear()
        return combined

    def _failed(self, key: Any, why: str, frames: str) -> RecordFailed:
        return RecordFailed(f"{self._task}, combiner, key {key!r:.80}: {why}", detail=frames)
