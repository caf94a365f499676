"""Built-in reducers by themselves: exact, and the same however values are split."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomr_runtime.api.aggregates import Aggregate, count, distinct, identity, max, min, sum, top
from gomr_runtime.dataflow.pairs.aggregation import AggregateRefused, final, partial
from tests.unit.support.dataflow_strategies import SCALARS, same

MANY = settings(max_examples=150, deadline=None)
NUMBERS = st.lists(
    st.integers(-(2**70), 2**70) | st.floats(-1e15, 1e15) | st.sampled_from([0.0, -0.0, 1, 1.0]),
    min_size=1,
    max_size=12,
)


def split(values: list[Any], at: list[int]) -> list[list[Any]]:
    edges = [0, *sorted(i % (len(values) + 1) for i in at), len(values)]
    return [values[a:b] for a, b in pairwise(edges) if a < b]


@MANY
@given(NUMBERS, st.lists(st.integers(0, 99), max_size=4), st.sampled_from([sum, min, max, top(3)]))
def test_partial_results_change_nothing(
    values: list[Any], at: list[int], aggregate: Aggregate
) -> None:
    combined = [v for part in split(values, at) for v in partial(aggregate, part)]
    assert same(list(final(aggregate, combined)), list(final(aggregate, values)))


@MANY
@given(st.lists(SCALARS | st.lists(SCALARS, max_size=2)), st.lists(st.integers(0, 99), max_size=4))
def test_distinct_keeps_one_of_each(values: list[Any], at: list[int]) -> None:
    whole = list(final(distinct, values))
    combined = [v for part in split(values, at) for v in partial(distinct, part)]
    assert same(list(final(distinct, combined)), whole)
    assert same(list(final(distinct, [*values, *values])), whole)
    for value in values:
        assert any(
            repr(value) == repr(kept) or same(value, kept, zero_signs=False) for kept in whole
        )


@MANY
@given(NUMBERS)
def test_a_sum_is_exact(values: list[Any]) -> None:
    (total,) = final(sum, iter(values))
    exact = Fraction(0)
    for value in values:
        exact += Fraction(value)
    assert type(total) is (int if all(type(v) is int for v in values) else float)
    assert total == (exact if type(total) is int else float(exact))


def test_sums_at_the_edge_of_floats() -> None:
    assert list(final(sum, [0.1] * 10)) == [1.0]
    assert list(final(sum, [2**70, 1])) == [2**70 + 1]
    assert math.isnan(*final(sum, [math.inf, -math.inf]))
    assert list(final(sum, [math.inf, 1])) == [math.inf]
    with pytest.raises(AggregateRefused, match=r"gomr\.sum: the sum is beyond"):
        final(sum, [10**400, 0.5])


def test_a_sum_is_rounded_once_in_any_order() -> None:
    assert list(final(sum, [2**53 + 1, 1.0])) == [2.0**53 + 2]
    for values in itertools.permutations([1e308, 1e308, -1e308, 0.5]):
        assert list(final(sum, values)) == [1e308]
    assert list(final(sum, [math.inf, 1e308, 1e308])) == [math.inf]
    with pytest.raises(AggregateRefused, match="beyond what a float holds"):
        final(sum, [1e308, 1e308])


@pytest.mark.parametrize("aggregate", [min, max, top(2)], ids=str)
@pytest.mark.parametrize(
    "values", [[1, "a"], [1, None], [math.nan, 1.0], [{}, {"a": 1}], [(1, [math.nan])]], ids=repr
)
def test_values_without_an_order_are_refused(aggregate: Aggregate, values: list[Any]) -> None:
    with pytest.raises(AggregateRefused, match=r"^gomr\."):
        list(final(aggregate, values))


@pytest.mark.parametrize("value", ["1", True, None, [1]], ids=repr)
def test_a_sum_takes_numbers_only(value: Any) -> None:
    with pytest.raises(AggregateRefused, match=r"gomr\.sum needs int or float values"):
        list(final(sum, [1, value]))


def test_identity_and_sums_hold_nothing_of_a_stream() -> None:
    taken: list[int] = []

    def stream() -> Any:
        for i in range(1_000):
            taken.append(i)
            yield i

    for value in final(identity, stream()):
        assert len(taken) == value + 1
    assert list(final(count, iter([1] * 1_000))) == [1_000]


def test_names_and_sizes() -> None:
    assert str(top(10)) == "top(10)"
    assert str(sum) == "sum"
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="at least 1"):
            top(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="without calling it"):
        sum(3)
