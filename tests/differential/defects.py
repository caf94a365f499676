"""Defects that an engine may be given, to see that programs show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def _equal_keys_are_one(patch: pytest.MonkeyPatch) -> None:
    """1, 1.0 and True become one key in a combiner."""
    from gomr_runtime.dataflow.pairs import pair_batch

    patch.setattr(pair_batch, "_native", lambda kind, key: int(key) if key in (0, 1) else key)


def _values_come_backwards(patch: pytest.MonkeyPatch) -> None:
    from gomr_runtime.dataflow.reduce import reduce_task

    real = reduce_task.user_call

    def backwards(*given: Any) -> Any:
        call = real(*given)
        return lambda key, values: call(key, values[::-1])

    patch.setattr(reduce_task, "user_call", backwards)


def _counters_are_lost_in_reducers(patch: pytest.MonkeyPatch) -> None:
    from gomr_runtime.api.context import Context

    patch.setattr(Context, "counters", {})


def _backslashes_are_not_escaped(patch: pytest.MonkeyPatch) -> None:
    from gomr_runtime.dataflow.output import part

    patch.setattr(part, "_ESCAPES", str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"}))


def _numbers_are_not_converted(patch: pytest.MonkeyPatch) -> None:
    from gomr_runtime.dataflow.pairs import pair_law

    patch.setattr(pair_law, "converted", lambda value, types: value)


def _an_iterator_is_read_twice(patch: pytest.MonkeyPatch) -> None:
    from gomr_runtime.dataflow.reduce.one_pass import OnePass

    patch.setattr(OnePass, "__iter__", lambda self: self)


def _a_line_is_lost_at_a_cut(patch: pytest.MonkeyPatch) -> None:
    from gomr_runtime.dataflow.input import splits

    real = splits._cut
    patch.setattr(splits, "_cut", lambda *given: list(real(*given))[:2])


def _the_hash_is_another(patch: pytest.MonkeyPatch) -> None:
    from gomr_runtime.dataflow.shuffle import partitioner

    patch.setattr(partitioner, "partition_one", lambda kind, raw, n: sum(raw) % n)


DEFECTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "equal keys are one": _equal_keys_are_one,
    "values come backwards": _values_come_backwards,
    "counters are lost": _counters_are_lost_in_reducers,
    "backslashes are not escaped": _backslashes_are_not_escaped,
    "numbers are not converted": _numbers_are_not_converted,
    "an iterator is read twice": _an_iterator_is_read_twice,
    "a line is lost at a cut": _a_line_is_lost_at_a_cut,
    "the hash is another": _the_hash_is_another,
}
