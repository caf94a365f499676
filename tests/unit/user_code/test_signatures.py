"""Functions that the engine cannot call as it will are refused before anything starts."""

from __future__ import annotations

import collections
import functools
import heapq
import math
import operator
import re
import statistics
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

import gomr_runtime as gomr
from gomr_runtime.api.config import MapReduceConfig
from gomr_runtime.errors import UsageError
from gomr_runtime.user_code.program import program_of


def mapper(ctx: gomr.Context, line: str) -> None:
    """Emits nothing."""


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*given: Any, **named: Any) -> Any:
        return function(*given, **named)

    return wrapper


class Worker:
    def mapper(self, ctx: gomr.Context, line: str) -> None:
        """A method."""

    def reducer(self, ctx: gomr.Context, key: str, values: list[int]) -> None:
        """A method."""

    @staticmethod
    def still(ctx: gomr.Context, line: str) -> None:
        """A static method."""

    @classmethod
    def of_class(cls, ctx: gomr.Context, line: str) -> None:
        """A class method."""

    def __call__(self, ctx: gomr.Context, line: str) -> None:
        """As a function."""


class Waiting:
    async def __call__(self, ctx: gomr.Context, line: str) -> None:
        """An asynchronous function."""


async def coroutine(ctx: gomr.Context, line: str) -> None:
    """An asynchronous function."""


async def stream(ctx: gomr.Context, line: str) -> AsyncIterator[Any]:
    yield line, 1


def check(**fields: Any) -> None:
    program_of(MapReduceConfig(**{"mapper": mapper, **fields}), b"", "worker.py")


def refused(**fields: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        check(**fields)
    assert "\n" not in str(caught.value)
    return caught.value


FITTING = [
    lambda ctx, line: None,
    lambda ctx, line, more=1: None,
    lambda *given: None,
    lambda ctx, *rest: None,
    lambda ctx, line, **named: None,
    Worker().mapper,
    Worker.still,
    Worker.of_class,
    Worker(),
    functools.partial(lambda start, ctx, line: None, 1),
    functools.partial(lambda ctx, line, more: None, more=1),
    traced(mapper),
    print,
]


@pytest.mark.parametrize("function", FITTING)
def test_what_can_be_called_with_two_arguments_is_a_mapper(function: Any) -> None:
    check(mapper=function)


@pytest.mark.parametrize(
    ("field", "function", "says"),
    [
        ("mapper", lambda line: None, "takes (ctx, record), not 1 parameter: <lambda>(line)"),
        ("mapper", lambda: None, "takes (ctx, record), not 0 parameters: <lambda>()"),
        ("mapper", lambda ctx, key, value: None, "not 3 parameters: <lambda>(ctx, key, value)"),
        ("mapper", lambda ctx, *, line: None, "not 2 parameters: <lambda>(ctx, *, line)"),
        ("mapper", lambda **named: None, "not 1 parameter: <lambda>(**named)"),
        ("mapper", Worker.mapper, "Worker.mapper(self, ctx, line); it is a method of no object"),
        ("mapper", Worker, "it is a class: pass an object of it, or a def"),
        ("mapper", functools.partial(mapper, None), "takes (ctx, record), not 1 param"),  # type: ignore[arg-type]
        ("mapper", traced(lambda line: None), "takes (ctx, record), not 1 parameter"),
        ("mapper", gomr.sum, "MapReduceConfig(mapper=gomr.sum): it is a reducer"),
        ("mapper", mapper(None, ""), "mapper=None): expected a function"),  # type: ignore[arg-type, func-returns-value]
        ("reducer", lambda ctx, key: None, "takes (ctx, key, values), not 2 parameters"),
        ("reducer", lambda ctx, key, values, n: None, "takes (ctx, key, values), not 4"),
        ("reducer", Worker.reducer, "pass Worker().reducer"),
        ("combiner", lambda key, values: None, "the combiner takes (ctx, key, values), not 2"),
        ("partitioner", lambda key: 0, "the partitioner takes (key, n), not 1 parameter"),
        ("partitioner", hash, "the partitioner takes (key, n), not 1 parameter: hash(obj, /)"),
        ("setup", lambda: None, "the setup takes (ctx), not 0 parameters"),
        ("finish", lambda ctx, more: None, "the finish takes (ctx), not 2 parameters"),
        ("sort_key", lambda: 0, "the sort_key takes (value), not 0 parameters"),
        ("sort_key", lambda a, b: 0, "the sort_key takes (value), not 2 parameters"),
    ],
)  # fmt: skip
def test_other_parameters_are_refused_with_the_place(field: str, function: Any, says: str) -> None:
    error = refused(**{"reducer": gomr.identity, field: function})
    assert says in str(error)
    if hasattr(function, "__code__"):
        line = function.__code__.co_firstlineno
        assert f'File "{__file__}", line {line}, in' in error.detail


@pytest.mark.parametrize("field", ["mapper", "combiner", "setup", "sort_key", "partitioner"])
@pytest.mark.parametrize(
    "function",
    [
        coroutine,
        stream,
        Waiting(),
        Waiting().__call__,
        functools.partial(coroutine, None),  # type: ignore[arg-type]
    ],
)
def test_nothing_asynchronous_is_taken(field: str, function: Any) -> None:
    error = refused(**{"reducer": gomr.identity, field: function})
    assert f"the {field} is an `async def`, which the engine would never await" in str(error)
    assert "async def" in error.detail


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (sum, "sum takes no (ctx, key, values): name gomr.sum"),
        (math.fsum, "name gomr.sum"),
        (operator.add, "name gomr.sum"),
        (np.sum, "name gomr.sum"),
        (max, "name gomr.max"),
        (min, "name gomr.min"),
        (len, "name gomr.count"),
        (collections.Counter, "name gomr.count"),
        (set, "name gomr.distinct"),
        (list, "name gomr.identity"),
        (heapq.nlargest, "name gomr.top(n)"),
        (functools.partial(heapq.nlargest, 3), "name gomr.top(n)"),
        (sorted, "write a def that does ctx.emit(key, sorted(values))"),
        (any, "write a def that does ctx.emit(key, any(values))"),
        (statistics.mean, "write a def that does ctx.emit(key, mean(values))"),
        (functools.reduce, "write a def"),
    ],
)
def test_pythons_own_functions_name_the_built_in(function: Any, says: str) -> None:
    for fields in ({"reducer": function}, {"reducer": gomr.identity, "combiner": function}):
        assert says in str(refused(**fields))


@pytest.mark.parametrize(
    "key", [len, int, str.lower, operator.itemgetter(1), lambda value: 0, lambda *given: 0]
)
def test_sort_keys_of_all_kinds(key: Any) -> None:
    check(reducer=gomr.identity, sort_key=key)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: gomr.MapReduceConfig(maper=mapper), "no field 'maper': did you mean 'mapper'?"),  # type: ignore[call-arg]
        (lambda: gomr.MapReduceConfig(mapper=mapper, Reducer=gomr.sum), "did you mean 'reducer'?"),  # type: ignore[call-arg]
        (lambda: gomr.MapReduceConfig(mapper=mapper, sortvalues=True), "'sort_values'?"),  # type: ignore[call-arg]
        (lambda: gomr.MapReduceConfig(mapper=mapper, xyz=True), "there are combiner, finish, inp"),  # type: ignore[call-arg]
        (lambda: gomr.MapReduceConfig(mapper), "takes its fields by name"),  # type: ignore[call-arg]
        (lambda: gomr.Lines, "gomr_runtime has no 'Lines': did you mean 'lines'?"),  # type: ignore[attr-defined]
        (lambda: gomr.MapReduce, "did you mean 'MapReduceConfig'?"),  # type: ignore[attr-defined]
        (lambda: gomr.indentity, "did you mean 'identity'?"),  # type: ignore[attr-defined]
    ],
)  # fmt: skip
def test_a_misspelt_name_gets_the_near_one(call: Callable[[], Any], says: str) -> None:
    with pytest.raises((TypeError, AttributeError), match=re.escape(says)):
        call()
