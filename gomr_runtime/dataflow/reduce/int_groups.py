"""The built-in reducers on columns of ints: no Python object for a value that is not a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gomr_runtime.api.aggregates import Aggregate
from gomr_runtime.dataflow.pairs.frames import FIXED
from gomr_runtime.dataflow.pairs.keys import Kind
from gomr_runtime.dataflow.reduce.native_merge import Merged

MOST_KEYS = 32 << 20
"""Bytes of keys, each counted as often as it is repeated."""

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]


def reduced_ints(aggregate: Aggregate, window: Merged) -> tuple[list[Any], list[int]] | None:
    """Keys, repeated as needed, and what the reducer emits for them, in order; None where the
    values are not ints of 64 bits, the reducer is another one, or keys are so large that they must
    not be repeated at once."""
    if aggregate.name not in ("min", "max", "top", "distinct"):
        return None
    found = window.merge.columns(window.count)
    if found is None or found[0] != Kind.INT:
        return None
    import numpy as np

    starts = np.frombuffer(found[2], np.uint32).astype(np.int64)
    groups, values = reduce_ints(aggregate, starts, np.frombuffer(found[4], np.int64))
    if window.kind not in FIXED and window.kind is not Kind.NONE:
        sizes = np.frombuffer(found[3], np.uint32, window.count)
        if int(sizes[groups].sum(dtype=np.int64)) > MOST_KEYS:
            return None
    keys = window.keys()
    if len(groups) != len(keys) or aggregate.name not in ("min", "max"):
        keys = [keys[group] for group in groups.tolist()]
    return keys, values.tolist()


def reduce_ints(aggregate: Aggregate, starts: Ints, values: Ints) -> tuple[Ints, Ints]:
    """(group, value) of what is emitted. Group i has values[starts[i]:starts[i + 1]], at least
    one; a group comes once for min and max."""
    import numpy as np

    if aggregate.name in ("min", "max"):
        best = np.minimum if aggregate.name == "min" else np.maximum
        return np.arange(len(starts) - 1), best.reduceat(values, starts[:-1])
    groups = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    if aggregate.name == "top":
        order = np.lexsort((~values, groups))  # ~ turns the order round, and never overflows
        place = np.arange(len(values)) - starts[groups]
        kept = place < aggregate.size
        return groups[kept], values[order][kept]
    ordered = values[np.lexsort((values, groups))]
    kept = np.ones(len(values), bool)
    kept[1:] = (ordered[1:] != ordered[:-1]) | (groups[1:] != groups[:-1])
    return groups[kept], ordered[kept]
