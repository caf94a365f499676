"""Built-in reducers on columns of ints, beside what they are on lists."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gomr_runtime as gomr
from gomr_runtime.dataflow.pairs.aggregation import final
from gomr_runtime.dataflow.reduce.int_groups import reduce_ints
from gomr_runtime.testing import run_local

INTS = (
    st.integers(-3, 3) | st.sampled_from([2**63 - 1, -(2**63)]) | st.integers(-(2**63), 2**63 - 1)
)
AGGREGATES = [gomr.min, gomr.max, gomr.top(1), gomr.top(3), gomr.distinct]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(INTS, min_size=1, max_size=8), min_size=1, max_size=8))
def test_columns_give_what_lists_give(groups: list[list[int]]) -> None:
    starts = np.cumsum([0, *map(len, groups)])
    values = np.array([value for group in groups for value in group], np.int64)
    assert [values[a:b].tolist() for a, b in pairwise(starts)] == groups
    for aggregate in AGGREGATES:
        found = zip(
            *(column.tolist() for column in reduce_ints(aggregate, starts, values)), strict=True
        )
        assert list(found) == [
            (i, v) for i, group in enumerate(groups) for v in final(aggregate, group)
        ]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("aggregate", AGGREGATES, ids=str)
@pytest.mark.parametrize(
    "values", [[5, -1, 5, 2, 9], [0.5, 3, -1.0, 3, 2], ["b", "a", "b", "", "c"]]
)
def test_large_reduces_write_the_bytes_of_small_ones(
    monkeypatch: pytest.MonkeyPatch, aggregate: Any, values: list[Any]
) -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        number = int(line)
        ctx.emit(f"key {number % 7}", values[number % len(values)])

    def plain(ctx: gomr.Context, key: str, given_values: list[Any]) -> None:
        for value in final(aggregate, given_values):
            ctx.emit(key, value)

    text = "".join(f"{i}\n" for i in range(120))
    config: dict[str, Any] = {"mapper": mapper, "input": gomr.lines}
    expected = run_local(gomr.MapReduceConfig(reducer=plain, **config), text)
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.fan_in.SMALL_ROWS", -1)
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.native_merge.WINDOW_ROWS", 5)
    found = run_local(gomr.MapReduceConfig(reducer=aggregate, **config), text)
    assert found.parts == expected.parts
    assert found.ledger.reduce_groups == expected.ledger.reduce_groups == 7
