"""The user's combiner as the engine calls it."""

from __future__ import annotations

from typing import Any

from gomr_runtime.aggregates import Aggregate
from gomr_runtime.context import Context
from gomr_runtime.dataflow.batch import BadPair, check_pairs
from gomr_runtime.dataflow.combine import CombineFunction
from gomr_runtime.dataflow.emitter import Emitter
from gomr_runtime.dataflow.frames import user_keys
from gomr_runtime.dataflow.keys import Kind, encode
from gomr_runtime.dataflow.reducer import user_call
from gomr_runtime.dataflow.values import thaw
from gomr_runtime.errors import GomrError, RecordFailed
from gomr_runtime.profile import timed_call
from gomr_runtime.program import Program
from gomr_runtime.user_errors import describe, user_frames


def user_combine(program: Program, outer: Context) -> CombineFunction | None:
    """The config's own combiner over frozen values, None where it names none.

    It gets a context of its own, so that what it emits is told apart from what mappers emit.
    """
    combiner = program.config.combiner
    if combiner is None or isinstance(combiner, Aggregate):
        return None
    ctx = Context(outer.params, outer.attempt_id)
    ctx._counters = outer._counters  # one set of counters a task
    got: list[tuple[list[Any], list[Any]]] = []
    emitter = Emitter(lambda keys, values: got.append((keys, values)))
    emitter.bind(ctx, program.description.value_type, lambda: outer.progress())  # noqa: PLW0108  (bound later)
    call = timed_call("user", user_call(combiner, ctx, program.combiner_delivery))

    def combine(kind: Kind, native: Any, values: list[Any]) -> list[Any]:
        key = user_keys(kind, [native])[0]
        try:
            call(key, [thaw(value) for value in values])
            emitter.drain()
        except GomrError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  (user code may raise anything)
            raise RecordFailed(
                f"combiner, key {key!r:.80}: {describe(error)}", detail=user_frames(error)
            ) from None
        combined: list[Any] = []
        for keys, some in got:
            try:
                batches = check_pairs(keys, some, program.description.value_type)
            except BadPair as error:
                raise RecordFailed(f"combiner, key {key!r:.80}: {error.reason}") from None
            for batch in batches:
                if batch.kind is not kind or batch.keys.count(native) != len(batch.keys):
                    other = next(given for given in keys if encode(given) != encode(key))
                    raise RecordFailed(
                        f"combiner, key {key!r:.80}: it emitted key {other!r:.80}; "
                        "a combiner keeps the key"
                    )
                combined += batch.values
        got.clear()
        return combined

    return combine
